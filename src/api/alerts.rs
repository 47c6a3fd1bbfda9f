//! The webhook of Alertmanager.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::extract::Context;
use super::problem::{ApiError, CommonErrors};
use crate::app::{Alert, App, IgnoredAlert};
use crate::error::Error;
use crate::hdag::{Finding, escape_pointer};

/// A notification of Alertmanager (version 4); members that are not listed are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the body in the document")]
pub struct AlertNotification {
    /// Status of alerts that do not state their own.
    status: Option<AlertStatus>,
    /// The alerts.
    alerts: Vec<NotifiedAlert>,
}

/// One alert of a notification.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only describes the body in the document")]
pub struct NotifiedAlert {
    /// Whether it fires; an alert without a status does.
    status: Option<AlertStatus>,
    /// Labels; `service` names the service to deploy, `graph` and `project` narrow it down.
    #[schema(example = json!({"alertname": "frames-high", "graph": "brussels", "service": "image-compression-vo"}))]
    labels: BTreeMap<String, String>,
}

/// Whether an alert fires.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only describes the body in the document")]
pub enum AlertStatus {
    /// Its condition holds.
    Firing,
    /// Its condition no longer holds.
    Resolved,
}

/// The outcome of a notification.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertsResponse {
    /// Always the same.
    #[schema(example = "Alert received")]
    message: &'static str,
    /// The notification as received.
    #[schema(value_type = BTreeMap<String, Value>, example = json!({"version": "4", "status": "firing", "alerts": []}))]
    data: Value,
    /// Services that are deployed because of it.
    deployed: Vec<DeployedService>,
    /// Alerts that led to nothing.
    ignored: Vec<IgnoredAlert>,
}

/// A service that an alert named.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeployedService {
    /// Its graph.
    #[schema(example = "brussels")]
    graph: String,
    /// Its name.
    #[schema(example = "image-compression-vo")]
    service: String,
}

/// Receive a notification of Alertmanager: deploy the conditional services that firing alerts name.
///
/// The answer never waits for the deployment. Alerts that name nothing known are listed in it; the same
/// notification again does no harm.
#[utoipa::path(
    post, path = "/alerts", operation_id = "receive_alerts", tag = "alerts", request_body = AlertNotification,
    responses((status = 200, description = "What the notification led to", body = AlertsResponse), CommonErrors)
)]
pub(super) async fn receive_alerts(
    State(app): State<App>,
    Context(mut context): Context,
    JsonBody(data): JsonBody<Value>,
) -> Result<Json<AlertsResponse>, ApiError> {
    "alertmanager".clone_into(&mut context.actor);
    let Notification { alerts, odd } = read(&data)?;
    let mut outcome = app.receive_alerts(&alerts, &context).await?;
    outcome.ignored.extend(odd);
    let deployed =
        |target: crate::app::AlertTarget| DeployedService { graph: target.graph, service: target.service };
    Ok(Json(AlertsResponse {
        message: "Alert received",
        data,
        deployed: outcome.deployed.into_iter().map(deployed).collect(),
        ignored: outcome.ignored,
    }))
}

/// The alerts of a notification.
#[derive(Debug)]
struct Notification {
    alerts: Vec<Alert>,
    /// Alerts that cannot be read.
    odd: Vec<IgnoredAlert>,
}

/// Reads a notification. One odd alert does not lose the others, but a notification of which nothing can be read
/// is refused, with all faults and their places.
fn read(notification: &Value) -> Result<Notification, Error> {
    let mut findings = Vec::new();
    let default = firing(notification.get("status"), "/status", &mut findings).unwrap_or(true);
    let items = match notification.get("alerts") {
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => {
            findings.push(Finding::new("/alerts", "must be a list"));
            &[]
        }
        None if notification.is_object() => {
            findings.push(Finding::new("/alerts", "is missing"));
            &[]
        }
        None => {
            findings.push(Finding::new("", "must be an object with a list alerts"));
            &[]
        }
    };
    let is_notification = findings.is_empty();
    let (mut alerts, mut odd) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let known = findings.len();
        let read = alert(index, item, default, &mut findings);
        match (read, &findings[known..]) {
            (Some(alert), []) => alerts.push(alert),
            (_, faults) => odd.push(ignored(item, faults)),
        }
    }
    if is_notification && (odd.is_empty() || !alerts.is_empty()) {
        return Ok(Notification { alerts, odd });
    }
    Err(Error::Invalid { detail: "the body is no notification of Alertmanager".to_owned(), findings })
}

/// An alert that cannot be read, with those of its labels that can.
fn ignored(item: &Value, faults: &[Finding]) -> IgnoredAlert {
    let labels = item.get("labels").and_then(Value::as_object).into_iter().flatten();
    let texts = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    let faults: Vec<String> =
        faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.message)).collect();
    IgnoredAlert { labels: texts.collect(), reason: faults.join("; ") }
}

