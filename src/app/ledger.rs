//! The capacity ledger as decisions see it: free capacity by cluster and graph.
//!
//! A decision reads a snapshot, is made without any lock, and is committed in one transaction that is refused
//! when its additional usage no longer fits ([`crate::store::Tx::require_capacity`]). Then it is made again
//! on the newest snapshot, a bounded number of times. Nomad's plan applier is the model: many planners, one
//! verified commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, Utc};

use super::attributes::effective_attributes;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::hdag::Resources;
use crate::model::footprint::free_capacity;
use crate::model::{ClusterRecord, FreeCapacity, LedgerEntry, ServiceRecord, Usage};
use crate::optimizer::ClusterAttributes;
use crate::reconcile::ClusterSync;
use crate::store::{ClusterUse, GraphUse, Store};

/// Delay after which a client may retry when the known state was too old.
const RETRY_STALE: Duration = Duration::from_secs(10);
/// Number of attempts at a decision before its client is asked to retry later.
const ATTEMPTS: usize = 6;
/// Pause before the second attempt, without its jitter; doubled for each one after it.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Use of the clusters by one graph, by cluster.
pub(super) type GraphUsage = BTreeMap<String, Usage>;

/// Gives decisions their snapshots. Cheap to clone.
#[derive(Clone)]
pub struct CapacityLedger {
    store: Store,
    clusters: ClusterSync,
    settings: Arc<Settings>,
}

/// The known state of the clusters, their attributes, and the usage of all services on them.
pub(super) struct CapacitySnapshot {
    /// All clusters, by ascending id.
    pub(super) clusters: Vec<ClusterRecord>,
    /// Effective attributes, by cluster.
    pub(super) attributes: BTreeMap<String, ClusterAttributes>,
    entries: BTreeMap<String, LedgerEntry>,
}

impl CapacitySnapshot {
    /// The capacity of a cluster for a graph that uses this much.
    pub(super) fn free(&self, cluster: &ClusterRecord, own: &GraphUsage) -> FreeCapacity {
        let entry = self.entries.get(&cluster.name).copied().unwrap_or_default();
        free_capacity(cluster, &entry, &own.get(&cluster.name).copied().unwrap_or_default())
    }

    /// Notes that a decision took this much on a cluster.
    pub(super) fn take(&mut self, cluster: &str, amount: Resources) {
        let entry = self.entries.entry(cluster.to_owned()).or_default();
        entry.wanted += amount;
        entry.reserved += amount;
    }
}

/// The state that a decision about one graph is based on.
pub(super) struct GraphSnapshot {
    pub(super) capacity: CapacitySnapshot,
    /// Services of the graph; none when it is new.
    pub(super) services: Vec<ServiceRecord>,
    /// The graph's own usage.
    pub(super) usage: GraphUsage,
}

impl CapacityLedger {
    /// A ledger over these.
    #[must_use]
    pub fn new(store: Store, clusters: ClusterSync, settings: Arc<Settings>) -> Self {
        Self { store, clusters, settings }
    }

    /// The snapshot that a decision about a graph is based on.
    ///
    /// # Errors
    /// The known state of the clusters is too old to decide on; the database failed.
    pub(super) async fn snapshot_for(&self, graph: &str, at: DateTime<Utc>) -> Result<GraphSnapshot> {
        self.require_fresh(at).await?;
        let (state, services, usage) = self.store.snapshot_for(graph).await?;
        Ok(GraphSnapshot { capacity: self.with_attributes(state).await?, services, usage })
    }

    /// The snapshot that the scaling loop decides on, with the next `limit` graphs that are scaled, by name, from
    /// `after` on.
    ///
    /// # Errors
    /// As [`Self::snapshot_for`].
    pub(super) async fn snapshot_of_scaled(
        &self,
        at: DateTime<Utc>,
        after: &str,
        limit: i64,
    ) -> Result<(CapacitySnapshot, Vec<GraphUse>)> {
        self.require_fresh(at).await?;
        let by_default = self.settings.scaling.enabled;
        let (state, graphs) = self.store.snapshot_of_scaled(by_default, after, limit).await?;
        Ok((self.with_attributes(state).await?, graphs))
    }

