//! Access to other systems for the layers above: one method per port method, each under the one wrapper.
//!
//! Nothing else calls a port. The policy of each operation is defined here and nowhere else. Cheap to clone. Rules and
//! metrics are in `monitoring`, the operator's own programs in `programs`.

mod monitoring;
mod programs;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use super::bulkhead::Slot;
use super::call::{Calls, Operation, Policy};
use super::strategies::Strategies;
use super::watch_metrics::WatchMetrics;
use super::{
    BindingObservation, ChartArchive, ClientError, ClientErrorKind, Ports, Probe, PropagationSpec,
    ReleaseKey, ReleaseObservation, ReleaseSpec, Rendering, Result, WatchReport, WorkloadObservation,
};
use crate::hdag::Resources;
use crate::model::{ClusterNetworks, ClusterObservation, ObjectId, RoundTripTimes, WorkloadKind};

const CLUSTERS: Operation = read("karmada", "clusters");
/// Not Karmada's own: a call for each member, through its proxy.
const NODES: Operation = read("nodes", "largest_nodes");
const SCALE: Operation = write("karmada", "scale");
const RENDER: Operation = helm("render", &["karmada", "registry"]);
/// Not under a breaker: a repository that is down says nothing about another.
const FETCH: Operation =
    Operation { system: "repository", name: "fetch", policy: Policy::Once(FETCHED_WITHIN), proves: &[] };
/// Archives of charts in memory at a time, each of at most 20 MiB.
const ARCHIVES: usize = 16;
/// Longest time for an index and an archive.
const FETCHED_WITHIN: Duration = Duration::from_secs(30);
const APPLY_POLICIES: Operation = write("karmada", "apply_policies");
const DELETE_POLICIES: Operation = write("karmada", "delete_policies");
const APPLY: Operation = helm("apply", &["karmada", "registry"]);
const UNINSTALL: Operation = helm("uninstall", &["karmada"]);
const ADOPT: Operation = write("karmada", "adopt");
const NETWORKS: Operation = read("submariner", "networks");
/// Not Submariner's broker: the gateways of the members, through Karmada.
const LATENCIES: Operation = read("gateways", "latencies");

const fn read(system: &'static str, name: &'static str) -> Operation {
    Operation { system, name, policy: Policy::Read, proves: &[] }
}

const fn write(system: &'static str, name: &'static str) -> Operation {
    Operation { system, name, policy: Policy::Write, proves: &[] }
}

