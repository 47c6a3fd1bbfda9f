//! Helm's release records, read without Helm.
//!
//! Helm keeps one Secret per revision, with name, status and revision as labels and, beside them, the labels that
//! were given to the release. Reading only the metadata of these Secrets tells everything that matters here in
//! one cheap call and without decoding a single release.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::{Client, ResourceExt};

use crate::clients::kubernetes::failure;
use crate::clients::{ReleaseObservation, ReleaseStatus, Result};

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

    /// The state as the port tells it.
    pub(super) fn observation(self) -> ReleaseObservation {
        let status = match self.status.as_str() {
            "deployed" => ReleaseStatus::Deployed,
            "failed" => ReleaseStatus::Failed,
            "pending-install" | "pending-upgrade" | "pending-rollback" | "uninstalling" => {
                ReleaseStatus::Pending
            }
            _ => ReleaseStatus::Other,
        };
        ReleaseObservation {
            name: self.release,
            revision: self.number,
            status,
            owner: self.owner,
            digest: self.digest,
        }
    }
}

/// All revisions of one release, newest first.
pub(super) async fn history(client: &Client, namespace: &str, release: &str) -> Result<Vec<Revision>> {
    let mut revisions = read(client, namespace, &format!("owner=helm,name={release}")).await?;
    revisions.sort_by_key(|revision| std::cmp::Reverse(revision.number));
    Ok(revisions)
}

/// The newest revision of each release of a namespace, by name.
pub(super) async fn newest(client: &Client, namespace: &str) -> Result<Vec<Revision>> {
    let mut newest = BTreeMap::<String, Revision>::new();
    for revision in read(client, namespace, "owner=helm").await? {
        match newest.get(&revision.release) {
            Some(known) if known.number >= revision.number => {}
            _ => drop(newest.insert(revision.release.clone(), revision)),
        }
    }
    Ok(newest.into_values().collect())
}

async fn read(client: &Client, namespace: &str, labels: &str) -> Result<Vec<Revision>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let listed = secrets.list_metadata(&ListParams::default().labels(labels)).await;
    let listed = listed.map_err(|error| failure("karmada", "cannot list the releases", error))?;
    Ok(listed.items.iter().filter_map(Revision::of).collect())
}
