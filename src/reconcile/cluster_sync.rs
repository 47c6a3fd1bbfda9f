//! Synchronisation of the clusters from Karmada into the database, by the watching loop and on request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout};

use super::queue::Queue;
use crate::clients::Outside;
use crate::config::ReconcileSettings;
use crate::error::Result;
use crate::hdag::Resources;
use crate::model::event::CLUSTER_CHANGED;
use crate::model::{
    Cause, ClusterNetworks, ClusterObservation, ClusterRecord, RoundTripTimes, merge_nodes,
    merge_observations, merge_round_trip_times, now,
};
use crate::store::Store;

/// How long the sizes of a cluster's nodes count when its report shows no change: one may have been cordoned.
const NODES_READ_EVERY: Duration = Duration::from_secs(300);

/// Reads the clusters, one reading at a time. Clones share everything.
#[derive(Clone)]
pub struct ClusterSync {
    store: Store,
    outside: Outside,
    queue: Queue,
    settings: ReconcileSettings,
    progress: Arc<Mutex<SyncProgress>>,
    /// When the last reading that was recorded began.
    read_since: watch::Sender<Option<Instant>>,
    networks_failed: Arc<AtomicBool>,
}

/// A round-trip time that was not measured again for so many intervals says nothing any more.
const LATENCY_VALID_FOR: u32 = 10;

/// Times of the last reads.
struct SyncProgress {
    /// When this server began: nothing that it knows was measured later, unless it says so.
    since: Instant,
    /// When the time between each pair of clusters, by their names in order, was last measured.
    pairs: BTreeMap<(String, String), Instant>,
    /// When the round-trip times between the clusters were last asked for.
    measured_at: Option<Instant>,
    /// When each cluster was last asked for its nodes, and what they had together.
    nodes_read: BTreeMap<String, (Instant, Resources)>,
}

impl Default for SyncProgress {
    fn default() -> Self {
        let (since, pairs) = (Instant::now(), BTreeMap::new());
        Self { since, pairs, measured_at: None, nodes_read: BTreeMap::new() }
    }
}

impl ClusterSync {
    /// Nothing has been read yet.
    #[must_use]
    pub fn new(store: Store, outside: Outside, queue: Queue, settings: ReconcileSettings) -> Self {
        Self {
            store,
            outside,
            queue,
            settings,
            progress: Arc::default(),
            read_since: watch::Sender::default(),
            networks_failed: Arc::default(),
        }
    }

    /// Reads the clusters from Karmada into the database, and now and then the round-trip times between them.
    /// Callers that wait for the same reading share it.
    ///
    /// # Errors
    /// Karmada or the database failed.
    pub async fn sync(&self) -> Result<()> {
        self.sync_unless_newer(Duration::ZERO).await
    }

    /// As [`Self::sync`], unless the last reading is newer than `max_age`.
    ///
    /// # Errors
    /// Karmada or the database failed.
    pub async fn sync_unless_newer(&self, max_age: Duration) -> Result<()> {
        let asked = Instant::now();
        let mut progress = self.progress.lock().await;
        if self.read_since.borrow().is_some_and(|began| began + max_age >= asked) {
            return Ok(());
        }
        let began = Instant::now();
        let observed = self.outside.clusters().await?;
        let due = progress.due(&observed);
        let (networks, latencies, nodes) = tokio::join!(
            self.networks(),
            self.latencies(&observed, &mut progress.measured_at),
            self.nodes(&due)
        );
        progress.note_measured(&latencies, Instant::now());
        let is_expired = |one: &str, other: &str| {
            progress.unmeasured_for(one, other) > self.settings.latency_sync * LATENCY_VALID_FOR
        };
        self.record(&observed, &Members { networks, latencies, nodes }, is_expired).await?;
        let read = due.iter().map(|cluster| (cluster.name.clone(), (began, cluster.allocatable)));
        progress.nodes_read.extend(read);
        self.read_since.send_replace(Some(began));
        Ok(())
    }

