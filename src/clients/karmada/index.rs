//! An index of workloads and bindings by release.
//!
//! Plain data and no client: watch events go in, and the releases that they affect come out, so tests simply
//! feed it objects. Of each object only the few relevant fields are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde::Deserialize;
use serde_json::Value;

use super::Condition;
use super::kinds::{PodOwner, requests};
use super::propagation::release_of_policy;
use crate::clients::mirror::{Change, Mirror, ObjectKey};
use crate::clients::{BindingObservation, MemberStatus, ReleaseKey, WorkloadObservation};
use crate::hdag::Resources;
use crate::model::{ObjectId, WorkloadKind};

/// All watches together.
#[derive(Default)]
pub(super) struct Index {
    workloads: HashMap<WorkloadKind, Mirror<WorkloadState>>,
    /// Of objects in namespaces.
    bindings: Mirror<BindingState>,
    /// Of objects without one; each kind of bindings has a watch of its own.
    cluster_bindings: Mirror<BindingState>,
    /// The workloads of a release.
    by_release: HashMap<ReleaseKey, BTreeSet<(ObjectKey, WorkloadKind)>>,
    /// The binding of an object.
    by_object: HashMap<BoundObject, ObjectKey>,
}

/// Identity of an object that a binding binds. Its version is left out: a chart and Karmada may name different
/// ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct BoundObject {
    group: String,
    kind: String,
    key: ObjectKey,
}

impl BoundObject {
    fn of_workload(kind: WorkloadKind, key: &ObjectKey) -> Self {
        let group = match kind {
            WorkloadKind::Job | WorkloadKind::CronJob => "batch",
            WorkloadKind::Pod => "",
            _ => "apps",
        };
        Self { group: group.to_owned(), kind: kind.as_str().to_owned(), key: key.clone() }
    }

    fn of(object: &ObjectId) -> Self {
        let key = (object.namespace.clone().unwrap_or_default(), object.name.clone());
        Self { group: object.group().to_owned(), kind: object.kind.clone(), key }
    }
}

impl Index {
    /// Takes an event of the watch of one kind of workloads and returns the releases that it touches.
    pub(super) fn apply_workload<K: PodOwner + ResourceExt>(
        &mut self,
        event: Event<K>,
    ) -> BTreeSet<ReleaseKey> {
        let mirror = self.workloads.entry(K::KIND).or_default();
        let mut touched = BTreeSet::new();
        for Change { key, before } in mirror.apply(event, WorkloadState::of) {
            let entry = (key, K::KIND);
            if let Some(release) = before.map(|state| state.release) {
                if let Some(workloads) = self.by_release.get_mut(&release) {
                    workloads.remove(&entry);
                    if workloads.is_empty() {
                        self.by_release.remove(&release);
                    }
                }
                touched.insert(release);
            }
            if let Some(state) = mirror.get(&entry.0) {
                self.by_release.entry(state.release.clone()).or_default().insert(entry);
                touched.insert(state.release.clone());
            }
        }
        touched
    }

    /// Takes an event of the watch of bindings and returns the releases that it touches.
    pub(super) fn apply_binding(&mut self, event: Event<DynamicObject>) -> BTreeSet<ReleaseKey> {
        let changes = self.bindings.apply(event, BindingState::of);
        self.rebind(changes)
    }

    /// Takes an event of the watch of bindings of objects without a namespace.
    pub(super) fn apply_cluster_binding(&mut self, event: Event<DynamicObject>) -> BTreeSet<ReleaseKey> {
        let changes = self.cluster_bindings.apply(event, BindingState::of);
        self.rebind(changes)
    }

    /// Follows changes of bindings.
    fn rebind(&mut self, changes: Vec<Change<BindingState>>) -> BTreeSet<ReleaseKey> {
        let (mut touched, mut releases) = (BTreeSet::new(), BTreeSet::new());
        for Change { key, before } in changes {
            if let Some(before) = before {
                // Unless a newer binding of the same object has taken its place.
                if self.by_object.get(&before.object) == Some(&key) {
                    self.by_object.remove(&before.object);
                }
                releases.extend(before.observed.managed);
                touched.insert(before.object);
            }
            if let Some(after) = self.binding(&key) {
                let after = after.clone();
                self.by_object.insert(after.object.clone(), key);
                releases.extend(after.observed.managed.clone());
                touched.insert(after.object.clone());
            }
        }
        releases.extend(touched.iter().filter_map(|object| self.release_of(object)));
        releases
    }

