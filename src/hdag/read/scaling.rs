//! The sections `smo.scaling` of the graph and of its services.

use std::time::Duration;

use super::Context;
use super::reader::{Object, Report};
use super::references::References;
use super::wishes::{choice, name, number, optional_flag};
use crate::hdag::parameters::{check_alpha, check_beta, check_replicas};
use crate::hdag::rules::{check_window, parse_duration, rate_query};
use crate::hdag::scaling::{
    check_scaling_weight, check_target_utilisation, check_thresholds, utilisation_of_tolerance,
};
use crate::hdag::{RateSource, ScalingRequest, ScalingWishes, StepDown, StepUp, Steps, WhenAbsent};

/// Values of `whenAbsent`.
const WHEN_ABSENT: [(&str, WhenAbsent); 2] = [("hold", WhenAbsent::Hold), ("zero", WhenAbsent::Zero)];

/// Reads the graph's section.
pub(super) fn read_graph(smo: &Object<'_>, report: &mut Report) -> ScalingWishes {
    let known = [
        "enabled",
        "strategy",
        "weights",
        "targetUtilisation",
        "stabilisation",
        "thresholds",
        "tolerance",
        "cooldown",
    ];
    let scaling = smo.object("scaling", &known, report);
    let weights = scaling.object("weights", &["utilisation", "change"], report);
    ScalingWishes {
        enabled: optional_flag(&scaling, "enabled", report),
        strategy: name(&scaling, "strategy", report),
        utilisation: number(&weights, "utilisation", check_scaling_weight, report),
        change: number(&weights, "change", check_scaling_weight, report),
        target_utilisation: read_target(&scaling, report),
        stabilisation: read_stabilisation(&scaling, report),
        thresholds: read_thresholds(&scaling, report),
    }
}

/// `targetUtilisation`, or what its deprecated name `tolerance` leaves.
fn read_target(scaling: &Object<'_>, report: &mut Report) -> Option<f64> {
    let check = |tolerance| utilisation_of_tolerance(tolerance).map(|_| ());
    let tolerance = number(scaling, "tolerance", check, report);
    if tolerance.is_some() {
        deprecated(scaling, "tolerance", "targetUtilisation", report);
    }
    let target = number(scaling, "targetUtilisation", check_target_utilisation, report);
    target.or_else(|| utilisation_of_tolerance(tolerance?).ok())
}

/// `stabilisation`, or its deprecated name `cooldown`.
fn read_stabilisation(scaling: &Object<'_>, report: &mut Report) -> Option<Duration> {
    let cooldown = duration(scaling, "cooldown", parse_duration, report);
    if cooldown.is_some() {
        deprecated(scaling, "cooldown", "stabilisation", report);
    }
    duration(scaling, "stabilisation", parse_duration, report).or(cooldown)
}

fn deprecated(scaling: &Object<'_>, field: &str, name: &str, report: &mut Report) {
    report.warn(scaling.pointer_to(field), format!("is a deprecated name of {name}"));
}

fn read_thresholds(scaling: &Object<'_>, report: &mut Report) -> Option<(f64, f64)> {
    scaling.get("thresholds")?;
    let thresholds = scaling.object("thresholds", &["low", "high"], report);
    let mut mark = |field: &str| thresholds.get(field)?.number(report);
    let (low, high) = (mark("low"), mark("high"));
    let (Some(low), Some(high)) = (low, high) else {
        report.error(scaling.pointer_to("thresholds"), "must have the numbers low and high");
        return None;
    };
    let checked = check_thresholds(low, high);
    checked.map_err(|problem| report.error(scaling.pointer_to("thresholds"), problem)).ok()?;
    Some((low, high))
}

/// Reads a service's section.
pub(super) fn read_service(
    smo: &Object<'_>,
    context: &Context<'_>,
    references: &mut References,
    report: &mut Report,
) -> ScalingRequest {
    let known = [
        "alpha",
        "beta",
        "min",
        "max",
        "up",
        "down",
        "rateFrom",
        "fromCallers",
        "query",
        "window",
        "whenAbsent",
        "workload",
    ];
    let scaling = smo.object("scaling", &known, report);
    let min = replicas(&scaling, "min", report);
    let max = replicas(&scaling, "max", report);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        report.error(scaling.pointer_to("min"), format!("is {min}, which is more than max, {max}"));
    }
    ScalingRequest {
        alpha: number(&scaling, "alpha", check_alpha, report),
        beta: number(&scaling, "beta", check_beta, report),
        min,
        max,
        steps: read_steps(&scaling, report),
        rate: read_rate(&scaling, context, references, report),
        when_absent: choice(&scaling, "whenAbsent", &WHEN_ABSENT, report),
        window: duration(&scaling, "window", check_window, report),
        workload: name(&scaling, "workload", report),
    }
}

fn read_steps(scaling: &Object<'_>, report: &mut Report) -> Option<Steps> {
    let mut step = |field: &str, mark: &str| {
        scaling.get(field)?;
        let step = scaling.object(field, &[mark, "to"], report);
        let found = (step.get(mark).and_then(|node| node.number(report)), replicas(&step, "to", report));
        let (Some(mark_at), Some(to)) = found else {
            report.error(scaling.pointer_to(field), format!("must have the numbers {mark} and to"));
            return None;
        };
        Some((mark_at, to))
    };
    let up = step("up", "above").map(|(above, to)| StepUp { above, to });
    let down = step("down", "below").map(|(below, to)| StepDown { below, to });
    let steps = Steps { up, down };
    if let Err(problem) = steps.check() {
        report.error(scaling.pointer.clone(), problem);
        return None;
    }
    (up.is_some() || down.is_some()).then_some(steps)
}

fn read_rate(
    scaling: &Object<'_>,
    context: &Context<'_>,
    references: &mut References,
    report: &mut Report,
) -> Option<RateSource> {
    let from = scaling.text("rateFrom", report);
    let query = scaling.text("query", report);
    let callers = optional_flag(scaling, "fromCallers", report) == Some(true);
    if from.is_some() && query.is_some() {
        report.error(scaling.pointer_to("query"), "cannot be given together with rateFrom");
    }
    if callers && (from.is_some() || query.is_some()) {
        report.error(scaling.pointer_to("fromCallers"), "cannot be given together with rateFrom or query");
    }
    if let Some(from) = from {
        references.require(&scaling.pointer_to("rateFrom"), from);
        return Some(RateSource::Service(from.to_owned()));
    }
    if callers {
        return Some(RateSource::Callers);
    }
    let query = query?;
    // Any service and window will do to see whether the expression parses; the same ones, so that a query which many
    // services share is parsed once.
    let example = rate_query(query, "service", ["service"], Duration::from_secs(60));
    if let Err(problem) = context.check_expression(&example) {
        report.error(scaling.pointer_to("query"), problem);
    }
    Some(RateSource::Query(query.to_owned()))
}

fn duration(
    scaling: &Object<'_>,
    field: &str,
    read: fn(&str) -> Result<Duration, String>,
    report: &mut Report,
) -> Option<Duration> {
    let node = scaling.get(field)?;
    let read = read(node.text(report)?);
    read.map_err(|problem| report.error(node.pointer, problem)).ok()
}

fn replicas(scaling: &Object<'_>, field: &str, report: &mut Report) -> Option<i64> {
    let replicas = scaling.natural(field, report)?;
    if let Err(problem) = check_replicas(replicas) {
        report.error(scaling.pointer_to(field), problem);
        return None;
    }
    Some(replicas)
}
