//! Rules for intents beyond the information model: what they require and prefer of clusters, and how they weigh.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::section::{Section, shown};
use super::strategies::check_path;
use super::value::{Parse, scalar};
use crate::hdag::check_weight;
use crate::optimizer::placement::{AttributeTest, BuiltIn, Strategy};

/// Cost units of a cluster without a preferred attribute, when the rule does not say: more than price and latency
/// make of common services.
const PREFERENCE: f64 = 10_000.0;

/// Meanings of intents that the information model does not have and its users state: a configured rule of the same
/// path takes their place.
pub(super) fn default_rules() -> Vec<IntentRule> {
    let rule = |path: &str, value: &str| IntentRule {
        path: path.to_owned(),
        value: Some(json!(value)),
        ..IntentRule::default()
    };
    let factors = |factors: &[(&str, f64)]| {
        factors.iter().map(|(name, factor)| ((*name).to_owned(), *factor)).collect::<BTreeMap<_, _>>()
    };
    let own_site = || AttributeRequirement { attribute: "site".to_owned(), test: RuleTest::OwnSite };
    let renewable = ["renewable", "solar", "wind", "hydro"].map(str::to_owned).to_vec();
    let energy_class = AttributeRequirement {
        attribute: "energy_class".to_owned(),
        test: RuleTest::Attribute(AttributeTest::OneOf(renewable)),
    };
    vec![
        IntentRule {
            strategy: Some(BuiltIn::Green.into()),
            factors: factors(&[("carbon", 5.0)]),
            ..rule("energy_preference", "renewable_high")
        },
        IntentRule { require: Some(energy_class), ..rule("energy_preference", "renewable_only") },
        rule("energy_preference", "any"),
        IntentRule { require: Some(own_site()), ..rule("offload_policy", "never") },
        IntentRule { prefer: Some(own_site()), ..rule("offload_policy", "overflow") },
        IntentRule {
            strategy: Some(BuiltIn::Cost.into()),
            factors: factors(&[("price", 5.0), ("moves", 0.5)]),
            ..rule("offload_policy", "aggressive_cost_saving")
        },
    ]
}

/// The default rules but those whose paths these ones have, and these.
pub(super) fn with_default_rules(rules: Vec<IntentRule>) -> Vec<IntentRule> {
    let mut all = default_rules();
    all.retain(|default| !rules.iter().any(|rule| rule.path == default.path));
    all.extend(rules);
    all
}

/// A rule that gives an intent of a graph or service a meaning for its placement. All rules that apply count;
/// where two state the same weight, or a strategy, the later one does.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IntentRule {
    /// Path with dots from `hdaGraphIntent` or a service's `intent`, such as `energy_preference`.
    pub path: String,
    /// The text, number or boolean that the intent must have; `None` for any.
    pub value: Option<Value>,
    /// Required attribute of clusters.
    pub require: Option<AttributeRequirement>,
    /// Preferred attribute of clusters.
    pub prefer: Option<AttributeRequirement>,
    /// Cost units of a cluster without the preferred attribute; `None` for 10 000.
    pub preference_cost: Option<f64>,
    /// Weights of the objective, by the names of [`WEIGHTS`](crate::hdag::WEIGHTS).
    pub weights: BTreeMap<String, f64>,
    /// Factors of weights of the objective, by their names.
    pub factors: BTreeMap<String, f64>,
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
    pub test: RuleTest,
}

/// A test that a rule states.
#[derive(Debug, Clone, PartialEq)]
pub enum RuleTest {
    /// The same test for all services.
    Attribute(AttributeTest),
    /// The value is the site of the service, or else of its graph.
    OwnSite,
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

    /// What a cluster without the preferred attribute costs, in cost units.
    #[must_use]
    pub fn cost_of_preference(&self) -> f64 {
        self.preference_cost.unwrap_or(PREFERENCE)
    }
}

