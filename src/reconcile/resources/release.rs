//! The release of each service. Pure but for applying and removing it.
//!
//! The applied state is not stored here but read from the release, which carries its owner and the digest of
//! its chart and values as labels. So a server that was killed between Helm's success and its own record
//! finds the release done, and does not do it twice.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Change, Resource, ResourceId, ResourceKind, State, States, Unwanted, Wanted, propagation};
use crate::clients::{
    ClientError, ClientErrorKind, Outside, ReleaseKey, ReleaseObservation, ReleaseSpec, ReleaseStatus,
};
use crate::hdag::{Propagation, Trigger, without_placement};
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{Desired, GraphRecord, Manifest, ManifestObject, ServiceRecord, ServiceState, owner_of};

/// The release that a service should be.
#[must_use]
pub(in crate::reconcile) fn wanted(graph: &GraphRecord, service: &ServiceRecord) -> ReleaseSpec {
    wanted_of(graph, service, service.propagated_by().unwrap_or(Propagation::Chart))
}

/// The release that a service should be when its objects are propagated so.
#[must_use]
pub(in crate::reconcile) fn wanted_of(
    graph: &GraphRecord,
    service: &ServiceRecord,
    propagation: Propagation,
) -> ReleaseSpec {
    // A chart that knows nothing of Karmada gets no values of the placement: moving it is then no upgrade.
    let mut values = match propagation {
        Propagation::Chart => service.values.clone(),
        Propagation::Managed => without_placement(&service.values, &service.implementer),
    };
    let digest = digest(&service.chart, &Value::Object(values.clone()));
    // An upgrade sets the replicas to the chart's number: it is given the one that scaling decided, so that
    // no pod is stopped to be started again. It is no part of the digest, since changing it alone takes no
    // upgrade. Charts read it at the top, those of the implementer WOT too; others might refuse it, and one with several
    // workloads may mean another of them.
    let is_only = service.workloads.len() <= 1;
    if let (Propagation::Chart, Some(replicas), true) = (propagation, service.replicas_decided, is_only) {
        values.insert("replicas".to_owned(), replicas.into());
    }
    ReleaseSpec {
        key: key_of(service),
        chart: service.pinned_chart(),
        archive: None,
        digest,
        values: Value::Object(values),
        owner: owner_of(&graph.name),
    }
}

/// Namespace and name of a service's release.
#[must_use]
pub(in crate::reconcile) fn key_of(service: &ServiceRecord) -> ReleaseKey {
    ReleaseKey { namespace: service.namespace.clone(), name: service.name.clone() }
}

/// The releases of a graph given those in its namespace: one per service, and those that carry the graph's
/// mark without belonging to any of its services. `rendered` has the states of the charts that were rendered;
/// objects of `allowed` kinds are never refused.
#[must_use]
pub(in crate::reconcile) fn resources(
    graph: &GraphRecord,
    services: &[ServiceRecord],
    observed: &[ReleaseObservation],
    rendered: &States,
    allowed: &BTreeSet<String>,
) -> Vec<Resource> {
    let owner = owner_of(&graph.name);
    let by_name: BTreeMap<&str, &ReleaseObservation> =
        observed.iter().map(|release| (release.name.as_str(), release)).collect();
    let of_services = services.iter().map(|service| {
        let release = by_name.get(service.name.as_str()).copied();
        let change = match refusal(service, rendered, allowed).filter(|_| service.wants_release(graph)) {
            Some(error) => Change::Refused(error),
            None => change(graph, service, release, &owner),
        };
        let after = match change {
            Change::Apply(_) => {
                let mut after = dependencies(graph, service, services);
                if service.propagated_by() == Some(Propagation::Managed) {
                    after.insert(propagation::id(service));
                }
                after
            }
            Change::Remove(_) => dependents(graph, service, services),
            _ => BTreeSet::new(),
        };
        Resource { id: ResourceId::new(ResourceKind::Release, &service.name), change, after }
    });
    let names: BTreeSet<&str> = services.iter().map(|service| service.name.as_str()).collect();
    let orphans = observed
        .iter()
        .filter(|release| release.owner.as_deref() == Some(&owner) && !names.contains(release.name.as_str()))
        .map(|release| {
            let key = ReleaseKey { namespace: graph.namespace.clone(), name: release.name.clone() };
            Resource {
                id: ResourceId::new(ResourceKind::Orphan, &release.name),
                change: Change::Remove(Unwanted::Release { key, owner: owner.clone() }),
                after: BTreeSet::new(),
            }
        });
    of_services.chain(orphans).collect()
}

