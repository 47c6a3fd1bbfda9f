//! Rescheduling of an existing graph: as a proposal, by applying a proposal, or at once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::policy::Occasion;
use super::problem::problem;
use crate::app::change::Change;
use crate::app::ledger::until_uncontended;
use crate::app::lifecycle::change_desired;
use crate::app::planner::{Caller, Decided, PLACEMENT};
use crate::app::{Accepted, App, RequestContext};
use crate::error::{Error, Result};
use crate::hdag::{Descriptor, release_values, service_import_clusters};
use crate::model::event;
use crate::model::{Cause, DecisionRecord, Desired, GraphRecord, NewEvent, now};
use crate::optimizer::DecisionContext;
use crate::optimizer::placement::{
    Outcome, PlacementRequest, Plan, Problem, ReplicaBounds, broken_constraints, changes,
};

/// A service that changes its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The service.
    pub service: String,
    /// Where it is.
    pub from: String,
    /// Its new cluster.
    pub to: String,
}

/// A placement that was decided but not carried out.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// The decision.
    pub decision: DecisionRecord,
    /// The services it would move.
    pub moves: Vec<Move>,
}

/// A placement that was decided and recorded as the desired state.
#[derive(Debug, Clone)]
pub struct Rescheduling {
    /// The graph and how far it is.
    pub accepted: Accepted,
    /// The decision.
    pub plan_id: Uuid,
    /// The services it moves.
    pub moves: Vec<Move>,
}

/// A plan that is about to become the desired placement.
struct PlanToApply<'a> {
    decided: &'a Decided,
    /// The decision is not in the store yet.
    is_new: bool,
    /// Replicas that the plan was made for, where they differ from the previously desired ones.
    replicas: &'a BTreeMap<String, i64>,
    /// When a step of scaling asked for it.
    rescheduled_at: Option<DateTime<Utc>>,
    /// The graph is stopped and starts with it.
    starts: bool,
}

impl<'a> PlanToApply<'a> {
    fn new(decided: &'a Decided) -> Self {
        Self { decided, is_new: true, replicas: &UNCHANGED, rescheduled_at: None, starts: false }
    }
}

/// No changed replicas.
static UNCHANGED: BTreeMap<String, i64> = BTreeMap::new();

impl App {
    /// Decides a new placement of a running graph without carrying it out.
    ///
    /// # Errors
    /// The graph does not exist, does not run or has a static placement; there is no placement; Karmada does
    /// not answer and the known state is too old.
    pub async fn propose_placement(&self, name: &str, options: &PlacementRequest) -> Result<Proposal> {
        let (graph, descriptor) = self.placeable(name).await?;
        let decided =
            self.decide_rescheduling(&graph, &descriptor, options, &UNCHANGED, Caller::DryRun).await?;
        self.record_decision(&decided.record).await?;
        Ok(Proposal { moves: moves(decided.plan()?), decision: decided.record })
    }

    /// Decides a new placement of a running graph and has it carried out: only moved services, and those
    /// wired to them, are upgraded.
    ///
    /// # Errors
    /// As [`Self::propose_placement`].
    pub async fn reschedule_graph(
        &self,
        name: &str,
        options: &PlacementRequest,
        context: &RequestContext,
    ) -> Result<Rescheduling> {
        let (graph, plan_id, moves) =
            until_uncontended(|| self.try_to_reschedule(name, options, context)).await?;
        self.await_rescheduling(graph, plan_id, moves, context).await
    }

    /// Carries out a proposal, unless the snapshot has changed since it was made.
    ///
    /// # Errors
    /// The proposal does not exist, was carried out before, or does not fit the snapshot any more (the
    /// changes are named).
    pub async fn apply_plan(
        &self,
        name: &str,
        plan_id: Uuid,
        context: &RequestContext,
    ) -> Result<Rescheduling> {
        let (graph, moves) = until_uncontended(|| self.try_to_apply(name, plan_id, context)).await?;
        self.await_rescheduling(graph, plan_id, moves, context).await
    }

    async fn try_to_reschedule(
        &self,
        name: &str,
        options: &PlacementRequest,
        context: &RequestContext,
    ) -> Result<(GraphRecord, Uuid, Vec<Move>)> {
        let (graph, descriptor) = self.placeable(name).await?;
        let decided =
            self.decide_rescheduling(&graph, &descriptor, options, &UNCHANGED, Caller::Request).await?;
        let moves = moves(self.plan_or_record(&decided).await?);
        let graph = self.apply(graph, &descriptor, PlanToApply::new(&decided), context.cause()).await?;
        Ok((graph, decided.record.id, moves))
    }

