//! The sections `smo` of the graph and of its services: what the information model has no words for.
//!
//! Whether a strategy of that name exists is known to the server only; everything else is checked here.

use std::collections::BTreeMap;

use super::reader::{Node, Object, Report};
use super::references::References;
use super::service::without_repeats;
use super::{Context, scaling};
use crate::hdag::parameters::{PARAMETERS, Parameters, WEIGHTS, check_weight};
use crate::hdag::tree::quoted;
use crate::hdag::{PlacementWishes, Propagation, ScalingRequest, ScalingWishes};

/// Most characters of the name of a strategy or a site.
const MAX_NAME: usize = 253;

/// The contents of the graph's section.
pub(super) struct GraphWishes {
    pub(super) placement: PlacementWishes,
    pub(super) scaling: ScalingWishes,
    pub(super) site: Option<String>,
}

/// The contents of a service's section.
pub(super) struct ServiceWishes {
    pub(super) anti_affinity: Vec<String>,
    pub(super) move_weight: f64,
    pub(super) traffic: BTreeMap<String, f64>,
    pub(super) scaling: ScalingRequest,
    pub(super) propagation: Option<Propagation>,
    pub(super) discards_volumes: bool,
}

/// Reads the graph's section; absent, nothing is wished for.
pub(super) fn read_graph(graph: &Object<'_>, report: &mut Report) -> GraphWishes {
    let smo = graph.object("smo", &["placement", "site", "scaling"], report);
    let placement = smo.object("placement", &["strategy", "strict", "parameters", "weights"], report);
    GraphWishes {
        placement: PlacementWishes {
            strategy: name(&placement, "strategy", report),
            strict: optional_flag(&placement, "strict", report),
            parameters: numbers(&placement, "parameters", &PARAMETERS, report),
            weights: numbers(&placement, "weights", &WEIGHTS, report),
        },
        scaling: scaling::read_graph(&smo, report),
        site: name(&smo, "site", report),
    }
}

/// Reads a service's section; `id` is the service's own name, if it is readable.
pub(super) fn read_service(
    service: &Object<'_>,
    id: Option<&str>,
    context: &Context<'_>,
    references: &mut References,
    report: &mut Report,
) -> ServiceWishes {
    let known = ["scaling", "antiAffinity", "moveWeight", "traffic", "propagation", "volumes"];
    let smo = service.object("smo", &known, report);
    ServiceWishes {
        anti_affinity: read_anti_affinity(&smo, id, references, report),
        move_weight: number(&smo, "moveWeight", check_weight, report).unwrap_or(1.0),
        traffic: read_traffic(&smo, id, references, report),
        scaling: scaling::read_service(&smo, context, references, report),
        propagation: choice(&smo, "propagation", &PROPAGATION, report).flatten(),
        discards_volumes: choice(&smo, "volumes", &VOLUMES, report).unwrap_or(false),
    }
}

/// Values of `propagation`.
const PROPAGATION: [(&str, Option<Propagation>); 3] =
    [("auto", None), ("chart", Some(Propagation::Chart)), ("managed", Some(Propagation::Managed))];
/// Values of `volumes`: whether their data may be left behind.
const VOLUMES: [(&str, bool); 2] = [("keep", false), ("discard", true)];

pub(super) fn choice<T: Copy>(
    object: &Object<'_>,
    field: &str,
    known: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    let text = object.text(field, report)?;
    let found = known.iter().find(|(name, _)| *name == text);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        report
            .error(object.pointer_to(field), format!("is {}; known are {}", quoted(text), names.join(", ")));
    }
    found.map(|(_, value)| *value)
}

fn read_anti_affinity(
    smo: &Object<'_>,
    id: Option<&str>,
    references: &mut References,
    report: &mut Report,
) -> Vec<String> {
    let mut names = Vec::new();
    for node in smo.items("antiAffinity", report) {
        let Some(target) = node.text(report) else { continue };
        references.require(&node.pointer, target);
        refuse_self(&node.pointer, target, id, report);
        names.push(target.to_owned());
    }
    without_repeats(names)
}

fn read_traffic(
    smo: &Object<'_>,
    id: Option<&str>,
    references: &mut References,
    report: &mut Report,
) -> BTreeMap<String, f64> {
    let mut traffic = BTreeMap::new();
    for (target, node) in smo.entries("traffic", report) {
        references.require(&node.pointer, target);
        refuse_self(&node.pointer, target, id, report);
        if let Some(weight) = checked(&node, check_weight, report) {
            traffic.insert(target.to_owned(), weight);
        }
    }
    traffic
}

fn refuse_self(pointer: &str, target: &str, id: Option<&str>, report: &mut Report) {
    if id == Some(target) {
        report.error(pointer, "must be another service, not the service itself");
    }
}

/// A text that is not empty and not long.
pub(super) fn name(object: &Object<'_>, field: &str, report: &mut Report) -> Option<String> {
    let text = object.text(field, report)?;
    let length = text.chars().count();
    if text.trim().is_empty() {
        report.error(object.pointer_to(field), "must not be empty");
    } else if length > MAX_NAME {
        let message = format!("has {length} characters; at most {MAX_NAME} are allowed");
        report.error(object.pointer_to(field), message);
    } else {
        return Some(text.to_owned());
    }
    None
}

pub(super) fn optional_flag(object: &Object<'_>, field: &str, report: &mut Report) -> Option<bool> {
    object.get(field)?.flag(report)
}

pub(super) fn number(
    object: &Object<'_>,
    field: &str,
    check: fn(f64) -> Result<(), String>,
    report: &mut Report,
) -> Option<f64> {
    checked(&object.get(field)?, check, report)
}

fn numbers<T>(
    object: &Object<'_>,
    field: &str,
    known: &Parameters<T>,
    report: &mut Report,
) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::new();
    for (name, node) in object.entries(field, report) {
        if let Some(value) = checked(&node, |value| known.check(name, value), report) {
            numbers.insert(name.to_owned(), value);
        }
    }
    numbers
}

fn checked(node: &Node<'_>, check: impl Fn(f64) -> Result<(), String>, report: &mut Report) -> Option<f64> {
    let value = node.number(report)?;
    if let Err(problem) = check(value) {
        report.error(&node.pointer, problem);
        return None;
    }
    Some(value)
}
