use serde_json::json;
use smo::model::{ConditionStatus, GraphRecord, ServiceRecord, ServiceState};
use smo::store::StoreError;

use super::records::{awkward_json, condition, conditional_service, deploy, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    services_read_back_in_the_order_of_the_descriptor,
    values_keep_their_text,
    thousand_services_are_stored_at_once,
    service_of_an_unknown_graph_is_refused,
    deleting_a_graph_deletes_its_services_only,
    release_belongs_to_one_graph,
    same_release_name_in_another_namespace_is_fine,
    release_is_free_again_after_its_graph_is_deleted,
    release_owners_lists_those_that_are_taken,
    intent_and_observation_do_not_overwrite_each_other,
    observation_can_be_withdrawn,
    writing_a_service_that_is_gone_is_refused,
    services_of_several_graphs_come_grouped,
    conditional_services_are_found_by_name_over_all_graphs,
);

async fn services_read_back_in_the_order_of_the_descriptor(database: TestDatabase) {
    // Neither the order of insertion nor that of names.
    let first = service("brussels", "zeta", 0);
    let second = conditional_service("brussels", "alpha", 1);
    let third = service("brussels", "mid", 2);
    deploy(&database.store, &graph("brussels"), &[third.clone(), first.clone(), second.clone()]).await;
    let expected = vec![first, second, third];
    assert_eq!(database.store.services("brussels").await.unwrap(), expected);
    let mut tx = database.store.begin().await.unwrap();
    assert_eq!(tx.services("brussels").await.unwrap(), expected);
}

async fn values_keep_their_text(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[service("brussels", "a", 0)]).await;
    let read = database.store.services("brussels").await.unwrap().remove(0);
    assert_eq!(serde_json::to_string(&read.values).unwrap(), awkward_json().to_string());
}

async fn thousand_services_are_stored_at_once(database: TestDatabase) {
    let services: Vec<_> =
        (0..1001).map(|position| service("large", &format!("service-{position}"), position)).collect();
    deploy(&database.store, &graph("large"), &services).await;
    assert_eq!(database.store.services("large").await.unwrap(), services);
    let names: Vec<_> = services.iter().map(|service| service.name.clone()).collect();
    assert_eq!(database.store.release_owners("namespace-a", &names).await.unwrap().len(), 1001);
}

async fn service_of_an_unknown_graph_is_refused(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    let error = tx.insert_services(&[service("nowhere", "a", 0)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Database(_)), "{error:?}");
    assert!(!error.is_transient());
}

async fn deleting_a_graph_deletes_its_services_only(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[service("brussels", "a", 0)]).await;
    deploy(&database.store, &graph("other"), &[service("other", "b", 0)]).await;
    let mut tx = database.store.begin().await.unwrap();
    tx.delete_graph("brussels").await.unwrap();
    tx.commit("delete").await.unwrap();
    assert_eq!(database.store.graph("brussels").await.unwrap(), None);
    assert_eq!(database.store.services("brussels").await.unwrap(), []);
    assert_eq!(database.store.services("other").await.unwrap(), [service("other", "b", 0)]);
}

async fn release_belongs_to_one_graph(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[service("brussels", "noise", 0)]).await;
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_graph(&graph("other")).await.unwrap();
    let services = [service("other", "fine", 0), service("other", "noise", 1)];
    let error = tx.insert_services(&services).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(error.to_string(), "release noise in namespace namespace-a belongs to graph brussels");
    drop(tx);
    assert_eq!(database.store.graph("other").await.unwrap(), None);
    assert_eq!(database.store.services("other").await.unwrap(), []);
    let owner = database.store.graph_of_release("namespace-a", "noise").await.unwrap();
    assert_eq!(owner.as_deref(), Some("brussels"));
}

async fn same_release_name_in_another_namespace_is_fine(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[service("brussels", "noise", 0)]).await;
    let elsewhere = ServiceRecord { namespace: "namespace-b".to_owned(), ..service("other", "noise", 0) };
    deploy(&database.store, &graph("other"), std::slice::from_ref(&elsewhere)).await;
    assert_eq!(database.store.services("other").await.unwrap(), [elsewhere]);
    let owner = database.store.graph_of_release("namespace-b", "noise").await.unwrap();
    assert_eq!(owner.as_deref(), Some("other"));
}

async fn release_is_free_again_after_its_graph_is_deleted(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[service("brussels", "noise", 0)]).await;
    let mut tx = database.store.begin().await.unwrap();
    tx.delete_graph("brussels").await.unwrap();
    tx.insert_graph(&graph("other")).await.unwrap();
    tx.insert_services(&[service("other", "noise", 0)]).await.unwrap();
    tx.commit("replace").await.unwrap();
    let owner = database.store.graph_of_release("namespace-a", "noise").await.unwrap();
    assert_eq!(owner.as_deref(), Some("other"));
}

