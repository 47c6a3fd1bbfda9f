//! The threshold strategy: more replicas above a high mark of utilisation, one less below a low mark.
//!
//! Looks at every service alone, in `O(n log n)` for the sort by name. Bounds and what is held are
//! those of [`super::exact()`]. Replicas missing from the minimum over all services are given to those that use
//! least CPU, where they fit; none is taken away again where the sum does not fit.

use super::demand::Need;
use super::instance::Instance;
use super::{
    BuiltIn, ScaledService, ScalingConflict, ScalingInvalid, ScalingOutcome, ScalingProblem, validate,
};

/// The plan of the classic rule; it minimises nothing.
#[must_use]
pub fn threshold(problem: &ScalingProblem) -> ScalingOutcome {
    if let Err(faults) = validate(problem) {
        return ScalingOutcome::Invalid(ScalingInvalid { faults });
    }
    let instance = Instance::new(problem);
    let mut replicas: Vec<i64> =
        (0..instance.services.len()).map(|service| one(&instance, service)).collect();
    raise_to_minimum(&instance, &mut replicas);
    let conflicts: Vec<ScalingConflict> = instance.conflicts(&replicas);
    if conflicts.is_empty() {
        ScalingOutcome::Decided(instance.plan(&BuiltIn::Threshold.into(), &replicas))
    } else {
        ScalingOutcome::Infeasible(instance.infeasible(BuiltIn::Threshold, conflicts, &replicas))
    }
}

/// The rule for one service, between its bounds.
fn one(instance: &Instance<'_>, index: usize) -> i64 {
    let (service, demand) = (instance.services[index], &instance.demands[index]);
    let Need::Replicas(need) = demand.need else { return demand.least };
    let (Some(rate), marks) = (service.rate, instance.problem.thresholds) else { return demand.least };
    let previous = service.previous;
    let wanted = if rate > marks.high * capacity(service, previous) {
        quiet(service, rate, marks.high, need)
    } else if rate < marks.low * capacity(service, previous)
        && rate <= marks.high * capacity(service, previous - 1)
    {
        // More than the mark alone may be held.
        (previous - 1).max(demand.held.min(previous))
    } else {
        previous
    };
    wanted.clamp(demand.least, demand.most)
}

/// The load that this many replicas serve.
fn capacity(service: &ScaledService, replicas: i64) -> f64 {
    if replicas < 1 { 0.0 } else { service.profile.alpha * replicas as f64 + service.profile.beta }
}

/// The smallest number whose utilisation is at most `high`.
fn quiet(service: &ScaledService, rate: f64, high: f64, need: i64) -> i64 {
    let exact = ((rate / high - service.profile.beta) / service.profile.alpha).ceil();
    // Infinite where replicas add nothing; then more of them are of no use, and fewer are not quieter.
    if exact.is_finite() { need.max(exact as i64) } else { need.max(service.previous) }
}

/// Adds replicas where they fit first; when that is not enough, the answer has to report the additional need.
fn raise_to_minimum(instance: &Instance<'_>, replicas: &mut [i64]) {
    let mut missing = instance.problem.min_overall.unwrap_or(0) - replicas.iter().sum::<i64>();
    let mut order: Vec<usize> = (0..replicas.len()).collect();
    order.sort_by_key(|index| instance.services[*index].needs.amounts());
    let turns = order.iter().map(|index| (index, true)).chain(order.iter().map(|index| (index, false)));
    for (index, within_room) in turns {
        if missing <= 0 {
            return;
        }
        let room = if within_room { room(instance, replicas, *index) } else { i64::MAX };
        let added = missing.min(room).min(instance.demands[*index].most - replicas[*index]);
        replicas[*index] += added;
        missing -= added;
    }
}

/// How many more replicas of a service fit its cluster.
fn room(instance: &Instance<'_>, replicas: &[i64], index: usize) -> i64 {
    let cluster = instance.on[index];
    let (free, used) = (instance.capacity(cluster), instance.used(replicas)[cluster]);
    let needs = instance.services[index].needs.amounts();
    let rooms = (0..needs.len())
        .filter(|resource| needs[*resource] > 0)
        .map(|resource| (i128::from(free[resource]) - used[resource]) / i128::from(needs[resource]));
    rooms.min().map_or(i64::MAX, |room| i64::try_from(room.max(0)).unwrap_or(i64::MAX))
}
