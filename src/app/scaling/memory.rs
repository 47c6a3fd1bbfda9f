//! Cooldowns and parsed descriptors that the scaling loop keeps between two ticks. Losing them costs no more
//! than a premature change.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::spec::GraphSpec;

/// Cooldowns and descriptors, kept from tick to tick.
#[derive(Default)]
pub(super) struct ScalingMemory {
    /// By graph: digest of its descriptor and its scaling part.
    pub(super) specs: HashMap<String, (String, GraphSpec)>,
    /// By graph and service: when its replicas were last changed.
    changed: HashMap<(String, String), Instant>,
    /// By graph: when it was last tried to be placed again.
    rescheduled: HashMap<String, Instant>,
}

impl ScalingMemory {
    /// Forgets all other graphs.
    pub(super) fn keep_only(&mut self, graphs: &BTreeSet<String>) {
        self.specs.retain(|name, _| graphs.contains(name));
        self.rescheduled.retain(|name, _| graphs.contains(name));
        self.changed.retain(|(name, _), _| graphs.contains(name));
    }

    pub(super) fn note_changes<'a>(&mut self, graph: &str, services: impl Iterator<Item = &'a String>) {
        let now = Instant::now();
        self.changed.extend(services.map(|service| ((graph.to_owned(), service.clone()), now)));
    }

    pub(super) fn note_rescheduling(&mut self, graph: &str) {
        self.rescheduled.insert(graph.to_owned(), Instant::now());
    }

    /// Time since the replicas of a service were last changed.
    pub(super) fn since_change(&self, graph: &str, service: &str) -> Option<Duration> {
        self.changed.get(&(graph.to_owned(), service.to_owned())).map(Instant::elapsed)
    }

    /// Time since it was last tried to place a graph again.
    pub(super) fn since_rescheduling(&self, graph: &str) -> Option<Duration> {
        self.rescheduled.get(graph).map(Instant::elapsed)
    }
}
