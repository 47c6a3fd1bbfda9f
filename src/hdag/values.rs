//! The values of a service's Helm release: those of the descriptor, and the clusters chosen by the placement.
//!
//! The keys are those that existing charts read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Descriptor, Service};

/// Where charts of the implementer `WOT` read their values.
pub(super) const WOT_VALUES: &str = "voChartOverwrite";

/// Where charts read the cluster of their service, and those that import it.
const PLACEMENT_VALUES: [&str; 2] = ["clustersAffinity", "serviceImportClusters"];

pub(super) fn is_wot(implementer: &str) -> bool {
    implementer.eq_ignore_ascii_case("WOT")
}

/// The values of the release of a service that is placed on `cluster` and imported into `import_clusters`.
/// Without a cluster (static placement) the descriptor's values are left alone.
#[must_use]
pub fn release_values(
    service: &Service,
    cluster: Option<&str>,
    import_clusters: &[String],
) -> Map<String, Value> {
    let mut values = service.values.clone();
    let Some(cluster) = cluster else { return values };
    let target = if is_wot(&service.implementer) {
        let inner = values.entry(WOT_VALUES).or_insert(Value::Null);
        if !inner.is_object() {
            *inner = Value::Object(Map::new());
        }
        inner.as_object_mut()
    } else {
        Some(&mut values)
    };
    if let Some(target) = target {
        let chosen = [json!([cluster]), json!(import_clusters)];
        target.extend(PLACEMENT_VALUES.map(str::to_owned).into_iter().zip(chosen));
    }
    values
}

/// The values of a release without those of the placement.
#[must_use]
pub fn without_placement(values: &Map<String, Value>, implementer: &str) -> Map<String, Value> {
    let mut values = values.clone();
    let strip = |values: &mut Map<String, Value>| {
        PLACEMENT_VALUES.iter().for_each(|key| drop(values.shift_remove(*key)))
    };
    if !is_wot(implementer) {
        strip(&mut values);
    } else if let Some(inner) = values.get_mut(WOT_VALUES).and_then(Value::as_object_mut) {
        strip(inner);
        if inner.is_empty() {
            values.shift_remove(WOT_VALUES);
        }
    }
    values
}

/// For each placed service the clusters that import it: the distinct clusters of those that call it, sorted,
/// or its own when it has no callers. Never empty, because Karmada takes an empty list for "all clusters".
#[must_use]
pub fn service_import_clusters(
    descriptor: &Descriptor,
    assignment: &BTreeMap<String, String>,
) -> BTreeMap<String, Vec<String>> {
    let mut importers: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for caller in &descriptor.services {
        let Some(cluster) = assignment.get(&caller.id) else { continue };
        for callee in &caller.connection_points {
            importers.entry(callee).or_default().insert(cluster);
        }
    }
    descriptor
        .services
        .iter()
        .filter_map(|service| {
            let clusters = match importers.get(service.id.as_str()) {
                Some(clusters) => clusters.iter().map(|cluster| (*cluster).clone()).collect(),
                None => vec![assignment.get(&service.id)?.clone()],
            };
            assignment.contains_key(&service.id).then(|| (service.id.clone(), clusters))
        })
        .collect()
}
