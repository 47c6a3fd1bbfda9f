//! Conditional services: Alertmanager's webhook, and the regular question to Prometheus.

use serde_json::{Value, json};

use smo::faults::Faults;
use smo::simulation::Operation;

use crate::support::app::{Answer, LIMIT, TestApp, conditional, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};
use crate::wait::eventually;

on_every_engine!(
    a_firing_alert_deploys_its_service_and_redelivery_is_harmless,
    alerts_that_lead_to_nothing_are_listed_with_the_reason,
    labels_narrow_the_target,
    an_alert_that_is_no_event_of_the_service_deploys_nothing,
    one_odd_alert_does_not_lose_the_others,
    what_prometheus_says_of_the_rules_is_told,
    a_lost_webhook_delays_a_deployment_and_does_not_lose_it,
    an_alert_that_changes_nothing_wakes_nobody,
    a_payload_of_another_shape_is_refused_with_its_places,
);

fn payload(alerts: &[(&str, Value)]) -> Value {
    let alerts: Vec<Value> =
        alerts.iter().map(|(status, labels)| json!({ "status": status, "labels": labels })).collect();
    json!({ "version": "4", "status": "firing", "receiver": "smo", "alerts": alerts })
}

async fn deploy(app: &TestApp, project: &str, name: &str) {
    let services = [service("a", json!({})), conditional("b")];
    let posted = app.post(&format!("/project/{project}/graphs"), &graph(name, &services)).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
}

fn b_is(status: &'static str) -> impl Fn(&Answer) -> bool {
    move |answer| answer.body["services"][1]["status"] == status
}

async fn a_firing_alert_deploys_its_service_and_redelivery_is_harmless(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app, "demo", "g").await;
    let firing = payload(&[("firing", json!({ "service": "b" }))]);
    let answer = app.post("/alerts", &firing).await;
    assert_eq!((answer.status, &answer.body["message"]), (200, &json!("Alert received")));
    assert_eq!(answer.body["data"], firing);
    assert_eq!(answer.body["deployed"], json!([{ "graph": "g", "service": "b" }]));
    app.until("g", "has deployed b", b_is("Deployed")).await;
    let again = app.post("/alerts", &firing).await;
    assert_eq!((again.status, &again.body["deployed"]), (200, &json!([])));
    assert_eq!(app.world.revision("demo", "b"), Some(1));
    app.shutdown().await;
}

async fn alerts_that_lead_to_nothing_are_listed_with_the_reason(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app, "demo", "g").await;
    let answer = app
        .post(
            "/alerts",
            &payload(&[
                ("resolved", json!({ "service": "b" })),
                ("firing", json!({ "service": "nobody" })),
                ("firing", json!({ "service": "a" })),
                ("firing", json!({ "alertname": "Watchdog" })),
            ]),
        )
        .await;
    assert_eq!((answer.status, &answer.body["deployed"]), (200, &json!([])), "{:#}", answer.body);
    assert_eq!(answer.body["ignored"].as_array().map(Vec::len), Some(4), "{:#}", answer.body);
    assert_eq!(app.post("/graphs/g/stop", &Value::Null).await.status, 200);
    let answer = app.post("/alerts", &payload(&[("firing", json!({ "service": "b" }))])).await;
    assert!(
        answer.body["ignored"][0]["reason"].as_str().is_some_and(|r| r.contains("not running")),
        "{:#}",
        answer.body
    );
    assert_eq!(app.world.revision("demo", "b"), None);
    app.shutdown().await;
}

async fn labels_narrow_the_target(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app, "one", "g").await;
    deploy(&app, "two", "h").await;
    let answer = app.post("/alerts", &payload(&[("firing", json!({ "service": "b", "graph": "h" }))])).await;
    assert_eq!(answer.body["deployed"], json!([{ "graph": "h", "service": "b" }]));
    let answer =
        app.post("/alerts", &payload(&[("firing", json!({ "service": "b", "project": "one" }))])).await;
    assert_eq!(answer.body["deployed"], json!([{ "graph": "g", "service": "b" }]));
    app.shutdown().await;
}

async fn a_lost_webhook_delays_a_deployment_and_does_not_lose_it(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app, "demo", "g").await;
    app.world.set_alert_firing("g", "b", true).unwrap();
    app.until("g", "has deployed b", b_is("Deployed")).await;
    let events = app.get("/graphs/g/events").await;
    assert!(events.text.contains("\"prometheus\""), "{}", events.text);
    app.shutdown().await;
}

