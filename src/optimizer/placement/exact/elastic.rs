//! Missing capacity: the placement program with extensible capacities.

use good_lp::{Expression, variable};

use super::super::{Model, RESOURCES};
use super::groups::{Grouping, Objective};
use super::packing::shares;
use super::program::Program;
use crate::optimizer::Stop;
use crate::optimizer::solver::{self, Formulation};

/// The objective counts parts per million of the total demand.
const PARTS: f64 = 1e6;
/// The reported sum may exceed the minimum by this fraction.
const GAP: f64 = 1e-2;

/// The minimum additional capacity, per cluster and resource, with which an assignment exists that keeps all
/// other rules; all zeros for a feasible model. Resources are weighted by the total demand of all items, and
/// the weighted sum is within one percent of the minimum.
///
/// `None` when no capacity helps, or when no way was found in time. When stopped early, the additional
/// capacity suffices but may be further from the minimum.
#[must_use]
pub fn elastic(model: &Model, stop: &Stop) -> Option<Vec<[i64; RESOURCES]>> {
    let program = Program::new(model, Objective::None, Grouping::Alike);
    let options = solver::Options { relative_gap: GAP, ..solver::Options::default() };
    let solution = solver::minimise(formulation(model, &program), &options, stop).into_solution()?;
    let assignment = program.assignment(&solution.values)?;
    let missing = |(used, capacity): (&[i64; RESOURCES], &[i64; RESOURCES])| {
        std::array::from_fn(|resource| (used[resource] - capacity[resource]).max(0))
    };
    Some(model.used(&assignment).iter().zip(&model.capacity).map(missing).collect())
}

fn formulation(model: &Model, program: &Program<'_>) -> Formulation {
    let share = shares(model);
    let mut formulation = program.formulation.clone();
    formulation.objective = Expression::default();
    for load in program.loads() {
        let scale = program.scales[load.resource];
        let extra = formulation.variables.add(variable().min(0.0));
        formulation.objective.add_mul(PARTS * share[load.resource] / scale.ratio(1), extra);
        let capacity = scale.ratio(model.capacity[load.cluster][load.resource]);
        formulation.constraints.push((load.sum - extra).leq(capacity));
    }
    formulation
}
