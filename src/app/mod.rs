//! Use cases: load, check, decide, record the desired state in one transaction, wake the reconciler.
//!
//! The HTTP layer calls nothing else. All of it uses domain types; no transaction spans a call to another
//! system or a decision.

mod alerts;
mod attributes;
mod change;
mod charts;
mod decisions;
mod deploy;
mod ledger;
mod lifecycle;
mod parsing;
mod placement;
mod planner;
mod profiles;
mod readiness;
mod scaling;
mod trigger;
mod types;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use attributes::AttributesView;
pub use decisions::{Difference, Shadow};
pub use ledger::CapacityLedger;
pub use placement::{Move, Proposal, Rescheduling};
pub use planner::Planner;
pub use scaling::{Scaler, ScalingView, TickSummary};
pub use types::*;

use self::parsing::Parsing;
use crate::clients::Outside;
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::hdag;
use crate::model::{ClusterRecord, event::Cause};
use crate::model::{EventRecord, GraphFilter, GraphRecord, ServiceRecord};
use crate::reconcile::{ClusterSync, Progress, Queue, RuleHealth};
use crate::simulation::World;
use crate::store::Store;

/// The use cases of a running server. Cheap to clone.
#[derive(Clone)]
pub struct App {
    parts: Arc<Parts>,
    parsing: Parsing,
}

/// Parts of a server that the use cases work with.
pub struct Parts {
    /// All settings.
    pub settings: Arc<Settings>,
    /// The database.
    pub store: Store,
    /// Access to other systems.
    pub outside: Outside,
    /// The work queue of everything that is reconciled.
    pub queue: Queue,
    /// State of the alert rules in Prometheus.
    pub rule_health: RuleHealth,
    /// Reads the clusters on request.
    pub clusters: ClusterSync,
    /// Free capacity, by cluster and graph.
    pub ledger: CapacityLedger,
    /// The simulated continuum, when the server runs on it.
    pub world: Option<World>,
    /// When the server began to wait for the first list of the clusters.
    pub started: Instant,
    /// Makes decisions of placement and scaling.
    pub planner: Planner,
}

