//! Alert rules of the graphs: one PrometheusRule object each, by server-side apply.
//!
//! No two graphs share an object, so no update can lose another's rules, and deleting the object deletes the
//! rules. prometheus-operator silently ignores objects without the labels of its `ruleSelector`, hence those are
//! settings. A label of ours tells our objects from others.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kube::Client;
use kube::ResourceExt;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use serde_json::json;

use super::kubernetes::{connect, failure};
use super::prometheus::Prometheus;
use super::{AlertRules, ClientError, ClientErrorKind, GraphRules, Result};
use crate::config::MonitoringSettings;

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "smo");
const FIELD_MANAGER: &str = "smo";

/// PrometheusRule objects in the monitoring cluster.
pub struct PrometheusRules {
    objects: Api<DynamicObject>,
    labels: BTreeMap<String, String>,
    /// Whom to tell about changes, when that is wanted.
    reload: Option<Prometheus>,
}

impl PrometheusRules {
    /// Rules in the monitoring cluster of these settings. Does not speak to it.
    ///
    /// # Errors
    /// `Invalid` when the kubeconfig is not set, missing or unusable, or the URL of Prometheus is none.
    pub async fn connect(settings: &MonitoringSettings) -> Result<Self> {
        let kubeconfig = settings.kubeconfig.as_ref().ok_or_else(|| {
            let message = "no kubeconfig is set; set MONITORING_KUBECONFIG";
            ClientError::new("monitoring", ClientErrorKind::Invalid, message)
        })?;
        let client = connect("monitoring", kubeconfig).await?;
        Self::new(client, settings)
    }

    fn new(client: Client, settings: &MonitoringSettings) -> Result<Self> {
        let objects = Api::namespaced_with(client, &settings.namespace, &resource());
        let mut labels = settings.rule_labels.clone();
        labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        let url = settings.prometheus_url.as_ref().filter(|_| settings.reload);
        let reload = url.map(|url| Prometheus::connect(url)).transpose()?;
        Ok(Self { objects, labels, reload })
    }

    /// Without the call Prometheus notices by itself, only later.
    async fn reload(&self) {
        let Some(prometheus) = &self.reload else { return };
        if let Err(error) = prometheus.reload().await {
            tracing::warn!(%error, "prometheus was not told to reload its rules");
        }
    }
}

fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PrometheusRule"))
}

#[async_trait]
impl AlertRules for PrometheusRules {
    async fn apply(&self, rules: &GraphRules) -> Result<()> {
        if rules.rules.is_empty() {
            return self.delete(&rules.object_name).await;
        }
        let name = &rules.object_name;
        let mut object = DynamicObject::new(name, &resource());
        object.metadata.labels = Some(self.labels.clone());
        object.data = json!({"spec": {"groups": [{"name": name, "rules": rules.rules}]}});
        // The object is ours alone: fields that somebody else took by hand are taken back.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.objects.patch(name, &params, &Patch::Apply(&object)).await;
        applied.map_err(|error| failure("monitoring", &format!("cannot write the rules {name}"), error))?;
        self.reload().await;
        Ok(())
    }

