//! A service of a graph: its desired release and its last observed state.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Condition, Desired, GraphRecord, Manifest};
use crate::hdag::{Dimension, Propagation, Resources, Trigger, split_tag, without_placement};

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

/// Kinds of objects that set the replicas of a workload.
const SCALERS: [&str; 2] = ["HorizontalPodAutoscaler", "ScaledObject"];

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
    /// All values of the release, the placement's included; those that Helm gets: [`Self::release_values`].
    pub values: Map<String, Value>,
    /// Who is to propagate its objects; `None` to go by its chart.
    pub propagation: Option<Propagation>,
    /// The clusters of those that call it, its own when nobody does; empty when static.
    pub import_clusters: Vec<String>,
    /// Name of the workload that scaling is to act on; `None` for the only one that it can act on.
    pub scaled_workload: Option<String>,
    /// Replicas that scaling decided; `None` while the chart decides.
    pub replicas_decided: Option<i64>,
    /// When scaling last decided them; `None` while the chart decides.
    pub scaled_at: Option<DateTime<Utc>>,
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
    /// Observed: the objects of its chart; `None` until it was rendered.
    pub manifest: Option<Manifest>,
    /// Conditions of the service.
    pub conditions: Vec<Condition>,
}

/// The kinds of workloads that are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// Pods that are alike.
    #[default]
    Deployment,
    /// Pods with names and volumes of their own.
    StatefulSet,
    /// One pod for each suitable node.
    DaemonSet,
    /// Pods that come to an end.
    Job,
    /// Jobs at set times.
    CronJob,
    /// Pods that are alike, without updates.
    ReplicaSet,
    /// A single pod.
    Pod,
}

impl WorkloadKind {
    /// The name in Kubernetes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::ReplicaSet => "ReplicaSet",
            Self::Pod => "Pod",
        }
    }

    /// Whether its pods share a load, so that scaling can set their number.
    #[must_use]
    pub fn is_scalable(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet)
    }
}

/// One workload of a service, such as a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadUse {
    /// Its kind.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Request of one of its pods, as the scheduler counts it.
    pub requests: Resources,
    /// The part of it that the report of its cluster holds: Karmada leaves out init containers, sidecars among them, and
    /// resources of the pod as a whole.
    #[serde(default)]
    pub reported: Resources,
    /// Pods that it is to have.
    pub replicas: i64,
    /// Pods that are ready where the service was placed.
    pub ready: i64,
}

fn total(workloads: &[WorkloadUse], each: impl Fn(&WorkloadUse) -> Resources) -> Resources {
    workloads.iter().map(each).fold(Resources::default(), |sum, next| sum + next)
}

impl WorkloadUse {
    /// The amount that the report of its cluster holds of so many of its pods. A CronJob has none most of the time.
    fn reported_of(&self, pods: i64) -> Resources {
        if self.kind == WorkloadKind::CronJob {
            Resources::default()
        } else {
            self.reported.times(pods.max(0))
        }
    }
}

impl ServiceRecord {
    /// Who propagates its objects; `None` while that is not known. A service without a cluster is left to its
    /// chart.
    #[must_use]
    pub fn propagated_by(&self) -> Option<Propagation> {
        match (&self.cluster, self.propagation) {
            (None, _) => Some(Propagation::Chart),
            (Some(_), Some(wish)) => Some(wish),
            (Some(_), None) => self.manifest.as_ref().map(Manifest::propagation),
        }
    }

    /// The values that its chart is installed with. A chart that knows nothing of Karmada gets no values of
    /// the placement, so that moving its service is no upgrade.
    #[must_use]
    pub fn release_values(&self) -> Map<String, Value> {
        match self.propagated_by() {
            Some(Propagation::Managed) => without_placement(&self.values, &self.implementer),
            _ => self.values.clone(),
        }
    }

    /// The digest that its chart had when it was rendered; `None` until then, and when its origin told none.
    #[must_use]
    pub fn chart_digest(&self) -> Option<&str> {
        let manifest = self.manifest.as_ref().filter(|manifest| manifest.chart == self.chart)?;
        manifest.chart_digest.as_deref()
    }

