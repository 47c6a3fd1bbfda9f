//! The outside world as the layers above see it: one method per port method, each under the one wrapper.
//!
//! Nothing else calls a port. Which policy an operation has is decided here and nowhere else. Cheap to clone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, watch};

use super::call::{Calls, Operation, Policy};
use super::strategies::{Endpoint, Strategies};
use super::{
    ClientError, ClientErrorKind, FiringAlert, GraphRules, Ports, Probe, ReleaseKey, ReleaseObservation,
    ReleaseSpec, Result, WorkloadObservation,
};
use crate::config::{ExternalStrategy, IntentHandler};
use crate::model::{ClusterNetworks, ClusterObservation, RoundTripTimes};
use crate::optimizer::{
    ExternalPlacementAnswer, ExternalPlacementQuestion, ExternalScalingAnswer, ExternalScalingQuestion,
    IntentHandlerAnswer, IntentHandlerQuestion, placement, scaling,
};

const CLUSTERS: Operation = read("karmada", "clusters");
const SCALE: Operation = write("karmada", "scale");
const RELEASES: Operation = read("karmada", "releases");
const APPLY: Operation = release("apply", &["karmada", "registry"]);
const UNINSTALL: Operation = release("uninstall", &["karmada"]);
const APPLY_RULES: Operation = write("monitoring", "apply_rules");
const DELETE_RULES: Operation = write("monitoring", "delete_rules");
const LIST_RULES: Operation = read("monitoring", "list_rules");
const FIRING_ALERTS: Operation = read("prometheus", "firing_alerts");
const RATES: Operation = read("prometheus", "rates");
const NETWORKS: Operation = read("submariner", "networks");
/// Not Submariner's broker: the gateways of the members, through Karmada.
const LATENCIES: Operation = read("gateways", "latencies");

const fn read(system: &'static str, name: &'static str) -> Operation {
    Operation { system, name, policy: Policy::Read, proves: &[] }
}

const fn write(system: &'static str, name: &'static str) -> Operation {
    Operation { system, name, policy: Policy::Write, proves: &[] }
}

