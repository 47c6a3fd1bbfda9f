//! Settings of scaling: the loop, where request rates come from, and the capacity models of services.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::section::{Section, shown};
use super::strategies::{ExternalStrategies, check_strategy};
use super::value::Parse;
use crate::hdag::{
    StepDown, StepUp, Steps, WhenAbsent, check_alpha, check_beta, check_expression, check_replicas,
    check_scaling_weight, check_target_utilisation, check_thresholds, is_dns_label, rate_query,
};
use crate::optimizer::scaling::{BuiltIn, ScalingWeights, Strategy, TARGET_UTILISATION, Thresholds};

/// Minimum number of scrapes that a rate needs.
const SCRAPES: u32 = 4;

/// Scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingSettings {
    /// Whether graphs are scaled that do not say themselves.
    pub enabled: bool,
    /// Time between two ticks of a graph.
    pub interval: Duration,
    /// Strategy that decides on replicas.
    pub strategy: Strategy,
    /// The model whose results are reproduced.
    pub compat: ScalingCompat,
    /// Template of the query for the request rates of all services; its samples carry [`Self::rate_label`] (see
    /// [`rate_query`]).
    pub query: String,
    /// Label whose value is the name of the service.
    pub rate_label: String,
    /// What counts while a service has no rate.
    pub when_absent: WhenAbsent,
    /// Over which time rates are taken; 0 for the default of [`ScalingSettings::rate_window`].
    pub window: Duration,
    /// How often Prometheus scrapes the services.
    pub scrape_interval: Duration,
    /// Share of their capacity up to which replicas are used.
    pub target_utilisation: f64,
    /// For how long replicas that were needed are kept; as the `stabilizationWindowSeconds` of Kubernetes'
    /// `HorizontalPodAutoscaler`, downwards.
    pub stabilisation: Duration,
    /// Largest change upwards in one tick.
    pub step_up: StepLimit,
    /// Largest change downwards in one tick.
    pub step_down: StepLimit,
    /// Time after a change of a service's replicas in which they do not go up.
    pub up_cooldown: Duration,
    /// Weights of the objective. As long as `change` is the larger one, replicas never go down.
    pub weights: ScalingWeights,
    /// Limits of the strategy `threshold`.
    pub thresholds: Thresholds,
    /// Time after a rescheduling for lack of capacity during which there is no other.
    pub replacement_cooldown: Duration,
    /// Ticks that are kept of each graph.
    pub history: usize,
    /// Strategies over HTTP, by name.
    pub external: ExternalStrategies<BuiltIn>,
    /// Capacity models by the name of the service, or of its chart ([`profile_key`](crate::hdag::ChartSource::profile_key)).
    pub profiles: BTreeMap<String, ScalingProfile>,
}

/// The model whose results scaling reproduces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalingCompat {
    /// That of smo.
    None,
    /// That of the original SMO.
    Original,
}

/// Limit of one change of replicas: the larger of a number and of a percentage of those there are, as policies of
/// Kubernetes' `HorizontalPodAutoscaler` with `selectPolicy: Max`; no limit without both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct StepLimit {
    /// So many replicas.
    pub replicas: Option<i64>,
    /// So many percent of the replicas there are.
    pub percent: Option<f64>,
}

impl StepLimit {
    /// The largest change from this many replicas, at least 1; `None` for any.
    #[must_use]
    pub fn of(&self, replicas: i64) -> Option<i64> {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "few replicas")]
        let share = self.percent.map(|percent| (replicas as f64 * percent / 100.0).ceil() as i64);
        self.replicas.max(share).map(|most| most.max(1))
    }
}

/// Capacity model of a service: `r` replicas take up to `alpha · r + beta` requests per second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScalingProfile {
    /// Requests per second that one more replica takes; more than 0. Only the strategy `steps` does without.
    pub alpha: Option<f64>,
    /// Constant part in requests per second.
    pub beta: f64,
    /// Minimum number of replicas, 1 or more.
    pub min: i64,
    /// Maximum number of replicas, `min` or more.
    pub max: i64,
    /// Replicas by fixed marks of the rate, for the strategy `steps`.
    pub steps: Option<Steps>,
    /// Another service whose rate counts instead.
    pub rate_from: Option<String>,
    /// The rates of the services that call it count instead.
    pub from_callers: bool,
    /// Template of a query of its own for the rate.
    pub query: Option<String>,
    /// Over which time the rate is taken, when not as for all.
    pub window: Option<Duration>,
    /// What counts while there is no rate, when not as for all.
    pub when_absent: Option<WhenAbsent>,
}

impl ScalingSettings {
    /// Over which time rates are taken: the window, or else the longer of the interval and four scrapes.
    #[must_use]
    pub fn rate_window(&self) -> Duration {
        match self.window {
            Duration::ZERO => self.interval.max(self.scrape_interval * SCRAPES),
            window => window,
        }
    }
}

