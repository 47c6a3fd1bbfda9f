//! Routes that only clients of the original use: other spellings of operations that have a better one.

use axum::Json;
use axum::extract::State;
use axum::response::Response;

use super::clusters::{self, Cluster};
use super::extract::{Context, GraphPath, Parameters, PreferHeader};
use super::graph_view::Graph;
use super::graphs;
use super::placement::{self, PlaceGraphRequest, PlacedGraph, PlacementAnswer, PlacementParameters};
use super::problem::{ApiError, CommonErrors, DecisionErrors};
use crate::app::App;

const TAG: &str = "legacy";

/// List the clusters; use the path without the slash.
#[utoipa::path(
    get, path = "/clusters/", operation_id = "list_clusters_with_slash", tag = TAG,
    responses((status = 200, description = "Clusters by ascending id", body = [Cluster]), CommonErrors)
)]
#[deprecated]
pub(super) async fn list_clusters_with_slash(app: State<App>) -> Result<Json<Vec<Cluster>>, ApiError> {
    clusters::list_clusters(app).await
}

/// Start a stopped graph; use POST.
#[utoipa::path(
    get, path = "/graphs/{name}/start", operation_id = "start_graph_by_get", tag = TAG,
    params(GraphPath, PreferHeader),
    responses(
        (status = 200, description = "All releases are installed", body = Graph),
        (status = 202, description = "Accepted; the work goes on", body = Graph),
        DecisionErrors,
        CommonErrors
    )
)]
#[deprecated]
pub(super) async fn start_graph_by_get(
    app: State<App>,
    path: GraphPath,
    context: Context,
) -> Result<Response, ApiError> {
    graphs::start_graph(app, path, context).await
}

/// Place a running graph again; use POST.
#[utoipa::path(
    get, path = "/graphs/{name}/placement", operation_id = "place_graph_by_get", tag = TAG,
    params(GraphPath, PlacementParameters, PreferHeader),
    responses(
        (status = 200, description = "The graph as it is now wanted, or the proposal of a dry run", body = PlacementAnswer),
        (status = 202, description = "Accepted; the work goes on", body = PlacedGraph),
        DecisionErrors,
        CommonErrors
    )
)]
#[deprecated]
pub(super) async fn place_graph_by_get(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Parameters(parameters): Parameters<PlacementParameters>,
    Context(context): Context,
) -> Result<Response, ApiError> {
    placement::place(&app, &name, parameters, PlaceGraphRequest::default(), &context).await
}

/// Stop a graph; use POST.
#[utoipa::path(
    get, path = "/graphs/{name}/stop", operation_id = "stop_graph_by_get", tag = TAG,
    params(GraphPath, PreferHeader),
    responses(
        (status = 200, description = "Nothing of it runs any more", body = Graph),
        (status = 202, description = "Accepted; the work goes on", body = Graph),
        CommonErrors
    )
)]
#[deprecated]
pub(super) async fn stop_graph_by_get(
    app: State<App>,
    path: GraphPath,
    context: Context,
) -> Result<Response, ApiError> {
    graphs::stop_graph(app, path, context).await
}
