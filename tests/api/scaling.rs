//! Scaling by measured load on the simulated continuum: ticks are driven by the tests.

use serde_json::{Value, json};
use smo::config::{ScalingProfile, Settings, StepLimit};
use smo::faults::Faults;
use smo::simulation::Operation;

use crate::support::app::{TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    load_scales_a_service_up_and_its_end_scales_it_down,
    an_unknown_rate_holds_the_replicas_and_raises_a_condition,
    the_rate_of_a_service_may_come_from_its_caller,
    what_does_not_fit_its_cluster_is_placed_again_once,
    what_cannot_be_placed_again_gets_the_room_that_there_is,
    a_service_with_several_workloads_is_not_scaled,
    scaling_is_switched_per_graph,
    replicas_are_left_alone_once_scaling_is_off,
    a_replacement_keeps_the_scaled_replicas,
    a_rate_from_callers_is_marked_and_a_gap_in_the_own_counter_is_none,
    steps_scale_a_service_without_a_capacity_model,
    a_graph_says_how_it_is_scaled,
    a_chart_has_a_profile_for_all_its_services,
    one_tick_adds_no_more_than_the_step,
    profiles_are_set_and_reset,
    outside_calls_of_a_tick_do_not_grow_with_the_graphs,
);

const DEMO: &str = "/project/demo/graphs";

fn profile(alpha: f64, max: i64) -> ScalingProfile {
    ScalingProfile::read(&json!({ "alpha": alpha, "max": max })).unwrap()
}

/// A server on which scaling is on, without a stabilisation window; the loop itself sleeps.
async fn app(database: &TestDatabase, change: impl FnOnce(&mut Settings)) -> TestApp {
    TestApp::start_with(database, world(), Faults::none(), |settings| {
        settings.scaling.enabled = true;
        settings.scaling.interval = std::time::Duration::from_secs(3600);
        settings.scaling.stabilisation = std::time::Duration::ZERO;
        settings.scaling.profiles.insert("a".to_owned(), profile(10.0, 4));
        change(settings);
    })
    .await
}

async fn deploy(app: &TestApp, descriptor: &Value) {
    let posted = app.post(DEMO, descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let name = descriptor["hdaGraph"]["id"].as_str().unwrap();
    app.until(name, "is ready", |answer| answer.body["ready"] == true).await;
}

fn replicas(answer: &crate::support::app::Answer, name: &str) -> Value {
    let services = answer.body["services"].as_array().unwrap();
    services.iter().find(|service| service["name"] == name).unwrap()["replicas"].clone()
}

async fn until_replicas(app: &TestApp, name: &str, wanted: i64) {
    let all = json!({ "wanted": wanted, "ready": wanted });
    app.until("g", &format!("has {wanted} replicas of {name}"), |answer| replicas(answer, name) == all).await;
}

async fn load_scales_a_service_up_and_its_end_scales_it_down(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let mut scaler = app.scaler();
    app.world.set_rate("a", 22.0);
    let summary = app.tick(&mut scaler).await;
    assert_eq!((summary.graphs, summary.scaled), (1, 1));
    until_replicas(&app, "a", 3).await;
    let scaling = app.get("/graphs/g/scaling").await.body;
    assert_eq!((&scaling["enabled"], &scaling["strategy"]), (&json!(true), &json!("exact")));
    let decided = &scaling["ticks"][0]["services"][0];
    assert_eq!(
        [&decided["rate"], &decided["previous"], &decided["replicas"]],
        [&json!(22.0), &json!(1), &json!(3)]
    );
    assert!(decided["reason"].as_str().unwrap().contains("22"), "{decided:#}");
    // Two replicas would serve 17 requests/s only above the target of 80 %: the third one stays.
    app.world.set_rate("a", 17.0);
    assert_eq!(app.tick(&mut scaler).await.scaled, 0);
    app.world.set_rate("a", 2.0);
    assert_eq!(app.tick(&mut scaler).await.scaled, 1);
    until_replicas(&app, "a", 1).await;
    let decisions = app.get("/graphs/g/decisions").await.body;
    assert_eq!([&decisions[0]["kind"], &decisions[1]["kind"]], ["scaling", "scaling"]);
    let path = format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap());
    assert!(app.get(&format!("{path}?format=text")).await.text.contains('a'));
    app.shutdown().await;
}