impl Default for ScalingSettings {
    fn default() -> Self {
        Self {
            enabled: false,
            interval: Duration::from_secs(30),
            strategy: BuiltIn::Exact.into(),
            compat: ScalingCompat::None,
            query: r#"sum by ({label}) (rate(flask_http_request_total{{label}=~"{services}"}[{window}]))"#
                .to_owned(),
            rate_label: "service".to_owned(),
            when_absent: WhenAbsent::Hold,
            window: Duration::ZERO,
            scrape_interval: Duration::from_secs(15),
            target_utilisation: TARGET_UTILISATION,
            // As Kubernetes' HorizontalPodAutoscaler by default.
            stabilisation: Duration::from_secs(5 * 60),
            step_up: StepLimit { replicas: Some(4), percent: Some(100.0) },
            step_down: StepLimit::default(),
            up_cooldown: Duration::ZERO,
            weights: ScalingWeights::default(),
            thresholds: Thresholds::default(),
            replacement_cooldown: Duration::from_secs(10 * 60),
            history: 20,
            external: BTreeMap::new(),
            profiles: brussels_profiles(),
        }
    }
}

/// Coefficients that the original measured for the services of its Brussels demonstration.
fn brussels_profiles() -> BTreeMap<String, ScalingProfile> {
    let profile = |alpha, beta, rate_from: Option<&str>| ScalingProfile {
        alpha: Some(alpha),
        beta,
        min: 1,
        max: 3,
        rate_from: rate_from.map(str::to_owned),
        ..ScalingProfile::default()
    };
    BTreeMap::from([
        ("image-compression-vo".to_owned(), profile(33.33, -16.66, Some("noise-reduction"))),
        ("noise-reduction".to_owned(), profile(0.533, -0.416, None)),
        ("image-detection".to_owned(), profile(1.67, -0.01, None)),
    ])
}

impl Parse for ScalingCompat {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = String::parse(value)?;
        match text.to_ascii_lowercase().as_str() {
            "none" => Ok(Self::None),
            "original" => Ok(Self::Original),
            _ => Err(format!("{text:?} is neither none nor original")),
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::None => json!("none"),
            Self::Original => json!("original"),
        }
    }
}

impl Parse for ScalingWeights {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["utilisation", "change"])?;
        let default = Self::default();
        let utilisation = section.get("utilisation")?.unwrap_or(default.utilisation);
        Ok(Self::new(utilisation, section.get("change")?.unwrap_or(default.change)))
    }

    fn show(&self) -> Value {
        json!({ "utilisation": self.utilisation, "change": self.change })
    }
}

impl Parse for Thresholds {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["low", "high"])?;
        let default = Self::default();
        Ok(Self {
            low: section.get("low")?.unwrap_or(default.low),
            high: section.get("high")?.unwrap_or(default.high),
        })
    }

    fn show(&self) -> Value {
        json!({ "low": self.low, "high": self.high })
    }
}

impl Parse for StepLimit {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["replicas", "percent"])?;
        Ok(Self { replicas: section.get("replicas")?, percent: section.get("percent")? })
    }

    fn show(&self) -> Value {
        shown([("replicas", self.replicas.show()), ("percent", self.percent.show())])
    }
}

impl StepLimit {
    fn check(&self) -> Result<(), String> {
        self.replicas.map_or(Ok(()), check_replicas)?;
        match self.percent {
            Some(percent) if !(percent > 0.0 && percent <= 10_000.0) => {
                Err(format!("percent must be more than 0 and at most 10000, not {percent}"))
            }
            _ => Ok(()),
        }
    }
}

impl Parse for WhenAbsent {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = String::parse(value)?;
        match text.to_ascii_lowercase().as_str() {
            "hold" => Ok(Self::Hold),
            "zero" => Ok(Self::Zero),
            _ => Err(format!("{text:?} is neither hold nor zero")),
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::Hold => json!("hold"),
            Self::Zero => json!("zero"),
        }
    }
}

impl Parse for StepUp {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["above", "to"])?;
        Ok(Self { above: section.require("above")?, to: section.require("to")? })
    }

    fn show(&self) -> Value {
        json!({ "above": self.above, "to": self.to })
    }
}

impl Parse for StepDown {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["below", "to"])?;
        Ok(Self { below: section.require("below")?, to: section.require("to")? })
    }

    fn show(&self) -> Value {
        json!({ "below": self.below, "to": self.to })
    }
}

