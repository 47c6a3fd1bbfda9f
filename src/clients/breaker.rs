//! A circuit breaker: after several consecutive failures a system is not called for a while.
//!
//! A plain state machine over `tokio::time::Instant` (so that tests can pause the clock), without locks,
//! metrics or I/O; [`super::Calls`] keeps one per system. After the pause exactly one call is let through as
//! a probe: its success closes the circuit, its failure opens it again. Only failures to reach a system
//! count; a system that answers with an error is there.

use std::time::Duration;

use tokio::time::Instant;

/// The breaker of one system.
#[derive(Debug)]
pub struct Breaker {
    threshold: u32,
    open_for: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing { since: Instant },
}

impl Breaker {
    /// A closed breaker that opens for `open_for` after `threshold` consecutive failures.
    #[must_use]
    pub fn new(threshold: u32, open_for: Duration) -> Self {
        Self { threshold: threshold.max(1), open_for, state: State::Closed { failures: 0 } }
    }

    /// Asks to make a call. An admitted call must end in [`Self::success`], [`Self::failure`] or
    /// [`Self::abandoned`].
    ///
    /// # Errors
    /// How long to wait before asking again, when the circuit is open.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed { .. } => Ok(()),
            State::Open { until } if now < until => Err(until - now),
            State::Open { .. } => {
                self.state = State::Probing { since: now };
                Ok(())
            }
            // Until the probe has answered the system counts as down; but a probe that takes longer than a
            // whole pause is inconclusive, and another call may probe.
            State::Probing { since } if now < since + self.open_for => Err(since + self.open_for - now),
            State::Probing { .. } => {
                self.state = State::Probing { since: now };
                Ok(())
            }
        }
    }

    /// Whether a long operation should not even be started: the circuit is open and its pause not over.
    /// Unlike
    /// [`Self::admit`], this starts no probe.
    #[must_use]
    pub fn blocked(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Open { until } if now < until => Some(until - now),
            _ => None,
        }
    }

    /// The system answered.
    pub fn success(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// The system could not be reached.
    pub fn failure(&mut self, now: Instant) {
        self.state = match self.state {
            State::Closed { failures } if failures + 1 < self.threshold => {
                State::Closed { failures: failures + 1 }
            }
            // A call that began before the circuit opened must not prolong the pause.
            State::Open { until } if now < until => State::Open { until },
            _ => State::Open { until: now + self.open_for },
        };
    }

    /// The call was cancelled before it had a result: the next one may probe at once.
    pub fn abandoned(&mut self, now: Instant) {
        if let State::Probing { .. } = self.state {
            self.state = State::Open { until: now };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::new(3, PAUSE);
        for _ in 0..3 {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failure(now);
        }
        breaker
    }

    #[test]
    fn opens_after_the_threshold_and_says_how_long_to_wait() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert_eq!(breaker.admit(now + Duration::from_secs(10)), Err(Duration::from_secs(20)));
        assert_eq!(breaker.blocked(now + Duration::from_secs(10)), Some(Duration::from_secs(20)));
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let now = Instant::now();
        let mut breaker = Breaker::new(2, PAUSE);
        breaker.failure(now);
        breaker.success();
        breaker.failure(now);
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.failure(now);
        assert_eq!(breaker.admit(now), Err(PAUSE));
    }

    #[test]
    fn after_the_pause_exactly_one_call_probes() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + PAUSE;
        assert_eq!(breaker.blocked(later), None);
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(PAUSE));
        breaker.success();
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Ok(()));
    }

    #[test]
    fn a_failed_probe_opens_the_circuit_for_another_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + PAUSE;
        assert_eq!(breaker.admit(later), Ok(()));
        breaker.failure(later);
        assert_eq!(breaker.admit(later), Err(PAUSE));
    }

    #[test]
    fn an_abandoned_probe_lets_the_next_call_probe_at_once() {
        let now = Instant::now();
        let mut breaker = opened(now);
        let later = now + PAUSE;
        assert_eq!(breaker.admit(later), Ok(()));
        breaker.abandoned(later);
        assert_eq!(breaker.admit(later), Ok(()));
    }

    #[test]
    fn a_late_failure_does_not_prolong_the_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        breaker.failure(now + Duration::from_secs(20));
        assert_eq!(breaker.admit(now + PAUSE), Ok(()));
    }
}
