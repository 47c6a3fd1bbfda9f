//! Helm releases in Karmada, through the `helm` program (generations 3 and 4).
//!
//! Every change of a release runs Helm with an argument vector, values in a JSON file that only this user can
//! read, and cache, configuration and data folders of its own: Helm 3 caches charts under name and version
//! without the registry, so calls that share a cache could install each other's charts. Reads use Helm's
//! release Secrets (module `storage`), without a process.
//!
//! Invariants: a release without this installation's owner label for the graph is never touched; one
//! operation per release at a time, also across a crash (module `lock`); a release that an interrupted Helm
//! left `pending-*` is recovered before anything else. Installing does not wait: Helm returns once Karmada
//! has taken the objects, and whether they run is seen in the workloads. Uninstalling does wait until they
//! are gone.
//!
//! Helm 4 runs with server-side apply disabled: then both generations treat a chart alike (fields that others
//! own, such as replicas set by scaling, are no conflict; repeated environment variables are no error).

mod failure;
mod lock;
mod render;
mod storage;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use kube::Client;
use tokio::sync::{OnceCell, broadcast};
use tokio::time::Instant;

use self::lock::{LockError, ReleaseLock};
use self::storage::{ObservedReleases, Revision};
use super::command::{Finished, Program};
use super::marks::Marks;
use super::{
    ClientError, ClientErrorKind as Kind, ReleaseKey, ReleaseObservation, ReleaseSpec, Releases, Rendering,
    Result, WatchReport,
};
use crate::config::Settings;
use crate::hdag::{is_dns_label, split_tag};

/// The archive of a chart in a call's folder. Helm takes what is no file for a reference.
const ARCHIVE: &str = "./chart.tgz";
/// The values file in a call's folder. Relative, since Helm splits this argument at commas.
const VALUES: &str = "values.json";
/// Revisions of a release that Helm keeps: enough to roll an interrupted upgrade back.
const HISTORY: &str = "3";
/// Longest wait for a Helm process that still works on a release to be adopted.
const ADOPTED_WITHIN: Duration = Duration::from_secs(5);
/// Settings of `smo` that Helm must not see.
const SECRETS: [&str; 7] = [
    "DATABASE_URL",
    "DB_PASSWORD",
    "FLASK_SQLALCHEMY_DATABASE_URI",
    "GRAFANA_PASSWORD",
    "KUBECONFIG",
    "PROMETHEUS_HOST",
    "SQLALCHEMY_URI",
];

/// Releases through the Helm program.
pub struct HelmReleases {
    program: PathBuf,
    plain_http: bool,
    kubeconfig: PathBuf,
    home: PathBuf,
    deadline: Duration,
    marks: Marks,
    client: Client,
    observed: ObservedReleases,
    version: OnceCell<String>,
}

impl HelmReleases {
    /// Releases in the Karmada that these settings and `client` lead to. Locks and temporary files are kept
    /// in the data folder. Starts watching Helm's records.
    ///
    /// Must be called within a tokio runtime; the watch ends when this is dropped.
    #[must_use]
    pub fn start(settings: &Settings, marks: Marks, client: Client) -> Self {
        let kubeconfig = settings.karmada.kubeconfig.as_ref().map(|file| file.path.as_path());
        Self {
            program: program_path(&settings.helm.bin),
            plain_http: settings.helm.plain_http,
            kubeconfig: absolute(kubeconfig.unwrap_or(Path::new(""))),
            home: absolute(&settings.data_dir).join("helm"),
            deadline: settings.calls.helm_deadline,
            observed: ObservedReleases::start(&client, marks.clone()),
            marks,
            client,
            version: OnceCell::new(),
        }
    }

    /// The version of the program, such as `v4.1.4`; asked once.
    ///
    /// # Errors
    /// `NotFound` when there is no such program.
    pub async fn version(&self) -> Result<&str> {
        let ask = || async {
            let args = ["version", "--template", "{{.Version}}"].map(OsString::from).to_vec();
            let program = Program {
                path: self.program.clone(),
                args,
                env: Vec::new(),
                without_env: helm_variables(),
                folder: None,
                stdin: None,
                deadline: self.deadline,
                grace: Duration::ZERO,
            };
            Ok(finish(program).await?.stdout.trim().to_owned())
        };
        self.version.get_or_try_init(ask).await.map(String::as_str)
    }