    /// The chart that is installed: with the digest that it had when it was rendered, so that it stays the same
    /// whatever becomes of its tag.
    #[must_use]
    pub fn pinned_chart(&self) -> String {
        let is_pinnable = self.chart.starts_with("oci://") && !self.chart.contains('@');
        match self.chart_digest().filter(|_| is_pinnable) {
            Some(digest) => format!("{}@{digest}", split_tag(&self.chart).0),
            None => self.chart.clone(),
        }
    }

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

    /// Why scaling leaves it alone: a clause that follows "but". `None` when it can be scaled, or nothing of it was
    /// seen yet.
    #[must_use]
    pub fn unscalable(&self) -> Option<String> {
        let objects = self.manifest.iter().flat_map(|manifest| &manifest.objects);
        let scaler = objects.map(|object| &object.id).find(|id| SCALERS.contains(&id.kind.as_str()));
        if let Some(scaler) = scaler {
            return Some(format!("its chart brings {scaler}, which scales it"));
        }
        if self.workloads.is_empty() || self.scaled_index().is_some() {
            return None;
        }
        let named = |workload: &WorkloadUse| format!("{} {}", workload.kind.as_str(), workload.name);
        let names = || self.workloads.iter().map(named).collect::<Vec<_>>().join(", ");
        Some(match (&self.scaled_workload, self.workloads.as_slice()) {
            (Some(wanted), _) => {
                format!("none of its workloads is the one Deployment or StatefulSet {wanted}: {}", names())
            }
            (None, [only]) => {
                format!("its workload is a {}, which has no replicas to set", only.kind.as_str())
            }
            (None, several) if several.iter().any(|workload| workload.kind.is_scalable()) => format!(
                "it has several workloads: {}; smo.scaling.workload names the one that carries its load",
                names()
            ),
            (None, _) => format!("none of its workloads has replicas to set: {}", names()),
        })
    }

    /// The workload that scaling acts on: the Deployment or StatefulSet of the name that the descriptor gives, else the
    /// only one. `None` while nothing was seen of it, and when there are several.
    #[must_use]
    pub fn workload_to_scale(&self) -> Option<&WorkloadUse> {
        self.scaled_index().map(|index| &self.workloads[index])
    }

    fn scaled_index(&self) -> Option<usize> {
        let is_it = |workload: &WorkloadUse| {
            let is_named = self.scaled_workload.as_ref().is_none_or(|name| *name == workload.name);
            is_named && workload.kind.is_scalable()
        };
        let mut found = (0..).zip(&self.workloads).filter(|(_, workload)| is_it(workload));
        let (index, _) = found.next()?;
        found.next().is_none().then_some(index)
    }

    /// The only workload, or the one of several that is scaled: its replicas are those of the service. Several
    /// of which none is scaled count as one replica of all of them.
    fn leading_index(&self) -> Option<usize> {
        match self.workloads.len() {
            1 => Some(0),
            _ => self.scaled_index(),
        }
    }

    /// Resources that decisions assume for one replica: those that its chart requests, and those of the
    /// intent where the chart requests none.
    #[must_use]
    pub fn replica_needs(&self) -> Resources {
        let requested = match self.leading_index() {
            Some(leading) => self.workloads[leading].requests,
            None => self.requested(),
        };
        let stands_in = self.workloads.len() <= 1 || self.leading_index().is_none();
        Resources::from_fn(|dimension| match self.requests_any(dimension) {
            true => requested.get(dimension),
            // Until its chart is known, a replica is one pod.
            false if dimension == Dimension::Pods => i64::from(self.workloads.is_empty()),
            false if stands_in => self.needs.get(dimension),
            false => 0,
        })
    }

