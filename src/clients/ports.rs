//! The ports: traits for everything that `smo` needs from other systems, and the types they exchange.
//!
//! Each trait has two implementations: the real system in this folder and the embedded continuum in
//! `simulation`. One contract suite runs on both. Nothing but [`super::Outside`] calls a port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, watch};

use super::ClientError;
use crate::hdag::Resources;
use crate::model::{
    ClusterNetworks, ClusterObservation, Manifest, ManifestObject, ObjectId, RoundTripTimes, WorkloadKind,
};

/// Result of a port's call.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// The set of ports that a server works with.
#[derive(Clone)]
pub struct Ports {
    /// The existing clusters and their resources.
    pub inventory: Arc<dyn Inventory>,
    /// Workloads and their clusters.
    pub workloads: Arc<dyn Workloads>,
    /// Helm releases.
    pub releases: Arc<dyn Releases>,
    /// Charts that are not in a registry.
    pub charts: Arc<dyn ChartRepositories>,
    /// Policies that propagate the objects of releases.
    pub propagation: Arc<dyn PropagationPolicies>,
    /// Prometheus alert rules; `None` when no monitoring cluster is configured.
    pub rules: Option<Arc<dyn AlertRules>>,
    /// Prometheus queries; `None` when no Prometheus is configured.
    pub metrics: Option<Arc<dyn Metrics>>,
    /// Pod and service networks of the clusters; `None` when Submariner is not configured.
    pub networks: Option<Arc<dyn Networks>>,
    /// Round-trip times between the clusters; `None` when nothing measures them.
    pub latencies: Option<Arc<dyn Latencies>>,
}

/// Clusters as Karmada knows them.
#[async_trait]
pub trait Inventory: Send + Sync {
    /// Reads all clusters now.
    async fn clusters(&self) -> Result<Vec<ClusterObservation>>;

    /// Reads the allocatable resources of the nodes of these clusters that take pods, as [`largest`] has them. A cluster
    /// that cannot be asked, or may not, is left out.
    ///
    /// [`largest`]: crate::model::largest
    async fn largest_nodes(&self, clusters: &[String]) -> Result<BTreeMap<String, Vec<Resources>>>;

    /// Ticks whenever a cluster may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// How the watches behind this port are.
    fn watches(&self) -> Vec<WatchReport>;
}

/// Workloads and how Karmada spread them.
#[async_trait]
pub trait Workloads: Send + Sync {
    /// The workloads of one release, from the watched state. `Ok` with an empty list when it has none (yet).
    async fn of_release(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>>;

    /// The binding of each of these objects, from the watched state; `None` where Karmada has made none.
    async fn bindings_of(&self, objects: &[&ObjectId]) -> Result<Vec<Option<BindingObservation>>>;

    /// Sets the replicas of a workload that can be scaled, through Karmada.
    async fn scale(&self, namespace: &str, kind: WorkloadKind, name: &str, replicas: i64) -> Result<()>;

    /// Names a release whenever something of it may have changed. A receiver that lags re-reads everything.
    fn changes(&self) -> broadcast::Receiver<ReleaseKey>;

    /// How the watches behind this port are.
    fn watches(&self) -> Vec<WatchReport>;
}

/// Namespace and name of a Helm release.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReleaseKey {
    /// Namespace in Karmada and in the members.
    pub namespace: String,
    /// Name of the release.
    pub name: String,
}

/// One workload of a release as Karmada reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadObservation {
    /// Its kind.
    pub kind: WorkloadKind,
    /// Its name.
    pub name: String,
    /// The pods it is to have now, such as `spec.replicas`.
    pub replicas: i64,
    /// The request of one of its pods, as the scheduler counts it.
    pub requests: Resources,
    /// The part of it that a cluster's report holds.
    pub reported: Resources,
    /// Why it has come to an end without success, as a Job can.
    pub failure: Option<String>,
    /// The state of the ResourceBinding; `None` while Karmada has not created one.
    pub binding: Option<BindingObservation>,
}

/// A binding of Karmada: where it schedules an object, and the status reported from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingObservation {
    /// Clusters it is scheduled to, with the replicas desired there.
    pub scheduled: BTreeMap<String, i64>,
    /// Why it is not scheduled, when the Scheduled condition is false.
    pub unscheduled_reason: Option<String>,
    /// Whether every scheduled cluster has taken the object (condition FullyApplied).
    pub fully_applied: bool,
    /// The status reported by each cluster.
    pub clusters: BTreeMap<String, MemberStatus>,
    /// Kind and name of the policy that claims the object.
    pub policy: Option<String>,
    /// The release for which this installation, or another one, of `smo` wrote that policy.
    pub managed: Option<ReleaseKey>,
    /// Whether this status belongs to the newest generation of the object.
    pub up_to_date: bool,
}

/// The status of a workload in one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Whether the object exists there.
    pub applied: bool,
    /// Karmada's health interpretation is `Healthy`.
    pub healthy: bool,
    /// Ready replicas there.
    pub ready_replicas: i64,
    /// Why it could not be applied, if so.
    pub message: Option<String>,
}

