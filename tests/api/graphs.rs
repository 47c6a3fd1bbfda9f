//! Life of a graph: deploy, read, stop, start, delete.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use smo::clients::{ClientError, ClientErrorKind};
use smo::faults::Faults;

use crate::support::app::{LIMIT, TestApp, conditional, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};
use crate::wait::eventually;

on_every_engine!(
    a_posted_graph_runs_and_shows_every_field_of_the_original,
    every_form_of_body_is_taken,
    the_same_descriptor_again_changes_nothing_and_another_is_a_conflict,
    the_same_descriptor_twice_at_once_deploys_it_once,
    a_graph_that_is_posted_again_while_its_chart_is_refused_is_not_called_successful,
    a_graph_that_fits_nowhere_is_refused_and_nothing_is_stored,
    what_is_placed_but_not_seen_yet_counts_as_used,
    stop_removes_everything_and_start_restores_it,
    start_places_a_graph_again_when_its_cluster_is_down_or_full_and_refuses_when_none_is_left,
    delete_leaves_nothing_behind_and_the_history_stays,
    static_placement_leaves_the_values_alone,
    callers_import_what_they_call,
    respond_async_answers_before_the_work_is_done,
    a_release_that_is_not_ours_is_refused_and_left_alone,
    two_graphs_cannot_own_the_same_release,
    a_project_that_cannot_be_a_namespace_is_refused_by_name,
    stale_knowledge_of_clusters_refuses_a_decision,
    lists_are_filtered_and_paged,
    a_failed_release_is_told_and_tried_again_when_posted_again,
    news_of_other_services_does_not_bring_the_next_attempt_forward,
);

const DEMO: &str = "/project/demo/graphs";

fn named<'a>(graph: &'a Value, name: &str) -> &'a Value {
    let services = graph["services"].as_array().unwrap();
    services.iter().find(|service| service["name"] == name).unwrap()
}

async fn a_posted_graph_runs_and_shows_every_field_of_the_original(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let descriptor = graph("g", &[service("a", json!({})), conditional("b")]);
    let posted = app.post(DEMO, &descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    assert_eq!(posted.body["message"], "Graph deployment successful");
    let graph = app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body;
    assert_eq!(graph["name"], "g");
    assert_eq!(graph["status"], "Running");
    assert_eq!(graph["project"], "demo");
    assert_eq!(graph["grafana"], Value::Null);
    assert_eq!(graph["hdaGraph"], descriptor["hdaGraph"]);
    assert_eq!(graph["placement"], json!([[1, 0, 0], [1, 0, 0]]));
    let a = named(&graph, "a");
    assert_eq!((&a["status"], &a["cluster_affinity"]), (&json!("Deployed"), &json!("cloud")));
    assert_eq!([&a["cpu"], &a["memory"], &a["storage"], &a["gpu"]], ["0.5", "1GiB", "10GB", "0"]);
    assert_eq!(
        a["values_overwrite"],
        json!({ "clustersAffinity": ["cloud"], "serviceImportClusters": ["cloud"] })
    );
    assert_eq!(a["artifact_ref"], "oci://registry.example/demo/a");
    assert_eq!((&a["artifact_type"], &a["artifact_implementer"]), (&json!("App"), &json!("HELM")));
    assert_eq!((&a["alert"], &a["grafana"]), (&Value::Null, &Value::Null));
    let b = named(&graph, "b");
    assert_eq!(b["status"], "Pending");
    assert!(b["alert"].to_string().contains("b-wanted"), "{b:#}");
    app.shutdown().await;
}

async fn every_form_of_body_is_taken(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let yaml = |id: &str| {
        format!(
            "hdaGraph:\n  id: {id}\n  hdaGraphIntent: {{ useStaticPlacement: False }}\n  services:\n  - id: {id}-s\n    \
                 deployment: {{ trigger: {{ auto: {{}} }}, intent: {{ compute: {{ cpu: light, gpu: {{ enabled: 'False' }} }} }} }}\n    \
                 artifact: {{ ociImage: 'oci://registry.example/demo/s' }}\n"
        )
    };
    let types = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];
    for (number, content_type) in types.into_iter().enumerate() {
        let posted =
            app.send("POST", DEMO, Some(content_type), Body::from(yaml(&format!("y{number}")))).await;
        assert_eq!(posted.status, 200, "{content_type}: {:#}", posted.body);
    }
    let posted = app.post(DEMO, &Value::String(yaml("text"))).await;
    assert_eq!((posted.status, &posted.body["name"]), (200, &json!("text")), "{:#}", posted.body);
    let posted = app.post(DEMO, &json!({ "artifact": "oci://registry.example/hdag" })).await;
    assert_eq!(posted.status, 400);
    assert!(posted.text.contains("artifact"), "{}", posted.text);
    app.shutdown().await;
}

