//! Clusters: observations and records. A cluster keeps its id for ever; one that disappears stays as
//! unavailable.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::hdag::{Dimension, Resources};

const UNKNOWN_LOCATION: &str = "Unknown";
const VANISHED: &str = "no longer known to Karmada";

/// A cluster as last observed.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterRecord {
    /// Ascending id in the order of discovery.
    pub id: i64,
    /// Name in Karmada.
    pub name: String,
    /// Location, or `Unknown`.
    pub location: String,
    /// Whether services can be placed there. A cluster that disappeared stays, unavailable.
    pub available: bool,
    /// Why it is unavailable, or why its state is not current.
    pub reason: Option<String>,
    /// Total of its nodes.
    pub allocatable: Resources,
    /// Requested by pods.
    pub allocated: Resources,
    /// Part of the requests of pods that no node has taken yet; not in `allocated`.
    pub allocating: Resources,
    /// Sizes of its largest nodes ([`largest`]); empty when they are not known.
    pub nodes: Vec<Resources>,
    /// Whether storage is part of the report.
    pub storage_reported: bool,
    /// Whether it has GPUs.
    pub acceleration: bool,
    /// Pod network.
    pub pod_cidr: Option<String>,
    /// Service network.
    pub service_cidr: Option<String>,
    /// URL of its dashboard.
    pub grafana: Option<String>,
    /// Region, when Karmada's Cluster states one.
    pub region: Option<String>,
    /// Labels of Karmada's Cluster.
    pub labels: BTreeMap<String, String>,
    /// Round-trip times to other clusters in milliseconds as last measured.
    pub latencies_ms: BTreeMap<String, f64>,
    /// When Karmada last reported it.
    pub observed_at: DateTime<Utc>,
}

impl ClusterRecord {
    /// Whether it says how many GPUs it has. A label can say that there are some without a number: then any number
    /// fits.
    #[must_use]
    pub fn gpus_counted(&self) -> bool {
        self.allocatable.gpus > 0 || !self.acceleration
    }

    /// Whether each of these pods fits one of its nodes, as far as they are known; only resources that it reports count.
    #[must_use]
    pub fn has_nodes_for(&self, pods: &[Resources]) -> bool {
        let is_counted = |dimension: &Dimension| match dimension {
            Dimension::Storage => self.storage_reported,
            Dimension::Gpus => self.gpus_counted(),
            Dimension::Pods => self.pods_counted(),
            Dimension::Cpu | Dimension::Ram => true,
        };
        let fits = |pod: &Resources, node: &Resources| {
            let mut counted = Dimension::ALL.into_iter().filter(is_counted);
            counted.all(|dimension| pod.get(dimension) <= node.get(dimension))
        };
        let fits_one = |pod: &Resources| self.nodes.iter().any(|node| fits(pod, node));
        self.nodes.is_empty() || pods.iter().all(fits_one)
    }

    /// Whether it says how many pods its nodes take.
    #[must_use]
    pub fn pods_counted(&self) -> bool {
        self.allocatable.pods > 0
    }
}

/// One member cluster at the moment of observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterObservation {
    /// Name in Karmada.
    pub name: String,
    /// Whether its Ready condition is true and nothing forbids scheduling to it.
    pub available: bool,
    /// Reason and message of a Ready condition that is not true, or the taint that forbids scheduling.
    pub reason: Option<String>,
    /// Total allocatable resources of its nodes. GPUs count every `*.com/gpu` resource.
    pub allocatable: Resources,
    /// Resources requested by its scheduled pods.
    pub allocated: Resources,
    /// Resources requested by its pods that no node has taken yet.
    pub allocating: Resources,
    /// Whether the object could be read; if not, everything else but the name is unknown.
    pub readable: bool,
    /// Whether ephemeral storage is part of the report.
    pub storage_reported: bool,
    /// Whether the cluster has GPUs, by its resources or by the configured label.
    pub acceleration: bool,
    /// Where it is, from `spec.region`/`spec.zone`, when stated.
    pub location: Option<String>,
    /// `spec.region`, when stated.
    pub region: Option<String>,
    /// Labels of the Cluster object.
    pub labels: BTreeMap<String, String>,
}

