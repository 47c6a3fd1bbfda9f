//! Fakes for the tests of this folder: an API server made of an axum router.

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kube::Client;
use serde_json::json;

/// A client whose requests a router answers, without a socket.
pub(super) fn fake_server(router: Router) -> Client {
    Client::new(router, "default")
}

/// A Kubernetes `Status` as the real servers answer errors; a 429 asks for 7 s of patience.
pub(super) fn status(code: u16, message: &str) -> Response {
    let details = if code == 429 { json!({"retryAfterSeconds": 7}) } else { json!({}) };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code,
        "reason": "Told", "details": details,
    });
    (StatusCode::from_u16(code).unwrap(), Json(body)).into_response()
}

/// Serves a router on a free port of loopback for as long as the test runs; gives its URL.
pub(super) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
