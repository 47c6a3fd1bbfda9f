//! Placing a running graph again, and the record of decisions.

use std::time::Duration;

use serde_json::{Value, json};
use smo::config::ExternalStrategy;
use smo::faults::Faults;
use smo::optimizer::placement::BuiltIn;
use smo::simulation::{Continuum, World};

use crate::support::app::{TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};
use crate::wait::eventually;

on_every_engine!(
    a_graph_whose_cluster_is_lost_moves_exactly_what_was_there,
    placing_again_what_is_well_placed_moves_nothing,
    a_dry_run_is_applied_by_its_id_and_only_once,
    a_plan_of_a_changed_world_is_refused_with_the_changes,
    a_plan_survives_latencies_that_jitter_and_not_those_that_break_a_bound,
    a_request_brings_its_own_strategy_weights_and_parameters,
    an_infeasible_placement_changes_nothing_and_is_explained,
    first_fit_takes_the_clusters_in_the_order_in_which_they_were_first_seen,
    the_strategy_can_be_named_by_request_and_by_descriptor,
    a_placement_that_is_final_is_not_changed,
    stopped_and_static_graphs_cannot_be_placed_again,
    decisions_are_listed_and_shown_for_programs_and_people,
    shadow_strategies_decide_beside_the_real_one_and_are_never_applied,
    attributes_of_clusters_are_set_and_reset,
    the_original_places_by_get,
    an_external_strategy_decides_and_its_fallback_when_it_fails,
);

const DEMO: &str = "/project/demo/graphs";

/// A graph of three services on three clusters: x fills edge-1, y and z the cloud.
async fn spread(app: &TestApp) -> Value {
    let large = json!({ "deployment": { "intent": { "compute": { "cpu": "medium" } } } });
    let services = [service("x", large), service("y", json!({})), service("z", json!({}))];
    assert_eq!(app.post(DEMO, &graph("g", &services)).await.status, 200);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await.body
}

fn cluster_of(graph: &Value, name: &str) -> String {
    let services = graph["services"].as_array().unwrap();
    let found = services.iter().find(|service| service["name"] == name).unwrap();
    found["cluster_affinity"].as_str().unwrap().to_owned()
}

async fn a_graph_whose_cluster_is_lost_moves_exactly_what_was_there(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let before = spread(&app).await;
    assert_eq!(cluster_of(&before, "x"), "cloud");
    let revisions = |name: &str| app.world.revision("demo", name);
    app.world.set_cluster_available("cloud", false).unwrap();
    let placed = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(placed.status, 200, "{:#}", placed.body);
    assert_eq!(placed.body["message"], "Placement of graph g triggered");
    assert_eq!(placed.body["moves"].as_array().map(Vec::len), Some(3), "{:#}", placed.body["moves"]);
    let after = app.until("g", "is ready elsewhere", |answer| answer.body["ready"] == true).await.body;
    assert!(["x", "y", "z"].iter().all(|name| cluster_of(&after, name) != "cloud"));
    assert_eq!(after["generation"], 2);
    // Back again, one more cluster lost: only what is there moves, and only that is upgraded.
    app.world.set_cluster_available("cloud", true).unwrap();
    let lost = cluster_of(&after, "x");
    let stay: Vec<&str> = ["y", "z"].into_iter().filter(|name| cluster_of(&after, name) != lost).collect();
    let untouched: Vec<_> = stay.iter().map(|name| revisions(name)).collect();
    app.world.set_cluster_available(&lost, false).unwrap();
    let placed = app.post("/graphs/g/placement", &json!({})).await;
    let moves = placed.body["moves"].as_array().unwrap();
    assert!(moves.iter().all(|moved| moved["from"] == json!(lost)), "{moves:#?}");
    assert_eq!(moves.len(), 3 - stay.len());
    assert_eq!(stay.iter().map(|name| revisions(name)).collect::<Vec<_>>(), untouched);
    app.shutdown().await;
}

