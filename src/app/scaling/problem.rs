//! Builds the scaling problem of a graph from the measured load and the known state of the clusters. Pure.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use super::memory::ScalingMemory;
use super::spec::{GraphSpec, Query, Rate, ServiceSpec};
use crate::app::ledger::{CapacitySnapshot, GraphUsage};
use crate::clients::Rates;
use crate::config::{ScalingCompat, ScalingSettings};
use crate::hdag::{Resources, WhenAbsent};
use crate::model::condition::{RATE_LOST, RATE_LOST_ASSUMED, RATE_MEASURED};
use crate::model::{GraphRecord, ServiceRecord, condition};
use crate::optimizer::scaling::{BoundCause, ChangeBound, ScaledService, ScalingCluster, ScalingProblem};

/// The answers of Prometheus; a query that is missing was not answered.
pub(super) type Answers = BTreeMap<Query, Rates>;

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
    pub(super) answers: &'a Answers,
    pub(super) snapshot: &'a CapacitySnapshot,
    pub(super) memory: &'a ScalingMemory,
}

/// The problem of a graph; without services when none of them can be scaled now.
pub(super) fn problem(target: &Target, inputs: &Inputs<'_>) -> ScalingProblem {
    let services = services(target, inputs);
    let clusters = clusters(target, inputs.snapshot, &services);
    let mut problem = ScalingProblem::new(target.graph.name.clone(), clusters, services);
    target.spec.tune(&mut problem, inputs.settings);
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
        let mut service = ScaledService::new(&record.name, cluster, record.replica_needs(), spec.profile);
        service.steps = spec.steps;
        let rate = rate_of(spec, had_counter(record), inputs.answers);
        (service.rate, service.derived) = (rate.value(), matches!(rate, MeasuredRate::Derived(_)));
        service.previous = record.counted_replicas();
        let (graph, window) = (&target.graph.name, target.spec.stabilisation(settings));
        let needed = inputs.memory.most_needed(graph, &record.name, window);
        let since = inputs.memory.since_change(graph, &record.name);
        bound_change(&mut service, needed, since, settings);
        Some(service)
    };
    target.services.iter().filter_map(scaled).collect()
}

/// Bounds the change of a service in one tick.
fn bound_change(
    service: &mut ScaledService,
    needed: Option<i64>,
    since: Option<Duration>,
    settings: &ScalingSettings,
) {
    let bound = |because| move |replicas| ChangeBound { replicas, because };
    let previous = service.previous;
    let stabilised = needed.map(bound(BoundCause::Stabilisation));
    let step_down = settings.step_down.of(previous).map(|most| (previous - most).max(0));
    let down = stabilised.into_iter().chain(step_down.map(bound(BoundCause::Step)));
    service.not_below = down.max_by_key(|bound| bound.replicas);
    let cooling = since.is_some_and(|since| since < settings.up_cooldown);
    let cooldown = cooling.then_some(previous).map(bound(BoundCause::Cooldown));
    let step_up = settings.step_up.of(previous).map(|most| previous.saturating_add(most));
    let up = cooldown.into_iter().chain(step_up.map(bound(BoundCause::Step)));
    service.not_above = up.min_by_key(|bound| bound.replicas);
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

/// Where the rate of a service comes from, and what it is in requests per second.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MeasuredRate {
    /// From its own counter, or the one that is named for it.
    Measured(f64),
    /// The sum of its callers' rates.
    Derived(f64),
    /// There is none, which counts as no load.
    AbsentIsZero,
    /// There is none.
    Absent,
    /// There is none any more: it had a counter.
    Lost,
    /// The query has an answer, but no rate with the label that tells services apart.
    Unusable,
    /// Prometheus did not answer.
    Unanswered,
}

impl MeasuredRate {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Measured(rate) | Self::Derived(rate) => Some(*rate),
            Self::AbsentIsZero => Some(0.0),
            Self::Absent | Self::Lost | Self::Unusable | Self::Unanswered => None,
        }
    }
}

