//! The complete input of a scaling decision, as plain data.
//!
//! A problem serialises, so it is stored with its decision and can be replayed. Strategies identify clusters
//! and services by name: the order in which they were gathered is irrelevant.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ScalingFault;

use crate::hdag::{MAX_SCALING_WEIGHT, Resources, Steps};

/// Maximum number of replicas of one service, and of any number of replicas considered.
pub(super) const MOST_REPLICAS: i64 = 100_000;
/// Largest weight, except that a margin may be a little more: sums of costs stay far inside 128-bit integers.
const MOST_WEIGHT: f64 = MAX_SCALING_WEIGHT;
/// Target utilisation by default: a counter of served requests cannot show more load than replicas serve, so
/// that growth has to begin before.
pub const TARGET_UTILISATION: f64 = 0.8;
/// How far [`ScalingWeights::new`] sets the margin above the gain of giving up a held replica.
const HOLD: f64 = 0.2;

/// A scaling problem: one graph whose services may be on several clusters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingProblem {
    /// Name of the graph the decision is about.
    pub graph: String,
    /// The clusters that its services are on.
    pub clusters: Vec<ScalingCluster>,
    /// Its services.
    pub services: Vec<ScaledService>,
    /// Weights of the objective.
    pub weights: ScalingWeights,
    /// Share of their modelled capacity up to which replicas are to be used, as the target of Kubernetes'
    /// `HorizontalPodAutoscaler`; more than 0, at most 1.
    pub target_utilisation: f64,
    /// Marks of the strategy `threshold`.
    pub thresholds: Thresholds,
    /// Minimum sum of replicas over all services; `None` for no bound.
    pub min_overall: Option<i64>,
    /// Maximum sum of replicas over all services; `None` for no bound.
    pub max_overall: Option<i64>,
    /// The model of the original program: a service has at least one replica, its `max` is no bound but only
    /// a normaliser, every cluster has its own normaliser of CPU, and neither the target utilisation nor
    /// bounds of a change count.
    pub compat: bool,
}

impl ScalingProblem {
    /// A problem with default parameters, sorted by name.
    #[must_use]
    pub fn new(
        graph: impl Into<String>,
        mut clusters: Vec<ScalingCluster>,
        mut services: Vec<ScaledService>,
    ) -> Self {
        clusters.sort_by(|one, other| one.name.cmp(&other.name));
        services.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            graph: graph.into(),
            clusters,
            services,
            weights: ScalingWeights::default(),
            target_utilisation: TARGET_UTILISATION,
            thresholds: Thresholds::default(),
            min_overall: None,
            max_overall: None,
            compat: false,
        }
    }

    /// The same problem in the model and with the weights of the original program.
    #[must_use]
    pub fn original(self) -> Self {
        Self { weights: ScalingWeights::original(), target_utilisation: 1.0, compat: true, ..self }
    }
}

/// One cluster as a scaling decision sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingCluster {
    /// Name in Karmada.
    pub name: String,
    /// Capacity that this graph may use there: free capacity plus the graph's own usage.
    pub free: Resources,
    /// Whether the cluster reports ephemeral storage; if not, storage is not a constraint there.
    pub storage_reported: bool,
    /// Whether the cluster says how many GPUs it has; if not, their number is not a constraint.
    #[serde(default = "crate::optimizer::counted", skip_serializing_if = "crate::optimizer::is_counted")]
    pub gpus_counted: bool,
    /// Whether the cluster says how many pods its nodes take; if not, their number is not a constraint.
    #[serde(default)]
    pub pods_counted: bool,
    /// Whether it has GPUs at all; if not, none is free there.
    pub acceleration: bool,
}

/// One service as a scaling decision sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScaledService {
    /// Name of the service.
    pub name: String,
    /// The cluster it is on.
    pub cluster: String,
    /// Requests per second that it has to serve; `None` when that is unknown, and then its replicas are held.
    pub rate: Option<f64>,
    /// How many replicas it has now.
    pub previous: i64,
    /// Resources that one replica needs.
    pub needs: Resources,
    /// The capacity model of its replicas.
    pub profile: Profile,
    /// The rate is the sum of its callers' rates: it has no counter of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
    /// What it needs by fixed marks of its rate, instead of by its capacity model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub steps: Option<Steps>,
    /// Replicas that it keeps for now, as far as it has them. Yields only where other services need the
    /// capacity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub not_below: Option<ChangeBound>,
    /// Replicas up to which it may grow for now; its minimum and what it has come before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub not_above: Option<ChangeBound>,
    /// Maximum number of replicas when capacity does not suffice for all services; takes precedence over the
    /// minimum. `None` when there is enough. See [`super::ration()`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<i64>,
}