const fn helm(name: &'static str, proves: &'static [&'static str]) -> Operation {
    Operation { system: "helm", name, policy: Policy::Write, proves }
}

/// All other systems behind the wrapper.
#[derive(Clone)]
pub struct Outside(Arc<Inner>);

struct Inner {
    ports: Ports,
    calls: Calls,
    strategies: Strategies,
    /// Time without a proof of life after which the state of a watch is not trusted.
    stale_after: Duration,
    /// Rights to hold the archive of a chart in memory.
    archives: Arc<Semaphore>,
}

impl Outside {
    /// Puts `ports` behind `calls`. Watched state is not trusted once its watch has not proved alive for
    /// `stale_after`.
    #[must_use]
    pub fn new(ports: Ports, calls: Calls, stale_after: Duration) -> Self {
        let strategies = Strategies::new(calls.settings());
        Self(Arc::new(Inner {
            ports,
            calls,
            strategies,
            stale_after,
            archives: Arc::new(Semaphore::new(ARCHIVES)),
        }))
    }

    /// Adds the metrics of all calls and watches to a registry.
    pub fn register(&self, registry: &mut Registry) {
        self.0.calls.register(registry);
        registry.register_collector(Box::new(WatchMetrics(self.clone())));
    }

    /// Reads all clusters now.
    ///
    /// # Errors
    /// When Karmada does not answer.
    pub async fn clusters(&self) -> Result<Vec<ClusterObservation>> {
        self.0.calls.run(CLUSTERS, || self.0.ports.inventory.clusters()).await
    }

    /// Ticks whenever a cluster may have changed.
    #[must_use]
    pub fn cluster_changes(&self) -> watch::Receiver<u64> {
        self.0.ports.inventory.changes()
    }

    /// The workloads of a release. Read from the watched state, so there is nothing to retry or to measure.
    ///
    /// # Errors
    /// `Unreachable` until the first state has arrived, and when the watches have not proved alive for too
    /// long.
    pub async fn workloads_of(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>> {
        self.require_fresh(self.0.ports.workloads.watches())?;
        self.0.ports.workloads.of_release(release).await
    }

    /// The bindings of objects that are no workloads, from the watched state.
    ///
    /// # Errors
    /// As [`Self::workloads_of`].
    pub async fn bindings_of(&self, objects: &[&ObjectId]) -> Result<Vec<Option<BindingObservation>>> {
        self.require_fresh(self.0.ports.workloads.watches())?;
        self.0.ports.workloads.bindings_of(objects).await
    }

    /// Names a release whenever something of it may have changed.
    #[must_use]
    pub fn workload_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.0.ports.workloads.changes()
    }

    /// Sets the replicas of a workload.
    ///
    /// # Errors
    /// When Karmada does not answer or refuses.
    pub async fn scale(&self, namespace: &str, kind: WorkloadKind, name: &str, replicas: i64) -> Result<()> {
        self.0.calls.run(SCALE, || self.0.ports.workloads.scale(namespace, kind, name, replicas)).await
    }

    /// Whether the propagation policies of a release are as wanted, from the watched state.
    ///
    /// # Errors
    /// `Unreachable` until the first state has arrived, and when the watches have not proved alive for too
    /// long.
    pub async fn policies_applied(&self, wanted: &PropagationSpec) -> Result<bool> {
        self.require_fresh(self.0.ports.propagation.watches())?;
        self.0.ports.propagation.is_applied(wanted).await
    }

    /// Whether a release has propagation policies of this installation, from the watched state.
    ///
    /// # Errors
    /// As [`Self::policies_applied`].
    pub async fn policies_exist(&self, release: &ReleaseKey) -> Result<bool> {
        self.require_fresh(self.0.ports.propagation.watches())?;
        self.0.ports.propagation.exist(release).await
    }

    /// Makes the propagation policies of a release be exactly these, if `still_wanted` returns true.
    ///
    /// # Errors
    /// `Superseded` when they are no longer wanted; `Conflict` when an object of other origin is in the way;
    /// otherwise Karmada's error.
    pub async fn apply_policies<F: Future<Output = bool>>(
        &self,
        wanted: &PropagationSpec,
        still_wanted: impl Fn() -> F,
    ) -> Result<()> {
        if !still_wanted().await {
            return Err(superseded());
        }
        self.0.calls.run(APPLY_POLICIES, || self.0.ports.propagation.apply(wanted)).await
    }

    /// Removes the propagation policies of a release, if `still_wanted` returns true; missing ones are no error.
    ///
    /// # Errors
    /// `Superseded` when that is no longer wanted; otherwise Karmada's error.
    pub async fn delete_policies<F: Future<Output = bool>>(
        &self,
        release: &ReleaseKey,
        still_wanted: impl Fn() -> F,
    ) -> Result<()> {
        if !still_wanted().await {
            return Err(superseded());
        }
        self.0.calls.run(DELETE_POLICIES, || self.0.ports.propagation.remove(release)).await
    }

    /// Names a release whenever one of its propagation policies changed.
    #[must_use]
    pub fn policy_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.0.ports.propagation.changes()
    }

    /// The right to hold the archive of a chart until it is dropped: only so many are fetched, and are in memory, at a
    /// time.
    ///
    /// # Errors
    /// None while the server runs.
    pub async fn archive_slot(&self) -> Result<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.0.archives).acquire_owned().await;
        slot.map_err(|_closed| superseded())
    }

    /// Fetches the archive of a chart that is not in a registry.
    ///
    /// # Errors
    /// `NotFound` when there is no such chart or version, `Unauthorised` without the right login, `Invalid` for an
    /// archive that is too large or not what its repository states; otherwise that it does not answer.
    pub async fn fetch_chart(&self, chart: &str) -> Result<ChartArchive> {
        self.0.calls.run(FETCH, || self.0.ports.charts.fetch(chart)).await
    }

    /// The objects of a release's chart, if `still_wanted` returns true once Helm has a slot for it; nothing is
    /// changed.
    ///
    /// # Errors
    /// As [`Outside::apply_release`].
    pub async fn render<F: Future<Output = bool>>(
        &self,
        release: &ReleaseSpec,
        still_wanted: impl Fn() -> F,
    ) -> Result<Rendering> {
        let render = || async {
            if still_wanted().await { self.0.ports.releases.render(release).await } else { Err(superseded()) }
        };
        self.0.calls.run_helm(RENDER, Slot::install(release), render).await
    }

    /// The releases of these names, regardless of their origin, and all others of `owner` in a namespace.
    /// Read from the watched state, so there is nothing to retry or to measure.
    ///
    /// # Errors
    /// `Unreachable` until the first state has arrived, and when the watch has not proved alive for too long.
    pub async fn releases(
        &self,
        namespace: &str,
        owner: &str,
        names: &[&str],
    ) -> Result<Vec<ReleaseObservation>> {
        self.require_fresh(self.0.ports.releases.watches())?;
        self.0.ports.releases.find(namespace, owner, names).await
    }

    /// Names a release whenever Helm's record of it changed.
    #[must_use]
    pub fn release_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.0.ports.releases.changes()
    }

    /// Installs or upgrades a release, if `still_wanted` returns true once Helm has a slot for it.
    ///
    /// # Errors
    /// `Superseded` when it is no longer wanted; `Conflict` for a release that is not the owner's; otherwise
    /// Helm's error.
    pub async fn apply_release<F: Future<Output = bool>>(
        &self,
        release: &ReleaseSpec,
        still_wanted: impl Fn() -> F,
    ) -> Result<()> {
        let apply = || async {
            if still_wanted().await { self.0.ports.releases.apply(release).await } else { Err(superseded()) }
        };
        self.0.calls.run_helm(APPLY, Slot::install(release), apply).await
    }

    /// Uninstalls a release of `owner`, if `still_wanted` returns true once Helm has a slot for it; a missing
    /// release is no error.
    ///
    /// # Errors
    /// As [`Outside::apply_release`].
    pub async fn uninstall_release<F: Future<Output = bool>>(
        &self,
        key: &ReleaseKey,
        owner: &str,
        still_wanted: impl Fn() -> F,
    ) -> Result<()> {
        let uninstall = || async {
            if still_wanted().await {
                self.0.ports.releases.uninstall(key, owner).await
            } else {
                Err(superseded())
            }
        };
        self.0.calls.run_helm(UNINSTALL, Slot::Remove, uninstall).await
    }

    /// Assigns a release of any origin to `owner`, as if it had been applied with this digest; Helm is not
    /// run.
    ///
    /// # Errors
    /// `NotFound` when there is no such release; otherwise Karmada's error.
    pub async fn adopt_release(&self, key: &ReleaseKey, owner: &str, digest: &str) -> Result<()> {
        self.0.calls.run(ADOPT, || self.0.ports.releases.adopt(key, owner, digest)).await
    }

    /// Whether networks can be read.
    #[must_use]
    pub fn has_networks(&self) -> bool {
        self.0.ports.networks.is_some()
    }

    /// The largest nodes of these clusters; one that does not tell them is left out.
    ///
    /// # Errors
    /// When the query takes too long.
    pub async fn largest_nodes(&self, clusters: &[String]) -> Result<BTreeMap<String, Vec<Resources>>> {
        self.0.calls.run(NODES, || self.0.ports.inventory.largest_nodes(clusters)).await
    }

    /// Networks of the clusters by name; empty when Submariner is not configured.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn networks(&self) -> Result<BTreeMap<String, ClusterNetworks>> {
        match self.0.ports.networks.as_ref() {
            Some(port) => self.0.calls.run(NETWORKS, || port.networks()).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// Round-trip times between these clusters and any others; empty when nothing measures them. A cluster
    /// that cannot be queried is left out.
    ///
    /// # Errors
    /// When the query takes too long.
    pub async fn latencies(&self, clusters: &[String]) -> Result<RoundTripTimes> {
        match self.0.ports.latencies.as_ref() {
            Some(port) => self.0.calls.run(LATENCIES, || port.latencies(clusters)).await,
            None => Ok(RoundTripTimes::new()),
        }
    }

    /// The health of each watch.
    #[must_use]
    pub fn watches(&self) -> Vec<WatchReport> {
        let ports = &self.0.ports;
        let rules = ports.rules.iter().flat_map(|port| port.watches());
        let [clusters, workloads, releases, policies] = [
            ports.inventory.watches(),
            ports.workloads.watches(),
            ports.releases.watches(),
            ports.propagation.watches(),
        ];
        clusters.into_iter().chain(workloads).chain(releases).chain(policies).chain(rules).collect()
    }

    /// Whether the state of a watch is too old to be trusted.
    #[must_use]
    pub fn is_stale(&self, watch: &WatchReport) -> bool {
        watch.complete && watch.age > self.0.stale_after
    }

    fn require_fresh(&self, watches: Vec<WatchReport>) -> Result<()> {
        let Some(stale) = watches.into_iter().find(|watch| self.is_stale(watch)) else { return Ok(()) };
        // Without the age: a changing text would count as a change every time.
        let cause = stale.last_error.unwrap_or_else(|| "its watch has shown no sign of life".to_owned());
        let message = format!("the observed state of the {} is too old: {cause}", stale.name);
        Err(ClientError::new(stale.system, ClientErrorKind::Unreachable, message))
    }

    /// The health of each system, as the calls so far show it.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        self.0.calls.probes()
    }
}

fn superseded() -> ClientError {
    ClientError::new("helm", ClientErrorKind::Superseded, "the desired state has changed in the meantime")
}

fn configured<'a, T: ?Sized>(port: Option<&'a Arc<T>>, system: &'static str) -> Result<&'a T> {
    port.map(AsRef::as_ref).ok_or_else(|| {
        ClientError::new(system, ClientErrorKind::Invalid, format!("{system} is not configured"))
    })
}
