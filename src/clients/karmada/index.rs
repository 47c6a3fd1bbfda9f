//! An index of Deployments and their bindings by release.
//!
//! Plain data and no client: watch events go in, and the releases that they affect come out, so tests simply
//! feed it objects. Of each object only the few relevant fields are kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::runtime::watcher::Event;
use serde::Deserialize;

use super::{Condition, pod};
use crate::clients::mirror::{Change, Mirror, ObjectKey};
use crate::clients::{BindingObservation, MemberStatus, ReleaseKey, WorkloadObservation};
use crate::hdag::Resources;

/// Both watches together.
#[derive(Default)]
pub(super) struct Index {
    deployments: Mirror<DeploymentState>,
    bindings: Mirror<BindingState>,
    /// Names of the Deployments of a release.
    by_release: HashMap<ReleaseKey, BTreeSet<String>>,
    /// The binding of a Deployment.
    by_deployment: HashMap<ObjectKey, ObjectKey>,
}

impl Index {
    /// Takes an event of the Deployments' watch and returns the releases that it touches.
    pub(super) fn apply_deployment(&mut self, event: Event<Deployment>) -> BTreeSet<ReleaseKey> {
        let mut touched = BTreeSet::new();
        for Change { key, before } in self.deployments.apply(event, DeploymentState::of) {
            if let Some(release) = before.map(|state| state.release) {
                if let Some(names) = self.by_release.get_mut(&release) {
                    names.remove(&key.1);
                    if names.is_empty() {
                        self.by_release.remove(&release);
                    }
                }
                touched.insert(release);
            }
            if let Some(state) = self.deployments.get(&key) {
                self.by_release.entry(state.release.clone()).or_default().insert(key.1);
                touched.insert(state.release.clone());
            }
        }
        touched
    }

    /// Takes an event of the bindings' watch and returns the releases that it touches.
    pub(super) fn apply_binding(&mut self, event: Event<DynamicObject>) -> BTreeSet<ReleaseKey> {
        let mut touched = BTreeSet::new();
        for Change { key, before } in self.bindings.apply(event, BindingState::of) {
            if let Some(before) = before {
                // Unless a newer binding of the same Deployment has taken its place.
                if self.by_deployment.get(&before.deployment) == Some(&key) {
                    self.by_deployment.remove(&before.deployment);
                }
                touched.insert(before.deployment);
            }
            if let Some(after) = self.bindings.get(&key) {
                self.by_deployment.insert(after.deployment.clone(), key);
                touched.insert(after.deployment.clone());
            }
        }
        let release = |deployment: &ObjectKey| Some(self.deployments.get(deployment)?.release.clone());
        touched.iter().filter_map(release).collect()
    }

    /// The known state of a release's Deployments, by name.
    pub(super) fn of_release(&self, release: &ReleaseKey) -> Vec<WorkloadObservation> {
        let names = self.by_release.get(release).into_iter().flatten();
        names.filter_map(|name| self.workload((release.namespace.clone(), name.clone()))).collect()
    }

    fn workload(&self, key: ObjectKey) -> Option<WorkloadObservation> {
        let deployment = self.deployments.get(&key)?;
        let binding = self.by_deployment.get(&key).and_then(|binding| self.bindings.get(binding));
        Some(WorkloadObservation {
            deployment: key.1,
            replicas: deployment.replicas,
            requests: deployment.requests,
            binding: binding.map(|binding| binding.observation(deployment.generation)),
        })
    }
}

#[derive(Debug, PartialEq)]
struct DeploymentState {
    release: ReleaseKey,
    generation: i64,
    replicas: i64,
    requests: Resources,
}

impl DeploymentState {
    /// `None` for a Deployment that no Helm release owns.
    fn of(object: &Deployment) -> Option<Self> {
        let key = (object.namespace()?, object.name_any());
        let annotation = |name: &str| object.annotations().get(name).cloned();
        if annotation("helm.sh/resource-policy").as_deref() == Some("keep") {
            // Helm leaves it behind on purpose: it must not hold up the end of its graph.
            return None;
        }
        let release = ReleaseKey {
            namespace: annotation("meta.helm.sh/release-namespace")?,
            name: annotation("meta.helm.sh/release-name")?,
        };
        let spec = object.spec.as_ref();
        let pod = spec.and_then(|spec| spec.template.spec.as_ref());
        Some(Self {
            release,
            generation: object.metadata.generation.unwrap_or_default(),
            replicas: spec.and_then(|spec| spec.replicas).unwrap_or(1).into(),
            requests: pod.map(|pod| requests(pod, &key)).unwrap_or_default(),
        })
    }
}