fn change(
    graph: &GraphRecord,
    service: &ServiceRecord,
    release: Option<&ReleaseObservation>,
    owner: &str,
) -> Change {
    let ours = release.is_some_and(|release| release.owner.as_deref() == Some(owner));
    match (service.wants_release(graph), release) {
        (true, Some(_)) if !ours => Change::Refused(foreign(&key_of(service))),
        (true, release) => {
            let wanted = wanted(graph, service);
            let applied = release.is_some_and(|release| {
                release.status == ReleaseStatus::Deployed && release.digest.as_deref() == Some(&wanted.digest)
            });
            if applied { Change::Keep } else { Change::Apply(Wanted::Release(wanted)) }
        }
        (false, Some(_)) if ours => {
            Change::Remove(Unwanted::Release { key: key_of(service), owner: owner.to_owned() })
        }
        (false, _) => Change::Absent,
    }
}

/// Why a release must not be installed: its chart could not be rendered, or brings what would do harm in Karmada.
fn refusal(service: &ServiceRecord, rendered: &States, allowed: &BTreeSet<String>) -> Option<ClientError> {
    let id = ResourceId::new(ResourceKind::Manifest, &service.name);
    if let Some(error) = rendered.get(&id).and_then(State::error) {
        return Some(error.clone());
    }
    let (object, why) = service.manifest.as_ref()?.harmful(allowed)?;
    let message = format!("{object} of the chart {why}; the setting helm.allowed_kinds can allow its kind");
    Some(ClientError::new("helm", ClientErrorKind::Invalid, message))
}

fn foreign(key: &ReleaseKey) -> ClientError {
    let message =
        format!("release {} in namespace {} exists and is not of this graph", key.name, key.namespace);
    ClientError::new("helm", ClientErrorKind::Conflict, message)
}

/// Releases that must be installed before that of `service`: those of its dependencies, except conditional
/// ones whose event has not happened. Waiting for those could wait for an event that only this service's load
/// would cause.
fn dependencies(
    graph: &GraphRecord,
    service: &ServiceRecord,
    services: &[ServiceRecord],
) -> BTreeSet<ResourceId> {
    let awaited = services.iter().filter(|other| depends(service, other) && other.wants_release(graph));
    awaited.map(|other| ResourceId::new(ResourceKind::Release, &other.name)).collect()
}

/// Releases that must be removed before that of `service`: those of the services that depend on it, unless
/// they stay.
fn dependents(
    graph: &GraphRecord,
    service: &ServiceRecord,
    services: &[ServiceRecord],
) -> BTreeSet<ResourceId> {
    let awaited = services.iter().filter(|other| depends(other, service) && !other.wants_release(graph));
    awaited.map(|other| ResourceId::new(ResourceKind::Release, &other.name)).collect()
}

fn depends(service: &ServiceRecord, on: &ServiceRecord) -> bool {
    match &service.trigger {
        Trigger::Auto { dependencies } => dependencies.contains(&on.name),
        Trigger::Event { .. } => false,
    }
}

/// Installs or upgrades a release, if it is still desired when Helm has a free slot.
pub(super) async fn apply<F: Future<Output = bool>>(
    outside: &Outside,
    spec: &ReleaseSpec,
    still_wanted: impl Fn() -> F,
) -> Result<(), ClientError> {
    outside.apply_release(spec, still_wanted).await
}

/// Helm waits for hooks that run pods. Where the chart's policies leave these out they run nowhere, and Helm waits in
/// vain: only a user can help.
pub(super) fn explain_hook_timeout(error: ClientError, service: Option<&ServiceRecord>) -> ClientError {
    let by_chart = |service: &&ServiceRecord| service.propagated_by() == Some(Propagation::Chart);
    let manifest = service.filter(by_chart).and_then(|service| service.manifest.as_ref());
    let is_left_out = |object: &&ManifestObject| object.hook && !object.selected && object.workload.is_some();
    let hooks = manifest.into_iter().flat_map(|manifest| manifest.objects.iter().filter(is_left_out));
    let hooks: Vec<String> = hooks.map(|hook| hook.id.to_string()).collect();
    if error.kind != ClientErrorKind::Timeout || hooks.is_empty() {
        return error;
    }
    let hooks = hooks.join(", ");
    let message = format!(
        "helm waited in vain for the hook {hooks}, which no policy of the chart selects, so that it runs nowhere; \
         select it there, or let smo propagate the chart (smo.propagation: managed, without policies in the chart): {}",
        error.message
    );
    ClientError::new("helm", ClientErrorKind::Invalid, message)
}

/// Uninstalls a release, if that is still desired when Helm has a free slot.
pub(super) async fn remove<F: Future<Output = bool>>(
    outside: &Outside,
    key: &ReleaseKey,
    owner: &str,
    still_wanted: impl Fn() -> F,
) -> Result<(), ClientError> {
    outside.uninstall_release(key, owner, still_wanted).await
}