/// Helm releases in Karmada's control plane.
#[async_trait]
pub trait Releases: Send + Sync {
    /// The releases of these names, no matter who made them, and all others of `owner`
    /// ([`ReleaseSpec::owner`]) in a namespace, each in its newest revision, by name, from the watched state.
    /// Costs nothing for releases of others.
    async fn find(&self, namespace: &str, owner: &str, names: &[&str]) -> Result<Vec<ReleaseObservation>>;

    /// The objects that installing or upgrading would make; nothing is changed.
    async fn render(&self, release: &ReleaseSpec) -> Result<Rendering>;

    /// Installs or upgrades. A release that an interrupted call left pending is recovered first. Afterwards
    /// [`Self::find`] shows the result.
    async fn apply(&self, release: &ReleaseSpec) -> Result<()>;

    /// Uninstalls a release of this owner ([`ReleaseSpec::owner`]); a missing release is no error, one with
    /// another owner is a conflict and stays. Afterwards [`Self::find`] does not show it any more.
    async fn uninstall(&self, key: &ReleaseKey, owner: &str) -> Result<()>;

    /// Makes a release one of `owner`, no matter who made it, as if it had been applied with this digest;
    /// nothing runs. Afterwards
    /// [`Self::find`] shows it so.
    async fn adopt(&self, key: &ReleaseKey, owner: &str, digest: &str) -> Result<()>;

    /// Names a release whenever its record changed. A receiver that lags re-reads everything.
    fn changes(&self) -> broadcast::Receiver<ReleaseKey>;

    /// How the watches behind this port are.
    fn watches(&self) -> Vec<WatchReport>;
}

/// A chart with the values of a release put in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rendering {
    /// Its objects.
    pub objects: Vec<ManifestObject>,
    /// Digest of the chart in its registry, such as `sha256:…`.
    pub chart_digest: Option<String>,
}

/// A release as Helm's storage shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseObservation {
    /// Name of the release.
    pub name: String,
    /// Revision number.
    pub revision: i64,
    /// Helm's status of the newest revision.
    pub status: ReleaseStatus,
    /// The graph that owns it ([`ReleaseSpec::owner`]); `None` when it is not one of this installation.
    pub owner: Option<String>,
    /// [`ReleaseSpec::digest`] of the applied release.
    pub digest: Option<String>,
}

/// Helm's release states, as far as they matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseStatus {
    /// Installed.
    Deployed,
    /// The newest revision failed.
    Failed,
    /// An operation is under way or was interrupted (`pending-*`, `uninstalling`).
    Pending,
    /// Anything else (`superseded`, `uninstalled`, `unknown`).
    Other,
}

/// Charts over HTTP: of repositories, and archives.
#[async_trait]
pub trait ChartRepositories: Send + Sync {
    /// Fetches the archive that a reference ([`ChartSource`](crate::hdag::ChartSource)) means now.
    async fn fetch(&self, chart: &str) -> Result<ChartArchive>;
}

/// The archive of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartArchive {
    /// Its SHA-256, as `sha256:…`.
    pub digest: String,
    /// The archive.
    pub archive: Bytes,
}

/// The desired state of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct ReleaseSpec {
    /// Namespace and name.
    pub key: ReleaseKey,
    /// Reference of the chart; an OCI reference may carry a tag.
    pub chart: String,
    /// The chart itself, when it is not in a registry.
    pub archive: Option<ChartArchive>,
    /// All values.
    pub values: Value,
    /// Label value that marks the release as belonging to a graph, beside that of the installation.
    pub owner: String,
    /// Label value: digest of chart and values, to recognise later whether this release has been applied.
    pub digest: String,
}

/// Policies in Karmada by which the objects of a release reach its cluster, for charts that bring none; and
/// the objects by which its Services are reached from other clusters.
#[async_trait]
pub trait PropagationPolicies: Send + Sync {
    /// Whether the policies of a release are exactly these, from the watched state.
    async fn is_applied(&self, wanted: &PropagationSpec) -> Result<bool>;

    /// Whether a release has any, from the watched state.
    async fn exist(&self, release: &ReleaseKey) -> Result<bool>;

    /// Makes the policies of a release be exactly these, and its namespaces exist. Objects of other origin in
    /// their way are a conflict and stay. Afterwards [`Self::is_applied`] shows them.
    async fn apply(&self, wanted: &PropagationSpec) -> Result<()>;

    /// Removes the policies of a release. Afterwards [`Self::exist`] shows none.
    async fn remove(&self, release: &ReleaseKey) -> Result<()>;

    /// Names a release whenever one of its policies changed. A receiver that lags re-reads everything.
    fn changes(&self) -> broadcast::Receiver<ReleaseKey>;

    /// How the watches behind this port are.
    fn watches(&self) -> Vec<WatchReport>;
}

