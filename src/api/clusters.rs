//! Clusters as last observed.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::ClusterPath;
use super::problem::{ApiError, CommonErrors};
use crate::app::App;
use crate::hdag::Resources;
use crate::model::ClusterRecord;

/// A member cluster.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cluster {
    /// Ascending in the order of discovery; the columns of a placement matrix follow it.
    #[schema(example = 1)]
    id: i64,
    /// Name in Karmada.
    #[schema(example = "edge-1")]
    name: String,
    /// Where it is, or `Unknown`.
    #[schema(example = "Unknown")]
    location: String,
    /// CPU cores that are free.
    #[schema(example = 3.5)]
    available_cpu: f64,
    /// Memory that is free, in the largest of GiB, MiB, KiB and Bytes that fits.
    #[schema(example = "3.42 GiB")]
    available_ram: String,
    /// Whether services can be placed there.
    #[schema(example = true)]
    availability: bool,
    /// Whether it has GPUs.
    #[schema(example = false)]
    acceleration: bool,
    /// Pod network, if Submariner reports it.
    #[schema(required = true, example = "10.10.0.0/16")]
    pod_cidr: Option<String>,
    /// Service network, if Submariner reports it.
    #[schema(required = true, example = "10.110.0.0/16")]
    service_cidr: Option<String>,
    /// URL of its dashboard; null while there is none.
    #[schema(required = true, example = json!(null))]
    grafana: Option<String>,
    /// GPUs that are free.
    #[schema(example = 0)]
    available_gpus: i64,
    /// Ephemeral storage in bytes that is free; null when the cluster does not report it.
    #[schema(required = true, example = 40_000_000_000_i64)]
    available_storage_bytes: Option<i64>,
    /// Sizes of the nodes that no other one of them exceeds, of which each pod must fit one; empty when they are not
    /// known.
    largest_nodes: Vec<Resources>,
    /// Why it is not available.
    #[schema(required = true, example = "ClusterNotReachable")]
    reason: Option<String>,
    /// When Karmada last reported it.
    #[schema(example = "2026-01-02T03:04:05Z")]
    observed_at: DateTime<Utc>,
    /// Whether Karmada does not answer now, so that this is the last known state.
    #[schema(example = false)]
    stale: bool,
}

impl Cluster {
    fn new(cluster: ClusterRecord, stale: bool) -> Self {
        let free = cluster.allocatable.minus_clamped(cluster.allocated);
        Self {
            id: cluster.id,
            name: cluster.name,
            location: cluster.location,
            available_cpu: free.cpu_millicores as f64 / 1000.0,
            available_ram: ram_text(free.ram_bytes),
            availability: cluster.available,
            acceleration: cluster.acceleration,
            pod_cidr: cluster.pod_cidr,
            service_cidr: cluster.service_cidr,
            grafana: cluster.grafana,
            available_gpus: free.gpus,
            available_storage_bytes: cluster.storage_reported.then_some(free.storage_bytes),
            largest_nodes: cluster.nodes,
            reason: cluster.reason,
            observed_at: cluster.observed_at,
            stale,
        }
    }
}

/// Memory as the original writes it: with two decimals, in the largest of its units that fits.
fn ram_text(bytes: i64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let (unit, size) = units.into_iter().find(|(_, size)| bytes >= *size).unwrap_or(("Bytes", 1));
    format!("{:.2} {unit}", bytes as f64 / size as f64)
}

/// List the clusters that Karmada knows or knew, with their free resources.
#[utoipa::path(
    get, path = "/clusters", operation_id = "list_clusters", tag = "clusters",
    responses((status = 200, description = "Clusters by ascending id", body = [Cluster]), CommonErrors)
)]
pub(super) async fn list_clusters(State(app): State<App>) -> Result<Json<Vec<Cluster>>, ApiError> {
    let list = app.list_clusters().await?;
    Ok(Json(list.clusters.into_iter().map(|cluster| Cluster::new(cluster, list.stale)).collect()))
}

/// Show one cluster.
#[utoipa::path(
    get, path = "/clusters/{name}", operation_id = "get_cluster", tag = "clusters", params(ClusterPath),
    responses((status = 200, description = "The cluster", body = Cluster), CommonErrors)
)]
pub(super) async fn get_cluster(
    State(app): State<App>,
    ClusterPath { name }: ClusterPath,
) -> Result<Json<Cluster>, ApiError> {
    let (cluster, stale) = app.get_cluster(&name).await?;
    Ok(Json(Cluster::new(cluster, stale)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeZone as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn memory_is_written_in_the_largest_unit_of_the_original_that_fits() {
        for (bytes, text) in [
            (0, "0.00 Bytes"),
            (1023, "1023.00 Bytes"),
            (1024, "1.00 KiB"),
            ((1 << 20) - 1, "1024.00 KiB"),
            (1 << 20, "1.00 MiB"),
            (805_306_368, "768.00 MiB"),
            (1 << 30, "1.00 GiB"),
            (3 << 40, "3072.00 GiB"),
        ] {
            assert_eq!(ram_text(bytes), text);
        }
    }

    #[test]
    fn a_cluster_shows_what_is_free() {
        let total =
            Resources { cpu_millicores: 4000, ram_bytes: 4 << 30, storage_bytes: 100, gpus: 2, pods: 0 };
        let used =
            Resources { cpu_millicores: 500, ram_bytes: 622_770_257, storage_bytes: 30, gpus: 3, pods: 0 };
        let record = ClusterRecord {
            id: 3,
            name: "edge-1".to_owned(),
            location: "Unknown".to_owned(),
            available: false,
            reason: Some("ClusterNotReachable".to_owned()),
            allocatable: total,
            allocated: used,
            allocating: Resources::default(),
            nodes: vec![Resources { pods: 110, ..total }],
            storage_reported: false,
            acceleration: true,
            pod_cidr: Some("10.1.0.0/16".to_owned()),
            service_cidr: None,
            grafana: None,
            region: Some("be".to_owned()),
            labels: BTreeMap::new(),
            latencies_ms: BTreeMap::new(),
            observed_at: Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap(),
        };
        assert_eq!(
            serde_json::to_value(Cluster::new(record, true)).unwrap(),
            json!({
                "id": 3, "name": "edge-1", "location": "Unknown",
                "available_cpu": 3.5, "available_ram": "3.42 GiB",
                "availability": false, "acceleration": true,
                "pod_cidr": "10.1.0.0/16", "service_cidr": null, "grafana": null,
                "available_gpus": 0, "available_storage_bytes": null, "largest_nodes": [
                    {"cpu_millicores": 4000, "ram_bytes": 4_294_967_296_i64, "storage_bytes": 100, "gpus": 2, "pods": 110},
                ],
                "reason": "ClusterNotReachable", "observed_at": "2026-01-02T03:04:05Z", "stale": true,
            })
        );
    }
}
