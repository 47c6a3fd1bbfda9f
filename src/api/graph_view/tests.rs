use chrono::{TimeZone as _, Utc};
use serde_json::json;

use super::*;
use crate::hdag::{Event, Resources};
use crate::model::{GraphRecord, testing};

fn service(name: &str, cluster: Option<&str>, trigger: Trigger) -> ServiceRecord {
    ServiceRecord {
        graph: "brussels".to_owned(),
        namespace: "nephele".to_owned(),
        needs: Resources {
            cpu_millicores: 500,
            ram_bytes: 500 << 20,
            storage_bytes: 10_000_000_000,
            gpus: 1,
            pods: 0,
        },
        trigger,
        cluster: cluster.map(str::to_owned),
        chart: "oci://h/p/c".to_owned(),
        values: Map::from_iter([("clustersAffinity".to_owned(), json!([cluster]))]),
        state: ServiceState::Deployed,
        ready: true,
        replicas_observed: Some(1),
        ..testing::service(name)
    }
}

fn auto() -> Trigger {
    Trigger::Auto { dependencies: Vec::new() }
}

fn event() -> Trigger {
    Trigger::Event {
        condition: EventCondition::All,
        events: vec![Event {
            id: "high".to_owned(),
            prom_query: "up > 0".to_owned(),
            grace_period: "2m".to_owned(),
            description: "busy".to_owned(),
        }],
    }
}

/// A graph of two services on three clusters, the second waiting for its event.
pub(in crate::api) fn view() -> GraphView {
    let at = Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap();
    let mut waiting = service("b", Some("edge-1"), event());
    (waiting.state, waiting.ready) = (ServiceState::Pending, false);
    GraphView {
        graph: GraphRecord {
            project: "nephele".to_owned(),
            namespace: "nephele".to_owned(),
            document: json!({"id": "brussels"}),
            generation: 2,
            observed_generation: 1,
            created_at: at,
            updated_at: at,
            ..testing::graph("brussels")
        },
        services: vec![service("a", Some("cloud"), auto()), waiting],
        cluster_names: ["edge-1", "edge-2", "cloud"].map(str::to_owned).to_vec(),
    }
}

#[test]
fn a_graph_has_the_fields_of_the_original_and_ours() {
    insta::assert_json_snapshot!(Graph::from(view()));
}

#[test]
fn services_are_placed_in_a_matrix_of_ones_and_zeros() {
    assert_eq!(Graph::from(view()).placement, Some(vec![vec![0, 0, 1], vec![1, 0, 0]]));
}

#[test]
fn a_static_graph_has_no_placement() {
    let mut view = view();
    view.graph.static_placement = true;
    view.services = vec![service("a", None, auto())];
    let body = serde_json::to_value(Graph::from(view)).unwrap();
    assert_eq!((&body["placement"], &body["services"][0]["cluster_affinity"]), (&json!(null), &json!(null)));
}

#[test]
fn a_graph_is_ready_when_all_that_should_run_is() {
    let ready = |change: fn(&mut GraphView)| {
        let mut view = view();
        change(&mut view);
        Graph::from(view).ready
    };
    assert!(ready(|_| {}), "a service that waits for its event does not count");
    assert!(!ready(|view| view.services[0].ready = false));
    assert!(!ready(|view| view.services[1].triggered = true));
    assert!(!ready(|view| view.graph.desired = Desired::Stopped));
}

#[test]
fn states_are_told_in_the_words_of_the_original() {
    let word = |state: ServiceState| serde_json::to_value(ServiceStatus::from(state)).unwrap();
    assert_eq!(word(ServiceState::NotDeployed), "Not deployed");
    assert_eq!(word(ServiceState::Pending), "Pending");
    let word = |desired: Desired| serde_json::to_value(GraphStatus::from(desired)).unwrap();
    assert_eq!(word(Desired::Deleted), "Deleting");
}
