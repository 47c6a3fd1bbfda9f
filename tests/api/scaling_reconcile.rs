//! Replicas that scaling decided: the reconciler gives them to the Deployments, and again when they are
//! changed by hand.

use serde_json::json;
use smo::clients::{ClientError, ClientErrorKind, ReleaseKey};
use smo::config::Settings;
use smo::faults::Faults;
use smo::model::{ServiceRecord, WorkloadKind};
use smo::simulation::Operation;
use smo::store::Store;

use crate::support::app::{Answer, TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    decided_replicas_are_carried_out_and_again_after_somebody_has_changed_them,
    an_upgrade_keeps_the_decided_replicas,
    a_scale_call_that_fails_is_told_and_tried_again,
    a_graph_that_starts_again_begins_with_the_replicas_of_its_chart,
);

async fn deploy(app: &TestApp) {
    let posted = app.post("/project/demo/graphs", &graph("g", &[service("a", json!({}))])).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
}

/// Changes the intent of the only service as a decision does, and wakes the graph by posting it again.
async fn decide(app: &TestApp, store: &Store, change: impl FnOnce(&mut ServiceRecord)) {
    let mut tx = store.begin().await.unwrap();
    let mut record = tx.graph("g").await.unwrap().unwrap();
    let mut service = tx.services("g").await.unwrap().remove(0);
    change(&mut service);
    record.generation += 1;
    tx.update_service_intent(&service).await.unwrap();
    tx.update_graph(&record).await.unwrap();
    tx.commit("decide").await.unwrap();
    deploy(app).await;
}

async fn replicas(app: &TestApp) -> Option<i64> {
    let key = ReleaseKey { namespace: "demo".to_owned(), name: "a".to_owned() };
    let workloads = app.world.ports().workloads.of_release(&key).await.unwrap();
    workloads.first().map(|workload| workload.replicas)
}

/// Status and message of the condition `Scaled`.
fn scaled(answer: &Answer) -> Option<(String, String)> {
    let conditions = answer.body["services"][0]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == "Scaled")?;
    let text = |member: &str| condition[member].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("message")))
}

fn as_decided(count: i64) -> Option<(String, String)> {
    Some(("True".to_owned(), format!("{count} replicas as decided")))
}

/// A graph with its only service ready, scaled from one replica to three.
async fn scaled_to_three(database: &TestDatabase) -> TestApp {
    let app = TestApp::start(database).await;
    deploy(&app).await;
    let before = app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    assert_eq!((scaled(&before), replicas(&app).await), (None, Some(1)));
    decide(&app, &database.store, |service| service.replicas_decided = Some(3)).await;
    let after = app.until("g", "has three replicas", has_three).await;
    assert_eq!((scaled(&after), replicas(&app).await), (as_decided(3), Some(3)));
    app
}

fn has_three(answer: &Answer) -> bool {
    answer.body["services"][0]["replicas"] == json!({ "wanted": 3, "ready": 3 })
}

async fn decided_replicas_are_carried_out_and_again_after_somebody_has_changed_them(database: TestDatabase) {
    let app = scaled_to_three(&database).await;
    assert_eq!(app.world.revision("demo", "a"), Some(1), "scaling is no work for Helm");

    let calls = app.world.calls(Operation::Scale);
    app.world.ports().workloads.scale("demo", WorkloadKind::Deployment, "a", 1).await.unwrap();
    app.until("g", "is scaled again", |_| app.world.calls(Operation::Scale) > calls + 1).await;
    app.until("g", "has three replicas again", has_three).await;
    assert_eq!((app.world.revision("demo", "a"), replicas(&app).await), (Some(1), Some(3)));
    app.shutdown().await;
}

async fn an_upgrade_keeps_the_decided_replicas(database: TestDatabase) {
    let app = scaled_to_three(&database).await;
    let calls = app.world.calls(Operation::Scale);
    decide(&app, &database.store, |service| drop(service.values.insert("other".to_owned(), json!(1)))).await;
    app.until("g", "is upgraded", |_| app.world.revision("demo", "a") == Some(2)).await;
    let after = app.until("g", "has three replicas still", has_three).await;
    assert_eq!((scaled(&after), replicas(&app).await), (as_decided(3), Some(3)));
    assert_eq!(app.world.calls(Operation::Scale), calls, "Helm was told how many");
    app.shutdown().await;
}

async fn a_scale_call_that_fails_is_told_and_tried_again(database: TestDatabase) {
    // An open breaker would refuse the call for longer than the test waits.
    let never_open = |settings: &mut Settings| settings.calls.breaker_threshold = u32::MAX;
    let app = TestApp::start_with(&database, world(), Faults::none(), never_open).await;
    deploy(&app).await;
    let down = || ClientError::new("karmada", ClientErrorKind::Unreachable, "connection refused");
    app.world.fail_next(Operation::Scale, down(), usize::MAX);
    decide(&app, &database.store, |service| service.replicas_decided = Some(2)).await;
    let failed = |answer: &Answer| {
        scaled(answer).is_some_and(|(status, message)| {
            status == "False"
                && message.contains("2 replicas decided")
                && message.contains("connection refused")
        })
    };
    let answer = app.until("g", "tells that it cannot be scaled", failed).await;
    assert_eq!(answer.body["services"][0]["status"], "Deployed");
    assert_eq!(replicas(&app).await, Some(1));
    app.world.fail_next(Operation::Scale, down(), 0);
    app.until("g", "is scaled", |answer| scaled(answer) == as_decided(2)).await;
    assert_eq!(replicas(&app).await, Some(2));
    app.shutdown().await;
}

async fn a_graph_that_starts_again_begins_with_the_replicas_of_its_chart(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app).await;
    decide(&app, &database.store, |service| service.replicas_decided = Some(2)).await;
    app.until("g", "is scaled", |answer| scaled(answer) == as_decided(2)).await;
    let stopped = app.get("/graphs/g/stop").await;
    assert_eq!(stopped.status, 200, "{:#}", stopped.body);
    app.until("g", "is not scaled any more", |answer| scaled(answer).is_none()).await;
    let started = app.get("/graphs/g/start").await;
    assert_eq!(started.status, 200, "{:#}", started.body);
    let answer = app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    assert_eq!((scaled(&answer), replicas(&app).await), (None, Some(1)));
    assert_eq!(database.store.services("g").await.unwrap()[0].replicas_decided, None);
    app.shutdown().await;
}
