//! Tests of the arithmetic of charges and free capacity.

use super::*;
use crate::model::{WorkloadUse, testing};

const SETTLE: Duration = Duration::from_secs(30);

fn at(seconds: i64) -> DateTime<Utc> {
    testing::at(1_000_000 + seconds)
}

fn cpu(millicores: i64) -> Resources {
    Resources { cpu_millicores: millicores, ..Resources::default() }
}

fn cluster(allocatable: i64, allocated: i64) -> ClusterRecord {
    ClusterRecord { allocatable: cpu(allocatable), allocated: cpu(allocated), ..testing::cluster("c") }
}

/// A graph with a service of 1 core per replica on the cluster, ready for long.
fn settled(name: &str, replicas: i64) -> (GraphRecord, ServiceRecord) {
    let graph = GraphRecord { updated_at: at(-1000), ..testing::graph(name) };
    let service = ServiceRecord {
        graph: name.to_owned(),
        cluster: Some("c".to_owned()),
        needs: cpu(1000),
        replicas_observed: Some(replicas),
        replicas_ready: Some(replicas),
        state: ServiceState::Deployed,
        ..testing::service("s")
    };
    (graph, service)
}

fn usage(placed: &[(GraphRecord, ServiceRecord)], of: impl Fn(&str) -> bool) -> Usage {
    let charges: Vec<Charge> = placed
        .iter()
        .filter(|(graph, _)| of(&graph.name))
        .filter_map(|(graph, service)| charge(graph, service, SETTLE, at(0)))
        .collect();
    usage_by_cluster(&charges).remove("c").unwrap_or_default()
}

fn entry(placed: &[(GraphRecord, ServiceRecord)]) -> LedgerEntry {
    let all = usage(placed, |_| true);
    LedgerEntry { wanted: all.wanted, reserved: all.reserved, unready: all.unready }
}

fn free(cluster: &ClusterRecord, placed: &[(GraphRecord, ServiceRecord)], graph: &str) -> i64 {
    let own = usage(placed, |name| name == graph);
    free_capacity(cluster, &entry(placed), &own).free.cpu_millicores
}

#[test]
fn a_graphs_own_use_counts_as_free_for_it_and_not_for_others() {
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
    let (mut graph, mut service) = settled("a", 3);
    graph.updated_at = at(-5);
    service.replicas_ready = None;
    let fresh = [(graph, service)];
    // For itself what it has is free, and the rest as if the report did not show it; for others its whole charge
    // counts as used.
    for (allocated, own) in [(0, 8000), (3000, 5000)] {
        assert_eq!(free(&cluster(8000, allocated), &fresh, "a"), own, "{allocated}");
        assert!(free(&cluster(8000, allocated), &fresh, "new") <= 5000, "{allocated}");
    }
}

#[test]
fn scaling_up_reserves_the_new_replicas_only() {
    // a goes from 10 to 11 replicas, of which 10 are ready; b holds 10 of the 24 cores.
    let (graph, service) = settled("a", 10);
    let growing = ServiceRecord { replicas_decided: Some(11), replicas_ready: Some(10), ..service };
    let placed = [(graph, growing), settled("b", 10)];
    // The report shows 20 or, once the new one is scheduled, 21: b's own ten fit in any case.
    assert_eq!(free(&cluster(24_000, 20_000), &placed, "b"), 13_000);
    assert_eq!(free(&cluster(24_000, 21_000), &placed, "b"), 12_000);
}

#[test]
fn replicas_that_are_ready_count_before_the_report_shows_them() {
    // a went from 1 to 3 replicas, b holds 2; the report is older and shows 3 of the 5 cores.
    let placed = [settled("a", 3), settled("b", 2)];
    let late = cluster(8000, 3000);
    assert_eq!(free(&late, &placed, "new"), 3000);
    assert_eq!(free(&late, &placed, "a"), 6000);
    assert_eq!(free(&late, &placed, "b"), 5000);
}

