use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::Strategy as _;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use smo::hdag::Resources;
use smo::model::{Desired, GraphRecord, LedgerEntry, ServiceRecord, ServiceState, WorkloadUse, now};
use smo::store::{Store, StoreError};

use super::records::{conditional_service, deploy, graph, observation, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    the_ledger_holds_placed_services_of_running_graphs_only,
    a_charge_is_reserved_until_the_cluster_reports_it,
    what_no_longer_fits_is_refused_and_leaves_nothing,
    a_move_takes_what_the_service_needs_by_now,
    sums_equal_charges_after_random_histories,
    wrong_sums_are_repaired,
    concurrent_commits_never_take_more_than_there_is,
);

const NEEDS: Resources = Resources { cpu_millicores: 1000, ram_bytes: 0, storage_bytes: 0, gpus: 0, pods: 0 };

/// A service of one core per replica, of which nothing was observed yet.
fn small(graph: &str, name: &str, cluster: &str) -> ServiceRecord {
    ServiceRecord {
        cluster: Some(cluster.to_owned()),
        namespace: graph.to_owned(),
        needs: NEEDS,
        workloads: Vec::new(),
        replicas_decided: None,
        replicas_observed: None,
        replicas_ready: None,
        state: ServiceState::Deploying,
        ..service(graph, name, 0)
    }
}

async fn ledger(store: &Store) -> BTreeMap<String, LedgerEntry> {
    store.cluster_use().await.unwrap().entries
}

async fn cores(store: &Store, cluster: &str) -> (i64, i64) {
    let entry = ledger(store).await.remove(cluster).unwrap_or_default();
    (entry.wanted.cpu_millicores, entry.reserved.cpu_millicores)
}

/// Clusters of that many cores, of which nothing is used.
async fn clusters(store: &Store, names: &[&str], cores: i64) {
    let capacity = Resources { cpu_millicores: cores * 1000, ..Resources::default() };
    let observations: Vec<_> = names
        .iter()
        .map(|name| smo::model::ClusterObservation {
            allocatable: capacity,
            allocated: Resources::default(),
            allocating: Resources::default(),
            storage_reported: false,
            ..observation(name)
        })
        .collect();
    let mut tx = store.begin().await.unwrap();
    let known = tx.lock_clusters().await.unwrap();
    let merged = smo::model::merge_observations(&known, &observations, &BTreeMap::new(), now());
    tx.write_clusters(&known, &merged, names, now()).await.unwrap();
    tx.commit("sync").await.unwrap();
}

/// Deploys a graph with one service as a decision does.
async fn try_to_deploy(store: &Store, name: &str, cluster: &str) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.insert_graph(&GraphRecord { updated_at: now(), ..graph(name) }).await?;
    tx.insert_services(&[small(name, "s", cluster)]).await?;
    tx.require_capacity();
    tx.commit("create").await
}

async fn the_ledger_holds_placed_services_of_running_graphs_only(database: TestDatabase) {
    let store = &database.store;
    // Less CPU than the intent, more memory: what is requested counts.
    let mut light = service("running", "light", 0);
    light.needs = Resources { cpu_millicores: 500, ram_bytes: 10, storage_bytes: 0, gpus: 0, pods: 0 };
    let requests = Resources { cpu_millicores: 100, ram_bytes: 20, storage_bytes: 0, gpus: 0, pods: 0 };
    light.workloads =
        vec![WorkloadUse { requests, reported: requests, replicas: 4, ready: 3, ..WorkloadUse::default() }];
    light.state = ServiceState::Deployed;
    let mut waiting = conditional_service("running", "waiting", 1);
    waiting.cluster = Some("cloud".to_owned());
    let unplaced = conditional_service("running", "unplaced", 2);
    deploy(store, &graph("running"), &[light, waiting.clone(), unplaced]).await;
    for (name, desired) in [("stopped", Desired::Stopped), ("deleted", Desired::Deleted)] {
        let record = GraphRecord { desired, ..graph(name) };
        deploy(store, &record, &[service(name, &format!("{name}-service"), 0)]).await;
    }
    let entries = ledger(store).await;
    // Six replicas are decided, three of them are ready.
    let each =
        |n: i64| Resources { cpu_millicores: 100 * n, ram_bytes: 20 * n, storage_bytes: 0, gpus: 0, pods: 0 };
    assert_eq!((entries["edge-1"].wanted, entries["edge-1"].unready), (each(6), each(3)));
    let held = Resources { pods: 1, ..waiting.needs };
    assert_eq!((entries["cloud"].wanted, entries["cloud"].reserved), (held, held));
    assert_eq!(entries.len(), 2);
}

