//! What the scaling loop keeps between two ticks: recent needs, cooldowns and parsed descriptors. After a loss replicas
//! are kept for a whole stabilisation window.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::spec::GraphSpec;

/// Needs, cooldowns and descriptors, kept from tick to tick.
#[derive(Default)]
pub(super) struct ScalingMemory {
    /// The graph that the last tick began with.
    pub(super) first: Option<String>,
    /// By graph: digest of its descriptor and its scaling part.
    pub(super) specs: HashMap<String, (String, GraphSpec)>,
    /// By graph and service: the replicas that it needed.
    needs: HashMap<(String, String), RecentNeeds>,
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
        self.needs.retain(|(name, _), _| graphs.contains(name));
    }

    /// The most replicas that a service needed within a window. One that was not looked at before counts as if it had
    /// needed those that it has, as in Kubernetes' `HorizontalPodAutoscaler`.
    pub(super) fn most_needed(&self, graph: &str, service: &str, window: Duration) -> Option<i64> {
        self.needs.get(&(graph.to_owned(), service.to_owned()))?.most(window)
    }

    /// Remembers how many replicas a service needs now.
    pub(super) fn note_need(&mut self, graph: &str, service: &str, replicas: i64, window: Duration) {
        let key = (graph.to_owned(), service.to_owned());
        self.needs.entry(key).or_default().note(replicas, window);
    }

    /// Whether a service was looked at before.
    pub(super) fn knows(&self, graph: &str, service: &str) -> bool {
        self.needs.contains_key(&(graph.to_owned(), service.to_owned()))
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

/// Needs in the order of time, without those that a later and larger one covers.
#[derive(Default)]
struct RecentNeeds(VecDeque<(Instant, i64)>);

impl RecentNeeds {
    fn note(&mut self, replicas: i64, window: Duration) {
        while self.0.back().is_some_and(|(_, earlier)| *earlier <= replicas) {
            self.0.pop_back();
        }
        while self.0.front().is_some_and(|(at, _)| at.elapsed() > window) {
            self.0.pop_front();
        }
        self.0.push_back((Instant::now(), replicas));
    }

    fn most(&self, window: Duration) -> Option<i64> {
        self.0.iter().find(|(at, _)| at.elapsed() <= window).map(|(_, replicas)| *replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_most_needed_of_a_window_is_kept_until_the_window_has_passed() {
        let window = Duration::from_secs(300);
        let mut memory = ScalingMemory::default();
        assert_eq!(memory.most_needed("g", "a", window), None);
        for (need, most) in [(3, 3), (5, 5), (2, 5), (4, 5)] {
            memory.note_need("g", "a", need, window);
            assert_eq!(memory.most_needed("g", "a", window), Some(most));
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        // 3 and 5 were needed 240 and 180 seconds ago; 5 is gone after another 130, and 4 remains.
        tokio::time::advance(Duration::from_secs(130)).await;
        assert_eq!(memory.most_needed("g", "a", window), Some(4));
        memory.note_need("g", "a", 1, window);
        tokio::time::advance(Duration::from_secs(200)).await;
        assert_eq!(memory.most_needed("g", "a", window), Some(1));
        assert_eq!(memory.needs[&("g".to_owned(), "a".to_owned())].0.len(), 2);
        memory.keep_only(&BTreeSet::new());
        assert!(!memory.knows("g", "a"));
    }
}
