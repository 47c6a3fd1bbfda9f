//! The independent checker: re-computes from the problem alone whether a plan may be used.
//!
//! Shares no code with strategies or with the making of models, so that one mistake cannot hide in both.
//! Besides the constraints it re-computes the objective, refuses a bound above it, and where all assignments
//! can be enumerated it finds the best one itself and holds the claims of bound and optimality against it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    AttributeTest, BuiltIn, ClusterState, LatencyBound, Link, Outcome, Plan, Problem, Requirement,
    ServiceDemand, Strategy, Waived,
};
use crate::hdag::{Dimension, Resources};
use crate::optimizer::ClusterAttributes;

/// Maximum number of assignments that are enumerated.
const ENUMERATED: f64 = 5_000.0;
/// Relative difference of two computations of one objective.
const TOLERANCE: f64 = 1e-6;

/// Checks the plan of an outcome, and that nothing is called impossible that one of few assignments achieves.
///
/// # Errors
/// Everything that is wrong, one sentence each.
pub fn check(problem: &Problem, outcome: &Outcome) -> Result<(), Vec<String>> {
    let Some(plan) = outcome.plan() else {
        return match outcome {
            Outcome::Infeasible(cause) if cause.proven && best(problem, of_refusal(problem)).is_some() => {
                Err(vec!["it is called proven that there is no placement, and there is one".to_owned()])
            }
            _ => Ok(()),
        };
    };
    let mut faults = names(problem);
    let Some(places) = places(problem, plan, &mut faults) else { return Err(faults) };
    if plan.unknown_allowed && problem.strict {
        faults.push(
            "the plan lets undecidable requirements count as met, which the problem forbids".to_owned(),
        );
    }
    faults.extend(constraints(problem, &places, of_plan(plan)));
    faults.extend(replicas(problem, plan));
    faults.extend(explanation(problem, plan));
    faults.extend(values(problem, plan, &places, matches!(outcome, Outcome::Optimal(_))));
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// The constraints of a problem that the assignment of a plan breaks, one sentence each; the objective, which
/// another problem may have another of, is not looked at.
#[must_use]
pub fn broken_constraints(problem: &Problem, plan: &Plan) -> Vec<String> {
    let mut faults = names(problem);
    if let Some(places) = places(problem, plan, &mut faults) {
        faults.extend(constraints(problem, &places, of_plan(plan)));
        faults.extend(replicas(problem, plan));
    }
    faults
}

/// Which requirements count as met where they cannot be decided.
#[derive(Clone, Copy)]
enum Lenience<'a> {
    None,
    All,
    With(&'a [Waived]),
}

/// What a plan says of itself. Plans of earlier versions waive all or nothing, without a list.
fn of_plan(plan: &Plan) -> Lenience<'_> {
    match (plan.unknown_allowed, &plan.waived[..]) {
        (false, _) => Lenience::None,
        (true, []) => Lenience::All,
        (true, waived) => Lenience::With(waived),
    }
}

/// A refusal says that nothing helps, however the undecidable counts, unless it may not count as met.
fn of_refusal(problem: &Problem) -> Lenience<'static> {
    if problem.strict { Lenience::None } else { Lenience::All }
}

impl Lenience<'_> {
    fn is_met(self, service: &ServiceDemand, requirement: &Requirement) -> bool {
        let is_it = |waived: &Waived| {
            matches!(waived, Waived::Intent { service: name, intent, attribute }
                if (name, intent, attribute) == (&service.name, &requirement.intent, &requirement.attribute))
        };
        match self {
            Self::None => false,
            Self::All => true,
            Self::With(list) => list.iter().any(is_it),
        }
    }

    fn is_near(self, link: &Link) -> bool {
        let is_it = |waived: &Waived| matches!(waived, Waived::Latency { from, to } if (from, to) == (&link.from, &link.to));
        match self {
            Self::None => false,
            Self::All => true,
            Self::With(list) => list.iter().any(is_it),
        }
    }
}

fn names(problem: &Problem) -> Vec<String> {
    let mut faults = Vec::new();
    let (mut clusters, mut services) = (BTreeSet::new(), BTreeSet::new());
    for cluster in problem.clusters.iter().filter(|cluster| !clusters.insert(&cluster.name)) {
        faults.push(format!("the problem has two clusters {}", cluster.name));
    }
    for service in problem.services.iter().filter(|service| !services.insert(&service.name)) {
        faults.push(format!("the problem has two services {}", service.name));
    }
    faults
}

