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

/// How a service that is to run is propagated; `None` when not by `smo`.
fn wanted(graph: &GraphRecord, service: &ServiceRecord) -> Option<PropagationSpec> {
    let managed = service.wants_release(graph) && service.propagated_by() == Some(Propagation::Managed);
    let (manifest, cluster) = (service.manifest.clone().filter(|_| managed)?, service.cluster.clone()?);
    let importers =
        service.import_clusters.iter().filter(|importer| **importer != cluster).cloned().collect();
    Some(PropagationSpec {
        release: release::key_of(service),
        owner: owner_of(&graph.name),
        cluster,
        importers,
        manifest,
    })
}

pub(super) fn id(service: &ServiceRecord) -> ResourceId {
    ResourceId::new(ResourceKind::Propagation, &service.name)
}

/// The policies of a service, as they are to be and as they are.
pub(in crate::reconcile) async fn resource(
    outside: &Outside,
    graph: &GraphRecord,
    service: &ServiceRecord,
) -> Resource {
    let release = ResourceId::new(ResourceKind::Release, &service.name);
    let (change, after) = match wanted(graph, service) {
        Some(spec) => match outside.policies_applied(&spec).await {
            Ok(true) => (Change::Keep, BTreeSet::new()),
            Ok(false) => (Change::Apply(Wanted::Propagation(spec)), BTreeSet::new()),
            Err(error) => (Change::Refused(error), BTreeSet::new()),
        },
        None => match outside.policies_exist(&release::key_of(service)).await {
            Ok(true) => {
                let after =
                    if service.wants_release(graph) { BTreeSet::new() } else { BTreeSet::from([release]) };
                (Change::Remove(Unwanted::Propagation { release: release::key_of(service) }), after)
            }
            Ok(false) => (Change::Absent, BTreeSet::new()),
            Err(error) => (Change::Refused(error), BTreeSet::new()),
        },
    };
    Resource { id: id(service), change, after }
}

/// Writes the policies of a release.
pub(super) async fn apply(outside: &Outside, spec: &PropagationSpec) -> Result<(), ClientError> {
    tracing::info!("propagate release {} to {}", spec.release.name, spec.cluster);
    outside.apply_policies(spec).await
}

/// Removes the policies of a release.
pub(super) async fn remove(outside: &Outside, release: &ReleaseKey) -> Result<(), ClientError> {
    outside.delete_policies(release).await
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
