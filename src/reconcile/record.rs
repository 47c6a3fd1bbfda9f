//! Recording of observations: writes only differences from the records, on the newest rows, and nothing when
//! the intent is out of date. Without differences there is no transaction.

use serde_json::Value;

use super::graph::Reconciler;
use super::observed::{apply_release, changes};
use super::progress::Progress;
use super::queue::WorkOutcome;
use super::resources::{ResourceId, ResourceKind, Scope, State};
use super::summary::Seen;
use crate::clients::ClientError;
use crate::error::Result;
use crate::model::condition::{self, ConditionUpdate};
use crate::model::event::{self, Cause};
use crate::model::{GraphRecord, Manifest, NewEvent, ServiceRecord, now};
use crate::store::Tx;

impl Reconciler {
    /// Records the state of one resource at once when it is the release of a service, so that a graph's
    /// progress can be seen while it continues.
    pub(super) async fn record_resource(
        &self,
        scope: &Scope<'_>,
        resource: &ResourceId,
        state: &State,
    ) -> Result<()> {
        let service = scope.services.iter().find(|service| service.name == resource.name);
        let (Some(graph), Some(service), ResourceKind::Release) = (scope.graph, service, resource.kind)
        else {
            return Ok(());
        };
        if *state == State::Superseded {
            return Ok(());
        }
        let updated = |service: &ServiceRecord| {
            let mut updated = service.clone();
            let event = apply_release(graph, &mut updated, state, now());
            (updated != *service).then_some((updated, event))
        };
        if updated(service).is_none() {
            return Ok(());
        }
        let Some((mut tx, _)) = self.begin_current(graph).await? else { return Ok(()) };
        // The row is read again: it may have been written while Helm worked.
        let stored = tx.services(&graph.name).await?;
        let stored = stored.iter().find(|stored| stored.name == service.name);
        let Some((updated, event)) = stored.and_then(updated) else { return Ok(()) };
        tx.update_service_observation(&updated).await?;
        insert_events(&mut tx, event.as_slice()).await?;
        Ok(tx.commit("release").await?)
    }

    /// Records the objects of a service's chart.
    pub(super) async fn record_manifest(
        &self,
        scope: &Scope<'_>,
        service: &str,
        manifest: Manifest,
    ) -> Result<State> {
        let Some(graph) = scope.graph else { return Ok(State::Superseded) };
        let Some((mut tx, _)) = self.begin_current(graph).await? else { return Ok(State::Superseded) };
        let stored = tx.services(&graph.name).await?.into_iter().find(|stored| stored.name == service);
        let Some(stored) = stored else { return Ok(State::Superseded) };
        let mut rendered = stored;
        if rendered.workloads.is_empty() {
            rendered.workloads = manifest.expected_workloads();
        }
        rendered.manifest = Some(manifest);
        tx.update_service_observation(&rendered).await?;
        tx.commit("manifest").await?;
        Ok(State::Present)
    }

    /// Records that the releases could not even be read.
    pub(super) async fn record_blind(
        &self,
        graph: &GraphRecord,
        error: &ClientError,
    ) -> Result<(WorkOutcome, Progress)> {
        let blind = |graph: &GraphRecord| {
            let update = ConditionUpdate::new(condition::UNREACHABLE, error.to_string());
            let mut blind = graph.clone();
            condition::set(&mut blind.conditions, update, now());
            (blind != *graph).then_some(blind)
        };
        if blind(graph).is_some()
            && let Some((mut tx, current)) = self.begin_current(graph).await?
            && let Some(blind) = blind(&current)
        {
            tx.update_graph(&blind).await?;
            tx.commit("graph").await?;
        }
        Ok((WorkOutcome::Failed { after: error.retry_after }, Progress::under_way(graph.generation)))
    }

    /// Records all observations of a reconcile, and returns how to continue.
    pub(super) async fn record(
        &self,
        graph: &GraphRecord,
        services: &[ServiceRecord],
        seen: &Seen,
    ) -> Result<(WorkOutcome, Progress)> {
        let (summary, at) = (seen.summary(graph), now());
        if summary.is_gone() {
            return self.record_gone(graph).await;
        }
        let done = (summary.outcome, summary.progress(graph.generation));
        if changes(graph, services, seen, &summary, at).is_empty() {
            return Ok(done);
        }
        let Some((mut tx, current)) = self.begin_current(graph).await? else {
            return Ok((WorkOutcome::Superseded, Progress::under_way(graph.generation)));
        };
        // The rows are read again: some were written while resources were changed.
        let stored = tx.services(&graph.name).await?;
        let changes = changes(&current, &stored, seen, &summary, at);
        if changes.is_empty() {
            return Ok(done);
        }
        for (service, events) in &changes.services {
            tx.update_service_observation(service).await?;
            insert_events(&mut tx, events).await?;
        }
        if let Some(graph) = &changes.graph {
            tx.update_graph(graph).await?;
        }
        tx.commit("observation").await?;
        Ok(done)
    }

    async fn record_gone(&self, graph: &GraphRecord) -> Result<(WorkOutcome, Progress)> {
        let Some((mut tx, _)) = self.begin_current(graph).await? else {
            return Ok((WorkOutcome::Superseded, Progress::under_way(graph.generation)));
        };
        tx.delete_graph(&graph.name).await?;
        let event = Cause::internal("reconciler").graph_event(event::GRAPH_DELETED, &graph.name, Value::Null);
        insert_events(&mut tx, &[event]).await?;
        tx.commit("deleted").await?;
        tracing::info!(graph.name = %graph.name, "graph {} is gone", graph.name);
        Ok((WorkOutcome::Gone, Progress::gone()))
    }

    /// A transaction on the graph's newest row; `None` when its intent has changed since it was read.
    async fn begin_current(&self, graph: &GraphRecord) -> Result<Option<(Tx, GraphRecord)>> {
        let mut tx = self.store.begin().await?;
        let current = tx.graph(&graph.name).await?;
        let same = current.filter(|current| {
            current.generation == graph.generation && current.created_at == graph.created_at
        });
        Ok(same.map(|current| (tx, current)))
    }
}

async fn insert_events(tx: &mut Tx, events: &[NewEvent]) -> Result<()> {
    for event in events {
        tx.insert_event(event, now()).await?;
    }
    Ok(())
}
