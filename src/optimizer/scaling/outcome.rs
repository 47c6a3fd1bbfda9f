//! The outcome of a scaling decision: a plan with its reasons, or why there is none.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Strategy;
use crate::optimizer::placement::{Objective, Violation};

/// Answer of a scaling decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ScalingOutcome {
    /// A number of replicas for every service.
    Decided(ScalingPlan),
    /// The needed replicas do not fit the services' clusters, or bounds contradict each other.
    Infeasible(ScalingInfeasibility),
    /// The problem is meaningless.
    Invalid(ScalingInvalid),
}

/// How many replicas every service should have, with the reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingPlan {
    /// Name of the strategy that made the plan.
    #[schema(value_type = String)]
    pub strategy: Strategy,
    /// Service name to number of replicas.
    pub replicas: BTreeMap<String, i64>,
    /// The objective's value with its terms `utilisation`, `change` and `margin`.
    pub objective: Objective,
    /// Proven: no plan within the constraints has a smaller objective. `None` when nothing was proven.
    pub bound: Option<f64>,
    /// Whether no plan within the constraints is better.
    pub optimal: bool,
    /// Whether the search ended because the server allows it no more time: the same problem may get another
    /// plan.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cut_short: bool,
    /// Every service, by name.
    pub services: Vec<ServiceScaling>,
}

/// The decision on one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceScaling {
    /// Name of the service.
    pub service: String,
    /// The cluster it is on.
    pub cluster: String,
    /// How many replicas it has now.
    pub previous: i64,
    /// How many it should have.
    pub replicas: i64,
    /// How many its rate needs, regardless of bounds; `None` when the rate is unknown or no number suffices.
    pub needed: Option<i64>,
    /// Its rate is more than these replicas serve, and a bound or a cooldown allows no more.
    pub saturated: bool,
    /// One sentence for a person.
    pub reason: String,
}

/// Why there is no number of replicas for every service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingInfeasibility {
    /// Name of the strategy.
    #[schema(value_type = String)]
    pub strategy: Strategy,
    /// One sentence for a person.
    pub summary: String,
    /// Everything that cannot hold; never empty.
    pub conflicts: Vec<ScalingConflict>,
    /// Service name to the replicas that it needs regardless of capacity: the input for rescheduling the
    /// graph.
    pub needed: BTreeMap<String, i64>,
    /// Whether the search ended because the server allows it no more time.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cut_short: bool,
}

impl ScalingInfeasibility {
    /// Whether the cluster of a service lacks a resource that the service uses.
    #[must_use]
    pub fn lacks_room_for(&self, service: &str) -> bool {
        self.conflicts.iter().any(|conflict| {
            matches!(conflict, ScalingConflict::Room { services, .. } if services.iter().any(|name| name == service))
        })
    }
}

/// Something that cannot hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "conflict", rename_all = "snake_case")]
pub enum ScalingConflict {
    /// A cluster has too little capacity for the needs of its services.
    Room {
        /// Name of the cluster.
        cluster: String,
        /// Its services that use a missing resource.
        services: Vec<String>,
        /// The violated capacities, with numbers.
        violated: Vec<Violation>,
    },
    /// The clusters have too little capacity for the minimum number of replicas over all services.
    RoomForMinimum {
        /// The minimum.
        minimum: i64,
        /// How many fit.
        room: i64,
    },
    /// Even the largest allowed numbers of replicas are below the minimum over all services.
    Minimum {
        /// The minimum.
        minimum: i64,
        /// The sum of the largest numbers.
        allowed: i64,
    },
    /// The services need more than the maximum number of replicas over all services.
    Maximum {
        /// The largest number.
        maximum: i64,
        /// The sum of the services' needed replicas.
        needed: i64,
    },
    /// No number of replicas serves the rate (model of the original program only).
    Rate {
        /// Name of the service.
        service: String,
        /// Requests per second.
        rate: f64,
    },
}

/// Why a problem is meaningless.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScalingInvalid {
    /// Every fault; never empty.
    pub faults: Vec<ScalingFault>,
}

/// A fault of a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScalingFault {
    /// Path of the field, such as `services/a/profile/alpha`.
    pub field: String,
    /// The cause of the fault.
    pub cause: String,
}

impl ScalingFault {
    pub(super) fn new(field: impl Into<String>, cause: impl Into<String>) -> Self {
        Self { field: field.into(), cause: cause.into() }
    }
}

impl fmt::Display for ScalingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.cause)
    }
}
