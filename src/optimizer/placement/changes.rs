//! Differences between two problems of one graph that may invalidate a plan.

use std::collections::BTreeMap;

use super::{ClusterState, Problem, ServiceDemand};
use crate::optimizer::ClusterAttributes;
use crate::optimizer::text::amounts;

/// Relative change of a latency that is noise.
const JITTER: f64 = 0.2;

/// Every difference that a plan for the first problem might not survive, one sentence each.
#[must_use]
pub fn changes(planned: &Problem, now: &Problem) -> Vec<String> {
    let mut changes = Vec::new();
    changes.extend(compare("cluster", &planned.clusters, &now.clusters, |it| &it.name, cluster_changes));
    changes.extend(compare("service", &planned.services, &now.services, |it| &it.name, service_changes));
    if (planned.weights, planned.limits) != (now.weights, now.limits) {
        changes.push("the weights or limits of the decision are others".to_owned());
    }
    if planned.strict != now.strict {
        changes.push("whether the undecidable is refused is different".to_owned());
    }
    if planned.links != now.links {
        changes.push("the links between the services are others".to_owned());
    }
    changes
}

fn by_name<T>(items: &[T], name: fn(&T) -> &str) -> BTreeMap<&str, &T> {
    items.iter().map(|item| (name(item), item)).collect()
}

/// Items that came, went or changed.
fn compare<T>(
    kind: &str,
    planned: &[T],
    now: &[T],
    name: fn(&T) -> &str,
    differences: fn(&T, &T) -> Vec<String>,
) -> Vec<String> {
    let (old, new) = (by_name(planned, name), by_name(now, name));
    let mut changes = Vec::new();
    for (name, now) in &new {
        match old.get(name) {
            None => changes.push(format!("{kind} {name} is new")),
            Some(before) => changes.extend(differences(before, now)),
        }
    }
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    changes.extend(gone.map(|name| format!("{kind} {name} is gone")));
    changes
}

fn cluster_changes(before: &ClusterState, now: &ClusterState) -> Vec<String> {
    let name = &now.name;
    let mut changes = Vec::new();
    if before.available != now.available {
        changes.push(format!(
            "cluster {name} is {}",
            if now.available { "available again" } else { "not available" }
        ));
    }
    if before.free != now.free {
        let text = |cluster: &ClusterState| amounts(cluster.free, &cluster.unlimited());
        changes.push(format!("cluster {name} has {} free, it had {}", text(now), text(before)));
    }
    if before.storage_reported != now.storage_reported {
        changes.push(format!(
            "cluster {name} {} its storage",
            if now.storage_reported { "reports" } else { "no longer reports" }
        ));
    }
    if before.gpus_counted != now.gpus_counted {
        changes.push(format!(
            "cluster {name} {} its GPUs",
            if now.gpus_counted { "counts" } else { "no longer counts" }
        ));
    }
    if before.pods_counted != now.pods_counted {
        changes.push(format!(
            "cluster {name} {} its pods",
            if now.pods_counted { "counts" } else { "no longer counts" }
        ));
    }
    if before.nodes != now.nodes {
        changes.push(format!("the nodes of cluster {name} are others"));
    }
    let others = |cluster: &ClusterState| ClusterAttributes {
        latencies_ms: BTreeMap::new(),
        ..cluster.attributes.clone()
    };
    if others(before) != others(now) {
        changes.push(format!("the attributes of cluster {name} are others"));
    }
    if !same_latencies(&before.attributes.latencies_ms, &now.attributes.latencies_ms) {
        changes.push(format!("the latencies of cluster {name} are others"));
    }
    changes
}

/// Measured times are never twice the same: a change by less than a fifth is ignored.
fn same_latencies(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> bool {
    before.len() == now.len()
        && before
            .iter()
            .all(|(to, ms)| now.get(to).is_some_and(|later| (later - ms).abs() <= JITTER * ms.max(*later)))
}

fn service_changes(before: &ServiceDemand, now: &ServiceDemand) -> Vec<String> {
    let name = &now.name;
    let place = |service: &ServiceDemand| service.current.clone().unwrap_or_else(|| "nowhere".to_owned());
    let mut changes = Vec::new();
    if before.current != now.current {
        changes.push(format!("service {name} is on {}, it was on {}", place(now), place(before)));
    }
    if before.replicas != now.replicas {
        changes.push(format!(
            "service {name} has {} replicas, it had {}",
            now.replicas.min, before.replicas.min
        ));
    }
    let asks = |service: &ServiceDemand| {
        let ServiceDemand {
            requires, prefers, pinned, co_location, anti_affinity, move_weight, pods, ..
        } = service.clone();
        (requires, prefers, pinned, co_location, anti_affinity, move_weight.to_bits(), pods)
    };
    if asks(before) != asks(now) {
        changes.push(format!("what service {name} asks of its cluster is different"));
    }
    if before.needs != now.needs {
        let text = |service: &ServiceDemand| amounts(service.needs, &[]);
        changes.push(format!("a replica of service {name} needs {}, it needed {}", text(now), text(before)));
    }
    if before.fixed_needs != now.fixed_needs {
        let text = |service: &ServiceDemand| amounts(service.fixed_needs, &[]);
        let (now, before) = (text(now), text(before));
        changes.push(format!("service {name} needs {now} beside its replicas, it needed {before}"));
    }
    changes
}
