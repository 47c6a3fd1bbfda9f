//! Extractors: path, query and headers of requests, with every rejection answered as a problem.
//!
//! Names in paths are checked here, once: a name that no graph can have is answered 404 like any other
//! unknown one.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use uuid::Uuid;

use super::middleware::RequestId;
use super::problem::ApiError;
use crate::app::RequestContext;
use crate::error::Error;
use crate::hdag::{is_dns_label, is_profile_key};

/// Longest name of a graph.
const LONGEST_NAME: usize = 253;
/// Longest name of a service: that of a Helm release.
const LONGEST_SERVICE: usize = 53;

/// Name of a graph in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct GraphPath {
    /// Name of the graph (`hdaGraph.id`).
    #[param(example = "brussels")]
    pub(super) name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for GraphPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let name = one_name(parts, state).await?;
        let possible = !name.is_empty()
            && name.chars().count() <= LONGEST_NAME
            && !name.chars().any(|c| c == '/' || c.is_control());
        if possible { Ok(Self { name }) } else { Err(Error::no_graph(&name).into()) }
    }
}

/// Name of a project in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ProjectPath {
    /// Name of the project. Releases go to the namespace of this name, unless one is configured for all.
    #[param(example = "nephele")]
    pub(super) project: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ProjectPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self { project: one_name(parts, state).await? })
    }
}

/// Name of a cluster in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ClusterPath {
    /// Name of the cluster.
    #[param(example = "edge-1")]
    pub(super) name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ClusterPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self { name: one_name(parts, state).await? })
    }
}

/// Name of a scaling profile in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ProfilePath {
    /// Name of the service (`services[].id`), or of a chart without its version (`HOST/PATH/CHART`, with `%2F` for `/`).
    #[param(example = "noise-reduction")]
    pub(super) service: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ProfilePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let service = one_name(parts, state).await?;
        if is_dns_label(&service, LONGEST_SERVICE) || is_profile_key(&service) {
            return Ok(Self { service });
        }
        Err(Error::NotFound { kind: "profile", name: service }.into())
    }
}

/// A decision of a graph in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct DecisionPath {
    /// Name of the graph.
    #[param(example = "brussels")]
    pub(super) name: String,
    /// Id of the decision.
    pub(super) id: Uuid,
}

impl<S: Send + Sync> FromRequestParts<S> for DecisionPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match <Path<(String, String)> as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(Path((name, id))) => match id.parse() {
                Ok(id) => Ok(Self { name, id }),
                Err(_) => Err(Error::NotFound { kind: "decision", name: id }.into()),
            },
            Err(rejection) => Err(ApiError::new(rejection.status(), rejection.body_text())),
        }
    }
}

async fn one_name<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    match <Path<String> as FromRequestParts<S>>::from_request_parts(parts, state).await {
        Ok(Path(name)) => Ok(name),
        Err(rejection) => Err(ApiError::new(rejection.status(), rejection.body_text())),
    }
}

/// Parameters behind the `?`.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(ApiError::new(StatusCode::BAD_REQUEST, rejection.body_text())),
        }
    }
}

/// Who asks, under which id, and whether the answer may come before the work is done.
#[derive(Debug)]
pub(super) struct Context(pub(super) RequestContext);

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(Self(RequestContext {
            request_id: parts.extensions.get::<RequestId>().map(|id| id.0.clone()),
            actor: "api".to_owned(),
            respond_async: prefers_async(&parts.headers),
        }))
    }
}

/// The header that [`Context`] reads, for the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only describes the header")]
pub(super) struct PreferHeader {
    /// `respond-async` answers without waiting for the work (RFC 7240).
    #[param(rename = "Prefer", nullable = false, example = "respond-async")]
    prefer: Option<String>,
}

/// RFC 7240: `Prefer: respond-async`, possibly among others.
fn prefers_async(headers: &HeaderMap) -> bool {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let named =
        |preference: &str| preference.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    preferences.flat_map(|value| value.split(',')).any(|preference| named(preference) == "respond-async")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn respond_async_is_found_among_other_preferences() {
        let prefers = |value: &str| {
            prefers_async(&HeaderMap::from_iter([("prefer".parse().unwrap(), value.parse().unwrap())]))
        };
        assert!(prefers("respond-async"));
        assert!(prefers("handling=lenient, Respond-Async; wait=10"));
        assert!(!prefers("wait=10"));
    }
}
