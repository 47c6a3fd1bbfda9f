//! Member clusters: read live; the watch only shows when to read again.
//!
//! Karmada serves Cluster objects through its aggregated API server, which may be down while everything else
//! works. A cluster is available when it is Ready *and* no taint forbids scheduling to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{Condition, nodes};
use crate::clients::kubernetes::failure;
use crate::clients::watch::{WatchHealth, config, follow, monitored};
use crate::clients::{Inventory, Result, WatchReport};
use crate::hdag::Resources;
use crate::hdag::{QuantityError, bytes, count, millicores};
use crate::model::ClusterObservation;

/// Clusters of a Karmada.
pub struct KarmadaInventory {
    client: Client,
    clusters: Api<DynamicObject>,
    gpu_label: String,
    changes: watch::Receiver<u64>,
    health: Arc<WatchHealth>,
    _watch: AbortOnDropHandle<()>,
}

impl KarmadaInventory {
    /// Starts watching. `gpu_label` is the label that marks clusters with GPUs.
    ///
    /// Must be called within a tokio runtime; the watch ends when this is dropped.
    #[must_use]
    pub fn start(client: Client, gpu_label: &str) -> Self {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("cluster.karmada.io", "v1alpha1", "Cluster"));
        let health = WatchHealth::new("karmada", "clusters");
        let watched: Api<DynamicObject> = Api::all_with(monitored(&client, &health), &kind);
        let (ticks, changes) = watch::channel(0);
        let watch =
            follow(Arc::clone(&health), watcher(watched, config("")), move |event| tick(&event, &ticks));
        let clusters = Api::all_with(client.clone(), &kind);
        Self { client, clusters, gpu_label: gpu_label.to_owned(), changes, health, _watch: watch }
    }
}

#[async_trait]
impl Inventory for KarmadaInventory {
    async fn clusters(&self) -> Result<Vec<ClusterObservation>> {
        let listed = self.clusters.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| failure("karmada", "cannot list the clusters", error))?;
        Ok(listed.items.into_iter().map(|object| observe(object, &self.gpu_label)).collect())
    }

    async fn largest_nodes(&self, clusters: &[String]) -> Result<BTreeMap<String, Vec<Resources>>> {
        Ok(nodes::largest_nodes(&self.client, clusters).await)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    fn watches(&self) -> Vec<WatchReport> {
        vec![self.health.state()]
    }
}

/// Ticks at every event. While a list is read only its end counts, or each reconnect would tick per cluster.
fn tick(event: &Event<DynamicObject>, ticks: &watch::Sender<u64>) {
    if !matches!(event, Event::Init | Event::InitApply(_)) {
        ticks.send_modify(|tick| *tick += 1);
    }
}

#[derive(Deserialize)]
struct ClusterObject {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    region: String,
    zone: String,
    zones: Vec<String>,
    taints: Vec<Taint>,
}

