//! The memory of a key between two runs, which saves calls that would change nothing. Losing it costs no more
//! than a call.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::delay::{backoff, earliest, jitter};
use super::resources::{ResourceId, States};
use crate::clients::ClientError;
use crate::config::ReconcileSettings;

/// The memory of a key from one run to the next.
#[derive(Debug, Default)]
pub struct Memory {
    pub(super) failures: Failures,
}

/// The resources whose last attempt failed.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<ResourceId, Failure>);

/// A failed attempt. Changes of other resources must not bring the next one forward.
#[derive(Debug, Clone)]
struct Failure {
    /// The attempted change: a different one is attempted at once.
    attempt: String,
    error: ClientError,
    /// Attempts that failed in a row.
    times: u32,
    not_before: Instant,
}

impl Memory {
    /// On a user's request, failed operations are retried at once.
    pub(super) fn try_again(&mut self) {
        self.failures.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.failures.0.is_empty()
    }
}

impl Failures {
    /// The error of this attempt when it is not to be retried yet, with the remaining delay.
    pub(super) fn holding(&self, id: &ResourceId, attempt: &str) -> Option<ClientError> {
        let failure = self.0.get(id).filter(|failure| failure.attempt == attempt)?;
        let left =
            failure.not_before.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        Some(ClientError { retry_after: Some(left), ..failure.error.clone() })
    }

    /// Remembers a failed attempt, and adds the delay until its retry to the error: transient failures are
    /// retried soon, with backoff; failures that a user has to fix, at the regular resync.
    pub(super) fn remember(
        &mut self,
        id: &ResourceId,
        attempt: &str,
        error: &mut ClientError,
        settings: &ReconcileSettings,
    ) {
        let before = self.0.get(id).filter(|failure| failure.attempt == attempt);
        let times = before.map_or(1, |failure| failure.times.saturating_add(1));
        let delay = match error.kind.is_transient() {
            true => jitter(backoff(settings, times)).max(error.retry_after.unwrap_or_default()),
            // The regular resync has jitter, too: the earliest one retries.
            false => earliest(settings.resync),
        };
        error.retry_after = Some(delay);
        let not_before = Instant::now() + delay;
        let failure = Failure { attempt: attempt.to_owned(), error: error.clone(), times, not_before };
        self.0.insert(id.clone(), failure);
    }

    /// Forgets the failures of a resource.
    pub(super) fn forget(&mut self, id: &ResourceId) {
        self.0.remove(id);
    }

    /// Forgets the failures of all but these resources.
    pub(super) fn forget_others(&mut self, states: &States) {
        self.0.retain(|id, _| states.contains_key(id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clients::ClientErrorKind;
    use crate::reconcile::resources::ResourceKind;

    fn failed(failures: &mut Failures, kind: ClientErrorKind, asked: Option<u64>) -> Duration {
        let id = ResourceId::new(ResourceKind::Release, "a");
        let mut error = ClientError::new("helm", kind, "no");
        error.retry_after = asked.map(Duration::from_secs);
        failures.remember(&id, "x", &mut error, &ReconcileSettings::default());
        error.retry_after.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_held_back_until_its_time_and_another_one_is_not() {
        let (mut failures, id) = (Failures::default(), ResourceId::new(ResourceKind::Release, "a"));
        let delay = failed(&mut failures, ClientErrorKind::Unreachable, None);
        assert!(failures.holding(&id, "x").is_some());
        assert_eq!(failures.holding(&id, "y"), None);
        assert_eq!(failures.holding(&ResourceId::new(ResourceKind::Replicas, "a"), "x"), None);
        tokio::time::advance(delay).await;
        assert_eq!(failures.holding(&id, "x"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_take_longer_and_never_less_than_the_system_asks() {
        let mut failures = Failures::default();
        let delays: Vec<f64> =
            (0..4).map(|_| failed(&mut failures, ClientErrorKind::Failed, None).as_secs_f64()).collect();
        for (nth, delay) in (0_i32..).zip(&delays) {
            assert!((0.75 * 2_f64.powi(nth)..=1.25 * 2_f64.powi(nth)).contains(delay), "{delays:?}");
        }
        assert_eq!(failed(&mut failures, ClientErrorKind::Unreachable, Some(77)).as_secs(), 77);
        let earliest_resync = ReconcileSettings::default().resync.mul_f64(0.75);
        assert_eq!(failed(&mut failures, ClientErrorKind::NotFound, None), earliest_resync);
    }
}
