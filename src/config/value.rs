//! How one setting is read from text or YAML and shown again.
//!
//! Variables and flags are texts, a YAML file has numbers and booleans too, so every kind of setting accepts
//! both. Messages name the value found and the values accepted; the caller adds the name of the setting.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

/// Longer durations are slips, and would overflow when they are added to a clock.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A kind of setting.
pub(super) trait Parse: Sized {
    /// Reads it.
    fn parse(value: &Value) -> Result<Self, String>;
    /// The value as a configuration file would state it.
    fn show(&self) -> Value;
}

/// The text of a scalar.
pub(super) fn scalar(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(format!("expected one value, found {value}")),
    }
}

impl Parse for String {
    fn parse(value: &Value) -> Result<Self, String> {
        scalar(value)
    }

    fn show(&self) -> Value {
        json!(self)
    }
}

impl Parse for PathBuf {
    fn parse(value: &Value) -> Result<Self, String> {
        scalar(value).map(Self::from)
    }

    fn show(&self) -> Value {
        json!(self.display().to_string())
    }
}

impl Parse for SocketAddr {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = scalar(value)?;
        text.parse().map_err(|_| format!("{text:?} is not an address with a port, such as 127.0.0.1:8000"))
    }

    fn show(&self) -> Value {
        json!(self.to_string())
    }
}

impl Parse for bool {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = scalar(value)?;
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" | "on" => Ok(true),
            "false" | "0" | "no" | "n" | "off" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn show(&self) -> Value {
        json!(self)
    }
}

/// Whole numbers of one type.
macro_rules! whole_number {
    ($type:ty) => {
        impl Parse for $type {
            fn parse(value: &Value) -> Result<Self, String> {
                let text = scalar(value)?;
                text.parse().map_err(|_| {
                    format!("{text:?} is not a whole number from {} to {}", Self::MIN, Self::MAX)
                })
            }

            fn show(&self) -> Value {
                json!(self)
            }
        }
    };
}

whole_number!(i64);
whole_number!(u32);
whole_number!(u64);
whole_number!(usize);

impl Parse for f64 {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = scalar(value)?;
        let number = text.parse().ok().filter(|number: &Self| number.is_finite());
        number.ok_or_else(|| format!("{text:?} is not a number"))
    }

    fn show(&self) -> Value {
        json!(self)
    }
}

impl<T: Parse> Parse for Option<T> {
    fn parse(value: &Value) -> Result<Self, String> {
        T::parse(value).map(Some)
    }

    fn show(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::show)
    }
}

impl Parse for Duration {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = scalar(value)?;
        let duration = match text.parse::<f64>() {
            Ok(seconds) => Self::try_from_secs_f64(seconds).ok(),
            Err(_) => parse_units(&text),
        };
        duration
            .filter(|duration| *duration <= LONGEST)
            .ok_or_else(|| format!("{text:?} is not a duration up to a year, such as 90, 90s, 5m or 200ms"))
    }

    fn show(&self) -> Value {
        let (seconds, millis) = (self.as_secs(), self.subsec_millis());
        json!(match (seconds, millis) {
            (_, 1..) => format!("{}ms", self.as_millis()),
            (60.., 0) if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
            _ => format!("{seconds}s"),
        })
    }
}

/// Numbers with units, largest first or not: `1h30m`, `200ms`.
fn parse_units(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds_per_unit = match &rest[..unit_end] {
            "ms" => None,
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(24 * 3600),
            _ => return None,
        };
        let part = match seconds_per_unit {
            None => Duration::from_millis(number),
            Some(seconds) => Duration::from_secs(number.checked_mul(seconds)?),
        };
        total = total.checked_add(part)?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Values by name: a mapping in YAML, `name=value,name=value` in a variable.
impl<T: Parse> Parse for BTreeMap<String, T> {
    fn parse(value: &Value) -> Result<Self, String> {
        let entry = |name: &str, value: &Value| {
            let value = T::parse(value).map_err(|message| format!("{name}: {message}"))?;
            Ok((name.to_owned(), value))
        };
        if let Value::Object(map) = value {
            return map.iter().map(|(name, value)| entry(name, value)).collect();
        }
        let text = scalar(value)?;
        let pair = |part: &str| match part.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                entry(name.trim(), &Value::String(value.trim().to_owned()))
            }
            _ => Err(format!("{part:?} is not of the form name=value")),
        };
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(pair).collect()
    }

    fn show(&self) -> Value {
        Value::Object(self.iter().map(|(name, value)| (name.clone(), value.show())).collect())
    }
}