/// Nobody says which of them carries the load. The simulated continuum has one Deployment per release, so
/// that the observation of the second one is written by hand.
async fn a_service_with_several_workloads_is_not_scaled(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let mut record = database.store.services("g").await.unwrap().remove(0);
    record.workloads.push(record.workloads[0].clone());
    let mut tx = database.store.begin().await.unwrap();
    tx.update_service_observation(&record).await.unwrap();
    tx.commit("observation").await.unwrap();
    let mut scaler = app.scaler();
    app.world.set_rate("a", 22.0);
    for _ in 0..2 {
        assert_eq!(app.tick(&mut scaler).await.scaled, 0);
    }
    assert_eq!(database.store.services("g").await.unwrap()[0].replicas_decided, None);
    let decisions = app.get("/graphs/g/decisions").await.body;
    assert!(
        decisions.as_array().unwrap().iter().all(|decision| decision["kind"] == "placement"),
        "{decisions:#}"
    );
    app.shutdown().await;
}

async fn an_unknown_rate_holds_the_replicas_and_raises_a_condition(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let mut scaler = app.scaler();
    app.world.set_rate("a", 22.0);
    app.tick(&mut scaler).await;
    until_replicas(&app, "a", 3).await;
    app.world.clear_rate("a");
    assert_eq!(app.tick(&mut scaler).await.scaled, 0);
    let shown = app.get("/graphs/g").await;
    let conditions = shown.body["services"][0]["conditions"].as_array().unwrap().clone();
    let rate = conditions.iter().find(|condition| condition["type"] == "RateKnown").unwrap();
    assert_eq!((&rate["status"], &rate["reason"]), (&json!("False"), &json!("Lost")));
    assert_eq!(app.get("/graphs/g/scaling").await.body["ticks"][0]["services"][0]["rate"], Value::Null);
    app.shutdown().await;
}

async fn the_rate_of_a_service_may_come_from_its_caller(database: TestDatabase) {
    let app = app(&database, |settings| {
        settings.scaling.profiles.insert("b".to_owned(), profile(10.0, 4));
        let mut named = profile(10.0, 4);
        named.rate_from = Some("a".to_owned());
        settings.scaling.profiles.insert("c".to_owned(), named);
    })
    .await;
    let calls_b = json!({ "deployment": { "intent": { "connectionPoints": ["b"] } } });
    deploy(&app, &graph("g", &[service("a", calls_b), service("b", json!({})), service("c", json!({}))]))
        .await;
    app.world.set_rate("a", 15.0);
    app.tick(&mut app.scaler()).await;
    for name in ["a", "b", "c"] {
        until_replicas(&app, name, 2).await;
    }
    app.shutdown().await;
}

fn rate_known(graph: &crate::support::app::Answer, name: &str) -> (Value, Value) {
    let services = graph.body["services"].as_array().unwrap();
    let service = services.iter().find(|service| service["name"] == name).unwrap();
    let conditions = service["conditions"].as_array().unwrap();
    let known = conditions.iter().find(|condition| condition["type"] == "RateKnown").unwrap();
    (known["status"].clone(), known["reason"].clone())
}

async fn a_rate_from_callers_is_marked_and_a_gap_in_the_own_counter_is_none(database: TestDatabase) {
    let app =
        app(&database, |settings| drop(settings.scaling.profiles.insert("b".to_owned(), profile(10.0, 4))))
            .await;
    let calls_b = json!({ "deployment": { "intent": { "connectionPoints": ["b"] } } });
    deploy(&app, &graph("g", &[service("a", calls_b), service("b", json!({}))])).await;
    let mut scaler = app.scaler();
    app.world.set_rate("a", 15.0);
    app.tick(&mut scaler).await;
    let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
    assert_eq!((&tick["services"][1]["rate"], &tick["services"][1]["derived"]), (&json!(15.0), &json!(true)));
    assert!(tick["services"][1]["reason"].as_str().unwrap().contains("of its callers"), "{tick:#}");
    assert_eq!(rate_known(&app.get("/graphs/g").await, "b"), (json!("True"), json!("Derived")));
    // From now on it has a counter, and a gap in it is no load of its callers.
    app.world.set_rate("b", 4.0);
    app.tick(&mut scaler).await;
    assert_eq!(rate_known(&app.get("/graphs/g").await, "b").1, "Measured");
    app.world.clear_rate("b");
    for _ in 0..2 {
        app.tick(&mut scaler).await;
        let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
        assert_eq!(
            (&tick["services"][1]["rate"], &tick["services"][1]["replicas"]),
            (&Value::Null, &json!(1))
        );
        assert_eq!(rate_known(&app.get("/graphs/g").await, "b"), (json!("False"), json!("Lost")));
    }
    app.shutdown().await;
}

