//! The alert rules of a graph, made from the events of its conditional services: one object per graph. Pure
//! but for applying and removing it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::rule_health::RulesState;
use super::{Change, Resource, ResourceId, ResourceKind, State, Unwanted, Wanted};
use crate::clients::{AlertRule, ClientError, GraphRules, Outside};
use crate::hdag::{
    Event, EventCondition, Trigger, alert_expression, longest_duration, slug, without_template,
};
use crate::model::condition::{self, ConditionUpdate};
use crate::model::{Desired, GraphRecord, ServiceRecord, owner_of};

/// Longest name of an object that Kubernetes accepts as a DNS label.
const NAME_LENGTH: usize = 63;

/// Name of the PrometheusRule object of a graph.
#[must_use]
pub(in crate::reconcile) fn object_name(graph: &str) -> String {
    format!("smo-{}", slug(graph, NAME_LENGTH - 4))
}

/// The rules object as it should be: `None` when the graph has no conditional service, `Some(None)` when it
/// has, but is not to run.
#[must_use]
pub(in crate::reconcile) fn wanted(
    graph: &GraphRecord,
    services: &[ServiceRecord],
    severity: &str,
) -> Option<Option<GraphRules>> {
    rules_of(graph, services, severity).map(|rules| (graph.desired == Desired::Running).then_some(rules))
}

/// The rules object as a resource, from its desired and its observed state; `observed` is `None` when
/// unknown.
#[must_use]
pub(in crate::reconcile) fn resource(
    graph: &GraphRecord,
    wanted: Option<GraphRules>,
    observed: Option<&Option<GraphRules>>,
) -> Resource {
    let change = match wanted {
        Some(wanted) if observed.is_some_and(|observed| observed.as_ref() == Some(&wanted)) => Change::Keep,
        Some(wanted) => Change::Apply(Wanted::Rules(wanted)),
        None if observed == Some(&None) => Change::Absent,
        None => Change::Remove(Unwanted::Rules { object_name: object_name(&graph.name) }),
    };
    Resource { id: id(graph), change, after: BTreeSet::new() }
}

/// Names the rules object among the resources of its graph.
pub(in crate::reconcile) fn id(graph: &GraphRecord) -> ResourceId {
    ResourceId::new(ResourceKind::Rules, &object_name(&graph.name))
}

/// Writes a rules object.
pub(super) async fn apply(outside: &Outside, rules: &GraphRules) -> Result<(), ClientError> {
    outside.apply_rules(rules).await
}

/// Removes a rules object.
pub(super) async fn remove(outside: &Outside, object_name: &str) -> Result<(), ClientError> {
    outside.delete_rules(object_name).await
}

/// The condition `RulesPublished`; `None` when the graph has no rules.
pub(in crate::reconcile) fn condition(
    wanted: Option<&GraphRules>,
    state: Option<&State>,
    health: Option<RulesState>,
) -> Option<ConditionUpdate> {
    match (wanted, state) {
        (_, Some(State::Failed(error))) => {
            Some(ConditionUpdate::new(condition::RULES_NOT_PUBLISHED, error.to_string()))
        }
        (Some(rules), Some(State::Present)) => {
            let (object, count) = (&rules.object_name, rules.rules.len());
            Some(match health {
                Some(RulesState::NotLoaded) => {
                    let message = format!(
                        "Prometheus has not loaded {object}: does its ruleSelector want the labels of monitoring.rule_labels, \
                         and its ruleNamespaceSelector the namespace?"
                    );
                    ConditionUpdate::new(condition::RULES_NOT_LOADED, message)
                }
                Some(RulesState::Loaded(failing)) if !failing.is_empty() => {
                    let causes = failing.iter().map(|(alert, error)| format!("{alert}: {error}"));
                    let message =
                        format!("Prometheus cannot evaluate {}", causes.collect::<Vec<_>>().join("; "));
                    ConditionUpdate::new(condition::RULES_FAIL, message)
                }
                _ => ConditionUpdate::new(
                    condition::RULES_ARE_PUBLISHED,
                    format!("alert rules in {object}: {count}"),
                ),
            })
        }
        _ => None,
    }
}

/// The condition `RulesPublished` of a graph with rules when there is nowhere to publish them.
pub(in crate::reconcile) fn not_configured() -> ConditionUpdate {
    let message = "no monitoring cluster is configured (MONITORING_KUBECONFIG): nothing can raise the alert";
    ConditionUpdate::new(condition::RULES_NOT_CONFIGURED, message)
}

/// The rules of a graph; `None` when it has no conditional service.
fn rules_of(graph: &GraphRecord, services: &[ServiceRecord], severity: &str) -> Option<GraphRules> {
    let rules: Vec<AlertRule> = services
        .iter()
        .filter_map(|service| match &service.trigger {
            Trigger::Event { condition, events } => Some((service, condition, events)),
            Trigger::Auto { .. } => None,
        })
        .flat_map(|(service, condition, events)| {
            let labels = labels(graph, service, severity);
            let groups: Vec<&[Event]> = match condition {
                EventCondition::Any => events.chunks(1).collect(),
                EventCondition::All => vec![events.as_slice()],
            };
            let rules = service.trigger.alerts().into_iter().zip(groups);
            rules.map(|(alert, events)| rule_of(alert, events, &labels)).collect::<Vec<_>>()
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
        .map(|(key, value)| (key.to_owned(), without_template(value)))
        .collect()
}

/// The rule for these events together: it holds as long as the longest of the grace periods asks.
fn rule_of(alert: String, events: &[Event], labels: &BTreeMap<String, String>) -> AlertRule {
    let descriptions: Vec<&str> = events.iter().map(|event| event.description.as_str()).collect();
    let description = without_template(&descriptions.join("; "));
    AlertRule {
        alert,
        expr: alert_expression(events.iter().map(|event| event.prom_query.as_str())),
        for_duration: longest_duration(events.iter().map(|event| event.grace_period.as_str())).to_owned(),
        labels: labels.clone(),
        annotations: ["description", "summary"].map(|key| (key.to_owned(), description.clone())).into(),
    }
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
        let without = "max without (alertname, graph, project, service, severity)";
        assert_eq!(rules[1].expr, format!("{without} ((b > 2))"));
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
        let without = "max without (alertname, graph, project, service, severity)";
        assert_eq!(rules[0].expr, format!("{without} ((a > 1) and on() (b or c))"));
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

    #[test]
    fn rules_are_written_when_they_differ_or_are_not_known_and_removed_when_the_graph_shall_not_run() {
        fn rules(graph: &GraphRecord) -> Option<GraphRules> {
            wanted(graph, &[conditional("vo")], "critical").unwrap()
        }
        fn change(graph: &GraphRecord, observed: Option<&Option<GraphRules>>) -> Change {
            resource(graph, rules(graph), observed).change
        }
        let mut graph = graph("g");
        let rules = rules(&graph).unwrap();
        let written = Change::Apply(Wanted::Rules(rules.clone()));
        let other = GraphRules { rules: Vec::new(), ..rules.clone() };
        assert_eq!(change(&graph, None), written);
        assert_eq!(change(&graph, Some(&None)), written);
        assert_eq!(change(&graph, Some(&Some(other))), written);
        assert_eq!(change(&graph, Some(&Some(rules.clone()))), Change::Keep);
        graph.desired = Desired::Stopped;
        let removed = Change::Remove(Unwanted::Rules { object_name: rules.object_name.clone() });
        assert_eq!(change(&graph, None), removed);
        assert_eq!(change(&graph, Some(&Some(rules))), removed);
        assert_eq!(change(&graph, Some(&None)), Change::Absent);
    }
}
