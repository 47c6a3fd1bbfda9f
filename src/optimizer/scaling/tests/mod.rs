//! Tests of scaling through its public functions, and of the integer program by itself.

mod answers;
mod brute_force;
mod hand_worked;
mod program;
mod properties;
mod rations;
mod refusals;

use std::collections::BTreeMap;

use super::*;
use crate::hdag::Resources;

const GIB: i64 = 1 << 30;

fn cpu(millicores: i64) -> Resources {
    Resources { cpu_millicores: millicores, ..Resources::default() }
}

fn cluster(name: &str, free: Resources) -> ScalingCluster {
    ScalingCluster {
        name: name.to_owned(),
        free,
        storage_reported: true,
        gpus_counted: true,
        pods_counted: false,
        acceleration: true,
    }
}

/// A service of half a core that has 1 to 3 replicas, on the cluster `edge`.
fn service(name: &str, rate: f64, previous: i64, alpha: f64, beta: f64) -> ScaledService {
    ScaledService {
        rate: Some(rate),
        previous,
        ..ScaledService::new(name, "edge", cpu(500), Profile::new(alpha, beta, 1, 3))
    }
}

/// Its replicas may be used in full, which keeps numbers worked out by hand short.
fn problem(millicores: i64, services: Vec<ScaledService>) -> ScalingProblem {
    let problem = ScalingProblem::new("g", vec![cluster("edge", cpu(millicores))], services);
    ScalingProblem { target_utilisation: 1.0, ..problem }
}

/// So many replicas were needed within the stabilisation window.
fn kept(replicas: i64) -> Option<ChangeBound> {
    Some(ChangeBound { replicas, because: BoundCause::Stabilisation })
}

/// The plan, which must pass the checker.
fn plan_of(strategy: impl Fn(&ScalingProblem) -> ScalingOutcome, problem: &ScalingProblem) -> ScalingPlan {
    let outcome = strategy(problem);
    assert_eq!(check(problem, &outcome), Ok(()));
    match outcome {
        ScalingOutcome::Decided(plan) => plan,
        other => panic!("no plan: {other:?}"),
    }
}

/// The refusal, which must pass the checker.
fn refusal_of(
    strategy: impl Fn(&ScalingProblem) -> ScalingOutcome,
    problem: &ScalingProblem,
) -> ScalingInfeasibility {
    let outcome = strategy(problem);
    assert_eq!(check(problem, &outcome), Ok(()));
    match outcome {
        ScalingOutcome::Infeasible(refusal) => refusal,
        other => panic!("not infeasible: {other:?}"),
    }
}

/// The numbers of replicas in the order of the services' names.
fn numbers(replicas: &BTreeMap<String, i64>) -> Vec<i64> {
    replicas.values().copied().collect()
}

fn reasons(plan: &ScalingPlan) -> Vec<&str> {
    plan.services.iter().map(|service| service.reason.as_str()).collect()
}

/// A small generator of equally distributed numbers (splitmix64), so that long runs need no other crate.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.within(0, choices.len() as i64 - 1) as usize]
    }
}
