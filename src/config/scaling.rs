//! Settings of scaling: the loop, where request rates come from, and the capacity models of services.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::section::{Section, shown};
use super::strategies::{ExternalStrategies, check_strategy};
use super::value::Parse;
use crate::hdag::{check_alpha, check_beta, check_expression, check_replicas, is_dns_label, rate_query};
use crate::optimizer::scaling::{BuiltIn, MOST_WEIGHT, ScalingWeights, Strategy, Thresholds};

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
    /// Template of the query for the request rates of all services; its samples carry the label `service`
    /// (see [`rate_query`]).
    pub query: String,
    /// Over which time rates are taken; 0 for the default of [`ScalingSettings::rate_window`].
    pub window: Duration,
    /// How often Prometheus scrapes the services.
    pub scrape_interval: Duration,
    /// Time after a change of a service's replicas in which they do not go down.
    pub cooldown: Duration,
    /// Time after a change of a service's replicas in which they do not go up.
    pub up_cooldown: Duration,
    /// Fraction by which the rate must miss the capacity of the replicas before they change.
    pub tolerance: f64,
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
    /// Capacity models by the name of the service.
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

/// Capacity model of a service: `r` replicas take up to `alpha · r + beta` requests per second.
#[derive(Debug, Clone, PartialEq)]
pub struct ScalingProfile {
    /// Requests per second that one more replica takes; more than 0.
    pub alpha: f64,
    /// Constant part in requests per second.
    pub beta: f64,
    /// Minimum number of replicas, 1 or more.
    pub min: i64,
    /// Maximum number of replicas, `min` or more.
    pub max: i64,
    /// Another service whose rate counts instead.
    pub rate_from: Option<String>,
    /// Template of a query of its own for the rate.
    pub query: Option<String>,
    /// Over which time the rate is taken, when not as for all.
    pub window: Option<Duration>,
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
            query: r#"sum by (service) (rate(flask_http_request_total{service=~"{services}"}[{window}]))"#
                .to_owned(),
            window: Duration::ZERO,
            scrape_interval: Duration::from_secs(15),
            cooldown: Duration::from_secs(60),
            up_cooldown: Duration::ZERO,
            tolerance: 0.1,
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
        alpha,
        beta,
        min: 1,
        max: 3,
        rate_from: rate_from.map(str::to_owned),
        query: None,
        window: None,
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

impl Parse for ScalingProfile {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["alpha", "beta", "min", "max", "rate_from", "query", "window"])?;
        let profile = Self {
            alpha: section.require("alpha")?,
            beta: section.get("beta")?.unwrap_or(0.0),
            min: section.get("min")?.unwrap_or(1),
            max: section.get("max")?.unwrap_or(3),
            rate_from: section.get("rate_from")?,
            query: section.get("query")?,
            window: section.get("window")?,
        };
        profile.check()?;
        Ok(profile)
    }

    fn show(&self) -> Value {
        shown([
            ("alpha", json!(self.alpha)),
            ("beta", json!(self.beta)),
            ("min", json!(self.min)),
            ("max", json!(self.max)),
            ("rate_from", self.rate_from.show()),
            ("query", self.query.show()),
            ("window", self.window.show()),
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
        named("alpha", check_alpha(self.alpha))?;
        named("beta", check_beta(self.beta))?;
        named("min", check_replicas(self.min))?;
        named("max", check_replicas(self.max))?;
        if self.min > self.max {
            return Err(format!("min is {}, which is more than max, {}", self.min, self.max));
        }
        if self.rate_from.is_some() && self.query.is_some() {
            return Err("query cannot be given together with rate_from".to_owned());
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
    check_expression(&rate_query(template, ["one", "other"], Duration::from_secs(60)))
}

/// Reports values that are out of bounds, with their keys.
pub(super) fn check(scaling: &ScalingSettings, errors: &mut Vec<String>) {
    let strategy = check_strategy(&scaling.strategy, &scaling.external);
    let tolerance = match scaling.tolerance {
        tolerance if (0.0..1.0).contains(&tolerance) => Ok(()),
        tolerance => Err(format!("must be at least 0 and less than 1, not {tolerance}")),
    };
    let weight = |weight: f64| match weight {
        weight if (0.0..=MOST_WEIGHT).contains(&weight) => Ok(()),
        weight => Err(format!("must be a number from 0 to {MOST_WEIGHT}, not {weight}")),
    };
    let Thresholds { low, high } = scaling.thresholds;
    let thresholds = if 0.0 <= low && low < high && high <= 1.0 {
        Ok(())
    } else {
        Err(format!("must be 0 ≤ low < high ≤ 1, not low {low} and high {high}"))
    };
    let history = if scaling.history == 0 { Err("must be more than 0".to_owned()) } else { Ok(()) };
    let checks = [
        ("strategy", strategy),
        ("query", check_template(&scaling.query)),
        ("tolerance", tolerance),
        ("weights: utilisation", weight(scaling.weights.utilisation)),
        ("weights: change", weight(scaling.weights.change)),
        ("thresholds", thresholds),
        ("history", history),
    ];
    for (key, result) in checks {
        errors.extend(result.err().map(|message| format!("scaling.{key}: {message}")));
    }
}
