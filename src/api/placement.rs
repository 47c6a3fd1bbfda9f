//! Placing a running graph again: at once, as a proposal, or by a proposal.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::body::OptionalJson;
use super::decisions::outcome;
use super::extract::{Context, GraphPath, Parameters, PreferHeader};
use super::graph_view::Graph;
use super::graphs::answer;
use super::problem::{ApiError, CommonErrors, DecisionErrors, Problem};
use crate::app::{App, Move, Proposal, RequestContext, Rescheduling};
use crate::error::Error;
use crate::optimizer::placement::{Outcome, PlacementRequest};

const TAG: &str = "placement";

/// How a graph is to be placed again.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PlacementParameters {
    /// Decide only: nothing is moved, and the answer holds the plan with its explanation.
    #[serde(default)]
    #[param(nullable = false, example = true)]
    dry_run: Option<bool>,
    /// Name of the strategy; by default that of the descriptor, the project or the configuration.
    #[param(nullable = false, example = "cost")]
    strategy: Option<String>,
    /// Refuse requirements that the clusters' data cannot decide, instead of warning.
    #[param(nullable = false, example = false)]
    strict: Option<bool>,
}

/// Which plan to carry out, or how to decide on a new one.
#[derive(Debug, Default, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlaceGraphRequest {
    /// Id of a plan of a dry run; without it a new placement is decided.
    #[schema(example = "01939f3e-6c1b-7b3e-8a54-0a1b2c3d4e5f")]
    plan_id: Option<Uuid>,
    /// Name of the strategy, as in the query.
    #[schema(nullable = false, example = "cost")]
    strategy: Option<String>,
    /// Weights of the objective by name, before those of descriptor and configuration.
    #[serde(default)]
    #[schema(example = json!({"carbon": 5.0}))]
    weights: BTreeMap<String, f64>,
    /// Seed, budget and thresholds by name, before those of descriptor and configuration.
    #[serde(default)]
    #[schema(example = json!({"seed": 7}))]
    parameters: BTreeMap<String, f64>,
}

/// A graph that was placed again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlacedGraph {
    #[serde(flatten)]
    graph: Graph,
    /// The decision.
    plan_id: Uuid,
    /// Services that change their cluster.
    moves: Vec<ServiceMove>,
}

/// A service that changes its cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServiceMove {
    /// Name of the service.
    #[schema(example = "noise-reduction")]
    service: String,
    /// Where it is.
    #[schema(example = "edge-1")]
    from: String,
    /// Its new cluster.
    #[schema(example = "cloud")]
    to: String,
}

impl From<Move> for ServiceMove {
    fn from(moved: Move) -> Self {
        Self { service: moved.service, from: moved.from, to: moved.to }
    }
}

/// A placement that was decided and not carried out.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlacementProposal {
    /// Pass it as `plan_id` to carry the plan out.
    plan_id: Uuid,
    /// Name of the graph.
    #[schema(example = "brussels")]
    graph: String,
    /// Name of the strategy that decided.
    #[schema(example = "min-moves")]
    strategy: String,
    /// How long deciding took, in milliseconds.
    #[schema(example = 3)]
    duration_ms: Option<i64>,
    /// Services that would change their cluster.
    moves: Vec<ServiceMove>,
    /// The plan with its objective, its bound and its explanation.
    decision: Outcome,
}

/// Place a running graph again.
///
/// The strategy decides on all services at once; the graph's own usage counts as free. Only services that
/// move, and those that are wired to them, are upgraded. With `dry_run` nothing moves. With a `plan_id` in
/// the body exactly that plan is carried out, unless the clusters or the graph have changed since: then the
/// answer is 409 and lists the changes.
#[utoipa::path(
    post, path = "/graphs/{name}/placement", operation_id = "place_graph", tag = TAG,
    params(GraphPath, PlacementParameters, PreferHeader),
    request_body(content = Option<PlaceGraphRequest>, description = "Nothing, the plan to carry out, or how to decide"),
    responses(
        (status = 200, description = "The graph as it is now wanted, or the proposal of a dry run", body = PlacementAnswer),
        (status = 202, description = "Accepted; the work goes on", body = PlacedGraph),
        DecisionErrors,
        (status = 409, description = "No placement is feasible (`explanation`), the world has changed since the plan was made \
            (`changes`), or the graph has a static placement", body = Problem, content_type = "application/problem+json"),
        CommonErrors
    )
)]
pub(super) async fn place_graph(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Parameters(parameters): Parameters<PlacementParameters>,
    Context(context): Context,
    OptionalJson(request): OptionalJson<PlaceGraphRequest>,
) -> Result<Response, ApiError> {
    place(&app, &name, parameters, request.unwrap_or_default(), &context).await
}

/// The answer to placing a graph again.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only describes the answer in the document")]
pub(super) enum PlacementAnswer {
    /// Carried out.
    Placed(PlacedGraph),
    /// A dry run.
    Proposal(PlacementProposal),
}

/// Shared with the GET of the original.
pub(super) async fn place(
    app: &App,
    name: &str,
    parameters: PlacementParameters,
    request: PlaceGraphRequest,
    context: &RequestContext,
) -> Result<Response, ApiError> {
    if parameters.strategy.is_some() && request.strategy.is_some() {
        return Err(Error::invalid("/strategy", "is given in the query, too").into());
    }
    let options = PlacementRequest {
        strategy: parameters.strategy.or(request.strategy),
        strict: parameters.strict,
        weights: request.weights,
        parameters: request.parameters,
    };
    if request.plan_id.is_some() && (parameters.dry_run.is_some() || !options.is_empty()) {
        let message =
            "a plan is carried out as it is: leave out dry_run, strategy, strict, weights and parameters";
        return Err(Error::invalid("/plan_id", message).into());
    }
    if parameters.dry_run.unwrap_or(false) {
        let Proposal { decision, moves } = app.propose_placement(name, &options).await?;
        let proposal = PlacementProposal {
            plan_id: decision.id,
            graph: decision.graph.clone(),
            strategy: decision.strategy.clone(),
            duration_ms: decision.duration_ms,
            moves: moves.into_iter().map(ServiceMove::from).collect(),
            decision: outcome(&decision)?,
        };
        return Ok(Json(proposal).into_response());
    }
    let replacement = match request.plan_id {
        Some(plan_id) => app.apply_plan(name, plan_id, context).await?,
        None => app.reschedule_graph(name, &options, context).await?,
    };
    let Rescheduling { accepted, plan_id, moves } = replacement;
    let message = format!("Placement of graph {name} triggered");
    let graph = Graph::from(accepted.view).with_message(message);
    let placed = PlacedGraph { graph, plan_id, moves: moves.into_iter().map(ServiceMove::from).collect() };
    Ok(answer(name, placed, accepted.completed, context.respond_async))
}