impl Parse for ScalingProfile {
    fn parse(value: &Value) -> Result<Self, String> {
        let known = [
            "alpha",
            "beta",
            "min",
            "max",
            "up",
            "down",
            "rate_from",
            "from_callers",
            "query",
            "window",
            "when_absent",
        ];
        let section = Section::of(value, &known)?;
        let steps = Steps { up: section.get("up")?, down: section.get("down")? };
        let has_steps = steps.up.is_some() || steps.down.is_some();
        let profile = Self {
            alpha: if has_steps { section.get("alpha")? } else { Some(section.require("alpha")?) },
            beta: section.get("beta")?.unwrap_or(0.0),
            min: section.get("min")?.unwrap_or(1),
            max: section.get("max")?.unwrap_or(3),
            steps: has_steps.then_some(steps),
            rate_from: section.get("rate_from")?,
            from_callers: section.get("from_callers")?.unwrap_or(false),
            query: section.get("query")?,
            window: section.get("window")?,
            when_absent: section.get("when_absent")?,
        };
        profile.check()?;
        Ok(profile)
    }

    fn show(&self) -> Value {
        shown([
            ("alpha", self.alpha.show()),
            ("beta", json!(self.beta)),
            ("min", json!(self.min)),
            ("max", json!(self.max)),
            ("up", self.steps.and_then(|steps| steps.up).show()),
            ("down", self.steps.and_then(|steps| steps.down).show()),
            ("rate_from", self.rate_from.show()),
            ("from_callers", self.from_callers.then_some(true).show()),
            ("query", self.query.show()),
            ("window", self.window.show()),
            ("when_absent", self.when_absent.show()),
        ])
    }
}

impl ScalingProfile {
    /// Reads a profile as a configuration file states it.
    ///
    /// # Errors
    /// Field and cause.
    pub fn read(value: &Value) -> Result<Self, String> {
        Self::parse(value)
    }

    /// The profile as a configuration file would state it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        self.show()
    }

    /// The window as text, such as `1m`.
    #[must_use]
    pub fn window_text(&self) -> Option<String> {
        self.window.show().as_str().map(str::to_owned)
    }

    fn check(&self) -> Result<(), String> {
        let named = |name, result: Result<(), String>| result.map_err(|message| format!("{name}: {message}"));
        named("alpha", self.alpha.map_or(Ok(()), check_alpha))?;
        named("up", self.steps.map_or(Ok(()), |steps| steps.check()))?;
        named("beta", check_beta(self.beta))?;
        named("min", check_replicas(self.min))?;
        named("max", check_replicas(self.max))?;
        if self.min > self.max {
            return Err(format!("min is {}, which is more than max, {}", self.min, self.max));
        }
        if self.rate_from.is_some() && self.query.is_some() {
            return Err("query cannot be given together with rate_from".to_owned());
        }
        if self.from_callers && (self.rate_from.is_some() || self.query.is_some()) {
            return Err("from_callers cannot be given together with rate_from or query".to_owned());
        }
        if let Some(service) = self.rate_from.as_ref().filter(|service| !is_dns_label(service, 53)) {
            return Err(format!("rate_from: {service:?} is no name of a service"));
        }
        if self.window.is_some_and(|window| window.is_zero()) {
            return Err("window must be more than 0".to_owned());
        }
        self.query.as_deref().map_or(Ok(()), |query| named("query", check_template(query)))
    }
}

/// Whether the template makes a PromQL expression; any services and window will do to see it.
fn check_template(template: &str) -> Result<(), String> {
    check_expression(&rate_query(template, "service", ["one", "other"], Duration::from_secs(60)))
}

/// Whether Prometheus takes it as the name of a label.
fn check_label(name: &str) -> Result<(), String> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    if name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit()) {
        return Ok(());
    }
    Err(format!("{name:?} is no name of a label: letters, digits and '_', not a digit first"))
}

/// Reports values that are out of bounds, with their keys.
pub(super) fn check(scaling: &ScalingSettings, errors: &mut Vec<String>) {
    let strategy = check_strategy(&scaling.strategy, &scaling.external);
    let Thresholds { low, high } = scaling.thresholds;
    let history = if scaling.history == 0 { Err("must be more than 0".to_owned()) } else { Ok(()) };
    let checks = [
        ("strategy", strategy),
        ("query", check_template(&scaling.query)),
        ("rate_label", check_label(&scaling.rate_label)),
        ("target_utilisation", check_target_utilisation(scaling.target_utilisation)),
        ("step_up", scaling.step_up.check()),
        ("step_down", scaling.step_down.check()),
        ("weights: utilisation", check_scaling_weight(scaling.weights.utilisation)),
        ("weights: change", check_scaling_weight(scaling.weights.change)),
        ("thresholds", check_thresholds(low, high)),
        ("history", history),
    ];
    for (key, result) in checks {
        errors.extend(result.err().map(|message| format!("scaling.{key}: {message}")));
    }
}
