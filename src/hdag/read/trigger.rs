//! `deployment.trigger`: with the graph after other services, or when monitored conditions hold.
//!
//! An accepted trigger can be written into a Prometheus rule: expressions and durations parse, event ids
//! are usable as alert names. A trigger without a known field is `auto`, with a warning.

use std::collections::HashSet;

use super::Context;
use super::reader::{Node, Object, Report};
use super::references::References;
use super::service::read_references;
use crate::hdag::rules::{alert_of, parse_duration};
use crate::hdag::tree::quoted;
use crate::hdag::{Event, EventCondition, Trigger};

const MAX_EVENT_ID: usize = 253;

/// The trigger; where it differs from the descriptor, errors have been reported.
pub(super) fn read(
    deployment: &Object<'_>,
    label: &str,
    context: &Context<'_>,
    references: &mut References,
    report: &mut Report,
) -> Trigger {
    let trigger = deployment.object("trigger", &["auto", "event"], report);
    let (auto, event) = (trigger.has("auto"), trigger.get("event").is_some());
    if auto && event && trigger.get("auto").is_some() {
        report.error(&trigger.pointer, format!("{label} has both an auto and an event trigger; give one"));
    }
    if event {
        return read_event(&trigger, context, references, report);
    }
    if !auto {
        let pointer = trigger.pointer.clone();
        report.warn(pointer, format!("{label} has no trigger of kind auto or event; auto is assumed"));
    }
    let auto = trigger.object("auto", &["dependencies"], report);
    let dependencies = read_references(&auto, "dependencies", references, report);
    references.depends(&auto.pointer_to("dependencies"), &dependencies);
    Trigger::Auto { dependencies }
}

fn read_event(
    trigger: &Object<'_>,
    context: &Context<'_>,
    references: &mut References,
    report: &mut Report,
) -> Trigger {
    let event = trigger.object("event", &["condition", "events"], report);
    let nodes = event.items("events", report);
    if nodes.is_empty() && event.get("events").is_none_or(|node| node.value.is_array()) {
        report.error(event.pointer_to("events"), "must have at least one event");
    }
    let condition = read_combination(&event, nodes.len(), report);
    let mut seen = HashSet::new();
    let mut events = Vec::new();
    for node in nodes {
        let Some((event, pointer)) = read_one(node, context, report) else { continue };
        if !seen.insert(event.id.clone()) {
            report.error(pointer, format!("event id {} is used twice by this service", quoted(&event.id)));
        }
        events.push(event);
    }
    if condition == EventCondition::All {
        check_together(&event.pointer_to("events"), &events, context, report);
    }
    references.conditional();
    Trigger::Event { condition, events }
}

/// Events that must all hold become one expression, which has to be one that can be used.
fn check_together(pointer: &str, events: &[Event], context: &Context<'_>, report: &mut Report) {
    let kind = |event: &'_ Event| context.check_expression(&event.prom_query).ok();
    let kinds: Vec<_> = events.iter().map(kind).collect();
    // Faults of single expressions have been reported.
    if kinds.iter().any(Option::is_none) {
        return;
    }
    let whole = alert_of(events.iter().map(|event| event.prom_query.as_str()).zip(kinds));
    if let Err(problem) = context.check_expression(&whole) {
        report.error(pointer, format!("all together: {problem}"));
    }
}

fn read_combination(event: &Object<'_>, count: usize, report: &mut Report) -> EventCondition {
    let pointer = event.pointer_to("condition");
    let Some(text) = event.text("condition", report) else {
        if count > 1 && event.get("condition").is_none() {
            report.warn(pointer, "does not say how the events combine; ANY is assumed");
        }
        return EventCondition::Any;
    };
    match text.to_ascii_uppercase().as_str() {
        "ANY" => EventCondition::Any,
        "ALL" => EventCondition::All,
        "OR" => {
            report.warn(pointer, format!("{text:?} is taken as ANY"));
            EventCondition::Any
        }
        "AND" => {
            report.warn(pointer, format!("{text:?} is taken as ALL"));
            EventCondition::All
        }
        _ => {
            report.error(pointer, format!("unknown condition {}; allowed are ANY and ALL", quoted(text)));
            EventCondition::Any
        }
    }
}

/// The event and the pointer of its id.
fn read_one(node: Node<'_>, context: &Context<'_>, report: &mut Report) -> Option<(Event, String)> {
    let event = node.object(&["id", "source", "condition"], report);
    if !event.exists() {
        return None;
    }
    let source = event.get("source");
    if let Some(node) = source.as_ref().filter(|node| node.value.is_string()) {
        report.warn(&node.pointer, "is a text and has no effect; the query says what is looked at");
    }
    let sources = if source.is_some_and(|node| node.value.is_string()) {
        Vec::new()
    } else {
        event.items("source", report)
    };
    for source in sources {
        let source = source.object(&["serviceId", "metricId"], report);
        source.check_scalar("serviceId", report);
        source.check_scalar("metricId", report);
    }
    let id = read_event_id(&event, report);
    let condition = event.object("condition", &["promQuery", "gracePeriod", "description"], report);
    let query = match condition.get("promQuery") {
        Some(node) => node.text(report),
        None => {
            report.error(condition.pointer_to("promQuery"), "is required: a PromQL expression");
            None
        }
    };
    if let Some(Err(problem)) = query.map(|query| context.check_expression(query)) {
        report.error(condition.pointer_to("promQuery"), problem);
    }
    let grace_period = condition.text("gracePeriod", report).unwrap_or("0s");
    if let Err(problem) = parse_duration(grace_period) {
        report.error(condition.pointer_to("gracePeriod"), problem);
    }
    let description = condition.text("description", report).unwrap_or_default();
    let pointer = event.pointer_to("id");
    Some((
        Event {
            id: id?,
            prom_query: query?.to_owned(),
            grace_period: grace_period.to_owned(),
            description: description.to_owned(),
        },
        pointer,
    ))
}

/// The id becomes an alert's name: any label value, but none that a person could not see or type.
fn read_event_id(event: &Object<'_>, report: &mut Report) -> Option<String> {
    let pointer = event.pointer_to("id");
    let Some(node) = event.get("id") else {
        report.error(pointer, "is required: the name of the event's alert");
        return None;
    };
    let id = node.text(report)?;
    if id.trim().is_empty() || id.chars().count() > MAX_EVENT_ID || id.chars().any(char::is_control) {
        let message = format!(
            "event id {} must have 1 to {MAX_EVENT_ID} characters, none of them a control character",
            quoted(id)
        );
        report.error(pointer, message);
        return None;
    }
    Some(id.to_owned())
}