/// The rate of a service. Its callers stand in on request, or when it never had a counter: a gap in its own must
/// not become their total. Nothing is assumed to be zero unless Prometheus answers, and has nothing.
pub(super) fn rate_of(spec: &ServiceSpec, had_counter: bool, answers: &Answers) -> MeasuredRate {
    let is_zero = spec.when_absent == WhenAbsent::Zero;
    match spec.rate.as_ref().map(|rate| counted(rate, answers)) {
        Some(Counted::Rate(rate)) => return MeasuredRate::Measured(rate),
        Some(Counted::Unusable) => return MeasuredRate::Unusable,
        Some(Counted::Unanswered) => return MeasuredRate::Unanswered,
        Some(Counted::Absent) if had_counter || is_zero => {}
        Some(Counted::Absent) | None => match of_callers(&spec.callers, is_zero, answers) {
            Some(Counted::Rate(sum)) => return MeasuredRate::Derived(sum),
            Some(Counted::Unusable) => return MeasuredRate::Unusable,
            Some(Counted::Unanswered) => return MeasuredRate::Unanswered,
            Some(Counted::Absent) | None => {}
        },
    }
    match had_counter {
        _ if is_zero => MeasuredRate::AbsentIsZero,
        true => MeasuredRate::Lost,
        false => MeasuredRate::Absent,
    }
}

/// The rates of the callers together; `None` without callers. All of them have to be known, unless an absent one counts
/// as zero.
fn of_callers(callers: &[Rate], absent_is_zero: bool, answers: &Answers) -> Option<Counted> {
    let mut sum = 0.0;
    for caller in callers {
        match counted(caller, answers) {
            Counted::Rate(rate) => sum += rate,
            Counted::Absent if absent_is_zero => {}
            other => return Some(other),
        }
    }
    (!callers.is_empty()).then_some(if sum.is_finite() { Counted::Rate(sum) } else { Counted::Unusable })
}

/// The answer of a query about one service.
enum Counted {
    Rate(f64),
    /// There is an answer, but no rate that is known to be the service's.
    Unusable,
    Absent,
    Unanswered,
}

fn counted(rate: &Rate, answers: &Answers) -> Counted {
    let Some(Rates { labelled, unlabelled }) = answers.get(&rate.query) else { return Counted::Unanswered };
    // A custom query of the operator may return any value.
    let usable = |rate: f64| match rate.is_finite() && rate >= 0.0 {
        true => Counted::Rate(rate),
        false => Counted::Unusable,
    };
    match (labelled.get(&rate.service), &unlabelled[..]) {
        (Some(own), _) => usable(*own),
        (None, [alone]) if labelled.is_empty() && rate.query.asker.is_some() => usable(*alone),
        (None, []) => Counted::Absent,
        (None, _) => Counted::Unusable,
    }
}

/// Whether a service has ever had a counter of its own, as its condition remembers.
pub(super) fn had_counter(service: &ServiceRecord) -> bool {
    [RATE_MEASURED, RATE_LOST, RATE_LOST_ASSUMED]
        .iter()
        .any(|reason| condition::holds(&service.conditions, *reason))
}

