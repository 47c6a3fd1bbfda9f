//! The order in which services are placed and installed: dependencies first, ties as in the descriptor.
//!
//! Deterministic, so that equal descriptors give equal placement problems.

use std::collections::{BTreeSet, HashMap};

use super::{Descriptor, Service, Trigger};

/// Indices of the services such that each comes after those it depends on; otherwise in the order of the
/// descriptor.
#[must_use]
pub fn dependency_order(descriptor: &Descriptor) -> Vec<usize> {
    let services = &descriptor.services;
    let index: HashMap<&str, usize> =
        services.iter().enumerate().map(|(index, service)| (service.id.as_str(), index)).collect();
    let mut waits_for: Vec<usize> = vec![0; services.len()];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); services.len()];
    for (this, service) in services.iter().enumerate() {
        let targets: BTreeSet<usize> =
            dependencies(service).iter().filter_map(|name| index.get(name.as_str()).copied()).collect();
        waits_for[this] = targets.len();
        for target in targets {
            dependents[target].push(this);
        }
    }
    let mut ready: BTreeSet<usize> = (0..services.len()).filter(|this| waits_for[*this] == 0).collect();
    let mut order = Vec::with_capacity(services.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for dependent in &dependents[next] {
            waits_for[*dependent] -= 1;
            if waits_for[*dependent] == 0 {
                ready.insert(*dependent);
            }
        }
    }
    // A descriptor that was parsed has no cycles; in one built by hand their members come last.
    order.extend((0..services.len()).filter(|this| waits_for[*this] > 0));
    order
}

fn dependencies(service: &Service) -> &[String] {
    match &service.trigger {
        Trigger::Auto { dependencies } => dependencies,
        Trigger::Event { .. } => &[],
    }
}
