//! Builds the scaling problem of a graph from what was measured and what is known of the clusters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::ScalingMemory;
use super::spec::{GraphSpec, Query, Rate, ServiceSpec};
use crate::app::placement::{CapacityView, ClusterSnapshot, replicas};
use crate::config::{ScalingCompat, ScalingSettings};
use crate::hdag;
use crate::model::{GraphRecord, ServiceRecord};
use crate::optimizer::scaling::{ScaledService, ScalingCluster, ScalingProblem};

/// Rates by query and service; a service that is missing has no known rate.
pub(super) type Rates = BTreeMap<Query, BTreeMap<String, f64>>;

/// A graph that is scaled in this tick.
pub(super) struct Target {
    pub(super) graph: GraphRecord,
    pub(super) services: Vec<ServiceRecord>,
    pub(super) spec: GraphSpec,
    /// Of each service that can be scaled, by name.
    pub(super) specs: BTreeMap<String, ServiceSpec>,
}

/// What all graphs of a tick have in common.
pub(super) struct Inputs<'a> {
    pub(super) settings: &'a ScalingSettings,
    pub(super) rates: &'a Rates,
    pub(super) snapshot: &'a ClusterSnapshot,
    pub(super) capacity: &'a CapacityView<'a>,
    pub(super) memory: &'a ScalingMemory,
}

/// The problem of a graph; without services when none of them can be scaled now.
pub(super) fn problem(target: &Target, inputs: &Inputs<'_>) -> ScalingProblem {
    let graph = &target.graph.name;
    let services = services(target, inputs);
    let clusters = clusters(target, inputs.snapshot, inputs.capacity, &services);
    let mut problem = ScalingProblem::new(graph.clone(), clusters, services);
    problem.tolerance = inputs.settings.tolerance;
    problem.thresholds = inputs.settings.thresholds;
    problem.weights = inputs.settings.weights;
    // The bounds are those of the whole graph: what is not scaled has its share already.
    let fixed: i64 = inputs
        .snapshot
        .placed_of(graph)
        .iter()
        .filter(|placed| !problem.services.iter().any(|service| service.name == placed.service))
        .map(replicas)
        .sum();
    problem.min_overall = target.spec.min_overall.map(|least| (least - fixed).max(0));
    problem.max_overall = target.spec.max_overall.map(|most| (most - fixed).max(0));
    if inputs.settings.compat == ScalingCompat::Original { problem.original() } else { problem }
}

fn services(target: &Target, inputs: &Inputs<'_>) -> Vec<ScaledService> {
    let (graph, settings) = (&target.graph.name, inputs.settings);
    let placed = |name: &str| inputs.snapshot.placed_of(graph).iter().find(|placed| placed.service == name);
    let scaled = |record: &ServiceRecord| {
        let (spec, placed) = (target.specs.get(&record.name)?, placed(&record.name)?);
        // Until its Deployment was seen, nobody knows how many replicas there are.
        record.replicas_decided.or(record.replicas_observed)?;
        let since = inputs.memory.since_change(graph, &record.name);
        let mut service = ScaledService::new(&record.name, &placed.cluster, placed.needs, spec.profile);
        service.rate = rate_of(spec, inputs.rates);
        service.previous = replicas(placed);
        service.scale_down_blocked = since.is_some_and(|since| since < settings.cooldown);
        service.scale_up_blocked = since.is_some_and(|since| since < settings.up_cooldown);
        Some(service)
    };
    target.services.iter().filter_map(scaled).collect()
}

/// The clusters that scaled services are on, with what is free there for these services.
pub(super) fn clusters(
    target: &Target,
    snapshot: &ClusterSnapshot,
    capacity: &CapacityView<'_>,
    services: &[ScaledService],
) -> Vec<ScalingCluster> {
    let names: BTreeSet<&str> = services.iter().map(|service| service.cluster.as_str()).collect();
    let others = unscaled(target, snapshot, services);
    let clusters = snapshot.clusters.iter().filter(|cluster| names.contains(cluster.name.as_str()));
    clusters
        .map(|cluster| {
            // Services of the graph that are not scaled keep what they use.
            let kept = others.get(cluster.name.as_str()).copied().unwrap_or_default();
            ScalingCluster {
                name: cluster.name.clone(),
                free: capacity.of(cluster, &target.graph.name).free.minus_clamped(kept),
                storage_reported: cluster.storage_reported,
                acceleration: cluster.acceleration,
            }
        })
        .collect()
}

/// The rate of a service: its own, or what all its callers have together when it has none.
fn rate_of(spec: &ServiceSpec, rates: &Rates) -> Option<f64> {
    // A query of the operator's own may give anything.
    let is_rate = |rate: &f64| rate.is_finite() && *rate >= 0.0;
    let known = |rate: &Rate| rates.get(&rate.query)?.get(&rate.service).copied().filter(is_rate);
    if let Some(own) = known(&spec.rate) {
        return Some(own);
    }
    let callers: Option<Vec<f64>> = spec.callers.iter().map(known).collect();
    callers.filter(|rates| !rates.is_empty()).map(|rates| rates.iter().sum()).filter(is_rate)
}

/// What the services of the graph that are not scaled use, by cluster.
fn unscaled<'a>(
    target: &Target,
    snapshot: &'a ClusterSnapshot,
    scaled: &[ScaledService],
) -> BTreeMap<&'a str, hdag::Resources> {
    let mut kept: BTreeMap<&str, hdag::Resources> = BTreeMap::new();
    let own = snapshot.placed_of(&target.graph.name).iter();
    for placed in own.filter(|placed| !scaled.iter().any(|service| service.name == placed.service)) {
        *kept.entry(&placed.cluster).or_default() += placed.needs.times(replicas(placed));
    }
    kept
}
