//! Decisions from problem to record: the strategy, built in or external, and the independent check of its
//! answer. The same for placement and scaling.
//!
//! Built-in strategies run on the blocking pool, few at a time. A solve keeps its permit until its *thread*
//! has ended, whether or not its caller is still there; when the caller goes away, the solve is asked to end.

mod queue;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

pub(in crate::app) use self::queue::Caller;
use self::queue::SolveQueue;
use crate::clients::{ClientError, Outside};
use crate::config::{ExternalStrategies, IntentHandler, Settings};
use crate::error::{Error, Result};
use crate::hdag::Descriptor;
use crate::model::DecisionRecord;
use crate::optimizer::placement::{self, Outcome, Plan, Problem};
use crate::optimizer::scaling::{self, ScalingInfeasibility, ScalingOutcome, ScalingProblem};
use crate::optimizer::{
    BuiltInStrategy, DecisionContext, ExternalPlacementQuestion, ExternalScalingQuestion,
    IntentHandlerAnswer, IntentHandlerQuestion, ScalingSample, Stop, Strategy,
};

/// Solves at the same time. One of placement already uses two threads.
const SOLVES: usize = 1;
/// When a client may ask again that was refused because too many wait.
const RETRY_BUSY: Duration = Duration::from_secs(5);
/// Kind of the stored decisions about clusters.
pub(in crate::app) const PLACEMENT: &str = "placement";
/// Kind of the stored decisions about replicas.
const SCALING: &str = "scaling";

/// Makes decisions. Cheap to clone.
#[derive(Clone)]
pub struct Planner {
    inner: Arc<Inner>,
}

struct Inner {
    outside: Outside,
    queue: SolveQueue,
    /// Longest that a solve may take.
    max_deadline: Duration,
    placement: ExternalStrategies<placement::BuiltIn>,
    scaling: ExternalStrategies<scaling::BuiltIn>,
    intent_handlers: BTreeMap<String, IntentHandler>,
}

/// The answer of an intent handler about a graph, or why there is none.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::app) struct HandledIntents {
    /// Name of the handler.
    pub(in crate::app) handler: String,
    /// Its answer.
    pub(in crate::app) answer: std::result::Result<IntentHandlerAnswer, ClientError>,
}

/// A decision about a placement, which the checker has accepted, and the record of its basis.
#[derive(Debug)]
pub(in crate::app) struct Decided {
    pub(in crate::app) outcome: Outcome,
    pub(in crate::app) record: DecisionRecord,
}

impl Decided {
    /// The plan.
    ///
    /// # Errors
    /// There is no placement, or none was found in time.
    pub(in crate::app) fn plan(&self) -> Result<&Plan> {
        match &self.outcome {
            Outcome::Optimal(plan) | Outcome::Feasible(plan) => Ok(plan),
            Outcome::Infeasible(cause) => Err(Error::Infeasible(Box::new(cause.clone()))),
            Outcome::TimedOut(cause) => {
                Err(Error::Conflict(format!("{}: {}", cause.strategy, cause.summary)))
            }
        }
    }
}

