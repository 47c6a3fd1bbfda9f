//! Records of decisions: the problem, the answer, and when it was applied.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

/// A decision with its problem and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRecord {
    /// Identity (UUID version 7: sorts by time).
    pub id: Uuid,
    /// The graph decided about.
    pub graph: String,
    /// `placement` or `scaling`.
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
    /// When the plan became the desired state; `None` while it is only a proposal.
    pub applied_at: Option<DateTime<Utc>>,
    /// The real decision whose problem another strategy decided here, to be compared and never applied.
    pub shadow_of: Option<Uuid>,
}

/// A decision without its problem and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionSummary {
    /// Identity (UUID version 7: sorts by time).
    pub id: Uuid,
    /// The graph decided about.
    pub graph: String,
    /// `placement` or `scaling`.
    pub kind: String,
    /// The strategy that decided; empty when it was not recorded.
    pub strategy: String,
    /// As [`DecisionRecord::outcome`].
    pub outcome: String,
    /// How long deciding took, when measured.
    pub duration_ms: Option<i64>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When the plan became the desired state; `None` while it is only a proposal.
    pub applied_at: Option<DateTime<Utc>>,
}

/// The scaling profile of a service: how much load its replicas handle.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileRecord {
    /// Name of the service, in any graph.
    pub service: String,
    /// The profile.
    pub profile: Value,
    /// When it was written.
    pub updated_at: DateTime<Utc>,
}
