//! Problem and plan: everything a placement decision may look at, and everything it says.
//!
//! Both are plain data that serialise, so a decision is stored whole and can be replayed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::hdag::Resources;

/// A placement problem. Clusters are sorted by name; services are in the order in which a strategy shall
/// consider them (dependencies first, then the order of the descriptor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Name of the graph the decision is about.
    pub graph: String,
    /// The clusters that are known.
    pub clusters: Vec<ClusterState>,
    /// The services to place.
    pub services: Vec<ServiceDemand>,
}

impl Problem {
    /// A problem with its clusters sorted by name, so that equal input gives an equal problem.
    #[must_use]
    pub fn new(
        graph: impl Into<String>,
        mut clusters: Vec<ClusterState>,
        services: Vec<ServiceDemand>,
    ) -> Self {
        clusters.sort_by(|one, other| one.name.cmp(&other.name));
        Self { graph: graph.into(), clusters, services }
    }
}

/// What a decision knows of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterState {
    /// Name in Karmada.
    pub name: String,
    /// Whether the cluster can take services now.
    pub available: bool,
    /// What is free: allocatable minus allocated minus reserved.
    pub free: Resources,
    /// Whether the cluster reports ephemeral storage; if not, storage is not a constraint there.
    pub storage_reported: bool,
    /// Part of what is not free: held for services that are placed here but do not show in the cluster's
    /// own report yet.
    pub reserved: Resources,
}

/// What a decision knows of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceDemand {
    /// Name of the service.
    pub name: String,
    /// What one replica needs.
    pub needs: Resources,
    /// Number of replicas to place.
    pub replicas: i64,
    /// Services that must be on the same cluster.
    pub co_location: Vec<String>,
}

impl ServiceDemand {
    /// What all replicas need together.
    #[must_use]
    pub fn total(&self) -> Resources {
        self.needs.times(self.replicas)
    }
}

/// Answer of a strategy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// A placement that satisfies every constraint.
    Feasible(Plan),
    /// The strategy found none.
    Infeasible(Infeasibility),
}

/// A placement with the reasons for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Name of the strategy that made the plan.
    pub strategy: String,
    /// Service name to cluster name.
    pub assignment: BTreeMap<String, String>,
    /// Why each service is where it is, in the order of the problem's services.
    pub explanation: Vec<ServiceExplanation>,
}

/// Why no placement was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Infeasibility {
    /// Name of the strategy that gave up.
    pub strategy: String,
    /// One sentence for a person: which service does not fit, and that no cluster has room.
    pub summary: String,
    /// The services (one, or a co-located group) that did not fit.
    pub services: Vec<String>,
    /// Per cluster what was missing for them, after the placement of the services before them.
    pub clusters: Vec<ClusterVerdict>,
}

/// Reasons for one service's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceExplanation {
    /// Name of the service.
    pub service: String,
    /// Where it goes.
    pub cluster: String,
    /// One sentence for a person.
    pub reason: String,
    /// The verdict on every cluster.
    pub clusters: Vec<ClusterVerdict>,
}

/// Whether a cluster could take a service, and if not, what was missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterVerdict {
    /// Name of the cluster.
    pub cluster: String,
    /// Whether all constraints hold there.
    pub feasible: bool,
    /// The constraints that do not hold; empty when feasible.
    pub violated: Vec<Violation>,
}

/// A constraint that rules a cluster out, with its numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "constraint", rename_all = "snake_case")]
pub enum Violation {
    /// The cluster is not available.
    Unavailable,
    /// Too little CPU (millicores).
    Cpu {
        /// Millicores needed.
        needed: i64,
        /// Millicores free.
        free: i64,
    },
    /// Too little memory (bytes).
    Ram {
        /// Bytes needed.
        needed: i64,
        /// Bytes free.
        free: i64,
    },
    /// Too little ephemeral storage (bytes).
    Storage {
        /// Bytes needed.
        needed: i64,
        /// Bytes free.
        free: i64,
    },
    /// Too few GPUs.
    Gpu {
        /// GPUs needed.
        needed: i64,
        /// GPUs free.
        free: i64,
    },
}
