//! Decisions: each with its whole problem and its answer. Never deleted, and never changed but for the time
//! at which a proposal was applied.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::db::{Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::model::{DecisionRecord, DecisionSummary};

const INSERT: &str = "INSERT INTO decisions (id, graph, kind, problem, plan, strategy, outcome, duration_ms,
        created_at, applied_at, shadow_of)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const GET: &str = "SELECT * FROM decisions WHERE id = $1";
const LIST: &str = "SELECT id, graph, kind, strategy, outcome, duration_ms, created_at, applied_at
    FROM decisions WHERE graph = $1 AND shadow_of IS NULL AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
const SHADOWS: &str = "SELECT * FROM decisions
    WHERE graph = $1 AND shadow_of >= $2 AND shadow_of <= $3 ORDER BY shadow_of, id";
const APPLY: &str = "UPDATE decisions SET applied_at = $2 WHERE id = $1 AND applied_at IS NULL";

#[derive(sqlx::FromRow)]
struct DecisionRow {
    id: Uuid,
    graph: String,
    kind: String,
    problem: JsonText<Value>,
    plan: JsonText<Value>,
    strategy: String,
    outcome: String,
    duration_ms: Option<i64>,
    created_at: DateTime<Utc>,
    applied_at: Option<DateTime<Utc>>,
    shadow_of: Option<Uuid>,
}

impl From<DecisionRow> for DecisionRecord {
    fn from(row: DecisionRow) -> Self {
        Self {
            id: row.id,
            graph: row.graph,
            kind: row.kind,
            problem: row.problem.0,
            plan: row.plan.0,
            strategy: row.strategy,
            outcome: row.outcome,
            duration_ms: row.duration_ms,
            created_at: row.created_at,
            applied_at: row.applied_at,
            shadow_of: row.shadow_of,
        }
    }
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    id: Uuid,
    graph: String,
    kind: String,
    strategy: String,
    outcome: String,
    duration_ms: Option<i64>,
    created_at: DateTime<Utc>,
    applied_at: Option<DateTime<Utc>>,
}

impl From<SummaryRow> for DecisionSummary {
    fn from(row: SummaryRow) -> Self {
        Self {
            id: row.id,
            graph: row.graph,
            kind: row.kind,
            strategy: row.strategy,
            outcome: row.outcome,
            duration_ms: row.duration_ms,
            created_at: row.created_at,
            applied_at: row.applied_at,
        }
    }
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
        Ok(row.map(DecisionRecord::from))
    }

    /// Real decisions about a graph without their documents, newest first, at most `limit`; only those older than
    /// `before` (the last of the page before).
    ///
    /// # Errors
    /// The database failed.
    pub async fn decisions(
        &self,
        graph: &str,
        limit: i64,
        before: Option<Uuid>,
    ) -> Result<Vec<DecisionSummary>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<SummaryRow> = on!(connection.conn(), c => sqlx::query_as(LIST)
            .bind(graph)
            .bind(before)
            .bind(limit)
            .fetch_all(c).await)?;
        Ok(rows.into_iter().map(DecisionSummary::from).collect())
    }

    /// The shadows of the decisions about a graph from one id to another, both included, by these decisions.
    ///
    /// # Errors
    /// The database failed.
    pub async fn shadows(&self, graph: &str, first: Uuid, last: Uuid) -> Result<Vec<DecisionRecord>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<DecisionRow> = on!(connection.conn(), c =>
            sqlx::query_as(SHADOWS).bind(graph).bind(first).bind(last).fetch_all(c).await)?;
        Ok(rows.into_iter().map(DecisionRecord::from).collect())
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
            .bind(&decision.strategy)
            .bind(&decision.outcome)
            .bind(decision.duration_ms)
            .bind(micros(decision.created_at))
            .bind(decision.applied_at.map(micros))
            .bind(decision.shadow_of)
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Records when the plan of a decision became the desired state. `false` when it had become so before, or
    /// there is no such decision: then nothing is written.
    ///
    /// # Errors
    /// The database failed.
    pub async fn mark_decision_applied(&mut self, id: Uuid, at: DateTime<Utc>) -> Result<bool> {
        let marked = on!(self.conn(), c =>
            sqlx::query(APPLY).bind(id).bind(micros(at)).execute(c).await?.rows_affected());
        Ok(marked == 1)
    }
}
