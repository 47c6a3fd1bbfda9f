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
use reqwest::header::LOCATION;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::http::kind_of;
use super::kubernetes::chain;
use super::{ChartArchive, ChartRepositories, ClientError, ClientErrorKind as Kind, Result};
use crate::config::RepositoryLogin;
use crate::hdag::{ChartSource, VersionRange, parse_version};

const SYSTEM: &str = "repository";
/// Bytes of the largest archive that is taken.
const MAX_ARCHIVE: usize = 20 << 20;
/// Bytes of the largest index that is read.
const MAX_INDEX: usize = 64 << 20;
/// Redirects that are followed.
const MAX_REDIRECTS: usize = 5;
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
    ///
    /// # Errors
    /// `Failed` when TLS cannot be set up.
    pub fn new(logins: Vec<RepositoryLogin>) -> Result<Self> {
        // A login must not follow a redirect: they are followed in `answer`.
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|error| failed(Kind::Failed, chain(&error)))?;
        Ok(Self { http, logins, indexes: Mutex::default() })
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
        let entry = chosen(versions, version.unwrap_or("*"))
            .map_err(|problem| failed(Kind::Invalid, problem))?
            .ok_or_else(|| not_found(repository, chart, version, versions))?;
        let url = archive_url(repository, chart, entry)?;
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
        let unreachable = |error: reqwest::Error| {
            failed(Kind::Unreachable, format!("{url} does not answer: {}", chain(&error)))
        };
        let answer = self.answer(url.clone()).await?;
        let body = Limited::new(reqwest::Body::from(answer), most).collect().await;
        body.map(http_body_util::Collected::to_bytes).map_err(|error| {
            match error.downcast::<reqwest::Error>() {
                Ok(error) => unreachable(*error),
                Err(_too_long) => failed(Kind::Invalid, format!("{url} is larger than {} MiB", most >> 20)),
            }
        })
    }

    /// Follows redirects, each with the login that is for it and no other.
    async fn answer(&self, first: Url) -> Result<reqwest::Response> {
        let mut url = first.clone();
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.http.get(url.clone());
            if let Some(login) = self.login(&url) {
                request = request.basic_auth(&login.user, Some(&login.password));
            }
            let answer = request.send().await.map_err(|error| {
                failed(Kind::Unreachable, format!("{url} does not answer: {}", chain(&error)))
            })?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            match location.filter(|_| answer.status().is_redirection()) {
                Some(location) => {
                    url = url.join(location).map_err(|error| {
                        failed(Kind::Invalid, format!("{url} leads to {location}, which is no URL: {error}"))
                    })?;
                }
                None => return Err(refused(&url, answer.status())),
            }
        }
        Err(failed(Kind::Invalid, format!("{first} leads on more than {MAX_REDIRECTS} times")))
    }

    /// The login for a URL: of several the one whose URL says most.
    fn login(&self, url: &Url) -> Option<&RepositoryLogin> {
        self.logins.iter().filter(|login| login.is_for(url)).max_by_key(|login| login.url.path().len())
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
fn chosen<'a>(versions: &'a [Entry], wanted: &str) -> Result<Option<&'a Entry>, String> {
    let plain = |text: &'a str| text.strip_prefix('v').unwrap_or(text);
    let wanted_name = wanted.strip_prefix('v').unwrap_or(wanted);
    if let Some(named) = versions.iter().find(|entry| plain(&entry.version) == wanted_name) {
        return Ok(Some(named));
    }
    let range = VersionRange::parse(wanted)?;
    let known = versions.iter().filter_map(|entry| Some((parse_version(&entry.version)?, entry)));
    let in_range = known.filter(|(version, _)| range.contains(version));
    Ok(in_range.max_by(|(one, _), (other, _)| one.cmp(other)).map(|(_, entry)| entry))
}

/// Where the archive of a version is.
fn archive_url(repository: &str, chart: &str, entry: &Entry) -> Result<Url> {
    let base = parse(&format!("{repository}/"))?;
    let url = entry.urls.first().and_then(|url| base.join(url).ok()).ok_or_else(|| {
        failed(Kind::Invalid, format!("{repository} names no archive of {chart} {}", entry.version))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        let message =
            format!("{repository} has {chart} {} in a registry; name it as ociImage: {url}", entry.version);
        return Err(failed(Kind::Invalid, message));
    }
    Ok(url)
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
