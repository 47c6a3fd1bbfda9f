//! Clusters as last seen. They keep their id for ever, and one that disappears stays, unavailable.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::db::{CHUNK, Conn, Tx, micros, on};
use super::json::JsonText;
use super::{ClusterRecord, Result, Store};
use crate::clients::{ClusterNetworks, ClusterObservation, RoundTripTimes};
use crate::hdag::Resources;

const LIST: &str = "SELECT * FROM clusters ORDER BY id";
const LOCK: &str = "LOCK TABLE clusters IN SHARE ROW EXCLUSIVE MODE";
const UPSERT: &str = "INSERT INTO clusters (id, name, location, available, reason,
        allocatable_cpu_millicores, allocatable_ram_bytes, allocatable_storage_bytes, allocatable_gpus,
        allocated_cpu_millicores, allocated_ram_bytes, allocated_storage_bytes, allocated_gpus,
        storage_reported, acceleration, pod_cidr, service_cidr, grafana, region, labels, latencies_ms, observed_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
    ON CONFLICT (id) DO UPDATE SET location = excluded.location, available = excluded.available,
        reason = excluded.reason,
        allocatable_cpu_millicores = excluded.allocatable_cpu_millicores,
        allocatable_ram_bytes = excluded.allocatable_ram_bytes,
        allocatable_storage_bytes = excluded.allocatable_storage_bytes,
        allocatable_gpus = excluded.allocatable_gpus,
        allocated_cpu_millicores = excluded.allocated_cpu_millicores,
        allocated_ram_bytes = excluded.allocated_ram_bytes,
        allocated_storage_bytes = excluded.allocated_storage_bytes,
        allocated_gpus = excluded.allocated_gpus,
        storage_reported = excluded.storage_reported, acceleration = excluded.acceleration,
        pod_cidr = excluded.pod_cidr, service_cidr = excluded.service_cidr, grafana = excluded.grafana,
        region = excluded.region, labels = excluded.labels, latencies_ms = excluded.latencies_ms,
        observed_at = excluded.observed_at";
const SYNCED: &str = "INSERT INTO cluster_sync (id, synced_at) VALUES (1, $1)
    ON CONFLICT (id) DO UPDATE SET synced_at = excluded.synced_at";
const SYNCED_AT: &str = "SELECT synced_at FROM cluster_sync";

const UNKNOWN_LOCATION: &str = "Unknown";
const VANISHED: &str = "no longer known to Karmada";

#[derive(sqlx::FromRow)]
struct ClusterRow {
    id: i64,
    name: String,
    location: String,
    available: bool,
    reason: Option<String>,
    allocatable_cpu_millicores: i64,
    allocatable_ram_bytes: i64,
    allocatable_storage_bytes: i64,
    allocatable_gpus: i64,
    allocated_cpu_millicores: i64,
    allocated_ram_bytes: i64,
    allocated_storage_bytes: i64,
    allocated_gpus: i64,
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
            allocatable: Resources {
                cpu_millicores: row.allocatable_cpu_millicores,
                ram_bytes: row.allocatable_ram_bytes,
                storage_bytes: row.allocatable_storage_bytes,
                gpus: row.allocatable_gpus,
            },
            allocated: Resources {
                cpu_millicores: row.allocated_cpu_millicores,
                ram_bytes: row.allocated_ram_bytes,
                storage_bytes: row.allocated_storage_bytes,
                gpus: row.allocated_gpus,
            },
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
    /// All clusters that were ever seen, by ascending id.
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
    /// Makes the clusters be what Karmada just told, and returns all by ascending id. New ones get the next ids in
    /// the order given; those that are not among them become unavailable and keep the time of their last sight. A
    /// cluster that `networks` does not name keeps the networks it had, and two clusters that `latencies` does not
    /// name keep the round-trip time that was measured last.
    ///
    /// # Errors
    /// The database failed.
    pub async fn sync_clusters(
        &mut self,
        observations: &[ClusterObservation],
        networks: &BTreeMap<String, ClusterNetworks>,
        latencies: &RoundTripTimes,
        now: DateTime<Utc>,
    ) -> Result<Vec<ClusterRecord>> {
        let now = micros(now);
        // Two that sync at once would give the same id to two clusters.
        self.lock_table(LOCK).await?;
        let known = list(self.conn()).await?;
        let mut merged = merge(&known, observations, networks, now);
        measured(&mut merged, latencies);
        let seen = |cluster: &ClusterRecord| ClusterRecord { observed_at: now, ..cluster.clone() };
        for cluster in &merged {
            let unchanged = known.iter().any(|old| old == cluster || seen(old) == *cluster);
            if !unchanged {
                upsert(self.conn(), cluster).await?;
            }
        }
        for chunk in observations.chunks(CHUNK) {
            touch(self.conn(), chunk, now).await?;
        }
        on!(self.conn(), c => sqlx::query(SYNCED).bind(now).execute(c).await.map(drop))?;
        Ok(merged)
    }
}

