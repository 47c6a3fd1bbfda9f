use serde_json::json;
use smo::store::RevisionRecord;
use uuid::Uuid;

use super::records::{at, awkward_json, decision, deploy, graph};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    decision_reads_back_as_written,
    revisions_count_within_a_name_and_go_on_after_a_delete,
    decisions_survive_their_graph,
);

async fn decision_reads_back_as_written(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_decision(&decision(1)).await.unwrap();
    tx.insert_decision(&decision(u128::MAX)).await.unwrap();
    tx.commit("decide").await.unwrap();
    for id in [1, u128::MAX] {
        let read = database.store.decision(Uuid::from_u128(id)).await.unwrap().unwrap();
        assert_eq!(read, decision(id));
        assert_eq!(read.problem.to_string(), decision(id).problem.to_string());
    }
    assert_eq!(database.store.decision(Uuid::from_u128(2)).await.unwrap(), None);
}

async fn revisions_count_within_a_name_and_go_on_after_a_delete(database: TestDatabase) {
    let store = &database.store;
    let second = json!({"second": true});
    let mut tx = store.begin().await.unwrap();
    tx.insert_graph(&graph("a")).await.unwrap();
    let decided = Some(Uuid::from_u128(7));
    assert_eq!(tx.insert_revision("a", "p1", &awkward_json(), decided, at(0)).await.unwrap(), 1);
    assert_eq!(tx.insert_revision("b", "p1", &awkward_json(), None, at(0)).await.unwrap(), 1);
    tx.delete_graph("a").await.unwrap();
    tx.commit("first life").await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.insert_graph(&graph("a")).await.unwrap();
    assert_eq!(tx.insert_revision("a", "p2", &second, None, at(1)).await.unwrap(), 2);
    tx.commit("second life").await.unwrap();
    let first = RevisionRecord {
        graph: "a".to_owned(),
        revision: 1,
        project: "p1".to_owned(),
        document: awkward_json(),
        decision_id: decided,
        created_at: at(0),
    };
    let second = RevisionRecord {
        revision: 2,
        project: "p2".to_owned(),
        document: second,
        decision_id: None,
        created_at: at(1),
        ..first.clone()
    };
    assert_eq!(store.revisions("a").await.unwrap(), [first, second]);
    assert_eq!(store.revisions("none").await.unwrap(), []);
}

async fn decisions_survive_their_graph(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("brussels"), &[]).await;
    let mut tx = store.begin().await.unwrap();
    tx.insert_decision(&decision(1)).await.unwrap();
    tx.delete_graph("brussels").await.unwrap();
    tx.commit("delete").await.unwrap();
    assert_eq!(store.graph("brussels").await.unwrap(), None);
    assert_eq!(store.decision(Uuid::from_u128(1)).await.unwrap(), Some(decision(1)));
}
