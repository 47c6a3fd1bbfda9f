//! Commands of the program itself on what a server decided: `smo replay` and `smo graph explain`.

use std::ffi::OsStr;
use std::io::Write as _;
use std::time::Duration;

use axum::{Json, Router};
use serde_json::{Value, json};
use smo::config::{ExternalStrategy, ScalingProfile, Settings, StepLimit};
use smo::faults::Faults;
use smo::optimizer::placement::BuiltIn;

use crate::support::app::{TestApp, graph, serve, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    placements_that_are_made_again_are_the_same,
    a_refused_placement_that_is_made_again_is_the_same,
    decisions_about_replicas_that_are_made_again_are_the_same,
    a_placement_by_an_external_strategy_is_computed_again_from_its_assignment,
    a_placement_made_by_the_clock_need_not_be_the_same,
    an_answer_that_was_tampered_with_differs,
    what_is_no_decision_is_refused_with_a_reason,
    a_person_reads_why_services_are_where_they_are,
    a_refusal_of_the_server_is_told,
    a_server_that_does_not_answer_is_told,
);

const DEMO: &str = "/project/demo/graphs";

/// The result of a run of the program.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program with the address of a server in its environment, and nothing else.
async fn smo(url: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
    #[expect(clippy::disallowed_methods, reason = "the program itself is what is tested")]
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_smo"));
    command.args(arguments).env_clear().env("SMO_URL", url).current_dir("/").kill_on_drop(true);
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Replays the text of a file.
async fn replay(text: &str) -> Run {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    smo("", [OsStr::new("replay"), file.path().as_os_str()]).await
}

async fn explain(url: &str, arguments: &[&str]) -> Run {
    smo(url, ["graph", "explain"].iter().chain(arguments)).await
}

async fn deploy(app: &TestApp, descriptor: &Value) {
    let posted = app.post(DEMO, descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let name = descriptor["hdaGraph"]["id"].as_str().unwrap();
    app.until(name, "is ready", |answer| answer.body["ready"] == true).await;
}

/// The path of the newest decision about the graph `g`.
async fn newest(app: &TestApp) -> String {
    let decisions = app.get("/graphs/g/decisions?limit=1").await.body;
    format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap())
}

/// The newest decision about the graph `g` is the same when it is made again, and shown as the server shows
/// it.
async fn newest_is_the_same(app: &TestApp, strategy: &str, outcome: &str) {
    let path = newest(app).await;
    let decision = app.get(&path).await;
    assert_eq!([&decision.body["strategy"], &decision.body["outcome"]], [strategy, outcome]);
    let run = replay(&decision.text).await;
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (Some(0), "smo: the same as recorded\n"),
        "{}",
        decision.text
    );
    assert_eq!(run.stdout, app.get(&format!("{path}?format=text")).await.text);
}

/// Three services in a chain on clusters whose prices, carbon and latencies no binary fraction is equal to.
async fn priced(database: &TestDatabase, change: impl FnOnce(&mut Settings)) -> TestApp {
    let app = TestApp::start_with(database, world(), Faults::none(), change).await;
    for (cluster, price, carbon, to) in
        [("cloud", 0.3, 411.7, "edge-1"), ("edge-1", 0.1, 12.3, "edge-2"), ("edge-2", 0.7, 33.3, "cloud")]
    {
        let attributes = json!({
            "price_per_core_hour": price, "carbon_per_core_hour": carbon, "activation_cost": 0.1,
            "latencies_ms": { to: 1.07 },
        });
        app.set_attributes(cluster, &attributes).await;
    }
    let calls = |other: &str| {
        json!({
            "deployment": { "intent": { "connectionPoints": [other] } },
            "smo": { "traffic": { other: 0.3 }, "moveWeight": 1.1 },
        })
    };
    deploy(&app, &graph("g", &[service("a", calls("b")), service("b", calls("c")), service("c", json!({}))]))
        .await;
    app
}

async fn placements_that_are_made_again_are_the_same(database: TestDatabase) {
    let app = priced(&database, |_| ()).await;
    newest_is_the_same(&app, "first-fit", "feasible").await;
    app.world.set_cluster_available("cloud", false).unwrap();
    for (strategy, outcome) in
        [("first-fit", "feasible"), ("min-moves", "optimal"), ("cost", "optimal"), ("green", "optimal")]
    {
        let path = format!("/graphs/g/placement?dry_run=true&strategy={strategy}");
        assert_eq!(app.post(&path, &json!({})).await.status, 200);
        newest_is_the_same(&app, strategy, outcome).await;
    }
    app.shutdown().await;
}

