//! A graph: its posted descriptor, its desired state, and how far that has been carried out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Condition;
use crate::hdag::slug;

/// Longest label value that Kubernetes takes.
const LABEL_LENGTH: usize = 63;

/// The state that the user desires for a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Its services run.
    Running,
    /// Nothing of it runs; the record stays.
    Stopped,
    /// Its objects in other systems are removed, then its record.
    Deleted,
}

impl Desired {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Deleted => "deleted",
        }
    }
}

impl TryFrom<String> for Desired {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "running" => Ok(Self::Running),
            "stopped" => Ok(Self::Stopped),
            "deleted" => Ok(Self::Deleted),
            _ => Err(format!("{text:?} is no Desired")),
        }
    }
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
    /// The state that the user desires.
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
    /// Whether it is scaled, according to its descriptor; `None` when unspecified.
    pub scaling_requested: Option<bool>,
    /// Whether it is scaled, as the interface set it; `None` = as requested, else as configured.
    pub scaling_enabled: Option<bool>,
    /// When scaling last had it rescheduled.
    pub rescheduled_at: Option<DateTime<Utc>>,
    /// When it was posted.
    pub created_at: DateTime<Utc>,
    /// When its desired state was last changed: posted, started, stopped, placed again, triggered.
    pub updated_at: DateTime<Utc>,
}

/// The label value that marks the objects of a graph as its own.
#[must_use]
pub fn owner_of(graph: &str) -> String {
    slug(graph, LABEL_LENGTH)
}

/// Which graphs to list.
#[derive(Debug, Clone, Default)]
pub struct GraphFilter {
    /// Only of this project.
    pub project: Option<String>,
    /// Only with this desired state.
    pub desired: Option<Desired>,
    /// Only names after this one (the last of the page before).
    pub after: Option<String>,
    /// Maximum number of entries; `None` for all.
    pub limit: Option<i64>,
}
