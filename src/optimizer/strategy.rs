//! Strategies as types: one that is built in, or an external one by its name.
//!
//! On the wire and in stored decisions a strategy is its name. The built-in ones of placement and of scaling
//! are enums of their own, so that the compiler names every place that a new one has to be added to.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The built-in strategies of one kind of decision.
pub trait BuiltInStrategy: Copy + Eq + Sized + 'static {
    /// All of them, in the order of the documentation. The first is the default fallback of external ones.
    const ALL: &'static [Self];

    /// Its name in descriptors, settings, requests and stored decisions.
    fn name(self) -> &'static str;

    /// The built-in strategy of a name.
    #[must_use]
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|strategy| strategy.name() == name)
    }

    /// All names, separated by commas.
    #[must_use]
    fn names() -> String {
        Self::ALL.iter().map(|strategy| strategy.name()).collect::<Vec<_>>().join(", ")
    }
}

/// A way to decide: a function of this program, or another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strategy<B> {
    /// Built in.
    BuiltIn(B),
    /// Another program, by its name in the settings. It may not be configured.
    External(String),
}

impl<B: BuiltInStrategy> Strategy<B> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(strategy) => strategy.name(),
            Self::External(name) => name,
        }
    }
}

impl<B: BuiltInStrategy> fmt::Display for Strategy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<B: BuiltInStrategy> From<B> for Strategy<B> {
    fn from(strategy: B) -> Self {
        Self::BuiltIn(strategy)
    }
}

impl<B: BuiltInStrategy> From<&str> for Strategy<B> {
    fn from(name: &str) -> Self {
        B::named(name).map_or_else(|| Self::External(name.to_owned()), Self::BuiltIn)
    }
}

impl<B: BuiltInStrategy> Serialize for Strategy<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de, B: BuiltInStrategy> Deserialize<'de> for Strategy<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| name.as_str().into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{placement, scaling};
    use super::*;

    fn a_name_leads_back_to_its_strategy<B: BuiltInStrategy + fmt::Debug>() {
        for built_in in B::ALL {
            let strategy = Strategy::BuiltIn(*built_in);
            let text = serde_json::to_value(&strategy).unwrap();
            assert_eq!(text, built_in.name());
            assert_eq!(serde_json::from_value::<Strategy<B>>(text).unwrap(), strategy);
        }
        let other: Strategy<B> = serde_json::from_str(r#""mine""#).unwrap();
        assert_eq!(other, Strategy::External("mine".to_owned()));
    }

    #[test]
    fn names_are_the_wire_format_of_strategies() {
        a_name_leads_back_to_its_strategy::<placement::BuiltIn>();
        a_name_leads_back_to_its_strategy::<scaling::BuiltIn>();
    }
}
