//! Scaling: the switch of a graph, decisions of its last ticks, and the capacity models of services.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{AllOfBuilder, AnyOfBuilder, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::body::JsonBody;
use super::extract::{Context, GraphPath, ProfilePath};
use super::problem::{ApiError, CommonErrors};
use crate::app::{App, ScalingView};
use crate::config::ScalingProfile;
use crate::error::Error;
use crate::hdag::{StepDown, StepUp, WhenAbsent};
use crate::model::TickReport;

const TAG: &str = "scaling";

/// Scaling of a graph.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scaling {
    /// Whether it is scaled.
    #[schema(example = true)]
    enabled: bool,
    /// Name of the strategy.
    #[schema(example = "exact")]
    strategy: String,
    /// Time between two ticks, in seconds.
    #[schema(example = 30.0)]
    interval_seconds: f64,
    /// The last ticks, newest first.
    ticks: Vec<Tick>,
}

/// The outcome of one tick of the scaling loop.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tick {
    /// When it was.
    at: DateTime<Utc>,
    #[serde(flatten)]
    report: TickReport,
}

impl From<ScalingView> for Scaling {
    fn from(view: ScalingView) -> Self {
        Self {
            enabled: view.enabled,
            strategy: view.strategy,
            interval_seconds: view.interval.as_secs_f64(),
            ticks: view.ticks.into_iter().map(|tick| Tick { at: tick.at, report: tick.report }).collect(),
        }
    }
}

/// Switches scaling.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetScalingRequest {
    /// Whether the graph is to be scaled.
    #[schema(example = true)]
    enabled: bool,
}

/// Show the scaling of a graph and its last ticks.
#[utoipa::path(
    get, path = "/graphs/{name}/scaling", operation_id = "get_graph_scaling", tag = TAG, params(GraphPath),
    responses((status = 200, description = "Scaling of the graph", body = Scaling), CommonErrors)
)]
pub(super) async fn get_graph_scaling(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
) -> Result<Json<Scaling>, ApiError> {
    Ok(Json(app.graph_scaling(&name).await?.into()))
}

/// Switch the scaling of a graph on or off, overriding descriptor and configuration.
#[utoipa::path(
    post, path = "/graphs/{name}/scaling", operation_id = "set_graph_scaling", tag = TAG, params(GraphPath),
    request_body = SetScalingRequest,
    responses((status = 200, description = "Scaling of the graph", body = Scaling), CommonErrors)
)]
pub(super) async fn set_graph_scaling(
    State(app): State<App>,
    GraphPath { name }: GraphPath,
    Context(context): Context,
    JsonBody(request): JsonBody<SetScalingRequest>,
) -> Result<Json<Scaling>, ApiError> {
    Ok(Json(app.set_graph_scaling(&name, request.enabled, &context).await?.into()))
}

/// Capacity model of a service: `r` replicas serve up to `alpha · r + beta` requests per second.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Profile {
    /// Requests per second that one more replica serves; more than 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 33.33)]
    alpha: Option<f64>,
    /// Constant part in requests per second; may be negative.
    #[schema(example = -16.66)]
    beta: f64,
    /// Least replicas.
    #[schema(example = 1, minimum = 1)]
    min: i64,
    /// Most replicas.
    #[schema(example = 3, minimum = 1)]
    max: i64,
    /// Replicas above a mark of the rate, for the strategy `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    up: Option<StepUp>,
    /// Replicas below a mark of the rate, for the strategy `steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    down: Option<StepDown>,
    /// Another service whose rate counts instead of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "noise-reduction")]
    rate_from: Option<String>,
    /// The rates of the services that call it count instead of its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_callers: bool,
    /// `PromQL` query of its own, with `{services}` and `{window}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    query: Option<String>,
    /// The window of its rate, such as `1m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1m")]
    window: Option<String>,
    /// What counts while there is no rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    when_absent: Option<WhenAbsent>,
}

/// A profile as it can be set: `alpha`, or one of `up` and `down`; all else has a default.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileToSet {
    /// Requests per second that one more replica serves; only with `up` or `down` it may be left out.
    #[schema(example = 33.33, exclusive_minimum = 0, maximum = 1_000_000_000)]
    alpha: Option<f64>,
    /// Constant part in requests per second; 0 without it.
    #[schema(example = -16.66, minimum = -1_000_000_000, maximum = 1_000_000_000)]
    beta: Option<f64>,
    /// Least replicas; 1 without it.
    #[schema(example = 1, minimum = 1, maximum = 10_000)]
    min: Option<i64>,
    /// Most replicas, not less than the least; 3 without it.
    #[schema(example = 3, minimum = 1, maximum = 10_000)]
    max: Option<i64>,
    /// Replicas above a mark of the rate, for the strategy `steps`.
    up: Option<StepUp>,
    /// Replicas below a mark of the rate, for the strategy `steps`.
    down: Option<StepDown>,
    /// Another service whose rate counts instead of its own; not together with `query`.
    #[schema(example = "noise-reduction", max_length = 53, pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
    rate_from: Option<String>,
    /// The rates of the services that call it count instead of its own; not together with `rate_from` or `query`.
    from_callers: Option<bool>,
    /// `PromQL` query of its own, with `{services}` and `{window}`; at most 4096 bytes. Not together with `rate_from`.
    #[schema(min_length = 1, max_length = 4096)]
    query: Option<String>,
    /// The window of its rate, such as `1m`; at most a year.
    #[schema(example = "1m", pattern = "^[0-9]")]
    window: Option<String>,
    /// What counts while there is no rate; `scaling.when_absent` without it.
    when_absent: Option<WhenAbsent>,
}