async fn placing_again_what_is_well_placed_moves_nothing(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    // Just deployed: whether the clusters' report shows its use already must not matter.
    let large = json!({ "deployment": { "intent": { "compute": { "cpu": "large" } } } });
    assert_eq!(
        app.post(DEMO, &graph("g", &[service("a", large.clone()), service("b", large)])).await.status,
        200
    );
    let placed = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(placed.status, 200, "{:#}", placed.body);
    assert_eq!((&placed.body["moves"], &placed.body["generation"]), (&json!([]), &json!(1)));
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    let placed = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(placed.body["moves"], json!([]), "{:#}", placed.body);
    assert_eq!(app.world.revision("demo", "a"), Some(1));
    app.shutdown().await;
}

async fn a_dry_run_is_applied_by_its_id_and_only_once(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    spread(&app).await;
    app.world.set_cluster_available("cloud", false).unwrap();
    let proposal = app.post("/graphs/g/placement?dry_run=true", &json!({})).await;
    assert_eq!(proposal.status, 200, "{:#}", proposal.body);
    let id = proposal.body["plan_id"].clone();
    assert_eq!(proposal.body["decision"]["outcome"], "optimal");
    assert_eq!(proposal.body["decision"]["objective"]["total"], 3.0);
    assert_eq!(cluster_of(&app.get("/graphs/g").await.body, "x"), "cloud");
    let applied = app.post("/graphs/g/placement", &json!({ "plan_id": id })).await;
    assert_eq!(applied.status, 200, "{:#}", applied.body);
    assert_eq!(applied.body["moves"], proposal.body["moves"]);
    let graph = app.until("g", "is ready elsewhere", |answer| answer.body["ready"] == true).await.body;
    assert_eq!(graph["decision_id"], id);
    let again = app.post("/graphs/g/placement", &json!({ "plan_id": id })).await;
    assert_eq!(again.status, 409);
    assert!(again.body["detail"].as_str().unwrap().contains("was applied at"), "{:#}", again.body);
    let unknown = json!({ "plan_id": "01939f3e-6c1b-7b3e-8a54-0a1b2c3d4e5f" });
    assert_eq!(app.post("/graphs/g/placement", &unknown).await.status, 404);
    assert_eq!(app.post("/graphs/g/placement", &json!({ "plan_id": "x" })).await.status, 400);
    app.shutdown().await;
}

async fn a_plan_of_a_changed_world_is_refused_with_the_changes(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    spread(&app).await;
    let proposal = app.post("/graphs/g/placement?dry_run=true&strategy=cost", &json!({})).await;
    let id = proposal.body["plan_id"].clone();
    app.world.set_cluster_available("edge-1", false).unwrap();
    let refused = app.post("/graphs/g/placement", &json!({ "plan_id": id })).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    assert_eq!(refused.body["type"], "urn:smo:problem:world-changed");
    assert_eq!(refused.body["changes"], json!(["cluster edge-1 is not available"]));
    assert_eq!(app.get("/graphs/g").await.body["generation"], 1);
    app.shutdown().await;
}

async fn set_latency(app: &TestApp, from: &str, to: &str, ms: f64) {
    let body = json!({ "latencies_ms": { to: ms } }).to_string();
    let path = format!("/clusters/{from}/attributes");
    assert_eq!(app.send("PUT", &path, Some("application/json"), body.into()).await.status, 200);
}

/// Two services that call each other on two clusters, with a plan by `cost` that moves one of them.
async fn proposed(app: &TestApp, qos: &str) -> Value {
    let near = json!([{ "connectionPoint": "b", "qos": qos }]);
    let calls = json!({ "deployment": { "intent": {
        "network": { "latencies": near }, "connectionPoints": ["b"], "compute": { "cpu": "medium" } } } });
    let mut b = service("b", json!({}));
    b["smo"] = json!({ "antiAffinity": ["a"] });
    assert_eq!(app.post(DEMO, &graph("g", &[service("a", calls), b])).await.status, 200);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    for (from, to) in [("cloud", "edge-1"), ("cloud", "edge-2"), ("edge-1", "edge-2")] {
        set_latency(app, from, to, 9.5).await;
    }
    let lost = cluster_of(&app.get("/graphs/g").await.body, "b");
    app.world.set_cluster_available(&lost, false).unwrap();
    let proposal = app.post("/graphs/g/placement?dry_run=true&strategy=cost", &json!({})).await;
    assert_eq!(
        (proposal.status, &proposal.body["moves"][0]["service"]),
        (200, &json!("b")),
        "{:#}",
        proposal.body
    );
    proposal.body
}

