//! The outcome of a placement decision: a plan with its proof and reasons, or why there is none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Strategy;
use crate::hdag::Resources;

/// Answer of a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[schema(as = PlacementOutcome)]
pub enum Outcome {
    /// A placement that no other one beats: its bound equals its objective.
    Optimal(Plan),
    /// A placement that satisfies every constraint; its gap bounds the distance to the best.
    Feasible(Plan),
    /// There is none, or (for a strategy that does not look back) none was found.
    Infeasible(Infeasibility),
    /// The time or budget ended without a placement and without a proof that there is none.
    TimedOut(TimedOut),
}

impl Outcome {
    /// The plan, if there is one.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        match self {
            Self::Optimal(plan) | Self::Feasible(plan) => Some(plan),
            Self::Infeasible(_) | Self::TimedOut(_) => None,
        }
    }

    /// Its name: `optimal`, `feasible`, `infeasible`, `timed_out`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Optimal(_) => "optimal",
            Self::Feasible(_) => "feasible",
            Self::Infeasible(_) => "infeasible",
            Self::TimedOut(_) => "timed_out",
        }
    }
}

/// A placement with the reasons for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = PlacementPlan)]
pub struct Plan {
    /// Name of the strategy that made the plan.
    #[schema(value_type = String)]
    pub strategy: Strategy,
    /// Service name to cluster name.
    pub assignment: BTreeMap<String, String>,
    /// Service name to the number of replicas placed.
    pub replicas: BTreeMap<String, i64>,
    /// The minimised objective and its terms.
    pub objective: Objective,
    /// Proven: no feasible placement has a smaller objective. `None` when nothing was proven.
    pub bound: Option<f64>,
    /// `(objective − bound) / objective`, 0 when both are 0; `None` without a bound.
    pub gap: Option<f64>,
    /// How the bound was proven.
    pub certificate: Certificate,
    /// Cost units to which costs were rounded; absent for a billionth. Coarser where weights, prices and loads are so
    /// large that their sums would not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resolution: Option<f64>,
    /// Whether the same problem gives the same plan again. Not so when it asks for a wall-clock deadline, or
    /// when deciding took all the time that the server allows.
    pub reproducible: bool,
    /// Whether requirements that the clusters' data cannot decide counted as met; the warnings name those
    /// that the plan rests on.
    pub unknown_allowed: bool,
    /// The requirements that counted as met wherever they cannot be decided: without them there is no placement, or
    /// services rest on them already.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<Waived>,
    /// Requirements and costs that could not be evaluated because data of clusters is missing.
    pub warnings: Vec<String>,
    /// Why each service is where it is, by name.
    pub explanation: Vec<ServiceExplanation>,
}

/// A requirement that counts as met where the clusters' data cannot decide it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "requirement", rename_all = "snake_case")]
pub enum Waived {
    /// What an intent asks of the cluster of a service.
    Intent {
        /// Name of the service.
        service: String,
        /// The intent, such as `deviceProximity`.
        intent: String,
        /// The attribute of the cluster.
        attribute: String,
    },
    /// The latency between two services.
    Latency {
        /// The service whose name comes first.
        from: String,
        /// The other one.
        to: String,
    },
}

/// An objective value and its parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Objective {
    /// Sum of the terms, in cost units (`moves` alone: moved services).
    pub total: f64,
    /// Its terms.
    pub terms: Vec<Term>,
}

/// One term of an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Term {
    /// `moves`, `activation`, `price`, `carbon`, `latency`, `balance` or `preference`.
    pub name: String,
    /// Its weighted value in cost units.
    pub value: f64,
}

/// How a bound was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Certificate {
    /// Nothing is proven.
    None,
    /// A counting argument: so much must move, and no more does.
    Counting,
    /// A mixed-integer model was solved, or stopped with a bound.
    Milp,
    /// A relaxation: linear or Lagrangian.
    Relaxation,
}

/// Why no placement was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Infeasibility {
    /// Name of the strategy that found none.
    #[schema(value_type = String)]
    pub strategy: Strategy,
    /// One sentence for a person.
    pub summary: String,
    /// The services (one, or a co-located group) that the verdicts per cluster are about.
    pub services: Vec<String>,
    /// The obstacles to them on each cluster, with the services before them placed.
    pub clusters: Vec<ClusterVerdict>,
    /// Whether it is proven that there is no placement at all.
    pub proven: bool,
    /// Requirements that cannot all hold, in the user's words; when `minimal`, dropping any one of them
    /// resolves this conflict. Empty when it could not be worked out.
    pub conflict: Vec<String>,
    /// Whether no requirement of the conflict is superfluous.
    pub minimal: bool,
    /// The smallest changes that would make a placement possible; each alone is enough.
    pub relaxations: Vec<String>,
    /// Whether the time ended before conflict and changes were worked out: they hold the findings until then.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cut_short: bool,
}

/// The search ended without an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TimedOut {
    /// Name of the strategy.
    #[schema(value_type = String)]
    pub strategy: Strategy,
    /// One sentence for a person.
    pub summary: String,
}

/// Reasons for one service's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceExplanation {
    /// Name of the service.
    pub service: String,
    /// Its new cluster.
    pub cluster: String,
    /// Where it was; `None` when it is new.
    pub moved_from: Option<String>,
    /// One sentence for a person.
    pub reason: String,
    /// The verdicts on clusters, everything else being placed as planned. Of many clusters those that tell most:
    /// where the service is and was, and the next best ones.
    pub clusters: Vec<ClusterVerdict>,
    /// Clusters whose verdicts are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Whether a cluster could take a service, and if not, the obstacles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterVerdict {
    /// Name of the cluster.
    pub cluster: String,
    /// Whether all constraints hold there.
    pub feasible: bool,
    /// The constraints that do not hold; empty when feasible.
    pub violated: Vec<Violation>,
    /// Increase of the objective if the service (with those that must share its cluster) were there; `None`
    /// where no plan was made.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cost_difference: Option<f64>,
}

/// A constraint that rules a cluster out, with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
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
    /// Too few places for pods.
    Pods {
        /// Pods needed.
        needed: i64,
        /// Pods that still fit.
        free: i64,
    },
    /// A pod is too large for every node.
    Node {
        /// Needed by the pod.
        needed: Resources,
        /// The sizes of the largest nodes.
        largest: Vec<Resources>,
    },
    /// The service must stay where it is.
    Pinned {
        /// Where it is.
        cluster: String,
        /// Why it must: a sentence without a full stop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
    },
    /// An attribute of the cluster does not meet an intent.
    Attribute {
        /// The intent, such as `security`.
        intent: String,
        /// The attribute.
        attribute: String,
        /// The required value, in words.
        wanted: String,
        /// The actual value; `None` when unknown.
        found: Option<String>,
    },
    /// Too far from the cluster of another service.
    Latency {
        /// The other service.
        service: String,
        /// The required latency, in words.
        wanted: String,
        /// Round-trip time in milliseconds; `None` when unknown.
        milliseconds: Option<f64>,
    },
    /// Another service is there that must be elsewhere.
    AntiAffinity {
        /// The other service.
        service: String,
    },
}
