//! Charts that know nothing of Karmada, over two members: propagated, wired by name, moved without Helm, pinned by
//! their volumes, gone without a trace.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use crate::bed::{Bed, Kind, MEMBERS};
use crate::belief::{assert_counted, assert_reported};
use crate::charts::{descriptor, push_own};
use crate::leftovers::Inventory;
use crate::room::{cordon, uncordon, until_cluster};
use crate::server::{Data, Options, Server, service};
use crate::wait::eventually;
use crate::workloads::{assert_replicas, assert_runs_in, revisions};

const GRAPH: &str = "any-chart";
const NAMESPACE: &str = "wild";
const SERVICE: Kind = ("", "v1", "Service");
const SLICE: Kind = ("discovery.k8s.io", "v1", "EndpointSlice");
const CONFIG: &str = "
scaling:
  scrape_interval: 2s
  stabilisation: 5s
  profiles:
    web: {alpha: 10, beta: 0, min: 1, max: 4}
";

/// A volume in every member for the claim of the shop's database: the members have no provisioner.
struct Volumes;

impl Volumes {
    const NAME: &str = "shop-volume";

    async fn provide(bed: &Bed) -> Self {
        for member in MEMBERS {
            let volumes: Api<PersistentVolume> = Api::all(bed.client(member).await);
            let volume = json!({
                "metadata": { "name": Self::NAME },
                "spec": {
                    "capacity": { "storage": "1Gi" },
                    "accessModes": ["ReadWriteOnce"],
                    "hostPath": { "path": "/nowhere" },
                },
            });
            let volume = serde_json::from_value(volume).expect("a volume");
            volumes.create(&PostParams::default(), &volume).await.expect("member takes the volume");
        }
        Self
    }

    /// Removes claims and volumes; the claims that there were, as `member/name`.
    async fn take_away(self, bed: &Bed) -> Vec<String> {
        let mut found = Vec::new();
        for member in MEMBERS {
            let client = bed.client(member).await;
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), NAMESPACE);
            for claim in claims.list(&ListParams::default()).await.expect("member answers").items {
                let name = claim.metadata.name.expect("a name");
                claims.delete(&name, &DeleteParams::default()).await.expect("member deletes the claim");
                found.push(format!("{member}/{name}"));
            }
            let volumes: Api<PersistentVolume> = Api::all(client);
            volumes.delete(Self::NAME, &DeleteParams::default()).await.expect("member deletes the volume");
        }
        found
    }
}

async fn start(bed: &Bed, data: &Data) -> Server {
    let variables =
        [("SMO_WAIT", "60"), ("SMO_SETTLE", "1s"), ("SCALING_ENABLED", "true"), ("SCALING_INTERVAL", "5")];
    let mut environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    environment.push(data.config(CONFIG));
    Server::start(bed, data, &Options { port: None, environment }).await
}

fn place(graph: &Value, name: &str) -> String {
    service(graph, name)["cluster_affinity"].as_str().expect("a cluster").to_owned()
}

/// Waits until a member resolves `shop` by an alias of the import, which has the addresses of `origin`'s pods.
async fn assert_reaches_shop(bed: &Bed, member: &str, origin: &str) {
    let services = bed.api(member, SERVICE, Some(NAMESPACE)).await;
    let own = bed.api(origin, SERVICE, Some(NAMESPACE)).await;
    eventually(&format!("shop is reached by its name in {member}"), Duration::from_secs(30), || async {
        let alias = services.get("shop").await.map_err(|error| error.to_string())?.data;
        let target = format!("derived-shop.{NAMESPACE}.svc.cluster.local");
        if alias["spec"]["type"] != "ExternalName" || alias["spec"]["externalName"] != *target {
            return Err(format!("{alias:#}"));
        }
        let import = services.get("derived-shop").await.map_err(|error| error.to_string())?.data;
        if import["spec"]["clusterIP"].as_str().is_none_or(|address| address == "None") {
            return Err(format!("{import:#}"));
        }
        let slices = bed.objects(member, SLICE, Some(NAMESPACE)).await;
        let imported = slices.iter().any(|slice| {
            let name = slice.metadata.name.as_deref().unwrap_or_default();
            name.starts_with(&format!("imported-{origin}-shop-"))
                && slice.data["endpoints"][0]["addresses"].as_array().is_some_and(|list| !list.is_empty())
        });
        if !imported {
            return Err(format!("{slices:#?}"));
        }
        let original = own.get("shop").await.map_err(|error| error.to_string())?.data;
        if original["spec"]["type"] != "ClusterIP" { Err(format!("{original:#}")) } else { Ok(()) }
    })
    .await;
}

/// Closes a cluster, and waits until the server knows.
async fn close(bed: &Bed, server: &Server, member: &str) {
    cordon(bed, member).await;
    until_cluster(server, member, "takes nothing", |cluster| cluster["availability"] == false).await;
}

