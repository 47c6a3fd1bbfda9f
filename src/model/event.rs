//! Events: the types there are, how they are made, and how they are kept.
//!
//! An event is a row of the append-only outbox, written in the transaction of the change that it tells.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

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

/// A graph was posted and accepted.
pub const GRAPH_CREATED: &str = "graph.created";
/// A stopped graph shall run again.
pub const GRAPH_STARTED: &str = "graph.started";
/// A running graph shall stop.
pub const GRAPH_STOPPED: &str = "graph.stopped";
/// A graph shall be deleted.
pub const GRAPH_DELETING: &str = "graph.deleting";
/// Nothing of a graph is left, and its record is gone.
pub const GRAPH_DELETED: &str = "graph.deleted";
/// The services of a running graph were placed again; `moves` names those that change their cluster.
pub const GRAPH_PLACED: &str = "graph.placed";
/// Replicas of services of a graph were decided by their load.
pub const GRAPH_SCALED: &str = "graph.scaled";
/// Scaling of a graph was switched on or off.
pub const GRAPH_SCALING_SET: &str = "graph.scaling_set";
/// A conditional service's event has happened.
pub const SERVICE_TRIGGERED: &str = "service.triggered";
/// Helm has accepted the release of a service.
pub const SERVICE_DEPLOYED: &str = "service.deployed";
/// The release of a service could not be installed or removed.
pub const SERVICE_FAILED: &str = "service.failed";
/// The release of a service is gone.
pub const SERVICE_REMOVED: &str = "service.removed";
/// A service runs where it was placed.
pub const SERVICE_READY: &str = "service.ready";
/// A service that was ready no longer is.
pub const SERVICE_NOT_READY: &str = "service.not_ready";
/// A cluster appeared, came back or went away.
pub const CLUSTER_CHANGED: &str = "cluster.changed";

/// Attributes of a cluster were set through the interface.
pub const CLUSTER_ATTRIBUTES_SET: &str = "cluster.attributes_set";
/// Attributes of a cluster that were set through the interface were taken back.
pub const CLUSTER_ATTRIBUTES_RESET: &str = "cluster.attributes_reset";
/// The scaling profile of a service was set through the interface.
pub const PROFILE_SET: &str = "profile.set";
/// The scaling profile of a service that was set through the interface was taken back.
pub const PROFILE_DELETED: &str = "profile.deleted";

/// Who caused an event.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// `api`, `alertmanager`, `prometheus`, `reconciler`.
    pub actor: String,
    /// Id of the request, when a request caused it.
    pub request_id: Option<String>,
}

impl Cause {
    /// A cause inside the server.
    pub fn internal(actor: &str) -> Self {
        Self { actor: actor.to_owned(), request_id: None }
    }

    /// An event about a graph.
    #[must_use]
    pub fn graph_event(&self, kind: &str, graph: &str, data: Value) -> NewEvent {
        self.event(kind, Some(graph), format!("graphs/{graph}"), data)
    }

    /// An event about a service of a graph.
    #[must_use]
    pub fn service_event(&self, kind: &str, graph: &str, service: &str, data: Value) -> NewEvent {
        self.event(kind, Some(graph), format!("graphs/{graph}/services/{service}"), data)
    }

    /// An event about a cluster.
    #[must_use]
    pub fn cluster_event(&self, kind: &str, cluster: &str, data: Value) -> NewEvent {
        self.event(kind, None, format!("clusters/{cluster}"), data)
    }

    /// An event about the scaling profile of a service.
    #[must_use]
    pub fn profile_event(&self, kind: &str, service: &str, data: Value) -> NewEvent {
        self.event(kind, None, format!("profiles/{service}"), data)
    }

    fn event(&self, kind: &str, graph: Option<&str>, subject: String, data: Value) -> NewEvent {
        NewEvent {
            kind: kind.to_owned(),
            graph: graph.map(str::to_owned),
            subject,
            actor: self.actor.clone(),
            request_id: self.request_id.clone(),
            data,
        }
    }
}
