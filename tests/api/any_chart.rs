//! Charts that know nothing of Karmada: counted before they are placed, propagated by the server, moved without
//! Helm.

use serde_json::{Value, json};
use smo::clients::{ClientError, ClientErrorKind};
use smo::faults::Faults;
use smo::simulation::{Continuum, Operation, World};

use crate::support::app::{Answer, TestApp, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    a_plain_chart_is_propagated_by_the_server_and_moves_without_helm,
    the_first_decision_counts_what_the_chart_requests,
    a_chart_that_cannot_be_rendered_yet_counts_its_intent_and_is_rendered_before_it_is_installed,
    a_chart_that_cannot_be_rendered_at_all_waits_for_a_user,
    policies_that_cannot_be_written_are_told_and_written_later,
    who_propagates_can_be_said,
    a_cluster_without_a_place_for_a_pod_takes_nothing,
    a_pod_larger_than_every_node_is_refused_however_much_they_have_together,
    a_chart_of_a_repository_stays_what_it_was_when_it_was_first_installed,
    a_repository_that_does_not_answer_is_told_and_asked_again,
);

/// Two clusters of 4 cores. `plain` brings no policies and requests 3 cores.
fn world() -> World {
    let text = "
ready_delay: 0.01
clusters:
  - { name: edge-1, cpu: 4, ram: 8Gi, storage: 100Gi }
  - { name: edge-2, cpu: 4, ram: 8Gi, storage: 100Gi }
charts: { plain: { cpu: 3, ram: 1Gi } }
plain_charts: [plain]
";
    World::new(Continuum::parse(text).unwrap(), 1)
}

/// A service of the plain chart.
fn plain(name: &str) -> Value {
    let chart = json!({ "artifact": { "ociImage": "oci://registry.example/charts/plain" } });
    service(name, chart)
}

async fn start(database: &TestDatabase) -> TestApp {
    TestApp::start_in(database, world(), Faults::none()).await
}

async fn deploy(app: &TestApp, services: &[Value]) -> Answer {
    app.post("/project/demo/graphs", &graph("g", services)).await
}

fn place(answer: &Answer, index: usize) -> &str {
    answer.body["services"][index]["cluster_affinity"].as_str().unwrap_or_default()
}

