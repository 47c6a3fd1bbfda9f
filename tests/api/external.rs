//! Strategies of the operator that decide over HTTP: their answers are checked, and their deadlines kept.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::{Json, Router};
use serde_json::{Value, json};
use smo::config::{ExternalStrategy, ScalingProfile, Settings};
use smo::faults::Faults;
use smo::optimizer::{placement, scaling};
use tokio::sync::Notify;

use crate::support::app::{TestApp, graph, serve, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    the_replicas_of_an_external_strategy_are_used_when_they_pass_the_checker,
    replicas_that_break_a_constraint_or_cannot_be_read_are_left_to_the_fallback,
    a_scaling_strategy_that_is_too_slow_is_not_waited_for,
    a_placement_strategy_that_is_too_slow_is_not_waited_for,
    a_strategy_that_is_down_does_not_keep_another_from_being_asked,
    room_that_is_taken_while_replicas_are_decided_is_not_used_twice,
);

const DEMO: &str = "/project/demo/graphs";
/// How long a strategy may take in tests that let it be late.
const DEADLINE: Duration = Duration::from_millis(100);

/// A program that decides over HTTP. The test sets what it answers.
#[derive(Clone)]
struct Strategy {
    answer: Arc<Mutex<(StatusCode, Value)>>,
    asked: Arc<Mutex<Vec<Value>>>,
    /// It never answers.
    silent: bool,
}

impl Strategy {
    fn new(answer: Value) -> Self {
        Self { answer: Arc::new(Mutex::new((StatusCode::OK, answer))), asked: Arc::default(), silent: false }
    }

    fn silent() -> Self {
        Self { silent: true, ..Self::new(Value::Null) }
    }

    fn set(&self, status: StatusCode, answer: Value) {
        *self.answer.lock().unwrap() = (status, answer);
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }

    async fn serve(&self) -> String {
        let strategy = self.clone();
        let answer = async move |Json(question): Json<Value>| {
            strategy.asked.lock().unwrap().push(question);
            if strategy.silent {
                std::future::pending::<()>().await;
            }
            let (status, answer) = strategy.answer.lock().unwrap().clone();
            (status, Json(answer))
        };
        serve(Router::new().fallback(answer)).await
    }
}

/// A server whose graph `g` is scaled by the strategy; the loop itself sleeps.
async fn scaled_by(database: &TestDatabase, strategy: &Strategy, deadline: Duration) -> TestApp {
    scaled_at(database, strategy.serve().await, deadline).await
}

async fn scaled_at(database: &TestDatabase, url: String, deadline: Duration) -> TestApp {
    let change = |settings: &mut Settings| {
        let settings = &mut settings.scaling;
        settings.enabled = true;
        settings.interval = Duration::from_secs(3600);
        settings.cooldown = Duration::ZERO;
        let profile = ScalingProfile::read(&json!({ "alpha": 10, "max": 5 })).unwrap();
        settings.profiles.insert("a".to_owned(), profile);
        settings.strategy = "mine".into();
        settings
            .external
            .insert("mine".to_owned(), ExternalStrategy::new(url, deadline, scaling::BuiltIn::Threshold));
    };
    let app = TestApp::start_with(database, world(), Faults::none(), change).await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    app.world.set_rate("a", 25.0);
    app
}

