//! Lower bounds of the cost objective by Lagrangian decomposition, and exact optima of small models.
//!
//! The variables are `x[i][e]` (item on cluster) and `u[e]` (cluster in use). Copies of them split the
//! problem in three, each of which is solved exactly for given multipliers; the sum of the three minima is a
//! bound (M. Guignard, S. Kim, *Lagrangean decomposition*, Mathematical Programming 39, 1987):
//!
//! ```text
//! pairs     min Σ (cost + price)[i][e]·x[i][e] + traffic, each item on one cluster, pair rules kept   (`pairs`)
//! clusters  Σe min(0, activation − duty − rents + min over sets of items that fit Σ (rent·demand − price)
//!                     + overload)                                                          ([`clusters`])
//! covering  min Σ duty[e]·u[e], clusters in use hold the demand of all items                          ([`clusters`])
//! ```
//!
//! Knapsacks with the activation inside are stronger than the LP relaxation with `u` in its capacity rows:
//! neither items nor activations are cut. Traffic is bounded by the local polytope, as in the flow LP,
//! through message passing (`pairs`); prices, rents and duties rise by subgradient steps (`ascent`); branch
//! and bound closes the remaining gap (`branch_and_bound`).
//!
//! *Validity.* Any non-negative multipliers give a bound, so how they were found does not matter: floats
//! search, then multipliers are rounded to integers and every minimum is taken again in integers
//! (`dual::Dual::certify`). Demands are rounded down to knapsack cells, capacities of the covering problem
//! up. Nothing depends on a tolerance, except for [`exact_cost`], which believes its solver.

mod ascent;
mod branch_and_bound;
mod clusters;
mod domain;
mod dual;
mod knapsack;
mod milp;
mod pairs;

#[cfg(test)]
mod tests;

use std::time::Instant;

use super::model::Model;
use crate::optimizer::Stop;
use ascent::{Pace, Schedule};
use branch_and_bound::Search;
use dual::Dual;
pub use milp::{Exact, exact_cost};

/// How much work a bound may cost. Without a deadline, equal models give equal bounds on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Rounds of ascent at the root: a message pass, all knapsacks, one step.
    pub rounds: usize,
    /// Nodes of the branch and bound to split; one costs as much as 120 rounds.
    pub nodes: usize,
    /// Time to use up: step lengths follow it, and the root may take all of it if its rounds do not end
    /// before.
    pub deadline: Option<Instant>,
}

/// Items × clusters up to which branching raises the bound noticeably.
const SEARCHABLE: usize = 1000;

impl Effort {
    /// Next to a search for assignments: 0.2 s of CPU for 50 items on 10 clusters, 0.8 s for 1000 on 50.
    #[must_use]
    pub fn quick(model: &Model) -> Self {
        Self::of(model, 6_000_000, 40, 1000, 30_000)
    }

    /// For a proof: no more than about 10 s of CPU for up to 1000 items on 50 clusters.
    #[must_use]
    pub fn thorough(model: &Model) -> Self {
        Self::of(model, 75_000_000, 200, 3000, 1_500_000)
    }

    /// Rounds and nodes in inverse proportion to the size.
    fn of(model: &Model, rounds: usize, least: usize, most: usize, nodes: usize) -> Self {
        let size = (model.items() * model.clusters()).max(1);
        let nodes = if size <= SEARCHABLE { nodes / size } else { 0 };
        Self { rounds: (rounds / size).clamp(least, most), nodes, deadline: None }
    }
}

/// Steps of the root: long at first, as its multipliers start far away.
const ROOT: Schedule = Schedule { rounds: 0, first: 0.2, last: 0.002, memory: 0.95 };
/// Sums of costs from here on could overflow with the multipliers.
const COST_LIMIT: f64 = (1_u64 << 58) as f64;

/// A valid lower bound, nano-cost: no feasible assignment costs less. `i64::MAX` when it is proven that there
/// is no feasible assignment. `upper` is the cost of an incumbent, if there is one: it sets step lengths,
/// cuts the search, and the bound is never above it.
#[must_use]
pub fn lower_bound(model: &Model, upper: Option<i64>, effort: &Effort, stop: &Stop) -> i64 {
    if model.cost_ceiling() > COST_LIMIT {
        return 0;
    }
    let dual = Dual::new(model);
    run(&dual, upper, effort, stop).bound()
}

/// Minimises the cost by branch and bound on the same bound, from a feasible assignment, if there is one.
/// With enough effort the answer is an exact optimum, proven in integers.
#[must_use]
pub fn branch_and_bound(model: &Model, start: Option<&[usize]>, effort: &Effort, stop: &Stop) -> Exact {
    let start = start.filter(|start| model.is_feasible(start));
    let start = start.map(|start| (start.to_vec(), model.cost_of(start)));
    if model.cost_ceiling() > COST_LIMIT {
        return Exact { incumbent: start, bound: 0 };
    }
    let dual = Dual::new(model);
    let search = run(&dual, start.as_ref().map(|(_, cost)| *cost), effort, stop);
    let bound = search.bound();
    Exact { incumbent: search.into_found().or(start), bound }
}

fn run<'a>(dual: &'a Dual<'a>, upper: Option<i64>, effort: &Effort, stop: &'a Stop) -> Search<'a> {
    let pace = Pace { deadline: effort.deadline, stop };
    let mut search = Search::new(dual, upper, Schedule { rounds: effort.rounds, ..ROOT }, pace);
    for _ in 0..effort.nodes {
        if !search.step() {
            break;
        }
    }
    search
}
