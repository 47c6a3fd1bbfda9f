//! The independent checker: re-computes from the problem alone whether an answer may be used.
//!
//! Shares no code with strategies, so that one mistake cannot hide in both. It evaluates capacity models by
//! the load that replicas serve, never by the number of replicas that a rate needs. It does not prove that a
//! plan is the best.

use std::collections::BTreeMap;

use super::{
    ScaledService, ScalingConflict, ScalingInfeasibility, ScalingOutcome, ScalingPlan, ScalingProblem,
};
use crate::hdag::Dimension;
use crate::optimizer::placement::Violation;

/// Slack for floating point, relative to the size of the numbers.
const TOLERANCE: f64 = 1e-8;
/// The largest number of replicas that counts.
const MOST: i64 = 100_000;

/// Checks a plan for bounds, rates, capacities, holds and its objective; a refusal for its numbers.
///
/// # Errors
/// Everything that is wrong with the answer, one sentence each.
pub fn check(problem: &ScalingProblem, outcome: &ScalingOutcome) -> Result<(), Vec<String>> {
    let services = problem.services.iter().map(|service| (service.name.as_str(), service)).collect();
    let mut checker = Checker { problem, services, faults: Vec::new() };
    match outcome {
        ScalingOutcome::Decided(plan) => checker.plan(plan),
        ScalingOutcome::Infeasible(refusal) => checker.refusal(refusal),
        ScalingOutcome::Invalid(invalid) if invalid.faults.is_empty() => {
            checker.fault("the problem is refused without a fault".to_owned());
        }
        ScalingOutcome::Invalid(_) => {}
    }
    if checker.faults.is_empty() { Ok(()) } else { Err(checker.faults) }
}

type Replicas = BTreeMap<String, i64>;

struct Checker<'a> {
    problem: &'a ScalingProblem,
    services: BTreeMap<&'a str, &'a ScaledService>,
    faults: Vec<String>,
}

/// One resource of one cluster.
struct Limit<'a> {
    cluster: &'a str,
    resource: Dimension,
    /// Sums in 128 bits, which the sum of any number of 64-bit products fits.
    used: i128,
    free: i64,
}

impl<'a> Checker<'a> {
    fn fault(&mut self, sentence: String) {
        self.faults.push(sentence);
    }

    fn plan(&mut self, plan: &ScalingPlan) {
        if !self.names(&plan.replicas) {
            return;
        }
        self.entries(plan);
        let total: i64 = plan.replicas.values().sum();
        let limits = self.limits(&plan.replicas);
        for service in &self.problem.services {
            let replicas = plan.replicas[&service.name];
            self.bounds(service, replicas);
            self.holds(service, replicas, total, &limits);
        }
        for Limit { cluster, resource, used, free } in limits {
            let what = resource.unit();
            if used > i128::from(free) {
                self.fault(format!("cluster {cluster} has {free} {what} free, the plan puts {used} there"));
            }
        }
        if let Some(minimum) = self.problem.min_overall.filter(|minimum| total < *minimum) {
            self.fault(format!(
                "the plan has {total} replicas over all services, at least {minimum} are wanted"
            ));
        }
        if let Some(maximum) = self.problem.max_overall.filter(|maximum| total > *maximum) {
            self.fault(format!(
                "the plan has {total} replicas over all services, at most {maximum} are allowed"
            ));
        }
        self.objective(plan);
    }

    /// Whether the numbers are possible ones, for the services of the problem, each once.
    fn names(&mut self, replicas: &Replicas) -> bool {
        let before = self.faults.len();
        for service in &self.problem.services {
            if !replicas.contains_key(&service.name) {
                self.fault(format!("service {} has no number of replicas", service.name));
            }
            if !self.problem.clusters.iter().any(|cluster| cluster.name == service.cluster) {
                self.fault(format!("service {} is on the unknown cluster {}", service.name, service.cluster));
            }
        }
        // Sums of these stay far inside 64 bits.
        for (service, count) in replicas.iter().filter(|(_, count)| !(0..=MOST).contains(*count)) {
            self.fault(format!("service {service} has {count} replicas, possible are 0 to {MOST}"));
        }
        if replicas.len() > self.problem.services.len() {
            self.fault("there are numbers for services that are not part of the problem".to_owned());
        }
        self.faults.len() == before
    }

