//! Everything but graphs: clusters, health, documents, and requests that make no sense.

use axum::body::Body;
use serde_json::json;

use smo::clients::{ClientError, ClientErrorKind};
use smo::faults::Faults;
use smo::simulation::Operation;

use crate::support::app::{TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    clusters_show_every_field_of_the_original,
    a_cluster_that_goes_away_is_shown_as_unavailable,
    one_cluster_is_shown_by_its_name,
    requests_share_a_reading_of_the_clusters,
    nothing_changes_by_head_or_for_a_page_of_another_site,
    changing_by_get_can_be_switched_off,
    health_and_readiness_are_told,
    before_the_first_list_of_clusters_the_server_is_unready_and_deploys_wait,
    metrics_count_requests_reconciles_and_outside_calls,
    the_document_is_served_under_both_names_and_shows_only_what_is_there,
    requests_that_make_no_sense_are_problems,
    invalid_descriptors_are_refused_with_every_place,
    the_character_nul_is_refused_and_not_stored,
);

async fn clusters_show_every_field_of_the_original(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let clusters = app.get("/clusters/").await;
    assert_eq!(clusters.status, 200);
    let cloud = &clusters.body[0];
    assert_eq!(
        (&cloud["id"], &cloud["name"], &cloud["location"]),
        (&json!(1), &json!("cloud"), &json!("Unknown"))
    );
    assert_eq!((&cloud["available_cpu"], &cloud["available_ram"]), (&json!(16.0), &json!("64.00 GiB")));
    assert_eq!((&cloud["availability"], &cloud["acceleration"]), (&json!(true), &json!(true)));
    for key in ["pod_cidr", "service_cidr", "grafana"] {
        assert!(cloud.get(key).is_some_and(serde_json::Value::is_null), "{key}: {cloud:#}");
    }
    assert_eq!(app.get("/clusters").await.status, 200, "also without the slash");
    app.shutdown().await;
}

async fn a_cluster_that_goes_away_is_shown_as_unavailable(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.get("/clusters/").await.body.as_array().map(Vec::len), Some(3));
    app.world.remove_cluster("edge-1");
    let body = json!({ "available": false }).to_string();
    let taken =
        app.send("PUT", "/simulation/clusters/edge-2", Some("application/json"), Body::from(body)).await;
    assert!(matches!(taken.status, 200 | 204), "{}", taken.text);
    let clusters = app.get("/clusters/").await.body;
    let availability: Vec<_> = (0..3).map(|index| clusters[index]["availability"].clone()).collect();
    assert_eq!(availability, [json!(true), json!(false), json!(false)], "{clusters:#}");
    app.shutdown().await;
}

async fn health_and_readiness_are_told(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.get("/healthz").await.status, 200);
    assert_eq!(app.get("/clusters/").await.status, 200);
    let ready = app.get("/readyz").await;
    assert_eq!(ready.status, 200, "{:#}", ready.body);
    assert!(ready.text.contains("simulated") && ready.text.contains("database"), "{}", ready.text);
    app.shutdown().await;
}

/// The original read the clusters before it served; here the server is unready and deploys wait, but not for
/// ever.
async fn before_the_first_list_of_clusters_the_server_is_unready_and_deploys_wait(database: TestDatabase) {
    let world = world();
    let down = || ClientError::new("karmada", ClientErrorKind::Unreachable, "connection refused");
    world.fail_next(Operation::ListClusters, down(), usize::MAX);
    let app = TestApp::start_in(&database, world.clone(), Faults::none()).await;
    let ready = app.get("/readyz").await;
    assert_eq!((ready.status, &ready.body["ready"]), (503, &json!(false)), "{:#}", ready.body);
    let descriptor = graph("g", &[service("a", json!({}))]);
    let deploy = app.post("/project/demo/graphs", &descriptor);
    let listed = async {
        world.fail_next(Operation::ListClusters, down(), 0);
        app.get("/clusters/").await
    };
    let (deployed, _) = tokio::join!(deploy, listed);
    assert_eq!(deployed.status, 200, "{:#}", deployed.body);
    assert_eq!(app.get("/readyz").await.status, 200);
    app.shutdown().await;
}

async fn metrics_count_requests_reconciles_and_outside_calls(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post("/project/demo/graphs", &graph("g", &[service("a", json!({}))])).await.status, 200);
    let metrics = app.get("/metrics").await.text;
    for name in ["smo_http_requests_total", "smo_reconciles_total", "smo_outside_calls_total"] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    assert!(metrics.contains("path=\"/project/{project}/graphs\""), "{metrics}");
    app.shutdown().await;
}