async fn the_same_descriptor_again_changes_nothing_and_another_is_a_conflict(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let descriptor = graph("g", &[service("a", json!({}))]);
    assert_eq!(app.post(DEMO, &descriptor).await.status, 200);
    let again = app.post(DEMO, &descriptor).await;
    assert_eq!((again.status, &again.body["generation"]), (200, &json!(1)), "{:#}", again.body);
    let other = app.post(DEMO, &graph("g", &[service("b", json!({}))])).await;
    assert_eq!(other.status, 409);
    assert_eq!(other.headers["content-type"], "application/problem+json");
    let elsewhere = app.post("/project/other/graphs", &descriptor).await;
    assert_eq!(elsewhere.status, 409);
    assert_eq!(app.world.revision("demo", "a"), Some(1));

    assert_eq!(app.post("/graphs/g/stop", &Value::Null).await.status, 200);
    let stopped = app.post(DEMO, &descriptor).await;
    assert_eq!((stopped.status, &stopped.body["status"]), (200, &json!("Stopped")), "{:#}", stopped.body);
    assert_eq!(stopped.body["message"], "Graph exists and is stopped");
    assert_eq!(app.world.revision("demo", "a"), None);
    app.shutdown().await;
}

async fn a_graph_that_is_posted_again_while_its_chart_is_refused_is_not_called_successful(
    database: TestDatabase,
) {
    let app = TestApp::start(&database).await;
    let missing = ClientError::new("registry", ClientErrorKind::NotFound, "chart a not found");
    app.world.fail_next(smo::simulation::Operation::ApplyRelease, missing, usize::MAX);
    let descriptor = graph("g", &[service("a", json!({}))]);
    for turn in ["first", "second"] {
        let posted = app.post(DEMO, &descriptor).await;
        assert_eq!(posted.status, 202, "{turn}: {:#}", posted.body);
        assert_eq!(posted.body["message"], "Graph deployment started", "{turn}");
        assert_eq!(posted.body["services"][0]["status"], "Failed", "{turn}");
    }
    app.shutdown().await;
}

async fn a_graph_that_fits_nowhere_is_refused_and_nothing_is_stored(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let large =
        json!({ "deployment": { "intent": { "compute": { "cpu": "large", "gpu": { "enabled": true } } } } });
    let services = [service("a", large.clone()), service("b", large)];
    let refused = app.post(DEMO, &graph("g", &services)).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    let clusters = &refused.body["explanation"]["clusters"];
    assert_eq!(clusters.as_array().map(Vec::len), Some(3), "{:#}", refused.body);
    assert_eq!(clusters[0]["violated"], json!([{ "constraint": "gpu", "needed": 1, "free": 0 }]));
    assert_eq!(app.get("/graphs/g").await.status, 404);
    assert_eq!(app.get("/graphs/g/events").await.status, 404);
    app.shutdown().await;
}

