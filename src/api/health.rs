//! Endpoints for probes and monitoring: liveness, readiness and metrics.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::{ApiError, CommonErrors};
use crate::app::{self, App, DependencyState};
use crate::error::Error;
use crate::telemetry::MetricsRegistry;

const TAG: &str = "health";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Tell that the process is alive.
#[utoipa::path(
    get, path = "/healthz", operation_id = "get_health", tag = TAG,
    responses((status = 200, description = "The process is alive", body = Health), CommonErrors)
)]
pub(super) async fn get_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// State of everything the server depends on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether requests can be served.
    #[schema(example = true)]
    ready: bool,
    /// Whether the other systems are real or simulated.
    mode: Mode,
    /// Information for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "the outside world is simulated: nothing is deployed to any real cluster")]
    message: Option<&'static str>,
    /// One entry per dependency.
    dependencies: Vec<Dependency>,
    /// One entry per watch on another system's objects.
    watches: Vec<Watch>,
}

/// Whether the other systems are real or simulated.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All other systems are real.
    Real,
    /// Systems without settings are simulated.
    Simulated,
}

/// One dependency of the server.
#[derive(Debug, Serialize, ToSchema)]
pub struct Dependency {
    /// Its name.
    #[schema(example = "karmada")]
    name: &'static str,
    /// How it is.
    state: DependencyState,
    /// When it was last reached.
    #[schema(required = true, example = "2026-01-02T03:04:05Z")]
    last_success: Option<DateTime<Utc>>,
    /// The cause of the failure.
    #[schema(required = true, example = "connection refused")]
    message: Option<String>,
}

/// A watch on another system's objects; all that is known of these objects comes from it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Watch {
    /// The kind of objects watched.
    #[schema(example = "releases")]
    name: &'static str,
    /// The system that serves it.
    #[schema(example = "karmada")]
    system: &'static str,
    /// How it is.
    state: WatchState,
    /// Seconds since it last proved alive: by an event, a bookmark, a finished list, or a clean end of the
    /// stream; since its start if it never has.
    #[schema(example = 12)]
    age_seconds: u64,
    /// How often it failed since this server started.
    #[schema(example = 0)]
    errors: u64,
    /// The latest error since it last proved alive.
    #[schema(required = true, example = "no answer within 30 s")]
    message: Option<String>,
}

/// How a watch is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WatchState {
    /// It shows the present.
    Ok,
    /// Its last attempt failed; the state it last showed is still trusted.
    Failing,
    /// Its first list is not complete: nothing is known yet.
    Incomplete,
    /// It has not proved alive for so long that the state it last showed is no longer trusted.
    Stale,
}

impl From<app::WatchView> for Watch {
    fn from(app::WatchView { state: watch, stale }: app::WatchView) -> Self {
        let state = match (watch.complete, stale, &watch.last_error) {
            (false, ..) => WatchState::Incomplete,
            (true, true, _) => WatchState::Stale,
            (true, false, Some(_)) => WatchState::Failing,
            (true, false, None) => WatchState::Ok,
        };
        let (name, system, age_seconds) = (watch.name, watch.system, watch.age.as_secs());
        Self { name, system, state, age_seconds, errors: watch.errors, message: watch.last_error }
    }
}

impl From<app::ServerState> for Readiness {
    fn from(readiness: app::ServerState) -> Self {
        let dependency = |dependency: app::SystemState| Dependency {
            name: dependency.name,
            state: dependency.state,
            last_success: dependency.last_success,
            message: dependency.message,
        };
        let (mode, message) = if readiness.simulated {
            let message = "the outside world is simulated: nothing is deployed to any real cluster";
            (Mode::Simulated, Some(message))
        } else {
            (Mode::Real, None)
        };
        let dependencies = readiness.dependencies.into_iter().map(dependency).collect();
        let watches = readiness.watches.into_iter().map(Watch::from).collect();
        Self { ready: readiness.ready, mode, message, dependencies, watches }
    }
}

/// Tell whether requests can be served, and how each dependency is.
#[utoipa::path(
    get, path = "/readyz", operation_id = "get_readiness", tag = TAG,
    responses(
        (status = 200, description = "Requests can be served", body = Readiness),
        (status = 503, description = "Requests cannot be served now", body = Readiness),
        CommonErrors
    )
)]
pub(super) async fn get_readiness(State(app): State<App>) -> Response {
    let readiness = app.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness::from(readiness))).into_response()
}

/// Show the metrics of this server as `OpenMetrics` text.
#[utoipa::path(
    get, path = "/metrics", operation_id = "get_metrics", tag = TAG,
    responses(
        (status = 200, description = "OpenMetrics text", body = String,
            content_type = "application/openmetrics-text", example = "smo_http_requests_total{method=\"GET\"} 1\n# EOF\n"),
        CommonErrors
    )
)]
pub(super) async fn get_metrics(State(metrics): State<MetricsRegistry>) -> Result<Response, ApiError> {
    let text = metrics.encode().map_err(|error| Error::Internal(Box::new(error)))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::clients;

    #[test]
    fn the_simulation_is_told_loudly() {
        let readiness = app::ServerState {
            ready: true,
            simulated: true,
            dependencies: vec![app::SystemState {
                name: "karmada",
                state: app::DependencyState::Simulated,
                last_success: None,
                message: None,
            }],
            watches: Vec::new(),
        };
        assert_eq!(
            serde_json::to_value(Readiness::from(readiness)).unwrap(),
            json!({
                "ready": true, "mode": "simulated",
                "message": "the outside world is simulated: nothing is deployed to any real cluster",
                "dependencies": [{"name": "karmada", "state": "simulated", "last_success": null, "message": null}],
                "watches": [],
            })
        );
    }

    #[test]
    fn a_watch_says_whether_it_is_believed() {
        let shown = |complete, stale, error: Option<&str>| {
            let state = clients::WatchReport {
                system: "karmada",
                name: "releases",
                complete,
                age: Duration::from_millis(61_500),
                errors: 2,
                last_error: error.map(str::to_owned),
            };
            serde_json::to_value(Watch::from(app::WatchView { state, stale })).unwrap()
        };
        assert_eq!(
            shown(true, true, Some("no answer within 30 s")),
            json!({
                "name": "releases", "system": "karmada", "state": "stale", "age_seconds": 61, "errors": 2,
                "message": "no answer within 30 s",
            })
        );
        assert_eq!(shown(true, false, Some("refused"))["state"], "failing");
        assert_eq!(shown(false, false, None)["state"], "incomplete");
        assert_eq!(shown(true, false, None)["state"], "ok");
    }
}
