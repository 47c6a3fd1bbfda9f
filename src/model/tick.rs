//! Ticks of scaling: the load of a graph's services at a moment, and the replicas that were decided.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One tick of the scaling loop for one graph.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingTick {
    /// The graph.
    pub graph: String,
    /// When the load was measured.
    pub at: DateTime<Utc>,
    /// The result.
    pub report: TickReport,
}

/// The result of a tick, with what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TickReport {
    /// The decision.
    #[serde(flatten)]
    pub outcome: TickOutcome,
    /// The replicas that did not fit, when the services had to share the available capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub shortage: Option<String>,
    /// The result of placing the graph again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "placed again: detector from edge-1 to cloud")]
    pub replacement: Option<String>,
    /// Why new numbers of replicas were not adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub postponed: Option<String>,
}

/// The decision of a tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum TickOutcome {
    /// Every service has a number of replicas.
    Decided {
        /// Name of the strategy.
        #[schema(example = "exact")]
        strategy: String,
        /// The services, by name.
        services: Vec<TickService>,
    },
    /// No numbers of replicas keep all constraints.
    Infeasible {
        /// Name of the strategy.
        #[schema(example = "exact")]
        strategy: String,
        /// One sentence for a person.
        reason: String,
        /// Service name to the replicas that it needs regardless of capacity.
        #[schema(example = json!({"noise-reduction": 3}))]
        needed: BTreeMap<String, i64>,
    },
    /// The numbers that the decision rests on make no sense, such as a negative weight.
    Invalid {
        /// Each fault, with its field.
        reason: String,
    },
}

/// A service in a tick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TickService {
    /// Name of the service.
    #[schema(example = "noise-reduction")]
    pub service: String,
    /// The cluster it runs on.
    #[schema(example = "edge-1")]
    pub cluster: String,
    /// Requests per second; null when not known.
    #[schema(example = 0.9)]
    pub rate: Option<f64>,
    /// The rate is the sum of its callers' rates: it has no counter of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub derived: bool,
    /// Replicas before the tick.
    #[schema(example = 1)]
    pub previous: i64,
    /// Replicas that were decided.
    #[schema(example = 3)]
    pub replicas: i64,
    /// Replicas that its rate needs, regardless of bounds; null when the rate is not known or no number suffices.
    #[schema(example = 3)]
    pub needed: Option<i64>,
    /// Whether its rate is more than these replicas serve, while a bound or a cooldown allows no more.
    pub saturated: bool,
    /// One sentence for a person.
    #[schema(example = "rate 0.9 requests/s needs 3 replicas")]
    pub reason: String,
}
