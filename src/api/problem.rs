//! Errors on the wire: RFC 9457 `application/problem+json`.
//!
//! This is the only place that turns a domain error into a status. A cause is logged here, once, and never
//! shown. The request's id is not known here: [`super::middleware`] adds it to the problem that every error
//! answer carries in its extensions.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use crate::clients::{ClientError, ClientErrorKind};
use crate::error::Error;
use crate::hdag::Finding;
use crate::optimizer::placement::Infeasibility;
use crate::telemetry;

const MEDIA_TYPE: &str = "application/problem+json";
/// When asking again may help, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// When a client may ask again after the server had too much to do.
const RETRY_OVERLOADED: Duration = Duration::from_secs(1);

/// The error of a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Kind of problem, for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:smo:problem:not-found")]
    kind: String,
    /// Kind of problem, for people.
    #[schema(example = "Not found")]
    title: &'static str,
    /// HTTP status.
    #[schema(value_type = i64, example = 404)]
    status: u16,
    /// Explanation of this occurrence of the error.
    #[schema(example = "graph \"brussels\" does not exist")]
    detail: String,
    /// Every fault of the input, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<InputFinding>,
    /// Id of the request, as in the log and in `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "01939f3e-6c1b-7b3e-8a54-0a1b2c3d4e5f")]
    request_id: Option<String>,
    /// The external system that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "karmada")]
    system: Option<&'static str>,
    /// The resources missing on each cluster, when no placement is feasible.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Box<Infeasibility>>,
    /// The changes since a plan was made, when it is no longer applicable.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
    /// The title again, for clients of the original.
    #[schema(example = "Not found")]
    error: &'static str,
    /// The detail again, for clients of the original.
    #[schema(example = "graph \"brussels\" does not exist")]
    message: String,
}

/// A finding about the input, with its position.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct InputFinding {
    /// JSON pointer (RFC 6901) into the document.
    #[schema(example = "/hdaGraph/services/0/id")]
    pub pointer: String,
    /// Description of the finding.
    #[schema(example = "service id \"Web\" is not a DNS-1123 label")]
    pub message: String,
    /// Line in the text, counted from 1, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 1, example = 4)]
    pub line: Option<usize>,
    /// Column in characters, counted from 1, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 1, example = 11)]
    pub column: Option<usize>,
}

impl From<Finding> for InputFinding {
    fn from(finding: Finding) -> Self {
        Self {
            pointer: finding.pointer,
            message: finding.message,
            line: finding.location.map(|at| at.line),
            column: finding.location.map(|at| at.column),
        }
    }
}

/// An error answer in the making.
#[derive(Debug)]
pub struct ApiError {
    problem: Box<Problem>,
    retry_after: Option<Duration>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    /// Logged when the answer is made.
    cause: Option<Error>,
}

impl ApiError {
    /// A problem of a status that needs no more than a sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let (name, title) = kind(status);
        Self::of_kind(status, name, title, detail.into())
    }

    /// The answer to a body of an unsupported media type.
    pub fn unsupported_media_type(accepted: &'static str) -> Self {
        let detail = format!("the Content-Type of the body must be one of {accepted}");
        let mut error = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
        error.headers.push((header::ACCEPT, HeaderValue::from_static(accepted)));
        error
    }

    /// The answer of a server that has enough to do.
    pub fn overloaded(detail: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut error =
            Self::of_kind(status, "overloaded", "Server is busy", format!("{detail}; try again later"));
        error.retry_after = Some(RETRY_OVERLOADED);
        error
    }

    fn of_kind(status: StatusCode, name: &str, title: &'static str, detail: String) -> Self {
        let problem = Problem {
            kind: format!("urn:smo:problem:{name}"),
            title,
            status: status.as_u16(),
            message: detail.clone(),
            detail,
            errors: Vec::new(),
            request_id: None,
            system: None,
            explanation: None,
            changes: Vec::new(),
            error: title,
        };
        Self { problem: Box::new(problem), retry_after: None, headers: Vec::new(), cause: None }
    }

    fn log_cause(&self) {
        let Some(cause) = &self.cause else { return };
        let (status, chain) = (self.problem.status, telemetry::chain(cause));
        match cause {
            Error::Internal(_) | Error::Store(_) => tracing::error!(status, "request failed: {chain}"),
            _ => tracing::warn!(status, "request failed: {chain}"),
        }
    }
}

