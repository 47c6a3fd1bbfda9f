//! Rationing: shares of services when the load needs more replicas than fit, or than the graph may have.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::instance::{Instance, RESOURCES};
use super::{ScaledService, ScalingConflict, ScalingInfeasibility, ScalingProblem};
use crate::hdag::Resources;

/// Loads that differ by less than this fraction are alike: equal loads change places with every tick.
const ALIKE: f64 = 0.1;

/// The same problem with shares that fit, when nothing but capacity or the bounds over all services is in the
/// way; else `None`. Capacity goes, replica by replica, to services below their minimum, then to the most
/// loaded service; where two are loaded nearly alike (by less than a tenth), running replicas keep running.
///
/// A cluster that is already too full for the running replicas that are needed there counts as having
/// capacity for its running replicas and no more. The minimum over all services holds as far as capacity
/// allows.
#[must_use]
pub fn ration(problem: &ScalingProblem, cause: &ScalingInfeasibility) -> Option<ScalingProblem> {
    let hopeless = |conflict: &ScalingConflict| matches!(conflict, ScalingConflict::Rate { .. });
    // The largest numbers of the original's model are no bounds.
    if problem.compat || cause.conflicts.iter().any(hopeless) {
        return None;
    }
    let needed =
        |service: &ScaledService| cause.needed.get(&service.name).copied().unwrap_or(service.previous);
    let mut rationed = problem.clone();
    freeze_overfull(&mut rationed, needed);
    let instance = Instance::new(&rationed);
    let shares = Shares::new(&instance, needed, true).or_else(|| Shares::new(&instance, needed, false))?;
    let shares = shares.given_out();
    let given = shares.values().sum();
    for service in &mut rationed.services {
        let share = shares[&service.name];
        if share < needed(service) {
            service.share = Some(share);
        }
    }
    rationed.min_overall = rationed.min_overall.map(|minimum| minimum.min(given));
    Some(rationed)
}

/// Limits the services of overfull clusters to their current replicas.
fn freeze_overfull(problem: &mut ScalingProblem, needed: impl Fn(&ScaledService) -> i64) {
    let instance = Instance::new(problem);
    let kept: Vec<i64> =
        instance.services.iter().map(|service| service.previous.min(needed(service))).collect();
    let overfull: BTreeSet<String> =
        instance.overfull(&kept).into_iter().map(|cluster| instance.clusters[cluster].name.clone()).collect();
    for cluster in problem.clusters.iter_mut().filter(|cluster| overfull.contains(&cluster.name)) {
        cluster.free = Resources::default();
        for service in problem.services.iter_mut().filter(|service| service.cluster == cluster.name) {
            cluster.free += service.needs.times(service.previous);
            cluster.acceleration |= service.needs.gpus > 0;
            service.share = Some(service.share.map_or(service.previous, |share| share.min(service.previous)));
        }
    }
}

/// How many replicas the services get, in the order of the instance.
struct Shares<'a> {
    instance: &'a Instance<'a>,
    needed: Vec<i64>,
    shares: Vec<i64>,
    /// Free capacity of each cluster.
    free: Vec<[i128; RESOURCES]>,
    /// How many more replicas the graph may have.
    left: i64,
}

impl<'a> Shares<'a> {
    /// The initial share of each service: its running replicas up to its minimum, and all of them where its
    /// rate is unknown, or, with `holds`, what it is not to fall below; `None` when not even that is allowed.
    fn new(instance: &'a Instance<'a>, needed: impl Fn(&ScaledService) -> i64, holds: bool) -> Option<Self> {
        let most = |service: &ScaledService| service.share.unwrap_or(i64::MAX);
        let needed: Vec<i64> =
            instance.services.iter().map(|service| needed(service).min(most(service))).collect();
        let first = |(service, needed): (&&ScaledService, &i64)| {
            let held = service.not_below.filter(|_| holds).map_or(0, |bound| bound.replicas);
            let least = if service.rate.is_none() { i64::MAX } else { service.profile.min.max(1).max(held) };
            service.previous.min(*needed).min(least)
        };
        let shares: Vec<i64> = instance.services.iter().zip(&needed).map(first).collect();
        let maximum = instance.problem.max_overall.unwrap_or(i64::MAX);
        let left = maximum.checked_sub(shares.iter().sum())?;
        if left < 0 || !instance.overfull(&shares).is_empty() {
            return None;
        }
        let room = |(cluster, used): (usize, [i128; RESOURCES])| {
            let capacity = instance.capacity(cluster);
            std::array::from_fn(|index| i128::from(capacity[index]) - used[index])
        };
        let free = instance.used(&shares).into_iter().enumerate().map(room).collect();
        Some(Self { instance, needed, shares, free, left })
    }

    /// The shares when all is given out: up to the need of each service, then up to the minimum over all
    /// services.
    fn given_out(mut self) -> BTreeMap<String, i64> {
        let needed = std::mem::take(&mut self.needed);
        self.give(&needed, i64::MAX);
        let most: Vec<i64> = self.instance.demands.iter().map(|demand| demand.most).collect();
        let missing = self.instance.problem.min_overall.unwrap_or(0) - self.shares.iter().sum::<i64>();
        self.give(&most, missing);
        self.instance.services.iter().map(|service| service.name.clone()).zip(self.shares).collect()
    }

    /// Gives out at most `most` replicas, so that no service has more than its target.
    fn give(&mut self, targets: &[i64], mut most: i64) {
        let mut turns: BinaryHeap<_> = (0..targets.len()).map(|index| self.turn(index)).collect();
        while let Some((.., Reverse(index))) = turns.pop() {
            let service = self.instance.services[index];
            let free = &mut self.free[self.instance.on[index]];
            let needs = service.needs.amounts().map(i128::from);
            let fits = free.iter().zip(needs).all(|(free, needs)| needs <= (*free).max(0));
            if most <= 0 || self.left == 0 || self.shares[index] >= targets[index] || !fits {
                continue;
            }
            free.iter_mut().zip(needs).for_each(|(free, needs)| *free -= needs);
            self.shares[index] += 1;
            self.left -= 1;
            most -= 1;
            turns.push(self.turn(index));
        }
    }

    /// Whose turn it is: the largest.
    fn turn(&self, index: usize) -> (bool, u64, Reverse<usize>) {
        let (service, share) = (self.instance.services[index], self.shares[index]);
        let runs = if share < service.previous { 1.0 + ALIKE } else { 1.0 };
        // The bits of floating-point numbers that are not negative are in the order of the numbers.
        (share < service.profile.min, (load(service, share) * runs).to_bits(), Reverse(index))
    }
}

/// Utilisation of this many replicas by the rate; with steps, of those that the rate asks for.
fn load(service: &ScaledService, replicas: i64) -> f64 {
    let rate = service.rate.unwrap_or(0.0);
    let (rate, capacity) = match &service.steps {
        Some(steps) => (steps.replicas(rate, service.previous) as f64, replicas as f64),
        None => (rate, service.profile.alpha * replicas as f64 + service.profile.beta),
    };
    if capacity > 0.0 { rate / capacity } else { f64::INFINITY }
}