/// The placed services of the graph, each with its cluster.
fn placed(target: &Target) -> impl Iterator<Item = (&ServiceRecord, &str)> {
    target.services.iter().filter_map(|service| Some((service, service.cluster.as_deref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::scaling::Profile;

    fn rate(service: &str, asker: Option<&str>) -> Rate {
        let query = Query {
            template: format!("q-{}", asker.unwrap_or("all")),
            window: Duration::from_secs(60),
            asker: asker.map(str::to_owned),
        };
        Rate { query, service: service.to_owned() }
    }

    /// The service `a`, which is called by `b` and `c`.
    fn spec(when_absent: WhenAbsent) -> ServiceSpec {
        ServiceSpec {
            profile: Profile::new(1.0, 0.0, 1, 3),
            steps: None,
            rate: Some(rate("a", None)),
            callers: vec![rate("b", None), rate("c", None)],
            when_absent,
        }
    }

    fn answers(query: &Rate, labelled: &[(&str, f64)], unlabelled: &[f64]) -> Answers {
        let labelled = labelled.iter().map(|(name, rate)| ((*name).to_owned(), *rate)).collect();
        Answers::from([(query.query.clone(), Rates { labelled, unlabelled: unlabelled.to_vec() })])
    }

    #[test]
    fn a_gap_in_the_own_counter_does_not_become_the_total_of_the_callers() {
        let spec = spec(WhenAbsent::Hold);
        let both = answers(&rate("a", None), &[("b", 2.0), ("c", 3.0)], &[]);
        assert_eq!(rate_of(&spec, true, &both), MeasuredRate::Lost);
        assert_eq!(rate_of(&spec, false, &both), MeasuredRate::Derived(5.0));
        let own = answers(&rate("a", None), &[("a", 1.0), ("b", 2.0), ("c", 3.0)], &[]);
        assert_eq!(rate_of(&spec, false, &own), MeasuredRate::Measured(1.0));
        let one = answers(&rate("a", None), &[("b", 2.0)], &[]);
        assert_eq!(rate_of(&spec, false, &one), MeasuredRate::Absent);
        assert_eq!(rate_of(&spec, true, &Answers::new()), MeasuredRate::Unanswered);
        // On request they count whatever there was before.
        let asked = ServiceSpec { rate: None, ..spec };
        assert_eq!(rate_of(&asked, true, &own), MeasuredRate::Derived(5.0));
    }

    #[test]
    fn an_absent_rate_counts_as_zero_only_where_that_is_said_and_prometheus_answers() {
        let none = answers(&rate("a", None), &[], &[]);
        assert_eq!(rate_of(&spec(WhenAbsent::Hold), false, &none), MeasuredRate::Absent);
        assert_eq!(rate_of(&spec(WhenAbsent::Zero), true, &none), MeasuredRate::AbsentIsZero);
        assert_eq!(rate_of(&spec(WhenAbsent::Zero), true, &Answers::new()), MeasuredRate::Unanswered);
        // Nor is an answer that is nobody's, or none about the callers.
        let odd = answers(&rate("a", None), &[], &[5.0, 6.0]);
        assert_eq!(rate_of(&spec(WhenAbsent::Zero), true, &odd), MeasuredRate::Unusable);
        let negative = answers(&rate("a", None), &[("a", -1.0)], &[]);
        assert_eq!(rate_of(&spec(WhenAbsent::Zero), true, &negative), MeasuredRate::Unusable);
        let callers = ServiceSpec { rate: None, ..spec(WhenAbsent::Zero) };
        assert_eq!(rate_of(&callers, false, &Answers::new()), MeasuredRate::Unanswered);
        let one = answers(&rate("b", None), &[("b", 500.0)], &[]);
        assert_eq!(rate_of(&callers, false, &one), MeasuredRate::Derived(500.0));
    }

    #[test]
    fn one_value_without_a_label_is_the_rate_of_who_asked_alone() {
        let alone =
            ServiceSpec { rate: Some(rate("a", Some("a"))), callers: Vec::new(), ..spec(WhenAbsent::Hold) };
        let shared = ServiceSpec { callers: Vec::new(), ..spec(WhenAbsent::Hold) };
        let of_alone = |labelled: &[(&str, f64)], unlabelled: &[f64]| {
            rate_of(&alone, false, &answers(&rate("a", Some("a")), labelled, unlabelled))
        };
        assert_eq!(of_alone(&[], &[5.0]), MeasuredRate::Measured(5.0));
        assert_eq!(of_alone(&[], &[5.0, 6.0]), MeasuredRate::Unusable);
        assert_eq!(of_alone(&[("x", 1.0)], &[5.0]), MeasuredRate::Unusable);
        assert_eq!(of_alone(&[], &[-5.0]), MeasuredRate::Unusable);
        let answered = answers(&rate("a", None), &[], &[5.0]);
        assert_eq!(rate_of(&shared, false, &answered), MeasuredRate::Unusable);
    }
}
