//! Where the services of a graph go: builds the problem, and has the planner decide it.

mod capacity;
mod policy;
mod problem;
mod reschedule;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub(super) use capacity::{CapacityView, replicas};
use policy::Occasion;
pub use policy::PlacementOptions;
use problem::Inputs;
pub use reschedule::{Move, Proposal, Rescheduling};

use super::App;
use super::planner::{Caller, Decided};
use crate::error::{Error, Result};
use crate::hdag::Descriptor;
use crate::model::{ClusterRecord, PlacedService};
use crate::optimizer::{ClusterAttributes, DecisionContext};

/// When a client may ask again after it was told that the known state is too old.
const RETRY_STALE: Duration = Duration::from_secs(10);
/// What is known of the clusters, owned.
pub(super) struct ClusterSnapshot {
    pub(super) clusters: Vec<ClusterRecord>,
    pub(super) attributes: BTreeMap<String, ClusterAttributes>,
    /// By graph.
    placed: Vec<PlacedService>,
    settle: Duration,
    at: DateTime<Utc>,
    /// Placements recorded before that.
    placements: u64,
}

impl ClusterSnapshot {
    /// What is free for the graphs, to be looked up by cluster and graph.
    pub(super) fn capacity(&self) -> CapacityView<'_> {
        CapacityView::new(&self.placed, self.settle, self.at)
    }

    /// The services of a graph that have a cluster.
    pub(super) fn placed_of(&self, graph: &str) -> &[PlacedService] {
        let begin = self.placed.partition_point(|service| service.graph.as_str() < graph);
        let length = self.placed[begin..].partition_point(|service| service.graph == graph);
        &self.placed[begin..begin + length]
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            clusters: &self.clusters,
            attributes: &self.attributes,
            placed: &self.placed,
            settle: self.settle,
            at: self.at,
        }
    }
}

impl App {
    /// Decides where the services of a new graph go.
    ///
    /// # Errors
    /// The known state of the clusters is too old, the strategy does not exist, or there is no room.
    pub(super) async fn decide_placement(
        &self,
        project: &str,
        descriptor: &Descriptor,
        at: DateTime<Utc>,
    ) -> Result<Decided> {
        let snapshot = self.snapshot_at(at).await?;
        let context = DecisionContext::new(descriptor, project, at);
        let policy =
            self.policy_of(descriptor, &context, Occasion::New, &PlacementOptions::default()).await?;
        let problem = problem::problem(descriptor, &snapshot.inputs(), policy);
        let mut decided = self.parts.planner.place(problem, &context, Caller::Request).await?;
        decided.plan()?;
        decided.record.applied_at = Some(at);
        Ok(decided)
    }

    /// What is known of clusters and of what is placed on them, if it is young enough to decide on.
    pub(super) async fn snapshot_at(&self, at: DateTime<Utc>) -> Result<ClusterSnapshot> {
        let placements = self.parts.placements.load(Ordering::Acquire);
        let clusters = self.fresh_clusters(at).await?;
        let attributes = self.attributes_of(&clusters).await?;
        let mut placed = self.parts.store.placed_services().await?;
        // Databases differ in how they sort texts.
        placed.sort_by(|one, other| one.graph.cmp(&other.graph));
        let settle = self.parts.settings.placement.settle;
        Ok(ClusterSnapshot { clusters, attributes, placed, settle, at, placements })
    }

    /// Notes that room was taken.
    pub(super) fn note_placement(&self) {
        self.parts.placements.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether room was taken since then; holds as long as `deciding` is held.
    pub(super) fn placed_since(&self, snapshot: &ClusterSnapshot) -> bool {
        self.parts.placements.load(Ordering::Acquire) != snapshot.placements
    }

    /// The known clusters, if what is known is young enough to decide on.
    async fn fresh_clusters(&self, at: DateTime<Utc>) -> Result<Vec<ClusterRecord>> {
        let clusters = self.known_clusters().await?;
        let observed_at = self.parts.store.clusters_observed_at().await?;
        let limit = TimeDelta::from_std(self.parts.settings.stale_after).unwrap_or(TimeDelta::MAX);
        if observed_at.is_none_or(|observed| at - observed > limit) {
            return Err(Error::Stale { observed_at, retry_after: RETRY_STALE });
        }
        Ok(clusters)
    }

    /// The clusters as last seen; read now when they never were.
    pub(super) async fn known_clusters(&self) -> Result<Vec<ClusterRecord>> {
        if self.parts.store.clusters_observed_at().await?.is_none() {
            self.parts.clusters.sync().await?;
        }
        Ok(self.parts.store.clusters().await?)
    }
}
