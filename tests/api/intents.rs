//! From the intents of a posted descriptor to the plan: where its services go, and what is said when they
//! cannot.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use smo::config::{ProjectPlacement, Settings, Sources, load};
use smo::faults::Faults;
use smo::simulation::{Continuum, World};

use crate::support::app::{TestApp, graph, service, world};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    security_takes_clusters_that_somebody_calls_trusted,
    security_without_a_trusted_cluster_is_refused_and_says_so,
    a_service_runs_at_the_site_of_its_device,
    a_service_near_a_device_without_a_site_runs_where_a_site_is_known,
    a_site_that_nobody_knows_is_a_warning_and_strictly_a_refusal,
    a_latency_without_a_connection_point_is_one_to_the_device,
    high_performance_keeps_connected_services_in_one_region,
    energy_efficiency_means_the_strategy_green_unless_one_is_named,
    ultralow_latency_is_less_than_ten_milliseconds,
    low_latency_is_the_same_region_or_at_most_twenty_milliseconds,
    a_latency_that_is_set_comes_before_a_measured_one,
    a_latency_that_is_set_at_one_end_comes_before_one_measured_from_the_other,
    a_latency_that_nobody_knows_is_a_warning_and_strictly_a_refusal,
    co_located_services_share_a_cluster,
    services_that_must_share_and_avoid_a_cluster_are_refused_with_the_conflict,
    a_configured_rule_asks_for_an_attribute_of_the_cluster,
    a_configured_rule_sets_weights_and_strategy,
    a_project_has_strategies_of_its_own,
    offloading_is_never_first_or_wherever_it_is_cheap,
);

const DEMO: &str = "/project/demo/graphs";

/// The clusters of the other tests, with measured round-trip times from the cloud.
fn measured(edge_1_ms: f64, edge_2_ms: f64) -> World {
    let text = format!(
        "
ready_delay: 0.01
clusters:
  - {{ name: cloud, cpu: 16, ram: 64Gi, storage: 500Gi }}
  - {{ name: edge-1, cpu: 4, ram: 8Gi, storage: 100Gi }}
  - {{ name: edge-2, cpu: 4, ram: 8Gi, storage: 100Gi }}
latencies:
  - {{ between: [cloud, edge-1], ms: {edge_1_ms} }}
  - {{ between: [cloud, edge-2], ms: {edge_2_ms} }}
"
    );
    World::new(Continuum::parse(&text).unwrap(), 1)
}

/// A descriptor with an intent of the whole graph.
fn intending(intent: Value, services: &[Value]) -> Value {
    let mut descriptor = graph("g", services);
    descriptor["hdaGraph"]["hdaGraphIntent"] = intent;
    descriptor
}

/// A descriptor with a section `smo`.
fn tuned(smo: Value, services: &[Value]) -> Value {
    let mut descriptor = graph("g", services);
    descriptor["hdaGraph"]["smo"] = smo;
    descriptor
}

/// A service with an intent of its own.
fn wanting(id: &str, intent: Value) -> Value {
    service(id, json!({ "deployment": { "intent": intent } }))
}

/// Two services that must not share a cluster; `b` wants this latency to `a`.
fn apart(qos: &str) -> [Value; 2] {
    let mut b = wanting("b", json!({ "network": { "latencies": [{ "connectionPoint": "a", "qos": qos }] } }));
    b["smo"] = json!({ "antiAffinity": ["a"] });
    [service("a", json!({})), b]
}

/// Posts a graph and gives the cluster of each service, by name.
async fn placed(app: &TestApp, descriptor: &Value) -> Vec<String> {
    let posted = app.post(DEMO, descriptor).await;
    assert_eq!(posted.status, 200, "{:#}", posted.body);
    let services = posted.body["services"].as_array().unwrap();
    let mut clusters: BTreeMap<&str, String> = BTreeMap::new();
    for service in services {
        let cluster = service["cluster_affinity"].as_str().unwrap().to_owned();
        clusters.insert(service["name"].as_str().unwrap(), cluster);
    }
    clusters.into_values().collect()
}