/// All clusters as they are after an observation, by ascending id.
fn merge(
    known: &[ClusterRecord],
    observations: &[ClusterObservation],
    networks: &BTreeMap<String, ClusterNetworks>,
    now: DateTime<Utc>,
) -> Vec<ClusterRecord> {
    let observed: BTreeSet<&str> = observations.iter().map(|observation| observation.name.as_str()).collect();
    let mut merged: BTreeMap<i64, ClusterRecord> = known
        .iter()
        .filter(|cluster| !observed.contains(cluster.name.as_str()))
        .map(|cluster| {
            let gone =
                ClusterRecord { available: false, reason: Some(VANISHED.to_owned()), ..cluster.clone() };
            (cluster.id, gone)
        })
        .collect();
    let mut next_id = known.iter().map(|cluster| cluster.id).max().unwrap_or(0) + 1;
    for observation in observations {
        let old = known.iter().find(|cluster| cluster.name == observation.name);
        let id = old.map_or(next_id, |cluster| cluster.id);
        next_id = next_id.max(id + 1);
        merged.insert(id, seen(id, old, observation, networks.get(&observation.name), now));
    }
    merged.into_values().collect()
}

/// Puts round-trip times at both of their ends.
fn measured(clusters: &mut [ClusterRecord], latencies: &RoundTripTimes) {
    let positions: BTreeMap<String, usize> =
        (0..).zip(&*clusters).map(|(i, c)| (c.name.clone(), i)).collect();
    for ((one, other), ms) in latencies {
        if let (Some(first), Some(second)) = (positions.get(one), positions.get(other)) {
            clusters[*first].latencies_ms.insert(other.clone(), *ms);
            clusters[*second].latencies_ms.insert(one.clone(), *ms);
        }
    }
}

/// One cluster as Karmada told of it.
fn seen(
    id: i64,
    old: Option<&ClusterRecord>,
    observation: &ClusterObservation,
    networks: Option<&ClusterNetworks>,
    now: DateTime<Utc>,
) -> ClusterRecord {
    let kept = |old: Option<&ClusterRecord>| {
        old.map_or((None, None), |old| (old.pod_cidr.clone(), old.service_cidr.clone()))
    };
    let (pod_cidr, service_cidr) = networks
        .map_or_else(|| kept(old), |networks| (networks.pod_cidr.clone(), networks.service_cidr.clone()));
    ClusterRecord {
        id,
        name: observation.name.clone(),
        location: observation.location.clone().unwrap_or_else(|| UNKNOWN_LOCATION.to_owned()),
        available: observation.available,
        reason: observation.reason.clone(),
        allocatable: observation.allocatable,
        allocated: observation.allocated,
        storage_reported: observation.storage_reported,
        acceleration: observation.acceleration,
        pod_cidr,
        service_cidr,
        grafana: old.and_then(|old| old.grafana.clone()),
        region: observation.region.clone(),
        labels: observation.labels.clone(),
        latencies_ms: old.map(|old| old.latencies_ms.clone()).unwrap_or_default(),
        observed_at: now,
    }
}

async fn list(conn: Conn<'_>) -> Result<Vec<ClusterRecord>> {
    let rows: Vec<ClusterRow> = on!(conn, c => sqlx::query_as(LIST).fetch_all(c).await)?;
    Ok(rows.into_iter().map(ClusterRecord::from).collect())
}

async fn upsert(conn: Conn<'_>, cluster: &ClusterRecord) -> Result<()> {
    on!(conn, c => sqlx::query(UPSERT)
        .bind(cluster.id)
        .bind(&cluster.name)
        .bind(&cluster.location)
        .bind(cluster.available)
        .bind(cluster.reason.as_deref())
        .bind(cluster.allocatable.cpu_millicores)
        .bind(cluster.allocatable.ram_bytes)
        .bind(cluster.allocatable.storage_bytes)
        .bind(cluster.allocatable.gpus)
        .bind(cluster.allocated.cpu_millicores)
        .bind(cluster.allocated.ram_bytes)
        .bind(cluster.allocated.storage_bytes)
        .bind(cluster.allocated.gpus)
        .bind(cluster.storage_reported)
        .bind(cluster.acceleration)
        .bind(cluster.pod_cidr.as_deref())
        .bind(cluster.service_cidr.as_deref())
        .bind(cluster.grafana.as_deref())
        .bind(cluster.region.as_deref())
        .bind(JsonText(&cluster.labels))
        .bind(JsonText(&cluster.latencies_ms))
        .bind(cluster.observed_at)
        .execute(c).await.map(drop))?;
    Ok(())
}

/// Notes for all observed clusters in one statement when they were seen.
async fn touch(conn: Conn<'_>, observations: &[ClusterObservation], now: DateTime<Utc>) -> Result<()> {
    on!(conn, c => {
        let mut query = QueryBuilder::new("UPDATE clusters SET observed_at = ");
        query.push_bind(now).push(" WHERE name IN (");
        let mut list = query.separated(", ");
        for observation in observations {
            list.push_bind(&observation.name);
        }
        query.push(")").build().persistent(false).execute(c).await.map(drop)
    })?;
    Ok(())
}
