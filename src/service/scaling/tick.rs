//! One tick: measure, decide graph by graph, record what changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant as Clock};

use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use super::spec::{GraphSpec, Query, Rate, ServiceSpec};
use super::{ScalingMemory, TickSummary};
use crate::config::{ScalingCompat, ScalingProfile};
use crate::error::{Error, Result};
use crate::events::{self, Cause};
use crate::hdag::{self, rate_query};
use crate::optimizer::scaling::{
    self, ScaledService, ScalingCluster, ScalingOutcome, ScalingProblem, ScalingWeights, check,
};
use crate::reconcile::conditions::{self, Finding, RATE_KNOWN};
use crate::reconcile::now;
use crate::service::Service;
use crate::service::placement::{Move, Rooms, World, replicas, to_value};
use crate::store::{DecisionRecord, GraphRecord, ScalingTick, ServiceRecord, ServiceState};

/// What a decision about replicas is called in the store.
const SCALING: &str = "scaling";

/// Rates by query and service; a service that is missing has no known rate.
type Rates = BTreeMap<Query, BTreeMap<String, f64>>;

/// A graph that is scaled in this tick.
struct Target {
    graph: GraphRecord,
    services: Vec<ServiceRecord>,
    spec: GraphSpec,
    /// Of each service that can be scaled, by name.
    specs: BTreeMap<String, ServiceSpec>,
}

impl Service {
    /// Looks at all graphs that are scaled, decides, and records what is wanted.
    ///
    /// # Errors
    /// The database failed, or what is known of the clusters is too old. A graph that fails alone is logged.
    pub async fn scaling_tick(&self, memory: &mut ScalingMemory) -> Result<TickSummary> {
        let targets = self.targets(memory).await?;
        if targets.is_empty() {
            return Ok(TickSummary::default());
        }
        let rates = self.rates(&targets).await;
        let at = now();
        let mut world = self.world_at(at).await?;
        let mut rooms = world.rooms();
        let (mut summary, mut ticks) =
            (TickSummary { graphs: targets.len(), ..TickSummary::default() }, Vec::new());
        for target in &targets {
            let problem = self.scaling_problem(target, &rates, &world, &rooms, memory);
            if problem.services.is_empty() {
                continue;
            }
            let begun = Clock::now();
            let (problem, outcome) = self.decide_within_maximum(&target.spec, problem).await;
            // Most ticks change nothing: their documents are not made.
            let record = || decision(&problem, &outcome, begun.elapsed(), at);
            match self.act(target, &problem, &outcome, record, memory).await {
                Ok((changed, replaced)) => {
                    summary.scaled += usize::from(changed);
                    summary.replaced += usize::from(replaced.as_ref().is_some_and(|r| r.is_ok()));
                    if changed {
                        take(&mut rooms, &problem, &outcome);
                    }
                    if replaced.is_some() {
                        // What is where has changed.
                        drop(rooms);
                        world = self.world_at(now()).await?;
                        rooms = world.rooms();
                    }
                    ticks.push(tick_of(&target.graph, &outcome, &problem, replaced.as_ref(), at)?);
                }
                Err(error) => {
                    let name = &target.graph.name;
                    tracing::warn!(graph.name = %name, "graph {name} could not be scaled: {error}");
                }
            }
        }
        let keep = i64::try_from(self.parts.settings.scaling.history).unwrap_or(i64::MAX);
        if !ticks.is_empty() {
            let mut tx = self.parts.store.begin().await?;
            tx.insert_scaling_ticks(&ticks, keep).await?;
            tx.commit_unnumbered().await?;
        }
        Ok(summary)
    }