    /// Makes a recorded plan the desired state, if it is still applicable.
    async fn try_to_apply(
        &self,
        name: &str,
        plan_id: Uuid,
        context: &RequestContext,
    ) -> Result<(GraphRecord, Vec<Move>)> {
        let (graph, descriptor) = self.placeable(name).await?;
        let missing = || Error::NotFound { kind: "plan", name: plan_id.to_string() };
        let record = self.parts.store.decision(plan_id).await?.ok_or_else(missing)?;
        if record.graph != name || record.kind != PLACEMENT || record.shadow_of.is_some() {
            return Err(missing());
        }
        if let Some(at) = record.applied_at {
            let at = at.format("%Y-%m-%d %H:%M:%S UTC");
            return Err(Error::Conflict(format!("plan {plan_id} was applied at {at}")));
        }
        let (planned, outcome) = read(&record)?;
        let decided = Decided { outcome, record };
        let moves = moves(decided.plan()?);
        let current = self.current_problem(&graph, &descriptor, &planned).await?;
        let changes = changes(&planned, &current);
        if !changes.is_empty() {
            return Err(Error::WorldChanged { plan: plan_id.to_string(), changes });
        }
        // Within the changes that count as none, a latency may have crossed the bound of a link.
        let changes = broken_constraints(&current, decided.plan()?);
        if !changes.is_empty() {
            return Err(Error::WorldChanged { plan: plan_id.to_string(), changes });
        }
        let plan = PlanToApply { is_new: false, ..PlanToApply::new(&decided) };
        Ok((self.apply(graph, &descriptor, plan, context.cause()).await?, moves))
    }

    /// Places a graph again because a service needs more replicas than fit its cluster.
    ///
    /// # Errors
    /// As [`Self::reschedule_graph`]; also when the graph was changed since its replicas were decided.
    pub(in crate::app) async fn reschedule_for_scaling(
        &self,
        known: &GraphRecord,
        replicas: &BTreeMap<String, i64>,
    ) -> Result<Vec<Move>> {
        until_uncontended(|| self.try_to_reschedule_for_scaling(known, replicas)).await
    }

    async fn try_to_reschedule_for_scaling(
        &self,
        known: &GraphRecord,
        replicas: &BTreeMap<String, i64>,
    ) -> Result<Vec<Move>> {
        let (graph, descriptor) = self.placeable(&known.name).await?;
        if (graph.generation, graph.scaling_enabled) != (known.generation, known.scaling_enabled) {
            return Err(Error::changed_meanwhile(&graph.name));
        }
        let options = PlacementRequest::default();
        let decided = self.decide_rescheduling(&graph, &descriptor, &options, replicas, Caller::Loop).await?;
        let moves = moves(self.plan_or_record(&decided).await?);
        let rescheduled_at = Some(decided.record.created_at);
        let plan = PlanToApply { replicas, rescheduled_at, ..PlanToApply::new(&decided) };
        self.apply(graph, &descriptor, plan, Cause::internal("scaling")).await?;
        Ok(moves)
    }

