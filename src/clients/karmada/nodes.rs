//! Sizes of the nodes of members: the largest pod that a cluster can run is not the sum of its nodes.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::ListParams;
use serde::Deserialize;

use super::Condition;
use super::inventory::{Quantities, resources};
use crate::clients::{ClientError, ClientErrorKind, Result, members};
use crate::hdag::Resources;
use crate::model::largest;

const SYSTEM: &str = "nodes";
/// Nodes that are read at a time: with the images that they list, one can be 15 kB.
const PAGE: u32 = 500;

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    allocatable: Quantities,
    conditions: Vec<Condition>,
}

/// The largest nodes of each of the clusters that tell them.
pub(super) async fn largest_nodes(client: &Client, clusters: &[String]) -> BTreeMap<String, Vec<Resources>> {
    let ask = |cluster| async move { read(client, cluster).await };
    let known = members::ask_each(clusters, "its nodes", ask).await;
    known.into_iter().map(|(cluster, nodes)| (cluster.to_owned(), nodes)).collect()
}

async fn read(client: &Client, cluster: &str) -> Result<Vec<Resources>> {
    let mut params = ListParams::default().limit(PAGE);
    let mut nodes = Vec::new();
    loop {
        let page = members::list::<Node>(client, SYSTEM, cluster, "api/v1/nodes", &params).await?;
        for node in page.items.iter().filter(|node| can_take_pods(node)) {
            let size = resources(&node.status.allocatable);
            nodes.push(size.map_err(|error| {
                ClientError::new(SYSTEM, ClientErrorKind::Invalid, format!("size of a node: {error}"))
            })?);
        }
        nodes = largest(nodes);
        match page.next() {
            Some(next) => params.continue_token = Some(next.to_owned()),
            None => return Ok(nodes),
        }
    }
}

/// Taints do not count: a pod may tolerate them.
fn can_take_pods(node: &Node) -> bool {
    let is_ready = Condition::find(&node.status.conditions, "Ready").is_some_and(Condition::is_true);
    is_ready && !node.spec.unschedulable
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use axum::extract::{Path, Query};
    use axum::response::{IntoResponse, Response};
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::clients::testing::{fake_server, status};

    const PATH: &str = "/apis/cluster.karmada.io/v1alpha1/clusters/{cluster}/proxy/api/v1/nodes";

    fn node(cpu: &str, memory: &str, ready: &str, unschedulable: bool) -> Value {
        json!({
            "spec": {"unschedulable": unschedulable},
            "status": {
                "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
                "conditions": [{"type": "Ready", "status": ready}],
            },
        })
    }

    /// Two pages.
    async fn answer(Path(cluster): Path<String>, Query(query): Query<HashMap<String, String>>) -> Response {
        let page = |items: Value, more: &str| {
            let metadata = json!({"continue": more});
            Json(json!({"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": items}))
                .into_response()
        };
        match (cluster.as_str(), query.get("continue").map(String::as_str)) {
            ("edge", None) => {
                page(json!([node("4", "8Gi", "True", false), node("3", "8Gi", "True", false)]), "2")
            }
            ("edge", Some("2")) => page(
                json!([
                    node("2", "16Gi", "True", false),
                    node("64", "1Ti", "False", false),
                    node("64", "1Ti", "True", true),
                    {"metadata": {"name": "just-joined"}},
                ]),
                "",
            ),
            ("odd", _) => page(json!([node("many", "8Gi", "True", false)]), ""),
            _ => status(403, "nodes is forbidden"),
        }
    }

    #[tokio::test]
    async fn the_largest_nodes_that_take_pods_are_told_and_the_rest_is_left_out() {
        let client = fake_server(Router::new().route(PATH, get(answer)));
        let clusters = ["edge", "odd", "forbidden"].map(str::to_owned);
        let size = |cpu_millicores, gibibytes: i64| Resources {
            cpu_millicores,
            ram_bytes: gibibytes << 30,
            pods: 110,
            ..Resources::default()
        };
        let expected = BTreeMap::from([("edge".to_owned(), vec![size(2000, 16), size(4000, 8)])]);
        assert_eq!(largest_nodes(&client, &clusters).await, expected);
    }
}
