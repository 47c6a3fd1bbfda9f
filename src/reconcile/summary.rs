//! Summary of a reconcile: status, conditions and outcome, from the states of a graph's resources and its
//! workloads. Pure.

use std::collections::BTreeMap;

use super::progress::Progress;
use super::queue::WorkOutcome;
use super::readiness::Verdict;
use super::resources::{ResourceKind, State, States};
use crate::clients::ClientError;
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{ConditionStatus, Desired, GraphRecord};

/// All observations and results of one reconcile.
pub(super) struct Seen {
    /// How every resource is now.
    pub(super) states: States,
    /// Whether each installed service runs where it was placed.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// The condition `RulesPublished`.
    pub(super) rules: Option<ConditionUpdate>,
    /// A workload that should have been removed, but still exists in Karmada.
    pub(super) remaining: Option<String>,
    /// The error because of which the workloads could not be read.
    pub(super) unseen: Option<ClientError>,
}

/// The result of a reconcile.
pub(super) struct Summary {
    /// Every release is in its desired state.
    pub(super) releases_done: bool,
    /// How to continue.
    pub(super) outcome: WorkOutcome,
    /// The condition `Reconciled`.
    pub(super) reconciled: ConditionUpdate,
    /// It is known that nothing is left that should have been removed.
    clean: bool,
    /// Something failed that waits for a user.
    failed: bool,
    desired: Desired,
}

impl Seen {
    /// The states of the resources of one kind.
    fn of(&self, kind: ResourceKind) -> impl Iterator<Item = &State> {
        self.states.iter().filter(move |(id, _)| id.kind == kind).map(|(_, state)| state)
    }

    fn all_settled(&self, kind: ResourceKind) -> bool {
        self.of(kind).all(State::is_settled)
    }

    /// Sums up a reconcile of a graph.
    pub(super) fn summary(&self, graph: &GraphRecord) -> Summary {
        let errors: Vec<&ClientError> =
            self.states.values().filter_map(State::error).chain(&self.unseen).collect();
        let kinds = [ResourceKind::Manifest, ResourceKind::Release, ResourceKind::Propagation];
        let releases_done = kinds.into_iter().all(|kind| self.all_settled(kind));
        let clean = self.remaining.is_none()
            && self.unseen.is_none()
            && self.all_settled(ResourceKind::Rules)
            && self.all_settled(ResourceKind::Orphan);
        let ready = self.verdicts.values().all(|verdict| verdict.ready.status == ConditionStatus::True);
        let settled = match graph.desired {
            Desired::Running => ready,
            Desired::Stopped => true,
            Desired::Deleted => false,
        };
        let outcome = retry(&errors).unwrap_or(match errors.is_empty() && clean && settled {
            true => WorkOutcome::Settled,
            false => WorkOutcome::Waiting,
        });
        Summary {
            releases_done,
            outcome,
            reconciled: self.reconciled(),
            clean,
            failed: !errors.is_empty() && !matches!(outcome, WorkOutcome::Retry { .. }),
            desired: graph.desired,
        }
    }

    /// The condition `Reconciled`: the first resource that is not in its desired state.
    fn reconciled(&self) -> ConditionUpdate {
        if let Some(error) = &self.unseen {
            let message = format!("what runs could not be read: {error}");
            return ConditionUpdate::new(condition::GRAPH_UNSEEN, message);
        }
        if let Some((id, state)) = self.states.iter().find(|(_, state)| !state.is_settled()) {
            let cause = state.error().map(ToString::to_string);
            let (reason, otherwise) = match id.kind {
                ResourceKind::Orphan => (condition::ORPHAN_LEFT, cause.unwrap_or_default()),
                ResourceKind::Rules => (condition::RULES_NOT_AS_DESIRED, cause.unwrap_or_default()),
                ResourceKind::Manifest | ResourceKind::Release | ResourceKind::Propagation => (
                    condition::RELEASES_MISSING,
                    "some releases are not in the desired state; see the services".to_owned(),
                ),
                ResourceKind::Replicas => (
                    condition::NOT_SCALED,
                    "some services do not have the replicas decided; see the services".to_owned(),
                ),
            };
            return ConditionUpdate::new(reason, otherwise);
        }
        match &self.remaining {
            Some(workload) => {
                let message = format!("{workload} is still there");
                ConditionUpdate::new(condition::TERMINATING, message)
            }
            None => ConditionUpdate::new(condition::AS_DESIRED, "every release is in the desired state"),
        }
    }
}