async fn the_document_is_served_under_both_names_and_shows_only_what_is_there(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let document = app.get("/openapi.json").await;
    assert_eq!(document.body, app.get("/smo-api-spec.json").await.body);
    assert!(document.body["paths"]["/graphs/{name}"]["get"].is_object());
    assert_eq!(app.get("/docs/").await.status, 200);
    for absent in ["/os_k8s/clusters", "/vims/smo_vims", "/bm_k8s/clusters"] {
        assert_eq!(app.get(absent).await.status, 404, "{absent}");
    }
    let paths = document.body["paths"].as_object().unwrap();
    assert!(!paths.keys().any(|path| path.contains("k8s") || path.contains("vims")));
    app.shutdown().await;
}

async fn requests_that_make_no_sense_are_problems(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let json_type = Some("application/json");
    let cases = [
        (app.get("/nothing/here").await, 404),
        (app.send("PATCH", "/graphs/g", None, Body::empty()).await, 405),
        (app.send("POST", "/project/p/graphs", Some("image/png"), Body::from("x")).await, 415),
        (app.send("POST", "/project/p/graphs", json_type, Body::from("{")).await, 400),
        (app.send("POST", "/project/p/graphs", json_type, Body::from("7")).await, 400),
        (
            app.send("POST", "/project/p/graphs", Some("text/yaml"), Body::from("x".repeat(3 << 20))).await,
            413,
        ),
        (
            app.send("POST", "/project/p/graphs", Some("text/yaml"), Body::from(" ".repeat((1 << 20) + 1)))
                .await,
            413,
        ),
        (app.get("/graphs/none").await, 404),
        (app.get("/graphs?limit=x").await, 400),
    ];
    for (answer, status) in cases {
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{}", answer.text);
        assert_eq!(answer.body["status"], status);
        for member in ["type", "title", "detail", "request_id", "error", "message"] {
            assert!(answer.body[member].is_string(), "{member}: {:#}", answer.body);
        }
    }
    app.shutdown().await;
}

async fn invalid_descriptors_are_refused_with_every_place(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let yaml = "hdaGraph:\n  id: g\n  services:\n  - id: -rf\n    artifact: { ociImage: 'oci://r/p/c' }\n  - id: b\n    \
                deployment: { intent: { compute: { cpu: huge }, connectionPoints: [nobody] } }\n    artifact: {}\n";
    let refused = app.send("POST", "/project/p/graphs", Some("text/yaml"), Body::from(yaml)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let errors = refused.body["errors"].as_array().unwrap();
    let pointers: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    for wanted in [
        "/hdaGraph/services/0/id",
        "/hdaGraph/services/1/deployment/intent/compute/cpu",
        "/hdaGraph/services/1/deployment/intent/connectionPoints/0",
    ] {
        assert!(pointers.contains(&wanted), "{wanted} in {pointers:?}");
    }
    assert_eq!(
        (&errors[0]["line"], errors[0]["column"].is_number()),
        (&json!(4), true),
        "{:#}",
        refused.body
    );
    let text = "{\"hdaGraph\": {\"id\": \"g\",\n  \"services\": [7]}}";
    let refused = app.send("POST", "/project/p/graphs", Some("application/json"), Body::from(text)).await;
    let message = "must be an object, not a number";
    let error = json!({ "pointer": "/hdaGraph/services/0", "message": message, "line": 2, "column": 16 });
    assert_eq!((refused.status, &refused.body["errors"]), (400, &json!([error])), "{:#}", refused.body);
    app.shutdown().await;
}

async fn one_cluster_is_shown_by_its_name(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let one = app.get("/clusters/edge-1").await;
    assert_eq!((one.status, &one.body["name"]), (200, &json!("edge-1")), "{:#}", one.body);
    let none = app.get("/clusters/nowhere").await;
    assert_eq!(
        (none.status, &none.body["type"]),
        (404, &json!("urn:smo:problem:not-found")),
        "{:#}",
        none.body
    );
    app.shutdown().await;
}

async fn requests_share_a_reading_of_the_clusters(database: TestDatabase) {
    let old = |settings: &mut smo::config::Settings| {
        settings.reconcile.cluster_max_age = std::time::Duration::from_secs(3600);
    };
    let app = TestApp::start_with(&database, world(), Faults::none(), old).await;
    app.get("/clusters").await;
    let calls = app.world.calls(Operation::ListClusters);
    for _ in 0..5 {
        assert_eq!(app.get("/clusters").await.status, 200);
    }
    assert!(app.world.calls(Operation::ListClusters) <= calls + 1, "only the loop reads them");
    app.shutdown().await;
}

async fn nothing_changes_by_head_or_for_a_page_of_another_site(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post("/project/demo/graphs", &graph("g", &[service("a", json!({}))])).await.status, 200);
    let from = |method: &str, path: &str, site: &str| {
        let request = axum::http::Request::builder().method(method).uri(path).header("sec-fetch-site", site);
        request.body(Body::empty()).unwrap()
    };
    for path in ["/graphs/g/stop", "/graphs/g/start", "/graphs/g/placement"] {
        let head = app.send("HEAD", path, None, Body::empty()).await;
        assert_eq!((head.status, &head.headers["allow"]), (405, &"GET,POST".parse().unwrap()), "{path}");
        for method in ["GET", "POST"] {
            let refused = app.call(from(method, path, "cross-site")).await;
            assert_eq!(refused.status, 403, "{method} {path}: {:#}", refused.body);
        }
    }
    assert_eq!(app.call(from("DELETE", "/graphs/g", "same-site")).await.status, 403);
    assert_eq!(app.get("/graphs/g").await.body["status"], "Running");
    assert_eq!(app.call(from("GET", "/graphs/g", "cross-site")).await.status, 200, "reading is free");
    assert_eq!(app.call(from("GET", "/graphs/g/stop", "none")).await.status, 200, "typed by hand");
    app.shutdown().await;
}

