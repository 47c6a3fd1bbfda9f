//! The typed view of a descriptor, after defaults were filled in and references were checked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Resources, Steps, WhenAbsent};

/// A valid Hyper Distributed Application Graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Descriptor {
    /// The value under `hdaGraph` as it was posted, unknown fields included.
    pub document: Value,
    /// `hdaGraph.id`: the graph's name.
    pub id: String,
    /// Intents of the graph as a whole.
    pub intent: GraphIntent,
    /// `hdaGraph.smo.placement`: how the placement is to be decided.
    pub placement: PlacementWishes,
    /// `hdaGraph.smo.scaling`: whether and how the graph is to be scaled.
    pub scaling: ScalingWishes,
    /// The services in the order of the descriptor; names are unique.
    pub services: Vec<Service>,
}

impl Descriptor {
    /// The service of that name.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.id == id)
    }
}

/// `hdaGraphIntent`: requirements on the graph as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphIntent {
    /// Leave placement to the charts' own values.
    pub use_static_placement: bool,
    /// Only trusted clusters may be used.
    pub security: bool,
    /// The placement is final: no reconfiguration.
    pub high_availability: bool,
    /// Lower bound of the replicas over all services, when stated.
    pub min_replicas_overall: Option<i64>,
    /// Upper bound of the replicas over all services, when stated.
    pub max_replicas_overall: Option<i64>,
    /// Latency matters end to end.
    pub high_performance: bool,
    /// Prefer clusters with lower energy consumption.
    pub energy_efficiency: bool,
    /// Intents beyond the information model, by their path with dots from `hdaGraphIntent`, such as
    /// `energy_preference` or `offload.policy`. Values are texts, numbers and booleans.
    pub custom: BTreeMap<String, Value>,
}

/// Preferences of a graph for its placement; an absent one is left to the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlacementWishes {
    /// Name of a strategy; whether there is one is not checked here.
    pub strategy: Option<String>,
    /// Refuse requirements that cannot be verified instead of warning.
    pub strict: Option<bool>,
    /// Seed, budget and thresholds by name ([`PARAMETERS`](super::PARAMETERS)).
    pub parameters: BTreeMap<String, f64>,
    /// Weights of the objective by name ([`WEIGHTS`](super::WEIGHTS)).
    pub weights: BTreeMap<String, f64>,
}

/// Preferences of a graph for its scaling; an absent one is left to the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScalingWishes {
    /// Whether its services are scaled.
    pub enabled: Option<bool>,
    /// Name of a strategy; whether there is one is not checked here.
    pub strategy: Option<String>,
    /// Weight of used CPU.
    pub utilisation: Option<f64>,
    /// Weight of changed replicas.
    pub change: Option<f64>,
    /// Share of their capacity up to which replicas are used; more than 0, at most 1.
    pub target_utilisation: Option<f64>,
    /// For how long replicas that were needed are kept.
    pub stabilisation: Option<Duration>,
    /// The marks `low` and `high` of the strategy `threshold`.
    pub thresholds: Option<(f64, f64)>,
}

/// One node of the graph; becomes one Helm release of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// `services[].id`: a DNS-1123 label of at most 53 characters.
    pub id: String,
    /// When the service is deployed.
    pub trigger: Trigger,
    /// Needs of one replica, translated from the intent's classes.
    pub needs: Resources,
    /// Services that must share this service's cluster.
    pub co_location: Vec<String>,
    /// Services that this one calls.
    pub connection_points: Vec<String>,
    /// Required latencies to other services.
    pub latencies: Vec<Latency>,
    /// Wants a cluster near the device.
    pub device_proximity: bool,
    /// Site of that device: `deviceProximity.site`, or else `hdaGraph.smo.site`.
    pub site: Option<String>,
    /// Services that must be on other clusters than this one.
    pub anti_affinity: Vec<String>,
    /// How much moving it costs, as a multiple of the weight `moves`; 1 when it does not say.
    pub move_weight: f64,
    /// Weight of the traffic to other services, by their names.
    pub traffic: BTreeMap<String, f64>,
    /// How it is to be scaled.
    pub scaling: ScalingRequest,
    /// Who makes its objects reach its cluster; `None` to go by its chart.
    pub propagation: Option<Propagation>,
    /// It may be moved although the data of its volumes stays behind: `smo.volumes` is `discard`.
    pub discards_volumes: bool,
    /// Intents beyond the information model, by their path with dots from `deployment.intent`. Values are
    /// texts, numbers and booleans.
    pub custom_intents: BTreeMap<String, Value>,
    /// Reference of the chart ([`ChartSource`](super::ChartSource)) from `artifact.ociImage` or `artifact.helm`.
    pub chart: String,
    /// `artifact.ociConfig.type`, such as `App` or `VO`; any text.
    pub artifact_type: String,
    /// `artifact.ociConfig.implementer`, such as `HELM` or `WOT`; any text.
    pub implementer: String,
    /// `artifact.valuesOverwrite`.
    pub values: Map<String, Value>,
}