/// CIDRs of one cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterNetworks {
    /// First pod CIDR.
    pub pod_cidr: Option<String>,
    /// First service CIDR.
    pub service_cidr: Option<String>,
}

/// Round-trip times in milliseconds between two clusters, by their names in ascending order.
pub type RoundTripTimes = BTreeMap<(String, String), f64>;

/// All clusters as they are after an observation, by ascending id. New ones get the next ids in the order
/// given; those that were not observed become unavailable and keep the time of their last sight. A cluster
/// that `networks` does not name keeps the networks it had.
#[must_use]
pub fn merge_observations(
    known: &[ClusterRecord],
    observations: &[ClusterObservation],
    networks: &BTreeMap<String, ClusterNetworks>,
    now: DateTime<Utc>,
) -> Vec<ClusterRecord> {
    let observed: BTreeSet<&str> = observations.iter().map(|observation| observation.name.as_str()).collect();
    let mut merged: BTreeMap<i64, ClusterRecord> = known
        .iter()
        .filter(|cluster| !observed.contains(cluster.name.as_str()))
        .map(|cluster| {
            let gone =
                ClusterRecord { available: false, reason: Some(VANISHED.to_owned()), ..cluster.clone() };
            (cluster.id, gone)
        })
        .collect();
    let mut next_id = known.iter().map(|cluster| cluster.id).max().unwrap_or(0) + 1;
    for observation in observations {
        let old = known.iter().find(|cluster| cluster.name == observation.name);
        let id = old.map_or(next_id, |cluster| cluster.id);
        next_id = next_id.max(id + 1);
        merged.insert(id, observed_cluster(id, old, observation, networks.get(&observation.name), now));
    }
    merged.into_values().collect()
}

/// Puts round-trip times at both of their ends, and forgets those of pairs that are `expired`. Other pairs of clusters
/// missing in `latencies` keep their last measurement.
pub fn merge_round_trip_times(
    clusters: &mut [ClusterRecord],
    latencies: &RoundTripTimes,
    expired: impl Fn(&str, &str) -> bool,
) {
    for cluster in clusters.iter_mut() {
        let name = cluster.name.clone();
        cluster.latencies_ms.retain(|other, _| !expired(&name, other));
    }
    let positions: BTreeMap<String, usize> =
        (0..).zip(&*clusters).map(|(i, c)| (c.name.clone(), i)).collect();
    for ((one, other), ms) in latencies {
        if let (Some(first), Some(second)) = (positions.get(one), positions.get(other)) {
            clusters[*first].latencies_ms.insert(other.clone(), *ms);
            clusters[*second].latencies_ms.insert(one.clone(), *ms);
        }
    }
}

/// Notes the largest nodes of the clusters that told them. Of the others they are those of before, as long as these
/// have the same total as in `known`.
pub fn merge_nodes(
    known: &[ClusterRecord],
    clusters: &mut [ClusterRecord],
    told: &BTreeMap<String, Vec<Resources>>,
) {
    for cluster in clusters {
        let before = known.iter().find(|before| before.id == cluster.id);
        if let Some(nodes) = told.get(&cluster.name) {
            cluster.nodes.clone_from(nodes);
        } else if before.is_some_and(|before| before.allocatable != cluster.allocatable) {
            cluster.nodes.clear();
        }
    }
}

/// Those of the sizes that no other one of them exceeds in every resource, in ascending order: what fits none of
/// these fits none at all.
#[must_use]
pub fn largest(mut sizes: Vec<Resources>) -> Vec<Resources> {
    sizes.sort_unstable_by_key(|size| size.amounts());
    sizes.dedup();
    let is_exceeded = |size: &Resources| sizes.iter().any(|other| other != size && size.fits(*other));
    sizes.iter().filter(|size| !is_exceeded(size)).copied().collect()
}

