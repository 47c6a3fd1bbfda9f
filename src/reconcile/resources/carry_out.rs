//! Brings resources to their desired state: in the order of their dependencies, independent ones in parallel,
//! failed ones not before their retry is due, each result recorded as soon as it is known.

use std::collections::BTreeMap;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use super::{
    Change, Resource, ResourceId, State, States, Unwanted, Wanted, propagation, release, replicas, rules,
};
use crate::clients::{ClientError, ClientErrorKind, ReleaseSpec};
use crate::error::Result;
use crate::model::{GraphRecord, ServiceRecord};
use crate::reconcile::charts;
use crate::reconcile::graph::Reconciler;
use crate::reconcile::memory::Failures;
use crate::reconcile::queue::WorkerSlot;

/// Changes of one key at a time.
const AT_ONCE: usize = 16;

/// For whom resources are changed.
pub(in crate::reconcile) struct Scope<'a> {
    /// The graph that the resources belong to; `None` when it does not exist any more.
    pub(in crate::reconcile) graph: Option<&'a GraphRecord>,
    /// Its services.
    pub(in crate::reconcile) services: &'a [ServiceRecord],
    /// The worker, which is lent to others while Helm works.
    pub(in crate::reconcile) worker: &'a WorkerSlot,
}

impl Reconciler {
    /// Brings the resources to their desired state as far as possible now, and adds their states.
    ///
    /// # Errors
    /// The database failed.
    pub(in crate::reconcile) async fn carry_out(
        &self,
        scope: &Scope<'_>,
        resources: Vec<Resource>,
        failures: &mut Failures,
        states: &mut States,
    ) -> Result<()> {
        let mut open = due(resources, failures, states);
        let mut running = FuturesUnordered::new();
        loop {
            let free: Vec<ResourceId> = open
                .values()
                .filter(|resource| missing(resource, states).is_empty())
                .take(AT_ONCE - running.len())
                .map(|resource| resource.id.clone())
                .collect();
            let begun = free.iter().filter_map(|id| open.remove(id));
            running.extend(begun.map(|resource| self.change(scope, resource)));
            match running.next().await {
                None => break,
                Some((resource, Ok(mut state))) => {
                    remember(&resource, &mut state, failures, &self.settings);
                    states.insert(resource.id, state);
                }
                Some((_, Err(error))) => {
                    // Running operations are not cancelled: that would leave their releases pending.
                    while running.next().await.is_some() {}
                    return Err(error);
                }
            }
        }
        for (id, resource) in open {
            let names = missing(&resource, states).into_iter().map(ResourceId::display_name).collect();
            states.insert(id, State::Waits(names));
        }
        Ok(())
    }

    /// Changes one resource, and records how it is now.
    async fn change(&self, scope: &Scope<'_>, resource: Resource) -> (Resource, Result<State>) {
        if matches!(resource.change, Change::Apply(Wanted::Manifest { .. })) {
            let state = self.render(scope, &resource.id.name).await;
            return (resource, state);
        }
        let state = match (&resource.change, self.try_change(scope, &resource.change).await) {
            (_, Err(error)) if error.kind == ClientErrorKind::Superseded => State::Superseded,
            (_, Err(error)) => State::Failed(error),
            (Change::Remove(_), Ok(())) => State::Absent,
            (_, Ok(())) => State::Present,
        };
        let recorded = self.record_resource(scope, &resource.id, &state).await;
        (resource, recorded.map(|()| state))
    }