async fn steps_scale_a_service_without_a_capacity_model(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    let mut steps = service("s", json!({}));
    steps["smo"] =
        json!({ "scaling": { "max": 5, "up": { "above": 100, "to": 4 }, "down": { "below": 20, "to": 1 } } });
    let mut descriptor = graph("g", &[steps]);
    descriptor["hdaGraph"]["smo"] = json!({ "scaling": { "strategy": "steps" } });
    deploy(&app, &descriptor).await;
    let mut scaler = app.scaler();
    for (rate, wanted) in [(100.0, 1), (101.0, 4), (50.0, 4), (19.0, 1)] {
        app.world.set_rate("s", rate);
        app.tick(&mut scaler).await;
        let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
        assert_eq!((&tick["strategy"], &tick["services"][0]["replicas"]), (&json!("steps"), &json!(wanted)));
        until_replicas(&app, "s", wanted).await;
    }
    app.shutdown().await;
}

async fn a_graph_says_how_it_is_scaled(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    let mut descriptor = graph("g", &[service("a", json!({}))]);
    descriptor["hdaGraph"]["smo"] = json!({ "scaling": { "targetUtilisation": 0.5, "stabilisation": "1h", "weights": { "change": 0.1 } } });
    deploy(&app, &descriptor).await;
    let mut scaler = app.scaler();
    // 11 requests/s are more than half of what two replicas serve.
    app.world.set_rate("a", 11.0);
    app.tick(&mut scaler).await;
    until_replicas(&app, "a", 3).await;
    app.world.set_rate("a", 0.0);
    app.tick(&mut scaler).await;
    let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
    assert_eq!(tick["services"][0]["replicas"], 3, "{tick:#}");
    let decisions = app.get("/graphs/g/decisions").await.body;
    let decision =
        app.get(&format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap())).await.body;
    assert_eq!(decision["problem"]["weights"]["change"], 0.1, "{decision:#}");
    app.shutdown().await;
}

async fn a_chart_has_a_profile_for_all_its_services(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    let one = service("one", json!({}));
    let chart = one["artifact"]["ociImage"].as_str().unwrap().trim_start_matches("oci://").to_owned();
    let key = chart.split(':').next().unwrap().replace('/', "%2F");
    let path = format!("/profiles/{key}");
    let body = json!({ "alpha": 10, "max": 5 }).to_string();
    let set = app.send("PUT", &path, Some("application/json"), body.into()).await;
    assert_eq!(set.status, 200, "{chart}: {:#}", set.body);
    deploy(&app, &graph("g", &[one])).await;
    app.world.set_rate("one", 22.0);
    app.tick(&mut app.scaler()).await;
    until_replicas(&app, "one", 3).await;
    // That of the service comes first.
    let body = json!({ "alpha": 5, "max": 5 }).to_string();
    assert_eq!(app.send("PUT", "/profiles/one", Some("application/json"), body.into()).await.status, 200);
    app.world.set_rate("one", 16.0);
    app.tick(&mut app.scaler()).await;
    until_replicas(&app, "one", 4).await;
    assert_eq!(app.get(&path).await.body["alpha"], 10.0);
    assert_eq!(app.delete(&path).await.status, 204);
    assert_eq!(app.get("/profiles/no%20name").await.status, 404);
    app.shutdown().await;
}

async fn one_tick_adds_no_more_than_the_step(database: TestDatabase) {
    let app = app(&database, |settings| {
        settings.scaling.profiles.insert("a".to_owned(), profile(10.0, 20));
        settings.scaling.step_down = StepLimit { replicas: Some(3), percent: None };
    })
    .await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let mut scaler = app.scaler();
    // Four more, or twice as many; then three less.
    for (rate, wanted) in [(80.0, 5), (80.0, 10), (0.0, 7), (0.0, 4)] {
        app.world.set_rate("a", rate);
        app.tick(&mut scaler).await;
        let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
        assert_eq!(tick["services"][0]["replicas"], wanted, "{tick:#}");
        until_replicas(&app, "a", wanted).await;
    }
    app.shutdown().await;
}

