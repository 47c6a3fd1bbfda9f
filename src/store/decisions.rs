//! Decisions: each with its whole problem and its answer. Never changed, never deleted.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::db::{Tx, micros, on};
use super::json::JsonText;
use super::{DecisionRecord, Result, Store};

const INSERT: &str = "INSERT INTO decisions (id, graph, kind, problem, plan, created_at)
    VALUES ($1, $2, $3, $4, $5, $6)";
const GET: &str = "SELECT * FROM decisions WHERE id = $1";

#[derive(sqlx::FromRow)]
struct DecisionRow {
    id: Uuid,
    graph: String,
    kind: String,
    problem: JsonText<Value>,
    plan: JsonText<Value>,
    created_at: DateTime<Utc>,
}

impl Store {
    /// The decision of that id.
    ///
    /// # Errors
    /// The database failed.
    pub async fn decision(&self, id: Uuid) -> Result<Option<DecisionRecord>> {
        let mut connection = self.db.acquire().await?;
        let row: Option<DecisionRow> = on!(connection.conn(), c =>
            sqlx::query_as(GET).bind(id).fetch_optional(c).await)?;
        Ok(row.map(|row| DecisionRecord {
            id: row.id,
            graph: row.graph,
            kind: row.kind,
            problem: row.problem.0,
            plan: row.plan.0,
            created_at: row.created_at,
        }))
    }
}

impl Tx {
    /// Adds a decision.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_decision(&mut self, decision: &DecisionRecord) -> Result<()> {
        on!(self.conn(), c => sqlx::query(INSERT)
            .bind(decision.id)
            .bind(&decision.graph)
            .bind(&decision.kind)
            .bind(JsonText(&decision.problem))
            .bind(JsonText(&decision.plan))
            .bind(micros(decision.created_at))
            .execute(c).await.map(drop))?;
        Ok(())
    }
}