impl App {
    /// The use cases over these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts), parsing: Parsing::on_all_cores() }
    }

    /// Reads the clusters from Karmada (or, when it does not answer, the last known state).
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_clusters(&self) -> Result<ClusterList> {
        let max_age = self.parts.settings.reconcile.cluster_max_age;
        let stale = match self.parts.clusters.sync_unless_newer(max_age).await {
            Ok(()) => false,
            Err(Error::Client(error)) => {
                tracing::warn!("the clusters could not be read, the last known state is shown: {error}");
                true
            }
            Err(error) => return Err(error),
        };
        Ok(ClusterList { clusters: self.parts.store.clusters().await?, stale })
    }

    /// One cluster as [`Self::list_clusters`] has it, and whether that is the last known state.
    ///
    /// # Errors
    /// There is none of that name; the database failed.
    pub async fn get_cluster(&self, name: &str) -> Result<(ClusterRecord, bool)> {
        let ClusterList { clusters, stale } = self.list_clusters().await?;
        let found = clusters.into_iter().find(|cluster| cluster.name == name);
        let found = found.ok_or_else(|| Error::NotFound { kind: "cluster", name: name.to_owned() })?;
        Ok((found, stale))
    }

    /// Graphs that match, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn list_graphs(&self, query: &GraphFilter) -> Result<GraphPage> {
        // One more than asked for shows whether there is a next page.
        let limit = query.limit.map(|limit| limit.saturating_add(1));
        let filter = GraphFilter { limit, ..query.clone() };
        let mut graphs = self.parts.store.graphs(&filter).await?;
        let more =
            query.limit.is_some_and(|limit| i64::try_from(graphs.len()).is_ok_and(|found| found > limit));
        if more {
            graphs.pop();
        }
        let next = graphs.last().filter(|_| more).map(|graph| graph.name.clone());
        let names: Vec<String> = graphs.iter().map(|graph| graph.name.clone()).collect();
        let mut services = BTreeMap::<String, Vec<ServiceRecord>>::new();
        for service in self.parts.store.services_of(&names).await? {
            services.entry(service.graph.clone()).or_default().push(service);
        }
        let cluster_names = self.cluster_names().await?;
        let graphs = graphs
            .into_iter()
            .map(|graph| {
                let services = services.remove(&graph.name).unwrap_or_default();
                GraphView { graph, services, cluster_names: cluster_names.clone() }
            })
            .collect();
        Ok(GraphPage { graphs, next })
    }

    /// One graph.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get_graph(&self, name: &str) -> Result<GraphView> {
        self.find_graph(name).await?.ok_or_else(|| Error::no_graph(name))
    }

    /// Events of a graph, oldest first; of a deleted one too.
    ///
    /// # Errors
    /// No graph of that name ever existed.
    pub async fn graph_events(&self, name: &str, after: i64, limit: i64) -> Result<Vec<EventRecord>> {
        let events = self.parts.store.events(name, after, limit).await?;
        if events.is_empty() && !self.parts.store.has_history(name).await? {
            return Err(Error::no_graph(name));
        }
        Ok(events)
    }

    /// Takes a simulated cluster down or up again.
    ///
    /// # Errors
    /// The cluster does not exist, or the server does not run on the simulated continuum.
    pub fn set_simulated_cluster(&self, name: &str, available: bool) -> Result<()> {
        self.world()?
            .set_cluster_available(name, available)
            .map_err(|_| Error::NotFound { kind: "cluster", name: name.to_owned() })
    }

    /// Makes a simulated alert fire, by its graph and service, or stop firing.
    ///
    /// # Errors
    /// There is no such rule, or the server does not run on the simulated continuum.
    pub fn set_simulated_alert(&self, graph: &str, service: &str, firing: bool) -> Result<()> {
        self.world()?
            .set_alert_firing(graph, service, firing)
            .map_err(|_| Error::NotFound { kind: "alert rule", name: format!("{graph}/{service}") })
    }

    /// Whether the server runs on the simulated continuum.
    #[must_use]
    pub fn is_simulated(&self) -> bool {
        self.parts.world.is_some()
    }

    /// Whether decisions need not wait for the first list of the clusters any longer: it has arrived, or the
    /// server has waited for it as long as a request may wait.
    fn may_decide(&self) -> bool {
        self.parts.clusters.age().is_some() || self.parts.started.elapsed() >= self.parts.settings.wait
    }

    /// Waits for the first list of the clusters after a start, within the same bound.
    async fn until_clusters_known(&self) {
        let rest = self.parts.settings.wait.saturating_sub(self.parts.started.elapsed());
        self.parts.clusters.until_known(rest).await;
    }

    fn world(&self) -> Result<&World> {
        let missing =
            Error::NotConfigured { system: "the simulated continuum", setting: "SMO_MODE=simulated" };
        self.parts.world.as_ref().ok_or(missing)
    }

    /// The descriptor that a graph was made from.
    fn descriptor_of(&self, graph: &GraphRecord) -> Result<hdag::Descriptor> {
        let settings = &self.parts.settings;
        match hdag::from_document(graph.document.clone(), &settings.intents, &settings.limits) {
            Ok(parsed) => Ok(parsed.descriptor),
            Err(findings) => {
                let detail = format!(
                    "the stored descriptor of graph {:?} is not valid under the present settings",
                    graph.name
                );
                Err(Error::Invalid { detail, findings })
            }
        }
    }

    async fn find_graph(&self, name: &str) -> Result<Option<GraphView>> {
        let Some(graph) = self.parts.store.graph(name).await? else { return Ok(None) };
        let services = self.parts.store.services(name).await?;
        Ok(Some(GraphView { graph, services, cluster_names: self.cluster_names().await? }))
    }

    async fn cluster_names(&self) -> Result<Vec<String>> {
        Ok(self.parts.store.clusters().await?.into_iter().map(|cluster| cluster.name).collect())
    }

    /// Wakes the graph in the work queue, and waits until the generation is carried out, at most as long as a
    /// request may wait.
    async fn wake_and_wait(&self, graph: &GraphRecord, context: &RequestContext) -> Progress {
        let mut progress = self.parts.queue.begin(&graph.name);
        if context.respond_async {
            return Progress::default();
        }
        tokio::select! {
            progress = wait_for(&mut progress, graph.generation, self.parts.settings.wait) => progress,
            () = self.parts.queue.stopping() => Progress::default(),
        }
    }
}

impl RequestContext {
    fn cause(&self) -> Cause {
        Cause { actor: self.actor.clone(), request_id: self.request_id.clone() }
    }
}

async fn wait_for(progress: &mut watch::Receiver<Progress>, generation: i64, wait: Duration) -> Progress {
    let reached = progress.wait_for(|progress| progress.is_final_for(generation));
    match tokio::time::timeout(wait, reached).await {
        Ok(Ok(progress)) => *progress,
        // Not in time: the answer reports the progress so far.
        _ => Progress::default(),
    }
}

fn service_names(services: &[ServiceRecord]) -> Vec<String> {
    services.iter().map(|service| service.name.clone()).collect()
}