/// Posts a graph that has no placement and gives the explanation.
async fn refused(app: &TestApp, descriptor: &Value) -> Value {
    let posted = app.post(DEMO, descriptor).await;
    assert_eq!((posted.status, &posted.body["type"]), (409, &json!("urn:smo:problem:infeasible")));
    assert_eq!(app.get("/graphs/g").await.status, 404);
    posted.body["explanation"].clone()
}

/// The newest decision about the graph `g`.
async fn decision(app: &TestApp) -> Value {
    let decisions = app.get("/graphs/g/decisions?limit=1").await.body;
    app.get(&format!("/graphs/g/decisions/{}", decisions[0]["id"].as_str().unwrap())).await.body
}

async fn remove(app: &TestApp) {
    assert_eq!(app.delete("/graphs/g").await.status, 200);
    app.until("g", "is gone", |answer| answer.status == 404).await;
}

async fn security_takes_clusters_that_somebody_calls_trusted(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.set_attributes("cloud", &json!({ "trusted": false })).await;
    app.set_attributes("edge-2", &json!({ "trusted": true })).await;
    let services = [service("a", json!({})), service("b", json!({}))];
    let secure = intending(json!({ "security": { "enabled": true } }), &services);
    assert_eq!(placed(&app, &secure).await, ["edge-2", "edge-2"]);
    let verdicts = decision(&app).await["answer"]["explanation"][0]["clusters"].clone();
    let violated = |cluster: usize| verdicts[cluster]["violated"][0].clone();
    assert_eq!(
        [violated(0), violated(1)],
        [json!("false"), Value::Null].map(|found| json!({
            "constraint": "attribute", "intent": "security", "attribute": "trusted", "wanted": "true",
            "found": found,
        }))
    );
    app.shutdown().await;
}

async fn security_without_a_trusted_cluster_is_refused_and_says_so(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.set_attributes("cloud", &json!({ "trusted": false })).await;
    let secure = intending(json!({ "security": { "enabled": true } }), &[service("a", json!({}))]);
    let explanation = refused(&app, &secure).await;
    let requirement = "intent security of service a: trusted must be true";
    assert_eq!([&explanation["proven"], &explanation["minimal"]], [true, true]);
    assert_eq!(explanation["conflict"], json!([requirement]));
    assert_eq!(explanation["relaxations"], json!([format!("give up: {requirement}")]));
    for (index, name) in ["cloud", "edge-1", "edge-2"].iter().enumerate() {
        let verdict = &explanation["clusters"][index];
        assert_eq!([&verdict["cluster"], &verdict["violated"][0]["intent"]], [*name, "security"]);
    }
    app.shutdown().await;
}

async fn a_service_runs_at_the_site_of_its_device(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.set_attributes("edge-1", &json!({ "site": "harbour" })).await;
    app.set_attributes("edge-2", &json!({ "site": "factory" })).await;
    let near =
        |id: &str, proximity: Value| wanting(id, json!({ "network": { "deviceProximity": proximity } }));
    let services = [
        service("a", json!({})),
        near("b", json!({ "enabled": true })),
        near("c", json!({ "enabled": true, "site": "harbour" })),
        near("d", json!({ "enabled": false, "site": "harbour" })),
    ];
    let at_site = tuned(json!({ "site": "factory" }), &services);
    assert_eq!(placed(&app, &at_site).await, ["cloud", "edge-2", "edge-1", "cloud"]);
    remove(&app).await;
    // Every cluster is known to be elsewhere.
    app.set_attributes("cloud", &json!({ "site": "city" })).await;
    let nowhere = [near("a", json!({ "enabled": true, "site": "farm" }))];
    let posted = app.post(DEMO, &graph("g", &nowhere)).await;
    assert_eq!(posted.status, 409, "{:#}", posted.body);
    assert_eq!(
        posted.body["explanation"]["conflict"],
        json!(["intent deviceProximity of service a: site must be farm"])
    );
    app.shutdown().await;
}