async fn a_refused_placement_that_is_made_again_is_the_same(database: TestDatabase) {
    let app = priced(&database, |_| ()).await;
    for cluster in ["cloud", "edge-1", "edge-2"] {
        app.world.set_cluster_available(cluster, false).unwrap();
    }
    for strategy in ["first-fit", "min-moves", "cost"] {
        let path = format!("/graphs/g/placement?strategy={strategy}");
        assert_eq!(app.post(&path, &json!({})).await.status, 409);
        newest_is_the_same(&app, strategy, "infeasible").await;
    }
    app.shutdown().await;
}

async fn decisions_about_replicas_that_are_made_again_are_the_same(database: TestDatabase) {
    let scaling = |settings: &mut Settings| {
        settings.scaling.enabled = true;
        settings.scaling.interval = Duration::from_secs(3600);
        settings.scaling.stabilisation = Duration::ZERO;
        settings.scaling.step_up = StepLimit::default();
        for (name, alpha, beta, max) in [("a", 0.533, -0.416, 4), ("b", 1.67, -0.01, 1000)] {
            let profile = json!({ "alpha": alpha, "beta": beta, "max": max });
            settings.scaling.profiles.insert(name.to_owned(), ScalingProfile::read(&profile).unwrap());
        }
    };
    let app = TestApp::start_with(&database, world(), Faults::none(), scaling).await;
    let mut descriptor = graph("g", &[service("a", json!({})), service("b", json!({}))]);
    for (strategy, outcome) in [("threshold", "feasible"), ("exact", "optimal")] {
        app.delete("/graphs/g").await;
        descriptor["hdaGraph"]["smo"] = json!({ "scaling": { "strategy": strategy } });
        deploy(&app, &descriptor).await;
        app.world.set_rate("a", 1.07);
        app.world.set_rate("b", 3.3);
        assert_eq!(app.tick(&mut app.scaler()).await.scaled, 1);
        newest_is_the_same(&app, strategy, outcome).await;
    }
    // No cluster has room for so much: the decision that says so is kept, then the refused placement, then
    // how the services share the room.
    app.world.set_rate("b", 1000.3);
    assert_eq!(app.tick(&mut app.scaler()).await.scaled, 1);
    newest_is_the_same(&app, "exact", "optimal").await;
    let decisions = app.get("/graphs/g/decisions").await.body;
    let kinds: Vec<_> = decisions.as_array().unwrap().iter().map(|decision| &decision["kind"]).collect();
    assert_eq!(kinds[..3], ["scaling", "placement", "scaling"], "{decisions:#}");
    let scaling = &decisions[2];
    assert_eq!(scaling["outcome"], "infeasible", "{decisions:#}");
    let path = format!("/graphs/g/decisions/{}", scaling["id"].as_str().unwrap());
    let run = replay(&app.get(&path).await.text).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "smo: the same as recorded\n"));
    app.shutdown().await;
}

async fn a_placement_by_an_external_strategy_is_computed_again_from_its_assignment(database: TestDatabase) {
    let answer = json!({ "assignment": { "a": "cloud", "b": "edge-1", "c": "edge-2" } });
    let url = serve(Router::new().fallback(async move || Json(answer.clone()))).await;
    let strategy = ExternalStrategy::new(url, Duration::from_secs(5), BuiltIn::Cost);
    let app = priced(&database, |settings| {
        settings.placement.strategy = "mine".into();
        settings.placement.external.insert("mine".to_owned(), strategy);
    })
    .await;
    newest_is_the_same(&app, "mine", "feasible").await;
    app.shutdown().await;
}

async fn a_placement_made_by_the_clock_need_not_be_the_same(database: TestDatabase) {
    let app = priced(&database, |settings| {
        settings.placement.strategy = "cost".into();
        settings.placement.limits.parameters.insert("deadline_ms".to_owned(), 50.0);
    })
    .await;
    let decision = app.get(&newest(&app).await).await;
    assert_eq!(decision.body["answer"]["reproducible"], false);
    let run = replay(&decision.text).await;
    assert_eq!(run.code, Some(0), "{run:#?}");
    let expected = "smo: decided under a time limit or by an external program; a replay may differ\n";
    assert_eq!(run.stderr, expected);
    app.shutdown().await;
}

