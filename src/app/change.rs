//! The one way to change intent: a transaction that records the event of the change, and wakes the work it
//! causes even when the request is cancelled during the commit.

use chrono::{DateTime, Utc};

use super::Parts;
use crate::error::{Error, Result};
use crate::model::{Cause, GraphRecord, NewEvent, now};
use crate::reconcile::Queue;
use crate::store::Tx;

/// A change of intent that is being made.
pub(super) struct Change {
    /// The transaction: reads current rows, writes intent.
    pub(super) tx: Tx,
    /// Who causes it.
    pub(super) cause: Cause,
    /// The time of everything that it writes.
    pub(super) at: DateTime<Utc>,
    /// The graph whose work depends on it.
    wakes: Option<(Queue, String)>,
}

impl Change {
    /// Begins a change of something that no graph's work depends on.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn begin(parts: &Parts, cause: Cause) -> Result<Self> {
        Ok(Self { tx: parts.store.begin().await?, cause, at: now(), wakes: None })
    }

    /// Begins a change of a graph that may not exist yet; its work is woken by the commit.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn begin_new(parts: &Parts, graph: &str, cause: Cause) -> Result<Self> {
        let wakes = Some((parts.queue.clone(), graph.to_owned()));
        Ok(Self { wakes, ..Self::begin(parts, cause).await? })
    }

    /// Begins a change of a graph: its current row, locked. Its work is woken by the commit.
    ///
    /// # Errors
    /// The graph does not exist; the database failed.
    pub(super) async fn begin_graph(parts: &Parts, name: &str, cause: Cause) -> Result<(Self, GraphRecord)> {
        let mut change = Self::begin_new(parts, name, cause).await?;
        let graph = change.tx.graph(name).await?.ok_or_else(|| Error::no_graph(name))?;
        Ok((change, graph))
    }

    /// Writes the event and makes everything durable. `label` names the step at which tests may fail or kill
    /// the server.
    ///
    /// # Errors
    /// The database failed, or others took the capacity that was decided on ([`Error::Contended`]).
    pub(super) async fn commit(mut self, label: &str, event: &NewEvent) -> Result<()> {
        self.tx.insert_event(event, self.at).await?;
        // Dropped with this future, too: the change of a request cancelled here may have been recorded.
        let _wake = self.wakes.as_ref().map(|(queue, graph)| queue.wake_on_drop(graph));
        Ok(self.tx.commit(label).await?)
    }
}