async fn a_service_near_a_device_without_a_site_runs_where_a_site_is_known(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.set_attributes("edge-2", &json!({ "site": "factory" })).await;
    let near = wanting("a", json!({ "network": { "deviceProximity": { "enabled": true } } }));
    assert_eq!(placed(&app, &graph("g", &[near])).await, ["edge-2"]);
    assert_eq!(decision(&app).await["answer"]["warnings"], json!([]));
    app.shutdown().await;
}

async fn a_site_that_nobody_knows_is_a_warning_and_strictly_a_refusal(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let near = [wanting("a", json!({ "network": { "deviceProximity": { "enabled": true } } }))];
    let explanation = refused(&app, &tuned(json!({ "placement": { "strict": true } }), &near)).await;
    let conflict = explanation["conflict"][0].as_str().unwrap();
    assert!(conflict.starts_with("intent deviceProximity of service a: site must be"), "{conflict}");
    assert_eq!(placed(&app, &graph("g", &near)).await, ["cloud"]);
    let warning = "intent deviceProximity of service a cannot be decided: site of cluster cloud is unknown";
    assert_eq!(decision(&app).await["answer"]["warnings"], json!([warning]));
    app.shutdown().await;
}

async fn a_latency_without_a_connection_point_is_one_to_the_device(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.set_attributes("edge-1", &json!({ "site": "harbour" })).await;
    app.set_attributes("edge-2", &json!({ "site": "factory" })).await;
    let within = |id: &str, qos: &str| wanting(id, json!({ "network": { "latencies": [{ "qos": qos }] } }));
    let services = [within("a", "ultralow"), within("b", "low"), within("c", "best-effort")];
    let at_site = tuned(json!({ "site": "factory" }), &services);
    assert_eq!(placed(&app, &at_site).await, ["edge-2", "edge-2", "cloud"]);
    app.shutdown().await;
}

async fn high_performance_keeps_connected_services_in_one_region(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    for (cluster, region) in [("cloud", "be"), ("edge-1", "gr"), ("edge-2", "be")] {
        app.set_attributes(cluster, &json!({ "region": region })).await;
    }
    // `b` and `c` cannot be on the cloud; only `b` is connected to what is there.
    let mut b = wanting("b", json!({ "connectionPoints": ["a"] }));
    b["smo"] = json!({ "antiAffinity": ["a"] });
    let c = service("c", json!({ "smo": { "antiAffinity": ["a"] } }));
    let services = [service("a", json!({})), b, c];
    assert_eq!(placed(&app, &graph("g", &services)).await, ["cloud", "edge-1", "edge-1"]);
    remove(&app).await;
    let fast = intending(json!({ "highPerformance": { "enabled": true } }), &services);
    assert_eq!(placed(&app, &fast).await, ["cloud", "edge-2", "edge-1"]);
    let decision = decision(&app).await;
    assert_eq!(
        decision["problem"]["links"],
        json!([{ "from": "a", "to": "b", "traffic": 1.0, "bound": "low" }]),
        "{decision:#}"
    );
    app.shutdown().await;
}

async fn energy_efficiency_means_the_strategy_green_unless_one_is_named(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    // The cleanest cluster is the dearest one.
    for (cluster, price, carbon) in [("cloud", 2.0, 400.0), ("edge-1", 1.0, 200.0), ("edge-2", 9.0, 30.0)] {
        let attributes = json!({ "price_per_core_hour": price, "carbon_per_core_hour": carbon });
        app.set_attributes(cluster, &attributes).await;
    }
    let mut descriptor =
        intending(json!({ "energyEfficiency": { "enabled": true } }), &[service("a", json!({}))]);
    for (smo, strategy, cluster) in [
        (json!({}), "green", "edge-2"),
        (json!({ "placement": { "strategy": "cost", "weights": { "carbon": 0 } } }), "cost", "edge-1"),
    ] {
        descriptor["hdaGraph"]["smo"] = smo;
        assert_eq!(placed(&app, &descriptor).await, [cluster]);
        let decision = decision(&app).await;
        assert_eq!([&decision["strategy"], &decision["outcome"]], [strategy, "optimal"]);
        assert_eq!(decision["answer"]["warnings"], json!([]));
        remove(&app).await;
    }
    app.shutdown().await;
}