impl ScaledService {
    /// A service whose change is not bounded.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        cluster: impl Into<String>,
        needs: Resources,
        profile: Profile,
    ) -> Self {
        Self {
            name: name.into(),
            cluster: cluster.into(),
            rate: None,
            previous: profile.min,
            needs,
            profile,
            derived: false,
            steps: None,
            not_below: None,
            not_above: None,
            share: None,
        }
    }
}

/// How far replicas may go in one direction now, and why not further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBound {
    /// So many replicas.
    #[schema(example = 3)]
    pub replicas: i64,
    /// What bounds them.
    pub because: BoundCause,
}

/// What bounds the change of a service's replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoundCause {
    /// So many were needed within the stabilisation window.
    Stabilisation,
    /// They were changed too recently.
    Cooldown,
    /// One change may not be larger.
    Step,
}

/// Capacity model of a service: `r` replicas serve up to `alpha·r + beta` requests per second, none serve
/// nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Requests per second that one replica adds; not negative.
    #[schema(example = 33.33)]
    pub alpha: f64,
    /// Offset in requests per second; may be negative.
    #[schema(example = -16.66)]
    pub beta: f64,
    /// Minimum number of replicas.
    #[schema(example = 1)]
    pub min: i64,
    /// Maximum number of replicas.
    #[schema(example = 3)]
    pub max: i64,
}

impl Profile {
    /// A capacity model with bounds.
    #[must_use]
    pub const fn new(alpha: f64, beta: f64, min: i64, max: i64) -> Self {
        Self { alpha, beta, min, max }
    }
}

/// Weights of the objective `Σ (utilisation·r + change·|r − previous| + margin·max(0, held − r)) · cpu / U`,
/// where `held` is the number that [`ScaledService::not_below`] keeps, `cpu` is at least one millicore, and `U` is
/// the largest `max·cpu` of the graph's services.
///
/// Giving up an unneeded replica, one above `held`, changes the objective by `(change − utilisation)·cpu/U`
/// and so pays for every service if and only if `utilisation > change`. Giving up a held one changes it by
/// `(change + margin − utilisation)·cpu/U` and so never pays for itself if and only if `margin > utilisation
/// − change`; then it happens only to free capacity. The defaults satisfy both.
///
/// The original's model normalises otherwise: `Σ utilisation·r·cpu/U + change·|r − previous|/max`, `U` per
/// cluster. As `cpu/U ≤ 1/max` there, its equal weights never give up a replica while capacity suffices.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScalingWeights {
    /// Weight of the replicas that run.
    pub utilisation: f64,
    /// Weight of the replicas that are started or stopped.
    pub change: f64,
    /// Weight of giving up a replica that is held.
    pub margin: f64,
}

impl ScalingWeights {
    /// These weights, with a margin under which [`ScaledService::not_below`] holds.
    #[must_use]
    pub const fn new(utilisation: f64, change: f64) -> Self {
        Self { utilisation, change, margin: (utilisation - change).max(0.0) + HOLD }
    }

    /// The weights of the original program.
    #[must_use]
    pub const fn original() -> Self {
        Self { utilisation: 0.4, change: 0.4, margin: 0.4 }
    }
}

impl Default for ScalingWeights {
    fn default() -> Self {
        Self::new(0.5, 0.2)
    }
}

/// Marks of the strategy `threshold`: shares of the modelled capacity that the rate uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// Above it, the smallest number of replicas that brings the share down to it.
    pub high: f64,
    /// Below it, one replica less.
    pub low: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { high: 0.8, low: 0.5 }
    }
}

