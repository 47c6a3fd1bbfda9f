//! Making members full, or closed to new services, and back.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use smo::hdag::millicores;

use crate::bed::{Bed, Kind};
use crate::server::Server;
use crate::wait::eventually;

const CLUSTER: Kind = ("cluster.karmada.io", "v1alpha1", "Cluster");

/// A pod that takes room on a member, as other users of the cluster do.
pub struct Tenant {
    pods: Api<Pod>,
}

impl Tenant {
    const NAME: &str = "tenant";

    /// Puts the pod on the first node of a member without asking the scheduler, which would never overfill a
    /// node.
    pub async fn enter(bed: &Bed, member: &str, cores: f64) -> Self {
        let pods = Api::namespaced(bed.client(member).await, "default");
        let pod = json!({
            "metadata": { "name": Self::NAME },
            "spec": {
                "nodeName": format!("{member}-node1"),
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "tenant",
                    "image": "tenant",
                    "resources": { "requests": { "cpu": format!("{}m", (cores * 1000.0).round()) } },
                }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        pods.create(&PostParams::default(), &pod).await.expect("member takes the pod");
        Self { pods }
    }

    /// Removes the pod.
    pub async fn leave(self) {
        let now = DeleteParams::default().grace_period(0);
        self.pods.delete(Self::NAME, &now).await.expect("member deletes the pod");
    }
}

/// Closes a member to new services, as `karmadactl cordon` does. (Karmada counts the room on cordoned *nodes*
/// as before.)
pub async fn cordon(bed: &Bed, member: &str) {
    let taint = json!({ "key": "cluster.karmada.io/unschedulable", "effect": "NoSchedule" });
    set_taints(bed, member, &json!([taint])).await;
}

/// Opens it again.
pub async fn uncordon(bed: &Bed, member: &str) {
    set_taints(bed, member, &Value::Null).await;
}

async fn set_taints(bed: &Bed, member: &str, taints: &Value) {
    let patch = Patch::Merge(json!({ "spec": { "taints": taints } }));
    let clusters = bed.api("karmada", CLUSTER, None).await;
    clusters.patch(member, &PatchParams::default(), &patch).await.expect("Karmada changes the Cluster");
}

/// Waits until the server's view of a cluster satisfies a condition, and returns it.
pub async fn until_cluster(
    server: &Server,
    name: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    eventually(&format!("cluster {name} {what}"), Duration::from_secs(30), || async {
        let (_, clusters) = server.get("/clusters").await;
        let found = clusters.as_array().and_then(|list| list.iter().find(|cluster| cluster["name"] == name));
        match found {
            Some(cluster) if wanted(cluster) => Ok(cluster.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// CPU cores that are free on a cluster, as the server sees it.
pub async fn free_cores(server: &Server, name: &str) -> f64 {
    let cluster = until_cluster(server, name, "is known", |_| true).await;
    cluster["available_cpu"].as_f64().expect("cores")
}

/// Free CPU cores of a cluster once the server sees what the member itself says: the end of a test before
/// this one may not be in Karmada's report yet.
pub async fn settled_cores(bed: &Bed, server: &Server, name: &str) -> f64 {
    eventually(&format!("what is free on {name} is known"), Duration::from_secs(60), || async {
        let (known, real) = (free_cores(server, name).await, unrequested_cores(bed, name).await);
        if known == real { Ok(real) } else { Err(format!("{known} instead of {real} cores")) }
    })
    .await
}

/// CPU cores of a member's nodes that no pod requests, asked of the member itself.
async fn unrequested_cores(bed: &Bed, member: &str) -> f64 {
    let client = bed.client(member).await;
    let cpu = |quantities: Option<&BTreeMap<String, Quantity>>| -> i64 {
        let text = quantities.and_then(|quantities| quantities.get("cpu")).map_or("0", |cpu| cpu.0.as_str());
        millicores(text).expect("CPU of a member")
    };
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.expect("nodes").items;
    let has =
        nodes.iter().map(|node| cpu(node.status.as_ref().and_then(|status| status.allocatable.as_ref())));
    let pods = Api::<Pod>::all(client).list(&ListParams::default()).await.expect("pods").items;
    let containers = pods.iter().filter_map(|pod| pod.spec.as_ref()).flat_map(|spec| &spec.containers);
    let requests = containers
        .map(|container| cpu(container.resources.as_ref().and_then(|resources| resources.requests.as_ref())));
    (has.sum::<i64>() - requests.sum::<i64>()) as f64 / 1000.0
}

/// Waits until the server sees so many free CPU cores on a cluster.
pub async fn until_free_cores(server: &Server, name: &str, cores: f64) {
    until_cluster(server, name, &format!("has {cores} cores free"), |cluster| {
        cluster["available_cpu"] == cores
    })
    .await;
}
