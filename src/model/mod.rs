//! The domain types (graph, service, cluster, decision, event, condition) and the rules that always hold for
//! them. No I/O, no clock but [`now()`].

mod cluster;
pub mod condition;
mod decision;
mod document;
pub mod event;
pub mod footprint;
mod graph;
mod manifest;
mod service;
#[cfg(test)]
pub(crate) mod testing;
mod tick;

use chrono::{DateTime, SubsecRound, Utc};

pub use cluster::{
    ClusterNetworks, ClusterObservation, ClusterRecord, RoundTripTimes, largest, merge_nodes,
    merge_observations, merge_round_trip_times,
};
pub use condition::{Condition, ConditionStatus, ConditionUpdate};
pub use decision::{DecisionRecord, DecisionSummary, ProfileRecord};
pub use document::conditions_and_events;
pub use event::{Cause, EventRecord, NewEvent};
pub use footprint::{Charge, FreeCapacity, LedgerEntry, Usage, UsageChange};
pub use graph::{Desired, GraphFilter, GraphRecord, owner_of};
pub use manifest::{DEFINITION, Manifest, ManifestObject, ObjectId, ServicePort};
pub use service::{ServiceRecord, ServiceState, WorkloadKind, WorkloadUse, is_ready};
pub use tick::{ScalingTick, TickOutcome, TickReport, TickService};

/// The present as the store keeps it: PostgreSQL has no more than microseconds.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