const fn release(name: &'static str, proves: &'static [&'static str]) -> Operation {
    Operation { system: "helm", name, policy: Policy::Release, proves }
}

/// All outside systems behind the wrapper.
#[derive(Clone)]
pub struct Outside(Arc<Inner>);

struct Inner {
    ports: Ports,
    calls: Calls,
    strategies: Strategies,
}

impl Outside {
    /// Puts `ports` behind `calls`.
    #[must_use]
    pub fn new(ports: Ports, calls: Calls) -> Self {
        let strategies = Strategies::new(calls.settings());
        Self(Arc::new(Inner { ports, calls, strategies }))
    }

    /// Reads all clusters now.
    ///
    /// # Errors
    /// When Karmada does not answer.
    pub async fn clusters(&self) -> Result<Vec<ClusterObservation>> {
        self.0.calls.run(CLUSTERS, || self.0.ports.inventory.clusters()).await
    }

    /// Ticks whenever a cluster may have changed.
    #[must_use]
    pub fn cluster_changes(&self) -> watch::Receiver<u64> {
        self.0.ports.inventory.changes()
    }

    /// What runs of a release. Read from the watched state, so there is nothing to retry or to measure.
    ///
    /// # Errors
    /// `Unreachable` until the first state has arrived.
    pub async fn workloads_of(&self, release: &ReleaseKey) -> Result<Vec<WorkloadObservation>> {
        self.0.ports.workloads.of_release(release).await
    }

    /// Names a release whenever something of it may have changed.
    #[must_use]
    pub fn workload_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.0.ports.workloads.changes()
    }

    /// Sets the replicas of a Deployment.
    ///
    /// # Errors
    /// When Karmada does not answer or refuses.
    pub async fn scale(&self, namespace: &str, deployment: &str, replicas: i64) -> Result<()> {
        self.0.calls.run(SCALE, || self.0.ports.workloads.scale(namespace, deployment, replicas)).await
    }

    /// All releases of a namespace, whoever made them.
    ///
    /// # Errors
    /// When Karmada does not answer.
    pub async fn releases(&self, namespace: &str) -> Result<Vec<ReleaseObservation>> {
        self.0.calls.run(RELEASES, || self.0.ports.releases.list(namespace)).await
    }

    /// Installs or upgrades a release.
    ///
    /// # Errors
    /// `Conflict` for a release that is not the owner's; otherwise what Helm says.
    pub async fn apply_release(&self, release: &ReleaseSpec) -> Result<()> {
        self.0.calls.run(APPLY, || self.0.ports.releases.apply(release)).await
    }

    /// Uninstalls a release of `owner`; one that is not there is fine.
    ///
    /// # Errors
    /// `Conflict` for a release that is not the owner's; otherwise what Helm says.
    pub async fn uninstall_release(&self, key: &ReleaseKey, owner: &str) -> Result<()> {
        self.0.calls.run(UNINSTALL, || self.0.ports.releases.uninstall(key, owner)).await
    }

    /// Whether alert rules can be written.
    #[must_use]
    pub fn has_rules(&self) -> bool {
        self.0.ports.rules.is_some()
    }

    /// Makes the rules of a graph be exactly these.
    ///
    /// # Errors
    /// `Invalid` when no monitoring cluster is configured; otherwise what its API server says.
    pub async fn apply_rules(&self, rules: &GraphRules) -> Result<()> {
        let port = configured(self.0.ports.rules.as_ref(), "monitoring")?;
        self.0.calls.run(APPLY_RULES, || port.apply(rules)).await
    }

    /// Removes the rules of a graph; rules that are not there are fine, also when no monitoring cluster is
    /// configured.
    ///
    /// # Errors
    /// What the monitoring cluster's API server says.
    pub async fn delete_rules(&self, object_name: &str) -> Result<()> {
        match self.0.ports.rules.as_ref() {
            Some(port) => self.0.calls.run(DELETE_RULES, || port.delete(object_name)).await,
            None => Ok(()),
        }
    }

    /// Names of the rule objects that are ours.
    ///
    /// # Errors
    /// `Invalid` when no monitoring cluster is configured; otherwise what its API server says.
    pub async fn list_rules(&self) -> Result<Vec<String>> {
        let port = configured(self.0.ports.rules.as_ref(), "monitoring")?;
        self.0.calls.run(LIST_RULES, || port.list()).await
    }

    /// Whether Prometheus can be asked.
    #[must_use]
    pub fn has_metrics(&self) -> bool {
        self.0.ports.metrics.is_some()
    }

    /// All alerts of our rules that fire now.
    ///
    /// # Errors
    /// `Invalid` when no Prometheus is configured; otherwise what it says.
    pub async fn firing_alerts(&self) -> Result<Vec<FiringAlert>> {
        let port = configured(self.0.ports.metrics.as_ref(), "prometheus")?;
        self.0.calls.run(FIRING_ALERTS, || port.firing_alerts()).await
    }

    /// Values of an instant query by the label `service`; a service without a finite value is absent.
    ///
    /// # Errors
    /// `Invalid` when no Prometheus is configured or the query is wrong; otherwise what it says.
    pub async fn rates(&self, query: &str) -> Result<BTreeMap<String, f64>> {
        let port = configured(self.0.ports.metrics.as_ref(), "prometheus")?;
        self.0.calls.run(RATES, || port.rates(query)).await
    }

    /// Asks an external placement strategy: service name to cluster name.
    ///
    /// # Errors
    /// It does not answer in time, or not as wanted.
    pub async fn ask_placement(
        &self,
        name: &str,
        strategy: &ExternalStrategy<placement::BuiltIn>,
        question: &ExternalPlacementQuestion<'_>,
    ) -> Result<BTreeMap<String, String>> {
        let ExternalStrategy { url, deadline, .. } = strategy;
        let endpoint = Endpoint { kind: "strategy", name, url, deadline: *deadline };
        let answer: ExternalPlacementAnswer = self.ask(endpoint, question).await?;
        Ok(answer.assignment)
    }

    /// Asks an external scaling strategy: service name to replicas.
    ///
    /// # Errors
    /// It does not answer in time, or not as wanted.
    pub async fn ask_scaling(
        &self,
        name: &str,
        strategy: &ExternalStrategy<scaling::BuiltIn>,
        question: &ExternalScalingQuestion<'_>,
    ) -> Result<BTreeMap<String, i64>> {
        let ExternalStrategy { url, deadline, .. } = strategy;
        let endpoint = Endpoint { kind: "scaling strategy", name, url, deadline: *deadline };
        let answer: ExternalScalingAnswer = self.ask(endpoint, question).await?;
        Ok(answer.replicas)
    }

    /// Asks an intent handler what intents mean.
    ///
    /// # Errors
    /// It does not answer in time, or not as wanted.
    pub async fn ask_intent_handler(
        &self,
        name: &str,
        handler: &IntentHandler,
        question: &IntentHandlerQuestion<'_>,
    ) -> Result<IntentHandlerAnswer> {
        let IntentHandler { url, deadline, .. } = handler;
        self.ask(Endpoint { kind: "intent handler", name, url, deadline: *deadline }, question).await
    }

    async fn ask<A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<'_>,
        question: &(impl Serialize + Sync),
    ) -> Result<A> {
        let admitted = self.0.strategies.admit(endpoint)?;
        let policy = Policy::Once(endpoint.deadline);
        let decide = Operation { system: "strategy", name: "decide", policy, proves: &[] };
        let answer = self.0.calls.run(decide, || self.0.strategies.ask(endpoint, question)).await;
        admitted.finish(&answer);
        answer
    }

    /// Whether networks can be read.
    #[must_use]
    pub fn has_networks(&self) -> bool {
        self.0.ports.networks.is_some()
    }

    /// Networks of the clusters by name; empty when Submariner is not configured.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn networks(&self) -> Result<BTreeMap<String, ClusterNetworks>> {
        match self.0.ports.networks.as_ref() {
            Some(port) => self.0.calls.run(NETWORKS, || port.networks()).await,
            None => Ok(BTreeMap::new()),
        }
    }

    /// Round-trip times between these clusters and any others; empty when nothing measures them. A cluster that
    /// cannot be asked is left out.
    ///
    /// # Errors
    /// When asking takes too long.
    pub async fn latencies(&self, clusters: &[String]) -> Result<RoundTripTimes> {
        match self.0.ports.latencies.as_ref() {
            Some(port) => self.0.calls.run(LATENCIES, || port.latencies(clusters)).await,
            None => Ok(RoundTripTimes::new()),
        }
    }

    /// What the calls so far say of each system.
    #[must_use]
    pub fn probes(&self) -> Vec<Probe> {
        self.0.calls.probes()
    }

    /// The wrapper itself, to register its metrics and to share its fault steps.
    #[must_use]
    pub fn calls(&self) -> &Calls {
        &self.0.calls
    }
}

fn configured<'a, T: ?Sized>(port: Option<&'a Arc<T>>, system: &'static str) -> Result<&'a T> {
    port.map(AsRef::as_ref).ok_or_else(|| {
        ClientError::new(system, ClientErrorKind::Invalid, format!("{system} is not configured"))
    })
}
