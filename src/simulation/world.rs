//! The handle of a simulated world, shared by its ports and its tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::continuum::Continuum;
use super::ports;
use super::state::{Release, State};
use crate::clients::{AlertRule, ClientError, Ports, ReleaseKey};

/// Changes that a slow reader may lag behind before it has to re-read everything.
const CHANGES: usize = 1024;
/// Readiness is evaluated this long after it is due, so that it is surely observed.
const MARGIN: Duration = Duration::from_millis(1);

/// A simulated world. Cheap to clone; all clones are the same world.
#[derive(Clone)]
pub struct World {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    faults: Mutex<BTreeMap<Operation, (ClientError, usize)>>,
    calls: Mutex<BTreeMap<Operation, u64>>,
    clusters_changed: watch::Sender<u64>,
    workload_changed: broadcast::Sender<ReleaseKey>,
    release_changed: broadcast::Sender<ReleaseKey>,
    policies_changed: broadcast::Sender<ReleaseKey>,
    rules_changed: broadcast::Sender<String>,
}

/// Operations of the ports, for faults and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// `Inventory::clusters`.
    ListClusters,
    /// `Workloads::of_release`.
    ReadWorkloads,
    /// `Workloads::scale`.
    Scale,
    /// `Releases::find`.
    ListReleases,
    /// `Releases::render`.
    Render,
    /// `PropagationPolicies::apply`.
    ApplyPolicies,
    /// `PropagationPolicies::remove`.
    DeletePolicies,
    /// `Releases::apply`.
    ApplyRelease,
    /// `Releases::adopt`.
    AdoptRelease,
    /// `Releases::uninstall`.
    UninstallRelease,
    /// `AlertRules::apply`.
    ApplyRules,
    /// `AlertRules::delete`.
    DeleteRules,
    /// `AlertRules::list` and `AlertRules::observed`.
    ListRules,
    /// `Metrics::firing_alerts`.
    FiringAlerts,
    /// `Metrics::loaded_rules`.
    LoadedRules,
    /// `Metrics::rates`.
    ListRates,
    /// `ChartRepositories::fetch`.
    FetchChart,
    /// `Inventory::largest_nodes`.
    ListNodes,
    /// `Networks::networks`.
    Networks,
    /// `Latencies::latencies`.
    Latencies,
}

/// There is no cluster of that name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cluster {0:?} is not part of the simulated continuum")]
pub struct UnknownCluster(pub String);

/// There is no rule for that service.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("graph {graph:?} has no alert rule for service {service:?}")]
pub struct UnknownRule {
    /// The graph.
    pub graph: String,
    /// The service.
    pub service: String,
}

/// The objects in a world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Releases as `namespace/name`.
    pub releases: BTreeSet<String>,
    /// Names of rule objects.
    pub rules: BTreeSet<String>,
    /// Releases that `smo` propagates, as `namespace/name`.
    pub policies: BTreeSet<String>,
    /// Deployments as `cluster/namespace/name`.
    pub deployments: BTreeSet<String>,
}

