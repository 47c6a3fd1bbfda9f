//! Places a graph that exists again: as a proposal, by a proposal, or at once.

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::policy::{Occasion, PlacementOptions};
use super::problem::problem;
use crate::app::planner::{Caller, Decided, PLACEMENT, verify_placement};
use crate::app::{Accepted, App, RequestContext};
use crate::error::{Error, Result};
use crate::hdag::{Descriptor, release_values, service_import_clusters};
use crate::model::event::{self, Cause};
use crate::model::now;
use crate::model::{DecisionRecord, Desired, GraphRecord};
use crate::optimizer::DecisionContext;
use crate::optimizer::placement::{Outcome, Plan, Problem, changes};

/// A service that changes its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The service.
    pub service: String,
    /// Where it is.
    pub from: String,
    /// Where it goes.
    pub to: String,
}

/// A placement that was decided but not carried out.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The decision.
    pub decision: DecisionRecord,
    /// What it would move.
    pub moves: Vec<Move>,
}

/// A placement that was decided and recorded as wanted.
#[derive(Debug, Clone)]
pub struct Rescheduling {
    /// The graph and how far it is.
    pub accepted: Accepted,
    /// The decision.
    pub plan_id: Uuid,
    /// What it moves.
    pub moves: Vec<Move>,
}

/// What is to be recorded besides a plan.
struct Recorded<'a> {
    /// The decision is not in the store yet.
    new: bool,
    /// Replicas that the plan was made for, where they are not those that were wanted before.
    replicas: &'a BTreeMap<String, i64>,
}

/// No changed replicas.
static UNCHANGED: BTreeMap<String, i64> = BTreeMap::new();

impl Recorded<'static> {
    fn not_yet() -> Self {
        Self { new: true, replicas: &UNCHANGED }
    }

    fn before() -> Self {
        Self { new: false, replicas: &UNCHANGED }
    }
}

impl App {
    /// Decides a new placement of a running graph without carrying it out.
    ///
    /// # Errors
    /// The graph does not exist, does not run or has a static placement; there is no placement; Karmada does not
    /// answer and what is known is too old.
    pub async fn propose_placement(&self, name: &str, options: &PlacementOptions) -> Result<Proposal> {
        let (graph, descriptor) = self.placeable(name).await?;
        let decided =
            self.decide_rescheduling(&graph, &descriptor, options, &UNCHANGED, Caller::DryRun).await?;
        self.record_decision(&decided.record).await?;
        Ok(Proposal { moves: moves(decided.plan()?), decision: decided.record })
    }

    /// Decides a new placement of a running graph and has it carried out: only what moves, and what is wired to it,
    /// is upgraded.
    ///
    /// # Errors
    /// As [`Self::propose_placement`].
    pub async fn reschedule_graph(
        &self,
        name: &str,
        options: &PlacementOptions,
        context: &RequestContext,
    ) -> Result<Rescheduling> {
        let (graph, plan_id, moves) = {
            let _deciding = self.parts.deciding.lock().await;
            let (graph, descriptor) = self.placeable(name).await?;
            let decided =
                self.decide_rescheduling(&graph, &descriptor, options, &UNCHANGED, Caller::Request).await?;
            let (id, moves) = (decided.record.id, moves(self.plan_or_record(&decided).await?));
            (
                self.record_placement(graph, &descriptor, &decided, Recorded::not_yet(), &context.cause())
                    .await?,
                id,
                moves,
            )
        };
        self.await_rescheduling(graph, plan_id, moves, context).await
    }

    /// Carries out a proposal, unless the snapshot has changed since it was made.
    ///
    /// # Errors
    /// The proposal does not exist, was carried out before, or does not fit the snapshot any more (the changes are named).
    pub async fn apply_plan(
        &self,
        name: &str,
        plan_id: Uuid,
        context: &RequestContext,
    ) -> Result<Rescheduling> {
        let (graph, moves) = {
            let _deciding = self.parts.deciding.lock().await;
            let (graph, descriptor) = self.placeable(name).await?;
            let missing = || Error::NotFound { kind: "plan", name: plan_id.to_string() };
            let record = self.parts.store.decision(plan_id).await?.ok_or_else(missing)?;
            if record.graph != name || record.kind != PLACEMENT {
                return Err(missing());
            }
            if let Some(at) = record.applied_at {
                let at = at.format("%Y-%m-%d %H:%M:%S UTC");
                return Err(Error::Conflict(format!("plan {plan_id} was applied at {at}")));
            }
            let (planned, outcome) = read(&record)?;
            let decided = Decided { outcome, record };
            let moves = moves(decided.plan()?);
            let now = self.current_problem(&graph, &descriptor, &planned).await?;
            let changes = changes(&planned, &now);
            if !changes.is_empty() {
                return Err(Error::WorldChanged { plan: plan_id.to_string(), changes });
            }
            verify_placement(&now, &decided.outcome)?;
            (
                self.record_placement(graph, &descriptor, &decided, Recorded::before(), &context.cause())
                    .await?,
                moves,
            )
        };
        self.await_rescheduling(graph, plan_id, moves, context).await
    }

