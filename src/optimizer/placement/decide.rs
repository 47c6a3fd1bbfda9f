//! Runs a built-in strategy: compiles the model, and turns the result into an outcome with proof and
//! explanation.

use std::collections::BTreeMap;

use std::time::Duration;

use super::compile::{Compiled, Unknown, compile};
use super::cost::cost;
use super::exact::{self, Minimum, Placement};
use super::explain::{PlanProof, outcome};
use super::partial::PartialAssignment;
use super::{BuiltIn, Certificate, Infeasibility, Outcome, Problem, Strategy, TimedOut, conflict, first_fit};
use crate::optimizer::{BuiltInStrategy, Stop};

/// Warning of a plan that was cut short.
const CUT: &str = "deciding took all the time that the server allows: the same problem may get another plan";

/// Decides a problem by the built-in strategy that it names.
///
/// Requirements that the clusters' data cannot decide count as not met as long as there is a placement
/// without them; else, unless the problem is strict, as met, with a warning. Services that rest on such a
/// requirement already are not moved away from it.
///
/// # Errors
/// The strategy is not built in, or the problem has repeated names or numbers that are too large.
pub fn decide(problem: &Problem) -> Result<Outcome, String> {
    decide_within(problem, &Stop::never())
}

/// As [`decide`], but ends when it has to, with the best that was found. A deadline that the problem asks for
/// holds as well.
///
/// # Errors
/// As [`decide`].
pub fn decide_within(problem: &Problem, stop: &Stop) -> Result<Outcome, String> {
    let asked = problem.limits.deadline_ms.map(Duration::from_millis);
    let stop = &asked.map_or_else(|| stop.clone(), |time| stop.within(time));
    let strategy = match &problem.strategy {
        Strategy::BuiltIn(strategy) => *strategy,
        Strategy::External(name) => {
            let known = BuiltIn::names();
            return Err(format!("there is no strategy {name:?}; built in are {known}"));
        }
    };
    let explained = |compiled: &Compiled<'_>, outcome| match outcome {
        Outcome::Infeasible(cause) => Outcome::Infeasible(conflict::explained(compiled, cause, stop)),
        other => other,
    };
    let mut outcome = with_unknowns(problem, |compiled| solve(strategy, compiled, stop), explained)?;
    if stop.has_cut() {
        note_cut(&mut outcome, asked.is_some());
    }
    Ok(outcome)
}

/// The outcome of an assignment that another program made, checked against the constraints.
///
/// # Errors
/// The faults of the assignment.
pub fn adopt(problem: &Problem, assignment: &BTreeMap<String, String>) -> Result<Outcome, String> {
    let solve = |compiled: &Compiled<'_>| match compiled.ordinals(assignment) {
        Some(ordinals) if compiled.model.is_feasible(&ordinals) => {
            outcome(compiled, &ordinals, PlanProof::NONE, Vec::new())
        }
        _ => timed_out(compiled, "the assignment breaks a constraint or names what does not exist"),
    };
    match with_unknowns(problem, solve, |_, outcome| outcome)? {
        Outcome::TimedOut(refused) => Err(refused.summary),
        other => Ok(other),
    }
}

/// Says of an outcome that its making was cut short; `asked` when the problem asked for the deadline itself.
fn note_cut(outcome: &mut Outcome, asked: bool) {
    match outcome {
        Outcome::Optimal(plan) | Outcome::Feasible(plan) => {
            plan.reproducible = false;
            if !asked {
                plan.warnings.push(CUT.to_owned());
            }
        }
        Outcome::Infeasible(cause) => cause.cut_short = true,
        Outcome::TimedOut(_) => {}
    }
}

/// Solves with undecidable requirements counted as not met where possible, else as met; `explained` adds to
/// the answer why there is no placement.
fn with_unknowns(
    problem: &Problem,
    solve: impl Fn(&Compiled<'_>) -> Outcome,
    explained: impl Fn(&Compiled<'_>, Outcome) -> Outcome,
) -> Result<Outcome, String> {
    let compiled = compile(problem, Unknown::Forbids)?;
    if problem.strict || !compiled.undecidable {
        return Ok(explained(&compiled, solve(&compiled)));
    }
    let permissive = compile(problem, Unknown::Allows)?;
    let mut now = PartialAssignment::empty(&permissive);
    for (item, current) in permissive.model.current.iter().enumerate() {
        current.iter().for_each(|cluster| now.place(item, *cluster));
    }
    if now.unknowns().is_empty() {
        let decided = solve(&compiled);
        if decided.plan().is_some() {
            return Ok(decided);
        }
    }
    Ok(explained(&permissive, solve(&permissive)))
}

fn solve(strategy: BuiltIn, compiled: &Compiled<'_>, stop: &Stop) -> Outcome {
    match strategy {
        BuiltIn::FirstFit => match first_fit::first_fit(compiled) {
            Ok((assignment, reasons)) => outcome(compiled, &assignment, PlanProof::NONE, reasons),
            Err(cause) => Outcome::Infeasible(*cause),
        },
        BuiltIn::MinMoves => min_moves(compiled, stop),
        BuiltIn::Cost | BuiltIn::Green => cost(compiled, stop),
    }
}

pub(super) fn timed_out(compiled: &Compiled<'_>, summary: &str) -> Outcome {
    Outcome::TimedOut(TimedOut { strategy: compiled.problem.strategy.clone(), summary: summary.to_owned() })
}

/// The item that lacks capacity on every cluster, after the others have been placed as far as possible.
pub(super) fn infeasible(compiled: &Compiled<'_>) -> Infeasibility {
    match first_fit::first_fit(compiled) {
        Err(cause) => *cause,
        // Impossible: a placement was found where none exists. Detecting that is left to the checker.
        Ok(_) => first_fit::no_cluster(compiled, 0, Vec::new()),
    }
}

fn min_moves(compiled: &Compiled<'_>, stop: &Stop) -> Outcome {
    let proven = |placement: Placement, certificate| {
        let proof = PlanProof { bound: Some(placement.bound), certificate };
        outcome(compiled, &placement.assignment, proof, Vec::new())
    };
    match exact::min_moves(&compiled.model, compiled.problem.limits.seed, stop) {
        Minimum::Optimal { placement, proof: exact::Proof::Certificate } => {
            proven(placement, Certificate::Counting)
        }
        Minimum::Optimal { placement, proof: exact::Proof::Program } | Minimum::Feasible(placement) => {
            proven(placement, Certificate::Milp)
        }
        Minimum::Infeasible => Outcome::Infeasible(infeasible(compiled)),
        Minimum::Unknown { .. } => {
            timed_out(compiled, "no placement was found in time, and none is proven impossible")
        }
    }
}
