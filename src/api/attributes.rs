//! Attributes of clusters: show, set and reset.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::body::JsonBody;
use super::extract::{ClusterPath, Context};
use super::problem::{ApiError, CommonErrors};
use crate::app::{App, AttributesView};
use crate::optimizer::ClusterAttributes;

const TAG: &str = "clusters";

/// Attributes of a cluster: what decisions count, and under `set` the attributes set here.
#[derive(Debug, Serialize)]
pub(super) struct Attributes {
    #[serde(flatten)]
    effective: ClusterAttributes,
    /// Attributes set through this interface.
    set: ClusterAttributes,
}

/// One object with all members: the schema of what is flattened allows no others, so that the two could not be joined.
impl PartialSchema for Attributes {
    fn schema() -> RefOr<Schema> {
        let mut schema = ClusterAttributes::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            let set = Ref::from_schema_name(ClusterAttributes::name());
            object.properties.insert("set".to_owned(), set.into());
            object.required.push("set".to_owned());
            let text =
                "Attributes of a cluster: what decisions count, and under `set` the attributes set here.";
            object.description = Some(text.to_owned());
        }
        schema
    }
}

impl ToSchema for Attributes {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((ClusterAttributes::name().into_owned(), ClusterAttributes::schema()));
        ClusterAttributes::schemas(schemas);
    }
}

impl From<AttributesView> for Attributes {
    fn from(view: AttributesView) -> Self {
        Self { effective: view.effective, set: view.set }
    }
}

/// Show the attributes of a cluster.
///
/// They come, in this order, from this interface, the configuration, the labels of Karmada's Cluster object,
/// and measured round-trip times. An absent attribute is unknown.
#[utoipa::path(
    get, path = "/clusters/{name}/attributes", operation_id = "get_cluster_attributes", tag = TAG, params(ClusterPath),
    responses((status = 200, description = "Attributes of the cluster", body = Attributes), CommonErrors)
)]
pub(super) async fn get_cluster_attributes(
    State(app): State<App>,
    ClusterPath { name }: ClusterPath,
) -> Result<Json<Attributes>, ApiError> {
    Ok(Json(app.cluster_attributes(&name).await?.into()))
}

/// Set the attributes of a cluster. An attribute that is omitted, or a latency of 0, falls back to the other
/// sources.
#[utoipa::path(
    put, path = "/clusters/{name}/attributes", operation_id = "set_cluster_attributes", tag = TAG, params(ClusterPath),
    request_body = ClusterAttributes,
    responses((status = 200, description = "Attributes of the cluster", body = Attributes), CommonErrors)
)]
pub(super) async fn set_cluster_attributes(
    State(app): State<App>,
    ClusterPath { name }: ClusterPath,
    Context(context): Context,
    JsonBody(attributes): JsonBody<ClusterAttributes>,
) -> Result<Json<Attributes>, ApiError> {
    Ok(Json(app.set_cluster_attributes(&name, &attributes, &context).await?.into()))
}

/// Delete the attributes set for a cluster.
#[utoipa::path(
    delete, path = "/clusters/{name}/attributes", operation_id = "reset_cluster_attributes", tag = TAG,
    params(ClusterPath),
    responses((status = 200, description = "Attributes of the cluster", body = Attributes), CommonErrors)
)]
pub(super) async fn reset_cluster_attributes(
    State(app): State<App>,
    ClusterPath { name }: ClusterPath,
    Context(context): Context,
) -> Result<Json<Attributes>, ApiError> {
    Ok(Json(app.reset_cluster_attributes(&name, &context).await?.into()))
}
