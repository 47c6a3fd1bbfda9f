//! Questions to the member clusters themselves, through Karmada's proxy of them and by its own kubeconfig.
//!
//! A member that is down, that hangs or that may not be proxied (RBAC on `clusters/proxy`) gives no answer, and
//! keeps the others from nothing.

use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use kube::Client;
use kube::api::ListParams;
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use super::kubernetes::failure;
use super::{ClientError, ClientErrorKind, Result};

/// Members that are asked at a time.
const AT_ONCE: usize = 8;
/// Longest wait for a page of one member: one that hangs must not take the deadline of all.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for all members, within the deadline of a call: what was told until then counts.
const ALL_WITHIN: Duration = Duration::from_secs(8);

/// A page of a list of one member.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    /// The objects.
    pub(super) items: Vec<T>,
    #[serde(default)]
    metadata: PageMetadata,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    more: String,
}

impl<T> Page<T> {
    /// Where the next page begins, if there is one.
    pub(super) fn next(&self) -> Option<&str> {
        Some(self.metadata.more.as_str()).filter(|token| !token.is_empty())
    }
}

/// One page of the objects at a path of a member's API.
pub(super) async fn list<T: DeserializeOwned>(
    client: &Client,
    system: &'static str,
    cluster: &str,
    path: &str,
    params: &ListParams,
) -> Result<Page<T>> {
    let path = format!("/apis/cluster.karmada.io/v1alpha1/clusters/{cluster}/proxy/{path}");
    let request = Request::new(path).list(params).map_err(|error| {
        ClientError::new(system, ClientErrorKind::Invalid, format!("cannot ask {cluster}: {error}"))
    })?;
    let what = format!("cannot read from cluster {cluster}");
    let answer = timeout(PATIENCE, client.request(request)).await.map_err(|_elapsed| {
        ClientError::new(system, ClientErrorKind::Timeout, format!("{what}: no answer in time"))
    })?;
    answer.map_err(|error| failure(system, &what, error))
}

/// The answers of the members that give one, in any order; `what` is asked for.
pub(super) async fn ask_each<'a, T, F>(
    clusters: &'a [String],
    what: &'static str,
    ask: impl Fn(&'a str) -> F,
) -> Vec<(&'a str, T)>
where
    F: Future<Output = Result<T>>,
{
    let mut questions = Vec::new();
    for cluster in clusters {
        let question = ask(cluster);
        questions.push(async move { (cluster.as_str(), question.await) });
    }
    let mut answers = stream::iter(questions).buffer_unordered(AT_ONCE);
    let (until, mut known) = (Instant::now() + ALL_WITHIN, Vec::new());
    while let Ok(Some((cluster, answer))) = timeout_at(until, answers.next()).await {
        match answer {
            Ok(answer) => known.push((cluster, answer)),
            Err(error) => {
                tracing::debug!(cluster.name = cluster, %error, "cluster {cluster} does not tell {what}");
            }
        }
    }
    known
}
