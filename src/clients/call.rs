//! The one wrapper around calls to other systems: deadline, retry, breaker, metrics, span, and fault steps.
//!
//! No client implements any of these itself. Quick calls are retried with jitter as long as the failure is
//! transient and the system does not ask for a longer pause than a caller would wait; Helm operations are
//! not: the reconciler repeats them, with longer delays and a record of the cause. `/readyz` reports the
//! results of these calls, so that readiness needs no calls of its own.
//!
//! Breakers count failures of a system, not errors of a request: an answer such as "not found" is a success,
//! and a chart reference with a wrong registry does not open Karmada's breaker, since each registry has a
//! breaker of its own ([`Bulkheads`]).

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::Utc;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span};

use super::breaker::Breaker;
use super::bulkhead::{Bulkheads, Slot};
use super::{ClientError, ClientErrorKind, Probe, Result};
use crate::config::{CallSettings, HelmSettings};
use crate::faults::{Faults, Phase};

/// Upper bounds of the duration buckets in seconds: quick calls take milliseconds, Helm up to minutes.
const BUCKETS: [f64; 12] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// How an operation is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Reads something within the quick deadline; retried.
    Read,
    /// Changes something idempotently within the quick deadline; retried, and a fault step on both sides.
    Write,
    /// A query with its own deadline; not retried, since the caller has a fallback or tries again. Not under the
    /// breaker of its system: each external program has one of its own (`strategies.rs`), since one that is down says
    /// nothing about another.
    Once(Duration),
}

/// One operation of one system.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The system that is asked; label of metrics, and whose breaker is used.
    pub system: &'static str,
    /// Name of the operation; label of metrics.
    pub name: &'static str,
    /// How it is called.
    pub policy: Policy,
    /// Systems that have shown to be there when the call succeeds, besides `system`.
    pub proves: &'static [&'static str],
}

impl Operation {
    fn span(self) -> Span {
        tracing::debug_span!("outside_call", system = self.system, operation = self.name)
    }
}

/// Labels of a call's metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    system: &'static str,
    operation: &'static str,
    outcome: &'static str,
}

/// Labels of a call's duration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    system: &'static str,
    operation: &'static str,
}

/// The wrapper and its state. Clones share everything.
#[derive(Clone)]
pub struct Calls {
    inner: Arc<Inner>,
    bulkheads: Arc<Bulkheads>,
}

struct Inner {
    settings: CallSettings,
    faults: Faults,
    systems: Mutex<BTreeMap<&'static str, SystemState>>,
    calls: Family<CallLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

struct SystemState {
    breaker: Breaker,
    probe: Probe,
}

impl Calls {
    /// A wrapper with these settings.
    #[must_use]
    pub fn new(settings: &CallSettings, helm: &HelmSettings, faults: Faults) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        Self {
            inner: Arc::new(Inner {
                settings: settings.clone(),
                faults,
                systems: Mutex::default(),
                calls: Family::default(),
                durations: Family::new_with_constructor(histogram),
            }),
            bulkheads: Arc::new(Bulkheads::new(helm.parallel, helm.parallel_removals, settings)),
        }
    }

