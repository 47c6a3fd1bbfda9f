//! Fakes for the tests of this folder: an API server made of an axum router.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;

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

/// Serves a router on a free port of loopback for as long as the test runs; returns its URL.
pub(super) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Objects of one kind that a fake API server lists and watches, with versions, selectors and bookmarks as
/// real ones.
#[derive(Clone)]
pub(super) struct Collection(Arc<watch::Sender<Log>>);

#[derive(Default)]
struct Log {
    objects: BTreeMap<(String, String), Value>,
    /// All events so far; the resource version is their number.
    events: Vec<Value>,
}

impl Collection {
    /// No objects yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Log::default())))
    }

    /// Adds an object, or replaces the one of that namespace and name; returns it with its version.
    pub(super) fn put(&self, mut object: Value) -> Value {
        self.0.send_modify(|log| {
            object["metadata"]["resourceVersion"] = (log.events.len() + 1).to_string().into();
            let known = log.objects.insert(key(&object), object.clone()).is_some();
            log.events.push(json!({"type": if known { "MODIFIED" } else { "ADDED" }, "object": object}));
        });
        object
    }

    /// Removes an object if it is there.
    pub(super) fn remove(&self, namespace: &str, name: &str) {
        self.0.send_if_modified(|log| {
            let Some(mut object) = log.objects.remove(&(namespace.to_owned(), name.to_owned())) else {
                return false;
            };
            object["metadata"]["resourceVersion"] = (log.events.len() + 1).to_string().into();
            log.events.push(json!({"type": "DELETED", "object": object}));
            true
        });
    }

    /// The objects now.
    pub(super) fn objects(&self) -> Vec<Value> {
        self.0.borrow().objects.values().cloned().collect()
    }

    /// Answers a request for a list or a watch, of one namespace or of all.
    pub(super) fn answer(&self, namespace: Option<&str>, query: &HashMap<String, String>) -> Response {
        let selector = query.get("labelSelector").cloned().unwrap_or_default();
        let namespace = namespace.map(str::to_owned);
        let matches = move |object: &Value| {
            let metadata = &object["metadata"];
            namespace.as_ref().is_none_or(|namespace| metadata["namespace"] == **namespace)
                && selector.split(',').filter(|part| !part.is_empty()).all(|part| {
                    match part.split_once('=') {
                        Some((name, value)) => metadata["labels"][name] == value,
                        None => !metadata["labels"][part].is_null(),
                    }
                })
        };
        if query.contains_key("watch") {
            return self.watch(query["resourceVersion"].parse().unwrap(), matches);
        }
        let log = self.0.borrow();
        let items: Vec<Value> = log.objects.values().filter(|object| matches(object)).cloned().collect();
        let version = log.events.len().to_string();
        Json(json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}))
            .into_response()
    }

    /// Events from a version on, without end.
    fn watch(&self, from: usize, matches: impl Fn(&Value) -> bool + Send + 'static) -> Response {
        let state = (self.0.subscribe(), from, matches);
        let lines = futures::stream::unfold(state, |(mut log, from, matches)| async move {
            let new: Vec<Value> =
                log.wait_for(|log| log.events.len() > from).await.ok()?.events[from..].to_vec();
            let next = from + new.len();
            let lines: String = new
                .iter()
                .filter(|event| matches(&event["object"]))
                .map(|event| format!("{event}\n"))
                .collect();
            Some((std::io::Result::Ok(lines), (log, next, matches)))
        });
        axum::body::Body::from_stream(lines).into_response()
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}
