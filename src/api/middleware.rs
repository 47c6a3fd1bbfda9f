//! Middleware around every request: its id, one span, one log line, its metrics, the final form of errors, and how
//! many are handled at the same time.
//!
//! Labels and log lines name the pattern of the route, not the path, so that names of graphs do not multiply
//! time series. Headers and bodies are never logged.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use uuid::Uuid;

use super::connections::Surplus;
use super::problem::{self, ApiError};
use crate::telemetry::MetricsRegistry;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LONGEST_REQUEST_ID: usize = 128;
/// Asked every few seconds by machines; logged at level debug.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The id of a request, given by the client or made up.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    /// A given id is kept when it is harmless in a log and in a header.
    fn of(request: &Request) -> Self {
        let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        let harmless = |id: &&str| {
            (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        Self(given.filter(harmless).map_or_else(|| Uuid::now_v7().to_string(), str::to_owned))
    }
}

/// Gives the request its id and span, then logs and counts its answer.
pub(super) async fn observe(
    State(metrics): State<MetricsRegistry>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = RequestId::of(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!("request", request.id = %id.0, http.method = %method, http.route = route);
    request.extensions_mut().insert(id.clone());

    let response = next.run(request).instrument(span.clone()).await;

    let mut response = problem::complete(response, &id.0);
    if let Ok(value) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, duration) = (response.status().as_u16(), started.elapsed());
    metrics.request(known(&method), route, status, duration);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let _entered = span.enter();
    if PROBES.contains(&route) {
        tracing::debug!(http.status = status, duration_ms, "{method} {route} answered {status}");
    } else {
        tracing::info!(http.status = status, duration_ms, "{method} {route} answered {status}");
    }
    response
}

/// How many more requests may be handled at the same time.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(super) fn new(requests: usize) -> Self {
        Self(Arc::new(Semaphore::new(requests.min(Semaphore::MAX_PERMITS))))
    }
}

/// Handles the request if there is a slot for it, and the connection is not one too many. Nothing queues here: what
/// waits keeps its body in memory, and the client knows better whether it still wants the answer.
pub(super) async fn admit(State(Slots(slots)): State<Slots>, request: Request, next: Next) -> Response {
    if request.extensions().get::<Surplus>().is_some() {
        return ApiError::overloaded("too many connections are open").into_response();
    }
    match slots.try_acquire() {
        Ok(_slot) => next.run(request).await,
        Err(_) => ApiError::overloaded("too many requests are handled already").into_response(),
    }
}

/// Any text can be a method; only the common ones become labels.
fn known(method: &axum::http::Method) -> &str {
    match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    }
}

/// Turns a panic of a handler into an answer.
pub(super) fn answer_panic(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!("a handler panicked: {}", text.unwrap_or_default());
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()
}

/// The answer where there is no route.
pub(super) async fn no_route() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path; /docs/ lists what there is")
}
