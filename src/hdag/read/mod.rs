//! From a JSON value to a [`Descriptor`]: one walk that fills in defaults, checks everything, and collects
//! all errors and warnings. YAML, JSON and stored documents take the same walk.

mod artifact;
mod custom;
mod reader;
mod references;
mod scaling;
mod service;
mod trigger;
mod wishes;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use serde_json::Value;

use reader::{Node, Object, Report};
use references::References;

use super::expression::{Kind, Scan, check_size, parse};
use super::tree::{Joined, Places, Spans, escape_pointer, quoted};
use super::{Descriptor, Finding, GraphIntent, IntentMapping, Limits, Parsed};

const MAX_GRAPH_ID: usize = 253;
/// Most names, numbers, texts and signs of all PromQL expressions together.
const MAX_TOKENS: usize = 100_000;

const GRAPH_FIELDS: [&str; 8] =
    ["imVersion", "id", "version", "designer", "description", "hdaGraphIntent", "services", "smo"];
const INTENT_FIELDS: [&str; 5] =
    ["useStaticPlacement", "security", "highAvailability", "highPerformance", "energyEfficiency"];

/// Inputs of the walk besides the document.
struct Context<'a> {
    mapping: &'a IntentMapping,
    limits: &'a Limits,
    spans: Option<&'a Spans>,
    /// Verdicts on PromQL expressions, since aliases can repeat a costly one thousands of times.
    expressions: RefCell<HashMap<String, Result<Kind, String>>>,
    /// Names, numbers, texts and signs of these.
    tokens: Cell<usize>,
}

impl<'a> Context<'a> {
    fn new(mapping: &'a IntentMapping, limits: &'a Limits, spans: Option<&'a Spans>) -> Self {
        Self { mapping, limits, spans, expressions: RefCell::default(), tokens: Cell::default() }
    }

    /// What a PromQL expression gives; an error when it cannot be used, or there are too many to check them all.
    fn check_expression(&self, expression: &str) -> Result<Kind, String> {
        if let Some(verdict) = self.expressions.borrow().get(expression) {
            return verdict.clone();
        }
        let scan = Scan::new(expression);
        let verdict = check_size(expression, &scan)
            .and_then(|()| self.count(scan.tokens))
            .and_then(|()| parse(expression, &scan));
        self.expressions.borrow_mut().insert(expression.to_owned(), verdict.clone());
        verdict
    }

    /// Adds the tokens of an expression that is to be parsed.
    fn count(&self, tokens: usize) -> Result<(), String> {
        self.tokens.set(self.tokens.get().saturating_add(tokens));
        if self.tokens.get() > MAX_TOKENS {
            return Err(format!(
                "the PromQL expressions up to this one have more than {MAX_TOKENS} names, numbers, texts and signs"
            ));
        }
        Ok(())
    }
}

/// Reads a whole text, whose single key is `hdaGraph`.
pub(super) fn text(
    mut value: Value,
    places: Places<'_>,
    mapping: &IntentMapping,
    limits: &Limits,
) -> Result<Parsed, Vec<Finding>> {
    let context = Context::new(mapping, limits, places.read());
    let mut report = Report::default();
    if value.is_null() {
        report.error("", "is empty: a descriptor is an object with the single key hdaGraph");
        return finish(None, None, report, places);
    }
    if let Some(spans) = places.read() {
        read_values_as_yaml_1_1(&mut value, spans);
    }
    let root = Node { pointer: String::new(), value: &value }.object(&["hdaGraph"], &mut report);
    if root.exists() && root.get("hdaGraph").is_none() {
        report.error("/hdaGraph", "is required: a descriptor is an object with the single key hdaGraph");
    }
    let graph = root.get("hdaGraph").and_then(|node| read_graph(node, &context, &mut report));
    let document = value.get_mut("hdaGraph").map(Value::take);
    finish(graph, document, report, places)
}

/// Turns the words that YAML 1.1 reads as booleans or octal numbers into these, below every `valuesOverwrite`. Charts of
/// the original's users rely on it: `PyYAML` reads an unquoted `no` as false, and Helm takes the text "no"
/// for true; both read `0644` as a mode of files.
fn read_values_as_yaml_1_1(value: &mut Value, spans: &Spans) {
    let services = value.pointer_mut("/hdaGraph/services").and_then(Value::as_array_mut);
    for (index, service) in services.into_iter().flatten().enumerate() {
        if let Some(values) = service.pointer_mut("/artifact/valuesOverwrite") {
            spans.read_legacy(&format!("/hdaGraph/services/{index}/artifact/valuesOverwrite"), values);
        }
    }
}

/// Reads the value under `hdaGraph`.
pub(super) fn document(
    document: Value,
    mapping: &IntentMapping,
    limits: &Limits,
) -> Result<Parsed, Vec<Finding>> {
    let context = Context::new(mapping, limits, None);
    let mut report = Report::default();
    let node = Node { pointer: "/hdaGraph".to_owned(), value: &document };
    let graph = read_graph(node, &context, &mut report);
    finish(graph, Some(document), report, Places::Unknown)
}

