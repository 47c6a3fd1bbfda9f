use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::telemetry;

/// A body with one member.
#[derive(serde::Serialize, serde::Deserialize)]
struct Numbers {
    numbers: Vec<i64>,
}

/// The real surroundings around routes that need no service.
fn app(metrics: &MetricsRegistry) -> Router {
    let router = Router::new()
        .route("/things/{name}", get(|path: extract::GraphPath| async move { path.name }))
        .route("/bodies", post(|body: body::DescriptorBody| async move { body.text }))
        .route("/json", post(|body::JsonBody(body): body::JsonBody<Numbers>| async move { Json(body) }))
        .route("/panic", get(panicking))
        .merge(documentation(openapi()));
    layered(router, metrics.clone(), 64, LegacyGet(true))
}

async fn panicking() -> StatusCode {
    panic!("on purpose")
}

async fn send(request: axum::http::request::Builder, body: impl Into<Body>) -> Response {
    let metrics = MetricsRegistry::new(telemetry::registry());
    app(&metrics).oneshot(request.body(body.into()).unwrap()).await.unwrap()
}

async fn problem(response: Response) -> Value {
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["status"], &problem["request_id"]), (&json!(status), &json!(id)));
    problem
}

#[test]
fn the_document_in_the_repository_is_up_to_date() {
    let recorded: Value = serde_json::from_str(include_str!("../../docs/openapi.json")).unwrap();
    assert!(
        recorded == serde_json::to_value(openapi()).unwrap(),
        "run `make documents`, and look at what changed"
    );
}

#[test]
fn operation_ids_are_unique_and_every_operation_tells_its_errors() {
    let document = serde_json::to_value(document(routes(true).merge(probes()).into_openapi(), true)).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations: Vec<_> = paths.values().flat_map(|item| item.as_object().unwrap().values()).collect();
    let ids: BTreeSet<_> =
        operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    for operation in operations {
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("4XX") && responses.contains_key("5XX"), "{operation}");
    }
}

/// Every object of a document, however deep.
fn objects(value: &Value) -> Vec<&serde_json::Map<String, Value>> {
    match value {
        Value::Object(members) => {
            std::iter::once(members).chain(members.values().flat_map(objects)).collect()
        }
        Value::Array(items) => items.iter().flat_map(objects).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_reference_in_the_document_resolves() {
    let document = serde_json::to_value(document(routes(true).merge(probes()).into_openapi(), true)).unwrap();
    let references = objects(&document).into_iter().filter_map(|object| object.get("$ref")?.as_str());
    let mut count = 0;
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        count += 1;
    }
    assert!(count > 100, "only {count} references were found");
}

/// Whether the schema of that name in the document takes the value.
fn takes(schema: &str, value: &Value) -> bool {
    let mut document = serde_json::to_value(openapi()).unwrap();
    document["$ref"] = json!(format!("#/components/schemas/{schema}"));
    jsonschema::validator_for(&document).unwrap().is_valid(value)
}

#[test]
fn attributes_are_answered_as_documented_and_their_limits_are_stated() {
    let stated = json!({ "price_per_core_hour": 0.0, "latencies_ms": { "cloud": 25.0 } });
    assert!(takes("ClusterAttributes", &stated));
    let mut answer = stated.clone();
    answer["set"] = stated;
    assert!(takes("Attributes", &answer));
    assert!(!takes("ClusterAttributes", &answer), "{answer}");
    assert!(takes("ClusterAttributes", &json!({ "trusted": null, "region": null })));
    for wrong in [
        json!({ "price_per_core_hour": -1 }),
        json!({ "activation_cost": 1_000_001 }),
        json!({ "latencies_ms": { "cloud": -1 } }),
        json!({ "latencies_ms": null }),
        json!({ "odd": 1 }),
    ] {
        assert!(!takes("ClusterAttributes", &wrong), "{wrong}");
    }
}

#[test]
fn the_limits_of_a_profile_are_stated() {
    for right in [
        json!({ "alpha": 1 }),
        json!({ "alpha": 1, "query": null, "rate_from": "a", "window": "1m", "min": null }),
        json!({ "alpha": 1, "query": "up" }),
    ] {
        assert!(takes("SetProfileRequest", &right), "{right}");
    }
    for wrong in [
        json!({}),
        json!({ "alpha": 0 }),
        json!({ "alpha": 1, "min": 0 }),
        json!({ "alpha": 1, "max": 10_001 }),
        json!({ "alpha": 1, "beta": -2e9 }),
        json!({ "alpha": 1, "query": "up", "rate_from": "a" }),
        json!({ "alpha": 1, "rate_from": "A" }),
        json!({ "alpha": 1, "odd": 1 }),
    ] {
        assert!(!takes("SetProfileRequest", &wrong), "{wrong}");
    }
}

#[test]
fn levers_of_the_simulation_are_documented_only_in_simulated_mode() {
    let has_levers = |simulated| {
        let document = document(routes(simulated).merge(probes()).into_openapi(), simulated);
        ["/simulation/", "Levers"].map(|word| serde_json::to_string(&document).unwrap().contains(word))
    };
    assert_eq!(has_levers(true), [true, true]);
    assert_eq!(has_levers(false), [false, false]);
}

#[test]
fn state_changing_gets_are_deprecated() {
    let document = serde_json::to_value(openapi()).unwrap();
    for action in ["start", "stop"] {
        let item = &document["paths"][format!("/graphs/{{name}}/{action}")];
        assert_eq!((&item["get"]["deprecated"], &item["post"]["deprecated"]), (&json!(true), &json!(null)));
    }
}

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    let problem = problem(send(Request::get("/nowhere"), "").await).await;
    assert_eq!(problem["type"], "urn:smo:problem:not-found");
}