#[derive(Deserialize)]
struct Taint {
    key: String,
    effect: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    conditions: Vec<Condition>,
    resource_summary: Summary,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Summary {
    allocatable: Quantities,
    allocated: Quantities,
    allocating: Quantities,
}

pub(super) type Quantities = BTreeMap<String, String>;

/// The observation of a Cluster object. An unreadable object is included, but not available.
fn observe(object: DynamicObject, gpu_label: &str) -> ClusterObservation {
    let name = object.name_any();
    let labels = object.labels().clone();
    let leaving = object.metadata.deletion_timestamp.is_some();
    let read = read(object).unwrap_or_else(|cause| {
        tracing::warn!(cluster.name = name, cause, "the object of cluster {name} cannot be read");
        let reason = Some(format!("the Cluster object cannot be read: {cause}"));
        Reading { reason, unreadable: true, ..Reading::default() }
    });
    let reason = if leaving { Some("the cluster is being removed".to_owned()) } else { read.reason };
    ClusterObservation {
        available: reason.is_none(),
        reason,
        allocatable: read.allocatable,
        allocated: read.allocated,
        allocating: read.allocating,
        readable: !read.unreadable,
        storage_reported: read.storage_reported,
        acceleration: read.allocatable.gpus > 0
            || labels.get(gpu_label).is_some_and(|value| value != "false"),
        location: location(&read.spec),
        region: Some(read.spec.region).filter(|region| !region.is_empty()),
        labels,
        name,
    }
}

/// The fields read from a Cluster object besides its metadata.
#[derive(Default)]
struct Reading {
    spec: Spec,
    /// Why nothing should be placed on it, if so.
    reason: Option<String>,
    allocatable: Resources,
    allocated: Resources,
    allocating: Resources,
    storage_reported: bool,
    unreadable: bool,
}

fn read(object: DynamicObject) -> Result<Reading, String> {
    let cluster: ClusterObject = serde_json::from_value(object.data).map_err(|error| error.to_string())?;
    let summary = &cluster.status.resource_summary;
    let amounts = |list| resources(list).map_err(|error| error.to_string());
    Ok(Reading {
        reason: obstacle(&cluster),
        allocatable: amounts(&summary.allocatable)?,
        allocated: amounts(&summary.allocated)?,
        allocating: amounts(&summary.allocating)?,
        unreadable: false,
        storage_reported: summary.allocatable.contains_key("ephemeral-storage"),
        spec: cluster.spec,
    })
}

/// Why nothing should be placed on the cluster, if so.
fn obstacle(cluster: &ClusterObject) -> Option<String> {
    match Condition::find(&cluster.status.conditions, "Ready") {
        None => return Some("karmada has not reported its state yet".to_owned()),
        Some(ready) if !ready.is_true() => return Some(ready.why()),
        Some(_) => {}
    }
    let forbids = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let taint = cluster.spec.taints.iter().find(forbids)?;
    Some(format!("taint {}:{}", taint.key, taint.effect))
}

fn location(spec: &Spec) -> Option<String> {
    let zones = if spec.zones.is_empty() { spec.zone.clone() } else { spec.zones.join(",") };
    match (spec.region.as_str(), zones.as_str()) {
        ("", "") => None,
        ("", place) | (place, "") => Some(place.to_owned()),
        (region, zone) => Some(format!("{region}/{zone}")),
    }
}

/// Whether a resource is a GPU or a part of one that pods ask for by the piece: `VENDOR.com/gpu`, time slices
/// (`.shared`), MIG devices (`nvidia.com/mig-1g.5gb`), Intel's drivers.
fn is_gpu(name: &str) -> bool {
    name.ends_with(".com/gpu")
        || name.ends_with(".com/gpu.shared")
        || name.starts_with("nvidia.com/mig-")
        || matches!(name, "gpu.intel.com/i915" | "gpu.intel.com/xe")
}

/// The amounts that placement counts, out of a Kubernetes resource list.
pub(super) fn resources(quantities: &Quantities) -> Result<Resources, QuantityError> {
    let mut sum = Resources::default();
    for (name, quantity) in quantities {
        match name.as_str() {
            "cpu" => sum.cpu_millicores = millicores(quantity)?,
            "memory" => sum.ram_bytes = bytes(quantity)?,
            "pods" => sum.pods = count(quantity)?,
            "ephemeral-storage" => sum.storage_bytes = bytes(quantity)?,
            gpu if is_gpu(gpu) => sum.gpus = sum.gpus.saturating_add(count(quantity)?),
            _ => {}
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::clients::ClientErrorKind;
    use crate::clients::testing::{fake_server, status};

    const GIB: i64 = 1 << 30;

    fn cluster(name: &str) -> Value {
        json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
            "metadata": {"name": name, "labels": {}},
            "spec": {"syncMode": "Push", "taints": []},
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "ClusterReady", "message": "ok"}],
                "resourceSummary": {
                    "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "110"},
                    "allocated": {"cpu": "1500m", "memory": "1Gi"},
                },
            },
        })
    }

    fn seen(object: Value) -> ClusterObservation {
        observe(serde_json::from_value(object).unwrap(), "gpu")
    }

    #[test]
    fn a_ready_cluster_is_available_with_exact_amounts() {
        let observed = seen(cluster("edge-1"));
        assert!(observed.available);
        assert_eq!(observed.reason, None);
        assert_eq!(observed.allocatable.cpu_millicores, 8000);
        assert_eq!(observed.allocatable.ram_bytes, 16 * GIB);
        assert_eq!(observed.allocated.cpu_millicores, 1500);
        assert!(!observed.storage_reported && !observed.acceleration);
        assert_eq!(observed.location, None);
    }

    #[test]
    fn gpus_of_every_maker_count_and_storage_is_seen_when_reported() {
        let mut object = cluster("cloud");
        object["status"]["resourceSummary"]["allocatable"] =
            json!({"nvidia.com/gpu": "2", "amd.com/gpu": "1", "ephemeral-storage": "100Gi"});
        let observed = seen(object);
        assert_eq!(observed.allocatable.gpus, 3);
        assert!(observed.acceleration && observed.storage_reported);
        assert_eq!(observed.allocatable.storage_bytes, 100 * GIB);
    }

    #[test]
    fn shared_and_partitioned_gpus_count_by_the_piece() {
        let mut object = cluster("edge");
        object["status"]["resourceSummary"]["allocatable"] = json!({
            "nvidia.com/gpu": "0", "nvidia.com/gpu.shared": "8", "nvidia.com/mig-1g.5gb": "7",
            "gpu.intel.com/i915": "1", "gpu.intel.com/xe": "2", "nvidia.com/gpumem": "40000", "example.com/fpga": "5",
        });
        let observed = seen(object);
        assert_eq!(observed.allocatable.gpus, 8 + 7 + 1 + 2);
        assert!(observed.acceleration);
    }

    #[test]
    fn the_configured_label_means_acceleration_unless_it_says_false() {
        for (value, acceleration) in [("true", true), ("", true), ("a100", true), ("false", false)] {
            let mut object = cluster("cloud");
            object["metadata"]["labels"] = json!({"gpu": value});
            assert_eq!(seen(object).acceleration, acceleration, "{value:?}");
        }
    }

    #[test]
    fn a_cluster_that_is_not_ready_says_why() {
        let mut object = cluster("edge-1");
        object["status"]["conditions"][0] = json!({
            "type": "Ready", "status": "False", "reason": "ClusterNotReachable", "message": "no answer",
        });
        let observed = seen(object);
        assert!(!observed.available);
        assert_eq!(observed.reason.as_deref(), Some("ClusterNotReachable: no answer"));
    }

    #[test]
    fn taints_that_forbid_scheduling_make_a_cluster_unavailable_and_others_do_not() {
        for (effect, available) in [("NoSchedule", false), ("NoExecute", false), ("PreferNoSchedule", true)] {
            let mut object = cluster("edge-1");
            object["spec"]["taints"] = json!([{"key": "maintenance", "effect": effect}]);
            assert_eq!(seen(object).available, available, "{effect}");
        }
    }

    #[test]
    fn a_cluster_that_just_joined_is_not_available_yet() {
        let mut object = cluster("edge-1");
        object.as_object_mut().unwrap().remove("status");
        assert!(!seen(object).available);
    }

    #[test]
    fn region_and_zones_are_the_location() {
        let mut object = cluster("edge-1");
        object["spec"]["region"] = "be".into();
        object["spec"]["zones"] = json!(["b1", "b2"]);
        let observed = seen(object);
        assert_eq!(observed.location.as_deref(), Some("be/b1,b2"));
        assert_eq!(observed.region.as_deref(), Some("be"));
    }

    #[test]
    fn labels_are_told_and_a_region_only_when_stated() {
        let mut object = cluster("edge-1");
        object["metadata"]["labels"] = json!({"site": "factory-1"});
        let observed = seen(object);
        assert_eq!(observed.labels, BTreeMap::from([("site".to_owned(), "factory-1".to_owned())]));
        assert_eq!(observed.region, None);
    }

    #[test]
    fn pods_and_what_no_node_has_taken_are_read() {
        let mut full = cluster("full");
        let summary = &mut full["status"]["resourceSummary"];
        summary["allocated"]["pods"] = "110".into();
        summary["allocating"] = json!({"cpu": "750m", "pods": "2"});
        let observed = seen(full);
        assert_eq!((observed.allocatable.pods, observed.allocated.pods), (110, 110));
        assert_eq!((observed.allocating.cpu_millicores, observed.allocating.pods), (750, 2));
        assert!(observed.available && observed.readable);
    }

    #[tokio::test]
    async fn an_unreadable_cluster_is_listed_as_unavailable_with_the_reason() {
        let mut broken = cluster("broken");
        broken["status"]["resourceSummary"]["allocatable"]["cpu"] = "many".into();
        let list = json!({
            "apiVersion": "cluster.karmada.io/v1alpha1", "kind": "ClusterList", "metadata": {"resourceVersion": "1"},
            "items": [broken, cluster("edge-1")],
        });
        let path = "/apis/cluster.karmada.io/v1alpha1/clusters";
        let router = Router::new().route(path, get(move || async move { Json(list) }));
        let inventory = KarmadaInventory::start(fake_server(router), "gpu");
        let clusters = inventory.clusters().await.unwrap();
        assert_eq!([clusters[0].name.as_str(), clusters[1].name.as_str()], ["broken", "edge-1"]);
        assert_eq!([clusters[0].available, clusters[1].available], [false, true]);
        let reason = clusters[0].reason.as_deref().unwrap();
        assert!(
            reason.starts_with("the Cluster object cannot be read: ") && reason.contains("many"),
            "{reason}"
        );
        inventory.changes().wait_for(|ticks| *ticks > 0).await.unwrap();
    }

    #[tokio::test]
    async fn an_aggregated_server_that_is_down_is_unreachable() {
        let router = Router::new().fallback(|| async { status(503, "no endpoints available") });
        let inventory = KarmadaInventory::start(fake_server(router), "gpu");
        assert_eq!(inventory.clusters().await.unwrap_err().kind, ClientErrorKind::Unreachable);
    }
}
