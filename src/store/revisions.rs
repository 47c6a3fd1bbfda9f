//! Revisions: every accepted descriptor with the decision that came with it. Never changed, never deleted.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::db::{Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::model::RevisionRecord;

const INSERT: &str =
    "INSERT INTO graph_revisions (graph, revision, project, document, decision_id, created_at)
    SELECT $1, COALESCE(MAX(revision), 0) + 1, $2, $3, $4, $5 FROM graph_revisions WHERE graph = $1
    RETURNING revision";
const OF_GRAPH: &str = "SELECT * FROM graph_revisions WHERE graph = $1 ORDER BY revision";

#[derive(sqlx::FromRow)]
struct RevisionRow {
    graph: String,
    revision: i64,
    project: String,
    document: JsonText<Value>,
    decision_id: Option<Uuid>,
    created_at: DateTime<Utc>,
}

impl Store {
    /// The revisions of a graph's name, oldest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn revisions(&self, graph: &str) -> Result<Vec<RevisionRecord>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<RevisionRow> = on!(connection.conn(), c =>
            sqlx::query_as(OF_GRAPH).bind(graph).fetch_all(c).await)?;
        let record = |row: RevisionRow| RevisionRecord {
            graph: row.graph,
            revision: row.revision,
            project: row.project,
            document: row.document.0,
            decision_id: row.decision_id,
            created_at: row.created_at,
        };
        Ok(rows.into_iter().map(record).collect())
    }
}

impl Tx {
    /// Adds the next revision of a graph and returns its number. The graph's row must have been inserted or
    /// locked in this transaction: that keeps two writers from taking the same number.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_revision(
        &mut self,
        graph: &str,
        project: &str,
        document: &Value,
        decision_id: Option<Uuid>,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        Ok(on!(self.conn(), c => sqlx::query_scalar(INSERT)
            .bind(graph)
            .bind(project)
            .bind(JsonText(document))
            .bind(decision_id)
            .bind(micros(now))
            .fetch_one(c).await)?)
    }
}