async fn a_plan_survives_latencies_that_jitter_and_not_those_that_break_a_bound(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let first = proposed(&app, "ultralow").await;
    // Less than a fifth more is noise, but not where it is more than the 10 ms of the intent.
    for (from, to) in [("cloud", "edge-1"), ("cloud", "edge-2"), ("edge-1", "edge-2")] {
        set_latency(&app, from, to, 10.5).await;
    }
    let refused = app.post("/graphs/g/placement", &json!({ "plan_id": first["plan_id"] })).await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (409, &json!("urn:smo:problem:world-changed")),
        "{:#}",
        refused.body
    );
    assert!(refused.body["changes"][0].as_str().unwrap().contains("too far apart"), "{:#}", refused.body);
    // The objective of the plan is another now, and it is carried out as it is.
    for (from, to) in [("cloud", "edge-1"), ("cloud", "edge-2"), ("edge-1", "edge-2")] {
        set_latency(&app, from, to, 8.5).await;
    }
    let applied = app.post("/graphs/g/placement", &json!({ "plan_id": first["plan_id"] })).await;
    assert_eq!(applied.status, 200, "{:#}", applied.body);
    app.shutdown().await;
}

async fn a_request_brings_its_own_strategy_weights_and_parameters(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    spread(&app).await;
    let body =
        json!({ "strategy": "cost", "weights": { "moves": 0.0, "carbon": 5 }, "parameters": { "seed": 9 } });
    let proposal = app.post("/graphs/g/placement?dry_run=true", &body).await;
    assert_eq!((proposal.status, &proposal.body["strategy"]), (200, &json!("cost")), "{:#}", proposal.body);
    let path = format!("/graphs/g/decisions/{}", proposal.body["plan_id"].as_str().unwrap());
    let problem = app.get(&path).await.body["problem"].clone();
    assert_eq!(
        (&problem["weights"]["moves"], &problem["weights"]["carbon"], &problem["limits"]["seed"]),
        (&json!(0.0), &json!(5.0), &json!(9)),
        "{problem:#}"
    );
    // The plan is applied although descriptor and configuration have other weights.
    let applied = app.post("/graphs/g/placement", &json!({ "plan_id": proposal.body["plan_id"] })).await;
    assert_eq!(applied.status, 200, "{:#}", applied.body);
    for (body, pointer) in [
        (json!({ "weights": { "prize": 1 } }), "/weights"),
        (json!({ "parameters": { "seed": -1 } }), "/parameters"),
        (json!({ "strategy": "best" }), "/strategy"),
        (json!({ "plan_id": proposal.body["plan_id"], "weights": { "moves": 1 } }), "/plan_id"),
    ] {
        let refused = app.post("/graphs/g/placement", &body).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["pointer"]),
            (400, &json!(pointer)),
            "{:#}",
            refused.body
        );
    }
    let twice = app.post("/graphs/g/placement?strategy=cost", &json!({ "strategy": "cost" })).await;
    assert_eq!(twice.status, 400, "{:#}", twice.body);
    app.shutdown().await;
}

