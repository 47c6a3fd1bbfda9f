//! Conditions as in Kubernetes: their types, reasons and updates.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A condition in the manner of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// Its type: `Installed`, `Propagated`, `Ready`, `ResourcesMatch`, `Scaled` or `RateKnown` of a service,
    /// `RulesPublished` or `Reconciled` of a graph.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// CamelCase reason for programs.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
    /// When the status last changed.
    pub since: DateTime<Utc>,
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// It cannot be determined now.
    Unknown,
}

/// The release of the service is installed.
pub const INSTALLED: &str = "Installed";
/// The objects of the service's chart are sent to its cluster.
pub const PROPAGATED: &str = "Propagated";
/// The service runs where it was placed.
pub const READY: &str = "Ready";
/// The service's resource requests match its intent.
pub const RESOURCES_MATCH: &str = "ResourcesMatch";
/// The service has the replicas that scaling decided.
pub const SCALED: &str = "Scaled";
/// The request rate of the service is known.
pub const RATE_KNOWN: &str = "RateKnown";
/// The alert rules of the graph are published.
pub const RULES_PUBLISHED: &str = "RulesPublished";
/// The last reconcile of the graph completed.
pub const RECONCILED: &str = "Reconciled";

/// The kinds of records that have conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A graph as a whole.
    Graph,
    /// A service of a graph.
    Service,
}

/// Why a condition has its status: a row of [`CONDITIONS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Type of the condition.
    pub condition: &'static str,
    /// The kind of record that has it.
    pub of: Subject,
    /// Whether the condition holds then.
    pub status: ConditionStatus,
    /// CamelCase reason for programs.
    pub reason: &'static str,
    /// A sentence for the documents.
    pub meaning: &'static str,
}