#[test]
fn a_graph_that_does_not_run_takes_nothing_and_settles_never() {
    let (graph, service) = settled("a", 3);
    let stopped = GraphRecord { desired: Desired::Stopped, updated_at: at(0), ..graph };
    assert_eq!(charge(&stopped, &service, SETTLE, at(1)), None);
    assert_eq!(settles_at(&stopped, &service, SETTLE, at(1)), None);
}

#[test]
fn a_fresh_charge_names_the_moment_from_which_it_is_another() {
    let (mut graph, service) = settled("a", 3);
    graph.updated_at = at(0);
    let due = settles_at(&graph, &service, SETTLE, at(1)).unwrap();
    let reserved = |at| charge(&graph, &service, SETTLE, at).unwrap().usage.reserved;
    assert_eq!(reserved(at(1)), Resources { pods: 3, ..cpu(3000) });
    assert_eq!(reserved(due), cpu(0));
    assert_eq!(settles_at(&graph, &service, SETTLE, due), None);
}

#[test]
fn an_entry_follows_changes() {
    let before = usage(&[settled("a", 3)], |_| true);
    let after = usage(&[settled("a", 5)], |_| true);
    let entry = entry(&[settled("a", 3), settled("b", 2)]);
    let grown = entry.after(&UsageChange { before, after });
    assert_eq!(grown.wanted, Resources { pods: 7, ..cpu(7000) });
    let shrunk = grown.after(&UsageChange { before: after, after: Usage::default() });
    assert_eq!(shrunk.wanted, Resources { pods: 2, ..cpu(2000) });
}

#[test]
fn a_change_fits_when_everything_the_graph_has_there_does() {
    let placed = [settled("a", 3), settled("b", 2)];
    let (entry, before) = (entry(&placed), usage(&placed, |name| name == "a"));
    let to = |replicas| UsageChange { before, after: usage(&[settled("a", replicas)], |_| true) };
    assert!(to(6).fits(&cluster(8000, 5000), &entry));
    assert!(!to(7).fits(&cluster(8000, 5000), &entry));
    assert!(to(4).takes_more() && !to(3).takes_more() && !to(2).takes_more());
}

/// A settled service with workloads of so many millicores, replicas and ready replicas.
fn with_workloads(workloads: &[(i64, i64, i64)]) -> (GraphRecord, ServiceRecord) {
    let (graph, service) = settled("g", 1);
    let workload = |&(millicores, replicas, ready): &(i64, i64, i64)| WorkloadUse {
        requests: cpu(millicores),
        reported: cpu(millicores),
        replicas,
        ready,
        ..WorkloadUse::default()
    };
    let workloads: Vec<WorkloadUse> = workloads.iter().map(workload).collect();
    let sum = |count: fn(&WorkloadUse) -> i64| Some(workloads.iter().map(count).sum());
    let (replicas_observed, replicas_ready) = (sum(|w| w.replicas), sum(|w| w.ready));
    (graph, ServiceRecord { workloads, replicas_observed, replicas_ready, ..service })
}

#[test]
fn several_workloads_count_by_their_own_requests_and_replicas() {
    let counted = |workloads| usage(&[with_workloads(workloads)], |_| true);
    // Eight Deployments of one replica each: 6.25 cores in all, not 6.25 for each of eight replicas.
    let eight: Vec<(i64, i64, i64)> =
        [1000, 1000, 1000, 1000, 1000, 500, 500, 250].iter().map(|millicores| (*millicores, 1, 1)).collect();
    let used = counted(&eight);
    assert_eq!((used.wanted, used.reserved, used.shown), (cpu(6250), cpu(0), cpu(6250)));
    // Two of three small replicas and the large one are ready: the third may not show yet.
    let used = counted(&[(100, 3, 2), (2000, 1, 1)]);
    assert_eq!((used.wanted, used.unready, used.shown), (cpu(2300), cpu(100), cpu(2200)));
    assert_eq!(counted(&[(100, 0, 0), (2000, 0, 0)]).wanted, cpu(0), "switched off by their chart");
}

