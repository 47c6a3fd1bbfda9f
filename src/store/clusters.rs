//! Clusters as last observed. A cluster keeps its id for ever; one that disappears stays as unavailable.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::db::{CHUNK, Conn, Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::hdag::Resources;
use crate::model::ClusterRecord;

const LIST: &str = "SELECT * FROM clusters ORDER BY id";
const NAMED: &str = "SELECT * FROM clusters WHERE name = $1";
const LOCK: &str = "LOCK TABLE clusters IN SHARE ROW EXCLUSIVE MODE";
const UPSERT: &str = "INSERT INTO clusters (id, name, location, available, reason, allocatable, allocated,
        storage_reported, acceleration, pod_cidr, service_cidr, grafana, region, labels, latencies_ms, observed_at,
        allocating, nodes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
    ON CONFLICT (id) DO UPDATE SET location = excluded.location, available = excluded.available,
        reason = excluded.reason, allocatable = excluded.allocatable, allocated = excluded.allocated,
        storage_reported = excluded.storage_reported, acceleration = excluded.acceleration,
        pod_cidr = excluded.pod_cidr, service_cidr = excluded.service_cidr, grafana = excluded.grafana,
        region = excluded.region, labels = excluded.labels, latencies_ms = excluded.latencies_ms,
        observed_at = excluded.observed_at, allocating = excluded.allocating,
        nodes = excluded.nodes";
const SYNCED: &str = "INSERT INTO cluster_sync (id, synced_at) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET synced_at = excluded.synced_at";
const SYNCED_AT: &str = "SELECT synced_at FROM cluster_sync";

#[derive(sqlx::FromRow)]
struct ClusterRow {
    id: i64,
    name: String,
    location: String,
    available: bool,
    reason: Option<String>,
    allocatable: JsonText<Resources>,
    allocated: JsonText<Resources>,
    allocating: JsonText<Resources>,
    nodes: JsonText<Vec<Resources>>,
    storage_reported: bool,
    acceleration: bool,
    pod_cidr: Option<String>,
    service_cidr: Option<String>,
    grafana: Option<String>,
    region: Option<String>,
    labels: JsonText<BTreeMap<String, String>>,
    latencies_ms: JsonText<BTreeMap<String, f64>>,
    observed_at: DateTime<Utc>,
}

impl From<ClusterRow> for ClusterRecord {
    fn from(row: ClusterRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            location: row.location,
            available: row.available,
            reason: row.reason,
            allocatable: row.allocatable.0,
            allocated: row.allocated.0,
            allocating: row.allocating.0,
            nodes: row.nodes.0,
            storage_reported: row.storage_reported,
            acceleration: row.acceleration,
            pod_cidr: row.pod_cidr,
            service_cidr: row.service_cidr,
            grafana: row.grafana,
            region: row.region,
            labels: row.labels.0,
            latencies_ms: row.latencies_ms.0,
            observed_at: row.observed_at,
        }
    }
}

impl Store {
    /// All clusters ever observed, by ascending id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn clusters(&self) -> Result<Vec<ClusterRecord>> {
        list(self.db.acquire().await?.conn()).await
    }

    /// When the clusters were last read from Karmada with success; `None` when they never were.
    ///
    /// # Errors
    /// The database failed.
    pub async fn clusters_observed_at(&self) -> Result<Option<DateTime<Utc>>> {
        let mut connection = self.db.acquire().await?;
        Ok(on!(connection.conn(), c => sqlx::query_scalar(SYNCED_AT).fetch_optional(c).await)?)
    }
}

impl Tx {
    /// All clusters ever observed, by ascending id, which no other transaction changes before this one ends:
    /// two that sync at once would give the same id to two clusters.
    ///
    /// # Errors
    /// The database failed.
    pub async fn lock_clusters(&mut self) -> Result<Vec<ClusterRecord>> {
        self.lock_table(LOCK).await?;
        list(self.conn()).await
    }

    /// Writes those of `clusters` that differ from `known` by more than the time of their observation, and
    /// notes that Karmada reported `observed` now.
    ///
    /// # Errors
    /// The database failed.
    pub async fn write_clusters(
        &mut self,
        known: &[ClusterRecord],
        clusters: &[ClusterRecord],
        observed: &[&str],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let now = micros(now);
        let seen_now = |cluster: &ClusterRecord| ClusterRecord { observed_at: now, ..cluster.clone() };
        let by_id: BTreeMap<i64, &ClusterRecord> =
            known.iter().map(|cluster| (cluster.id, cluster)).collect();
        for cluster in clusters {
            let old = by_id.get(&cluster.id);
            if !old.is_some_and(|old| *old == cluster || seen_now(old) == *cluster) {
                upsert(self.conn(), cluster).await?;
            }
        }
        for chunk in observed.chunks(CHUNK) {
            touch(self.conn(), chunk, now).await?;
        }
        on!(self.conn(), c => sqlx::query(SYNCED).bind(now).execute(c).await.map(drop))?;
        Ok(())
    }
}

pub(super) async fn list(conn: Conn<'_>) -> Result<Vec<ClusterRecord>> {
    let rows: Vec<ClusterRow> = on!(conn, c => sqlx::query_as(LIST).fetch_all(c).await)?;
    Ok(rows.into_iter().map(ClusterRecord::from).collect())
}

/// The cluster of that name.
pub(super) async fn cluster_named(conn: Conn<'_>, name: &str) -> Result<Option<ClusterRecord>> {
    let row: Option<ClusterRow> = on!(conn, c => sqlx::query_as(NAMED).bind(name).fetch_optional(c).await)?;
    Ok(row.map(ClusterRecord::from))
}

async fn upsert(conn: Conn<'_>, cluster: &ClusterRecord) -> Result<()> {
    on!(conn, c => sqlx::query(UPSERT)
        .bind(cluster.id)
        .bind(&cluster.name)
        .bind(&cluster.location)
        .bind(cluster.available)
        .bind(cluster.reason.as_deref())
        .bind(JsonText(cluster.allocatable))
        .bind(JsonText(cluster.allocated))
        .bind(cluster.storage_reported)
        .bind(cluster.acceleration)
        .bind(cluster.pod_cidr.as_deref())
        .bind(cluster.service_cidr.as_deref())
        .bind(cluster.grafana.as_deref())
        .bind(cluster.region.as_deref())
        .bind(JsonText(&cluster.labels))
        .bind(JsonText(&cluster.latencies_ms))
        .bind(cluster.observed_at)
        .bind(JsonText(cluster.allocating))
        .bind(JsonText(&cluster.nodes))
        .execute(c).await.map(drop))?;
    Ok(())
}

/// Notes for all observed clusters in one statement when they were seen.
async fn touch(conn: Conn<'_>, observed: &[&str], now: DateTime<Utc>) -> Result<()> {
    on!(conn, c => {
        let mut query = QueryBuilder::new("UPDATE clusters SET observed_at = ");
        query.push_bind(now).push(" WHERE name IN (");
        let mut list = query.separated(", ");
        for name in observed {
            list.push_bind(*name);
        }
        query.push(")").build().persistent(false).execute(c).await.map(drop)
    })?;
    Ok(())
}