async fn release_owners_lists_those_that_are_taken(database: TestDatabase) {
    let services = [service("brussels", "a", 0), service("brussels", "b", 1)];
    deploy(&database.store, &graph("brussels"), &services).await;
    deploy(&database.store, &graph("other"), &[service("other", "c", 0)]).await;
    let names = ["c", "free", "a"].map(str::to_owned);
    let pair = |release: &str, graph: &str| (release.to_owned(), graph.to_owned());
    let owners = database.store.release_owners("namespace-a", &names).await.unwrap();
    assert_eq!(owners, [pair("a", "brussels"), pair("c", "other")]);
    assert_eq!(database.store.release_owners("namespace-b", &names).await.unwrap(), []);
    assert_eq!(database.store.release_owners("namespace-a", &[]).await.unwrap(), []);
    assert_eq!(database.store.graph_of_release("namespace-a", "free").await.unwrap(), None);
}

async fn intent_and_observation_do_not_overwrite_each_other(database: TestDatabase) {
    let stored = conditional_service("brussels", "a", 0);
    let neighbour = service("brussels", "b", 1);
    deploy(&database.store, &graph("brussels"), &[stored.clone(), neighbour.clone()]).await;
    let values = json!({"replicas": 2}).as_object().unwrap().clone();
    let intent = ServiceRecord {
        cluster: Some("cloud".to_owned()),
        values: values.clone(),
        triggered: false,
        replicas_decided: Some(5),
        state: ServiceState::Failed,
        ..stored.clone()
    };
    let seen = service("brussels", "a", 0);
    let observation = ServiceRecord { cluster: Some("elsewhere".to_owned()), ..seen.clone() };
    let mut tx = database.store.begin().await.unwrap();
    tx.update_service_intent(&intent).await.unwrap();
    tx.commit("intent").await.unwrap();
    let expected = ServiceRecord { state: ServiceState::Pending, ..intent.clone() };
    assert_eq!(database.store.services("brussels").await.unwrap(), [expected, neighbour.clone()]);
    let mut tx = database.store.begin().await.unwrap();
    tx.update_service_observation(&observation).await.unwrap();
    tx.commit("observation").await.unwrap();
    let expected = ServiceRecord {
        cluster: Some("cloud".to_owned()),
        values,
        triggered: false,
        replicas_decided: Some(5),
        trigger: stored.trigger,
        ..seen
    };
    assert_eq!(database.store.services("brussels").await.unwrap(), [expected, neighbour]);
}

async fn observation_can_be_withdrawn(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[service("brussels", "a", 0)]).await;
    let nothing_seen = ServiceRecord {
        state: ServiceState::NotDeployed,
        ready: false,
        replicas_observed: None,
        replicas_ready: None,
        workloads: Vec::new(),
        conditions: vec![condition("Ready", ConditionStatus::Unknown)],
        ..service("brussels", "a", 0)
    };
    let mut tx = database.store.begin().await.unwrap();
    tx.update_service_observation(&nothing_seen).await.unwrap();
    tx.commit("observation").await.unwrap();
    assert_eq!(database.store.services("brussels").await.unwrap(), [nothing_seen]);
}

async fn writing_a_service_that_is_gone_is_refused(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    let gone = service("brussels", "a", 0);
    let error = tx.update_service_intent(&gone).await.unwrap_err();
    assert!(matches!(error, StoreError::Version { .. }), "{error:?}");
    let error = tx.update_service_observation(&gone).await.unwrap_err();
    assert!(matches!(error, StoreError::Version { .. }), "{error:?}");
}

async fn services_of_several_graphs_come_grouped(database: TestDatabase) {
    deploy(&database.store, &graph("b"), &[service("b", "b2", 1), service("b", "b1", 0)]).await;
    deploy(&database.store, &graph("a"), &[service("a", "a1", 0)]).await;
    deploy(&database.store, &graph("c"), &[service("c", "c1", 0)]).await;
    let graphs = ["b", "a", "none"].map(str::to_owned);
    let expected = [service("a", "a1", 0), service("b", "b1", 0), service("b", "b2", 1)];
    assert_eq!(database.store.services_of(&graphs).await.unwrap(), expected);
    assert_eq!(database.store.services_of(&[]).await.unwrap(), []);
}

async fn conditional_services_are_found_by_name_over_all_graphs(database: TestDatabase) {
    for (name, namespace, project) in [("b", "ns-b", "p2"), ("a", "ns-a", "p1")] {
        let record = GraphRecord { project: project.to_owned(), ..graph(name) };
        let conditional = ServiceRecord {
            namespace: namespace.to_owned(),
            ..conditional_service(name, "image-compression-vo", 0)
        };
        deploy(&database.store, &record, &[conditional]).await;
    }
    deploy(&database.store, &graph("auto"), &[service("auto", "image-compression-vo", 0)]).await;
    let pair = |graph: &str, project: &str| (graph.to_owned(), project.to_owned());
    let found = database.store.conditional_services("image-compression-vo").await.unwrap();
    assert_eq!(found, [pair("a", "p1"), pair("b", "p2")]);
    assert_eq!(database.store.conditional_services("unknown").await.unwrap(), []);
}
