//! Alert rules of the graphs: one PrometheusRule object each, by server-side apply.
//!
//! No two graphs share an object, so no update can lose another's rules, and deleting the object deletes the
//! rules. prometheus-operator silently ignores objects without the labels of its `ruleSelector`, hence those
//! are settings. Objects that carry the label of an installation are watched; those of other installations
//! are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::watcher::{Event, watcher};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{Notify, broadcast};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::kubernetes::{connect, failure};
use super::marks::Marks;
use super::mirror::Mirror;
use super::observed::Observed;
use super::prometheus::Prometheus;
use super::watch::{WatchHealth, config, follow, monitored};
use super::{AlertRule, AlertRules, ClientError, ClientErrorKind, GraphRules, Result, WatchReport};
use crate::config::MonitoringSettings;

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "smo");
const FIELD_MANAGER: &str = "smo";
/// Prometheus reads all its rule files within this time, or will notice by itself later.
const RELOAD_DEADLINE: Duration = Duration::from_secs(60);

/// PrometheusRule objects in the monitoring cluster.
pub struct PrometheusRules {
    objects: Api<DynamicObject>,
    marks: Marks,
    labels: BTreeMap<String, String>,
    /// How Prometheus is notified of changes, if configured.
    reloader: Option<Reloader>,
    observed: Arc<Observed<RuleIndex, String>>,
    health: Arc<WatchHealth>,
    _watch: AbortOnDropHandle<()>,
}

impl PrometheusRules {
    /// Rules in the monitoring cluster of these settings, which is watched from now on.
    ///
    /// Must be called within a tokio runtime; the watch ends when this is dropped.
    ///
    /// # Errors
    /// `Invalid` when the kubeconfig is not set, missing or unusable, or the URL of Prometheus is none.
    pub async fn connect(settings: &MonitoringSettings, marks: Marks) -> Result<Self> {
        let kubeconfig = settings.kubeconfig.as_ref().ok_or_else(|| {
            let message = "no kubeconfig is set; set MONITORING_KUBECONFIG";
            ClientError::new("monitoring", ClientErrorKind::Invalid, message)
        })?;
        let client = connect("monitoring", kubeconfig).await?;
        Self::start(client, settings, marks)
    }

    fn start(client: Client, settings: &MonitoringSettings, marks: Marks) -> Result<Self> {
        let mut labels = settings.rule_labels.clone();
        labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
        let url = settings.prometheus_url.as_ref().filter(|_| settings.reload);
        let reloader = url.map(|url| Prometheus::connect(url, &settings.alerts_query).map(Reloader::start));
        let reloader = reloader.transpose()?;
        let observed = Observed::new(RuleIndex {
            namespace: settings.namespace.clone(),
            marks: marks.clone(),
            labels: labels.clone(),
            objects: Mirror::default(),
        });
        let health = WatchHealth::new("monitoring", "rules");
        let monitored = monitored(&client, &health);
        let watched: Api<DynamicObject> = Api::namespaced_with(monitored, &settings.namespace, &resource());
        let marked = config(&marks.labels.installation);
        let target = Arc::clone(&observed);
        let watch = follow(Arc::clone(&health), watcher(watched, marked), move |event| {
            target.take(event, RuleIndex::apply);
        });
        let objects = Api::namespaced_with(client, &settings.namespace, &resource());
        Ok(Self { objects, marks, labels, reloader, observed, health, _watch: watch })
    }

    fn reload(&self) {
        if let Some(reloader) = &self.reloader {
            reloader.wanted.notify_one();
        }
    }

