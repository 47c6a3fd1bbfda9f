//! The policies by which a release reaches its cluster, when its chart brings none.
//!
//! They are there before Helm runs, so that what a hook waits for can run in the member, and stay until Helm has
//! removed the release. Moving a service changes them and nothing else.

use std::collections::BTreeSet;

use super::{Change, Resource, ResourceId, ResourceKind, State, Unwanted, Wanted, release};
use crate::clients::{ClientError, Outside, PropagationSpec, ReleaseKey};
use crate::hdag::Propagation;
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{GraphRecord, Manifest, ServiceRecord, owner_of};

/// How a service that is to run is propagated; `None` when not by `smo`, or when its chart is refused. Hooks of an
/// installation are propagated while it is under way only: a move must not run them again.
fn wanted(graph: &GraphRecord, service: &ServiceRecord, release: &Change) -> Option<PropagationSpec> {
    let managed = service.wants_release(graph) && service.propagated_by() == Some(Propagation::Managed);
    let refused = matches!(release, Change::Refused(_));
    let manifest = service.manifest.clone().filter(|_| managed && !refused)?;
    let cluster = service.cluster.clone()?;
    let importers =
        service.import_clusters.iter().filter(|importer| **importer != cluster).cloned().collect();
    let installs = matches!(release, Change::Apply(_));
    let (release, owner) = (release::key_of(service), owner_of(&graph.name));
    Some(PropagationSpec { release, owner, cluster, importers, installs, manifest })
}

pub(super) fn id(service: &ServiceRecord) -> ResourceId {
    ResourceId::new(ResourceKind::Propagation, &service.name)
}

/// The policies of a service, as they are to be and as they are, given those of the change of its release.
pub(in crate::reconcile) async fn resource(
    outside: &Outside,
    graph: &GraphRecord,
    service: &ServiceRecord,
    releases: &[Resource],
) -> Resource {
    let release = ResourceId::new(ResourceKind::Release, &service.name);
    let change = releases.iter().find(|resource| resource.id == release).map(|resource| &resource.change);
    let unchanged = BTreeSet::new;
    let (change, after) = match wanted(graph, service, change.unwrap_or(&Change::Absent)) {
        Some(spec) => match outside.policies_applied(&spec).await {
            Ok(true) => (Change::Keep, unchanged()),
            Ok(false) => (Change::Apply(Wanted::Propagation(spec)), unchanged()),
            Err(error) => (Change::Refused(error), unchanged()),
        },
        None => match outside.policies_exist(&release::key_of(service)).await {
            Ok(true) => {
                let key = release::key_of(service);
                (Change::Remove(Unwanted::Propagation { release: key }), BTreeSet::from([release]))
            }
            Ok(false) => (Change::Absent, unchanged()),
            // A watch that fails holds up only those that need it.
            Err(error) if service.propagated_by() == Some(Propagation::Managed) => {
                (Change::Refused(error), unchanged())
            }
            Err(_) => (Change::Absent, unchanged()),
        },
    };
    Resource { id: id(service), change, after }
}

/// Writes the policies of a release, if they are still wanted.
pub(super) async fn apply<F: Future<Output = bool>>(
    outside: &Outside,
    spec: &PropagationSpec,
    still_wanted: impl Fn() -> F,
) -> Result<(), ClientError> {
    tracing::info!("propagate release {} to {}", spec.release.name, spec.cluster);
    outside.apply_policies(spec, still_wanted).await
}

/// Removes the policies of a release, if that is still wanted.
pub(super) async fn remove<F: Future<Output = bool>>(
    outside: &Outside,
    release: &ReleaseKey,
    still_wanted: impl Fn() -> F,
) -> Result<(), ClientError> {
    outside.delete_policies(release, still_wanted).await
}

/// The condition `Propagated`; `None` while the objects of the chart are not known, or not wanted.
#[must_use]
pub(in crate::reconcile) fn condition(
    graph: &GraphRecord,
    service: &ServiceRecord,
    state: Option<&State>,
) -> Option<ConditionUpdate> {
    let manifest = service.manifest.as_ref().filter(|_| service.wants_release(graph))?;
    let update = match (service.propagated_by()?, state) {
        (Propagation::Chart, _) => by_chart(manifest),
        (Propagation::Managed, Some(State::Failed(error))) => {
            let reason = match error.kind.is_transient() {
                true => condition::PROPAGATION_RETRIED,
                false => condition::PROPAGATION_FAILED,
            };
            ConditionUpdate::new(reason, error.to_string())
        }
        (Propagation::Managed, Some(State::Present)) => {
            let cluster = service.cluster.as_deref().unwrap_or_default();
            let definitions: Vec<&str> = manifest.definitions().map(|id| id.name.as_str()).collect();
            let kept = match definitions.as_slice() {
                [] => String::new(),
                names => format!(
                    "; these definitions go to all clusters and are never removed: {}",
                    names.join(", ")
                ),
            };
            ConditionUpdate::new(condition::MANAGED, format!("smo propagates it to {cluster}{kept}"))
        }
        (Propagation::Managed, _) => return None,
    };
    Some(update)
}

fn by_chart(manifest: &Manifest) -> ConditionUpdate {
    let unselected: Vec<String> = manifest.unselected().map(ToString::to_string).collect();
    match unselected.as_slice() {
        [] => ConditionUpdate::new(condition::BY_CHART, "the chart's policies propagate its workloads"),
        left_out => {
            let message = format!("the chart's policies leave out {}", left_out.join(", "));
            ConditionUpdate::new(condition::BY_CHART_IN_PART, message)
        }
    }
}
