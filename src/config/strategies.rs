//! External strategies: which there are, and what decides when one of them does not.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::section::{Section, shown};
use super::value::{Parse, http_url, scalar, without_password};
use crate::hdag::is_dns_label;
use crate::optimizer::{BuiltInStrategy, Strategy};

/// A strategy that another program computes; `B` are the built-in ones of the same kind of decision.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalStrategy<B> {
    /// Where problems are posted.
    pub url: String,
    /// How long an answer may take.
    pub deadline: Duration,
    /// What decides when there is no usable answer.
    pub fallback: B,
}

impl<B> ExternalStrategy<B> {
    /// A program that answers at a URL.
    pub fn new(url: impl Into<String>, deadline: Duration, fallback: B) -> Self {
        Self { url: url.into(), deadline, fallback }
    }
}

/// External strategies by name.
pub type ExternalStrategies<B> = BTreeMap<String, ExternalStrategy<B>>;

/// Shows the URL without its password.
impl<B: fmt::Debug> fmt::Debug for ExternalStrategy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalStrategy")
            .field("url", &without_password(&self.url))
            .field("deadline", &self.deadline)
            .field("fallback", &self.fallback)
            .finish()
    }
}

impl<B: BuiltInStrategy> Parse for Strategy<B> {
    fn parse(value: &Value) -> Result<Self, String> {
        scalar(value).map(|name| name.as_str().into())
    }

    fn show(&self) -> Value {
        self.name().into()
    }
}

/// Reads external strategies by name.
pub(super) fn parse_externals<B: BuiltInStrategy>(value: &Value) -> Result<ExternalStrategies<B>, String> {
    let Value::Object(map) = value else { return Err(format!("expected a mapping, found {value}")) };
    let named = |(name, value): (&String, &Value)| {
        let external = parse_external(name, value).map_err(|message| format!("{name}: {message}"))?;
        Ok((name.clone(), external))
    };
    map.iter().map(named).collect()
}

fn parse_external<B: BuiltInStrategy>(name: &str, value: &Value) -> Result<ExternalStrategy<B>, String> {
    if B::named(name).is_some() {
        return Err("a built-in strategy has this name".to_owned());
    }
    if !is_dns_label(name, 63) {
        return Err("a name has at most 63 lower-case letters, digits and inner hyphens".to_owned());
    }
    let section = Section::of(value, &["url", "deadline", "fallback"])?;
    let external = ExternalStrategy {
        url: section.get_with("url", http_url)?.ok_or("url is required")?,
        deadline: section.get("deadline")?.unwrap_or(Duration::from_secs(5)),
        fallback: section.get_with("fallback", parse_built_in)?.unwrap_or(B::ALL[0]),
    };
    if external.deadline.is_zero() {
        return Err("deadline must be more than 0".to_owned());
    }
    Ok(external)
}

fn parse_built_in<B: BuiltInStrategy>(value: &Value) -> Result<B, String> {
    let name = scalar(value)?;
    B::named(&name).ok_or_else(|| format!("{name:?} is not built in; one of {} is", B::names()))
}

/// Refuses a strategy that is neither built in nor configured.
///
/// # Errors
/// Names the strategies that there are.
pub(crate) fn check_strategy<B: BuiltInStrategy>(
    strategy: &Strategy<B>,
    external: &ExternalStrategies<B>,
) -> Result<(), String> {
    match strategy {
        Strategy::External(name) if !external.contains_key(name) => {
            let own = external.keys().map(|name| format!(", {name}")).collect::<String>();
            Err(format!("unknown strategy {name:?}; known ones are {}{own}", B::names()))
        }
        Strategy::BuiltIn(_) | Strategy::External(_) => Ok(()),
    }
}

/// External strategies as a file would state them, passwords masked.
pub(super) fn show_externals<B: BuiltInStrategy>(external: &ExternalStrategies<B>) -> Value {
    let one = |strategy: &ExternalStrategy<B>| {
        shown([
            ("url", without_password(&strategy.url).into()),
            ("deadline", strategy.deadline.show()),
            ("fallback", strategy.fallback.name().into()),
        ])
    };
    Value::Object(external.iter().map(|(name, strategy)| (name.clone(), one(strategy))).collect())
}
