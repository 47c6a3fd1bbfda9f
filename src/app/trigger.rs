//! Triggering of conditional services: records that one is to run because its event has happened.
//!
//! Level-triggered and idempotent: Alertmanager's webhook and the periodic query to Prometheus both end here.

use serde_json::json;

use super::App;
use super::change::Change;
use crate::error::{Error, Result};
use crate::model::event::SERVICE_TRIGGERED;
use crate::model::{Cause, Desired, ServiceRecord, ServiceState};

/// Outcome of a trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Triggered {
    /// It is to run from now on; the commit has woken its graph.
    Now,
    /// It had been triggered before.
    Already,
    /// The graph is stopped or being deleted.
    NotRunning,
    /// It is deployed with the graph, not by an event.
    NotConditional,
    /// The alert tells of no event of the service.
    NotItsEvent,
    /// There is no such graph or service.
    Unknown,
}

impl App {
    /// Records that a service's event has happened, as an alert tells. Without a name it is nobody else's
    /// alert: those of Prometheus have one.
    ///
    /// # Errors
    /// The database failed.
    pub(super) async fn trigger(
        &self,
        graph: &str,
        service: &str,
        alert: Option<&str>,
        cause: Cause,
    ) -> Result<Triggered> {
        // Most alerts fire on long after their service runs: no lock for those.
        let services = self.parts.store.services(graph).await?;
        let known = services.iter().find(|candidate| candidate.name == service);
        let is_foreign = |service: &ServiceRecord| {
            service.is_conditional()
                && alert.is_some_and(|alert| !service.trigger.alerts().iter().any(|own| own == alert))
        };
        if known.is_some_and(is_foreign) {
            return Ok(Triggered::NotItsEvent);
        }
        if known.is_some_and(|service| service.triggered) {
            return Ok(Triggered::Already);
        }
        let (mut change, mut record) = match Change::begin_graph(&self.parts, graph, cause).await {
            Err(Error::NotFound { .. }) => return Ok(Triggered::Unknown),
            begun => begun?,
        };
        let services = change.tx.services(graph).await?;
        let Some(mut target) = services.into_iter().find(|candidate| candidate.name == service) else {
            return Ok(Triggered::Unknown);
        };
        if !target.is_conditional() {
            return Ok(Triggered::NotConditional);
        }
        // The graph may have been replaced meanwhile.
        if is_foreign(&target) {
            return Ok(Triggered::NotItsEvent);
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
        record.updated_at = change.at;
        change.tx.update_service_intent(&target).await?;
        change.tx.update_service_observation(&target).await?;
        change.tx.update_graph(&record).await?;
        let data = json!({ "cluster": target.cluster });
        let event = change.cause.service_event(SERVICE_TRIGGERED, graph, service, data);
        change.commit("trigger", &event).await?;
        tracing::info!(
            graph.name = graph,
            service.name = service,
            "event of {graph}/{service} happened: deploy it"
        );
        Ok(Triggered::Now)
    }
}
