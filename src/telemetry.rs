//! Logs and metrics.
//!
//! The log is process-wide by nature and set up once, by the program. Metrics are not: each server has a
//! registry of its own, so several servers can live in one process. Each part registers its metrics while the
//! server is assembled; then [`MetricsRegistry`] takes the registry and only reads it.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::config::LogSettings;

/// Upper bounds of the histogram of request durations in seconds; a deploy may wait a minute.
const DURATION_BUCKETS: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0, 120.0];

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter has a fault.
    #[error("the log filter is wrong")]
    Filter(#[from] ParseError),
    /// Something else in this process has set up the log.
    #[error("the log is already set up")]
    Init(#[from] TryInitError),
}

/// Sends the log of this process to standard error.
///
/// # Errors
/// The filter is wrong, or the log has been set up before.
pub fn init(log: &LogSettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(&log.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_ansi(std::io::stderr().is_terminal());
    if log.json {
        Ok(builder.json().flatten_event(true).finish().try_init()?)
    } else {
        Ok(builder.finish().try_init()?)
    }
}

/// An error with its causes on one line; a cause that its parent already spells out is not repeated.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}

/// A registry with the build's information; parts of a server register their metrics with it.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    let labels = vec![("version", env!("CARGO_PKG_VERSION"))];
    registry.register("smo_build", "Version of this server", Info::new(labels));
    registry
}

/// The metrics of one server.
#[derive(Clone)]
pub struct MetricsRegistry {
    registry: Arc<Registry>,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    path: String,
    status: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    path: String,
}

impl MetricsRegistry {
    /// Takes a registry in which everything else is registered, and adds the metrics of HTTP requests.
    #[must_use]
    pub fn new(mut registry: Registry) -> Self {
        let requests = Family::default();
        let histogram: fn() -> Histogram = || Histogram::new(DURATION_BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        registry.register("smo_http_requests", "HTTP requests answered", requests.clone());
        registry.register(
            "smo_http_request_duration_seconds",
            "Time from the request's head to the answer's head",
            durations.clone(),
        );
        Self { registry: Arc::new(registry), requests, durations }
    }

    /// Counts an answered request. `path` is the pattern of the route, so that names do not become labels.
    pub fn request(&self, method: &str, path: &str, status: u16, duration: Duration) {
        let route = RouteLabels { method: method.to_owned(), path: path.to_owned() };
        self.durations.get_or_create(&route).observe(duration.as_secs_f64());
        let RouteLabels { method, path } = route;
        self.requests.get_or_create(&RequestLabels { method, path, status: status.into() }).inc();
    }

    /// All metrics of this server as `OpenMetrics` text.
    ///
    /// # Errors
    /// A metric cannot be written.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_the_build_are_shown_as_open_metrics() {
        let metrics = MetricsRegistry::new(registry());
        metrics.request("GET", "/graphs/{name}", 200, Duration::from_millis(3));
        metrics.request("GET", "/graphs/{name}", 404, Duration::from_millis(30));
        let text = metrics.encode().unwrap();
        for line in [
            format!("smo_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
            r#"smo_http_requests_total{method="GET",path="/graphs/{name}",status="404"} 1"#.to_owned(),
            r#"smo_http_request_duration_seconds_count{method="GET",path="/graphs/{name}"} 2"#.to_owned(),
            r#"smo_http_request_duration_seconds_bucket{le="0.005",method="GET",path="/graphs/{name}"} 1"#
                .to_owned(),
            "# EOF".to_owned(),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn two_servers_in_one_process_count_for_themselves() {
        let (one, other) = (MetricsRegistry::new(registry()), MetricsRegistry::new(registry()));
        one.request("GET", "/clusters", 200, Duration::ZERO);
        assert!(!other.encode().unwrap().contains("/clusters"));
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        let log = LogSettings { json: false, filter: "smo=loud".to_owned() };
        assert!(matches!(init(&log), Err(TelemetryError::Filter(_))));
    }
}
