//! Rendering: the objects that a release would bring, without making any.
//!
//! Helm's dry run against Karmada comes first: templates then see what Karmada serves. It cannot render charts
//! whose objects need definitions that only the installation would bring, nor releases that an interrupted Helm
//! left pending; those are rendered by `helm template`, which is told what Karmada serves.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::Client;
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde::Deserialize;
use serde_json::Value;

use super::{Call, HelmReleases, VALUES, chart_operand, check, write_input};
use crate::clients::command::Finished;
use crate::clients::karmada::manifest;
use crate::clients::{ClientError, ClientErrorKind as Kind, ReleaseSpec, Rendering, Result};
use crate::hdag::split_tag;
use crate::model::DEFINITION;

/// Longest time for rendering a chart, however long Helm may take to install it: other services wait meanwhile.
const RENDERED_WITHIN: Duration = Duration::from_secs(30);

/// A release as Helm prints it.
#[derive(Deserialize)]
struct Release {
    #[serde(default)]
    manifest: String,
    #[serde(default)]
    hooks: Option<Vec<Hook>>,
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
    files: Option<Vec<File>>,
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
        let chart_digest = release.archive.as_ref().map(|archive| archive.digest.clone()).or(chart_digest);
        let scopes = scopes(&self.client, &objects).await?;
        Ok(Rendering { objects: manifest::read(&objects, &release.key.namespace, &scopes), chart_digest })
    }

    async fn dry_run(&self, call: &Call<'_>, release: &ReleaseSpec) -> Result<Rendered> {
        let mut flags = vec!["--install", "--dry-run=server", "--output", "json", "--values", VALUES];
        flags.extend(self.chart_flags(release));
        let operands = [release.key.name.as_str(), chart_operand(release)];
        let finished = call.run("upgrade", &flags, &operands).await?;
        let printed: Release = serde_json::from_str(json_in(&finished.stdout)).map_err(|error| {
            ClientError::new("helm", Kind::Failed, format!("unreadable dry run: {error}"))
        })?;
        let hooks = printed.hooks.iter().flatten().map(|hook| hook.manifest.as_str());
        let mut objects = parse(&hooks.chain([printed.manifest.as_str()]).collect::<Vec<_>>())?;
        // A dry run leaves out the definitions of the folder `crds`, those of dependencies included.
        let dependencies = printed.chart.metadata.dependencies.is_some_and(|list| !list.is_empty());
        if dependencies || printed.chart.files.iter().flatten().any(|file| file.name.starts_with("crds/")) {
            // Those of dependencies that are switched off are not among them.
            let (all, _) = self.template(call, release).await?;
            let is_new = |object: &Value| object["kind"] == DEFINITION && !objects.contains(object);
            let definitions: Vec<Value> = all.into_iter().filter(is_new).collect();
            objects.extend(definitions);
        }
        Ok((objects, pulled(&finished)))
    }

    async fn template(&self, call: &Call<'_>, release: &ReleaseSpec) -> Result<Rendered> {
        let mut served = served(&self.client).await?;
        loop {
            let mut flags = vec!["--include-crds", "--values", VALUES];
            flags.extend(self.chart_flags(release).into_iter().filter(|flag| *flag != SERVER_SIDE));
            served.iter().for_each(|version| flags.extend(["--api-versions", version.as_str()]));
            let operands = [release.key.name.as_str(), chart_operand(release)];
            let finished = call.run("template", &flags, &operands).await?;
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
        let is_archive = release.archive.is_some();
        if let Some(tag) = split_tag(&release.chart).1.filter(|_| !is_archive) {
            flags.extend(["--version", tag]);
        }
        if self.plain_http && !is_archive {
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
        let deadline = tokio::time::Instant::now() + self.deadline.min(RENDERED_WITHIN);
        self.version().await?;
        let lock = self.lock(&release.key, deadline).await?;
        write_input(&lock, release)?;
        // Rendering waits for the registry, and for nothing else that takes long.
        self.rendered(&self.call(&release.key, &lock, deadline), release).await.map_err(|error| {
            if (error.system, error.kind) != ("helm", Kind::Timeout) || release.archive.is_some() {
                return error;
            }
            let message = format!("the registry did not deliver {} in time", release.chart);
            ClientError::new("registry", Kind::Timeout, message)
        })
    }
}

/// The JSON in Helm's output: Helm 4 tells before it what it has pulled.
fn json_in(printed: &str) -> &str {
    printed.find("{\"").map_or("", |start| &printed[start..])
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

/// The scopes of kinds that neither Kubernetes nor the chart brings; one that Karmada does not serve is taken for
/// namespaced.
async fn scopes(client: &Client, objects: &[Value]) -> Result<manifest::Scopes> {
    let (mut scopes, unknown) = manifest::scopes(objects);
    for (group, version, kind) in unknown {
        let namespaced = match pinned_kind(client, &GroupVersionKind::gvk(&group, &version, &kind)).await {
            Ok((_, capabilities)) => capabilities.scope == Scope::Namespaced,
            Err(kube::Error::Discovery(_)) => true,
            Err(kube::Error::Api(status)) if status.code == 404 => true,
            Err(error) => {
                let what = format!("cannot find out the scope of {kind}");
                return Err(crate::clients::kubernetes::failure("karmada", &what, error));
            }
        };
        scopes.insert((group, kind), namespaced);
    }
    Ok(scopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Helm 4.3 prints a chart without hooks and further files.
    const PRINTED: &str = r#"Pulled: 127.0.0.1:5000/any-chart/web:1.0.0
Digest: sha256:0a1b
{"name":"web","chart":{"metadata":{"name":"web","version":"1.0.0"},"files":null},"hooks":null,
"manifest":"---\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\n"}"#;

    #[test]
    fn a_dry_run_is_read_whatever_it_leaves_out() {
        for printed in [PRINTED, &PRINTED.replace("null", "[]"), &PRINTED.replace(r#","files":null"#, "")] {
            let printed: Release = serde_json::from_str(json_in(printed)).unwrap();
            assert!(printed.manifest.contains("kind: Service"));
            assert_eq!(printed.hooks.iter().flatten().count(), 0);
            assert_eq!(printed.chart.files.iter().flatten().count(), 0);
        }
        let finished = |stdout: &str, stderr: &str| Finished {
            code: Some(0),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        assert_eq!(pulled(&finished(PRINTED, "")).as_deref(), Some("sha256:0a1b"));
        assert_eq!(pulled(&finished("{}", "Pulled: a\nDigest: sha256:2c\n")).as_deref(), Some("sha256:2c"));
        assert_eq!(pulled(&finished("{}", "")), None);
    }

    #[test]
    fn a_definition_tells_what_it_brings() {
        let definition = serde_json::json!({"kind": DEFINITION, "spec": {
            "group": "example.org", "names": {"kind": "Thing"}, "versions": [{"name": "v1"}, {"name": "v2"}],
        }});
        let brought = ["example.org/v1", "example.org/v1/Thing", "example.org/v2", "example.org/v2/Thing"];
        assert_eq!(defined(&definition), brought);
        assert_eq!(defined(&serde_json::json!({"kind": "Service"})), [""; 0]);
    }
}
