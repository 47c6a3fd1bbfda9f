//! The strategies `cost` and `green`: greedy start, local search, and exact optimisation of small models; the
//! bound comes from the exact model or from a relaxation.

use std::time::Instant;

use super::compile::Compiled;
use super::decide::{infeasible, timed_out};
use super::exact::{self, Feasibility};
use super::explain::{PlanProof, outcome};
use super::{Certificate, Model, Outcome, bound, search};
use crate::optimizer::Stop;

/// Threads of the local search; the result does not depend on their number.
const THREADS: usize = 2;
/// Relative difference of cost and bound below which the solver cannot distinguish them.
const SOLVER_TOLERANCE: f64 = 2e-6;
/// Items × clusters up to which a mixed-integer program surely ends soon.
const MILP_CELLS: usize = 60;
/// Rounds or nodes of the bound that no deadline leaves time for.
const UNTIL_DEADLINE: usize = 100_000;
/// Percent of the time that the search gets; the rest is for the bound.
const SEARCHING: u32 = 70;

pub(super) fn cost(compiled: &Compiled<'_>, stop: &Stop) -> Outcome {
    let (model, limits) = (&compiled.model, &compiled.problem.limits);
    let searching = stop.after_share(SEARCHING);
    let budget = search::Budget {
        seed: limits.seed,
        iterations: limits.iterations.unwrap_or_else(|| search::iterations(model.items(), model.clusters())),
        deadline: limits.deadline_ms.and(searching.deadline()),
        threads: THREADS,
    };
    let Some(found) = search::anneal(model, &starts(model), &budget, &searching) else {
        return match exact::feasibility(model, stop) {
            Feasibility::Infeasible => infeasible(compiled),
            Feasibility::Feasible(found) => conclude(compiled, found, stop),
            Feasibility::Unknown => timed_out(compiled, "no placement was found within the budget"),
        };
    };
    conclude(compiled, found, stop)
}

fn conclude(compiled: &Compiled<'_>, found: Vec<usize>, stop: &Stop) -> Outcome {
    let (assignment, proof) = prove(compiled, found, stop);
    outcome(compiled, &assignment, proof, Vec::new())
}

/// Where the search may begin besides the greedy placement: where everything is now.
fn starts(model: &Model) -> Vec<Vec<usize>> {
    let current: Option<Vec<usize>> = model.current.iter().copied().collect();
    current.into_iter().collect()
}

/// Proves a bound, and replaces the assignment if the proof finds a better one.
fn prove(compiled: &Compiled<'_>, found: Vec<usize>, stop: &Stop) -> (Vec<usize>, PlanProof) {
    let (model, limits) = (&compiled.model, &compiled.problem.limits);
    if model.cost_of(&found) == 0 {
        return (found, PlanProof { bound: Some(0), certificate: Certificate::Counting });
    }
    let cells = model.items() * model.clusters();
    let effort = effort(model, limits.exact_cells, limits.deadline_ms.and(stop.deadline()));
    if cells > limits.exact_cells {
        let bound = bound::lower_bound(model, Some(model.cost_of(&found)), &effort, stop);
        return (found, PlanProof { bound: Some(bound), certificate: Certificate::Relaxation });
    }
    let exact = bound::branch_and_bound(model, Some(&found), &effort, stop);
    let assignment = exact.incumbent.map_or(found, |(assignment, _)| assignment);
    let proof = PlanProof { bound: Some(exact.bound), certificate: Certificate::Relaxation };
    if exact.bound >= model.cost_of(&assignment) || cells > MILP_CELLS {
        return (assignment, proof);
    }
    let proven = exact.bound;
    let (assignment, by_milp) = by_milp(compiled, assignment, stop);
    // A solver that was stopped early may have a worse bound than the branch and bound.
    let proof = if by_milp.bound.is_some_and(|bound| bound > proven) { by_milp } else { proof };
    (assignment, proof)
}

/// Solves a model that the branch and bound left open by a mixed-integer program.
fn by_milp(compiled: &Compiled<'_>, found: Vec<usize>, stop: &Stop) -> (Vec<usize>, PlanProof) {
    let model = &compiled.model;
    let solved = bound::exact_cost(model, Some(&found), compiled.problem.limits.seed, stop);
    let cost = model.cost_of(&found);
    let (assignment, cost) = solved.incumbent.unwrap_or((found, cost));
    #[expect(clippy::cast_precision_loss, reason = "compared with a tolerance")]
    let proven = (cost - solved.bound) as f64 <= cost as f64 * SOLVER_TOLERANCE;
    let bound = if proven { cost } else { solved.bound };
    (assignment, PlanProof { bound: Some(bound), certificate: Certificate::Milp })
}

/// Little work beside the search; with a deadline as much as there is time for: on branching where that is
/// tried, else on the root.
fn effort(model: &Model, exact_cells: usize, end: Option<Instant>) -> bound::Effort {
    let quick = bound::Effort::quick(model);
    if end.is_none() {
        return quick;
    }
    let small = model.items() * model.clusters() <= exact_cells;
    let (rounds, nodes) = if small { (quick.rounds, UNTIL_DEADLINE) } else { (UNTIL_DEADLINE, 0) };
    bound::Effort { rounds, nodes, deadline: end }
}
