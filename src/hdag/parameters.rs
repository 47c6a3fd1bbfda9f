//! The numbers that tune decisions, wherever they are stated: descriptor, configuration, request.
//!
//! [`WEIGHTS`] and [`PARAMETERS`] are the only places that know the names: each row has the bounds of a number and the
//! field that it sets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::tree::quoted;

/// Largest weight: products of weights, prices and traffic stay far inside 64-bit integers of nano-costs.
pub const MAX_WEIGHT: f64 = 1e6;
/// Most replicas that a service may ask for.
pub const MAX_REPLICAS: i64 = 10_000;
/// Whole numbers up to this one are exact as `f64`.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// Largest rate and coefficient of a capacity model, in requests per second.
pub(super) const MAX_RATE: f64 = 1e9;

/// Weights of the objective of `cost` and `green`, in cost units.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// Cost of moving a service.
    pub moves: f64,
    /// Multiplies each used cluster's activation cost.
    pub activation: f64,
    /// Multiplies price per core-hour × cores.
    pub price: f64,
    /// Multiplies carbon per core-hour × cores.
    pub carbon: f64,
    /// Cost per millisecond of latency × traffic.
    pub latency: f64,
    /// Cost per core above [`SolveLimits::balance_above`] of a cluster's free CPU.
    pub balance: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { moves: 2.0, activation: 1.0, price: 1.0, carbon: 0.01, latency: 0.1, balance: 0.5 }
    }
}

impl Weights {
    /// Multiplies a weight by its name.
    ///
    /// # Errors
    /// There is no such weight, or the product is out of bounds.
    pub fn scale(&mut self, name: &str, factor: f64) -> Result<(), String> {
        let weight = match name {
            "moves" => self.moves,
            "activation" => self.activation,
            "price" => self.price,
            "carbon" => self.carbon,
            "latency" => self.latency,
            "balance" => self.balance,
            // Tells the names that there are.
            _ => 0.0,
        };
        WEIGHTS.set(self, &BTreeMap::from([(name.to_owned(), weight * factor)]))
    }

    /// The weights of `green`: carbon counts as much as price did, price only breaks ties.
    #[must_use]
    pub fn green(self) -> Self {
        Self { price: self.price * 0.01, carbon: self.carbon * 100.0, ..self }
    }
}

/// Seed, budget and thresholds of a solve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SolveLimits {
    /// Seed of all chance.
    pub seed: u64,
    /// Proposals of the local search, over all restarts; `None` for as many as the size is worth. Equal
    /// problems give equal plans.
    pub iterations: Option<u64>,
    /// Wall-clock deadline in milliseconds instead of the budget of iterations. The result is then not
    /// reproducible.
    pub deadline_ms: Option<u64>,
    /// Items × clusters up to which `cost` looks for the proven optimum as well.
    pub exact_cells: usize,
    /// Two clusters are ultra-low apart below this round-trip time (milliseconds).
    pub ultralow_ms: f64,
    /// Two clusters are neighbours up to this round-trip time (milliseconds).
    pub neighbour_ms: f64,
    /// Latency that counts between clusters of which none is known (milliseconds).
    pub unknown_latency_ms: f64,
    /// Share of a cluster's free CPU above which the term `balance` counts.
    pub balance_above: f64,
}

impl Default for SolveLimits {
    fn default() -> Self {
        Self {
            seed: 1,
            iterations: None,
            deadline_ms: None,
            exact_cells: 500,
            ultralow_ms: 10.0,
            neighbour_ms: 20.0,
            unknown_latency_ms: 100.0,
            balance_above: 0.8,
        }
    }
}

/// Numbers that are stated by name and tune a `T`.
#[derive(Debug)]
pub struct Parameters<T: 'static> {
    /// The kind of number, for messages.
    kind: &'static str,
    all: &'static [Parameter<T>],
}

/// One row: a name, the bounds, and the field.
#[derive(Debug)]
struct Parameter<T> {
    name: &'static str,
    most: f64,
    whole: bool,
    set: fn(&mut T, f64),
}

const fn real<T>(name: &'static str, set: fn(&mut T, f64)) -> Parameter<T> {
    Parameter { name, most: MAX_WEIGHT, whole: false, set }
}

const fn whole<T>(name: &'static str, most: f64, set: fn(&mut T, f64)) -> Parameter<T> {
    Parameter { name, most, whole: true, set }
}

/// Weights of the objective of a placement, in cost units.
pub static WEIGHTS: Parameters<Weights> = Parameters {
    kind: "weight",
    all: &[
        real("moves", |weights, value| weights.moves = value),
        real("activation", |weights, value| weights.activation = value),
        real("price", |weights, value| weights.price = value),
        real("carbon", |weights, value| weights.carbon = value),
        real("latency", |weights, value| weights.latency = value),
        real("balance", |weights, value| weights.balance = value),
    ],
};

/// Seed, budget and thresholds of a placement. What is asked of the budget is clamped by the operator's caps.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and within the row's bounds"
)]
pub static PARAMETERS: Parameters<SolveLimits> = Parameters {
    kind: "parameter",
    all: &[
        whole("seed", MAX_WHOLE, |limits, value| limits.seed = value as u64),
        whole("iterations", 1e9, |limits, value| limits.iterations = Some(value as u64)),
        whole("deadline_ms", 600_000.0, |limits, value| limits.deadline_ms = Some(value as u64)),
        whole("exact_cells", 100_000.0, |limits, value| limits.exact_cells = value as usize),
        real("ultralow_ms", |limits, value| limits.ultralow_ms = value),
        real("neighbour_ms", |limits, value| limits.neighbour_ms = value),
        real("unknown_latency_ms", |limits, value| limits.unknown_latency_ms = value),
        real("balance_above", |limits, value| limits.balance_above = value),
    ],
};