/// Cluster of each service, in the order of the problem; `None` when some have none.
fn places<'a>(problem: &'a Problem, plan: &Plan, faults: &mut Vec<String>) -> Option<Vec<&'a ClusterState>> {
    let known: BTreeMap<&str, &ClusterState> =
        problem.clusters.iter().map(|cluster| (cluster.name.as_str(), cluster)).collect();
    let named: BTreeSet<&str> = problem.services.iter().map(|service| service.name.as_str()).collect();
    for stranger in plan.assignment.keys().filter(|name| !named.contains(name.as_str())) {
        faults.push(format!("service {stranger} is not part of the problem"));
    }
    let mut places = Vec::new();
    for service in &problem.services {
        match plan.assignment.get(&service.name) {
            None => faults.push(format!("service {} has no cluster", service.name)),
            Some(cluster) => match known.get(cluster.as_str()) {
                None => faults.push(format!("service {} is on the unknown cluster {cluster}", service.name)),
                Some(state) => places.push(*state),
            },
        }
    }
    (places.len() == problem.services.len()).then_some(places)
}

/// Every hard constraint that the places break.
fn constraints(problem: &Problem, places: &[&ClusterState], lenience: Lenience<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    for (service, place) in problem.services.iter().zip(places) {
        if !place.available {
            faults.push(format!("service {} is on the unavailable cluster {}", service.name, place.name));
        }
        let has = |node: &Resources, pod: &Resources| {
            node.cpu_millicores >= pod.cpu_millicores
                && node.ram_bytes >= pod.ram_bytes
                && (node.storage_bytes >= pod.storage_bytes || !place.storage_reported)
                && (node.gpus >= pod.gpus || !place.gpus_counted)
                && (node.pods >= pod.pods || !place.pods_counted)
        };
        let runs_there = service.runs && service.current.as_ref() == Some(&place.name);
        for pod in service.pods.iter().filter(|_| !runs_there) {
            if !place.nodes.is_empty() && !place.nodes.iter().any(|node| has(node, pod)) {
                let (name, place) = (&service.name, &place.name);
                faults.push(format!("a pod of service {name} is larger than every node of cluster {place}"));
            }
        }
        if let (true, Some(current)) = (service.pinned, &service.current)
            && *current != place.name
        {
            faults.push(format!("service {} must stay on {current}, but is on {}", service.name, place.name));
        }
        for requirement in &service.requires {
            if !allowed(requirement, &place.attributes, lenience.is_met(service, requirement)) {
                let (intent, name) = (&requirement.intent, &service.name);
                faults
                    .push(format!("cluster {} does not meet intent {intent} of service {name}", place.name));
            }
        }
    }
    faults.extend(capacities(problem, places));
    faults.extend(pairs(problem, places, lenience));
    faults
}

fn allowed(requirement: &Requirement, attributes: &ClusterAttributes, unknown: bool) -> bool {
    let Some(found) = attributes.get(&requirement.attribute) else {
        return !requirement.must_be_known && unknown;
    };
    match &requirement.test {
        AttributeTest::OneOf(texts) => texts.contains(&found),
        AttributeTest::NoneOf(texts) => !texts.contains(&found),
        AttributeTest::AtMost(most) => found.parse().is_ok_and(|number: f64| number <= *most),
        AttributeTest::AtLeast(least) => found.parse().is_ok_and(|number: f64| number >= *least),
        AttributeTest::Known => true,
    }
}

/// Sums in 128 bits, which the sum of any number of 64-bit products fits.
fn capacities(problem: &Problem, places: &[&ClusterState]) -> Vec<String> {
    let mut faults = Vec::new();
    for cluster in &problem.clusters {
        for dimension in Dimension::ALL {
            let is_uncounted = match dimension {
                Dimension::Storage => !cluster.storage_reported,
                Dimension::Gpus => !cluster.gpus_counted,
                Dimension::Pods => !cluster.pods_counted,
                Dimension::Cpu | Dimension::Ram => false,
            };
            if is_uncounted {
                continue;
            }
            let here = problem.services.iter().zip(places).filter(|(_, place)| place.name == cluster.name);
            let amount = |service: &ServiceDemand| {
                let replicas = i128::from(service.needs.get(dimension)) * i128::from(service.replicas.min);
                replicas + i128::from(service.fixed_needs.get(dimension))
            };
            let sum: i128 = here.map(|(service, _)| amount(service)).sum();
            let free = cluster.free.get(dimension);
            // An unused resource cannot be exceeded, even where its free amount is negative.
            if sum > i128::from(free) && sum > 0 {
                let (name, unit) = (&cluster.name, dimension.unit());
                faults.push(format!("cluster {name} has {free} {unit} free, the plan puts {sum} there"));
            }
        }
    }
    faults
}

