//! Carries out the actions of a reconcile on the releases: independent services in parallel, dependent ones in
//! order, each result recorded as soon as it is known. And on the replicas of what is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use futures::StreamExt;
use futures::stream::{self, FuturesUnordered};
use tokio::time::Instant;

use super::delay::{backoff, jitter};
use super::diff::{Action, Actions, awaited, key_of};
use super::graph::Reconciler;
use super::memory::Failure;
use super::queue::WorkerSlot;
use super::replicas::Replicas;
use crate::clients::{ClientError, ClientErrorKind, ReleaseKey, ReleaseSpec};
use crate::error::Result;
use crate::hdag::Trigger;
use crate::model::{ConditionUpdate, owner_of};
use crate::model::{GraphRecord, ServiceRecord};

/// Stands for the attempt to remove a release, where that to apply it is known by its digest.
const REMOVAL: &str = "removal";
/// Deployments of one graph that are scaled at a time.
const SCALED_AT_ONCE: usize = 8;

/// How the release of a service is after the actions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Installed {
    /// Helm has accepted it.
    Yes,
    /// It is not there, as it should be.
    No,
    /// It could not be installed or removed.
    Failed(ClientError),
    /// It waits for these services.
    Waits(Vec<String>),
}

/// State of every service's release by name, and errors of orphans that could not be removed.
pub(super) struct Executed {
    pub(super) services: BTreeMap<String, Installed>,
    pub(super) orphan_errors: Vec<ClientError>,
}

/// What became of the replicas of a service.
#[derive(Debug, Default)]
pub(super) struct Scaled {
    /// The condition `Scaled`; `None` when nothing was decided.
    pub(super) update: Option<ConditionUpdate>,
    pub(super) error: Option<ClientError>,
}

impl Reconciler {
    pub(super) async fn execute(
        &self,
        graph: &GraphRecord,
        services: &[ServiceRecord],
        actions: Actions,
        failures: &mut BTreeMap<String, Failure>,
        worker: &WorkerSlot,
    ) -> Result<Executed> {
        let by_name: BTreeMap<&str, &ServiceRecord> =
            services.iter().map(|service| (service.name.as_str(), service)).collect();
        let mut states = BTreeMap::new();
        let (mut applies, mut removals) = (BTreeMap::new(), BTreeMap::new());
        for (name, action) in actions.services {
            match action {
                Action::Keep => drop(states.insert(name, Installed::Yes)),
                Action::Absent => drop(states.insert(name, Installed::No)),
                Action::Blocked(key) => drop(states.insert(name, Installed::Failed(blocked(&key)))),
                Action::Apply(spec) => drop(applies.insert(name, spec)),
                Action::Remove(key) => drop(removals.insert(name, key)),
            }
        }
        let attempts: BTreeMap<String, String> = applies
            .iter()
            .map(|(name, spec)| (name.clone(), spec.digest.clone()))
            .chain(removals.keys().map(|name| (name.clone(), REMOVAL.to_owned())))
            .collect();
        failures.retain(|name, failure| attempts.get(name) == Some(&failure.attempt));
        for (name, error) in not_yet(failures) {
            applies.remove(&name);
            removals.remove(&name);
            states.insert(name, Installed::Failed(error));
        }
        let orphan_errors = self.remove_orphans(graph, &actions.orphans).await;
        let before_apply = prerequisites(applies.keys(), |name| {
            by_name.get(name).map(|service| awaited(graph, service, &by_name)).unwrap_or_default()
        });
        in_order(&mut states, &Installed::Yes, before_apply, |name| {
            let (service, spec) = (by_name[name.as_str()], &applies[&name]);
            async { (name, self.apply(graph, service, spec, worker).await) }
        })
        .await?;
        let before_removal = prerequisites(removals.keys(), |name| {
            dependents(services, name, |other| removals.contains_key(other))
        });
        in_order(&mut states, &Installed::No, before_removal, |name| {
            let service = by_name[name.as_str()];
            async { (name, self.remove(graph, service, worker).await) }
        })
        .await?;
        for name in applies.keys().chain(removals.keys()) {
            let error = match states.get_mut(name) {
                Some(Installed::Failed(error)) => Some(error),
                _ => None,
            };
            self.remember(failures, name, &attempts[name], error);
        }
        Ok(Executed { services: states, orphan_errors })
    }