    /// Places a graph again because a service needs more replicas than its cluster has room for.
    ///
    /// # Errors
    /// As [`Self::reschedule_graph`]; also when the graph was changed since its replicas were decided.
    pub(in crate::app) async fn reschedule_for_scaling(
        &self,
        known: &GraphRecord,
        replicas: &BTreeMap<String, i64>,
    ) -> Result<Vec<Move>> {
        let _deciding = self.parts.deciding.lock().await;
        let (graph, descriptor) = self.placeable(&known.name).await?;
        if graph.generation != known.generation {
            return Err(Error::changed_meanwhile(&graph.name));
        }
        let decided = self
            .decide_rescheduling(&graph, &descriptor, &PlacementOptions::default(), replicas, Caller::Loop)
            .await?;
        let moves = moves(self.plan_or_record(&decided).await?);
        let graph = GraphRecord { rescheduled_at: Some(decided.record.created_at), ..graph };
        let recorded = Recorded { new: true, replicas };
        self.record_placement(graph, &descriptor, &decided, recorded, &Cause::internal("scaling")).await?;
        Ok(moves)
    }

    /// The graph and its descriptor, if a placement of it can be decided.
    async fn placeable(&self, name: &str) -> Result<(GraphRecord, Descriptor)> {
        let graph = self.parts.store.graph(name).await?.ok_or_else(|| Error::no_graph(name))?;
        match graph.desired {
            Desired::Running => {}
            Desired::Stopped => {
                return Err(Error::State(format!(
                    "graph {name:?} is stopped: start it before it is placed again"
                )));
            }
            Desired::Deleted => return Err(Error::Conflict(format!("graph {name:?} is being deleted"))),
        }
        if graph.static_placement {
            return Err(Error::Conflict(format!("graph {name:?} has a static placement: its charts decide")));
        }
        let descriptor = self.descriptor_of(&graph)?;
        Ok((graph, descriptor))
    }