    /// The running graphs that are scaled.
    async fn targets(&self, memory: &mut ScalingMemory) -> Result<Vec<Target>> {
        let settings = &self.parts.settings.scaling;
        let profiles: BTreeMap<String, ScalingProfile> = self.set_profiles().await?;
        let graphs = self.parts.store.running_graphs().await?;
        let names: BTreeSet<&str> = graphs.iter().map(|(graph, _)| graph.name.as_str()).collect();
        memory.specs.retain(|name, _| names.contains(name.as_str()));
        memory.replaced.retain(|name, _| names.contains(name.as_str()));
        memory.changed.retain(|(name, _), _| names.contains(name.as_str()));
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

    fn scaling_problem(
        &self,
        target: &Target,
        rates: &Rates,
        world: &World,
        rooms: &Rooms<'_>,
        memory: &ScalingMemory,
    ) -> ScalingProblem {
        let settings = &self.parts.settings.scaling;
        let graph = &target.graph.name;
        let placed = |name: &str| world.placed_of(graph).iter().find(|placed| placed.service == name);
        let mut services = Vec::new();
        for record in &target.services {
            let (Some(spec), Some(placed)) = (target.specs.get(&record.name), placed(&record.name)) else {
                continue;
            };
            // Until its Deployment was seen, nobody knows how many replicas there are.
            if record.replicas_desired.or(record.replicas_wanted).is_none() {
                continue;
            }
            let since = memory.changed.get(&(graph.clone(), record.name.clone())).map(Instant::elapsed);
            let mut service = ScaledService::new(&record.name, &placed.cluster, placed.needs, spec.profile);
            service.rate = rate_of(spec, rates);
            service.previous = replicas(placed);
            service.scale_down_blocked = since.is_some_and(|since| since < settings.cooldown);
            service.scale_up_blocked = since.is_some_and(|since| since < settings.up_cooldown);
            services.push(service);
        }
        let names: BTreeSet<&str> = services.iter().map(|service| service.cluster.as_str()).collect();
        let others: BTreeMap<&str, hdag::Resources> = unscaled(target, world, &services);
        let clusters =
            world.clusters.iter().filter(|cluster| names.contains(cluster.name.as_str())).map(|cluster| {
                // Services of the graph that are not scaled keep what they use.
                let kept = others.get(cluster.name.as_str()).copied().unwrap_or_default();
                ScalingCluster {
                    name: cluster.name.clone(),
                    free: rooms.of(cluster, graph).free.minus_clamped(kept),
                    storage_reported: cluster.storage_reported,
                    acceleration: cluster.acceleration,
                }
            });
        let mut problem = ScalingProblem::new(graph.clone(), clusters.collect(), services);
        problem.tolerance = settings.tolerance;
        // The bounds are those of the whole graph: what is not scaled has its share already.
        let fixed: i64 = world
            .placed_of(graph)
            .iter()
            .filter(|placed| !problem.services.iter().any(|service| service.name == placed.service))
            .map(replicas)
            .sum();
        problem.min_overall = target.spec.min_overall.map(|least| (least - fixed).max(0));
        problem.max_overall = target.spec.max_overall.map(|most| (most - fixed).max(0));
        let (utilisation, change) = (settings.weights.utilisation, settings.weights.change);
        // Tolerance and cooldowns hold only with a margin above the gain of giving a replica up.
        let margin = (utilisation - change).max(0.0) + ScalingWeights::default().margin;
        problem.weights = ScalingWeights { utilisation, change, margin };
        if settings.compat == ScalingCompat::Original { problem.original() } else { problem }
    }

    /// The answer of the graph's strategy. A load that needs more replicas than the graph may have gets as many as it may.
    async fn decide_within_maximum(
        &self,
        spec: &GraphSpec,
        problem: ScalingProblem,
    ) -> (ScalingProblem, ScalingOutcome) {
        let outcome = self.decide_scaling(spec, &problem).await;
        let rationed = match &outcome {
            ScalingOutcome::Infeasible(cause) => scaling::ration(&problem, cause),
            ScalingOutcome::Decided(_) | ScalingOutcome::Invalid(_) => None,
        };
        match rationed {
            Some(rationed) => {
                let outcome = self.decide_scaling(spec, &rationed).await;
                (rationed, outcome)
            }
            None => (problem, outcome),
        }
    }

    /// The answer of the graph's strategy after the checker has accepted it. An external strategy that gives none
    /// that can be used is replaced by its fallback.
    async fn decide_scaling(&self, spec: &GraphSpec, problem: &ScalingProblem) -> ScalingOutcome {
        let settings = &self.parts.settings.scaling;
        let name = spec.strategy.as_ref().unwrap_or(&settings.strategy);
        if let Some(strategy) = scaling::strategy(name) {
            return aside(strategy, problem).await;
        }
        let fallback = match settings.external.get(name) {
            None => {
                tracing::warn!(graph.name = %problem.graph, "there is no scaling strategy {name}: exact decides");
                scaling::exact
            }
            Some(external) => {
                let answer = match self.parts.outside.ask_scaling(name, external, problem).await {
                    Ok(replicas) => {
                        scaling::adopt(problem, name, &replicas).map_err(|faults| faults.join("; "))
                    }
                    Err(error) => Err(error.to_string()),
                };
                match answer {
                    Ok(outcome) => return outcome,
                    Err(message) => tracing::warn!(
                        graph.name = %problem.graph,
                        "scaling strategy {name} gave no usable answer, {} decides: {message}",
                        external.fallback
                    ),
                }
                scaling::strategy(&external.fallback).unwrap_or(scaling::exact)
            }
        };
        aside(fallback, problem).await
    }

    /// Does what an outcome asks for: says whether replicas change, and what became of placing the graph again.
    async fn act(
        &self,
        target: &Target,
        problem: &ScalingProblem,
        outcome: &ScalingOutcome,
        record: impl Fn() -> Result<DecisionRecord>,
        memory: &mut ScalingMemory,
    ) -> Result<(bool, Option<Result<Vec<Move>>>)> {
        if let Err(faults) = check(problem, outcome) {
            tracing::error!(?problem, ?outcome, "a scaling plan is wrong: {faults:?}");
            return Err(Error::Internal("a scaling strategy gave a wrong plan".into()));
        }
        match outcome {
            ScalingOutcome::Decided(plan) => {
                let changed: BTreeMap<&str, i64> = plan
                    .services
                    .iter()
                    .filter(|service| service.replicas != service.previous)
                    .map(|service| (service.service.as_str(), service.replicas))
                    .collect();
                let record = if changed.is_empty() { None } else { Some(record()?) };
                if !self.record_scaling(target, problem, &changed, record).await? {
                    return Ok((false, None));
                }
                let graph = &target.graph.name;
                for service in changed.keys() {
                    memory.changed.insert((graph.clone(), (*service).to_owned()), Instant::now());
                }
                Ok((!changed.is_empty(), None))
            }
            ScalingOutcome::Infeasible(cause) if cause.lacks_room() && grows(problem, cause) => {
                let name = &target.graph.name;
                let wait = self.parts.settings.scaling.replacement_cooldown;
                let recently = memory.replaced.get(name).is_some_and(|at| at.elapsed() < wait)
                    || target
                        .graph
                        .replaced_at
                        .is_some_and(|at| (now() - at).to_std().is_ok_and(|age| age < wait));
                if recently {
                    return Ok((false, None));
                }
                memory.replaced.insert(name.clone(), Instant::now());
                for service in cause.needed.keys() {
                    memory.changed.insert((name.clone(), service.clone()), Instant::now());
                }
                tracing::info!(graph.name = %name, "graph {name} is placed again: {}", cause.summary);
                self.keep(&record()?).await?;
                Ok((false, Some(self.replace_for_scaling(name, &cause.needed).await)))
            }
            ScalingOutcome::Infeasible(_) => Ok((false, None)),
            ScalingOutcome::Invalid(cause) => {
                let faults: Vec<String> = cause.faults.iter().map(ToString::to_string).collect();
                let name = &target.graph.name;
                tracing::warn!(graph.name = %name, "graph {name} cannot be scaled: {}", faults.join("; "));
                Ok((false, None))
            }
        }
    }

    /// Records new numbers of replicas, and which rates are not known. Writes nothing when nothing changed; `false` when
    /// the graph was changed meanwhile, so that the next tick has to look again.
    async fn record_scaling(
        &self,
        target: &Target,
        problem: &ScalingProblem,
        changed: &BTreeMap<&str, i64>,
        record: Option<DecisionRecord>,
    ) -> Result<bool> {
        let at = now();
        let news = |service: &ServiceRecord| {
            let scaled = problem.services.iter().find(|scaled| scaled.name == service.name)?;
            let mut conditions = service.conditions.clone();
            conditions::set(&mut conditions, rate_finding(scaled), at);
            (conditions != service.conditions).then_some(conditions)
        };
        if changed.is_empty() && !target.services.iter().any(|service| news(service).is_some()) {
            return Ok(true);
        }
        let name = &target.graph.name;
        let wake = (!changed.is_empty()).then(|| self.parts.supervisor.wake_on_drop(name));
        let mut tx = self.parts.store.begin().await?;
        let current = tx.graph(name).await?;
        if current.is_none_or(|current| current.generation != target.graph.generation) {
            return Ok(false);
        }
        for mut service in tx.services(name).await? {
            if let Some(replicas) = changed.get(service.name.as_str()) {
                service.replicas_desired = Some(*replicas);
                tx.update_service_intent(&service).await?;
            }
            if let Some(conditions) = news(&service) {
                service.conditions = conditions;
                tx.update_service_observation(&service).await?;
            }
        }
        if let Some(record) = record {
            let record = DecisionRecord { applied_at: Some(at), ..record };
            let data = json!({ "decision": record.id, "replicas": changed });
            tx.insert_decision(&record).await?;
            tx.insert_event(&Cause::internal("scaling").graph_event(events::GRAPH_SCALED, name, data), at)
                .await?;
            tracing::info!(graph.name = %name, "graph {name} is scaled: {changed:?}");
        }
        tx.commit("scaling").await?;
        drop(wake);
        Ok(true)
    }
}

/// Decides on the blocking pool: a large graph may take a while.
async fn aside(strategy: scaling::ScalingStrategy, problem: &ScalingProblem) -> ScalingOutcome {
    let owned = problem.clone();
    match tokio::task::spawn_blocking(move || strategy(&owned)).await {
        Ok(outcome) => outcome,
        Err(error) => ScalingOutcome::Invalid(scaling::ScalingInvalid {
            faults: vec![scaling::ScalingFault { field: "strategy".to_owned(), cause: error.to_string() }],
        }),
    }
}

/// Whether some service needs more replicas than it has. If none does, the room is short by somebody else's doing, and
/// moving a graph that runs would be the wrong answer.
fn grows(problem: &ScalingProblem, cause: &scaling::ScalingInfeasibility) -> bool {
    problem
        .services
        .iter()
        .any(|service| cause.needed.get(&service.name).is_some_and(|needed| *needed > service.previous))
}

/// The rate of a service: its own, or what all its callers have together when it has none.
fn rate_of(spec: &ServiceSpec, rates: &Rates) -> Option<f64> {
    let known = |rate: &Rate| rates.get(&rate.query)?.get(&rate.service).copied();
    if let Some(own) = known(&spec.rate) {
        return Some(own);
    }
    let callers: Option<Vec<f64>> = spec.callers.iter().map(known).collect();
    callers.filter(|rates| !rates.is_empty()).map(|rates| rates.iter().sum())
}

fn rate_finding(service: &ScaledService) -> Finding {
    match service.rate {
        Some(_) => Finding::holds(RATE_KNOWN, "Measured", "Prometheus tells its request rate"),
        None => {
            let message = "Prometheus has no request rate of it: its replicas stay as they are";
            Finding::fails(RATE_KNOWN, "NoData", message)
        }
    }
}

/// What the services of the graph that are not scaled use, by cluster.
fn unscaled<'a>(
    target: &Target,
    world: &'a World,
    scaled: &[ScaledService],
) -> BTreeMap<&'a str, hdag::Resources> {
    let mut kept: BTreeMap<&str, hdag::Resources> = BTreeMap::new();
    let own = world.placed_of(&target.graph.name).iter();
    for placed in own.filter(|placed| !scaled.iter().any(|service| service.name == placed.service)) {
        *kept.entry(&placed.cluster).or_default() += placed.needs.times(replicas(placed));
    }
    kept
}

