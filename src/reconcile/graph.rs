//! One reconcile of one graph: read desired and observed state, apply the differences, record the
//! observation.
//!
//! Its only input is the graph's name. It can be interrupted at any step and started again: completed steps
//! are observed in the other systems and not repeated.

use std::collections::{BTreeMap, BTreeSet};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::memory::Memory;
use super::progress::Progress;
use super::queue::{Key, Kind, WorkOutcome, Worked, WorkerSlot};
use super::readiness::{BoundObject, awaited, judge};
use super::resources::{
    Resource, ResourceId, ResourceKind, Scope, State, States, manifest, propagation, release, replicas, rules,
};
use super::rule_health::RuleHealth;
use super::summary::Seen;
use crate::clients::{
    BindingObservation, GraphRules, Outside, ReleaseObservation, Result as ClientResult, WorkloadObservation,
};
use crate::config::ReconcileSettings;
use crate::error::Result;
use crate::model::{GraphRecord, ServiceRecord, owner_of};
use crate::store::Store;

/// The work on the keys of the queue.
#[derive(Clone)]
pub struct Reconciler {
    pub(super) store: Store,
    pub(super) outside: Outside,
    pub(super) settings: ReconcileSettings,
    severity: String,
    rule_health: RuleHealth,
    /// Kinds of objects that a chart may bring although they would act on Karmada itself.
    allowed_kinds: BTreeSet<String>,
}

impl Reconciler {
    /// A reconciler; `severity` is that of the alert rules, `rule_health` what Prometheus says of them, `allowed_kinds` are the kinds of objects that a
    /// chart may bring although they would act on Karmada itself.
    pub fn new(
        store: Store,
        outside: Outside,
        severity: String,
        rule_health: RuleHealth,
        allowed_kinds: BTreeSet<String>,
        settings: ReconcileSettings,
    ) -> Self {
        Self { store, outside, settings, severity, rule_health, allowed_kinds }
    }

    /// The work of the queue's workers.
    pub fn into_work(
        self,
    ) -> impl Fn(Key, Memory, WorkerSlot) -> BoxFuture<'static, Worked> + Send + Sync + 'static {
        move |key, mut memory, worker| {
            let reconciler = self.clone();
            async move {
                let result = match key.kind {
                    Kind::Graph => reconciler.reconcile_graph(&key.name, &mut memory, &worker).await,
                    Kind::Leftovers => reconciler.remove_leftovers(&mut memory, &worker).await,
                };
                (result, memory)
            }
            .boxed()
        }
    }

    /// Brings one graph to its desired state. Failures of other systems are recorded as conditions and
    /// reported by the outcome.
    async fn reconcile_graph(
        &self,
        name: &str,
        memory: &mut Memory,
        worker: &WorkerSlot,
    ) -> Result<(WorkOutcome, Progress)> {
        let Some(graph) = self.store.graph(name).await? else {
            return Ok((WorkOutcome::Gone, Progress::gone()));
        };
        let mut services = self.store.services(name).await?;
        let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let releases = match self.outside.releases(&graph.namespace, &owner_of(name), &names).await {
            Ok(releases) => releases,
            Err(error) => return self.record_blind(&graph, &error).await,
        };
        let mut states = States::new();
        let unknown = manifest::resources(&graph, &services, &releases);
        if !unknown.is_empty() {
            let scope = Scope { graph: Some(&graph), services: &services, worker };
            self.carry_out(&scope, unknown, &mut memory.failures, &mut states).await?;
            services = self.store.services(name).await?;
        }
        let scope = Scope { graph: Some(&graph), services: &services, worker };
        let rules = rules::wanted(&graph, &services, &self.severity);
        let allowed = &self.allowed_kinds;
        let mut resources = release::resources(&graph, &services, &releases, &states, allowed);
        let mut policies = Vec::new();
        for service in &services {
            policies.push(propagation::resource(&self.outside, &graph, service, &resources).await);
        }
        resources.extend(policies);
        resources.extend(self.rules_resource(&graph, rules.as_ref()).await);
        self.carry_out(&scope, resources, &mut memory.failures, &mut states).await?;
        if states.values().any(|state| *state == State::Superseded) {
            return Ok((WorkOutcome::Superseded, Progress::under_way(graph.generation)));
        }
        let seen = self.observe(&scope, &graph, &releases, rules.as_ref(), memory, states).await?;
        self.record(&graph, &services, &seen).await
    }

