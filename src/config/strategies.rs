//! Which strategies there are: those built in, and external ones that answer over HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::section::{Section, shown};
use super::value::{Parse, http_url, without_password};
use crate::hdag::is_dns_label;
use crate::optimizer;

/// Placement strategies that are built in.
pub const PLACEMENT_STRATEGIES: [&str; 4] = optimizer::placement::BUILT_IN;
/// Scaling strategies that are built in.
pub const SCALING_STRATEGIES: [&str; 2] = optimizer::scaling::BUILT_IN;

/// A strategy that another program computes.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalStrategy {
    /// Where problems are posted.
    pub url: String,
    /// How long an answer may take.
    pub deadline: Duration,
    /// Built-in strategy that decides when there is no usable answer.
    pub fallback: String,
}

/// Shows the URL without its password.
impl fmt::Debug for ExternalStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalStrategy")
            .field("url", &without_password(&self.url))
            .field("deadline", &self.deadline)
            .field("fallback", &self.fallback)
            .finish()
    }
}

/// The default of the fallback depends on what is decided; it is the first of the built-in ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct BuiltIn(pub(super) &'static [&'static str]);

impl BuiltIn {
    /// Reads external strategies by name.
    pub(super) fn externals(self, value: &Value) -> Result<BTreeMap<String, ExternalStrategy>, String> {
        let Value::Object(map) = value else { return Err(format!("expected a mapping, found {value}")) };
        let named = |(name, value): (&String, &Value)| {
            let external = self.external(name, value).map_err(|message| format!("{name}: {message}"))?;
            Ok((name.clone(), external))
        };
        map.iter().map(named).collect()
    }

    fn external(self, name: &str, value: &Value) -> Result<ExternalStrategy, String> {
        if self.0.contains(&name) {
            return Err("a built-in strategy has this name".to_owned());
        }
        if !is_dns_label(name, 63) {
            return Err("a name has at most 63 lower-case letters, digits and inner hyphens".to_owned());
        }
        let section = Section::of(value, &["url", "deadline", "fallback"])?;
        let external = ExternalStrategy {
            url: section.get_with("url", http_url)?.ok_or("url is required")?,
            deadline: section.get("deadline")?.unwrap_or(Duration::from_secs(5)),
            fallback: section.get("fallback")?.unwrap_or_else(|| self.0[0].to_owned()),
        };
        if external.deadline.is_zero() {
            return Err("deadline must be more than 0".to_owned());
        }
        if !self.0.contains(&external.fallback.as_str()) {
            let known = self.0.join(", ");
            return Err(format!("fallback: {:?} is not built in; one of {known} is", external.fallback));
        }
        Ok(external)
    }

    /// Checks that there is a strategy of this name.
    pub(super) fn check(
        self,
        name: &str,
        external: &BTreeMap<String, ExternalStrategy>,
    ) -> Result<(), String> {
        if self.0.contains(&name) || external.contains_key(name) {
            return Ok(());
        }
        let known: Vec<&str> = self.0.iter().copied().chain(external.keys().map(String::as_str)).collect();
        Err(format!("unknown strategy {name:?}; known ones are {}", known.join(", ")))
    }
}

/// External strategies as a file would state them, passwords masked.
pub(super) fn show_externals(external: &BTreeMap<String, ExternalStrategy>) -> Value {
    let one = |strategy: &ExternalStrategy| {
        shown([
            ("url", without_password(&strategy.url).into()),
            ("deadline", strategy.deadline.show()),
            ("fallback", strategy.fallback.show()),
        ])
    };
    Value::Object(external.iter().map(|(name, strategy)| (name.clone(), one(strategy))).collect())
}
