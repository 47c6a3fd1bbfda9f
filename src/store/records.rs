//! What the store keeps: one struct per row.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::hdag::{Resources, Trigger};

/// What the user wants of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "TEXT", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Its services run.
    Running,
    /// Nothing of it runs; the record stays.
    Stopped,
    /// Nothing of it runs, then the record goes too.
    Deleted,
}

/// A graph.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphRecord {
    /// Unique name, `hdaGraph.id`.
    pub name: String,
    /// The project it belongs to.
    pub project: String,
    /// Namespace of its releases.
    pub namespace: String,
    /// The descriptor under `hdaGraph`, as posted.
    pub document: Value,
    /// SHA-256 (hex) of the descriptor in canonical form; equal digests mean the same descriptor.
    pub document_digest: String,
    /// What the user wants.
    pub desired: Desired,
    /// Bumped by every change of intent.
    pub generation: i64,
    /// The newest generation that the reconciler has carried out.
    pub observed_generation: i64,
    /// Bumped by every write; guards read-decide-write.
    pub version: i64,
    /// No placement was decided; the charts decide.
    pub static_placement: bool,
    /// The decision that placed it; `None` when static.
    pub decision_id: Option<Uuid>,
    /// Conditions of the graph as a whole.
    pub conditions: Vec<Condition>,
    /// Whether it is scaled; `None` = as configured.
    pub scaling_enabled: Option<bool>,
    /// When a step of scaling last had it placed anew.
    pub replaced_at: Option<DateTime<Utc>>,
    /// When it was posted.
    pub created_at: DateTime<Utc>,
    /// When what is wanted of it was last changed: posted, started, stopped, placed again, triggered.
    pub updated_at: DateTime<Utc>,
}

/// Where a service is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "TEXT", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Waits for its event.
    Pending,
    /// Its release is being installed.
    Deploying,
    /// Its release is installed.
    Deployed,
    /// Installing failed; the condition `Installed` says why and whether it is retried.
    Failed,
    /// The graph is stopped.
    NotDeployed,
}

/// A service of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRecord {
    /// The graph it belongs to.
    pub graph: String,
    /// `services[].id`; also the name of its release.
    pub name: String,
    /// Position in the descriptor.
    pub position: i64,
    /// Namespace of its release; `(namespace, name)` is unique over all graphs.
    pub namespace: String,
    /// What one replica needs by the intent.
    pub needs: Resources,
    /// What starts it.
    pub trigger: Trigger,
    /// A conditional service whose event has happened.
    pub triggered: bool,
    /// Where it is placed; `None` when static.
    pub cluster: Option<String>,
    /// Chart as written in the descriptor.
    pub chart: String,
    /// `ociConfig.type`.
    pub artifact_type: String,
    /// `ociConfig.implementer`.
    pub implementer: String,
    /// All values of the release, the placement's included.
    pub values: Map<String, Value>,
    /// Replicas that scaling decided; `None` while the chart decides.
    pub replicas_desired: Option<i64>,
    /// Observed: where it is on its way.
    pub state: ServiceState,
    /// Observed: it runs where it was placed.
    pub ready: bool,
    /// Observed: since when it is ready.
    pub ready_since: Option<DateTime<Utc>>,
    /// Observed: replicas wanted (`spec.replicas`).
    pub replicas_wanted: Option<i64>,
    /// Observed: ready replicas.
    pub replicas_ready: Option<i64>,
    /// Observed: what one replica really requests.
    pub observed_needs: Option<Resources>,
    /// Conditions of the service.
    pub conditions: Vec<Condition>,
}

impl ServiceRecord {
    /// Whether it runs only after an event.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        matches!(self.trigger, Trigger::Event { .. })
    }
}

/// A condition in the manner of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// What the condition is about, such as `Installed`, `Ready`, `ResourcesMatch`, `RulesPublished`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// CamelCase reason for programs.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
    /// Since when the status is what it is.
    pub since: DateTime<Utc>,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be told now.
    Unknown,
}