async fn what_is_placed_but_not_seen_yet_counts_as_used(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let gpu = json!({ "deployment": { "intent": { "compute": { "gpu": { "enabled": true } } } } });
    // A conditional service holds its room before its event.
    let mut waiting = conditional("a");
    waiting["deployment"]["intent"]["compute"]["gpu"] = json!({ "enabled": true });
    assert_eq!(app.post(DEMO, &graph("g", &[waiting])).await.status, 200);
    let refused = app.post(DEMO, &graph("h", &[service("b", gpu)])).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    app.shutdown().await;
}

/// A service of four cores: as much as an edge cluster has.
fn heavy(name: &str) -> Value {
    let requests = json!({ "resources": { "requests": { "cpu": "4", "memory": "1Gi" } } });
    let intent = json!({ "compute": { "cpu": "medium" } });
    service(name, json!({ "deployment": { "intent": intent }, "artifact": { "valuesOverwrite": requests } }))
}

async fn start_places_a_graph_again_when_its_cluster_is_down_or_full_and_refuses_when_none_is_left(
    database: TestDatabase,
) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post(DEMO, &graph("g", &[heavy("a")])).await.status, 200);
    let place = async || {
        let graph = app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body;
        named(&graph, "a")["cluster_affinity"].as_str().unwrap().to_owned()
    };
    assert_eq!(place().await, "cloud");
    let stop = async || {
        assert_eq!(app.post("/graphs/g/stop", &Value::Null).await.status, 200);
        // Reads what the clusters report without it.
        assert_eq!(app.get("/clusters").await.status, 200);
    };
    let start = async || app.post("/graphs/g/start", &Value::Null).await;

    stop().await;
    app.world.set_cluster_available("cloud", false).unwrap();
    let started = start().await;
    assert_eq!(started.status, 200, "{:#}", started.body);
    assert_eq!(place().await, "edge-1");

    stop().await;
    assert_eq!(app.post(DEMO, &graph("h", &[heavy("b")])).await.status, 200, "takes edge-1");
    assert_eq!(start().await.status, 200);
    assert_eq!(place().await, "edge-2");
    let events = app.get("/graphs/g/events").await.body;
    let kinds: Vec<&str> =
        events.as_array().unwrap().iter().filter_map(|event| event["type"].as_str()).collect();
    for kind in ["graph.started", "graph.placed"] {
        assert_eq!(kinds.iter().filter(|found| **found == kind).count(), 2, "{kinds:?}");
    }

    stop().await;
    assert_eq!(app.post(DEMO, &graph("i", &[heavy("c")])).await.status, 200, "takes edge-2");
    let refused = start().await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert_eq!(refused.body["type"], "urn:smo:problem:infeasible");
    assert_eq!(app.get("/graphs/g").await.body["status"], "Stopped");
    app.shutdown().await;
}

async fn stop_removes_everything_and_start_restores_it(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post(DEMO, &graph("g", &[service("a", json!({})), conditional("b")])).await.status, 200);
    assert_eq!(app.world.snapshot().rules.len(), 1);
    let stopped = app.get("/graphs/g/stop").await;
    assert_eq!(
        (stopped.status, &stopped.body["message"]),
        (200, &json!("Graph stopped")),
        "{:#}",
        stopped.body
    );
    assert_eq!(stopped.body["status"], "Stopped");
    assert_eq!(named(&stopped.body, "a")["status"], "Not deployed");
    assert_eq!(named(&stopped.body, "b")["status"], "Not deployed");
    assert_eq!(app.world.snapshot(), smo::simulation::Snapshot::default());
    assert_eq!(app.post("/graphs/g/stop", &Value::Null).await.status, 400);
    let started = app.post("/graphs/g/start", &Value::Null).await;
    assert_eq!(
        (started.status, &started.body["message"]),
        (200, &json!("Graph started")),
        "{:#}",
        started.body
    );
    let graph = app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body;
    assert_eq!(named(&graph, "a")["status"], "Deployed");
    assert_eq!(named(&graph, "b")["status"], "Pending");
    assert_eq!(app.world.snapshot().rules.len(), 1);
    assert_eq!(app.get("/graphs/g/start").await.status, 400);
    app.shutdown().await;
}

