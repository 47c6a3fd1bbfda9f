//! The tick of the scaling loop: measure, decide graph by graph, record the changes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures::{FutureExt as _, StreamExt as _, future, stream};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::memory::ScalingMemory;
use super::problem::{self, Answers, Inputs, Target, had_counter};
use super::record::{self, Step};
use super::round::Round;
use super::spec::{GraphSpec, Profiles, Query};
use crate::app::App;
use crate::app::change::Change;
use crate::app::ledger::CapacitySnapshot;
use crate::app::placement::Move;
use crate::config::{ScalingProfile, ScalingSettings};
use crate::error::{Error, Result};
use crate::hdag::rate_query;
use crate::model::event::GRAPH_SCALED;
use crate::model::{
    Cause, DecisionRecord, GraphRecord, ScalingTick, ServiceRecord, ServiceState, condition, now,
};
use crate::optimizer::DecisionContext;
use crate::optimizer::scaling::{
    ScaledService, ScalingInfeasibility, ScalingOutcome, ScalingProblem, Strategy,
};
use crate::store::GraphUse;

/// Counts of what a tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TickSummary {
    /// Graphs considered.
    pub graphs: usize,
    /// Graphs whose replicas are changed.
    pub scaled: usize,
    /// Graphs that had to be placed again.
    pub rescheduled: usize,
}

/// Graphs that are read and decided on together: bounds the memory of a tick and the length of a query.
const PAGE: i64 = 500;

/// How long the queries of single services of a page may take together: a tick is for all graphs.
const OWN_QUERIES_TAKE: Duration = Duration::from_secs(10);
/// Queries to Prometheus at the same time.
const QUERIES: usize = 8;

/// Runs ticks and holds the memory between them.
pub struct Scaler {
    app: App,
    memory: ScalingMemory,
}