async fn deploy(app: &TestApp, descriptor: &Value) {
    let posted = app.post(DEMO, descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
}

async fn last_tick(app: &TestApp) -> Value {
    app.get("/graphs/g/scaling").await.body["ticks"][0].clone()
}

async fn the_replicas_of_an_external_strategy_are_used_when_they_pass_the_checker(database: TestDatabase) {
    // 25 requests/s need three replicas of 10; `threshold` would take four.
    let mine = Strategy::new(json!({ "replicas": { "a": 5 } }));
    let app = scaled_by(&database, &mine, Duration::from_secs(5)).await;
    assert_eq!(app.tick(&mut app.scaler()).await.scaled, 1);
    let tick = last_tick(&app).await;
    assert_eq!(
        [&tick["strategy"], &tick["services"][0]["replicas"]],
        [&json!("mine"), &json!(5)],
        "{tick:#}"
    );
    let all = json!({ "wanted": 5, "ready": 5 });
    app.until("g", "has five replicas", |answer| answer.body["services"][0]["replicas"] == all).await;
    let decisions = app.get("/graphs/g/decisions").await.body;
    assert_eq!([&decisions[0]["kind"], &decisions[0]["strategy"]], ["scaling", "mine"]);
    let asked = mine.asked();
    let [question] = asked.as_slice() else { panic!("one question: {asked:#?}") };
    assert_eq!(question["problem"]["graph"], "g");
    let asked_about = &question["problem"]["services"][0];
    assert_eq!([&asked_about["name"], &asked_about["rate"]], [&json!("a"), &json!(25.0)]);
    app.shutdown().await;
}

async fn replicas_that_break_a_constraint_or_cannot_be_read_are_left_to_the_fallback(database: TestDatabase) {
    let mine = Strategy::new(Value::Null);
    let app = scaled_by(&database, &mine, Duration::from_secs(5)).await;
    let answers = [
        (StatusCode::OK, json!({ "replicas": { "a": 2 } })),
        (StatusCode::OK, json!({ "replicas": { "a": 6 } })),
        (StatusCode::OK, json!({ "replicas": { "a": -1 } })),
        (StatusCode::OK, json!({ "replicas": { "a": 3, "b": 1 } })),
        (StatusCode::OK, json!({ "replicas": {} })),
        (StatusCode::OK, json!({ "replicas": { "a": "three" } })),
        (StatusCode::OK, json!("three")),
        (StatusCode::INTERNAL_SERVER_ERROR, json!({ "replicas": { "a": 3 } })),
    ];
    for (status, answer) in answers {
        mine.set(status, answer.clone());
        app.tick(&mut app.scaler()).await;
        let tick = last_tick(&app).await;
        assert_eq!(
            [&tick["strategy"], &tick["services"][0]["replicas"]],
            [&json!("threshold"), &json!(4)],
            "{answer}: {tick:#}"
        );
    }
    assert_eq!(mine.asked().len(), 8);
    app.shutdown().await;
}

async fn a_scaling_strategy_that_is_too_slow_is_not_waited_for(database: TestDatabase) {
    let mine = Strategy::silent();
    let app = scaled_by(&database, &mine, DEADLINE).await;
    assert_eq!(app.tick(&mut app.scaler()).await.scaled, 1);
    let tick = last_tick(&app).await;
    assert_eq!(
        [&tick["strategy"], &tick["services"][0]["replicas"]],
        [&json!("threshold"), &json!(4)],
        "{tick:#}"
    );
    assert_eq!(mine.asked().len(), 1);
    app.shutdown().await;
}

async fn a_placement_strategy_that_is_too_slow_is_not_waited_for(database: TestDatabase) {
    let slow = Strategy::silent();
    let url = slow.serve().await;
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        settings.placement.strategy = "slow".into();
        settings
            .placement
            .external
            .insert("slow".to_owned(), ExternalStrategy::new(url, DEADLINE, placement::BuiltIn::MinMoves));
    })
    .await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let decisions = app.get("/graphs/g/decisions").await.body;
    assert_eq!(decisions[0]["strategy"], "min-moves");
    let path = format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap());
    let decision = app.get(&path).await.body;
    let warning = decision["answer"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("strategy slow gave no usable answer, min-moves decided: ")
            && warning.contains("timed out"),
        "{warning}"
    );
    assert_eq!(slow.asked().len(), 1);
    app.shutdown().await;
}

async fn a_strategy_that_is_down_does_not_keep_another_from_being_asked(database: TestDatabase) {
    let up = Strategy::new(json!({ "assignment": { "a": "edge-2" } }));
    let url = up.serve().await;
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let deadline = Duration::from_secs(5);
        let down = ExternalStrategy::new("http://127.0.0.1:9", deadline, placement::BuiltIn::MinMoves);
        settings.placement.external.insert("down".to_owned(), down);
        settings
            .placement
            .external
            .insert("up".to_owned(), ExternalStrategy::new(url, deadline, placement::BuiltIn::MinMoves));
    })
    .await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let propose = async |name: &str| {
        app.post(&format!("/graphs/g/placement?dry_run=true&strategy={name}"), &json!({})).await.body
    };
    for _ in 0..10 {
        assert_eq!(propose("down").await["strategy"], "min-moves");
    }
    let proposal = propose("up").await;
    assert_eq!(proposal["strategy"], "up", "{:#}", proposal["decision"]["warnings"]);
    app.shutdown().await;
}

async fn room_that_is_taken_while_replicas_are_decided_is_not_used_twice(database: TestDatabase) {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (asked.clone(), go_on.clone());
    let answer = async move || {
        tell.notify_one();
        wait.notified().await;
        Json(json!({ "replicas": { "a": 3 } }))
    };
    let url = serve(Router::new().fallback(answer)).await;
    let app = scaled_at(&database, url, Duration::from_secs(60)).await;
    // What is posted in the middle of a tick: a graph that leaves no room for another replica, then a small one.
    let mut scaler = app.scaler();
    for (id, cpu, recorded) in [("large", "15500m", 0), ("small", "1", 1)] {
        let requests = json!({ "resources": { "requests": { "cpu": cpu, "memory": "64Mi" } } });
        let other = service(id, json!({ "artifact": { "valuesOverwrite": requests } }));
        let post = async {
            asked.notified().await;
            let posted = app.post(DEMO, &graph(id, &[other])).await;
            go_on.notify_one();
            posted
        };
        let (summary, posted) = tokio::join!(app.tick(&mut scaler), post);
        assert_eq!((summary.scaled, posted.status), (recorded, 200), "{id}: {:#}", posted.body);
        assert_eq!(posted.body["services"][0]["cluster_affinity"], "cloud");
        let tick = last_tick(&app).await;
        assert_eq!(tick["postponed"].is_string(), recorded == 0, "{id}: {tick:#}");
        assert_eq!(app.delete(&format!("/graphs/{id}")).await.status, 200);
        // Reads the clusters: the next placement sees what was given back.
        assert_eq!(app.get("/clusters/").await.status, 200);
    }
    app.shutdown().await;
}
