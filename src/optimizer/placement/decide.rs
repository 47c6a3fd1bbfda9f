//! Built-in strategies by name, and what surrounds every one: the model, the proof, the explanation.

use std::collections::BTreeMap;

use crate::optimizer::BuiltInStrategy;

use super::compile::{Compiled, Unknown, compile};
use super::cost::cost;
use super::exact::{self, Minimum, Placement};
use super::explain::{Proof, outcome};
use super::partial::PartialAssignment;
use super::{BuiltIn, Certificate, Infeasibility, Outcome, Problem, Strategy, TimedOut, conflict, first_fit};

/// Decides a problem by the built-in strategy that it names.
///
/// Requirements that the clusters' data cannot decide count as not met as long as there is a placement without them;
/// else, unless the problem is strict, as met, with a warning. Services that rest on such a requirement already are
/// not moved away from it.
///
/// # Errors
/// The strategy is not built in, or the problem has repeated names or numbers that are too large.
pub fn decide(problem: &Problem) -> Result<Outcome, String> {
    let strategy = match &problem.strategy {
        Strategy::BuiltIn(strategy) => *strategy,
        Strategy::External(name) => {
            let known = BuiltIn::names();
            return Err(format!("there is no strategy {name:?}; built in are {known}"));
        }
    };
    with_unknowns(problem, |compiled| solve(strategy, compiled))
}

/// The outcome of an assignment that somebody else made, checked against the constraints.
///
/// # Errors
/// What is wrong with it.
pub fn adopt(problem: &Problem, assignment: &BTreeMap<String, String>) -> Result<Outcome, String> {
    let adopted = with_unknowns(problem, |compiled| match compiled.ordinals(assignment) {
        Some(ordinals) if compiled.model.is_feasible(&ordinals) => {
            outcome(compiled, &ordinals, Proof::NONE, Vec::new())
        }
        _ => timed_out(compiled, "the assignment breaks a constraint or names what does not exist"),
    })?;
    match adopted {
        Outcome::TimedOut(refused) => Err(refused.summary),
        other => Ok(other),
    }
}

fn with_unknowns(problem: &Problem, solve: impl Fn(&Compiled<'_>) -> Outcome) -> Result<Outcome, String> {
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

/// Adds to an infeasible outcome why, and what would help.
fn explained(compiled: &Compiled<'_>, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Infeasible(cause) => Outcome::Infeasible(conflict::explained(compiled, cause)),
        other => other,
    }
}

fn solve(strategy: BuiltIn, compiled: &Compiled<'_>) -> Outcome {
    match strategy {
        BuiltIn::FirstFit => match first_fit::first_fit(compiled) {
            Ok((assignment, reasons)) => outcome(compiled, &assignment, Proof::NONE, reasons),
            Err(cause) => Outcome::Infeasible(*cause),
        },
        BuiltIn::MinMoves => min_moves(compiled),
        BuiltIn::Cost | BuiltIn::Green => cost(compiled),
    }
}

pub(super) fn timed_out(compiled: &Compiled<'_>, summary: &str) -> Outcome {
    Outcome::TimedOut(TimedOut { strategy: compiled.problem.strategy.clone(), summary: summary.to_owned() })
}

/// Where nothing fits: the item that lacks room on every cluster, the rest being placed as far as it goes.
pub(super) fn infeasible(compiled: &Compiled<'_>) -> Infeasibility {
    match first_fit::first_fit(compiled) {
        Err(cause) => *cause,
        // Cannot be: a placement was found where none exists. The checker's work, not ours.
        Ok(_) => first_fit::no_cluster(compiled, 0, Vec::new()),
    }
}

fn min_moves(compiled: &Compiled<'_>) -> Outcome {
    let limits = &compiled.problem.limits;
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a deadline are far below 2^53")]
    let time_limit = limits.deadline_ms.map(|ms| ms as f64 / 1000.0);
    let proven = |placement: Placement, certificate| {
        let proof = Proof { bound: Some(placement.bound), certificate };
        outcome(compiled, &placement.assignment, proof, Vec::new())
    };
    match exact::min_moves(&compiled.model, &exact::Budget { time_limit, seed: limits.seed }) {
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
