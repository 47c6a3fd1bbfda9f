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
use tokio::time::Instant;

use crate::wait::eventually;

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

    let begun = Instant::now();
    eventually("the workloads are listed", settings.stale_after, async || {
        outside.workloads_of(&release).await.map_err(|error| error.to_string())
    })
    .await;
    let mut believed = begun.elapsed();
    let error = eventually("nothing is believed any more", settings.stale_after * 2, async || match outside
        .workloads_of(&release)
        .await
    {
        Ok(found) => {
            assert_eq!(found, Vec::new());
            believed = begun.elapsed();
            Err(format!("still believed after {believed:?}"))
        }
        Err(error) => Ok(error),
    })
    .await;
    let tolerance = Duration::from_secs(1);
    assert!(
        (settings.stale_after - tolerance..=settings.stale_after + tolerance).contains(&believed),
        "{believed:?}"
    );
    assert_eq!((error.system, error.kind), ("karmada", ClientErrorKind::Unreachable));
    assert!(error.message.starts_with("the observed state of the deployments is too old: "), "{error}");

    let stale = outside.watches().into_iter().map(|watch| (watch.name, outside.is_stale(&watch)));
    let stale: BTreeMap<_, _> = stale.collect();
    assert_eq!(
        stale.values().filter(|stale| **stale).count(),
        9,
        "seven kinds of workloads, and two of bindings: {stale:?}"
    );
    for alive in ["clusters", "releases", "propagationpolicies", "rules"] {
        assert!(!stale[alive], "{alive}");
    }
    let mut registry = Registry::default();
    outside.register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    let age = r#"smo_watch_age_seconds{system="karmada",watch="bindings"} 300"#;
    assert!(text.contains(age), "{text}");
    let errors = r#"smo_watch_errors_total{system="karmada",watch="bindings"} "#;
    assert!(text.contains(errors) && !text.contains(&format!("{errors}0")), "{text}");
}
