//! What is known of clusters beyond their resources, from every source.

use std::collections::BTreeMap;

use super::App;
use crate::config::ClusterLabels;
use crate::error::{Error, Result};
use crate::hdag::Finding;
use crate::model::ClusterRecord;
use crate::model::now;
use crate::optimizer::{ClusterAttributes, LARGEST_ATTRIBUTE};

/// Attributes of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributesView {
    /// What decisions count: everything that is known, from all sources.
    pub effective: ClusterAttributes,
    /// What was set through the interface.
    pub set: ClusterAttributes,
}

impl App {
    /// Attributes of one cluster.
    ///
    /// # Errors
    /// The cluster does not exist.
    pub async fn cluster_attributes(&self, name: &str) -> Result<AttributesView> {
        let clusters = self.known_clusters().await?;
        if !clusters.iter().any(|cluster| cluster.name == name) {
            return Err(Error::NotFound { kind: "cluster", name: name.to_owned() });
        }
        let set = self.parts.store.cluster_attributes().await?.remove(name).unwrap_or_default();
        let effective = self.attributes_of(&clusters).await?.remove(name).unwrap_or_default();
        Ok(AttributesView { effective, set })
    }

    /// Sets all attributes of a cluster; what is left out comes from the other sources again.
    ///
    /// # Errors
    /// The cluster does not exist, or a number is out of bounds.
    pub async fn set_cluster_attributes(
        &self,
        name: &str,
        attributes: &ClusterAttributes,
    ) -> Result<AttributesView> {
        self.cluster_attributes(name).await?;
        let finding = |(field, message): (String, String)| {
            Finding::new(format!("/{field}"), format!("{field} {message}"))
        };
        let findings: Vec<Finding> = attributes.faults().into_iter().map(finding).collect();
        if let Some(first) = findings.first() {
            return Err(Error::Invalid { detail: first.message.clone(), findings });
        }
        let mut tx = self.parts.store.begin().await?;
        tx.put_cluster_attributes(name, attributes, now()).await?;
        tx.commit("attributes").await?;
        self.cluster_attributes(name).await
    }

    /// Forgets what was set for a cluster.
    ///
    /// # Errors
    /// The cluster does not exist.
    pub async fn reset_cluster_attributes(&self, name: &str) -> Result<AttributesView> {
        self.cluster_attributes(name).await?;
        let mut tx = self.parts.store.begin().await?;
        tx.delete_cluster_attributes(name).await?;
        tx.commit("attributes").await?;
        self.cluster_attributes(name).await
    }

    /// Effective attributes by cluster: what was set, then the configuration, labels, and measured latencies.
    pub(super) async fn attributes_of(
        &self,
        clusters: &[ClusterRecord],
    ) -> Result<BTreeMap<String, ClusterAttributes>> {
        let mut set = self.parts.store.cluster_attributes().await?;
        let settings = &self.parts.settings;
        let mut latencies = Latencies::default();
        for cluster in clusters {
            let configured = settings.clusters.get(&cluster.name);
            latencies.add(0, &cluster.name, &cluster.latencies_ms);
            configured
                .iter()
                .for_each(|attributes| latencies.add(1, &cluster.name, &attributes.latencies_ms));
            set.get(&cluster.name).iter().for_each(|set| latencies.add(2, &cluster.name, &set.latencies_ms));
        }
        let effective = |cluster: &ClusterRecord| {
            let set = set.remove(&cluster.name).unwrap_or_default();
            let configured = settings.clusters.get(&cluster.name).cloned().unwrap_or_default();
            let observed = observed(cluster, &settings.cluster_labels);
            let latencies_ms = latencies.of(&cluster.name);
            (cluster.name.clone(), ClusterAttributes { latencies_ms, ..set.or(configured).or(observed) })
        };
        Ok(clusters.iter().map(effective).collect())
    }
}

/// Latencies between pairs of clusters: what is stated at one end holds for both, and what a better source states comes
/// before what both ends measured.
#[derive(Default)]
struct Latencies(BTreeMap<(String, String), (u8, f64)>);

impl Latencies {
    /// Adds what one end says; of two ends of one source the longer time counts.
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

    /// Those of one cluster, by the other one.
    fn of(&self, cluster: &str) -> BTreeMap<String, f64> {
        let other = |((one, other), (_, ms)): (&(String, String), &(u8, f64))| {
            let to = if one == cluster { other } else { one };
            (one == cluster || other == cluster).then(|| (to.clone(), *ms))
        };
        self.0.iter().filter_map(other).collect()
    }
}

/// What Karmada's Cluster object says, and what was measured.
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
