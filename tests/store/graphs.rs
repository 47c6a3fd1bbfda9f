use std::collections::BTreeSet;

use smo::model::{ConditionStatus, Desired, GraphFilter, GraphRecord, ServiceRecord};
use smo::store::StoreError;
use uuid::Uuid;

use super::records::{at, awkward_json, condition, deploy, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    graph_reads_back_as_written,
    descriptor_keeps_its_text,
    graph_without_options_reads_back_as_written,
    times_are_cut_to_microseconds,
    unknown_graph_is_none,
    second_graph_of_a_name_is_a_conflict,
    update_writes_what_changes_and_bumps_the_version,
    update_of_an_old_version_is_refused,
    update_of_a_deleted_graph_is_refused,
    names_sort_byte_by_byte,
    pages_cover_every_graph_once,
    filter_selects_project_and_desired_state,
    scaled_graphs_come_with_their_services_and_their_use,
    graphs_come_with_whether_they_were_carried_out,
    graphs_on_clusters_are_those_with_a_service_there_or_without_a_decided_place,
);

async fn graph_reads_back_as_written(database: TestDatabase) {
    let written = graph("brussels");
    deploy(&database.store, &written, &[]).await;
    assert_eq!(database.store.graph("brussels").await.unwrap(), Some(written.clone()));
    let mut tx = database.store.begin().await.unwrap();
    assert_eq!(tx.graph("brussels").await.unwrap(), Some(written));
}

async fn descriptor_keeps_its_text(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[]).await;
    let read = database.store.graph("brussels").await.unwrap().unwrap();
    // Equality of values ignores the order of keys, the text does not.
    assert_eq!(read.document.to_string(), awkward_json().to_string());
}

async fn graph_without_options_reads_back_as_written(database: TestDatabase) {
    let written = GraphRecord {
        decision_id: None,
        conditions: Vec::new(),
        scaling_enabled: None,
        rescheduled_at: None,
        static_placement: false,
        desired: Desired::Deleted,
        ..graph("Grüße/ 'quoted' %_")
    };
    deploy(&database.store, &written, &[]).await;
    assert_eq!(database.store.graph(&written.name).await.unwrap(), Some(written));
}

async fn times_are_cut_to_microseconds(database: TestDatabase) {
    let nanos = chrono::Duration::nanoseconds(789);
    let written = GraphRecord { created_at: at(0) + nanos, updated_at: at(1) + nanos, ..graph("brussels") };
    deploy(&database.store, &written, &[]).await;
    assert_eq!(database.store.graph("brussels").await.unwrap(), Some(graph("brussels")));
}

async fn unknown_graph_is_none(database: TestDatabase) {
    assert_eq!(database.store.graph("nowhere").await.unwrap(), None);
    let mut tx = database.store.begin().await.unwrap();
    assert_eq!(tx.graph("nowhere").await.unwrap(), None);
    tx.delete_graph("nowhere").await.unwrap();
}

async fn second_graph_of_a_name_is_a_conflict(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[]).await;
    let mut tx = database.store.begin().await.unwrap();
    let second = GraphRecord { project: "other".to_owned(), ..graph("brussels") };
    let error = tx.insert_graph(&second).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(error.to_string(), "graph \"brussels\" exists already");
    drop(tx);
    assert_eq!(database.store.graph("brussels").await.unwrap(), Some(graph("brussels")));
}

async fn update_writes_what_changes_and_bumps_the_version(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[]).await;
    deploy(&database.store, &graph("other"), &[]).await;
    let changed = GraphRecord {
        desired: Desired::Stopped,
        generation: 8,
        observed_generation: 7,
        decision_id: Some(Uuid::from_u128(43)),
        conditions: vec![condition("Ready", ConditionStatus::False)],
        scaling_enabled: Some(true),
        rescheduled_at: Some(at(50)),
        updated_at: at(60),
        ..graph("brussels")
    };
    let mut tx = database.store.begin().await.unwrap();
    let version = tx.update_graph(&changed).await.unwrap();
    tx.commit("update").await.unwrap();
    assert_eq!(version, 2);
    assert_eq!(database.store.graph("brussels").await.unwrap(), Some(GraphRecord { version, ..changed }));
    assert_eq!(database.store.graph("other").await.unwrap(), Some(graph("other")));
}

