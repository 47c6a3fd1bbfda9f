//! Watches on objects in Kubernetes API servers, with a check that they are alive.
//!
//! A hanging watch looks like a system in which nothing changes. So each has a [`WatchHealth`] that records
//! when it last proved alive: an event, a bookmark (API servers send one about every minute), a finished
//! list, or a watch that the server ended in order. The watcher of kube does not pass bookmarks on; hence a
//! [`monitored`] client, which sees all answers of a watch. It also ends answers that hang, which the watcher
//! itself does for running watches only.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use backon::ExponentialBuilder;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use kube::Client;
use kube::client::Body;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tower_http::timeout::TimeoutBody;

use super::kubernetes::chain;
use super::{ClientError, ClientErrorKind, Result, WatchReport};

/// Longest wait for the beginning of an answer, and for each next piece of a list.
const ANSWER: Duration = Duration::from_secs(30);
/// After this time the API server ends a watch, which is then resumed: a proof of life from servers that send
/// no bookmarks. A watch that is silent for a few seconds longer is given up.
const WATCH_SECONDS: u32 = 120;

/// When a watch last proved alive, and its last error.
#[derive(Debug)]
pub(super) struct WatchHealth {
    system: &'static str,
    name: &'static str,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    complete: bool,
    alive_at: Instant,
    errors: u64,
    last_error: Option<String>,
}

impl WatchHealth {
    /// Health of the watch `name` of objects in `system`, which starts now.
    pub(super) fn new(system: &'static str, name: &'static str) -> Arc<Self> {
        let record = Record { complete: false, alive_at: Instant::now(), errors: 0, last_error: None };
        Arc::new(Self { system, name, record: Mutex::new(record) })
    }

    /// The present state.
    pub(super) fn state(&self) -> WatchReport {
        self.with(|record| WatchReport {
            system: self.system,
            name: self.name,
            complete: record.complete,
            age: record.alive_at.elapsed(),
            errors: record.errors,
            last_error: record.last_error.clone(),
        })
    }

    /// Before the first list is complete, "nothing known" must not be taken for "nothing there".
    ///
    /// # Errors
    /// `Unreachable` with the cause, as long as that is so.
    pub(super) fn require_complete(&self) -> Result<()> {
        let state = self.state();
        if state.complete {
            return Ok(());
        }
        let cause = state.last_error.unwrap_or_else(|| "the first list is under way".to_owned());
        let message = format!("the {} are not known yet: {cause}", self.name);
        Err(ClientError::new(self.system, ClientErrorKind::Unreachable, message))
    }

    /// The error of an operation that succeeded, but whose result this watch does not show.
    pub(super) fn not_shown(&self, result: &str) -> ClientError {
        let cause = self.state().last_error.map_or_else(String::new, |error| format!(": {error}"));
        let message = format!("{result}, but the watch of {} does not show it{cause}", self.name);
        ClientError::new(self.system, ClientErrorKind::Failed, message)
    }

    fn proved_alive(&self) {
        self.with(|record| {
            record.alive_at = Instant::now();
            record.last_error = None;
        });
    }

    fn listed(&self) {
        self.with(|record| record.complete = true);
        self.proved_alive();
    }

    fn failed(&self, error: String) {
        self.with(|record| {
            record.errors += 1;
            record.last_error = Some(error);
        });
    }

    /// Each change is of single fields: after a panic elsewhere the record is as good as before.
    fn with<R>(&self, change: impl FnOnce(&mut Record) -> R) -> R {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How objects are watched: only those with these labels (all when empty).
pub(super) fn config(labels: &str) -> watcher::Config {
    let config = watcher::Config::default().timeout(WATCH_SECONDS);
    if labels.is_empty() { config } else { config.labels(labels) }
}

/// A client for one watch: its answers count as proofs of life, and none may hang.
pub(super) fn monitored(client: &Client, health: &Arc<WatchHealth>) -> Client {
    let (inner, health) = (client.clone(), Arc::clone(health));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, health) = (inner.clone(), Arc::clone(&health));
        async move {
            let is_watch = is_watch(&request);
            let response = match timeout(ANSWER, inner.send(request)).await {
                Ok(response) => response?,
                Err(_) => {
                    let message = format!("no answer within {} s", ANSWER.as_secs());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message).into());
                }
            };
            let response: Response<_> = response;
            let health = (is_watch && response.status().is_success()).then_some(health);
            // The watcher itself ends watches that are silent, a list would be waited for without end.
            let silence = if is_watch { Duration::from_secs(2 * u64::from(WATCH_SECONDS)) } else { ANSWER };
            Ok::<_, Box<dyn Error + Send + Sync>>(response.map(|body| {
                let body = UnsyncBoxBody::new(TimeoutBody::new(silence, body));
                Proof { body, health, failed: false }
            }))
        }
    });
    Client::new(service, client.default_namespace())
}

/// The body of an answer. That of a watch proves it alive with each event, and by ending in order: the
/// beginning of the answer does not, since a proxy or a server that fails sends it as well.
struct Proof<E> {
    body: UnsyncBoxBody<Bytes, E>,
    /// Of the watch.
    health: Option<Arc<WatchHealth>>,
    /// The last event was an error.
    failed: bool,
}

impl<E> http_body::Body for Proof<E> {
    type Data = Bytes;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, E>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &polled {
            Some(Ok(frame)) => {
                self.failed = frame.data_ref().is_some_and(|data| data.starts_with(ERROR_EVENT));
            }
            Some(Err(_)) => self.failed = true,
            None => {}
        }
        if let Some(health) = self.health.as_ref().filter(|_| !self.failed) {
            health.proved_alive();
        }
        Poll::Ready(polled)
    }
}

/// Prefix of the event with which the API server ends a watch.
const ERROR_EVENT: &[u8] = br#"{"type":"ERROR""#;

fn is_watch(request: &Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
}

/// Feeds the events of a watch to `apply` and their proof of life to `health`, until the handle is dropped.
pub(super) fn follow<K: Send + 'static>(
    health: Arc<WatchHealth>,
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    mut apply: impl FnMut(Event<K>) + Send + 'static,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut events = std::pin::pin!(events.backoff(pauses()));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let is_listed = matches!(event, Event::InitDone);
                    apply(event);
                    // Last, since by then the state must be there.
                    if is_listed {
                        health.listed();
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, watch = health.name, "the watch of {} was interrupted", health.name);
                    health.failed(chain(&error));
                }
            }
        }
    }))
}

/// Pauses between attempts to watch: short enough to notice soon that a server is back.
fn pauses() -> ExponentialBackoff {
    ExponentialBackoff::from(
        ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(10))
            .with_factor(2.0)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(rand::random()),
    )
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
