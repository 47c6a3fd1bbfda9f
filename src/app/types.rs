//! Input and output types of the use cases.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clients::WatchReport;
use crate::hdag::Finding;
use crate::model::{ClusterRecord, GraphRecord, ServiceRecord};

/// The origin of a request, and the preferred form of its answer.
#[derive(Debug, Clone, Default)]
pub struct RequestContext {
    /// Id of the request, for events and logs.
    pub request_id: Option<String>,
    /// Who asks: `api`, `alertmanager`.
    pub actor: String,
    /// `Prefer: respond-async`: do not wait for the work.
    pub respond_async: bool,
}

/// Clusters and how fresh the knowledge is.
#[derive(Debug, Clone)]
pub struct ClusterList {
    /// By ascending id.
    pub clusters: Vec<ClusterRecord>,
    /// Karmada did not answer; this is the last known state.
    pub stale: bool,
}

/// A graph with all that is shown of it.
#[derive(Debug, Clone)]
pub struct GraphView {
    /// The graph.
    pub graph: GraphRecord,
    /// Its services in the order of the descriptor.
    pub services: Vec<ServiceRecord>,
    /// Names of all known clusters by ascending id: the columns of the placement matrix.
    pub cluster_names: Vec<String>,
}

/// A change of intent that was recorded.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The graph after the change.
    pub view: GraphView,
    /// Whether the work is done (answer 200) or continues (answer 202).
    pub completed: bool,
    /// Things in the input that are not errors.
    pub warnings: Vec<Finding>,
    /// The same descriptor had been deployed before: nothing changed.
    pub unchanged: bool,
}

/// A recorded delete.
#[derive(Debug, Clone)]
pub struct Deletion {
    /// Name of the graph.
    pub name: String,
    /// The graph in its current state while the work continues; `None` when everything has been removed.
    pub remaining: Option<GraphView>,
}

/// One page of graphs, sorted by name.
#[derive(Debug, Clone)]
pub struct GraphPage {
    /// The graphs.
    pub graphs: Vec<GraphView>,
    /// Pass as `after` for the next page; `None` at the end.
    pub next: Option<String>,
}

/// One alert of an Alertmanager notification.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Whether it fires (else it is resolved).
    pub firing: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// The outcome of a notification.
#[derive(Debug, Clone, Default)]
pub struct AlertOutcome {
    /// Services that are deployed because of it.
    pub deployed: Vec<AlertTarget>,
    /// Alerts that led to nothing, with the reason.
    pub ignored: Vec<IgnoredAlert>,
}

/// A service that an alert names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertTarget {
    /// The graph.
    pub graph: String,
    /// The service.
    pub service: String,
}

/// An alert that led to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IgnoredAlert {
    /// Its labels.
    #[schema(example = json!({"alertname": "frames-high", "service": "unknown"}))]
    pub labels: BTreeMap<String, String>,
    /// Why nothing happened.
    #[schema(example = "no graph has a conditional service \"unknown\" that matches the alert's labels")]
    pub reason: String,
}

/// State of everything the server depends on.
#[derive(Debug, Clone)]
pub struct ServerState {
    /// Whether requests can be served.
    pub ready: bool,
    /// Whether the other systems are simulated.
    pub simulated: bool,
    /// One entry per dependency.
    pub dependencies: Vec<SystemState>,
    /// One entry per watch on another system's objects.
    pub watches: Vec<WatchView>,
}

/// A watch on another system's objects.
#[derive(Debug, Clone)]
pub struct WatchView {
    /// How it is.
    pub state: WatchReport,
    /// Whether it has not proved alive for so long that the state it last showed is no longer trusted.
    pub stale: bool,
}

/// One dependency of the server.
#[derive(Debug, Clone)]
pub struct SystemState {
    /// Its name, such as `database` or `karmada`.
    pub name: &'static str,
    /// How it is.
    pub state: DependencyState,
    /// When it was last reached.
    pub last_success: Option<DateTime<Utc>>,
    /// The cause of the failure.
    pub message: Option<String>,
}

/// How a dependency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependencyState {
    /// It answers.
    Ok,
    /// Its last call failed.
    Failing,
    /// It has not been called yet.
    Unknown,
    /// It has no setting; features that need it answer with an error.
    NotConfigured,
    /// The simulated continuum stands in for it.
    Simulated,
}
