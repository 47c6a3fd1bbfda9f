//! What is free on each cluster for a graph. Pure.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::hdag::Resources;
use crate::model::{ClusterRecord, PlacedService, ServiceState};

/// Use of the clusters by all graphs, summed up once, so that the room for a graph is found without looking at the
/// others again.
pub(in crate::app) struct CapacityView<'a> {
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
pub(in crate::app) struct FreeCapacity {
    /// Free, the graph's own use included.
    pub(in crate::app) free: Resources,
    /// Held for services of others that do not show in the report yet.
    pub(in crate::app) reserved: Resources,
    /// Used by the graph itself.
    pub(in crate::app) own: Resources,
}

impl<'a> CapacityView<'a> {
    /// Sums up what is placed. `settle` is how long after a change a service may be missing in the report.
    pub(in crate::app) fn new(placed: &'a [PlacedService], settle: Duration, at: DateTime<Utc>) -> Self {
        let settle = TimeDelta::from_std(settle).unwrap_or(TimeDelta::MAX);
        let (mut all, mut own) = (HashMap::<&str, Sums>::new(), HashMap::<(&str, &str), Sums>::new());
        for service in placed {
            let wanted = service.needs.times(replicas(service));
            let reserved = service.needs.times(hidden(service, settle, at));
            let running = service.needs.times(shown(service, settle, at));
            let keys = (service.graph.as_str(), service.cluster.as_str());
            for sums in [all.entry(keys.1).or_default(), own.entry(keys).or_default()] {
                sums.wanted += wanted;
                sums.running += running;
                sums.reserved += reserved;
            }
        }
        Self { all, own, taken: HashMap::new() }
    }

    /// Notes that a decision took room.
    pub(in crate::app) fn take(&mut self, cluster: &str, amount: Resources) {
        *self.taken.entry(cluster.to_owned()).or_default() += amount;
    }

    /// What the report says, minus what others have reserved, plus what the graph itself uses.
    ///
    /// The report may or may not show what changed shortly before, of this graph and of others. So there is never more than
    /// what the other graphs shall have leaves.
    pub(in crate::app) fn of(&self, cluster: &ClusterRecord, graph: &str) -> FreeCapacity {
        let all = self.all.get(cluster.name.as_str()).copied().unwrap_or_default();
        let own = self.own.get(&(graph, cluster.name.as_str())).copied().unwrap_or_default();
        let taken = self.taken.get(&cluster.name).copied().unwrap_or_default();
        let reserved = all.reserved.minus_clamped(own.reserved) + taken;
        let theirs = all.wanted.minus_clamped(own.wanted) + taken;
        let each = |read: fn(&Resources) -> i64| {
            let base = read(&cluster.allocatable) - read(&cluster.allocated) - read(&reserved);
            let left = read(&cluster.allocatable) - read(&theirs);
            (base + read(&own.running)).min(left).max(0)
        };
        let free = Resources {
            cpu_millicores: each(|amounts| amounts.cpu_millicores),
            ram_bytes: each(|amounts| amounts.ram_bytes),
            storage_bytes: each(|amounts| amounts.storage_bytes),
            gpus: each(|amounts| amounts.gpus),
        };
        FreeCapacity { free, reserved, own: own.running }
    }
}

/// Whether the intent for the service changed so recently that its cluster's report may be older.
fn is_fresh(service: &PlacedService, settle: TimeDelta, at: DateTime<Utc>) -> bool {
    at - service.changed_at < settle
}

/// Replicas that may not show in a cluster's report: all of them when the service is fresh or waits for its event, else
/// those that are not ready.
fn hidden(service: &PlacedService, settle: TimeDelta, at: DateTime<Utc>) -> i64 {
    if service.state == ServiceState::Pending || is_fresh(service, settle, at) {
        return replicas(service).max(1);
    }
    (replicas(service) - service.replicas_ready.unwrap_or(0)).max(0)
}

/// Replicas that can show in a cluster's report: those that are ready, and of a fresh service all. Later on, replicas that
/// are not ready may have found no room, and then they do not show.
fn shown(service: &PlacedService, settle: TimeDelta, at: DateTime<Utc>) -> i64 {
    let all = service.state != ServiceState::Pending && is_fresh(service, settle, at);
    if all { replicas(service) } else { service.replicas_ready.unwrap_or(0).max(0) }
}

