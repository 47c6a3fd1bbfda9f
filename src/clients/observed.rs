//! Objects of other systems as last observed by watches, and notifications of their changes.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// A receiver that is further behind re-reads everything anyway.
const CHANGES_KEPT: usize = 1024;
/// Longest wait for a watch to show the caller's own change; normally it takes milliseconds.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);

/// An index `I` that is fed with events, and the keys `K` that they touch.
pub(super) struct Observed<I, K> {
    index: Mutex<I>,
    changes: broadcast::Sender<K>,
}

impl<I: Send + 'static, K: Clone + Send + 'static> Observed<I, K> {
    /// An index that nothing has been fed to.
    pub(super) fn new(index: I) -> Arc<Self> {
        Arc::new(Self { index: Mutex::new(index), changes: broadcast::Sender::new(CHANGES_KEPT) })
    }

    /// Looks at the index.
    pub(super) fn read<R>(&self, look: impl FnOnce(&I) -> R) -> R {
        look(&self.index.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes an event: `apply` changes the index and returns the affected keys.
    pub(super) fn take<E>(&self, event: E, apply: impl FnOnce(&mut I, E) -> BTreeSet<K>) {
        // An event is applied as a whole or not at all: after a panic elsewhere the index is as good as
        // before.
        let touched = apply(&mut self.index.lock().unwrap_or_else(PoisonError::into_inner), event);
        for key in touched {
            // An error means that there is no receiver.
            let _ = self.changes.send(key);
        }
    }

    /// Receives the keys that change from now on.
    pub(super) fn changes(&self) -> broadcast::Receiver<K> {
        self.changes.subscribe()
    }

    /// Waits until the index shows the caller's own change, so that no reader acts on an earlier view.
    ///
    /// # Errors
    /// It does not within a few seconds.
    pub(super) async fn until(&self, is_shown: impl Fn(&I) -> bool) -> Result<(), Elapsed> {
        let mut changes = self.changes();
        let shown = async {
            while !self.read(&is_shown) {
                // The index is read again after a lag, too. The sender lives as long as `self`.
                let _ = changes.recv().await;
            }
        };
        timeout(SHOWN_WITHIN, shown).await
    }
}