    fn entries(&mut self, plan: &ScalingPlan) {
        let listed = plan.services.iter().map(|entry| (&entry.service, &entry.replicas));
        if !listed.eq(plan.replicas.iter()) {
            self.fault("the list of services differs from the numbers of replicas".to_owned());
        }
        for entry in &plan.services {
            let Some(service) = self.services.get(entry.service.as_str()) else { continue };
            let short = service.rate.is_some() && !serves(self.problem, service, entry.replicas);
            if entry.saturated != short {
                self.fault(format!("service {} is marked as saturated: {}", entry.service, entry.saturated));
            }
        }
    }

    /// Checks that a service stays within its bounds, and serves its rate as far as they allow.
    fn bounds(&mut self, service: &ScaledService, replicas: i64) {
        let (name, profile, compat) = (&service.name, service.profile, self.problem.compat);
        let (min, max) = if compat { (1, MOST) } else { (profile.min.min(most(service)), most(service)) };
        if replicas < min || replicas > max {
            self.fault(format!("service {name} has {replicas} replicas, allowed are {min} to {max}"));
        }
        let now = service.previous.clamp(min, max);
        let Some(rate) = service.rate else {
            if replicas != now {
                self.fault(format!(
                    "service {name} has an unknown rate and must keep {now} replicas, not {replicas}"
                ));
            }
            return;
        };
        let above =
            service.not_above.filter(|_| !compat).map(|bound| bound.replicas.clamp(min, max).max(now));
        if let Some(most) = above.filter(|most| replicas > *most) {
            self.fault(format!(
                "service {name} must not have more than {most} replicas now, the plan has {replicas}"
            ));
        }
        // Where the model says that more replicas serve no more, any number will do.
        let adds_nothing = profile.alpha == 0.0 && service.steps.is_none() && !compat;
        let possible = if adds_nothing { replicas } else { above.unwrap_or(max) };
        if !serves(self.problem, service, replicas) && (compat || replicas < possible) {
            self.fault(format!(
                "service {name} has {replicas} replicas, which do not serve {rate} requests/s"
            ));
        }
    }

    /// Bounds of a change yield only to the needs of others.
    fn holds(&mut self, service: &ScaledService, replicas: i64, total: i64, limits: &[Limit<'_>]) {
        if self.given_up(service, replicas) == 0 {
            return;
        }
        let is_room = |limit: &Limit<'_>| {
            let more = i128::from(service.needs.get(limit.resource));
            limit.cluster != service.cluster || limit.used + more <= i128::from(limit.free)
        };
        if self.problem.max_overall.is_some_and(|maximum| total >= maximum) || !limits.iter().all(is_room) {
            return;
        }
        let name = &service.name;
        self.fault(format!("service {name} gives up replicas that it is to keep, though there is room"));
    }

