//! Exact answers about one [`Model`]: fewest moves, feasibility, and missing capacity.
//!
//! Only the costs of items on clusters, the capacities, the allowed clusters and the pair rules are
//! considered; activation, traffic and overload are not. A combinatorial certificate comes first and usually
//! suffices; cases it leaves open are decided by a mixed-integer program over groups of interchangeable
//! items.
//!
//! Every assignment that is returned keeps all constraints in integers, whatever the solver's tolerances.
//! Which of several optima is returned: interchangeable items leave in the order of their ordinals and fill
//! clusters in the order of theirs; beyond that it is the choice of the (deterministic) heuristic or solver.

mod certificate;
mod elastic;
mod groups;
mod packing;
mod program;
mod rounds;
mod scale;

#[cfg(test)]
mod tests;

pub use elastic::elastic;

use self::certificate::Certificate;
use self::groups::Objective;
use super::Model;
use crate::optimizer::Stop;

/// Shared by all runs of the solver for one answer.
struct Run<'a> {
    seed: u64,
    stop: &'a Stop,
}

/// An assignment that keeps every constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The cluster of each item.
    pub assignment: Vec<usize>,
    /// Nano-cost: `Σ cost[i][e(i)]`.
    pub cost: i64,
    /// Lower bound of the nano-cost of every feasible assignment.
    pub bound: i64,
}

impl Placement {
    fn new(model: &Model, assignment: Vec<usize>, bound: i64) -> Self {
        let cost = assignment.iter().enumerate().map(|(item, cluster)| model.cost.at(item, *cluster)).sum();
        Self { assignment, cost, bound: bound.min(cost) }
    }
}

/// How optimality was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The cost equals a bound that was counted without a solver.
    Certificate,
    /// By the mixed-integer program.
    Program,
}

/// Answer to a minimisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Minimum {
    /// No feasible assignment is cheaper; to a solver, costs are equal that agree in nine digits.
    Optimal {
        /// The assignment; in as many digits, its bound equals its cost.
        placement: Placement,
        /// Why it is optimal.
        proof: Proof,
    },
    /// The best that was found in time.
    Feasible(Placement),
    /// No feasible assignment exists.
    Infeasible,
    /// Neither a feasible assignment nor a proof that there is none was found in time.
    Unknown {
        /// Lower bound of the nano-cost, should an assignment exist.
        bound: i64,
    },
}

/// Answer to the question whether any assignment keeps all constraints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feasibility {
    /// This one does.
    Feasible(Vec<usize>),
    /// None does.
    Infeasible,
    /// Not decided in time.
    Unknown,
}

/// Minimises `Σ cost[i][e(i)]`; with the costs of moving alone, the weighted number of moves. The seed
/// decides the solver's choices between equals.
#[must_use]
pub fn min_moves(model: &Model, seed: u64, stop: &Stop) -> Minimum {
    match certificate::certify(model) {
        Certificate::Optimal(placement) => Minimum::Optimal { placement, proof: Proof::Certificate },
        Certificate::Infeasible => Minimum::Infeasible,
        Certificate::Open { found, bound } => {
            rounds::minimise(model, Objective::Cost, found, bound, &Run { seed, stop })
        }
    }
}

/// Finds any assignment that keeps all constraints.
#[must_use]
pub fn feasibility(model: &Model, stop: &Stop) -> Feasibility {
    match certificate::certify(model) {
        Certificate::Optimal(Placement { assignment, .. })
        | Certificate::Open { found: Some(assignment), .. } => return Feasibility::Feasible(assignment),
        Certificate::Infeasible => return Feasibility::Infeasible,
        Certificate::Open { found: None, .. } => {}
    }
    if let Some(assignment) = packing::pack(model) {
        return Feasibility::Feasible(assignment);
    }
    match rounds::minimise(model, Objective::None, None, 0, &Run { seed: 0, stop }) {
        Minimum::Optimal { placement, .. } | Minimum::Feasible(placement) => {
            Feasibility::Feasible(placement.assignment)
        }
        Minimum::Infeasible => Feasibility::Infeasible,
        Minimum::Unknown { .. } => Feasibility::Unknown,
    }
}