impl Planner {
    /// A planner for the strategies of these settings.
    #[must_use]
    pub fn new(settings: &Settings, outside: Outside) -> Self {
        let placement = &settings.placement;
        let inner = Inner {
            outside,
            queue: SolveQueue::new(SOLVES, placement.solve_queue),
            max_deadline: placement.limits.max_deadline,
            placement: placement.external.clone(),
            scaling: settings.scaling.external.clone(),
            intent_handlers: placement.intent_handlers.clone(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Decides where the services of a graph run.
    ///
    /// # Errors
    /// Too many decisions wait; the problem or the plan is wrong.
    pub(in crate::app) async fn place(
        &self,
        problem: Problem,
        context: &DecisionContext,
        caller: Caller,
    ) -> Result<Decided> {
        let begun = Instant::now();
        let (problem, outcome) = match problem.strategy.clone() {
            Strategy::BuiltIn(_) => self.place_built_in(problem, caller).await?,
            Strategy::External(name) => self.place_outside(problem, &name, context, caller).await?,
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
        let (strategy, word) = (problem.strategy.to_string(), outcome.word());
        let record =
            record(PLACEMENT, &problem.graph, (&problem, &outcome), (strategy, word), duration, context.at)?;
        Ok(Decided { outcome, record })
    }

    async fn place_built_in(&self, problem: Problem, caller: Caller) -> Result<(Problem, Outcome)> {
        let decide = move |stop: &Stop| {
            let outcome = placement::decide_within(&problem, stop)
                .map_err(|message| Error::invalid("/hdaGraph", message))?;
            verify_placement(&problem, &outcome)?;
            Ok((problem, outcome))
        };
        self.solve(caller, decide).await?
    }

    /// Asks an external strategy; when it fails or answers something that cannot be used, its fallback
    /// decides.
    async fn place_outside(
        &self,
        mut problem: Problem,
        name: &str,
        context: &DecisionContext,
        caller: Caller,
    ) -> Result<(Problem, Outcome)> {
        let external = self.inner.placement.get(name);
        let external =
            external.ok_or_else(|| Error::Internal(format!("no external strategy {name}").into()))?;
        let question = ExternalPlacementQuestion { problem: &problem, context };
        let answer = self.inner.outside.ask_placement(name, external, &question).await;
        let refusal = match answer {
            Ok(assignment) => {
                let adopt = move |_: &Stop| {
                    let adopted = placement::adopt(&problem, &assignment);
                    (problem, adopted)
                };
                let (same, adopted) = self.solve(caller, adopt).await?;
                match adopted {
                    Ok(outcome) => {
                        verify_placement(&same, &outcome)?;
                        return Ok((same, outcome));
                    }
                    Err(message) => {
                        problem = same;
                        message
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        let fallback = external.fallback.name();
        let message = format!("strategy {name} gave no usable answer, {fallback} decided: {refusal}");
        tracing::warn!(graph.name = %problem.graph, "{message}");
        problem.strategy = external.fallback.into();
        problem.warnings.push(message);
        self.place_built_in(problem, caller).await
    }

    /// Decides by a built-in strategy how many replicas the services of a graph have.
    ///
    /// # Errors
    /// The plan is wrong.
    pub(in crate::app) async fn scale(
        &self,
        problem: ScalingProblem,
        strategy: scaling::BuiltIn,
    ) -> Result<ScalingOutcome> {
        let decide = move |stop: &Stop| {
            let outcome = scaling::decide(&problem, strategy, stop);
            (problem, outcome)
        };
        let (problem, outcome) = self.solve(Caller::Loop, decide).await?;
        if let Err(faults) = scaling::check(&problem, &outcome) {
            let strategy = strategy.name();
            tracing::error!(?problem, ?outcome, "the plan of {strategy} is wrong: {faults:?}");
            return Err(Error::Internal(format!("scaling strategy {strategy} gave a wrong plan").into()));
        }
        Ok(outcome)
    }

    /// The same by an external strategy; when it fails or answers something that cannot be used, its fallback
    /// decides.
    ///
    /// # Errors
    /// As [`Self::scale`].
    pub(in crate::app) async fn scale_outside(
        &self,
        problem: ScalingProblem,
        name: &str,
        context: &DecisionContext,
        history: &[ScalingSample],
    ) -> Result<ScalingOutcome> {
        let graph = &problem.graph;
        let Some(external) = self.inner.scaling.get(name) else {
            tracing::warn!(graph.name = %graph, "there is no scaling strategy {name}: exact decides");
            return self.scale(problem, scaling::BuiltIn::Exact).await;
        };
        let question = ExternalScalingQuestion { problem: &problem, context, history };
        let answer = self.inner.outside.ask_scaling(name, external, &question).await;
        // Adopted answers have been checked.
        let adopted = match answer {
            Ok(replicas) => scaling::adopt(&problem, name, &replicas).map_err(|faults| faults.join("; ")),
            Err(error) => Err(error.to_string()),
        };
        match adopted {
            Ok(outcome) => Ok(outcome),
            Err(message) => {
                let fallback = external.fallback.name();
                tracing::warn!(
                    graph.name = %graph,
                    "scaling strategy {name} gave no usable answer, {fallback} decides: {message}"
                );
                self.scale(problem, external.fallback).await
            }
        }
    }

    /// Queries the intent handlers for the intents of a graph that they handle.
    pub(in crate::app) async fn handle_intents(
        &self,
        descriptor: &Descriptor,
        context: &DecisionContext,
    ) -> Vec<HandledIntents> {
        let asked = self.inner.intent_handlers.iter().filter_map(|(name, handler)| {
            let question = IntentHandlerQuestion {
                graph: &descriptor.id,
                context,
                intents: stated(&descriptor.intent.custom, &handler.intents),
                services: descriptor
                    .services
                    .iter()
                    .map(|service| (service.id.as_str(), stated(&service.custom_intents, &handler.intents)))
                    .filter(|(_, intents)| !intents.is_empty())
                    .collect(),
            };
            if question.intents.is_empty() && question.services.is_empty() {
                return None;
            }
            Some(async move {
                let answer = self.inner.outside.ask_intent_handler(name, handler, &question).await;
                HandledIntents { handler: name.clone(), answer }
            })
        });
        futures::future::join_all(asked).await
    }

    /// The problem in which the services share the available capacity, when their needs do not fit.
    ///
    /// # Errors
    /// The computation panicked.
    pub(in crate::app) async fn ration(
        &self,
        problem: ScalingProblem,
        cause: ScalingInfeasibility,
    ) -> Result<Option<ScalingProblem>> {
        self.solve(Caller::Loop, move |_| scaling::ration(&problem, &cause)).await
    }

    /// Runs one solve on the blocking pool once it has a permit.
    async fn solve<T: Send + 'static>(
        &self,
        caller: Caller,
        work: impl FnOnce(&Stop) -> T + Send + 'static,
    ) -> Result<T> {
        let permit = self
            .inner
            .queue
            .acquire(caller)
            .await
            .map_err(|full| Error::Busy { waiting: full.waiting, retry_after: RETRY_BUSY })?;
        let stop = Stop::never().within(self.inner.max_deadline);
        let _cancelled_with_the_caller = CancelOnDrop(stop.clone());
        let solve = move || {
            // Held by the thread, so that a departing caller does not free a slot that is still in use.
            let _permit = permit;
            work(&stop)
        };
        tokio::task::spawn_blocking(solve).await.map_err(|error| Error::Internal(error.into()))
    }
}

/// The intents among those that a handler handles.
fn stated<'a>(intents: &'a BTreeMap<String, Value>, handled: &[String]) -> BTreeMap<&'a str, &'a Value> {
    let own = intents.iter().filter(|(path, _)| handled.contains(path));
    own.map(|(path, value)| (path.as_str(), value)).collect()
}

/// Cancels a solve whose caller is no longer there.
struct CancelOnDrop(Stop);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// The record of a decision about replicas.
///
/// # Errors
/// It cannot be written as JSON.
pub(in crate::app) fn scaling_record(
    problem: &ScalingProblem,
    outcome: &ScalingOutcome,
    duration: Duration,
    at: DateTime<Utc>,
) -> Result<DecisionRecord> {
    let summary = match outcome {
        ScalingOutcome::Decided(plan) => {
            (plan.strategy.to_string(), if plan.optimal { "optimal" } else { "feasible" })
        }
        ScalingOutcome::Infeasible(cause) => (cause.strategy.to_string(), "infeasible"),
        ScalingOutcome::Invalid(_) => (String::new(), "invalid"),
    };
    record(SCALING, &problem.graph, (problem, outcome), summary, duration, at)
}

fn record(
    kind: &str,
    graph: &str,
    (problem, outcome): (&impl Serialize, &impl Serialize),
    (strategy, word): (String, &str),
    duration: Duration,
    at: DateTime<Utc>,
) -> Result<DecisionRecord> {
    Ok(DecisionRecord {
        id: Uuid::now_v7(),
        graph: graph.to_owned(),
        kind: kind.to_owned(),
        problem: to_value(problem)?,
        plan: to_value(outcome)?,
        strategy,
        outcome: word.to_owned(),
        duration_ms: i64::try_from(duration.as_millis()).ok(),
        created_at: at,
        applied_at: None,
        shadow_of: None,
    })
}

fn to_value(data: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(data).map_err(|error| Error::Internal(error.into()))
}

/// No plan is acted on unless the independent checker accepts it.
///
/// # Errors
/// The plan is wrong, which is a bug.
pub(in crate::app) fn verify_placement(problem: &Problem, outcome: &Outcome) -> Result<()> {
    placement::check(problem, outcome).map_err(|violations| {
        let strategy = &problem.strategy;
        tracing::error!(?problem, ?outcome, "the plan of strategy {strategy} is wrong: {violations:?}");
        Error::Internal(format!("strategy {strategy} gave a wrong plan").into())
    })
}