async fn an_alert_that_changes_nothing_wakes_nobody(database: TestDatabase) {
    let often = |settings: &mut smo::config::Settings| {
        settings.reconcile.alert_poll = std::time::Duration::from_millis(20);
    };
    let app = TestApp::start_with(&database, world(), Faults::none(), often).await;
    deploy(&app, "demo", "g").await;
    app.world.set_alert_firing("g", "b", true).unwrap();
    app.until("g", "has deployed b", |answer| answer.body["ready"] == true && b_is("Deployed")(answer)).await;
    let before = app.until_at_rest().await;
    let polls = app.world.calls(Operation::FiringAlerts);
    for _ in 0..3 {
        let answer = app.post("/alerts", &payload(&[("firing", json!({ "service": "b" }))])).await;
        assert_eq!((answer.status, &answer.body["deployed"]), (200, &json!([])), "{:#}", answer.body);
    }
    eventually("Prometheus is asked, too", LIMIT, async || {
        let asked = app.world.calls(Operation::FiringAlerts) - polls;
        if asked > 3 { Ok(()) } else { Err(format!("{asked} times")) }
    })
    .await;
    assert_eq!(app.until_at_rest().await, before, "reconciles");
    app.shutdown().await;
}

async fn a_payload_of_another_shape_is_refused_with_its_places(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    for wrong in [
        json!({}),
        json!({ "alerts": 1 }),
        json!([]),
        json!({ "alerts": [{ "status": "firing" , "labels": 3 }] }),
    ] {
        let refused = app.post("/alerts", &wrong).await;
        assert_eq!(refused.status, 400, "{wrong}: {:#}", refused.body);
        assert!(refused.body["errors"][0]["pointer"].is_string(), "{wrong}: {:#}", refused.body);
    }
    app.shutdown().await;
}

async fn an_alert_that_is_no_event_of_the_service_deploys_nothing(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app, "demo", "g").await;
    // As kube-prometheus has it: `service` is the name of a Service of Kubernetes.
    let target_down = json!({ "alertname": "TargetDown", "job": "b", "service": "b", "severity": "warning" });
    let answer = app.post("/alerts", &payload(&[("firing", target_down)])).await;
    assert_eq!((answer.status, &answer.body["deployed"]), (200, &json!([])), "{:#}", answer.body);
    let reason = "the alert is no event of service \"b\" of graph \"g\"";
    assert_eq!(answer.body["ignored"][0]["reason"], reason);
    let other_graph = json!({ "alertname": "b-wanted", "service": "b", "graph": "other" });
    let answer = app.post("/alerts", &payload(&[("firing", other_graph)])).await;
    assert_eq!(answer.body["deployed"], json!([]), "{:#}", answer.body);
    let own = json!({ "alertname": "b-wanted", "service": "b" });
    let answer = app.post("/alerts", &payload(&[("firing", own)])).await;
    assert_eq!(answer.body["deployed"], json!([{ "graph": "g", "service": "b" }]), "{:#}", answer.body);
    app.shutdown().await;
}

async fn one_odd_alert_does_not_lose_the_others(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    deploy(&app, "demo", "g").await;
    let labels = json!({ "alertname": "b-wanted", "graph": "g", "project": "demo", "service": "b" });
    let odd = json!({ "alertname": "Forwarded", "priority": 3 });
    let answer = app.post("/alerts", &payload(&[("firing", labels), ("firing", odd)])).await;
    assert_eq!(answer.status, 200, "{:#}", answer.body);
    assert_eq!(answer.body["deployed"], json!([{ "graph": "g", "service": "b" }]));
    let ignored = json!({ "labels": { "alertname": "Forwarded" }, "reason": "/alerts/1/labels/priority must be a text" });
    assert_eq!(answer.body["ignored"], json!([ignored]));
    app.shutdown().await;
}

/// Status, reason and message of the condition `RulesPublished`.
fn rules_published(answer: &Answer) -> [String; 3] {
    let conditions = answer.body["conditions"].as_array().cloned().unwrap_or_default();
    let found =
        conditions.into_iter().find(|condition| condition["type"] == "RulesPublished").unwrap_or_default();
    ["status", "reason", "message"].map(|member| found[member].as_str().unwrap_or_default().to_owned())
}

async fn what_prometheus_says_of_the_rules_is_told(database: TestDatabase) {
    let at_once = |settings: &mut smo::config::Settings| {
        settings.monitoring.rules_loaded_within = std::time::Duration::ZERO;
        settings.reconcile.alert_poll = std::time::Duration::from_millis(50);
    };
    let app = TestApp::start_with(&database, world(), Faults::none(), at_once).await;
    deploy(&app, "demo", "g").await;
    let is = |reason: &'static str| move |answer: &Answer| rules_published(answer)[1] == reason;
    app.until("g", "has its rules", is("Published")).await;
    app.world.set_rules_of("g", true, Some("vector contains metrics with the same labelset"));
    let failing = app.until("g", "tells that a rule fails", is("RuleFails")).await;
    let [status, _, message] = rules_published(&failing);
    assert_eq!(status, "False");
    let expected = "Prometheus cannot evaluate b-wanted: vector contains metrics with the same labelset";
    assert_eq!(message, expected);
    app.world.set_rules_of("g", false, None);
    let missing = app.until("g", "tells that they are not loaded", is("NotLoaded")).await;
    assert!(rules_published(&missing)[2].contains("monitoring.rule_labels"));
    app.world.set_rules_of("g", true, None);
    app.until("g", "has its rules again", is("Published")).await;
    app.shutdown().await;
}
