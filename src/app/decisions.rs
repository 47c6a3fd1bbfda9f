//! Decisions of a graph, to be listed, read and replayed.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::App;
use crate::error::{Error, Result};
use crate::model::{DecisionRecord, DecisionSummary};
use crate::optimizer::placement::{Outcome, Plan};

/// What a shadow strategy decided, compared with the real decision.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ShadowDecision)]
pub struct Shadow {
    /// The real decision.
    #[serde(skip)]
    pub of: Uuid,
    /// Its id; it is shown as any decision.
    pub id: Uuid,
    /// Name of the strategy.
    #[schema(example = "cost")]
    pub strategy: String,
    /// `optimal`, `feasible`, `infeasible` or `timed_out`.
    #[schema(example = "optimal")]
    pub outcome: String,
    /// How long deciding took, in milliseconds.
    #[schema(example = 3)]
    pub duration_ms: Option<i64>,
    /// The value of its plan by its own objective; null without a plan.
    #[schema(example = 4.2)]
    pub objective: Option<f64>,
    /// Services that it would have moved from where they were; null without a plan.
    #[schema(example = 1)]
    pub moves: Option<usize>,
    /// Services that it would have put elsewhere than the real decision did.
    pub differs: Vec<Difference>,
}

/// A service that two decisions put on different clusters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ShadowDifference)]
pub struct Difference {
    /// Name of the service.
    #[schema(example = "noise-reduction")]
    pub service: String,
    /// Where the real decision put it.
    #[schema(example = "edge-1")]
    pub real: String,
    /// Where the shadow would have put it.
    #[schema(example = "cloud")]
    pub shadow: String,
}

impl Shadow {
    fn new(of: Uuid, record: DecisionRecord, real: Option<&Plan>) -> Self {
        let plan = plan_of(&record);
        let differs = match (real, &plan) {
            (Some(real), Some(plan)) => differences(real, plan),
            _ => Vec::new(),
        };
        let DecisionRecord { id, strategy, outcome, duration_ms, .. } = record;
        let moved = |plan: &Plan| plan.explanation.iter().filter(|one| one.moved_from.is_some()).count();
        Self {
            of,
            id,
            strategy,
            outcome,
            duration_ms,
            objective: plan.as_ref().map(|plan| plan.objective.total),
            moves: plan.as_ref().map(moved),
            differs,
        }
    }
}

fn differences(real: &Plan, shadow: &Plan) -> Vec<Difference> {
    let pairs = real.assignment.iter().filter_map(|(service, real)| {
        let shadow = shadow.assignment.get(service).filter(|shadow| *shadow != real)?;
        Some(Difference { service: service.clone(), real: real.clone(), shadow: shadow.clone() })
    });
    pairs.collect()
}

/// The plan of a recorded placement; `None` without one, or when another version wrote it.
fn plan_of(record: &DecisionRecord) -> Option<Plan> {
    let outcome: Outcome = serde_json::from_value(record.plan.clone()).ok()?;
    outcome.plan().cloned()
}

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

    /// What shadow strategies decided beside some decisions about a graph, which are given newest first.
    ///
    /// # Errors
    /// The database failed.
    pub async fn shadows_of(&self, graph: &str, decisions: &[DecisionSummary]) -> Result<Vec<Shadow>> {
        let (Some(last), Some(first)) = (decisions.first(), decisions.last()) else { return Ok(Vec::new()) };
        let mut shadows = Vec::new();
        let mut real: Option<(Uuid, Option<Plan>)> = None;
        for record in self.parts.store.shadows(graph, first.id, last.id).await? {
            let Some(of) = record.shadow_of else { continue };
            if real.as_ref().is_none_or(|(id, _)| *id != of) {
                let record = self.parts.store.decision(of).await?;
                real = Some((of, record.as_ref().and_then(plan_of)));
            }
            let plan = real.as_ref().and_then(|(_, plan)| plan.as_ref());
            shadows.push(Shadow::new(of, record, plan));
        }
        Ok(shadows)
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
