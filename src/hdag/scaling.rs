//! The numbers that scaling is asked for with, wherever they are stated: descriptor, configuration, interface.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parameters::{MAX_RATE, check_replicas};

/// Largest weight of the objective of scaling.
pub const MAX_SCALING_WEIGHT: f64 = 100.0;

/// What counts when Prometheus answers, and has no rate of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenAbsent {
    /// The rate is unknown: the replicas stay as they are.
    #[default]
    Hold,
    /// There are no requests.
    Zero,
}

/// Replicas by fixed marks of the rate; between the marks they stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// More load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub up: Option<StepUp>,
    /// Less load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub down: Option<StepDown>,
}

impl Steps {
    /// Checks that they can be decided by.
    ///
    /// # Errors
    /// A mark or a number of replicas is out of bounds, or a rate could be below one and above the other.
    pub fn check(&self) -> Result<(), String> {
        let (above, below) = (self.up.map(|up| up.above), self.down.map(|down| down.below));
        let wrong = |mark: &f64| !(0.0..=MAX_RATE).contains(mark);
        if let Some(mark) = above.into_iter().chain(below).find(wrong) {
            return Err(format!("marks must be numbers from 0 to {MAX_RATE}, not {mark}"));
        }
        for to in self.up.map(|up| up.to).into_iter().chain(self.down.map(|down| down.to)) {
            check_replicas(to).map_err(|message| format!("to: {message}"))?;
        }
        match (self.up, self.down) {
            (Some(StepUp { above, .. }), Some(StepDown { below, .. })) if below > above => {
                Err(format!("below {below} and above {above}: a rate could be both"))
            }
            (Some(up), Some(down)) if up.to < down.to => {
                Err(format!("more load would have {} replicas, and less load {}", up.to, down.to))
            }
            _ => Ok(()),
        }
    }

    /// How many replicas a rate needs when there are `previous`.
    #[must_use]
    pub fn replicas(&self, rate: f64, previous: i64) -> i64 {
        match (self.up, self.down) {
            (Some(up), _) if rate > up.above => up.to,
            (_, Some(down)) if rate < down.below => down.to,
            _ => previous,
        }
    }
}

/// Replicas above a mark.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUp {
    /// Requests per second.
    #[schema(example = 100.0, minimum = 0, maximum = 1_000_000_000)]
    pub above: f64,
    /// Replicas.
    #[schema(example = 3, minimum = 1, maximum = 10_000)]
    pub to: i64,
}

/// Replicas below a mark.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepDown {
    /// Requests per second.
    #[schema(example = 20.0, minimum = 0, maximum = 1_000_000_000)]
    pub below: f64,
    /// Replicas.
    #[schema(example = 1, minimum = 1, maximum = 10_000)]
    pub to: i64,
}

/// Checks a weight of the objective of scaling.
///
/// # Errors
/// It is negative, above [`MAX_SCALING_WEIGHT`] or no number.
pub fn check_scaling_weight(value: f64) -> Result<(), String> {
    if (0.0..=MAX_SCALING_WEIGHT).contains(&value) {
        return Ok(());
    }
    Err(format!("must be a number from 0 to {MAX_SCALING_WEIGHT}, not {value}"))
}

/// Checks the share of their capacity up to which replicas are used.
///
/// # Errors
/// It is not above 0, or more than 1.
pub fn check_target_utilisation(value: f64) -> Result<(), String> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    Err(format!("must be more than 0 and at most 1, not {value}"))
}

/// The target utilisation that leaves this margin above the rate: `1 / (1 + tolerance)`.
///
/// # Errors
/// The tolerance is negative, or not less than 1.
pub fn utilisation_of_tolerance(tolerance: f64) -> Result<f64, String> {
    if (0.0..1.0).contains(&tolerance) {
        return Ok(1.0 / (1.0 + tolerance));
    }
    Err(format!("must be at least 0 and less than 1, not {tolerance}"))
}

/// Checks the marks of the strategy `threshold`, which are shares of the replicas' capacity.
///
/// # Errors
/// They are not shares, or not in order.
pub fn check_thresholds(low: f64, high: f64) -> Result<(), String> {
    if 0.0 <= low && low < high && high <= 1.0 {
        return Ok(());
    }
    Err(format!("must be 0 ≤ low < high ≤ 1, not low {low} and high {high}"))
}
