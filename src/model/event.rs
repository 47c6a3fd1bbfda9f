//! Events: their types, construction and records.
//!
//! An event is a row of the append-only outbox, written in the transaction of the change that it reports.

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
    /// The subject, such as `graphs/brussels` or `graphs/brussels/services/noise-reduction`.
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
    /// The subject.
    pub subject: String,
    /// Who caused it.
    pub actor: String,
    /// The request that caused it.
    pub request_id: Option<String>,
    /// Details.
    pub data: Value,
}

/// A kind of event: a row of [`EVENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventKind {
    /// Type, such as `graph.created`.
    pub kind: &'static str,
    /// A sentence for the documents.
    pub meaning: &'static str,
    /// Who writes it, besides requests: the `actor` of the event.
    pub actors: &'static str,
    /// Members of its data, each with its meaning.
    pub data: &'static [(&'static str, &'static str)],
}

/// One constant per type of event, and the table of all of them.
macro_rules! events {
    ($($name:ident: $kind:literal, $meaning:literal, $actors:literal, [$(($member:literal, $about:literal)),*];)*) => {
        $(
            #[doc = $meaning]
            pub const $name: &str = $kind;
        )*
        /// Every kind of event, from which the documents are printed.
        pub const EVENTS: &[EventKind] = &[$(
            EventKind { kind: $kind, meaning: $meaning, actors: $actors, data: &[$(($member, $about)),*] }
        ),*];
        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

events! {
    GRAPH_CREATED: "graph.created", "A graph was posted and accepted.", "api", [
        ("project", "the project it was posted to"), ("services", "names of its services"),
        ("placement", "cluster per service, null when the charts decide")];
    GRAPH_STARTED: "graph.started", "A stopped graph is to run again.", "api", [];
    GRAPH_STOPPED: "graph.stopped", "A running graph is to stop.", "api", [];
    GRAPH_DELETING: "graph.deleting", "A graph is to be deleted.", "api", [];
    GRAPH_DELETED: "graph.deleted", "Nothing of a graph is left, and its record is gone.", "reconciler", [];
    GRAPH_PLACED: "graph.placed", "A graph that existed was placed again.", "api, scaling", [
        ("decision", "id of the decision"), ("strategy", "the strategy that decided"),
        ("moves", "list of {service, from, to}")];
    GRAPH_SCALED: "graph.scaled", "Replicas of services of a graph were decided by their load.", "scaling", [
        ("decision", "id of the decision"), ("replicas", "new number per service")];
    GRAPH_SCALING_SET: "graph.scaling_set", "Scaling of a graph was switched on or off.", "api", [
        ("enabled", "whether it is scaled")];
    SERVICE_TRIGGERED: "service.triggered", "The event of a conditional service has happened.",
        "alertmanager, prometheus", [("cluster", "where it was placed")];
    SERVICE_DEPLOYED: "service.deployed", "Helm has accepted the release of a service.", "reconciler", [
        ("reason", "reason of the condition Installed"), ("message", "its message"), ("cluster", "where it was placed")];
    SERVICE_FAILED: "service.failed",
        "The release of a service could not be installed or removed. Further failures of the same kind leave no event.",
        "reconciler", [
        ("reason", "reason of the condition Installed"), ("message", "its message"), ("cluster", "where it was placed")];
    SERVICE_REMOVED: "service.removed", "The release of a service is gone.", "reconciler", [
        ("reason", "reason of the condition Installed"), ("message", "its message"), ("cluster", "where it was placed"),
        ("claims", "volume claims of its chart that stay there")];
    SERVICE_READY: "service.ready", "A service runs where it was placed.", "reconciler", [
        ("cluster", "where it was placed"), ("message", "message of the condition Ready")];
    SERVICE_NOT_READY: "service.not_ready", "A service that was ready no longer is.", "reconciler", [
        ("cluster", "where it was placed"), ("message", "message of the condition Ready")];
    CLUSTER_CHANGED: "cluster.changed", "A cluster appeared, came back or went away.", "clusters", [
        ("available", "whether it is available"), ("reason", "why it is not, else null")];
    CLUSTER_ATTRIBUTES_SET: "cluster.attributes_set", "Attributes of a cluster were set.", "api", [
        ("attributes", "all attributes that are set now")];
    CLUSTER_ATTRIBUTES_RESET: "cluster.attributes_reset", "The attributes that were set for a cluster were taken back.",
        "api", [];
    PROFILE_SET: "profile.set", "The scaling profile of a service was set.", "api", [("profile", "the profile")];
    PROFILE_DELETED: "profile.deleted", "The scaling profile that was set for a service was taken back.", "api", [];
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_is_written_somewhere() {
        let unused = crate::model::testing::unused(NAMES, "src/model/event.rs");
        assert!(unused.is_empty(), "no code writes these events: {unused:?}");
        let kinds: std::collections::BTreeSet<&str> = EVENTS.iter().map(|event| event.kind).collect();
        assert_eq!(kinds.len(), EVENTS.len());
    }
}