#[tokio::test]
async fn a_wrong_method_is_a_problem_that_names_the_right_ones() {
    let response = send(Request::delete("/things/a"), "").await;
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    assert_eq!(problem(response).await["status"], 405);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_a_problem() {
    let response =
        send(Request::post("/bodies").header(header::CONTENT_TYPE, "text/yaml"), "x".repeat(65)).await;
    assert_eq!(problem(response).await["status"], 413);
    let response =
        send(Request::post("/bodies").header(header::CONTENT_TYPE, "text/yaml"), "x".repeat(64)).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_wrong_media_type_is_a_problem_that_names_the_right_ones() {
    let response = send(Request::post("/bodies"), "hdaGraph: {}").await;
    assert!(response.headers()[header::ACCEPT].to_str().unwrap().contains("application/x-yaml"));
    let problem = problem(response).await;
    assert_eq!(problem["status"], 415);
    assert!(problem["detail"].as_str().unwrap().contains("application/json, application/yaml"), "{problem}");
}

#[tokio::test]
async fn json_of_another_shape_is_a_problem() {
    for body in [r#"{"numbers": [1,"#, r#"{"a": 1}"#, "", "\n", "[[1]]", "null", "1"] {
        let response =
            send(Request::post("/json").header(header::CONTENT_TYPE, "application/json"), body).await;
        let problem = problem(response).await;
        assert_eq!(problem["status"], 400, "{body}");
        assert!(takes("Problem", &problem), "{body}: {problem}");
    }
}

#[tokio::test]
async fn json_of_another_shape_tells_the_place() {
    let body = "{\"numbers\": [1,\n true]}";
    let response = send(Request::post("/json").header(header::CONTENT_TYPE, "application/json"), body).await;
    let problem = problem(response).await;
    let finding = &problem["errors"][0];
    assert_eq!((&finding["pointer"], &finding["line"]), (&json!("/numbers/1"), &json!(2)), "{problem}");
    assert!(finding["message"].as_str().unwrap().contains("expected i64"), "{problem}");
}

#[tokio::test]
async fn the_character_nul_is_refused_everywhere() {
    for address in ["/things/a%00", "/things/a?x=%00", "/nowhere%00"] {
        assert_eq!(problem(send(Request::get(address), "").await).await["status"], 400, "{address}");
    }
    assert_eq!(send(Request::get("/things/a%2500"), "").await.status(), StatusCode::OK);
    for body in [r#"{"numbers": [1, "\u0000"]}"#, r#"{"a": [0, {"b\u0000": 1}]}"#] {
        let response =
            send(Request::post("/json").header(header::CONTENT_TYPE, "application/json"), body).await;
        let problem = problem(response).await;
        assert!(problem["detail"].as_str().unwrap().contains("NUL"), "{problem}");
        assert!(problem["errors"][0]["pointer"].as_str().is_some_and(|at| at.len() > 1), "{problem}");
    }
}

#[tokio::test]
async fn a_name_that_no_graph_can_have_is_not_found() {
    for name in ["a%2Fb", "a%0Ab", &"x".repeat(254)] {
        let problem = problem(send(Request::get(format!("/things/{name}")), "").await).await;
        assert_eq!(problem["type"], "urn:smo:problem:not-found", "{name}");
    }
    assert_eq!(send(Request::get("/things/gr%C3%BCn%20x"), "").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_panic_is_answered_and_does_not_show_its_text() {
    let problem = problem(send(Request::get("/panic"), "").await).await;
    assert_eq!(problem["status"], 500);
    assert!(!problem.to_string().contains("on purpose"));
}

#[tokio::test]
async fn a_sane_request_id_is_kept_and_another_one_is_replaced() {
    let id = async |given: &str| {
        let response = send(Request::get("/things/a").header("x-request-id", given), "").await;
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id("abc-1").await, "abc-1");
    for wrong in ["", "two words", &"x".repeat(129)] {
        let made = id(wrong).await;
        assert!(uuid::Uuid::parse_str(&made).is_ok(), "{wrong:?} led to {made}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_name() {
    let metrics = MetricsRegistry::new(telemetry::registry());
    for path in ["/things/a", "/things/b", "/nowhere"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app(&metrics).oneshot(request).await.unwrap();
    }
    let text = metrics.encode().unwrap();
    for line in [
        r#"smo_http_requests_total{method="GET",path="/things/{name}",status="200"} 2"#,
        r#"smo_http_requests_total{method="GET",path="unmatched",status="404"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn the_document_and_swagger_ui_are_served() {
    for path in ["/openapi.json", "/smo-api-spec.json"] {
        let response = send(Request::get(path), "").await;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let document: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(document, serde_json::to_value(openapi()).unwrap());
    }
    let redirect = send(Request::get("/docs"), "").await;
    assert!(redirect.status().is_redirection());
    assert_eq!(redirect.headers()[header::LOCATION], "/docs/");
    let page = send(Request::get("/docs/"), "").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
}
