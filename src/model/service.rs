//! A service of a graph: its desired release and its last observed state.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Condition, Desired, GraphRecord};
use crate::hdag::{Dimension, Resources, Trigger};

/// Whether a graph is ready: all of its services that should run do. A conditional service that waits for its
/// event should not, so it does not count.
#[must_use]
pub fn is_ready(graph: &GraphRecord, services: &[ServiceRecord]) -> bool {
    graph.desired == Desired::Running
        && services.iter().filter(|service| service.is_due()).all(|service| service.ready)
}

/// Where a service is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    /// Waits for its event.
    Pending,
    /// Its release is being installed.
    Deploying,
    /// Its release is installed.
    Deployed,
    /// The installation failed; the condition `Installed` gives the cause and whether it is retried.
    Failed,
    /// The graph is stopped.
    NotDeployed,
}

impl ServiceState {
    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Deploying => "deploying",
            Self::Deployed => "deployed",
            Self::Failed => "failed",
            Self::NotDeployed => "not_deployed",
        }
    }
}

impl TryFrom<String> for ServiceState {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "pending" => Ok(Self::Pending),
            "deploying" => Ok(Self::Deploying),
            "deployed" => Ok(Self::Deployed),
            "failed" => Ok(Self::Failed),
            "not_deployed" => Ok(Self::NotDeployed),
            _ => Err(format!("{text:?} is no ServiceState")),
        }
    }
}

/// A service of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceRecord {
    /// The graph it belongs to.
    pub graph: String,
    /// `services[].id`; also the name of its release.
    pub name: String,
    /// Position in the descriptor.
    pub position: i64,
    /// Namespace of its release; `(namespace, name)` is unique over all graphs.
    pub namespace: String,
    /// Resources that one replica needs according to the intent.
    pub needs: Resources,
    /// Its trigger.
    pub trigger: Trigger,
    /// A conditional service whose event has happened.
    pub triggered: bool,
    /// Where it is placed; `None` when static.
    pub cluster: Option<String>,
    /// Chart as written in the descriptor.
    pub chart: String,
    /// `ociConfig.type`.
    pub artifact_type: String,
    /// `ociConfig.implementer`.
    pub implementer: String,
    /// All values of the release, the placement's included.
    pub values: Map<String, Value>,
    /// Replicas that scaling decided; `None` while the chart decides.
    pub replicas_decided: Option<i64>,
    /// Observed: where it is on its way.
    pub state: ServiceState,
    /// Observed: it runs where it was placed.
    pub ready: bool,
    /// Observed: desired replicas (`spec.replicas`).
    pub replicas_observed: Option<i64>,
    /// Observed: ready replicas.
    pub replicas_ready: Option<i64>,
    /// Observed: its workloads, by name; empty until one was seen. They count until others are seen.
    pub workloads: Vec<WorkloadUse>,
    /// Conditions of the service.
    pub conditions: Vec<Condition>,
}

/// One observed workload of a service, such as a Deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadUse {
    /// Request of one of its pods, as the scheduler counts it.
    pub requests: Resources,
    /// Pods that it is to have.
    pub replicas: i64,
    /// Pods that are ready where the service was placed.
    pub ready: i64,
}

fn total(workloads: &[WorkloadUse], count: impl Fn(&WorkloadUse) -> i64) -> Resources {
    let used = workloads.iter().map(|workload| workload.requests.times(count(workload).max(0)));
    used.fold(Resources::default(), |sum, next| sum + next)
}

impl ServiceRecord {
    /// Whether it runs only after an event.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        matches!(self.trigger, Trigger::Event { .. })
    }

    /// Whether it should run once its graph does: at once, or after its event.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.triggered || !self.is_conditional()
    }

    /// Whether its release should exist now.
    #[must_use]
    pub fn wants_release(&self, graph: &GraphRecord) -> bool {
        graph.desired == Desired::Running && self.is_due()
    }

    /// Resources that decisions assume for one replica: those that its chart requests, and those of the
    /// intent where the chart requests none. Several workloads, which are scaled one by one, count as one
    /// replica of all of them.
    #[must_use]
    pub fn counted_needs(&self) -> Resources {
        let requested = self.requested();
        Resources::from_fn(|dimension| match self.requests_any(dimension) {
            true => requested.get(dimension),
            false => self.needs.get(dimension),
        })
    }

    /// Requests of its chart: for one replica of its only workload, or for all replicas of several.
    #[must_use]
    pub fn requested(&self) -> Resources {
        match self.workloads.as_slice() {
            [only] => only.requests,
            several => total(several, |workload| workload.replicas),
        }
    }

    /// Whether its chart requests any of a resource.
    #[must_use]
    pub fn requests_any(&self, dimension: Dimension) -> bool {
        self.workloads.iter().any(|workload| workload.requests.get(dimension) > 0)
    }

    /// Its actual or desired replicas: as decided by scaling, else as observed, else one.
    #[must_use]
    pub fn counted_replicas(&self) -> i64 {
        match self.workloads.as_slice() {
            [] => self.replicas_decided.or(self.replicas_observed).unwrap_or(1).max(0),
            [only] => self.replicas_decided.unwrap_or(only.replicas).max(0),
            several => i64::from(several.iter().any(|workload| workload.replicas > 0)),
        }
    }

    /// Requests of the ready replicas, as their cluster reports them.
    #[must_use]
    pub fn ready_use(&self) -> Resources {
        match self.workloads.as_slice() {
            [] => self.counted_needs().times(self.replicas_ready.unwrap_or(0).max(0)),
            seen => total(seen, |workload| workload.ready),
        }
    }

    /// Notes that none of its workloads was seen; their requests and replicas go on counting.
    pub fn nothing_is_ready(&mut self) {
        self.workloads.iter_mut().for_each(|workload| workload.ready = 0);
    }

    /// Forgets the replicas that the previous load led to: it does not predict the load after the next start.
    /// Workloads are expected to come back with at least one replica each.
    pub fn forget_load(&mut self) {
        let scaled = self.replicas_decided.take().is_some();
        for workload in &mut self.workloads {
            workload.replicas = if scaled { 1 } else { workload.replicas.max(1) };
        }
    }

    /// The state in which it begins when its graph is deployed or started.
    #[must_use]
    pub fn initial_state(&self) -> ServiceState {
        if self.is_conditional() { ServiceState::Pending } else { ServiceState::Deploying }
    }
}