/// What a plan adds is no longer free for the graphs after it.
fn take(rooms: &mut Rooms<'_>, problem: &ScalingProblem, outcome: &ScalingOutcome) {
    let ScalingOutcome::Decided(plan) = outcome else { return };
    for service in &problem.services {
        let added = plan.replicas.get(&service.name).map_or(0, |replicas| replicas - service.previous);
        if added > 0 {
            rooms.take(&service.cluster, service.needs.times(added));
        }
    }
}

fn decision(
    problem: &ScalingProblem,
    outcome: &ScalingOutcome,
    duration: Duration,
    at: DateTime<Utc>,
) -> Result<DecisionRecord> {
    let (strategy, word) = match outcome {
        ScalingOutcome::Decided(plan) => {
            (plan.strategy.clone(), if plan.optimal { "optimal" } else { "feasible" })
        }
        ScalingOutcome::Infeasible(cause) => (cause.strategy.clone(), "infeasible"),
        ScalingOutcome::Invalid(_) => (String::new(), "invalid"),
    };
    Ok(DecisionRecord {
        id: Uuid::now_v7(),
        graph: problem.graph.clone(),
        kind: SCALING.to_owned(),
        problem: to_value(problem)?,
        plan: to_value(outcome)?,
        strategy,
        outcome: word.to_owned(),
        duration_ms: i64::try_from(duration.as_millis()).ok(),
        created_at: at,
        applied_at: None,
    })
}

