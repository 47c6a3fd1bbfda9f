//! Charts over HTTP: repositories with an `index.yaml`, and archives.
//!
//! A repository's index lists the versions of its charts, each with the URL of an archive and its SHA-256. The index of
//! a large repository has some ten megabytes, so that it is read once for all services of a graph.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use reqwest::{StatusCode, Url};
use semver::{Version, VersionReq};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::http::kind_of;
use super::kubernetes::chain;
use super::{ChartArchive, ChartRepositories, ClientError, ClientErrorKind as Kind, Result};
use crate::config::RepositoryLogin;
use crate::hdag::ChartSource;

const SYSTEM: &str = "repository";
/// Bytes of the largest archive that is taken.
const MAX_ARCHIVE: usize = 20 << 20;
/// Bytes of the largest index that is read.
const MAX_INDEX: usize = 64 << 20;
/// How long an index is used again.
const INDEX_KEPT: Duration = Duration::from_secs(60);

/// Repositories and archives by their URLs.
pub struct HttpRepositories {
    http: reqwest::Client,
    logins: Vec<RepositoryLogin>,
    /// By the URL of the repository.
    indexes: Mutex<BTreeMap<String, Arc<CachedIndex>>>,
}

/// The index of a repository. Whoever holds the lock reads it, and the others wait for the answer.
type CachedIndex = tokio::sync::Mutex<Option<(Instant, Arc<Index>)>>;

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    entries: BTreeMap<String, Vec<Entry>>,
}

/// One version of a chart.
#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    version: String,
    #[serde(default)]
    urls: Vec<String>,
    /// SHA-256 of the archive, in hex.
    #[serde(default)]
    digest: Option<String>,
}

impl HttpRepositories {
    /// Repositories, some of which want a login.
    #[must_use]
    pub fn new(logins: Vec<RepositoryLogin>) -> Self {
        Self { http: reqwest::Client::default(), logins, indexes: Mutex::default() }
    }

    async fn index(&self, repository: &str) -> Result<Arc<Index>> {
        let cached = {
            let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody waits for those that only the map holds.
            indexes.retain(|_, index| {
                Arc::strong_count(index) > 1 || index.try_lock().is_ok_and(|i| is_new(&i))
            });
            Arc::clone(indexes.entry(repository.to_owned()).or_default())
        };
        let mut cached = cached.lock().await;
        if let Some((_, index)) = cached.as_ref().filter(|_| is_new(&cached)) {
            return Ok(Arc::clone(index));
        }
        let url = parse(&format!("{repository}/index.yaml"))?;
        let text = self.get(url.clone(), MAX_INDEX).await?;
        let read = move || {
            let text = std::str::from_utf8(&text).map_err(|error| error.to_string())?;
            serde_saphyr::from_str_with_options::<Index>(text, index_options())
                .map_err(|error| error.to_string())
        };
        let index = tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(error.to_string()));
        let index =
            Arc::new(index.map_err(|error| failed(Kind::Invalid, format!("{url} is no index: {error}")))?);
        *cached = Some((Instant::now(), Arc::clone(&index)));
        Ok(index)
    }

    /// The archive of a version of a chart, as its index has it.
    async fn archive_of(&self, repository: &str, chart: &str, version: Option<&str>) -> Result<Bytes> {
        let index = self.index(repository).await?;
        let versions = index.entries.get(chart).map(Vec::as_slice).unwrap_or_default();
        let entry =
            chosen(versions, version).ok_or_else(|| not_found(repository, chart, version, versions))?;
        let base = parse(&format!("{repository}/"))?;
        let url = entry.urls.first().and_then(|url| base.join(url).ok()).ok_or_else(|| {
            failed(Kind::Invalid, format!("{repository} names no archive of {chart} {}", entry.version))
        })?;
        let archive = self.get(url.clone(), MAX_ARCHIVE).await?;
        let expected = entry.digest.as_deref().map(|digest| digest.trim_start_matches("sha256:"));
        match expected.filter(|expected| !expected.eq_ignore_ascii_case(&hex(&archive))) {
            Some(expected) => {
                let message = format!("{url} has another SHA-256 than {expected}, which {repository} states");
                Err(failed(Kind::Invalid, message))
            }
            None => Ok(archive),
        }
    }

    async fn get(&self, url: Url, most: usize) -> Result<Bytes> {
        let mut request = self.http.get(url.clone());
        if let Some(login) = self.logins.iter().find(|login| login.is_for(&url)) {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        let unreachable = |error: reqwest::Error| {
            failed(Kind::Unreachable, format!("{url} does not answer: {}", chain(&error)))
        };
        let answer = request.send().await.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(refused(&url, answer.status()));
        }
        let body = Limited::new(reqwest::Body::from(answer), most).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| {
            match error.downcast::<reqwest::Error>() {
                Ok(error) => unreachable(*error),
                Err(_too_long) => failed(Kind::Invalid, format!("{url} is larger than {} MiB", most >> 20)),
            }
        })
    }
}