async fn delete_leaves_nothing_behind_and_the_history_stays(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post(DEMO, &graph("g", &[service("a", json!({})), conditional("b")])).await.status, 200);
    let deleted = app.delete("/graphs/g").await;
    assert_eq!(deleted.status, 200, "{:#}", deleted.body);
    assert_eq!(
        (&deleted.body["name"], &deleted.body["message"]),
        (&json!("g"), &json!("Removal successful"))
    );
    assert_eq!(app.get("/graphs/g").await.status, 404);
    assert_eq!(app.delete("/graphs/g").await.status, 404);
    assert_eq!(app.world.snapshot(), smo::simulation::Snapshot::default());
    let events = app.get("/graphs/g/events").await.body;
    let kinds: Vec<&str> =
        events.as_array().unwrap().iter().filter_map(|event| event["type"].as_str()).collect();
    assert_eq!((kinds.first(), kinds.last()), (Some(&"graph.created"), Some(&"graph.deleted")), "{kinds:?}");
    app.shutdown().await;
}

async fn static_placement_leaves_the_values_alone(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let mut descriptor =
        graph("g", &[service("a", json!({ "artifact": { "valuesOverwrite": { "x": 1 } } }))]);
    descriptor["hdaGraph"]["hdaGraphIntent"] = json!({ "useStaticPlacement": true });
    assert_eq!(app.post(DEMO, &descriptor).await.status, 200);
    let graph = app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body;
    assert_eq!(graph["placement"], Value::Null);
    assert_eq!(named(&graph, "a")["cluster_affinity"], Value::Null);
    assert_eq!(named(&graph, "a")["values_overwrite"], json!({ "x": 1 }));
    app.shutdown().await;
}

async fn callers_import_what_they_call(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let calls = |to: &[&str], cores: i64| {
        let values = json!({ "resources": { "requests": { "cpu": cores } } });
        json!({ "deployment": { "intent": { "connectionPoints": to } }, "artifact": { "valuesOverwrite": values } })
    };
    // Twice 8 cores fill the cloud; the third goes to the next cluster.
    let services =
        [service("a", calls(&["b"], 8)), service("b", calls(&[], 8)), service("c", calls(&["b"], 4))];
    let posted = app.post(DEMO, &graph("g", &services)).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let b = named(&posted.body, "b");
    assert_eq!(b["values_overwrite"]["serviceImportClusters"], json!(["cloud", "edge-1"]));
    let c = named(&posted.body, "c");
    assert_eq!(
        c["values_overwrite"]["serviceImportClusters"],
        json!(["edge-1"]),
        "nobody calls it: its own cluster"
    );
    app.shutdown().await;
}

async fn respond_async_answers_before_the_work_is_done(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let request =
        Request::post(DEMO).header("content-type", "application/json").header("prefer", "respond-async");
    let body = Body::from(graph("g", &[service("a", json!({}))]).to_string());
    let accepted = app.call(request.body(body).unwrap()).await;
    assert_eq!(accepted.status, 202, "{:#}", accepted.body);
    assert_eq!(accepted.headers["location"], "/graphs/g");
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    app.shutdown().await;
}

async fn a_release_that_is_not_ours_is_refused_and_left_alone(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.world.foreign_release("demo", "a");
    let refused = app.post(DEMO, &graph("g", &[service("a", json!({}))])).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert!(refused.text.contains("not made by smo"), "{}", refused.text);
    assert!(app.world.snapshot().releases.contains("demo/a"));
    app.shutdown().await;
}

