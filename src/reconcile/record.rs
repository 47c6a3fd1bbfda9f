//! Writes down what a reconcile saw. Only observed fields are written, on the newest row, and only when they
//! changed; a reconcile whose intent is out of date writes nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::execute::{Installed, Scaled};
use super::graph::{Reconciler, Seen};
use super::progress::Progress;
use super::queue::Outcome;
use super::readiness::{Verdict, resources_match};
use crate::clients::ClientError;
use crate::error::Result;
use crate::model::condition::{
    self, ConditionUpdate, INSTALLED, READY, RECONCILED, RESOURCES_MATCH, RULES_PUBLISHED, SCALED,
};
use crate::model::event::{self, Cause};
use crate::model::{ConditionStatus, Desired, GraphRecord, NewEvent, ServiceRecord, ServiceState, now};
use crate::store::Tx;

impl Reconciler {
    /// Records the result of one release at once, so that a graph's progress can be seen while it goes on.
    pub(super) async fn record_release(
        &self,
        graph: &GraphRecord,
        service: &ServiceRecord,
        installed: &Installed,
    ) -> Result<()> {
        let mut updated = service.clone();
        let events = apply_installed(graph, &mut updated, installed, now());
        if updated == *service {
            return Ok(());
        }
        let Some((mut tx, _)) = self.begin_current(graph).await? else { return Ok(()) };
        tx.update_service_observation(&updated).await?;
        insert_events(&mut tx, &events).await?;
        Ok(tx.commit("release").await?)
    }

    /// Records that the releases could not even be read.
    pub(super) async fn record_blind(
        &self,
        graph: &GraphRecord,
        error: &ClientError,
    ) -> Result<(Outcome, Progress)> {
        let update = ConditionUpdate::unknown(RECONCILED, "Unreachable", error.to_string());
        if let Some((mut tx, mut current)) = self.begin_current(graph).await? {
            let before = current.conditions.clone();
            condition::set(&mut current.conditions, update, now());
            if current.conditions != before {
                tx.update_graph(&current).await?;
                tx.commit("graph").await?;
            }
        }
        Ok((Outcome::Failed { after: error.retry_after }, Progress::under_way(graph.generation)))
    }

    /// Records everything a reconcile saw, and says how to go on.
    pub(super) async fn record(
        &self,
        graph: &GraphRecord,
        services: Vec<ServiceRecord>,
        seen: Seen,
    ) -> Result<(Outcome, Progress)> {
        let verdict = summary(graph, &seen);
        if verdict.gone() {
            return self.record_gone(graph).await;
        }
        let Some((mut tx, mut current)) = self.begin_current(graph).await? else {
            return Ok((Outcome::Superseded, Progress::under_way(graph.generation)));
        };
        // The rows are read again: `record_release` has written some of them meanwhile.
        let stored = tx.services(&graph.name).await?;
        let at = now();
        let mut written = false;
        for (service, old) in services.into_iter().zip(stored) {
            let mut new = old.clone();
            let mut events = Vec::new();
            if let Some(installed) = seen.executed.services.get(&service.name) {
                events.extend(apply_installed(graph, &mut new, installed, at));
            }
            if let (Some(error), ServiceState::Deployed) = (&seen.unseen, new.state) {
                // What was known last stays: not being able to look is no news about the service.
                let message = format!("what runs could not be read: {error}");
                condition::set(&mut new.conditions, ConditionUpdate::unknown(READY, "Unseen", message), at);
            } else {
                events.extend(apply_verdict(graph, &mut new, seen.verdicts.get(&service.name), at));
                apply_scaled(&mut new, seen.scaled.get(&service.name), at);
            }
            if new != old {
                tx.update_service_observation(&new).await?;
                insert_events(&mut tx, &events).await?;
                written = true;
            }
        }
        let before = current.clone();
        apply_summary(&mut current, graph, &seen, &verdict, at);
        if current != before {
            tx.update_graph(&current).await?;
            written = true;
        }
        if written {
            tx.commit("observation").await?;
        }
        Ok((verdict.outcome, verdict.progress(graph.generation)))
    }

