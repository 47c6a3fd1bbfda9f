//! The wire form of a graph: the original's fields by name and type, plus those of this implementation.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::InputFinding;
use crate::app::GraphView;
use crate::hdag::{EventCondition, Propagation, Trigger, cores_text, ram_text, storage_text};
use crate::model::{Condition, Desired, ServiceRecord, ServiceState, is_ready};

/// A graph.
#[derive(Debug, Serialize, ToSchema)]
pub struct Graph {
    /// Unique name (`hdaGraph.id`).
    #[schema(example = "brussels")]
    name: String,
    /// Its desired state.
    status: GraphStatus,
    /// Project it belongs to.
    #[schema(example = "nephele")]
    project: String,
    /// URL of its dashboard; null while there is none.
    #[schema(required = true, example = json!(null))]
    grafana: Option<String>,
    /// The descriptor under `hdaGraph`, as posted.
    #[serde(rename = "hdaGraph")]
    #[schema(value_type = BTreeMap<String, Value>, example = json!({"id": "brussels", "services": []}))]
    document: Value,
    /// Its services in the order of the descriptor.
    services: Vec<GraphService>,
    /// Placement matrix: a row per service in the order of the descriptor, a column per known cluster by
    /// ascending id, 1 where the service is placed. Null when the charts decide.
    #[schema(required = true, example = json!([[0, 1, 0]]))]
    placement: Option<Vec<Vec<i64>>>,
    /// Whether the graph is to run and every service that should run does so where it was placed.
    #[schema(example = true)]
    ready: bool,
    /// Conditions of the graph as a whole.
    conditions: Vec<Condition>,
    /// Bumped by every change of intent.
    #[schema(example = 1)]
    generation: i64,
    /// The newest generation that has been carried out.
    #[schema(example = 1)]
    observed_generation: i64,
    /// Namespace of its releases.
    #[schema(example = "nephele")]
    namespace: String,
    /// When it was posted.
    #[schema(example = "2026-01-02T03:04:05Z")]
    created_at: DateTime<Utc>,
    /// When its intent was last changed.
    #[schema(example = "2026-01-02T03:04:07Z")]
    updated_at: DateTime<Utc>,
    /// The decision that placed it; null when the charts decide.
    #[schema(required = true, example = "019b7c7e-6c1b-7b3e-8a54-0a1b2c3d4e5f")]
    decision_id: Option<Uuid>,
    /// The outcome of the request; only in answers to changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Graph deployment successful")]
    message: Option<String>,
    /// Things in the descriptor that are not errors; only in the answer to a deploy.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<InputFinding>>,
}

/// The desired state of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, ToSchema)]
pub enum GraphStatus {
    /// Its services run.
    Running,
    /// Nothing of it runs; the record stays.
    Stopped,
    /// Its objects in other systems are removed, then its record.
    Deleting,
}

impl From<Desired> for GraphStatus {
    fn from(desired: Desired) -> Self {
        match desired {
            Desired::Running => Self::Running,
            Desired::Stopped => Self::Stopped,
            Desired::Deleted => Self::Deleting,
        }
    }
}

impl From<GraphStatus> for Desired {
    fn from(status: GraphStatus) -> Self {
        match status {
            GraphStatus::Running => Self::Running,
            GraphStatus::Stopped => Self::Stopped,
            GraphStatus::Deleting => Self::Deleted,
        }
    }
}

/// A service of a graph: one Helm release.
#[derive(Debug, Serialize, ToSchema)]
pub struct GraphService {
    /// Name (`services[].id`), also that of its release.
    #[schema(example = "noise-reduction")]
    name: String,
    /// Where it is on its way.
    status: ServiceStatus,
    /// URL of its dashboard; null while there is none.
    #[schema(required = true, example = json!(null))]
    grafana: Option<String>,
    /// The cluster it is placed on; null when the chart decides.
    #[schema(required = true, example = "edge-1")]
    cluster_affinity: Option<String>,
    /// CPU cores that one replica needs.
    #[schema(example = "0.5")]
    cpu: String,
    /// Memory that one replica needs.
    #[schema(example = "500MiB")]
    memory: String,
    /// Ephemeral storage that one replica needs.
    #[schema(example = "10GB")]
    storage: String,
    /// GPUs that one replica needs.
    #[schema(example = "0")]
    gpu: String,
    /// All values of its release, those of the placement included if its chart propagates itself.
    #[schema(value_type = BTreeMap<String, Value>, example = json!({"clustersAffinity": ["edge-1"], "serviceImportClusters": ["edge-1"]}))]
    values_overwrite: Map<String, Value>,
    /// Who makes its objects reach its cluster; null while its chart was not rendered and nobody says.
    #[schema(required = true, example = "managed")]
    propagation: Option<ServicePropagation>,
    /// Chart as written in the descriptor; one of a repository as `REPOSITORY#NAME:VERSION`.
    #[schema(example = "oci://registry.example/nephele/noise-reduction")]
    artifact_ref: String,
    /// Digest of the chart that is installed; null while it was not rendered.
    #[schema(
        required = true,
        example = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    artifact_digest: Option<String>,
    /// `ociConfig.type`.
    #[schema(example = "App")]
    artifact_type: String,
    /// `ociConfig.implementer`.
    #[schema(example = "HELM")]
    artifact_implementer: String,
    /// The events that it waits for; null when it starts with the graph.
    #[schema(required = true)]
    alert: Option<ServiceAlert>,
    /// Whether its events have happened; false when it waits for none.
    #[schema(example = false)]
    triggered: bool,
    /// Whether it runs where it was placed.
    #[schema(example = true)]
    ready: bool,
    /// Replicas of its Deployments.
    replicas: Replicas,
    /// Conditions of the service; they show what is missing.
    conditions: Vec<Condition>,
}