    async fn delete(&self, object_name: &str) -> Result<()> {
        let deleted = self.objects.delete(object_name, &DeleteParams::default()).await;
        let what = format!("cannot delete the rules {object_name}");
        match deleted.map_err(|error| failure("monitoring", &what, error)) {
            Ok(_) => self.reload().await,
            Err(error) if error.kind == ClientErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>> {
        let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let listed = self.objects.list_metadata(&ours).await;
        let listed = listed.map_err(|error| failure("monitoring", "cannot list the rules", error))?;
        Ok(listed.items.iter().map(ResourceExt::name_any).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use axum::extract::{Path, Query, Request, State};
    use axum::response::{IntoResponse, Response};
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::Value;

    use super::*;
    use crate::clients::AlertRule;
    use crate::clients::testing::{fake_server, serve, status};

    type Log = Arc<Mutex<Vec<String>>>;

    const PATH: &str = "/apis/monitoring.coreos.com/v1/namespaces/monitoring/prometheusrules";

    /// Records what is applied and deleted; `absent` does not exist.
    fn api_server(log: &Log) -> Router {
        let list = |Query(query): Query<HashMap<String, String>>| async move {
            assert_eq!(query["labelSelector"], "app.kubernetes.io/managed-by=smo");
            let items = json!([{"metadata": {"name": "smo-a"}}]);
            Json(
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "items": items}),
            )
        };
        Router::new()
            .route(PATH, get(list))
            .route(&format!("{PATH}/{{name}}"), axum::routing::patch(applied).delete(deleted))
            .with_state(Arc::clone(log))
    }

    async fn applied(
        State(log): State<Log>,
        Query(query): Query<HashMap<String, String>>,
        request: Request,
    ) -> Response {
        assert_eq!(request.headers()["content-type"], "application/apply-patch+yaml");
        assert_eq!((query["fieldManager"].as_str(), query["force"].as_str()), ("smo", "true"));
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let object: Value = serde_json::from_slice(&body).unwrap();
        log.lock().unwrap().push(format!("apply {object}"));
        Json(object).into_response()
    }

    async fn deleted(State(log): State<Log>, Path(name): Path<String>) -> Response {
        if name == "absent" {
            return status(404, "not found");
        }
        log.lock().unwrap().push(format!("delete {name}"));
        Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})).into_response()
    }

    async fn reload_counted(State(log): State<Log>) {
        log.lock().unwrap().push("reload".to_owned());
    }

    fn settings(prometheus_url: Option<String>) -> MonitoringSettings {
        MonitoringSettings {
            kubeconfig: None,
            namespace: "monitoring".to_owned(),
            rule_labels: BTreeMap::from([("release".to_owned(), "kube-prometheus-stack".to_owned())]),
            prometheus_url,
            reload: true,
            severity: "critical".to_owned(),
        }
    }

    fn rules(names: &[&str]) -> GraphRules {
        let rule = |name: &&str| AlertRule {
            alert: (*name).to_owned(),
            expr: "up == 0".to_owned(),
            for_duration: "30s".to_owned(),
            labels: BTreeMap::from([("graph".to_owned(), "a".to_owned())]),
            annotations: BTreeMap::new(),
        };
        GraphRules { object_name: "smo-a".to_owned(), rules: names.iter().map(rule).collect() }
    }

    #[tokio::test]
    async fn one_object_with_the_labels_of_the_selector_is_applied_and_prometheus_told() {
        let log = Log::default();
        let reload = Router::new().route("/-/reload", post(reload_counted)).with_state(Arc::clone(&log));
        let url = serve(reload).await;
        let port = PrometheusRules::new(fake_server(api_server(&log)), &settings(Some(url))).unwrap();
        port.apply(&rules(&["high-load"])).await.unwrap();
        let log = log.lock().unwrap().clone();
        let object: Value = serde_json::from_str(log[0].strip_prefix("apply ").unwrap()).unwrap();
        assert_eq!(
            object,
            json!({
                "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
                "metadata": {"name": "smo-a", "labels": {
                    "app.kubernetes.io/managed-by": "smo", "release": "kube-prometheus-stack",
                }},
                "spec": {"groups": [{"name": "smo-a", "rules": [{
                    "alert": "high-load", "expr": "up == 0", "for": "30s", "labels": {"graph": "a"},
                    "annotations": {},
                }]}]},
            })
        );
        assert_eq!(log[1..], ["reload"]);
    }

    #[tokio::test]
    async fn a_failed_reload_is_no_failure() {
        let log = Log::default();
        let nobody = Some("http://127.0.0.1:1".to_owned());
        let port = PrometheusRules::new(fake_server(api_server(&log)), &settings(nobody)).unwrap();
        assert_eq!(port.apply(&rules(&["high-load"])).await, Ok(()));
    }

    #[tokio::test]
    async fn no_rules_are_no_object_and_deleting_what_is_absent_is_fine() {
        let log = Log::default();
        let port = PrometheusRules::new(fake_server(api_server(&log)), &settings(None)).unwrap();
        port.apply(&rules(&[])).await.unwrap();
        port.delete("absent").await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["delete smo-a"]);
        assert_eq!(port.list().await.unwrap(), ["smo-a"]);
    }
}
