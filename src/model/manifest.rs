//! The objects of a rendered chart, reduced to what decisions and propagation need to know of them.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::WorkloadUse;
use crate::hdag::Propagation;

/// The objects that a chart brings with a set of values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Digest of the chart's reference and the values that it was rendered with, placement left out.
    pub source: String,
    /// Reference of the chart, as written in the descriptor.
    #[serde(default)]
    pub chart: String,
    /// Digest of the chart, such as `sha256:…`, by which it is installed from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart_digest: Option<String>,
    /// The objects in the order of the chart: hooks too, but not those that only `helm test` makes.
    pub objects: Vec<ManifestObject>,
}

/// An object of a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// Its identity.
    #[serde(flatten)]
    pub id: ObjectId,
    /// Helm makes it as a hook, on certain occasions only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hook: bool,
    /// As a hook, it is made when the release is removed, and then only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hook_of_removal: bool,
    /// Helm leaves it behind when it removes the release.
    #[serde(default, skip_serializing_if = "is_false")]
    pub kept: bool,
    /// A propagation policy of the chart selects it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub selected: bool,
    /// Its pods, if it is a workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadUse>,
    /// Ports of a Service that other clusters can import; empty for other objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    /// Volumes that it keeps: its own name for a claim; for a StatefulSet the names without the pods' numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Why it must not be stored in Karmada: a sentence without its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<String>,
}

impl ManifestObject {
    /// Whether the policies of `smo` send it to members. Karmada sends namespaces by itself; definitions have policies
    /// of their own; objects that the chart's policies select are left to them.
    #[must_use]
    pub fn is_for_members(&self) -> bool {
        let is_namespace = self.id.group().is_empty() && self.id.kind == "Namespace";
        !self.selected && self.id.kind != DEFINITION && !is_namespace
    }

    fn claim_names(&self) -> Vec<String> {
        let Some(workload) = &self.workload else { return self.claims.clone() };
        let mut names = Vec::new();
        for claim in &self.claims {
            names.extend((0..workload.replicas).map(|number| format!("{claim}-{number}")));
        }
        names
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Identity of a Kubernetes object.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectId {
    /// Group and version, such as `apps/v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; `None` for an object of the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectId {
    /// Group of its kind; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.name)
    }
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name; needed when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its number.
    pub port: i64,
    /// Transport protocol, such as `TCP`.
    pub protocol: String,
    /// Protocol above, such as `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

impl Manifest {
    /// How its objects are propagated when nobody says: by the chart if its policies select at least one of
    /// its workloads, or anything of a chart that has none.
    #[must_use]
    pub fn propagation(&self) -> Propagation {
        let has_workloads = self.workloads().next().is_some();
        let counts = |object: &&ManifestObject| !has_workloads || object.workload.is_some();
        let by_chart = self.objects.iter().filter(counts).any(|object| object.selected && !object.hook);
        if by_chart { Propagation::Chart } else { Propagation::Managed }
    }

    /// Workloads that no policy of the chart selects. Hooks do not count.
    pub fn unselected(&self) -> impl Iterator<Item = &ObjectId> {
        self.workloads().filter(|object| !object.selected).map(|object| &object.id)
    }

    /// The workloads that stay, unlike hooks.
    fn workloads(&self) -> impl Iterator<Item = &ManifestObject> {
        self.objects.iter().filter(|object| !object.hook && object.workload.is_some())
    }

    /// The workloads that it will run, by name; hooks come and go.
    #[must_use]
    pub fn expected_workloads(&self) -> Vec<WorkloadUse> {
        let mut workloads: Vec<WorkloadUse> =
            self.workloads().filter_map(|object| object.workload.clone()).collect();
        workloads.sort_by(|one, other| (&one.name, one.kind).cmp(&(&other.name, other.kind)));
        workloads
    }

    /// The first object that must not be stored in Karmada, and why; of kinds that are `allowed` all may.
    #[must_use]
    pub fn harmful(&self, allowed: &BTreeSet<String>) -> Option<(&ObjectId, &str)> {
        let harms = |object: &'_ ManifestObject| !allowed.contains(&object.id.kind);
        self.objects
            .iter()
            .filter(|object| harms(object))
            .find_map(|object| Some((&object.id, object.harm.as_deref()?)))
    }

    /// Whether it brings volumes whose data would stay behind in a move.
    #[must_use]
    pub fn has_volumes(&self) -> bool {
        self.objects.iter().any(|object| !object.claims.is_empty())
    }

    /// Names of its claims: a StatefulSet has one of each of its templates for every replica.
    #[must_use]
    pub fn claims(&self) -> Vec<String> {
        self.objects.iter().flat_map(ManifestObject::claim_names).collect()
    }

    /// Those that are not removed with the release: of a StatefulSet, and those that Helm leaves behind.
    #[must_use]
    pub fn lasting_claims(&self) -> Vec<String> {
        let lasts = |object: &&ManifestObject| object.kept || object.workload.is_some();
        self.objects.iter().filter(lasts).flat_map(ManifestObject::claim_names).collect()
    }

    /// Its custom resource definitions, which are never removed.
    pub fn definitions(&self) -> impl Iterator<Item = &ObjectId> {
        self.objects.iter().map(|object| &object.id).filter(|id| id.kind == DEFINITION)
    }
}

/// Kind of the objects that define kinds.
pub const DEFINITION: &str = "CustomResourceDefinition";

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, selected: bool) -> ManifestObject {
        let id = ObjectId { kind: kind.into(), name: "a".into(), ..ObjectId::default() };
        let workload = (kind == "Deployment").then(WorkloadUse::default);
        ManifestObject { id, selected, workload, ..ManifestObject::default() }
    }

