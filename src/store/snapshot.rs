//! A consistent snapshot of all input of decisions, read in one read-only transaction.

use std::collections::BTreeMap;

use super::clusters;
use super::db::{Reader, on};
use super::graphs;
use super::json::JsonText;
use super::ledger::{all_entries, charges_of};
use super::services;
use super::{Result, Store};
use crate::model::footprint::usage_by_cluster;
use crate::model::{Charge, ClusterRecord, GraphRecord, LedgerEntry, ServiceRecord, Usage};

const CHARGES_OF_RUNNING: &str = "SELECT s.graph, s.charge FROM services s JOIN graphs g ON g.name = s.graph
    WHERE g.desired = 'running' AND COALESCE(g.scaling_enabled, g.scaling_requested, $1) AND s.charge IS NOT NULL
    AND s.graph > $2 AND s.graph <= $3 ORDER BY s.graph";

/// Clusters and the usage of all services on them, at one moment.
#[derive(Debug, Clone, Default)]
pub struct ClusterUse {
    /// All clusters, by ascending id.
    pub clusters: Vec<ClusterRecord>,
    /// The ledger, by cluster.
    pub entries: BTreeMap<String, LedgerEntry>,
}

/// A graph with its services and its usage by cluster.
#[derive(Debug, Clone)]
pub struct GraphUse {
    /// The graph.
    pub graph: GraphRecord,
    /// Its services in the order of its descriptor.
    pub services: Vec<ServiceRecord>,
    /// Its usage by cluster.
    pub usage: BTreeMap<String, Usage>,
}

#[derive(sqlx::FromRow)]
struct ChargeRow {
    graph: String,
    charge: JsonText<Charge>,
}

impl Store {
    /// Clusters and ledger as they are now, with the services and the use of one graph; the latter are empty
    /// for a graph that does not exist.
    ///
    /// # Errors
    /// The database failed.
    pub async fn snapshot_for(
        &self,
        graph: &str,
    ) -> Result<(ClusterUse, Vec<ServiceRecord>, BTreeMap<String, Usage>)> {
        let mut reader = self.db.begin_reading().await?;
        let state = cluster_use(&mut reader).await?;
        let services = services::of_graph(reader.conn(), graph).await?;
        let usage = usage_by_cluster(&charges_of(reader.conn(), graph).await?);
        Ok((state, services, usage))
    }

    /// Clusters and ledger as they are now, with the next `limit` running graphs that are scaled, by name,
    /// from `after` on; `default` says whether those are of which neither descriptor nor interface says
    /// anything.
    ///
    /// # Errors
    /// The database failed.
    pub async fn snapshot_of_scaled(
        &self,
        default: bool,
        after: &str,
        limit: i64,
    ) -> Result<(ClusterUse, Vec<GraphUse>)> {
        let mut reader = self.db.begin_reading().await?;
        let state = cluster_use(&mut reader).await?;
        let graphs: Vec<GraphRecord> = graphs::scaled(reader.conn(), default, after, limit)
            .await?
            .into_iter()
            .map(GraphRecord::from)
            .collect();
        let Some(last) = graphs.last().map(|graph| graph.name.clone()) else {
            return Ok((state, Vec::new()));
        };
        let mut services = services::of_scaled_graphs(reader.conn(), default, after, &last).await?;
        let charges: Vec<ChargeRow> = on!(reader.conn(), c => sqlx::query_as(CHARGES_OF_RUNNING)
            .bind(default).bind(after).bind(&last).fetch_all(c).await)?;
        let mut usage = BTreeMap::<String, Vec<Charge>>::new();
        for row in charges {
            usage.entry(row.graph).or_default().push(row.charge.0);
        }
        let with_use = |graph: GraphRecord| {
            let services = services.remove(&graph.name).unwrap_or_default();
            let usage = usage_by_cluster(usage.get(&graph.name).into_iter().flatten());
            GraphUse { graph, services, usage }
        };
        Ok((state, graphs.into_iter().map(with_use).collect()))
    }

    /// Clusters and ledger as they are now.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cluster_use(&self) -> Result<ClusterUse> {
        let mut reader = self.db.begin_reading().await?;
        cluster_use(&mut reader).await
    }
}

async fn cluster_use(reader: &mut Reader) -> Result<ClusterUse> {
    let clusters = clusters::list(reader.conn()).await?;
    Ok(ClusterUse { clusters, entries: all_entries(reader.conn()).await? })
}
