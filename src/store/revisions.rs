//! Revisions: every accepted descriptor with the decision that came with it. Never changed, never deleted.
//!
//! Operators read them in the database; the server itself only asks whether a graph of a name ever existed.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::Result;
use super::db::{Tx, micros, on};
use super::json::JsonText;

const INSERT: &str =
    "INSERT INTO graph_revisions (graph, revision, project, document, decision_id, created_at)
    SELECT $1, COALESCE(MAX(revision), 0) + 1, $2, $3, $4, $5 FROM graph_revisions WHERE graph = $1
    RETURNING revision";

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
