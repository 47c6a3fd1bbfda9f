//! One tick: measure, decide graph by graph, record what changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant as Clock;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::problem::{self, Inputs, Rates, Target};
use super::record::{self, Step};
use super::spec::{GraphSpec, Query};
use super::{ScalingMemory, TickSummary};
use crate::app::App;
use crate::app::placement::{CapacityView, ClusterSnapshot, Move};
use crate::config::ScalingProfile;
use crate::error::Result;
use crate::hdag::rate_query;
use crate::model::condition;
use crate::model::event::{self, Cause};
use crate::model::now;
use crate::model::{DecisionRecord, GraphRecord, ScalingTick, ServiceRecord, ServiceState};
use crate::optimizer::DecisionContext;
use crate::optimizer::scaling::{
    ScaledService, ScalingInfeasibility, ScalingOutcome, ScalingProblem, Strategy,
};

impl App {
    /// Looks at all graphs that are scaled, decides, and records what is wanted.
    ///
    /// # Errors
    /// The database failed, or what is known of the clusters is too old. A graph that fails alone is logged.
    pub async fn scaling_tick(&self, memory: &mut ScalingMemory) -> Result<TickSummary> {
        let targets = self.targets(memory).await?;
        let mut summary = TickSummary { graphs: targets.len(), ..TickSummary::default() };
        if targets.is_empty() {
            return Ok(summary);
        }
        let rates = self.rates(&targets).await;
        let mut ticks = Vec::new();
        let scaled = self.scale_all(&targets, &rates, &mut summary, &mut ticks, memory).await;
        self.record_ticks(&ticks).await?;
        scaled.map(|()| summary)
    }

    /// Decides graph by graph. What was done before an error is in the ticks.
    async fn scale_all(
        &self,
        targets: &[Target],
        rates: &Rates,
        summary: &mut TickSummary,
        ticks: &mut Vec<ScalingTick>,
        memory: &mut ScalingMemory,
    ) -> Result<()> {
        let at = now();
        let mut snapshot = self.snapshot_at(at).await?;
        let mut capacity = snapshot.capacity();
        for target in targets {
            if self.placed_since(&snapshot) {
                drop(capacity);
                snapshot = self.snapshot_at(now()).await?;
                capacity = snapshot.capacity();
            }
            let step = {
                let settings = &self.parts.settings.scaling;
                let problem = problem::problem(
                    target,
                    &Inputs { settings, rates, snapshot: &snapshot, capacity: &capacity, memory },
                );
                if problem.services.is_empty() {
                    continue;
                }
                self.scale(target, problem, &snapshot, memory).await
            };
            match step {
                Ok(step) => {
                    summary.scaled += usize::from(step.changed);
                    summary.replaced += usize::from(step.is_rescheduled());
                    take(&mut capacity, &step);
                    ticks.push(record::tick(&target.graph.name, &step, at));
                }
                Err(error) => {
                    let name = &target.graph.name;
                    tracing::warn!(graph.name = %name, "graph {name} could not be scaled: {error}");
                }
            }
        }
        Ok(())
    }

    async fn record_ticks(&self, ticks: &[ScalingTick]) -> Result<()> {
        if ticks.is_empty() {
            return Ok(());
        }
        let keep = i64::try_from(self.parts.settings.scaling.history).unwrap_or(i64::MAX);
        let mut tx = self.parts.store.begin().await?;
        tx.insert_scaling_ticks(ticks, keep).await?;
        Ok(tx.commit_unnumbered().await?)
    }

    /// The running graphs that are scaled.
    async fn targets(&self, memory: &mut ScalingMemory) -> Result<Vec<Target>> {
        let settings = &self.parts.settings.scaling;
        let profiles: BTreeMap<String, ScalingProfile> = self.set_profiles().await?;
        let graphs = self.parts.store.running_graphs().await?;
        memory.keep_only(&graphs.iter().map(|(graph, _)| graph.name.as_str()).collect());
        let mut targets = Vec::new();
        for (graph, services) in graphs {
            let Some(spec) = self.spec_of(&graph, memory) else { continue };
            if !graph.scaling_enabled.or(spec.enabled).unwrap_or(settings.enabled) {
                continue;
            }
            let specs = services
                .iter()
                .filter(|service| service.state == ServiceState::Deployed)
                .filter_map(|service| {
                    Some((service.name.clone(), spec.service(&service.name, settings, &profiles)?))
                })
                .collect();
            targets.push(Target { graph, services, spec, specs });
        }
        Ok(targets)
    }

