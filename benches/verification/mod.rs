//! Objectives and constraints straight from the instance: what the library answers has to agree with.

use std::collections::{BTreeMap, BTreeSet};

use crate::problems::{Placement, Scaling, service_name};

/// Cores or GiB that a sum of amounts may exceed a capacity by: rounding.
const TOLERANCE: f64 = 1e-9;

/// The cluster of each service.
///
/// # Errors
/// A service has none.
pub fn ordinals(instance: &Placement, assignment: &BTreeMap<String, String>) -> Result<Vec<usize>, String> {
    let cluster = |service: usize| {
        let cluster = assignment.get(&service_name(service)).and_then(|name| name.get(1..)?.parse().ok());
        cluster.ok_or_else(|| format!("{} has no cluster", service_name(service)))
    };
    (0..instance.cpu.len()).map(cluster).collect()
}

/// Moved services, or where the instance has costs their sum.
///
/// # Errors
/// The constraint that the assignment breaks.
pub fn placement_objective(instance: &Placement, assignment: &[usize]) -> Result<f64, String> {
    verify(instance, assignment)?;
    let moved = (0..assignment.len()).filter(|service| assignment[*service] != instance.current[*service]);
    let Some(costs) = &instance.costs else { return Ok(moved.count() as f64) };
    let used: BTreeSet<usize> = assignment.iter().copied().collect();
    let activation: f64 = used.iter().map(|cluster| costs.act[*cluster]).sum();
    let cores = |service: usize| instance.cpu[service] * instance.replicas[service] as f64;
    let placed = assignment.iter().enumerate();
    let carbon: f64 = placed.map(|(service, cluster)| costs.carbon[*cluster] * cores(service)).sum();
    let moved: f64 = moved.map(|service| costs.moving[service]).sum();
    let latency =
        |(one, other, weight): &(usize, usize, f64)| weight * costs.lat[assignment[*one]][assignment[*other]];
    Ok(activation + carbon + moved + costs.edges.iter().map(latency).sum::<f64>())
}

fn verify(instance: &Placement, assignment: &[usize]) -> Result<(), String> {
    let mut cpu = instance.cap.clone();
    let mut ram = instance.memory.as_ref().map(|memory| memory.rcap.clone());
    for (service, cluster) in assignment.iter().enumerate() {
        let replicas = instance.replicas[service] as f64;
        *cpu.get_mut(*cluster).ok_or("there is no such cluster")? -= instance.cpu[service] * replicas;
        if let (Some(ram), Some(memory)) = (&mut ram, &instance.memory) {
            ram[*cluster] -= memory.ram[service] * replicas;
        }
        if instance.gpu[service] && !instance.cgpu[*cluster] {
            return Err(format!("service {service} needs a GPU"));
        }
    }
    let mut left = cpu.into_iter().chain(ram.unwrap_or_default());
    if left.any(|left| left < -TOLERANCE) { Err("a cluster is overfull".to_owned()) } else { Ok(()) }
}

/// The objective of the original program.
///
/// # Errors
/// The constraint that the numbers of replicas break.
pub fn scaling_objective(instance: &Scaling, replicas: &[i64]) -> Result<f64, String> {
    let services = 0..replicas.len();
    let cores = |service: usize| replicas[service] as f64 * instance.cpu[service];
    if services.clone().map(cores).sum::<f64>() > instance.cap + TOLERANCE {
        return Err("the cluster is overfull".to_owned());
    }
    for service in services.clone() {
        let capacity = instance.alpha[service] * replicas[service] as f64 + instance.beta[service];
        if replicas[service] < 1 || capacity < instance.rate[service] - 1e-6 {
            return Err(format!("service {service} has too few replicas"));
        }
    }
    let full = |service: usize| instance.maxr[service] as f64 * instance.cpu[service];
    let largest = services.clone().map(full).fold(0.0, f64::max);
    let term = |service: usize| {
        let changed = replicas[service].abs_diff(instance.prev[service]) as f64;
        0.4 * cores(service) / largest + 0.4 * changed / instance.maxr[service] as f64
    };
    Ok(services.map(term).sum())
}