    /// The plan of a decision; one that found none is kept all the same, since somebody will ask why.
    async fn plan_or_record<'a>(&self, decided: &'a Decided) -> Result<&'a Plan> {
        let plan = decided.plan();
        if plan.is_err() {
            self.record_decision(&decided.record).await?;
        }
        plan
    }

    pub(in crate::app) async fn record_decision(&self, record: &DecisionRecord) -> Result<()> {
        let mut tx = self.parts.store.begin().await?;
        tx.insert_decision(record).await?;
        Ok(tx.commit("decision").await?)
    }

    async fn decide_rescheduling(
        &self,
        graph: &GraphRecord,
        descriptor: &Descriptor,
        options: &PlacementOptions,
        replicas: &BTreeMap<String, i64>,
        caller: Caller,
    ) -> Result<Decided> {
        let at = now();
        self.refresh_clusters().await?;
        let context = DecisionContext::new(descriptor, &graph.project, at);
        let policy = self.policy_of(descriptor, &context, Occasion::Again, options).await?;
        let snapshot = self.snapshot_at(at).await?;
        let mut problem = problem(descriptor, &snapshot.inputs(), policy);
        for service in &mut problem.services {
            if let Some(wanted) = replicas.get(&service.name) {
                service.replicas = crate::optimizer::placement::ReplicaBounds::exactly(*wanted);
            }
        }
        self.parts.planner.place(problem, &context, caller).await
    }

    /// The problem that a plan was made for, as it would be made now.
    async fn current_problem(
        &self,
        graph: &GraphRecord,
        descriptor: &Descriptor,
        planned: &Problem,
    ) -> Result<Problem> {
        let at = now();
        self.refresh_clusters().await?;
        let options =
            PlacementOptions { strategy: Some(planned.strategy.to_string()), strict: Some(planned.strict) };
        let context = DecisionContext::new(descriptor, &graph.project, at);
        let policy = self.policy_of(descriptor, &context, Occasion::Again, &options).await?;
        let snapshot = self.snapshot_at(at).await?;
        Ok(problem(descriptor, &snapshot.inputs(), policy))
    }

    /// Reads the clusters now; when Karmada does not answer, what was known last has to be young enough.
    async fn refresh_clusters(&self) -> Result<()> {
        match self.parts.clusters.sync().await {
            Err(Error::Client(error)) => {
                tracing::warn!("the clusters could not be read, the last known state counts: {error}");
                Ok(())
            }
            other => other,
        }
    }

    /// Makes a plan what is wanted, in one transaction, and wakes the graph's task.
    async fn record_placement(
        &self,
        mut graph: GraphRecord,
        descriptor: &Descriptor,
        decided: &Decided,
        recorded: Recorded<'_>,
        cause: &Cause,
    ) -> Result<GraphRecord> {
        let at = now();
        let plan = decided.plan()?;
        let moves = moves(plan);
        let _wake = self.parts.supervisor.wake_on_drop(&graph.name);
        let mut tx = self.parts.store.begin().await?;
        if recorded.new {
            let record = DecisionRecord { applied_at: Some(at), ..decided.record.clone() };
            tx.insert_decision(&record).await?;
        } else {
            tx.mark_decision_applied(decided.record.id, at).await?;
        }
        let current = tx.graph(&graph.name).await?.ok_or_else(|| Error::no_graph(&graph.name))?;
        if current.generation != graph.generation {
            return Err(Error::changed_meanwhile(&graph.name));
        }
        graph = GraphRecord { rescheduled_at: graph.rescheduled_at, ..current };
        if !(moves.is_empty() && recorded.replicas.is_empty()) {
            let imports = service_import_clusters(descriptor, &plan.assignment);
            for mut record in tx.services(&graph.name).await? {
                let Some(service) = descriptor.service(&record.name) else { continue };
                record.cluster = plan.assignment.get(&record.name).cloned();
                let import_clusters = imports.get(&record.name).map(Vec::as_slice).unwrap_or_default();
                record.values = release_values(service, record.cluster.as_deref(), import_clusters);
                if let Some(replicas) = recorded.replicas.get(&record.name) {
                    record.replicas_decided = Some(*replicas);
                }
                tx.update_service_intent(&record).await?;
            }
            graph.generation += 1;
            graph.updated_at = at;
        }
        // Also when nothing moves: this is why everything is where it is.
        graph.decision_id = Some(decided.record.id);
        graph.version = tx.update_graph(&graph).await?;
        let moved: Vec<_> = moves
            .iter()
            .map(|moved| json!({ "service": moved.service, "from": moved.from, "to": moved.to }))
            .collect();
        let data = json!({ "decision": decided.record.id, "strategy": plan.strategy, "moves": moved });
        tx.insert_event(&cause.graph_event(event::GRAPH_PLACED, &graph.name, data), at).await?;
        tx.commit("placement").await?;
        self.note_placement();
        tracing::info!(graph.name = %graph.name, moves = moves.len(), "graph {} placed again", graph.name);
        Ok(graph)
    }

    async fn await_rescheduling(
        &self,
        graph: GraphRecord,
        plan_id: Uuid,
        moves: Vec<Move>,
        context: &RequestContext,
    ) -> Result<Rescheduling> {
        let progress = self.carry_out(&graph, context).await;
        let view = self.get_graph(&graph.name).await?;
        let completed = progress.done || moves.is_empty();
        let accepted = Accepted { view, completed, warnings: Vec::new(), unchanged: moves.is_empty() };
        Ok(Rescheduling { accepted, plan_id, moves })
    }
}

/// Problem and answer of a recorded decision.
fn read(record: &DecisionRecord) -> Result<(Problem, Outcome)> {
    let internal = |error: serde_json::Error| Error::Internal(error.into());
    let problem: Problem = serde_json::from_value(record.problem.clone()).map_err(internal)?;
    let outcome: Outcome = serde_json::from_value(record.plan.clone()).map_err(internal)?;
    Ok((problem, outcome))
}

fn moves(plan: &Plan) -> Vec<Move> {
    let moved = |service: &crate::optimizer::placement::ServiceExplanation| {
        let from = service.moved_from.clone()?;
        Some(Move { service: service.service.clone(), from, to: service.cluster.clone() })
    };
    plan.explanation.iter().filter_map(moved).collect()
}