async fn ultralow_latency_is_less_than_ten_milliseconds(database: TestDatabase) {
    let app = TestApp::start_in(&database, measured(10.0, 9.99), Faults::none()).await;
    assert_eq!(placed(&app, &graph("g", &apart("ultralow"))).await, ["cloud", "edge-2"]);
    let verdict = decision(&app).await["answer"]["explanation"][1]["clusters"][1].clone();
    assert_eq!(
        verdict["violated"],
        json!([
            { "constraint": "latency", "service": "a", "wanted": "less than 10 ms", "milliseconds": 10.0 }
        ])
    );
    remove(&app).await;
    // The bound is a parameter.
    let smo = json!({ "placement": { "parameters": { "ultralow_ms": 10.5 } } });
    assert_eq!(placed(&app, &tuned(smo, &apart("ultralow"))).await, ["cloud", "edge-1"]);
    app.shutdown().await;
}

async fn low_latency_is_the_same_region_or_at_most_twenty_milliseconds(database: TestDatabase) {
    let app = TestApp::start_in(&database, measured(20.5, 20.0), Faults::none()).await;
    assert_eq!(placed(&app, &graph("g", &apart("low"))).await, ["cloud", "edge-2"]);
    remove(&app).await;
    assert_eq!(placed(&app, &graph("g", &apart("best-effort"))).await, ["cloud", "edge-1"]);
    remove(&app).await;
    for cluster in ["cloud", "edge-1"] {
        app.set_attributes(cluster, &json!({ "region": "be" })).await;
    }
    assert_eq!(placed(&app, &graph("g", &apart("low"))).await, ["cloud", "edge-1"]);
    app.shutdown().await;
}

async fn a_latency_that_is_set_comes_before_a_measured_one(database: TestDatabase) {
    let app = TestApp::start_in(&database, measured(50.0, 50.0), Faults::none()).await;
    app.set_attributes("cloud", &json!({ "latencies_ms": { "edge-2": 2.0 } })).await;
    app.set_attributes("edge-2", &json!({ "latencies_ms": { "cloud": 3.0 } })).await;
    assert_eq!(placed(&app, &graph("g", &apart("ultralow"))).await, ["cloud", "edge-2"]);
    app.shutdown().await;
}

async fn a_latency_that_is_set_at_one_end_comes_before_one_measured_from_the_other(database: TestDatabase) {
    let app = TestApp::start_in(&database, measured(50.0, 50.0), Faults::none()).await;
    app.set_attributes("edge-2", &json!({ "latencies_ms": { "cloud": 3.0 } })).await;
    assert_eq!(placed(&app, &graph("g", &apart("ultralow"))).await, ["cloud", "edge-2"]);
    app.shutdown().await;
}

async fn a_latency_that_nobody_knows_is_a_warning_and_strictly_a_refusal(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    for qos in ["ultralow", "low"] {
        let strict = tuned(json!({ "placement": { "strict": true } }), &apart(qos));
        let explanation = refused(&app, &strict).await;
        assert_eq!(explanation["proven"], true, "{explanation:#}");
        let conflict = explanation["conflict"].as_array().unwrap();
        let bound = "between the clusters of a and b: ";
        assert!(conflict.iter().any(|text| text.as_str().unwrap().starts_with(bound)), "{conflict:#?}");
    }
    assert_eq!(placed(&app, &graph("g", &apart("ultralow"))).await, ["cloud", "edge-1"]);
    let answer = decision(&app).await["answer"].clone();
    assert_eq!(
        answer["warnings"],
        json!([
            "a and b want less than 10 ms, but no latency between their clusters cloud and edge-1 is known"
        ])
    );
    assert_eq!(answer["unknown_allowed"], true);
    let strict = app.post("/graphs/g/placement?strict=true", &json!({})).await;
    assert_eq!(strict.status, 409, "{:#}", strict.body);
    app.shutdown().await;
}

