//! Observations of clusters are kept for decisions.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use smo::clients::{ClientError, ClientErrorKind};
use smo::faults::Faults;
use smo::simulation::{Continuum, Operation, World};

use crate::support::app::{LIMIT, TestApp, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};
use crate::wait::eventually;

on_every_engine!(
    labels_regions_and_latencies_of_clusters_are_stored,
    latencies_are_asked_for_at_their_own_interval,
    a_latency_that_is_not_measured_any_more_is_forgotten_after_ten_intervals,
    nodes_are_read_again_only_when_they_may_have_changed_and_kept_when_they_cannot_be_read,
    requests_that_come_together_share_a_reading,
    a_server_decides_only_when_what_it_has_read_is_recorded,
    a_cluster_with_only_the_label_of_gpus_takes_what_needs_some,
);

const CONTINUUM: &str = "
clusters:
  - { name: a, cpu: 4, ram: 8Gi, storage: 100Gi, region: be, labels: { site: factory-1 }, nodes: [{ cpu: 4, ram: 8Gi }] }
  - { name: b, cpu: 4, ram: 8Gi, storage: 100Gi, nodes: [{ cpu: 3, ram: 8Gi }, { cpu: 1, ram: 1Gi }] }
latencies:
  - { between: [b, a], ms: 12.5 }
";

fn world() -> World {
    World::new(Continuum::parse(CONTINUUM).unwrap(), 1)
}

async fn labels_regions_and_latencies_of_clusters_are_stored(database: TestDatabase) {
    let app = TestApp::start_in(&database, world(), Faults::none()).await;
    assert_eq!(app.get("/clusters").await.status, 200);
    let clusters = database.store.clusters().await.unwrap();
    let [a, b] = clusters.as_slice() else { panic!("two clusters: {clusters:?}") };
    assert_eq!((a.region.as_deref(), b.region.as_deref()), (Some("be"), None));
    assert_eq!(a.labels, BTreeMap::from([("site".to_owned(), "factory-1".to_owned())]));
    assert_eq!(a.latencies_ms, BTreeMap::from([("b".to_owned(), 12.5)]));
    assert_eq!(b.latencies_ms, BTreeMap::from([("a".to_owned(), 12.5)]));
    app.shutdown().await;
}

async fn latencies_are_asked_for_at_their_own_interval(database: TestDatabase) {
    let asked = async |interval: Duration| {
        let world = world();
        let change = |settings: &mut smo::config::Settings| settings.reconcile.latency_sync = interval;
        let app = TestApp::start_with(&database, world.clone(), Faults::none(), change).await;
        for _ in 0..3 {
            let answer = app.get("/clusters").await;
            assert_eq!(answer.status, 200, "{:#}", answer.body);
        }
        app.shutdown().await;
        world.calls(Operation::Latencies)
    };
    assert_eq!(asked(Duration::from_secs(3600)).await, 1);
    assert!(asked(Duration::from_nanos(1)).await >= 3);
}

async fn a_latency_that_is_not_measured_any_more_is_forgotten_after_ten_intervals(database: TestDatabase) {
    let world = world();
    let interval = Duration::from_millis(200);
    let change = |settings: &mut smo::config::Settings| settings.reconcile.latency_sync = interval;
    let app = TestApp::start_with(&database, world.clone(), Faults::none(), change).await;
    let known = async || {
        assert_eq!(app.get("/clusters").await.status, 200);
        database.store.clusters().await.unwrap()[0].latencies_ms.len()
    };
    assert_eq!(known().await, 1);
    // Nobody measures the way to a cluster that is not there.
    world.set_cluster_available("b", false).unwrap();
    tokio::time::sleep(interval * 2).await;
    assert_eq!(known().await, 1, "the last measurement counts for a while");
    eventually("the latency is forgotten", Duration::from_secs(20), async || match known().await {
        0 => Ok(()),
        left => Err(format!("{left} left")),
    })
    .await;
    app.shutdown().await;
}