    /// Resources that do not grow with its replicas: those of the workloads beside the one that is scaled, and
    /// once those of the intent that no workload requests.
    #[must_use]
    pub fn fixed_needs(&self) -> Resources {
        let Some(leading) = self.leading_index().filter(|_| self.workloads.len() > 1) else {
            return Resources::default();
        };
        let beside = (0..).zip(&self.workloads).filter(|(index, _)| *index != leading);
        let requested = beside
            .map(|(_, workload)| workload.requests.times(workload.replicas.max(0)))
            .fold(Resources::default(), |sum, next| sum + next);
        let runs = self.workloads.iter().any(|workload| workload.replicas > 0);
        let intended = Resources::from_fn(|dimension| {
            let is_stated = dimension == Dimension::Pods || self.requests_any(dimension);
            if is_stated || !runs { 0 } else { self.needs.get(dimension) }
        });
        requested + intended
    }

    /// Resources of all that is to run of it.
    #[must_use]
    pub fn counted_use(&self) -> Resources {
        self.use_of(self.counted_replicas())
    }

    /// Resources of all that is to run of it with so many replicas.
    #[must_use]
    pub fn use_of(&self, replicas: i64) -> Resources {
        self.replica_needs().times(replicas) + self.fixed_needs()
    }

    /// Requests of its pods, one of each workload that is to run; none until its chart is known.
    #[must_use]
    pub fn pods(&self) -> Vec<Resources> {
        let leading = self.leading_index();
        let runs = |(index, workload): &(usize, &WorkloadUse)| {
            let replicas = if leading == Some(*index) { self.counted_replicas() } else { workload.replicas };
            replicas > 0
        };
        (0..).zip(&self.workloads).filter(runs).map(|(_, workload)| workload.requests).collect()
    }

    /// Requests of its chart: for one replica of its only workload, or for all replicas of several.
    #[must_use]
    pub fn requested(&self) -> Resources {
        match self.workloads.as_slice() {
            [only] => only.requests,
            several => total(several, |workload| workload.requests.times(workload.replicas.max(0))),
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
        let decided = self.replicas_decided;
        let replicas = match self.leading_index() {
            Some(leading) => {
                let workload = &self.workloads[leading];
                decided.filter(|_| workload.kind.is_scalable()).unwrap_or(workload.replicas)
            }
            None if self.workloads.is_empty() => decided.or(self.replicas_observed).unwrap_or(1),
            None => i64::from(self.workloads.iter().any(|workload| workload.replicas > 0)),
        };
        replicas.max(0)
    }

    /// The amount that the report of its cluster holds once nodes have taken all of its pods.
    #[must_use]
    pub fn reported_use(&self) -> Resources {
        let leading = self.leading_index();
        let pods = |index, workload: &WorkloadUse| match leading {
            Some(leading) if leading == index => self.counted_replicas(),
            _ => workload.replicas,
        };
        let reported =
            (0..).zip(&self.workloads).map(|(index, workload)| workload.reported_of(pods(index, workload)));
        reported.fold(Resources::default(), |sum, next| sum + next)
    }

    /// Requests of the ready replicas, as their cluster reports them.
    #[must_use]
    pub fn ready_use(&self) -> Resources {
        match self.workloads.as_slice() {
            [] => self.replica_needs().times(self.replicas_ready.unwrap_or(0).max(0)),
            seen => total(seen, |workload| workload.reported_of(workload.ready)),
        }
    }

    /// Notes that none of its workloads was seen; their requests and replicas go on counting.
    pub fn nothing_is_ready(&mut self) {
        self.workloads.iter_mut().for_each(|workload| workload.ready = 0);
    }

    /// Forgets the replicas that the previous load led to: it does not predict the load after the next start.
    /// Workloads are expected to come back with at least one replica each.
    pub fn forget_load(&mut self) {
        let scaled = self.replicas_decided.take().and(self.scaled_index());
        self.scaled_at = None;
        for (index, workload) in (0..).zip(&mut self.workloads) {
            workload.replicas = if scaled == Some(index) { 1 } else { workload.replicas.max(1) };
        }
    }

    /// The state in which it begins when its graph is deployed or started.
    #[must_use]
    pub fn initial_state(&self) -> ServiceState {
        if self.is_conditional() { ServiceState::Pending } else { ServiceState::Deploying }
    }
}
