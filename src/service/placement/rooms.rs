//! What is free on each cluster for a graph. Pure.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::hdag::Resources;
use crate::store::{ClusterRecord, PlacedService, ServiceState};

/// Use of the clusters by all graphs, summed up once, so that the room for a graph is found without looking at the
/// others again.
pub(in crate::service) struct Rooms<'a> {
    all: HashMap<&'a str, Sums>,
    own: HashMap<(&'a str, &'a str), Sums>,
    /// Taken by decisions since the sums were made.
    taken: HashMap<String, Resources>,
}

/// Use of one cluster.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// By services that do not show in the cluster's own report for sure.
    reserved: Resources,
    /// By all services, as many replicas as they shall have.
    wanted: Resources,
    /// By replicas that can show in the report ([`shown`]).
    running: Resources,
}

/// What a cluster has for a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::service) struct Room {
    /// Free, the graph's own use included.
    pub(in crate::service) free: Resources,
    /// Held for services of others that do not show in the report yet.
    pub(in crate::service) reserved: Resources,
    /// Used by the graph itself.
    pub(in crate::service) own: Resources,
}

impl<'a> Rooms<'a> {
    /// Sums up what is placed. `settle` is how long after a service became ready it may be missing in the report.
    pub(in crate::service) fn new(placed: &'a [PlacedService], settle: Duration, at: DateTime<Utc>) -> Self {
        let settle = TimeDelta::from_std(settle).unwrap_or(TimeDelta::MAX);
        let (mut all, mut own) = (HashMap::<&str, Sums>::new(), HashMap::<(&str, &str), Sums>::new());
        for service in placed {
            let unsettled = !service.ready || service.ready_since.is_none_or(|since| at - since < settle);
            let wanted = service.needs.times(replicas(service));
            let reserved = service.needs.times(replicas(service).max(1));
            let running = service.needs.times(shown(service, settle, at));
            let keys = (service.graph.as_str(), service.cluster.as_str());
            for sums in [all.entry(keys.1).or_default(), own.entry(keys).or_default()] {
                sums.wanted += wanted;
                sums.running += running;
                if unsettled {
                    sums.reserved += reserved;
                }
            }
        }
        Self { all, own, taken: HashMap::new() }
    }

    /// Notes that a decision took room.
    pub(in crate::service) fn take(&mut self, cluster: &str, amount: Resources) {
        *self.taken.entry(cluster.to_owned()).or_default() += amount;
    }

    /// What the report says, minus what others have reserved, plus what the graph itself uses.
    ///
    /// Shortly after a start the report may or may not show the graph's own use. So no more is added back than the
    /// other graphs' known use leaves.
    pub(in crate::service) fn of(&self, cluster: &ClusterRecord, graph: &str) -> Room {
        let all = self.all.get(cluster.name.as_str()).copied().unwrap_or_default();
        let own = self.own.get(&(graph, cluster.name.as_str())).copied().unwrap_or_default();
        let taken = self.taken.get(&cluster.name).copied().unwrap_or_default();
        let reserved = all.reserved.minus_clamped(own.reserved) + taken;
        let theirs = all.wanted.minus_clamped(own.wanted) + taken;
        let each = |read: fn(&Resources) -> i64| {
            let base = read(&cluster.allocatable) - read(&cluster.allocated) - read(&reserved);
            let left = read(&cluster.allocatable) - read(&theirs);
            let back = read(&own.running).min((left - base).max(0));
            (base + back).max(0)
        };
        let free = Resources {
            cpu_millicores: each(|amounts| amounts.cpu_millicores),
            ram_bytes: each(|amounts| amounts.ram_bytes),
            storage_bytes: each(|amounts| amounts.storage_bytes),
            gpus: each(|amounts| amounts.gpus),
        };
        Room { free, reserved, own: own.running }
    }
}

/// Replicas that can show in a cluster's report: those that are ready, and shortly after a change all that are wanted.
/// Later on, replicas that are not ready may have found no room, and then they do not show.
fn shown(service: &PlacedService, settle: TimeDelta, at: DateTime<Utc>) -> i64 {
    let fresh = !service.ready && service.state != ServiceState::Pending && at - service.changed_at < settle;
    if fresh { replicas(service) } else { service.replicas_ready.unwrap_or(0).max(0) }
}

/// Replicas that a placed service has or shall have.
pub(in crate::service) fn replicas(service: &PlacedService) -> i64 {
    service.replicas_desired.or(service.replicas_wanted).unwrap_or(1).max(0)
}
