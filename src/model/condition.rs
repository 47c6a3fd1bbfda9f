//! Conditions in the manner of Kubernetes: what they are about, why they hold or not, and how they are updated.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A condition in the manner of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Type of the condition: `Installed`, `Ready`, `ResourcesMatch`, `Scaled` and `RateKnown` of a service,
    /// `Reconciled` and `RulesPublished` of a graph.
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

/// The release of the service is installed.
pub const INSTALLED: &str = "Installed";
/// The service runs where it was placed.
pub const READY: &str = "Ready";
/// What the service requests is what its intent says.
pub const RESOURCES_MATCH: &str = "ResourcesMatch";
/// The service has the replicas that scaling decided.
pub const SCALED: &str = "Scaled";
/// The request rate of the service is known.
pub const RATE_KNOWN: &str = "RateKnown";
/// The alert rules of the graph are published.
pub const RULES_PUBLISHED: &str = "RulesPublished";
/// The last reconcile of the graph came through.
pub const RECONCILED: &str = "Reconciled";

/// A condition without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// Type of the condition.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// CamelCase reason.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
}

impl ConditionUpdate {
    /// The condition holds.
    pub fn holds(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: ConditionStatus::True, reason, message: message.into() }
    }

    /// The condition does not hold.
    pub fn fails(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: ConditionStatus::False, reason, message: message.into() }
    }

    /// It cannot be told.
    pub fn unknown(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: ConditionStatus::Unknown, reason, message: message.into() }
    }
}

/// Puts a update in; `since` moves only when the status changes.
pub fn set(conditions: &mut Vec<Condition>, update: ConditionUpdate, now: DateTime<Utc>) {
    let old = conditions.iter_mut().find(|condition| condition.kind == update.kind);
    let since = old.as_ref().filter(|old| old.status == update.status).map_or(now, |old| old.since);
    let new = Condition {
        kind: update.kind.to_owned(),
        status: update.status,
        reason: update.reason.to_owned(),
        message: update.message,
        since,
    };
    match old {
        Some(old) => *old = new,
        None => conditions.push(new),
    }
}

/// Takes a condition out that has no meaning any more.
pub fn clear(conditions: &mut Vec<Condition>, kind: &str) {
    conditions.retain(|condition| condition.kind != kind);
}

/// The condition of that type.
#[must_use]
pub fn get<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::at;

    #[test]
    fn since_moves_only_when_the_status_changes() {
        let mut conditions = Vec::new();
        set(&mut conditions, ConditionUpdate::fails(READY, "NotScheduled", "waits"), at(1));
        set(&mut conditions, ConditionUpdate::fails(READY, "Unhealthy", "pods start"), at(2));
        assert_eq!(get(&conditions, READY).map(|c| (c.reason.as_str(), c.since)), Some(("Unhealthy", at(1))));
        set(&mut conditions, ConditionUpdate::holds(READY, "Running", "runs"), at(3));
        assert_eq!(get(&conditions, READY).map(|c| c.since), Some(at(3)));
        assert_eq!(conditions.len(), 1);
        clear(&mut conditions, READY);
        assert_eq!(get(&conditions, READY), None);
    }
}
