//! A graph: the descriptor that was posted, the state that is desired of it, and how far that has been carried out.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Condition;
use crate::hdag::slug;

/// Longest label value that Kubernetes takes.
const LABEL_LENGTH: usize = 63;

/// What the user wants of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Its services run.
    Running,
    /// Nothing of it runs; the record stays.
    Stopped,
    /// Nothing of it runs, then the record goes too.
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
    /// Whether it is scaled, as its descriptor asks; `None` when it says nothing.
    pub scaling_requested: Option<bool>,
    /// Whether it is scaled, as the interface set it; `None` = as requested, else as configured.
    pub scaling_enabled: Option<bool>,
    /// When a step of scaling last had it placed anew.
    pub rescheduled_at: Option<DateTime<Utc>>,
    /// When it was posted.
    pub created_at: DateTime<Utc>,
    /// When what is wanted of it was last changed: posted, started, stopped, placed again, triggered.
    pub updated_at: DateTime<Utc>,
}

/// The label value that marks the objects of a graph as its own.
#[must_use]
pub fn owner_of(graph: &str) -> String {
    slug(graph, LABEL_LENGTH)
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

/// Which graphs to list.
#[derive(Debug, Clone, Default)]
pub struct GraphFilter {
    /// Only of this project.
    pub project: Option<String>,
    /// Only with this desired state.
    pub desired: Option<Desired>,
    /// Only names after this one (the last of the page before).
    pub after: Option<String>,
    /// At most so many; `None` = all.
    pub limit: Option<i64>,
}
