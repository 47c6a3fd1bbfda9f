//! Deployments of Helm releases and where Karmada runs them, from two watches; and their scale.
//!
//! Helm marks all its objects with the label `app.kubernetes.io/managed-by=Helm` and the release in
//! annotations, which charts cannot forget. After the first complete state, reading always answers, from the
//! last known state while Karmada is down; before it, "nothing known" must not look like "nothing there" and
//! is an error.

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::watcher::watcher;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use super::index::Index;
use crate::clients::kubernetes::failure;
use crate::clients::observed::Observed;
use crate::clients::watch::{WatchHealth, config, follow, monitored};
use crate::clients::{ReleaseKey, Result, WatchReport, WorkloadObservation, Workloads};

/// Workloads of a Karmada.
pub struct KarmadaWorkloads {
    client: Client,
    observed: Arc<Observed<Index, ReleaseKey>>,
    /// Of the Deployments' and the bindings' watch.
    health: [Arc<WatchHealth>; 2],
    _watches: [AbortOnDropHandle<()>; 2],
}

impl KarmadaWorkloads {
    /// Starts watching.
    ///
    /// Must be called within a tokio runtime; the watches end when this is dropped.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let observed = Observed::new(Index::default());
        let health = [WatchHealth::new("karmada", "workloads"), WatchHealth::new("karmada", "bindings")];
        let deployments = Api::<Deployment>::all(monitored(&client, &health[0]));
        let kind = GroupVersionKind::gvk("work.karmada.io", "v1alpha2", "ResourceBinding");
        let kind = ApiResource::from_gvk(&kind);
        let bindings = Api::<DynamicObject>::all_with(monitored(&client, &health[1]), &kind);
        let of_helm = config("app.kubernetes.io/managed-by=Helm");
        let (for_deployments, for_bindings) = (Arc::clone(&observed), Arc::clone(&observed));
        let watches = [
            follow(Arc::clone(&health[0]), watcher(deployments, of_helm), move |event| {
                for_deployments.take(event, Index::apply_deployment);
            }),
            follow(Arc::clone(&health[1]), watcher(bindings, config("")), move |event| {
                for_bindings.take(event, Index::apply_binding);
            }),
        ];
        Self { client, observed, health, _watches: watches }
    }
}

#[async_trait]
impl Workloads for KarmadaWorkloads {
    async fn of_release(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>> {
        self.health.iter().try_for_each(|health| health.require_complete())?;
        Ok(self.observed.read(|index| index.of_release(release)))
    }

    async fn scale(&self, namespace: &str, deployment: &str, replicas: i64) -> Result<()> {
        let deployments = Api::<Deployment>::namespaced(self.client.clone(), namespace);
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let scaled = deployments.patch_scale(deployment, &PatchParams::default(), &patch).await;
        let what = format!("cannot scale deployment {deployment} in namespace {namespace}");
        scaled.map(drop).map_err(|error| failure("karmada", &what, error))
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.observed.changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        self.health.iter().map(|health| health.state()).collect()
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Query;
    use axum::response::{IntoResponse, Response};
    use axum::routing::{get, patch};
    use axum::{Json, Router};
    use serde_json::Value;
    use std::collections::HashMap;

    use super::*;
    use crate::clients::ClientErrorKind;
    use crate::clients::testing::{fake_server, status};

    const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
    const BINDINGS: &str = "/apis/work.karmada.io/v1alpha2/resourcebindings";

    fn release() -> ReleaseKey {
        ReleaseKey { namespace: "demo".to_owned(), name: "a".to_owned() }
    }

    /// Answers a list; a watch gets nothing and stays open.
    async fn answer(query: HashMap<String, String>, items: Value) -> Response {
        if query.contains_key("watch") {
            return axum::body::Body::from_stream(futures::stream::pending::<std::io::Result<String>>())
                .into_response();
        }
        Json(
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}),
        )
        .into_response()
    }

    fn deployments() -> Value {
        json!([{
            "metadata": {
                "name": "d", "namespace": "demo",
                "annotations": {
                    "meta.helm.sh/release-name": "a", "meta.helm.sh/release-namespace": "demo",
                },
            },
            "spec": {"replicas": 1, "selector": {}, "template": {}},
        }])
    }

    #[tokio::test]
    async fn workloads_are_known_after_the_first_lists_and_a_change_is_told() {
        let by_label = |Query(query): Query<HashMap<String, String>>| async move {
            assert_eq!(query["labelSelector"], "app.kubernetes.io/managed-by=Helm");
            answer(query, deployments()).await
        };
        let router = Router::new()
            .route(DEPLOYMENTS, get(by_label))
            .route(BINDINGS, get(|Query(query): Query<_>| answer(query, json!([]))));
        let workloads = KarmadaWorkloads::start(fake_server(router));
        assert_eq!(workloads.changes().recv().await.unwrap(), release());
        while workloads.of_release(&release()).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(workloads.of_release(&release()).await.unwrap()[0].deployment, "d");
    }

    #[tokio::test]
    async fn before_the_first_lists_nothing_known_is_not_nothing_there() {
        let router = Router::new().fallback(|| async { status(500, "etcd is gone") });
        let workloads = KarmadaWorkloads::start(fake_server(router));
        loop {
            let error = workloads.of_release(&release()).await.unwrap_err();
            assert_eq!(error.kind, ClientErrorKind::Unreachable);
            if error.message.contains("etcd is gone") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn scale_patches_the_scale_of_the_deployment() {
        let scale = |Json(patch): Json<Value>| async move {
            assert_eq!(patch, json!({"spec": {"replicas": 3}}));
            Json(
                json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {"replicas": 3}}),
            )
        };
        let path = "/apis/apps/v1/namespaces/demo/deployments/d/scale";
        let json_type = axum::middleware::map_request(as_json);
        let router = Router::new()
            .route(path, patch(scale))
            .layer(json_type)
            .fallback(|| async { status(404, "no such deployment") });
        let workloads = KarmadaWorkloads::start(fake_server(router));
        workloads.scale("demo", "d", 3).await.unwrap();
        let missing = workloads.scale("demo", "x", 3).await.unwrap_err();
        assert_eq!(missing.kind, ClientErrorKind::NotFound);
    }

    /// A merge patch is JSON under another name.
    async fn as_json(mut request: axum::extract::Request) -> axum::extract::Request {
        request
            .headers_mut()
            .insert("content-type", axum::http::HeaderValue::from_static("application/json"));
        request
    }
}