impl<T> Parameters<T> {
    /// The names, in the order of the documentation.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|parameter| parameter.name)
    }

    /// Checks one of them.
    ///
    /// # Errors
    /// The name is not known, or the number is out of bounds.
    pub fn check(&self, name: &str, value: f64) -> Result<(), String> {
        self.checked(name, value).map(|_| ())
    }

    /// Sets the fields of these names.
    ///
    /// # Errors
    /// A name is not known, or its number is out of bounds; names it. The fields before it are set.
    pub fn set(&self, target: &mut T, values: &BTreeMap<String, f64>) -> Result<(), String> {
        for (name, value) in values {
            let parameter = self.checked(name, *value).map_err(|message| format!("{name}: {message}"))?;
            (parameter.set)(target, *value);
        }
        Ok(())
    }

    /// The row of a name, if the value is within its bounds.
    fn checked(&self, name: &str, value: f64) -> Result<&Parameter<T>, String> {
        let Some(parameter) = self.all.iter().find(|parameter| parameter.name == name) else {
            let known: Vec<_> = self.names().collect();
            return Err(format!(
                "unknown {} {}; known ones are {}",
                self.kind,
                quoted(name),
                known.join(", ")
            ));
        };
        if (0.0..=parameter.most).contains(&value) && !(parameter.whole && value.fract() != 0.0) {
            return Ok(parameter);
        }
        let kind = if parameter.whole { "a whole number" } else { "a number" };
        Err(format!("must be {kind} from 0 to {}, not {value}", parameter.most))
    }
}

/// Checks a weight that has a field of its own.
///
/// # Errors
/// It is negative, above [`MAX_WEIGHT`] or no number.
pub fn check_weight(value: f64) -> Result<(), String> {
    if (0.0..=MAX_WEIGHT).contains(&value) {
        return Ok(());
    }
    Err(format!("must be a number from 0 to {MAX_WEIGHT}, not {value}"))
}

/// Checks what one more replica of a service can take, in requests per second.
///
/// # Errors
/// More replicas would not take more, or it is no number.
pub fn check_alpha(value: f64) -> Result<(), String> {
    if value > 0.0 && value <= MAX_RATE {
        return Ok(());
    }
    Err(format!("must be a number above 0 and up to {MAX_RATE}, not {value}"))
}

/// Checks the constant part of a capacity model, in requests per second.
///
/// # Errors
/// It is out of bounds or no number.
pub fn check_beta(value: f64) -> Result<(), String> {
    if value.abs() <= MAX_RATE {
        return Ok(());
    }
    Err(format!("must be a number from -{MAX_RATE} to {MAX_RATE}, not {value}"))
}

/// Checks a number of replicas.
///
/// # Errors
/// It is less than 1 or more than [`MAX_REPLICAS`].
pub fn check_replicas(value: i64) -> Result<(), String> {
    if (1..=MAX_REPLICAS).contains(&value) {
        return Ok(());
    }
    Err(format!("must be a whole number from 1 to {MAX_REPLICAS}, not {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every name of a table sets the field of that name, and every field has a name.
    fn assert_effects<T: Default + Serialize>(parameters: &Parameters<T>) {
        let fields = |target: &T| serde_json::to_value(target).unwrap().as_object().unwrap().clone();
        let default = fields(&T::default());
        let names: Vec<&str> = parameters.names().collect();
        for name in &names {
            let mut target = T::default();
            let value = 4711.0;
            parameters.set(&mut target, &BTreeMap::from([((*name).to_owned(), value)])).unwrap();
            let changed = fields(&target);
            let different: Vec<&String> = changed
                .iter()
                .filter(|(field, value)| default[*field] != **value)
                .map(|(field, _)| field)
                .collect();
            assert_eq!(different, [name]);
            assert_eq!(changed[*name].as_f64(), Some(value), "{name}");
        }
        assert_eq!(default.keys().collect::<Vec<_>>(), names);
    }

    #[test]
    fn every_accepted_name_has_an_effect() {
        assert_effects(&WEIGHTS);
        assert_effects(&PARAMETERS);
    }

    #[test]
    fn every_weight_can_be_multiplied() {
        for name in WEIGHTS.names() {
            let mut weights = Weights::default();
            weights.scale(name, 3.0).unwrap();
            let [before, after] = [Weights::default(), weights]
                .map(|weights| serde_json::to_value(weights).unwrap()[name].as_f64().unwrap());
            assert!(before > 0.0 && (after - 3.0 * before).abs() < 1e-12, "{name}: {before}, {after}");
        }
        assert!(Weights::default().scale("prize", 2.0).unwrap_err().starts_with("prize: unknown weight"));
    }

    #[test]
    fn unknown_names_and_numbers_out_of_bounds_are_not_dropped() {
        let mut weights = Weights::default();
        let mut set =
            |name: &str, value| WEIGHTS.set(&mut weights, &BTreeMap::from([(name.to_owned(), value)]));
        assert!(set("prize", 1.0).unwrap_err().starts_with("prize: unknown weight"));
        assert_eq!(set("price", -1.0), Err("price: must be a number from 0 to 1000000, not -1".to_owned()));
        assert_eq!(weights, Weights::default());
    }
}
