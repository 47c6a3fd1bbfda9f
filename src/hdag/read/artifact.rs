//! `artifact`: the chart of a service and the values that the descriptor gives it.
//!
//! The reference ends up on a command line, so only references that an OCI registry could serve are accepted.
//! Values are free, except where placement writes into them.

use oci_spec::distribution::Reference;
use serde_json::{Map, Value};

use super::reader::{Object, Report};
use crate::hdag::tree::{Spans, quoted};
use crate::hdag::values::{WOT_VALUES, is_wot};

const SCHEME: &str = "oci://";
const MAX_REFERENCE: usize = 512;

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
    let artifact =
        service.object("artifact", &["ociImage", "ociConfig", "ociRun", "valuesOverwrite"], report);
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
    for found in spans.map(|spans| spans.legacy_booleans(&pointer)).unwrap_or_default() {
        report.warn(found, "is read as a boolean, as YAML 1.1 does; write true or false, or quote it");
    }
    let chart = read_chart(&artifact, report)?;
    Some(Artifact { chart, kind, implementer, values })
}

fn read_chart(artifact: &Object<'_>, report: &mut Report) -> Option<String> {
    let pointer = artifact.pointer_to("ociImage");
    let Some(node) = artifact.get("ociImage") else {
        report.error(pointer, "is required: an OCI reference such as oci://host/project/name:version");
        return None;
    };
    let text = node.text(report)?;
    match check_reference(text) {
        Ok(()) => Some(text.to_owned()),
        Err(problem) => {
            let message = format!(
                "{} is not an OCI reference such as oci://host/project/name:version: {problem}",
                quoted(text)
            );
            report.error(pointer, message);
            None
        }
    }
}

fn check_reference(text: &str) -> Result<(), String> {
    if text.len() > MAX_REFERENCE {
        return Err(format!("it is longer than {MAX_REFERENCE} bytes"));
    }
    let reference = text.strip_prefix(SCHEME).ok_or_else(|| format!("it does not begin with {SCHEME}"))?;
    let (host, path) = reference.split_once('/').ok_or("it has no path to a chart")?;
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    // Helm writes the '+' of a semantic version as '_', which tags allow.
    let (path, tag) = path.rsplit_once(':').map_or((path, String::new()), |(path, tag)| {
        (path, format!(":{}", if path.contains('@') { tag.to_owned() } else { tag.replace('+', "_") }))
    });
    let parsed: Result<Reference, _> = format!("{host}/{path}{tag}").parse();
    parsed.map(|_| ()).map_err(|error| {
        if path.chars().any(|c| c.is_ascii_uppercase()) {
            "the path must be lower case".to_owned()
        } else {
            error.to_string()
        }
    })
}
