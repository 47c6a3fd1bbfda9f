//! News from outside. Each loop waits for a change or a timer, takes it into the database where it belongs, and
//! wakes the graphs concerned; it never acts on a graph itself.
//!
//! The number of outside calls per tick does not depend on the number of graphs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::graph::now;
use super::supervisor::Supervisor;
use super::trigger::trigger;
use crate::clients::{ClusterNetworks, ClusterObservation, Outside, RoundTripTimes};
use crate::config::ReconcileSettings;
use crate::error::Result;
use crate::events::{CLUSTER_CHANGED, Cause};
use crate::store::Store;

/// Changes of clusters come in bursts (status rounds): wait this long for the rest of a burst.
const BURST: Duration = Duration::from_millis(200);

/// What the loops need.
#[derive(Clone)]
pub struct Loops {
    store: Store,
    outside: Outside,
    supervisor: Supervisor,
    settings: ReconcileSettings,
    /// The clusters are read by the loop and on request, one at a time. Holds when the round-trip times between
    /// them were last asked for.
    syncing: Arc<Mutex<Option<Instant>>>,
    networks_failed: Arc<AtomicBool>,
}

impl Loops {
    /// Loops that have not begun.
    #[must_use]
    pub fn new(store: Store, outside: Outside, supervisor: Supervisor, settings: ReconcileSettings) -> Self {
        Self {
            store,
            outside,
            supervisor,
            settings,
            syncing: Arc::default(),
            networks_failed: Arc::default(),
        }
    }

    /// Starts all loops; they end when `stop` is cancelled.
    pub fn spawn(self, tracker: &tokio_util::task::TaskTracker, stop: &CancellationToken) {
        let run = |token: CancellationToken, work: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            tracker.spawn(async move {
                tokio::select! { () = token.cancelled() => {}, () = work => {} }
            });
        };
        let (clusters, workloads, safety_net) = (self.clone(), self.clone(), self.clone());
        run(stop.clone(), Box::pin(async move { safety_net.wake_now_and_then().await }));
        run(stop.clone(), Box::pin(async move { clusters.follow_clusters().await }));
        run(stop.clone(), Box::pin(async move { workloads.follow_workloads().await }));
        if self.outside.has_metrics() {
            run(stop.clone(), Box::pin(async move { self.follow_alerts().await }));
        }
    }

    /// Wakes every graph that the database knows: after a start, work that was cut off goes on.
    ///
    /// # Errors
    /// The database failed.
    pub async fn wake_known(&self) -> Result<()> {
        let names = self.store.graph_names().await?;
        names.iter().for_each(|name| self.supervisor.wake(name));
        Ok(())
    }

    /// The safety net under every wake that might get lost.
    async fn wake_now_and_then(&self) {
        loop {
            tokio::time::sleep(self.settings.resync).await;
            if let Err(error) = self.wake_known().await {
                tracing::warn!("the graphs could not be listed: {error}");
            }
        }
    }

    /// Reads the clusters from Karmada into the database, and now and then the round-trip times between them.
    ///
    /// # Errors
    /// Karmada or the database failed.
    pub async fn sync_clusters(&self) -> Result<()> {
        let mut measured_at = self.syncing.lock().await;
        let observed = self.outside.clusters().await?;
        let (networks, latencies) =
            tokio::join!(self.networks(), self.latencies(&observed, &mut measured_at));
        let availability =
            |clusters: Vec<crate::store::ClusterRecord>| -> BTreeMap<String, (bool, Option<String>)> {
                clusters
                    .into_iter()
                    .map(|cluster| (cluster.name, (cluster.available, cluster.reason)))
                    .collect()
            };
        let before = availability(self.store.clusters().await?);
        let mut tx = self.store.begin().await?;
        let after = availability(tx.sync_clusters(&observed, &networks, &latencies, now()).await?);
        let changed: Vec<_> = after
            .iter()
            .filter(|(name, (available, _))| before.get(*name).is_none_or(|(was, _)| was != available))
            .collect();
        for (name, (available, reason)) in &changed {
            let data = json!({ "available": available, "reason": reason });
            let event = Cause::internal("clusters").cluster_event(CLUSTER_CHANGED, name, data);
            tx.insert_event(&event, now()).await?;
            tracing::info!(cluster.name = %name, available, "cluster {name} is {}", word(*available));
        }
        tx.commit_unnumbered().await?;
        if !changed.is_empty() {
            self.supervisor.wake_all();
        }
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

    /// Round-trip times between the available clusters, when it is time to ask for them again: that takes a call for
    /// each of them.
    async fn latencies(
        &self,
        observed: &[ClusterObservation],
        measured_at: &mut Option<Instant>,
    ) -> RoundTripTimes {
        let available = observed.iter().filter(|cluster| cluster.available);
        let available: Vec<String> = available.map(|cluster| cluster.name.clone()).collect();
        let known = measured_at.is_some_and(|at| at.elapsed() < self.settings.latency_sync);
        if known || available.is_empty() {
            return RoundTripTimes::new();
        }
        *measured_at = Some(Instant::now());
        self.outside.latencies(&available).await.unwrap_or_else(|error| {
            tracing::warn!("the round-trip times between the clusters cannot be read: {error}");
            RoundTripTimes::new()
        })
    }

    async fn follow_clusters(&self) {
        let mut changes = self.outside.cluster_changes();
        loop {
            if let Err(error) = self.sync_clusters().await {
                tracing::warn!("the clusters could not be read: {error}");
            }
            tokio::select! {
                Ok(()) = changes.changed() => tokio::time::sleep(BURST).await,
                () = tokio::time::sleep(self.settings.cluster_sync) => {}
            }
            changes.mark_unchanged();
        }
    }

    async fn follow_workloads(&self) {
        let mut changes = self.outside.workload_changes();
        loop {
            match changes.recv().await {
                Ok(release) => match self.store.graph_of_release(&release.namespace, &release.name).await {
                    Ok(Some(graph)) => self.supervisor.wake(&graph),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!("the graph of release {} is not known: {error}", release.name)
                    }
                },
                Err(RecvError::Lagged(_)) => self.supervisor.wake_all(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// A webhook of Alertmanager may get lost; what fires is asked for now and then.
    async fn follow_alerts(&self) {
        loop {
            tokio::time::sleep(self.settings.alert_poll).await;
            if let Err(error) = self.check_alerts().await {
                tracing::warn!("the firing alerts could not be read: {error}");
            }
        }
    }

    async fn check_alerts(&self) -> Result<()> {
        for alert in self.outside.firing_alerts().await? {
            let _wake = self.supervisor.wake_on_drop(&alert.graph);
            let cause = Cause::internal("prometheus");
            if let Err(error) = trigger(&self.store, &alert.graph, &alert.service, &cause).await {
                tracing::warn!(graph.name = %alert.graph, "alert {} was not taken: {error}", alert.alert);
            }
        }
        Ok(())
    }
}

fn word(available: bool) -> &'static str {
    if available { "available" } else { "not available" }
}
