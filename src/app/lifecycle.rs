//! Start, stop and delete: changes of the desired state of an existing graph.

use serde_json::Value;

use super::change::Change;
use super::ledger::until_uncontended;
use super::{Accepted, App, Deletion, RequestContext};
use crate::error::{Error, Result};
use crate::model::event;
use crate::model::{ClusterRecord, Desired, GraphRecord, ServiceRecord, now};

impl App {
    /// Installs a stopped graph again: every service where it was, conditional ones back to waiting for their
    /// event. When one of its clusters is gone, down or full, the graph is placed again.
    ///
    /// # Errors
    /// It does not exist, or is not stopped; there is no placement; the known state of the clusters is too
    /// old.
    pub async fn start_graph(&self, name: &str, context: &RequestContext) -> Result<Accepted> {
        let graph = until_uncontended(|| self.try_to_start(name, context)).await?;
        self.carried_out(&graph, context).await
    }

    async fn try_to_start(&self, name: &str, context: &RequestContext) -> Result<GraphRecord> {
        let graph = self.parts.store.graph(name).await?.ok_or_else(|| Error::no_graph(name))?;
        check_transition(&graph, Desired::Running)?;
        if !graph.static_placement {
            self.parts.ledger.refresh().await?;
            self.parts.ledger.require_fresh(now()).await?;
        }
        if !graph.static_placement && !self.has_nodes_for(name).await? {
            return self.start_elsewhere(graph, context).await;
        }
        match self.record_desired(name, Desired::Running, event::GRAPH_STARTED, context).await {
            Err(Error::Contended { .. }) => self.start_elsewhere(graph, context).await,
            recorded => recorded,
        }
    }

    /// Whether the clusters of a graph's services have nodes that are large enough for their pods.
    async fn has_nodes_for(&self, graph: &str) -> Result<bool> {
        let clusters = self.parts.store.clusters().await?;
        let services = self.parts.store.services(graph).await?;
        let is_its = |service: &ServiceRecord, cluster: &ClusterRecord| {
            service.cluster.as_ref() == Some(&cluster.name)
        };
        let fits = |service: &ServiceRecord| {
            let mut own = clusters.iter().filter(|cluster| is_its(service, cluster));
            own.all(|cluster| cluster.has_nodes_for(&service.pods()))
        };
        Ok(services.iter().all(fits))
    }

    /// Uninstalls the services of a graph and keeps its record.
    ///
    /// # Errors
    /// It does not exist, or is not running.
    pub async fn stop_graph(&self, name: &str, context: &RequestContext) -> Result<Accepted> {
        let graph = self.record_desired(name, Desired::Stopped, event::GRAPH_STOPPED, context).await?;
        self.carried_out(&graph, context).await
    }

    /// Uninstalls the services of a graph, then removes its record.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn delete_graph(&self, name: &str, context: &RequestContext) -> Result<Deletion> {
        let graph = self.record_desired(name, Desired::Deleted, event::GRAPH_DELETING, context).await?;
        let progress = self.wake_and_wait(&graph, context).await;
        let remaining = if progress.gone { None } else { self.find_graph(name).await? };
        Ok(Deletion { name: name.to_owned(), remaining })
    }

    async fn carried_out(&self, graph: &GraphRecord, context: &RequestContext) -> Result<Accepted> {
        let progress = self.wake_and_wait(graph, context).await;
        let view = self.get_graph(&graph.name).await?;
        Ok(Accepted { view, completed: progress.done, warnings: Vec::new(), unchanged: false })
    }

    /// Records the desired state. Deleting a graph that is being deleted is allowed and changes nothing.
    async fn record_desired(
        &self,
        name: &str,
        desired: Desired,
        kind: &str,
        context: &RequestContext,
    ) -> Result<GraphRecord> {
        let (mut change, mut graph) = Change::begin_graph(&self.parts, name, context.cause()).await?;
        if graph.desired == desired && desired == Desired::Deleted {
            return Ok(graph);
        }
        change_desired(&mut change, &mut graph, desired).await?;
        graph.version = change.tx.update_graph(&graph).await?;
        change.tx.require_capacity();
        let event = change.cause.graph_event(kind, name, Value::Null);
        change.commit("desire", &event).await?;
        Ok(graph)
    }
}

/// Changes the desired state of a graph, whose row the caller writes, and resets its services.
pub(super) async fn change_desired(
    change: &mut Change,
    graph: &mut GraphRecord,
    desired: Desired,
) -> Result<()> {
    check_transition(graph, desired)?;
    graph.desired = desired;
    graph.generation += 1;
    graph.updated_at = change.at;
    for mut service in change.tx.services(&graph.name).await? {
        service.triggered = false;
        service.forget_load();
        if desired == Desired::Running {
            service.state = service.initial_state();
        }
        change.tx.update_service_intent(&service).await?;
        change.tx.update_service_observation(&service).await?;
    }
    Ok(())
}

fn check_transition(graph: &GraphRecord, desired: Desired) -> Result<()> {
    let name = &graph.name;
    match (graph.desired, desired) {
        (Desired::Running, Desired::Running) => {
            Err(Error::State(format!("graph {name:?} is already running")))
        }
        (Desired::Stopped, Desired::Stopped) => {
            Err(Error::State(format!("graph {name:?} is already stopped")))
        }
        (Desired::Deleted, _) => Err(Error::Conflict(format!("graph {name:?} is being deleted"))),
        _ => Ok(()),
    }
}
