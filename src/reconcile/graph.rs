//! One reconcile of one graph: read desired and observed, compute the actions, do them, record what was seen.
//!
//! Its only input is the graph's name. It can be cut off at any step and started again: what is done already is
//! seen in the world and not done twice.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use tokio::time::Instant;

use super::diff::{diff, key_of};
use super::execute::{Executed, Installed, Scaled};
use super::readiness::{Verdict, judge};
use super::replicas::compare;
use super::rules::{object_name, rules_of};
use super::supervisor::Progress;
use crate::clients::{ClientError, GraphRules, Outside, ReleaseObservation};
use crate::config::ReconcileSettings;
use crate::error::Result;
use crate::model::condition::{ConditionUpdate, RULES_PUBLISHED};
use crate::model::owner_of;
use crate::model::{Desired, GraphRecord, ServiceRecord};
use crate::store::Store;

/// The present as the store keeps it: PostgreSQL has no more than microseconds.
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// What became of a reconcile, and when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The graph does not exist any more.
    Gone,
    /// All is as desired.
    Settled,
    /// The world has to move (pods start, an object disappears), or a user has to: news wake the graph.
    Waiting,
    /// Something failed that may pass.
    Retry {
        /// When the system that failed said so.
        after: Option<Duration>,
    },
    /// The intent changed meanwhile: what was seen is of yesterday.
    Superseded,
}

/// What the task of a graph remembers from one reconcile to the next, to spare calls that would change nothing.
/// Losing it costs a call, nothing else.
#[derive(Debug, Default)]
pub struct Memory {
    /// What was published last, and when.
    rules: Option<(Option<GraphRules>, Instant)>,
    /// Releases whose last attempt failed, by service.
    failures: BTreeMap<String, Failure>,
    /// Services that could not be scaled at the last attempt.
    unscaled: BTreeMap<String, Failure>,
}

/// A failed attempt at a release or its replicas. News about other services must not bring the next one forward.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// What was tried: something else is tried at once.
    pub(super) attempt: String,
    pub(super) error: ClientError,
    /// Attempts that failed in a row.
    pub(super) times: u32,
    pub(super) not_before: Instant,
}

impl Memory {
    /// A user asks: what failed is tried at once.
    pub(super) fn try_again(&mut self) {
        self.failures.clear();
        self.unscaled.clear();
    }
}

/// The work of a graph's task.
#[derive(Clone)]
pub struct Reconciler {
    pub(super) store: Store,
    pub(super) outside: Outside,
    severity: String,
    pub(super) settings: ReconcileSettings,
}

/// What one reconcile saw and did.
pub(super) struct Seen {
    pub(super) executed: Executed,
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// What became of the replicas of every installed service.
    pub(super) scaled: BTreeMap<String, Scaled>,
    /// The condition `RulesPublished`, and the error behind it.
    pub(super) rules: (Option<ConditionUpdate>, Option<ClientError>),
    /// Objects of the graph that Karmada still has, though they should be gone.
    pub(super) remaining: Option<String>,
    /// What is running could not be read.
    pub(super) unseen: Option<ClientError>,
}

impl Reconciler {
    /// A reconciler; `severity` is that of the alert rules.
    pub fn new(store: Store, outside: Outside, severity: String, settings: ReconcileSettings) -> Self {
        Self { store, outside, severity, settings }
    }

    /// Makes one graph be as desired.
    ///
    /// # Errors
    /// The database failed. Failures outside are recorded as conditions and told by the outcome.
    pub async fn reconcile(&self, name: &str, memory: &mut Memory) -> Result<(Outcome, Progress)> {
        let Some(graph) = self.store.graph(name).await? else {
            return Ok((Outcome::Gone, Progress::gone()));
        };
        let services = self.store.services(name).await?;
        let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
        let releases = match self.outside.releases(&graph.namespace, &owner_of(name), &names).await {
            Ok(releases) => releases,
            Err(error) => return self.record_blind(&graph, &error).await,
        };
        let actions = diff(&graph, &services, &releases);
        let Memory { rules, failures, unscaled } = memory;
        let (executed, rules) = tokio::join!(
            self.execute(&graph, &services, actions, failures),
            self.publish_rules(&graph, &services, rules)
        );
        let seen = self.observe(&graph, &services, &releases, executed?, rules, unscaled).await?;
        self.record(&graph, services, seen).await
    }

