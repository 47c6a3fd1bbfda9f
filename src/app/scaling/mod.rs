//! Scaling by measured load: a tick covers all graphs, decides each by its strategy, and records the desired
//! replicas; the reconciler carries them out.
//!
//! A tick makes one Prometheus query per query template, and page of 500 graphs. Capacity that a tick
//! assigns to one graph is no longer free for the next. Only recent needs and cooldowns are remembered;
//! a server that has lost them keeps replicas for a stabilisation window.

mod memory;
mod problem;
mod record;
mod round;
mod scaler;
mod spec;

use std::time::Duration;

use serde_json::json;

pub use scaler::{Scaler, TickSummary};
use spec::GraphSpec;

use super::change::Change;
use super::{App, RequestContext};
use crate::error::{Error, Result};
use crate::hdag::Propagation;
use crate::model::ScalingTick;
use crate::model::event::GRAPH_SCALING_SET;

/// Scaling of a graph as it is shown.
#[derive(Debug, Clone)]
pub struct ScalingView {
    /// Whether it is scaled.
    pub enabled: bool,
    /// Name of the strategy.
    pub strategy: String,
    /// Time between two ticks.
    pub interval: Duration,
    /// The last ticks, newest first.
    pub ticks: Vec<ScalingTick>,
}

impl App {
    /// Scaling of a graph and its last ticks.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn graph_scaling(&self, name: &str) -> Result<ScalingView> {
        let graph = self.parts.store.graph(name).await?.ok_or_else(|| Error::no_graph(name))?;
        let spec = GraphSpec::new(&self.descriptor_of(&graph)?);
        let settings = &self.parts.settings.scaling;
        let limit = i64::try_from(settings.history).unwrap_or(i64::MAX);
        Ok(ScalingView {
            enabled: graph.scaling_enabled.or(spec.wishes.enabled).unwrap_or(settings.enabled),
            strategy: spec.strategy(settings).to_string(),
            interval: settings.interval,
            ticks: self.parts.store.scaling_ticks(name, limit).await?,
        })
    }

    /// Switches the scaling of a graph on or off. Once it is off, the replicas of what smo propagates are left alone;
    /// a chart that propagates itself keeps the number in its values.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_graph_scaling(
        &self,
        name: &str,
        enabled: bool,
        context: &RequestContext,
    ) -> Result<ScalingView> {
        let (mut change, mut graph) = Change::begin_graph(&self.parts, name, context.cause()).await?;
        if graph.scaling_enabled == Some(enabled) {
            // The code below reads through the pool, which may have one connection only.
            drop(change);
        } else {
            graph.scaling_enabled = Some(enabled);
            change.tx.update_graph(&graph).await?;
            if !enabled {
                release_replicas(&mut change, name).await?;
            }
            let event = change.cause.graph_event(GRAPH_SCALING_SET, name, json!({ "enabled": enabled }));
            change.commit("scaling", &event).await?;
        }
        self.graph_scaling(name).await
    }
}

/// Nothing is decided any more on the replicas of services whose numbers stand nowhere but in their workloads.
async fn release_replicas(change: &mut Change, graph: &str) -> Result<()> {
    for mut service in change.tx.services(graph).await? {
        let is_managed = service.propagated_by() == Some(Propagation::Managed);
        if is_managed && service.replicas_decided.take().is_some() {
            change.tx.update_service_intent(&service).await?;
        }
    }
    Ok(())
}