fn tick_of(
    graph: &GraphRecord,
    outcome: &ScalingOutcome,
    problem: &ScalingProblem,
    replaced: Option<&Result<Vec<Move>>>,
    at: DateTime<Utc>,
) -> Result<ScalingTick> {
    let rate = |name: &str| problem.services.iter().find(|service| service.name == name).and_then(|s| s.rate);
    let mut data = match outcome {
        ScalingOutcome::Decided(plan) => {
            let services: Vec<_> = plan
                .services
                .iter()
                .map(|service| {
                    json!({
                        "service": service.service, "cluster": service.cluster, "rate": rate(&service.service),
                        "previous": service.previous, "replicas": service.replicas, "needed": service.needed,
                        "saturated": service.saturated, "reason": service.reason,
                    })
                })
                .collect();
            json!({ "outcome": "decided", "strategy": plan.strategy, "services": services })
        }
        ScalingOutcome::Infeasible(cause) => json!({
            "outcome": "infeasible", "strategy": cause.strategy, "reason": cause.summary, "needed": cause.needed,
        }),
        ScalingOutcome::Invalid(cause) => {
            let faults: Vec<String> = cause.faults.iter().map(ToString::to_string).collect();
            json!({ "outcome": "invalid", "reason": faults.join("; ") })
        }
    };
    if let (Some(replaced), Some(data)) = (replaced, data.as_object_mut()) {
        let text = match replaced {
            Ok(moves) if moves.is_empty() => "placed again, nothing moves".to_owned(),
            Ok(moves) => {
                let moves: Vec<String> =
                    moves.iter().map(|m| format!("{} from {} to {}", m.service, m.from, m.to)).collect();
                format!("placed again: {}", moves.join(", "))
            }
            Err(error) => format!("could not be placed again: {error}"),
        };
        data.insert("replacement".to_owned(), text.into());
    }
    Ok(ScalingTick { graph: graph.name.clone(), at, data })
}
