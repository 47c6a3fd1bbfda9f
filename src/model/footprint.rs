//! Resource usage: the charge of a service on its cluster and the capacity left for others. The only place
//! where usage is counted.
//!
//! Every service that is placed has a [`Charge`]; the ledger keeps their sums by cluster ([`LedgerEntry`]). A
//! cluster's own report reflects changes only after its next status round, so recent changes are *reserved*
//! in addition to the report.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{ClusterRecord, Desired, GraphRecord, ServiceRecord, ServiceState};
use crate::hdag::Resources;

/// The charge of one service on its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Name of the cluster.
    pub cluster: String,
    /// How much of it.
    #[serde(flatten)]
    pub usage: Usage,
}

/// Use of one cluster, by one service or by several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// By all desired replicas.
    pub wanted: Resources,
    /// By replicas that may not show in the cluster's own report.
    pub reserved: Resources,
    /// By replicas that can show in the report.
    pub shown: Resources,
    /// By replicas that are not ready: they show in the report once a node has taken them.
    #[serde(default)]
    pub unready: Resources,
    /// Part of both `reserved` and `shown`: the report may be older than the change that brought it.
    #[serde(default)]
    pub unsure: Resources,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            wanted: self.wanted + other.wanted,
            reserved: self.reserved + other.reserved,
            shown: self.shown + other.shown,
            unready: self.unready + other.unready,
            unsure: self.unsure + other.unsure,
        }
    }
}

/// Use of one cluster by all services together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Sum of [`Usage::wanted`].
    pub wanted: Resources,
    /// Sum of [`Usage::reserved`].
    pub reserved: Resources,
    /// Sum of [`Usage::unready`].
    pub unready: Resources,
}

impl From<&Usage> for LedgerEntry {
    fn from(usage: &Usage) -> Self {
        Self { wanted: usage.wanted, reserved: usage.reserved, unready: usage.unready }
    }
}

impl LedgerEntry {
    /// The entry after the use by one graph has changed.
    #[must_use]
    pub fn after(&self, change: &UsageChange) -> Self {
        let replaced =
            |sum: Resources, before: Resources, after: Resources| (sum + after).minus_clamped(before);
        let wanted = replaced(self.wanted, change.before.wanted, change.after.wanted);
        let reserved = replaced(self.reserved, change.before.reserved, change.after.reserved);
        let unready = replaced(self.unready, change.before.unready, change.after.unready);
        Self { wanted, reserved, unready }
    }
}

/// Use of one cluster by one graph, before and after a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageChange {
    /// Before.
    pub before: Usage,
    /// After.
    pub after: Usage,
}

impl UsageChange {
    /// Whether more replicas, or larger ones, are desired than before.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        !self.after.wanted.fits(self.before.wanted)
    }

    /// Whether a cluster has the capacity for the graph's usage there after the change. Only resources of
    /// which more is taken count: a cluster that is short of memory can still give CPU.
    #[must_use]
    pub fn fits(&self, cluster: &ClusterRecord, entry: &LedgerEntry) -> bool {
        let (before, after) = (self.before.wanted, self.after.wanted);
        let taken = |amount: i64, held: i64| if amount > held { amount } else { 0 };
        let mut needed = Resources::from_fn(|dimension| taken(after.get(dimension), before.get(dimension)));
        if !cluster.storage_reported {
            needed.storage_bytes = 0;
        }
        if !cluster.gpus_counted() {
            needed.gpus = 0;
        }
        if !cluster.pods_counted() {
            needed.pods = 0;
        }
        needed.fits(free_capacity(cluster, entry, &self.before).free)
    }
}

/// The free capacity of a cluster for a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeCapacity {
    /// Free, the graph's own use included.
    pub free: Resources,
    /// Reserved for services of other graphs that the report may not show.
    pub reserved: Resources,
    /// Used by the graph itself.
    pub own: Resources,
}

