//! The mathematical-programming solver behind the exact strategies and the bounds.
//!
//! Models are formulated with `good_lp`; this is the only place that depends on the concrete solver. With the
//! feature `highs` it is `HiGHS`, otherwise microlp: pure Rust, and meant for some hundred integer variables.
//! One thread, no output: as long as no deadline ends a run, equal formulations and options give equal
//! answers.

use good_lp::{Constraint, Expression, IntoAffineExpression, ProblemVariables};

use super::Stop;

/// A linear or mixed-integer problem: minimise the objective subject to the constraints.
///
/// The objective has to be bounded below.
#[derive(Clone, Default)]
pub struct Formulation {
    /// The variables with their bounds, in the order of every vector of values.
    pub variables: ProblemVariables,
    /// The expression to minimise.
    pub objective: Expression,
    /// The rows, in the order of [`Solution::duals`].
    pub constraints: Vec<Constraint>,
}

impl Formulation {
    /// Whether some variable is an integer.
    #[must_use]
    pub fn is_mixed_integer(&self) -> bool {
        self.variables.iter_variables_with_def().any(|(_, definition)| definition.is_integer())
    }
}

/// How hard to try.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Stop as soon as objective − bound is at most this fraction of the objective.
    pub relative_gap: f64,
    /// Stop as soon as objective − bound is at most this; `HiGHS` only.
    pub absolute_gap: f64,
    /// Seed of the solver's choices between equals; `HiGHS` only.
    pub seed: u64,
    /// A feasible solution of the mixed-integer problem to start from, one value per variable.
    pub start: Option<Vec<f64>>,
}

/// The result of the solver.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Proven to be within the gaps asked for.
    Optimal(Solution),
    /// Stopped early with a feasible solution.
    Feasible(Solution),
    /// Proven that no solution exists, up to the solver's tolerances.
    Infeasible,
    /// Stopped early, or failed, without a solution; the lower bound of the objective as far as one is known.
    Unknown {
        /// Lower bound of every feasible objective.
        bound: Option<f64>,
    },
}

impl Answer {
    /// The solution, proven optimal or not.
    #[must_use]
    pub fn into_solution(self) -> Option<Solution> {
        match self {
            Self::Optimal(solution) | Self::Feasible(solution) => Some(solution),
            Self::Infeasible | Self::Unknown { .. } => None,
        }
    }
}

/// Values of the variables; they keep the constraints up to the solver's tolerances (about 1e-6) only.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// One value per variable; integer variables may be off by a tolerance and have to be rounded.
    pub values: Vec<f64>,
    /// The objective of these values.
    pub objective: f64,
    /// Lower bound of every feasible objective; `-inf` when none is known.
    pub bound: f64,
    /// Only for linear problems solved to optimality by `HiGHS`: by how much the objective grows per unit of
    /// each row's right-hand side (not positive for `<=`, not negative for `>=`).
    pub duals: Option<Vec<f64>>,
}

/// Solves a problem in the time that is left. A run that begins does not notice a cancellation.
#[must_use]
pub fn minimise(formulation: Formulation, options: &Options, stop: &Stop) -> Answer {
    if stop.is_due() {
        return Answer::Unknown { bound: None };
    }
    let constant = formulation.objective.constant();
    if formulation.variables.is_empty() {
        return without_variables(&formulation);
    }
    match backend::minimise(formulation, options, stop) {
        // Solvers leave the objective's constant out.
        Answer::Optimal(solution) => Answer::Optimal(solution.shifted(constant)),
        Answer::Feasible(solution) => Answer::Feasible(solution.shifted(constant)),
        Answer::Infeasible => Answer::Infeasible,
        Answer::Unknown { bound } => Answer::Unknown { bound: bound.map(|bound| bound + constant) },
    }
}

/// Rows without variables hold or not; solvers ignore them.
fn without_variables(formulation: &Formulation) -> Answer {
    let holds = |row: &Constraint| {
        let excess = row.expression().constant();
        if row.is_equality() { excess == 0.0 } else { excess <= 0.0 }
    };
    let objective = formulation.objective.constant();
    if formulation.constraints.iter().all(holds) {
        Answer::Optimal(Solution { values: Vec::new(), objective, bound: objective, duals: None })
    } else {
        Answer::Infeasible
    }
}

impl Solution {
    fn shifted(mut self, constant: f64) -> Self {
        self.objective += constant;
        self.bound += constant;
        self
    }
}

#[cfg(feature = "highs")]
mod backend {
    use good_lp::SolverModel;
    use highs::{HighsModelStatus as Status, HighsSolutionStatus, SolvedModel, TrySetOptionError};

    use super::{Answer, Formulation, Options, Solution, Stop};

    /// Nodes of one branch and bound.
    const MOST_NODES: i32 = 20_000;

