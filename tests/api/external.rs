//! Strategies of the operator that decide over HTTP: their answers are checked, and their deadlines kept.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::{Json, Router};
use serde_json::{Value, json};
use smo::config::{ExternalStrategy, IntentHandler, ScalingProfile, Settings};
use smo::faults::Faults;
use smo::optimizer::{placement, scaling};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
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
    a_deploy_whose_strategy_thinks_keeps_no_other_waiting,
    what_external_strategies_are_asked_holds_intents_dependencies_and_history,
    the_example_of_a_placement_strategy_decides,
    the_example_of_a_scaling_strategy_foresees,
    the_example_of_an_intent_handler_says_what_intents_mean,
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

/// Scales the service `a` by a strategy; the loop itself sleeps.
fn scaled(settings: &mut Settings, url: String, deadline: Duration) {
    let settings = &mut settings.scaling;
    settings.enabled = true;
    settings.interval = Duration::from_secs(3600);
    settings.stabilisation = Duration::ZERO;
    let profile = ScalingProfile::read(&json!({ "alpha": 10, "max": 5 })).unwrap();
    settings.profiles.insert("a".to_owned(), profile);
    settings.strategy = "mine".into();
    let strategy = ExternalStrategy::new(url, deadline, scaling::BuiltIn::Threshold);
    settings.external.insert("mine".to_owned(), strategy);
}

async fn scaled_at(database: &TestDatabase, url: String, deadline: Duration) -> TestApp {
    let change = |settings: &mut Settings| scaled(settings, url, deadline);
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
        (StatusCode::OK, json!({ "replicas": { "a": 3 }, "padding": " ".repeat(16 << 20) })),
    ];
    let count = answers.len();
    for (status, answer) in answers {
        mine.set(status, answer);
        app.tick(&mut app.scaler()).await;
        let tick = last_tick(&app).await;
        assert_eq!(
            [&tick["strategy"], &tick["services"][0]["replicas"]],
            [&json!("threshold"), &json!(4)],
            "{status}: {tick:#}"
        );
    }
    assert_eq!(mine.asked().len(), count);
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
    // What is posted in the middle of a tick: a graph that leaves no room for another replica, then a small
    // one.
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

async fn a_deploy_whose_strategy_thinks_keeps_no_other_waiting(database: TestDatabase) {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (asked.clone(), go_on.clone());
    let answer = async move || {
        tell.notify_one();
        wait.notified().await;
        Json(json!({ "assignment": { "a": "edge-2" } }))
    };
    let url = serve(Router::new().fallback(answer)).await;
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let thinking = ExternalStrategy::new(url, Duration::from_secs(60), placement::BuiltIn::MinMoves);
        settings.placement.external.insert("thinking".to_owned(), thinking);
    })
    .await;
    let mut slow = graph("g", &[service("a", json!({}))]);
    slow["hdaGraph"]["smo"] = json!({ "placement": { "strategy": "thinking" } });
    let deployed = app.post(DEMO, &slow);
    let meanwhile = async {
        asked.notified().await;
        let posted = app.post(DEMO, &graph("other", &[service("b", json!({}))])).await;
        go_on.notify_one();
        posted
    };
    let (deployed, posted) = tokio::join!(deployed, meanwhile);
    assert_eq!((deployed.status, posted.status), (200, 200), "{:#} {:#}", deployed.body, posted.body);
    assert_eq!(deployed.body["services"][0]["cluster_affinity"], "edge-2");
    app.shutdown().await;
}

async fn what_external_strategies_are_asked_holds_intents_dependencies_and_history(database: TestDatabase) {
    let (place, scale) = (
        Strategy::new(json!({ "assignment": { "a": "edge-2", "b": "edge-2" } })),
        Strategy::new(json!({ "replicas": { "a": 3 } })),
    );
    let (place_url, scale_url) = (place.serve().await, scale.serve().await);
    let deadline = Duration::from_secs(5);
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        scaled(settings, scale_url, deadline);
        settings.placement.strategy = "mine".into();
        let mut mine = ExternalStrategy::new(place_url, deadline, placement::BuiltIn::MinMoves);
        mine.handles = vec!["quiet.hours".to_owned()];
        settings.intents.mapped.extend(mine.handles.clone());
        settings.placement.external.insert("mine".to_owned(), mine);
    })
    .await;
    let first = service("a", json!({ "deployment": { "intent": { "unheardOf": { "level": 3 } } } }));
    let second = json!({
        "deployment": { "trigger": { "auto": { "dependencies": ["a"] } }, "intent": { "connectionPoints": ["a"] } },
    });
    let mut descriptor = graph("g", &[first, service("b", second)]);
    descriptor["hdaGraph"]["hdaGraphIntent"] = json!({ "quiet": { "hours": 8 } });
    let posted = app.post(DEMO, &descriptor).await;
    let warnings = posted.body["warnings"].to_string();
    assert!(warnings.contains("unheardOf") && !warnings.contains("quiet"), "{warnings}");
    let context = place.asked()[0]["context"].clone();
    assert_eq!(
        [&context["project"], &context["intents"]],
        [&json!("demo"), &json!({ "quiet": { "hours": 8 } })]
    );
    assert!(context["at"].is_string());
    assert_eq!(context["services"]["a"]["intents"]["unheardOf"], json!({ "level": 3 }));
    let b = &context["services"]["b"];
    assert_eq!([&b["dependencies"], &b["connection_points"]], [&json!(["a"]), &json!(["a"])]);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    for rate in [21.0, 25.0] {
        app.world.set_rate("a", rate);
        app.tick(&mut app.scaler()).await;
    }
    let asked = scale.asked();
    let [first, second] = asked.as_slice() else { panic!("two questions: {asked:#?}") };
    assert_eq!([&first["history"], &first["context"]["project"]], [&json!([]), &json!("demo")]);
    assert_eq!(second["history"][0]["services"], json!({ "a": { "rate": 21.0, "replicas": 3 } }));
    app.shutdown().await;
}

