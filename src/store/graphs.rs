//! Graphs: their desired state, and how far it has been carried out.
//!
//! A graph's row is written under its version: a writer whose row has changed since it was read must read it
//! again.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::db::{Conn, Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store, StoreError};
use crate::model::{Condition, Desired, GraphFilter, GraphRecord};

const INSERT: &str =
    "INSERT INTO graphs (name, project, namespace, document, document_digest, desired, generation,
        observed_generation, version, static_placement, decision_id, conditions, scaling_requested,
        scaling_enabled, rescheduled_at, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
    ON CONFLICT (name) DO NOTHING";
const UPDATE: &str =
    "UPDATE graphs SET desired = $3, generation = $4, observed_generation = $5, conditions = $6,
        decision_id = $7, scaling_enabled = $8, rescheduled_at = $9, updated_at = $10, version = version + 1
    WHERE name = $1 AND version = $2";
const DELETE: &str = "DELETE FROM graphs WHERE name = $1";
const GET: &str = "SELECT * FROM graphs WHERE name = $1";
/// The name never changes, so rows that refer to it can be added meanwhile.
const GET_FOR_UPDATE: &str = "SELECT * FROM graphs WHERE name = $1 FOR NO KEY UPDATE";
const LIST: &str = "SELECT * FROM graphs
    WHERE ($1 IS NULL OR project = $1) AND ($2 IS NULL OR desired = $2) AND ($3 IS NULL OR name > $3)
    ORDER BY name LIMIT $4";
const SCALED: &str = "SELECT * FROM graphs
    WHERE desired = 'running' AND COALESCE(scaling_enabled, scaling_requested, $1) AND name > $2
    ORDER BY name LIMIT $3";
const NAMES: &str = "SELECT name FROM graphs ORDER BY name";

#[derive(sqlx::FromRow)]
pub(super) struct GraphRow {
    name: String,
    project: String,
    namespace: String,
    document: JsonText<Value>,
    document_digest: String,
    #[sqlx(try_from = "String")]
    desired: Desired,
    generation: i64,
    observed_generation: i64,
    version: i64,
    static_placement: bool,
    decision_id: Option<Uuid>,
    conditions: JsonText<Vec<Condition>>,
    scaling_requested: Option<bool>,
    scaling_enabled: Option<bool>,
    rescheduled_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<GraphRow> for GraphRecord {
    fn from(row: GraphRow) -> Self {
        Self {
            name: row.name,
            project: row.project,
            namespace: row.namespace,
            document: row.document.0,
            document_digest: row.document_digest,
            desired: row.desired,
            generation: row.generation,
            observed_generation: row.observed_generation,
            version: row.version,
            static_placement: row.static_placement,
            decision_id: row.decision_id,
            conditions: row.conditions.0,
            scaling_requested: row.scaling_requested,
            scaling_enabled: row.scaling_enabled,
            rescheduled_at: row.rescheduled_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Store {
    /// The graph of that name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graph(&self, name: &str) -> Result<Option<GraphRecord>> {
        get(self.db.acquire().await?.conn(), GET, name).await
    }

    /// The graphs that match, sorted by name byte by byte.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graphs(&self, filter: &GraphFilter) -> Result<Vec<GraphRecord>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<GraphRow> = on!(connection.conn(), c => sqlx::query_as(LIST)
            .bind(filter.project.as_deref())
            .bind(filter.desired.map(Desired::as_str))
            .bind(filter.after.as_deref())
            .bind(filter.limit.unwrap_or(i64::MAX))
            .fetch_all(c).await)?;
        Ok(rows.into_iter().map(GraphRecord::from).collect())
    }

    /// Names of all graphs, sorted.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graph_names(&self) -> Result<Vec<String>> {
        let mut connection = self.db.acquire().await?;
        Ok(on!(connection.conn(), c => sqlx::query_scalar(NAMES).fetch_all(c).await)?)
    }
}

impl Tx {
    /// The graph of that name, locked until the end of the transaction.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graph(&mut self, name: &str) -> Result<Option<GraphRecord>> {
        let text = self.locking(GET_FOR_UPDATE, GET);
        get(self.conn(), text, name).await
    }

    /// Adds a graph.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the name is taken; the database failed.
    pub async fn insert_graph(&mut self, graph: &GraphRecord) -> Result<()> {
        let inserted = on!(self.conn(), c => sqlx::query(INSERT)
            .bind(&graph.name)
            .bind(&graph.project)
            .bind(&graph.namespace)
            .bind(JsonText(&graph.document))
            .bind(&graph.document_digest)
            .bind(graph.desired.as_str())
            .bind(graph.generation)
            .bind(graph.observed_generation)
            .bind(graph.version)
            .bind(graph.static_placement)
            .bind(graph.decision_id)
            .bind(JsonText(&graph.conditions))
            .bind(graph.scaling_requested)
            .bind(graph.scaling_enabled)
            .bind(graph.rescheduled_at.map(micros))
            .bind(micros(graph.created_at))
            .bind(micros(graph.updated_at))
            .execute(c).await?.rows_affected());
        if inserted == 0 {
            return Err(StoreError::Conflict { message: format!("graph {:?} exists already", graph.name) });
        }
        self.touch(&graph.name);
        Ok(())
    }

    /// Writes the mutable fields of a graph (desired state, generations, conditions, decision, scaling, time
    /// of writing) if its version is still the one given, and returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Version`] when it has moved on or the graph is gone; the database failed.
    pub async fn update_graph(&mut self, graph: &GraphRecord) -> Result<i64> {
        let updated = on!(self.conn(), c => sqlx::query(UPDATE)
            .bind(&graph.name)
            .bind(graph.version)
            .bind(graph.desired.as_str())
            .bind(graph.generation)
            .bind(graph.observed_generation)
            .bind(JsonText(&graph.conditions))
            .bind(graph.decision_id)
            .bind(graph.scaling_enabled)
            .bind(graph.rescheduled_at.map(micros))
            .bind(micros(graph.updated_at))
            .execute(c).await?.rows_affected());
        if updated == 0 {
            return Err(StoreError::Version { graph: graph.name.clone() });
        }
        self.touch(&graph.name);
        Ok(graph.version + 1)
    }

    /// Removes a graph with its services and steps of scaling; a missing graph is no error. Decisions,
    /// revisions and events stay.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_graph(&mut self, name: &str) -> Result<()> {
        self.discharge(name).await?;
        on!(self.conn(), c => sqlx::query(DELETE).bind(name).execute(c).await.map(drop))?;
        Ok(())
    }
}

async fn get(conn: Conn<'_>, text: &'static str, name: &str) -> Result<Option<GraphRecord>> {
    let row: Option<GraphRow> = on!(conn, c => sqlx::query_as(text).bind(name).fetch_optional(c).await)?;
    Ok(row.map(GraphRecord::from))
}

/// The row of that name; locked already when this transaction may write it.
pub(super) async fn row(conn: Conn<'_>, name: &str) -> Result<Option<GraphRow>> {
    Ok(on!(conn, c => sqlx::query_as(GET).bind(name).fetch_optional(c).await)?)
}

/// The next running graphs that are scaled, by name, from `after` on; `default` applies where nothing is specified.
pub(super) async fn scaled(conn: Conn<'_>, default: bool, after: &str, limit: i64) -> Result<Vec<GraphRow>> {
    Ok(on!(conn, c => sqlx::query_as(SCALED).bind(default).bind(after).bind(limit).fetch_all(c).await)?)
}
