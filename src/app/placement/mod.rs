//! Where the services of a graph go: builds the problem, has it decided, checks the answer, and keeps the record.

mod policy;
mod problem;
mod reschedule;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

pub use policy::PlacementOptions;
use policy::{Occasion, resolve};
pub use reschedule::{Move, Proposal, Rescheduling};

use super::App;
use crate::error::{Error, Result};
use crate::hdag::Descriptor;
use crate::model::DecisionRecord;
use crate::optimizer::placement::{self, BUILT_IN, Outcome, Plan, Problem, adopt, check};
use crate::store::SnapshotEpochs;

/// What a decision about clusters is called in the store.
pub(super) const PLACEMENT: &str = "placement";

/// A decision and the record of how it came about.
pub(super) struct Decided {
    outcome: Outcome,
    pub(super) record: DecisionRecord,
}

impl Decided {
    /// The plan.
    ///
    /// # Errors
    /// There is no placement, or none was found in time.
    pub(super) fn plan(&self) -> Result<&Plan> {
        match &self.outcome {
            Outcome::Optimal(plan) | Outcome::Feasible(plan) => Ok(plan),
            Outcome::Infeasible(cause) => Err(Error::Infeasible(Box::new(cause.clone()))),
            Outcome::TimedOut(cause) => {
                Err(Error::Conflict(format!("{}: {}", cause.strategy, cause.summary)))
            }
        }
    }
}

impl App {
    /// Decides where the services of a new graph go.
    ///
    /// # Errors
    /// The known state of the clusters is too old, the strategy does not exist, or nothing fits.
    pub(super) async fn decide_placement(
        &self,
        project: &str,
        descriptor: &Descriptor,
        at: DateTime<Utc>,
    ) -> Result<(Decided, SnapshotEpochs)> {
        let snapshot = self.parts.ledger.snapshot_for(&descriptor.id, at).await?;
        let settings = &self.parts.settings.placement;
        let policy = resolve(settings, project, descriptor, Occasion::New, &PlacementOptions::default())?;
        let problem = problem::problem(descriptor, &snapshot, policy);
        let mut decided = self.decide(problem, at).await?;
        decided.plan()?;
        decided.record.applied_at = Some(at);
        Ok((decided, snapshot.capacity.epochs()))
    }

    /// Has a problem decided by its strategy; the independent checker accepts every plan before anyone sees it.
    ///
    /// # Errors
    /// The problem or the plan is wrong.
    async fn decide(&self, problem: Problem, at: DateTime<Utc>) -> Result<Decided> {
        let begun = Instant::now();
        let (problem, outcome) = if BUILT_IN.contains(&problem.strategy.as_str()) {
            self.decide_built_in(problem).await?
        } else {
            self.decide_outside(problem).await?
        };
        let duration = begun.elapsed();
        tracing::info!(
            graph.name = %problem.graph,
            duration_ms = duration.as_millis(),
            "placement of {} by {}: {}",
            problem.graph,
            problem.strategy,
            outcome.word()
        );
        let record = record(&problem, &outcome, duration, at)?;
        Ok(Decided { outcome, record })
    }

    /// Solves on the blocking pool, one after the other: a solve keeps a core busy.
    async fn decide_built_in(&self, problem: Problem) -> Result<(Problem, Outcome)> {
        let _one_at_a_time =
            self.parts.solving.acquire().await.map_err(|error| Error::Internal(error.into()))?;
        let solve = move || {
            let outcome = placement::decide(&problem);
            (problem, outcome)
        };
        let solved =
            tokio::task::spawn_blocking(solve).await.map_err(|error| Error::Internal(error.into()))?;
        let (problem, outcome) = solved;
        let outcome = outcome.map_err(|message| Error::invalid("/hdaGraph", message))?;
        verify(&problem, &outcome)?;
        Ok((problem, outcome))
    }

    /// Asks an external strategy; when it fails or answers something that cannot be used, its fallback decides.
    async fn decide_outside(&self, mut problem: Problem) -> Result<(Problem, Outcome)> {
        let name = problem.strategy.clone();
        let settings = self.parts.settings.placement.external.get(&name);
        let settings =
            settings.ok_or_else(|| Error::Internal(format!("no external strategy {name}").into()))?;
        let refusal = match self.parts.outside.ask_placement(&name, settings, &problem).await {
            Ok(assignment) => match adopt(&problem, &assignment) {
                Ok(outcome) => {
                    verify(&problem, &outcome)?;
                    return Ok((problem, outcome));
                }
                Err(message) => message,
            },
            Err(error) => error.to_string(),
        };
        let message =
            format!("strategy {name} gave no usable answer, {} decided: {refusal}", settings.fallback);
        tracing::warn!(graph.name = %problem.graph, "{message}");
        problem.strategy.clone_from(&settings.fallback);
        problem.warnings.push(message);
        self.decide_built_in(problem).await
    }
}

/// No plan is acted on unless the independent checker accepts it.
fn verify(problem: &Problem, outcome: &Outcome) -> Result<()> {
    check(problem, outcome).map_err(|violations| {
        tracing::error!(
            ?problem,
            ?outcome,
            "the plan of strategy {} is wrong: {violations:?}",
            problem.strategy
        );
        Error::Internal(format!("strategy {} gave a wrong plan", problem.strategy).into())
    })
}

fn record(
    problem: &Problem,
    outcome: &Outcome,
    duration: Duration,
    at: DateTime<Utc>,
) -> Result<DecisionRecord> {
    Ok(DecisionRecord {
        id: Uuid::now_v7(),
        graph: problem.graph.clone(),
        kind: PLACEMENT.to_owned(),
        problem: to_value(problem)?,
        plan: to_value(outcome)?,
        strategy: problem.strategy.clone(),
        outcome: outcome.word().to_owned(),
        duration_ms: i64::try_from(duration.as_millis()).ok(),
        created_at: at,
        applied_at: None,
    })
}

pub(super) fn to_value(data: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(data).map_err(|error| Error::Internal(error.into()))
}