async fn co_located_services_share_a_cluster(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    app.set_attributes("edge-2", &json!({ "site": "factory" })).await;
    let near = json!({ "network": { "deviceProximity": { "enabled": true, "site": "factory" } } });
    let services = [
        wanting("a", json!({ "coLocation": ["c"] })),
        wanting("b", json!({ "coLocation": [{ "id": "a" }] })),
        wanting("c", near),
        service("d", json!({})),
    ];
    for strategy in ["first-fit", "min-moves"] {
        let together = tuned(json!({ "placement": { "strategy": strategy } }), &services);
        assert_eq!(placed(&app, &together).await[..3], ["edge-2"; 3]);
        remove(&app).await;
    }
    app.shutdown().await;
}

async fn services_that_must_share_and_avoid_a_cluster_are_refused_with_the_conflict(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    let mut b = wanting("b", json!({ "coLocation": ["a"] }));
    b["smo"] = json!({ "antiAffinity": ["a"] });
    let explanation = refused(&app, &graph("g", &[service("a", json!({})), b])).await;
    assert_eq!([&explanation["proven"], &explanation["minimal"]], [true, true]);
    let conflict = ["service b must share a cluster with a", "service b must be apart from a"];
    assert_eq!(explanation["conflict"], json!(conflict));
    assert_eq!(explanation["relaxations"], json!(conflict.map(|one| format!("give up: {one}"))));
    app.shutdown().await;
}

/// A server with the intents of a configuration file.
async fn configured(database: &TestDatabase, text: &'static str) -> TestApp {
    let read = |_: &std::path::Path| Ok(text.to_owned());
    let env = BTreeMap::from([("SMO_MODE".to_owned(), "simulated".to_owned())]);
    let config_file = Some(PathBuf::from("smo.yaml"));
    let sources = Sources { env, home: None, config_file, flags: Vec::new(), read: &read };
    let loaded = load(sources).unwrap().settings;
    let change = |settings: &mut Settings| {
        settings.placement = loaded.placement;
        settings.intents = loaded.intents;
    };
    TestApp::start_with(database, world(), Faults::none(), change).await
}

async fn a_configured_rule_asks_for_an_attribute_of_the_cluster(database: TestDatabase) {
    let app = configured(
        &database,
        "
placement:
  intents:
    - path: energy_preference
      value: renewable_high
      require: { attribute: energy_class, one_of: [renewable] }
    - path: offload.policy
      value: edge
      require: { attribute: tier, one_of: [edge] }
    - path: carbon_budget
      require: { attribute: carbon_per_core_hour, at_most: 100 }
",
    )
    .await;
    app.set_attributes("cloud", &json!({ "energy_class": "mixed", "carbon_per_core_hour": 400 })).await;
    app.set_attributes("edge-1", &json!({ "energy_class": "renewable", "carbon_per_core_hour": 150 })).await;
    app.set_attributes(
        "edge-2",
        &json!({ "energy_class": "mixed", "labels": { "tier": "edge" }, "carbon_per_core_hour": 30 }),
    )
    .await;
    let services = [
        service("a", json!({})),
        wanting("b", json!({ "offload": { "policy": "edge" } })),
        wanting("c", json!({ "carbon_budget": "small" })),
        wanting("d", json!({ "offload": { "policy": "anywhere" } })),
    ];
    assert_eq!(placed(&app, &graph("g", &services)).await, ["cloud", "edge-2", "edge-2", "cloud"]);
    let requires = decision(&app).await["problem"]["services"][1]["requires"].clone();
    assert_eq!(requires[0]["intent"], "offload.policy: edge", "{requires:#}");
    remove(&app).await;
    let renewable = json!({ "energy_preference": "renewable_high" });
    let posted = app.post(DEMO, &intending(renewable.clone(), &services[..1])).await;
    assert_eq!(posted.body["services"][0]["cluster_affinity"], "edge-1");
    assert_eq!(
        posted.body.get("warnings").unwrap_or(&json!([])),
        &json!([]),
        "an intent with a rule is known"
    );
    remove(&app).await;
    let explanation = refused(&app, &intending(renewable, &services[2..3])).await;
    assert_eq!(
        explanation["conflict"].as_array().map(Vec::len),
        Some(2),
        "renewable and clean at once: {explanation:#}"
    );
    app.shutdown().await;
}