/// Co-location, anti-affinity and latency bounds.
fn pairs(problem: &Problem, places: &[&ClusterState], lenience: Lenience<'_>) -> Vec<String> {
    let place: BTreeMap<&str, &ClusterState> =
        problem.services.iter().map(|service| service.name.as_str()).zip(places.iter().copied()).collect();
    let mut faults = Vec::new();
    for (service, here) in problem.services.iter().zip(places) {
        let name = &service.name;
        for (other, there) in
            service.co_location.iter().filter_map(|other| Some((other, place.get(other.as_str())?)))
        {
            if here.name != there.name {
                let (here, there) = (&here.name, &there.name);
                faults.push(format!(
                    "services {name} and {other} must share a cluster, but are on {here} and {there}"
                ));
            }
        }
        for (other, there) in
            service.anti_affinity.iter().filter_map(|other| Some((other, place.get(other.as_str())?)))
        {
            if here.name == there.name {
                faults.push(format!(
                    "services {name} and {other} must be apart, but are both on {}",
                    here.name
                ));
            }
        }
    }
    for link in &problem.links {
        let (Some(bound), Some(here), Some(there)) =
            (link.bound, place.get(link.from.as_str()), place.get(link.to.as_str()))
        else {
            continue;
        };
        if !near(problem, bound, here, there, lenience.is_near(link)) {
            let (from, to) = (&link.from, &link.to);
            faults.push(format!(
                "services {from} and {to} are too far apart on {} and {}",
                here.name, there.name
            ));
        }
    }
    faults
}

fn round_trip(one: &ClusterState, other: &ClusterState) -> Option<f64> {
    if one.name == other.name {
        return Some(0.0);
    }
    let there = one.attributes.latencies_ms.get(&other.name).copied().unwrap_or(0.0);
    let back = other.attributes.latencies_ms.get(&one.name).copied().unwrap_or(0.0);
    let longer = if there > back { there } else { back };
    (longer > 0.0).then_some(longer)
}

fn near(
    problem: &Problem,
    bound: LatencyBound,
    one: &ClusterState,
    other: &ClusterState,
    unknown: bool,
) -> bool {
    if one.name == other.name {
        return true;
    }
    let measured = round_trip(one, other);
    if bound == LatencyBound::Ultralow {
        return measured.map_or(unknown, |ms| ms < problem.limits.ultralow_ms);
    }
    let regions = (one.attributes.region.as_deref(), other.attributes.region.as_deref());
    match regions {
        (Some(here), Some(there)) if here == there => true,
        (Some(_), Some(_)) => measured.is_some_and(|ms| ms <= problem.limits.neighbour_ms),
        _ => measured.map_or(unknown, |ms| ms <= problem.limits.neighbour_ms),
    }
}

/// Whether the explanation says of every service where it is and where it was: moves are read from it.
fn explanation(problem: &Problem, plan: &Plan) -> Vec<String> {
    let mut faults = Vec::new();
    if plan.explanation.len() != problem.services.len() {
        faults.push(format!(
            "{} of {} services are explained",
            plan.explanation.len(),
            problem.services.len()
        ));
    }
    for (service, explained) in problem.services.iter().zip(&plan.explanation) {
        let (name, cluster) = (&service.name, &explained.cluster);
        if explained.service != *name || plan.assignment.get(name) != Some(cluster) {
            faults.push(format!("service {name} is explained as {} on {cluster}", explained.service));
        }
        let from = service.current.as_ref().filter(|current| *current != cluster);
        if explained.moved_from.as_ref() != from {
            let said = &explained.moved_from;
            faults.push(format!("service {name} is said to move from {said:?}, it was on {from:?}"));
        }
    }
    faults
}