/// How the objects of a release are to be propagated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropagationSpec {
    /// The release.
    pub release: ReleaseKey,
    /// As [`ReleaseSpec::owner`].
    pub owner: String,
    /// Its cluster.
    pub cluster: String,
    /// Other clusters from which its Services are called.
    pub importers: Vec<String>,
    /// It is about to be installed or upgraded, so that the hooks of that have to run.
    pub installs: bool,
    /// The objects of its chart.
    pub manifest: Manifest,
}

/// Alert rules of the graphs.
#[async_trait]
pub trait AlertRules: Send + Sync {
    /// Makes the rules of a graph be exactly these. An object of that name that belongs to another
    /// installation is a conflict and stays. Afterwards [`Self::observed`] shows them.
    async fn apply(&self, rules: &GraphRules) -> Result<()>;

    /// Removes the rules object; a missing one, or another installation's, is no error. Afterwards
    /// [`Self::list`] does not show it any more.
    async fn delete(&self, object_name: &str) -> Result<()>;

    /// Names of the rule objects of this installation, from the watched state.
    async fn list(&self) -> Result<Vec<String>>;

    /// The rules of an object, from the watched state. `None` when this installation has no such object, and
    /// also when it is not as [`Self::apply`] writes it.
    async fn observed(&self, object_name: &str) -> Result<Option<GraphRules>>;

    /// Names a rules object whenever it changed. A receiver that lags re-reads everything.
    fn changes(&self) -> broadcast::Receiver<String>;

    /// How the watches behind this port are.
    fn watches(&self) -> Vec<WatchReport>;
}

/// All alert rules of one graph: one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphRules {
    /// Name of the PrometheusRule object.
    pub object_name: String,
    /// Label value that marks the object as belonging to a graph, as [`ReleaseSpec::owner`].
    pub owner: String,
    /// The rules.
    pub rules: Vec<AlertRule>,
}

/// One Prometheus alerting rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// Alert name.
    pub alert: String,
    /// PromQL expression.
    pub expr: String,
    /// How long it must hold (Prometheus duration).
    #[serde(rename = "for")]
    pub for_duration: String,
    /// Labels: `severity`, `service`, `graph`, `project`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations: `description`, `summary`.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// Queries to Prometheus.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// All alerts of our rules that fire now, with one query for all graphs.
    async fn firing_alerts(&self) -> Result<Vec<FiringAlert>>;

    /// The alert rules that Prometheus has loaded, with one question for all graphs, by the label `graph`; rules without
    /// it are left out.
    async fn loaded_rules(&self) -> Result<BTreeMap<String, Vec<LoadedRule>>>;

    /// Values of an instant query, by this label.
    async fn rates(&self, query: &str, label: &str) -> Result<Rates>;
}

/// The values of an instant query, all of them finite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    /// By the value of the label; several series of one value add up.
    pub labelled: BTreeMap<String, f64>,
    /// Of a scalar, and of series without the label.
    pub unlabelled: Vec<f64>,
}

/// An alert rule that Prometheus has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedRule {
    /// Name of its alert.
    pub alert: String,
    /// Why it could not be evaluated the last time.
    pub error: Option<String>,
}

/// An alert of one of our rules that fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiringAlert {
    /// Label `alertname`.
    pub alert: String,
    /// Label `graph`.
    pub graph: String,
    /// Label `service`.
    pub service: String,
}

/// Networks of the clusters, from Submariner's broker.
#[async_trait]
pub trait Networks: Send + Sync {
    /// Cluster name to networks. Empty, with a warning logged once, when the CRD does not exist.
    async fn networks(&self) -> Result<BTreeMap<String, ClusterNetworks>>;
}

/// Round-trip times between the clusters, from Submariner's gateways.
#[async_trait]
pub trait Latencies: Send + Sync {
    /// The measured latencies between these clusters and any others, the larger of the two directions. A
    /// cluster that cannot be queried, or has no measurements, is left out.
    async fn latencies(&self, clusters: &[String]) -> Result<RoundTripTimes>;
}

/// The health of a watch: without it, a hanging watch would look like a system in which nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchReport {
    /// The system that serves the objects, such as `karmada`.
    pub system: &'static str,
    /// The kind of objects watched, such as `clusters`, `deployments`, `bindings`, `releases` or `rules`.
    pub name: &'static str,
    /// Whether the first list has been read to its end. Before that nothing is known.
    pub complete: bool,
    /// Time since it last proved alive: by an event, a bookmark, a finished list, or a clean end of the
    /// stream; since its start if it never has.
    pub age: Duration,
    /// How often it failed since its start.
    pub errors: u64,
    /// The latest error since it last proved alive.
    pub last_error: Option<String>,
}

/// A probe of an external system for `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Name of the system, such as `karmada`.
    pub system: &'static str,
    /// When it was last reached.
    pub last_success: Option<DateTime<Utc>>,
    /// The error of the last call, if it failed.
    pub last_error: Option<String>,
}