async fn update_of_an_old_version_is_refused(database: TestDatabase) {
    let read = graph("brussels");
    deploy(&database.store, &read, &[]).await;
    let mut tx = database.store.begin().await.unwrap();
    tx.update_graph(&GraphRecord { generation: 10, ..read.clone() }).await.unwrap();
    tx.commit("first").await.unwrap();
    let mut tx = database.store.begin().await.unwrap();
    let error = tx.update_graph(&GraphRecord { generation: 20, ..read }).await.unwrap_err();
    assert!(matches!(&error, StoreError::Version { graph } if graph == "brussels"), "{error:?}");
    assert!(error.is_transient());
    drop(tx);
    assert_eq!(database.store.graph("brussels").await.unwrap().unwrap().generation, 10);
}

async fn update_of_a_deleted_graph_is_refused(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    let error = tx.update_graph(&graph("brussels")).await.unwrap_err();
    assert!(matches!(error, StoreError::Version { .. }), "{error:?}");
}

const UNSORTED: [&str; 7] = ["b", "a-b", "B", "ab", "a_b", "é", "a"];

async fn names_sort_byte_by_byte(database: TestDatabase) {
    for name in UNSORTED {
        deploy(&database.store, &graph(name), &[]).await;
    }
    let mut sorted = UNSORTED.to_vec();
    sorted.sort_unstable();
    assert_eq!(database.store.graph_names().await.unwrap(), sorted);
}

async fn pages_cover_every_graph_once(database: TestDatabase) {
    for name in UNSORTED {
        deploy(&database.store, &graph(name), &[]).await;
    }
    let mut filter = GraphFilter { limit: Some(3), ..GraphFilter::default() };
    let mut names = Vec::new();
    let mut sizes = Vec::new();
    loop {
        let page = database.store.graphs(&filter).await.unwrap();
        sizes.push(page.len());
        names.extend(page.into_iter().map(|graph| graph.name));
        if sizes.last() != Some(&3) {
            break;
        }
        filter.after = names.last().cloned();
    }
    assert_eq!(sizes, [3, 3, 1]);
    let expected: BTreeSet<String> = UNSORTED.iter().map(ToString::to_string).collect();
    assert_eq!(names, expected.into_iter().collect::<Vec<_>>());
}

async fn filter_selects_project_and_desired_state(database: TestDatabase) {
    let make = |name: &str, project: &str, desired| GraphRecord {
        project: project.to_owned(),
        desired,
        ..graph(name)
    };
    for record in [
        make("a", "p1", Desired::Running),
        make("b", "p1", Desired::Stopped),
        make("c", "p2", Desired::Running),
        make("d", "p1", Desired::Running),
    ] {
        deploy(&database.store, &record, &[]).await;
    }
    let names = async |filter: GraphFilter| -> Vec<String> {
        database.store.graphs(&filter).await.unwrap().into_iter().map(|graph| graph.name).collect()
    };
    let project = Some("p1".to_owned());
    let desired = Some(Desired::Running);
    assert_eq!(names(GraphFilter::default()).await, ["a", "b", "c", "d"]);
    assert_eq!(
        names(GraphFilter { project: project.clone(), ..GraphFilter::default() }).await,
        ["a", "b", "d"]
    );
    assert_eq!(names(GraphFilter { desired, ..GraphFilter::default() }).await, ["a", "c", "d"]);
    let after = Some("a".to_owned());
    assert_eq!(names(GraphFilter { project, desired, after, limit: None }).await, ["d"]);
}

