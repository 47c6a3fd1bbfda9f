use chrono::{TimeZone as _, Utc};
use serde_json::{Value, json};

use super::*;
use crate::hdag::Location;
use crate::optimizer::placement::{ClusterVerdict, Violation};
use crate::store::StoreError;

/// Status, `Retry-After` and body of the answer to an error.
async fn answer(error: Error) -> (u16, Option<String>, Value) {
    let response = complete(ApiError::from(error).into_response(), "req-1");
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, retry, serde_json::from_slice(&body).unwrap())
}

fn client(kind: ClientErrorKind) -> Error {
    Error::Client(ClientError::new("karmada", kind, "no luck"))
}

#[tokio::test]
async fn a_problem_has_all_members_old_and_new() {
    let mut finding = Finding::new("/hdaGraph/id", "must not be empty");
    finding.location = Some(Location { line: 2, column: 7 });
    let (status, _, body) =
        answer(Error::Invalid { detail: "the descriptor is invalid".to_owned(), findings: vec![finding] })
            .await;
    assert_eq!(status, 400);
    assert_eq!(
        body,
        json!({
            "type": "urn:smo:problem:invalid",
            "title": "Invalid request",
            "status": 400,
            "detail": "the descriptor is invalid",
            "errors": [{"pointer": "/hdaGraph/id", "message": "must not be empty", "line": 2, "column": 7}],
            "request_id": "req-1",
            "error": "Invalid request",
            "message": "the descriptor is invalid",
        })
    );
}

#[tokio::test]
async fn every_error_has_its_status() {
    let stale = || Error::Stale {
        observed_at: Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).single(),
        retry_after: Duration::from_millis(1200),
    };
    let cases = [
        (Error::invalid("/a", "b"), 400, "invalid", None),
        (Error::TooLarge("x".to_owned()), 413, "too-large", None),
        (Error::no_graph("g"), 404, "not-found", None),
        (Error::State("x".to_owned()), 400, "state", None),
        (Error::Conflict("x".to_owned()), 409, "conflict", None),
        (stale(), 503, "stale", Some("2")),
        (Error::Busy { waiting: 64, retry_after: Duration::from_secs(5) }, 429, "busy", Some("5")),
        (
            Error::NotConfigured { system: "prometheus", setting: "PROMETHEUS_HOST" },
            503,
            "not-configured",
            None,
        ),
        (client(ClientErrorKind::NotFound), 502, "upstream-failed", None),
        (client(ClientErrorKind::Unauthorised), 502, "upstream-failed", None),
        (client(ClientErrorKind::Invalid), 502, "upstream-failed", None),
        (client(ClientErrorKind::Failed), 502, "upstream-failed", Some("10")),
        (client(ClientErrorKind::Unreachable), 503, "unavailable", Some("10")),
        (client(ClientErrorKind::CircuitOpen), 503, "unavailable", Some("10")),
        (client(ClientErrorKind::Timeout), 504, "upstream-timeout", Some("10")),
        (client(ClientErrorKind::Conflict), 409, "conflict", None),
        (Error::Store(StoreError::Database(sqlx::Error::PoolTimedOut)), 503, "unavailable", Some("10")),
        (Error::Store(StoreError::Database(sqlx::Error::RowNotFound)), 500, "internal", None),
        (Error::Internal("secret".into()), 500, "internal", None),
    ];
    for (error, status, name, retry) in cases {
        let shown = format!("{error:?}");
        let (found, found_retry, body) = answer(error).await;
        assert_eq!((found, found_retry.as_deref()), (status, retry), "{shown}");
        assert_eq!(body["type"], format!("urn:smo:problem:{name}"), "{shown}");
        assert_eq!(body["status"], status, "{shown}");
    }
}

#[tokio::test]
async fn an_outside_system_that_failed_is_named() {
    let (.., body) = answer(client(ClientErrorKind::Timeout)).await;
    assert_eq!(body["system"], "karmada");
    assert_eq!(body["detail"], "karmada: timed out: no luck");
}

#[tokio::test]
async fn the_cause_of_an_internal_error_is_not_shown() {
    for error in [
        Error::Internal("postgres://u:hush@h".into()),
        Error::Store(StoreError::Database(sqlx::Error::Protocol("hush".to_owned()))),
    ] {
        let (.., body) = answer(error).await;
        assert!(!body.to_string().contains("hush"), "{body}");
    }
}

#[tokio::test]
async fn an_infeasible_placement_is_explained() {
    let explanation = Infeasibility {
        strategy: "first-fit".into(),
        summary: "service a fits nowhere".to_owned(),
        services: vec!["a".to_owned()],
        clusters: vec![ClusterVerdict {
            cluster: "edge-1".to_owned(),
            feasible: false,
            violated: vec![Violation::Cpu { needed: 8000, free: 1500 }],
            cost_difference: None,
        }],
        proven: false,
        conflict: Vec::new(),
        minimal: false,
        cut_short: false,
        relaxations: Vec::new(),
    };
    let (status, _, body) = answer(Error::Infeasible(Box::new(explanation))).await;
    assert_eq!((status, &body["detail"]), (409, &json!("service a fits nowhere")));
    assert_eq!(
        body["explanation"]["clusters"][0]["violated"][0],
        json!({"constraint": "cpu", "needed": 8000, "free": 1500})
    );
}

#[tokio::test]
async fn an_error_answer_of_another_layer_becomes_a_problem_and_keeps_its_headers() {
    let bare = (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET,HEAD")], "nope").into_response();
    let response = complete(bare, "req-2");
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&body["type"], &body["request_id"]),
        (&json!("urn:smo:problem:method-not-allowed"), &json!("req-2"))
    );
}

#[tokio::test]
async fn json_that_says_not_ready_stays_as_it_is() {
    let not_ready = (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({"ready": false}))).into_response();
    let response = complete(not_ready, "req-3");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(&body[..], br#"{"ready":false}"#);
}