#[async_trait]
impl ChartRepositories for HttpRepositories {
    async fn fetch(&self, chart: &str) -> Result<ChartArchive> {
        let source = ChartSource::parse(chart)
            .map_err(|problem| failed(Kind::Invalid, format!("chart reference {chart:?}: {problem}")))?;
        let archive = match &source {
            ChartSource::Repository { url, chart, version } => {
                self.archive_of(url, chart, version.as_deref()).await?
            }
            ChartSource::Archive(url) => self.get(parse(url)?, MAX_ARCHIVE).await?,
            ChartSource::Oci(_) => {
                return Err(failed(Kind::Invalid, format!("{chart} is in a registry, which Helm reads")));
            }
        };
        Ok(ChartArchive { digest: format!("sha256:{}", hex(&archive)), archive })
    }
}

fn is_new(index: &Option<(Instant, Arc<Index>)>) -> bool {
    index.as_ref().is_some_and(|(at, _)| at.elapsed() < INDEX_KEPT)
}

/// The version of that name, else the newest in that range; without either the newest that is no prerelease.
fn chosen<'a>(versions: &'a [Entry], wanted: Option<&str>) -> Option<&'a Entry> {
    let plain = |version: &str| version.trim_start_matches('v').to_owned();
    let named = |wanted: &str| versions.iter().find(|entry| plain(&entry.version) == plain(wanted));
    if let Some(entry) = wanted.and_then(named) {
        return Some(entry);
    }
    let ranges: Vec<VersionReq> = match wanted {
        None => vec![VersionReq::STAR],
        Some(wanted) => wanted.split("||").map(|part| range(part).ok()).collect::<Option<_>>()?,
    };
    let known =
        versions.iter().filter_map(|entry| Some((Version::parse(&plain(&entry.version)).ok()?, entry)));
    let in_range = known.filter(|(version, _)| ranges.iter().any(|range| range.matches(version)));
    in_range.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, entry)| entry)
}

/// A range in Helm's words, in which a version with parts left out means all versions that begin so.
fn range(text: &str) -> Result<VersionReq, semver::Error> {
    let text = text.trim();
    let begins_with_digit = text.trim_start_matches('v').chars().next().is_some_and(|c| c.is_ascii_digit());
    let is_version = begins_with_digit && !text.contains([' ', ',', '*', 'x', 'X']);
    match text.trim_start_matches('v').matches('.').count() {
        0 | 1 if is_version => VersionReq::parse(&format!("{}.*", text.trim_start_matches('v'))),
        _ if is_version => VersionReq::parse(&format!("={}", text.trim_start_matches('v'))),
        // Helm separates with spaces, too.
        _ if text.contains(',') => VersionReq::parse(text),
        _ => VersionReq::parse(&text.split_whitespace().collect::<Vec<_>>().join(", ").replace("=, ", "=")),
    }
}

fn not_found(repository: &str, chart: &str, version: Option<&str>, versions: &[Entry]) -> ClientError {
    let known: Vec<&str> = versions.iter().take(5).map(|entry| entry.version.as_str()).collect();
    let message = match (known.is_empty(), version) {
        (true, _) => format!("{repository} has no chart {chart}"),
        (false, version) => {
            let which = version.map_or("release".to_owned(), |version| format!("version {version}"));
            format!("{repository} has no {which} of {chart}; its versions begin with {}", known.join(", "))
        }
    };
    failed(Kind::NotFound, message)
}

fn refused(url: &Url, status: StatusCode) -> ClientError {
    let hint = if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        "; logins are the setting helm.repositories"
    } else {
        ""
    };
    failed(kind_of(status), format!("{url} answered {status}{hint}"))
}

/// Indexes of large repositories have more than what is taken of unknown YAML by default. Bytes are limited before.
fn index_options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
        budget: serde_saphyr::budget! { max_events: 20_000_000, max_nodes: 10_000_000 },
    }
}

fn parse(url: &str) -> Result<Url> {
    Url::parse(url).map_err(|error| failed(Kind::Invalid, format!("{url} is no URL: {error}")))
}

fn hex(archive: &[u8]) -> String {
    Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failed(kind: Kind, message: String) -> ClientError {
    ClientError::new(SYSTEM, kind, message)
}

#[cfg(test)]
#[path = "repositories_tests.rs"]
mod tests;