impl Scaler {
    /// A scaler that remembers nothing yet.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self { app, memory: ScalingMemory::default() }
    }

    /// Ticks until it is dropped, first when an interval has passed: by then the clusters have been read.
    pub async fn run(mut self) {
        let interval = self.settings().interval;
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tick = AssertUnwindSafe(self.tick()).catch_unwind();
            match tick.await {
                Ok(Ok(summary)) => tracing::debug!(?summary, "scaling tick"),
                Ok(Err(error)) => tracing::warn!("a scaling tick failed, the next one tries again: {error}"),
                Err(_) => {
                    tracing::error!("a scaling tick panicked");
                    self.memory = ScalingMemory::default();
                }
            }
        }
    }

    /// Decides on all scaled graphs and records their desired replicas.
    ///
    /// # Errors
    /// The database failed, or the known state of the clusters is too old. The failure of a single graph is
    /// logged.
    pub async fn tick(&mut self) -> Result<TickSummary> {
        let (at, mut summary) = (now(), TickSummary::default());
        let mut names = BTreeSet::new();
        let mut round = Round::after(std::mem::take(&mut self.memory.first));
        while let Some(after) = round.next_page() {
            let page = self.app.parts.ledger.snapshot_of_scaled(now(), &after, PAGE).await?;
            let (snapshot, mut graphs) = page;
            graphs.retain(|found| round.is_due(&found.graph.name));
            graphs.iter().for_each(|found| round.note(&found.graph.name));
            round.turn_to(graphs.last().map(|found| found.graph.name.as_str()));
            names.extend(graphs.iter().map(|found| found.graph.name.clone()));
            self.scale_page(snapshot, graphs, at, &mut summary).await?;
        }
        self.memory.first = round.first();
        self.memory.keep_only(&names);
        Ok(summary)
    }

    /// Decides on some of the graphs.
    async fn scale_page(
        &mut self,
        mut snapshot: CapacitySnapshot,
        graphs: Vec<GraphUse>,
        at: DateTime<Utc>,
        summary: &mut TickSummary,
    ) -> Result<()> {
        let targets = self.targets(graphs).await?;
        summary.graphs += targets.len();
        let answers = self.ask(&targets).await;
        let mut ticks = Vec::new();
        for target in &targets {
            self.note_first_sight(target);
            let problem = problem::problem(
                target,
                &Inputs {
                    settings: self.settings(),
                    answers: &answers,
                    snapshot: &snapshot,
                    memory: &self.memory,
                },
            );
            if problem.services.is_empty() {
                continue;
            }
            let name = &target.graph.name;
            match self.scale(target, problem, &answers).await {
                Ok(step) => {
                    self.note_needs(target, &step);
                    summary.scaled += usize::from(step.changed);
                    summary.rescheduled += usize::from(step.is_rescheduled());
                    if step.is_rescheduled() {
                        snapshot = self.app.parts.ledger.snapshot(now()).await?;
                    } else {
                        take(&mut snapshot, &step);
                    }
                    ticks.push(record::tick(name, &step, at));
                }
                Err(error) => {
                    tracing::warn!(graph.name = %name, "graph {name} could not be scaled: {error}");
                }
            }
        }
        if let Err(error) = self.record_ticks(&ticks).await {
            tracing::warn!("could not record a scaling tick: {error}");
        }
        Ok(())
    }

    fn settings(&self) -> &ScalingSettings {
        &self.app.parts.settings.scaling
    }

    async fn record_ticks(&self, ticks: &[ScalingTick]) -> Result<()> {
        if ticks.is_empty() {
            return Ok(());
        }
        let keep = i64::try_from(self.settings().history).unwrap_or(i64::MAX);
        let mut tx = self.app.parts.store.begin().await?;
        tx.insert_scaling_ticks(ticks, keep).await?;
        Ok(tx.commit_unnumbered().await?)
    }

    /// How each of these graphs is to be scaled.
    async fn targets(&mut self, graphs: Vec<GraphUse>) -> Result<Vec<Target>> {
        let set: BTreeMap<String, ScalingProfile> = self.app.stored_profiles().await?;
        let mut targets = Vec::new();
        for GraphUse { graph, services, usage } in graphs {
            let Some(spec) = self.spec_of(&graph) else { continue };
            let profiles = Profiles { settings: self.settings(), set: &set };
            let specs = services
                .iter()
                .filter(|service| service.state == ServiceState::Deployed)
                .filter_map(|service| Some((service.name.clone(), spec.service(&service.name, profiles)?)))
                .collect();
            targets.push(Target { graph, services, usage, spec, specs });
        }
        Ok(targets)
    }

    /// The scaling part of the descriptor, parsed once per descriptor.
    fn spec_of(&mut self, graph: &GraphRecord) -> Option<GraphSpec> {
        if let Some((digest, spec)) = self.memory.specs.get(&graph.name)
            && *digest == graph.document_digest
        {
            return Some(spec.clone());
        }
        match self.app.descriptor_of(graph) {
            Ok(descriptor) => {
                let spec = GraphSpec::new(&descriptor);
                self.memory.specs.insert(graph.name.clone(), (graph.document_digest.clone(), spec.clone()));
                Some(spec)
            }
            Err(error) => {
                tracing::warn!(graph.name = %graph.name, "descriptor of {}: {error}", graph.name);
                None
            }
        }
    }

    /// Lets services that were not looked at before keep their replicas for a stabilisation window.
    fn note_first_sight(&mut self, target: &Target) {
        let (graph, window) = (&target.graph.name, target.spec.stabilisation(self.settings()));
        for service in target.services.iter().filter(|service| target.specs.contains_key(&service.name)) {
            let is_known = service.replicas_decided.or(service.replicas_observed).is_some();
            if is_known && !self.memory.knows(graph, &service.name) {
                self.memory.note_need(graph, &service.name, service.counted_replicas(), window);
            }
        }
    }

    /// Remembers how many replicas the services need.
    fn note_needs(&mut self, target: &Target, step: &Step) {
        let (graph, window) = (&target.graph.name, target.spec.stabilisation(self.settings()));
        for (service, need) in step.needs() {
            self.memory.note_need(graph, service, need, window);
        }
    }

    /// Asks Prometheus for all rates, once per query template and window, and for each service that has a query for
    /// itself.
    async fn ask(&self, targets: &[Target]) -> Answers {
        let mut wanted: BTreeMap<Query, BTreeSet<String>> = BTreeMap::new();
        for target in targets {
            for service in target.specs.values() {
                for rate in service.callers.iter().chain(&service.rate) {
                    wanted.entry(rate.query.clone()).or_default().insert(rate.service.clone());
                }
            }
        }
        let outside = &self.app.parts.outside;
        if !outside.has_metrics() {
            return Answers::new();
        }
        let label = self.settings().rate_label.as_str();
        let ask = async |(query, services): (Query, BTreeSet<String>)| {
            let text = rate_query(&query.template, label, services.iter().map(String::as_str), query.window);
            let found = match query.asker {
                Some(_) => outside.custom_rates(&text, label).await,
                None => outside.rates(&text, label).await,
            };
            found
                .map_err(|error| tracing::warn!("request rates are unknown: {error}"))
                .ok()
                .map(|found| (query, found))
        };
        // Those of all services come first, and those of single ones have only so long together.
        let (own, shared): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|(query, _)| query.asker.is_some());
        let shared = stream::iter(shared).map(ask).buffer_unordered(QUERIES);
        let late = Box::pin(tokio::time::sleep(OWN_QUERIES_TAKE));
        let own = stream::iter(own).map(ask).buffer_unordered(QUERIES).take_until(late);
        shared.chain(own).filter_map(future::ready).collect().await
    }

    /// Decides on one graph and records the decision.
    ///
    /// When the needed replicas do not fit, the graph is rescheduled; while that is impossible, its services
    /// share the available capacity.
    async fn scale(&mut self, target: &Target, problem: ScalingProblem, answers: &Answers) -> Result<Step> {
        let begun = Instant::now();
        let outcome = self.decide_scaling(target, &problem).await?;
        let mut step = Step::new(problem, outcome, begun.elapsed());
        if let ScalingOutcome::Infeasible(cause) = &step.outcome {
            let cause = cause.clone();
            step.needed = cause.needed.clone();
            step.rescheduling = self.reschedule(target, &step, &cause).await?;
            if step.is_rescheduled() {
                return Ok(step);
            }
            let shortage = cause.summary.clone();
            if let Some(rationed) = self.app.parts.planner.ration(step.problem.clone(), cause).await? {
                step.outcome = self.decide_scaling(target, &rationed).await?;
                (step.problem, step.shortage) = (rationed, Some(shortage));
            }
        }
        step.duration = begun.elapsed();
        if let ScalingOutcome::Invalid(cause) = &step.outcome {
            let faults: Vec<String> = cause.faults.iter().map(ToString::to_string).collect();
            let name = &target.graph.name;
            tracing::warn!(graph.name = %name, "graph {name} cannot be scaled: {}", faults.join("; "));
        }
        self.record_scaling(target, &mut step, answers).await?;
        if step.changed {
            self.memory.note_changes(&target.graph.name, step.changes().keys());
        }
        Ok(step)
    }

    /// The answer of the graph's strategy.
    async fn decide_scaling(&self, target: &Target, problem: &ScalingProblem) -> Result<ScalingOutcome> {
        let (planner, settings) = (&self.app.parts.planner, self.settings());
        match &target.spec.strategy(settings) {
            Strategy::BuiltIn(strategy) => planner.scale(problem.clone(), *strategy).await,
            Strategy::External(name) => {
                let descriptor = self.app.descriptor_of(&target.graph)?;
                let context = DecisionContext::new(&descriptor, &target.graph.project, now());
                let limit = i64::try_from(settings.history).unwrap_or(i64::MAX);
                let ticks = self.app.parts.store.scaling_ticks(&target.graph.name, limit).await?;
                let history: Vec<_> = ticks.into_iter().rev().filter_map(record::sample).collect();
                planner.scale_outside(problem.clone(), name, &context, &history).await
            }
        }
    }

    /// Reschedules a graph whose services need more replicas than fit; `None` when capacity is not the
    /// obstacle, rescheduling cannot help, or it was tried recently.
    async fn reschedule(
        &mut self,
        target: &Target,
        step: &Step,
        cause: &ScalingInfeasibility,
    ) -> Result<Option<Result<Vec<Move>>>> {
        let name = &target.graph.name;
        let wait = self.settings().replacement_cooldown;
        let is_recent = |at: DateTime<Utc>| (now() - at).to_std().is_ok_and(|age| age < wait);
        let recently = self.memory.since_rescheduling(name).is_some_and(|since| since < wait)
            || target.graph.rescheduled_at.is_some_and(is_recent);
        let growing = growing(&step.problem, cause);
        // If no growing service lacks capacity, other graphs caused the shortage, and moving running services
        // would be wrong.
        let is_short = growing.keys().any(|service| cause.lacks_room_for(service));
        if target.spec.pinned || recently || !is_short {
            return Ok(None);
        }
        self.memory.note_rescheduling(name);
        tracing::info!(graph.name = %name, "graph {name} is placed again: {}", cause.summary);
        self.app.record_decision(&record::decision(step, now())?).await?;
        let outcome = self.app.reschedule_for_scaling(&target.graph, &growing).await;
        if outcome.is_ok() {
            self.memory.note_changes(name, growing.keys());
        }
        Ok(Some(outcome))
    }

    /// Records new numbers of replicas, and which rates are not known. Writes nothing when nothing changed,
    /// and no new numbers when the graph was changed or their capacity was taken meanwhile: then the next
    /// tick decides again.
    async fn record_scaling(&self, target: &Target, step: &mut Step, answers: &Answers) -> Result<()> {
        let changes = step.changes();
        if !changes.is_empty() {
            match self.record_replicas(target, step, &changes).await {
                Ok(recorded) => (step.changed, step.postponed) = (recorded, !recorded),
                Err(Error::Contended { .. }) => step.postponed = true,
                Err(error) => return Err(error),
            }
        }
        self.record_rates(target, step, answers).await
    }

    /// `false` when the graph was changed meanwhile.
    async fn record_replicas(
        &self,
        target: &Target,
        step: &Step,
        changes: &BTreeMap<String, i64>,
    ) -> Result<bool> {
        let name = &target.graph.name;
        let cause = Cause::internal("scaling");
        let (mut change, current) = Change::begin_graph(&self.app.parts, name, cause).await?;
        let is_same = (current.generation, current.scaling_enabled)
            == (target.graph.generation, target.graph.scaling_enabled);
        if !is_same {
            return Ok(false);
        }
        for mut service in change.tx.services(name).await? {
            if let Some(replicas) = changes.get(service.name.as_str()) {
                service.replicas_decided = Some(*replicas);
                service.scaled_at = Some(change.at);
                change.tx.update_service_intent(&service).await?;
            }
        }
        let record = DecisionRecord { applied_at: Some(change.at), ..record::decision(step, change.at)? };
        change.tx.insert_decision(&record).await?;
        change.tx.require_capacity();
        let data = json!({ "decision": record.id, "replicas": changes });
        let event = change.cause.graph_event(GRAPH_SCALED, name, data);
        change.commit("scaling", &event).await?;
        tracing::info!(graph.name = %name, "graph {name} is scaled: {changes:?}");
        Ok(true)
    }

    /// Records whether the rates of the services are known, where that has changed.
    async fn record_rates(&self, target: &Target, step: &Step, answers: &Answers) -> Result<()> {
        let at = now();
        let update = |service: &ServiceRecord| {
            let spec = target.specs.get(&service.name)?;
            step.problem.services.iter().find(|scaled| scaled.name == service.name)?;
            let had_counter = had_counter(service);
            let rate = problem::rate_of(spec, had_counter, answers);
            let mut conditions = service.conditions.clone();
            let update = record::rate_condition(&rate, had_counter, &self.settings().rate_label);
            condition::set(&mut conditions, update, at);
            (conditions != service.conditions).then_some(conditions)
        };
        if !target.services.iter().any(|service| update(service).is_some()) {
            return Ok(());
        }
        let name = &target.graph.name;
        let mut tx = self.app.parts.store.begin().await?;
        let current = tx.graph(name).await?;
        if current.is_none_or(|current| current.generation != target.graph.generation) {
            return Ok(());
        }
        for mut service in tx.services(name).await? {
            if let Some(conditions) = update(&service) {
                service.conditions = conditions;
                tx.update_service_observation(&service).await?;
            }
        }
        Ok(tx.commit_unnumbered().await?)
    }
}

/// The services that need more replicas than they have, and how many.
fn growing(problem: &ScalingProblem, cause: &ScalingInfeasibility) -> BTreeMap<String, i64> {
    let more = |service: &ScaledService| {
        let needed = *cause.needed.get(&service.name)?;
        (needed > service.previous).then(|| (service.name.clone(), needed))
    };
    problem.services.iter().filter_map(more).collect()
}

/// Removes the capacity that a step adds from what later graphs may use.
fn take(snapshot: &mut CapacitySnapshot, step: &Step) {
    if !step.changed {
        return;
    }
    let changes = step.changes();
    for service in &step.problem.services {
        let added = changes.get(service.name.as_str()).map_or(0, |replicas| replicas - service.previous);
        if added > 0 {
            snapshot.take(&service.cluster, service.needs.times(added));
        }
    }
}