impl Parse for IntentRule {
    fn parse(value: &Value) -> Result<Self, String> {
        let known =
            ["path", "value", "require", "prefer", "preference_cost", "weights", "factors", "strategy"];
        let section = Section::of(value, &known)?;
        let rule = Self {
            path: section.require("path")?,
            value: section.get_with("value", |value| scalar(value).map(|_| value.clone()))?,
            require: section.get("require")?,
            prefer: section.get("prefer")?,
            preference_cost: section.get("preference_cost")?,
            weights: section.get("weights")?.unwrap_or_default(),
            factors: section.get("factors")?.unwrap_or_default(),
            strategy: section.get("strategy")?,
        };
        check_path(&rule.path).map_err(|message| format!("path: {message}"))?;
        let has_effect = rule.require.is_some()
            || rule.prefer.is_some()
            || !(rule.weights.is_empty() && rule.factors.is_empty())
            || rule.strategy.is_some();
        // A value may be known to mean nothing.
        if !has_effect && rule.value.is_none() {
            return Err("has no effect; give require, prefer, weights, factors or strategy".to_owned());
        }
        if rule.preference_cost.is_some() && rule.prefer.is_none() {
            return Err("preference_cost: there is no prefer".to_owned());
        }
        check_weight(rule.cost_of_preference()).map_err(|message| format!("preference_cost: {message}"))?;
        Ok(rule)
    }

    fn show(&self) -> Value {
        let numbers = |numbers: &BTreeMap<String, f64>| {
            if numbers.is_empty() { Value::Null } else { numbers.show() }
        };
        shown([
            ("path", self.path.show()),
            ("value", self.value.clone().unwrap_or_default()),
            ("require", self.require.show()),
            ("prefer", self.prefer.show()),
            ("preference_cost", self.preference_cost.show()),
            ("weights", numbers(&self.weights)),
            ("factors", numbers(&self.factors)),
            ("strategy", self.strategy.show()),
        ])
    }
}

impl Parse for AttributeRequirement {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(
            value,
            &["attribute", "one_of", "none_of", "at_most", "at_least", "known", "own_site"],
        )?;
        let known = match section.get("known")? {
            Some(false) => return Err("known: only true makes sense".to_owned()),
            known => known.map(|_: bool| AttributeTest::Known),
        };
        let own_site = match section.get("own_site")? {
            Some(false) => return Err("own_site: only true makes sense".to_owned()),
            own_site => own_site.map(|_: bool| RuleTest::OwnSite),
        };
        let tests = [
            section.get("one_of")?.map(AttributeTest::OneOf),
            section.get("none_of")?.map(AttributeTest::NoneOf),
            section.get("at_most")?.map(AttributeTest::AtMost),
            section.get("at_least")?.map(AttributeTest::AtLeast),
            known,
        ];
        let mut tests = tests.into_iter().flatten().map(RuleTest::Attribute).chain(own_site);
        let (Some(test), None) = (tests.next(), tests.next()) else {
            return Err("give one of one_of, none_of, at_most, at_least, known and own_site".to_owned());
        };
        if matches!(&test, RuleTest::Attribute(AttributeTest::OneOf(values)) if values.is_empty()) {
            return Err("one_of: no cluster could have one of no values".to_owned());
        }
        let attribute = match &test {
            RuleTest::OwnSite => section.get("attribute")?.unwrap_or_else(|| "site".to_owned()),
            RuleTest::Attribute(_) => section.require("attribute")?,
        };
        Ok(Self { attribute, test })
    }

    fn show(&self) -> Value {
        let (name, value) = match &self.test {
            RuleTest::Attribute(AttributeTest::OneOf(values)) => ("one_of", json!(values)),
            RuleTest::Attribute(AttributeTest::NoneOf(values)) => ("none_of", json!(values)),
            RuleTest::Attribute(AttributeTest::AtMost(bound)) => ("at_most", json!(bound)),
            RuleTest::Attribute(AttributeTest::AtLeast(bound)) => ("at_least", json!(bound)),
            RuleTest::Attribute(AttributeTest::Known) => ("known", json!(true)),
            RuleTest::OwnSite => ("own_site", json!(true)),
        };
        shown([("attribute", self.attribute.show()), (name, value)])
    }
}