async fn what_does_not_fit_its_cluster_is_placed_again_once(database: TestDatabase) {
    let app = app(&database, |settings| {
        settings.placement.strategy = "cost".into();
        settings.scaling.profiles.insert("b".to_owned(), profile(10.0, 4));
    })
    .await;
    for (cluster, price) in [("cloud", 9.0), ("edge-1", 1.0), ("edge-2", 5.0)] {
        let attributes = json!({ "price_per_core_hour": price }).to_string();
        app.send(
            "PUT",
            &format!("/clusters/{cluster}/attributes"),
            Some("application/json"),
            attributes.into(),
        )
        .await;
    }
    // 2 cores a replica on edge-1 with 4: three replicas need 6, which only the cloud has. `b` is small.
    let heavy = json!({ "artifact": { "valuesOverwrite": { "resources": { "requests": { "cpu": "2", "memory": "1Gi" } } } } });
    let small = json!({ "artifact": { "valuesOverwrite": { "resources": { "requests": { "cpu": "100m", "memory": "64Mi" } } } } });
    deploy(&app, &graph("g", &[service("a", heavy), service("b", small)])).await;
    let mut scaler = app.scaler();
    app.world.set_rate("b", 22.0);
    assert_eq!(app.tick(&mut scaler).await.scaled, 1);
    until_replicas(&app, "b", 3).await;
    // Two of `b` would do, but not within the target.
    app.world.set_rate("b", 17.0);
    app.world.set_rate("a", 22.0);
    let summary = app.tick(&mut scaler).await;
    assert_eq!((summary.scaled, summary.rescheduled), (0, 1));
    let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
    assert_eq!(tick["outcome"], "infeasible");
    assert_eq!(tick["replacement"], "placed again: a from edge-1 to cloud");
    until_replicas(&app, "a", 3).await;
    until_replicas(&app, "b", 3).await;
    assert_eq!(app.get("/graphs/g").await.body["services"][0]["cluster_affinity"], "cloud");
    app.world.set_rate("a", 1000.0);
    assert_eq!(app.tick(&mut scaler).await.rescheduled, 0);
    app.shutdown().await;
}

async fn what_cannot_be_placed_again_gets_the_room_that_there_is(database: TestDatabase) {
    let app = app(&database, |settings| {
        settings.scaling.step_up = StepLimit::default();
        settings.scaling.profiles.insert("a".to_owned(), profile(10.0, 40));
        settings.scaling.profiles.insert("b".to_owned(), profile(10.0, 40));
    })
    .await;
    // Two cores a replica; no cluster has the 30 that `a` needs. `b` is small and somewhere else.
    let heavy = json!({ "artifact": { "valuesOverwrite": { "resources": { "requests": { "cpu": "2", "memory": "64Mi" } } } } });
    let mut b = service("b", json!({}));
    b["smo"] = json!({ "antiAffinity": ["a"] });
    deploy(&app, &graph("g", &[service("a", heavy), b])).await;
    let clusters: Vec<Value> = app.get("/graphs/g").await.body["services"].as_array().unwrap().clone();
    assert_ne!(clusters[0]["cluster_affinity"], clusters[1]["cluster_affinity"]);
    app.world.set_rate("a", 300.0);
    app.world.set_rate("b", 15.0);
    let summary = app.tick(&mut app.scaler()).await;
    assert_eq!((summary.scaled, summary.rescheduled), (1, 0));
    let tick = app.get("/graphs/g/scaling").await.body["ticks"][0].clone();
    assert_eq!(tick["outcome"], "decided", "{tick:#}");
    assert!(tick["shortage"].as_str().unwrap().contains("too little room for service a"), "{tick:#}");
    assert!(tick["replacement"].as_str().unwrap().starts_with("could not be placed again: "), "{tick:#}");
    let got = tick["services"][0]["replicas"].as_i64().unwrap();
    assert!((2..30).contains(&got) && tick["services"][0]["saturated"] == json!(true), "{tick:#}");
    assert_eq!(tick["services"][1]["replicas"], 2);
    until_replicas(&app, "a", got).await;
    until_replicas(&app, "b", 2).await;
    app.shutdown().await;
}

