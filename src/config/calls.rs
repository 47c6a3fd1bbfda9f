//! Settings of calls to outside systems.

use std::time::Duration;

/// Deadlines, retries and breaker of outside calls.
#[derive(Debug, Clone, PartialEq)]
pub struct CallSettings {
    /// Deadline of a quick call (list, query, patch).
    pub deadline: Duration,
    /// Deadline of a Helm operation.
    pub helm_deadline: Duration,
    /// Attempts of a quick call that fails transiently, the first included.
    pub attempts: usize,
    /// Delay before the second attempt; doubles, with jitter.
    pub first_delay: Duration,
    /// Unanswered calls in a row after which a system, a registry or an external program is left alone.
    pub breaker_threshold: u32,
    /// How long it is left alone.
    pub breaker_open: Duration,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            helm_deadline: Duration::from_secs(120),
            attempts: 3,
            first_delay: Duration::from_millis(200),
            breaker_threshold: 5,
            breaker_open: Duration::from_secs(15),
        }
    }
}
