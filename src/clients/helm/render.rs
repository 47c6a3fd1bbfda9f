//! Rendering: the objects that a release would bring, without making any.
//!
//! Helm's dry run against Karmada comes first: templates then see what Karmada serves. It cannot render charts
//! whose objects need definitions that only the installation would bring, nor releases that an interrupted Helm
//! left pending; those are rendered by `helm template`, which is told what Karmada serves.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::Client;
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde::Deserialize;
use serde_json::Value;

use super::{Call, HelmReleases, VALUES, check, write_values};
use crate::clients::command::Finished;
use crate::clients::karmada::manifest;
use crate::clients::{ClientError, ClientErrorKind as Kind, ReleaseSpec, Rendering, Result};
use crate::hdag::split_tag;
use crate::model::DEFINITION;

/// A release as Helm prints it.
#[derive(Deserialize)]
struct Release {
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    hooks: Vec<Hook>,
    #[serde(default)]
    chart: Chart,
}

#[derive(Deserialize)]
struct Hook {
    manifest: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Chart {
    metadata: Metadata,
    files: Vec<File>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    dependencies: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct File {
    name: String,
}

impl HelmReleases {
    /// Renders a release, whose lock is held.
    async fn rendered(&self, call: &Call<'_>, release: &ReleaseSpec) -> Result<Rendering> {
        let (objects, chart_digest) = match self.dry_run(call, release).await {
            Err(error) if matches!(error.kind, Kind::Invalid | Kind::Failed) => {
                // What Helm says about the chart is told as the dry run has it.
                self.template(call, release).await.map_err(|_| error)?
            }
            rendered => rendered?,
        };
        let scopes = scopes(&self.client, &objects).await;
        Ok(Rendering { objects: manifest::read(&objects, &release.key.namespace, &scopes), chart_digest })
    }

    async fn dry_run(&self, call: &Call<'_>, release: &ReleaseSpec) -> Result<Rendered> {
        let mut flags = vec!["--install", "--dry-run=server", "--output", "json", "--values", VALUES];
        flags.extend(self.chart_flags(release));
        let chart = split_tag(&release.chart).0;
        let finished = call.run("upgrade", &flags, &[&release.key.name, chart]).await?;
        // Helm 4 tells there, too, what it has pulled.
        let json = finished.stdout.find("{\"").map_or("", |start| &finished.stdout[start..]);
        let printed: Release = serde_json::from_str(json).map_err(|error| {
            ClientError::new("helm", Kind::Failed, format!("unreadable dry run: {error}"))
        })?;
        let hooks = printed.hooks.iter().map(|hook| hook.manifest.as_str());
        let mut objects = parse(&hooks.chain([printed.manifest.as_str()]).collect::<Vec<_>>())?;
        // A dry run leaves out the definitions of the folder `crds`, those of dependencies included.
        let dependencies = printed.chart.metadata.dependencies.is_some_and(|list| !list.is_empty());
        if dependencies || printed.chart.files.iter().any(|file| file.name.starts_with("crds/")) {
            let flags: Vec<&str> =
                self.chart_flags(release).into_iter().filter(|flag| *flag != SERVER_SIDE).collect();
            let definitions = call.run_local("show", &["crds"], &flags, &[chart]).await?.stdout;
            let definitions = parse(&[&definitions])?;
            objects.extend(definitions.into_iter().filter(|object| object["kind"] == DEFINITION));
        }
        Ok((objects, pulled(&finished)))
    }

    async fn template(&self, call: &Call<'_>, release: &ReleaseSpec) -> Result<Rendered> {
        let mut served = served(&self.client).await?;
        loop {
            let mut flags = vec!["--include-crds", "--values", VALUES];
            flags.extend(self.chart_flags(release).into_iter().filter(|flag| *flag != SERVER_SIDE));
            served.iter().for_each(|version| flags.extend(["--api-versions", version.as_str()]));
            let chart = split_tag(&release.chart).0;
            let finished = call.run("template", &flags, &[&release.key.name, chart]).await?;
            let objects = parse(&[&finished.stdout])?;
            // The chart may ask for what its own definitions bring.
            let known = served.len();
            served.extend(objects.iter().flat_map(defined));
            if served.len() == known {
                return Ok((objects, pulled(&finished)));
            }
        }
    }

    /// Flags that say which chart, and how to get it.
    pub(super) fn chart_flags<'a>(&self, release: &'a ReleaseSpec) -> Vec<&'a str> {
        let mut flags = Vec::new();
        if let Some(tag) = split_tag(&release.chart).1 {
            flags.extend(["--version", tag]);
        }
        if self.plain_http {
            flags.push("--plain-http");
        }
        if self.version.get().is_some_and(|version| !version.starts_with("v3.")) {
            flags.push(SERVER_SIDE);
        }
        flags
    }