    async fn try_change(&self, scope: &Scope<'_>, change: &Change) -> Result<(), ClientError> {
        let outside = &self.outside;
        let still_wanted = || self.is_current(scope.graph).boxed();
        match change {
            Change::Keep | Change::Absent | Change::LeaveAlone(_) => Ok(()),
            Change::Refused(error) => Err(error.clone()),
            Change::Apply(Wanted::Release(spec)) => {
                let service = scope.services.iter().find(|service| service.name == spec.key.name);
                let apply = async {
                    let held = charts::archive_of(&self.store, outside, service).await?;
                    let archive = held.as_ref().map(|held| held.archive.clone());
                    release::apply(outside, &ReleaseSpec { archive, ..spec.clone() }, still_wanted).await
                };
                let applied = scope.worker.lend_during(apply).await;
                applied.map_err(|error| release::explain_hook_timeout(error, service))
            }
            // Rendering has a result, which is recorded before.
            Change::Apply(Wanted::Manifest { .. }) => Ok(()),
            Change::Apply(Wanted::Propagation(spec)) => propagation::apply(outside, spec, still_wanted).await,
            Change::Apply(Wanted::Rules(wanted)) => rules::apply(outside, wanted).await,
            Change::Apply(Wanted::Replicas { namespace, kind, name, replicas }) => {
                replicas::apply(outside, namespace, *kind, name, *replicas).await
            }
            Change::Remove(Unwanted::Propagation { release }) => {
                propagation::remove(outside, release, still_wanted).await
            }
            Change::Remove(Unwanted::Release { key, owner }) => {
                scope.worker.lend_during(release::remove(outside, key, owner, still_wanted)).await
            }
            Change::Remove(Unwanted::Rules { object_name }) => rules::remove(outside, object_name).await,
        }
    }

    /// Whether the intent is still the one that is being carried out. If the database cannot answer, the
    /// whole reconcile starts again.
    pub(super) async fn is_current(&self, graph: Option<&GraphRecord>) -> bool {
        let Some(graph) = graph else { return true };
        match self.store.graph(&graph.name).await {
            Ok(now) => now
                .is_some_and(|now| now.generation == graph.generation && now.created_at == graph.created_at),
            Err(error) => {
                tracing::warn!(graph.name = %graph.name, "whether {} changed cannot be read: {error}", graph.name);
                false
            }
        }
    }
}

/// The changes that are to be tried now; the state of the others is known.
fn due(
    resources: Vec<Resource>,
    failures: &mut Failures,
    states: &mut States,
) -> BTreeMap<ResourceId, Resource> {
    let mut due = BTreeMap::new();
    for resource in resources {
        let attempt = resource.change.attempt();
        let state = match &resource.change {
            Change::Keep => Some(State::Present),
            Change::Absent => Some(State::Absent),
            Change::Refused(error) => Some(State::Failed(error.clone())),
            Change::LeaveAlone(why) => Some(State::LeftAlone(why.clone())),
            Change::Apply(_) | Change::Remove(_) => attempt
                .as_ref()
                .and_then(|attempt| failures.holding(&resource.id, attempt))
                .map(State::Failed),
        };
        if attempt.is_none() {
            failures.forget(&resource.id);
        }
        match state {
            Some(state) => drop(states.insert(resource.id, state)),
            None => drop(due.insert(resource.id.clone(), resource)),
        }
    }
    due
}

/// The resources that a change still waits for.
fn missing<'a>(resource: &'a Resource, states: &States) -> Vec<&'a ResourceId> {
    let removes = matches!(resource.change, Change::Remove(_));
    // Hooks of a release that is still there need its policies.
    let must_be_gone = matches!(resource.change, Change::Remove(Unwanted::Propagation { .. }));
    let is_met = |id: &&ResourceId| match states.get(*id) {
        // A removal that fails does not keep everything else running.
        Some(State::Absent) if removes => true,
        Some(State::Failed(_)) if removes => !must_be_gone,
        Some(State::Present) => !removes,
        _ => false,
    };
    resource.after.iter().filter(|id| !is_met(id)).collect()
}

