//! Pod and service networks of the clusters, from Submariner's broker.
//!
//! Submariner is optional: without its CRD there are no networks, which is logged as one warning and is no
//! error.

use std::collections::BTreeMap;
use std::sync::Once;

use async_trait::async_trait;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Client, ResourceExt};
use serde::Deserialize;

use super::kubernetes::{connect, failure};
use super::{ClientErrorKind, Networks, Result};
use crate::config::KubeconfigSettings;
use crate::model::ClusterNetworks;

/// Networks as the broker knows them.
pub struct SubmarinerNetworks {
    clusters: Api<DynamicObject>,
    missing: Once,
}

#[derive(Deserialize)]
struct ClusterObject {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    cluster_id: String,
    #[serde(default)]
    cluster_cidr: Vec<String>,
    #[serde(default)]
    service_cidr: Vec<String>,
}

impl SubmarinerNetworks {
    /// Networks of the broker that a kubeconfig and a namespace lead to. Does not speak to it.
    ///
    /// # Errors
    /// `Invalid` when the kubeconfig is missing or unusable.
    pub async fn connect(settings: &KubeconfigSettings, namespace: &str) -> Result<Self> {
        Ok(Self::new(connect("submariner", settings).await?, namespace))
    }

    fn new(client: Client, namespace: &str) -> Self {
        let kind = GroupVersionKind::gvk("submariner.io", "v1", "Cluster");
        let clusters = Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind));
        Self { clusters, missing: Once::new() }
    }
}

#[async_trait]
impl Networks for SubmarinerNetworks {
    async fn networks(&self) -> Result<BTreeMap<String, ClusterNetworks>> {
        let listed = self.clusters.list(&ListParams::default()).await;
        match listed.map_err(|error| failure("submariner", "cannot list submariner's clusters", error)) {
            Ok(listed) => Ok(listed.items.into_iter().filter_map(read).collect()),
            Err(error) if error.kind == ClientErrorKind::NotFound => {
                self.missing.call_once(|| {
                    tracing::warn!("submariner is not installed: the clusters' networks stay unknown");
                });
                Ok(BTreeMap::new())
            }
            Err(error) => Err(error),
        }
    }
}

fn read(object: DynamicObject) -> Option<(String, ClusterNetworks)> {
    let name = object.name_any();
    let cluster: ClusterObject = serde_json::from_value(object.data)
        .inspect_err(|error| tracing::warn!(%error, "submariner's cluster {name} cannot be read"))
        .ok()?;
    let first = |cidrs: Vec<String>| cidrs.into_iter().next();
    let networks = ClusterNetworks {
        pod_cidr: first(cluster.spec.cluster_cidr),
        service_cidr: first(cluster.spec.service_cidr),
    };
    Some((cluster.spec.cluster_id, networks))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::json;

    use super::*;
    use crate::clients::testing::{fake_server, status};

    #[tokio::test]
    async fn the_first_networks_of_each_cluster_are_told() {
        let items = json!([
            {"metadata": {"name": "one"}, "spec": {
                "cluster_id": "edge-1", "cluster_cidr": ["10.1.0.0/16", "fd00::/64"], "service_cidr": ["10.2.0.0/16"],
            }},
            {"metadata": {"name": "two"}, "spec": {"cluster_id": "edge-2"}},
            {"metadata": {"name": "broken"}, "spec": {}},
        ]);
        let list =
            json!({"kind": "ClusterList", "apiVersion": "submariner.io/v1", "metadata": {}, "items": items});
        let path = "/apis/submariner.io/v1/namespaces/broker/clusters";
        let router = Router::new().route(path, get(move || async move { Json(list) }));
        let networks = SubmarinerNetworks::new(fake_server(router), "broker").networks().await.unwrap();
        let edge_1 = ClusterNetworks {
            pod_cidr: Some("10.1.0.0/16".to_owned()),
            service_cidr: Some("10.2.0.0/16".to_owned()),
        };
        let expected = BTreeMap::from([
            ("edge-1".to_owned(), edge_1),
            ("edge-2".to_owned(), ClusterNetworks::default()),
        ]);
        assert_eq!(networks, expected);
    }

    #[tokio::test]
    async fn without_the_crd_there_are_no_networks_and_other_failures_are_errors() {
        let absent =
            Router::new().fallback(|| async { (axum::http::StatusCode::NOT_FOUND, "404 page not found") });
        assert_eq!(
            SubmarinerNetworks::new(fake_server(absent), "broker").networks().await,
            Ok(BTreeMap::new())
        );
        let refusing = Router::new().fallback(|| async { status(403, "no") });
        let error = SubmarinerNetworks::new(fake_server(refusing), "broker").networks().await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::Unauthorised);
    }
}
