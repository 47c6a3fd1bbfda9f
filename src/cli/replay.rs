//! `smo replay`: makes a recorded decision again, and compares.

use std::path::Path;

use serde_json::Value;
use thiserror::Error;

use super::{CliError, print, read};
use crate::optimizer::placement::{self, Outcome, Problem, report};
use crate::optimizer::scaling::{self, BuiltIn, ScalingOutcome, ScalingProblem};
use crate::optimizer::{Stop, Strategy};

/// Why a decision cannot be replayed.
#[derive(Debug, Error)]
pub(super) enum ReplayError {
    /// The text is not a decision.
    #[error("not a decision with `problem` and `answer`")]
    NotADecision(#[source] serde_json::Error),
    /// The problem cannot be decided here.
    #[error("{0}")]
    Undecidable(String),
}

/// Prints the decision made again, and says on standard error whether it is the recorded one.
pub(super) fn run(file: &Path) -> Result<(), CliError> {
    let text = read(file)?;
    let replayed = replay(&text).map_err(|source| CliError::Replay { path: file.to_owned(), source })?;
    print(&replayed.text);
    match replayed.same {
        Some(true) => eprintln!("smo: the same as recorded"),
        Some(false) => return Err(CliError::Differs(file.to_owned())),
        None => eprintln!("smo: decided under a time limit or by an external program; a replay may differ"),
    }
    Ok(())
}

/// A decision made again.
struct Replayed {
    /// The decision made now, for people.
    text: String,
    /// Whether it is the recorded one, bit for bit; `None` when it need not be, since a clock ended its
    /// making or another program made it.
    same: Option<bool>,
}

/// Replays a decision as the server shows it.
fn replay(text: &str) -> Result<Replayed, ReplayError> {
    let decision: Value = serde_json::from_str(text).map_err(ReplayError::NotADecision)?;
    let (problem, answer) = (decision["problem"].clone(), decision["answer"].clone());
    if decision["kind"] == "scaling" { scaling(problem, answer) } else { placement(problem, answer) }
}

fn placement(problem: Value, answer: Value) -> Result<Replayed, ReplayError> {
    let problem: Problem = serde_json::from_value(problem).map_err(ReplayError::NotADecision)?;
    let recorded: Outcome = serde_json::from_value(answer).map_err(ReplayError::NotADecision)?;
    let decided = match (&problem.strategy, recorded.plan()) {
        // Another program decided it: only what follows from the assignment can be computed again.
        (Strategy::External(_), Some(plan)) => placement::adopt(&problem, &plan.assignment),
        (Strategy::External(_), None) | (Strategy::BuiltIn(_), _) => placement::decide(&problem),
    };
    let decided = decided.map_err(ReplayError::Undecidable)?;
    let same = is_reproducible(&problem, &recorded).then(|| decided == recorded);
    Ok(Replayed { text: report(&problem, &decided), same })
}

/// Whether no clock had a part in a decision.
fn is_reproducible(problem: &Problem, recorded: &Outcome) -> bool {
    problem.limits.deadline_ms.is_none()
        && match recorded {
            Outcome::Optimal(plan) | Outcome::Feasible(plan) => plan.reproducible,
            Outcome::Infeasible(cause) => !cause.cut_short,
            Outcome::TimedOut(_) => false,
        }
}

fn scaling(problem: Value, answer: Value) -> Result<Replayed, ReplayError> {
    let problem: ScalingProblem = serde_json::from_value(problem).map_err(ReplayError::NotADecision)?;
    let recorded: ScalingOutcome = serde_json::from_value(answer).map_err(ReplayError::NotADecision)?;
    let strategy = match &recorded {
        ScalingOutcome::Decided(plan) => plan.strategy.clone(),
        ScalingOutcome::Infeasible(cause) => cause.strategy.clone(),
        ScalingOutcome::Invalid(_) => BuiltIn::Exact.into(),
    };
    let Strategy::BuiltIn(strategy) = strategy else {
        return Ok(Replayed { text: scaling::report(&problem, &recorded), same: None });
    };
    let decided = scaling::decide(&problem, strategy, &Stop::never());
    let cut_short = match &recorded {
        ScalingOutcome::Decided(plan) => plan.cut_short,
        ScalingOutcome::Infeasible(cause) => cause.cut_short,
        ScalingOutcome::Invalid(_) => false,
    };
    let same = (!cut_short).then(|| decided == recorded);
    Ok(Replayed { text: scaling::report(&problem, &decided), same })
}
