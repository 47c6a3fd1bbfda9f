//! Re-placement: what must move does, what need not stays untouched, and a plan is applied only to the world
//! that it was made for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::belief::assert_counted;
use crate::charts::{Part, graph};
use crate::leftovers::Inventory;
use crate::room::{Tenant, cordon, free_cores, settled_cores, uncordon, until_cluster, until_free_cores};
use crate::server::{Data, Options, Server, service};
use crate::wait::eventually;
use crate::workloads::{assert_runs_only_in, revisions};

const PROJECT: &str = "/project/placement/graphs";
const NAMESPACE: &str = "placement";
/// Where first fit puts everything as long as it has room.
const HOME: &str = "member1";

/// 1 core, and twice half a core.
const APART: [Part; 3] = [
    Part { example: "brussels-demo", name: "noise-reduction", cpu: "small", ram: "small", calls: &[] },
    Part { example: "hello-world", name: "hello-world", cpu: "light", ram: "small", calls: &[] },
    Part { example: "gpu-offloading", name: "video-ingest", cpu: "light", ram: "light", calls: &[] },
];

/// 1 core each, one calls the other.
const PAIR: [Part; 2] = [
    Part {
        example: "brussels-demo",
        name: "noise-reduction",
        cpu: "small",
        ram: "small",
        calls: &["image-detection"],
    },
    Part { example: "brussels-demo", name: "image-detection", cpu: "small", ram: "small", calls: &[] },
];

/// A server that holds no room for services whose use the clusters' own reports show already.
async fn start(bed: &Bed, data: &Data) -> Server {
    let environment = [("SMO_WAIT", "60"), ("SMO_SETTLE", "1s")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Server::start(bed, data, &Options { port: None, environment }).await
}

/// Deploys a graph that fits into the home cluster, and waits until the cluster reports that it uses so many
/// cores; gives what was free before.
async fn deploy_at_home(bed: &Bed, server: &Server, id: &str, parts: &[Part], cores: f64) -> f64 {
    let free = settled_cores(bed, server, HOME).await;
    let body = graph(bed, id, parts).await.to_string();
    let (status, answer) = server.post(PROJECT, "application/json", body).await;
    assert_eq!(status, 200, "{answer:#}");
    for part in parts {
        assert_eq!(service(&answer, part.name)["cluster_affinity"], HOME, "{answer:#}");
    }
    server.until_ready(id).await;
    until_free_cores(server, HOME, free - cores).await;
    free
}

/// The moves of an answer as (service, from, to), by service.
fn moves(answer: &Value) -> Vec<(String, String, String)> {
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let list = answer["moves"].as_array().unwrap_or_else(|| panic!("no moves in {answer:#}"));
    let mut moves: Vec<_> =
        list.iter().map(|item| (text(item, "service"), text(item, "from"), text(item, "to"))).collect();
    moves.sort();
    moves
}

#[tokio::test]
async fn an_over_full_cluster_loses_exactly_the_service_that_must_move() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = start(&bed, &data).await;
    let free = deploy_at_home(&bed, &server, "over-full", &APART, 2.0).await;
    let installed = revisions(&bed, NAMESPACE).await;
    assert_eq!(installed.len(), 3, "{installed:?}");

    // 0.75 cores too many: of single services only the one of 1 core makes enough room.
    let tenant = Tenant::enter(&bed, HOME, free - 2.0 + 0.75).await;
    until_free_cores(&server, HOME, 0.0).await;
    let (status, answer) = server.trigger("/graphs/over-full/placement").await;
    assert_eq!(status, 200, "{answer:#}");
    assert_eq!(answer["message"], "Placement of graph over-full triggered");
    let moved = moves(&answer);
    let [(name, from, to)] = moved.as_slice() else { panic!("one move is enough: {answer:#}") };
    assert_eq!((name.as_str(), from.as_str()), ("noise-reduction", HOME));
    assert_ne!(to, HOME);

    let graph = server.until_ready("over-full").await;
    for part in &APART {
        let cluster = if part.name == name { to.as_str() } else { HOME };
        assert_eq!(service(&graph, part.name)["cluster_affinity"], cluster, "{graph:#}");
        assert_runs_only_in(&bed, cluster, NAMESPACE, part.name).await;
    }
    let now = revisions(&bed, NAMESPACE).await;
    let new: Vec<_> = now.difference(&installed).collect();
    assert_eq!(new, ["noise-reduction.v2"], "only what moved is upgraded");

    assert_counted(&bed, &data).await;

    // Nothing is left to move.
    until_free_cores(&server, HOME, 0.25).await;
    let (status, answer) = server.trigger("/graphs/over-full/placement").await;
    assert_eq!((status, moves(&answer)), (200, Vec::new()), "{answer:#}");
    tenant.leave().await;
    server.delete_graph("over-full").await;
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn a_plan_is_applied_unless_the_world_has_changed_since() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = start(&bed, &data).await;
    deploy_at_home(&bed, &server, "planned", &PAIR, 2.0).await;
    let installed = revisions(&bed, NAMESPACE).await;
    cordon(&bed, HOME).await;
    until_cluster(&server, HOME, "takes nothing", |cluster| cluster["availability"] == false).await;

    let (status, plan) = server.trigger("/graphs/planned/placement?dry_run=true").await;
    assert_eq!(status, 200, "{plan:#}");
    let planned = moves(&plan);
    assert_eq!(
        planned.iter().map(|(name, ..)| name).collect::<Vec<_>>(),
        ["image-detection", "noise-reduction"]
    );
    assert!(planned.iter().all(|(_, from, to)| from == HOME && to != HOME), "{plan:#}");
    let id = plan["plan_id"].as_str().expect("a plan has an id").to_owned();
    assert_eq!(applied_at(&server, &id).await, Value::Null);
    assert_eq!(revisions(&bed, NAMESPACE).await, installed, "a dry run changes nothing");

    // Another user takes a core where a service should go.
    let target = &planned[0].2;
    let free = free_cores(&server, target).await;
    let tenant = Tenant::enter(&bed, target, 1.0).await;
    until_free_cores(&server, target, free - 1.0).await;
    let (status, problem) = apply(&server, &id).await;
    assert_eq!(status, 409, "{problem:#}");
    let changes = problem["changes"].as_array().unwrap_or_else(|| panic!("no changes in {problem:#}"));
    assert!(
        changes.iter().any(|change| change.as_str().is_some_and(|text| text.contains(target))),
        "{problem:#}"
    );
    assert_eq!(revisions(&bed, NAMESPACE).await, installed, "a refused plan changes nothing");

    // Without it the world is as it was planned for.
    tenant.leave().await;
    until_free_cores(&server, target, free).await;
    let (status, answer) = apply(&server, &id).await;
    assert_eq!(status, 200, "{answer:#}");
    assert_eq!((&answer["plan_id"], moves(&answer)), (&json!(id), planned.clone()), "{answer:#}");
    server.until_ready("planned").await;
    for (name, _, to) in &planned {
        assert_runs_only_in(&bed, to, NAMESPACE, name).await;
    }
    assert!(applied_at(&server, &id).await.is_string());
    assert_imported_where_called(&bed, &planned).await;

    uncordon(&bed, HOME).await;
    until_cluster(&server, HOME, "is open again", |cluster| cluster["availability"] == true).await;
    server.delete_graph("planned").await;
    before.assert_restored(&bed).await;
}

