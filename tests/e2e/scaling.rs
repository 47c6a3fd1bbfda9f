//! Scaling: a load that Prometheus measures brings replicas, and its end takes them away.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::belief::assert_counted;
use crate::charts::{Part, graph};
use crate::leftovers::Inventory;
use crate::server::{Data, Options, Server, service};
use crate::workloads::assert_replicas;

const PROJECT: &str = "/project/scaling/graphs";
const NAMESPACE: &str = "scaling";
/// Its load is set by the test.
const LOADED: &str = "hello-world";
/// Nobody measures its requests.
const UNMEASURED: &str = "video-ingest";
const PARTS: [Part; 2] = [
    Part { example: "hello-world", name: LOADED, cpu: "light", ram: "small", calls: &[] },
    Part { example: "gpu-offloading", name: UNMEASURED, cpu: "light", ram: "light", calls: &[] },
];
/// A replica serves 10 requests/s, and is to be used up to 80 %. Rates are taken over four scrapes, 8 s; one query
/// answers with a scalar, which has no label.
const CONFIG: &str = r#"
scaling:
  scrape_interval: 2s
  stabilisation: 5s
  profiles:
    hello-world:
      {alpha: 10, beta: 0, min: 1, max: 4, query: 'scalar(sum(rate(flask_http_request_total{service="{services}"}[{window}])))'}
    video-ingest: {alpha: 10, beta: 0, min: 1, max: 4}
"#;

async fn start(bed: &Bed, data: &Data) -> Server {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let environment =
        vec![variable("SCALING_ENABLED", "true"), variable("SCALING_INTERVAL", "5"), data.config(CONFIG)];
    Server::start(bed, data, &Options { port: None, environment }).await
}

async fn deploy(bed: &Bed, server: &Server) {
    let body = graph(bed, "scaled", &PARTS).await.to_string();
    let (status, answer) = server.post(PROJECT, "application/json", body).await;
    assert_eq!(status, 200, "{answer:#}");
    server.until_ready("scaled").await;
}

/// The entries of the ticks for a service, newest first.
async fn ticks(server: &Server, name: &str) -> Vec<Value> {
    let (status, scaling) = server.get("/graphs/scaled/scaling").await;
    assert_eq!((status, &scaling["enabled"]), (200, &json!(true)), "{scaling:#}");
    let ticks = scaling["ticks"].as_array().unwrap_or_else(|| panic!("no ticks in {scaling:#}"));
    let services = ticks.iter().filter_map(|tick| tick["services"].as_array()).flatten();
    services.filter(|service| service["service"] == name).cloned().collect()
}

#[tokio::test]
async fn a_load_brings_replicas_and_its_end_takes_them_away() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = start(&bed, &data).await;
    deploy(&bed, &server).await;
    let cluster = service(&server.get("/graphs/scaled").await.1, LOADED)["cluster_affinity"].clone();
    let cluster = cluster.as_str().expect("a cluster");

    // 22 requests/s need three replicas of 8 requests/s each.
    bed.set_rate(LOADED, 22.0).await;
    assert_replicas(&bed, cluster, NAMESPACE, LOADED, 3).await;
    assert_counted(&bed, &data).await;
    let scaled_up = ticks(&server, LOADED).await.into_iter().find(|tick| tick["replicas"] == 3);
    let scaled_up = scaled_up.expect("a tick that decided on 3 replicas");
    assert!(scaled_up["rate"].as_f64().is_some_and(|rate| rate > 18.0 && rate < 24.1), "{scaled_up:#}");
    assert!(
        scaled_up["reason"].as_str().is_some_and(|reason| reason.contains("3 replicas")),
        "{scaled_up:#}"
    );

    bed.set_rate(LOADED, 2.0).await;
    assert_replicas(&bed, cluster, NAMESPACE, LOADED, 1).await;
    let gave_up = |tick: &Value| tick["replicas"].as_i64() < tick["previous"].as_i64();
    assert!(ticks(&server, LOADED).await.iter().any(gave_up), "a tick tells that replicas were given up");

    assert_held_for_want_of_a_rate(&bed, &server, cluster).await;
    bed.remove_rate(LOADED).await;
    server.delete_graph("scaled").await;
    before.assert_restored(&bed).await;
}

/// The service without a series kept its replica all the time, and says why.
async fn assert_held_for_want_of_a_rate(bed: &Bed, server: &Server, cluster: &str) {
    let seen = ticks(server, UNMEASURED).await;
    assert!(!seen.is_empty(), "every tick looks at every service that has a profile");
    for tick in &seen {
        assert_eq!((&tick["rate"], &tick["replicas"]), (&Value::Null, &json!(1)), "{tick:#}");
    }
    assert_replicas(bed, cluster, NAMESPACE, UNMEASURED, 1).await;
    let (_, graph) = server.get("/graphs/scaled").await;
    let rate_known = |name: &str| {
        let conditions = service(&graph, name)["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == "RateKnown").unwrap_or_default()
    };
    assert_eq!(rate_known(UNMEASURED)["status"], "False", "{graph:#}");
    assert_eq!(rate_known(LOADED)["status"], "True", "{graph:#}");
}
