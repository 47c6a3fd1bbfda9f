//! What is remembered of a key between two runs, to spare calls that would change nothing. Losing it costs a call, nothing
//! else.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::clients::{ClientError, GraphRules};

/// What is remembered of a key from one run to the next.
#[derive(Debug, Default)]
pub struct Memory {
    /// The alert rules that were published last, and when.
    pub(super) rules: Option<(Option<GraphRules>, Instant)>,
    /// Releases whose last attempt failed, by service.
    pub(super) failures: BTreeMap<String, Failure>,
    /// Services that could not be scaled at the last attempt.
    pub(super) unscaled: BTreeMap<String, Failure>,
}

/// A failed attempt. News about other parts of the graph must not bring the next one forward.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What was tried: something else is tried at once.
    pub(super) attempt: String,
    pub(super) error: ClientError,
    /// Attempts that failed in a row.
    pub(super) times: u32,
    pub(super) not_before: Instant,
}

impl Memory {
    /// A user asks: what failed is tried at once.
    pub(super) fn try_again(&mut self) {
        self.failures.clear();
        self.unscaled.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_none() && self.failures.is_empty() && self.unscaled.is_empty()
    }
}