async fn two_graphs_cannot_own_the_same_release(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post(DEMO, &graph("g", &[service("a", json!({}))])).await.status, 200);
    let refused = app.post(DEMO, &graph("h", &[service("a", json!({}))])).await;
    assert_eq!(refused.status, 409);
    assert!(refused.text.contains("\\\"g\\\""), "names the owner: {}", refused.text);
    let apart = app.post("/project/other/graphs", &graph("h", &[service("a", json!({}))])).await;
    assert_eq!(apart.status, 200, "another namespace keeps them apart: {:#}", apart.body);
    app.shutdown().await;
}

async fn a_project_that_cannot_be_a_namespace_is_refused_by_name(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let descriptor = graph("g", &[service("a", json!({}))]);
    let refused = app.post("/project/My_Project/graphs", &descriptor).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("SMO_NAMESPACE"), "{}", refused.text);
    app.shutdown().await;
    let fixed = |settings: &mut smo::config::Settings| settings.namespace = Some("apps".to_owned());
    let app = TestApp::start_with(&database, world(), Faults::none(), fixed).await;
    let posted = app.post("/project/My_Project/graphs", &descriptor).await;
    assert_eq!((posted.status, &posted.body["namespace"]), (200, &json!("apps")), "{:#}", posted.body);
    app.shutdown().await;
}

async fn stale_knowledge_of_clusters_refuses_a_decision(database: TestDatabase) {
    let world = world();
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    assert_eq!(app.post(DEMO, &graph("stopped", &[service("s", json!({}))])).await.status, 200);
    assert_eq!(app.post("/graphs/stopped/stop", &Value::Null).await.status, 200);
    assert_eq!(app.get("/clusters/").await.body[0]["stale"], false);
    app.shutdown().await;
    let soon = |settings: &mut smo::config::Settings| {
        settings.stale_after = std::time::Duration::from_millis(20);
    };
    let app = TestApp::start_with(&database, world, Faults::none(), soon).await;
    let down = ClientError::new("karmada", ClientErrorKind::Unreachable, "connection refused");
    app.world.fail_next(smo::simulation::Operation::ListClusters, down, usize::MAX);
    eventually("the last known state is shown as stale", LIMIT, async || {
        let shown = app.get("/clusters/").await.body;
        if shown[0]["stale"] == true { Ok(()) } else { Err(format!("{shown:#}")) }
    })
    .await;
    let refused = app.post(DEMO, &graph("g", &[service("a", json!({}))])).await;
    assert_eq!(refused.status, 503, "{:#}", refused.body);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(app.get("/graphs/g").await.status, 404);
    let refused = app.post("/graphs/stopped/start", &Value::Null).await;
    assert_eq!(refused.status, 503, "{:#}", refused.body);
    assert_eq!(app.get("/graphs/stopped").await.body["status"], "Stopped");
    app.shutdown().await;
}