impl Summary {
    /// Whether nothing is left of a graph that is to be deleted.
    pub(super) fn is_gone(&self) -> bool {
        self.desired == Desired::Deleted && self.releases_done && self.clean
    }

    /// How far it has come, for the requests that wait.
    pub(super) fn progress(&self, generation: i64) -> Progress {
        let done = self.releases_done
            && match self.desired {
                Desired::Running => true,
                Desired::Stopped => self.clean,
                Desired::Deleted => false,
            };
        Progress { generation, done, failed: self.failed, gone: false }
    }
}

/// When something failed that may pass: the time at which the first of these is due.
fn retry(errors: &[&ClientError]) -> Option<WorkOutcome> {
    let mut transient = errors.iter().filter(|error| error.kind.is_transient()).peekable();
    transient.peek()?;
    Some(WorkOutcome::Retry { after: transient.filter_map(|error| error.retry_after).min() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clients::ClientErrorKind;
    use crate::model::testing::graph;
    use crate::reconcile::resources::ResourceId;

    fn seen(states: &[(ResourceKind, State)]) -> Seen {
        let state = |(kind, state): &(ResourceKind, State)| (ResourceId::new(*kind, "a"), state.clone());
        Seen {
            states: states.iter().map(state).collect(),
            verdicts: BTreeMap::new(),
            rules: None,
            remaining: None,
            unseen: None,
        }
    }

    fn failed(kind: ClientErrorKind, seconds: u64) -> State {
        let mut error = ClientError::new("helm", kind, "no");
        error.retry_after = Some(Duration::from_secs(seconds));
        State::Failed(error)
    }

    #[test]
    fn the_earliest_failure_that_may_pass_says_when_to_look_again() {
        let states = [
            (ResourceKind::Release, failed(ClientErrorKind::Timeout, 9)),
            (ResourceKind::Rules, failed(ClientErrorKind::Unreachable, 7)),
            (ResourceKind::Replicas, failed(ClientErrorKind::Conflict, 1)),
        ];
        let summary = seen(&states).summary(&graph("g"));
        assert_eq!(summary.outcome, WorkOutcome::Retry { after: Some(Duration::from_secs(7)) });
        assert_eq!(summary.reconciled.reason, "RulesFailed");
        assert_eq!(summary.progress(1), Progress { generation: 1, ..Progress::default() });
        let summary = seen(&states[2..]).summary(&graph("g"));
        assert_eq!((summary.outcome, summary.reconciled.reason), (WorkOutcome::Waiting, "NotScaled"));
        assert!(summary.progress(1).failed, "it waits for a user");
    }

    #[test]
    fn a_graph_is_gone_once_nothing_is_left_and_that_is_known() {
        let mut graph = graph("g");
        graph.desired = Desired::Deleted;
        let all_gone = [(ResourceKind::Release, State::Absent), (ResourceKind::Rules, State::Absent)];
        assert!(seen(&all_gone).summary(&graph).is_gone());
        let remaining = Seen { remaining: Some("a".into()), ..seen(&all_gone) };
        assert!(!remaining.summary(&graph).is_gone());
        assert_eq!(remaining.summary(&graph).reconciled.reason, "Terminating");
        let unseen = ClientError::new("karmada", ClientErrorKind::Unreachable, "no");
        assert!(!Seen { unseen: Some(unseen), ..seen(&all_gone) }.summary(&graph).is_gone());
        for kind in [ResourceKind::Orphan, ResourceKind::Rules, ResourceKind::Release] {
            assert!(
                !seen(&[(kind, failed(ClientErrorKind::Failed, 1))]).summary(&graph).is_gone(),
                "{kind:?}"
            );
        }
    }
}
