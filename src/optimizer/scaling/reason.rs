//! Reasons of scaling decisions as sentences for people.

use std::fmt::{self, Write};

use super::demand::{Demand, Need};
use super::{BoundCause, BuiltIn, ScaledService, ScalingConflict, ScalingProblem, Strategy};

/// Maximum number of services named in a sentence.
const MAX_NAMED: usize = 8;

/// A decision on one service, with its input.
pub(super) struct Reason<'a> {
    pub problem: &'a ScalingProblem,
    pub strategy: &'a Strategy,
    pub service: &'a ScaledService,
    pub demand: &'a Demand,
    pub replicas: i64,
}

impl Reason<'_> {
    /// One sentence, with numbers, on why the service gets this many replicas.
    pub fn sentence(&self) -> String {
        // Long enough for most sentences; a thousand of them are made per decision.
        let mut text = String::with_capacity(128);
        // Writing to a string cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let (service, replicas) = (self.service, Count(self.replicas));
        let Some(rate) = service.rate else {
            let bounds = if self.replicas == service.previous { "" } else { ", the nearest to what it has" };
            return write!(text, "the rate is unknown: held at {replicas}{bounds}");
        };
        let rate_text = Number(rate);
        match self.demand.need {
            Need::Replicas(need) if rate > 0.0 || self.problem.compat || service.steps.is_some() => {
                let of = if service.derived { " of its callers" } else { "" };
                write!(text, "rate {rate_text} requests/s{of} needs {} (", Count(need))?;
                self.write_model(text, need)?;
                text.push(')');
                self.write_cause(text, need)
            }
            Need::Replicas(_) | Need::Unknown => {
                text.push_str("no requests");
                self.write_cause(text, 0)
            }
            Need::Never if service.profile.alpha == 0.0 => {
                let most = Number(self.problem.target_utilisation * service.profile.beta);
                write!(
                    text,
                    "rate {rate_text} requests/s is above {most} requests/s, to which replicas add nothing; "
                )?;
                write!(text, "held at {replicas}")
            }
            Need::Never => {
                write!(text, "rate {rate_text} requests/s needs more replicas than any service may have")?;
                self.write_cause(text, i64::MAX)
            }
        }
    }

    /// Why the number differs from the one that the rate needs; nothing if it does not.
    fn write_cause(&self, text: &mut String, need: i64) -> fmt::Result {
        let (service, held) = (self.service, self.demand.held);
        let (replicas, now) = (self.replicas, Count(self.replicas));
        if replicas == need && need >= held {
            return Ok(());
        }
        text.push_str("; ");
        if service.share == Some(replicas) && replicas < need.max(service.profile.min) {
            return write!(text, "its share of what there is for all services is {now}");
        }
        if replicas < need {
            let bounding = service.not_above.filter(|_| replicas < service.profile.max);
            let cause = match bounding.map(|bound| bound.because) {
                Some(BoundCause::Cooldown | BoundCause::Stabilisation) => {
                    "held by the cooldown of scale-up at"
                }
                Some(BoundCause::Step) => "one step up is limited to",
                None => "the maximum is",
            };
            return write!(text, "{cause} {now}");
        }
        if replicas < held {
            return write!(
                text,
                "gives up {} of {held} that it would hold, for lack of room",
                held - replicas
            );
        }
        if replicas > held {
            return self.write_surplus(text);
        }
        if replicas == service.profile.min {
            return write!(text, "the minimum is {now}");
        }
        match service.not_below.map(|bound| bound.because) {
            Some(BoundCause::Step) => write!(text, "one step down is limited to {now}"),
            Some(BoundCause::Cooldown) => write!(text, "held by the cooldown of scale-down at {now}"),
            Some(BoundCause::Stabilisation) | None => {
                write!(text, "held at {now}, which it needed within the stabilisation window")
            }
        }
    }

    /// Why a service gets more than it needs and holds.
    fn write_surplus(&self, text: &mut String) -> fmt::Result {
        let (problem, now) = (self.problem, Count(self.replicas));
        if *self.strategy == Strategy::BuiltIn(BuiltIn::Threshold) {
            let capacity = self.service.profile.alpha * self.replicas as f64 + self.service.profile.beta;
            let share = self.service.rate.unwrap_or(0.0) / capacity;
            let [share, low, high] =
                [share, problem.thresholds.low, problem.thresholds.high].map(|share| Number(100.0 * share));
            return write!(text, "takes {share} % of {now} (marks {low} % and {high} %)");
        }
        if self.replicas <= self.demand.previous && problem.weights.utilisation <= problem.weights.change {
            return write!(text, "held at {now}: giving replicas up does not pay");
        }
        let more = self.replicas - self.demand.held;
        write!(text, "{more} more for the minimum over all services")
    }

    /// The capacity model with numbers: `80 % of 33.33·3 − 16.66 = 66.664`; or the mark that decides.
    fn write_model(&self, text: &mut String, replicas: i64) -> fmt::Result {
        if let (Some(steps), Some(rate)) = (self.service.steps, self.service.rate) {
            return match (steps.up, steps.down) {
                (Some(up), _) if rate > up.above => write!(text, "above {}", Number(up.above)),
                (_, Some(down)) if rate < down.below => write!(text, "below {}", Number(down.below)),
                _ => write!(text, "between its marks"),
            };
        }
        let (alpha, beta) = (self.service.profile.alpha, self.service.profile.beta);
        let sign = if beta < 0.0 { '−' } else { '+' };
        let target = self.problem.target_utilisation;
        if target < 1.0 {
            write!(text, "{} % of ", Number(100.0 * target))?;
        }
        let total = Number(target * (alpha * replicas as f64 + beta));
        write!(text, "{}·{replicas} {sign} {} = {total}", Number(alpha), Number(beta.abs()))
    }
}

