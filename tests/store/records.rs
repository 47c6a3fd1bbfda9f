//! Records to store, with every field set to something that a mix-up of columns would show.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Map, Value, json};
use smo::hdag::{Event, EventCondition, Propagation, Resources, Trigger};
use smo::model::ClusterObservation;
use smo::model::{
    Condition, ConditionStatus, DecisionRecord, Desired, GraphRecord, Manifest, ManifestObject, NewEvent,
    ObjectId, ServiceRecord, ServiceState, WorkloadUse,
};
use smo::store::Store;
use uuid::Uuid;

/// A fixed time, `seconds` after an arbitrary start, with microseconds.
pub fn at(seconds: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_700_000_000 + seconds, 123_456_000).unwrap()
}

/// Amounts that differ from each other and from other `n`.
pub fn resources(n: i64) -> Resources {
    Resources {
        cpu_millicores: n * 1000 + 1,
        ram_bytes: n * 1000 + 2,
        storage_bytes: n * 1000 + 3,
        gpus: n * 1000 + 4,
        pods: 0,
    }
}

/// A rendered chart with one object of that name.
fn manifest(name: &str) -> Manifest {
    let id = ObjectId {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        namespace: Some("demo".to_owned()),
        name: name.to_owned(),
    };
    Manifest {
        source: "source".to_owned(),
        chart: "oci://registry/chart".to_owned(),
        chart_digest: Some("sha256:1".to_owned()),
        objects: vec![ManifestObject { id, hook: true, ..ManifestObject::default() }],
    }
}

pub fn condition(kind: &str, status: ConditionStatus) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status,
        reason: "Because".to_owned(),
        message: "it is \"so\"".to_owned(),
        since: at(7),
    }
}

/// JSON whose keys are not sorted and whose numbers PostgreSQL's binary form would rewrite.
pub fn awkward_json() -> Value {
    serde_json::from_str(
        r#"{"zeta": 1, "alpha": {"b": 1.50, "aa": 1.5e300, "c": -0.0}, "é\u0000\"": [null, true]}"#,
    )
    .unwrap()
}

pub fn graph(name: &str) -> GraphRecord {
    GraphRecord {
        name: name.to_owned(),
        project: "project-a".to_owned(),
        namespace: "namespace-a".to_owned(),
        document: awkward_json(),
        document_digest: "0123abcd".to_owned(),
        desired: Desired::Running,
        generation: 3,
        observed_generation: 2,
        version: 1,
        static_placement: true,
        decision_id: Some(Uuid::from_u128(42)),
        conditions: vec![condition("RulesPublished", ConditionStatus::Unknown)],
        scaling_requested: Some(true),
        scaling_enabled: Some(false),
        rescheduled_at: Some(at(2)),
        created_at: at(0),
        updated_at: at(1),
    }
}

pub fn service(graph: &str, name: &str, position: i64) -> ServiceRecord {
    let Value::Object(values) = awkward_json() else { panic!("an object") };
    ServiceRecord {
        graph: graph.to_owned(),
        name: name.to_owned(),
        position,
        namespace: "namespace-a".to_owned(),
        needs: resources(1),
        trigger: Trigger::Auto { dependencies: vec!["other".to_owned()] },
        triggered: false,
        cluster: Some("edge-1".to_owned()),
        chart: "oci://registry.example/charts/demo".to_owned(),
        artifact_type: "VO".to_owned(),
        implementer: "WOT".to_owned(),
        values,
        scaled_workload: Some("front".to_owned()),
        replicas_decided: Some(6),
        scaled_at: Some(at(8)),
        state: ServiceState::Deploying,
        ready: true,
        replicas_observed: Some(4),
        replicas_ready: Some(3),
        workloads: vec![WorkloadUse {
            requests: resources(2),
            replicas: 4,
            ready: 3,
            ..WorkloadUse::default()
        }],
        propagation: Some(Propagation::Managed),
        import_clusters: vec!["edge-1".to_owned()],
        manifest: Some(manifest(name)),
        conditions: vec![condition("Installed", ConditionStatus::True)],
    }
}

/// A service that waits for an event, placed nowhere, of which nothing was seen.
pub fn conditional_service(graph: &str, name: &str, position: i64) -> ServiceRecord {
    ServiceRecord {
        trigger: Trigger::Event {
            condition: EventCondition::All,
            events: vec![Event {
                id: "high-load".to_owned(),
                prom_query: "rate(x[1m]) > 1".to_owned(),
                grace_period: "30s".to_owned(),
                description: "load is high".to_owned(),
            }],
        },
        triggered: true,
        cluster: None,
        values: Map::new(),
        replicas_decided: None,
        state: ServiceState::Pending,
        ready: false,
        replicas_observed: None,
        replicas_ready: None,
        workloads: Vec::new(),
        conditions: Vec::new(),
        ..service(graph, name, position)
    }
}

pub fn observation(name: &str) -> ClusterObservation {
    ClusterObservation {
        readable: true,
        name: name.to_owned(),
        available: true,
        reason: None,
        allocatable: resources(5),
        allocated: resources(6),
        allocating: Resources::default(),
        storage_reported: true,
        acceleration: false,
        location: Some("Brussels".to_owned()),
        region: Some("be".to_owned()),
        labels: BTreeMap::from([("site".to_owned(), "é\"".to_owned())]),
    }
}

pub fn decision(id: u128) -> DecisionRecord {
    DecisionRecord {
        id: Uuid::from_u128(id),
        graph: "brussels".to_owned(),
        kind: "placement".to_owned(),
        problem: awkward_json(),
        plan: json!({"strategy": "first-fit"}),
        strategy: "first-fit".to_owned(),
        outcome: "optimal".to_owned(),
        duration_ms: Some(12),
        created_at: at(9),
        applied_at: Some(at(10)),
        shadow_of: None,
    }
}

pub fn event(graph: Option<&str>, kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.to_owned(),
        graph: graph.map(str::to_owned),
        subject: "graphs/brussels".to_owned(),
        actor: "api".to_owned(),
        request_id: Some("request-1".to_owned()),
        data: awkward_json(),
    }
}

/// Stores a graph with its services.
pub async fn deploy(store: &Store, graph: &GraphRecord, services: &[ServiceRecord]) {
    let mut tx = store.begin().await.unwrap();
    tx.insert_graph(graph).await.unwrap();
    tx.insert_services(services).await.unwrap();
    tx.commit("deploy").await.unwrap();
}