    fn propagation(objects: &[ManifestObject]) -> Propagation {
        Manifest { objects: objects.to_vec(), ..Manifest::default() }.propagation()
    }

    #[test]
    fn a_chart_propagates_itself_if_it_selects_a_workload() {
        let hook = ManifestObject { hook: true, ..object("Deployment", true) };
        assert_eq!(
            propagation(&[object("Deployment", true), object("Deployment", false)]),
            Propagation::Chart
        );
        assert_eq!(
            propagation(&[object("Deployment", false), object("Service", true)]),
            Propagation::Managed
        );
        assert_eq!(propagation(&[object("Deployment", false), hook]), Propagation::Managed);
        assert_eq!(propagation(&[object("ConfigMap", true)]), Propagation::Chart);
        assert_eq!(propagation(&[object("ConfigMap", false)]), Propagation::Managed);
    }

    #[test]
    fn claims_that_stay_are_those_of_sets_and_those_that_are_kept() {
        let claim = |name: &str, kept: bool| ManifestObject {
            claims: vec![name.into()],
            kept,
            ..object("PersistentVolumeClaim", false)
        };
        let workload = Some(WorkloadUse { replicas: 2, ..WorkloadUse::default() });
        let set = ManifestObject { claims: vec!["data-db".into()], workload, ..object("StatefulSet", false) };
        let manifest =
            Manifest { objects: vec![claim("a", false), claim("b", true), set], ..Manifest::default() };
        assert_eq!(manifest.claims(), ["a", "b", "data-db-0", "data-db-1"]);
        assert_eq!(manifest.lasting_claims(), ["b", "data-db-0", "data-db-1"]);
        assert!(manifest.has_volumes() && !Manifest::default().has_volumes());
    }

    #[test]
    fn harm_is_told_unless_it_is_allowed() {
        let harm = Some("acts on Karmada".to_owned());
        let manifest = Manifest {
            objects: vec![object("Service", false), ManifestObject { harm, ..object("APIService", false) }],
            ..Manifest::default()
        };
        let told = manifest.harmful(&BTreeSet::new()).map(|(id, why)| format!("{id} {why}"));
        assert_eq!(told.as_deref(), Some("APIService a acts on Karmada"));
        assert_eq!(manifest.harmful(&BTreeSet::from(["APIService".to_owned()])), None);
    }
}
