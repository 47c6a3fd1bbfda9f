//! What Prometheus says of the alert rules of the graphs: an object that was written may still not be loaded, or its
//! rules may not be evaluated, and then no alert ever fires.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clients::LoadedRule;

/// The last answer of Prometheus, by graph. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct RuleHealth(Arc<Mutex<BTreeMap<String, Known>>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Loaded(Vec<LoadedRule>),
    /// Not loaded since, and whether that is too long.
    Missing {
        since: Instant,
        overdue: bool,
    },
}

/// How the rules of a graph are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RulesState {
    /// Loaded; those of the alerts that cannot be evaluated, with the error.
    Loaded(Vec<(String, String)>),
    /// Not loaded for too long.
    NotLoaded,
}

impl RuleHealth {
    /// Notes the answer about the graphs that have rules, and returns those whose state has changed. Rules that
    /// are not loaded after `within` are overdue.
    #[must_use]
    pub fn note(
        &self,
        mut loaded: BTreeMap<String, Vec<LoadedRule>>,
        graphs: &[String],
        within: Duration,
    ) -> Vec<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: BTreeSet<&String> = graphs.iter().collect();
        known.retain(|graph, _| wanted.contains(graph));
        let mut changed = Vec::new();
        for graph in graphs {
            let before = known.get(graph);
            let now = match (loaded.remove(graph), before) {
                (Some(rules), _) => Known::Loaded(rules),
                (None, Some(Known::Missing { since, .. })) => {
                    Known::Missing { since: *since, overdue: since.elapsed() >= within }
                }
                (None, _) => Known::Missing { since: Instant::now(), overdue: within.is_zero() },
            };
            if before != Some(&now) {
                changed.push(graph.clone());
                known.insert(graph.clone(), now);
            }
        }
        changed
    }

    /// How the rules of a graph are; `None` while that is not known, or they may still be loaded.
    #[must_use]
    pub fn of(&self, graph: &str) -> Option<RulesState> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).get(graph)? {
            Known::Loaded(rules) => {
                let failing = rules.iter().filter_map(|rule| Some((rule.alert.clone(), rule.error.clone()?)));
                Some(RulesState::Loaded(failing.collect()))
            }
            Known::Missing { overdue, .. } => overdue.then_some(RulesState::NotLoaded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Duration = Duration::from_secs(180);

    fn loaded(graph: &str, error: Option<&str>) -> BTreeMap<String, Vec<LoadedRule>> {
        let rule = LoadedRule { alert: "a".to_owned(), error: error.map(str::to_owned) };
        BTreeMap::from([(graph.to_owned(), vec![rule])])
    }

    #[tokio::test(start_paused = true)]
    async fn rules_are_overdue_after_a_while_and_each_change_is_told_once() {
        let (health, graphs) = (RuleHealth::default(), ["g".to_owned()]);
        let note = |loaded| health.note(loaded, &graphs, WITHIN);
        assert_eq!(note(BTreeMap::new()), ["g"]);
        assert_eq!(health.of("g"), None, "it may still be loaded");
        tokio::time::advance(WITHIN).await;
        assert_eq!(note(BTreeMap::new()), ["g"]);
        assert_eq!(health.of("g"), Some(RulesState::NotLoaded));
        assert!(note(BTreeMap::new()).is_empty());
        assert_eq!(note(loaded("g", Some("bad"))), ["g"]);
        assert_eq!(health.of("g"), Some(RulesState::Loaded(vec![("a".to_owned(), "bad".to_owned())])));
        assert!(note(loaded("g", Some("bad"))).is_empty());
        assert_eq!(note(loaded("g", None)), ["g"]);
        assert_eq!(health.of("g"), Some(RulesState::Loaded(Vec::new())));
        assert!(health.note(BTreeMap::new(), &[], WITHIN).is_empty());
        assert_eq!(health.of("g"), None, "it has no rules any more");
    }
}