    /// What the descriptor says, read once per descriptor.
    fn spec_of(&self, graph: &GraphRecord, memory: &mut ScalingMemory) -> Option<GraphSpec> {
        if let Some((digest, spec)) = memory.specs.get(&graph.name)
            && *digest == graph.document_digest
        {
            return Some(spec.clone());
        }
        match self.descriptor_of(graph) {
            Ok(descriptor) => {
                let spec = GraphSpec::new(&descriptor);
                memory.specs.insert(graph.name.clone(), (graph.document_digest.clone(), spec.clone()));
                Some(spec)
            }
            Err(error) => {
                tracing::warn!(graph.name = %graph.name, "descriptor of {}: {error}", graph.name);
                None
            }
        }
    }

    /// Asks Prometheus for all rates, once per query template and window. What fails stays unknown.
    async fn rates(&self, targets: &[Target]) -> Rates {
        let mut wanted: BTreeMap<Query, BTreeSet<String>> = BTreeMap::new();
        for target in targets {
            for service in target.specs.values() {
                for rate in service.callers.iter().chain([&service.rate]) {
                    wanted.entry(rate.query.clone()).or_default().insert(rate.service.clone());
                }
            }
        }
        let mut rates = Rates::new();
        if !self.parts.outside.has_metrics() {
            return rates;
        }
        for (query, services) in wanted {
            let text = rate_query(&query.template, services.iter().map(String::as_str), query.window);
            match self.parts.outside.rates(&text).await {
                Ok(found) => drop(rates.insert(query, found)),
                Err(error) => tracing::warn!("request rates are unknown: {error}"),
            }
        }
        rates
    }