/// Name and title of the problem for a bare status.
fn kind(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => ("invalid", "Invalid request"),
        StatusCode::NOT_FOUND => ("not-found", "Not found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method-not-allowed", "Method not allowed"),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "Request took too long"),
        StatusCode::CONFLICT => ("conflict", "Conflict"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", "Too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported-media-type", "Unsupported media type"),
        StatusCode::BAD_GATEWAY => ("upstream-failed", "Outside system failed"),
        StatusCode::SERVICE_UNAVAILABLE => ("unavailable", "Not available now"),
        StatusCode::GATEWAY_TIMEOUT => ("upstream-timeout", "Outside system timed out"),
        status if status.is_client_error() => ("refused", "Request refused"),
        _ => ("internal", "Internal error"),
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let (status, name, title) = match &error {
            Error::State(_) => (StatusCode::BAD_REQUEST, "state", "Wrong state"),
            Error::Infeasible(_) => (StatusCode::CONFLICT, "infeasible", "No feasible placement"),
            Error::WorldChanged { .. } => (StatusCode::CONFLICT, "world-changed", "The world has changed"),
            Error::Stale { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "stale", "State of the clusters is too old")
            }
            Error::Contended { .. } => (StatusCode::SERVICE_UNAVAILABLE, "contended", "Capacity in demand"),
            Error::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, "busy", "Too many requests"),
            Error::NotConfigured { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "not-configured", "Not configured")
            }
            other => {
                let status = status_of(other);
                let (name, title) = kind(status);
                (status, name, title)
            }
        };
        let mut answer = Self::of_kind(status, name, title, detail);
        match error {
            Error::Invalid { findings, .. } => {
                answer.problem.errors = findings.into_iter().map(InputFinding::from).collect();
            }
            Error::Infeasible(infeasibility) => answer.problem.explanation = Some(infeasibility),
            Error::WorldChanged { changes, .. } => answer.problem.changes = changes,
            Error::Stale { retry_after, .. }
            | Error::Contended { retry_after, .. }
            | Error::Busy { retry_after, .. } => {
                answer.retry_after = Some(retry_after);
            }
            Error::Client(client) => {
                answer.problem.system = Some(client.system);
                answer.retry_after = retry_after(&client);
                answer.cause = Some(Error::Client(client));
            }
            Error::Store(_) if status == StatusCode::SERVICE_UNAVAILABLE => {
                answer.problem.system = Some("database");
                answer.retry_after = Some(RETRY_AFTER);
                answer.cause = Some(error);
            }
            Error::Store(_) | Error::Internal(_) => answer.cause = Some(error),
            _ => {}
        }
        answer
    }
}

/// The status of errors whose problem has no name of its own.
fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::Invalid { .. } | Error::State(_) => StatusCode::BAD_REQUEST,
        Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::NotFound { .. } => StatusCode::NOT_FOUND,
        Error::Conflict(_) | Error::Infeasible(_) | Error::WorldChanged { .. } => StatusCode::CONFLICT,
        Error::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Stale { .. } | Error::Contended { .. } | Error::NotConfigured { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Client(client) => match client.kind {
            ClientErrorKind::Conflict | ClientErrorKind::Superseded => StatusCode::CONFLICT,
            ClientErrorKind::Unreachable | ClientErrorKind::CircuitOpen => StatusCode::SERVICE_UNAVAILABLE,
            ClientErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            ClientErrorKind::NotFound
            | ClientErrorKind::Unauthorised
            | ClientErrorKind::Invalid
            | ClientErrorKind::Failed => StatusCode::BAD_GATEWAY,
        },
        Error::Store(store) if store.is_transient() => StatusCode::SERVICE_UNAVAILABLE,
        Error::Store(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn retry_after(client: &ClientError) -> Option<Duration> {
    client.retry_after.or_else(|| client.kind.is_transient().then_some(RETRY_AFTER))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.log_cause();
        let mut response = render(*self.problem);
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: asking too early is useless.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The answer for this problem, which carries it for [`complete`].
fn render(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // A struct of texts and numbers can always be written.
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
    response.extensions_mut().insert(problem);
    response
}

/// Adds the request's id to a problem, and makes a problem of any other error answer without a JSON body,
/// such as those of axum itself. Headers such as `Allow` stay.
pub(super) fn complete(mut response: Response, request_id: &str) -> Response {
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| problem_of(&response));
    let Some(mut problem) = problem else { return response };
    problem.request_id = Some(request_id.to_owned());
    let (rendered, body) = render(problem).into_parts();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(rendered.headers);
    Response::from_parts(parts, body)
}

fn problem_of(response: &Response) -> Option<Problem> {
    let status = response.status();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| {
        value.to_str().is_ok_and(|media_type| media_type.starts_with("application/json"))
    });
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            "the method is not allowed here; the header Allow lists those that are"
        }
        _ => status.canonical_reason().unwrap_or("the request failed"),
    };
    Some(*ApiError::new(status, detail).problem)
}

/// The error answers of every operation, for the OpenAPI document.
pub struct CommonErrors;

impl IntoResponses for CommonErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        BTreeMap::from([
            ("4XX".to_owned(), problem("The request was refused")),
            ("5XX".to_owned(), problem("The server, or a system that it needs, failed")),
        ])
    }
}

/// The error answers of operations that decide a placement.
pub struct DecisionErrors;

impl IntoResponses for DecisionErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        BTreeMap::from([
            (
                "409".to_owned(),
                problem(
                    "No placement is feasible (`explanation` says what is missing where), or the graph does not allow it",
                ),
            ),
            (
                "429".to_owned(),
                problem("Too many decisions wait already; `Retry-After` says when to ask again"),
            ),
            (
                "503".to_owned(),
                problem(
                    "The clusters are not known well enough to decide, or other graphs took the capacity each time it was \
                     decided on; `Retry-After` says when to ask again",
                ),
            ),
        ])
    }
}

fn problem(description: &str) -> RefOr<utoipa::openapi::Response> {
    let schema = Ref::from_schema_name(Problem::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    RefOr::T(ResponseBuilder::new().description(description).content(MEDIA_TYPE, content).build())
}

#[cfg(test)]
mod tests;