/// A flag that is not set.
fn not_true() -> ObjectBuilder {
    ObjectBuilder::new().enum_values(Some([serde_json::Value::Bool(false), serde_json::Value::Null]))
}

/// The body of [`set_profile`] in the document: what the fields cannot say is said beside them.
pub(super) struct SetProfileRequest;

impl PartialSchema for SetProfileRequest {
    fn schema() -> RefOr<Schema> {
        let nothing = || ObjectBuilder::new().schema_type(Type::Null);
        let absent = |field| ObjectBuilder::new().property(field, nothing());
        let no_callers = || ObjectBuilder::new().property("from_callers", not_true());
        let one_source = AnyOfBuilder::new()
            .item(AllOfBuilder::new().item(absent("rate_from")).item(absent("query")))
            .item(AllOfBuilder::new().item(absent("rate_from")).item(no_callers()))
            .item(AllOfBuilder::new().item(absent("query")).item(no_callers()));
        let given = |field: &str, kind| {
            ObjectBuilder::new().property(field, ObjectBuilder::new().schema_type(kind)).required(field)
        };
        let a_model = AnyOfBuilder::new()
            .item(given("alpha", Type::Number))
            .item(given("up", Type::Object))
            .item(given("down", Type::Object));
        AllOfBuilder::new().item(ProfileToSet::schema()).item(one_source).item(a_model).into()
    }
}

impl ToSchema for SetProfileRequest {}

impl From<ScalingProfile> for Profile {
    fn from(profile: ScalingProfile) -> Self {
        let window = profile.window_text();
        let ScalingProfile {
            alpha, beta, min, max, steps, rate_from, from_callers, query, when_absent, ..
        } = profile;
        let (up, down) = steps.map_or((None, None), |steps| (steps.up, steps.down));
        Self { alpha, beta, min, max, up, down, rate_from, from_callers, query, window, when_absent }
    }
}

/// List all profiles by service or chart: those that were set, and those of the configuration.
#[utoipa::path(
    get, path = "/profiles", operation_id = "list_profiles", tag = TAG,
    responses((status = 200, description = "Profiles by service or chart", body = BTreeMap<String, Profile>), CommonErrors)
)]
pub(super) async fn list_profiles(
    State(app): State<App>,
) -> Result<Json<BTreeMap<String, Profile>>, ApiError> {
    let profiles = app.profiles().await?;
    Ok(Json(profiles.into_iter().map(|(name, profile)| (name, profile.into())).collect()))
}

/// Show the profile of a service or chart.
#[utoipa::path(
    get, path = "/profiles/{service}", operation_id = "get_profile", tag = TAG, params(ProfilePath),
    responses((status = 200, description = "The profile", body = Profile), CommonErrors)
)]
pub(super) async fn get_profile(
    State(app): State<App>,
    ProfilePath { service: name }: ProfilePath,
) -> Result<Json<Profile>, ApiError> {
    Ok(Json(app.profile(&name).await?.into()))
}

/// Set the profile of a service or chart, for every graph that has a service of that name or chart.
///
/// It comes before the descriptor's, and that of a service before that of its chart.
#[utoipa::path(
    put, path = "/profiles/{service}", operation_id = "set_profile", tag = TAG, params(ProfilePath),
    request_body = SetProfileRequest,
    responses((status = 200, description = "The profile", body = Profile), CommonErrors)
)]
pub(super) async fn set_profile(
    State(app): State<App>,
    ProfilePath { service: name }: ProfilePath,
    Context(context): Context,
    JsonBody(profile): JsonBody<ProfileToSet>,
) -> Result<Json<Profile>, ApiError> {
    let document = serde_json::to_value(profile).map_err(|error| Error::Internal(error.into()))?;
    Ok(Json(app.set_profile(&name, &document, &context).await?.into()))
}

/// Forget the profile that was set for a service or chart; descriptor and configuration count again.
#[utoipa::path(
    delete, path = "/profiles/{service}", operation_id = "delete_profile", tag = TAG, params(ProfilePath),
    responses((status = 204, description = "It is forgotten"), CommonErrors)
)]
pub(super) async fn delete_profile(
    State(app): State<App>,
    ProfilePath { service: name }: ProfilePath,
    Context(context): Context,
) -> Result<StatusCode, ApiError> {
    app.delete_profile(&name, &context).await?;
    Ok(StatusCode::NO_CONTENT)
}
