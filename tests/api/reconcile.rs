//! The effects of the reconciler and, above all, the calls that it does not make.

use serde_json::{Value, json};
use smo::clients::{GraphRules, ReleaseKey, ReleaseSpec};
use smo::faults::Faults;
use smo::model::{WorkloadKind, owner_of};
use smo::simulation::{Operation, World};

use crate::support::app::{TestApp, conditional, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    a_graph_that_is_as_it_should_be_costs_neither_a_write_nor_a_call,
    a_release_of_the_graph_that_no_service_owns_is_removed,
    rules_of_graphs_that_do_not_exist_are_removed_and_others_are_not,
    a_cluster_that_goes_away_wakes_only_graphs_that_have_something_there,
);

fn descriptor() -> Value {
    graph("g", &[service("a", json!({})), conditional("b")])
}

async fn deploy(app: &TestApp) {
    let posted = app.post("/project/demo/graphs", &descriptor()).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    app.until("g", "is ready", |answer| answer.body["services"][0]["ready"] == true).await;
}

async fn a_graph_that_is_as_it_should_be_costs_neither_a_write_nor_a_call(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app).await;
    let writing = [
        Operation::ApplyRelease,
        Operation::UninstallRelease,
        Operation::Scale,
        Operation::ApplyRules,
        Operation::DeleteRules,
    ];
    let calls = || writing.map(|operation| app.world.calls(operation));
    let before = calls();
    // From here on nobody else can write the graph: a reconcile that wants to does not come to its end.
    let mut tx = database.store.begin().await.unwrap();
    tx.graph("g").await.unwrap().unwrap();
    for _ in 0..3 {
        let done = app.reconciles().await;
        app.world.ports().workloads.scale("demo", WorkloadKind::Deployment, "a", 1).await.unwrap();
        app.until_reconciled(done + 1).await;
    }
    let scaled_here = [0, 0, 3, 0, 0];
    for ((before, after), here) in before.iter().zip(calls()).zip(scaled_here) {
        assert_eq!(before + here, after);
    }
    drop(tx);
    app.shutdown().await;
}

fn release(owner: &str, name: &str) -> ReleaseSpec {
    ReleaseSpec {
        key: ReleaseKey { namespace: "demo".to_owned(), name: name.to_owned() },
        chart: "oci://registry.example/demo/x".to_owned(),
        archive: None,
        values: json!({}),
        owner: owner_of(owner),
        digest: "0".to_owned(),
    }
}

async fn a_release_of_the_graph_that_no_service_owns_is_removed(database: TestDatabase) {
    let world = world();
    for (owner, name) in [("g", "left-over"), ("other", "of-another")] {
        world.ports().releases.apply(&release(owner, name)).await.unwrap();
    }
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    deploy(&app).await;
    let is_gone = |_: &_| world.revision("demo", "left-over").is_none();
    app.until("g", "is without what is left over", is_gone).await;
    assert_eq!(world.revision("demo", "of-another"), Some(1));
    app.shutdown().await;
}

async fn rules_of_graphs_that_do_not_exist_are_removed_and_others_are_not(database: TestDatabase) {
    let world = world();
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    deploy(&app).await;
    let rules = world.snapshot().rules;
    assert_eq!(rules.len(), 1);
    app.shutdown().await;
    let left_over = GraphRules {
        object_name: "smo-gone-12345678".to_owned(),
        owner: "gone".to_owned(),
        rules: Vec::new(),
    };
    world.ports().rules.unwrap().apply(&left_over).await.unwrap();
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    app.until("g", "is alone", |_| world.snapshot().rules == rules).await;
    app.shutdown().await;
}

async fn a_cluster_that_goes_away_wakes_only_graphs_that_have_something_there(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app).await;
    let home = database.store.services("g").await.unwrap()[0].cluster.clone().unwrap();
    let other = ["cloud", "edge-1", "edge-2"].into_iter().find(|name| *name != home).unwrap();
    let flip = async |world: &World, cluster: &str| {
        world.set_cluster_available(cluster, false).unwrap();
        // Answers after the clusters were read and their graphs woken.
        assert_eq!(app.get("/clusters").await.status, 200);
    };
    // Its last news may still be on their way.
    let before = app.until_at_rest().await;
    flip(&app.world, other).await;
    flip(&app.world, &home).await;
    app.until("g", "is not ready", |answer| answer.body["services"][0]["ready"] == false).await;
    assert_eq!(app.reconciles().await, before + 1, "the flip of {other} is no news about it");
    app.shutdown().await;
}