fn replicas(problem: &Problem, plan: &Plan) -> Vec<String> {
    let wrong = |service: &ServiceDemand| {
        let planned = plan.replicas.get(&service.name).copied();
        let within = planned == Some(service.replicas.min) && service.replicas.min <= service.replicas.max;
        (!within).then(|| {
            format!(
                "service {} is planned with {planned:?} replicas, not {}",
                service.name, service.replicas.min
            )
        })
    };
    problem.services.iter().filter_map(wrong).collect()
}

/// Objective, bound, gap and optimality.
fn values(problem: &Problem, plan: &Plan, places: &[&ClusterState], optimal: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let value = objective(problem, places);
    let rounding = rounding(problem, plan, &mut faults);
    let close = |one: f64, other: f64| {
        (one - other).abs() <= TOLERANCE * one.abs().max(other.abs()).max(1.0) + rounding
    };
    let total = plan.objective.total;
    if !close(total, value) {
        faults.push(format!("the plan says its objective is {total}, it is {value}"));
    }
    let terms: f64 = plan.objective.terms.iter().map(|term| term.value).sum();
    if !close(terms, total) {
        faults.push(format!("the terms of the objective add up to {terms}, not to {total}"));
    }
    if let Some(bound) = plan.bound {
        if bound > value && !close(bound, value) {
            faults.push(format!("the bound {bound} is above the objective {value}"));
        }
        let gap = if value > 0.0 { ((value - bound) / value).max(0.0) } else { 0.0 };
        if plan.gap.is_none_or(|said| (said - gap).abs() > TOLERANCE) {
            faults.push(format!("the plan says its gap is {:?}, it is {gap}", plan.gap));
        }
    }
    if optimal && plan.bound.is_none_or(|bound| !close(bound, value)) {
        faults.push(format!(
            "the plan says it is optimal with the bound {:?} and the objective {value}",
            plan.bound
        ));
    }
    if let (Some(bound), Some(best)) = (plan.bound, best(problem, of_plan(plan)))
        && bound > best
        && !close(bound, best)
    {
        faults.push(format!("the bound is {bound}, but a placement of {best} exists"));
    }
    faults
}

/// By how much costs may differ that are rounded to the resolution of the plan: per microsecond of each link, and once
/// for each service and cluster. What a plan says of itself counts as long as it is far below what costs can be.
fn rounding(problem: &Problem, plan: &Plan, faults: &mut Vec<String>) -> f64 {
    let known = problem.clusters.iter().flat_map(|cluster| cluster.attributes.latencies_ms.values().copied());
    let longest = known.fold(problem.limits.unknown_latency_ms, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "numbers of links, services and clusters")]
    let [links, cells] =
        [problem.links.len(), 2 * problem.services.len() + problem.clusters.len()].map(|count| count as f64);
    let resolution = plan.resolution.unwrap_or(1e-9);
    if !(resolution <= 1e-9 || resolution <= largest_sum(problem, longest) * 1e-9) {
        faults.push(format!(
            "the plan says that it rounds costs to {resolution}, which is too coarse for them"
        ));
    }
    links * longest * 1000.0 * resolution + if resolution > 1e-9 { cells * resolution } else { 0.0 }
}

/// No assignment costs more.
fn largest_sum(problem: &Problem, longest: f64) -> f64 {
    let weights = match problem.strategy {
        Strategy::BuiltIn(BuiltIn::Green) => problem.weights.green(),
        _ => problem.weights,
    };
    let highest = |read: fn(&ClusterAttributes) -> Option<f64>, none: f64| {
        problem.clusters.iter().filter_map(|cluster| read(&cluster.attributes)).fold(none, f64::max)
    };
    let per_core = weights.price * highest(|a| a.price_per_core_hour, 0.0)
        + weights.carbon * highest(|a| a.carbon_per_core_hour, 0.0)
        + weights.balance;
    #[expect(clippy::cast_precision_loss, reason = "a bound")]
    let used = |service: &ServiceDemand| {
        let cores = (service.needs.cpu_millicores as f64 * service.replicas.min as f64
            + service.fixed_needs.cpu_millicores as f64)
            / 1000.0;
        let preferred: f64 = service.prefers.iter().map(|preference| preference.cost).sum();
        cores * per_core + weights.moves.max(1.0) * service.move_weight + preferred
    };
    let services: f64 = problem.services.iter().map(used).sum();
    let links: f64 = problem.links.iter().map(|link| weights.latency * link.traffic * longest).sum();
    #[expect(clippy::cast_precision_loss, reason = "a number of clusters")]
    let clusters = problem.clusters.len() as f64;
    services + links + clusters * weights.activation * highest(|a| a.activation_cost, 1.0)
}