async fn apply(server: &Server, plan_id: &str) -> (u16, Value) {
    let body = json!({ "plan_id": plan_id }).to_string();
    server.post("/graphs/planned/placement", "application/json", body).await
}

async fn applied_at(server: &Server, decision: &str) -> Value {
    let (status, decision) = server.get(&format!("/graphs/planned/decisions/{decision}")).await;
    assert_eq!(status, 200, "{decision:#}");
    decision["applied_at"].clone()
}

/// The wiring follows a move: image-detection is imported into the cluster to which its caller moved.
async fn assert_imported_where_called(bed: &Bed, moves: &[(String, String, String)]) {
    let caller = moves.iter().find(|(name, ..)| name == "noise-reduction").expect("the caller moved");
    let import = ("multicluster.x-k8s.io", "v1alpha1", "ServiceImport");
    eventually("image-detection is imported where it is called", Duration::from_secs(20), || async {
        let mut importing = Vec::new();
        for member in crate::bed::MEMBERS {
            if !bed.names(member, import, Some(NAMESPACE)).await.is_empty() {
                importing.push(member);
            }
        }
        if importing == [caller.2.as_str()] { Ok(()) } else { Err(format!("imported into {importing:?}")) }
    })
    .await;
}

#[tokio::test]
async fn latencies_between_clusters_come_from_their_gateways() {
    let bed = Bed::take().await;
    let data = Data::new().await;
    let server = Server::start(&bed, &data, &Options::default()).await;
    let expected = [
        ("member1", json!({ "member2": 5.0, "member3": 25.0 })),
        ("member2", json!({ "member1": 5.0, "member3": 30.0 })),
        ("member3", json!({ "member1": 25.0, "member2": 30.0 })),
    ];
    for (member, latencies) in expected {
        eventually(&format!("the latencies of {member} are known"), Duration::from_secs(20), || async {
            let (status, attributes) = server.get(&format!("/clusters/{member}/attributes")).await;
            let known = status == 200 && attributes["latencies_ms"] == latencies;
            if known { Ok(()) } else { Err(format!("{status} {attributes:#}")) }
        })
        .await;
    }
}
