//! Controls of the simulated continuum; served and documented only in simulated mode.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::extract::ClusterPath;
use super::problem::{ApiError, CommonErrors};
use crate::app::App;

const TAG: &str = "simulation";

/// Whether a simulated cluster is up.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedCluster {
    /// Whether services can run there.
    #[schema(example = false)]
    available: bool,
}

/// Take a simulated cluster down, or up again.
#[utoipa::path(
    put, path = "/simulation/clusters/{name}", operation_id = "set_simulated_cluster", tag = TAG,
    params(ClusterPath), request_body = SimulatedCluster,
    responses((status = 200, description = "The state it is in now", body = SimulatedCluster), CommonErrors)
)]
pub(super) async fn set_simulated_cluster(
    State(app): State<App>,
    ClusterPath { name }: ClusterPath,
    JsonBody(body): JsonBody<SimulatedCluster>,
) -> Result<Json<SimulatedCluster>, ApiError> {
    app.set_simulated_cluster(&name, body.available)?;
    Ok(Json(body))
}

/// Whether the alert of a service fires in the simulated Prometheus.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulatedAlert {
    /// The graph.
    #[schema(example = "brussels")]
    graph: String,
    /// Its conditional service.
    #[schema(example = "image-compression-vo")]
    service: String,
    /// Whether the alert fires.
    #[schema(example = true)]
    firing: bool,
}

/// Make the alert of a conditional service fire, or stop it.
#[utoipa::path(
    put, path = "/simulation/alerts", operation_id = "set_simulated_alert", tag = TAG, request_body = SimulatedAlert,
    responses((status = 200, description = "The state it is in now", body = SimulatedAlert), CommonErrors)
)]
pub(super) async fn set_simulated_alert(
    State(app): State<App>,
    JsonBody(body): JsonBody<SimulatedAlert>,
) -> Result<Json<SimulatedAlert>, ApiError> {
    app.set_simulated_alert(&body.graph, &body.service, body.firing)?;
    Ok(Json(body))
}