    /// The clusters and the use of all graphs together.
    ///
    /// # Errors
    /// As [`Self::snapshot_for`].
    pub(super) async fn snapshot(&self, at: DateTime<Utc>) -> Result<CapacitySnapshot> {
        self.require_fresh(at).await?;
        self.with_attributes(self.store.cluster_use().await?).await
    }

    /// The clusters as last observed; read now if they never were.
    ///
    /// # Errors
    /// Karmada or the database failed.
    pub(super) async fn known_clusters(&self) -> Result<Vec<ClusterRecord>> {
        if self.store.clusters_observed_at().await?.is_none() {
            self.clusters.sync().await?;
        }
        Ok(self.store.clusters().await?)
    }

    /// Reads the clusters now; when Karmada does not answer, the last known state has to be fresh enough.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn refresh(&self) -> Result<()> {
        match self.clusters.sync().await {
            Err(Error::Client(error)) => {
                tracing::warn!("the clusters could not be read, the last known state counts: {error}");
                Ok(())
            }
            other => other,
        }
    }

    async fn with_attributes(&self, state: ClusterUse) -> Result<CapacitySnapshot> {
        let set = self.store.cluster_attributes().await?;
        let attributes = effective_attributes(&state.clusters, set, &self.settings);
        Ok(CapacitySnapshot { clusters: state.clusters, attributes, entries: state.entries })
    }

    /// # Errors
    /// The clusters were not read for too long ([`Error::Stale`]), or never and cannot be read now.
    pub(super) async fn require_fresh(&self, at: DateTime<Utc>) -> Result<()> {
        let mut observed_at = self.store.clusters_observed_at().await?;
        if observed_at.is_none() {
            self.clusters.sync().await?;
            observed_at = self.store.clusters_observed_at().await?;
        }
        let age = age(self.clusters.age(), observed_at, at);
        if age.is_none_or(|age| age > self.settings.stale_after) {
            return Err(Error::Stale { observed_at, retry_after: RETRY_STALE });
        }
        Ok(())
    }
}

/// Age of an observation: the time since this server made it, or what the clock of the wall says, whichever is longer.
/// The former does not see a suspended machine, the latter is wrong when the clock is set back: an observation of the
/// future is no younger, and without the former its age is unknown.
fn age(since: Option<Duration>, observed_at: Option<DateTime<Utc>>, at: DateTime<Utc>) -> Option<Duration> {
    since.max(observed_at.and_then(|observed| (at - observed).to_std().ok()))
}

/// Makes an attempt at a decision and its commit; again on a new snapshot, a bounded number of times with
/// growing pauses, while other graphs take the capacity that was decided on.
///
/// # Errors
/// [`Error::Contended`] after the last attempt, and any other error of an attempt.
pub(super) async fn until_uncontended<T, F>(attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_factor(2.0)
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
        .with_jitter_seed(rand::random());
    attempt
        .retry(pauses)
        .when(|error| matches!(error, Error::Contended { .. }))
        .notify(|error, _| tracing::debug!("deciding again: {error}"))
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_makes_no_observation_younger() {
        let at = crate::model::now();
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let (earlier, later) = (Some(at - minutes(7)), Some(at + minutes(7)));
        assert_eq!(age(Some(minutes(5)), later, at), Some(minutes(5)), "set back");
        assert_eq!(age(Some(minutes(5)), earlier, at), Some(minutes(7)), "suspended, or set forward");
        assert_eq!(age(None, earlier, at), Some(minutes(7)), "of the run before");
        assert_eq!(age(None, later, at), None, "of the run before, and set back");
        assert_eq!(age(None, None, at), None);
    }
}