async fn scaled_graphs_come_with_their_services_and_their_use(database: TestDatabase) {
    let scaled = |name: &str, requested, enabled| GraphRecord {
        scaling_requested: requested,
        scaling_enabled: enabled,
        ..graph(name)
    };
    let stopped = GraphRecord { desired: Desired::Stopped, ..scaled("a-stopped", Some(true), None) };
    deploy(&database.store, &stopped, &[service("a-stopped", "s", 0)]).await;
    // Neither inserted in the order of names nor in that of positions.
    let z = scaled("z", Some(true), None);
    deploy(&database.store, &z, &[service("z", "z2", 1), service("z", "z1", 0)]).await;
    let b = scaled("b", Some(false), Some(true));
    deploy(&database.store, &b, &[service("b", "b1", 0)]).await;
    deploy(&database.store, &scaled("off", Some(true), Some(false)), &[service("off", "o", 0)]).await;
    let by_default = scaled("default", None, None);
    deploy(&database.store, &by_default, &[]).await;
    let names = async |default| {
        let (_, found) = database.store.snapshot_of_scaled(default, "", 10).await.unwrap();
        found.into_iter().map(|found| found.graph.name).collect::<Vec<_>>()
    };
    assert_eq!(names(false).await, ["b", "z"]);
    assert_eq!(names(true).await, ["b", "default", "z"]);
    for (after, expected) in [("", ["b"].as_slice()), ("b", &["default"]), ("default", &["z"]), ("z", &[])] {
        let (_, page) = database.store.snapshot_of_scaled(true, after, 1).await.unwrap();
        assert_eq!(page.iter().map(|found| found.graph.name.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(
            page.iter().map(|found| found.services.len()).sum::<usize>(),
            match after {
                "" => 1,
                "default" => 2,
                _ => 0,
            }
        );
    }
    let (state, found) = database.store.snapshot_of_scaled(false, "", 10).await.unwrap();
    assert_eq!(found[1].services, [service("z", "z1", 0), service("z", "z2", 1)]);
    let counted = found[1].services[0].replica_needs().times(12);
    assert_eq!(found[1].usage["edge-1"].wanted, counted);
    assert_eq!(state.entries["edge-1"].wanted, service("x", "x", 0).replica_needs().times(6 * 4));
    let (_, services, usage) = database.store.snapshot_for("z").await.unwrap();
    assert_eq!((services, usage), (found[1].services.clone(), found[1].usage.clone()));
}

async fn graphs_come_with_whether_they_were_carried_out(database: TestDatabase) {
    let behind = graph("behind");
    let done = GraphRecord { observed_generation: behind.generation, ..graph("done") };
    let deleting =
        GraphRecord { desired: Desired::Deleted, ..GraphRecord { name: "deleting".into(), ..done.clone() } };
    for record in [&done, &behind, &deleting] {
        deploy(&database.store, record, &[]).await;
    }
    let expected = [("behind", false), ("deleting", false), ("done", true)];
    let found = database.store.graphs_carried_out().await.unwrap();
    assert_eq!(found, expected.map(|(name, carried_out)| (name.to_owned(), carried_out)));
}

async fn graphs_on_clusters_are_those_with_a_service_there_or_without_a_decided_place(
    database: TestDatabase,
) {
    for (name, clusters) in [
        ("both", [Some("edge-1"), Some("edge-1")]),
        ("static", [None, None]),
        ("elsewhere", [Some("cloud"), Some("cloud")]),
        ("one", [Some("cloud"), Some("edge-2")]),
    ] {
        let placed = |(position, cluster): (i64, Option<&str>)| ServiceRecord {
            cluster: cluster.map(str::to_owned),
            namespace: name.to_owned(),
            ..service(name, &format!("s{position}"), position)
        };
        let services: Vec<ServiceRecord> = (0..).zip(clusters).map(placed).collect();
        deploy(&database.store, &graph(name), &services).await;
    }
    let on = async |clusters: &[&str]| {
        let clusters: Vec<String> = clusters.iter().map(|cluster| (*cluster).to_owned()).collect();
        database.store.begin().await.unwrap().graphs_on_clusters(&clusters).await.unwrap()
    };
    assert_eq!(on(&["edge-1"]).await, ["both", "static"]);
    assert_eq!(on(&["edge-1", "edge-2"]).await, ["both", "one", "static"]);
    assert_eq!(on(&[]).await, Vec::<String>::new());
}