impl World {
    /// A world of these clusters; equal seeds give equal delays.
    #[must_use]
    pub fn new(continuum: Continuum, seed: u64) -> Self {
        let inner = Inner {
            state: Mutex::new(State::new(continuum, seed)),
            faults: Mutex::default(),
            calls: Mutex::default(),
            clusters_changed: watch::Sender::default(),
            workload_changed: broadcast::Sender::new(CHANGES),
            release_changed: broadcast::Sender::new(CHANGES),
            policies_changed: broadcast::Sender::new(CHANGES),
            rules_changed: broadcast::Sender::new(CHANGES),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The ports of this world for its usual installation.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports_of("simulated")
    }

    /// The ports of this world for an installation that shares it with others.
    #[must_use]
    pub fn ports_of(&self, installation: &str) -> Ports {
        ports::of(self, installation)
    }

    /// Takes a cluster down, or up again. Its workloads keep their last status, as in Karmada.
    ///
    /// # Errors
    /// There is no such cluster.
    pub fn set_cluster_available(&self, name: &str, available: bool) -> Result<(), UnknownCluster> {
        let mut state = self.state();
        let cluster = state.clusters.get_mut(name).ok_or_else(|| UnknownCluster(name.to_owned()))?;
        cluster.available = available;
        drop(state);
        self.cluster_changed();
        Ok(())
    }

    /// Removes a cluster from the world, as if it had been unjoined.
    pub fn remove_cluster(&self, name: &str) {
        self.state().clusters.remove(name);
        self.cluster_changed();
    }

    /// Makes the alerts of a service fire, or stop firing.
    ///
    /// # Errors
    /// No rule has these labels.
    pub fn set_alert_firing(&self, graph: &str, service: &str, firing: bool) -> Result<(), UnknownRule> {
        let mut state = self.state();
        let has = |labels: &BTreeMap<String, String>, label: &str, value: &str| {
            labels.get(label).is_some_and(|found| found == value)
        };
        let is_its =
            |rule: &AlertRule| has(&rule.labels, "graph", graph) && has(&rule.labels, "service", service);
        if !state.alert_rules().any(is_its) {
            return Err(UnknownRule { graph: graph.to_owned(), service: service.to_owned() });
        }
        let target = (graph.to_owned(), service.to_owned());
        state.firing.retain(|alert| *alert != target);
        if firing {
            state.firing.push(target);
        }
        Ok(())
    }

    /// Makes Prometheus report this many requests per second for a service, whatever the query.
    pub fn set_rate(&self, service: &str, requests_per_second: f64) {
        self.state().rates.insert(service.to_owned(), requests_per_second);
    }

    /// Makes Prometheus have no data of a service.
    pub fn clear_rate(&self, service: &str) {
        self.state().rates.remove(service);
    }

    /// Lets an operation fail the next `times` times.
    pub fn fail_next(&self, operation: Operation, error: ClientError, times: usize) {
        lock(&self.inner.faults).insert(operation, (error, times));
    }

    /// Makes Prometheus load the rules of a graph, or not; or fail to evaluate them with this error.
    pub fn set_rules_of(&self, graph: &str, loaded: bool, error: Option<&str>) {
        let mut state = self.state();
        state.unloaded.remove(graph);
        state.broken.remove(graph);
        if !loaded {
            state.unloaded.insert(graph.to_owned());
        }
        if let Some(error) = error {
            state.broken.insert(graph.to_owned(), error.to_owned());
        }
    }

    /// Makes every chart repository serve other archives from now on.
    pub fn publish_again(&self) {
        self.state().edition += 1;
    }

    /// Puts a release there that `smo` did not make.
    pub fn foreign_release(&self, namespace: &str, name: &str) {
        let key = ReleaseKey { namespace: namespace.to_owned(), name: name.to_owned() };
        self.state().put_release(&key, Some(Release { revision: 1, mark: None, workload: None }));
        self.record_changed(&key);
    }

    /// The objects that exist now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let name = |key: &ReleaseKey| format!("{}/{}", key.namespace, key.name);
        let places = state.releases.iter().flat_map(|(key, release)| {
            let places = release.workload.iter().flat_map(|workload| workload.places.keys());
            places.map(move |cluster| format!("{cluster}/{}", name(key)))
        });
        Snapshot {
            releases: state.releases.keys().map(name).collect(),
            rules: state.rules.keys().cloned().collect(),
            policies: state.policies.keys().map(name).collect(),
            deployments: places.collect(),
        }
    }

    /// Revision of a release; `None` when it does not exist.
    #[must_use]
    pub fn revision(&self, namespace: &str, name: &str) -> Option<i64> {
        let key = ReleaseKey { namespace: namespace.to_owned(), name: name.to_owned() };
        self.state().releases.get(&key).map(|release| release.revision)
    }

    /// How often an operation was called.
    #[must_use]
    pub fn calls(&self, operation: Operation) -> u64 {
        lock(&self.inner.calls).get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.inner.state)
    }

    /// Counts a call and fails it if a test has requested that.
    pub(super) fn call(&self, operation: Operation) -> Result<(), ClientError> {
        *lock(&self.inner.calls).entry(operation).or_default() += 1;
        let mut faults = lock(&self.inner.faults);
        match faults.get_mut(&operation) {
            Some((error, times)) if *times > 0 => {
                *times -= 1;
                Err(error.clone())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn cluster_changes(&self) -> watch::Receiver<u64> {
        self.inner.clusters_changed.subscribe()
    }

    pub(super) fn workload_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.inner.workload_changed.subscribe()
    }

    pub(super) fn release_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.inner.release_changed.subscribe()
    }

    /// Announces that the record of a release changed.
    pub(super) fn record_changed(&self, key: &ReleaseKey) {
        drop(self.inner.release_changed.send(key.clone()));
    }

    pub(super) fn policy_changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.inner.policies_changed.subscribe()
    }

    /// Announces that the policies of a release changed.
    pub(super) fn policies_changed(&self, key: &ReleaseKey) {
        drop(self.inner.policies_changed.send(key.clone()));
    }

    pub(super) fn rule_changes(&self) -> broadcast::Receiver<String> {
        self.inner.rules_changed.subscribe()
    }

    /// Announces that a rules object changed.
    pub(super) fn rules_changed(&self, object_name: &str) {
        drop(self.inner.rules_changed.send(object_name.to_owned()));
    }

    pub(super) fn cluster_changed(&self) {
        self.inner.clusters_changed.send_modify(|ticks| *ticks += 1);
    }

    /// Announces that the workload of a release changed, now and again when its pods become ready.
    pub(super) fn workload_changed(&self, key: &ReleaseKey, ready_at: Option<Instant>) {
        drop(self.inner.workload_changed.send(key.clone()));
        self.cluster_changed();
        if let Some(ready_at) = ready_at {
            let (inner, key) = (Arc::downgrade(&self.inner), key.clone());
            tokio::spawn(async move {
                tokio::time::sleep_until(ready_at + MARGIN).await;
                if let Some(inner) = inner.upgrade() {
                    drop(inner.workload_changed.send(key));
                }
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
