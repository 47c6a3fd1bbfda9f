//! Merges the observations of a reconcile into the records of a graph and its services, and returns the
//! events of the changes. Pure: the same observation on an unchanged record changes nothing.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::readiness::{Verdict, resources_match};
use super::resources::{ResourceId, ResourceKind, State, propagation, release, replicas};
use super::summary::{Seen, Summary};
use crate::model::condition::{
    self, ConditionUpdate, INSTALLED, PROPAGATED, READY, RESOURCES_MATCH, RULES_PUBLISHED, SCALED,
};
use crate::model::event::{self, Cause};
use crate::model::{
    ConditionStatus, Desired, GraphRecord, Manifest, NewEvent, ServiceRecord, ServiceState, WorkloadUse,
};

/// Records that differ from those stored, each service's with the events of it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Changes {
    pub(super) graph: Option<GraphRecord>,
    pub(super) services: Vec<(ServiceRecord, Vec<NewEvent>)>,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.graph.is_none() && self.services.is_empty()
    }
}

/// The records that have to be written for the observation.
pub(super) fn changes(
    graph: &GraphRecord,
    services: &[ServiceRecord],
    seen: &Seen,
    summary: &Summary,
    at: DateTime<Utc>,
) -> Changes {
    let mut changes = Changes::default();
    for service in services {
        let mut new = service.clone();
        let events = apply_to_service(graph, &mut new, seen, at);
        if new != *service {
            changes.services.push((new, events));
        }
    }
    let mut new = graph.clone();
    apply_to_graph(&mut new, seen, summary, at);
    changes.graph = (new != *graph).then_some(new);
    changes
}

fn apply_to_graph(graph: &mut GraphRecord, seen: &Seen, summary: &Summary, at: DateTime<Utc>) {
    if summary.releases_done && graph.desired != Desired::Deleted {
        graph.observed_generation = graph.generation;
    }
    match &seen.rules {
        Some(update) => condition::set(&mut graph.conditions, update.clone(), at),
        None => condition::clear(&mut graph.conditions, RULES_PUBLISHED),
    }
    condition::set(&mut graph.conditions, summary.reconciled.clone(), at);
}

fn apply_to_service(
    graph: &GraphRecord,
    service: &mut ServiceRecord,
    seen: &Seen,
    at: DateTime<Utc>,
) -> Vec<NewEvent> {
    let state = |kind| seen.states.get(&ResourceId::new(kind, &service.name));
    let (release, scaled) = (state(ResourceKind::Release), state(ResourceKind::Replicas));
    match propagation::condition(graph, service, state(ResourceKind::Propagation)) {
        Some(update) => condition::set(&mut service.conditions, update, at),
        None => condition::clear(&mut service.conditions, PROPAGATED),
    }
    let mut events = Vec::new();
    if let Some(release) = release {
        events.extend(apply_release(graph, service, release, at));
    }
    if let (Some(error), ServiceState::Deployed) = (&seen.unseen, service.state) {
        // The last known state stays: a failed read says nothing new about the service.
        let message = format!("what runs could not be read: {error}");
        condition::set(
            &mut service.conditions,
            ConditionUpdate::new(condition::WORKLOADS_UNSEEN, message),
            at,
        );
    } else {
        events.extend(apply_verdict(graph, service, seen.verdicts.get(&service.name), at));
        match replicas::condition(service, scaled) {
            Some(update) => condition::set(&mut service.conditions, update, at),
            None => condition::clear(&mut service.conditions, SCALED),
        }
    }
    events
}

/// Puts the state of the release into the record; returns the event of the change.
pub(super) fn apply_release(
    graph: &GraphRecord,
    service: &mut ServiceRecord,
    release: &State,
    at: DateTime<Utc>,
) -> Option<NewEvent> {
    let old_state = service.state;
    let (state, update) = release::condition(graph, service, release);
    let kind = match (release, state == old_state) {
        (State::Present, false) => Some(event::SERVICE_DEPLOYED),
        // One that still waited for its event had nothing to remove.
        (State::Absent, false)
            if state == ServiceState::NotDeployed && old_state != ServiceState::Pending =>
        {
            Some(event::SERVICE_REMOVED)
        }
        (State::Failed(_), same) if !same || is_another_failure(service, release, &update) => {
            Some(event::SERVICE_FAILED)
        }
        _ => None,
    };
    let event = kind.map(|kind| {
        let mut data =
            json!({ "reason": update.reason, "message": update.message, "cluster": service.cluster });
        if kind == event::SERVICE_REMOVED {
            data["claims"] =
                service.manifest.as_ref().map(Manifest::lasting_claims).unwrap_or_default().into();
        }
        Cause::internal("reconciler").service_event(kind, &graph.name, &service.name, data)
    });
    service.state = state;
    condition::set(&mut service.conditions, update, at);
    event
}

/// Whether a failure differs from the one in the condition. Texts differ each time (times, ports,
/// identities); the system that failed and the kind of failure, with which its text begins, do not.
fn is_another_failure(service: &ServiceRecord, release: &State, update: &ConditionUpdate) -> bool {
    let (Some(old), Some(error)) = (condition::get(&service.conditions, INSTALLED), release.error()) else {
        return true;
    };
    old.reason != update.reason || !old.message.starts_with(&format!("{}: {}: ", error.system, error.kind))
}

