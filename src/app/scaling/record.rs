//! The records of a scaling tick: decisions, the ticks that `GET …/scaling` shows, and conditions. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::problem::MeasuredRate;
use crate::app::placement::Move;
use crate::app::planner::scaling_record;
use crate::error::Result;
use crate::model::condition::{
    ConditionUpdate, RATE_ASSUMED, RATE_DERIVED, RATE_LOST, RATE_LOST_ASSUMED, RATE_MEASURED, RATE_MISSING,
};
use crate::model::{DecisionRecord, ScalingTick, TickOutcome, TickReport, TickService};
use crate::optimizer::scaling::{ScaledService, ScalingOutcome, ScalingProblem, ServiceScaling};
use crate::optimizer::{ScalingSample, ServiceSample};

const POSTPONED: &str =
    "the graph was changed or its capacity was taken in the meantime; the next tick decides again";

/// The outcome of one tick for one graph.
pub(super) struct Step {
    /// The problem that was decided last.
    pub(super) problem: ScalingProblem,
    /// The answer to it.
    pub(super) outcome: ScalingOutcome,
    /// How many replicas the services need by themselves, when that does not fit.
    pub(super) needed: BTreeMap<String, i64>,
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
            needed: BTreeMap::new(),
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

    /// How many replicas each service needs within its bounds. While its rate is unknown it needs those that it has: a gap
    /// is not to be followed by a fall.
    pub(super) fn needs(&self) -> Vec<(&str, i64)> {
        let decided = match &self.outcome {
            ScalingOutcome::Decided(plan) => &plan.services[..],
            ScalingOutcome::Infeasible(_) | ScalingOutcome::Invalid(_) => &[],
        };
        let need = |service: &ScaledService| {
            if service.rate.is_none() {
                return service.previous;
            }
            let decided = decided.iter().find(|decided| decided.service == service.name);
            let need = decided.and_then(|decided| decided.needed).or(self.needed.get(&service.name).copied());
            // Where there is a decision without a number, no number suffices.
            let need = need.unwrap_or(if decided.is_some() { service.profile.max } else { service.previous });
            need.clamp(service.profile.min, service.profile.max)
        };
        self.problem.services.iter().map(|service| (service.name.as_str(), need(service))).collect()
    }

    /// New numbers of replicas that were decided, by service.
    pub(super) fn changes(&self) -> BTreeMap<String, i64> {
        let ScalingOutcome::Decided(plan) = &self.outcome else { return BTreeMap::new() };
        let changed = plan.services.iter().filter(|service| service.replicas != service.previous);
        changed.map(|service| (service.service.clone(), service.replicas)).collect()
    }
}

/// Whether the rate of a service is known; `label` tells services apart.
pub(super) fn rate_condition(rate: &MeasuredRate, had_counter: bool, label: &str) -> ConditionUpdate {
    let unknown = if had_counter { RATE_LOST } else { RATE_MISSING };
    let (reason, message) = match rate {
        MeasuredRate::Measured(_) => (RATE_MEASURED, "Prometheus reports its request rate".to_owned()),
        MeasuredRate::Derived(_) => (RATE_DERIVED, "the request rates of its callers, together".to_owned()),
        MeasuredRate::AbsentIsZero => {
            let reason = if had_counter { RATE_LOST_ASSUMED } else { RATE_ASSUMED };
            (reason, "Prometheus has no request rate of it, which counts as no load".to_owned())
        }
        MeasuredRate::Absent | MeasuredRate::Lost => {
            (unknown, "Prometheus has no request rate of it: its replicas stay as they are".to_owned())
        }
        MeasuredRate::Unusable => (
            unknown,
            format!(
                "the query has an answer, but no rate with the label {label}: its replicas stay as they are"
            ),
        ),
        MeasuredRate::Unanswered => {
            (unknown, "Prometheus does not answer: its replicas stay as they are".to_owned())
        }
    };
    ConditionUpdate::new(reason, message)
}

/// The record of a decision.
pub(super) fn decision(step: &Step, at: DateTime<Utc>) -> Result<DecisionRecord> {
    scaling_record(&step.problem, &step.outcome, step.duration, at)
}

/// A tick as it is kept and shown.
pub(super) fn tick(graph: &str, step: &Step, at: DateTime<Utc>) -> ScalingTick {
    let outcome = match &step.outcome {
        ScalingOutcome::Decided(plan) => TickOutcome::Decided {
            strategy: plan.strategy.to_string(),
            services: plan.services.iter().map(|service| shown(service, &step.problem)).collect(),
        },
        ScalingOutcome::Infeasible(cause) => TickOutcome::Infeasible {
            strategy: cause.strategy.to_string(),
            reason: cause.summary.clone(),
            needed: cause.needed.clone(),
        },
        ScalingOutcome::Invalid(cause) => {
            let faults: Vec<String> = cause.faults.iter().map(ToString::to_string).collect();
            TickOutcome::Invalid { reason: faults.join("; ") }
        }
    };
    let report = TickReport {
        outcome,
        shortage: step.shortage.clone(),
        replacement: step.rescheduling.as_ref().map(describe),
        postponed: step.postponed.then(|| POSTPONED.to_owned()),
    };
    ScalingTick { graph: graph.to_owned(), at, report }
}

/// A tick as external strategies see it later; `None` when it has no services to show.
pub(super) fn sample(tick: ScalingTick) -> Option<ScalingSample> {
    let TickOutcome::Decided { services, .. } = tick.report.outcome else { return None };
    let sample = |service: TickService| {
        (service.service, ServiceSample { rate: service.rate, replicas: service.replicas })
    };
    Some(ScalingSample { at: tick.at, services: services.into_iter().map(sample).collect() })
}

fn shown(service: &ServiceScaling, problem: &ScalingProblem) -> TickService {
    let scaled = problem.services.iter().find(|scaled| scaled.name == service.service);
    TickService {
        service: service.service.clone(),
        cluster: service.cluster.clone(),
        rate: scaled.and_then(|scaled| scaled.rate),
        derived: scaled.is_some_and(|scaled| scaled.derived),
        previous: service.previous,
        replicas: service.replicas,
        needed: service.needed,
        saturated: service.saturated,
        reason: service.reason.clone(),
    }
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