/// A cluster as last seen.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterRecord {
    /// Ascending id in the order of discovery.
    pub id: i64,
    /// Name in Karmada.
    pub name: String,
    /// Location, or `Unknown`.
    pub location: String,
    /// Whether services can be placed there. A cluster that disappeared stays, unavailable.
    pub available: bool,
    /// Why it is unavailable.
    pub reason: Option<String>,
    /// Total of its nodes.
    pub allocatable: Resources,
    /// Requested by pods.
    pub allocated: Resources,
    /// Whether storage is part of the report.
    pub storage_reported: bool,
    /// Whether it has GPUs.
    pub acceleration: bool,
    /// Pod network.
    pub pod_cidr: Option<String>,
    /// Service network.
    pub service_cidr: Option<String>,
    /// URL of its dashboard.
    pub grafana: Option<String>,
    /// Region, when Karmada's Cluster states one.
    pub region: Option<String>,
    /// Labels of Karmada's Cluster.
    pub labels: BTreeMap<String, String>,
    /// Round-trip times to other clusters in milliseconds as last measured.
    pub latencies_ms: BTreeMap<String, f64>,
    /// When Karmada last told of it.
    pub observed_at: DateTime<Utc>,
}

/// A decision with its problem and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRecord {
    /// Identity (UUID version 7: sorts by time).
    pub id: Uuid,
    /// The graph decided about.
    pub graph: String,
    /// What was decided: `placement`.
    pub kind: String,
    /// The problem, whole.
    pub problem: Value,
    /// The plan with its explanation.
    pub plan: Value,
    /// The strategy that decided, such as `first-fit`; empty when it was not recorded.
    pub strategy: String,
    /// `optimal`, `feasible`, `infeasible` or `timed_out`; empty when it was not recorded.
    pub outcome: String,
    /// How long deciding took, when measured.
    pub duration_ms: Option<i64>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the plan became what is wanted; `None` while it is only a proposal.
    pub applied_at: Option<DateTime<Utc>>,
}

/// A decision without its problem and its answer.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct DecisionSummary {
    /// Identity (UUID version 7: sorts by time).
    pub id: Uuid,
    /// The graph decided about.
    pub graph: String,
    /// What was decided: `placement`.
    pub kind: String,
    /// The strategy that decided; empty when it was not recorded.
    pub strategy: String,
    /// As [`DecisionRecord::outcome`].
    pub outcome: String,
    /// How long deciding took, when measured.
    pub duration_ms: Option<i64>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the plan became what is wanted; `None` while it is only a proposal.
    pub applied_at: Option<DateTime<Utc>>,
}

/// The scaling profile of a service: how much load its replicas handle.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileRecord {
    /// Name of the service, in whatever graph.
    pub service: String,
    /// The profile.
    pub profile: Value,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}

/// A step of scaling of one graph: what was seen and decided.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingTick {
    /// The graph.
    pub graph: String,
    /// When the load was looked at.
    pub at: DateTime<Utc>,
    /// What was seen and decided.
    pub data: Value,
}

/// An accepted descriptor with the decision that came with it; never changed, never deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct RevisionRecord {
    /// The graph.
    pub graph: String,
    /// 1, 2, 3 … within the graph's name; goes on when a name is used again after a delete.
    pub revision: i64,
    /// The project it was posted to.
    pub project: String,
    /// The descriptor.
    pub document: Value,
    /// The decision, `None` when static.
    pub decision_id: Option<Uuid>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// An event to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Type in reverse-DNS style without a vendor prefix, such as `graph.created` or `service.deployed`.
    pub kind: String,
    /// The graph it is about.
    pub graph: Option<String>,
    /// What it is about, such as `graphs/brussels` or `graphs/brussels/services/noise-reduction`.
    pub subject: String,
    /// Who caused it: `api`, `alertmanager`, `reconciler`, …
    pub actor: String,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// Details.
    pub data: Value,
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventRecord {
    /// Global sequence number.
    pub seq: i64,
    /// When.
    pub time: DateTime<Utc>,
    /// Type, such as `graph.created`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The graph it is about.
    pub graph: Option<String>,
    /// What it is about.
    pub subject: String,
    /// Who caused it.
    pub actor: String,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// Details.
    pub data: Value,
}
