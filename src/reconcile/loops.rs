//! Loops that follow other systems: each waits for a change or a timer, records observations in the database,
//! and wakes the affected graphs. None acts on a graph itself.
//!
//! The number of calls to other systems per tick does not depend on the number of graphs.

use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::cluster_sync::ClusterSync;
use super::queue::{Key, Queue};
use super::resources::rules::object_name;
use crate::clients::{Outside, ReleaseKey};
use crate::config::ReconcileSettings;
use crate::error::Result;
use crate::model::now;
use crate::store::Store;

/// Changes of clusters come in bursts (status rounds): wait this long for the rest of a burst.
const BURST: Duration = Duration::from_millis(200);

/// How often charges are looked for that the reports of their clusters show by now.
const SETTLE_INTERVAL: Duration = Duration::from_secs(1);

/// The loops and everything they need.
#[derive(Clone)]
pub struct Loops {
    store: Store,
    outside: Outside,
    queue: Queue,
    settings: ReconcileSettings,
    clusters: ClusterSync,
}

impl Loops {
    /// Loops that have not begun.
    #[must_use]
    pub fn new(
        store: Store,
        outside: Outside,
        queue: Queue,
        clusters: ClusterSync,
        settings: ReconcileSettings,
    ) -> Self {
        Self { store, outside, queue, clusters, settings }
    }

    /// Starts all loops; they end when `stop` is cancelled.
    pub fn spawn(self, tracker: &TaskTracker, stop: &CancellationToken) {
        let run = |work: BoxFuture<'static, ()>| {
            tracker.spawn(stop.clone().run_until_cancelled_owned(work));
        };
        run(self.clone().run_resync_loop().boxed());
        run(self.clone().follow_clusters().boxed());
        run(self.clone().follow_workloads().boxed());
        run(self.clone().follow_releases().boxed());
        run(self.clone().follow_policies().boxed());
        run(self.clone().follow_rules().boxed());
        run(self.settle_charges().boxed());
    }

    /// Adds every graph in the database to the queue: after a start, interrupted work continues.
    ///
    /// # Errors
    /// The database failed.
    pub async fn take_up_known(&self) -> Result<()> {
        let graphs = self.store.graphs_carried_out().await?;
        let graphs = graphs.into_iter().map(|(name, done)| (Key::graph(&name), done));
        self.queue.take_up(graphs.chain([(Key::leftovers(), true)]).collect());
        Ok(())
    }

    /// The safety net under wakes of new graphs that got lost; graphs that are known have a timer of their
    /// own.
    async fn run_resync_loop(self) {
        loop {
            tokio::time::sleep(self.settings.resync).await;
            if let Err(error) = self.take_up_known().await {
                tracing::warn!("the graphs could not be listed: {error}");
            }
        }
    }

    async fn follow_clusters(self) {
        let mut changes = self.outside.cluster_changes();
        loop {
            if let Err(error) = self.clusters.sync().await {
                tracing::warn!("the clusters could not be read: {error}");
            }
            tokio::select! {
                Ok(()) = changes.changed() => tokio::time::sleep(BURST).await,
                () = tokio::time::sleep(self.settings.cluster_sync) => {}
            }
            changes.mark_unchanged();
        }
    }

    /// Charges of changes that the clusters' own reports show by now are no longer reserved beside them.
    async fn settle_charges(self) {
        loop {
            match self.store.settle_charges(now()).await {
                Ok(0) => tokio::time::sleep(SETTLE_INTERVAL).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!("the charges of services could not be settled: {error}");
                    tokio::time::sleep(SETTLE_INTERVAL).await;
                }
            }
        }
    }

    async fn follow_workloads(self) {
        self.wake_owners(self.outside.workload_changes()).await;
    }

    async fn follow_releases(self) {
        self.wake_owners(self.outside.release_changes()).await;
    }

    async fn follow_policies(self) {
        self.wake_owners(self.outside.policy_changes()).await;
    }

    /// Wakes the graph of each release that changes.
    async fn wake_owners(&self, mut changes: Receiver<ReleaseKey>) {
        loop {
            match changes.recv().await {
                Ok(release) => match self.store.graph_of_release(&release.namespace, &release.name).await {
                    Ok(Some(graph)) => self.queue.wake(&graph),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!("the graph of release {} is not known: {error}", release.name)
                    }
                },
                Err(RecvError::Lagged(_)) => self.queue.wake_all(),
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Wakes the graph of each rules object that changes.
    async fn follow_rules(self) {
        let Some(mut changes) = self.outside.rule_changes() else { return };
        loop {
            match changes.recv().await {
                Ok(object) => match self.store.conditional_graphs().await {
                    Ok(graphs) => {
                        let owners = graphs.iter().filter(|graph| object_name(graph) == object);
                        owners.for_each(|graph| self.queue.wake(graph));
                    }
                    Err(error) => tracing::warn!("the graph of the rules {object} is not known: {error}"),
                },
                Err(RecvError::Lagged(_)) => self.queue.wake_all(),
                Err(RecvError::Closed) => return,
            }
        }
    }
}