/// Reason and message of a condition of the first service.
fn condition(answer: &Answer, kind: &str) -> (String, String) {
    let conditions = answer.body["services"][0]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default();
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

async fn a_plain_chart_is_propagated_by_the_server_and_moves_without_helm(database: TestDatabase) {
    let app = start(&database).await;
    let answer = deploy(&app, &[plain("a")]).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let ready = app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    assert_eq!(ready.body["services"][0]["propagation"], "managed");
    assert_eq!(ready.body["services"][0]["values_overwrite"], json!({}), "no values of the placement");
    assert_eq!(condition(&ready, "Propagated"), ("Managed".into(), "smo propagates it to edge-1".into()));
    assert_eq!(app.world.snapshot().policies.into_iter().collect::<Vec<_>>(), ["demo/a"]);

    app.world.set_cluster_available("edge-1", false).unwrap();
    app.get("/clusters/").await;
    let moved = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(moved.status, 200, "{:#}", moved.body);
    let moved = app
        .until("g", "runs elsewhere", |answer| answer.body["ready"] == true && place(answer, 0) == "edge-2");
    moved.await;
    assert_eq!(app.world.snapshot().deployments.into_iter().collect::<Vec<_>>(), ["edge-2/demo/a"]);
    assert_eq!(app.world.revision("demo", "a"), Some(1), "a move is no upgrade");
    assert_eq!(app.world.calls(Operation::Render), 1, "nothing is rendered twice");

    assert_eq!(app.post("/graphs/g/stop", &json!({})).await.status, 200);
    assert!(app.world.snapshot().policies.is_empty());
    assert_eq!(app.post("/graphs/g/start", &json!({})).await.status, 200);
    assert_eq!(app.world.snapshot().deployments.into_iter().collect::<Vec<_>>(), ["edge-2/demo/a"]);
    assert_eq!(app.delete("/graphs/g").await.status, 200);
    assert_eq!(app.world.snapshot(), smo::simulation::Snapshot::default());
    app.shutdown().await;
}

async fn the_first_decision_counts_what_the_chart_requests(database: TestDatabase) {
    let app = start(&database).await;
    // By their intents, of half a core each, both would go to the first cluster.
    let answer = deploy(&app, &[plain("a"), plain("b")]).await;
    assert_eq!((place(&answer, 0), place(&answer, 1)), ("edge-1", "edge-2"), "{:#}", answer.body);
    let third = app.post("/project/demo/graphs", &graph("h", &[plain("c")])).await;
    assert_eq!(third.status, 409, "{:#}", third.body);
    app.shutdown().await;
}

async fn a_chart_that_cannot_be_rendered_yet_counts_its_intent_and_is_rendered_before_it_is_installed(
    database: TestDatabase,
) {
    let app = start(&database).await;
    let down = ClientError::new("registry", ClientErrorKind::Unreachable, "connection refused");
    app.world.fail_next(Operation::Render, down, 2);
    let answer = deploy(&app, &[plain("a"), plain("b")]).await;
    assert_eq!((place(&answer, 0), place(&answer, 1)), ("edge-1", "edge-1"), "{:#}", answer.body);
    let known = |answer: &Answer| answer.body["services"][1]["propagation"] == "managed";
    app.until("g", "is rendered and installed", |answer| {
        known(answer) && answer.body["services"][1]["status"] == "Deployed"
    })
    .await;
    app.shutdown().await;
}

async fn a_chart_that_cannot_be_rendered_at_all_waits_for_a_user(database: TestDatabase) {
    let app = start(&database).await;
    let wrong =
        ClientError::new("helm", ClientErrorKind::Invalid, "parse error at (plain/templates/a.yaml:1)");
    // With and without the values of the placement; before the decision and before the installation.
    app.world.fail_next(Operation::Render, wrong, 4);
    let answer = deploy(&app, &[plain("a")]).await;
    assert_eq!(answer.status, 202, "{:#}", answer.body);
    let (reason, message) = condition(&answer, "Installed");
    assert_eq!(reason, "Failed");
    assert!(message.contains("parse error at (plain/templates/a.yaml:1)"), "{message}");
    assert_eq!(app.world.calls(Operation::ApplyRelease), 0);
    assert!(app.world.snapshot().policies.is_empty());
    // The user has mended the chart.
    assert_eq!(deploy(&app, &[plain("a")]).await.status, 200);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    app.shutdown().await;
}

async fn policies_that_cannot_be_written_are_told_and_written_later(database: TestDatabase) {
    let app = start(&database).await;
    let taken = "the PropagationPolicy a.demo.smo exists and was not made by this installation of smo";
    let error = ClientError::new("karmada", ClientErrorKind::Conflict, taken);
    app.world.fail_next(Operation::ApplyPolicies, error, 1);
    let answer = deploy(&app, &[plain("a")]).await;
    let (reason, message) = condition(&answer, "Propagated");
    assert_eq!(reason, "Failed");
    assert!(message.contains(taken), "{message}");
    assert_eq!(app.world.calls(Operation::ApplyRelease), 0, "Helm runs after the policies are there");
    assert_eq!(deploy(&app, &[plain("a")]).await.status, 200);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    app.shutdown().await;
}

async fn who_propagates_can_be_said(database: TestDatabase) {
    let app = start(&database).await;
    let said = |propagation: &str| service("a", json!({ "smo": { "propagation": propagation } }));
    let refused = deploy(&app, &[said("smo")]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("known are auto, chart, managed"), "{}", refused.text);
    // A chart with policies of its own.
    let answer = deploy(&app, &[said("managed")]).await;
    assert_eq!(answer.body["services"][0]["propagation"], "managed", "{:#}", answer.body);
    assert_eq!(app.world.snapshot().policies.into_iter().collect::<Vec<_>>(), ["demo/a"]);
    app.shutdown().await;
}

async fn a_cluster_without_a_place_for_a_pod_takes_nothing(database: TestDatabase) {
    let text = "
ready_delay: 0.01
clusters:
  - { name: edge-1, cpu: 4, ram: 8Gi, storage: 100Gi, pods: 1 }
  - { name: edge-2, cpu: 4, ram: 8Gi, storage: 100Gi, pods: 2 }
";
    let world = World::new(Continuum::parse(text).unwrap(), 1);
    let app = TestApp::start_in(&database, world, Faults::none()).await;
    let services: Vec<Value> = ["a", "b", "c"].map(|name| service(name, json!({}))).to_vec();
    let answer = deploy(&app, &services).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    assert_eq!([0, 1, 2].map(|index| place(&answer, index)), ["edge-1", "edge-2", "edge-2"]);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    let refused = app.post("/project/demo/graphs", &graph("h", &[service("d", json!({}))])).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert!(refused.text.contains("pods: needs 1, 0 free"), "{}", refused.text);
    app.shutdown().await;
}

async fn a_pod_larger_than_every_node_is_refused_however_much_they_have_together(database: TestDatabase) {
    let text = "
ready_delay: 0.01
clusters:
  - { name: edge, cpu: 8, ram: 8Gi, storage: 100Gi, nodes: [{ cpu: 2, ram: 6Gi }, { cpu: 2, ram: 1Gi }] }
charts: { plain: { cpu: 3, ram: 1Gi } }
plain_charts: [plain]
";
    let world = World::new(Continuum::parse(text).unwrap(), 1);
    let app = TestApp::start_in(&database, world, Faults::none()).await;
    let clusters = app.get("/clusters/").await.body;
    let sizes = clusters[0]["largest_nodes"].as_array().unwrap();
    assert_eq!(sizes.len(), 1, "{clusters:#}");
    assert_eq!(sizes[0]["cpu_millicores"], 2000);
    let refused = deploy(&app, &[plain("a")]).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert!(refused.text.contains("a pod needs 3 cores, 1GiB RAM"), "{:#}", refused.body);
    let small = json!({ "artifact": {
        "ociImage": "oci://registry.example/charts/plain",
        "valuesOverwrite": { "resources": { "requests": { "cpu": "2", "memory": "1Gi" } } },
    } });
    let taken = deploy(&app, &[service("a", small)]).await;
    assert_eq!(taken.status, 200, "{:#}", taken.body);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;

    // What runs stays although its node takes no pods any more; a start needs one that does.
    let mut tx = database.store.begin().await.unwrap();
    let known = tx.lock_clusters().await.unwrap();
    let mut cordoned = known.clone();
    cordoned[0].nodes[0].cpu_millicores = 1999;
    tx.write_clusters(&known, &cordoned, &[], chrono::Utc::now()).await.unwrap();
    tx.commit("cordon").await.unwrap();
    let again = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!((again.status, &again.body["moves"]), (200, &json!([])), "{:#}", again.body);
    assert_eq!(app.post("/graphs/g/stop", &json!({})).await.status, 200);
    let refused = app.post("/graphs/g/start", &json!({})).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert!(refused.text.contains("a pod needs 2 cores"), "{:#}", refused.body);
    app.shutdown().await;
}

/// A service of the plain chart in a repository.
fn from_repository(name: &str) -> Value {
    let helm = json!({ "repo": "https://charts.example/stable/", "chart": "plain", "version": "~1.2" });
    service(name, json!({ "artifact": { "ociImage": null, "helm": helm } }))
}

async fn a_chart_of_a_repository_stays_what_it_was_when_it_was_first_installed(database: TestDatabase) {
    let app = start(&database).await;
    let answer = deploy(&app, &[from_repository("a")]).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    let ready = app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body;
    let (reference, digest) =
        (&ready["services"][0]["artifact_ref"], &ready["services"][0]["artifact_digest"]);
    assert_eq!(reference, "https://charts.example/stable#plain:~1.2");
    assert!(digest.as_str().is_some_and(|digest| digest.starts_with("sha256:")), "{ready:#}");
    assert_eq!(app.world.calls(Operation::FetchChart), 1);

    app.world.publish_again();
    assert_eq!(app.post("/graphs/g/stop", &json!({})).await.status, 200);
    assert_eq!(app.post("/graphs/g/start", &json!({})).await.status, 200);
    let again = app.until("g", "is ready again", |answer| answer.body["ready"] == true).await.body;
    assert_eq!(&again["services"][0]["artifact_digest"], digest);
    assert_eq!(app.world.calls(Operation::FetchChart), 1, "the kept archive is used");

    // A new graph takes what there is now, and what no service has any more goes after a while.
    let key = digest.as_str().unwrap().to_owned();
    assert_eq!(app.delete("/graphs/g").await.status, 200);
    let later = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    assert_eq!(deploy(&app, &[from_repository("a")]).await.status, 200);
    let newer = app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body;
    let newer = newer["services"][0]["artifact_digest"].as_str().unwrap().to_owned();
    assert_ne!(newer, key);
    assert_eq!(database.store.remove_unused_charts(later).await.unwrap(), 1);
    assert_eq!(database.store.chart(&key).await.unwrap(), None);
    assert!(database.store.chart(&newer).await.unwrap().is_some(), "a service has it");
    app.shutdown().await;
}

async fn a_repository_that_does_not_answer_is_told_and_asked_again(database: TestDatabase) {
    let app = start(&database).await;
    let down = ClientError::new("repository", ClientErrorKind::Unreachable, "charts.example does not answer");
    app.world.fail_next(Operation::FetchChart, down, usize::MAX);
    let answer = deploy(&app, &[from_repository("a")]).await;
    assert_eq!(answer.status, 202, "{:#}", answer.body);
    let retried = |answer: &Answer| condition(answer, "Installed").0 == "Retrying";
    let waiting = app.until("g", "tells what it waits for", retried).await;
    assert!(condition(&waiting, "Installed").1.contains("charts.example does not answer"));
    let gone = ClientError::new("repository", ClientErrorKind::Unreachable, "");
    app.world.fail_next(Operation::FetchChart, gone, 0);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    app.shutdown().await;
}