fn alert(index: usize, item: &Value, default: bool, findings: &mut Vec<Finding>) -> Option<Alert> {
    let at = format!("/alerts/{index}");
    let Value::Object(item) = item else {
        findings.push(Finding::new(at, "must be an object"));
        return None;
    };
    let firing = firing(item.get("status"), &format!("{at}/status"), findings).unwrap_or(default);
    match item.get("labels") {
        Some(Value::Object(labels)) => Some(Alert { firing, labels: read_labels(&at, labels, findings) }),
        Some(_) => {
            findings.push(Finding::new(format!("{at}/labels"), "must be an object"));
            None
        }
        None => {
            findings.push(Finding::new(format!("{at}/labels"), "is missing"));
            None
        }
    }
}

/// `None` when nothing usable is stated.
fn firing(status: Option<&Value>, pointer: &str, findings: &mut Vec<Finding>) -> Option<bool> {
    match status? {
        Value::Null => None,
        Value::String(text) if text == "firing" => Some(true),
        Value::String(text) if text == "resolved" => Some(false),
        other => {
            findings.push(Finding::new(pointer, format!("must be firing or resolved, not {other}")));
            None
        }
    }
}

fn read_labels(
    at: &str,
    labels: &Map<String, Value>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for (name, value) in labels {
        match value {
            Value::String(text) => drop(texts.insert(name.clone(), text.clone())),
            _ => {
                let place = format!("{at}/labels/{}", escape_pointer(name));
                findings.push(Finding::new(place, "must be a text"));
            }
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(notification: &Value) -> Vec<String> {
        match read(notification) {
            Err(Error::Invalid { findings, .. }) => {
                findings.into_iter().map(|finding| finding.pointer).collect()
            }
            other => panic!("expected findings, got {other:?}"),
        }
    }

    #[test]
    fn a_version_4_notification_is_read() {
        let notification = json!({
            "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing", "receiver": "smo",
            "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
            "alerts": [
                {"status": "firing", "labels": {"alertname": "a", "service": "s"}, "annotations": {},
                 "startsAt": "2026-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f"},
                {"status": "resolved", "labels": {"service": "t"}},
            ],
        });
        let alerts = read(&notification).unwrap().alerts;
        assert_eq!(alerts.iter().map(|alert| alert.firing).collect::<Vec<_>>(), [true, false]);
        assert_eq!(alerts[0].labels["service"], "s");
    }

    #[test]
    fn an_alert_without_a_status_follows_the_notification() {
        let firing = |notification: Value| read(&notification).unwrap().alerts[0].firing;
        assert!(firing(json!({"alerts": [{"labels": {}}]})));
        assert!(!firing(json!({"status": "resolved", "alerts": [{"labels": {}}]})));
    }

    #[test]
    fn one_odd_alert_does_not_lose_the_others() {
        let good = json!({"labels": {"alertname": "a", "service": "s"}});
        for (odd, reason) in [
            (
                json!({"labels": {"alertname": "Forwarded", "priority": 3}}),
                "/alerts/1/labels/priority must be a text",
            ),
            (json!({"labels": null}), "/alerts/1/labels must be an object"),
            (
                json!({"status": "acked", "labels": {}}),
                "/alerts/1/status must be firing or resolved, not \"acked\"",
            ),
            (json!("text"), "/alerts/1 must be an object"),
        ] {
            let found = read(&json!({"alerts": [good, odd]})).unwrap();
            assert_eq!((found.alerts.len(), found.odd.len()), (1, 1), "{odd}");
            assert_eq!(found.odd[0].reason, reason);
        }
        let found = read(&json!({"alerts": [good, {"labels": {"alertname": "Forwarded", "n": 3}}]})).unwrap();
        assert_eq!(found.odd[0].labels, BTreeMap::from([("alertname".to_owned(), "Forwarded".to_owned())]));
    }

    #[test]
    fn every_fault_has_its_place() {
        assert_eq!(pointers(&json!([])), [""]);
        assert_eq!(pointers(&json!({})), ["/alerts"]);
        assert_eq!(pointers(&json!({"alerts": {}})), ["/alerts"]);
        let wrong =
            json!({"status": 1, "alerts": [3, {"status": "odd"}, {"labels": {"a/b": 1}}, {"labels": []}]});
        assert_eq!(
            pointers(&wrong),
            [
                "/status",
                "/alerts/0",
                "/alerts/1/status",
                "/alerts/1/labels",
                "/alerts/2/labels/a~1b",
                "/alerts/3/labels"
            ]
        );
    }
}