async fn an_infeasible_placement_changes_nothing_and_is_explained(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let gpu = json!({ "deployment": { "intent": { "compute": { "gpu": { "enabled": true } } } } });
    assert_eq!(app.post(DEMO, &graph("g", &[service("a", gpu)])).await.status, 200);
    app.world.set_cluster_available("cloud", false).unwrap();
    let refused = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(refused.status, 409, "{:#}", refused.body);
    let explanation = &refused.body["explanation"];
    assert_eq!(explanation["proven"], true);
    assert_eq!(explanation["conflict"], json!(["service a needs 1 GPU"]), "{explanation:#}");
    let help = explanation["relaxations"].as_array().unwrap();
    assert!(help.contains(&json!("make cluster cloud available again")), "{help:#?}");
    assert_eq!(app.get("/graphs/g").await.body["generation"], 1);
    let decisions = app.get("/graphs/g/decisions").await.body;
    assert_eq!(decisions[0]["outcome"], "infeasible");
    assert_eq!(decisions[0]["applied_at"], Value::Null);
    app.shutdown().await;
}

async fn the_strategy_can_be_named_by_request_and_by_descriptor(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    for (cluster, price) in [("cloud", 9.0), ("edge-1", 9.0), ("edge-2", 1.0)] {
        let attributes = json!({ "price_per_core_hour": price }).to_string();
        let path = format!("/clusters/{cluster}/attributes");
        let set = app.send("PUT", &path, Some("application/json"), attributes.into()).await;
        assert_eq!(set.status, 200, "{:#}", set.body);
    }
    let mut cheap = graph("cheap", &[service("a", json!({}))]);
    cheap["hdaGraph"]["smo"] = json!({ "placement": { "strategy": "cost" } });
    let posted = app.post(DEMO, &cheap).await;
    assert_eq!((posted.status, cluster_of(&posted.body, "a").as_str()), (200, "edge-2"), "{:#}", posted.body);
    app.post(DEMO, &graph("plain", &[service("b", json!({}))])).await;
    app.until("plain", "is ready", |answer| answer.body["ready"] == true).await;
    let kept = app.post("/graphs/plain/placement", &json!({})).await;
    assert_eq!(kept.body["moves"], json!([]));
    let moved = app.post("/graphs/plain/placement?strategy=cost", &json!({})).await;
    assert_eq!(
        moved.body["moves"],
        json!([{ "service": "b", "from": "cloud", "to": "edge-2" }]),
        "{:#}",
        moved.body
    );
    let unknown = app.post("/graphs/plain/placement?strategy=best", &json!({})).await;
    assert_eq!((unknown.status, &unknown.body["errors"][0]["pointer"]), (400, &json!("/strategy")));
    app.shutdown().await;
}

async fn a_placement_that_is_final_is_not_changed(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let mut descriptor = graph("g", &[service("a", json!({}))]);
    descriptor["hdaGraph"]["hdaGraphIntent"] = json!({ "highAvailability": { "enabled": true } });
    assert_eq!(app.post(DEMO, &descriptor).await.status, 200);
    assert_eq!(app.post("/graphs/g/placement", &json!({})).await.body["moves"], json!([]));
    app.world.set_cluster_available("cloud", false).unwrap();
    let refused = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(refused.status, 409);
    let conflict = &refused.body["explanation"]["conflict"];
    let told = "service a must stay on cloud, which is not available (highAvailability is enabled: the placement is final)";
    assert_eq!(conflict, &json!([told]), "{:#}", refused.body);
    app.shutdown().await;
}

async fn stopped_and_static_graphs_cannot_be_placed_again(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    assert_eq!(app.post("/graphs/none/placement", &json!({})).await.status, 404);
    let mut fixed = graph("fixed", &[service("a", json!({}))]);
    fixed["hdaGraph"]["hdaGraphIntent"] = json!({ "useStaticPlacement": true });
    app.post(DEMO, &fixed).await;
    assert_eq!(app.post("/graphs/fixed/placement", &json!({})).await.status, 409);
    app.post(DEMO, &graph("g", &[service("b", json!({}))])).await;
    app.post("/graphs/g/stop", &json!({})).await;
    assert_eq!(app.post("/graphs/g/placement", &json!({})).await.status, 400);
    app.shutdown().await;
}

