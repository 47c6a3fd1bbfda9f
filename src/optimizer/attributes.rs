//! Cluster attributes beyond resources. An absent attribute is unknown, never "free" or "near".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Attributes of a cluster that decisions use.
///
/// They come, in this order, from the interface, the configuration, the labels of Karmada's Cluster object,
/// and (latencies) measured round-trip times. A price, a carbon intensity or an activation cost of 0 is
/// one; a latency of 0 was not measured, and counts as unknown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterAttributes {
    /// Price of one core for one hour, in the operator's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.04, minimum = 0, maximum = 1_000_000)]
    pub price_per_core_hour: Option<f64>,
    /// Carbon dioxide equivalent of one core for one hour, in grams.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 12.5, minimum = 0, maximum = 1_000_000)]
    pub carbon_per_core_hour: Option<f64>,
    /// Cost of using the cluster at all, in cost units.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 20.0, minimum = 0, maximum = 1_000_000)]
    pub activation_cost: Option<f64>,
    /// Region; clusters of one region are neighbours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "be")]
    pub region: Option<String>,
    /// Site of devices that the cluster is near to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "factory-1")]
    pub site: Option<String>,
    /// Class of its energy supply, any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "renewable")]
    pub energy_class: Option<String>,
    /// Whether graphs that ask for security may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = true)]
    pub trusted: Option<bool>,
    /// Round-trip time to other clusters in milliseconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, AttributeNumber>, example = json!({"cloud": 25}))]
    pub latencies_ms: BTreeMap<String, f64>,
    /// Any further attributes that configured intents use.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl ClusterAttributes {
    /// The value of an attribute as text: one of the fields by its name, or else a label. `None` when
    /// unknown.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        match name {
            "price_per_core_hour" => number(self.price_per_core_hour),
            "carbon_per_core_hour" => number(self.carbon_per_core_hour),
            "activation_cost" => number(self.activation_cost),
            "region" => self.region.clone(),
            "site" => self.site.clone(),
            "energy_class" => self.energy_class.clone(),
            "trusted" => self.trusted.map(|trusted| trusted.to_string()),
            label => self.labels.get(label).cloned(),
        }
    }

    /// These attributes, completed by those of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let merged = |other: BTreeMap<String, f64>, one: BTreeMap<String, f64>| {
            let mut merged = other;
            merged.extend(one.into_iter().filter(|(_, value)| *value != 0.0));
            merged
        };
        let mut labels = other.labels;
        labels.extend(self.labels);
        Self {
            price_per_core_hour: self.price_per_core_hour.or(other.price_per_core_hour),
            carbon_per_core_hour: self.carbon_per_core_hour.or(other.carbon_per_core_hour),
            activation_cost: self.activation_cost.or(other.activation_cost),
            region: self.region.or(other.region),
            site: self.site.or(other.site),
            energy_class: self.energy_class.or(other.energy_class),
            trusted: self.trusted.or(other.trusted),
            latencies_ms: merged(other.latencies_ms, self.latencies_ms),
            labels,
        }
    }

    /// The invalid numbers: field and cause.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let numbers = [
            ("price_per_core_hour", self.price_per_core_hour),
            ("carbon_per_core_hour", self.carbon_per_core_hour),
            ("activation_cost", self.activation_cost),
        ];
        let named = numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let latencies =
            self.latencies_ms.iter().map(|(name, value)| (format!("latencies_ms/{name}"), *value));
        for (name, value) in named.chain(latencies) {
            if !(value.is_finite() && (0.0..=LARGEST_ATTRIBUTE).contains(&value)) {
                faults.push((name, format!("must be a number from 0 to {LARGEST_ATTRIBUTE}, not {value}")));
            }
        }
        faults
    }
}

/// A number of an attribute, as the document describes it.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 1_000_000)]
#[expect(dead_code, reason = "only describes numbers in the document")]
struct AttributeNumber(f64);

/// Largest number of an attribute; the schema states it, too.
pub const LARGEST_ATTRIBUTE: f64 = 1e6;