async fn an_answer_that_was_tampered_with_differs(database: TestDatabase) {
    let app = priced(&database, |_| ()).await;
    app.post("/graphs/g/placement?dry_run=true&strategy=cost", &json!({})).await;
    let decision = app.get(&newest(&app).await).await.body;
    for (pointer, value) in [
        ("/answer/assignment/a", json!("edge-2")),
        ("/answer/explanation/0/reason", json!("because")),
        ("/answer/objective/total", json!(0.1)),
        ("/problem/clusters/0/attributes/price_per_core_hour", json!(0.2)),
    ] {
        let mut tampered = decision.clone();
        *tampered.pointer_mut(pointer).unwrap() = value;
        let run = replay(&tampered.to_string()).await;
        assert_eq!(run.code, Some(1), "{pointer}: {run:#?}");
        assert!(run.stderr.ends_with("gives a different result when it is replayed\n"), "{}", run.stderr);
        assert!(run.stdout.contains("INSTEAD ON"), "{}", run.stdout);
    }
    app.shutdown().await;
}

async fn what_is_no_decision_is_refused_with_a_reason(database: TestDatabase) {
    let app = priced(&database, |_| ()).await;
    let decision = app.get(&newest(&app).await).await.body;
    let mut unsolvable = decision.clone();
    unsolvable["problem"]["clusters"][1]["name"] = unsolvable["problem"]["clusters"][0]["name"].clone();
    for (text, reason) in [
        ("".to_owned(), "not a decision with `problem` and `answer`"),
        ("{}".to_owned(), "not a decision with `problem` and `answer`"),
        (decision["problem"].to_string(), "not a decision with `problem` and `answer`"),
        (unsolvable.to_string(), "cloud"),
    ] {
        let run = replay(&text).await;
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:#?}");
        assert!(run.stderr.starts_with("smo: ") && run.stderr.contains(reason), "{}", run.stderr);
    }
    let run = smo("", ["replay", "/none/decision.json"]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("smo: cannot read /none/decision.json: "), "{}", run.stderr);
    app.shutdown().await;
}

async fn a_person_reads_why_services_are_where_they_are(database: TestDatabase) {
    let app = priced(&database, |_| ()).await;
    let url = app.serve().await;
    let placed_by = newest(&app).await;
    app.post("/graphs/g/placement?dry_run=true&strategy=cost", &json!({})).await;
    let proposal = newest(&app).await;
    // Without an id it is the decision that was carried out, not the newest one.
    let run = explain(&url, &["g"]).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with("Graph g, strategy first-fit: feasible\n"), "{}", run.stdout);
    assert!(run.stdout.contains("INSTEAD ON") && run.stdout.contains("edge-1"), "{}", run.stdout);
    assert_eq!(run.stdout, app.get(&format!("{placed_by}?format=text")).await.text);
    let id = proposal.rsplit('/').next().unwrap();
    let run = explain(&format!("{url}/"), &["g", "--decision", id]).await;
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert_eq!(run.stdout, app.get(&format!("{proposal}?format=text")).await.text);
    // Names of graphs need not be fit for a path.
    let posted = app.post(DEMO, &graph("50 % & größer?", &[service("d", json!({}))])).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let run = explain("http://127.0.0.1:9", &["50 % & größer?", "--url", &url]).await;
    assert_eq!(run.code, Some(0), "{run:#?}");
    assert!(run.stdout.starts_with("Graph 50 % & größer?, strategy first-fit"), "{}", run.stdout);
    app.shutdown().await;
}

async fn a_refusal_of_the_server_is_told(database: TestDatabase) {
    let app = priced(&database, |_| ()).await;
    let url = app.serve().await;
    let detail = app.get("/graphs/none").await.body["detail"].as_str().unwrap().to_owned();
    let run = explain(&url, &["none"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(run.stderr, format!("smo: the server at {url} answered 404: {detail}\n"));
    let run = explain(&url, &["g", "--decision", "none"]).await;
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with(&format!("smo: the server at {url} answered 404: ")), "{}", run.stderr);
    let mut fixed = graph("fixed", &[service("d", json!({}))]);
    fixed["hdaGraph"]["hdaGraphIntent"] = json!({ "useStaticPlacement": true });
    deploy(&app, &fixed).await;
    let run = explain(&url, &["fixed"]).await;
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.stderr,
        "smo: graph \"fixed\" was placed by its charts: there is no decision to explain\n"
    );
    app.shutdown().await;
}

async fn a_server_that_does_not_answer_is_told(_database: TestDatabase) {
    let run = explain("http://127.0.0.1:9", &["g"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    let told = "smo: the server at http://127.0.0.1:9 does not answer; set SMO_URL to its address";
    assert!(run.stderr.starts_with(told), "{}", run.stderr);
}
