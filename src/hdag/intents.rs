//! The classes of a descriptor's compute intent in units, with their defaults.
//!
//! Configuration adds classes or changes their amounts; the default ones never go away, since a
//! descriptor without a class gets `small`.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer};

use super::quantity::{self, QuantityError};

const MIB: i64 = 1024 * 1024;
const GIB: i64 = 1024 * MIB;
const GB: i64 = 1_000_000_000;
const DEFAULT_CLASS: &str = "small";

/// Longest path of an intent beyond the information model, in bytes.
pub const MAX_PATH: usize = 200;

/// Meaning of intents: amounts by class name, and the intents beyond the information model that configured
/// rules use. In configuration amounts are numbers or quantities: `cpu: {tiny: 0.1, light: 500m}`,
/// `ram: {light: 500MiB}`, `storage: {large: 40GB}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntentMapping {
    /// CPU in millicores.
    pub cpu: Classes,
    /// Memory in bytes.
    pub ram: Classes,
    /// Ephemeral storage in bytes.
    pub storage: Classes,
    /// Intents that configured rules use, as paths with dots from `hdaGraphIntent` or a service's `intent`,
    /// such as `offload.policy`. They come from the rules, not from the configuration of the classes.
    pub mapped: BTreeSet<String>,
}

/// Classes of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classes(BTreeMap<String, i64>);

impl Classes {
    fn new<const N: usize>(classes: [(&str, i64); N]) -> Self {
        Self(classes.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect())
    }

    /// The amount of a class.
    #[must_use]
    pub fn get(&self, class: &str) -> Option<i64> {
        self.0.get(class).copied()
    }

    /// The amount of the class `small`.
    #[must_use]
    pub fn default_amount(&self) -> i64 {
        self.get(DEFAULT_CLASS).unwrap_or_default()
    }

    /// The names of the classes from the smallest amount to the largest.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut classes: Vec<_> = self.0.iter().map(|(name, amount)| (*amount, name.as_str())).collect();
        classes.sort_unstable();
        classes.into_iter().map(|(_, name)| name).collect()
    }

    fn change<E: serde::de::Error>(
        &mut self,
        resource: &str,
        changes: BTreeMap<String, Amount>,
        parse: impl Fn(&str) -> Result<i64, QuantityError>,
    ) -> Result<(), E> {
        for (name, Amount(text)) in changes {
            let amount =
                parse(&text).map_err(|error| E::custom(format!("{resource} class {name:?}: {error}")))?;
            self.0.insert(name, amount);
        }
        Ok(())
    }
}

impl Default for IntentMapping {
    fn default() -> Self {
        Self {
            cpu: Classes::new([("light", 500), ("small", 1000), ("medium", 4000), ("large", 8000)]),
            ram: Classes::new([
                ("light", 500 * MIB),
                ("small", GIB),
                ("medium", 2 * GIB),
                ("large", 8 * GIB),
            ]),
            storage: Classes::new([("small", 10 * GB), ("medium", 20 * GB), ("large", 40 * GB)]),
            mapped: BTreeSet::new(),
        }
    }
}

impl<'de> Deserialize<'de> for IntentMapping {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let changes = Changes::deserialize(deserializer)?;
        let mut mapping = Self::default();
        mapping.cpu.change::<D::Error>("cpu", changes.cpu, quantity::millicores)?;
        mapping.ram.change::<D::Error>("ram", changes.ram, quantity::bytes)?;
        mapping.storage.change::<D::Error>("storage", changes.storage, quantity::bytes)?;
        Ok(mapping)
    }
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct Changes {
    cpu: BTreeMap<String, Amount>,
    ram: BTreeMap<String, Amount>,
    storage: BTreeMap<String, Amount>,
}

/// A number or a quantity, as text, so that `0.1` stays exact.
struct Amount(String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;
        impl Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or a quantity such as 500m, 500MiB or 10GB")
            }

            fn visit_u64<E>(self, value: u64) -> Result<Amount, E> {
                Ok(Amount(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Amount, E> {
                Ok(Amount(value.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Amount, E> {
                if value.is_finite() {
                    Ok(Amount(value.to_string()))
                } else {
                    Err(E::custom("must be a finite number"))
                }
            }

            fn visit_str<E>(self, value: &str) -> Result<Amount, E> {
                Ok(Amount(value.to_owned()))
            }
        }
        deserializer.deserialize_any(AmountVisitor).map_err(D::Error::custom)
    }
}