    fn limits(&self, replicas: &Replicas) -> Vec<Limit<'a>> {
        let mut limits = Vec::new();
        for cluster in &self.problem.clusters {
            let unlimited = |resource: &Dimension| match resource {
                Dimension::Storage => !cluster.storage_reported,
                Dimension::Gpus => cluster.acceleration && !cluster.gpus_counted,
                Dimension::Pods => !cluster.pods_counted,
                Dimension::Cpu | Dimension::Ram => false,
            };
            for resource in Dimension::ALL.into_iter().filter(|resource| !unlimited(resource)) {
                let none = resource == Dimension::Gpus && !cluster.acceleration;
                // An unused resource cannot be exceeded, even where its free amount is negative.
                let free = if none { 0 } else { cluster.free.get(resource).max(0) };
                limits.push(Limit { cluster: &cluster.name, resource, used: 0, free });
            }
        }
        for limit in &mut limits {
            for service in self.problem.services.iter().filter(|service| service.cluster == limit.cluster) {
                let replicas = replicas.get(&service.name).copied().unwrap_or(0);
                limit.used += i128::from(service.needs.get(limit.resource)) * i128::from(replicas);
            }
        }
        limits
    }

    fn objective(&mut self, plan: &ScalingPlan) {
        let [utilisation, change, margin] = self.terms(&plan.replicas);
        let total = utilisation + change + margin;
        let mut compare = |name: &str, found: f64, right: f64| {
            if !(found - right).abs().le(&(TOLERANCE * (1.0 + right.abs()))) {
                self.faults.push(format!("the objective's {name} is given as {found}, it is {right}"));
            }
        };
        compare("total", plan.objective.total, total);
        for (name, right) in [("utilisation", utilisation), ("change", change), ("margin", margin)] {
            let found = plan.objective.terms.iter().filter(|term| term.name == name).map(|term| term.value);
            compare(name, found.sum(), right);
        }
        if plan.bound.is_some_and(|bound| bound > total + TOLERANCE * (1.0 + total)) {
            self.fault("the proven bound is above the objective".to_owned());
        }
        if plan.optimal && plan.bound.is_none_or(|bound| bound < total - TOLERANCE * (1.0 + total)) {
            self.fault("the plan is called optimal, its bound does not prove it".to_owned());
        }
    }

    fn terms(&self, replicas: &Replicas) -> [f64; 3] {
        let (problem, weights) = (self.problem, self.problem.weights);
        let cpu =
            |service: &ScaledService| service.needs.cpu_millicores.max(i64::from(!problem.compat)) as f64;
        let scope = |service: &'a ScaledService| if problem.compat { service.cluster.as_str() } else { "" };
        let mut largest: BTreeMap<&str, f64> = BTreeMap::new();
        for service in &problem.services {
            let largest = largest.entry(scope(service)).or_insert(1.0);
            *largest = largest.max(service.profile.max as f64 * cpu(service));
        }
        let mut terms = [0.0; 3];
        for service in &problem.services {
            let (count, share) = (replicas[&service.name] as f64, cpu(service) / largest[scope(service)]);
            let moved = (count - service.previous as f64).abs();
            terms[0] += weights.utilisation * count * share;
            terms[1] += weights.change
                * moved
                * if problem.compat { 1.0 / service.profile.max as f64 } else { share };
            terms[2] += weights.margin * share * self.given_up(service, replicas[&service.name]) as f64;
        }
        terms
    }

    /// How many replicas a plan does without that the service is to keep.
    fn given_up(&self, service: &ScaledService, replicas: i64) -> i64 {
        let Some(kept) = service.not_below.filter(|_| !self.problem.compat && service.rate.is_some()) else {
            return 0;
        };
        (kept.replicas.min(service.previous).min(most(service)) - replicas).max(0)
    }

    fn refusal(&mut self, refusal: &ScalingInfeasibility) {
        if refusal.conflicts.is_empty() {
            self.fault("the refusal names no conflict".to_owned());
        }
        if self.names(&refusal.needed) {
            for conflict in &refusal.conflicts {
                self.conflict(conflict, &refusal.needed);
            }
        }
    }

    fn conflict(&mut self, conflict: &ScalingConflict, needed: &Replicas) {
        let holds = match conflict {
            ScalingConflict::Room { cluster, violated, .. } => {
                !violated.is_empty()
                    && violated.iter().all(|violation| self.is_violated(cluster, violation, needed))
            }
            ScalingConflict::RoomForMinimum { minimum, room } => {
                self.problem.min_overall == Some(*minimum)
                    && room < minimum
                    && needed.values().sum::<i64>() >= *minimum
            }
            ScalingConflict::Minimum { minimum, allowed } => {
                self.problem.min_overall == Some(*minimum) && allowed < minimum
            }
            ScalingConflict::Maximum { maximum, needed: sum } => {
                self.problem.max_overall == Some(*maximum)
                    && sum > maximum
                    && needed.values().sum::<i64>() == *sum
            }
            ScalingConflict::Rate { service, .. } => {
                let service = self.services.get(service.as_str());
                service.is_some_and(|service| !serves(self.problem, service, MOST))
            }
        };
        if !holds {
            self.fault(format!("it is not so that {conflict}"));
        }
    }

    fn is_violated(&self, cluster: &str, violation: &Violation, replicas: &Replicas) -> bool {
        let Some((resource, needed, free)) = violation.lacking() else { return false };
        let same = |limit: &Limit<'_>| {
            let used = i64::try_from(limit.used).unwrap_or(i64::MAX);
            limit.cluster == cluster && limit.resource == resource && (used, limit.free) == (needed, free)
        };
        needed > free && self.limits(replicas).iter().any(same)
    }
}

/// The largest number that a service may have.
fn most(service: &ScaledService) -> i64 {
    service.share.map_or(service.profile.max, |share| share.min(service.profile.max))
}

/// Whether this many replicas serve the rate within the target utilisation, or satisfy the service's steps.
fn serves(problem: &ScalingProblem, service: &ScaledService, replicas: i64) -> bool {
    let rate = service.rate.unwrap_or(0.0);
    if let Some(steps) = service.steps {
        let needed = match (steps.up, steps.down) {
            (Some(up), _) if rate > up.above => up.to,
            (_, Some(down)) if rate < down.below => down.to,
            _ => service.previous,
        };
        return replicas >= needed;
    }
    let idle = rate == 0.0 && !problem.compat;
    let capacity = service.profile.alpha * replicas as f64 + service.profile.beta;
    // The slack of one replica, in requests per second.
    let slack = TOLERANCE * (service.profile.alpha + 1.0);
    idle || (replicas > 0 && capacity * problem.target_utilisation >= rate - slack)
}
