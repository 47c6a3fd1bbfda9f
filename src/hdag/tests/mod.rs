//! Tests of the language, through its public functions.

mod brussels;
mod defaults;
mod hostile;
mod placing;
mod quantities;
mod refusals;
mod rules;
mod schema;
mod smo;
mod wild;

use super::*;

fn yaml(text: &str) -> Result<Parsed, ParseError> {
    parse(text, Format::Yaml, &IntentMapping::default(), &Limits::default())
}

fn json(text: &str) -> Result<Parsed, ParseError> {
    parse(text, Format::Json, &IntentMapping::default(), &Limits::default())
}

fn findings(result: Result<Parsed, ParseError>) -> Vec<Finding> {
    match result {
        Err(ParseError::Invalid(findings)) => findings,
        other => panic!("not refused: {other:?}"),
    }
}

/// `line:column pointer: message`, one line each.
fn lines(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let place = finding.location.map(|at| format!("{}:{} ", at.line, at.column)).unwrap_or_default();
        format!("{place}{}: {}", finding.pointer, finding.message)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A graph of services with an auto trigger, each given as (id, more YAML below `deployment` in flow style).
fn graph(services: &[(&str, &str)]) -> String {
    let mut text = "hdaGraph:\n  id: g\n  services:\n".to_owned();
    for (id, deployment) in services {
        text += &format!(
            "  - id: {id}\n    deployment: {{{deployment}}}\n    artifact: {{ociImage: 'oci://h/p/{id}'}}\n"
        );
    }
    text
}

/// The same graph with one service `a` and this trigger or intent.
fn one(deployment: &str) -> String {
    graph(&[("a", deployment)])
}