/// One cluster as Karmada reports it.
fn observed_cluster(
    id: i64,
    old: Option<&ClusterRecord>,
    observation: &ClusterObservation,
    networks: Option<&ClusterNetworks>,
    now: DateTime<Utc>,
) -> ClusterRecord {
    if let (false, Some(old)) = (observation.readable, old) {
        // It keeps its last known state, and tells so.
        return ClusterRecord { reason: observation.reason.clone(), ..old.clone() };
    }
    let kept = |old: Option<&ClusterRecord>| {
        old.map_or((None, None), |old| (old.pod_cidr.clone(), old.service_cidr.clone()))
    };
    let (pod_cidr, service_cidr) = networks
        .map_or_else(|| kept(old), |networks| (networks.pod_cidr.clone(), networks.service_cidr.clone()));
    ClusterRecord {
        id,
        name: observation.name.clone(),
        location: observation.location.clone().unwrap_or_else(|| UNKNOWN_LOCATION.to_owned()),
        available: observation.available,
        reason: observation.reason.clone(),
        allocatable: observation.allocatable,
        allocated: observation.allocated,
        allocating: observation.allocating,
        nodes: old.map(|old| old.nodes.clone()).unwrap_or_default(),
        storage_reported: observation.storage_reported,
        acceleration: observation.acceleration,
        pod_cidr,
        service_cidr,
        grafana: old.and_then(|old| old.grafana.clone()),
        region: observation.region.clone(),
        labels: observation.labels.clone(),
        latencies_ms: old.map(|old| old.latencies_ms.clone()).unwrap_or_default(),
        observed_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{at, cluster};

    fn seen(readable: bool) -> ClusterObservation {
        ClusterObservation {
            name: "c".into(),
            available: readable,
            reason: (!readable).then(|| "the Cluster object cannot be read: cpu: many".into()),
            allocatable: Resources::default(),
            allocated: Resources::default(),
            allocating: Resources::default(),
            readable,
            storage_reported: false,
            acceleration: false,
            location: None,
            region: None,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn the_largest_nodes_are_those_that_none_exceeds() {
        let node =
            |cpu_millicores, ram_bytes| Resources { cpu_millicores, ram_bytes, ..Resources::default() };
        let nodes = vec![node(4, 8), node(2, 16), node(4, 8), node(1, 1), node(3, 8)];
        assert_eq!(largest(nodes), [node(2, 16), node(4, 8)]);
        assert_eq!(largest(Vec::new()), []);
    }

    #[test]
    fn nodes_that_are_not_told_count_until_the_total_changes() {
        let node = Resources { pods: 1, ..Resources::default() };
        let named = |name: &str, id| ClusterRecord { id, nodes: vec![node], ..cluster(name) };
        let known = [named("told", 1), named("silent", 2), named("changed", 3)];
        let mut clusters = known.to_vec();
        clusters[2].allocatable.gpus += 1;
        merge_nodes(&known, &mut clusters, &BTreeMap::from([("told".to_owned(), vec![node, node])]));
        let counts: Vec<usize> = clusters.iter().map(|cluster| cluster.nodes.len()).collect();
        assert_eq!(counts, [2, 1, 0]);
    }

    #[test]
    fn a_cluster_that_cannot_be_read_keeps_what_was_known_and_tells_so() {
        let known =
            ClusterRecord { allocatable: Resources { gpus: 3, ..Resources::default() }, ..cluster("c") };
        let merge = |known: &[ClusterRecord], readable| {
            merge_observations(known, &[seen(readable)], &BTreeMap::new(), at(9)).remove(0)
        };
        let kept = merge(std::slice::from_ref(&known), false);
        assert_eq!((kept.available, kept.allocatable.gpus, kept.observed_at), (true, 3, known.observed_at));
        assert!(kept.reason.as_ref().is_some_and(|reason| reason.contains("cannot be read")));
        let read = merge(&[kept], true);
        assert_eq!((read.allocatable.gpus, read.reason), (0, None));
        assert!(!merge(&[], false).available, "nothing was known of it");
    }
}
