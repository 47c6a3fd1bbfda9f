//! Settings of placement: strategies, their parameters, and rules for intents beyond the information model.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::intent_rules::{IntentRule, default_rules};
use super::section::{Section, shown};
use super::strategies::{ExternalStrategies, IntentHandler, check_strategy};
use super::value::Parse;
use crate::hdag::{PARAMETERS, Parameters, WEIGHTS};
use crate::optimizer::placement::{BuiltIn, Strategy};

/// Placement.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementSettings {
    /// How long after a change of a graph its use stays reserved, because its clusters' own reports, which
    /// follow at their next status round, may be older.
    pub settle: Duration,
    /// Strategy for new graphs.
    pub strategy: Strategy,
    /// Strategy for graphs that are placed already.
    pub replacement_strategy: Strategy,
    /// Strategies of single projects.
    pub projects: BTreeMap<String, ProjectPlacement>,
    /// Strategies that decide every placement as well, to be compared with the real decision and never applied.
    pub shadow: Vec<Strategy>,
    /// Refuse what cannot be decided (no latency known, no attribute known) instead of warning.
    pub strict: bool,
    /// Weights of the objective that differ from the strategy's own, by the names of [`WEIGHTS`].
    pub weights: BTreeMap<String, f64>,
    /// How hard a decision may try.
    pub limits: PlacementLimits,
    /// Decisions that may wait for a solver; what comes then is refused.
    pub solve_queue: usize,
    /// Strategies over HTTP, by name.
    pub external: ExternalStrategies<BuiltIn>,
    /// Rules for intents beyond the information model.
    pub intents: Vec<IntentRule>,
    /// Programs that say what intents mean, by name.
    pub intent_handlers: BTreeMap<String, IntentHandler>,
}

impl Default for PlacementSettings {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(30),
            strategy: BuiltIn::FirstFit.into(),
            replacement_strategy: BuiltIn::MinMoves.into(),
            projects: BTreeMap::new(),
            shadow: Vec::new(),
            strict: false,
            weights: BTreeMap::new(),
            limits: PlacementLimits::default(),
            solve_queue: 64,
            external: BTreeMap::new(),
            intents: default_rules(),
            intent_handlers: BTreeMap::new(),
        }
    }
}

/// Parameters of all decisions, and the most that a descriptor may ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementLimits {
    /// Seed, budget and thresholds that differ from their defaults, by the names of [`PARAMETERS`].
    pub parameters: BTreeMap<String, f64>,
    /// Longest that any decision may take, of placement or scaling.
    pub max_deadline: Duration,
    /// Most proposals of the local search that may be asked for.
    pub max_iterations: u64,
}

impl Default for PlacementLimits {
    fn default() -> Self {
        Self {
            parameters: BTreeMap::new(),
            max_deadline: Duration::from_secs(10),
            max_iterations: 100_000_000,
        }
    }
}

impl Parse for PlacementLimits {
    fn parse(value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err(format!("expected a mapping, found {value}")) };
        let mut limits = Self::default();
        for (name, value) in fields {
            let read = match name.as_str() {
                "max_deadline" => Duration::parse(value).map(|most| limits.max_deadline = most),
                "max_iterations" => u64::parse(value).map(|most| limits.max_iterations = most),
                _ => f64::parse(value).map(|number| {
                    limits.parameters.insert(name.clone(), number);
                }),
            };
            read.map_err(|message| format!("{name}: {message}"))?;
        }
        Ok(limits)
    }

    fn show(&self) -> Value {
        let mut fields = serde_json::Map::new();
        fields.insert("max_deadline".to_owned(), self.max_deadline.show());
        fields.insert("max_iterations".to_owned(), self.max_iterations.show());
        fields.extend(self.parameters.iter().map(|(name, value)| (name.clone(), value.show())));
        Value::Object(fields)
    }
}

/// Strategies of one project; an absent one is that of all projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectPlacement {
    /// Strategy for new graphs.
    pub strategy: Option<Strategy>,
    /// Strategy for graphs that are placed already.
    pub replacement_strategy: Option<Strategy>,
}

impl Parse for ProjectPlacement {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["strategy", "replacement_strategy"])?;
        Ok(Self {
            strategy: section.get("strategy")?,
            replacement_strategy: section.get("replacement_strategy")?,
        })
    }

    fn show(&self) -> Value {
        shown([
            ("strategy", self.strategy.show()),
            ("replacement_strategy", self.replacement_strategy.show()),
        ])
    }
}

/// Reports names that do not exist and numbers out of bounds, with their keys.
pub(super) fn check(placement: &PlacementSettings, errors: &mut Vec<String>) {
    let mut strategy = |key: String, name: &Option<Strategy>| {
        let Some(name) = name else { return };
        if let Err(message) = check_strategy(name, &placement.external) {
            errors.push(format!("{key}: {message}"));
        }
    };
    strategy("placement.strategy".to_owned(), &Some(placement.strategy.clone()));
    strategy("placement.replacement_strategy".to_owned(), &Some(placement.replacement_strategy.clone()));
    for shadow in &placement.shadow {
        strategy("placement.shadow".to_owned(), &Some(shadow.clone()));
    }
    for (project, own) in &placement.projects {
        strategy(format!("placement.projects.{project}.strategy"), &own.strategy);
        strategy(format!("placement.projects.{project}.replacement_strategy"), &own.replacement_strategy);
    }
    for rule in &placement.intents {
        strategy(format!("placement.intents: path {:?}", rule.path), &rule.strategy);
    }
    check_numbers("placement.weights", &WEIGHTS, &placement.weights, errors);
    check_numbers("placement.limits", &PARAMETERS, &placement.limits.parameters, errors);
    if placement.limits.max_deadline.is_zero() {
        errors.push("placement.limits: max_deadline must be more than 0".to_owned());
    }
    if placement.solve_queue == 0 {
        errors.push("placement.solve_queue must be more than 0".to_owned());
    }
    for rule in &placement.intents {
        let key = format!("placement.intents: path {:?}", rule.path);
        check_numbers(&key, &WEIGHTS, &rule.weights, errors);
        check_numbers(&key, &WEIGHTS, &rule.factors, errors);
    }
}

fn check_numbers<T>(
    key: &str,
    known: &Parameters<T>,
    numbers: &BTreeMap<String, f64>,
    errors: &mut Vec<String>,
) {
    for (name, value) in numbers {
        if let Err(message) = known.check(name, *value) {
            errors.push(format!("{key}: {name}: {message}"));
        }
    }
}