#[test]
fn requests_count_where_a_chart_states_them_and_the_intent_where_it_does_not() {
    let (graph, mut service) = with_workloads(&[(100, 2, 2)]);
    service.needs = Resources { cpu_millicores: 500, ram_bytes: 10, storage_bytes: 20, gpus: 0, pods: 0 };
    let each = |replicas: i64| Resources {
        cpu_millicores: 100 * replicas,
        ram_bytes: 10 * replicas,
        storage_bytes: 20 * replicas,
        gpus: 0,
        pods: 0,
    };
    let used = charge(&graph, &service, SETTLE, at(0)).unwrap().usage;
    assert_eq!((used.wanted, used.shown), (each(2), cpu(200)));
    assert_eq!(
        used.reserved,
        Resources { cpu_millicores: 0, ..each(2) },
        "the report never shows the intent"
    );
    service.workloads.push(WorkloadUse {
        requests: cpu(200),
        reported: cpu(200),
        replicas: 1,
        ready: 1,
        ..WorkloadUse::default()
    });
    // The intent describes the service as a whole, so what no workload requests counts once.
    let both = Resources { cpu_millicores: 400, ..each(1) };
    assert_eq!(charge(&graph, &service, SETTLE, at(0)).unwrap().usage.wanted, both);
}

#[test]
fn a_service_with_one_workload_counts_as_many_replicas_as_were_decided() {
    let (graph, mut service) = with_workloads(&[(300, 1, 1)]);
    service.replicas_decided = Some(4);
    let used = charge(&graph, &service, SETTLE, at(0)).unwrap().usage;
    assert_eq!((used.wanted, used.unready, used.shown), (cpu(1200), cpu(900), cpu(300)));
}

#[test]
fn replicas_that_were_decided_count_for_the_workload_that_is_scaled() {
    // A front of 0.2 cores and two workers of 1; the intent's memory, which neither requests, counts once.
    let (graph, mut service) = with_workloads(&[(200, 1, 1), (1000, 2, 2)]);
    service.workloads[0].name = "front".to_owned();
    service.needs = Resources { ram_bytes: 10, ..Resources::default() };
    service.scaled_workload = Some("front".to_owned());
    service.replicas_decided = Some(3);
    let with_memory = |millicores| Resources { ram_bytes: 10, ..cpu(millicores) };
    assert_eq!((service.replica_needs(), service.fixed_needs()), (cpu(200), with_memory(2000)));
    let used = charge(&graph, &service, SETTLE, at(0)).unwrap().usage;
    assert_eq!((used.wanted, used.shown, used.unready), (with_memory(2600), cpu(2200), cpu(400)));
    service.forget_load();
    assert_eq!((service.workloads[0].replicas, service.workloads[1].replicas), (1, 2));
    // A Job beside the only Deployment is no reason not to scale it.
    service.scaled_workload = None;
    service.replicas_decided = Some(3);
    service.workloads[1].kind = crate::model::WorkloadKind::Job;
    assert_eq!(service.counted_use(), with_memory(2600));
}

#[test]
fn a_start_expects_the_workloads_that_were_there_and_not_their_load() {
    let remembered = |workloads, decided| {
        let (_, mut service) = with_workloads(workloads);
        service.replicas_decided = decided;
        // As after the graph was stopped.
        (service.replicas_observed, service.replicas_ready) = (None, None);
        service.forget_load();
        service.counted_use()
    };
    assert_eq!(remembered(&[(100, 3, 3)], None), cpu(300), "the chart has three replicas");
    assert_eq!(remembered(&[(100, 5, 5)], Some(5)), cpu(100), "scaling had made five of them");
    assert_eq!(remembered(&[(100, 0, 0), (200, 0, 0)], None), cpu(300), "somebody had switched them off");
    assert_eq!(remembered(&[(100, 2, 2), (200, 1, 1)], None), cpu(400));
}