/// Who makes the objects of a service reach its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Propagation {
    /// Policies that the chart brings.
    Chart,
    /// Policies that `smo` writes beside its release.
    Managed,
}

/// Scaling profile of a service: its replicas serve up to `alpha · replicas + beta` requests per second.
/// Absent fields come from the configured profile of a service of that name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScalingRequest {
    /// Requests per second that one more replica serves; more than 0.
    pub alpha: Option<f64>,
    /// Constant part in requests per second; negative when the first replica serves less than the others.
    pub beta: Option<f64>,
    /// Minimum number of replicas, 1 or more.
    pub min: Option<i64>,
    /// Most replicas, not less than `min`.
    pub max: Option<i64>,
    /// Replicas by fixed marks of the rate, for the strategy `steps`.
    pub steps: Option<Steps>,
    /// Where its request rate comes from.
    pub rate: Option<RateSource>,
    /// What counts while there is no rate.
    pub when_absent: Option<WhenAbsent>,
    /// Over which time the rate is taken; more than 0.
    pub window: Option<Duration>,
    /// Name of the Deployment or StatefulSet of its release that is scaled; `None` for the only one.
    pub workload: Option<String>,
}

/// Where the request rate of a service comes from, when not from its own counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateSource {
    /// The rate of another service, which feeds it.
    Service(String),
    /// The sum of the rates of the services that call it.
    Callers,
    /// A PromQL expression with the placeholders of [`rate_query`](super::rate_query).
    Query(String),
}

/// Condition under which a service is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// With the graph, after the services it depends on.
    Auto {
        /// Services that are installed first.
        dependencies: Vec<String>,
    },
    /// When a monitored condition holds.
    Event {
        /// How several events combine.
        condition: EventCondition,
        /// The events; never empty.
        events: Vec<Event>,
    },
}

impl Trigger {
    /// Names of the alerts that tell of its events: one for each, or one for all of them together.
    #[must_use]
    pub fn alerts(&self) -> Vec<String> {
        let ids = |events: &[Event]| events.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
        match self {
            Self::Auto { .. } => Vec::new(),
            Self::Event { condition: EventCondition::Any, events } => ids(events),
            Self::Event { condition: EventCondition::All, events } => vec![ids(events).join("-and-")],
        }
    }
}

/// How the events of a conditional service combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventCondition {
    /// One event is enough.
    Any,
    /// All events must hold at the same time.
    All,
}

/// A condition on measured data that triggers a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Becomes the alert's name.
    pub id: String,
    /// PromQL expression; the event holds while it returns samples.
    pub prom_query: String,
    /// Prometheus duration for which the expression must hold.
    pub grace_period: String,
    /// Human-readable meaning; becomes the alert's annotations.
    pub description: String,
}

/// A latency that a service wants towards another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The other service; `None` means the user's device.
    pub connection_point: Option<String>,
    /// The class of latency.
    pub qos: LatencyQos,
}

/// Latency classes of the information model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatencyQos {
    /// Under 10 ms.
    Ultralow,
    /// One hop.
    Low,
    /// No requirement.
    BestEffort,
}