    /// The binding of that key: those of objects without a namespace have none either.
    fn binding(&self, key: &ObjectKey) -> Option<&BindingState> {
        if key.0.is_empty() { self.cluster_bindings.get(key) } else { self.bindings.get(key) }
    }

    /// The release of a bound workload.
    fn release_of(&self, object: &BoundObject) -> Option<ReleaseKey> {
        let of_kind =
            self.workloads.iter().find(|(kind, _)| BoundObject::of_workload(**kind, &object.key) == *object);
        Some(of_kind?.1.get(&object.key)?.release.clone())
    }

    /// The known state of a release's workloads, by name.
    pub(super) fn of_release(&self, release: &ReleaseKey) -> Vec<WorkloadObservation> {
        let workloads = self.by_release.get(release).into_iter().flatten();
        workloads.filter_map(|(key, kind)| self.workload(key, *kind)).collect()
    }

    fn workload(&self, key: &ObjectKey, kind: WorkloadKind) -> Option<WorkloadObservation> {
        let state = self.workloads.get(&kind)?.get(key)?;
        let binding = self.by_object.get(&BoundObject::of_workload(kind, key));
        let binding = binding.and_then(|binding| self.binding(binding));
        Some(WorkloadObservation {
            kind,
            name: key.1.clone(),
            replicas: state.replicas,
            requests: state.requests,
            reported: state.reported,
            failure: state.failure.clone(),
            binding: binding.map(|binding| binding.observation(state.generation)),
        })
    }

    /// The binding of an object that is no workload.
    pub(super) fn binding_of(&self, object: &ObjectId) -> Option<BindingObservation> {
        let binding = self.binding(self.by_object.get(&BoundObject::of(object))?)?;
        Some(binding.observation(0))
    }
}

#[derive(Debug, PartialEq)]
struct WorkloadState {
    release: ReleaseKey,
    generation: i64,
    replicas: i64,
    requests: Resources,
    reported: Resources,
    failure: Option<String>,
}

impl WorkloadState {
    /// `None` for a workload that no Helm release owns.
    fn of<K: PodOwner + ResourceExt>(object: &K) -> Option<Self> {
        let annotation = |name: &str| object.annotations().get(name).cloned();
        if annotation("helm.sh/resource-policy").as_deref() == Some("keep") {
            // Helm leaves it behind on purpose: it must not hold up the end of its graph.
            return None;
        }
        let release = ReleaseKey {
            namespace: annotation("meta.helm.sh/release-namespace")?,
            name: annotation("meta.helm.sh/release-name")?,
        };
        let (requests, reported) = requests(object, &object.name_any(), &object.namespace()?);
        Some(Self {
            release,
            generation: object.meta().generation.unwrap_or_default(),
            replicas: object.replicas(),
            requests,
            reported,
            failure: object.failure(),
        })
    }
}

#[derive(Deserialize)]
struct BindingObject {
    spec: BindingSpec,
    #[serde(default)]
    status: BindingStatus,
}

