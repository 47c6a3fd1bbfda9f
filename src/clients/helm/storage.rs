//! Helm's release records, read without Helm.
//!
//! Helm keeps one Secret per revision, with name, status and revision as labels and, beside them, the labels
//! that were given to the release. The metadata of these Secrets is sufficient here, without decoding a
//! single release. It is watched for all namespaces; only just before a Helm operation the records of its
//! release are read again, since the decision whether to touch a release must not rest on a copy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use crate::clients::kubernetes::failure;
use crate::clients::marks::Marks;
use crate::clients::mirror::{Change, Mirror, ObjectKey};
use crate::clients::observed::Observed;
use crate::clients::watch::{WatchHealth, config, follow, monitored};
use crate::clients::{ReleaseKey, ReleaseObservation, ReleaseStatus, Result, WatchReport};

/// Labels by which Helm's records are found among all Secrets.
pub(super) const HELM_RECORDS: &str = "owner=helm";

/// One revision of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision {
    pub(super) release: String,
    pub(super) number: i64,
    /// As Helm writes it, such as `pending-upgrade`.
    pub(super) status: String,
    /// The graph of this installation that owns it.
    pub(super) owner: Option<String>,
    pub(super) digest: Option<String>,
}

impl Revision {
    fn of(secret: &PartialObjectMeta<Secret>, marks: &Marks) -> Option<Self> {
        let label = |name: &str| secret.labels().get(name).cloned();
        Some(Self {
            release: label("name")?,
            number: label("version")?.parse().ok()?,
            status: label("status")?,
            owner: marks.owner(secret.labels()),
            digest: label(&marks.labels.digest),
        })
    }

    fn key_in(&self, namespace: &str) -> ReleaseKey {
        ReleaseKey { namespace: namespace.to_owned(), name: self.release.clone() }
    }

    /// The state in the port's type.
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
pub(super) async fn history(client: &Client, marks: &Marks, key: &ReleaseKey) -> Result<Vec<Revision>> {
    let records = records(client, key).await?;
    let mut revisions: Vec<Revision> =
        records.iter().filter_map(|record| Revision::of(record, marks)).collect();
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    Ok(revisions)
}

/// Gives all revisions of a release these labels; returns whether there are any.
pub(super) async fn label(client: &Client, key: &ReleaseKey, labels: &[(&str, &str)]) -> Result<bool> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    let records = records(client, key).await?;
    for record in &records {
        let patched = secrets.patch_metadata(&record.name_any(), &PatchParams::default(), &patch).await;
        patched.map_err(|error| failure("karmada", &format!("cannot label release {}", key.name), error))?;
    }
    Ok(!records.is_empty())
}

async fn records(client: &Client, key: &ReleaseKey) -> Result<Vec<PartialObjectMeta<Secret>>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &key.namespace);
    let of_release = ListParams::default().labels(&format!("{HELM_RECORDS},name={}", key.name));
    let listed = secrets.list_metadata(&of_release).await;
    Ok(listed.map_err(|error| failure("karmada", "cannot list the records of a release", error))?.items)
}

/// All release records of a Karmada, from the metadata of a watch.
struct ReleaseIndex {
    marks: Marks,
    records: Mirror<Revision>,
    by_release: HashMap<ReleaseKey, Records>,
    /// Releases by the graph of this installation that owns them.
    by_owner: HashMap<String, BTreeSet<ReleaseKey>>,
}

/// The records of a release.
#[derive(Default)]
struct Records {
    by_revision: BTreeMap<i64, ObjectKey>,
    /// The graph under which the release is filed in `by_owner`.
    owner: Option<String>,
}

impl ReleaseIndex {
    /// Takes an event of the Secrets' watch and returns the releases that it touches.
    fn apply(&mut self, event: Event<PartialObjectMeta<Secret>>) -> BTreeSet<ReleaseKey> {
        let mut touched = BTreeSet::new();
        for Change { key, before } in self.records.apply(event, |record| Revision::of(record, &self.marks)) {
            if let Some(before) = before {
                let release = before.key_in(&key.0);
                if let Some(records) = self.by_release.get_mut(&release) {
                    records.by_revision.remove(&before.number);
                }
                touched.insert(release);
            }
            if let Some(after) = self.records.get(&key) {
                let release = after.key_in(&key.0);
                self.by_release.entry(release.clone()).or_default().by_revision.insert(after.number, key);
                touched.insert(release);
            }
        }
        touched.iter().for_each(|release| self.file(release));
        touched
    }

    /// Files a release under its owner of now.
    fn file(&mut self, release: &ReleaseKey) {
        let owner = self.newest(release).and_then(|newest| newest.owner.clone());
        let Some(records) = self.by_release.get_mut(release) else { return };
        let before = std::mem::replace(&mut records.owner, owner.clone());
        if records.by_revision.is_empty() {
            self.by_release.remove(release);
        }
        if before == owner {
            return;
        }
        if let Some(before) = before
            && let Some(owned) = self.by_owner.get_mut(&before)
        {
            owned.remove(release);
            if owned.is_empty() {
                self.by_owner.remove(&before);
            }
        }
        if let Some(owner) = owner {
            self.by_owner.entry(owner).or_default().insert(release.clone());
        }
    }

    /// The newest revision of a release.
    fn newest(&self, release: &ReleaseKey) -> Option<&Revision> {
        self.records.get(self.by_release.get(release)?.by_revision.values().next_back()?)
    }

    /// The newest revisions of the releases of these names and of all others of an owner, by name.
    fn find(&self, namespace: &str, owner: &str, names: &[&str]) -> Vec<ReleaseObservation> {
        let owned = self.by_owner.get(owner).into_iter().flatten();
        let mut keys: BTreeSet<ReleaseKey> =
            owned.filter(|key| key.namespace == namespace).cloned().collect();
        let named = |name: &&str| ReleaseKey { namespace: namespace.to_owned(), name: (*name).to_owned() };
        keys.extend(names.iter().map(named));
        keys.iter().filter_map(|key| self.newest(key)).map(Revision::observation).collect()
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
    pub(super) fn start(client: &Client, marks: Marks) -> Self {
        let (by_release, by_owner) = (HashMap::new(), HashMap::new());
        let index = ReleaseIndex { marks, records: Mirror::default(), by_release, by_owner };
        let observed = Observed::new(index);
        let health = WatchHealth::new("karmada", "releases");
        let secrets = Api::<PartialObjectMeta<Secret>>::all(monitored(client, &health));
        let target = Arc::clone(&observed);
        let watch = follow(Arc::clone(&health), watcher(secrets, config(HELM_RECORDS)), move |event| {
            target.take(event, ReleaseIndex::apply);
        });
        Self { observed, health, _watch: watch }
    }

    /// The newest revisions of the releases of these names and of all others of an owner.
    pub(super) fn find(
        &self,
        namespace: &str,
        owner: &str,
        names: &[&str],
    ) -> Result<Vec<ReleaseObservation>> {
        self.health.require_complete()?;
        Ok(self.observed.read(|index| index.find(namespace, owner, names)))
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
    pub(super) fn watch_state(&self) -> WatchReport {
        self.health.state()
    }
}