    async fn lock(&self, key: &ReleaseKey, deadline: Instant) -> Result<ReleaseLock> {
        ReleaseLock::acquire(&self.home, key, deadline).await.map_err(|error| match error {
            LockError::Busy => ClientError::new(
                "helm",
                Kind::Timeout,
                format!("another helm still works on release {}", key.name),
            ),
            LockError::Io(path, error) => io_failure(&path, &error),
        })
    }

    /// The release's revisions, newest first, if they are `owner`'s; empty when there is no such release.
    async fn own_history(&self, key: &ReleaseKey, owner: &str) -> Result<Vec<Revision>> {
        let history = storage::history(&self.client, &self.marks, key).await?;
        let ReleaseKey { namespace, name } = key;
        match history.first().map(|newest| newest.owner.as_deref()) {
            Some(found) if found != Some(owner) => {
                let whose = found.map_or_else(
                    || "was not made by this installation of smo".to_owned(),
                    |other| format!("belongs to another graph ({other})"),
                );
                let message = format!("release {name} in namespace {namespace} exists and {whose}");
                Err(ClientError::new("helm", Kind::Conflict, message))
            }
            _ => Ok(history),
        }
    }

    /// Brings a release that an interrupted Helm left behind into a state that can be upgraded. Returns the
    /// number of its newest revision before the upgrade; 0 when there is none.
    async fn recover(&self, call: &Call<'_>, history: &[Revision]) -> Result<i64> {
        let Some(newest) = history.first() else { return Ok(0) };
        let status = newest.status.as_str();
        if !matches!(status, "pending-install" | "pending-upgrade" | "pending-rollback" | "uninstalling") {
            return Ok(newest.number);
        }
        tracing::warn!(
            release.name = newest.release,
            status,
            "recovering release {}, left {status} by an interrupted helm",
            newest.release
        );
        // The running objects were installed by the last revision that completed, or that failed after it had made
        // some: those must not go either.
        let last_with = |status: &str| history.iter().find(|revision| revision.status == status);
        match last_with("deployed").or_else(|| last_with("superseded")).or_else(|| last_with("failed")) {
            Some(good) if status.starts_with("pending-") => {
                let number = good.number.to_string();
                call.run("rollback", &[], &[&newest.release, &number]).await?;
                // A rollback is a revision of its own.
                Ok(newest.number + 1)
            }
            _ => call.uninstall().await.map(|()| 0),
        }
    }

    /// The labels of a release.
    fn labels<'a>(&'a self, owner: &'a str, digest: &'a str) -> [(&'a str, &'a str); 3] {
        let [installation, graph] = self.marks.of(owner);
        [installation, graph, (&self.marks.labels.digest, digest)]
    }

    /// Helm writes its record when it has the chart. One that was stopped before that waited for the
    /// registry.
    async fn blame(&self, error: ClientError, release: &ReleaseSpec, before: i64) -> ClientError {
        if (error.system, error.kind) != ("helm", Kind::Timeout) || release.archive.is_some() {
            return error;
        }
        match storage::history(&self.client, &self.marks, &release.key).await {
            Ok(history) if history.first().is_none_or(|newest| newest.number <= before) => {
                let message = format!("the registry did not deliver {} in time", release.chart);
                ClientError::new("registry", Kind::Timeout, message)
            }
            _ => error,
        }
    }

    fn call<'a>(&'a self, key: &'a ReleaseKey, lock: &'a ReleaseLock, deadline: Instant) -> Call<'a> {
        Call { helm: self, key, lock, deadline }
    }
}

#[async_trait]
impl Releases for HelmReleases {
    async fn find(&self, namespace: &str, owner: &str, names: &[&str]) -> Result<Vec<ReleaseObservation>> {
        self.observed.find(namespace, owner, names)
    }

    async fn render(&self, release: &ReleaseSpec) -> Result<Rendering> {
        self.render_locked(release).await
    }