    /// Gives Deployments the replicas that were decided, by service. What failed lately is not tried yet.
    pub(super) async fn scale(
        &self,
        graph: &GraphRecord,
        replicas: BTreeMap<String, Replicas>,
        failures: &mut BTreeMap<String, Failure>,
    ) -> BTreeMap<String, Scaled> {
        let attempts: BTreeMap<&String, String> = replicas
            .iter()
            .filter(|(_, wanted)| matches!(wanted, Replicas::Scale { .. }))
            .map(|(name, wanted)| (name, format!("{wanted:?}")))
            .collect();
        failures.retain(|name, failure| attempts.get(name) == Some(&failure.attempt));
        let mut errors: BTreeMap<String, ClientError> = not_yet(failures).into_iter().collect();
        let due = replicas.iter().filter(|(name, _)| !errors.contains_key(*name));
        let calls: Vec<_> = due
            .map(|(name, wanted)| async move { (name, self.scale_one(graph, name, wanted).await) })
            .collect();
        for (name, mut error) in
            stream::iter(calls).buffer_unordered(SCALED_AT_ONCE).collect::<Vec<_>>().await
        {
            if let Some(attempt) = attempts.get(name) {
                self.remember(failures, name, attempt, error.as_mut());
            }
            errors.extend(error.map(|error| (name.clone(), error)));
        }
        let scaled = |(name, wanted): (String, Replicas)| {
            let error = errors.remove(&name);
            (name, Scaled { update: wanted.update(error.as_ref()), error })
        };
        replicas.into_iter().map(scaled).collect()
    }

    async fn scale_one(&self, graph: &GraphRecord, service: &str, wanted: &Replicas) -> Option<ClientError> {
        let Replicas::Scale { deployment, replicas } = wanted else { return None };
        tracing::info!(
            graph.name = %graph.name,
            service.name = service,
            "scale Deployment {deployment} of {}/{service} to {replicas}",
            graph.name
        );
        self.outside.scale(&graph.namespace, deployment, *replicas).await.err()
    }

    /// Remembers a failure with the time before which it is not tried again: soon, with backoff, what may pass;
    /// at the regular resync what a user has to mend.
    fn remember(
        &self,
        failures: &mut BTreeMap<String, Failure>,
        name: &str,
        attempt: &str,
        error: Option<&mut ClientError>,
    ) {
        let Some(error) = error else {
            failures.remove(name);
            return;
        };
        let times = failures.get(name).map_or(1, |failure| failure.times.saturating_add(1));
        let delay = match error.kind.is_transient() {
            true => jitter(backoff(&self.settings, times)).max(error.retry_after.unwrap_or_default()),
            false => self.settings.resync,
        };
        error.retry_after = Some(delay);
        let not_before = Instant::now() + delay;
        let failure = Failure { attempt: attempt.to_owned(), error: error.clone(), times, not_before };
        failures.insert(name.to_owned(), failure);
    }

    /// Whether the intent is still the one that is being carried out.
    async fn is_current(&self, graph: &GraphRecord) -> Result<bool> {
        let now = self.store.graph(&graph.name).await?;
        Ok(now.is_some_and(|now| now.generation == graph.generation))
    }

    async fn apply(
        &self,
        graph: &GraphRecord,
        service: &ServiceRecord,
        spec: &ReleaseSpec,
        worker: &WorkerSlot,
    ) -> Result<Installed> {
        if !self.is_current(graph).await? {
            return Ok(Installed::Waits(Vec::new()));
        }
        let installed = match worker.lend_during(self.outside.apply_release(spec)).await {
            Ok(()) => Installed::Yes,
            Err(error) => Installed::Failed(error),
        };
        self.record_release(graph, service, &installed).await?;
        Ok(installed)
    }