    /// Starts a stopped graph whose old places have no capacity for it: decides where it goes.
    ///
    /// # Errors
    /// It was changed since it was read; otherwise as [`Self::reschedule_graph`].
    pub(in crate::app) async fn start_elsewhere(
        &self,
        graph: GraphRecord,
        context: &RequestContext,
    ) -> Result<GraphRecord> {
        let descriptor = self.descriptor_of(&graph)?;
        let options = PlacementRequest::default();
        let decided =
            self.decide_rescheduling(&graph, &descriptor, &options, &UNCHANGED, Caller::Request).await?;
        self.plan_or_record(&decided).await?;
        let plan = PlanToApply { starts: true, ..PlanToApply::new(&decided) };
        self.apply(graph, &descriptor, plan, context.cause()).await
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

    /// The plan of a decision; a decision without a plan is kept too, since users will ask for the reason.
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
        options: &PlacementRequest,
        replicas: &BTreeMap<String, i64>,
        caller: Caller,
    ) -> Result<Decided> {
        let at = now();
        self.parts.ledger.refresh().await?;
        let context = DecisionContext::new(descriptor, &graph.project, at);
        let policy = self.policy_of(descriptor, &context, Occasion::Again, options).await?;
        let snapshot = self.parts.ledger.snapshot_for(&graph.name, at).await?;
        let is_running = graph.desired == Desired::Running;
        let mut problem = problem(descriptor, &snapshot, &[], policy, is_running);
        problem.requested = options.clone();
        for service in &mut problem.services {
            if let Some(wanted) = replicas.get(&service.name) {
                service.replicas = ReplicaBounds::exactly(*wanted);
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
        self.parts.ledger.refresh().await?;
        let options = PlacementRequest {
            strategy: Some(planned.strategy.to_string()),
            strict: Some(planned.strict),
            ..planned.requested.clone()
        };
        let at = now();
        let context = DecisionContext::new(descriptor, &graph.project, at);
        let policy = self.policy_of(descriptor, &context, Occasion::Again, &options).await?;
        let snapshot = self.parts.ledger.snapshot_for(&graph.name, at).await?;
        Ok(problem(descriptor, &snapshot, &[], policy, graph.desired == Desired::Running))
    }

    /// Makes a plan the desired placement.
    async fn apply(
        &self,
        known: GraphRecord,
        descriptor: &Descriptor,
        plan: PlanToApply<'_>,
        cause: Cause,
    ) -> Result<GraphRecord> {
        let (mut change, mut graph) = Change::begin_graph(&self.parts, &known.name, cause).await?;
        let is_switched = plan.rescheduled_at.is_some() && graph.scaling_enabled != known.scaling_enabled;
        if graph.generation != known.generation || is_switched {
            return Err(Error::changed_meanwhile(&graph.name));
        }
        let decided = plan.decided;
        if plan.is_new {
            let record = DecisionRecord { applied_at: Some(change.at), ..decided.record.clone() };
            change.tx.insert_decision(&record).await?;
        } else {
            let first = change.tx.mark_decision_applied(decided.record.id, change.at).await?;
            if !first {
                let plan = decided.record.id;
                return Err(Error::Conflict(format!("plan {plan} was applied by another request")));
            }
        }
        let moves = moves(decided.plan()?);
        if plan.starts {
            change_desired(&mut change, &mut graph, Desired::Running).await?;
            let started = change.cause.graph_event(event::GRAPH_STARTED, &graph.name, Value::Null);
            change.tx.insert_event(&started, change.at).await?;
        }
        if !(moves.is_empty() && plan.replicas.is_empty()) {
            write_assignment(&mut change, &graph, descriptor, &plan).await?;
            if !plan.starts {
                graph.generation += 1;
                graph.updated_at = change.at;
            }
        }
        // Also when nothing moves: this is why everything is where it is.
        graph.decision_id = Some(decided.record.id);
        graph.rescheduled_at = plan.rescheduled_at.or(graph.rescheduled_at);
        graph.version = change.tx.update_graph(&graph).await?;
        change.tx.require_capacity();
        let event = placed_event(&change.cause, &graph.name, decided, &moves)?;
        change.commit("placement", &event).await?;
        self.decide_shadows(decided, descriptor, &graph.project);
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
        let progress = self.wake_and_wait(&graph, context).await;
        let view = self.get_graph(&graph.name).await?;
        let completed = progress.done || moves.is_empty();
        let accepted = Accepted { view, completed, warnings: Vec::new(), unchanged: moves.is_empty() };
        Ok(Rescheduling { accepted, plan_id, moves })
    }
}

/// Writes the clusters of services, their releases, and the replicas that the plan was made for.
async fn write_assignment(
    change: &mut Change,
    graph: &GraphRecord,
    descriptor: &Descriptor,
    plan: &PlanToApply<'_>,
) -> Result<()> {
    let assignment = &plan.decided.plan()?.assignment;
    let imports = service_import_clusters(descriptor, assignment);
    for mut record in change.tx.services(&graph.name).await? {
        let Some(service) = descriptor.service(&record.name) else { continue };
        record.cluster = assignment.get(&record.name).cloned();
        let import_clusters = imports.get(&record.name).map(Vec::as_slice).unwrap_or_default();
        record.values = release_values(service, record.cluster.as_deref(), import_clusters);
        record.import_clusters = import_clusters.to_vec();
        if let Some(replicas) = plan.replicas.get(&record.name) {
            record.replicas_decided = Some(*replicas);
            record.scaled_at = Some(change.at);
        }
        change.tx.update_service_intent(&record).await?;
    }
    Ok(())
}

fn placed_event(cause: &Cause, graph: &str, decided: &Decided, moves: &[Move]) -> Result<NewEvent> {
    let moved: Vec<_> = moves
        .iter()
        .map(|moved| json!({ "service": moved.service, "from": moved.from, "to": moved.to }))
        .collect();
    let strategy = &decided.plan()?.strategy;
    let data = json!({ "decision": decided.record.id, "strategy": strategy, "moves": moved });
    Ok(cause.graph_event(event::GRAPH_PLACED, graph, data))
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
