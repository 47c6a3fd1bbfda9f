//! Stopping of decisions: one deadline and one cancel flag.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One deadline and one cancel flag for everything that a decision does: searches, bounds, every run of a
/// solver, and the analysis of a conflict. Clones share the flags.
///
/// Workers check [`Self::is_due`] between two steps, and end with the best result so far. An early end is
/// recorded ([`Self::has_cut`]): without one, the answer does not depend on the clock.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
}

impl Stop {
    /// No deadline.
    #[must_use]
    pub fn never() -> Self {
        Self::default()
    }

    /// Ends at an instant.
    #[must_use]
    pub fn at(deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..Self::default() }
    }

    /// The same, but at a time from now if that is earlier.
    #[must_use]
    pub fn within(&self, time: Duration) -> Self {
        // A deadline beyond the range of the clock is none.
        let sooner = Instant::now().checked_add(time);
        Self { deadline: self.deadline.into_iter().chain(sooner).min(), ..self.clone() }
    }

    /// The same, but after `percent` of the time that is left.
    #[must_use]
    pub fn after_share(&self, percent: u32) -> Self {
        match self.time_left() {
            Some(left) => self.within(left / 100 * percent),
            None => self.clone(),
        }
    }

    /// The deadline, if there is one.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Time until the deadline; zero once it has passed, and `None` without one.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Asks everything that shares the flag to end: its answer is no longer needed.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether to end now. Remembers that it was so.
    #[must_use]
    pub fn is_due(&self) -> bool {
        let due = self.cancelled.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if due {
            self.note_cut();
        }
        due
    }

    /// Remembers that something ended before it was done, such as a solver that was given the time that was
    /// left.
    pub fn note_cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    /// Whether something ended before it was done.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_due_when_its_deadline_has_passed_or_a_clone_is_cancelled() {
        let never = Stop::never();
        assert!(!never.is_due() && never.time_left().is_none() && !never.has_cut());
        let past = Stop::at(Instant::now());
        assert!(past.is_due() && past.has_cut());
        let later = never.within(Duration::from_secs(3600));
        assert!(!later.is_due());
        later.clone().cancel();
        assert!(later.is_due() && never.is_due() && never.has_cut());
    }

    #[test]
    fn the_earlier_deadline_holds() {
        let hour = Stop::never().within(Duration::from_secs(3600));
        assert!(hour.within(Duration::ZERO).is_due());
        assert_eq!(hour.within(Duration::from_secs(7200)).deadline(), hour.deadline());
        assert!(hour.after_share(50).deadline() < hour.deadline());
        assert_eq!(Stop::never().after_share(50).deadline(), None);
        assert_eq!(Stop::never().within(Duration::MAX).deadline(), None);
    }
}
