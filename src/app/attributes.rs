//! Attributes of clusters beyond their resources (price, carbon, region, trust, latencies), merged from every
//! source.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::change::Change;
use super::{App, RequestContext};
use crate::config::{ClusterLabels, Settings};
use crate::error::{Error, Result};
use crate::hdag::Finding;
use crate::model::ClusterRecord;
use crate::model::event::{CLUSTER_ATTRIBUTES_RESET, CLUSTER_ATTRIBUTES_SET};
use crate::optimizer::{ClusterAttributes, LARGEST_ATTRIBUTE};

/// Attributes of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributesView {
    /// The attributes that decisions use: all known values, merged from all sources.
    pub effective: ClusterAttributes,
    /// Attributes set through the interface.
    pub set: ClusterAttributes,
}

impl App {
    /// Attributes of one cluster.
    ///
    /// # Errors
    /// The cluster does not exist.
    pub async fn cluster_attributes(&self, name: &str) -> Result<AttributesView> {
        let clusters = self.parts.ledger.known_clusters().await?;
        if !clusters.iter().any(|cluster| cluster.name == name) {
            return Err(Error::NotFound { kind: "cluster", name: name.to_owned() });
        }
        let all = self.parts.store.cluster_attributes().await?;
        let set = all.get(name).cloned().unwrap_or_default();
        let mut effective = effective_attributes(&clusters, all, &self.parts.settings);
        Ok(AttributesView { effective: effective.remove(name).unwrap_or_default(), set })
    }

    /// Sets all attributes of a cluster; omitted ones come from the other sources again.
    ///
    /// # Errors
    /// The cluster does not exist, or a number is out of bounds.
    pub async fn set_cluster_attributes(
        &self,
        name: &str,
        attributes: &ClusterAttributes,
        context: &RequestContext,
    ) -> Result<AttributesView> {
        self.cluster_attributes(name).await?;
        let finding = |(field, message): (String, String)| {
            Finding::new(format!("/{field}"), format!("{field} {message}"))
        };
        let findings: Vec<Finding> = attributes.faults().into_iter().map(finding).collect();
        if let Some(first) = findings.first() {
            return Err(Error::Invalid { detail: first.message.clone(), findings });
        }
        let mut change = Change::begin(&self.parts, context.cause()).await?;
        change.tx.put_cluster_attributes(name, attributes, change.at).await?;
        let data = json!({ "attributes": attributes });
        let event = change.cause.cluster_event(CLUSTER_ATTRIBUTES_SET, name, data);
        change.commit("attributes", &event).await?;
        self.cluster_attributes(name).await
    }

    /// Deletes the attributes set for a cluster.
    ///
    /// # Errors
    /// The cluster does not exist.
    pub async fn reset_cluster_attributes(
        &self,
        name: &str,
        context: &RequestContext,
    ) -> Result<AttributesView> {
        self.cluster_attributes(name).await?;
        let mut change = Change::begin(&self.parts, context.cause()).await?;
        if change.tx.delete_cluster_attributes(name).await? {
            let event = change.cause.cluster_event(CLUSTER_ATTRIBUTES_RESET, name, Value::Null);
            change.commit("attributes", &event).await?;
        } else {
            // The code below reads through the pool, which may have one connection only.
            drop(change);
        }
        self.cluster_attributes(name).await
    }
}

/// Effective attributes by cluster: the interface, then the configuration, labels, and measured latencies.
pub(super) fn effective_attributes(
    clusters: &[ClusterRecord],
    mut set: BTreeMap<String, ClusterAttributes>,
    settings: &Settings,
) -> BTreeMap<String, ClusterAttributes> {
    let mut latencies = Latencies::default();
    for cluster in clusters {
        let configured = settings.clusters.get(&cluster.name);
        latencies.add(0, &cluster.name, &cluster.latencies_ms);
        configured.iter().for_each(|attributes| latencies.add(1, &cluster.name, &attributes.latencies_ms));
        set.get(&cluster.name).iter().for_each(|set| latencies.add(2, &cluster.name, &set.latencies_ms));
    }
    let mut latencies = latencies.by_cluster();
    let effective = |cluster: &ClusterRecord| {
        let set = set.remove(&cluster.name).unwrap_or_default();
        let configured = settings.clusters.get(&cluster.name).cloned().unwrap_or_default();
        let observed = observed(cluster, &settings.cluster_labels);
        let latencies_ms = latencies.remove(&cluster.name).unwrap_or_default();
        (cluster.name.clone(), ClusterAttributes { latencies_ms, ..set.or(configured).or(observed) })
    };
    clusters.iter().map(effective).collect()
}

/// Latencies between pairs of clusters: a value stated at one end holds for both, and a value from a better
/// source precedes measurements at both ends.
#[derive(Default)]
struct Latencies(BTreeMap<(String, String), (u8, f64)>);

impl Latencies {
    /// Adds the latencies stated at one end; of two ends of one source the longer time counts.
    fn add(&mut self, source: u8, cluster: &str, latencies_ms: &BTreeMap<String, f64>) {
        for (to, ms) in latencies_ms.iter().filter(|(to, ms)| **ms != 0.0 && *to != cluster) {
            let to = to.as_str();
            let pair = (cluster.min(to).to_owned(), cluster.max(to).to_owned());
            let known = self.0.entry(pair).or_insert((source, *ms));
            if known.0 < source || (known.0 == source && known.1 < *ms) {
                *known = (source, *ms);
            }
        }
    }

    /// Those of each cluster, by the other one.
    fn by_cluster(self) -> BTreeMap<String, BTreeMap<String, f64>> {
        let mut found = BTreeMap::<String, BTreeMap<String, f64>>::new();
        for ((one, other), (_, ms)) in self.0 {
            found.entry(one.clone()).or_default().insert(other.clone(), ms);
            found.entry(other).or_default().insert(one, ms);
        }
        found
    }
}

/// The attributes from Karmada's Cluster object, and measured latencies.
fn observed(cluster: &ClusterRecord, names: &ClusterLabels) -> ClusterAttributes {
    let text = |label: &String| cluster.labels.get(label).filter(|value| !value.is_empty()).cloned();
    let number = |label: &String| {
        let value = text(label)?;
        let number = value.parse().ok().filter(|number: &f64| (0.0..=LARGEST_ATTRIBUTE).contains(number));
        if number.is_none() {
            tracing::debug!("label {label} of cluster {} is not a number: {value:?}", cluster.name);
        }
        number
    };
    ClusterAttributes {
        price_per_core_hour: number(&names.price_per_core_hour),
        carbon_per_core_hour: number(&names.carbon_per_core_hour),
        activation_cost: number(&names.activation_cost),
        region: text(&names.region).or_else(|| cluster.region.clone()),
        site: text(&names.site),
        energy_class: text(&names.energy_class),
        trusted: text(&names.trusted).map(|value| value == "true"),
        latencies_ms: cluster.latencies_ms.clone(),
        labels: cluster.labels.clone(),
    }
}
