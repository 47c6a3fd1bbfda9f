//! Scaling by measured load: a tick looks at all graphs at once, decides each by its strategy, and records what is
//! wanted; the reconciler carries it out.
//!
//! Outside calls of a tick: one query per query template, whatever the number of graphs. What a tick decides for one
//! graph is no longer free for the next. Nothing but cooldowns is remembered, and losing them costs a change that
//! comes early.

mod problem;
mod record;
mod spec;
mod tick;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use super::{App, RequestContext};
use crate::config::ScalingProfile;
use crate::error::{Error, Result};
use crate::model::event;
use crate::model::now;
use crate::model::{ProfileRecord, ScalingTick};
use spec::GraphSpec;

/// What is remembered from tick to tick.
#[derive(Default)]
pub struct ScalingMemory {
    /// By graph: digest of its descriptor and what that says.
    specs: HashMap<String, (String, GraphSpec)>,
    /// By graph and service: when its replicas were last changed.
    changed: HashMap<(String, String), Instant>,
    /// By graph: when it was last tried to be placed again.
    replaced: HashMap<String, Instant>,
}

impl ScalingMemory {
    /// Forgets all other graphs.
    fn keep_only(&mut self, graphs: &BTreeSet<&str>) {
        self.specs.retain(|name, _| graphs.contains(name.as_str()));
        self.replaced.retain(|name, _| graphs.contains(name.as_str()));
        self.changed.retain(|(name, _), _| graphs.contains(name.as_str()));
    }

    fn note_changes<'a>(&mut self, graph: &str, services: impl Iterator<Item = &'a String>) {
        let now = Instant::now();
        self.changed.extend(services.map(|service| ((graph.to_owned(), service.clone()), now)));
    }

    fn note_rescheduling(&mut self, graph: &str) {
        self.replaced.insert(graph.to_owned(), Instant::now());
    }

    /// Time since the replicas of a service were last changed.
    fn since_change(&self, graph: &str, service: &str) -> Option<Duration> {
        self.changed.get(&(graph.to_owned(), service.to_owned())).map(Instant::elapsed)
    }

    /// Time since it was last tried to place a graph again.
    fn since_rescheduling(&self, graph: &str) -> Option<Duration> {
        self.replaced.get(graph).map(Instant::elapsed)
    }
}

/// What a tick came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TickSummary {
    /// Graphs that were looked at.
    pub graphs: usize,
    /// Graphs whose replicas are changed.
    pub scaled: usize,
    /// Graphs that had to be placed again.
    pub replaced: usize,
}

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
    /// Ticks until it is dropped.
    pub async fn run_scaling_loop(self) {
        let mut memory = ScalingMemory::default();
        let mut ticks = tokio::time::interval(self.parts.settings.scaling.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tick = AssertUnwindSafe(self.scaling_tick(&mut memory)).catch_unwind();
            match tick.await {
                Ok(Ok(summary)) => tracing::debug!(?summary, "scaling tick"),
                Ok(Err(error)) => tracing::warn!("scaling has to wait: {error}"),
                Err(_) => {
                    tracing::error!("a scaling tick panicked");
                    memory = ScalingMemory::default();
                }
            }
        }
    }

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
            enabled: graph.scaling_enabled.or(spec.enabled).unwrap_or(settings.enabled),
            strategy: spec.strategy.unwrap_or_else(|| settings.strategy.clone()).to_string(),
            interval: settings.interval,
            ticks: self.parts.store.scaling_ticks(name, limit).await?,
        })
    }

    /// Switches the scaling of a graph on or off.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_graph_scaling(
        &self,
        name: &str,
        enabled: bool,
        context: &RequestContext,
    ) -> Result<ScalingView> {
        let mut tx = self.parts.store.begin().await?;
        let mut graph = tx.graph(name).await?.ok_or_else(|| Error::no_graph(name))?;
        if graph.scaling_enabled == Some(enabled) {
            // What follows reads through the pool, which may have one connection only.
            drop(tx);
        } else {
            graph.scaling_enabled = Some(enabled);
            tx.update_graph(&graph).await?;
            let data = serde_json::json!({ "enabled": enabled });
            tx.insert_event(&context.cause().graph_event(event::GRAPH_SCALING_SET, name, data), now())
                .await?;
            tx.commit("scaling").await?;
        }
        self.graph_scaling(name).await
    }

    /// All profiles: those set through the interface, and those of the configuration that they do not replace.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles(&self) -> Result<BTreeMap<String, ScalingProfile>> {
        let mut profiles = self.parts.settings.scaling.profiles.clone();
        profiles.extend(self.set_profiles().await?);
        Ok(profiles)
    }

    /// The profile of a service.
    ///
    /// # Errors
    /// There is none.
    pub async fn profile(&self, service: &str) -> Result<ScalingProfile> {
        let missing = || Error::NotFound { kind: "profile", name: service.to_owned() };
        self.profiles().await?.remove(service).ok_or_else(missing)
    }

    /// Sets the profile of a service, for every graph that has a service of that name.
    ///
    /// # Errors
    /// A field is out of bounds.
    pub async fn set_profile(
        &self,
        service: &str,
        document: &Value,
        at: DateTime<Utc>,
    ) -> Result<ScalingProfile> {
        let invalid = |message: String| {
            // Messages begin with the field they are about.
            let field = message.split([':', ' ']).next().unwrap_or_default().to_owned();
            Error::invalid(format!("/{field}"), message)
        };
        let profile = ScalingProfile::read(document).map_err(invalid)?;
        let mut tx = self.parts.store.begin().await?;
        tx.put_profile(service, &profile.to_value(), at).await?;
        tx.commit("profile").await?;
        Ok(profile)
    }

    /// Forgets the profile that was set for a service; that of the configuration counts again.
    ///
    /// # Errors
    /// None was set.
    pub async fn delete_profile(&self, service: &str) -> Result<()> {
        let mut tx = self.parts.store.begin().await?;
        if !tx.delete_profile(service).await? {
            return Err(Error::NotFound { kind: "profile", name: service.to_owned() });
        }
        Ok(tx.commit("profile").await?)
    }

    async fn set_profiles(&self) -> Result<BTreeMap<String, ScalingProfile>> {
        let read = |record: ProfileRecord| match ScalingProfile::read(&record.profile) {
            Ok(profile) => Some((record.service, profile)),
            Err(error) => {
                tracing::warn!("the profile of {} in the database cannot be read: {error}", record.service);
                None
            }
        };
        Ok(self.parts.store.profiles().await?.into_iter().filter_map(read).collect())
    }
}
