//! Workloads of Helm releases and where Karmada runs them, from a watch for each kind and one of the bindings;
//! and their scale.
//!
//! Helm marks all its objects with the label `app.kubernetes.io/managed-by=Helm` and the release in
//! annotations, which charts cannot forget. After the first complete state, reading always answers, from the
//! last known state while Karmada is down; before it, "nothing known" must not look like "nothing there" and
//! is an error.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use super::index::Index;
use super::kinds::PodOwner;
use crate::clients::kubernetes::failure;
use crate::clients::observed::Observed;
use crate::clients::watch::{WatchHealth, config, follow, monitored};
use crate::clients::{BindingObservation, ReleaseKey, Result, WatchReport, WorkloadObservation, Workloads};
use crate::model::{ObjectId, WorkloadKind};

/// Workloads of a Karmada.
pub struct KarmadaWorkloads {
    client: Client,
    observed: Arc<Observed<Index, ReleaseKey>>,
    /// Of each watch.
    health: Vec<Arc<WatchHealth>>,
    /// Of the watch of bindings of objects without a namespace, which few charts bring.
    of_cluster: Arc<WatchHealth>,
    _watches: Vec<AbortOnDropHandle<()>>,
}

impl KarmadaWorkloads {
    /// Starts watching.
    ///
    /// Must be called within a tokio runtime; the watches end when this is dropped.
    #[must_use]
    pub fn start(client: Client) -> Self {
        let observed = Observed::new(Index::default());
        let mut watches = vec![
            watch_kind::<Deployment>(&client, &observed, "deployments"),
            watch_kind::<StatefulSet>(&client, &observed, "statefulsets"),
            watch_kind::<DaemonSet>(&client, &observed, "daemonsets"),
            watch_kind::<ReplicaSet>(&client, &observed, "replicasets"),
            watch_kind::<Job>(&client, &observed, "jobs"),
            watch_kind::<CronJob>(&client, &observed, "cronjobs"),
            watch_kind::<Pod>(&client, &observed, "pods"),
        ];
        watches.push(watch_bindings(&client, &observed, "ResourceBinding", Index::apply_binding));
        let of_cluster =
            watch_bindings(&client, &observed, "ClusterResourceBinding", Index::apply_cluster_binding);
        let (health, mut watches): (Vec<_>, Vec<_>) = watches.into_iter().unzip();
        watches.push(of_cluster.1);
        Self { client, observed, health, of_cluster: of_cluster.0, _watches: watches }
    }

    /// Refuses an answer until every watch has read its first list: an object that was not read yet may exist.
    fn require_complete(&self, with_cluster_bindings: bool) -> Result<()> {
        let of_cluster = std::iter::once(&self.of_cluster).filter(|_| with_cluster_bindings);
        self.health.iter().chain(of_cluster).try_for_each(|health| health.require_complete())
    }
}

type Watch = (Arc<WatchHealth>, AbortOnDropHandle<()>);

/// Watches the objects of one kind that Helm made.
fn watch_kind<K>(client: &Client, observed: &Arc<Observed<Index, ReleaseKey>>, name: &'static str) -> Watch
where
    K: PodOwner + Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: DeserializeOwned + Clone + std::fmt::Debug + Send + 'static,
{
    let (health, observed) = (WatchHealth::new("karmada", name), Arc::clone(observed));
    let objects = Api::<K>::all(monitored(client, &health));
    let events = watcher(objects, config("app.kubernetes.io/managed-by=Helm"));
    let watch = follow(Arc::clone(&health), events, move |event| observed.take(event, Index::apply_workload));
    (health, watch)
}

/// Watches one kind of bindings.
fn watch_bindings(
    client: &Client,
    observed: &Arc<Observed<Index, ReleaseKey>>,
    kind: &'static str,
    apply: fn(&mut Index, Event<DynamicObject>) -> BTreeSet<ReleaseKey>,
) -> Watch {
    let name = if kind == "ResourceBinding" { "bindings" } else { "clusterbindings" };
    let (health, observed) = (WatchHealth::new("karmada", name), Arc::clone(observed));
    let kind = GroupVersionKind::gvk("work.karmada.io", "v1alpha2", kind);
    let kind = ApiResource::from_gvk(&kind);
    let bindings = Api::<DynamicObject>::all_with(monitored(client, &health), &kind);
    let watch = follow(Arc::clone(&health), watcher(bindings, config("")), move |event| {
        observed.take(event, apply);
    });
    (health, watch)
}

#[async_trait]
impl Workloads for KarmadaWorkloads {
    async fn of_release(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>> {
        self.require_complete(false)?;
        Ok(self.observed.read(|index| index.of_release(release)))
    }

    async fn bindings_of(&self, objects: &[&ObjectId]) -> Result<Vec<Option<BindingObservation>>> {
        self.require_complete(objects.iter().any(|object| object.namespace.is_none()))?;
        Ok(self.observed.read(|index| objects.iter().map(|object| index.binding_of(object)).collect()))
    }

    async fn scale(&self, namespace: &str, kind: WorkloadKind, name: &str, replicas: i64) -> Result<()> {
        let (client, params) = (self.client.clone(), PatchParams::default());
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        let scaled = match kind {
            WorkloadKind::StatefulSet => {
                Api::<StatefulSet>::namespaced(client, namespace).patch_scale(name, &params, &patch).await
            }
            _ => Api::<Deployment>::namespaced(client, namespace).patch_scale(name, &params, &patch).await,
        };
        let what = format!("cannot scale {} {name} in namespace {namespace}", kind.as_str());
        scaled.map(drop).map_err(|error| failure("karmada", &what, error))
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.observed.changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        self.health.iter().chain([&self.of_cluster]).map(|health| health.state()).collect()
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
        let others = |Query(query): Query<HashMap<String, String>>| answer(query, json!([]));
        let router = Router::new().route(DEPLOYMENTS, get(by_label)).fallback(get(others));
        let workloads = KarmadaWorkloads::start(fake_server(router));
        assert_eq!(workloads.changes().recv().await.unwrap(), release());
        while workloads.of_release(&release()).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(workloads.of_release(&release()).await.unwrap()[0].name, "d");
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
        workloads.scale("demo", WorkloadKind::Deployment, "d", 3).await.unwrap();
        let missing = workloads.scale("demo", WorkloadKind::Deployment, "x", 3).await.unwrap_err();
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
