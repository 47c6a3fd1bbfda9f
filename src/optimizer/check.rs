//! The independent checker: re-computes from the problem alone whether a plan may be used.
//!
//! Shares no code with strategies, so that one mistake cannot hide in both.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClusterState, Plan, Problem};

/// Checks that every service is on exactly one known and available cluster, that no cluster holds more than
/// it has free, and that co-located services share a cluster.
///
/// # Errors
/// Everything that is wrong with the plan, one sentence each.
pub fn check(problem: &Problem, plan: &Plan) -> Result<(), Vec<String>> {
    let mut faults = Vec::new();
    let mut clusters: BTreeMap<&str, &ClusterState> = BTreeMap::new();
    for cluster in &problem.clusters {
        if clusters.insert(&cluster.name, cluster).is_some() {
            faults.push(format!("the problem has two clusters {}", cluster.name));
        }
    }
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for service in &problem.services {
        if !names.insert(&service.name) {
            faults.push(format!("the problem has two services {}", service.name));
        }
    }
    check_assignment(plan, &names, &clusters, &mut faults);
    check_capacity(problem, plan, &mut faults);
    check_co_location(problem, plan, &names, &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn check_assignment(
    plan: &Plan,
    names: &BTreeSet<&str>,
    clusters: &BTreeMap<&str, &ClusterState>,
    faults: &mut Vec<String>,
) {
    for name in names {
        if !plan.assignment.contains_key(*name) {
            faults.push(format!("service {name} has no cluster"));
        }
    }
    for (service, cluster) in &plan.assignment {
        if !names.contains(service.as_str()) {
            faults.push(format!("service {service} is not part of the problem"));
        }
        match clusters.get(cluster.as_str()) {
            None => faults.push(format!("service {service} is on the unknown cluster {cluster}")),
            Some(state) if !state.available => {
                faults.push(format!("service {service} is on the unavailable cluster {cluster}"));
            }
            Some(_) => {}
        }
    }
}

/// Sums in 128 bits, which the sum of any number of 64-bit products fits.
fn check_capacity(problem: &Problem, plan: &Plan, faults: &mut Vec<String>) {
    for cluster in &problem.clusters {
        let [mut cpu, mut ram, mut storage, mut gpus] = [0_i128; 4];
        for service in &problem.services {
            if plan.assignment.get(&service.name) != Some(&cluster.name) {
                continue;
            }
            let replicas = i128::from(service.replicas);
            cpu += i128::from(service.needs.cpu_millicores) * replicas;
            ram += i128::from(service.needs.ram_bytes) * replicas;
            storage += i128::from(service.needs.storage_bytes) * replicas;
            gpus += i128::from(service.needs.gpus) * replicas;
        }
        let mut limit = |what: &str, sum: i128, free: i64| {
            // What is not used at all cannot be too much, even where less than nothing is free.
            if sum > i128::from(free) && sum > 0 {
                faults.push(format!(
                    "cluster {} has {free} {what} free, the plan puts {sum} there",
                    cluster.name
                ));
            }
        };
        limit("millicores of cpu", cpu, cluster.free.cpu_millicores);
        limit("bytes of ram", ram, cluster.free.ram_bytes);
        if cluster.storage_reported {
            limit("bytes of storage", storage, cluster.free.storage_bytes);
        }
        limit("gpus", gpus, cluster.free.gpus);
    }
}

fn check_co_location(problem: &Problem, plan: &Plan, names: &BTreeSet<&str>, faults: &mut Vec<String>) {
    for service in &problem.services {
        for other in service.co_location.iter().filter(|other| names.contains(other.as_str())) {
            let (here, there) = (plan.assignment.get(&service.name), plan.assignment.get(other));
            if let (Some(here), Some(there)) = (here, there)
                && here != there
            {
                let name = &service.name;
                faults.push(format!(
                    "services {name} and {other} must share a cluster, but are on {here} and {there}"
                ));
            }
        }
    }
}
