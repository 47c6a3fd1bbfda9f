//! A watch that dies unseen, as everything above it sees it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use kube::Client;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use smo::clients::karmada::KarmadaWorkloads;
use smo::clients::{Calls, ClientErrorKind, Outside, Ports, ReleaseKey};
use smo::config::Settings;
use smo::faults::Faults;
use smo::simulation::{Continuum, World};
use tokio::time::sleep;

/// Lists nothing, and takes watches without ever answering.
async fn black_hole(Query(query): Query<HashMap<String, String>>) -> Response {
    if query.contains_key("watch") {
        return std::future::pending().await;
    }
    let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []});
    Json(list).into_response()
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_watch_showed_is_believed_only_for_a_while() {
    let client = Client::new(Router::new().fallback(black_hole), "default");
    let world = World::new(Continuum::built_in().unwrap(), 1);
    let ports = Ports { workloads: Arc::new(KarmadaWorkloads::start(client)), ..world.ports() };
    let settings = Settings::default();
    let calls = Calls::new(&settings.calls, &settings.helm, Faults::none());
    let outside = Outside::new(ports, calls, settings.stale_after);
    let release = ReleaseKey { namespace: "demo".to_owned(), name: "a".to_owned() };

    sleep(settings.stale_after - Duration::from_secs(1)).await;
    assert_eq!(outside.workloads_of(&release).await, Ok(Vec::new()));
    sleep(Duration::from_secs(2)).await;
    let error = outside.workloads_of(&release).await.unwrap_err();
    assert_eq!((error.system, error.kind), ("karmada", ClientErrorKind::Unreachable));
    assert!(error.message.starts_with("the observed state of the workloads is too old: "), "{error}");

    let stale = outside.watches().into_iter().map(|watch| (watch.name, outside.is_stale(&watch)));
    let expected =
        [("clusters", false), ("workloads", true), ("bindings", true), ("releases", false), ("rules", false)];
    assert_eq!(stale.collect::<BTreeMap<_, _>>(), BTreeMap::from(expected));
    let mut registry = Registry::default();
    outside.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let age = r#"smo_watch_age_seconds{system="karmada",watch="bindings"} 301"#;
    assert!(text.contains(age), "{text}");
    let errors = r#"smo_watch_errors_total{system="karmada",watch="bindings"} "#;
    assert!(text.contains(errors) && !text.contains(&format!("{errors}0")), "{text}");
}