async fn open(bed: &Bed, server: &Server, member: &str) {
    uncordon(bed, member).await;
    until_cluster(server, member, "takes services", |cluster| cluster["availability"] == true).await;
}

#[tokio::test]
async fn charts_from_anywhere_run_are_reached_by_name_move_scale_stop_start_and_go() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let volumes = Volumes::provide(&bed).await;
    let server = start(&bed, &data).await;
    let body = descriptor(&bed, GRAPH).await;
    let (status, answer) =
        server.post(&format!("/project/{NAMESPACE}/graphs"), "application/yaml", body).await;
    assert_eq!(status, 200, "{answer:#}");
    let graph = server.until_ready(GRAPH).await;
    let (home, away) = (place(&graph, "shop"), place(&graph, "web"));
    assert_ne!(home, away);
    for name in ["shop", "web"] {
        assert_eq!(service(&graph, name)["propagation"], "managed", "{graph:#}");
        assert_eq!(service(&graph, name)["values_overwrite"], json!({}), "{graph:#}");
        let digest = service(&graph, name)["artifact_digest"].as_str().unwrap_or_default();
        assert!(digest.starts_with("sha256:"), "{graph:#}");
    }
    assert_reaches_shop(&bed, &away, &home).await;
    assert_counted(&bed, &data).await;
    assert_reported(&bed).await;
    let jobs = bed.names("karmada", ("batch", "v1", "Job"), Some(NAMESPACE)).await;
    assert_eq!(jobs, [""; 0], "the hook has ended and is gone");

    // The web application moves by its policies alone.
    let installed = revisions(&bed, NAMESPACE).await;
    close(&bed, &server, &away).await;
    let (status, answer) = server.trigger(&format!("/graphs/{GRAPH}/placement")).await;
    assert_eq!(status, 200, "{answer:#}");
    let graph = server.until_ready(GRAPH).await;
    let moved = place(&graph, "web");
    assert_eq!(place(&graph, "shop"), home);
    assert!(moved != away && moved != home, "{graph:#}");
    assert_runs_in(&bed, &moved, NAMESPACE, "web").await;
    assert_reaches_shop(&bed, &moved, &home).await;
    eventually("nothing is left where it was", Duration::from_secs(30), || async {
        let services = bed.names(&away, SERVICE, Some(NAMESPACE)).await;
        if services.is_empty() { Ok(()) } else { Err(format!("{services:?}")) }
    })
    .await;
    assert_eq!(revisions(&bed, NAMESPACE).await, installed, "a move is no upgrade");
    open(&bed, &server, &away).await;

    // The shop stays with its data.
    close(&bed, &server, &home).await;
    let (status, problem) = server.trigger(&format!("/graphs/{GRAPH}/placement")).await;
    assert_eq!(status, 409, "{problem:#}");
    assert!(problem.to_string().contains("data-shop-db-0"), "{problem:#}");
    open(&bed, &server, &home).await;

    bed.set_rate("web", 22.0).await;
    assert_replicas(&bed, &moved, NAMESPACE, "web", 3).await;
    assert_counted(&bed, &data).await;
    bed.remove_rate("web").await;

    let (status, answer) =
        server.post(&format!("/graphs/{GRAPH}/stop"), "application/json", "{}".into()).await;
    assert_eq!(status, 200, "{answer:#}");
    let stopped = service(&answer, "shop")["conditions"].to_string();
    assert!(stopped.contains("these volume claims stay on"), "{stopped}");
    let (_, events) = server.get(&format!("/graphs/{GRAPH}/events?limit=200")).await;
    let removed = events.as_array().into_iter().flatten().find(|event| {
        event["type"] == "service.removed" && event["data"]["claims"] == json!(["data-shop-db-0"])
    });
    assert!(removed.is_some(), "{events:#}");
    let (status, answer) =
        server.post(&format!("/graphs/{GRAPH}/start"), "application/json", "{}".into()).await;
    assert_eq!(status, 200, "{answer:#}");
    assert_eq!(place(&server.until_ready(GRAPH).await, "shop"), home, "where its claims are");

    server.delete_graph(GRAPH).await;
    before.assert_restored(&bed).await;
    assert_eq!(volumes.take_away(&bed).await, [format!("{home}/data-shop-db-0")]);
}

/// A graph with one service of an own chart of the tests.
async fn single(bed: &Bed, chart: &str) -> String {
    let artifact = json!({ "ociImage": push_own(bed, chart).await });
    json!({ "hdaGraph": { "id": chart, "services": [{ "id": chart, "artifact": artifact }] } }).to_string()
}