    pub(super) fn minimise(formulation: Formulation, options: &Options, stop: &Stop) -> Answer {
        let integer = formulation.is_mixed_integer();
        let mut problem = formulation.variables.minimise(formulation.objective).using(good_lp::highs);
        for constraint in formulation.constraints {
            problem.add_constraint(constraint);
        }
        match solve(problem, options, stop, integer) {
            Some(solved) => {
                if solved.status() == Status::ReachedTimeLimit {
                    stop.note_cut();
                }
                read(&solved, integer)
            }
            None => Answer::Unknown { bound: None },
        }
    }

    /// Runs `HiGHS`; `None` when it refuses the model or breaks.
    ///
    /// `good_lp` hands over its model without options and start, and would not expose the bound afterwards.
    fn solve(
        problem: good_lp::solvers::highs::HighsProblem,
        options: &Options,
        stop: &Stop,
        integer: bool,
    ) -> Option<SolvedModel> {
        let mut model = problem.try_into_inner().ok()?;
        configure(&mut model, options, stop).ok()?;
        if let Some(start) = options.start.as_deref().filter(|_| integer) {
            // A start of the wrong length is refused: the solver then starts from nothing.
            model.try_set_solution(Some(start), None, None, None).ok();
        }
        model.try_solve().ok()
    }

    fn configure(model: &mut highs::Model, options: &Options, stop: &Stop) -> Result<(), TrySetOptionError> {
        model.try_set_option("threads", 1)?;
        model.try_set_option("parallel", "off")?;
        // Ends a run that would never end, at the same point on every machine.
        model.try_set_option("mip_max_nodes", MOST_NODES)?;
        model.try_set_option("mip_rel_gap", options.relative_gap)?;
        model.try_set_option("mip_abs_gap", options.absolute_gap)?;
        let seed = i32::try_from(options.seed & 0x7fff_ffff).unwrap_or_default();
        model.try_set_option("random_seed", seed)?;
        stop.time_left().map_or(Ok(()), |left| model.try_set_option("time_limit", left.as_secs_f64()))
    }

    fn read(solved: &SolvedModel, integer: bool) -> Answer {
        let status = solved.status();
        let optimal = status == Status::Optimal;
        let bound = if integer {
            solved.double_info_value(c"mip_dual_bound").ok().filter(|bound| bound.is_finite())
        } else {
            optimal.then(|| solved.objective_value())
        };
        match status {
            // The objective is bounded below.
            Status::Infeasible | Status::UnboundedOrInfeasible => return Answer::Infeasible,
            _ if solved.primal_solution_status() == HighsSolutionStatus::Feasible => {}
            _ => return Answer::Unknown { bound },
        }
        let values = solved.get_solution();
        let solution = Solution {
            values: values.columns().to_vec(),
            objective: solved.objective_value(),
            bound: bound.unwrap_or(f64::NEG_INFINITY),
            duals: (optimal && !integer).then(|| values.dual_rows().to_vec()),
        };
        if optimal { Answer::Optimal(solution) } else { Answer::Feasible(solution) }
    }
}

#[cfg(not(feature = "highs"))]
mod backend {
    use good_lp::{
        ResolutionError, Solution as _, SolutionStatus, SolverModel, Variable, WithInitialSolution,
        WithMipGap, WithTimeLimit,
    };

    use super::{Answer, Formulation, Options, Solution, Stop};

    pub(super) fn minimise(formulation: Formulation, options: &Options, stop: &Stop) -> Answer {
        let integer = formulation.is_mixed_integer();
        let variables: Vec<Variable> =
            formulation.variables.iter_variables_with_def().map(|(variable, _)| variable).collect();
        let problem = formulation.variables.minimise(formulation.objective).using(good_lp::microlp);
        // Only a negative or infinite gap is refused.
        #[expect(clippy::cast_possible_truncation, reason = "good_lp takes the gap in single precision")]
        let Ok(mut problem) = problem.with_mip_gap(options.relative_gap as f32) else {
            return Answer::Unknown { bound: None };
        };
        if let Some(left) = stop.time_left() {
            problem = problem.with_time_limit(left.as_secs_f64());
        }
        if let Some(start) = options.start.as_ref().filter(|_| integer) {
            problem = problem.with_initial_solution(variables.iter().copied().zip(start.iter().copied()));
        }
        for constraint in formulation.constraints {
            problem.add_constraint(constraint);
        }
        match problem.solve() {
            Ok(solved) => {
                if matches!(solved.status(), SolutionStatus::TimeLimit) {
                    stop.note_cut();
                }
                read(solved, &variables)
            }
            Err(ResolutionError::Infeasible) => Answer::Infeasible,
            Err(_) => Answer::Unknown { bound: None },
        }
    }