async fn decisions_are_listed_and_shown_for_programs_and_people(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    spread(&app).await;
    app.post("/graphs/g/placement?dry_run=true&strategy=cost", &json!({})).await;
    let decisions = app.get("/graphs/g/decisions").await.body;
    let words: Vec<_> =
        decisions.as_array().unwrap().iter().map(|d| d["strategy"].as_str().unwrap()).collect();
    assert_eq!(words, ["cost", "first-fit"]);
    assert!(decisions[1]["applied_at"].is_string());
    let page = app
        .get(&format!("/graphs/g/decisions?limit=1&before={}", decisions[0]["id"].as_str().unwrap()))
        .await;
    assert_eq!(page.body[0]["id"], decisions[1]["id"]);
    let path = format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap());
    let shown = app.get(&path).await.body;
    assert_eq!(shown["problem"]["strategy"], "cost");
    assert!(shown["answer"]["explanation"][0]["clusters"][0]["feasible"].is_boolean());
    let text = app.get(&format!("{path}?format=text")).await;
    assert!(text.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(text.text.contains("INSTEAD ON") && text.text.contains("edge-1"), "{}", text.text);
    assert_eq!(app.get("/graphs/g/decisions/none").await.status, 404);
    assert_eq!(app.get("/graphs/none/decisions").await.status, 404);
    app.shutdown().await;
}

async fn shadow_strategies_decide_beside_the_real_one_and_are_never_applied(database: TestDatabase) {
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        settings.placement.shadow = vec!["cost".into(), "first-fit".into()];
    })
    .await;
    for (cluster, price) in [("cloud", 9.0), ("edge-1", 1.0), ("edge-2", 5.0)] {
        app.set_attributes(cluster, &json!({ "price_per_core_hour": price })).await;
    }
    assert_eq!(app.post(DEMO, &graph("g", &[service("a", json!({}))])).await.status, 200);
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    let real = cluster_of(&app.get("/graphs/g").await.body, "a");
    let path = "/graphs/g/decisions?shadow=true";
    let listed = eventually("a shadow decision", Duration::from_secs(10), async || {
        let listed = app.get(path).await.body;
        if listed[0]["shadows"][0].is_object() { Ok(listed) } else { Err(listed.to_string()) }
    })
    .await;
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed:#}");
    // The strategy that decided really is no shadow of itself.
    let shadows = listed[0]["shadows"].as_array().unwrap();
    assert_eq!((shadows.len(), &shadows[0]["strategy"]), (1, &json!("cost")), "{listed:#}");
    assert_eq!(
        shadows[0]["differs"],
        json!([{ "service": "a", "real": real, "shadow": "edge-1" }]),
        "{listed:#}"
    );
    assert_eq!(cluster_of(&app.get("/graphs/g").await.body, "a"), real);
    let shown = app.get(&format!("/graphs/g/decisions/{}", shadows[0]["id"].as_str().unwrap())).await.body;
    assert_eq!((&shown["strategy"], &shown["applied_at"]), (&json!("cost"), &Value::Null));
    let plain = app.get("/graphs/g/decisions").await.body;
    assert!(plain[0].get("shadows").is_none() && plain.as_array().unwrap().len() == 1, "{plain:#}");
    // Nor can it be carried out as a plan.
    let applied = app.post("/graphs/g/placement", &json!({ "plan_id": shadows[0]["id"] })).await;
    assert_eq!(applied.status, 404, "{:#}", applied.body);
    app.shutdown().await;
}

async fn attributes_of_clusters_are_set_and_reset(database: TestDatabase) {
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let configured = json!({ "region": "be", "carbon_per_core_hour": 12.0 });
        settings.clusters.insert("edge-1".to_owned(), serde_json::from_value(configured).unwrap());
    })
    .await;
    let path = "/clusters/edge-1/attributes";
    let put =
        async |body: Value| app.send("PUT", path, Some("application/json"), body.to_string().into()).await;
    let set = put(json!({ "region": "gr", "trusted": true, "labels": { "tier": "gold" } })).await;
    assert_eq!(set.status, 200, "{:#}", set.body);
    let shown = app.get(path).await.body;
    assert_eq!((&shown["region"], &shown["carbon_per_core_hour"]), (&json!("gr"), &json!(12.0)), "{shown:#}");
    assert_eq!(shown["set"], json!({ "region": "gr", "trusted": true, "labels": { "tier": "gold" } }));
    let refused = put(json!({ "price_per_core_hour": -1 })).await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["pointer"]),
        (400, &json!("/price_per_core_hour"))
    );
    assert_eq!(put(json!({ "prize": 1 })).await.status, 400);
    assert_eq!(app.delete(path).await.body["region"], "be");
    assert_eq!(app.get("/clusters/none/attributes").await.status, 404);
    app.shutdown().await;
}