/// `1 replica`, `2 replicas`.
struct Count(i64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} replica{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// A number with at most three decimals.
pub(super) struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let thousandths = (self.0 * 1000.0).round();
        // Beyond that, integers of floating point are not exact any more.
        if thousandths.is_nan() || thousandths.abs() > 9e15 {
            return write!(f, "{}", self.0);
        }
        let thousandths = thousandths as i64;
        let (whole, mut rest, mut digits) = (thousandths / 1000, thousandths.abs() % 1000, 3);
        let sign = if whole == 0 && thousandths < 0 { "-" } else { "" };
        if rest == 0 {
            return write!(f, "{whole}");
        }
        while rest % 10 == 0 {
            (rest, digits) = (rest / 10, digits - 1);
        }
        write!(f, "{sign}{whole}.{rest:0digits$}")
    }
}

impl fmt::Display for ScalingConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { cluster, services, violated } => {
                let lacks: Vec<String> = violated.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "cluster {cluster} has too little room for {}: {}",
                    named(services),
                    lacks.join("; ")
                )
            }
            Self::RoomForMinimum { minimum, room } => {
                let minimum = Count(*minimum);
                write!(f, "the minimum over all services is {minimum}, there is room for {room}")
            }
            Self::Minimum { minimum, allowed } => {
                let minimum = Count(*minimum);
                write!(f, "the minimum over all services is {minimum}, together they may have {allowed}")
            }
            Self::Maximum { maximum, needed } => {
                let maximum = Count(*maximum);
                write!(f, "the maximum over all services is {maximum}, together they need {needed}")
            }
            Self::Rate { service, rate } => {
                let rate = Number(*rate);
                write!(f, "no number of replicas of service {service} serves {rate} requests/s")
            }
        }
    }
}

fn named(services: &[String]) -> String {
    let shown = services.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match services.len() {
        0 | 1 => format!("service {shown}"),
        all if all <= MAX_NAMED => format!("services {shown}"),
        all => format!("services {shown} and {} more", all - MAX_NAMED),
    }
}
