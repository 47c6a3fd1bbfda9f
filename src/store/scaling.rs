//! Scaling ticks: the last few of each graph, written for all graphs at once.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::QueryBuilder;

use super::db::{CHUNK, Conn, Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::model::{ScalingTick, TickReport};

const LIST: &str = "SELECT graph, at, data FROM scaling_ticks WHERE graph = $1 ORDER BY id DESC LIMIT $2";
const OLD: &str = "DELETE FROM scaling_ticks WHERE id IN (SELECT id FROM (
        SELECT id, ROW_NUMBER() OVER (PARTITION BY graph ORDER BY id DESC) AS position
        FROM scaling_ticks WHERE graph IN (";

#[derive(sqlx::FromRow)]
struct TickRow {
    graph: String,
    at: DateTime<Utc>,
    data: JsonText<TickReport>,
}

impl Store {
    /// The last scaling ticks of a graph, newest first, at most `limit`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn scaling_ticks(&self, graph: &str, limit: i64) -> Result<Vec<ScalingTick>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<TickRow> = on!(connection.conn(), c =>
            sqlx::query_as(LIST).bind(graph).bind(limit).fetch_all(c).await)?;
        let tick = |row: TickRow| ScalingTick { graph: row.graph, at: row.at, report: row.data.0 };
        Ok(rows.into_iter().map(tick).collect())
    }
}

impl Tx {
    /// Adds steps of scaling of any number of graphs, and deletes all but the newest `keep` of each of them.
    /// A step of a graph that is gone meanwhile is left out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn insert_scaling_ticks(&mut self, ticks: &[ScalingTick], keep: i64) -> Result<()> {
        for chunk in ticks.chunks(CHUNK) {
            let named: BTreeSet<&str> = chunk.iter().map(|tick| tick.graph.as_str()).collect();
            // Until the end of the transaction these graphs cannot be deleted; all other writes to them
            // continue.
            let lock = self.locking(" FOR KEY SHARE", "");
            let there = existing(self.conn(), &named, lock).await?;
            let ticks: Vec<&ScalingTick> = chunk.iter().filter(|tick| there.contains(&tick.graph)).collect();
            if !ticks.is_empty() {
                insert(self.conn(), &ticks).await?;
                delete_old(self.conn(), &there, keep).await?;
            }
        }
        Ok(())
    }
}

/// Those of the graphs that exist.
async fn existing(conn: Conn<'_>, graphs: &BTreeSet<&str>, lock: &str) -> Result<BTreeSet<String>> {
    let names: Vec<String> = on!(conn, c => {
        let mut query = QueryBuilder::new("SELECT name FROM graphs WHERE name IN (");
        let mut list = query.separated(", ");
        for graph in graphs {
            list.push_bind(*graph);
        }
        query.push(")").push(lock);
        query.build_query_scalar().persistent(false).fetch_all(c).await
    })?;
    Ok(names.into_iter().collect())
}

async fn insert(conn: Conn<'_>, ticks: &[&ScalingTick]) -> Result<()> {
    on!(conn, c => {
        let mut query = QueryBuilder::new("INSERT INTO scaling_ticks (graph, at, data) ");
        query.push_values(ticks, |mut row, tick| {
            row.push_bind(&tick.graph).push_bind(micros(tick.at)).push_bind(JsonText(&tick.report));
        });
        query.build().persistent(false).execute(c).await.map(drop)
    })?;
    Ok(())
}

async fn delete_old(conn: Conn<'_>, graphs: &BTreeSet<String>, keep: i64) -> Result<()> {
    on!(conn, c => {
        let mut query = QueryBuilder::new(OLD);
        let mut list = query.separated(", ");
        for graph in graphs {
            list.push_bind(graph);
        }
        query.push(")) AS numbered WHERE position > ").push_bind(keep).push(")");
        query.build().persistent(false).execute(c).await.map(drop)
    })?;
    Ok(())
}