#[derive(Deserialize)]
struct BindingSpec {
    resource: ObjectReference,
    #[serde(default)]
    replicas: i64,
    #[serde(default)]
    clusters: Vec<TargetCluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReference {
    #[serde(default)]
    api_version: String,
    kind: String,
    #[serde(default)]
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct TargetCluster {
    name: String,
    replicas: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BindingStatus {
    scheduler_observed_generation: i64,
    conditions: Vec<Condition>,
    aggregated_status: Vec<MemberItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemberItem {
    cluster_name: String,
    #[serde(default)]
    applied: bool,
    #[serde(default)]
    applied_message: String,
    #[serde(default)]
    health: String,
    /// Of each kind another shape; fields of one name can be of different types.
    #[serde(default)]
    status: Value,
}

/// Generation of Karmada's object that the member's was made from; absent before Karmada 1.11, and for kinds without
/// an interpreter.
fn template_generation(status: &Value) -> Option<i64> {
    status["resourceTemplateGeneration"].as_i64()
}

/// Pods that are ready: of most kinds, of a DaemonSet, of a Job, of a Pod.
fn ready_pods(status: &Value) -> i64 {
    let count = |field: &str| status[field].as_i64().unwrap_or(0);
    count("readyReplicas") + count("numberReady") + count("active") + i64::from(status["phase"] == "Running")
}

#[derive(Debug, Clone, PartialEq)]
struct BindingState {
    /// The object that it binds.
    object: BoundObject,
    /// Everything but `up_to_date`, which also depends on the object.
    observed: BindingObservation,
    /// Whether the scheduler has confirmed the newest binding.
    confirmed: bool,
    /// Whether every scheduled cluster is part of the status: just after a move it still shows the old ones.
    reported: bool,
    /// Oldest generation of the object that a scheduled cluster reports about.
    template_generation: Option<i64>,
}

impl BindingState {
    /// `None` for one that cannot be read (with a warning).
    fn of(object: &DynamicObject) -> Option<Self> {
        let name = object.name_any();
        let binding = BindingObject::deserialize(&object.data)
            .inspect_err(|error| tracing::warn!(%error, binding = name, "binding {name} cannot be read"))
            .ok()?;
        let BindingObject { spec, status } = binding;
        let scheduled: BTreeMap<String, i64> = spec
            .clusters
            .into_iter()
            .map(|target| (target.name, target.replicas.unwrap_or(spec.replicas)))
            .collect();
        let template_generation = status
            .aggregated_status
            .iter()
            .filter(|item| scheduled.contains_key(&item.cluster_name))
            .filter_map(|item| template_generation(&item.status))
            .min();
        let is_reported =
            |cluster: &String| status.aggregated_status.iter().any(|item| item.cluster_name == *cluster);
        let condition = |kind: &str| Condition::find(&status.conditions, kind);
        let ObjectReference { api_version, kind, namespace, name } = spec.resource;
        let group = api_version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let policy = policy_of(object);
        Some(Self {
            object: BoundObject { group, kind, key: (namespace, name) },
            confirmed: status.scheduler_observed_generation >= object.metadata.generation.unwrap_or_default(),
            reported: scheduled.keys().all(is_reported),
            template_generation,
            observed: BindingObservation {
                unscheduled_reason: condition("Scheduled").filter(|c| !c.is_true()).map(Condition::why),
                fully_applied: condition("FullyApplied").is_some_and(Condition::is_true),
                clusters: status.aggregated_status.into_iter().map(member).collect(),
                scheduled,
                managed: policy.as_ref().and_then(|(_, name)| release_of_policy(name)),
                policy: policy.map(|(kind, name)| format!("{kind} {name}")),
                up_to_date: false,
            },
        })
    }

    /// The status is up to date when the scheduler has seen the newest binding and every member that it chose
    /// reports about the newest object. (The binding's `resource.resourceVersion` says nothing: every status
    /// update of the object outdates it.)
    fn observation(&self, generation: i64) -> BindingObservation {
        let newest = self.template_generation.is_none_or(|reported| reported >= generation);
        BindingObservation { up_to_date: self.confirmed && self.reported && newest, ..self.observed.clone() }
    }
}

/// Kind and name of the policy that claims the object of a binding.
fn policy_of(binding: &DynamicObject) -> Option<(&'static str, String)> {
    let annotation = |name: &str| binding.annotations().get(name).filter(|value| !value.is_empty()).cloned();
    let of_namespace =
        annotation("propagationpolicy.karmada.io/name").map(|name| ("PropagationPolicy", name));
    let of_cluster = || annotation("clusterpropagationpolicy.karmada.io/name");
    of_namespace.or_else(|| of_cluster().map(|name| ("ClusterPropagationPolicy", name)))
}

fn member(item: MemberItem) -> (String, MemberStatus) {
    let status = MemberStatus {
        applied: item.applied,
        healthy: item.health == "Healthy",
        ready_replicas: ready_pods(&item.status),
        message: Some(item.applied_message).filter(|message| !message.is_empty()),
    };
    (item.cluster_name, status)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
