//! The event of a conditional service has happened: record that it shall run now.
//!
//! Level-triggered: Alertmanager's webhook and the regular question to Prometheus both end here, as often as
//! they like.

use crate::error::Result;
use crate::model::event::{self, Cause};
use crate::model::now;
use crate::model::{Desired, ServiceState};
use crate::store::Store;

/// What a trigger led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Triggered {
    /// It is being deployed now: wake the graph.
    Now,
    /// It had been triggered before.
    Already,
    /// The graph is stopped or being deleted.
    NotRunning,
    /// It is deployed with the graph, not by an event.
    NotConditional,
    /// There is no such graph or service.
    Unknown,
}

/// Records that a service's event has happened.
///
/// # Errors
/// The database failed.
pub async fn trigger(store: &Store, graph: &str, service: &str, cause: &Cause) -> Result<Triggered> {
    // Most alerts fire on long after their service runs: no lock for those.
    let services = store.services(graph).await?;
    if services.iter().any(|candidate| candidate.name == service && candidate.triggered) {
        return Ok(Triggered::Already);
    }
    let mut tx = store.begin().await?;
    let Some(mut record) = tx.graph(graph).await? else { return Ok(Triggered::Unknown) };
    let services = tx.services(graph).await?;
    let Some(mut target) = services.into_iter().find(|candidate| candidate.name == service) else {
        return Ok(Triggered::Unknown);
    };
    if !target.is_conditional() {
        return Ok(Triggered::NotConditional);
    }
    if record.desired != Desired::Running {
        return Ok(Triggered::NotRunning);
    }
    if target.triggered {
        return Ok(Triggered::Already);
    }
    target.triggered = true;
    target.state = ServiceState::Deploying;
    record.generation += 1;
    record.updated_at = now();
    tx.update_service_intent(&target).await?;
    tx.update_service_observation(&target).await?;
    tx.update_graph(&record).await?;
    let data = serde_json::json!({ "cluster": target.cluster });
    tx.insert_event(&cause.service_event(event::SERVICE_TRIGGERED, graph, service, data), now()).await?;
    tx.commit("trigger").await?;
    tracing::info!(
        graph.name = graph,
        service.name = service,
        "event of {graph}/{service} happened: deploy it"
    );
    Ok(Triggered::Now)
}