/// Replicas that a placed service has or shall have.
pub(in crate::app) fn replicas(service: &PlacedService) -> i64 {
    service.replicas_decided.or(service.replicas_observed).unwrap_or(1).max(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(30);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
    }

    fn cpu(millicores: i64) -> Resources {
        Resources { cpu_millicores: millicores, ..Resources::default() }
    }

    fn cluster(allocatable: i64, allocated: i64) -> ClusterRecord {
        ClusterRecord {
            id: 1,
            name: "c".to_owned(),
            location: "Unknown".to_owned(),
            region: None,
            labels: BTreeMap::new(),
            latencies_ms: BTreeMap::new(),
            available: true,
            reason: None,
            allocatable: cpu(allocatable),
            allocated: cpu(allocated),
            storage_reported: false,
            acceleration: false,
            pod_cidr: None,
            service_cidr: None,
            grafana: None,
            observed_at: at(0),
        }
    }

    /// A service of 1 core per replica on the cluster, ready for long.
    fn settled(graph: &str, replicas: i64) -> PlacedService {
        PlacedService {
            graph: graph.to_owned(),
            service: "s".to_owned(),
            cluster: "c".to_owned(),
            needs: cpu(1000),
            replicas_decided: None,
            replicas_observed: Some(replicas),
            replicas_ready: Some(replicas),
            state: ServiceState::Deployed,
            changed_at: at(-1000),
        }
    }

    fn free(cluster: &ClusterRecord, placed: &[PlacedService], graph: &str) -> i64 {
        CapacityView::new(placed, SETTLE, at(0)).of(cluster, graph).free.cpu_millicores
    }

    #[test]
    fn what_a_graph_uses_itself_counts_as_free_for_it_and_not_for_others() {
        // 8 cores, 5 used: 3 by a, 2 by b.
        let placed = [settled("a", 3), settled("b", 2)];
        let cluster = cluster(8000, 5000);
        assert_eq!(free(&cluster, &placed, "a"), 6000);
        assert_eq!(free(&cluster, &placed, "new"), 3000);
    }

    #[test]
    fn an_overfull_cluster_has_less_free_than_its_graph_uses() {
        // 4 cores, 6 used: 3 by a, 3 by others that smo does not know.
        assert_eq!(free(&cluster(4000, 6000), &[settled("a", 3)], "a"), 1000);
    }

    #[test]
    fn a_fresh_service_counts_whether_the_report_shows_it_or_not() {
        let fresh = PlacedService { replicas_ready: None, changed_at: at(-5), ..settled("a", 3) };
        for allocated in [0, 3000] {
            // For itself all 8 cores are free; for others what it holds is taken for sure.
            assert_eq!(
                free(&cluster(8000, allocated), std::slice::from_ref(&fresh), "a"),
                8000,
                "{allocated}"
            );
            assert!(
                free(&cluster(8000, allocated), std::slice::from_ref(&fresh), "new") <= 5000,
                "{allocated}"
            );
        }
    }

    #[test]
    fn scaling_up_reserves_the_new_replicas_only() {
        // a goes from 10 to 11 replicas, of which 10 are ready; b holds 10 of the 24 cores.
        let growing =
            PlacedService { replicas_decided: Some(11), replicas_ready: Some(10), ..settled("a", 10) };
        let placed = [growing, settled("b", 10)];
        // The report shows 20 or, once the new one is scheduled, 21: b's own ten fit in any case.
        assert_eq!(free(&cluster(24_000, 20_000), &placed, "b"), 13_000);
        assert_eq!(free(&cluster(24_000, 21_000), &placed, "b"), 12_000);
    }

    #[test]
    fn replicas_that_are_ready_count_before_the_report_shows_them() {
        // a went from 1 to 3 replicas, b holds 2; the report is of before and shows 3 of the 5 cores.
        let placed = [settled("a", 3), settled("b", 2)];
        let late = cluster(8000, 3000);
        assert_eq!(free(&late, &placed, "new"), 3000);
        assert_eq!(free(&late, &placed, "a"), 6000);
        assert_eq!(free(&late, &placed, "b"), 5000);
    }

    #[test]
    fn one_that_waits_for_its_event_holds_its_room() {
        let waiting = PlacedService {
            state: ServiceState::Pending,
            replicas_observed: None,
            replicas_ready: None,
            ..settled("a", 1)
        };
        assert_eq!(free(&cluster(8000, 0), std::slice::from_ref(&waiting), "new"), 7000);
        assert_eq!(free(&cluster(8000, 0), &[waiting], "a"), 8000);
    }

    #[test]
    fn what_a_decision_took_is_gone_for_the_next() {
        let placed = [settled("a", 1)];
        let mut capacity = CapacityView::new(&placed, SETTLE, at(0));
        capacity.take("c", cpu(2000));
        assert_eq!(capacity.of(&cluster(8000, 1000), "b").free.cpu_millicores, 5000);
    }
}