    /// Time since the last reading of this server that succeeded began; `None` when none has been recorded yet: a
    /// decision would rest on an earlier server's knowledge, or on none. The clock of the wall does not matter.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.read_since.borrow().map(|began| began.elapsed())
    }

    /// Waits until a reading of this server is recorded, but not longer than `limit`.
    pub async fn until_known(&self, limit: Duration) {
        let mut read_since = self.read_since.subscribe();
        drop(timeout(limit, read_since.wait_for(Option::is_some)).await);
    }

    /// Writes the observation, and wakes the graphs of clusters that became available or unavailable, even
    /// when the caller is cancelled during the commit.
    async fn record(
        &self,
        observed: &[ClusterObservation],
        members: &Members,
        is_expired: impl Fn(&str, &str) -> bool,
    ) -> Result<()> {
        let at = now();
        let mut tx = self.store.begin().await?;
        let known = tx.lock_clusters().await?;
        let mut clusters = merge_observations(&known, observed, &members.networks, at);
        merge_round_trip_times(&mut clusters, &members.latencies, is_expired);
        merge_nodes(&known, &mut clusters, &members.nodes);
        let readable = observed.iter().filter(|cluster| cluster.readable);
        let names: Vec<&str> = readable.map(|cluster| cluster.name.as_str()).collect();
        tx.write_clusters(&known, &clusters, &names, at).await?;
        let changed = availability_changes(&known, &clusters);
        for cluster in &changed {
            let (name, available) = (&cluster.name, cluster.available);
            let data = json!({ "available": available, "reason": cluster.reason });
            let event = Cause::internal("clusters").cluster_event(CLUSTER_CHANGED, name, data);
            tx.insert_event(&event, at).await?;
            let word = if available { "available" } else { "not available" };
            tracing::info!(cluster.name = %name, available, "cluster {name} is {word}");
        }
        let changed: Vec<String> = changed.iter().map(|cluster| cluster.name.clone()).collect();
        let graphs = tx.graphs_on_clusters(&changed).await?;
        let _wake: Vec<_> = graphs.iter().map(|graph| self.queue.wake_on_drop(graph)).collect();
        tx.commit_unnumbered().await?;
        Ok(())
    }

    /// Networks of the clusters; none when they cannot be read, with one warning until they can again.
    async fn networks(&self) -> BTreeMap<String, ClusterNetworks> {
        if !self.outside.has_networks() {
            return BTreeMap::new();
        }
        let networks = self.outside.networks().await;
        let failed_before = self.networks_failed.swap(networks.is_err(), Ordering::Relaxed);
        networks.unwrap_or_else(|error| {
            if !failed_before {
                tracing::warn!("the networks of the clusters cannot be read: {error}");
            }
            BTreeMap::new()
        })
    }

    /// Round-trip times between the available clusters, when it is time to ask for them again: that takes a
    /// call for each of them.
    async fn latencies(
        &self,
        observed: &[ClusterObservation],
        measured_at: &mut Option<Instant>,
    ) -> RoundTripTimes {
        let available = observed.iter().filter(|cluster| cluster.available);
        let available: Vec<String> = available.map(|cluster| cluster.name.clone()).collect();
        let recent = measured_at.is_some_and(|at| at.elapsed() < self.settings.latency_sync);
        if recent || available.is_empty() {
            return RoundTripTimes::new();
        }
        *measured_at = Some(Instant::now());
        self.outside.latencies(&available).await.unwrap_or_else(|error| {
            tracing::warn!("the round-trip times between the clusters cannot be read: {error}");
            RoundTripTimes::new()
        })
    }

    /// The largest nodes of available clusters that have to be asked for them: that takes calls for each of them.
    async fn nodes(&self, asked: &[&ClusterObservation]) -> BTreeMap<String, Vec<Resources>> {
        if asked.is_empty() {
            return BTreeMap::new();
        }
        let names: Vec<String> = asked.iter().map(|cluster| cluster.name.clone()).collect();
        self.outside.largest_nodes(&names).await.unwrap_or_else(|error| {
            tracing::warn!("the nodes of the clusters cannot be read: {error}");
            BTreeMap::new()
        })
    }
}

impl SyncProgress {
    fn note_measured(&mut self, latencies: &RoundTripTimes, at: Instant) {
        self.pairs.extend(latencies.keys().map(|(one, other)| (in_order(one, other), at)));
    }

    /// For how long the time between two clusters has not been measured.
    fn unmeasured_for(&self, one: &str, other: &str) -> Duration {
        self.pairs.get(&in_order(one, other)).copied().unwrap_or(self.since).elapsed()
    }

    /// The clusters whose nodes may have changed since they were last asked for them.
    fn due<'a>(&self, observed: &'a [ClusterObservation]) -> Vec<&'a ClusterObservation> {
        let is_due = |cluster: &&ClusterObservation| {
            let (at, total) = self.nodes_read.get(&cluster.name).copied().unzip();
            let is_recent = at.is_some_and(|at: Instant| at.elapsed() < NODES_READ_EVERY);
            cluster.available && !(is_recent && total == Some(cluster.allocatable))
        };
        observed.iter().filter(is_due).collect()
    }
}

fn in_order(one: &str, other: &str) -> (String, String) {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    (first.to_owned(), second.to_owned())
}

/// What is read beside the Cluster objects.
struct Members {
    networks: BTreeMap<String, ClusterNetworks>,
    latencies: RoundTripTimes,
    /// The largest nodes of the clusters that told them.
    nodes: BTreeMap<String, Vec<Resources>>,
}

/// Clusters that appeared, or that became available or ceased to be.
fn availability_changes<'a>(before: &[ClusterRecord], after: &'a [ClusterRecord]) -> Vec<&'a ClusterRecord> {
    let known: BTreeSet<(&str, bool)> =
        before.iter().map(|cluster| (cluster.name.as_str(), cluster.available)).collect();
    after.iter().filter(|cluster| !known.contains(&(cluster.name.as_str(), cluster.available))).collect()
}