async fn replicas_are_left_alone_once_scaling_is_off(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    let mut managed = service("a", json!({}));
    managed["smo"] = json!({ "propagation": "managed" });
    deploy(&app, &graph("g", &[managed])).await;
    app.world.set_rate("a", 22.0);
    app.tick(&mut app.scaler()).await;
    until_replicas(&app, "a", 3).await;
    assert_eq!(app.post("/graphs/g/scaling", &json!({ "enabled": false })).await.status, 200);
    let decided = database.store.services("g").await.unwrap()[0].replicas_decided;
    assert_eq!(decided, None, "nothing sets them back when somebody else does");
    let shown = app.get("/graphs/g").await;
    assert_eq!(replicas(&shown, "a")["wanted"], 3, "what runs stays as it is: {:#}", shown.body);
    app.shutdown().await;
}

async fn scaling_is_switched_per_graph(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    let off = app.post("/graphs/g/scaling", &json!({ "enabled": false })).await;
    assert_eq!((off.status, &off.body["enabled"]), (200, &json!(false)));
    app.world.set_rate("a", 22.0);
    assert_eq!(app.tick(&mut app.scaler()).await.graphs, 0);
    assert_eq!(app.post("/graphs/g/scaling", &json!({ "enabled": "x" })).await.status, 400);
    assert_eq!(app.post("/graphs/none/scaling", &json!({ "enabled": true })).await.status, 404);
    for _ in 0..2 {
        let on = app.post("/graphs/g/scaling", &json!({ "enabled": true })).await;
        assert_eq!((on.status, &on.body["enabled"]), (200, &json!(true)));
    }
    assert_eq!(app.tick(&mut app.scaler()).await.scaled, 1);
    app.shutdown().await;
}

async fn a_replacement_keeps_the_scaled_replicas(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    deploy(&app, &graph("g", &[service("a", json!({}))])).await;
    app.world.set_rate("a", 22.0);
    app.tick(&mut app.scaler()).await;
    until_replicas(&app, "a", 3).await;
    app.world.set_cluster_available("cloud", false).unwrap();
    let placed = app.post("/graphs/g/placement", &json!({})).await;
    assert_eq!(placed.body["moves"][0]["from"], "cloud", "{:#}", placed.body);
    until_replicas(&app, "a", 3).await;
    app.shutdown().await;
}

async fn profiles_are_set_and_reset(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    let put = async |path: &str, body: Value| {
        app.send("PUT", path, Some("application/json"), body.to_string().into()).await
    };
    let set = put("/profiles/a", json!({ "alpha": 5, "beta": -1, "max": 9, "window": "1m" })).await;
    assert_eq!(set.status, 200, "{:#}", set.body);
    assert_eq!(set.body, json!({ "alpha": 5.0, "beta": -1.0, "min": 1, "max": 9, "window": "1m" }));
    assert_eq!(app.get("/profiles/a").await.body, set.body);
    assert_eq!(app.get("/profiles").await.body["noise-reduction"]["alpha"], 0.533);
    let refused = put("/profiles/a", json!({ "alpha": 0 })).await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["pointer"]),
        (400, &json!("/alpha")),
        "{:#}",
        refused.body
    );
    assert_eq!(app.delete("/profiles/a").await.status, 204);
    assert_eq!(app.get("/profiles/a").await.body["alpha"], 10.0);
    assert_eq!(app.delete("/profiles/a").await.status, 404);
    assert_eq!(app.get("/profiles/unknown").await.status, 404);
    app.shutdown().await;
}

async fn outside_calls_of_a_tick_do_not_grow_with_the_graphs(database: TestDatabase) {
    let app = app(&database, |_| ()).await;
    let mut counts = Vec::new();
    for number in 0..6 {
        let name = format!("s{number}");
        let mut scaled = service(&name, json!({}));
        scaled["smo"] = json!({ "scaling": { "alpha": 10 } });
        deploy(&app, &graph(&format!("g{number}"), &[scaled])).await;
        app.world.set_rate(&name, 1.0);
        let before = app.world.calls(Operation::ListRates);
        assert_eq!(app.tick(&mut app.scaler()).await.graphs, number + 1);
        counts.push(app.world.calls(Operation::ListRates) - before);
    }
    assert_eq!(counts, [1; 6]);
    app.shutdown().await;
}
