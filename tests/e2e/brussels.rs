//! The main job: a posted graph runs where it was placed, wired across clusters, and leaves nothing behind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::{Bed, Kind};
use crate::belief::assert_counted;
use crate::charts::descriptor;
use crate::leftovers::Inventory;
use crate::server::{Data, Options, Server, service};
use crate::wait::eventually;
use crate::workloads::assert_runs_in;

const EXPORT: Kind = ("multicluster.x-k8s.io", "v1alpha1", "ServiceExport");
const IMPORT: Kind = ("multicluster.x-k8s.io", "v1alpha1", "ServiceImport");
const SERVICE: Kind = ("", "v1", "Service");
const PROJECT: &str = "/project/brussels/graphs";

/// The Brussels descriptor as JSON.
pub async fn brussels(bed: &Bed) -> Value {
    serde_saphyr::from_str(&descriptor(bed, "brussels-demo").await).expect("the example is YAML")
}

/// The Brussels descriptor with a noise reduction that fills a cluster: the graph must be spread over two.
async fn spread_brussels(bed: &Bed) -> Value {
    let mut document = brussels(bed).await;
    let services = document["hdaGraph"]["services"].as_array_mut().expect("services");
    let noise =
        services.iter_mut().find(|service| service["id"] == "noise-reduction").expect("noise-reduction");
    // Its chart counts, not its intent. Nodes have 4 cores.
    let values = &mut noise["artifact"]["valuesOverwrite"];
    values["replicas"] = json!(2);
    values["resources"] = json!({ "requests": { "cpu": "3750m" }, "limits": { "cpu": "3750m" } });
    document
}

async fn until_two_services_run(server: &Server) -> Value {
    server
        .until("brussels-demo", "has its two services ready", |_, graph| {
            ["noise-reduction", "image-detection"].iter().all(|name| service(graph, name)["ready"] == true)
        })
        .await
}

#[tokio::test]
async fn every_form_of_body_deploys_brussels_and_deleting_leaves_nothing() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = Server::start(&bed, &data, &Options::default()).await;
    let yaml = descriptor(&bed, "brussels-demo").await;
    let bodies = [
        ("application/json", Value::String(yaml.clone()).to_string()),
        ("application/json", brussels(&bed).await.to_string()),
        ("application/yaml", yaml),
    ];
    for (content_type, body) in bodies {
        let (status, graph) = server.post(PROJECT, content_type, body.clone()).await;
        assert_eq!(status, 200, "{graph:#}");
        assert_eq!(graph["message"], "Graph deployment successful");
        assert_eq!(service(&graph, "image-compression-vo")["status"], "Pending");
        until_two_services_run(&server).await;
        for name in ["noise-reduction", "image-detection"] {
            let cluster = service(&graph, name)["cluster_affinity"].as_str().expect("a cluster").to_owned();
            assert_runs_in(&bed, &cluster, "brussels", name).await;
        }
        let (again, _) = server.post(PROJECT, content_type, body).await;
        assert_eq!(again, 200, "the same descriptor again changes nothing");
        server.delete_graph("brussels-demo").await;
        before.assert_restored(&bed).await;
    }
}

