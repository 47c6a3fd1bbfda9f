//! Settings of placement: strategies, their parameters, and rules for intents beyond the information model.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::section::{Section, shown};
use super::strategies::{ExternalStrategies, IntentHandler, check_path, check_strategy};
use super::value::{Parse, scalar};
use crate::hdag::{PARAMETERS, Parameters, WEIGHTS};
use crate::optimizer::placement::{AttributeTest, BuiltIn, Strategy};

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
            strict: false,
            weights: BTreeMap::new(),
            limits: PlacementLimits::default(),
            solve_queue: 64,
            external: BTreeMap::new(),
            intents: Vec::new(),
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

/// A rule that gives an intent of a graph or service a meaning for its placement. All rules that apply count;
/// where two state the same weight, or a strategy, the later one does.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentRule {
    /// Path with dots from `hdaGraphIntent` or a service's `intent`, such as `energy_preference`.
    pub path: String,
    /// The text, number or boolean that the intent must have; `None` for any.
    pub value: Option<Value>,
    /// Required attribute of clusters.
    pub require: Option<AttributeRequirement>,
    /// Weights of the objective, by the names of [`WEIGHTS`].
    pub weights: BTreeMap<String, f64>,
    /// Strategy for the graph.
    pub strategy: Option<Strategy>,
}

/// A condition on one attribute of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeRequirement {
    /// Name of the attribute: a field of [`ClusterAttributes`](crate::optimizer::ClusterAttributes), or a
    /// label.
    pub attribute: String,
    /// Test that its value must pass.
    pub test: AttributeTest,
}

impl IntentRule {
    /// Whether the rule applies to an intent of this value. Spelling counts, not type: `true` and `"True"`
    /// are the same, and so are `5` and `"5"`.
    #[must_use]
    pub fn applies_to(&self, value: &Value) -> bool {
        let same = |wanted: &Value| match wanted {
            Value::Bool(wanted) => bool::parse(value) == Ok(*wanted),
            wanted => matches!((scalar(wanted), scalar(value)), (Ok(one), Ok(other)) if one == other),
        };
        self.value.as_ref().is_none_or(same)
    }
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

impl Parse for IntentRule {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["path", "value", "require", "weights", "strategy"])?;
        let rule = Self {
            path: section.require("path")?,
            value: section.get_with("value", |value| scalar(value).map(|_| value.clone()))?,
            require: section.get("require")?,
            weights: section.get("weights")?.unwrap_or_default(),
            strategy: section.get("strategy")?,
        };
        check_path(&rule.path).map_err(|message| format!("path: {message}"))?;
        if rule.require.is_none() && rule.weights.is_empty() && rule.strategy.is_none() {
            return Err("has no effect; give require, weights or strategy".to_owned());
        }
        Ok(rule)
    }

    fn show(&self) -> Value {
        let weights = if self.weights.is_empty() { Value::Null } else { self.weights.show() };
        shown([
            ("path", self.path.show()),
            ("value", self.value.clone().unwrap_or_default()),
            ("require", self.require.show()),
            ("weights", weights),
            ("strategy", self.strategy.show()),
        ])
    }
}

impl Parse for AttributeRequirement {
    fn parse(value: &Value) -> Result<Self, String> {
        let section =
            Section::of(value, &["attribute", "one_of", "none_of", "at_most", "at_least", "known"])?;
        let known = match section.get("known")? {
            Some(false) => return Err("known: only true makes sense".to_owned()),
            known => known.map(|_: bool| AttributeTest::Known),
        };
        let tests = [
            section.get("one_of")?.map(AttributeTest::OneOf),
            section.get("none_of")?.map(AttributeTest::NoneOf),
            section.get("at_most")?.map(AttributeTest::AtMost),
            section.get("at_least")?.map(AttributeTest::AtLeast),
            known,
        ];
        let mut tests = tests.into_iter().flatten();
        let (Some(test), None) = (tests.next(), tests.next()) else {
            return Err("give one of one_of, none_of, at_most, at_least and known".to_owned());
        };
        if matches!(&test, AttributeTest::OneOf(values) if values.is_empty()) {
            return Err("one_of: no cluster could have one of no values".to_owned());
        }
        Ok(Self { attribute: section.require("attribute")?, test })
    }

    fn show(&self) -> Value {
        let (name, value) = match &self.test {
            AttributeTest::OneOf(values) => ("one_of", json!(values)),
            AttributeTest::NoneOf(values) => ("none_of", json!(values)),
            AttributeTest::AtMost(bound) => ("at_most", json!(bound)),
            AttributeTest::AtLeast(bound) => ("at_least", json!(bound)),
            AttributeTest::Known => ("known", json!(true)),
        };
        shown([("attribute", self.attribute.show()), (name, value)])
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
    for (project, own) in &placement.projects {
        strategy(format!("placement.projects.{project}.strategy"), &own.strategy);
        strategy(format!("placement.projects.{project}.replacement_strategy"), &own.replacement_strategy);
    }
    for (index, rule) in placement.intents.iter().enumerate() {
        strategy(format!("placement.intents entry {}", index + 1), &rule.strategy);
    }
    check_numbers("placement.weights", &WEIGHTS, &placement.weights, errors);
    check_numbers("placement.limits", &PARAMETERS, &placement.limits.parameters, errors);
    if placement.limits.max_deadline.is_zero() {
        errors.push("placement.limits: max_deadline must be more than 0".to_owned());
    }
    if placement.solve_queue == 0 {
        errors.push("placement.solve_queue must be more than 0".to_owned());
    }
    for (index, rule) in placement.intents.iter().enumerate() {
        check_numbers(&format!("placement.intents entry {}", index + 1), &WEIGHTS, &rule.weights, errors);
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