/// One constant per reason, and the table of all of them.
macro_rules! reasons {
    ($($name:ident: $of:ident $condition:ident $status:ident $reason:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Reason = Reason {
                condition: $condition,
                of: Subject::$of,
                status: ConditionStatus::$status,
                reason: $reason,
                meaning: $meaning,
            };
        )*
        /// Every condition with every reason it can have, from which the documents are printed.
        pub const CONDITIONS: &[Reason] = &[$($name),*];
        #[cfg(test)]
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

reasons! {
    RELEASE_INSTALLED: Service INSTALLED True "Installed", "Helm has accepted the release.";
    WAITS_FOR_EVENT: Service INSTALLED False "WaitsForEvent", "The service is conditional, and its event has not happened.";
    RELEASE_NOT_WANTED: Service INSTALLED False "Stopped", "The graph is stopped or being deleted, and the release is gone.";
    WAITS_FOR_DEPENDENCIES: Service INSTALLED False "WaitsForDependencies",
        "Services that it depends on are not installed yet, or services that depend on it are not removed yet.";
    RELEASE_RETRIED: Service INSTALLED False "Retrying",
        "Rendering, installing or removing the release failed in a way that may pass; it is tried again, with backoff.";
    RELEASE_FAILED: Service INSTALLED False "Failed",
        "Rendering, installing or removing the release failed in a way that a user has to mend.";
    BY_CHART: Service PROPAGATED True "ByChart", "Policies of the chart propagate all its workloads.";
    BY_CHART_IN_PART: Service PROPAGATED False "ByChartInPart",
        "Policies of the chart propagate some of its workloads; the others run nowhere.";
    MANAGED: Service PROPAGATED True "Managed", "The chart brings no policies for its workloads, so smo propagates its objects.";
    PROPAGATION_RETRIED: Service PROPAGATED False "Retrying",
        "Writing or removing the policies failed in a way that may pass; it is tried again, with backoff.";
    PROPAGATION_FAILED: Service PROPAGATED False "Failed",
        "Writing or removing the policies failed in a way that a user has to mend.";
    RUNNING: Service READY True "Running", "The service runs where it was placed.";
    NOT_INSTALLED: Service READY False "NotInstalled", "Its release is not installed; the condition Installed says why.";
    NO_WORKLOAD: Service READY False "NoWorkload", "Karmada has no workload of the release yet.";
    CLAIMED: Service READY False "Claimed",
        "An object that smo propagates has been claimed by a policy of somebody else.";
    NOT_SCHEDULED: Service READY False "NotScheduled", "Karmada has not scheduled an object, or cannot.";
    WRONG_CLUSTER: Service READY False "WrongCluster", "A workload is scheduled to another cluster than decided.";
    CLUSTER_UNAVAILABLE: Service READY False "ClusterUnavailable", "The cluster it runs on is not available.";
    NOT_APPLIED: Service READY False "NotApplied", "The cluster has not taken an object yet, or refuses it.";
    NOT_HEALTHY: Service READY False "NotHealthy", "Not all replicas are ready on the cluster, or a Job has failed.";
    WORKLOADS_UNSEEN: Service READY Unknown "Unseen", "The state of the workloads could not be read.";
    REQUESTS_AS_INTENDED: Service RESOURCES_MATCH True "AsIntended", "The chart requests the amounts of the intent, or leaves them out (GPUs have to be requested).";
    CHART_DIFFERS: Service RESOURCES_MATCH False "ChartDiffers",
        "The chart requests other amounts than the intent; decisions count what it requests, and the intent where it requests nothing.";
    REPLICAS_AS_DECIDED: Service SCALED True "AsDecided", "The workload has the number of replicas that was decided.";
    SCALING_RETRIED: Service SCALED False "Retrying",
        "Setting the replicas failed in a way that may pass; it is tried again, with backoff.";
    SCALING_FAILED: Service SCALED False "Failed", "Setting the replicas failed in a way that a user has to mend.";
    NOT_SCALABLE: Service SCALED False "NotScalable",
        "Scaling leaves the release alone: it has several workloads and none is named, or one that cannot be scaled, or brings a scaler of its own.";
    RATE_MEASURED: Service RATE_KNOWN True "Measured", "Prometheus has a request rate of the service.";
    RATE_DERIVED: Service RATE_KNOWN True "Derived",
        "The service has no counter of its own: its rate is the sum of its callers' rates.";
    RATE_ASSUMED: Service RATE_KNOWN True "AssumedZero",
        "Prometheus has no request rate of the service, which counts as no load (`whenAbsent: zero`).";
    RATE_LOST_ASSUMED: Service RATE_KNOWN True "LostAssumedZero",
        "Prometheus had a request rate of the service and has none now, which counts as no load (`whenAbsent: zero`).";
    RATE_LOST: Service RATE_KNOWN False "Lost",
        "Prometheus had a request rate of the service and has none now; its replicas stay as they are.";
    RATE_MISSING: Service RATE_KNOWN False "NoData",
        "Prometheus has no request rate of the service; its replicas stay as they are.";
    RULES_ARE_PUBLISHED: Graph RULES_PUBLISHED True "Published", "The monitoring cluster has the graph's alert rules.";
    RULES_NOT_CONFIGURED: Graph RULES_PUBLISHED False "NotConfigured",
        "No monitoring cluster is configured, so nothing can raise the alerts of conditional services.";
    RULES_NOT_PUBLISHED: Graph RULES_PUBLISHED False "Failed", "The monitoring cluster did not take the alert rules.";
    RULES_NOT_LOADED: Graph RULES_PUBLISHED False "NotLoaded",
        "Prometheus has not loaded the alert rules within `monitoring.rules_loaded_within`; its selectors may not want them.";
    RULES_FAIL: Graph RULES_PUBLISHED False "RuleFails",
        "Prometheus cannot evaluate a rule of the graph, so that its alert never fires.";
    AS_DESIRED: Graph RECONCILED True "AsDesired", "Everything of the graph is in the desired state.";
    UNREACHABLE: Graph RECONCILED Unknown "Unreachable", "The releases could not be read.";
    GRAPH_UNSEEN: Graph RECONCILED Unknown "Unseen", "The state of the workloads could not be read.";
    ORPHAN_LEFT: Graph RECONCILED False "OrphanLeft",
        "A release of the graph that none of its services owns could not be removed.";
    RULES_NOT_AS_DESIRED: Graph RECONCILED False "RulesFailed", "The alert rules could not be written or removed.";
    RELEASES_MISSING: Graph RECONCILED False "ReleasesMissing",
        "Some releases are not in the desired state; see the services.";
    NOT_SCALED: Graph RECONCILED False "NotScaled", "Some services do not have the decided replicas; see the services.";
    TERMINATING: Graph RECONCILED False "Terminating", "Workloads that should be gone still exist.";
}

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
    /// The condition has this reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let Reason { condition, status, reason, .. } = reason;
        Self { kind: condition, status, reason, message: message.into() }
    }
}

/// Puts an update in; `since` moves only when the status changes.
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

/// Whether a condition has this reason.
#[must_use]
pub fn holds(conditions: &[Condition], reason: Reason) -> bool {
    get(conditions, reason.condition).is_some_and(|condition| condition.reason == reason.reason)
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
        set(&mut conditions, ConditionUpdate::new(NOT_SCHEDULED, "waits"), at(1));
        set(&mut conditions, ConditionUpdate::new(NOT_HEALTHY, "pods start"), at(2));
        assert_eq!(
            get(&conditions, READY).map(|c| (c.reason.as_str(), c.since)),
            Some(("NotHealthy", at(1)))
        );
        set(&mut conditions, ConditionUpdate::new(RUNNING, "runs"), at(3));
        assert_eq!(get(&conditions, READY).map(|c| c.since), Some(at(3)));
        assert_eq!(conditions.len(), 1);
        clear(&mut conditions, READY);
        assert_eq!(get(&conditions, READY), None);
    }
    #[test]
    fn a_condition_and_a_reason_name_one_row() {
        let mut seen = std::collections::BTreeSet::new();
        for row in CONDITIONS {
            assert!(
                seen.insert((row.condition, row.reason)),
                "{} {} stands twice",
                row.condition,
                row.reason
            );
            assert!(row.meaning.ends_with('.'), "{}", row.meaning);
        }
    }

    #[test]
    fn every_reason_is_given_somewhere() {
        let unused = crate::model::testing::unused(NAMES, "src/model/condition.rs");
        assert!(unused.is_empty(), "no code gives these reasons: {unused:?}");
    }
}
