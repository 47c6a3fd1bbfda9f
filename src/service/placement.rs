//! Builds the placement problem of a new graph from what is known of the clusters, and has it solved.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Service;
use crate::error::{Error, Result};
use crate::hdag::{Descriptor, Resources, dependency_order};
use crate::optimizer::{ClusterState, Outcome, Plan, Problem, ServiceDemand, check, first_fit};
use crate::store::{ClusterRecord, DecisionRecord, PlacedService};

/// When a client may ask again after it was told that the known state is too old.
const RETRY_STALE: Duration = Duration::from_secs(10);

/// A placement and the record of how it came about.
pub(super) struct Decided {
    pub(super) assignment: BTreeMap<String, String>,
    pub(super) record: DecisionRecord,
}

impl Service {
    /// Decides where the services of a new graph go.
    ///
    /// # Errors
    /// The known state of the clusters is too old, or there is no room.
    pub(super) async fn decide_placement(
        &self,
        descriptor: &Descriptor,
        at: DateTime<Utc>,
    ) -> Result<Decided> {
        let clusters = self.fresh_clusters(at).await?;
        let placed = self.parts.store.placed_services().await?;
        let problem = problem(descriptor, &clusters, &placed, self.parts.settings.placement.settle, at);
        match first_fit(&problem) {
            Outcome::Feasible(plan) => {
                verify(&problem, &plan)?;
                let record = decision(&descriptor.id, &problem, &plan, at)?;
                Ok(Decided { assignment: plan.assignment, record })
            }
            Outcome::Infeasible(cause) => Err(Error::Infeasible(Box::new(cause))),
        }
    }

    /// The known clusters, if what is known is young enough to decide on.
    async fn fresh_clusters(&self, at: DateTime<Utc>) -> Result<Vec<ClusterRecord>> {
        let store = &self.parts.store;
        if store.clusters_observed_at().await?.is_none() {
            self.parts.loops.sync_clusters().await?;
        }
        let observed_at = store.clusters_observed_at().await?;
        let limit = TimeDelta::from_std(self.parts.settings.stale_after).unwrap_or(TimeDelta::MAX);
        if observed_at.is_none_or(|observed| at - observed > limit) {
            return Err(Error::Stale { observed_at, retry_after: RETRY_STALE });
        }
        Ok(store.clusters().await?)
    }
}

/// The problem of a graph that does not run yet: one replica of each service, dependencies first.
fn problem(
    descriptor: &Descriptor,
    clusters: &[ClusterRecord],
    placed: &[PlacedService],
    settle: Duration,
    at: DateTime<Utc>,
) -> Problem {
    let states = clusters
        .iter()
        .map(|cluster| {
            let reserved = reserved(&cluster.name, placed, settle, at);
            ClusterState {
                name: cluster.name.clone(),
                available: cluster.available,
                free: cluster.allocatable.minus_clamped(cluster.allocated + reserved),
                storage_reported: cluster.storage_reported,
                reserved,
            }
        })
        .collect();
    let demands = dependency_order(descriptor)
        .into_iter()
        .map(|index| &descriptor.services[index])
        .map(|service| ServiceDemand {
            name: service.id.clone(),
            needs: service.needs,
            replicas: 1,
            co_location: service.co_location.clone(),
        })
        .collect();
    Problem::new(descriptor.id.clone(), states, demands)
}

/// What is held on a cluster for services that its own report does not show yet: those that are not ready, and
/// those that became ready less than a status round ago. A service that waits for its event holds its room too.
fn reserved(cluster: &str, placed: &[PlacedService], settle: Duration, at: DateTime<Utc>) -> Resources {
    let settle = TimeDelta::from_std(settle).unwrap_or(TimeDelta::MAX);
    placed
        .iter()
        .filter(|service| service.cluster == cluster)
        .filter(|service| !service.ready || service.ready_since.is_none_or(|since| at - since < settle))
        .fold(Resources::default(), |sum, service| {
            sum + service.needs.times(service.replicas_wanted.unwrap_or(1).max(1))
        })
}

/// No plan is acted on unless the independent checker accepts it.
fn verify(problem: &Problem, plan: &Plan) -> Result<()> {
    check(problem, plan).map_err(|violations| {
        tracing::error!(?problem, ?plan, "the plan of strategy {} is wrong: {violations:?}", plan.strategy);
        Error::Internal(format!("strategy {} gave a wrong plan", plan.strategy).into())
    })
}

fn decision(graph: &str, problem: &Problem, plan: &Plan, at: DateTime<Utc>) -> Result<DecisionRecord> {
    let internal = |error: serde_json::Error| Error::Internal(error.into());
    Ok(DecisionRecord {
        id: Uuid::now_v7(),
        graph: graph.to_owned(),
        kind: "placement".to_owned(),
        problem: serde_json::to_value(problem).map_err(internal)?,
        plan: serde_json::to_value(plan).map_err(internal)?,
        strategy: plan.strategy.clone(),
        outcome: "feasible".to_owned(),
        duration_ms: None,
        created_at: at,
        applied_at: Some(at),
        basis: None,
    })
}
