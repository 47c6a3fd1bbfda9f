//! Runs a built-in strategy: compiles the model, and turns the result into an outcome with proof and
//! explanation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::compile::{Compiled, Undecidable, Unknown, compile};
use super::cost::cost;
use super::exact::{self, Minimum, Placement};
use super::explain::{PlanProof, outcome};
use super::partial::PartialAssignment;
use super::{BuiltIn, Certificate, Outcome, Problem, Strategy, TimedOut, conflict, first_fit};
use crate::optimizer::{BuiltInStrategy, Stop};

/// Warning of a plan that was cut short.
const CUT: &str = "deciding took all the time that the server allows: the same problem may get another plan";

/// Decides a problem by the built-in strategy that it names.
///
/// Requirements that the clusters' data cannot decide count as not met as long as there is a placement
/// without them; else, unless the problem is strict, as few as suffice count as met, with a warning. Services
/// that rest on such a requirement already are not moved away from it.
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
    let mut outcome = with_unknowns(problem, |compiled| solve(strategy, compiled, stop), explained, stop)?;
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
    const REFUSED: &str = "the assignment breaks a constraint or names what does not exist";
    let permissive = compile(problem, Unknown::Allows)?;
    let ordinals = permissive.ordinals(assignment).ok_or(REFUSED)?;
    let open: BTreeSet<_> = PartialAssignment::of(&permissive, &ordinals).undecided().into_iter().collect();
    let waives = !open.is_empty() && !problem.strict;
    let compiled = compile(problem, if waives { Unknown::AllowsIn(open) } else { Unknown::Forbids })?;
    if !compiled.model.is_feasible(&ordinals) {
        return Err(REFUSED.to_owned());
    }
    Ok(outcome(&compiled, &ordinals, PlanProof::NONE, Vec::new()))
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

/// Models that may be solved to find out which undecidable requirements have to count as met.
const MOST_SOLVES: usize = 40;

/// Solves with undecidable requirements counted as not met, but for those that stand in the way of every
/// placement, and those that the services rest on already; `explained` adds to the answer why there is no
/// placement.
fn with_unknowns(
    problem: &Problem,
    solve: impl Fn(&Compiled<'_>) -> Outcome,
    explained: impl Fn(&Compiled<'_>, Outcome) -> Outcome,
    stop: &Stop,
) -> Result<Outcome, String> {
    let compiled = compile(problem, Unknown::Forbids)?;
    if problem.strict || compiled.undecidable.is_empty() {
        return Ok(explained(&compiled, solve(&compiled)));
    }
    let permissive = compile(problem, Unknown::Allows)?;
    let now = undecided_now(&permissive);
    let tried = |met: BTreeSet<Undecidable>| -> Result<Option<Outcome>, String> {
        let unknown = if met.is_empty() { Unknown::Forbids } else { Unknown::AllowsIn(met) };
        let outcome = solve(&compile(problem, unknown)?);
        Ok(outcome.plan().is_some().then_some(outcome))
    };
    if let Some(outcome) = tried(now.clone())? {
        return Ok(outcome);
    }
    if matches!(exact::feasibility(&permissive.model, stop), exact::Feasibility::Infeasible) {
        return Ok(explained(&permissive, solve(&permissive)));
    }
    let needed = needed(problem, &permissive.undecidable, &now, stop);
    if needed != now
        && let Some(outcome) = tried(needed)?
    {
        return Ok(outcome);
    }
    // A strategy that does not look back, or an assignment from outside, may rest on more.
    Ok(explained(&permissive, solve(&permissive)))
}

/// The undecidable requirements that the services rest on where they are.
fn undecided_now(permissive: &Compiled<'_>) -> BTreeSet<Undecidable> {
    let mut now = PartialAssignment::empty(permissive);
    for (item, current) in permissive.model.current.iter().enumerate() {
        current.iter().for_each(|cluster| now.place(item, *cluster));
    }
    now.undecided().into_iter().collect()
}

/// A set of undecidable requirements that have to count as met for a placement to exist, with none to spare
/// (the deletion filter of [`conflict`]), and those of `now`. All of them when it is not found out in time.
fn needed(
    problem: &Problem,
    all: &BTreeSet<Undecidable>,
    now: &BTreeSet<Undecidable>,
    stop: &Stop,
) -> BTreeSet<Undecidable> {
    let mut kept: Vec<Undecidable> = all.difference(now).copied().collect();
    let with_now = |met: &[Undecidable]| met.iter().chain(now).copied().collect::<BTreeSet<_>>();
    let is_enough = |met: &[Undecidable]| {
        let compiled = compile(problem, Unknown::AllowsIn(with_now(met)));
        compiled.is_ok_and(|compiled| {
            matches!(exact::feasibility(&compiled.model, stop), exact::Feasibility::Feasible(_))
        })
    };
    let mut chunk = kept.len().div_ceil(2).max(1);
    let mut solves = 0;
    while solves < MOST_SOLVES {
        let mut at = 0;
        while at < kept.len() && solves < MOST_SOLVES && !stop.is_due() {
            let mut fewer = kept.clone();
            fewer.drain(at..kept.len().min(at + chunk));
            solves += 1;
            if is_enough(&fewer) {
                kept = fewer;
            } else {
                at += chunk;
            }
        }
        if chunk == 1 || stop.is_due() {
            break;
        }
        chunk = chunk.div_ceil(2);
    }
    with_now(&kept)
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

/// The outcome when a solver says that there is no placement: the item that lacks capacity on every cluster, after
/// the others have been placed as far as possible. Should that find a placement, the solver erred, and it is used.
pub(super) fn infeasible(compiled: &Compiled<'_>) -> Outcome {
    match first_fit::first_fit(compiled) {
        Err(cause) => Outcome::Infeasible(*cause),
        Ok((assignment, reasons)) => {
            let mut found = outcome(compiled, &assignment, PlanProof::NONE, reasons);
            if let Outcome::Feasible(plan) = &mut found {
                plan.warnings
                    .push("the solver took the problem for infeasible; first-fit has found this".to_owned());
            }
            found
        }
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
        Minimum::Infeasible => infeasible(compiled),
        Minimum::Unknown { .. } => {
            timed_out(compiled, "no placement was found in time, and none is proven impossible")
        }
    }
}