    /// Reads the workloads, and sets their replicas as decided.
    async fn observe(
        &self,
        scope: &Scope<'_>,
        graph: &GraphRecord,
        releases: &[ReleaseObservation],
        rules: Option<&Option<GraphRules>>,
        memory: &mut Memory,
        mut states: States,
    ) -> Result<Seen> {
        let clusters = self.store.clusters().await?;
        let available = clusters.into_iter().map(|cluster| (cluster.name, cluster.available)).collect();
        let owner = owner_of(&graph.name);
        let foreign = |name: &str| {
            releases.iter().any(|release| release.name == name && release.owner.as_deref() != Some(&owner))
        };
        let (mut verdicts, mut resources) = (BTreeMap::new(), Vec::new());
        let (mut remaining, mut unseen) = (None, None);
        for service in scope.services.iter().filter(|service| !foreign(&service.name)) {
            let (workloads, objects) = match self.look_at(service).await {
                Ok(seen) => seen,
                Err(error) => {
                    unseen = Some(error);
                    break;
                }
            };
            if !service.wants_release(graph) {
                let named =
                    |workload: &WorkloadObservation| format!("{} {}", workload.kind.as_str(), workload.name);
                // What somebody else's policy has claimed is not this service's.
                let is_its = |binding: &BindingObservation| {
                    binding.policy.is_none() || binding.managed.as_ref() == Some(&release::key_of(service))
                };
                let left = objects.iter().filter(|(_, binding)| binding.as_ref().is_some_and(is_its));
                let left = left.map(|(id, _)| id.to_string());
                remaining = remaining.or_else(|| workloads.iter().map(named).chain(left).next());
            } else if is_installed(&states, service) {
                let verdict = judge(service, &workloads, &objects, &available);
                verdicts.insert(service.name.clone(), verdict);
                resources.extend(replicas::resource(service, &workloads));
            }
        }
        self.carry_out(scope, resources, &mut memory.failures, &mut states).await?;
        memory.failures.forget_others(&states);
        let rules = match rules {
            Some(_) if !self.outside.has_rules() => Some(rules::not_configured()),
            Some(wanted) => {
                let health = self.rule_health.of(&graph.name);
                rules::condition(wanted.as_ref(), states.get(&rules::id(graph)), health)
            }
            None => None,
        };
        Ok(Seen { states, verdicts, rules, remaining, unseen })
    }

    /// The workloads of a service, and the other objects that have to reach its cluster.
    async fn look_at<'s>(
        &self,
        service: &'s ServiceRecord,
    ) -> ClientResult<(Vec<WorkloadObservation>, Vec<BoundObject<'s>>)> {
        let workloads = self.outside.workloads_of(&release::key_of(service)).await?;
        let objects = awaited(service);
        let bindings = self.outside.bindings_of(&objects).await?;
        Ok((workloads, objects.into_iter().zip(bindings).collect()))
    }

    /// The rules object of the graph, if it has conditional services and there is a place for their rules.
    async fn rules_resource(
        &self,
        graph: &GraphRecord,
        wanted: Option<&Option<GraphRules>>,
    ) -> Option<Resource> {
        let wanted = wanted.filter(|_| self.outside.has_rules())?;
        // While the watch cannot be trusted, writing the desired state is harmless: it is the same again.
        let observed = self.outside.observed_rules(&rules::object_name(&graph.name)).await.ok();
        Some(rules::resource(graph, wanted.clone(), observed.as_ref()))
    }
}

fn is_installed(states: &States, service: &ServiceRecord) -> bool {
    states.get(&ResourceId::new(ResourceKind::Release, &service.name)) == Some(&State::Present)
}
