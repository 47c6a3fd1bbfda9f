//! External strategies: programs of the operator that make decisions, called over HTTP with JSON.
//!
//! The server posts the whole problem and takes an answer of a few lines. Their answers are checked like any
//! plan before they are used; the check and the fallback are the caller's work. Each program has a breaker of
//! its own: one that is down costs its deadline a few times, not once for every graph.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::{ClientError, ClientErrorKind, Result};
use crate::config::CallSettings;

/// Bytes of the longest answer that is read; a plan has some hundred bytes for each service.
const MAX_ANSWER: usize = 16 << 20;

/// An external program and its deadline.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// Which kind of program it is, for messages.
    pub kind: &'static str,
    /// Its name in the configuration.
    pub name: &'a str,
    /// Its URL.
    pub url: &'a str,
    /// How long an answer may take.
    pub deadline: Duration,
}

/// Speaks to external strategies. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Strategies {
    http: reqwest::Client,
    threshold: u32,
    open_for: Duration,
    breakers: Arc<Mutex<BTreeMap<(&'static str, String), Breaker>>>,
}

impl Strategies {
    /// A client whose breakers have these settings.
    pub(super) fn new(settings: &CallSettings) -> Self {
        Self {
            http: reqwest::Client::default(),
            threshold: settings.breaker_threshold,
            open_for: settings.breaker_open,
            breakers: Arc::default(),
        }
    }

    /// Asks the program's breaker for a call, which must be finished by the guard.
    ///
    /// # Errors
    /// `CircuitOpen` when the program did not answer several times in a row.
    pub(super) fn admit<'a>(&'a self, endpoint: Endpoint<'a>) -> Result<Admitted<'a>> {
        self.breaker(endpoint, |breaker| breaker.admit(Instant::now())).map_err(|wait| {
            let message = "did not answer several times in a row and is left alone for a while";
            let mut error = failed(endpoint, ClientErrorKind::CircuitOpen, message);
            error.retry_after = Some(wait);
            error
        })?;
        Ok(Admitted { strategies: self, endpoint, finished: false })
    }

    /// Posts a question and reads the answer.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<'_>,
        question: &(impl Serialize + Sync),
    ) -> Result<A> {
        let failed = |kind, cause: &str| failed(endpoint, kind, cause);
        let request = self.http.post(endpoint.url).timeout(endpoint.deadline).json(question);
        let answer = request.send().await.map_err(|error| {
            let kind =
                if error.is_timeout() { ClientErrorKind::Timeout } else { ClientErrorKind::Unreachable };
            failed(kind, &error.without_url().to_string())
        })?;
        let status = answer.status();
        if !status.is_success() {
            return Err(failed(ClientErrorKind::Failed, &format!("answered {status}")));
        }
        let unreadable =
            |kind, cause: &dyn Display| failed(kind, &format!("its answer cannot be read: {cause}"));
        let body = Limited::new(reqwest::Body::from(answer), MAX_ANSWER).collect().await;
        let body = body.map_err(|error| match error.downcast::<reqwest::Error>() {
            Ok(error) if error.is_timeout() => unreadable(ClientErrorKind::Timeout, &error.without_url()),
            Ok(error) => unreadable(ClientErrorKind::Failed, &error.without_url()),
            Err(error) => unreadable(ClientErrorKind::Failed, &error),
        })?;
        serde_json::from_slice(&body.to_bytes()).map_err(|error| unreadable(ClientErrorKind::Failed, &error))
    }

    fn breaker<R>(&self, endpoint: Endpoint<'_>, change: impl FnOnce(&mut Breaker) -> R) -> R {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Breaker::new(self.threshold, self.open_for);
        change(breakers.entry((endpoint.kind, endpoint.name.to_owned())).or_insert_with(new))
    }
}

fn failed(endpoint: Endpoint<'_>, kind: ClientErrorKind, cause: &str) -> ClientError {
    ClientError::new("strategy", kind, format!("external {} {}: {cause}", endpoint.kind, endpoint.name))
}

/// A call that the breaker let through. If dropped unfinished because its caller left, it does not count for
/// the program's health.
pub(super) struct Admitted<'a> {
    strategies: &'a Strategies,
    endpoint: Endpoint<'a>,
    finished: bool,
}

impl Admitted<'_> {
    /// Records the outcome: only timeouts and unreachable programs open the breaker.
    pub(super) fn finish<T>(mut self, answer: &Result<T>) {
        self.finished = true;
        let is_down = answer.as_ref().is_err_and(|error| {
            matches!(error.kind, ClientErrorKind::Timeout | ClientErrorKind::Unreachable)
        });
        self.strategies.breaker(self.endpoint, |breaker| {
            if is_down { breaker.failure(Instant::now()) } else { breaker.success() }
        });
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.strategies.breaker(self.endpoint, |breaker| breaker.abandoned(Instant::now()));
        }
    }
}