/// One of the programs of `examples/external-strategy`, on a port of its own; it ends with the returned
/// process.
async fn example(program: &str) -> (Child, String) {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/external-strategy").join(program);
    #[expect(clippy::disallowed_methods, reason = "the example itself is what is tested")]
    let mut command = Command::new("python3");
    command.arg(path).arg("0").stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let url = BufReader::new(stdout).lines().next_line().await.unwrap().expect("it prints its URL");
    (child, url)
}

async fn the_example_of_a_placement_strategy_decides(database: TestDatabase) {
    let (_program, url) = example("placement.py").await;
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let mine = ExternalStrategy::new(url, Duration::from_secs(30), placement::BuiltIn::FirstFit);
        settings.placement.strategy = "mine".into();
        settings.placement.external.insert("mine".to_owned(), mine);
    })
    .await;
    deploy(&app, &graph("g", &[service("a", json!({})), service("b", json!({}))])).await;
    let decisions = app.get("/graphs/g/decisions").await.body;
    assert_eq!([&decisions[0]["strategy"], &decisions[0]["outcome"]], ["mine", "feasible"], "{decisions:#}");
    app.shutdown().await;
}

async fn the_example_of_a_scaling_strategy_foresees(database: TestDatabase) {
    let (_program, url) = example("scaling.py").await;
    let app = scaled_at(&database, url, Duration::from_secs(30)).await;
    let mut replicas = Vec::new();
    for rate in [15.0, 25.0] {
        app.world.set_rate("a", rate);
        app.tick(&mut app.scaler()).await;
        let tick = last_tick(&app).await;
        assert_eq!(tick["strategy"], "mine", "{tick:#}");
        replicas.push(tick["services"][0]["replicas"].clone());
    }
    // 15 requests/s need 2 replicas of 10. They grew by 10, so 45 are foreseen, though 25 need 3.
    assert_eq!(replicas, [2, 5]);
    app.shutdown().await;
}

async fn the_example_of_an_intent_handler_says_what_intents_mean(database: TestDatabase) {
    let (_program, url) = example("intent_handler.py").await;
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let intents = vec!["sovereignty".to_owned(), "budget".to_owned()];
        settings.intents.mapped.extend(intents.clone());
        let handler = IntentHandler { url, deadline: Duration::from_secs(30), intents };
        settings.placement.intent_handlers.insert("policy".to_owned(), handler);
    })
    .await;
    for (cluster, region) in [("edge-1", "us"), ("edge-2", "be"), ("cloud", "us")] {
        app.set_attributes(cluster, &json!({ "region": region })).await;
    }
    let intending = |id: &str, area: &str| {
        let mut descriptor = graph(id, &[service("a", json!({}))]);
        descriptor["hdaGraph"]["id"] = json!(id);
        descriptor["hdaGraph"]["hdaGraphIntent"] = json!({ "sovereignty": area, "budget": "tight" });
        descriptor
    };
    let posted = app.post(DEMO, &intending("g", "eu")).await;
    assert_eq!((posted.status, posted.body.get("warnings")), (200, Some(&json!([]))), "{:#}", posted.body);
    assert_eq!(posted.body["services"][0]["cluster_affinity"], "edge-2", "{:#}", posted.body);
    let newest = async || {
        let decisions = app.get("/graphs/g/decisions").await.body;
        app.get(&format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap())).await.body
    };
    let problem = newest().await["problem"].clone();
    assert_eq!(problem["weights"]["price"], 10.0);
    assert_eq!(problem["services"][0]["requires"][0]["intent"], "sovereignty: eu");
    app.delete("/graphs/g").await;
    app.until("g", "is gone", |answer| answer.status == 404).await;
    // It answers 422: the intents have no effect, which strict decisions do not accept.
    let mut strict = intending("g", "mars");
    strict["hdaGraph"]["smo"] = json!({ "placement": { "strict": true } });
    let refused = app.post(DEMO, &strict).await;
    assert_eq!((refused.status, &refused.body["system"]), (502, &json!("strategy")), "{:#}", refused.body);
    let posted = app.post(DEMO, &intending("g", "mars")).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let warning = newest().await["answer"]["warnings"][0].to_string();
    assert!(warning.contains("the intents that policy handles have no effect"), "{warning}");
    app.shutdown().await;
}
