//! Records for unit tests.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, json};

use super::{ClusterRecord, Desired, GraphRecord, ServiceRecord, ServiceState};
use crate::hdag::{Event, EventCondition, Resources, Trigger};

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

pub(crate) fn graph(name: &str) -> GraphRecord {
    GraphRecord {
        name: name.into(),
        project: "project".into(),
        namespace: "project".into(),
        document: json!({}),
        document_digest: String::new(),
        desired: Desired::Running,
        generation: 1,
        observed_generation: 0,
        version: 1,
        static_placement: false,
        decision_id: None,
        conditions: Vec::new(),
        scaling_requested: None,
        scaling_enabled: None,
        rescheduled_at: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn service(name: &str) -> ServiceRecord {
    ServiceRecord {
        graph: "g".into(),
        name: name.into(),
        position: 0,
        namespace: "project".into(),
        needs: Resources { cpu_millicores: 500, ram_bytes: 1 << 30, ..Resources::default() },
        trigger: Trigger::Auto { dependencies: Vec::new() },
        triggered: false,
        cluster: Some("edge-1".into()),
        chart: format!("oci://registry/project/{name}"),
        artifact_type: "App".into(),
        implementer: "HELM".into(),
        values: Map::new(),
        propagation: None,
        import_clusters: Vec::new(),
        scaled_workload: None,
        replicas_decided: None,
        scaled_at: None,
        state: ServiceState::Deploying,
        ready: false,
        replicas_observed: None,
        replicas_ready: None,
        workloads: Vec::new(),
        manifest: None,
        conditions: Vec::new(),
    }
}

pub(crate) fn event(id: &str, query: &str, grace_period: &str) -> Event {
    Event {
        id: id.into(),
        prom_query: query.into(),
        grace_period: grace_period.into(),
        description: format!("{id} happened"),
    }
}

pub(crate) fn conditional(name: &str) -> ServiceRecord {
    let events = vec![event("high-load", "up > 0", "5s")];
    ServiceRecord {
        trigger: Trigger::Event { condition: EventCondition::Any, events },
        state: ServiceState::Pending,
        ..service(name)
    }
}

pub(crate) fn cluster(name: &str) -> ClusterRecord {
    ClusterRecord {
        id: 1,
        name: name.into(),
        location: "Unknown".into(),
        region: None,
        labels: BTreeMap::new(),
        latencies_ms: BTreeMap::new(),
        available: true,
        reason: None,
        allocatable: Resources::default(),
        allocated: Resources::default(),
        allocating: Resources::default(),
        nodes: Vec::new(),
        storage_reported: false,
        acceleration: false,
        pod_cidr: None,
        service_cidr: None,
        grafana: None,
        observed_at: at(0),
    }
}

/// Those of the constants that no source file but `declared_in` names.
pub(crate) fn unused<'a>(constants: &[&'a str], declared_in: &str) -> Vec<&'a str> {
    fn read(folder: &std::path::Path, except: &str, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, except, text);
            } else if !path.ends_with(except) {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    read(std::path::Path::new("src"), declared_in, &mut text);
    let words: std::collections::BTreeSet<&str> =
        text.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    constants.iter().copied().filter(|name| !words.contains(name)).collect()
}
