//! Conditional services: rule → Prometheus → Alertmanager → `/alerts` → deployed; and without Alertmanager.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Bed, variable};
use crate::brussels::brussels;
use crate::charts::push_own;
use crate::leftovers::Inventory;
use crate::server::{Data, Options, Server, service};
use crate::wait::eventually;

const VO: &str = "image-compression-vo";

async fn deploy_and_load(bed: &Bed, server: &Server) {
    let body = brussels(bed).await.to_string();
    let (status, graph) = server.post("/project/brussels/graphs", "application/json", body).await;
    assert_eq!(status, 200, "{graph:#}");
    assert_eq!(service(&graph, VO)["status"], "Pending");
    eventually("Prometheus has the rule", Duration::from_secs(60), || async {
        let rules = prometheus("/api/v1/rules").await;
        if rules.to_string().contains("noise-reduction-busy") { Ok(()) } else { Err(rules.to_string()) }
    })
    .await;
    bed.set_rate("noise-reduction", 50.0).await;
}

async fn end_load(bed: &Bed) {
    bed.set_rate("noise-reduction", 0.0).await;
    eventually("the alert ends", Duration::from_secs(90), || async {
        let alerts = prometheus("/api/v1/alerts").await;
        let none = alerts["data"]["alerts"].as_array().is_some_and(Vec::is_empty);
        if none { Ok(()) } else { Err(alerts.to_string()) }
    })
    .await;
}

async fn prometheus(path: &str) -> Value {
    let url = format!("{}{path}", variable("PROMETHEUS_HOST"));
    let answer = reqwest::get(url).await.expect("Prometheus answers").text().await.expect("text");
    serde_json::from_str(&answer).expect("JSON")
}

async fn assert_deployed_by(server: &Server, actor: &str) {
    server
        .until("brussels-demo", "has its virtual object", |_, graph| service(graph, VO)["ready"] == true)
        .await;
    let (_, events) = server.get("/graphs/brussels-demo/events").await;
    let triggered: Vec<&Value> = events
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["type"] == "service.triggered")
        .collect();
    assert_eq!(triggered.len(), 1, "{events:#}");
    assert_eq!(triggered[0]["actor"], actor, "{events:#}");
}

#[tokio::test]
async fn a_firing_alert_deploys_the_conditional_service_through_alertmanager() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    // The regular question to Prometheus is put off: what deploys the service is the webhook.
    let environment = vec![("SMO_ALERT_POLL".to_owned(), "600".to_owned())];
    let server = Server::start(&bed, &data, &Options { port: Some(bed.webhook_port()), environment }).await;
    deploy_and_load(&bed, &server).await;
    assert_deployed_by(&server, "alertmanager").await;
    end_load(&bed).await;
    server.delete_graph("brussels-demo").await;
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn a_firing_alert_deploys_the_conditional_service_without_alertmanager() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let environment = vec![("SMO_ALERT_POLL".to_owned(), "1".to_owned())];
    let server = Server::start(&bed, &data, &Options { port: None, environment }).await;
    bed.stop("alertmanager").await;
    deploy_and_load(&bed, &server).await;
    assert_deployed_by(&server, "prometheus").await;
    end_load(&bed).await;
    bed.start("alertmanager").await;
    server.delete_graph("brussels-demo").await;
}

/// A service that is deployed when all of these hold.
fn when(id: &str, chart: &str, conditions: &[&str]) -> Value {
    let event = |(number, query): (usize, &&str)| {
        let condition =
            json!({ "promQuery": query, "gracePeriod": "0s", "description": "load is {{ $value }" });
        json!({ "id": format!("{id}-{number}"), "condition": condition })
    };
    let events: Vec<Value> = conditions.iter().enumerate().map(event).collect();
    json!({
        "id": id,
        "deployment": { "trigger": { "event": { "condition": "ALL", "events": events } } },
        "artifact": { "ociImage": chart },
    })
}

/// The condition `RulesPublished`.
fn rules_published(graph: &Value) -> Value {
    let conditions = graph["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == "RulesPublished").unwrap_or_default()
}

#[tokio::test]
async fn rules_hold_whatever_users_write_and_those_that_prometheus_cannot_evaluate_are_told() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let environment = vec![("SMO_ALERT_POLL".to_owned(), "1".to_owned())];
    let server = Server::start(&bed, &data, &Options { port: None, environment }).await;
    let chart = push_own(&bed, "sidecar").await;
    let services = [
        // Two series that differ in nothing but the label `service`, which the rule sets.
        when("same-labels", &chart, &["sum by (service) (rate(flask_http_request_total[20s])) > 5"]),
        when("joined", &chart, &["vector(1) > 0 # always", "scalar(vector(2)) > bool 1"]),
    ];
    let graph = json!({ "hdaGraph": { "id": "rules", "services": services } }).to_string();
    let (status, answer) = server.post("/project/rules/graphs", "application/json", graph).await;
    assert_eq!(status, 200, "{answer:#}");
    for loaded in ["alpha", "beta"] {
        bed.set_rate(loaded, 20.0).await;
    }
    for name in ["joined", "same-labels"] {
        let is_ready = |_: u16, graph: &Value| service(graph, name)["ready"] == true;
        server.until("rules", &format!("has {name}"), is_ready).await;
    }
    assert_eq!(rules_published(&server.get("/graphs/rules").await.1)["status"], "True");
    for loaded in ["alpha", "beta"] {
        bed.remove_rate(loaded).await;
    }

    let services = [when("never", &chart, &["up * on() up"])];
    let graph = json!({ "hdaGraph": { "id": "failing", "services": services } }).to_string();
    let (status, answer) = server.post("/project/rules/graphs", "application/json", graph).await;
    assert_eq!(status, 200, "{answer:#}");
    let fails = |_: u16, graph: &Value| rules_published(graph)["reason"] == "RuleFails";
    let told = server.until("failing", "tells that its rule fails", fails).await;
    let message = rules_published(&told)["message"].to_string();
    assert!(message.contains("Prometheus cannot evaluate never-0"), "{message}");
    for graph in ["rules", "failing"] {
        server.delete_graph(graph).await;
    }
    before.assert_restored(&bed).await;
}
