//! `artifact`: the chart of a service and the values that the descriptor gives it.
//!
//! Values are free, except where placement writes into them.

use serde_json::{Map, Value};

use super::reader::{Object, Report};
use crate::hdag::ChartSource;
use crate::hdag::tree::{Spans, quoted};
use crate::hdag::values::{WOT_VALUES, is_wot};

/// Contents of `artifact`.
pub(super) struct Artifact {
    pub(super) chart: String,
    pub(super) kind: String,
    pub(super) implementer: String,
    pub(super) values: Map<String, Value>,
}

/// The artifact; `None` when the chart is missing or wrong (which has been reported).
pub(super) fn read(
    service: &Object<'_>,
    label: &str,
    spans: Option<&Spans>,
    report: &mut Report,
) -> Option<Artifact> {
    let known = ["ociImage", "helm", "ociConfig", "ociRun", "valuesOverwrite"];
    let artifact = service.object("artifact", &known, report);
    let config = artifact.object("ociConfig", &["type", "implementer"], report);
    let run = artifact.object("ociRun", &["name", "version"], report);
    run.check_scalar("name", report);
    run.check_scalar("version", report);
    let kind = config.text("type", report).unwrap_or("App").to_owned();
    let implementer = config.text("implementer", report).unwrap_or("HELM").to_owned();
    let values = artifact.free_object("valuesOverwrite", report).cloned().unwrap_or_default();
    let pointer = artifact.pointer_to("valuesOverwrite");
    if is_wot(&implementer)
        && values.get(WOT_VALUES).is_some_and(|inner| !inner.is_object() && !inner.is_null())
    {
        let message = format!("{label} has the implementer {implementer}, so {WOT_VALUES} must be an object");
        report.error(format!("{pointer}/{WOT_VALUES}"), message);
    }
    if let Some(spans) = spans {
        spans.each_legacy(&pointer, &mut |path, how| report.warn(path, how));
    }
    let chart = read_chart(&artifact, report)?;
    Some(Artifact { chart, kind, implementer, values })
}

fn read_chart(artifact: &Object<'_>, report: &mut Report) -> Option<String> {
    let (image, helm) = (artifact.get("ociImage"), artifact.get("helm"));
    let (pointer, found) = match (image, helm) {
        (Some(_), Some(_)) => {
            report.error(artifact.pointer_to("helm"), "cannot be given together with ociImage");
            return None;
        }
        (None, None) => {
            let message = "is required: a chart reference such as oci://host/project/name:version; or helm, with \
                           repo and chart";
            report.error(artifact.pointer_to("ociImage"), message);
            return None;
        }
        (None, Some(node)) if node.value.is_object() => {
            (artifact.pointer_to("helm"), in_repository(artifact, report)?)
        }
        (Some(node), None) | (None, Some(node)) => {
            let text = node.text(report)?;
            let example = "is not a chart reference such as oci://host/project/name:version or \
                           https://host/name-1.0.0.tgz";
            let named = |problem| format!("{} {example}: {problem}", quoted(&without_login(text)));
            (node.pointer.clone(), ChartSource::parse(text).map_err(named))
        }
    };
    found.map_err(|problem| report.error(pointer, problem)).ok().map(|source| source.to_string())
}

/// A reference without the login that it may have: messages are logged and sent on.
fn without_login(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) if scheme.starts_with("http") => {
            format!("{scheme}://***@{rest}")
        }
        _ => text.to_owned(),
    }
}

/// A chart in a repository; `None` when a field has been reported.
fn in_repository(artifact: &Object<'_>, report: &mut Report) -> Option<Result<ChartSource, String>> {
    let helm = artifact.object("helm", &["repo", "chart", "version"], report);
    let mut required = |name: &str| {
        let text = helm.text(name, report);
        if text.is_none() && helm.get(name).is_none() {
            report.error(helm.pointer_to(name), "is required");
        }
        text
    };
    let (repo, chart) = (required("repo"), required("chart"));
    let version = helm.text("version", report);
    Some(ChartSource::in_repository(repo?, chart?, version))
}