/// Where a service is on its way when its release is in that state, and the condition `Installed`.
pub(in crate::reconcile) fn condition(
    graph: &GraphRecord,
    service: &ServiceRecord,
    state: &State,
) -> (ServiceState, ConditionUpdate) {
    let waits_for_event = graph.desired == Desired::Running && !service.wants_release(graph);
    match state {
        State::Present => (
            ServiceState::Deployed,
            ConditionUpdate::new(condition::RELEASE_INSTALLED, "Helm has accepted the release"),
        ),
        State::Absent if waits_for_event => (
            ServiceState::Pending,
            ConditionUpdate::new(condition::WAITS_FOR_EVENT, "the event has not happened"),
        ),
        State::Absent => (
            ServiceState::NotDeployed,
            ConditionUpdate::new(condition::RELEASE_NOT_WANTED, not_wanted(service)),
        ),
        State::Failed(error) => {
            let reason = match error.kind.is_transient() {
                true => condition::RELEASE_RETRIED,
                false => condition::RELEASE_FAILED,
            };
            (ServiceState::Failed, ConditionUpdate::new(reason, error.to_string()))
        }
        State::Waits(_) | State::LeftAlone(_) | State::Superseded => {
            let names = if let State::Waits(names) = state { names.join(", ") } else { String::new() };
            let message = format!("waits for {names}");
            let on_its_way =
                if service.wants_release(graph) { ServiceState::Deploying } else { service.state };
            (on_its_way, ConditionUpdate::new(condition::WAITS_FOR_DEPENDENCIES, message))
        }
    }
}

fn not_wanted(service: &ServiceRecord) -> String {
    let claims = service.manifest.as_ref().map(Manifest::lasting_claims).unwrap_or_default();
    match (claims.is_empty(), &service.cluster) {
        (false, Some(cluster)) => {
            format!("the graph does not run; these volume claims stay on {cluster}: {}", claims.join(", "))
        }
        _ => "the graph does not run".to_owned(),
    }
}