    /// Looks at what runs, and gives it the replicas that were decided.
    async fn observe(
        &self,
        graph: &GraphRecord,
        services: &[ServiceRecord],
        releases: &[ReleaseObservation],
        executed: Executed,
        rules: (Option<ConditionUpdate>, Option<ClientError>),
        unscaled: &mut BTreeMap<String, Failure>,
    ) -> Result<Seen> {
        let clusters = self.store.clusters().await?;
        let available = clusters.into_iter().map(|cluster| (cluster.name, cluster.available)).collect();
        let owner = owner_of(&graph.name);
        let foreign = |name: &str| {
            releases.iter().any(|release| release.name == name && release.owner.as_deref() != Some(&owner))
        };
        let (mut verdicts, mut replicas) = (BTreeMap::new(), BTreeMap::new());
        let (mut remaining, mut unseen) = (None, None);
        for service in services.iter().filter(|service| !foreign(&service.name)) {
            let workloads = match self.outside.workloads_of(&key_of(service)).await {
                Ok(workloads) => workloads,
                Err(error) => {
                    unseen = Some(error);
                    break;
                }
            };
            if !service.wants_release(graph) {
                remaining =
                    remaining.or_else(|| workloads.first().map(|workload| workload.deployment.clone()));
            } else if executed.services.get(&service.name) == Some(&Installed::Yes) {
                let verdict = judge(service.cluster.as_deref(), &workloads, &available);
                verdicts.insert(service.name.clone(), verdict);
                replicas.insert(service.name.clone(), compare(service.replicas_decided, &workloads));
            }
        }
        let scaled = self.scale(graph, replicas, unscaled).await;
        Ok(Seen { executed, verdicts, scaled, rules, remaining, unseen })
    }

    /// Makes the alert rules be those of the graph: none unless it shall run.
    async fn publish_rules(
        &self,
        graph: &GraphRecord,
        services: &[ServiceRecord],
        published: &mut Option<(Option<GraphRules>, Instant)>,
    ) -> (Option<ConditionUpdate>, Option<ClientError>) {
        let all = rules_of(graph, services, &self.severity);
        let has_conditional = all.is_some();
        let wanted = all.filter(|_| graph.desired == Desired::Running);
        if !has_conditional {
            return (None, None);
        }
        if !self.outside.has_rules() {
            let message =
                "no monitoring cluster is configured (MONITORING_KUBECONFIG): nothing can raise the alert";
            return (Some(ConditionUpdate::fails(RULES_PUBLISHED, "NotConfigured", message)), None);
        }
        // Written again after the resync time, in case somebody changed them.
        let known = published
            .as_ref()
            .is_some_and(|(rules, at)| *rules == wanted && at.elapsed() < self.settings.resync);
        if !known {
            let done = match &wanted {
                Some(rules) => self.outside.apply_rules(rules).await,
                None => self.outside.delete_rules(&object_name(&graph.name)).await,
            };
            if let Err(error) = done {
                *published = None;
                let update = ConditionUpdate::fails(RULES_PUBLISHED, "Failed", error.to_string());
                return (Some(update), Some(error));
            }
            *published = Some((wanted.clone(), Instant::now()));
        }
        let update = wanted.map(|rules| {
            let message = format!("alert rules in {}: {}", rules.object_name, rules.rules.len());
            ConditionUpdate::holds(RULES_PUBLISHED, "Published", message)
        });
        (update, None)
    }
}
