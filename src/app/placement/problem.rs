//! Builds the placement problem of a graph from its descriptor and the known state of the clusters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::PlacementPolicy;
use crate::app::ledger::GraphSnapshot;
use crate::hdag::{Descriptor, LatencyQos, dependency_order};
use crate::model::{ClusterRecord, ServiceRecord};
use crate::optimizer::placement::{
    AttributeTest, ClusterState, LatencyBound, Link, Problem, ReplicaBounds, Requirement, ServiceDemand,
};

/// The problem of placing a graph, which may be running already. `expected` are services that are not placed yet,
/// with what their charts bring.
pub(super) fn problem(
    descriptor: &Descriptor,
    snapshot: &GraphSnapshot,
    expected: &[ServiceRecord],
    policy: PlacementPolicy,
    is_running: bool,
) -> Problem {
    let own: BTreeMap<&str, (&ServiceRecord, &String)> = snapshot
        .services
        .iter()
        .filter_map(|service| Some((service.name.as_str(), (service, service.cluster.as_ref()?))))
        .collect();
    let demand = |(rank, index): (u32, usize)| {
        let service = &descriptor.services[index];
        let placed = own.get(service.id.as_str()).copied();
        let counted = placed.map(|(record, _)| record);
        let counted = counted.or_else(|| expected.iter().find(|record| record.name == service.id));
        let pinned_because = placed.and_then(|(record, _)| pin(descriptor, service, record, is_running));
        ServiceDemand {
            rank,
            replicas: ReplicaBounds::exactly(counted.map_or(1, ServiceRecord::counted_replicas)),
            fixed_needs: counted.map(ServiceRecord::fixed_needs).unwrap_or_default(),
            pods: counted.map(ServiceRecord::pods).unwrap_or_default(),
            runs: is_running,
            current: placed.map(|(_, cluster)| cluster.clone()),
            pinned: pinned_because.is_some(),
            pinned_because,
            move_weight: service.move_weight,
            co_location: service.co_location.clone(),
            anti_affinity: service.anti_affinity.clone(),
            requires: requirements(descriptor, service, &policy),
            prefers: policy.preferences_of(&service.id),
            ..ServiceDemand::new(
                service.id.clone(),
                counted.map_or(service.needs, ServiceRecord::replica_needs),
            )
        }
    };
    let demands = (0..).zip(dependency_order(descriptor)).map(demand).collect();
    let mut problem = Problem::new(descriptor.id.clone(), policy.strategy, states(snapshot), demands);
    problem.links = links(descriptor);
    problem.weights = policy.weights;
    problem.limits = policy.limits;
    problem.strict = policy.strict;
    problem.warnings = policy.warnings;
    problem.sorted()
}

/// Why a service that is placed must stay where it is. Of a stopped graph nothing runs that high availability could
/// keep in its place, but volumes are still there.
fn pin(
    descriptor: &Descriptor,
    service: &crate::hdag::Service,
    record: &ServiceRecord,
    is_running: bool,
) -> Option<String> {
    let volumes = record.manifest.as_ref().filter(|manifest| manifest.has_volumes());
    if let Some(manifest) = volumes.filter(|_| !service.discards_volumes) {
        let claims = manifest.claims();
        return Some(format!("the data of its volume claims is there: {}", claims.join(", ")));
    }
    (descriptor.intent.high_availability && is_running)
        .then(|| "highAvailability is enabled: the placement is final".to_owned())
}

/// The state of each cluster as the graph's decision sees it.
fn states(snapshot: &GraphSnapshot) -> Vec<ClusterState> {
    let clusters = &snapshot.capacity.clusters;
    let names: BTreeSet<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let state = |cluster: &ClusterRecord| {
        let capacity = snapshot.capacity.free(cluster, &snapshot.usage);
        let mut attributes = snapshot.capacity.attributes.get(&cluster.name).cloned().unwrap_or_default();
        attributes.latencies_ms.retain(|to, _| names.contains(to.as_str()));
        ClusterState {
            name: cluster.name.clone(),
            rank: cluster.id,
            available: cluster.available,
            free: capacity.free,
            storage_reported: cluster.storage_reported,
            gpus_counted: cluster.gpus_counted(),
            pods_counted: cluster.pods_counted(),
            nodes: cluster.nodes.clone(),
            reserved: capacity.reserved,
            own: capacity.own,
            attributes,
        }
    };
    clusters.iter().map(state).collect()
}

/// Every connection point is a link; latency intents bound it, and a graph of high performance bounds all.
fn links(descriptor: &Descriptor) -> Vec<Link> {
    let mut links: BTreeMap<(&str, &str), Link> = BTreeMap::new();
    let mut link = |one: &'_ str, other: &'_ str, traffic: f64, bound: Option<LatencyBound>| {
        let Some((from, to)) = known_pair(descriptor, one, other) else { return };
        let link = links.entry((from, to)).or_insert_with(|| Link {
            from: from.to_owned(),
            to: to.to_owned(),
            traffic: 0.0,
            bound: None,
        });
        link.traffic += traffic;
        link.bound = link.bound.max(bound);
    };
    let everywhere = descriptor.intent.high_performance.then_some(LatencyBound::Low);
    for service in &descriptor.services {
        for callee in &service.connection_points {
            let traffic = service.traffic.get(callee).copied().unwrap_or(1.0);
            link(&service.id, callee, traffic, everywhere);
        }
        for (other, traffic) in
            service.traffic.iter().filter(|(to, _)| !service.connection_points.contains(to))
        {
            link(&service.id, other, *traffic, everywhere);
        }
        for latency in &service.latencies {
            if let Some(other) = &latency.connection_point {
                link(&service.id, other, 0.0, bound(latency.qos));
            }
        }
    }
    links.into_values().collect()
}

/// The names of two different services in their order.
fn known_pair<'a>(descriptor: &'a Descriptor, one: &str, other: &str) -> Option<(&'a str, &'a str)> {
    let (one, other) = (&descriptor.service(one)?.id, &descriptor.service(other)?.id);
    (one != other)
        .then(|| if one < other { (one.as_str(), other.as_str()) } else { (other.as_str(), one.as_str()) })
}

fn bound(qos: LatencyQos) -> Option<LatencyBound> {
    match qos {
        LatencyQos::Ultralow => Some(LatencyBound::Ultralow),
        LatencyQos::Low => Some(LatencyBound::Low),
        LatencyQos::BestEffort => None,
    }
}

/// The cluster requirements from the intents of a service and of its graph.
fn requirements(
    descriptor: &Descriptor,
    service: &crate::hdag::Service,
    policy: &PlacementPolicy,
) -> Vec<Requirement> {
    let mut requirements = Vec::new();
    if descriptor.intent.security {
        requirements.push(Requirement {
            intent: "security".to_owned(),
            attribute: "trusted".to_owned(),
            test: AttributeTest::OneOf(vec!["true".to_owned()]),
            // A cluster that is not marked as trusted is untrusted.
            must_be_known: true,
        });
    }
    // A latency towards no service is one towards the user's device.
    let near_device = service
        .latencies
        .iter()
        .any(|latency| latency.connection_point.is_none() && latency.qos != LatencyQos::BestEffort);
    if service.device_proximity || near_device {
        let test = service.site.clone().map_or(AttributeTest::Known, |site| AttributeTest::OneOf(vec![site]));
        requirements.push(Requirement {
            intent: "deviceProximity".to_owned(),
            attribute: "site".to_owned(),
            test,
            must_be_known: false,
        });
    }
    requirements.extend(policy.requirements_of(&service.id));
    requirements
}
