//! Bodies of requests: JSON and descriptors, with every rejection answered as a problem.
//!
//! Descriptors are not validated here; their text is passed on unchanged, so that errors are reported at their position
//! in the user's text.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use tower_http::timeout::TimeoutError;

use super::problem::ApiError;
use crate::error::Error;
use crate::hdag::{Finding, Format, Location, escape_pointer};

const JSON_TYPES: &str = "application/json";
const DESCRIPTOR_TYPES: &str =
    "application/json, application/yaml, application/x-yaml, text/yaml, text/x-yaml";
const NUL_MESSAGE: &str = "the character NUL is not allowed in texts";

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
        parse(&body).map(Self)
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
        parse(&body).map(|body| Self(Some(body)))
    }
}

/// Reads a JSON object of the expected shape; an error names the place.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // serde would take the list of an object's values, too.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Error::invalid("", "the body must be an object, not a list").into());
    }
    refuse_nul(body)?;
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| not_as_expected(pointer(error.path()), &error.to_string(), error.inner()))?;
    json.end().map_err(|error| not_as_expected(String::new(), &error.to_string(), &error))?;
    Ok(value)
}

fn not_as_expected(pointer: String, text: &str, error: &serde_json::Error) -> ApiError {
    let mut finding = Finding::new(pointer, error.to_string());
    // The end of a line is column 0 of the next one.
    finding.location = Some(Location { line: error.line().max(1), column: error.column().max(1) });
    Error::Invalid { detail: format!("the body is not as expected: {text}"), findings: vec![finding] }.into()
}

/// The JSON pointer to the place of an error.
fn pointer(path: &Path) -> String {
    let token = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", escape_pointer(key))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(token).collect()
}

/// Refuses the character NUL, which PostgreSQL has no texts with.
fn refuse_nul(body: &[u8]) -> Result<(), ApiError> {
    let escaped = br"\u0000";
    if !body.windows(escaped.len()).any(|window| window == escaped) {
        return Ok(());
    }
    match serde_json::from_slice(body).ok().and_then(|value| nul_in(&value)) {
        Some(pointer) => Err(Error::invalid(pointer, NUL_MESSAGE).into()),
        // A fault in the JSON is reported where it is read; so is an escaped backslash before other characters.
        None => Ok(()),
    }
}

/// Where a text of the value has the character NUL.
fn nul_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| Some(format!("/{index}{}", nul_in(item)?)))
        }
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let inner = if name.contains('\0') { String::new() } else { nul_in(value)? };
            Some(format!("/{}{inner}", escape_pointer(name)))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
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
}
