//! The complete input of a placement decision, as plain data.
//!
//! A problem serialises, so it is stored with its decision and can be replayed. Clusters, services and links
//! are sorted, so that equal input gives an equal problem whatever the order in which it was gathered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Strategy;
use super::proximity::Tri;
use crate::hdag::{Dimension, Resources, SolveLimits, Weights};
use crate::optimizer::ClusterAttributes;

/// A placement problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = PlacementProblem)]
pub struct Problem {
    /// Name of the graph the decision is about.
    pub graph: String,
    /// Name of the strategy that is to decide.
    #[schema(value_type = String, example = "cost")]
    pub strategy: Strategy,
    /// The clusters that are known, by name.
    pub clusters: Vec<ClusterState>,
    /// The services to place, by name.
    pub services: Vec<ServiceDemand>,
    /// Pairs of services that exchange traffic or must be near to each other, by name.
    pub links: Vec<Link>,
    /// Weights of the objective of `cost` and `green`.
    pub weights: Weights,
    /// Seed, budget and thresholds.
    pub limits: SolveLimits,
    /// Refuse undecidable requirements (no latency known, no attribute known) instead of warning.
    pub strict: bool,
    /// Information found missing when the problem was built; repeated in the plan.
    pub warnings: Vec<String>,
    /// What the request asked for; it is part of strategy, weights and limits already.
    #[serde(default, skip_serializing_if = "PlacementRequest::is_empty")]
    pub requested: PlacementRequest,
}

/// What one request for a placement asks for, before descriptor, project and configuration.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementRequest {
    /// Name of the strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "cost")]
    pub strategy: Option<String>,
    /// Refuse requirements that the clusters' data cannot decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub strict: Option<bool>,
    /// Weights by name ([`WEIGHTS`](crate::hdag::WEIGHTS)).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// Parameters by name ([`PARAMETERS`](crate::hdag::PARAMETERS)).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, f64>,
}

impl PlacementRequest {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Problem {
    /// A problem without links and with default parameters; sorted.
    #[must_use]
    pub fn new(
        graph: impl Into<String>,
        strategy: impl Into<Strategy>,
        clusters: Vec<ClusterState>,
        services: Vec<ServiceDemand>,
    ) -> Self {
        Self {
            graph: graph.into(),
            strategy: strategy.into(),
            clusters,
            services,
            links: Vec::new(),
            weights: Weights::default(),
            limits: SolveLimits::default(),
            strict: false,
            warnings: Vec::new(),
            requested: PlacementRequest::default(),
        }
        .sorted()
    }

    /// The same problem in canonical order: everything by name; links with the smaller name first, each pair
    /// once (traffic added up, the stricter bound kept).
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.clusters.sort_by(|one, other| one.name.cmp(&other.name));
        self.services.sort_by(|one, other| one.name.cmp(&other.name));
        for service in &mut self.services {
            service.co_location.sort();
            service.anti_affinity.sort();
        }
        for link in &mut self.links {
            if link.from > link.to {
                std::mem::swap(&mut link.from, &mut link.to);
            }
        }
        // Traffic is part of the key so that floating-point sums do not depend on the order of the input.
        let by_pair = |one: &Link, other: &Link| {
            (&one.from, &one.to).cmp(&(&other.from, &other.to)).then(one.traffic.total_cmp(&other.traffic))
        };
        self.links.sort_by(by_pair);
        self.links.dedup_by(|next, kept| {
            let same = (&next.from, &next.to) == (&kept.from, &kept.to);
            if same {
                kept.traffic += next.traffic;
                kept.bound = kept.bound.max(next.bound);
            }
            same
        });
        self
    }
}

/// One cluster as a decision sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterState {
    /// Name in Karmada.
    pub name: String,
    /// Turn in which `first-fit` tries it: the order in which clusters were first seen, then that of their names.
    #[serde(default)]
    pub rank: i64,
    /// Whether the cluster can take services now.
    pub available: bool,
    /// Capacity free for this graph: allocatable minus the usage and reservations of others.
    pub free: Resources,
    /// Whether the cluster reports ephemeral storage; if not, storage is not a constraint there.
    pub storage_reported: bool,
    /// Whether the cluster says how many GPUs it has; if not, it has some, and their number is not a constraint.
    #[serde(default = "crate::optimizer::counted", skip_serializing_if = "crate::optimizer::is_counted")]
    pub gpus_counted: bool,
    /// Whether the cluster says how many pods its nodes take; if not, their number is not a constraint.
    #[serde(default)]
    pub pods_counted: bool,
    /// Sizes of the largest nodes, of which each pod must fit one; empty when they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Resources>,
    /// Part of the used capacity: reserved for services that are placed here but do not show in the cluster's
    /// own report yet.
    pub reserved: Resources,
    /// Part of the free capacity: currently used by services of this graph.
    pub own: Resources,
    /// Its other known attributes; latencies are those to other clusters of the problem.
    pub attributes: ClusterAttributes,
}