    /// Whether there is an object of that name that this installation did not make. Read again, since the
    /// decision whether to touch an object must not rest on a copy.
    async fn is_foreign(&self, name: &str) -> Result<bool> {
        let found = self.objects.get_metadata(name).await;
        match found.map_err(|error| failure("monitoring", &format!("cannot read the rules {name}"), error)) {
            Ok(object) => Ok(self.marks.owner(object.labels()).is_none()),
            Err(error) if error.kind == ClientErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the watch shows the change of an object.
    async fn shown(&self, done: &str, is_shown: impl Fn(&RuleIndex) -> bool) -> Result<()> {
        self.observed.until(is_shown).await.map_err(|_| self.health.not_shown(done))
    }
}

/// Makes Prometheus read its rules again, apart from the calls that change them: it may take long, and one
/// reload is enough for many changes. Without it Prometheus notices by itself, only later.
struct Reloader {
    wanted: Arc<Notify>,
    _task: AbortOnDropHandle<()>,
}

impl Reloader {
    fn start(prometheus: Prometheus) -> Self {
        let wanted = Arc::new(Notify::new());
        let asked = Arc::clone(&wanted);
        let task = tokio::spawn(async move {
            loop {
                asked.notified().await;
                match timeout(RELOAD_DEADLINE, prometheus.reload()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(%error, "prometheus did not reload its rules"),
                    Err(_) => tracing::warn!("prometheus did not reload its rules in time"),
                }
            }
        });
        Self { wanted, _task: AbortOnDropHandle::new(task) }
    }
}

/// The objects of this and other installations, by name.
struct RuleIndex {
    namespace: String,
    marks: Marks,
    /// Labels that each of this installation's should have.
    labels: BTreeMap<String, String>,
    objects: Mirror<RuleObject>,
}

#[derive(PartialEq)]
struct RuleObject {
    version: Option<String>,
    /// The graph of this installation that owns it.
    owner: Option<String>,
    /// `None` when the object is not as [`AlertRules::apply`] writes it.
    rules: Option<GraphRules>,
}

impl RuleIndex {
    fn apply(&mut self, event: Event<DynamicObject>) -> BTreeSet<String> {
        let Self { labels, objects, marks, .. } = self;
        let changes = objects.apply(event, |object| {
            let has_all = labels.iter().all(|(name, value)| object.labels().get(name) == Some(value));
            let owner = marks.owner(object.labels());
            let rules = owner.clone().filter(|_| has_all).and_then(|owner| rules_in(object, owner));
            Some(RuleObject { version: object.resource_version(), owner, rules })
        });
        changes.into_iter().map(|change| change.key.1).collect()
    }

    fn get(&self, name: &str) -> Option<&RuleObject> {
        self.objects.get(&(self.namespace.clone(), name.to_owned()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSpec {
    groups: [RuleGroup; 1],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleGroup {
    name: String,
    rules: Vec<AlertRule>,
}

/// The rules of an object that is as it is written here; anything else in it has to be overwritten.
fn rules_in(object: &DynamicObject, owner: String) -> Option<GraphRules> {
    let object_name = object.name_any();
    let RuleSpec { groups: [group] } = RuleSpec::deserialize(object.data.get("spec")?).ok()?;
    (group.name == object_name).then_some(GraphRules { object_name, owner, rules: group.rules })
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
        if self.is_foreign(name).await? {
            let message = format!("the rules {name} exist and were not made by this installation of smo");
            return Err(ClientError::new("monitoring", ClientErrorKind::Conflict, message));
        }
        let mut object = DynamicObject::new(name, &resource());
        let marks = self.marks.of(&rules.owner).map(|(name, value)| (name.to_owned(), value.to_owned()));
        object.metadata.labels = Some(self.labels.clone().into_iter().chain(marks).collect());
        object.data = json!({"spec": {"groups": [{"name": name, "rules": rules.rules}]}});
        // This installation is the object's only owner: fields that another manager took by hand are taken
        // back.
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let applied = self.objects.patch(name, &params, &Patch::Apply(&object)).await;
        let applied = applied
            .map_err(|error| failure("monitoring", &format!("cannot write the rules {name}"), error))?;
        self.reload();
        let version = applied.resource_version();
        let is_shown = |index: &RuleIndex| index.get(name).is_some_and(|object| not_older(object, &version));
        self.shown(&format!("the rules {name} are written"), is_shown).await
    }

    async fn delete(&self, object_name: &str) -> Result<()> {
        if self.is_foreign(object_name).await? {
            return Ok(());
        }
        let deleted = self.objects.delete(object_name, &DeleteParams::default()).await;
        let what = format!("cannot delete the rules {object_name}");
        match deleted.map_err(|error| failure("monitoring", &what, error)) {
            Ok(_) => self.reload(),
            Err(error) if error.kind == ClientErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let done = format!("the rules {object_name} are deleted");
        self.shown(&done, |index| index.get(object_name).is_none()).await
    }

    async fn list(&self) -> Result<Vec<String>> {
        self.health.require_complete()?;
        let names = |index: &RuleIndex| {
            let ours = index.objects.iter().filter(|(_, object)| object.owner.is_some());
            ours.map(|(key, _)| key.1.clone()).collect()
        };
        Ok(self.observed.read(names))
    }

    async fn observed(&self, object_name: &str) -> Result<Option<GraphRules>> {
        self.health.require_complete()?;
        Ok(self.observed.read(|index| index.get(object_name)?.rules.clone()))
    }

    fn changes(&self) -> broadcast::Receiver<String> {
        self.observed.changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        vec![self.health.state()]
    }
}

/// Versions of one object count up.
fn not_older(object: &RuleObject, version: &Option<String>) -> bool {
    let number = |version: &Option<String>| version.as_ref().and_then(|version| version.parse::<u64>().ok());
    object.version == *version || number(&object.version) >= number(version)
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
    use crate::clients::testing::{Collection, fake_server, serve, status};
    use crate::config::ObjectLabels;

    type Log = Arc<Mutex<Vec<String>>>;

    const PATH: &str = "/apis/monitoring.coreos.com/v1/namespaces/monitoring/prometheusrules";

    struct Server {
        log: Log,
        objects: Collection,
    }

    /// Records applied and deleted objects.
    fn api_server(log: &Log, objects: &Collection) -> Router {
        let list = |State(server): State<Arc<Server>>, Query(query): Query<HashMap<String, String>>| async move {
            assert_eq!(query["labelSelector"], "smo-installation");
            server.objects.answer(Some("monitoring"), &query)
        };
        let server = Server { log: Arc::clone(log), objects: objects.clone() };
        Router::new()
            .route(PATH, get(list))
            .route(&format!("{PATH}/{{name}}"), axum::routing::patch(applied).delete(deleted).get(read))
            .with_state(Arc::new(server))
    }

    async fn applied(
        State(server): State<Arc<Server>>,
        Query(query): Query<HashMap<String, String>>,
        request: Request,
    ) -> Response {
        assert_eq!(request.headers()["content-type"], "application/apply-patch+yaml");
        assert_eq!((query["fieldManager"].as_str(), query["force"].as_str()), ("smo", "true"));
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        server.log.lock().unwrap().push(format!("apply {object}"));
        object["metadata"]["namespace"] = "monitoring".into();
        Json(server.objects.put(object)).into_response()
    }

    async fn read(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Response {
        match server.objects.objects().into_iter().find(|object| object["metadata"]["name"] == *name) {
            Some(object) => Json(object).into_response(),
            None => status(404, "not found"),
        }
    }

    async fn deleted(State(server): State<Arc<Server>>, Path(name): Path<String>) -> Response {
        if name == "absent" {
            return status(404, "not found");
        }
        server.objects.remove("monitoring", &name);
        server.log.lock().unwrap().push(format!("delete {name}"));
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
            ..MonitoringSettings::default()
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
        GraphRules {
            object_name: "smo-a".to_owned(),
            owner: "a".to_owned(),
            rules: names.iter().map(rule).collect(),
        }
    }

    fn marks(installation: &str) -> Marks {
        Marks { installation: installation.to_owned(), labels: ObjectLabels::default() }
    }

    fn port_of(
        installation: &str,
        log: &Log,
        objects: &Collection,
        prometheus_url: Option<String>,
    ) -> PrometheusRules {
        let (client, settings) = (fake_server(api_server(log, objects)), settings(prometheus_url));
        PrometheusRules::start(client, &settings, marks(installation)).unwrap()
    }

    fn port(log: &Log, objects: &Collection, prometheus_url: Option<String>) -> PrometheusRules {
        port_of("one", log, objects, prometheus_url)
    }

    #[tokio::test]
    async fn one_object_with_the_labels_of_the_selector_is_applied_and_prometheus_reloads() {
        let (log, objects) = (Log::default(), Collection::new());
        let reload = Router::new().route("/-/reload", post(reload_counted)).with_state(Arc::clone(&log));
        let url = serve(reload).await;
        let port = port(&log, &objects, Some(url));
        port.apply(&rules(&["high-load"])).await.unwrap();
        let object: Value =
            serde_json::from_str(log.lock().unwrap()[0].strip_prefix("apply ").unwrap()).unwrap();
        assert_eq!(
            object,
            json!({
                "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
                "metadata": {"name": "smo-a", "labels": {
                    "app.kubernetes.io/managed-by": "smo", "release": "kube-prometheus-stack",
                    "smo-installation": "one", "smo-graph": "a",
                }},
                "spec": {"groups": [{"name": "smo-a", "rules": [{
                    "alert": "high-load", "expr": "up == 0", "for": "30s", "labels": {"graph": "a"},
                    "annotations": {},
                }]}]},
            })
        );
        while log.lock().unwrap().last().unwrap() != "reload" {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_that_hangs_holds_up_no_write() {
        let hangs = Router::new().route("/-/reload", post(std::future::pending::<()>));
        let (log, objects) = (Log::default(), Collection::new());
        let port = port(&log, &objects, Some(serve(hangs).await));
        let begun = tokio::time::Instant::now();
        port.apply(&rules(&["high-load"])).await.unwrap();
        port.delete("smo-a").await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_failed_reload_is_no_failure() {
        let nobody = Some("http://127.0.0.1:1".to_owned());
        let port = port(&Log::default(), &Collection::new(), nobody);
        assert_eq!(port.apply(&rules(&["high-load"])).await, Ok(()));
    }

    #[tokio::test]
    async fn no_rules_are_no_object_and_deleting_what_is_absent_is_fine() {
        let (log, objects) = (Log::default(), Collection::new());
        let port = port(&log, &objects, None);
        port.apply(&rules(&["high-load"])).await.unwrap();
        assert_eq!(port.list().await.unwrap(), ["smo-a"]);
        port.apply(&rules(&[])).await.unwrap();
        port.delete("absent").await.unwrap();
        assert_eq!(log.lock().unwrap()[1..], ["delete smo-a"]);
        assert_eq!(port.list().await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn what_is_written_is_observed_and_what_was_changed_by_hand_is_not() {
        let objects = Collection::new();
        let port = port(&Log::default(), &objects, None);
        port.apply(&rules(&["high-load"])).await.unwrap();
        assert_eq!(port.observed("smo-a").await.unwrap(), Some(rules(&["high-load"])));
        assert_eq!(port.observed("smo-b").await.unwrap(), None);
        let written = objects.objects().remove(0);
        let rule = "/spec/groups/0/rules/0";
        type Edit = fn(&mut Value);
        let changes: [(&str, Edit); 3] = [
            ("/metadata/labels", |labels| labels["release"] = "another".into()),
            ("/spec/groups/0", |group| group["interval"] = "5s".into()),
            (rule, |rule| rule["keep_firing_for"] = "1h".into()),
        ];
        for (place, change) in changes {
            let mut news = port.changes();
            let mut changed = written.clone();
            change(changed.pointer_mut(place).unwrap());
            objects.put(changed);
            assert_eq!(news.recv().await.unwrap(), "smo-a");
            assert_eq!(port.observed("smo-a").await.unwrap(), None, "{place}");
            assert_eq!(port.list().await.unwrap(), ["smo-a"], "it is there all the same");
        }
        objects.put(written);
        while port.observed("smo-a").await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_rules_of_another_installation_are_left_alone() {
        let (log, objects) = (Log::default(), Collection::new());
        let (one, other) = (port_of("one", &log, &objects, None), port_of("other", &log, &objects, None));
        one.apply(&rules(&["high-load"])).await.unwrap();
        while other.observed.read(|index| index.get("smo-a").is_none()) {
            tokio::task::yield_now().await;
        }
        let refused = other.apply(&rules(&["high-load"])).await.unwrap_err();
        assert_eq!(refused.kind, ClientErrorKind::Conflict, "{refused}");
        other.delete("smo-a").await.unwrap();
        assert_eq!(other.list().await.unwrap(), [""; 0]);
        assert_eq!(other.observed("smo-a").await.unwrap(), None);
        assert_eq!(one.list().await.unwrap(), ["smo-a"]);
        assert_eq!(log.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn before_the_first_list_nothing_known_is_not_nothing_there() {
        let down = Router::new().fallback(|| async { status(500, "etcd is gone") });
        let port = PrometheusRules::start(fake_server(down), &settings(None), marks("one")).unwrap();
        for error in [port.observed("smo-a").await.unwrap_err(), port.list().await.unwrap_err()] {
            assert_eq!((error.system, error.kind), ("monitoring", ClientErrorKind::Unreachable));
        }
    }
}
