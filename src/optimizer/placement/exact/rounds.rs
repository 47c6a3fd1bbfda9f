//! Solving a placement program so that its answer holds in integers.
//!
//! A solver keeps a capacity up to a tolerance only, which in bytes can be hundreds. Where its answer exceeds
//! one, the items are made distinct, the exceeding set is cut off, and the program is solved again. Cuts
//! remove no feasible assignment, so the proof of any round is valid.

use super::super::Model;
use super::groups::{Grouping, Objective};
use super::program::Program;
use super::{Minimum, Placement, Proof, Run};
use crate::optimizer::solver::Answer;

/// How often to cut: sets that exceed a capacity by less than the tolerance are rare.
const ROUNDS: usize = 64;

/// Minimises, from an assignment and a lower bound of the nano-cost as far as they are known.
pub(super) fn minimise(
    model: &Model,
    objective: Objective,
    start: Option<Vec<usize>>,
    mut bound: i64,
    run: &Run<'_>,
) -> Minimum {
    let mut program = Program::new(model, objective, Grouping::Alike);
    let mut best = start.map(|assignment| Placement::new(model, assignment, bound));
    let mut proven = false;
    for round in 0..ROUNDS {
        let answer = program.solve(best.as_ref(), run);
        if answer == Answer::Infeasible && best.is_none() {
            return Minimum::Infeasible;
        }
        bound = bound.max(program.bound(&answer));
        let optimal = matches!(answer, Answer::Optimal(_));
        let solution = answer.into_solution();
        let Some(assignment) = solution.and_then(|solution| program.assignment(&solution.values)) else {
            break;
        };
        if model.is_feasible(&assignment) {
            let found = Placement::new(model, assignment, bound);
            best = Some(best.filter(|best| best.cost <= found.cost).unwrap_or(found));
            proven = optimal;
            break;
        }
        if round == 0 {
            program = Program::new(model, objective, Grouping::Apart);
        }
        program.cut(&assignment);
    }
    let Some(best) = best else { return Minimum::Unknown { bound } };
    let placement = Placement { bound: bound.min(best.cost), ..best };
    if proven || placement.bound == placement.cost {
        Minimum::Optimal { placement, proof: Proof::Program }
    } else {
        Minimum::Feasible(placement)
    }
}
