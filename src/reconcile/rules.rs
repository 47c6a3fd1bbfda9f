//! Alert rules of a graph: what the events of its conditional services become in Prometheus. Pure.

use std::collections::BTreeMap;

use crate::clients::{AlertRule, GraphRules};
use crate::hdag::{Event, EventCondition, Trigger, longest_duration, slug};
use crate::model::{GraphRecord, ServiceRecord, owner_of};

/// Longest name of an object that Kubernetes takes where a DNS label is wanted.
const NAME_LENGTH: usize = 63;

/// Name of the PrometheusRule object of a graph.
#[must_use]
pub fn object_name(graph: &str) -> String {
    format!("smo-{}", slug(graph, NAME_LENGTH - 4))
}

/// The rules of a graph; `None` when it has no conditional service.
#[must_use]
pub fn rules_of(graph: &GraphRecord, services: &[ServiceRecord], severity: &str) -> Option<GraphRules> {
    let rules: Vec<AlertRule> = services
        .iter()
        .filter_map(|service| match &service.trigger {
            Trigger::Event { condition, events } => Some((service, condition, events)),
            Trigger::Auto { .. } => None,
        })
        .flat_map(|(service, condition, events)| {
            let labels = labels(graph, service, severity);
            match condition {
                EventCondition::Any => events.iter().map(|event| rule_of(event, &labels)).collect(),
                EventCondition::All => vec![combined_rule(events, &labels)],
            }
        })
        .collect();
    (!rules.is_empty()).then(|| GraphRules {
        object_name: object_name(&graph.name),
        owner: owner_of(&graph.name),
        rules,
    })
}

fn labels(graph: &GraphRecord, service: &ServiceRecord, severity: &str) -> BTreeMap<String, String> {
    [("severity", severity), ("service", &service.name), ("graph", &graph.name), ("project", &graph.project)]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn rule_of(event: &Event, labels: &BTreeMap<String, String>) -> AlertRule {
    AlertRule {
        alert: event.id.clone(),
        expr: event.prom_query.clone(),
        for_duration: event.grace_period.clone(),
        labels: labels.clone(),
        annotations: annotations(&event.description),
    }
}

/// All events at once: `and on()` joins expressions whose labels differ, and the whole holds as long as the
/// longest of the grace periods asks.
fn combined_rule(events: &[Event], labels: &BTreeMap<String, String>) -> AlertRule {
    let join = |part: fn(&Event) -> String, separator: &str| {
        events.iter().map(part).collect::<Vec<_>>().join(separator)
    };
    let longest = longest_duration(events.iter().map(|event| event.grace_period.as_str())).to_owned();
    AlertRule {
        alert: join(|event| event.id.clone(), "-and-"),
        expr: join(|event| format!("({})", event.prom_query), " and on() "),
        for_duration: longest,
        labels: labels.clone(),
        annotations: annotations(&join(|event| event.description.clone(), "; ")),
    }
}

fn annotations(description: &str) -> BTreeMap<String, String> {
    ["description", "summary"].into_iter().map(|key| (key.to_owned(), description.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::{conditional, event, graph, service};

    #[test]
    fn any_gives_one_rule_per_event_with_the_labels_that_route_it_back() {
        let mut vo = conditional("vo");
        let events = vec![event("e1", "a > 1", "5s"), event("e2", "b > 2", "1m")];
        vo.trigger = Trigger::Event { condition: EventCondition::Any, events };
        let rules = rules_of(&graph("g"), &[service("a"), vo], "critical").unwrap().rules;
        assert_eq!(rules.iter().map(|rule| rule.alert.as_str()).collect::<Vec<_>>(), ["e1", "e2"]);
        assert_eq!(rules[1].expr, "b > 2");
        assert_eq!(rules[1].for_duration, "1m");
        let labels: Vec<_> = rules[0].labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(labels, ["graph=g", "project=project", "service=vo", "severity=critical"]);
        assert_eq!(rules[0].annotations["summary"], "e1 happened");
    }

    #[test]
    fn all_gives_one_rule_with_every_expression_and_the_longest_grace_period() {
        let mut vo = conditional("vo");
        let events = vec![event("e1", "a > 1", "90s"), event("e2", "b or c", "1m")];
        vo.trigger = Trigger::Event { condition: EventCondition::All, events };
        let rules = rules_of(&graph("g"), &[vo], "critical").unwrap().rules;
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].expr, "(a > 1) and on() (b or c)");
        assert_eq!(rules[0].for_duration, "90s");
        assert_eq!(rules[0].alert, "e1-and-e2");
    }

    #[test]
    fn a_graph_without_conditional_services_has_no_rules() {
        assert_eq!(rules_of(&graph("g"), &[service("a")], "critical"), None);
    }

    #[test]
    fn object_names_are_valid_and_differ_for_graphs_that_look_alike() {
        let (one, other) = (object_name("Größe 1"), object_name("Größe-1"));
        assert_ne!(one, other);
        for name in [one, other, object_name(&"x".repeat(253))] {
            assert!(
                name.len() <= NAME_LENGTH && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                "{name}"
            );
        }
    }
}