impl ClusterState {
    /// The first pod of a service that is too large for every node; only resources that the cluster reports count.
    pub(super) fn too_large<'a>(&self, service: &'a ServiceDemand) -> Option<&'a Resources> {
        if self.nodes.is_empty() || service.runs && service.current.as_ref() == Some(&self.name) {
            return None;
        }
        let unlimited = self.unlimited();
        let fits = |pod: &Resources, node: &Resources| {
            let mut counted = Dimension::ALL.into_iter().filter(|dimension| !unlimited.contains(dimension));
            counted.all(|dimension| pod.get(dimension) <= node.get(dimension))
        };
        let fits_one = |pod: &&Resources| self.nodes.iter().any(|node| fits(pod, node));
        service.pods.iter().find(|pod| !fits_one(pod))
    }

    /// The resources that the cluster does not report, so that placement does not count them there.
    pub(super) fn unlimited(&self) -> Vec<Dimension> {
        let counted = [
            (Dimension::Storage, self.storage_reported),
            (Dimension::Gpus, self.gpus_counted),
            (Dimension::Pods, self.pods_counted),
        ];
        counted.into_iter().filter(|(_, counted)| !counted).map(|(dimension, _)| dimension).collect()
    }
}

/// One service as a decision sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceDemand {
    /// Name of the service.
    pub name: String,
    /// Turn in which `first-fit` considers it: dependencies first, then the order of the descriptor.
    pub rank: u32,
    /// Resources that one replica needs.
    pub needs: Resources,
    /// How many replicas it may have. No term of an objective falls with replicas, so the minimum is placed.
    pub replicas: ReplicaBounds,
    /// Resources that it needs beside those of its replicas, however many these are.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub fixed_needs: Resources,
    /// Resources of single pods of it, each of which a node must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<Resources>,
    /// Its pods run where it is, so that nodes there have what they need.
    #[serde(default)]
    pub runs: bool,
    /// Where it is now; `None` when it is not placed yet.
    pub current: Option<String>,
    /// It must stay where it is.
    pub pinned: bool,
    /// Why it must: a sentence without a full stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_because: Option<String>,
    /// How much moving it costs, as a multiple of [`Weights::moves`].
    pub move_weight: f64,
    /// Services that must be on the same cluster.
    pub co_location: Vec<String>,
    /// Services that must be on another cluster.
    pub anti_affinity: Vec<String>,
    /// Requirements on its cluster.
    pub requires: Vec<Requirement>,
    /// Properties that its cluster should have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefers: Vec<Preference>,
}

/// A property that the cluster of a service should have, at the price of doing without it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Preference {
    /// The property. What the clusters' data cannot decide counts as missing.
    pub requirement: Requirement,
    /// Cost units of a cluster without it, for every strategy.
    pub cost: f64,
}

impl ServiceDemand {
    /// What it costs that a cluster of these attributes lacks what the service prefers, in cost units.
    #[must_use]
    pub fn missing_preferences(&self, attributes: &ClusterAttributes) -> f64 {
        let missing = self.prefers.iter().filter(|one| one.requirement.met_by(attributes) != Tri::Yes);
        missing.map(|one| one.cost).sum::<f64>() + 0.0
    }

    /// A service of one replica that is not placed yet and has no requirements but resources.
    #[must_use]
    pub fn new(name: impl Into<String>, needs: Resources) -> Self {
        Self {
            name: name.into(),
            rank: 0,
            needs,
            replicas: ReplicaBounds::exactly(1),
            fixed_needs: Resources::default(),
            pods: Vec::new(),
            runs: false,
            current: None,
            pinned: false,
            pinned_because: None,
            move_weight: 1.0,
            co_location: Vec::new(),
            anti_affinity: Vec::new(),
            requires: Vec::new(),
            prefers: Vec::new(),
        }
    }

    /// Total demand of the replicas to place.
    #[must_use]
    pub fn total(&self) -> Resources {
        self.needs.times(self.replicas.min) + self.fixed_needs
    }
}

fn is_nothing(resources: &Resources) -> bool {
    *resources == Resources::default()
}

/// Bounds of a number of replicas; equal for a fixed number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplicaBounds {
    /// Minimum number; not negative.
    pub min: i64,
    /// Maximum number.
    pub max: i64,
}

impl ReplicaBounds {
    /// A fixed number.
    #[must_use]
    pub const fn exactly(replicas: i64) -> Self {
        Self { min: replicas, max: replicas }
    }
}

/// A condition on one attribute of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Requirement {
    /// The intent it comes from, in the words of the descriptor, such as `security`.
    pub intent: String,
    /// Name of the attribute ([`ClusterAttributes::get`]).
    pub attribute: String,
    /// The test that its value must pass.
    pub test: AttributeTest,
    /// A cluster of which the attribute is unknown never qualifies, strict or not.
    pub must_be_known: bool,
}

/// A test of an attribute's value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttributeTest {
    /// One of these texts.
    OneOf(Vec<String>),
    /// None of these texts.
    NoneOf(Vec<String>),
    /// A number not above this.
    AtMost(f64),
    /// A number not below this.
    AtLeast(f64),
    /// Anything, as long as it is known.
    Known,
}

/// Two services that exchange traffic or must be near to each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// One service; the smaller name.
    pub from: String,
    /// The other one.
    pub to: String,
    /// Weight of the latency between them; 1 for a connection of which nothing is known.
    pub traffic: f64,
    /// How near their clusters must be.
    pub bound: Option<LatencyBound>,
}

/// How near two clusters must be. The later the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyBound {
    /// The same cluster or a neighbour: same region, or at most [`SolveLimits::neighbour_ms`].
    Low,
    /// Less than [`SolveLimits::ultralow_ms`].
    Ultralow,
}
