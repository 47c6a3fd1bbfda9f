//! Failures of outside systems: how the caller sees them, and that work goes on when they are back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::charts::descriptor;
use crate::server::{Data, Options, Server, service};
use crate::wait::eventually;

const PROJECT: &str = "/project/failures/graphs";

async fn hello(bed: &Bed) -> Value {
    serde_saphyr::from_str(&descriptor(bed, "hello-world").await).expect("the example is YAML")
}

fn installed(graph: &Value) -> &Value {
    let conditions = service(graph, "hello-world")["conditions"].as_array().expect("conditions");
    conditions.iter().find(|condition| condition["type"] == "Installed").unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_chart_that_does_not_exist_is_told_and_can_be_deleted() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    let mut document = hello(&bed).await;
    let image = format!("oci://{}/hello-world/no-such-chart", bed.registry());
    document["hdaGraph"]["services"][0]["artifact"]["ociImage"] = json!(image);
    let (status, graph) = server.post(PROJECT, "application/json", document.to_string()).await;
    assert_eq!(status, 202, "accepted, but not carried out: {graph:#}");
    assert_eq!(service(&graph, "hello-world")["status"], "Failed");
    assert_eq!(installed(&graph)["reason"], "Failed");
    assert!(installed(&graph)["message"].as_str().is_some_and(|m| m.contains("not found")), "{graph:#}");
    server.delete_graph("hello-world").await;
}

#[tokio::test]
async fn a_registry_that_is_down_delays_a_deployment() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let document = hello(&bed).await.to_string();
    bed.stop("registry").await;
    let environment = vec![("SMO_WAIT".to_owned(), "2".to_owned())];
    let server = Server::start(&bed, &data, &Options { port: None, environment }).await;
    let (status, graph) = server.post(PROJECT, "application/json", document).await;
    assert_eq!(status, 202, "{graph:#}");
    let graph = server.until("hello-world", "tells", |_, graph| !installed(graph).is_null()).await;
    assert_eq!(installed(&graph)["reason"], "Retrying", "{graph:#}");
    bed.start("registry").await;
    server.until_ready("hello-world").await;
    server.delete_graph("hello-world").await;
}

#[tokio::test]
async fn a_cluster_that_is_not_ready_makes_its_services_not_ready_and_takes_no_new_ones() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    let document = hello(&bed).await;
    let (status, graph) = server.post(PROJECT, "application/json", document.to_string()).await;
    assert_eq!(status, 200, "{graph:#}");
    let cluster = service(&graph, "hello-world")["cluster_affinity"].as_str().expect("a cluster").to_owned();
    server.until_ready("hello-world").await;
    bed.stop(&format!("{cluster}-apiserver")).await;
    server.until("hello-world", "is not ready", |_, graph| graph["ready"] == false).await;
    let (_, clusters) = server.get("/clusters").await;
    let lost = clusters.as_array().and_then(|list| list.iter().find(|c| c["name"] == cluster.as_str()));
    assert_eq!(lost.map(|lost| &lost["availability"]), Some(&json!(false)), "{clusters:#}");

    let mut other = document;
    other["hdaGraph"]["id"] = json!("hello-elsewhere");
    let (status, graph) =
        server.post("/project/elsewhere/graphs", "application/json", other.to_string()).await;
    assert_eq!(status, 200, "{graph:#}");
    assert_ne!(service(&graph, "hello-world")["cluster_affinity"], cluster.as_str());
    server.until_ready("hello-elsewhere").await;
    server.delete_graph("hello-elsewhere").await;

    bed.start(&format!("{cluster}-apiserver")).await;
    server.until_ready("hello-world").await;
    server.delete_graph("hello-world").await;
}

#[tokio::test]
async fn a_graph_that_fits_nowhere_is_refused_with_what_is_missing_and_nothing_is_stored() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    let mut document = hello(&bed).await;
    document["hdaGraph"]["services"][0]["deployment"]["intent"]["compute"]["gpu"] =
        json!({ "enabled": true });
    document["hdaGraph"]["services"][0]["deployment"]["intent"]["compute"]["cpu"] = json!("large");
    let twin = |name: &str| {
        let mut service = document["hdaGraph"]["services"][0].clone();
        service["id"] = json!(name);
        service
    };
    let twins: Vec<Value> = ["one", "two", "three"].into_iter().map(twin).collect();
    document["hdaGraph"]["services"] = json!(twins);
    let (status, problem) = server.post(PROJECT, "application/json", document.to_string()).await;
    assert_eq!(status, 409, "{problem:#}");
    let text = problem.to_string();
    assert!(text.contains("member1") && text.contains("gpu"), "{problem:#}");
    let (status, _) = server.get("/graphs/hello-world").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_second_server_on_the_same_database_refuses_to_start() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let _server = Server::start(&bed, &data, &Options::default()).await;
    let mut second = Server::spawn(&bed, &data, &Options::default());
    assert!(second.died(Duration::from_secs(10)).await, "the second server must end");
    let log = std::fs::read_to_string(data.folder.path().join("smo.log")).expect("log");
    assert!(log.contains("another smo server"), "{log}");
}

#[tokio::test]
async fn a_postgresql_that_restarts_pauses_the_server_and_ends_nothing() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    assert!(data.database_url.starts_with("postgres:"), "`make e2e` leaves this out with SQLite");
    let server = Server::start(&bed, &data, &Options::default()).await;
    let document = hello(&bed).await.to_string();
    let (status, graph) = server.post(PROJECT, "application/json", document).await;
    assert_eq!(status, 200, "{graph:#}");
    server.until_ready("hello-world").await;

    bed.stop("postgres").await;
    let url = format!("{}/graphs/hello-world", server.url);
    let stopped = eventually("the database is missed", Duration::from_secs(20), || async {
        match reqwest::get(&url).await {
            Ok(answer) if answer.status() == 503 => Ok(answer),
            other => Err(format!("{other:?}")),
        }
    });
    assert!(stopped.await.headers().contains_key("retry-after"));
    bed.start("postgres").await;
    server.until("hello-world", "answers again", |status, _| status == 200).await;

    // It writes, too: the advisory lock that keeps other servers away is held again.
    eventually("the graph is stopped", Duration::from_secs(60), || async {
        let (status, graph) = server.trigger("/graphs/hello-world/stop").await;
        if status == 200 { Ok(()) } else { Err(format!("{status} {graph:#}")) }
    })
    .await;
    let mut second = Server::spawn(&bed, &data, &Options::default());
    assert!(second.died(Duration::from_secs(10)).await, "the second server must end");
    server.delete_graph("hello-world").await;
}

#[tokio::test]
async fn the_server_tells_what_it_depends_on() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    eventually("Karmada was reached and its watches show the present", Duration::from_secs(30), || async {
        let (status, ready) = server.get("/readyz").await;
        let of = |list: &str| ready[list].as_array().cloned().unwrap_or_default();
        let karmada = of("dependencies").into_iter().find(|system| system["name"] == "karmada");
        let reached = karmada.is_some_and(|karmada| karmada["state"] == "ok");
        let watches: Vec<Value> =
            of("watches").into_iter().filter(|watch| watch["system"] == "karmada").collect();
        let alive = !watches.is_empty() && watches.iter().all(|watch| watch["state"] == "ok");
        if status == 200 && reached && alive { Ok(()) } else { Err(format!("{status} {ready:#}")) }
    })
    .await;
}
