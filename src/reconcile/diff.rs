//! Desired against observed → actions. Pure.
//!
//! What was applied is not remembered here but read from the world: a release carries its owner and the digest
//! of its chart and values as labels. So a server that was killed between Helm's success and its own record
//! finds the release done, and does not do it twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clients::{ReleaseKey, ReleaseObservation, ReleaseSpec, ReleaseStatus};
use crate::hdag::Trigger;
use crate::model::owner_of;
use crate::model::{GraphRecord, ServiceRecord};

/// What must happen to the release of one service.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It is as it should be.
    Keep,
    /// It must be installed or upgraded to this.
    Apply(ReleaseSpec),
    /// It must go.
    Remove(ReleaseKey),
    /// It must be installed, but a release of that name belongs to somebody else.
    Blocked(ReleaseKey),
    /// It should not be there, and it is not.
    Absent,
}

/// All actions of one reconcile: one per service, in the order of the descriptor, and releases that carry the
/// graph's mark without belonging to any of its services.
#[derive(Debug, Clone, PartialEq)]
pub struct Actions {
    /// Action per service name.
    pub services: BTreeMap<String, Action>,
    /// Marked as the graph's, but not one of its services.
    pub orphans: Vec<ReleaseKey>,
}

/// The release that a service should be.
#[must_use]
pub fn release_of(graph: &GraphRecord, service: &ServiceRecord) -> ReleaseSpec {
    let digest = digest(&service.chart, &Value::Object(service.values.clone()));
    // An upgrade sets the replicas to the chart's number: it is given the one that scaling decided, so that no pod is stopped
    // to be started again. It is no part of the digest, since changing it alone takes no upgrade. Charts read it at the top,
    // those of the implementer WOT too.
    let mut values = service.values.clone();
    if let Some(replicas) = service.replicas_decided {
        values.insert("replicas".to_owned(), replicas.into());
    }
    ReleaseSpec {
        key: key_of(service),
        chart: service.chart.clone(),
        digest,
        values: Value::Object(values),
        owner: owner_of(&graph.name),
    }
}

/// Namespace and name of a service's release.
#[must_use]
pub fn key_of(service: &ServiceRecord) -> ReleaseKey {
    ReleaseKey { namespace: service.namespace.clone(), name: service.name.clone() }
}

/// Compares what a graph should be with the releases in its namespace.
#[must_use]
pub fn diff(graph: &GraphRecord, services: &[ServiceRecord], releases: &[ReleaseObservation]) -> Actions {
    let owner = owner_of(&graph.name);
    let by_name: BTreeMap<&str, &ReleaseObservation> =
        releases.iter().map(|release| (release.name.as_str(), release)).collect();
    let names: BTreeSet<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let action =
        |service: &ServiceRecord| action(graph, service, by_name.get(service.name.as_str()).copied(), &owner);
    Actions {
        services: services.iter().map(|service| (service.name.clone(), action(service))).collect(),
        orphans: releases
            .iter()
            .filter(|release| {
                release.owner.as_deref() == Some(&owner) && !names.contains(release.name.as_str())
            })
            .map(|release| ReleaseKey { namespace: graph.namespace.clone(), name: release.name.clone() })
            .collect(),
    }
}

fn action(
    graph: &GraphRecord,
    service: &ServiceRecord,
    release: Option<&ReleaseObservation>,
    owner: &str,
) -> Action {
    let ours = release.is_some_and(|release| release.owner.as_deref() == Some(owner));
    match (service.wants_release(graph), release) {
        (true, Some(_)) if !ours => Action::Blocked(key_of(service)),
        (true, release) => {
            let wanted = release_of(graph, service);
            let applied = release.is_some_and(|release| {
                release.status == ReleaseStatus::Deployed && release.digest.as_deref() == Some(&wanted.digest)
            });
            if applied { Action::Keep } else { Action::Apply(wanted) }
        }
        (false, Some(_)) if ours => Action::Remove(key_of(service)),
        (false, _) => Action::Absent,
    }
}

/// Services that must be installed before `service`: its dependencies, except conditional ones whose event has
/// not happened. Waiting for those could wait for an event that only this service's load would cause.
#[must_use]
pub fn awaited<'a>(
    graph: &GraphRecord,
    service: &'a ServiceRecord,
    services: &BTreeMap<&str, &ServiceRecord>,
) -> Vec<&'a str> {
    let Trigger::Auto { dependencies } = &service.trigger else { return Vec::new() };
    dependencies
        .iter()
        .map(String::as_str)
        .filter(|name| services.get(name).is_some_and(|dependency| dependency.wants_release(graph)))
        .collect()
}