async fn a_configured_rule_sets_weights_and_strategy(database: TestDatabase) {
    let app = configured(
        &database,
        "
placement:
  weights: { moves: 7, price: 2 }
  intents:
    - path: goal
      value: cheap
      weights: { price: 5 }
      strategy: cost
    - path: goal
      weights: { latency: 0.25 }
",
    )
    .await;
    for (cluster, price) in [("cloud", 9.0), ("edge-1", 8.0), ("edge-2", 1.0)] {
        app.set_attributes(cluster, &json!({ "price_per_core_hour": price })).await;
    }
    let services = [service("a", json!({}))];
    assert_eq!(placed(&app, &intending(json!({ "goal": "cheap" }), &services)).await, ["edge-2"]);
    let cheap = decision(&app).await;
    let weights = |decision: &Value| {
        ["moves", "price", "latency"].map(|name| decision["problem"]["weights"][name].as_f64().unwrap())
    };
    assert_eq!((&cheap["strategy"], weights(&cheap)), (&json!("cost"), [7.0, 5.0, 0.25]));
    remove(&app).await;
    assert_eq!(placed(&app, &intending(json!({ "goal": "other" }), &services)).await, ["cloud"]);
    let other = decision(&app).await;
    assert_eq!((&other["strategy"], weights(&other)), (&json!("first-fit"), [7.0, 2.0, 0.25]));
    app.shutdown().await;
}

async fn a_project_has_strategies_of_its_own(database: TestDatabase) {
    let app = TestApp::start_with(&database, world(), Faults::none(), |settings| {
        let own =
            ProjectPlacement { strategy: Some("cost".into()), replacement_strategy: Some("green".into()) };
        settings.placement.projects.insert("thrifty".to_owned(), own);
    })
    .await;
    for (project, first, again) in [("thrifty", "cost", "green"), ("demo", "first-fit", "min-moves")] {
        let posted =
            app.post(&format!("/project/{project}/graphs"), &graph("g", &[service("a", json!({}))])).await;
        assert_eq!(posted.status, 200, "{:#}", posted.body);
        assert_eq!(decision(&app).await["strategy"], first);
        let proposal = app.post("/graphs/g/placement?dry_run=true", &json!({})).await;
        assert_eq!(proposal.body["strategy"], again, "{:#}", proposal.body);
        remove(&app).await;
    }
    app.shutdown().await;
}

async fn offloading_is_never_first_or_wherever_it_is_cheap(database: TestDatabase) {
    let app = TestApp::start(&database).await;
    for (cluster, site, price) in
        [("cloud", "centre", 1.0), ("edge-1", "factory", 9.0), ("edge-2", "harbour", 5.0)]
    {
        app.set_attributes(cluster, &json!({ "site": site, "price_per_core_hour": price })).await;
    }
    let offloading = |policy: &str, services: &[Value]| {
        let mut descriptor = intending(json!({ "offload_policy": policy }), services);
        descriptor["hdaGraph"]["smo"] = json!({ "site": "factory" });
        descriptor
    };
    // Three cores each: edge-1 has four.
    let large = |id: &str| {
        let values = json!({ "resources": { "requests": { "cpu": "3", "memory": "1Gi" } } });
        service(id, json!({ "artifact": { "valuesOverwrite": values } }))
    };
    assert_eq!(placed(&app, &offloading("never", &[large("a")])).await, ["edge-1"]);
    remove(&app).await;
    refused(&app, &offloading("never", &[large("a"), large("b")])).await;
    let spread = placed(&app, &offloading("overflow", &[large("a"), large("b")])).await;
    assert_eq!(spread.iter().filter(|cluster| *cluster == "edge-1").count(), 1, "{spread:?}");
    remove(&app).await;
    assert_eq!(placed(&app, &offloading("aggressive_cost_saving", &[large("a")])).await, ["cloud"]);
    assert_eq!(decision(&app).await["problem"]["strategy"], "cost");
    app.shutdown().await;
}
