//! The demand of one service: needed, allowed and held replicas, and their cost.

use super::problem::MOST_REPLICAS;
use super::{ScaledService, ScalingProblem};

/// Slack when a quotient is rounded up, for the floating-point error of a whole number.
const ROUNDING: f64 = 1e-9;
/// Costs are integers; this many make one unit of the objective. Their sums are exact and equal on every
/// machine.
pub(super) const COST_UNIT: f64 = 1e15;

/// How many replicas a rate needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The rate is unknown.
    Unknown,
    /// This many.
    Replicas(i64),
    /// More than any service may have, or no number serves the rate.
    Never,
}

/// A service as numbers: the bounds `least ≤ r ≤ most`, and the cost of `r`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    pub need: Need,
    pub least: i64,
    pub most: i64,
    /// Replicas that are not given up without need; `least ≤ held ≤ most`.
    pub held: i64,
    pub previous: i64,
    /// Usage of a replica, as a share of the normaliser.
    pub share: f64,
    /// Weight of a replica started or stopped, in the same unit.
    pub change_share: f64,
    /// Weighted costs of a replica, in `1 / COST_UNIT`.
    utilisation: i64,
    change: i64,
    margin: i64,
}

impl Demand {
    /// `normaliser` is `U` of [`super::ScalingWeights`].
    pub fn new(problem: &ScalingProblem, service: &ScaledService, normaliser: f64) -> Self {
        let share = counted_millicores(problem.compat, service) as f64 / normaliser;
        let change_share = if problem.compat { 1.0 / service.profile.max as f64 } else { share };
        let cost = |weight: f64, share: f64| (weight * COST_UNIT * share).round() as i64;
        let mut demand = Self {
            need: need(problem, service),
            least: 0,
            most: 0,
            held: 0,
            previous: service.previous,
            share,
            change_share,
            utilisation: cost(problem.weights.utilisation, share),
            change: cost(problem.weights.change, change_share),
            margin: cost(problem.weights.margin, share),
        };
        if problem.compat {
            demand.bound_as_original();
        } else {
            demand.bound(service);
        }
        demand
    }

    /// More replicas than now cost more whatever the weights, so the largest useful number is a bound.
    fn bound_as_original(&mut self) {
        let previous = self.previous.max(1);
        (self.least, self.most) = match self.need {
            Need::Unknown => (previous, previous),
            Need::Replicas(need) => (need.max(1), need.max(previous)),
            Need::Never => (MOST_REPLICAS, MOST_REPLICAS),
        };
        self.held = self.least;
    }

    fn bound(&mut self, service: &ScaledService) {
        let share = service.share.unwrap_or(i64::MAX);
        let (min, max) = (service.profile.min.min(share), service.profile.max.min(share));
        let previous = service.previous.clamp(min, max);
        (self.least, self.most) = match self.need {
            Need::Unknown => (previous, previous),
            // Where replicas add nothing, more of them would only cost.
            Need::Never if service.profile.alpha == 0.0 => (previous, previous),
            Need::Never => (max, max),
            Need::Replicas(need) => (need.clamp(min, max), max),
        };
        if let Some(bound) = service.not_above {
            let above = bound.replicas.clamp(min, max).max(previous);
            self.most = self.most.min(above);
            self.least = self.least.min(above);
        }
        let kept = service.not_below.map_or(0, |bound| bound.replicas.min(service.previous));
        self.held = kept.clamp(self.least, self.most);
    }

    /// Whether the rate is more than `replicas` serve.
    pub fn is_saturated(&self, replicas: i64) -> bool {
        match self.need {
            Need::Unknown => false,
            Need::Replicas(need) => replicas < need,
            Need::Never => true,
        }
    }

    /// The cost of one more replica, in `1 / COST_UNIT`, from `replicas` on; rises with `replicas`.
    pub fn slope(&self, replicas: i64) -> i128 {
        let change = if replicas < self.previous { -self.change } else { self.change };
        let margin = if replicas < self.held { self.margin } else { 0 };
        i128::from(self.utilisation + change - margin)
    }
}

/// Millicores of a replica as the objective counts them.
pub(super) fn counted_millicores(compat: bool, service: &ScaledService) -> i64 {
    // A replica without a request is not free: otherwise nothing would speak for giving it up.
    service.needs.cpu_millicores.max(if compat { 0 } else { 1 })
}

/// The smallest `r` of which the target share of `alpha·r + beta` serves the rate, or the steps' answer; with no
/// rate nothing is needed.
fn need(problem: &ScalingProblem, service: &ScaledService) -> Need {
    let Some(rate) = service.rate else { return Need::Unknown };
    if let Some(steps) = &service.steps {
        return Need::Replicas(steps.replicas(rate, service.previous));
    }
    let rate = rate / problem.target_utilisation;
    let (alpha, beta) = (service.profile.alpha, service.profile.beta);
    if !problem.compat && rate == 0.0 {
        return Need::Replicas(0);
    }
    if alpha == 0.0 {
        return if beta >= rate - ROUNDING { Need::Replicas(1) } else { Need::Never };
    }
    let replicas = ((rate - beta) / alpha - ROUNDING).ceil();
    if replicas > MOST_REPLICAS as f64 { Need::Never } else { Need::Replicas((replicas as i64).max(1)) }
}