    async fn record_gone(&self, graph: &GraphRecord) -> Result<(Outcome, Progress)> {
        let Some((mut tx, _)) = self.begin_current(graph).await? else {
            return Ok((Outcome::Superseded, Progress::under_way(graph.generation)));
        };
        tx.delete_graph(&graph.name).await?;
        let event = Cause::internal("reconciler").graph_event(event::GRAPH_DELETED, &graph.name, Value::Null);
        insert_events(&mut tx, &[event]).await?;
        tx.commit("deleted").await?;
        tracing::info!(graph.name = %graph.name, "graph {} is gone", graph.name);
        Ok((Outcome::Gone, Progress::gone()))
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

/// What a reconcile comes to.
struct Summary {
    /// Every release is as wanted.
    releases_done: bool,
    /// Nothing is left that should be gone, and that is known.
    clean: bool,
    /// Something failed that waits for a user.
    failed: bool,
    outcome: Outcome,
    deleting: bool,
    stopping: bool,
}

impl Summary {
    fn gone(&self) -> bool {
        self.deleting && self.releases_done && self.clean
    }

    fn progress(&self, generation: i64) -> Progress {
        let done = self.releases_done && !self.deleting && (self.clean || !self.stopping);
        Progress { generation, done, failed: self.failed, gone: false }
    }
}

fn summary(graph: &GraphRecord, seen: &Seen) -> Summary {
    let states = seen.executed.services.values();
    let releases_done = states.clone().all(|state| matches!(state, Installed::Yes | Installed::No));
    let errors: Vec<&ClientError> = states
        .filter_map(|state| match state {
            Installed::Failed(error) => Some(error),
            _ => None,
        })
        .chain(&seen.executed.orphan_errors)
        .chain(seen.scaled.values().filter_map(|scaled| scaled.error.as_ref()))
        .chain(&seen.rules.1)
        .chain(&seen.unseen)
        .collect();
    let settled = graph.desired == Desired::Running
        && seen.verdicts.values().all(|verdict| verdict.ready.status == ConditionStatus::True);
    let clean = seen.remaining.is_none()
        && seen.unseen.is_none()
        && seen.rules.1.is_none()
        && seen.executed.orphan_errors.is_empty();
    let outcome = if errors.iter().any(|error| error.kind.is_transient()) {
        retry(&errors)
    } else if errors.is_empty() && clean && (settled || graph.desired == Desired::Stopped) {
        Outcome::Settled
    } else {
        Outcome::Waiting
    };
    let failed = !errors.is_empty() && !matches!(outcome, Outcome::Retry { .. });
    Summary {
        releases_done,
        clean,
        failed,
        outcome,
        deleting: graph.desired == Desired::Deleted,
        stopping: graph.desired == Desired::Stopped,
    }
}

fn retry(errors: &[&ClientError]) -> Outcome {
    let transient = errors.iter().filter(|error| error.kind.is_transient());
    Outcome::Retry {
        after: transient.filter_map(|error| error.retry_after).min().unwrap_or(Duration::from_secs(1)),
    }
}

fn apply_summary(
    current: &mut GraphRecord,
    graph: &GraphRecord,
    seen: &Seen,
    summary: &Summary,
    at: DateTime<Utc>,
) {
    if summary.releases_done && graph.desired != Desired::Deleted {
        current.observed_generation = graph.generation;
    }
    match &seen.rules.0 {
        Some(update) => condition::set(&mut current.conditions, update.clone(), at),
        None => condition::clear(&mut current.conditions, RULES_PUBLISHED),
    }
    let reconciled = if let Some(error) = &seen.unseen {
        ConditionUpdate::unknown(RECONCILED, "Unseen", format!("what runs could not be read: {error}"))
    } else if let Some(error) = seen.executed.orphan_errors.first() {
        ConditionUpdate::fails(RECONCILED, "OrphanLeft", error.to_string())
    } else if let Some(error) = &seen.rules.1 {
        ConditionUpdate::fails(RECONCILED, "RulesFailed", error.to_string())
    } else if !summary.releases_done {
        ConditionUpdate::fails(
            RECONCILED,
            "ReleasesMissing",
            "some releases are not as wanted; see the services",
        )
    } else if seen.scaled.values().any(|scaled| scaled.error.is_some()) {
        ConditionUpdate::fails(
            RECONCILED,
            "NotScaled",
            "some services do not have the replicas decided; see the services",
        )
    } else if let Some(deployment) = &seen.remaining {
        ConditionUpdate::fails(RECONCILED, "Terminating", format!("Deployment {deployment} is still there"))
    } else {
        ConditionUpdate::holds(RECONCILED, "AsDesired", "every release is as wanted")
    };
    condition::set(&mut current.conditions, reconciled, at);
}

/// Puts the state of the release into the record; gives the events of what changed.
fn apply_installed(
    graph: &GraphRecord,
    service: &mut ServiceRecord,
    installed: &Installed,
    at: DateTime<Utc>,
) -> Vec<NewEvent> {
    let (old_state, old_finding) = (service.state, condition::get(&service.conditions, INSTALLED).cloned());
    let waits_for_event = graph.desired == Desired::Running && !service.wants_release(graph);
    let update = match installed {
        Installed::Yes => ConditionUpdate::holds(INSTALLED, "Installed", "Helm has accepted the release"),
        Installed::No if waits_for_event => {
            ConditionUpdate::fails(INSTALLED, "WaitsForEvent", "the event has not happened")
        }
        Installed::No => ConditionUpdate::fails(INSTALLED, "Stopped", "the graph does not run"),
        Installed::Waits(names) => ConditionUpdate::fails(
            INSTALLED,
            "WaitsForDependencies",
            format!("waits for {}", names.join(", ")),
        ),
        Installed::Failed(error) => {
            let reason = if error.kind.is_transient() { "Retrying" } else { "Failed" };
            ConditionUpdate::fails(INSTALLED, reason, error.to_string())
        }
    };
    service.state = match installed {
        Installed::Yes => ServiceState::Deployed,
        Installed::No if waits_for_event => ServiceState::Pending,
        Installed::No => ServiceState::NotDeployed,
        Installed::Waits(_) if service.wants_release(graph) => ServiceState::Deploying,
        Installed::Waits(_) => old_state,
        Installed::Failed(_) => ServiceState::Failed,
    };
    let kind = match (installed, service.state == old_state) {
        (Installed::Yes, false) => event::SERVICE_DEPLOYED,
        // One that still waited for its event had nothing to remove.
        (Installed::No, false) if !waits_for_event && old_state != ServiceState::Pending => {
            event::SERVICE_REMOVED
        }
        (Installed::Failed(_), same)
            if !same || old_finding.is_none_or(|old| old.message != update.message) =>
        {
            event::SERVICE_FAILED
        }
        _ => "",
    };
    let event = (!kind.is_empty()).then(|| {
        let data = json!({ "reason": update.reason, "message": update.message, "cluster": service.cluster });
        Cause::internal("reconciler").service_event(kind, &graph.name, &service.name, data)
    });
    condition::set(&mut service.conditions, update, at);
    event.into_iter().collect()
}

/// Puts what runs into the record; gives the event when readiness changed.
fn apply_verdict(
    graph: &GraphRecord,
    service: &mut ServiceRecord,
    verdict: Option<&Verdict>,
    at: DateTime<Utc>,
) -> Option<NewEvent> {
    let was_ready = service.ready;
    if let Some(verdict) = verdict {
        service.ready = verdict.ready.status == ConditionStatus::True;
        service.replicas_observed = verdict.replicas_observed;
        service.replicas_ready = verdict.replicas_ready;
        // What was seen once stays counted while the Deployment is being replaced.
        service.observed_needs = verdict.observed_needs.or(service.observed_needs);
        condition::set(&mut service.conditions, verdict.ready.clone(), at);
        if let Some(update) = resources_match(service.needs, verdict.observed_needs) {
            condition::set(&mut service.conditions, update, at);
        }
    } else {
        service.ready = false;
        (service.replicas_observed, service.replicas_ready) = (None, None);
        condition::clear(&mut service.conditions, RESOURCES_MATCH);
        let update = ConditionUpdate::fails(READY, "NotInstalled", not_ready_message(service));
        condition::set(&mut service.conditions, update, at);
    }
    if was_ready == service.ready {
        return None;
    }
    let kind = if service.ready { event::SERVICE_READY } else { event::SERVICE_NOT_READY };
    let message = condition::get(&service.conditions, READY).map(|condition| condition.message.clone());
    let data = json!({ "cluster": service.cluster, "message": message });
    Some(Cause::internal("reconciler").service_event(kind, &graph.name, &service.name, data))
}

/// Puts the condition of the replicas into the record.
fn apply_scaled(service: &mut ServiceRecord, scaled: Option<&Scaled>, at: DateTime<Utc>) {
    match scaled.and_then(|scaled| scaled.update.clone()) {
        Some(update) => condition::set(&mut service.conditions, update, at),
        None => condition::clear(&mut service.conditions, SCALED),
    }
}

fn not_ready_message(service: &ServiceRecord) -> String {
    condition::get(&service.conditions, INSTALLED)
        .map_or_else(|| "not installed".to_owned(), |condition| condition.message.clone())
}

async fn insert_events(tx: &mut Tx, events: &[NewEvent]) -> Result<()> {
    for event in events {
        tx.insert_event(event, now()).await?;
    }
    Ok(())
}
