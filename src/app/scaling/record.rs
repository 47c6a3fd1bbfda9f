//! The records of a scaling tick: decisions, the ticks that `GET …/scaling` shows, and conditions. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::app::placement::Move;
use crate::app::planner::scaling_record;
use crate::error::Result;
use crate::model::condition::{ConditionUpdate, RATE_MEASURED, RATE_MISSING};
use crate::model::{DecisionRecord, ScalingTick};
use crate::optimizer::scaling::{ScaledService, ScalingOutcome, ScalingProblem, ServiceScaling};
use crate::optimizer::{ScalingSample, ServiceSample};

/// The outcome of one tick for one graph.
pub(super) struct Step {
    /// The problem that was decided last.
    pub(super) problem: ScalingProblem,
    /// The answer to it.
    pub(super) outcome: ScalingOutcome,
    /// Description of the shortage, when services had to share too little capacity.
    pub(super) shortage: Option<String>,
    /// The result of rescheduling the graph, if it was attempted.
    pub(super) rescheduling: Option<Result<Vec<Move>>>,
    /// New numbers of replicas were recorded.
    pub(super) changed: bool,
    /// New numbers were not recorded, because the graph was changed or their capacity was taken meanwhile.
    pub(super) postponed: bool,
    /// How long deciding took.
    pub(super) duration: Duration,
}

impl Step {
    pub(super) fn new(problem: ScalingProblem, outcome: ScalingOutcome, duration: Duration) -> Self {
        Self {
            problem,
            outcome,
            shortage: None,
            rescheduling: None,
            changed: false,
            postponed: false,
            duration,
        }
    }

    pub(super) fn is_rescheduled(&self) -> bool {
        self.rescheduling.as_ref().is_some_and(Result::is_ok)
    }

    /// New numbers of replicas that were decided, by service.
    pub(super) fn changes(&self) -> BTreeMap<String, i64> {
        let ScalingOutcome::Decided(plan) = &self.outcome else { return BTreeMap::new() };
        let changed = plan.services.iter().filter(|service| service.replicas != service.previous);
        changed.map(|service| (service.service.clone(), service.replicas)).collect()
    }
}

/// Whether the rate of a service is known.
pub(super) fn rate_condition(service: &ScaledService) -> ConditionUpdate {
    match service.rate {
        Some(_) => ConditionUpdate::new(RATE_MEASURED, "Prometheus reports its request rate"),
        None => {
            let message = "Prometheus has no request rate of it: its replicas stay as they are";
            ConditionUpdate::new(RATE_MISSING, message)
        }
    }
}

/// The record of a decision.
pub(super) fn decision(step: &Step, at: DateTime<Utc>) -> Result<DecisionRecord> {
    scaling_record(&step.problem, &step.outcome, step.duration, at)
}

/// A tick as it is shown.
pub(super) fn tick(graph: &str, step: &Step, at: DateTime<Utc>) -> ScalingTick {
    let mut data = match &step.outcome {
        ScalingOutcome::Decided(plan) => {
            let services: Vec<Value> =
                plan.services.iter().map(|service| shown(service, &step.problem)).collect();
            json!({ "outcome": "decided", "strategy": plan.strategy, "services": services })
        }
        ScalingOutcome::Infeasible(cause) => json!({
            "outcome": "infeasible", "strategy": cause.strategy, "reason": cause.summary, "needed": cause.needed,
        }),
        ScalingOutcome::Invalid(cause) => {
            let faults: Vec<String> = cause.faults.iter().map(ToString::to_string).collect();
            json!({ "outcome": "invalid", "reason": faults.join("; ") })
        }
    };
    let postponed =
        "the graph was changed or its capacity was taken in the meantime; the next tick decides again";
    let texts = [
        ("shortage", step.shortage.clone()),
        ("replacement", step.rescheduling.as_ref().map(describe)),
        ("postponed", step.postponed.then(|| postponed.to_owned())),
    ];
    if let Some(data) = data.as_object_mut() {
        data.extend(texts.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
    }
    ScalingTick { graph: graph.to_owned(), at, data }
}

/// A tick as external strategies see it later; `None` when it has no services to show.
pub(super) fn sample(tick: &ScalingTick) -> Option<ScalingSample> {
    let services = tick.data.get("services")?.as_array()?;
    let sample = |service: &Value| {
        let name = service.get("service")?.as_str()?.to_owned();
        Some((name, ServiceSample::deserialize(service).ok()?))
    };
    Some(ScalingSample { at: tick.at, services: services.iter().filter_map(sample).collect() })
}

fn shown(service: &ServiceScaling, problem: &ScalingProblem) -> Value {
    let scaled = problem.services.iter().find(|scaled| scaled.name == service.service);
    json!({
        "service": service.service, "cluster": service.cluster, "rate": scaled.and_then(|scaled| scaled.rate),
        "previous": service.previous, "replicas": service.replicas, "needed": service.needed,
        "saturated": service.saturated, "reason": service.reason,
    })
}

/// The result of a rescheduling, in words.
fn describe(rescheduling: &Result<Vec<Move>>) -> String {
    match rescheduling {
        Ok(moves) if moves.is_empty() => "placed again, nothing moves".to_owned(),
        Ok(moves) => {
            let moves: Vec<String> =
                moves.iter().map(|m| format!("{} from {} to {}", m.service, m.from, m.to)).collect();
            format!("placed again: {}", moves.join(", "))
        }
        Err(error) => format!("could not be placed again: {error}"),
    }
}