fn finish(
    graph: Option<Descriptor>,
    document: Option<Value>,
    report: Report,
    places: Places<'_>,
) -> Result<Parsed, Vec<Finding>> {
    let (errors, warnings) = report.finish(places);
    match (graph, document) {
        (Some(mut descriptor), Some(document)) if errors.is_empty() => {
            descriptor.document = document;
            Ok(Parsed { descriptor, warnings })
        }
        _ => Err(errors),
    }
}

/// The graph with an empty `document`; `None` after an error that leaves nothing to build from.
fn read_graph(node: Node<'_>, context: &Context<'_>, report: &mut Report) -> Option<Descriptor> {
    refuse_nul(node.value, &mut vec![node.pointer.as_str().into()], report);
    let graph = node.object(&GRAPH_FIELDS, report);
    if !graph.exists() {
        return None;
    }
    for name in ["imVersion", "version", "designer", "description"] {
        graph.check_scalar(name, report);
    }
    let id = read_id(&graph, report);
    let intent = read_intent(&graph, context, report);
    let wishes = wishes::read_graph(&graph, report);
    let services = graph.items("services", report);
    if services.is_empty() && graph.get("services").is_none_or(|node| node.value.is_array()) {
        report.error(graph.pointer_to("services"), "must have at least one service");
    }
    if services.len() > context.limits.max_services {
        let message =
            format!("has {} services; at most {} are allowed", services.len(), context.limits.max_services);
        report.error(graph.pointer_to("services"), message);
        return None;
    }
    let mut references = References::default();
    let services: Vec<_> = services
        .into_iter()
        .enumerate()
        .map(|(index, node)| service::read(index, node, context, &mut references, report))
        .collect();
    references.check(report);
    let mut services = services.into_iter().collect::<Option<Vec<_>>>()?;
    for service in &mut services {
        service.site = service.site.take().or_else(|| wishes.site.clone());
    }
    Some(Descriptor {
        document: Value::Null,
        id: id?,
        intent,
        placement: wishes.placement,
        scaling: wishes.scaling,
        services,
    })
}

fn read_id(graph: &Object<'_>, report: &mut Report) -> Option<String> {
    let pointer = graph.pointer_to("id");
    let Some(node) = graph.get("id") else {
        report.error(pointer, "is required: the name of the graph");
        return None;
    };
    let id = node.text(report)?;
    let length = id.chars().count();
    let problem = if length == 0 {
        "must not be empty".to_owned()
    } else if length > MAX_GRAPH_ID {
        format!("has {length} characters; at most {MAX_GRAPH_ID} are allowed")
    } else if id.contains('/') {
        format!("{} must not contain '/'", quoted(id))
    } else if id.chars().any(char::is_control) {
        format!("{} must not contain control characters", quoted(id))
    } else if id.trim() != id {
        format!("{} must not begin or end with a blank", quoted(id))
    } else if matches!(id, "." | "..") {
        format!("{id:?} cannot be a name, because paths of URLs lose it")
    } else {
        return Some(id.to_owned());
    };
    report.error(pointer, format!("graph id {problem}"));
    None
}

fn read_intent(graph: &Object<'_>, context: &Context<'_>, report: &mut Report) -> GraphIntent {
    let intent = graph.intents("hdaGraphIntent", &context.mapping.mapped, &INTENT_FIELDS, report);
    let availability =
        intent.object("highAvailability", &["enabled", "minReplicasOverall", "maxReplicasOverall"], report);
    let min = availability.natural("minReplicasOverall", report);
    let max = availability.natural("maxReplicasOverall", report);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let message = format!("is {min}, which is more than maxReplicasOverall, {max}");
        report.error(availability.pointer_to("minReplicasOverall"), message);
    }
    let high_availability = availability.flag("enabled", report);
    for field in ["minReplicasOverall", "maxReplicasOverall"].into_iter().filter(|_| !high_availability) {
        if availability.get(field).is_some() {
            report.warn(availability.pointer_to(field), "has no effect unless highAvailability is enabled");
        }
    }
    GraphIntent {
        use_static_placement: intent.flag("useStaticPlacement", report),
        security: intent.enabled("security", report),
        high_availability,
        min_replicas_overall: min,
        max_replicas_overall: max,
        high_performance: intent.enabled("highPerformance", report),
        energy_efficiency: intent.enabled("energyEfficiency", report),
        custom: std::mem::take(&mut report.custom),
    }
}

/// No database text and no command line can hold a NUL character, so it is refused wherever it stands.
fn refuse_nul<'a>(value: &'a Value, path: &mut Vec<Cow<'a, str>>, report: &mut Report) {
    match value {
        Value::String(text) if text.contains('\0') => {
            report.error(Joined(path), "must not contain a NUL character");
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string().into());
                refuse_nul(item, path, report);
                path.pop();
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                path.push(escape_pointer(name));
                if name.contains('\0') {
                    report.error(Joined(path), "field name must not contain a NUL character");
                }
                refuse_nul(item, path, report);
                path.pop();
            }
        }
        _ => {}
    }
}
