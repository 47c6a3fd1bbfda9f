//! Conditions: what a reconcile found, kept with the time at which it began to hold. Pure.

use chrono::{DateTime, Utc};

use crate::store::{Condition, ConditionStatus};

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
pub struct Finding {
    /// Type of the condition.
    pub kind: &'static str,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// CamelCase reason.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
}

impl Finding {
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

/// Puts a finding in; `since` moves only when the status changes.
pub fn set(conditions: &mut Vec<Condition>, finding: Finding, now: DateTime<Utc>) {
    let old = conditions.iter_mut().find(|condition| condition.kind == finding.kind);
    let since = old.as_ref().filter(|old| old.status == finding.status).map_or(now, |old| old.since);
    let new = Condition {
        kind: finding.kind.to_owned(),
        status: finding.status,
        reason: finding.reason.to_owned(),
        message: finding.message,
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

/// Records for the unit tests of this folder.
#[cfg(test)]
pub(crate) mod testing {
    use chrono::{DateTime, Utc};
    use serde_json::{Map, json};

    use crate::hdag::{Event, EventCondition, Resources, Trigger};
    use crate::store::{Desired, GraphRecord, ServiceRecord, ServiceState};

    pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    pub(crate) fn graph(name: &str) -> GraphRecord {
        GraphRecord {
            name: name.into(),
            project: "project".into(),
            namespace: "project".into(),
            document: json!({}),
            document_digest: String::new(),
            desired: Desired::Running,
            generation: 1,
            observed_generation: 0,
            version: 1,
            static_placement: false,
            decision_id: None,
            conditions: Vec::new(),
            scaling_enabled: None,
            replaced_at: None,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    pub(crate) fn service(name: &str) -> ServiceRecord {
        ServiceRecord {
            graph: "g".into(),
            name: name.into(),
            position: 0,
            namespace: "project".into(),
            needs: Resources { cpu_millicores: 500, ram_bytes: 1 << 30, ..Resources::default() },
            trigger: Trigger::Auto { dependencies: Vec::new() },
            triggered: false,
            cluster: Some("edge-1".into()),
            chart: format!("oci://registry/project/{name}"),
            artifact_type: "App".into(),
            implementer: "HELM".into(),
            values: Map::new(),
            replicas_desired: None,
            state: ServiceState::Deploying,
            ready: false,
            ready_since: None,
            replicas_wanted: None,
            replicas_ready: None,
            observed_needs: None,
            conditions: Vec::new(),
        }
    }

    pub(crate) fn event(id: &str, query: &str, grace_period: &str) -> Event {
        Event {
            id: id.into(),
            prom_query: query.into(),
            grace_period: grace_period.into(),
            description: format!("{id} happened"),
        }
    }

    pub(crate) fn conditional(name: &str) -> ServiceRecord {
        let events = vec![event("high-load", "up > 0", "5s")];
        ServiceRecord {
            trigger: Trigger::Event { condition: EventCondition::Any, events },
            state: ServiceState::Pending,
            ..service(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::at;
    use super::*;

    #[test]
    fn since_moves_only_when_the_status_changes() {
        let mut conditions = Vec::new();
        set(&mut conditions, Finding::fails(READY, "NotScheduled", "waits"), at(1));
        set(&mut conditions, Finding::fails(READY, "Unhealthy", "pods start"), at(2));
        assert_eq!(get(&conditions, READY).map(|c| (c.reason.as_str(), c.since)), Some(("Unhealthy", at(1))));
        set(&mut conditions, Finding::holds(READY, "Running", "runs"), at(3));
        assert_eq!(get(&conditions, READY).map(|c| c.since), Some(at(3)));
        assert_eq!(conditions.len(), 1);
        clear(&mut conditions, READY);
        assert_eq!(get(&conditions, READY), None);
    }
}