    /// Adds `smo_outside_calls_total` and `smo_outside_call_duration_seconds` to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "smo_outside_calls",
            "Calls of outside systems, each attempt counted",
            self.inner.calls.clone(),
        );
        registry.register(
            "smo_outside_call_duration_seconds",
            "Duration of the calls of outside systems",
            self.inner.durations.clone(),
        );
    }

    /// The health of each system by name, as the calls so far show it.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        self.systems().values().map(|system| system.probe.clone()).collect()
    }

    /// The settings of the calls.
    #[must_use]
    pub fn settings(&self) -> &CallSettings {
        &self.inner.settings
    }

    /// The fault steps that the calls go through.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.inner.faults
    }

    /// Makes one call, under the operation's policy.
    ///
    /// # Errors
    /// The call's own error; `Timeout` at the deadline; `CircuitOpen` when the system is left alone.
    pub async fn run<T, F, Fut>(&self, operation: Operation, call: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        async {
            match operation.policy {
                Policy::Read => self.quick(operation, call).await,
                Policy::Write => {
                    self.step(operation, Phase::Before).await?;
                    let answer = self.quick(operation, call).await?;
                    self.step(operation, Phase::After).await?;
                    Ok(answer)
                }
                Policy::Once(deadline) => self.once(operation, deadline, call).await,
            }
        }
        .instrument(operation.span())
        .await
    }

    /// Makes one Helm operation: long, one of a limited number at a time, not retried, and a fault step on
    /// both sides. Waiting for a slot is not part of its deadline.
    ///
    /// # Errors
    /// As [`Self::run`]; `CircuitOpen` also when the registry is left alone.
    pub async fn run_helm<T, F, Fut>(&self, operation: Operation, slot: Slot<'_>, call: F) -> Result<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        async {
            let permit = self.bulkheads.acquire(slot).await;
            let _permit = permit.inspect_err(|error| self.count(operation, error.kind.label()))?;
            self.not_blocked(operation)?;
            self.step(operation, Phase::Before).await?;
            let answer = self.timed(operation, helm_limit(&self.inner.settings), call()).await;
            self.record(operation, &answer);
            self.bulkheads.record(slot, &answer);
            let answer = answer?;
            self.step(operation, Phase::After).await?;
            Ok(answer)
        }
        .instrument(operation.span())
        .await
    }

    async fn quick<T, F, Fut>(&self, operation: Operation, mut call: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let settings = &self.inner.settings;
        let longest_wait = settings.deadline;
        (|| {
            let future = call();
            async move {
                let guard = self.admit(operation)?;
                let answer = self.timed(operation, settings.deadline, future).await;
                guard.finish(&answer);
                answer
            }
        })
        .retry(backoff(settings))
        .when(|error: &ClientError| error.kind.is_transient() && error.kind != ClientErrorKind::CircuitOpen)
        // A requested pause is respected; if it is longer than a caller would wait, the call is not retried
        // here: the error carries the pause to the code that repeats the whole operation.
        .adjust(|error, delay| match error.retry_after {
            Some(asked) if asked > longest_wait => None,
            Some(asked) => delay.map(|delay| delay.max(asked)),
            None => delay,
        })
        .notify(|error, delay| {
            tracing::debug!(%error, delay_ms = delay.as_millis(), "call failed, trying again");
        })
        .await
    }

    async fn once<T, F, Fut>(&self, operation: Operation, deadline: Duration, mut call: F) -> Result<T>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        self.timed(operation, deadline, call()).await
    }

    /// Runs one attempt under a deadline and counts it.
    async fn timed<T>(
        &self,
        operation: Operation,
        deadline: Duration,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        let answer = timeout(deadline, future).await.unwrap_or_else(|_| Err(no_answer(operation, deadline)));
        let labels = DurationLabels { system: operation.system, operation: operation.name };
        self.inner.durations.get_or_create(&labels).observe(begun.elapsed().as_secs_f64());
        self.count(operation, answer.as_ref().map_or_else(|error| error.kind.label(), |_| "ok"));
        answer
    }

    async fn step(&self, operation: Operation, phase: Phase) -> Result<()> {
        let name = format!("{}.{}", operation.system, operation.name);
        let deadline = self.inner.settings.deadline;
        let step = timeout(deadline, self.inner.faults.step(&name, phase)).await;
        let answer = match step {
            Ok(passed) => passed.map_err(|fault| {
                ClientError::new(operation.system, ClientErrorKind::Failed, fault.to_string())
            }),
            Err(_) => Err(no_answer(operation, deadline)),
        };
        if let Err(error) = &answer {
            self.count(operation, error.kind.label());
        }
        answer
    }

    /// Asks the breaker; calls it lets through must be finished by the guard.
    fn admit(&self, operation: Operation) -> Result<Admitted<'_>> {
        let admitted = self.system(operation.system, |system| system.breaker.admit(Instant::now()));
        admitted.map_err(|wait| self.circuit_open(operation, operation.system, wait))?;
        Ok(Admitted { calls: self, operation, finished: false })
    }

    /// Helm works on Karmada: while Karmada's circuit is open, a Helm operation is not worth its process.
    fn not_blocked(&self, operation: Operation) -> Result<()> {
        for system in std::iter::once(operation.system).chain(operation.proves.iter().copied()) {
            if let Some(wait) = self.system(system, |state| state.breaker.blocked(Instant::now())) {
                return Err(self.circuit_open(operation, system, wait));
            }
        }
        Ok(())
    }

    fn circuit_open(&self, operation: Operation, system: &'static str, wait: Duration) -> ClientError {
        self.count(operation, ClientErrorKind::CircuitOpen.label());
        let last = self.system(system, |state| state.probe.last_error.clone()).unwrap_or_default();
        // Without the seconds, which `retry_after` has: a changing text would count as a change every time.
        let message = format!("{system} failed repeatedly and is left alone for a while; last error: {last}");
        let mut error = ClientError::new(system, ClientErrorKind::CircuitOpen, message);
        error.retry_after = Some(wait);
        error
    }

    /// Records an outcome for the systems whose health it shows.
    fn record<T>(&self, operation: Operation, answer: &Result<T>) {
        match answer {
            Ok(_) => {
                self.reached(operation.system);
                operation.proves.iter().for_each(|system| self.reached(system));
            }
            Err(error) => self.failed(error),
        }
    }

    fn reached(&self, system: &'static str) {
        self.system(system, |state| {
            state.breaker.success();
            state.probe.last_success = Some(Utc::now());
            state.probe.last_error = None;
        });
    }

    fn failed(&self, error: &ClientError) {
        use ClientErrorKind as Kind;
        match error.kind {
            // It answered, and the error is one of the request.
            Kind::NotFound | Kind::Invalid | Kind::Conflict => self.reached(error.system),
            Kind::CircuitOpen | Kind::Superseded => {}
            Kind::Unreachable | Kind::Timeout => self.system(error.system, |state| {
                // A Helm operation that took too long says nothing about Helm; registries have breakers by
                // host.
                if !matches!(error.system, "helm" | "registry") {
                    state.breaker.failure(Instant::now());
                }
                state.probe.last_error = Some(error.message.clone());
            }),
            Kind::Unauthorised | Kind::Failed => self.system(error.system, |state| {
                state.breaker.success();
                state.probe.last_error = Some(error.message.clone());
            }),
        }
    }

    fn count(&self, operation: Operation, outcome: &'static str) {
        let labels = CallLabels { system: operation.system, operation: operation.name, outcome };
        self.inner.calls.get_or_create(&labels).inc();
    }

    fn system<R>(&self, name: &'static str, change: impl FnOnce(&mut SystemState) -> R) -> R {
        let settings = &self.inner.settings;
        let mut systems = self.systems();
        change(systems.entry(name).or_insert_with(|| SystemState {
            breaker: Breaker::new(settings.breaker_threshold, settings.breaker_open),
            probe: Probe { system: name, last_success: None, last_error: None },
        }))
    }

    /// The state is plain counters: after a panic elsewhere it is as good as before.
    fn systems(&self) -> MutexGuard<'_, BTreeMap<&'static str, SystemState>> {
        self.inner.systems.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that the breaker let through. Dropped unfinished (its caller was cancelled), it frees the probe's
/// place.
struct Admitted<'a> {
    calls: &'a Calls,
    operation: Operation,
    finished: bool,
}

impl Admitted<'_> {
    fn finish<T>(mut self, answer: &Result<T>) {
        self.finished = true;
        self.calls.record(self.operation, answer);
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.calls.system(self.operation.system, |state| state.breaker.abandoned(Instant::now()));
        }
    }
}

fn backoff(settings: &CallSettings) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(settings.first_delay)
        .with_factor(2.0)
        .with_max_delay(settings.deadline)
        .with_max_times(settings.attempts.saturating_sub(1))
        .with_jitter()
        .with_jitter_seed(rand::random())
}

/// A Helm operation ends itself at its deadline, with a telling error and time to end in order; this comes
/// after all that.
fn helm_limit(settings: &CallSettings) -> Duration {
    settings.helm_deadline.mul_f64(1.5) + settings.deadline
}

fn no_answer(operation: Operation, deadline: Duration) -> ClientError {
    let message = format!("{} got no answer within {} s", operation.name, deadline.as_secs_f64());
    ClientError::new(operation.system, ClientErrorKind::Timeout, message)
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;