    async fn apply(&self, release: &ReleaseSpec) -> Result<()> {
        check(release)?;
        self.marks.check(&release.owner, &release.digest)?;
        let deadline = Instant::now() + self.deadline;
        self.version().await?;
        let lock = self.lock(&release.key, deadline).await?;
        let history = self.own_history(&release.key, &release.owner).await?;
        let call = self.call(&release.key, &lock, deadline);
        let before = self.recover(&call, &history).await?;

        write_input(&lock, release)?;
        let labels = self.labels(&release.owner, &release.digest);
        let labels = labels.map(|(name, value)| format!("{name}={value}")).join(",");
        let mut flags = vec!["--install", "--create-namespace", "--history-max", HISTORY, "--values", VALUES];
        flags.extend(["--labels", labels.as_str()]);
        flags.extend(self.chart_flags(release));
        let operands = [release.key.name.as_str(), chart_operand(release)];
        if let Err(error) = call.run("upgrade", &flags, &operands).await {
            return Err(self.blame(error, release, before).await);
        }
        let is_applied = |newest: Option<&Revision>| {
            newest.is_some_and(|newest| {
                newest.status == "deployed"
                    && newest.number > before
                    && newest.digest.as_deref() == Some(&release.digest)
            })
        };
        self.observed.until(&release.key, "helm has applied it", is_applied).await
    }

    async fn uninstall(&self, key: &ReleaseKey, owner: &str) -> Result<()> {
        check_key(key)?;
        let deadline = Instant::now() + self.deadline;
        let lock = self.lock(key, deadline).await?;
        if !self.own_history(key, owner).await?.is_empty() {
            self.call(key, &lock, deadline).uninstall().await?;
        }
        self.observed.until(key, "helm has removed it", |newest| newest.is_none()).await
    }

    async fn adopt(&self, key: &ReleaseKey, owner: &str, digest: &str) -> Result<()> {
        check_key(key)?;
        self.marks.check(owner, digest)?;
        let _lock = self.lock(key, Instant::now() + ADOPTED_WITHIN).await?;
        if !storage::label(&self.client, key, &self.labels(owner, digest)).await? {
            let message = format!("there is no release {} in namespace {}", key.name, key.namespace);
            return Err(ClientError::new("helm", Kind::NotFound, message));
        }
        let is_adopted = |newest: Option<&Revision>| {
            newest.is_some_and(|newest| {
                newest.owner.as_deref() == Some(owner) && newest.digest.as_deref() == Some(digest)
            })
        };
        self.observed.until(key, "it is labelled", is_adopted).await
    }

    fn changes(&self) -> broadcast::Receiver<ReleaseKey> {
        self.observed.changes()
    }

    fn watches(&self) -> Vec<WatchReport> {
        vec![self.observed.watch_state()]
    }
}

/// Helm at work on one locked release.
struct Call<'a> {
    helm: &'a HelmReleases,
    key: &'a ReleaseKey,
    lock: &'a ReleaseLock,
    deadline: Instant,
}

impl Call<'_> {
    /// Runs `helm VERB [flags] -- [operands]`.
    async fn run(&self, verb: &str, flags: &[&str], operands: &[&str]) -> Result<Finished> {
        finish(self.program(verb, flags, operands)?).await
    }

    /// Helm with these arguments and what is left of the call's time.
    fn program(&self, verb: &str, flags: &[&str], operands: &[&str]) -> Result<Program> {
        let (helm, folder) = (self.helm, self.lock.folder());
        let left = self.deadline.saturating_duration_since(Instant::now());
        let timeout = format!("{}s", left.as_secs().max(1));
        let mut args: Vec<OsString> =
            [verb, "--namespace", &self.key.namespace, "--timeout", &timeout, "--kubeconfig"]
                .map(OsString::from)
                .to_vec();
        args.push(helm.kubeconfig.clone().into());
        args.extend(flags.iter().chain(&["--"]).chain(operands).map(OsString::from));
        Ok(Program {
            path: helm.program.clone(),
            args,
            env: environment(folder),
            without_env: helm_variables(),
            folder: Some(folder.to_owned()),
            stdin: Some(self.lock.share().map_err(|error| io_failure(folder, &error))?),
            // Helm's own timeouts come first. Asked to end, it records the release as failed, which can be
            // upgraded at once; killed, it leaves a pending one, which has to be rolled back before.
            deadline: left + helm.deadline / 10,
            grace: helm.deadline / 10,
        })
    }

    /// Uninstalls and waits until the objects are really gone. Karmada's policies have finalizers and outlive
    /// their deletion by a second or more; an install in that time would take them for its own, see them
    /// vanish afterwards, and leave a Deployment that is never propagated. Cut off while waiting, the release
    /// is still `uninstalling` and is uninstalled again.
    async fn uninstall(&self) -> Result<()> {
        match self.run("uninstall", &["--ignore-not-found", "--wait"], &[&self.key.name]).await {
            // Helm 3's message when the last record vanished between its two reads.
            Err(error) if error.message.contains("release: not found") => Ok(()),
            other => other.map(drop),
        }
    }
}

