//! Where the services of a graph go: builds the problem, has it decided, checks the answer, and keeps the record.

mod capacity;
mod policy;
mod problem;
mod reschedule;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

pub(super) use capacity::{CapacityView, replicas};
pub use policy::PlacementOptions;
use policy::{Occasion, resolve};
use problem::Inputs;
pub use reschedule::{Move, Proposal, Rescheduling};

use super::App;
use crate::error::{Error, Result};
use crate::hdag::Descriptor;
use crate::model::{ClusterRecord, DecisionRecord, PlacedService};
use crate::optimizer::placement::{self, Outcome, Plan, Problem, Strategy, adopt, check};
use crate::optimizer::{BuiltInStrategy, ClusterAttributes};

/// When a client may ask again after it was told that the known state is too old.
const RETRY_STALE: Duration = Duration::from_secs(10);
/// What a decision about clusters is called in the store.
pub(super) const PLACEMENT: &str = "placement";

/// A decision and the record of how it came about.
pub(super) struct Decided {
    outcome: Outcome,
    pub(super) record: DecisionRecord,
}

impl Decided {
    /// The plan.
    ///
    /// # Errors
    /// There is no placement, or none was found in time.
    pub(super) fn plan(&self) -> Result<&Plan> {
        match &self.outcome {
            Outcome::Optimal(plan) | Outcome::Feasible(plan) => Ok(plan),
            Outcome::Infeasible(cause) => Err(Error::Infeasible(Box::new(cause.clone()))),
            Outcome::TimedOut(cause) => {
                Err(Error::Conflict(format!("{}: {}", cause.strategy, cause.summary)))
            }
        }
    }
}

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
        let settings = &self.parts.settings.placement;
        let policy = resolve(settings, project, descriptor, Occasion::New, &PlacementOptions::default())?;
        let problem = problem::problem(descriptor, &snapshot.inputs(), policy);
        let mut decided = self.decide(problem, at).await?;
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

    /// Has a problem decided by its strategy; the independent checker accepts every plan before anyone sees it.
    ///
    /// # Errors
    /// The problem or the plan is wrong.
    async fn decide(&self, problem: Problem, at: DateTime<Utc>) -> Result<Decided> {
        let begun = Instant::now();
        let (problem, outcome) = match problem.strategy.clone() {
            Strategy::BuiltIn(_) => self.decide_built_in(problem).await?,
            Strategy::External(name) => self.decide_outside(problem, &name).await?,
        };
        let duration = begun.elapsed();
        tracing::info!(
            graph.name = %problem.graph,
            duration_ms = duration.as_millis(),
            "placement of {} by {}: {}",
            problem.graph,
            problem.strategy,
            outcome.word()
        );
        let record = record(&problem, &outcome, duration, at)?;
        Ok(Decided { outcome, record })
    }

    /// Solves on the blocking pool, one after the other: a solve keeps a core busy.
    async fn decide_built_in(&self, problem: Problem) -> Result<(Problem, Outcome)> {
        let _one_at_a_time =
            self.parts.solving.acquire().await.map_err(|error| Error::Internal(error.into()))?;
        let solve = move || {
            let outcome = placement::decide(&problem);
            (problem, outcome)
        };
        let solved =
            tokio::task::spawn_blocking(solve).await.map_err(|error| Error::Internal(error.into()))?;
        let (problem, outcome) = solved;
        let outcome = outcome.map_err(|message| Error::invalid("/hdaGraph", message))?;
        verify(&problem, &outcome)?;
        Ok((problem, outcome))
    }

    /// Asks an external strategy; when it fails or answers something that cannot be used, its fallback decides.
    async fn decide_outside(&self, mut problem: Problem, name: &str) -> Result<(Problem, Outcome)> {
        let settings = self.parts.settings.placement.external.get(name);
        let settings =
            settings.ok_or_else(|| Error::Internal(format!("no external strategy {name}").into()))?;
        let refusal = match self.parts.outside.ask_placement(name, settings, &problem).await {
            Ok(assignment) => match adopt(&problem, &assignment) {
                Ok(outcome) => {
                    verify(&problem, &outcome)?;
                    return Ok((problem, outcome));
                }
                Err(message) => message,
            },
            Err(error) => error.to_string(),
        };
        let message =
            format!("strategy {name} gave no usable answer, {} decided: {refusal}", settings.fallback.name());
        tracing::warn!(graph.name = %problem.graph, "{message}");
        problem.strategy = settings.fallback.into();
        problem.warnings.push(message);
        self.decide_built_in(problem).await
    }
}

/// No plan is acted on unless the independent checker accepts it.
fn verify(problem: &Problem, outcome: &Outcome) -> Result<()> {
    check(problem, outcome).map_err(|violations| {
        tracing::error!(
            ?problem,
            ?outcome,
            "the plan of strategy {} is wrong: {violations:?}",
            problem.strategy
        );
        Error::Internal(format!("strategy {} gave a wrong plan", problem.strategy).into())
    })
}

fn record(
    problem: &Problem,
    outcome: &Outcome,
    duration: Duration,
    at: DateTime<Utc>,
) -> Result<DecisionRecord> {
    Ok(DecisionRecord {
        id: Uuid::now_v7(),
        graph: problem.graph.clone(),
        kind: PLACEMENT.to_owned(),
        problem: to_value(problem)?,
        plan: to_value(outcome)?,
        strategy: problem.strategy.to_string(),
        outcome: outcome.word().to_owned(),
        duration_ms: i64::try_from(duration.as_millis()).ok(),
        created_at: at,
        applied_at: None,
    })
}

pub(super) fn to_value(data: &impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(data).map_err(|error| Error::Internal(error.into()))
}
