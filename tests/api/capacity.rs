//! Capacity is promised once: many requests and several servers on one database never take more than there
//! is.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;
use smo::faults::Faults;
use smo::store::Store;

use crate::support::app::{Answer, TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    two_servers_never_overcommit_a_cluster_under_200_concurrent_deploys,
    a_stopped_graph_gives_its_capacity_back,
);

async fn deploy(app: &TestApp, name: &str, cpu: &str) -> Answer {
    let intent = json!({ "deployment": { "intent": { "compute": { "cpu": cpu } } } });
    let body = graph(name, &[service(&format!("{name}-s"), intent)]).to_string();
    let request = Request::post("/project/demo/graphs")
        .header("content-type", "application/json")
        .header("prefer", "respond-async");
    app.call(request.body(Body::from(body)).unwrap()).await
}

/// Thousandths of a core that are wanted on each cluster, and that it has.
async fn wanted_and_allocatable(store: &Store) -> BTreeMap<String, (i64, i64)> {
    let state = store.cluster_use().await.unwrap();
    let wanted = |name: &str| state.entries.get(name).map_or(0, |entry| entry.wanted.cpu_millicores);
    let cluster = |cluster: &smo::model::ClusterRecord| {
        (cluster.name.clone(), (wanted(&cluster.name), cluster.allocatable.cpu_millicores))
    };
    state.clusters.iter().map(cluster).collect()
}

/// Each server has a pool and a queue of its own, as in two processes: only the database keeps them apart.
async fn two_servers_never_overcommit_a_cluster_under_200_concurrent_deploys(database: TestDatabase) {
    let world = world();
    let other = database.second().await;
    let servers = [
        TestApp::start_in(&database, world.clone(), Faults::none()).await,
        TestApp::start_in(&other, world, Faults::none()).await,
    ];
    assert_eq!(servers[0].get("/clusters/").await.status, 200);
    let names: Vec<String> = (0..200).map(|number| format!("g{number}")).collect();
    let deploys = names.iter().zip([0, 1].into_iter().cycle());
    let deploys = deploys.map(|(name, server)| deploy(&servers[server], name, "light"));
    let statuses: Vec<u16> =
        futures::future::join_all(deploys).await.iter().map(|answer| answer.status).collect();
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    // 503: told to come back because others were faster; 429: because too many wait.
    let (accepted, refused, contended) = (count(202), count(409), count(503) + count(429));
    assert_eq!(accepted + refused + contended, 200, "{statuses:?}");
    // 24 cores in half cores. Under contention a few may be told to come back, never more than fit.
    assert!((40..=48).contains(&accepted), "{accepted} accepted, {refused} refused, {contended} contended");
    for (cluster, (wanted, allocatable)) in wanted_and_allocatable(&database.store).await {
        assert!(wanted <= allocatable, "{cluster}: {wanted} of {allocatable}");
    }
    assert_eq!(database.store.repair_ledger().await.unwrap(), Vec::<String>::new());
    for server in servers {
        server.shutdown().await;
    }
    other.store.close().await;
}

async fn a_stopped_graph_gives_its_capacity_back(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    // What the simulated chart requests, too.
    assert_eq!(deploy(&app, "g", "light").await.status, 202);
    let wanted = || async {
        wanted_and_allocatable(&database.store).await.values().map(|(wanted, _)| wanted).sum::<i64>()
    };
    let taken = wanted().await;
    assert!(taken > 0);
    assert_eq!(app.post("/graphs/g/stop", &json!({})).await.status, 200);
    assert_eq!(wanted().await, 0);
    assert_eq!(app.post("/graphs/g/start", &json!({})).await.status, 200);
    assert_eq!(wanted().await, taken);
    app.delete("/graphs/g").await;
    app.until("g", "is gone", |answer| answer.status == 404).await;
    assert_eq!(wanted().await, 0);
    app.shutdown().await;
}
