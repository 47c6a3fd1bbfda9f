//! Helm's release records, read without Helm.
//!
//! Helm keeps one Secret per revision, with name, status and revision as labels and, beside them, the labels that
//! were given to the release. The metadata of these Secrets tells everything that matters here, without decoding a
//! single release. It is watched for all namespaces; only just before a Helm operation the records of its release are
//! read anew, since a decision whether to touch a release must not rest on a copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use crate::clients::kubernetes::failure;
use crate::clients::mirror::{Change, Mirror, ObjectKey};
use crate::clients::observed::Observed;
use crate::clients::watch::{WatchHealth, config, follow, monitored};
use crate::clients::{ReleaseKey, ReleaseObservation, ReleaseStatus, Result, WatchState};

/// Labels by which Helm's records are found among all Secrets.
pub(super) const HELM_RECORDS: &str = "owner=helm";
/// Label of a release: the graph that owns it.
pub(super) const OWNER_LABEL: &str = "smo-graph";
/// Label of a release: digest of what was applied.
pub(super) const DIGEST_LABEL: &str = "smo-digest";

/// One revision of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) release: String,
    pub(super) number: i64,
    /// As Helm writes it, such as `pending-upgrade`.
    pub(super) status: String,
    pub(super) owner: Option<String>,
    pub(super) digest: Option<String>,
}

impl Revision {
    fn of(secret: &PartialObjectMeta<Secret>) -> Option<Self> {
        let label = |name: &str| secret.labels().get(name).cloned();
        Some(Self {
            release: label("name")?,
            number: label("version")?.parse().ok()?,
            status: label("status")?,
            owner: label(OWNER_LABEL),
            digest: label(DIGEST_LABEL),
        })
    }

    fn key_in(&self, namespace: &str) -> ReleaseKey {
        ReleaseKey { namespace: namespace.to_owned(), name: self.release.clone() }
    }

    /// The state as the port tells it.
    pub(super) fn observation(&self) -> ReleaseObservation {
        let status = match self.status.as_str() {
            "deployed" => ReleaseStatus::Deployed,
            "failed" => ReleaseStatus::Failed,
            "pending-install" | "pending-upgrade" | "pending-rollback" | "uninstalling" => {
                ReleaseStatus::Pending
            }
            _ => ReleaseStatus::Other,
        };
        ReleaseObservation {
            name: self.release.clone(),
            revision: self.number,
            status,
            owner: self.owner.clone(),
            digest: self.digest.clone(),
        }
    }
}

/// All revisions of one release, newest first, read now.
pub(super) async fn history(client: &Client, namespace: &str, release: &str) -> Result<Vec<Revision>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let of_release = ListParams::default().labels(&format!("{HELM_RECORDS},name={release}"));
    let listed = secrets.list_metadata(&of_release).await;
    let listed = listed.map_err(|error| failure("karmada", "cannot list the release's records", error))?;
    let mut revisions: Vec<Revision> = listed.items.iter().filter_map(Revision::of).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    Ok(revisions)
}

/// All release records of a Karmada, from the metadata of a watch.
#[derive(Default)]
struct ReleaseIndex {
    records: Mirror<Revision>,
    /// The records of each release by revision.
    by_release: BTreeMap<ReleaseKey, BTreeMap<i64, ObjectKey>>,
}

impl ReleaseIndex {
    /// Takes an event of the Secrets' watch and tells which releases it touches.
    fn apply(&mut self, event: Event<PartialObjectMeta<Secret>>) -> BTreeSet<ReleaseKey> {
        let mut touched = BTreeSet::new();
        for Change { key, before } in self.records.apply(event, Revision::of) {
            if let Some(before) = before {
                let release = before.key_in(&key.0);
                if let Some(records) = self.by_release.get_mut(&release) {
                    records.remove(&before.number);
                    if records.is_empty() {
                        self.by_release.remove(&release);
                    }
                }
                touched.insert(release);
            }
            if let Some(after) = self.records.get(&key) {
                let release = after.key_in(&key.0);
                self.by_release.entry(release.clone()).or_default().insert(after.number, key);
                touched.insert(release);
            }
        }
        touched
    }

    /// The newest revision of a release.
    fn newest(&self, release: &ReleaseKey) -> Option<&Revision> {
        self.records.get(self.by_release.get(release)?.values().next_back()?)
    }

    /// The newest revision of each release of a namespace, by name.
    fn newest_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Revision> {
        let first = ReleaseKey { namespace: namespace.to_owned(), name: String::new() };
        let releases = self.by_release.range(first..).take_while(move |(key, _)| key.namespace == namespace);
        releases.filter_map(|(_, records)| self.records.get(records.values().next_back()?))
    }
}

/// The releases of a Karmada as the watch of Helm's records shows them.
pub(super) struct ObservedReleases {
    observed: Arc<Observed<ReleaseIndex, ReleaseKey>>,
    health: Arc<WatchHealth>,
    _watch: AbortOnDropHandle<()>,
}

impl ObservedReleases {
    /// Starts watching, within a tokio runtime; the watch ends when this is dropped.
    pub(super) fn start(client: &Client) -> Self {
        let observed = Observed::new(ReleaseIndex::default());
        let health = WatchHealth::new("karmada", "releases");
        let secrets = Api::<PartialObjectMeta<Secret>>::all(monitored(client, &health));
        let target = Arc::clone(&observed);
        let watch = follow(Arc::clone(&health), watcher(secrets, config(HELM_RECORDS)), move |event| {
            target.take(event, ReleaseIndex::apply);
        });
        Self { observed, health, _watch: watch }
    }

    /// The newest revision of each release of a namespace.
    pub(super) fn list(&self, namespace: &str) -> Result<Vec<ReleaseObservation>> {
        self.health.require_complete()?;
        Ok(self.observed.read(|index| index.newest_in(namespace).map(Revision::observation).collect()))
    }

    /// Waits until the newest revision of a release is as it should be after `done`.
    pub(super) async fn until(
        &self,
        key: &ReleaseKey,
        done: &str,
        is_shown: impl Fn(Option<&Revision>) -> bool,
    ) -> Result<()> {
        let shown = self.observed.until(|index| is_shown(index.newest(key))).await;
        shown.map_err(|_| self.health.not_shown(&format!("release {}: {done}", key.name)))
    }

    /// Names the releases that change.
    pub(super) fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.observed.changes()
    }

    /// How the watch is.
    pub(super) fn watch_state(&self) -> WatchState {
        self.health.state()
    }
}