/// Searches for faults that make a problem meaningless; strategies do so themselves.
///
/// # Errors
/// Every fault, with the field (a path such as `services/a/profile/alpha`) and the cause.
pub fn validate(problem: &ScalingProblem) -> Result<(), Vec<ScalingFault>> {
    let mut faults = Vec::new();
    check_parameters(problem, &mut faults);
    let mut clusters = BTreeSet::new();
    for cluster in &problem.clusters {
        if !clusters.insert(cluster.name.as_str()) {
            faults
                .push(ScalingFault::new(format!("clusters/{}", cluster.name), "there are two of this name"));
        }
    }
    let mut names: Vec<&str> = problem.services.iter().map(|service| service.name.as_str()).collect();
    names.sort_unstable();
    for pair in names.windows(2).filter(|pair| pair[0] == pair[1]) {
        faults.push(ScalingFault::new(format!("services/{}", pair[0]), "there are two of this name"));
    }
    for service in &problem.services {
        check_service(service, &clusters, &mut faults);
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn check_parameters(problem: &ScalingProblem, faults: &mut Vec<ScalingFault>) {
    let weights = &problem.weights;
    let named = [
        ("utilisation", weights.utilisation, MOST_WEIGHT),
        ("change", weights.change, MOST_WEIGHT),
        ("margin", weights.margin, MOST_WEIGHT + HOLD),
    ];
    for (name, weight, most) in named {
        if !(0.0..=most).contains(&weight) {
            let cause = format!("must be a number from 0 to {most}, not {weight}");
            faults.push(ScalingFault::new(format!("weights/{name}"), cause));
        }
    }
    if !problem.compat && weights.margin <= weights.utilisation - weights.change {
        let cause = "must be above utilisation − change, or nothing is held";
        faults.push(ScalingFault::new("weights/margin", cause));
    }
    let target = problem.target_utilisation;
    if !(target > 0.0 && target <= 1.0) {
        let cause = format!("must be more than 0 and at most 1, not {target}");
        faults.push(ScalingFault::new("target_utilisation", cause));
    }
    let Thresholds { high, low } = problem.thresholds;
    if !(0.0 <= low && low < high && high <= 1.0) {
        faults.push(ScalingFault::new(
            "thresholds",
            format!("must be 0 ≤ low < high ≤ 1, not low {low} and high {high}"),
        ));
    }
    let (minimum, maximum) = (problem.min_overall.unwrap_or(0), problem.max_overall.unwrap_or(i64::MAX));
    if !(0..=maximum).contains(&minimum) {
        let cause = format!("must be from 0 to the maximum, not {minimum} with a maximum of {maximum}");
        faults.push(ScalingFault::new("min_overall", cause));
    }
}

fn check_service(service: &ScaledService, clusters: &BTreeSet<&str>, faults: &mut Vec<ScalingFault>) {
    let mut fault = |field: &str, cause: String| {
        faults.push(ScalingFault::new(format!("services/{}/{field}", service.name), cause));
    };
    if !clusters.contains(service.cluster.as_str()) {
        fault("cluster", format!("{} is not among the clusters", service.cluster));
    }
    if let Some(rate) = service.rate.filter(|rate| !(rate.is_finite() && *rate >= 0.0)) {
        fault("rate", format!("must be a number from 0, or absent when it is unknown, not {rate}"));
    }
    if !(0..=MOST_REPLICAS).contains(&service.previous) {
        fault("previous", format!("must be from 0 to {MOST_REPLICAS}, not {}", service.previous));
    }
    if let Some(share) = service.share.filter(|share| *share < 0) {
        fault("share", format!("must not be negative, is {share}"));
    }
    for (field, bound) in [("not_below", service.not_below), ("not_above", service.not_above)] {
        if let Some(bound) = bound.filter(|bound| !(0..=MOST_REPLICAS).contains(&bound.replicas)) {
            fault(field, format!("must be from 0 to {MOST_REPLICAS}, not {}", bound.replicas));
        }
    }
    if let Some(Err(problem)) = service.steps.map(|steps| steps.check()) {
        fault("steps", problem);
    }
    if service.needs.amounts().iter().any(|amount| *amount < 0) {
        fault("needs", "must not be negative".to_owned());
    }
    let Profile { alpha, beta, min, max } = service.profile;
    if !alpha.is_finite() {
        fault("profile/alpha", format!("must be a number, not {alpha}"));
    } else if alpha < 0.0 {
        fault("profile/alpha", format!("is {alpha}: more replicas would serve fewer requests"));
    }
    if !beta.is_finite() {
        fault("profile/beta", format!("must be a number, not {beta}"));
    }
    if min < 0 {
        fault("profile/min", format!("must not be negative, is {min}"));
    }
    if !(min.max(1)..=MOST_REPLICAS).contains(&max) {
        fault("profile/max", format!("must be from {} to {MOST_REPLICAS}, not {max}", min.max(1)));
    }
}
