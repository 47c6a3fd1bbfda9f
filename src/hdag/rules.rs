//! Prometheus' languages: durations, templates of expressions, and expressions of alert rules.
//!
//! Durations follow the grammar of rule files, which is narrower than that of PromQL: no fractions.

use std::time::Duration;

use super::expression::{Kind, kind_of};
use super::tree::quoted;

/// Units from large to small, the order in which they must be written, in milliseconds.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Prometheus keeps durations as nanoseconds in 64 bits.
const MAX_MILLISECONDS: u64 = i64::MAX as u64 / 1_000_000;

/// Reads a duration as Prometheus writes it: `5m`, `1h30m`, `90s`, `0`.
///
/// # Errors
/// The text is no such duration, or longer than 292 years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{} is not a Prometheus duration such as 30s, 5m or 1h30m", quoted(text));
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err(wrong());
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        if number.is_empty() {
            return Err(wrong());
        }
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let (_, milliseconds) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*milliseconds))
            .and_then(|part| total.checked_add(part))
            .filter(|total| *total <= MAX_MILLISECONDS)
            .ok_or_else(|| format!("duration {} is longer than 292 years", quoted(text)))?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// The longest of some durations as it is written; `0s` when there is none. A text that is no duration counts
/// as 0.
#[must_use]
pub fn longest_duration<'a>(durations: impl IntoIterator<Item = &'a str>) -> &'a str {
    durations
        .into_iter()
        .filter_map(|text| Some((parse_duration(text).ok()?, text)))
        .reduce(|longest, next| if next.0 > longest.0 { next } else { longest })
        .map_or("0s", |(_, text)| text)
}

/// The labels that every rule sets: series of an expression that differ in nothing else would become one and the same
/// alert, which Prometheus refuses.
const SET_BY_RULES: &str = "alertname, graph, project, service, severity";

/// The expression of a rule that holds while any of these holds, or all of them do. A scalar holds while it is
/// not 0. Series that the labels of the rule would make equal count as one.
#[must_use]
pub fn alert_expression<'a>(conditions: impl IntoIterator<Item = &'a str>) -> String {
    alert_of(conditions.into_iter().map(|condition| (condition, kind_of(condition).ok())))
}

/// The same of conditions whose kinds are known.
pub(super) fn alert_of<'a>(conditions: impl Iterator<Item = (&'a str, Option<Kind>)>) -> String {
    let all: Vec<String> = conditions.map(|(condition, kind)| as_vector(condition, kind)).collect();
    format!("max without ({SET_BY_RULES}) ({})", all.join(" and on() "))
}

/// An expression in brackets that gives a vector.
fn as_vector(expression: &str, kind: Option<Kind>) -> String {
    // A comment would take the bracket with it.
    let end = if expression.contains('#') { "\n" } else { "" };
    match kind {
        Some(Kind::Scalar) => format!("(vector({expression}{end}) != 0)"),
        _ => format!("({expression}{end})"),
    }
}

/// Text of a user in a field of a rule that Prometheus takes for a template.
#[must_use]
pub fn without_template(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

/// Reads the time over which a rate is taken.
///
/// # Errors
/// The text is no duration of Prometheus, or is 0.
pub fn check_window(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("must be more than 0".to_owned()),
        window => Ok(window),
    }
}

/// The PromQL expression of a template: `{label}` becomes the label that distinguishes services, `{services}` their
/// names as alternatives of a regular expression, `{window}` a duration. Names are DNS labels, which need no
/// escaping.
#[must_use]
pub fn rate_query<'a>(
    template: &str,
    label: &str,
    services: impl IntoIterator<Item = &'a str>,
    window: Duration,
) -> String {
    let services: Vec<&str> = services.into_iter().collect();
    template
        .replace("{label}", label)
        .replace("{services}", &services.join("|"))
        .replace("{window}", &format!("{}ms", window.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::super::check_expression;
    use super::*;

    #[test]
    fn rules_hold_whatever_labels_series_have_and_whatever_users_write() {
        let one = |expression| alert_expression([expression]);
        let without = "max without (alertname, graph, project, service, severity)";
        assert_eq!(one("a > 1"), format!("{without} ((a > 1))"));
        assert_eq!(one("up == 0 # any target"), format!("{without} ((up == 0 # any target\n))"));
        assert_eq!(
            one("scalar(hour()) > bool 8"),
            format!("{without} ((vector(scalar(hour()) > bool 8) != 0))")
        );
        for conditions in [
            ["up == 0 # any target", "vector(1) > 0"],
            ["scalar(hour()) > bool 8", "vector(1) > 0 # x"],
            ["1", "2"],
            ["sum by (service) (rate(x[1m])) > 5", "b or c"],
            [r#"{__name__=~"a|b#c"}"#, "absent(x)"],
        ] {
            let together = alert_expression(conditions);
            assert_eq!(check_expression(&together), Ok(()), "{together}");
        }
        assert_eq!(without_template("{{ $value }} is {high}"), r#"{{ "{{" }} $value }} is {high}"#);
    }
}
