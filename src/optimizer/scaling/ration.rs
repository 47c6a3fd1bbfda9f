//! What becomes of a load that needs more replicas than there is room for, or than the graph may have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::instance::{Instance, RESOURCES, amounts};
use super::{ScaledService, ScalingConflict, ScalingInfeasibility, ScalingProblem};
use crate::hdag::Resources;

/// The same problem with shares that fit, when nothing but room or the largest number over all services is in the way;
/// else `None`. What there is goes, replica by replica, to those that are below their least number, then to the service
/// that is loaded most.
///
/// The services of a cluster that is too full already, for what runs and is needed there, are left out: they stay as
/// they are, and the clusters that have room are decided without them.
#[must_use]
pub fn ration(problem: &ScalingProblem, cause: &ScalingInfeasibility) -> Option<ScalingProblem> {
    let can_be = |conflict: &ScalingConflict| {
        use ScalingConflict::{Maximum, Room, RoomForMinimum};
        matches!(conflict, Room { .. } | RoomForMinimum { .. } | Maximum { .. })
    };
    // The largest numbers of the original's model are no bounds.
    if problem.compat || !cause.conflicts.iter().all(can_be) {
        return None;
    }
    if let [ScalingConflict::RoomForMinimum { room, .. }] = cause.conflicts.as_slice() {
        return Some(ScalingProblem { min_overall: Some(*room), ..problem.clone() });
    }
    let needed = |service: &ScaledService| needed(service, cause);
    let overfull = overfull(problem, needed);
    let mut rationed = without(problem, |service| overfull.contains(&service.cluster));
    let shares = shares(&rationed, needed)?;
    for service in &mut rationed.services {
        let (share, needed) = (shares[&service.name], needed(service));
        if share < needed {
            service.share = Some(share);
        }
    }
    let given = shares.values().sum();
    rationed.min_overall = rationed.min_overall.map(|minimum| minimum.min(given));
    (!rationed.services.is_empty()).then_some(rationed)
}

/// How many replicas the services need, were there room, as far as the largest number over all services allows; `None` when
/// not even what runs is allowed.
#[must_use]
pub fn within_maximum(
    problem: &ScalingProblem,
    cause: &ScalingInfeasibility,
) -> Option<BTreeMap<String, i64>> {
    let mut roomy = problem.clone();
    let much = i64::MAX / 4;
    for cluster in &mut roomy.clusters {
        cluster.free = Resources { cpu_millicores: much, ram_bytes: much, storage_bytes: much, gpus: much };
        cluster.acceleration = true;
    }
    shares(&roomy, |service| needed(service, cause))
}

fn needed(service: &ScaledService, cause: &ScalingInfeasibility) -> i64 {
    cause.needed.get(&service.name).copied().unwrap_or(service.previous)
}

/// The clusters that have too little room for what runs and is needed.
fn overfull(problem: &ScalingProblem, needed: impl Fn(&ScaledService) -> i64) -> Vec<String> {
    let instance = Instance::new(problem);
    let kept: Vec<i64> =
        instance.services.iter().map(|service| service.previous.min(needed(service))).collect();
    instance.overfull(&kept).into_iter().map(|cluster| instance.clusters[cluster].name.clone()).collect()
}

/// The problem without some services, which stay as they are.
fn without(problem: &ScalingProblem, left_out: impl Fn(&ScaledService) -> bool) -> ScalingProblem {
    let mut problem = problem.clone();
    let fixed: i64 = problem.services.extract_if(.., |service| left_out(service)).map(|s| s.previous).sum();
    for bound in [&mut problem.min_overall, &mut problem.max_overall] {
        *bound = bound.map(|bound| (bound - fixed).max(0));
    }
    problem
}

/// How many replicas each service can have of those that it needs; `None` when not even one of each that runs fits.
fn shares(problem: &ScalingProblem, needed: impl Fn(&ScaledService) -> i64) -> Option<BTreeMap<String, i64>> {
    let instance = Instance::new(problem);
    let first = |service: &ScaledService| {
        let least = if service.rate.is_none() { i64::MAX } else { service.profile.min.max(1) };
        needed(service).min(service.previous).min(least)
    };
    let mut shares: Vec<i64> = instance.services.iter().map(|service| first(service)).collect();
    let mut left = problem.max_overall.unwrap_or(i64::MAX).checked_sub(shares.iter().sum())?;
    if left < 0 || !instance.overfull(&shares).is_empty() {
        return None;
    }
    let mut free: Vec<[i128; RESOURCES]> = instance.used(&shares);
    for (cluster, free) in free.iter_mut().enumerate() {
        *free = std::array::from_fn(|index| i128::from(instance.capacity(cluster)[index]) - free[index]);
    }
    let turn = |service: &ScaledService, index: usize, share: i64| {
        // The bits of floating-point numbers that are not negative are in the order of the numbers.
        (share < service.profile.min, load(service, share).to_bits(), Reverse(index))
    };
    let mut turns: BinaryHeap<_> = instance
        .services
        .iter()
        .enumerate()
        .map(|(index, service)| turn(service, index, shares[index]))
        .collect();
    while let Some((.., Reverse(index))) = turns.pop() {
        let service = instance.services[index];
        let (free, needs) = (&mut free[instance.on[index]], amounts(service.needs).map(i128::from));
        let fits = free.iter().zip(needs).all(|(free, needs)| needs <= (*free).max(0));
        if left == 0 || shares[index] >= needed(service) || !fits {
            continue;
        }
        free.iter_mut().zip(needs).for_each(|(free, needs)| *free -= needs);
        shares[index] += 1;
        left -= 1;
        turns.push(turn(service, index, shares[index]));
    }
    Some(instance.services.iter().map(|service| service.name.clone()).zip(shares).collect())
}

/// Share of what so many replicas serve that the rate takes.
fn load(service: &ScaledService, replicas: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "few replicas")]
    let capacity = service.profile.alpha * replicas as f64 + service.profile.beta;
    let rate = service.rate.unwrap_or(0.0);
    if capacity > 0.0 { rate / capacity } else { f64::INFINITY }
}