async fn a_charge_is_reserved_until_the_cluster_reports_it(database: TestDatabase) {
    let store = database.store.clone().with_settle_time(Duration::from_secs(30));
    let fresh = GraphRecord { updated_at: now(), ..graph("g") };
    deploy(&store, &fresh, &[small("g", "s", "c")]).await;
    let mut tx = store.begin().await.unwrap();
    let running = ServiceRecord {
        replicas_observed: Some(1),
        replicas_ready: Some(1),
        state: ServiceState::Deployed,
        ..small("g", "s", "c")
    };
    tx.update_service_observation(&running).await.unwrap();
    tx.commit("observation").await.unwrap();
    // It is ready, but the report may be older.
    assert_eq!(cores(&store, "c").await, (1000, 1000));
    assert_eq!(store.settle_charges(now()).await.unwrap(), 0);
    // The same moments later: a store for which the time has passed.
    let later = database.store.clone();
    let due = now() + Duration::from_secs(31);
    assert_eq!(later.settle_charges(due).await.unwrap(), 1);
    assert_eq!(cores(&store, "c").await, (1000, 0));
    assert_eq!(later.settle_charges(due).await.unwrap(), 0);
}

async fn what_no_longer_fits_is_refused_and_leaves_nothing(database: TestDatabase) {
    let store = &database.store;
    clusters(store, &["c"], 1).await;
    try_to_deploy(store, "first", "c").await.unwrap();
    let refused = try_to_deploy(store, "second", "c").await;
    assert!(matches!(refused, Err(StoreError::NoCapacity { ref cluster }) if cluster == "c"), "{refused:?}");
    assert_eq!(store.graph_names().await.unwrap(), ["first"]);
    assert_eq!(cores(store, "c").await.0, 1000);
    // A cluster that nobody knows has no capacity.
    let refused = try_to_deploy(store, "third", "lost").await;
    assert!(matches!(refused, Err(StoreError::NoCapacity { .. })), "{refused:?}");
}

/// The decision knew one replica; the row that its commit moves has two by then.
async fn a_move_takes_what_the_service_needs_by_now(database: TestDatabase) {
    let store = &database.store;
    clusters(store, &["c", "d"], 1).await;
    try_to_deploy(store, "g", "c").await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let mut moved = tx.services("g").await.unwrap().remove(0);
    (moved.cluster, moved.replicas_decided) = (Some("d".to_owned()), Some(2));
    tx.update_service_intent(&moved).await.unwrap();
    tx.require_capacity();
    let refused = tx.commit("placement").await;
    assert!(matches!(refused, Err(StoreError::NoCapacity { ref cluster }) if cluster == "d"), "{refused:?}");
    assert_eq!((cores(store, "c").await.0, cores(store, "d").await.0), (1000, 0));
}

/// One step of a history: what happens to which graph.
#[derive(Debug, Clone, Copy)]
enum Step {
    Deploy(usize, usize),
    Desire(usize, Desired),
    Move(usize, usize),
    Scale(usize, i64),
    Observe(usize, i64, i64),
    Delete(usize),
    Settle,
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    use proptest::prelude::*;
    let desired = prop_oneof![Just(Desired::Running), Just(Desired::Stopped), Just(Desired::Deleted)];
    prop_oneof![
        (0..4_usize, 0..3_usize).prop_map(|(graph, cluster)| Step::Deploy(graph, cluster)),
        (0..4_usize, desired).prop_map(|(graph, desired)| Step::Desire(graph, desired)),
        (0..4_usize, 0..3_usize).prop_map(|(graph, cluster)| Step::Move(graph, cluster)),
        (0..4_usize, 0..9_i64).prop_map(|(graph, replicas)| Step::Scale(graph, replicas)),
        (0..4_usize, 0..9_i64, 0..9_i64).prop_map(|(graph, seen, ready)| Step::Observe(graph, seen, ready)),
        (0..4_usize).prop_map(Step::Delete),
        Just(Step::Settle),
    ]
}

