//! Builds the scaling problem of a graph from the measured load and the known state of the clusters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::ScalingMemory;
use super::spec::{GraphSpec, Query, Rate, ServiceSpec};
use crate::app::ledger::{CapacitySnapshot, GraphUsage};
use crate::config::{ScalingCompat, ScalingSettings};
use crate::hdag::Resources;
use crate::model::{GraphRecord, ServiceRecord};
use crate::optimizer::scaling::{ScaledService, ScalingCluster, ScalingProblem};

/// Rates by query and service; a service that is missing has no known rate.
pub(super) type Rates = BTreeMap<Query, BTreeMap<String, f64>>;

/// A graph that is scaled in this tick.
pub(super) struct Target {
    pub(super) graph: GraphRecord,
    pub(super) services: Vec<ServiceRecord>,
    /// Its usage by cluster.
    pub(super) usage: GraphUsage,
    pub(super) spec: GraphSpec,
    /// Of each service that can be scaled, by name.
    pub(super) specs: BTreeMap<String, ServiceSpec>,
}

/// Input shared by all graphs of a tick.
pub(super) struct Inputs<'a> {
    pub(super) settings: &'a ScalingSettings,
    pub(super) rates: &'a Rates,
    pub(super) snapshot: &'a CapacitySnapshot,
    pub(super) memory: &'a ScalingMemory,
}

/// The problem of a graph; without services when none of them can be scaled now.
pub(super) fn problem(target: &Target, inputs: &Inputs<'_>) -> ScalingProblem {
    let services = services(target, inputs);
    let clusters = clusters(target, inputs.snapshot, &services);
    let mut problem = ScalingProblem::new(target.graph.name.clone(), clusters, services);
    problem.tolerance = inputs.settings.tolerance;
    problem.thresholds = inputs.settings.thresholds;
    problem.weights = inputs.settings.weights;
    // The bounds are those of the whole graph: services that are not scaled have their share already.
    let is_scaled =
        |service: &ServiceRecord| problem.services.iter().any(|scaled| scaled.name == service.name);
    let unscaled = placed(target).map(|(service, _)| service).filter(|service| !is_scaled(service));
    let fixed: i64 = unscaled.map(ServiceRecord::counted_replicas).sum();
    problem.min_overall = target.spec.min_overall.map(|minimum| (minimum - fixed).max(0));
    problem.max_overall = target.spec.max_overall.map(|maximum| (maximum - fixed).max(0));
    if inputs.settings.compat == ScalingCompat::Original { problem.original() } else { problem }
}

fn services(target: &Target, inputs: &Inputs<'_>) -> Vec<ScaledService> {
    let settings = inputs.settings;
    let scaled = |record: &ServiceRecord| {
        let (spec, cluster) = (target.specs.get(&record.name)?, record.cluster.as_ref()?);
        if record.unscalable().is_some() {
            return None;
        }
        // Until its Deployment has been observed, the number of replicas is unknown.
        record.replicas_decided.or(record.replicas_observed)?;
        let since = inputs.memory.since_change(&target.graph.name, &record.name);
        let mut service = ScaledService::new(&record.name, cluster, record.replica_needs(), spec.profile);
        service.rate = rate_of(spec, inputs.rates);
        service.previous = record.counted_replicas();
        service.scale_down_blocked = since.is_some_and(|since| since < settings.cooldown);
        service.scale_up_blocked = since.is_some_and(|since| since < settings.up_cooldown);
        Some(service)
    };
    target.services.iter().filter_map(scaled).collect()
}

/// The clusters that scaled services are on, with the capacity that is free for these services.
fn clusters(target: &Target, snapshot: &CapacitySnapshot, services: &[ScaledService]) -> Vec<ScalingCluster> {
    let names: BTreeSet<&str> = services.iter().map(|service| service.cluster.as_str()).collect();
    // Services of the graph that are not scaled keep their usage, and scaled ones that of their other workloads.
    let mut kept: BTreeMap<&str, Resources> = BTreeMap::new();
    for (service, cluster) in placed(target) {
        let is_scaled = services.iter().any(|scaled| scaled.name == service.name);
        let keeps = if is_scaled { service.fixed_needs() } else { service.counted_use() };
        *kept.entry(cluster).or_default() += keeps;
    }
    let clusters = snapshot.clusters.iter().filter(|cluster| names.contains(cluster.name.as_str()));
    clusters
        .map(|cluster| {
            let kept = kept.get(cluster.name.as_str()).copied().unwrap_or_default();
            ScalingCluster {
                name: cluster.name.clone(),
                free: snapshot.free(cluster, &target.usage).free.minus_clamped(kept),
                storage_reported: cluster.storage_reported,
                gpus_counted: cluster.gpus_counted(),
                pods_counted: cluster.pods_counted(),
                acceleration: cluster.acceleration,
            }
        })
        .collect()
}

/// The rate of a service: its own, or the sum of its callers' rates when it has none.
fn rate_of(spec: &ServiceSpec, rates: &Rates) -> Option<f64> {
    // A custom query of the operator may return any value.
    let is_rate = |rate: &f64| rate.is_finite() && *rate >= 0.0;
    let known = |rate: &Rate| rates.get(&rate.query)?.get(&rate.service).copied().filter(is_rate);
    if let Some(own) = known(&spec.rate) {
        return Some(own);
    }
    let callers: Option<Vec<f64>> = spec.callers.iter().map(known).collect();
    callers.filter(|rates| !rates.is_empty()).map(|rates| rates.iter().sum()).filter(is_rate)
}

/// The placed services of the graph, each with its cluster.
fn placed(target: &Target) -> impl Iterator<Item = (&ServiceRecord, &str)> {
    target.services.iter().filter_map(|service| Some((service, service.cluster.as_deref()?)))
}