async fn lists_are_filtered_and_paged(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    for (project, name) in [("one", "a"), ("one", "b"), ("two", "c")] {
        let posted =
            app.post(&format!("/project/{project}/graphs"), &graph(name, &[service(name, json!({}))])).await;
        assert_eq!(posted.status, 200, "{:#}", posted.body);
    }
    assert_eq!(app.post("/graphs/b/stop", &Value::Null).await.status, 200);
    let names = |answer: &crate::support::app::Answer| -> Vec<String> {
        let list = answer.body.as_array().unwrap();
        list.iter().map(|graph| graph["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&app.get("/graphs").await), ["a", "b", "c"]);
    assert_eq!(names(&app.get("/project/one/graphs").await), ["a", "b"]);
    assert_eq!(names(&app.get("/project/none/graphs").await), Vec::<String>::new());
    assert_eq!(names(&app.get("/graphs?status=Stopped").await), ["b"]);
    let page = app.get("/graphs?limit=2").await;
    assert_eq!(names(&page), ["a", "b"]);
    assert!(page.headers["link"].to_str().unwrap().contains("after=b"), "{:?}", page.headers);
    assert_eq!(names(&app.get("/graphs?limit=2&after=b").await), ["c"]);
    let of_project = app.get("/project/one/graphs?limit=1").await;
    assert_eq!(names(&of_project).len(), 1, "{:#}", of_project.body);
    let next = of_project.headers.get("link").unwrap().to_str().unwrap();
    assert!(next.starts_with("</project/one/graphs?after=") && next.contains("limit=1"), "{next}");
    assert_eq!(app.get("/project/one/graphs?limit=0").await.status, 400);
    assert_eq!(app.get("/graphs?status=Nonsense").await.status, 400);
    app.shutdown().await;
}

async fn a_failed_release_is_told_and_tried_again_when_posted_again(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let missing = ClientError::new("registry", ClientErrorKind::NotFound, "chart a not found");
    app.world.fail_next(smo::simulation::Operation::ApplyRelease, missing, 1);
    let descriptor = graph(
        "g",
        &[
            service("a", json!({})),
            service(
                "b",
                json!({
                    "deployment": { "trigger": { "auto": { "dependencies": ["a"] } } }
                }),
            ),
        ],
    );
    let posted = app.post(DEMO, &descriptor).await;
    assert_eq!(posted.status, 202, "accepted, but not done: {:#}", posted.body);
    assert_eq!(named(&posted.body, "a")["status"], "Failed");
    assert_eq!(named(&posted.body, "b")["status"], "Deploying", "waits for a");
    let again = app.post(DEMO, &descriptor).await;
    assert_eq!(again.status, 200, "the same descriptor again: {:#}", again.body);
    assert_eq!(named(&again.body, "a")["status"], "Deployed", "tried again at once");
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    app.shutdown().await;
}

async fn news_of_other_services_does_not_bring_the_next_attempt_forward(database: TestDatabase) {
    use smo::simulation::Operation::ApplyRelease;
    let app = TestApp::start(&database).await;
    let missing = ClientError::new("registry", ClientErrorKind::NotFound, "chart a not found");
    app.world.fail_next(ApplyRelease, missing, 1);
    let posted = app.post(DEMO, &graph("g", &[service("a", json!({})), service("b", json!({}))])).await;
    assert_eq!(posted.status, 202, "{:#}", posted.body);
    assert_eq!(app.world.calls(ApplyRelease), 2);
    // One of them failed; the other one becoming ready, and its cluster that goes and comes, are news.
    let ready = |answer: &crate::support::app::Answer| {
        answer.body["services"]
            .as_array()
            .is_some_and(|all| all.iter().any(|service| service["ready"] == true))
    };
    let graph = app.until("g", "has its other service ready", ready).await.body;
    let home = named(&graph, "b")["cluster_affinity"].as_str().unwrap();
    let mut before = app.until_at_rest().await;
    for available in [false, true] {
        app.world.set_cluster_available(home, available).unwrap();
        assert_eq!(app.get("/clusters/").await.status, 200);
        app.until_reconciled(before + 1).await;
        before = app.until_at_rest().await;
    }
    let graph = app.get("/graphs/g").await.body;
    assert!(graph.to_string().contains("chart a not found"), "it still tells the failure: {graph:#}");
    assert_eq!(app.world.calls(ApplyRelease), 2, "a chart that is missing is not asked for again and again");
    app.shutdown().await;
}

async fn the_same_descriptor_twice_at_once_deploys_it_once(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    // So large that it fits only once: the second request must not be told that there is no room.
    let large =
        json!({ "deployment": { "intent": { "compute": { "cpu": "large", "gpu": { "enabled": true } } } } });
    let descriptor = graph("g", &[service("a", large)]);
    let (one, other) = tokio::join!(app.post(DEMO, &descriptor), app.post(DEMO, &descriptor));
    assert_eq!((one.status, other.status), (200, 200), "{:#}\n{:#}", one.body, other.body);
    assert_eq!(app.world.revision("demo", "a"), Some(1));
    app.shutdown().await;
}
