//! Limits on how replicas follow the load: the original's weights, cooldowns, and bounds of the whole graph.

use std::time::Duration;

use serde_json::{Value, json};
use smo::app::Scaler;
use smo::config::{ScalingCompat, ScalingProfile, Settings};
use smo::faults::Faults;

use crate::support::app::{TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    with_the_weights_of_the_original_replicas_never_go_down,
    replicas_go_down_to_the_most_needed_within_the_stabilisation_window,
    high_availability_keeps_a_least_number_of_replicas,
    a_load_beyond_the_most_replicas_of_a_graph_gets_as_many_as_are_allowed,
    bounds_of_all_replicas_are_warned_of_while_nothing_looks_at_them,
);

/// A server that scales `a` (ten requests per second and replica, up to four), and the graph `g` on it.
async fn scaled(database: &TestDatabase, descriptor: &Value, change: impl FnOnce(&mut Settings)) -> TestApp {
    let app = TestApp::start_with(database, world(), Faults::none(), |settings| {
        settings.scaling.enabled = true;
        settings.scaling.interval = Duration::from_secs(3600);
        settings.scaling.stabilisation = Duration::ZERO;
        let profile = ScalingProfile::read(&json!({ "alpha": 10, "max": 4 })).unwrap();
        settings.scaling.profiles.insert("a".to_owned(), profile);
        change(settings);
    })
    .await;
    let posted = app.post("/project/demo/graphs", descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    app
}

/// Replicas and reason of `a` after a tick at this rate.
async fn at_rate(app: &TestApp, scaler: &mut Scaler, rate: f64) -> (i64, String) {
    app.world.set_rate("a", rate);
    app.tick(scaler).await;
    let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
    let decided = &tick["services"][0];
    let replicas = decided["replicas"].as_i64().unwrap_or_else(|| panic!("{tick:#}"));
    let all = json!({ "wanted": replicas, "ready": replicas });
    let is = format!("has {replicas} replicas");
    app.until("g", &is, |answer| answer.body["services"][0]["replicas"] == all).await;
    (replicas, decided["reason"].as_str().unwrap().to_owned())
}

async fn with_the_weights_of_the_original_replicas_never_go_down(database: TestDatabase) {
    let original = |settings: &mut Settings| settings.scaling.compat = ScalingCompat::Original;
    let app = scaled(&database, &graph("g", &[service("a", json!({}))]), original).await;
    let mut scaler = app.scaler();
    assert_eq!(at_rate(&app, &mut scaler, 22.0).await.0, 3);
    for rate in [19.0, 2.0, 0.0] {
        let (replicas, reason) = at_rate(&app, &mut scaler, rate).await;
        assert_eq!(replicas, 3, "{reason}");
        assert!(reason.ends_with("held at 3 replicas: giving replicas up does not pay"), "{reason}");
    }
    assert_eq!(at_rate(&app, &mut scaler, 35.0).await.0, 4);
    app.shutdown().await;
}

async fn replicas_go_down_to_the_most_needed_within_the_stabilisation_window(database: TestDatabase) {
    let long = |settings: &mut Settings| settings.scaling.stabilisation = Duration::from_secs(3600);
    let app = scaled(&database, &graph("g", &[service("a", json!({}))]), long).await;
    let mut scaler = app.scaler();
    assert_eq!(at_rate(&app, &mut scaler, 22.0).await.0, 3);
    let (replicas, reason) = at_rate(&app, &mut scaler, 2.0).await;
    assert_eq!(replicas, 3, "{reason}");
    assert!(
        reason.ends_with("held at 3 replicas, which it needed within the stabilisation window"),
        "{reason}"
    );
    assert_eq!(at_rate(&app, &mut scaler, 31.0).await.0, 4, "it does not hold upwards");
    // A server that knows of no earlier need keeps what there is, too.
    assert_eq!(at_rate(&app, &mut app.scaler(), 2.0).await.0, 4);
    app.shutdown().await;
}

/// A graph of `a` alone that bounds its replicas.
async fn bounded(database: &TestDatabase) -> TestApp {
    let bounds = json!({ "enabled": true, "minReplicasOverall": 2, "maxReplicasOverall": 3 });
    let mut descriptor = graph("g", &[service("a", json!({}))]);
    descriptor["hdaGraph"]["hdaGraphIntent"] = json!({ "highAvailability": bounds });
    scaled(database, &descriptor, |_| ()).await
}

async fn high_availability_keeps_a_least_number_of_replicas(database: TestDatabase) {
    let app = bounded(&database).await;
    let mut scaler = app.scaler();
    for (rate, wanted) in [(1.0, 2), (22.0, 3), (1.0, 2)] {
        let (replicas, reason) = at_rate(&app, &mut scaler, rate).await;
        assert_eq!(replicas, wanted, "{reason}");
    }
    app.shutdown().await;
}

async fn a_load_beyond_the_most_replicas_of_a_graph_gets_as_many_as_are_allowed(database: TestDatabase) {
    let app = bounded(&database).await;
    let (replicas, reason) = at_rate(&app, &mut app.scaler(), 35.0).await;
    assert_eq!(replicas, 3, "{reason}");
    app.shutdown().await;
}

async fn bounds_of_all_replicas_are_warned_of_while_nothing_looks_at_them(database: TestDatabase) {
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        settings.scaling.enabled = false;
    })
    .await;
    let warnings = async |name: &str, scaling: Value| {
        let bounds = json!({ "enabled": true, "minReplicasOverall": 2 });
        let mut descriptor = graph(name, &[service(&format!("{name}-a"), json!({}))]);
        descriptor["hdaGraph"]["hdaGraphIntent"] = json!({ "highAvailability": bounds });
        descriptor["hdaGraph"]["smo"] = json!({ "scaling": scaling });
        let posted = app.post("/project/demo/graphs", &descriptor).await;
        assert_eq!(posted.status, 200, "{:#}", posted.body);
        posted.body["warnings"].clone()
    };
    let warned = warnings("g", json!({})).await;
    assert_eq!(warned.as_array().map(Vec::len), Some(1), "{warned:#}");
    assert_eq!(warned[0]["pointer"], "/hdaGraph/hdaGraphIntent/highAvailability/minReplicasOverall");
    let message = warned[0]["message"].as_str().unwrap();
    assert!(
        message.starts_with("minReplicasOverall has no effect while the graph is not scaled"),
        "{message}"
    );
    assert_eq!(warnings("scaled", json!({ "enabled": true })).await, json!([]));
    app.shutdown().await;
}
