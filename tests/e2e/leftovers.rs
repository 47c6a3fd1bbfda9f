//! Objects that a graph can leave behind anywhere, to compare before and after.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use kube::api::DynamicObject;

use crate::bed::{Bed, Kind, MEMBERS, name_of};
use crate::wait::eventually;

/// Kinds that charts and `smo` create. Karmada's own bookkeeping (Work, ResourceBinding) is among them.
const KINDS: [Kind; 15] = [
    ("apps", "v1", "Deployment"),
    ("", "v1", "Service"),
    ("", "v1", "Pod"),
    ("", "v1", "Secret"),
    ("multicluster.x-k8s.io", "v1alpha1", "ServiceExport"),
    ("multicluster.x-k8s.io", "v1alpha1", "ServiceImport"),
    ("policy.karmada.io", "v1alpha1", "PropagationPolicy"),
    ("policy.karmada.io", "v1alpha1", "ClusterPropagationPolicy"),
    ("policy.karmada.io", "v1alpha1", "OverridePolicy"),
    ("apps", "v1", "StatefulSet"),
    ("batch", "v1", "Job"),
    ("work.karmada.io", "v1alpha2", "ResourceBinding"),
    ("work.karmada.io", "v1alpha1", "Work"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
];

/// The names of everything of [`KINDS`] in every cluster.
pub struct Inventory(BTreeSet<String>);

impl Inventory {
    /// Lists it now.
    pub async fn take(bed: &Bed) -> Self {
        let names = async |cluster: &str| {
            let objects = bed.objects_of(cluster, &KINDS).await;
            let kept = objects.iter().filter(|(_, object)| !is_permanent(object));
            kept.map(|(kind, object)| format!("{cluster}: {} {}", kind.2, name_of(object)))
                .collect::<Vec<_>>()
        };
        let clusters = MEMBERS.into_iter().chain(["karmada", "mgmt"]);
        Self(join_all(clusters.map(names)).await.into_iter().flatten().collect())
    }

    /// Waits until everything is as it was.
    pub async fn assert_restored(&self, bed: &Bed) {
        eventually("nothing is left behind", Duration::from_secs(60), || async {
            let now = Self::take(bed).await;
            let left: Vec<_> = now.0.difference(&self.0).collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        })
        .await;
    }
}

/// Karmada keeps a Work for each namespace and for its own access to a member, for as long as they exist. It
/// also forgets now and then an `EndpointSlice` that it was copying to an importing member while the
/// exporting service moved or went: `smo` makes neither the copies nor their Works, so these say nothing
/// about what it leaves behind.
fn is_permanent(object: &DynamicObject) -> bool {
    let kind = object.data.pointer("/spec/workload/manifests/0/kind").and_then(serde_json::Value::as_str);
    matches!(kind, Some("Namespace" | "ClusterRole" | "ClusterRoleBinding" | "EndpointSlice"))
}
