//! The HTTP interface: all routes; handlers are in one file per resource.
//!
//! Handlers parse, call one use case of [`App`], and shape the answer; they call neither store nor clients,
//! whose errors only `problem` tells apart. A route and its place in the OpenAPI document come from one macro
//! call, so neither can be without the other.
//! Every error answer, wherever it arises, leaves as a problem (`problem`) with the id of its request
//! (`middleware`). No time limit is set on handlers: a deploy may take as long as its configured wait.
//! What clients may cost besides is limited in `connections` and in `middleware::admit`.

mod alerts;
mod attributes;
mod body;
mod clusters;
mod connections;
mod decisions;
mod extract;
mod graph_view;
mod graphs;
mod guard;
mod health;
mod legacy;
mod middleware;
mod placement;
mod problem;
mod scaling;
mod simulation;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::header;
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::sensitive_headers::SetSensitiveHeadersLayer;
use tower_http::timeout::RequestBodyDeadlineLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

pub use self::connections::serve;
use self::guard::LegacyGet;
use self::middleware::Slots;
use crate::app::App;
use crate::config::Settings;
use crate::optimizer::{
    ExternalPlacementAnswer, ExternalPlacementQuestion, ExternalScalingAnswer, ExternalScalingQuestion,
    IntentHandlerAnswer, IntentHandlerQuestion,
};
use crate::telemetry::MetricsRegistry;

/// The state shared by all handlers.
#[derive(Clone, FromRef)]
struct AppState {
    app: App,
    metrics: MetricsRegistry,
}

/// The document's general part: title, tags and shared components.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "smo",
        description = "Meta-orchestrator for applications spread over many Kubernetes clusters.\n\n\
            Errors are problems (RFC 9457). Every answer carries `x-request-id`; one that is sent along is kept."
    ),
    components(schemas(
        problem::Problem,
        ExternalPlacementQuestion<'static>,
        ExternalPlacementAnswer,
        ExternalScalingQuestion<'static>,
        IntentHandlerQuestion<'static>,
        IntentHandlerAnswer,
        ExternalScalingAnswer
    )),
    tags(
        (name = "graphs", description = "Applications and where they run"),
        (name = "placement", description = "Where services run, and why"),
        (name = "scaling", description = "How many replicas services have, and why"),
        (name = "clusters", description = "Member clusters"),
        (name = "alerts", description = "Events that trigger conditional services"),
        (name = "health", description = "For machines that watch this server"),
        (name = "legacy", description = "Other spellings, for clients of the original SMO"),
        (name = "simulation", description = "Levers of the simulated continuum"),
    )
)]
struct Document;

/// All routes with their documentation.
#[expect(deprecated, reason = "deprecated for clients, not for us")]
fn routes(simulated: bool) -> OpenApiRouter<AppState> {
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(clusters::list_clusters))
        .routes(routes!(legacy::list_clusters_with_slash))
        .routes(routes!(clusters::get_cluster))
        .routes(routes!(graphs::list_project_graphs, graphs::deploy_graph))
        .routes(routes!(graphs::list_graphs))
        .routes(routes!(graphs::get_graph, graphs::delete_graph))
        .routes(routes!(graphs::start_graph, legacy::start_graph_by_get))
        .routes(routes!(graphs::stop_graph, legacy::stop_graph_by_get))
        .routes(routes!(placement::place_graph, legacy::place_graph_by_get))
        .routes(routes!(decisions::list_decisions))
        .routes(routes!(decisions::get_decision))
        .routes(routes!(scaling::get_graph_scaling, scaling::set_graph_scaling))
        .routes(routes!(scaling::list_profiles))
        .routes(routes!(scaling::get_profile, scaling::set_profile, scaling::delete_profile))
        .routes(routes!(
            attributes::get_cluster_attributes,
            attributes::set_cluster_attributes,
            attributes::reset_cluster_attributes
        ))
        .routes(routes!(graphs::list_graph_events))
        .routes(routes!(alerts::receive_alerts));
    if !simulated {
        return router;
    }
    router.routes(routes!(simulation::set_simulated_cluster)).routes(routes!(simulation::set_simulated_alert))
}

/// Routes that are answered however busy the server is: they show that it is.
fn probes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
        .routes(routes!(health::get_metrics))
}

/// The OpenAPI document of a server in real mode.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    document(routes(false).merge(probes()).into_openapi(), false)
}

fn document(mut document: utoipa::openapi::OpenApi, simulated: bool) -> utoipa::openapi::OpenApi {
    if !simulated && let Some(tags) = &mut document.tags {
        tags.retain(|tag| tag.name != "simulation");
    }
    document
}

/// The whole interface of a server. Bodies may be twice as large as a descriptor, since JSON escapes its
/// text.
pub fn router(app: App, metrics: MetricsRegistry, settings: &Settings) -> Router {
    let simulated = app.is_simulated();
    let admission =
        axum::middleware::from_fn_with_state(Slots::new(settings.http.max_requests), middleware::admit);
    let (router, openapi) = routes(simulated).layer(admission).merge(probes()).split_for_parts();
    let state = AppState { app, metrics: metrics.clone() };
    let router = router.with_state(state).merge(documentation(document(openapi, simulated)));
    let body_limit = settings.limits.max_bytes.saturating_mul(2);
    let body_deadline = RequestBodyDeadlineLayer::new(settings.http.body_timeout);
    layered(router.layer(body_deadline), metrics, body_limit, LegacyGet(settings.legacy_get))
}

/// The document under its two names, and Swagger UI.
fn documentation(openapi: utoipa::openapi::OpenApi) -> Router {
    let openapi = Arc::new(openapi);
    let document = get(move || async move { Json(openapi) });
    // Relative to /docs/, so that it works behind a proxy that adds a prefix.
    let swagger = SwaggerUi::new("/docs").config(Config::from("../openapi.json"));
    Router::new()
        .route("/openapi.json", document.clone())
        .route("/smo-api-spec.json", document)
        .merge(swagger)
}

/// The layers around every route, innermost first.
fn layered(router: Router, metrics: MetricsRegistry, body_limit: usize, legacy_get: LegacyGet) -> Router {
    router
        .fallback(middleware::no_route)
        .layer(DefaultBodyLimit::max(body_limit))
        .layer(axum::middleware::from_fn_with_state(legacy_get, guard::guard))
        .layer(CatchPanicLayer::custom(middleware::answer_panic))
        .layer(axum::middleware::from_fn_with_state(metrics, middleware::observe))
        .layer(SetSensitiveHeadersLayer::new([
            header::AUTHORIZATION,
            header::COOKIE,
            header::PROXY_AUTHORIZATION,
        ]))
}

#[cfg(test)]
mod tests;