async fn take(store: &Store, step: Step) {
    let (graphs, clusters) = (["a", "b", "c", "d"], ["one", "two", "three"]);
    let of = |step| match step {
        Step::Deploy(graph, _) | Step::Desire(graph, _) | Step::Move(graph, _) => Some(graph),
        Step::Scale(graph, _) | Step::Observe(graph, ..) | Step::Delete(graph) => Some(graph),
        Step::Settle => None,
    };
    let Some(name) = of(step).map(|graph| graphs[graph]) else {
        store.settle_charges(now()).await.unwrap();
        return;
    };
    let mut tx = store.begin().await.unwrap();
    match (step, tx.graph(name).await.unwrap()) {
        (Step::Deploy(_, cluster), None) => {
            tx.insert_graph(&GraphRecord { updated_at: now(), ..graph(name) }).await.unwrap();
            let services = ["x", "y"].map(|service| small(name, service, clusters[cluster]));
            tx.insert_services(&services).await.unwrap();
        }
        (Step::Desire(_, desired), Some(record)) => {
            tx.update_graph(&GraphRecord { desired, updated_at: now(), ..record }).await.unwrap();
        }
        (Step::Delete(_), Some(_)) => tx.delete_graph(name).await.unwrap(),
        (step, Some(_)) => {
            for mut service in tx.services(name).await.unwrap() {
                match step {
                    Step::Move(_, cluster) => service.cluster = Some(clusters[cluster].to_owned()),
                    Step::Scale(_, replicas) => service.replicas_decided = Some(replicas),
                    Step::Observe(_, seen, ready) => {
                        (service.replicas_observed, service.replicas_ready) = (Some(seen), Some(ready));
                        service.state = ServiceState::Deployed;
                    }
                    _ => {}
                }
                tx.update_service_intent(&service).await.unwrap();
                tx.update_service_observation(&service).await.unwrap();
            }
        }
        (_, None) => {}
    }
    tx.commit("step").await.unwrap();
}

async fn sums_equal_charges_after_random_histories(database: TestDatabase) {
    let store = database.store.clone().with_settle_time(Duration::from_millis(3));
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..12 {
        let history = proptest::collection::vec(step(), 1..20).new_tree(&mut runner).unwrap().current();
        for step in &history {
            take(&store, *step).await;
        }
        assert_eq!(store.repair_ledger().await.unwrap(), Vec::<String>::new(), "{history:?}");
    }
    for name in store.graph_names().await.unwrap() {
        let mut tx = store.begin().await.unwrap();
        tx.delete_graph(&name).await.unwrap();
        tx.commit("deleted").await.unwrap();
    }
    for (cluster, entry) in ledger(&store).await {
        let nothing = Resources::default();
        assert_eq!((entry.wanted, entry.reserved), (nothing, nothing), "{cluster}");
    }
}

async fn wrong_sums_are_repaired(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("g"), &[small("g", "s", "c")]).await;
    let right = ledger(store).await;
    // Written by a person, past the store.
    match database.engine {
        crate::support::database::Engine::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
            sqlx::query("UPDATE ledger SET wanted = '{\"cpu_millicores\":5,\"ram_bytes\":0,\"storage_bytes\":0,\"gpus\":0}'")
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
        crate::support::database::Engine::Postgres => {
            let pool = sqlx::PgPool::connect(&database.url).await.unwrap();
            sqlx::query("UPDATE ledger SET wanted = '{\"cpu_millicores\":5,\"ram_bytes\":0,\"storage_bytes\":0,\"gpus\":0}'")
                .execute(&pool)
                .await
                .unwrap();
            pool.close().await;
        }
    }
    assert_eq!(store.repair_ledger().await.unwrap(), ["c"]);
    let repaired = ledger(store).await;
    assert_eq!((repaired["c"].wanted, repaired["c"].reserved), (right["c"].wanted, right["c"].reserved));
    assert_eq!(store.repair_ledger().await.unwrap(), Vec::<String>::new());
}

/// Each task has a store of its own, as if it were another server: only the database keeps them apart.
async fn concurrent_commits_never_take_more_than_there_is(database: TestDatabase) {
    const CORES: i64 = 5;
    clusters(&database.store, &["one", "two"], CORES).await;
    let tasks = (0..24).map(|number| {
        let url = database.url.clone();
        tokio::spawn(async move {
            let store = Store::connect(&url).await.unwrap();
            let cluster = if number % 2 == 0 { "one" } else { "two" };
            let done = try_to_deploy(&store, &format!("g{number}"), cluster).await;
            store.close().await;
            match done {
                Ok(()) => true,
                Err(StoreError::NoCapacity { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        })
    });
    let taken = futures::future::try_join_all(tasks).await.unwrap();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 10);
    for cluster in ["one", "two"] {
        assert_eq!(cores(&database.store, cluster).await.0, CORES * 1000, "{cluster}");
    }
    assert_eq!(database.store.repair_ledger().await.unwrap(), Vec::<String>::new());
}