/// The request of one pod; nothing, with a warning, when it cannot be read.
fn requests(pod: &PodSpec, key: &ObjectKey) -> Resources {
    pod::request(pod).unwrap_or_else(|error| {
        tracing::warn!(
            deployment = key.1, namespace = key.0, %error,
            "resources of deployment {} cannot be read", key.1
        );
        Resources::default()
    })
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
struct ObjectReference {
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
    #[serde(default)]
    status: Option<MemberDeployment>,
}

/// The status that Karmada collects of a Deployment in a member.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemberDeployment {
    #[serde(default)]
    ready_replicas: i64,
    /// Generation of Karmada's Deployment that the member's was made from; absent before Karmada 1.11.
    resource_template_generation: Option<i64>,
}

#[derive(Debug, PartialEq)]
struct BindingState {
    /// The Deployment that it binds.
    deployment: ObjectKey,
    /// Everything but `up_to_date`, which also depends on the Deployment.
    observed: BindingObservation,
    /// Whether the scheduler has confirmed the newest binding.
    confirmed: bool,
    /// Whether every scheduled cluster is part of the status: just after a move it still shows the old ones.
    reported: bool,
    /// Oldest generation of the Deployment that a scheduled cluster reports about.
    template_generation: Option<i64>,
}

impl BindingState {
    /// `None` for a binding of something else than a Deployment, or one that cannot be read (with a warning).
    fn of(object: &DynamicObject) -> Option<Self> {
        let name = object.name_any();
        let binding = BindingObject::deserialize(&object.data)
            .inspect_err(|error| tracing::warn!(%error, binding = name, "binding {name} cannot be read"))
            .ok()?;
        let BindingObject { spec, status } = binding;
        if spec.resource.kind != "Deployment" {
            return None;
        }
        let scheduled: BTreeMap<String, i64> = spec
            .clusters
            .into_iter()
            .map(|target| (target.name, target.replicas.unwrap_or(spec.replicas)))
            .collect();
        let template_generation = status
            .aggregated_status
            .iter()
            .filter(|item| scheduled.contains_key(&item.cluster_name))
            .filter_map(|item| item.status.as_ref()?.resource_template_generation)
            .min();
        let is_reported =
            |cluster: &String| status.aggregated_status.iter().any(|item| item.cluster_name == *cluster);
        let condition = |kind: &str| Condition::find(&status.conditions, kind);
        Some(Self {
            deployment: (spec.resource.namespace, spec.resource.name),
            confirmed: status.scheduler_observed_generation >= object.metadata.generation.unwrap_or_default(),
            reported: scheduled.keys().all(is_reported),
            template_generation,
            observed: BindingObservation {
                unscheduled_reason: condition("Scheduled").filter(|c| !c.is_true()).map(Condition::why),
                fully_applied: condition("FullyApplied").is_some_and(Condition::is_true),
                clusters: status.aggregated_status.into_iter().map(member).collect(),
                scheduled,
                up_to_date: false,
            },
        })
    }

    /// The status is up to date when the scheduler has seen the newest binding and every member that it chose
    /// reports about the newest Deployment. (The binding's `resource.resourceVersion` says nothing: every
    /// status update of the Deployment outdates it.)
    fn observation(&self, generation: i64) -> BindingObservation {
        let newest = self.template_generation.is_none_or(|reported| reported >= generation);
        BindingObservation { up_to_date: self.confirmed && self.reported && newest, ..self.observed.clone() }
    }
}

fn member(item: MemberItem) -> (String, MemberStatus) {
    let status = MemberStatus {
        applied: item.applied,
        healthy: item.health == "Healthy",
        ready_replicas: item.status.map_or(0, |status| status.ready_replicas),
        message: Some(item.applied_message).filter(|message| !message.is_empty()),
    };
    (item.cluster_name, status)
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