async fn changing_by_get_can_be_switched_off(database: TestDatabase) {
    let off = |settings: &mut smo::config::Settings| settings.legacy_get = false;
    let app = TestApp::start_with(&database, world(), Faults::none(), off).await;
    assert_eq!(app.post("/project/demo/graphs", &graph("g", &[service("a", json!({}))])).await.status, 200);
    let refused = app.get("/graphs/g/stop").await;
    assert_eq!(
        (refused.status, &refused.headers["allow"]),
        (405, &"POST".parse().unwrap()),
        "{:#}",
        refused.body
    );
    assert!(refused.text.contains("legacy_get"), "{:#}", refused.body);
    assert_eq!(app.post("/graphs/g/stop", &json!({})).await.status, 200);
    app.shutdown().await;
}

/// PostgreSQL has no texts with it, and SQLite has: the answers are the same.
async fn the_character_nul_is_refused_and_not_stored(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let reads = [
        "/project/a%00/graphs",
        "/clusters/a%00",
        "/clusters/a%00/attributes",
        "/graphs/a%00",
        "/profiles/a%00",
    ];
    let queries = ["/graphs?project=%00", "/graphs?after=%00", "/graphs/g/decisions?before=%00"];
    for address in reads.into_iter().chain(queries) {
        assert_eq!(app.get(address).await.status, 400, "{address}");
    }
    assert_eq!(app.post("/graphs/g/placement?strategy=%00", &json!({})).await.status, 400);
    let nul = "a\0";
    let alert = json!({ "alerts": [{ "labels": { "alertname": nul, "service": nul, "graph": nul } }] });
    for (method, path, body) in [
        ("POST", "/alerts", alert),
        ("PUT", "/clusters/edge-1/attributes", json!({ "region": nul })),
        ("PUT", "/clusters/edge-1/attributes", json!({ "labels": { nul: "x" } })),
        ("PUT", "/profiles/a", json!({ "alpha": 1, "rate_from": nul })),
        ("PUT", "/simulation/alerts", json!({ "graph": nul, "service": nul, "firing": true })),
    ] {
        let refused = app.send(method, path, Some("application/json"), Body::from(body.to_string())).await;
        assert_eq!(refused.status, 400, "{method} {path} {body}: {:#}", refused.body);
    }
    let mut texts = service("a", json!({ "smo": { "site": nul } }));
    texts["artifact"]["ociImage"] = json!(format!("oci://registry.example/demo/{nul}"));
    for descriptor in [
        graph(nul, &[service("a", json!({}))]),
        graph("g", &[texts]),
        graph("h", &[service("b", json!({ "artifact": { "valuesOverwrite": { "text": nul } } }))]),
    ] {
        let yaml = format!("# {descriptor}\n{descriptor}");
        for (media_type, text) in [("application/json", descriptor.to_string()), ("text/yaml", yaml)] {
            let refused = app.send("POST", "/project/demo/graphs", Some(media_type), Body::from(text)).await;
            assert_eq!(refused.status, 400, "{media_type} {descriptor}: {:#}", refused.body);
        }
    }
    app.shutdown().await;
}
