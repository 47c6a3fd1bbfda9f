//! Tests of the simulated world, with a paused clock.

use std::time::Duration;

use serde_json::json;
use tokio::time::advance;

use super::{Continuum, World};
use crate::clients::{ReleaseKey, ReleaseSpec, WorkloadObservation};
use crate::model::WorkloadKind;

fn world() -> World {
    World::new(Continuum::built_in().unwrap(), 7)
}

fn release(name: &str, cluster: &str, cpu: &str) -> ReleaseSpec {
    ReleaseSpec {
        key: ReleaseKey { namespace: "project".into(), name: name.into() },
        chart: "oci://registry/project/chart".into(),
        archive: None,
        values: json!({ "clustersAffinity": [cluster], "resources": { "requests": { "cpu": cpu } } }),
        owner: "owner".into(),
        digest: "digest".into(),
    }
}

async fn ready(world: &World, release: &ReleaseSpec, cluster: &str) -> i64 {
    let found = world.ports().workloads.of_release(&release.key).await.unwrap();
    let replicas = |workload: &WorkloadObservation| {
        workload.binding.as_ref()?.clusters.get(cluster).map(|c| c.ready_replicas)
    };
    found.first().and_then(replicas).unwrap_or(-1)
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_ready_after_its_delay_and_says_so() {
    let (world, spec) = (world(), release("a", "edge-1", "1"));
    let mut changes = world.ports().workloads.changes();
    world.ports().releases.apply(&spec).await.unwrap();
    assert_eq!(ready(&world, &spec, "edge-1").await, 0);
    assert_eq!(changes.recv().await.unwrap(), spec.key);
    assert_eq!(changes.recv().await.unwrap(), spec.key, "told again when it is ready");
    assert_eq!(ready(&world, &spec, "edge-1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_move_leaves_the_old_cluster_and_becomes_ready_in_the_new_one() {
    let (world, spec) = (world(), release("a", "edge-1", "1"));
    world.ports().releases.apply(&spec).await.unwrap();
    advance(Duration::from_secs(5)).await;
    let moved = release("a", "edge-2", "1");
    world.ports().releases.apply(&moved).await.unwrap();
    assert_eq!(ready(&world, &moved, "edge-1").await, -1);
    assert_eq!(ready(&world, &moved, "edge-2").await, 0);
    advance(Duration::from_secs(5)).await;
    assert_eq!(ready(&world, &moved, "edge-2").await, 1);
    assert_eq!(world.revision("project", "a"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn pods_wait_while_their_cluster_has_no_room() {
    let (world, first, second) = (world(), release("a", "edge-1", "6"), release("b", "edge-1", "6"));
    world.ports().releases.apply(&first).await.unwrap();
    world.ports().releases.apply(&second).await.unwrap();
    advance(Duration::from_secs(5)).await;
    assert_eq!((ready(&world, &first, "edge-1").await, ready(&world, &second, "edge-1").await), (1, 0));
    let clusters = world.ports().inventory.clusters().await.unwrap();
    let edge = clusters.iter().find(|cluster| cluster.name == "edge-1").unwrap();
    assert_eq!(edge.allocated.cpu_millicores, 6000, "a pod that waits allocates nothing");
    world.ports().releases.uninstall(&first.key, "owner").await.unwrap();
    assert_eq!(ready(&world, &second, "edge-1").await, 1);
}

#[tokio::test(start_paused = true)]
async fn scaled_replicas_are_seen_until_the_release_is_applied_again() {
    let (world, spec) = (world(), release("a", "edge-1", "1"));
    let replicas = async || world.ports().workloads.of_release(&spec.key).await.unwrap()[0].replicas;
    world.ports().releases.apply(&spec).await.unwrap();
    advance(Duration::from_secs(5)).await;
    world.ports().workloads.scale("project", WorkloadKind::Deployment, "a", 3).await.unwrap();
    assert_eq!((replicas().await, ready(&world, &spec, "edge-1").await), (3, 3));
    world.ports().releases.apply(&spec).await.unwrap();
    assert_eq!(replicas().await, 1, "the chart's number");
    let mut values = spec.values.clone();
    values["replicas"] = 2.into();
    world.ports().releases.apply(&ReleaseSpec { values, ..spec.clone() }).await.unwrap();
    assert_eq!(replicas().await, 2, "the number of the values");
}

#[tokio::test]
async fn latencies_are_measured_between_clusters_that_are_up() {
    let world = world();
    let measured = async || {
        let times = world.ports().latencies.unwrap().latencies(&["edge-2".to_owned()]).await.unwrap();
        times.into_iter().map(|((one, other), ms)| (format!("{one} {other}"), ms)).collect::<Vec<_>>()
    };
    let edges = ("edge-1 edge-2".to_owned(), 5.0);
    assert_eq!(measured().await, [("cloud edge-2".to_owned(), 30.0), edges.clone()]);
    world.set_cluster_available("cloud", false).unwrap();
    assert_eq!(measured().await, [edges]);
}

#[tokio::test]
async fn rates_are_what_they_are_set_to() {
    let world = world();
    let rates = async || world.ports().metrics.unwrap().rates("anything", "service").await.unwrap().labelled;
    world.set_rate("a", 2.5);
    world.set_rate("b", 0.0);
    assert_eq!(rates().await.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 2.5), ("b".to_owned(), 0.0)]);
    world.clear_rate("a");
    assert_eq!(rates().await.into_keys().collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn regions_and_labels_of_clusters_are_told() {
    let text = "clusters: [{name: a, cpu: 1, ram: 1Gi, storage: 1Gi, region: be, labels: {site: factory-1}}]";
    let world = World::new(Continuum::parse(text).unwrap(), 1);
    let cluster = world.ports().inventory.clusters().await.unwrap().remove(0);
    assert_eq!((cluster.region.as_deref(), cluster.labels["site"].as_str()), (Some("be"), "factory-1"));
}

#[test]
fn a_continuum_with_a_mistake_is_refused_by_name() {
    let refused = |text: &str| Continuum::parse(text).unwrap_err().to_string();
    assert!(refused("clusters: [{name: a, cpu: x, ram: 1Gi, storage: 1Gi}]").contains("a: cpu"));
    assert!(refused("clusters: []\nlatencies: [{between: [a, b], ms: 1}]").contains("\"a\""));
    assert!(refused("clusters: []\ncluster: 1").contains("cluster"));
}