    fn read(solved: good_lp::solvers::microlp::MicroLpSolution, variables: &[Variable]) -> Answer {
        let values = variables.iter().map(|variable| solved.value(*variable)).collect();
        let status = solved.status();
        let solved = solved.into_inner();
        let objective = solved.objective();
        let bound = match status {
            SolutionStatus::Optimal => objective,
            // Relative to the objective, which is how microlp stops.
            _ => solved.gap().map_or(f64::NEG_INFINITY, |gap| objective - gap * objective.abs()),
        };
        let solution = Solution { values, objective, bound, duals: None };
        match status {
            SolutionStatus::TimeLimit => Answer::Feasible(solution),
            SolutionStatus::Optimal | SolutionStatus::GapLimit => Answer::Optimal(solution),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use good_lp::{constraint, variable};

    use super::*;

    /// Minimise 5 − 3x − 2y over integers with 2x + y <= 7 and x + 2y <= 8, 0 <= x, y <= 10.
    fn knapsack() -> Formulation {
        let mut formulation = Formulation::default();
        let x = formulation.variables.add(variable().integer().clamp(0, 10));
        let y = formulation.variables.add(variable().integer().clamp(0, 10));
        formulation.objective = 5.0 - 3 * x - 2 * y;
        formulation.constraints = vec![constraint!(2 * x + y <= 7), constraint!(x + 2 * y <= 8)];
        formulation
    }

    #[test]
    fn an_integer_problem_is_solved_with_its_constant_and_bound() {
        // (2, 3): 5 − 6 − 6 = −7; (3, 1) gives −6 and the relaxation's (2, 3) is integer already.
        let Answer::Optimal(solution) = minimise(knapsack(), &Options::default(), &Stop::never()) else {
            panic!()
        };
        assert_eq!(solution.values.iter().map(|value| value.round()).collect::<Vec<_>>(), [2.0, 3.0]);
        assert!((solution.objective + 7.0).abs() < 1e-6 && (solution.bound + 7.0).abs() < 1e-6);
        assert_eq!(solution.duals, None);
    }

    #[test]
    fn a_start_and_a_seed_change_nothing_of_the_optimum() {
        let options = Options { start: Some(vec![3.0, 1.0]), seed: u64::MAX, ..Options::default() };
        let Answer::Optimal(solution) = minimise(knapsack(), &options, &Stop::never()) else { panic!() };
        assert!((solution.objective + 7.0).abs() < 1e-6);
    }

    #[test]
    fn contradicting_rows_are_infeasible() {
        let mut formulation = knapsack();
        let x = formulation.variables.add(variable().integer().clamp(0, 1));
        formulation.constraints.push(constraint!(2 * x == 1));
        assert_eq!(minimise(formulation, &Options::default(), &Stop::never()), Answer::Infeasible);
    }

    #[test]
    fn an_empty_problem_costs_its_constant() {
        let formulation = Formulation { objective: Expression::from(4.0), ..Formulation::default() };
        let Answer::Optimal(solution) = minimise(formulation, &Options::default(), &Stop::never()) else {
            panic!()
        };
        assert_eq!((solution.objective, solution.bound, solution.values), (4.0, 4.0, Vec::new()));
    }

    #[test]
    fn an_empty_sum_is_not_one() {
        let constraints = vec![constraint!(Expression::default() == 1.0)];
        let formulation = Formulation { constraints, ..Formulation::default() };
        assert_eq!(minimise(formulation, &Options::default(), &Stop::never()), Answer::Infeasible);
    }

    #[test]
    fn a_solver_does_not_begin_once_the_time_is_over_or_nobody_waits() {
        let cancelled = Stop::never();
        cancelled.cancel();
        for stop in [Stop::at(Instant::now()), cancelled] {
            let answer = minimise(knapsack(), &Options::default(), &stop);
            assert_eq!(answer, Answer::Unknown { bound: None });
            assert!(stop.has_cut());
        }
    }

    #[test]
    fn a_deadline_far_away_changes_nothing() {
        let stop = Stop::never().within(Duration::from_secs(3600));
        let answer = minimise(knapsack(), &Options::default(), &stop);
        assert_eq!(answer, minimise(knapsack(), &Options::default(), &Stop::never()));
        assert!(!stop.has_cut());
    }

    #[cfg(feature = "highs")]
    #[test]
    fn duals_say_what_a_unit_of_the_right_hand_side_is_worth() {
        // Minimise 3x + y with x + y >= 4 and y <= 3: x = 1, y = 3. One more to cover costs 3; one more of y
        // saves 2.
        let mut formulation = Formulation::default();
        let x = formulation.variables.add(variable().min(0));
        let y = formulation.variables.add(variable().min(0));
        formulation.objective = 3 * x + y;
        formulation.constraints = vec![constraint!(x + y >= 4), constraint!(y <= 3)];
        let Answer::Optimal(solution) = minimise(formulation, &Options::default(), &Stop::never()) else {
            panic!()
        };
        let duals = solution.duals.unwrap();
        assert!((duals[0] - 3.0).abs() < 1e-6 && (duals[1] + 2.0).abs() < 1e-6, "{duals:?}");
    }
}