/// A settled service of 1 core per replica, of which so many are ready.
fn starting(name: &str, replicas: i64, ready: i64) -> (GraphRecord, ServiceRecord) {
    let (graph, service) = settled(name, replicas);
    let workload =
        WorkloadUse { requests: cpu(1000), reported: cpu(1000), replicas, ready, ..WorkloadUse::default() };
    (graph, ServiceRecord { workloads: vec![workload], ..service })
}

fn with_waiting(cluster: ClusterRecord, millicores: i64) -> ClusterRecord {
    ClusterRecord { allocating: cpu(millicores), ..cluster }
}

/// Two services of 4 replicas on 16 cores.
#[test]
fn what_starts_of_others_counts_as_far_as_no_node_has_taken_it() {
    let situations = [
        // ready of a, ready of b, taken, waiting, free for a, free for b, free for a newcomer
        (4, 4, 8, 0, 12, 12, 8),
        (1, 4, 8, 0, 12, 12, 8),
        (1, 1, 8, 0, 12, 12, 8),
        (0, 0, 8, 0, 12, 12, 8),
        // Of a three wait: b does not see them twice.
        (1, 4, 5, 3, 12, 12, 8),
        // Both wait with two each: for each, those of the other are missing, and its own may be the ones.
        (2, 2, 4, 4, 12, 12, 8),
        // Three of the six that are not ready have found a node, nobody knows whose.
        (1, 1, 5, 3, 9, 9, 8),
    ];
    for (ready_a, ready_b, taken, waiting, a, b, newcomer) in situations {
        let cluster = with_waiting(cluster(16_000, taken * 1000), waiting * 1000);
        let placed = [starting("a", 4, ready_a), starting("b", 4, ready_b)];
        let found = ["a", "b", "new"].map(|graph| free(&cluster, &placed, graph) / 1000);
        assert_eq!(
            found,
            [a, b, newcomer],
            "{ready_a} and {ready_b} ready, {taken} taken, {waiting} waiting"
        );
    }
}

#[test]
fn what_scaling_has_just_added_is_reserved_until_the_report_must_show_it() {
    let (graph, service) = starting("a", 4, 1);
    let scaled = ServiceRecord { scaled_at: Some(at(-1)), ..service };
    let placed = [(graph.clone(), scaled.clone())];
    // The report is from before: neither taken nor waiting.
    assert_eq!(free(&cluster(8000, 5000), &placed, "new"), 0, "1 of it, 4 of others, 3 to come");
    let due = settles_at(&graph, &scaled, SETTLE, at(0)).unwrap();
    let later = charge(&graph, &scaled, SETTLE, due).unwrap().usage;
    assert_eq!((later.reserved, later.unready), (cpu(0), cpu(3000)));
    assert_eq!(settles_at(&graph, &scaled, SETTLE, due), None);
}

#[test]
fn gpus_without_a_number_are_there_for_all_and_gpus_that_are_counted_only_once() {
    let needs = Resources { gpus: 1, ..Resources::default() };
    let service = |name: &str| {
        let (graph, service) = settled(name, 1);
        (graph, ServiceRecord { needs, ..service })
    };
    let change =
        |name: &str| UsageChange { before: Usage::default(), after: usage(&[service(name)], |_| true) };
    let entry = entry(&[service("a")]);
    let labelled = ClusterRecord { acceleration: true, ..cluster(8000, 0) };
    assert!(change("b").fits(&labelled, &entry));
    assert!(!change("b").fits(&cluster(8000, 0), &entry), "no GPU at all");
    let counted = ClusterRecord { allocatable: Resources { gpus: 1, ..cpu(8000) }, ..labelled };
    assert!(!change("b").fits(&counted, &entry));
}

#[path = "footprint_situations.rs"]
mod situations;
