//! Names and bounds of the numbers that tune decisions, wherever they are stated: descriptor, configuration, request.

use super::tree::quoted;

/// Largest weight: products of weights, prices and traffic stay far inside 64-bit integers of nano-costs.
pub const MAX_WEIGHT: f64 = 1e6;
/// Most replicas that a service may ask for.
pub const MAX_REPLICAS: i64 = 10_000;
/// Whole numbers up to this one are exact as `f64`.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;
/// Largest coefficient of a capacity model, in requests per second.
const MAX_RATE: f64 = 1e9;

/// Numbers that are stated by name.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    /// What one of them is called in messages.
    what: &'static str,
    all: &'static [Number],
}

#[derive(Debug, Clone, Copy)]
struct Number {
    name: &'static str,
    most: f64,
    whole: bool,
}

const fn real(name: &'static str) -> Number {
    Number { name, most: MAX_WEIGHT, whole: false }
}

const fn whole(name: &'static str, most: f64) -> Number {
    Number { name, most, whole: true }
}

/// Weights of the objective of a placement, in cost units.
pub const WEIGHTS: Numbers = Numbers {
    what: "weight",
    all: &[
        real("moves"),
        real("activation"),
        real("price"),
        real("carbon"),
        real("latency"),
        real("balance"),
    ],
};

/// Seed, budget and thresholds of a placement. The bounds of the budget keep one request from occupying a server.
pub const PARAMETERS: Numbers = Numbers {
    what: "parameter",
    all: &[
        whole("seed", MAX_WHOLE),
        whole("iterations", 1e9),
        whole("deadline_ms", 600_000.0),
        whole("exact_cells", 100_000.0),
        real("ultralow_ms"),
        real("neighbour_ms"),
        real("unknown_latency_ms"),
        real("balance_above"),
    ],
};

impl Numbers {
    /// The names, in the order of the documentation.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all.iter().map(|number| number.name)
    }

    /// Checks one of them.
    ///
    /// # Errors
    /// The name is not known, or the number is out of bounds.
    pub fn check(&self, name: &str, value: f64) -> Result<(), String> {
        let Some(number) = self.all.iter().find(|number| number.name == name) else {
            let known: Vec<_> = self.names().collect();
            return Err(format!(
                "unknown {} {}; known ones are {}",
                self.what,
                quoted(name),
                known.join(", ")
            ));
        };
        if (0.0..=number.most).contains(&value) && !(number.whole && value.fract() != 0.0) {
            return Ok(());
        }
        let kind = if number.whole { "a whole number" } else { "a number" };
        Err(format!("must be {kind} from 0 to {}, not {value}", number.most))
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