/// Who makes the objects of a service reach its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServicePropagation {
    /// Policies that its chart brings.
    Chart,
    /// Policies that `smo` writes.
    Managed,
}

impl From<Propagation> for ServicePropagation {
    fn from(propagation: Propagation) -> Self {
        match propagation {
            Propagation::Chart => Self::Chart,
            Propagation::Managed => Self::Managed,
        }
    }
}

/// Where a service is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub enum ServiceStatus {
    /// Waits for its event.
    Pending,
    /// Its release is being installed.
    Deploying,
    /// Its release is installed.
    Deployed,
    /// The installation failed; its conditions give the cause.
    Failed,
    /// The graph is stopped.
    #[serde(rename = "Not deployed")]
    NotDeployed,
}

impl From<ServiceState> for ServiceStatus {
    fn from(state: ServiceState) -> Self {
        match state {
            ServiceState::Pending => Self::Pending,
            ServiceState::Deploying => Self::Deploying,
            ServiceState::Deployed => Self::Deployed,
            ServiceState::Failed => Self::Failed,
            ServiceState::NotDeployed => Self::NotDeployed,
        }
    }
}

/// Observed replicas; null while nothing has been observed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Replicas {
    /// Desired replicas.
    #[schema(required = true, example = 1)]
    wanted: Option<i64>,
    /// Replicas ready.
    #[schema(required = true, example = 1)]
    ready: Option<i64>,
}

/// The trigger of a conditional service.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServiceAlert {
    /// How several events combine.
    #[schema(value_type = AlertCondition)]
    condition: EventCondition,
    /// The events.
    events: Vec<AlertEvent>,
}

/// How several events combine.
#[derive(ToSchema)]
#[schema(rename_all = "UPPERCASE")]
#[expect(dead_code, reason = "only describes the domain's enum in the document")]
enum AlertCondition {
    /// One event is enough.
    Any,
    /// All events must hold at the same time.
    All,
}

/// A condition on measured data.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertEvent {
    /// Name of the alert.
    #[schema(example = "frames-high")]
    id: String,
    /// PromQL expression; the event holds while it returns samples.
    #[schema(example = "sum(rate(frames_total[1m])) > 5")]
    prom_query: String,
    /// How long it must hold (Prometheus duration).
    #[schema(example = "2m")]
    grace_period: String,
    /// Its meaning.
    #[schema(example = "Many frames arrive")]
    description: String,
}

impl Graph {
    /// The graph with a sentence about the outcome of the request.
    pub(super) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The graph with the warnings about its descriptor.
    pub(super) fn with_warnings(mut self, warnings: impl IntoIterator<Item = InputFinding>) -> Self {
        self.warnings = Some(warnings.into_iter().collect());
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl From<GraphView> for Graph {
    fn from(view: GraphView) -> Self {
        let placement = placement_matrix(&view);
        let ready = is_ready(&view.graph, &view.services);
        let GraphView { graph, services, .. } = view;
        Self {
            name: graph.name,
            status: graph.desired.into(),
            project: graph.project,
            grafana: None,
            document: graph.document,
            services: services.into_iter().map(GraphService::from).collect(),
            placement,
            ready,
            conditions: graph.conditions,
            generation: graph.generation,
            observed_generation: graph.observed_generation,
            namespace: graph.namespace,
            created_at: graph.created_at,
            updated_at: graph.updated_at,
            decision_id: graph.decision_id,
            message: None,
            warnings: None,
        }
    }
}

fn placement_matrix(view: &GraphView) -> Option<Vec<Vec<i64>>> {
    let row = |service: &ServiceRecord| {
        let here = |cluster: &String| i64::from(service.cluster.as_ref() == Some(cluster));
        view.cluster_names.iter().map(here).collect()
    };
    (!view.graph.static_placement).then(|| view.services.iter().map(row).collect())
}

impl From<ServiceRecord> for GraphService {
    fn from(service: ServiceRecord) -> Self {
        let (propagation, values_overwrite) = (service.propagated_by(), service.release_values());
        Self {
            name: service.name,
            status: service.state.into(),
            grafana: None,
            cluster_affinity: service.cluster,
            cpu: cores_text(service.needs.cpu_millicores),
            memory: ram_text(service.needs.ram_bytes),
            storage: storage_text(service.needs.storage_bytes),
            gpu: service.needs.gpus.to_string(),
            values_overwrite,
            propagation: propagation.map(ServicePropagation::from),
            artifact_ref: service.chart,
            artifact_digest: service.manifest.and_then(|manifest| manifest.chart_digest),
            artifact_type: service.artifact_type,
            artifact_implementer: service.implementer,
            alert: alert(service.trigger),
            triggered: service.triggered,
            ready: service.ready,
            replicas: Replicas { wanted: service.replicas_observed, ready: service.replicas_ready },
            conditions: service.conditions,
        }
    }
}

fn alert(trigger: Trigger) -> Option<ServiceAlert> {
    let Trigger::Event { condition, events } = trigger else { return None };
    let event = |event: crate::hdag::Event| AlertEvent {
        id: event.id,
        prom_query: event.prom_query,
        grace_period: event.grace_period,
        description: event.description,
    };
    Some(ServiceAlert { condition, events: events.into_iter().map(event).collect() })
}

#[cfg(test)]
pub(super) mod tests;