fn remember(
    resource: &Resource,
    state: &mut State,
    failures: &mut Failures,
    settings: &crate::config::ReconcileSettings,
) {
    match (state, resource.change.attempt()) {
        (State::Failed(error), Some(attempt)) => failures.remember(&resource.id, &attempt, error, settings),
        _ => failures.forget(&resource.id),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::clients::ReleaseKey;
    use crate::config::ReconcileSettings;
    use crate::reconcile::resources::ResourceKind;

    fn id(name: &str) -> ResourceId {
        ResourceId::new(ResourceKind::Release, name)
    }

    fn applied(name: &str, after: &[&str]) -> Resource {
        let kind = crate::model::WorkloadKind::Deployment;
        let wanted = Wanted::Replicas { namespace: "n".into(), kind, name: name.into(), replicas: 1 };
        let after = after.iter().map(|name| id(name)).collect();
        Resource { id: id(name), change: Change::Apply(wanted), after }
    }

    fn removed(name: &str, after: &[&str]) -> Resource {
        let key = ReleaseKey { namespace: "n".into(), name: name.into() };
        Resource {
            change: Change::Remove(Unwanted::Release { key, owner: "g".into() }),
            ..applied(name, after)
        }
    }

    fn failed() -> State {
        State::Failed(ClientError::new("helm", ClientErrorKind::Unreachable, "no"))
    }

    fn waits_for(resource: &Resource, states: &[(&str, State)]) -> Vec<String> {
        let states = states.iter().map(|(name, state)| (id(name), state.clone())).collect();
        missing(resource, &states).into_iter().map(|id| id.name.clone()).collect()
    }

    #[test]
    fn what_is_applied_waits_until_those_before_it_are_present() {
        let resource = applied("a", &["b", "c"]);
        assert_eq!(waits_for(&resource, &[]), ["b", "c"]);
        assert_eq!(waits_for(&resource, &[("b", State::Present), ("c", failed())]), ["c"]);
        assert_eq!(waits_for(&resource, &[("b", State::Present), ("c", State::Present)]), [""; 0]);
    }

    #[test]
    fn what_is_removed_waits_until_it_was_tried_to_remove_those_before_it() {
        let resource = removed("a", &["b", "c"]);
        assert_eq!(waits_for(&resource, &[("b", State::Absent)]), ["c"]);
        assert_eq!(waits_for(&resource, &[("b", State::Absent), ("c", failed())]), [""; 0]);
    }

    #[test]
    fn policies_stay_while_their_release_cannot_be_removed() {
        let release = ReleaseKey { namespace: "n".into(), name: "a".into() };
        let change = Change::Remove(Unwanted::Propagation { release });
        let policies = Resource { change, ..applied("p", &["a"]) };
        assert_eq!(waits_for(&policies, &[("a", failed())]), ["a"]);
        assert_eq!(waits_for(&policies, &[("a", State::Absent)]), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_must_change_and_did_not_fail_lately_is_due() {
        let keep = Resource { change: Change::Keep, ..applied("keep", &[]) };
        let alone = Resource { change: Change::LeaveAlone("two".into()), ..applied("alone", &[]) };
        let all = || vec![keep.clone(), alone.clone(), applied("a", &[]), removed("b", &[])];
        let (mut failures, mut states) = (Failures::default(), States::new());
        let names = |due: BTreeMap<ResourceId, Resource>| -> BTreeSet<String> {
            due.into_keys().map(|id| id.name).collect()
        };
        assert_eq!(names(due(all(), &mut failures, &mut states)), ["a", "b"].map(str::to_owned).into());
        assert_eq!(states[&id("keep")], State::Present);
        assert_eq!(states[&id("alone")], State::LeftAlone("two".into()));

        let mut state = failed();
        remember(&applied("a", &[]), &mut state, &mut failures, &ReconcileSettings::default());
        assert_eq!(names(due(all(), &mut failures, &mut states)), ["b"].map(str::to_owned).into());
        let wait = states[&id("a")].error().and_then(|error| error.retry_after).unwrap();
        let other = Resource { change: removed("a", &[]).change, ..applied("a", &[]) };
        assert_eq!(
            names(due(vec![other], &mut failures, &mut states)).len(),
            1,
            "another attempt is not held back"
        );
        tokio::time::advance(wait).await;
        assert_eq!(names(due(all(), &mut failures, &mut states)), ["a", "b"].map(str::to_owned).into());
    }
}
