//! Programs of the operator: external strategies, what decides when one of them does not, and intent
//! handlers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::section::{Section, shown};
use super::value::{Parse, http_url, scalar, without_password};
use crate::hdag::{MAX_PATH, is_dns_label};
use crate::optimizer::{BuiltInStrategy, Strategy};

/// Default deadline of an answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// A strategy that another program computes; `B` are the built-in ones of the same kind of decision.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalStrategy<B> {
    /// Where problems are posted.
    pub url: String,
    /// How long an answer may take.
    pub deadline: Duration,
    /// The strategy that decides when there is no usable answer.
    pub fallback: B,
    /// Intents beyond the information model that it looks at, as paths with dots.
    pub handles: Vec<String>,
}

/// A program that says what intents beyond the information model mean.
#[derive(Clone, PartialEq, Eq)]
pub struct IntentHandler {
    /// The URL that intents are posted to.
    pub url: String,
    /// How long an answer may take.
    pub deadline: Duration,
    /// The intents that it is asked about, as paths with dots from `hdaGraphIntent` or a service's `intent`.
    pub intents: Vec<String>,
}

impl<B> ExternalStrategy<B> {
    /// A program that answers at a URL.
    pub fn new(url: impl Into<String>, deadline: Duration, fallback: B) -> Self {
        Self { url: url.into(), deadline, fallback, handles: Vec::new() }
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
            .field("handles", &self.handles)
            .finish()
    }
}

/// Shows the URL without its password.
impl fmt::Debug for IntentHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntentHandler")
            .field("url", &without_password(&self.url))
            .field("deadline", &self.deadline)
            .field("intents", &self.intents)
            .finish()
    }
}

impl Parse for IntentHandler {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(value, &["url", "deadline", "intents"])?;
        let handler = Self {
            url: section.get_with("url", http_url)?.ok_or("url is required")?,
            deadline: section.get("deadline")?.unwrap_or(DEADLINE),
            intents: section.get_with("intents", parse_paths)?.unwrap_or_default(),
        };
        if handler.deadline.is_zero() {
            return Err("deadline must be more than 0".to_owned());
        }
        if handler.intents.is_empty() {
            return Err("intents: name at least one".to_owned());
        }
        Ok(handler)
    }

    fn show(&self) -> Value {
        shown([
            ("url", without_password(&self.url).into()),
            ("deadline", self.deadline.show()),
            ("intents", self.intents.show()),
        ])
    }
}

/// A list of paths of intents.
fn parse_paths(value: &Value) -> Result<Vec<String>, String> {
    let paths: Vec<String> = Parse::parse(value)?;
    paths.iter().try_for_each(|path| check_path(path))?;
    Ok(paths)
}

/// Refuses what cannot be a path of an intent.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    if path.len() > MAX_PATH || path.split('.').any(str::is_empty) {
        return Err(format!("{path:?} is not of the form name.name"));
    }
    Ok(())
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
    let section = Section::of(value, &["url", "deadline", "fallback", "handles"])?;
    let external = ExternalStrategy {
        url: section.get_with("url", http_url)?.ok_or("url is required")?,
        deadline: section.get("deadline")?.unwrap_or(DEADLINE),
        fallback: section.get_with("fallback", parse_built_in)?.unwrap_or(B::ALL[0]),
        handles: section.get_with("handles", parse_paths)?.unwrap_or_default(),
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
            ("handles", if strategy.handles.is_empty() { Value::Null } else { strategy.handles.show() }),
        ])
    };
    Value::Object(external.iter().map(|(name, strategy)| (name.clone(), one(strategy))).collect())
}