    /// Renders a release, holding its lock.
    pub(super) async fn render_locked(&self, release: &ReleaseSpec) -> Result<Rendering> {
        check(release)?;
        let deadline = tokio::time::Instant::now() + self.deadline;
        self.version().await?;
        let lock = self.lock(&release.key, deadline).await?;
        write_values(&lock, &release.values)?;
        self.rendered(&self.call(&release.key, &lock, deadline), release).await
    }
}

/// Objects, and the digest of the chart.
type Rendered = (Vec<Value>, Option<String>);

/// The digest of the chart that Helm says it has pulled: the generations say it in different places.
fn pulled(finished: &Finished) -> Option<String> {
    let said = finished.stderr.lines().chain(finished.stdout.lines().take(2));
    said.filter_map(|line| line.strip_prefix("Digest: ")).next().map(|digest| digest.trim().to_owned())
}

/// Turns server-side apply off, which only Helm 4 knows.
const SERVER_SIDE: &str = "--server-side=false";

fn parse(texts: &[&str]) -> Result<Vec<Value>> {
    manifest::parse(texts).map_err(|error| {
        ClientError::new("helm", Kind::Invalid, format!("the chart renders to no YAML: {error}"))
    })
}

/// Group versions that Karmada serves.
async fn served(client: &Client) -> Result<BTreeSet<String>> {
    let groups = client.list_api_groups().await;
    let groups = groups.map_err(|error| {
        crate::clients::kubernetes::failure("karmada", "cannot list what Karmada serves", error)
    })?;
    let versions = |group: APIGroup| group.versions.into_iter().map(|version| version.group_version);
    Ok(groups.groups.into_iter().flat_map(versions).chain(["v1".to_owned()]).collect())
}

/// Group versions, and kinds in them, that a definition brings.
fn defined(definition: &Value) -> Vec<String> {
    if definition["kind"] != DEFINITION {
        return Vec::new();
    }
    let spec = &definition["spec"];
    let (group, kind) = (spec["group"].as_str(), spec.pointer("/names/kind").and_then(Value::as_str));
    let (Some(group), Some(kind)) = (group, kind) else { return Vec::new() };
    let versions =
        spec["versions"].as_array().into_iter().flatten().filter_map(|version| version["name"].as_str());
    versions.flat_map(|version| [format!("{group}/{version}"), format!("{group}/{version}/{kind}")]).collect()
}

/// The scopes of kinds that neither Kubernetes nor the chart brings; one that Karmada does not know is taken for
/// namespaced.
async fn scopes(client: &Client, objects: &[Value]) -> manifest::Scopes {
    let (mut scopes, unknown) = manifest::scopes(objects);
    for (group, version, kind) in unknown {
        let found = pinned_kind(client, &GroupVersionKind::gvk(&group, &version, &kind)).await;
        let namespaced = found.map_or(true, |(_, capabilities)| capabilities.scope == Scope::Namespaced);
        scopes.insert((group, kind), namespaced);
    }
    scopes
}
