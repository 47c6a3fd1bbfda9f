//! Which strategy decides a graph's placement, with which parameters, and what its intents ask of clusters. Pure.
//!
//! Later ones win: configuration, project, configured rules of the graph's intents, the intent `energyEfficiency`,
//! the descriptor's `smo` section, the request.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{IntentRule, PlacementSettings};
use crate::error::{Error, Result};
use crate::hdag::Descriptor;
use crate::optimizer::placement::{BUILT_IN, GREEN, Requirement, SolveLimits, Weights};

/// Whether a graph is placed for the first time or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    New,
    Again,
}

/// What a request asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlacementOptions {
    /// Name of the strategy.
    pub strategy: Option<String>,
    /// Refuse what cannot be decided.
    pub strict: Option<bool>,
}

/// How a placement is to be decided.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PlacementPolicy {
    pub(super) strategy: String,
    pub(super) strict: bool,
    pub(super) weights: Weights,
    pub(super) limits: SolveLimits,
    pub(super) warnings: Vec<String>,
    /// What configured rules ask of the clusters of all services, and of single ones.
    everywhere: Vec<Requirement>,
    by_service: BTreeMap<String, Vec<Requirement>>,
}

impl PlacementPolicy {
    pub(super) fn requirements_of(&self, service: &str) -> Vec<Requirement> {
        let own = self.by_service.get(service).into_iter().flatten();
        self.everywhere.iter().chain(own).cloned().collect()
    }
}

/// Puts all layers together.
///
/// # Errors
/// The strategy that wins does not exist.
pub(super) fn resolve(
    settings: &PlacementSettings,
    project: &str,
    descriptor: &Descriptor,
    occasion: Occasion,
    request: &PlacementOptions,
) -> Result<PlacementPolicy> {
    let of_project = settings.projects.get(project);
    let (default, of_project) = match occasion {
        Occasion::New => (&settings.strategy, of_project.and_then(|project| project.strategy.as_ref())),
        Occasion::Again => (
            &settings.replacement_strategy,
            of_project.and_then(|project| project.replacement_strategy.as_ref()),
        ),
    };
    let mut policy = PlacementPolicy {
        strategy: of_project.unwrap_or(default).clone(),
        strict: settings.strict,
        weights: Weights::default(),
        limits: SolveLimits::default(),
        warnings: Vec::new(),
        everywhere: Vec::new(),
        by_service: BTreeMap::new(),
    };
    policy.set(&settings.weights, &settings.limits);
    policy.apply_rules(&settings.intents, descriptor);
    if descriptor.intent.energy_efficiency {
        GREEN.clone_into(&mut policy.strategy);
    }
    let asked = &descriptor.placement;
    policy.set(&asked.weights, &asked.parameters);
    policy.strategy = request.strategy.clone().or(asked.strategy.clone()).unwrap_or(policy.strategy);
    policy.strict = request.strict.or(asked.strict).unwrap_or(policy.strict);
    let known = || BUILT_IN.into_iter().chain(settings.external.keys().map(String::as_str));
    if !known().any(|name| name == policy.strategy) {
        let names: Vec<&str> = known().collect();
        let message =
            format!("there is no placement strategy {:?}; known are {}", policy.strategy, names.join(", "));
        let pointer =
            if request.strategy.is_some() { "/strategy" } else { "/hdaGraph/smo/placement/strategy" };
        return Err(Error::invalid(pointer, message));
    }
    Ok(policy)
}

impl PlacementPolicy {
    fn set(&mut self, weights: &BTreeMap<String, f64>, limits: &BTreeMap<String, f64>) {
        // Names were checked where they were read.
        for (name, value) in weights {
            self.weights.set(name, *value);
        }
        for (name, value) in limits {
            self.limits.set(name, *value);
        }
    }

    fn apply_rules(&mut self, rules: &[IntentRule], descriptor: &Descriptor) {
        for rule in rules {
            if let Some(value) = matching(rule, &descriptor.intent.custom) {
                self.everywhere.extend(requirement(rule, value));
                self.tune(rule);
            }
            for service in &descriptor.services {
                if let Some(value) = matching(rule, &service.custom_intents) {
                    self.by_service.entry(service.id.clone()).or_default().extend(requirement(rule, value));
                    self.tune(rule);
                }
            }
        }
    }

    /// Weights and strategies belong to the graph as a whole, whoever's intent asks for them.
    fn tune(&mut self, rule: &IntentRule) {
        self.set(&rule.weights, &BTreeMap::new());
        if let Some(strategy) = &rule.strategy {
            self.strategy.clone_from(strategy);
        }
    }
}

/// The value of the intent that a rule is about, when it is one that the rule is for.
fn matching<'a>(rule: &IntentRule, intents: &'a BTreeMap<String, Value>) -> Option<&'a Value> {
    let value = intents.get(&rule.path)?;
    rule.applies_to(value).then_some(value)
}

fn requirement(rule: &IntentRule, value: &Value) -> Option<Requirement> {
    let require = rule.require.as_ref()?;
    Some(Requirement {
        intent: format!("{}: {}", rule.path, text(value)),
        attribute: require.attribute.clone(),
        test: require.test.clone(),
        must_be_known: false,
    })
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
