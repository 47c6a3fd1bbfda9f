//! Extractors: path, query, body and headers of requests, with every rejection answered as a problem.
//!
//! Names in paths are checked here, once: a name that no graph can have is answered 404 like any other
//! unknown one. Descriptors are not validated here; their text is passed on unchanged, so that errors are
//! reported at their position in the user's text.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tower_http::timeout::TimeoutError;
use utoipa::IntoParams;
use uuid::Uuid;

use super::middleware::RequestId;
use super::problem::ApiError;
use crate::app::RequestContext;
use crate::error::Error;
use crate::hdag::{Format, is_dns_label};

/// Longest name of a graph.
const LONGEST_NAME: usize = 253;
/// Longest name of a service: that of a Helm release.
const LONGEST_SERVICE: usize = 53;
const JSON_TYPES: &str = "application/json";
const DESCRIPTOR_TYPES: &str =
    "application/json, application/yaml, application/x-yaml, text/yaml, text/x-yaml";

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

/// Name of a service in the path.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ServicePath {
    /// Name of the service (`services[].id`).
    #[param(example = "noise-reduction")]
    pub(super) service: String,
}

impl<S: Send + Sync> FromRequestParts<S> for ServicePath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let service = one_name(parts, state).await?;
        if is_dns_label(&service, LONGEST_SERVICE) {
            return Ok(Self { service });
        }
        Err(Error::NotFound { kind: "service", name: service }.into())
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

/// A JSON body.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(&media_type(request.headers())) {
            return Err(ApiError::unsupported_media_type(JSON_TYPES));
        }
        let body = read(request, state).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("the body is not as expected: {error}"))
        })
    }
}

/// An optional JSON body.
#[derive(Debug)]
pub(super) struct OptionalJson<T>(pub(super) Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let json = is_json(&media_type(request.headers()));
        let body = read(request, state).await?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(None));
        }
        if !json {
            return Err(ApiError::unsupported_media_type(JSON_TYPES));
        }
        serde_json::from_slice(&body).map(|body| Self(Some(body))).map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("the body is not as expected: {error}"))
        })
    }
}

/// The text of a posted descriptor and its spelling.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DescriptorBody {
    pub(super) text: String,
    pub(super) format: Format,
}

impl<S: Send + Sync> FromRequest<S> for DescriptorBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let media_type = media_type(request.headers());
        let is_yaml = matches!(
            media_type.as_str(),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml"
        );
        if !(is_yaml || is_json(&media_type)) {
            return Err(ApiError::unsupported_media_type(DESCRIPTOR_TYPES));
        }
        let body = read(request, state).await?;
        let text = String::from_utf8(body.into()).map_err(|error| {
            ApiError::new(StatusCode::BAD_REQUEST, format!("the body is not UTF-8 text: {error}"))
        })?;
        if is_yaml { Ok(Self { text, format: Format::Yaml }) } else { Self::from_json(text) }
    }
}

/// The keys that distinguish the kinds of objects; values are ignored.
#[derive(Default, Deserialize)]
struct Keys {
    artifact: Option<IgnoredAny>,
    #[serde(rename = "hdaGraph")]
    graph: Option<IgnoredAny>,
}

impl DescriptorBody {
    /// A JSON string holds YAML, as clients of the original send it; anything else is the descriptor itself.
    fn from_json(text: String) -> Result<Self, ApiError> {
        if text.trim_start().starts_with('"') {
            let yaml = serde_json::from_str(&text).map_err(|error| {
                ApiError::new(
                    StatusCode::BAD_REQUEST,
                    format!("the body is not a valid JSON string: {error}"),
                )
            })?;
            return Ok(Self { text: yaml, format: Format::Yaml });
        }
        // A fault in the JSON is found, with its place, where the descriptor is read.
        let keys: Keys = serde_json::from_str(&text).unwrap_or_default();
        if keys.artifact.is_some() && keys.graph.is_none() {
            let message = "deploying by artifact is not supported yet; post the descriptor itself";
            return Err(Error::invalid("/artifact", message).into());
        }
        Ok(Self { text, format: Format::Json })
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
        if is_timeout(&rejection) {
            return ApiError::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive");
        }
        let detail = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than allowed".to_owned(),
            _ => rejection.body_text(),
        };
        ApiError::new(rejection.status(), detail)
    })
}

/// Whether the deadline of the body ended it.
fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<TimeoutError>())
}

/// The media type without parameters, lower case; empty when there is none.
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json"
        || media_type.starts_with("application/") && media_type.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::response::IntoResponse as _;
    use serde_json::json;

    use super::*;

    async fn body(media_type: Option<&str>, text: impl Into<Body>) -> Result<DescriptorBody, u16> {
        let mut request = Request::post("/");
        if let Some(media_type) = media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let request = request.body(text.into()).unwrap();
        DescriptorBody::from_request(request, &())
            .await
            .map_err(|error| error.into_response().status().as_u16())
    }

    #[tokio::test]
    async fn descriptors_come_as_json_string_json_object_or_yaml() {
        let yaml = "hdaGraph:\n  id: \"x\"\n";
        let as_yaml = || Ok(DescriptorBody { text: yaml.to_owned(), format: Format::Yaml });
        assert_eq!(body(Some("application/json"), json!(yaml).to_string()).await, as_yaml());
        for media_type in
            ["application/yaml", "application/x-yaml", "text/yaml; charset=utf-8", "Text/X-YAML"]
        {
            assert_eq!(body(Some(media_type), yaml).await, as_yaml(), "{media_type}");
        }
        let object = r#" {"hdaGraph": {"id": "x"}}"#;
        let as_json = DescriptorBody { text: object.to_owned(), format: Format::Json };
        assert_eq!(body(Some("application/json; charset=utf-8"), object).await, Ok(as_json));
    }

    #[tokio::test]
    async fn other_media_types_and_none_are_refused() {
        assert_eq!(body(None, "hdaGraph: {}").await, Err(415));
        assert_eq!(body(Some("text/plain"), "hdaGraph: {}").await, Err(415));
    }

    #[tokio::test]
    async fn text_that_is_no_text_is_refused() {
        assert_eq!(body(Some("text/yaml"), vec![0xff, 0xfe]).await, Err(400));
        assert_eq!(body(Some("application/json"), "\"open").await, Err(400));
    }

    #[tokio::test]
    async fn deploying_by_artifact_is_refused_by_name() {
        assert_eq!(body(Some("application/json"), r#"{"artifact": "oci://x/y"}"#).await, Err(400));
        assert!(body(Some("application/json"), r#"{"artifact": 1, "hdaGraph": {}}"#).await.is_ok());
    }

    #[tokio::test]
    async fn broken_json_is_passed_on_to_where_its_place_is_reported() {
        assert_eq!(body(Some("application/json"), "{\"hdaGraph\": ").await.unwrap().format, Format::Json);
    }

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
