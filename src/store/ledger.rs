//! The capacity ledger: total usage of all services on each cluster, kept as sums so that reading it costs
//! the same with any number of graphs.
//!
//! Every transaction that writes services or the desired state of a graph settles the charges of that graph
//! when it commits: the rows of its clusters are locked by name and changed by the difference. A transaction
//! that rests on a decision declares it ([`Tx::require_capacity`]) and is refused when its additional usage
//! does not fit: the decision was made without a lock, and the rows it changes may be newer than its
//! snapshot.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::clusters::cluster_named;
use super::db::{Conn, Tx, micros, on};
use super::graphs::{self, GraphRow};
use super::json::JsonText;
use super::services::ServiceRow;
use super::{Result, Store, StoreError};
use crate::hdag::Resources;
use crate::model::footprint::{charge, settles_at};
use crate::model::{Charge, GraphRecord, LedgerEntry, ServiceRecord, UsageChange};

/// Maximum number of graphs whose charges are recomputed in one transaction.
const SETTLED_AT_ONCE: i64 = 100;

const LIST: &str = "SELECT * FROM ledger ORDER BY cluster";
const GET: &str = "SELECT * FROM ledger WHERE cluster = $1";
const GET_FOR_UPDATE: &str = "SELECT * FROM ledger WHERE cluster = $1 FOR UPDATE";
const LIST_FOR_UPDATE: &str = "SELECT * FROM ledger ORDER BY cluster FOR UPDATE";
const ADD: &str = "INSERT INTO ledger (cluster, wanted, reserved) VALUES ($1, $2, $2)
    ON CONFLICT (cluster) DO NOTHING";
const SET: &str = "UPDATE ledger SET wanted = $2, reserved = $3, unready = $4 WHERE cluster = $1";
const CHARGED: &str = "SELECT * FROM services WHERE graph = $1 ORDER BY name";
const SET_CHARGE: &str = "UPDATE services SET charge = $3, settles_at = $4 WHERE graph = $1 AND name = $2";
const CHARGES_OF_GRAPH: &str = "SELECT charge FROM services WHERE graph = $1 AND charge IS NOT NULL";
const CHARGES: &str = "SELECT charge FROM services WHERE charge IS NOT NULL";
const DUE: &str = "SELECT DISTINCT graph FROM services WHERE settles_at <= $1 ORDER BY graph LIMIT $2";

#[derive(sqlx::FromRow)]
struct EntryRow {
    cluster: String,
    wanted: JsonText<Resources>,
    reserved: JsonText<Resources>,
    unready: JsonText<Resources>,
}

impl From<EntryRow> for LedgerEntry {
    fn from(row: EntryRow) -> Self {
        Self { wanted: row.wanted.0, reserved: row.reserved.0, unready: row.unready.0 }
    }
}

/// A service and its charge as of the last write.
#[derive(sqlx::FromRow)]
struct ChargedRow {
    #[sqlx(flatten)]
    service: ServiceRow,
    charge: Option<JsonText<Charge>>,
    settles_at: Option<DateTime<Utc>>,
}

/// A stored charge of which only the amounts and the cluster matter.
#[derive(sqlx::FromRow)]
struct ChargeRow {
    charge: JsonText<Charge>,
}

/// The changes that a transaction has to settle when it commits.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// Graphs of which services or the desired state were written.
    pub(super) graphs: BTreeSet<String>,
    /// Changes so far, by cluster.
    pub(super) changes: BTreeMap<String, UsageChange>,
    /// Whether a decision is behind this transaction, so that what it takes must fit.
    pub(super) must_fit: bool,
}

impl Unsettled {
    fn add(&mut self, before: Option<&Charge>, after: Option<&Charge>) {
        if let Some(charge) = before {
            let change = self.changes.entry(charge.cluster.clone()).or_default();
            change.before = change.before.plus(charge.usage);
        }
        if let Some(charge) = after {
            let change = self.changes.entry(charge.cluster.clone()).or_default();
            change.after = change.after.plus(charge.usage);
        }
    }
}

impl Store {
    /// Looks again at charges whose clusters' reports show them by now; returns the number of graphs that
    /// were due. One call settles a limited number: call again until it returns 0.
    ///
    /// # Errors
    /// The database failed.
    pub async fn settle_charges(&self, now: DateTime<Utc>) -> Result<usize> {
        let due: Vec<String> = {
            let mut connection = self.db.acquire().await?;
            on!(connection.conn(), c => sqlx::query_scalar(DUE)
                .bind(micros(now))
                .bind(SETTLED_AT_ONCE)
                .fetch_all(c).await)?
        };
        if due.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin().await?;
        for graph in &due {
            // Locked in the order of their names, before any row of the ledger.
            tx.graph(graph).await?;
            tx.touch(graph);
        }
        tx.commit_unnumbered().await?;
        Ok(due.len())
    }

    /// Makes the sums equal the charges of the services; returns the clusters whose sums were wrong.
    ///
    /// # Errors
    /// The database failed.
    pub async fn repair_ledger(&self) -> Result<Vec<String>> {
        let mut tx = self.begin().await?;
        let text = tx.locking(LIST_FOR_UPDATE, LIST);
        // Locked first: a transaction that changes charges meanwhile waits here with its difference, and its
        // charges do not show before it commits.
        let stored = entries(tx.conn(), text).await?;
        let rows: Vec<ChargeRow> = on!(tx.conn(), c => sqlx::query_as(CHARGES).fetch_all(c).await)?;
        let sums = crate::model::footprint::usage_by_cluster(rows.iter().map(|row| &row.charge.0));
        let names: BTreeSet<&String> = stored.keys().chain(sums.keys()).collect();
        let mut wrong = Vec::new();
        for cluster in names {
            let sum = sums.get(cluster).map(LedgerEntry::from).unwrap_or_default();
            if stored.get(cluster).copied().unwrap_or_default() != sum {
                add(tx.conn(), cluster).await?;
                set(tx.conn(), cluster, &sum).await?;
                wrong.push(cluster.clone());
            }
        }
        tx.commit_unnumbered().await?;
        Ok(wrong)
    }
}

