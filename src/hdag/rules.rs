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

/// The PromQL expression of a template: `{services}` becomes the names of services as alternatives of a
/// regular expression, `{window}` a duration. Names are DNS labels, which need no escaping.
#[must_use]
pub fn rate_query<'a>(
    template: &str,
    services: impl IntoIterator<Item = &'a str>,
    window: Duration,
) -> String {
    let services: Vec<&str> = services.into_iter().collect();
    template
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