#[tokio::test]
async fn services_on_two_clusters_are_wired_where_their_callers_are() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = Server::start(&bed, &data, &Options::default()).await;
    let (status, graph) =
        server.post(PROJECT, "application/json", spread_brussels(&bed).await.to_string()).await;
    assert_eq!(status, 200, "{graph:#}");
    let cluster =
        |name: &str| service(&graph, name)["cluster_affinity"].as_str().expect("a cluster").to_owned();
    let (noise, detection) = (cluster("noise-reduction"), cluster("image-detection"));
    assert_ne!(noise, detection, "noise-reduction needs a cluster for itself");
    server
        .until("brussels-demo", "runs", |_, graph| service(graph, "noise-reduction")["ready"] == true)
        .await;
    assert_runs_in(&bed, &noise, "brussels", "noise-reduction").await;

    // image-detection is called by noise-reduction: exported from its own cluster, imported into the
    // caller's.
    eventually("image-detection is imported where it is called", Duration::from_secs(30), || async {
        let found = [
            bed.names(&detection, EXPORT, Some("brussels"))
                .await
                .contains(&"brussels/image-detection".into()),
            bed.names(&noise, IMPORT, Some("brussels")).await.contains(&"brussels/image-detection".into()),
            bed.names(&noise, SERVICE, Some("brussels"))
                .await
                .contains(&"brussels/derived-image-detection".into()),
        ];
        if found == [true; 3] { Ok(()) } else { Err(format!("export, import, derived service: {found:?}")) }
    })
    .await;
    let third =
        ["member1", "member2", "member3"].into_iter().find(|name| *name != noise && *name != detection);
    let elsewhere = bed.names(third.expect("a third member"), IMPORT, Some("brussels")).await;
    assert_eq!(elsewhere, Vec::<String>::new(), "nothing is imported where nobody calls");

    // The chart asks for more than its intent says: both numbers are told.
    let (_, graph) = server.get("/graphs/brussels-demo").await;
    let conditions = service(&graph, "noise-reduction")["conditions"].as_array().expect("conditions").clone();
    let told =
        conditions.iter().find(|condition| condition["type"] == "ResourcesMatch").expect("ResourcesMatch");
    assert_eq!(told["status"], "False");
    assert!(
        told["message"].as_str().is_some_and(|m| m.contains("3.75 cores,") && m.contains("1 core,")),
        "{told}"
    );
    server.delete_graph("brussels-demo").await;
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn stop_removes_everything_and_start_restores_it() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = Server::start(&bed, &data, &Options::default()).await;
    let (status, graph) = server.post(PROJECT, "application/json", brussels(&bed).await.to_string()).await;
    assert_eq!(status, 200, "{graph:#}");
    // Karmada makes the Service of an import a moment after the ServiceImport, and forgets it when the import
    // goes in that very moment: not what is tested here.
    until_two_services_run(&server).await;
    let (status, stopped) = server.get("/graphs/brussels-demo/stop").await;
    assert_eq!((status, stopped["message"].as_str()), (200, Some("Graph stopped")), "{stopped:#}");
    assert_eq!(service(&stopped, "noise-reduction")["status"], "Not deployed");
    before.assert_restored(&bed).await;
    let (status, _) = server.get("/graphs/brussels-demo/stop").await;
    assert_eq!(status, 400, "a stopped graph cannot be stopped");

    let (status, started) = server.get("/graphs/brussels-demo/start").await;
    assert_eq!((status, started["message"].as_str()), (200, Some("Graph started")), "{started:#}");
    let graph = until_two_services_run(&server).await;
    assert_eq!(service(&graph, "image-compression-vo")["status"], "Pending");
    assert_counted(&bed, &data).await;
    server.delete_graph("brussels-demo").await;
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn a_restarted_server_finds_its_graphs() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    let (status, graph) = server.post(PROJECT, "application/json", brussels(&bed).await.to_string()).await;
    assert_eq!(status, 200, "{graph:#}");
    server.terminate().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    server
        .until("brussels-demo", "runs", |_, graph| service(graph, "noise-reduction")["ready"] == true)
        .await;
    server.delete_graph("brussels-demo").await;
}

#[tokio::test]
async fn a_gpu_service_runs_where_the_gpus_are() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = Server::start(&bed, &data, &Options::default()).await;
    let yaml = descriptor(&bed, "gpu-offloading").await;
    let (status, graph) = server.post("/project/gpu/graphs", "application/yaml", yaml).await;
    assert_eq!(status, 200, "{graph:#}");
    assert_eq!(service(&graph, "object-tracker")["cluster_affinity"], "member3");
    assert_eq!(service(&graph, "object-tracker")["gpu"], "1");
    server.until_ready("gpu-offloading").await;
    assert_runs_in(&bed, "member3", "gpu", "object-tracker").await;
    let (_, clusters) = server.get("/clusters/").await;
    let member3 = clusters.as_array().and_then(|list| list.iter().find(|c| c["name"] == "member3"));
    assert_eq!(member3.map(|cluster| &cluster["acceleration"]), Some(&json!(true)), "{clusters:#}");
    server.delete_graph("gpu-offloading").await;
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn charts_written_for_the_original_work_unchanged() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = Server::start(&bed, &data, &Options::default()).await;
    let yaml = descriptor(&bed, "original-style").await;
    let (status, graph) =
        server.post("/project/original/graphs", "application/json", Value::String(yaml).to_string()).await;
    assert_eq!(status, 200, "{graph:#}");
    let name = graph["name"].as_str().expect("a name").to_owned();
    let graph = server.until_ready(&name).await;
    for service in ["original-vo", "original-app"] {
        let cluster =
            crate::server::service(&graph, service)["cluster_affinity"].as_str().expect("a cluster");
        assert_runs_in(&bed, cluster, "original", service).await;
    }
    server.delete_graph(&name).await;
    before.assert_restored(&bed).await;
}