/// Digest of a release's input: 128 bits in hex, which fits a label value.
fn digest(chart: &str, values: &Value) -> String {
    let text = json!({ "chart": chart, "values": crate::hdag::digest(values) }).to_string();
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{conditional, graph, service};
    use crate::model::{ObjectId, WorkloadUse};

    fn deployed(graph: &GraphRecord, service: &ServiceRecord) -> ReleaseObservation {
        ReleaseObservation {
            name: service.name.clone(),
            revision: 1,
            status: ReleaseStatus::Deployed,
            owner: Some(owner_of(&graph.name)),
            digest: Some(wanted(graph, service).digest),
        }
    }

    fn of(resources: &[Resource], kind: ResourceKind, name: &str) -> Option<Change> {
        let id = ResourceId::new(kind, name);
        resources.iter().find(|resource| resource.id == id).map(|resource| resource.change.clone())
    }

    fn change_of(resources: &[Resource], service: &str) -> Change {
        of(resources, ResourceKind::Release, service).unwrap()
    }

    fn removal(name: &str) -> Change {
        let key = ReleaseKey { namespace: "project".into(), name: name.into() };
        Change::Remove(Unwanted::Release { key, owner: owner_of("g") })
    }

    fn planned(
        graph: &GraphRecord,
        services: &[ServiceRecord],
        observed: &[ReleaseObservation],
    ) -> Vec<Resource> {
        resources(graph, services, observed, &States::new(), &BTreeSet::new())
    }

    #[test]
    fn a_missing_release_is_applied_and_a_pending_conditional_one_is_not() {
        let (graph, services) = (graph("g"), [service("a"), conditional("b")]);
        let found = planned(&graph, &services, &[]);
        assert_eq!(change_of(&found, "a"), Change::Apply(Wanted::Release(wanted(&graph, &services[0]))));
        assert_eq!(change_of(&found, "b"), Change::Absent);
    }

    #[test]
    fn a_release_that_was_applied_is_kept_and_one_with_other_values_is_applied_again() {
        let (graph, mut services) = (graph("g"), [service("a")]);
        let release = deployed(&graph, &services[0]);
        assert_eq!(change_of(&planned(&graph, &services, std::slice::from_ref(&release)), "a"), Change::Keep);
        services[0].values.insert("replicas".into(), 2.into());
        assert!(matches!(change_of(&planned(&graph, &services, &[release]), "a"), Change::Apply(_)));
    }

    #[test]
    fn scaling_alone_takes_no_upgrade_and_an_upgrade_keeps_the_scaled_replicas() {
        let (graph, mut services) = (graph("g"), [service("a")]);
        let release = deployed(&graph, &services[0]);
        services[0].replicas_decided = Some(3);
        assert_eq!(change_of(&planned(&graph, &services, std::slice::from_ref(&release)), "a"), Change::Keep);
        services[0].values.insert("clustersAffinity".into(), json!(["edge-2"]));
        let Change::Apply(Wanted::Release(spec)) = change_of(&planned(&graph, &services, &[release]), "a")
        else {
            panic!()
        };
        assert_eq!(spec.values["replicas"], 3);
    }

    #[test]
    fn a_release_that_was_cut_off_is_applied_again() {
        let (graph, services) = (graph("g"), [service("a")]);
        let release = ReleaseObservation { status: ReleaseStatus::Pending, ..deployed(&graph, &services[0]) };
        assert!(matches!(change_of(&planned(&graph, &services, &[release]), "a"), Change::Apply(_)));
    }

    #[test]
    fn a_foreign_release_blocks_a_running_graph_and_is_left_alone_by_a_stopped_one() {
        let (mut graph, services) = (graph("g"), [service("a")]);
        let release = ReleaseObservation { owner: Some("other".into()), ..deployed(&graph, &services[0]) };
        let releases = [release];
        assert!(matches!(change_of(&planned(&graph, &services, &releases), "a"), Change::Refused(_)));
        graph.desired = Desired::Stopped;
        assert_eq!(change_of(&planned(&graph, &services, &releases), "a"), Change::Absent);
    }

    #[test]
    fn stopping_removes_what_is_ours_and_orphans_too() {
        let (mut graph, services) = (graph("g"), [service("a"), service("b")]);
        graph.desired = Desired::Stopped;
        let releases = [
            deployed(&graph, &services[0]),
            ReleaseObservation { name: "left-over".into(), ..deployed(&graph, &services[0]) },
        ];
        let found = planned(&graph, &services, &releases);
        assert_eq!(change_of(&found, "a"), removal("a"));
        assert_eq!(change_of(&found, "b"), Change::Absent);
        assert_eq!(of(&found, ResourceKind::Orphan, "left-over"), Some(removal("left-over")));
    }

    #[test]
    fn a_conditional_dependency_is_awaited_only_after_its_event() {
        let graph = graph("g");
        let mut dependent = service("a");
        dependent.trigger = Trigger::Auto { dependencies: vec!["b".into(), "c".into()] };
        let (mut b, c) = (conditional("b"), service("c"));
        let awaited_now = |b: &ServiceRecord| {
            let found = planned(&graph, &[dependent.clone(), b.clone(), c.clone()], &[]);
            found[0].after.iter().map(|id| id.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(awaited_now(&b), ["c"]);
        b.triggered = true;
        assert_eq!(awaited_now(&b), ["b", "c"]);
    }

    #[test]
    fn a_release_is_removed_after_those_that_depend_on_it_unless_they_stay() {
        let mut graph = graph("g");
        let mut dependent = service("a");
        dependent.trigger = Trigger::Auto { dependencies: vec!["b".into()] };
        let b = conditional("b");
        let releases = [deployed(&graph, &dependent), deployed(&graph, &b)];
        let services = [dependent, b];
        let awaited = |graph: &GraphRecord| {
            let found = planned(graph, &services, &releases);
            assert_eq!(change_of(&found, "b"), removal("b"));
            found[1].after.iter().map(|id| id.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(awaited(&graph), Vec::<String>::new());
        graph.desired = Desired::Stopped;
        assert_eq!(awaited(&graph), ["a"]);
    }

    #[test]
    fn helm_that_waits_for_a_hook_that_runs_nowhere_waits_for_a_user() {
        let id = ObjectId { kind: "Job".into(), name: "migrate".into(), ..ObjectId::default() };
        let hook = ManifestObject {
            id,
            hook: true,
            workload: Some(WorkloadUse::default()),
            ..ManifestObject::default()
        };
        let main = ManifestObject { hook: false, selected: true, ..hook.clone() };
        let with = |hook: ManifestObject| ServiceRecord {
            manifest: Some(Manifest { objects: vec![main.clone(), hook], ..Manifest::default() }),
            ..service("a")
        };
        let told = |kind, service: &ServiceRecord| {
            explain_hook_timeout(ClientError::new("helm", kind, "timed out"), Some(service))
        };
        let error = told(ClientErrorKind::Timeout, &with(hook.clone()));
        assert_eq!(error.kind, ClientErrorKind::Invalid);
        assert!(error.message.contains("Job migrate") && error.message.contains("timed out"), "{error}");
        assert_eq!(told(ClientErrorKind::Failed, &with(hook.clone())).kind, ClientErrorKind::Failed);
        let selected = ManifestObject { selected: true, ..hook };
        assert_eq!(told(ClientErrorKind::Timeout, &with(selected)).kind, ClientErrorKind::Timeout);
    }
}
