//! The resources of a graph: all its objects in other systems.
//!
//! One file per kind defines its desired state (from the records, pure), the change for an observation, how
//! it is applied and removed, and the condition that reports it. Order, parallelism, retries and the memory
//! of failures are written once, over the list ([`carry_out`]); whether nothing is left behind follows from
//! the list of states.

mod carry_out;
pub(super) mod manifest;
pub(super) mod propagation;
pub(super) mod release;
pub(super) mod replicas;
pub(super) mod rules;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use carry_out::Scope;
pub(crate) use manifest::render as render_chart;

use crate::clients::{ClientError, GraphRules, PropagationSpec, ReleaseKey, ReleaseSpec};
use crate::model::WorkloadKind;

/// The kinds of resources, in the order in which a graph's condition names those that are not in their
/// desired state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ResourceKind {
    /// A release that carries the graph's mark without belonging to any of its services, by its name.
    Orphan,
    /// The object with the graph's alert rules.
    Rules,
    /// The rendered chart of a service, by the service's name.
    Manifest,
    /// The release of a service, by the service's name.
    Release,
    /// The policies that propagate a service's release, by the service's name.
    Propagation,
    /// The replicas of a service's workload, by the service's name.
    Replicas,
}

/// Names a resource among those of its graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceId {
    pub(super) kind: ResourceKind,
    pub(super) name: String,
}

impl ResourceId {
    pub(super) fn new(kind: ResourceKind, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }

    /// Its name for people, when something waits for it.
    fn display_name(&self) -> String {
        match self.kind {
            ResourceKind::Propagation => format!("the propagation policies of {}", self.name),
            _ => self.name.clone(),
        }
    }
}

/// A resource: its change, and the resources it depends on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) id: ResourceId,
    pub(super) change: Change,
    /// A change that applies waits until these are present; one that removes, until removing these was tried.
    pub(super) after: BTreeSet<ResourceId>,
}

/// The change that brings a resource to its desired state.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Change {
    /// It is in its desired state.
    Keep,
    /// It is not desired, and does not exist.
    Absent,
    /// It must become this.
    Apply(Wanted),
    /// It must go.
    Remove(Unwanted),
    /// It is desired, but must not be touched.
    Refused(ClientError),
    /// It is left alone, for this reason.
    LeaveAlone(String),
}

/// A resource in its desired state.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// The objects of a chart; `source` as in the manifest.
    Manifest {
        source: String,
    },
    Release(ReleaseSpec),
    Propagation(PropagationSpec),
    Rules(GraphRules),
    /// The number of replicas of a workload.
    Replicas {
        namespace: String,
        kind: WorkloadKind,
        name: String,
        replicas: i64,
    },
}

/// A resource that must not exist.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Unwanted {
    /// A release of that owner.
    Release { key: ReleaseKey, owner: String },
    /// The policies of that release.
    Propagation { release: ReleaseKey },
    /// The rules object of that name.
    Rules { object_name: String },
}

/// How a resource is after its change was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// It is in its desired state.
    Present,
    /// It does not exist, as desired.
    Absent,
    /// It could not be applied or removed.
    Failed(ClientError),
    /// It waits for the resources of these names.
    Waits(Vec<String>),
    /// Nothing was done about it, for this reason.
    LeftAlone(String),
    /// The intent changed before it was applied.
    Superseded,
}

/// The state of every resource.
pub(super) type States = BTreeMap<ResourceId, State>;

impl State {
    /// Whether nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Present | Self::Absent | Self::LeftAlone(_))
    }

    pub(super) fn error(&self) -> Option<&ClientError> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl Change {
    /// Identifies the attempted change: another attempt is not held back by the failure of this one. `None`
    /// when there is nothing to try.
    fn attempt(&self) -> Option<String> {
        match self {
            Self::Keep | Self::Absent | Self::Refused(_) | Self::LeaveAlone(_) => None,
            // The number of replicas in the values is no part of the digest: it alone makes no new attempt.
            Self::Apply(Wanted::Release(spec)) => Some(spec.digest.clone()),
            Self::Apply(Wanted::Rules(rules)) => Some(format!("{rules:?}")),
            Self::Apply(Wanted::Manifest { source }) => Some(source.clone()),
            Self::Apply(Wanted::Propagation(spec)) => {
                let PropagationSpec { cluster, importers, installs, manifest, .. } = spec;
                Some(format!("{} {cluster} {importers:?} {installs}", manifest.source))
            }
            Self::Apply(Wanted::Replicas { name, replicas, .. }) => Some(format!("{name}={replicas}")),
            Self::Remove(_) => Some("removal".to_owned()),
        }
    }
}

#[cfg(test)]
mod slot_tests;