/// Merges the workloads into the record; returns the event when readiness changed.
fn apply_verdict(
    graph: &GraphRecord,
    service: &mut ServiceRecord,
    verdict: Option<&Verdict>,
    at: DateTime<Utc>,
) -> Option<NewEvent> {
    let was_ready = service.ready;
    if let Some(verdict) = verdict {
        service.ready = verdict.ready.status == ConditionStatus::True;
        let sum = |count: fn(&WorkloadUse) -> i64| {
            (!verdict.workloads.is_empty()).then(|| verdict.workloads.iter().map(count).sum())
        };
        service.replicas_observed = sum(|workload| workload.replicas);
        service.replicas_ready = sum(|workload| workload.ready);
        if verdict.workloads.is_empty() {
            service.nothing_is_ready();
        } else {
            service.workloads.clone_from(&verdict.workloads);
        }
        condition::set(&mut service.conditions, verdict.ready.clone(), at);
        if let Some(update) = resources_match(service) {
            condition::set(&mut service.conditions, update, at);
        }
    } else {
        service.ready = false;
        (service.replicas_observed, service.replicas_ready) = (None, None);
        service.nothing_is_ready();
        condition::clear(&mut service.conditions, RESOURCES_MATCH);
        let message = condition::get(&service.conditions, INSTALLED)
            .map_or_else(|| "not installed".to_owned(), |condition| condition.message.clone());
        let update = ConditionUpdate::new(condition::NOT_INSTALLED, message);
        condition::set(&mut service.conditions, update, at);
    }
    if was_ready == service.ready {
        return None;
    }
    let kind = if service.ready { event::SERVICE_READY } else { event::SERVICE_NOT_READY };
    let message = condition::get(&service.conditions, READY).map(|condition| condition.message.clone());
    let data = json!({ "cluster": service.cluster, "message": message });
    Some(Cause::internal("reconciler").service_event(kind, &graph.name, &service.name, data))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::clients::{ClientError, ClientErrorKind};
    use crate::hdag::Resources;
    use crate::model::testing::{at, graph, service};
    use crate::reconcile::readiness::judge;

    fn seen(release: State) -> Seen {
        Seen {
            states: BTreeMap::from([(ResourceId::new(ResourceKind::Release, "a"), release)]),
            verdicts: BTreeMap::new(),
            rules: None,
            remaining: None,
            unseen: None,
        }
    }

    fn failure(kind: ClientErrorKind, message: &str) -> State {
        State::Failed(ClientError::new("helm", kind, message))
    }

    #[test]
    fn an_observation_that_is_written_changes_nothing_when_it_is_made_again() {
        let (graph, services) = (graph("g"), [service("a")]);
        let seen = seen(failure(ClientErrorKind::Timeout, "killed after 119.983 s"));
        let summary = seen.summary(&graph);
        let first = changes(&graph, &services, &seen, &summary, at(1));
        let (Some(graph), [(service, events)]) = (first.graph, first.services.as_slice()) else { panic!() };
        assert_eq!(events.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["service.failed"]);
        assert!(changes(&graph, std::slice::from_ref(service), &seen, &summary, at(2)).is_empty());
    }

    #[test]
    fn a_failure_is_told_once_however_its_text_changes_and_again_when_it_is_another_one() {
        let (graph, mut service) = (graph("g"), service("a"));
        let mut told =
            |state: &State| apply_release(&graph, &mut service, state, at(1)).map(|event| event.kind);
        let failed = Some(event::SERVICE_FAILED.to_owned());
        assert_eq!(told(&failure(ClientErrorKind::Timeout, "killed after 119.983 s")), failed);
        assert_eq!(told(&failure(ClientErrorKind::Timeout, "killed after 120.004 s")), None);
        assert_eq!(told(&failure(ClientErrorKind::Unreachable, "connection refused")), failed);
        assert_eq!(told(&failure(ClientErrorKind::NotFound, "no such chart")), failed);
        assert_eq!(told(&State::Present), Some(event::SERVICE_DEPLOYED.to_owned()));
        assert_eq!(told(&failure(ClientErrorKind::NotFound, "no such chart")), failed);
    }

    #[test]
    fn replicas_that_are_gone_are_not_ready_while_their_requests_go_on_counting() {
        let (graph, mut service) = (graph("g"), service("a"));
        let requests = Resources { cpu_millicores: 100, ..Resources::default() };
        let workloads = vec![WorkloadUse {
            requests,
            reported: requests,
            replicas: 2,
            ready: 2,
            ..WorkloadUse::default()
        }];
        let ready = ConditionUpdate::new(condition::RUNNING, "runs");
        apply_verdict(&graph, &mut service, Some(&Verdict { ready, workloads }), at(1));
        assert_eq!((service.replicas_observed, service.replicas_ready), (Some(2), Some(2)));
        assert_eq!(service.ready_use(), requests.times(2));
        let nothing = judge(&service, &[], &[], &BTreeMap::new());
        for verdict in [Some(&nothing), None] {
            apply_verdict(&graph, &mut service, verdict, at(2));
            assert_eq!((service.replicas_observed, service.replicas_ready), (None, None));
            assert_eq!(service.ready_use(), Resources::default());
            assert_eq!(service.counted_use().cpu_millicores, 200);
            service.workloads[0].ready = 2;
        }
    }

    #[test]
    fn what_cannot_be_looked_at_keeps_what_was_known() {
        let (graph, mut service) = (graph("g"), service("a"));
        (service.ready, service.replicas_ready) = (true, Some(2));
        let unseen = Some(ClientError::new("karmada", ClientErrorKind::Unreachable, "no list yet"));
        let seen = Seen { unseen, ..seen(State::Present) };
        let events = apply_to_service(&graph, &mut service, &seen, at(1));
        assert_eq!((service.ready, service.replicas_ready), (true, Some(2)));
        assert_eq!(condition::get(&service.conditions, READY).unwrap().status, ConditionStatus::Unknown);
        assert!(events.iter().all(|event| event.kind == event::SERVICE_DEPLOYED));
    }
}