/// Digest of what a release is made of: 128 bits in hex, which fits a label value.
fn digest(chart: &str, values: &Value) -> String {
    let text = json!({ "chart": chart, "values": crate::hdag::digest(values) }).to_string();
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Desired;
    use crate::model::testing::{conditional, graph, service};

    fn deployed(graph: &GraphRecord, service: &ServiceRecord) -> ReleaseObservation {
        ReleaseObservation {
            name: service.name.clone(),
            revision: 1,
            status: ReleaseStatus::Deployed,
            owner: Some(owner_of(&graph.name)),
            digest: Some(release_of(graph, service).digest),
        }
    }

    fn action_of(actions: &Actions, service: &str) -> Action {
        actions.services[service].clone()
    }

    #[test]
    fn a_missing_release_is_applied_and_a_pending_conditional_one_is_not() {
        let (graph, services) = (graph("g"), [service("a"), conditional("b")]);
        let actions = diff(&graph, &services, &[]);
        assert_eq!(action_of(&actions, "a"), Action::Apply(release_of(&graph, &services[0])));
        assert_eq!(action_of(&actions, "b"), Action::Absent);
    }

    #[test]
    fn a_release_that_was_applied_is_kept_and_one_with_other_values_is_applied_again() {
        let (graph, mut services) = (graph("g"), [service("a")]);
        let release = deployed(&graph, &services[0]);
        assert_eq!(action_of(&diff(&graph, &services, std::slice::from_ref(&release)), "a"), Action::Keep);
        services[0].values.insert("replicas".into(), 2.into());
        assert!(matches!(action_of(&diff(&graph, &services, &[release]), "a"), Action::Apply(_)));
    }

    #[test]
    fn scaling_alone_takes_no_upgrade_and_an_upgrade_keeps_the_scaled_replicas() {
        let (graph, mut services) = (graph("g"), [service("a")]);
        let release = deployed(&graph, &services[0]);
        services[0].replicas_decided = Some(3);
        assert_eq!(action_of(&diff(&graph, &services, std::slice::from_ref(&release)), "a"), Action::Keep);
        services[0].values.insert("clustersAffinity".into(), json!(["edge-2"]));
        let Action::Apply(spec) = action_of(&diff(&graph, &services, &[release]), "a") else { panic!() };
        assert_eq!(spec.values["replicas"], 3);
    }

    #[test]
    fn a_release_that_was_cut_off_is_applied_again() {
        let (graph, services) = (graph("g"), [service("a")]);
        let release = ReleaseObservation { status: ReleaseStatus::Pending, ..deployed(&graph, &services[0]) };
        assert!(matches!(action_of(&diff(&graph, &services, &[release]), "a"), Action::Apply(_)));
    }

    #[test]
    fn a_foreign_release_blocks_a_running_graph_and_is_left_alone_by_a_stopped_one() {
        let (mut graph, services) = (graph("g"), [service("a")]);
        let release = ReleaseObservation { owner: Some("other".into()), ..deployed(&graph, &services[0]) };
        let releases = [release];
        assert!(matches!(action_of(&diff(&graph, &services, &releases), "a"), Action::Blocked(_)));
        graph.desired = Desired::Stopped;
        assert_eq!(action_of(&diff(&graph, &services, &releases), "a"), Action::Absent);
    }

    #[test]
    fn stopping_removes_what_is_ours_and_orphans_too() {
        let (mut graph, services) = (graph("g"), [service("a"), service("b")]);
        graph.desired = Desired::Stopped;
        let releases = [
            deployed(&graph, &services[0]),
            ReleaseObservation { name: "left-over".into(), ..deployed(&graph, &services[0]) },
        ];
        let actions = diff(&graph, &services, &releases);
        assert_eq!(action_of(&actions, "a"), Action::Remove(key_of(&services[0])));
        assert_eq!(action_of(&actions, "b"), Action::Absent);
        assert_eq!(actions.orphans, [ReleaseKey { namespace: "project".into(), name: "left-over".into() }]);
    }

    #[test]
    fn a_conditional_dependency_is_awaited_only_after_its_event() {
        let graph = graph("g");
        let mut dependent = service("a");
        dependent.trigger = Trigger::Auto { dependencies: vec!["b".into(), "c".into()] };
        let (mut b, c) = (conditional("b"), service("c"));
        let awaited_now = |b: &ServiceRecord| {
            awaited(&graph, &dependent, &BTreeMap::from([("b", b), ("c", &c)]))
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(awaited_now(&b), ["c"]);
        b.triggered = true;
        assert_eq!(awaited_now(&b), ["b", "c"]);
    }
}
