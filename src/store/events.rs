//! Events: an append-only outbox, written in the transaction of the change it reports.
//!
//! Sequence numbers grow in the order of writing and have gaps. On PostgreSQL a transaction may commit after
//! one that began later, so a reader that follows all graphs must not conclude from the highest number seen
//! that it has seen all below. Within one graph the order holds, since writers of a graph lock its row first.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::db::{Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::model::{EventRecord, NewEvent};

const INSERT: &str = "INSERT INTO events (time, kind, graph, subject, actor, request_id, data)
    VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING seq";
const OF_GRAPH: &str = "SELECT * FROM events WHERE graph = $1 AND seq > $2 ORDER BY seq LIMIT $3";
const HAS_HISTORY: &str = "SELECT CAST(CASE WHEN EXISTS (SELECT 1 FROM events WHERE graph = $1)
    OR EXISTS (SELECT 1 FROM graph_revisions WHERE graph = $1) THEN 1 ELSE 0 END AS BIGINT)";

#[derive(sqlx::FromRow)]
struct EventRow {
    seq: i64,
    time: DateTime<Utc>,
    kind: String,
    graph: Option<String>,
    subject: String,
    actor: String,
    request_id: Option<String>,
    data: JsonText<Value>,
}

impl Store {
    /// Events of a graph with a sequence number above `after`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn events(&self, graph: &str, after: i64, limit: i64) -> Result<Vec<EventRecord>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<EventRow> = on!(connection.conn(), c => sqlx::query_as(OF_GRAPH)
            .bind(graph)
            .bind(after)
            .bind(limit)
            .fetch_all(c).await)?;
        let record = |row: EventRow| EventRecord {
            seq: row.seq,
            time: row.time,
            kind: row.kind,
            graph: row.graph,
            subject: row.subject,
            actor: row.actor,
            request_id: row.request_id,
            data: row.data.0,
        };
        Ok(rows.into_iter().map(record).collect())
    }

    /// Whether a graph of that name exists or ever existed.
    ///
    /// # Errors
    /// The database failed.
    pub async fn has_history(&self, graph: &str) -> Result<bool> {
        let mut connection = self.db.acquire().await?;
        let found: i64 = on!(connection.conn(), c =>
            sqlx::query_scalar(HAS_HISTORY).bind(graph).fetch_one(c).await)?;
        Ok(found == 1)
    }
}

impl Tx {
    /// Adds an event and returns its sequence number.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_event(&mut self, event: &NewEvent, now: DateTime<Utc>) -> Result<i64> {
        Ok(on!(self.conn(), c => sqlx::query_scalar(INSERT)
            .bind(micros(now))
            .bind(&event.kind)
            .bind(event.graph.as_deref())
            .bind(&event.subject)
            .bind(&event.actor)
            .bind(event.request_id.as_deref())
            .bind(JsonText(&event.data))
            .fetch_one(c).await)?)
    }
}