impl Tx {
    /// Lets the commit be refused with [`StoreError::NoCapacity`] when the additional usage of this
    /// transaction does not fit, or its cluster is not available.
    pub fn require_capacity(&mut self) {
        self.unsettled.must_fit = true;
    }

    /// Notes that services of a graph, or its desired state, were written.
    pub(super) fn touch(&mut self, graph: &str) {
        self.unsettled.graphs.insert(graph.to_owned());
    }

    /// Takes the charges of a graph out of the ledger, whose rows are about to be deleted.
    pub(super) async fn discharge(&mut self, graph: &str) -> Result<()> {
        for row in charges_of(self.conn(), graph).await? {
            self.unsettled.add(Some(&row), None);
        }
        self.unsettled.graphs.remove(graph);
        Ok(())
    }

    /// Brings the ledger up to date with everything that was written in this transaction.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let at = crate::model::now();
        for graph in std::mem::take(&mut self.unsettled.graphs) {
            let row: Option<GraphRow> = graphs::row(self.conn(), &graph).await?;
            if let Some(row) = row {
                self.charge_services(&GraphRecord::from(row), at).await?;
            }
        }
        for (cluster, change) in std::mem::take(&mut self.unsettled.changes) {
            if change.before != change.after {
                self.apply_change(&cluster, &change).await?;
            }
        }
        Ok(())
    }

    async fn charge_services(&mut self, graph: &GraphRecord, at: DateTime<Utc>) -> Result<()> {
        let settle = self.settle_time;
        let rows: Vec<ChargedRow> =
            on!(self.conn(), c => sqlx::query_as(CHARGED).bind(&graph.name).fetch_all(c).await)?;
        for row in rows {
            let service = ServiceRecord::from(row.service);
            let before = row.charge.map(|charge| charge.0);
            let after = charge(graph, &service, settle, at);
            let due = settles_at(graph, &service, settle, at).map(micros);
            self.unsettled.add(before.as_ref(), after.as_ref());
            if before != after || row.settles_at != due {
                on!(self.conn(), c => sqlx::query(SET_CHARGE)
                    .bind(&service.graph)
                    .bind(&service.name)
                    .bind(after.as_ref().map(JsonText))
                    .bind(due)
                    .execute(c).await.map(drop))?;
            }
        }
        Ok(())
    }

    /// Callers go through the clusters by name, so that two transactions never wait for each other's rows.
    async fn apply_change(&mut self, cluster: &str, change: &UsageChange) -> Result<()> {
        let text = self.locking(GET_FOR_UPDATE, GET);
        let mut found = entry(self.conn(), text, cluster).await?;
        if found.is_none() {
            add(self.conn(), cluster).await?;
            found = entry(self.conn(), text, cluster).await?;
        }
        let current = found.unwrap_or_default();
        if self.unsettled.must_fit && change.takes_more() {
            let report = cluster_named(self.conn(), cluster).await?;
            if !report.is_some_and(|report| report.available && change.fits(&report, &current)) {
                return Err(StoreError::NoCapacity { cluster: cluster.to_owned() });
            }
        }
        set(self.conn(), cluster, &current.after(change)).await
    }
}

/// All entries, by cluster.
pub(super) async fn all_entries(conn: Conn<'_>) -> Result<BTreeMap<String, LedgerEntry>> {
    entries(conn, LIST).await
}

/// The charges of a graph's services as of the last write of each.
pub(super) async fn charges_of(conn: Conn<'_>, graph: &str) -> Result<Vec<Charge>> {
    let rows: Vec<ChargeRow> =
        on!(conn, c => sqlx::query_as(CHARGES_OF_GRAPH).bind(graph).fetch_all(c).await)?;
    Ok(rows.into_iter().map(|row| row.charge.0).collect())
}

async fn entries(conn: Conn<'_>, text: &'static str) -> Result<BTreeMap<String, LedgerEntry>> {
    let rows: Vec<EntryRow> = on!(conn, c => sqlx::query_as(text).fetch_all(c).await)?;
    Ok(rows.into_iter().map(|row| (row.cluster.clone(), LedgerEntry::from(row))).collect())
}

async fn entry(conn: Conn<'_>, text: &'static str, cluster: &str) -> Result<Option<LedgerEntry>> {
    let row: Option<EntryRow> = on!(conn, c => sqlx::query_as(text).bind(cluster).fetch_optional(c).await)?;
    Ok(row.map(LedgerEntry::from))
}

async fn add(conn: Conn<'_>, cluster: &str) -> Result<()> {
    let nothing = JsonText(Resources::default());
    Ok(on!(conn, c => sqlx::query(ADD).bind(cluster).bind(nothing).execute(c).await.map(drop))?)
}

async fn set(conn: Conn<'_>, cluster: &str, entry: &LedgerEntry) -> Result<()> {
    Ok(on!(conn, c => sqlx::query(SET)
        .bind(cluster)
        .bind(JsonText(entry.wanted))
        .bind(JsonText(entry.reserved))
        .bind(JsonText(entry.unready))
        .execute(c).await.map(drop))?)
}