    async fn remove(
        &self,
        graph: &GraphRecord,
        service: &ServiceRecord,
        worker: &WorkerSlot,
    ) -> Result<Installed> {
        let owner = owner_of(&graph.name);
        let installed =
            match worker.lend_during(self.outside.uninstall_release(&key_of(service), &owner)).await {
                Ok(()) => Installed::No,
                Err(error) => Installed::Failed(error),
            };
        self.record_release(graph, service, &installed).await?;
        Ok(installed)
    }

    async fn remove_orphans(&self, graph: &GraphRecord, orphans: &[ReleaseKey]) -> Vec<ClientError> {
        let owner = owner_of(&graph.name);
        let mut errors = Vec::new();
        for key in orphans {
            tracing::info!(graph.name = %graph.name, release = %key.name, "remove release {} that no service owns", key.name);
            errors.extend(self.outside.uninstall_release(key, &owner).await.err());
        }
        errors
    }
}

/// What is not to be tried yet, with what is left of the wait.
fn not_yet(failures: &BTreeMap<String, Failure>) -> Vec<(String, ClientError)> {
    let now = Instant::now();
    let waits = failures.iter().filter(|(_, failure)| failure.not_before > now);
    waits
        .map(|(name, failure)| {
            let retry_after = Some(failure.not_before - now);
            (name.clone(), ClientError { retry_after, ..failure.error.clone() })
        })
        .collect()
}

fn blocked(key: &ReleaseKey) -> ClientError {
    let message =
        format!("release {} in namespace {} exists and is not of this graph", key.name, key.namespace);
    ClientError::new("helm", ClientErrorKind::Conflict, message)
}

/// Services with an `auto` trigger that depend on `name`.
fn dependents<'a>(services: &'a [ServiceRecord], name: &str, among: impl Fn(&str) -> bool) -> Vec<&'a str> {
    services
        .iter()
        .filter(|service| among(&service.name))
        .filter(|service| match &service.trigger {
            Trigger::Auto { dependencies } => dependencies.iter().any(|dependency| dependency == name),
            Trigger::Event { .. } => false,
        })
        .map(|service| service.name.as_str())
        .collect()
}

fn prerequisites<'a>(
    names: impl Iterator<Item = &'a String>,
    of: impl Fn(&str) -> Vec<&'a str>,
) -> BTreeMap<String, BTreeSet<String>> {
    names.map(|name| (name.clone(), of(name).into_iter().map(str::to_owned).collect())).collect()
}

/// Runs one task per name, each as soon as all its prerequisites are in state `satisfied`; what never gets there
/// is left waiting, with the prerequisites that are missing.
async fn in_order<F>(
    states: &mut BTreeMap<String, Installed>,
    satisfied: &Installed,
    mut waiting: BTreeMap<String, BTreeSet<String>>,
    run: impl Fn(String) -> F,
) -> Result<()>
where
    F: Future<Output = (String, Result<Installed>)>,
{
    let mut running = FuturesUnordered::new();
    loop {
        for before in waiting.values_mut() {
            before.retain(|name| states.get(name) != Some(satisfied));
        }
        let free =
            waiting.extract_if(.., |_, before| before.is_empty()).map(|(name, _)| name).collect::<Vec<_>>();
        running.extend(free.into_iter().map(&run));
        match running.next().await {
            None => break,
            Some((name, Ok(installed))) => drop(states.insert(name, installed)),
            Some((_, Err(error))) => {
                // What runs is not cut off: it would leave its release pending.
                while running.next().await.is_some() {}
                return Err(error);
            }
        }
    }
    for (name, before) in waiting {
        states.insert(name, Installed::Waits(before.into_iter().collect()));
    }
    Ok(())
}