async fn nodes_are_read_again_only_when_they_may_have_changed_and_kept_when_they_cannot_be_read(
    database: TestDatabase,
) {
    let world = world();
    let sizes = async || {
        let clusters = database.store.clusters().await.unwrap();
        clusters.into_iter().map(|cluster| cluster.nodes).collect::<Vec<_>>()
    };
    let start = async || {
        let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
        for _ in 0..3 {
            assert_eq!(app.get("/clusters").await.status, 200);
        }
        app
    };
    start().await.shutdown().await;
    let read = sizes().await;
    let cores: Vec<i64> = read.iter().flatten().map(|node| node.cpu_millicores).collect();
    assert_eq!(cores, [4000, 3000], "the largest of each: {read:?}");
    assert_eq!(world.calls(Operation::ListNodes), 1);

    // A server that has just started does not know whether they changed meanwhile.
    let down = ClientError::new("karmada", ClientErrorKind::Unreachable, "down");
    world.fail_next(Operation::ListNodes, down, 100);
    start().await.shutdown().await;
    assert!(world.calls(Operation::ListNodes) > 1);
    assert_eq!(sizes().await, read);
}

async fn requests_that_come_together_share_a_reading(database: TestDatabase) {
    // No reading is new enough for a request that comes after its beginning.
    let never = |settings: &mut smo::config::Settings| settings.reconcile.cluster_max_age = Duration::ZERO;
    let app = TestApp::start_with(&database, world(), Faults::none(), never).await;
    assert_eq!(app.get("/clusters").await.status, 200);
    let before = app.world.calls(Operation::ListClusters);
    for answer in join_all((0..20).map(|_| app.get("/clusters"))).await {
        assert_eq!(answer.status, 200, "{:#}", answer.body);
    }
    // The first request begins one, all others wait for the next, and the loop may read them, too.
    let read = app.world.calls(Operation::ListClusters) - before;
    assert!((1..=3).contains(&read), "{read} readings for 20 requests");
    app.shutdown().await;
}

async fn a_server_decides_only_when_what_it_has_read_is_recorded(database: TestDatabase) {
    let world = world();
    let down = || ClientError::new("karmada", ClientErrorKind::Unreachable, "connection refused");
    world.fail_next(Operation::ListClusters, down(), usize::MAX);
    // It waits for them for as long as the test may take.
    let patient = |settings: &mut smo::config::Settings| settings.wait = Duration::from_secs(60);
    let app = TestApp::start_with(&database, world.clone(), Faults::none(), patient).await;
    let mut recording = database.store.begin().await.unwrap();
    recording.lock_clusters().await.unwrap();
    world.fail_next(Operation::ListClusters, down(), 0);
    // Latencies are asked for once the clusters have been listed.
    let held = async {
        eventually("the clusters are read", LIMIT, async || {
            let read = world.calls(Operation::Latencies);
            if read > 0 { Ok(()) } else { Err("they are not".to_owned()) }
        })
        .await;
        let ready = app.get("/readyz").await;
        assert_eq!((ready.status, &ready.body["ready"]), (503, &json!(false)), "{:#}", ready.body);
        drop(recording);
    };
    let (read, ()) = tokio::join!(app.get("/clusters"), held);
    assert_eq!(read.status, 200, "{:#}", read.body);
    assert_eq!(app.get("/readyz").await.status, 200);
    app.shutdown().await;
}

async fn a_cluster_with_only_the_label_of_gpus_takes_what_needs_some(database: TestDatabase) {
    let labelled = |value: &str| {
        let plain = "{ name: a, cpu: 4, ram: 8Gi, storage: 100Gi }";
        let text = format!(
            "clusters:\n  - {plain}\n  - {}",
            plain.replace("name: a", &format!("name: b, labels: {{ acceleration: \"{value}\" }}"))
        );
        World::new(Continuum::parse(&text).unwrap(), 1)
    };
    let gpu = json!({ "deployment": { "intent": { "compute": { "gpu": { "enabled": true } } } } });
    let descriptor = graph("g", &[service("x", gpu.clone()), service("y", gpu)]);

    let app = TestApp::start_in(&database, labelled("false"), Faults::none()).await;
    let refused = app.post("/project/demo/graphs", &descriptor).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert!(refused.text.contains("b (gpu: needs 1, 0 free)"), "{:#}", refused.body);
    app.shutdown().await;

    let app = TestApp::start_in(&database, labelled("true"), Faults::none()).await;
    let posted = app.post("/project/demo/graphs", &descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    for service in posted.body["services"].as_array().unwrap() {
        assert_eq!(service["cluster_affinity"], "b", "{:#}", posted.body);
    }
    let clusters = app.get("/clusters").await.body;
    let told = [0, 1].map(|at| clusters[at]["acceleration"].clone());
    assert_eq!(told, [json!(false), json!(true)], "{clusters:#}");
    app.shutdown().await;
}