async fn the_original_places_by_get(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    spread(&app).await;
    let placed = app.get("/graphs/g/placement").await;
    assert_eq!((placed.status, &placed.body["message"]), (200, &json!("Placement of graph g triggered")));
    app.shutdown().await;
}

/// An external strategy that puts everything on `cluster`.
async fn strategy(cluster: &'static str) -> String {
    let answer = move |axum::Json(question): axum::Json<Value>| async move {
        let services = question["problem"]["services"].as_array().unwrap().clone();
        let assignment: serde_json::Map<String, Value> =
            services.iter().map(|s| (s["name"].as_str().unwrap().to_owned(), json!(cluster))).collect();
        axum::Json(json!({ "assignment": assignment }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    url
}

async fn an_external_strategy_decides_and_its_fallback_when_it_fails(database: TestDatabase) {
    let (good, bad) = (strategy("edge-2").await, strategy("nowhere").await);
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let external = |url: &str| ExternalStrategy::new(url, Duration::from_secs(5), BuiltIn::MinMoves);
        let named =
            [("good", external(&good)), ("bad", external(&bad)), ("gone", external("http://127.0.0.1:9"))];
        settings.placement.external.extend(named.map(|(name, strategy)| (name.to_owned(), strategy)));
    })
    .await;
    app.post(DEMO, &graph("g", &[service("a", json!({}))])).await;
    app.until("g", "is ready", |answer| answer.body["ready"] == true).await;
    for name in ["bad", "gone"] {
        let proposal =
            app.post(&format!("/graphs/g/placement?dry_run=true&strategy={name}"), &json!({})).await;
        assert_eq!(
            (proposal.status, &proposal.body["strategy"]),
            (200, &json!("min-moves")),
            "{:#}",
            proposal.body
        );
        let warning = proposal.body["decision"]["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with(&format!("strategy {name} gave no usable answer")), "{warning}");
    }
    let moved = app.post("/graphs/g/placement?strategy=good", &json!({})).await;
    assert_eq!(
        moved.body["moves"],
        json!([{ "service": "a", "from": "cloud", "to": "edge-2" }]),
        "{:#}",
        moved.body
    );
    app.shutdown().await;
}

/// A world of clusters of one core.
fn small_clusters(names: &[&str]) -> World {
    let clusters: String = names
        .iter()
        .map(|name| format!("  - {{ name: {name}, cpu: 1, ram: 8Gi, storage: 100Gi }}\n"))
        .collect();
    World::new(Continuum::parse(&format!("ready_delay: 0.01\nclusters:\n{clusters}")).unwrap(), 1)
}

async fn first_fit_takes_the_clusters_in_the_order_in_which_they_were_first_seen(database: TestDatabase) {
    let before = TestApp::start_in(&database, small_clusters(&["old"]), Faults::none()).await;
    assert_eq!(before.get("/clusters/old").await.status, 200);
    before.shutdown().await;
    let app = TestApp::start_in(&database, small_clusters(&["a", "b", "old"]), Faults::none()).await;
    assert_eq!(app.get("/clusters/a").await.status, 200);
    // What the simulated charts request fits twice. The order of the descriptor is not that of the names.
    let services = ["z", "y", "x"].map(|name| service(name, json!({})));
    let posted = app.post(DEMO, &graph("g", &services)).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let clusters = ["z", "y", "x"].map(|name| cluster_of(&posted.body, name));
    assert_eq!(clusters, ["old", "old", "a"], "{:#}", posted.body);
    app.shutdown().await;
}
