//! Prometheus' languages: durations, expressions, and templates of expressions.
//!
//! Durations follow the grammar of rule files, which is narrower than that of PromQL: no fractions.

use std::time::Duration;

use promql_parser::parser::value::ValueType;

use super::tree::quoted;

/// Longest expression in bytes; with `MAX_NESTING` it bounds the depth of the parsed tree.
const MAX_EXPRESSION: usize = 4096;
/// Deepest nesting of brackets in an expression.
const MAX_NESTING: usize = 64;

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

/// Whether this PromQL expression has samples as its result, as alert rules and request rates need.
///
/// # Errors
/// It does not parse, its result is neither an instant vector nor a scalar, or it is longer than 4096 bytes
/// or nested deeper than 64 brackets.
pub fn check_expression(expression: &str) -> Result<(), String> {
    if expression.trim().is_empty() {
        return Err("PromQL expression must not be empty".to_owned());
    }
    if expression.len() > MAX_EXPRESSION {
        return Err(format!(
            "PromQL expression has {} bytes; at most {MAX_EXPRESSION} are allowed",
            expression.len()
        ));
    }
    if nesting(expression) > MAX_NESTING {
        return Err(format!("PromQL expression is nested deeper than {MAX_NESTING} brackets"));
    }
    // The parser panics on some durations, such as `x[1e30]`; the panic is an answer like any other.
    let parsed = std::panic::catch_unwind(|| promql_parser::parser::parse(expression))
        .unwrap_or_else(|_| Err("a number in it is out of range".to_owned()))
        .map_err(|error| format!("{} is not a PromQL expression: {error}", quoted(expression)))?;
    match parsed.value_type() {
        ValueType::Vector | ValueType::Scalar => Ok(()),
        ValueType::Matrix => Err(wrong_result(expression, "a range vector")),
        ValueType::String => Err(wrong_result(expression, "a string")),
    }
}

/// The labels that every rule sets: series of an expression that differ in nothing else would become one and the same
/// alert, which Prometheus refuses.
const SET_BY_RULES: &str = "alertname, graph, project, service, severity";

/// The expression of a rule that holds while any of these holds, or all of them do. A scalar holds while it is
/// not 0. Series that the labels of the rule would make equal count as one.
#[must_use]
pub fn alert_expression<'a>(conditions: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<String> = conditions.into_iter().map(as_vector).collect();
    format!("max without ({SET_BY_RULES}) ({})", all.join(" and on() "))
}

/// An expression in brackets that gives a vector.
fn as_vector(expression: &str) -> String {
    // A comment would take the bracket with it.
    let end = if expression.contains('#') { "\n" } else { "" };
    match promql_parser::parser::parse(expression).map(|parsed| parsed.value_type()) {
        Ok(ValueType::Scalar) => format!("(vector({expression}{end}) != 0)"),
        _ => format!("({expression}{end})"),
    }
}

/// Text of a user in a field of a rule that Prometheus takes for a template.
#[must_use]
pub fn without_template(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

fn wrong_result(expression: &str, kind: &str) -> String {
    format!("{} gives {kind}; an instant vector is needed", quoted(expression))
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

fn nesting(expression: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    for byte in expression.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
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