impl<T: Parse> Parse for Vec<T> {
    fn parse(value: &Value) -> Result<Self, String> {
        let items = match value {
            Value::Array(items) => items.clone(),
            // As a variable: separated by commas.
            Value::String(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(|part| Value::String(part.to_owned())).collect()
            }
            _ => return Err(format!("expected a list, found {value}")),
        };
        let numbered = items.iter().enumerate();
        numbered
            .map(|(index, item)| T::parse(item).map_err(|message| format!("entry {}: {message}", index + 1)))
            .collect()
    }

    fn show(&self) -> Value {
        self.iter().map(T::show).collect()
    }
}

/// Base URL of an HTTP service; the scheme may be missing.
pub(super) fn http_url(value: &Value) -> Result<String, String> {
    let text = scalar(value)?;
    let full = if text.contains("://") { text } else { format!("http://{text}") };
    let url = reqwest::Url::parse(&full).map_err(|error| format!("is not a URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {:?}, expected http or https", url.scheme()));
    }
    Ok(full.trim_end_matches('/').to_owned())
}

/// The URL with its password masked; one that is no URL is masked whole.
pub(super) fn without_password(url: &str) -> String {
    const MASK: &str = "***";
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    // A password with an unencoded slash would spill over the authority, hence the search in the whole rest.
    let masked = match (authority.rsplit_once('@'), rest.rsplit_once('@')) {
        (Some((user, host)), _) if user.contains(':') => {
            format!("{}:{MASK}@{host}{tail}", user.split(':').next().unwrap_or_default())
        }
        (None, Some((_, host))) => format!("{MASK}@{host}"),
        _ => rest.to_owned(),
    };
    match masked.split_once('?') {
        Some((before, query)) if query.to_ascii_lowercase().contains("password") => {
            format!("{scheme}://{before}?{MASK}")
        }
        _ => format!("{scheme}://{masked}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_or_numbers_with_units() {
        let parse = |value: Value| Duration::parse(&value);
        assert_eq!(parse(json!(60)), Ok(Duration::from_secs(60)));
        assert_eq!(parse(json!(0.2)), Ok(Duration::from_millis(200)));
        assert_eq!(parse(json!("90")), Ok(Duration::from_secs(90)));
        assert_eq!(parse(json!("1h30m")), Ok(Duration::from_secs(5400)));
        assert_eq!(parse(json!("200ms")), Ok(Duration::from_millis(200)));
        for wrong in [json!(-1), json!("5 apples"), json!("m"), json!("nan"), json!("99999999999999d")] {
            assert!(parse(wrong.clone()).is_err(), "{wrong} was taken");
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_can_be_read() {
        for millis in [0, 200, 1_500, 1_000, 15_000, 60_000, 90_000, 300_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(Duration::parse(&duration.show()), Ok(duration));
        }
        assert_eq!(Duration::from_secs(300).show(), json!("5m"));
    }

    #[test]
    fn booleans_take_the_spellings_of_shells_and_python() {
        for yes in ["True", "true", "1", "yes", "on", "y", "Y"] {
            assert_eq!(bool::parse(&json!(yes)), Ok(true), "{yes}");
        }
        for no in ["False", "0", "no", "n", "N"] {
            assert_eq!(bool::parse(&json!(no)), Ok(false), "{no}");
        }
        assert!(bool::parse(&json!("maybe")).is_err());
    }

    #[test]
    fn labels_come_as_mapping_or_as_text() {
        let expected = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "x=y".to_owned())]);
        assert_eq!(BTreeMap::parse(&json!({"a": 1, "b": "x=y"})), Ok(expected.clone()));
        assert_eq!(BTreeMap::parse(&json!("a=1, b=x=y")), Ok(expected));
        assert!(BTreeMap::<String, String>::parse(&json!("a")).is_err());
    }

    #[test]
    fn a_url_without_scheme_is_http() {
        assert_eq!(http_url(&json!("10.0.0.1:9090/")), Ok("http://10.0.0.1:9090".to_owned()));
        assert_eq!(http_url(&json!("https://prom/x")), Ok("https://prom/x".to_owned()));
        assert!(http_url(&json!("ftp://prom")).is_err());
    }

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        let cases = [
            ("postgres://u:secret@h:5432/smo", "postgres://u:***@h:5432/smo"),
            ("postgres://u:sec@ret@h/smo", "postgres://u:***@h/smo"),
            ("postgres://u:sec/ret@h/smo", "postgres://***@h/smo"),
            ("postgres://h/smo?user=u&password=secret", "postgres://h/smo?***"),
            ("sqlite://./data/smo.db", "sqlite://./data/smo.db"),
            ("secret", "***"),
        ];
        for (url, masked) in cases {
            assert_eq!(without_password(url), masked);
        }
    }
}
