//! Decisions of a graph, to be listed, read and replayed.

use uuid::Uuid;

use super::App;
use crate::error::{Error, Result};
use crate::model::{DecisionRecord, DecisionSummary};

impl App {
    /// Decisions about a graph, newest first; of a deleted one too.
    ///
    /// # Errors
    /// No graph of that name ever existed.
    pub async fn list_decisions(
        &self,
        graph: &str,
        limit: i64,
        before: Option<Uuid>,
    ) -> Result<Vec<DecisionSummary>> {
        let decisions = self.parts.store.decisions(graph, limit, before).await?;
        if decisions.is_empty() && !self.parts.store.has_history(graph).await? {
            return Err(Error::no_graph(graph));
        }
        Ok(decisions)
    }

    /// One decision with its problem and its answer.
    ///
    /// # Errors
    /// The graph has no such decision.
    pub async fn get_decision(&self, graph: &str, id: Uuid) -> Result<DecisionRecord> {
        let found = self.parts.store.decision(id).await?.filter(|decision| decision.graph == graph);
        found.ok_or_else(|| Error::NotFound { kind: "decision", name: id.to_string() })
    }
}