/// Writes the files that Helm reads.
fn write_input(lock: &ReleaseLock, release: &ReleaseSpec) -> Result<()> {
    let values = serde_json::to_vec(&release.values)
        .map_err(|error| ClientError::new("helm", Kind::Invalid, format!("unusable values: {error}")))?;
    let failed = |error: std::io::Error| io_failure(lock.folder(), &error);
    lock.write(VALUES, &values).map_err(failed)?;
    match &release.archive {
        Some(archive) => lock.write(ARCHIVE, &archive.archive).map_err(failed),
        None => Ok(()),
    }
}

/// The chart as Helm's operand.
fn chart_operand(release: &ReleaseSpec) -> &str {
    match &release.archive {
        Some(_) => ARCHIVE,
        None => split_tag(&release.chart).0,
    }
}

async fn finish(program: Program) -> Result<Finished> {
    let finished = program.run().await.map_err(|error| failure::of_command(&error))?;
    match finished.code {
        Some(0) => Ok(finished),
        _ => Err(failure::of_exit(&finished)),
    }
}

/// Variables of one call: records in Secrets, where [`storage`] reads them, and folders of its own.
fn environment(folder: &Path) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = vec![("HELM_DRIVER".into(), "secret".into())];
    for (name, part) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        env.push((name.into(), folder.join(part).into()));
    }
    if let Some(credentials) = registry_credentials() {
        env.push(("HELM_REGISTRY_CONFIG".into(), credentials.into()));
    }
    env
}

/// Where `helm registry login` has put credentials: Helm's own rule, applied before its folders are changed.
fn registry_credentials() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(file) = folder("HELM_REGISTRY_CONFIG") {
        return Some(absolute(&file));
    }
    let config = folder("HELM_CONFIG_HOME")
        .or_else(|| folder("XDG_CONFIG_HOME").map(|home| home.join("helm")))
        .or_else(|| folder("HOME").map(|home| home.join(".config/helm")))?;
    Some(absolute(&config.join("registry/config.json"))).filter(|file| file.exists())
}

/// Inherited variables that would change Helm's behaviour, and secrets of `smo`.
fn helm_variables() -> Vec<OsString> {
    let is_ours = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("SMO_") || SECRETS.contains(&name.as_ref())
    };
    let set_by_us = |name: &OsStr| {
        let names =
            ["HELM_DRIVER", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "HELM_REGISTRY_CONFIG"];
        names.iter().any(|ours| name == *ours)
    };
    std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| is_ours(name) || (name.to_string_lossy().starts_with("HELM_") && !set_by_us(name)))
        .collect()
}

fn check(release: &ReleaseSpec) -> Result<()> {
    check_key(&release.key)?;
    let chart = &release.chart;
    if release.archive.is_some() {
        return Ok(());
    }
    if !chart.starts_with("oci://") || chart.chars().any(|c| c.is_whitespace() || c.is_control()) {
        let message = format!("chart reference {chart:?} is not of the form oci://host/path");
        return Err(ClientError::new("helm", Kind::Invalid, message));
    }
    Ok(())
}

/// Both names become part of command lines and file names.
fn check_key(key: &ReleaseKey) -> Result<()> {
    match [&key.namespace, &key.name].into_iter().find(|name| !is_dns_label(name, 63)) {
        Some(name) => {
            let message = format!("{name:?} cannot be the name of a release or namespace");
            Err(ClientError::new("helm", Kind::Invalid, message))
        }
        None => Ok(()),
    }
}

/// Helm runs in a folder of its own, so relative paths are resolved here. A bare name is looked up in `PATH`.
fn program_path(path: &Path) -> PathBuf {
    if path.components().count() > 1 { absolute(path) } else { path.to_owned() }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn io_failure(path: &Path, error: &std::io::Error) -> ClientError {
    ClientError::new("helm", Kind::Failed, format!("cannot use {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