/// The smallest objective of all assignments, where there are few enough to try.
fn best(problem: &Problem, lenience: Lenience<'_>) -> Option<f64> {
    let (services, clusters) = (problem.services.len(), problem.clusters.len());
    #[expect(clippy::cast_precision_loss, reason = "only compared with a small number")]
    let assignments = (clusters as f64).powi(i32::try_from(services).ok()?);
    if assignments > ENUMERATED {
        return None;
    }
    let mut digits = vec![0_usize; services];
    let mut best: Option<f64> = None;
    loop {
        let places: Vec<&ClusterState> =
            digits.iter().map(|digit| problem.clusters.get(*digit)).collect::<Option<_>>()?;
        if constraints(problem, &places, lenience).is_empty() {
            let value = objective(problem, &places);
            best = Some(best.map_or(value, |best| if value < best { value } else { best }));
        }
        let Some(next) = digits.iter().position(|digit| digit + 1 < clusters) else { return best };
        digits[..next].fill(0);
        digits[next] += 1;
    }
}

fn objective(problem: &Problem, places: &[&ClusterState]) -> f64 {
    let (mut moved, mut missing) = (0.0, 0.0);
    for (service, place) in problem.services.iter().zip(places) {
        for preference in &service.prefers {
            let known = place.attributes.get(&preference.requirement.attribute).is_some();
            if !known || !allowed(&preference.requirement, &place.attributes, false) {
                missing += preference.cost;
            }
        }
        if service.current.as_ref().is_some_and(|current| *current != place.name) {
            moved += service.move_weight;
        }
    }
    let weights = match &problem.strategy {
        Strategy::BuiltIn(BuiltIn::FirstFit | BuiltIn::MinMoves) => None,
        Strategy::BuiltIn(BuiltIn::Green) => Some(problem.weights.green()),
        Strategy::BuiltIn(BuiltIn::Cost) | Strategy::External(_) => Some(problem.weights),
    };
    let Some(weights) = weights else { return moved + missing };
    let mut total = weights.moves * moved + missing;
    let highest = |read: fn(&ClusterAttributes) -> Option<f64>, none: f64| {
        let known = problem.clusters.iter().filter_map(|cluster| read(&cluster.attributes));
        known
            .fold(None, |most: Option<f64>, value| Some(most.map_or(value, |most| most.max(value))))
            .unwrap_or(none)
    };
    let value = |cluster: &ClusterState, read: fn(&ClusterAttributes) -> Option<f64>, none: f64| {
        read(&cluster.attributes).unwrap_or_else(|| highest(read, none))
    };
    for cluster in &problem.clusters {
        let here = problem.services.iter().zip(places).filter(|(_, place)| place.name == cluster.name);
        let (mut services, mut millicores) = (0, 0_i128);
        for (service, _) in here {
            services += 1;
            millicores += i128::from(service.needs.cpu_millicores) * i128::from(service.replicas.min);
            millicores += i128::from(service.fixed_needs.cpu_millicores);
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53 millicores")]
        let (cores, free) = (millicores as f64 / 1000.0, cluster.free.cpu_millicores as f64);
        total += cores * weights.price * value(cluster, |a| a.price_per_core_hour, 0.0);
        total += cores * weights.carbon * value(cluster, |a| a.carbon_per_core_hour, 0.0);
        total += weights.balance * (cores - (free * problem.limits.balance_above).floor() / 1000.0).max(0.0);
        if services > 0 {
            total += weights.activation * value(cluster, |a| a.activation_cost, 1.0);
        }
    }
    let position: BTreeMap<&str, usize> =
        problem.services.iter().enumerate().map(|(index, service)| (service.name.as_str(), index)).collect();
    for link in &problem.links {
        let (Some(from), Some(to)) = (position.get(link.from.as_str()), position.get(link.to.as_str()))
        else {
            continue;
        };
        let ms = round_trip(places[*from], places[*to]).unwrap_or(problem.limits.unknown_latency_ms);
        total += weights.latency * link.traffic * ms;
    }
    total
}
