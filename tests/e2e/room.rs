//! Making members full, or closed to new services, and back.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::bed::{Bed, Kind, eventually};
use crate::server::Server;

/// Two looks of the test bed's Karmada at its members, and some time to write down what it saw.
const STATUS_ROUND: Duration = Duration::from_secs(5);
const CLUSTER: Kind = ("cluster.karmada.io", "v1alpha1", "Cluster");

/// A pod that takes room on a member, as other users of the cluster do.
pub struct Tenant {
    pods: Api<Pod>,
}

impl Tenant {
    const NAME: &str = "tenant";

    /// Puts the pod on the first node of a member without asking the scheduler, which would never overfill a node.
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

/// Closes a member to new services, as `karmadactl cordon` does. (Karmada counts the room on cordoned *nodes* as before.)
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

/// Waits until the server's view of a cluster is as wanted; gives it.
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

/// Free CPU cores of a cluster that has come to rest: what tests before this one used may show for a status round.
pub async fn settled_cores(server: &Server, name: &str) -> f64 {
    let mut last = free_cores(server, name).await;
    for _ in 0..6 {
        tokio::time::sleep(STATUS_ROUND).await;
        let now = free_cores(server, name).await;
        if now == last {
            break;
        }
        last = now;
    }
    last
}

/// Waits until the server sees so many free CPU cores on a cluster.
pub async fn until_free_cores(server: &Server, name: &str, cores: f64) {
    until_cluster(server, name, &format!("has {cores} cores free"), |cluster| {
        cluster["available_cpu"] == cores
    })
    .await;
}