    /// Decides about one graph and carries that out as far as recording goes.
    ///
    /// What does not fit is placed again; while that is not possible, the services share what there is.
    async fn scale(
        &self,
        target: &Target,
        problem: ScalingProblem,
        snapshot: &ClusterSnapshot,
        memory: &mut ScalingMemory,
    ) -> Result<Step> {
        let begun = Clock::now();
        let outcome = self.decide_scaling(target, &problem).await?;
        let mut step = Step::new(problem, outcome, begun.elapsed());
        if let ScalingOutcome::Infeasible(cause) = &step.outcome {
            let cause = cause.clone();
            step.replacement = self.reschedule(target, &step, &cause, memory).await?;
            if step.is_rescheduled() {
                return Ok(step);
            }
            let shortage = cause.summary.clone();
            if let Some(rationed) = self.parts.planner.ration(step.problem.clone(), cause).await? {
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
        self.record_scaling(target, &mut step, snapshot).await?;
        if step.changed {
            memory.note_changes(&target.graph.name, step.changes().keys());
        }
        Ok(step)
    }

    /// The answer of the graph's strategy.
    async fn decide_scaling(&self, target: &Target, problem: &ScalingProblem) -> Result<ScalingOutcome> {
        let (planner, settings) = (&self.parts.planner, &self.parts.settings.scaling);
        match target.spec.strategy.as_ref().unwrap_or(&settings.strategy) {
            Strategy::BuiltIn(strategy) => planner.scale(problem.clone(), *strategy).await,
            Strategy::External(name) => {
                let descriptor = self.descriptor_of(&target.graph)?;
                let context = DecisionContext::new(&descriptor, &target.graph.project, now());
                let limit = i64::try_from(settings.history).unwrap_or(i64::MAX);
                let ticks = self.parts.store.scaling_ticks(&target.graph.name, limit).await?;
                let history: Vec<_> = ticks.iter().rev().filter_map(record::sample).collect();
                planner.scale_outside(problem.clone(), name, &context, &history).await
            }
        }
    }

    /// Places a graph again whose services need more replicas than there is room for; `None` when that is not what is in
    /// the way, cannot help, or was tried not long ago.
    async fn reschedule(
        &self,
        target: &Target,
        step: &Step,
        cause: &ScalingInfeasibility,
        memory: &mut ScalingMemory,
    ) -> Result<Option<Result<Vec<Move>>>> {
        let name = &target.graph.name;
        let wait = self.parts.settings.scaling.replacement_cooldown;
        let is_recent = |at: DateTime<Utc>| (now() - at).to_std().is_ok_and(|age| age < wait);
        let recently = memory.since_rescheduling(name).is_some_and(|since| since < wait)
            || target.graph.rescheduled_at.is_some_and(is_recent);
        let growing = growing(&step.problem, cause);
        // If nothing that grows lacks room, it is short by somebody else's doing, and moving what runs would be wrong.
        let is_short = growing.keys().any(|service| cause.lacks_room_for(service));
        if target.spec.pinned || recently || !is_short {
            return Ok(None);
        }
        memory.note_rescheduling(name);
        tracing::info!(graph.name = %name, "graph {name} is placed again: {}", cause.summary);
        self.record_decision(&record::decision(step, now())?).await?;
        let replacement = self.reschedule_for_scaling(&target.graph, &growing).await;
        if replacement.is_ok() {
            memory.note_changes(name, growing.keys());
        }
        Ok(Some(replacement))
    }

    /// Records new numbers of replicas, and which rates are not known. Writes nothing when nothing changed, and no new
    /// numbers when the graph was changed or their room was taken meanwhile: then the next tick looks again.
    async fn record_scaling(
        &self,
        target: &Target,
        step: &mut Step,
        snapshot: &ClusterSnapshot,
    ) -> Result<()> {
        let at = now();
        let news = |service: &ServiceRecord, problem: &ScalingProblem| {
            let scaled = problem.services.iter().find(|scaled| scaled.name == service.name)?;
            let mut conditions = service.conditions.clone();
            condition::set(&mut conditions, record::rate_condition(scaled), at);
            (conditions != service.conditions).then_some(conditions)
        };
        let mut changes = step.changes();
        if changes.is_empty() && !target.services.iter().any(|service| news(service, &step.problem).is_some())
        {
            return Ok(());
        }
        let name = &target.graph.name;
        let wake = (!changes.is_empty()).then(|| self.parts.supervisor.wake_on_drop(name));
        let _deciding = if step.grows() { Some(self.parts.deciding.lock().await) } else { None };
        if step.grows() && self.placed_since(snapshot) && !self.still_fits(target, step).await? {
            step.postponed = true;
            changes.clear();
        }
        let mut tx = self.parts.store.begin().await?;
        let current = tx.graph(name).await?;
        if current.is_none_or(|current| current.generation != target.graph.generation) {
            step.postponed = true;
            return Ok(());
        }
        for mut service in tx.services(name).await? {
            if let Some(replicas) = changes.get(service.name.as_str()) {
                service.replicas_decided = Some(*replicas);
                tx.update_service_intent(&service).await?;
            }
            if let Some(conditions) = news(&service, &step.problem) {
                service.conditions = conditions;
                tx.update_service_observation(&service).await?;
            }
        }
        if !changes.is_empty() {
            let record = DecisionRecord { applied_at: Some(at), ..record::decision(step, at)? };
            let data = json!({ "decision": record.id, "replicas": changes });
            tx.insert_decision(&record).await?;
            tx.insert_event(&Cause::internal("scaling").graph_event(event::GRAPH_SCALED, name, data), at)
                .await?;
            tracing::info!(graph.name = %name, "graph {name} is scaled: {changes:?}");
        }
        tx.commit("scaling").await?;
        step.changed = !changes.is_empty();
        drop(wake);
        Ok(())
    }

    /// Whether what grows fits what is known now.
    async fn still_fits(&self, target: &Target, step: &Step) -> Result<bool> {
        let snapshot = self.snapshot_at(now()).await?;
        let clusters = problem::clusters(target, &snapshot, &snapshot.capacity(), &step.problem.services);
        Ok(clusters.iter().all(|cluster| step.fits(cluster)))
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

/// What a step adds is no longer free for the graphs after it.
fn take(capacity: &mut CapacityView<'_>, step: &Step) {
    if !step.changed {
        return;
    }
    let changes = step.changes();
    for service in &step.problem.services {
        let added = changes.get(service.name.as_str()).map_or(0, |replicas| replicas - service.previous);
        if added > 0 {
            capacity.take(&service.cluster, service.needs.times(added));
        }
    }
}