/// The free capacity that the cluster reports, minus the reservations of other graphs, plus the graph's own
/// usage.
///
/// The report may or may not include recent changes of this graph and of others. So the result is never more
/// than what remains after the other graphs' desired replicas. Replicas that are not ready show in the report if a
/// node has taken them: of those of the graph at least all but what the cluster reports as not taken, of the
/// others' at most that is missing. Of its own use that the report may or may not show, what it has is free for it in any
/// case; more only as far as there is room if the report does not show it yet.
#[must_use]
pub fn free_capacity(cluster: &ClusterRecord, all: &LedgerEntry, own: &Usage) -> FreeCapacity {
    let waiting = Resources::from_fn(|dimension| {
        let theirs = all.unready.minus_clamped(own.unready).get(dimension);
        theirs.min(cluster.allocating.get(dimension))
    });
    let reserved = all.reserved.minus_clamped(own.reserved) + waiting;
    let shown = own.shown + own.unready.minus_clamped(cluster.allocating);
    let theirs = all.wanted.minus_clamped(own.wanted);
    let free = Resources::from_fn(|dimension| {
        let allocatable = cluster.allocatable.get(dimension);
        let unused = allocatable - cluster.allocated.get(dimension) - reserved.get(dimension);
        let unused = if unused > 0 { (unused - own.unsure.get(dimension)).max(0) } else { unused };
        let remaining = allocatable - theirs.get(dimension);
        (unused + shown.get(dimension)).min(remaining).max(0)
    });
    FreeCapacity { free, reserved, own: shown }
}

/// The charge of a service on its cluster at a given time; `settle` is how long after a change of its graph's
/// intent the cluster's report may predate the change. `None` when it uses nothing.
#[must_use]
pub fn charge(
    graph: &GraphRecord,
    service: &ServiceRecord,
    settle: Duration,
    at: DateTime<Utc>,
) -> Option<Charge> {
    let cluster = service.cluster.clone().filter(|_| graph.desired == Desired::Running)?;
    let wanted = service.counted_use();
    let (waits, fresh) = (service.state == ServiceState::Pending, is_fresh(graph, settle, at));
    let ready = service.ready_use();
    // A report that predates the intent may or may not show a service, and one that waits for its event keeps its
    // capacity, at least that of one replica. Later on, the cluster reports what of the rest no node has taken.
    let usage = if waits || fresh {
        let reserved = service.use_of(service.counted_replicas().max(1));
        let (shown, unsure) = match waits {
            true => (ready, Resources::default()),
            // What is ready has had a node for a while.
            false => (wanted, wanted.minus_clamped(ready)),
        };
        Usage { wanted, reserved, shown, unready: Resources::default(), unsure }
    } else {
        // Intents that stand in for what the chart does not request, sidecars, and jobs to come never show.
        let shows = service.reported_use();
        let (hidden, starting) = (wanted.minus_clamped(shows.max(ready)), shows.minus_clamped(ready));
        // Nor does a report say anything of what is not installed, or what has been added since.
        let is_unknown = service.state != ServiceState::Deployed || is_newly_scaled(service, settle, at);
        let (reserved, unready) = match is_unknown {
            true => (hidden + starting, Resources::default()),
            false => (hidden, starting),
        };
        Usage { wanted, reserved, shown: ready, unready, unsure: Resources::default() }
    };
    Some(Charge { cluster, usage })
}

/// When the charge of a service has to be recomputed because time alone changes it; `None` when it does not.
#[must_use]
pub fn settles_at(
    graph: &GraphRecord,
    service: &ServiceRecord,
    settle: Duration,
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let placed = graph.desired == Desired::Running && service.cluster.is_some();
    let changes = [Some(graph.updated_at), service.scaled_at];
    let due = changes.into_iter().flatten().map(|changed| changed + time_delta(settle));
    due.filter(|due| placed && *due > at).min()
}

/// Use by cluster of several charges.
#[must_use]
pub fn usage_by_cluster<'a>(charges: impl IntoIterator<Item = &'a Charge>) -> BTreeMap<String, Usage> {
    let mut sums = BTreeMap::<String, Usage>::new();
    for charge in charges {
        let sum = sums.entry(charge.cluster.clone()).or_default();
        *sum = sum.plus(charge.usage);
    }
    sums
}

/// Whether the intent for the graph changed so recently that its clusters' reports may be older.
fn is_fresh(graph: &GraphRecord, settle: Duration, at: DateTime<Utc>) -> bool {
    at - graph.updated_at < time_delta(settle)
}

fn is_newly_scaled(service: &ServiceRecord, settle: Duration, at: DateTime<Utc>) -> bool {
    service.scaled_at.is_some_and(|scaled| at - scaled < time_delta(settle))
}

fn time_delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
#[path = "footprint_tests.rs"]
mod tests;
