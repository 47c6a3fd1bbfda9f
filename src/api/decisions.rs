//! Decisions of a graph: the plan, the problem it was based on, and the reasons.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::extract::{DecisionPath, GraphPath, Parameters};
use super::graphs::in_page;
use super::problem::{ApiError, CommonErrors};
use crate::app::{App, Shadow};
use crate::error::Error;
use crate::model::{DecisionRecord, DecisionSummary};
use crate::optimizer::placement::{Outcome, Problem, report};
use crate::optimizer::scaling::{self, ScalingOutcome, ScalingProblem};

const TAG: &str = "placement";
/// Size of a page when none is asked for.
const PAGE: i64 = 50;

/// Which decisions to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListDecisionsParameters {
    /// Only decisions before this one (the last of the page before).
    #[param(nullable = false)]
    before: Option<Uuid>,
    /// Maximum number of entries; 50 by default.
    #[param(nullable = false, minimum = 1, maximum = 1000, example = 50)]
    limit: Option<i64>,
    /// Add what the shadow strategies (`placement.shadow`) decided about the same problems, and how it differs; the list
    /// then has at most 50 entries.
    #[param(nullable = false, example = true)]
    shadow: Option<bool>,
}

/// A decision without its documents.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decision {
    /// Its id; later decisions have larger ones.
    id: Uuid,
    /// The graph decided about.
    #[schema(example = "brussels")]
    graph: String,
    /// `placement` or `scaling`.
    #[schema(example = "placement")]
    kind: String,
    /// Name of the strategy.
    #[schema(example = "min-moves")]
    strategy: String,
    /// `optimal`, `feasible`, `infeasible` or `timed_out`.
    #[schema(example = "optimal")]
    outcome: String,
    /// How long deciding took, in milliseconds.
    #[schema(example = 3)]
    duration_ms: Option<i64>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it became the desired placement or scaling; `null` for one that was not carried out.
    applied_at: Option<DateTime<Utc>>,
    /// What shadow strategies decided about the same problem, when that is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    shadows: Option<Vec<Shadow>>,
}

impl From<DecisionSummary> for Decision {
    fn from(summary: DecisionSummary) -> Self {
        let DecisionSummary { id, graph, kind, strategy, outcome, duration_ms, created_at, applied_at } =
            summary;
        Self { id, graph, kind, strategy, outcome, duration_ms, created_at, applied_at, shadows: None }
    }
}

/// A decision with its complete problem and answer. `smo replay` takes it as a file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FullDecision {
    #[serde(flatten)]
    decision: Decision,
    /// The problem it solved: a placement problem or a scaling problem.
    #[schema(value_type = DecisionProblem)]
    problem: Value,
    /// Its answer: a placement outcome or a scaling outcome.
    #[schema(value_type = DecisionAnswer)]
    answer: Value,
}

/// The problem that a decision solves.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes the answer in the document")]
pub(super) enum DecisionProblem {
    /// Of a placement.
    Placement(Problem),
    /// Of a number of replicas.
    Scaling(ScalingProblem),
}

/// The answer of a decision.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes the answer in the document")]
pub(super) enum DecisionAnswer {
    /// Of a placement.
    Placement(Outcome),
    /// Of a number of replicas.
    Scaling(ScalingOutcome),
}

/// How to show a decision.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ShowDecisionParameters {
    /// `json` (the default), or `text`: tables for people.
    #[param(nullable = false, inline)]
    format: Option<DecisionFormat>,
}

/// How to show a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DecisionFormat {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// List the decisions about a graph, newest first; of a deleted one too.
#[utoipa::path(
    get, path = "/graphs/{name}/decisions", operation_id = "list_decisions", tag = TAG,
    params(GraphPath, ListDecisionsParameters),
    responses((status = 200, description = "Decisions without their documents", body = [Decision]), CommonErrors)
)]
pub(super) async fn list_decisions(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Parameters(ListDecisionsParameters { before, limit, shadow }): Parameters<ListDecisionsParameters>,
) -> Result<Json<Vec<Decision>>, ApiError> {
    in_page("limit", limit)?;
    // Shadows are compared by their whole plans.
    let most = if shadow == Some(true) { PAGE } else { i64::MAX };
    let decisions = app.list_decisions(&name, limit.unwrap_or(PAGE).min(most), before).await?;
    let shadows = match shadow {
        Some(true) => Some(app.shadows_of(&name, &decisions).await?),
        Some(false) | None => None,
    };
    let shown = |summary: DecisionSummary| {
        let of = |shadow: &&Shadow| shadow.of == summary.id;
        let shadows = shadows.as_ref().map(|all| all.iter().filter(of).cloned().collect());
        Decision { shadows, ..Decision::from(summary) }
    };
    Ok(Json(decisions.into_iter().map(shown).collect()))
}

/// Show a decision with its problem, its answer and its explanation.
#[utoipa::path(
    get, path = "/graphs/{name}/decisions/{id}", operation_id = "get_decision", tag = TAG,
    params(DecisionPath, ShowDecisionParameters),
    responses(
        (status = 200, description = "The decision", content((FullDecision = "application/json"), (String = "text/plain"))),
        CommonErrors
    )
)]
pub(super) async fn get_decision(
    State(app): State<App>,
    DecisionPath { name, id }: DecisionPath,
    Parameters(ShowDecisionParameters { format }): Parameters<ShowDecisionParameters>,
) -> Result<Response, ApiError> {
    let record = app.get_decision(&name, id).await?;
    if format == Some(DecisionFormat::Text) {
        let text = text(&record)?;
        return Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response());
    }
    Ok(Json(FullDecision::from(record)).into_response())
}

impl From<DecisionRecord> for FullDecision {
    fn from(record: DecisionRecord) -> Self {
        let DecisionRecord {
            id, graph, kind, strategy, outcome, duration_ms, created_at, applied_at, ..
        } = record;
        let decision = Decision {
            id,
            graph,
            kind,
            strategy,
            outcome,
            duration_ms,
            created_at,
            applied_at,
            shadows: None,
        };
        Self { decision, problem: record.problem, answer: record.plan }
    }
}

/// The outcome of a recorded placement.
pub(super) fn outcome(record: &DecisionRecord) -> Result<Outcome, Error> {
    serde_json::from_value(record.plan.clone()).map_err(|_| of_another_version(record))
}

/// The documents of a decision cannot be read: an earlier version of this program wrote other ones.
fn of_another_version(record: &DecisionRecord) -> Error {
    let message =
        format!("decision {} was recorded by another version: only its JSON can be shown", record.id);
    Error::Conflict(message)
}

fn text(record: &DecisionRecord) -> Result<String, Error> {
    if record.kind == "scaling" {
        let problem: ScalingProblem =
            serde_json::from_value(record.problem.clone()).map_err(|_| of_another_version(record))?;
        let outcome: ScalingOutcome =
            serde_json::from_value(record.plan.clone()).map_err(|_| of_another_version(record))?;
        return Ok(scaling::report(&problem, &outcome));
    }
    let problem: Problem =
        serde_json::from_value(record.problem.clone()).map_err(|_| of_another_version(record))?;
    Ok(report(&problem, &outcome(record)?))
}
