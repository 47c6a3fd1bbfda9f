//! Settings of clusters: their attributes, and the labels that carry them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::section::Section;
use super::value::Parse;
use crate::optimizer::ClusterAttributes;

/// Labels of Karmada's Cluster objects that state attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterLabels {
    /// Price of one core for one hour.
    pub price_per_core_hour: String,
    /// Grams of carbon dioxide equivalent of one core for one hour.
    pub carbon_per_core_hour: String,
    /// Cost of using the cluster at all.
    pub activation_cost: String,
    /// Region.
    pub region: String,
    /// Site of devices that the cluster is near to.
    pub site: String,
    /// Class of its energy supply.
    pub energy_class: String,
    /// Whether graphs that ask for security may use it.
    pub trusted: String,
}

impl Default for ClusterLabels {
    fn default() -> Self {
        Self {
            price_per_core_hour: "smo.io/price-per-core-hour".to_owned(),
            carbon_per_core_hour: "smo.io/carbon-per-core-hour".to_owned(),
            activation_cost: "smo.io/activation-cost".to_owned(),
            region: "topology.kubernetes.io/region".to_owned(),
            site: "smo.io/site".to_owned(),
            energy_class: "smo.io/energy-class".to_owned(),
            trusted: "smo.io/trusted".to_owned(),
        }
    }
}

impl Parse for ClusterLabels {
    fn parse(value: &Value) -> Result<Self, String> {
        let section = Section::of(
            value,
            &[
                "price_per_core_hour",
                "carbon_per_core_hour",
                "activation_cost",
                "region",
                "site",
                "energy_class",
                "trusted",
            ],
        )?;
        let default = Self::default();
        let label = |name: &str, default: String| {
            let label = section.get(name)?.unwrap_or(default);
            let good = !label.is_empty() && !label.contains(char::is_whitespace);
            if good { Ok(label) } else { Err(format!("{name}: {label:?} is no name of a label")) }
        };
        Ok(Self {
            price_per_core_hour: label("price_per_core_hour", default.price_per_core_hour)?,
            carbon_per_core_hour: label("carbon_per_core_hour", default.carbon_per_core_hour)?,
            activation_cost: label("activation_cost", default.activation_cost)?,
            region: label("region", default.region)?,
            site: label("site", default.site)?,
            energy_class: label("energy_class", default.energy_class)?,
            trusted: label("trusted", default.trusted)?,
        })
    }

    fn show(&self) -> Value {
        json!({
            "price_per_core_hour": self.price_per_core_hour,
            "carbon_per_core_hour": self.carbon_per_core_hour,
            "activation_cost": self.activation_cost,
            "region": self.region,
            "site": self.site,
            "energy_class": self.energy_class,
            "trusted": self.trusted,
        })
    }
}

impl Parse for ClusterAttributes {
    fn parse(value: &Value) -> Result<Self, String> {
        serde_json::from_value(value.clone()).map_err(|error| error.to_string())
    }

    fn show(&self) -> Value {
        // Texts and finite numbers can always be written.
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Reports numbers that are out of bounds, with their keys.
pub(super) fn check(clusters: &BTreeMap<String, ClusterAttributes>, errors: &mut Vec<String>) {
    for (name, attributes) in clusters {
        let faults = attributes.faults().into_iter();
        errors.extend(faults.map(|(field, cause)| format!("clusters.{name}.{field}: {cause}")));
    }
}