fn condition(graph: &Value, name: &str, kind: &str) -> Value {
    let conditions = service(graph, name)["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

#[tokio::test]
async fn a_chart_with_a_definition_of_its_own_runs_and_the_definition_stays() {
    const DEFINITION: Kind = ("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    const GADGET: Kind = ("tests.smo.example", "v1", "Gadget");
    const ROLE: Kind = ("rbac.authorization.k8s.io", "v1", "ClusterRole");
    const NAME: &str = "own-definition";
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = start(&bed, &data).await;
    let (status, answer) = server
        .post(&format!("/project/{NAMESPACE}/graphs"), "application/json", single(&bed, NAME).await)
        .await;
    assert_eq!(status, 200, "{answer:#}");
    let graph = server.until_ready(NAME).await;
    let home = place(&graph, NAME);
    let propagated = condition(&graph, NAME, "Propagated")["message"].to_string();
    assert!(propagated.contains("never removed: gadgets.tests.smo.example"), "{graph:#}");
    assert!(
        condition(&graph, NAME, "Ready")["message"].to_string().contains("the health of Gadget"),
        "{graph:#}"
    );
    assert_eq!(bed.names(&home, GADGET, Some(NAMESPACE)).await, [format!("{NAMESPACE}/{NAME}")]);
    let role = format!("{NAMESPACE}-{NAME}");
    let has_role = async |member: &str| {
        bed.names(member, ROLE, None).await.iter().any(|name| name.ends_with(&format!("/{role}")))
    };
    eventually("the role is in its cluster", Duration::from_secs(20), || async {
        if has_role(&home).await { Ok(()) } else { Err("it is not".to_owned()) }
    })
    .await;
    for member in MEMBERS {
        let definitions = bed.names(member, DEFINITION, None).await;
        assert!(
            definitions.iter().any(|name| name.ends_with("/gadgets.tests.smo.example")),
            "{definitions:?}"
        );
        assert_eq!(has_role(member).await, member == home, "{member}");
    }

    server.delete_graph(NAME).await;
    let definitions = bed.names(&home, DEFINITION, None).await;
    assert!(definitions.iter().any(|name| name.ends_with("/gadgets.tests.smo.example")), "{definitions:?}");
    // The test tidies up what stays.
    let policies = ("policy.karmada.io", "v1alpha1", "ClusterPropagationPolicy");
    for (kind, name) in
        [(policies, "gadgets.tests.smo.example.smo"), (DEFINITION, "gadgets.tests.smo.example")]
    {
        let objects = bed.api("karmada", kind, None).await;
        objects.delete(name, &DeleteParams::default()).await.expect("Karmada deletes it");
    }
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn a_chart_that_would_act_on_karmada_is_refused_by_name() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let server = start(&bed, &data).await;
    let body = single(&bed, "harmful").await;
    let (status, answer) =
        server.post(&format!("/project/{NAMESPACE}/graphs"), "application/json", body).await;
    assert_eq!(status, 202, "{answer:#}");
    let installed = condition(&answer, "harmful", "Installed");
    assert_eq!(installed["reason"], "Failed", "{answer:#}");
    let message = installed["message"].to_string();
    assert!(message.contains("ValidatingWebhookConfiguration harmful"), "{message}");
    assert_eq!(revisions(&bed, NAMESPACE).await.len(), 0, "Helm was not run");
    server.delete_graph("harmful").await;
    before.assert_restored(&bed).await;
}

#[tokio::test]
async fn a_hook_that_runs_nowhere_is_told_and_keeps_nobody_else_waiting() {
    let bed = Bed::take().await;
    let (data, before) = (Data::new().await, Inventory::take(&bed).await);
    let environment = [("SMO_WAIT", "2"), ("SMO_HELM_DEADLINE", "15s")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Server::start(&bed, &data, &Options { port: None, environment }).await;
    let graphs = format!("/project/{NAMESPACE}/graphs");
    let (status, answer) =
        server.post(&graphs, "application/json", single(&bed, "hook-left-out").await).await;
    assert_eq!(status, 202, "{answer:#}");
    let other = single(&bed, "sidecar").await;
    let (_, answer) = server.post(&graphs, "application/json", other).await;
    assert_ne!(service(&answer, "sidecar")["status"], "Failed", "{answer:#}");
    server.until_ready("sidecar").await;
    let told = server
        .until("hook-left-out", "tells of its hook", |_, graph| {
            condition(graph, "hook-left-out", "Installed")["reason"] == "Failed"
        })
        .await;
    let message = condition(&told, "hook-left-out", "Installed")["message"].to_string();
    assert!(message.contains("in vain for the hook Job hook-left-out-migrate"), "{message}");
    server.delete_graph("hook-left-out").await;
    server.delete_graph("sidecar").await;
    eventually("its hook is gone", Duration::from_secs(30), || async {
        // Helm leaves hooks behind; the test tidies up.
        let jobs = bed.api("karmada", ("batch", "v1", "Job"), Some(NAMESPACE)).await;
        drop(jobs.delete("hook-left-out-migrate", &DeleteParams::background()).await);
        let left = bed.names("karmada", ("batch", "v1", "Job"), Some(NAMESPACE)).await;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    before.assert_restored(&bed).await;
}
