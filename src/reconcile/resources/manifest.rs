//! The rendered chart of each service: known before Helm acts, since it says who propagates the objects, and
//! whether they may be stored in Karmada at all.

use std::collections::BTreeSet;

use futures::FutureExt as _;

use super::{Change, Resource, ResourceId, ResourceKind, Scope, State, Wanted, release};
use crate::clients::{
    ClientError, ClientErrorKind, Outside, ReleaseObservation, ReleaseSpec, ReleaseStatus, Rendering,
};
use crate::error::Result;
use crate::hdag::Propagation;
use crate::model::{GraphRecord, Manifest, ServiceRecord};
use crate::reconcile::charts;
use crate::reconcile::graph::Reconciler;
use crate::store::Store;

/// The charts that have to be rendered, given the releases in the graph's namespace.
#[must_use]
pub(in crate::reconcile) fn resources(
    graph: &GraphRecord,
    services: &[ServiceRecord],
    observed: &[ReleaseObservation],
) -> Vec<Resource> {
    let unknown = services.iter().filter(|service| {
        let release = observed.iter().find(|release| release.name == service.name);
        service.wants_release(graph) && is_unknown(graph, service, release)
    });
    unknown
        .map(|service| Resource {
            id: ResourceId::new(ResourceKind::Manifest, &service.name),
            change: Change::Apply(Wanted::Manifest {
                source: release::wanted_of(graph, service, Propagation::Managed).digest,
            }),
            after: BTreeSet::new(),
        })
        .collect()
}

/// Whether the objects of a service are not known. A release that is as a chart which propagates itself would
/// have it needs no look: that is how it was installed.
fn is_unknown(graph: &GraphRecord, service: &ServiceRecord, release: Option<&ReleaseObservation>) -> bool {
    let plain = release::wanted_of(graph, service, Propagation::Managed);
    let is_known = service.manifest.as_ref().is_some_and(|manifest| manifest.source == plain.digest);
    let by_chart = release::wanted_of(graph, service, Propagation::Chart).digest;
    let installed = release.is_some_and(|release| {
        let as_by_chart = release.digest.as_ref() == Some(&by_chart);
        release.owner.as_ref() != Some(&plain.owner)
            || release.status == ReleaseStatus::Deployed
                && as_by_chart
                && by_chart != plain.digest
                && service.propagation != Some(Propagation::Managed)
    });
    !is_known && !installed
}

/// Renders the chart of a service: with the values of the placement, which charts that propagate themselves read,
/// or without them when it refuses them or `smo` propagates its objects anyway.
///
/// # Errors
/// Those of [`Outside::render`] and [`Outside::fetch_chart`].
pub(crate) async fn render<F: Future<Output = bool>>(
    store: &Store,
    outside: &Outside,
    graph: &GraphRecord,
    service: &ServiceRecord,
    still_wanted: impl Fn() -> F,
) -> Result<Manifest, ClientError> {
    let held = charts::archive_of(store, outside, Some(service)).await?;
    let archive = held.as_ref().map(|held| held.archive.clone());
    let of = |propagation| ReleaseSpec {
        archive: archive.clone(),
        ..release::wanted_of(graph, service, propagation)
    };
    let (plain, full) = (of(Propagation::Managed), of(Propagation::Chart));
    let rendered = match service.propagation {
        Some(Propagation::Managed) => None,
        _ => match outside.render(&full, &still_wanted).await {
            Err(error) if error.kind == ClientErrorKind::Invalid && full.values != plain.values => None,
            rendered => Some(rendered?),
        },
    };
    let Rendering { objects, chart_digest } = match rendered {
        Some(rendering) => rendering,
        None => outside.render(&plain, &still_wanted).await?,
    };
    Ok(Manifest { source: plain.digest, chart: service.chart.clone(), chart_digest, objects })
}

impl Reconciler {
    /// Renders the chart of a service and records its objects.
    pub(super) async fn render(&self, scope: &Scope<'_>, service: &str) -> Result<State> {
        let record = scope.services.iter().find(|record| record.name == service);
        let (Some(graph), Some(record)) = (scope.graph, record) else { return Ok(State::Superseded) };
        let still_wanted = || self.is_current(scope.graph).boxed();
        match scope.worker.lend_during(render(&self.store, &self.outside, graph, record, still_wanted)).await
        {
            Ok(manifest) => self.record_manifest(scope, service, manifest).await,
            Err(error) if error.kind == ClientErrorKind::Superseded => Ok(State::Superseded),
            Err(error) => Ok(State::Failed(error)),
        }
    }
}
