use smo::model::EventRecord;

use super::records::{at, awkward_json, deploy, event, graph};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    event_reads_back_as_written,
    events_page_by_sequence_within_a_graph,
    events_survive_their_graph,
    event_of_a_rolled_back_transaction_never_happened,
    history_is_known_by_event_or_revision,
);

async fn event_reads_back_as_written(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    let seq = tx.insert_event(&event(Some("brussels"), "graph.created"), at(3)).await.unwrap();
    tx.commit("event").await.unwrap();
    let expected = EventRecord {
        seq,
        time: at(3),
        kind: "graph.created".to_owned(),
        graph: Some("brussels".to_owned()),
        subject: "graphs/brussels".to_owned(),
        actor: "api".to_owned(),
        request_id: Some("request-1".to_owned()),
        data: awkward_json(),
    };
    assert_eq!(database.store.events("brussels", 0, 10).await.unwrap(), [expected]);
}

async fn events_page_by_sequence_within_a_graph(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    let mut sequence = Vec::new();
    for (graph, kind) in [(Some("a"), "1"), (Some("b"), "2"), (Some("a"), "3"), (None, "4"), (Some("a"), "5")]
    {
        sequence.push(tx.insert_event(&event(graph, kind), at(0)).await.unwrap());
    }
    tx.commit("events").await.unwrap();
    assert!(sequence.is_sorted_by(|a, b| a < b), "{sequence:?}");
    let kinds = async |after: i64, limit: i64| -> Vec<String> {
        let events = database.store.events("a", after, limit).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    };
    assert_eq!(kinds(0, 100).await, ["1", "3", "5"]);
    assert_eq!(kinds(0, 2).await, ["1", "3"]);
    assert_eq!(kinds(sequence[2], 2).await, ["5"]);
    assert_eq!(kinds(sequence[4], 2).await, Vec::<String>::new());
}

async fn events_survive_their_graph(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("brussels"), &[]).await;
    let mut tx = store.begin().await.unwrap();
    tx.insert_event(&event(Some("brussels"), "graph.created"), at(0)).await.unwrap();
    tx.delete_graph("brussels").await.unwrap();
    tx.insert_event(&event(Some("brussels"), "graph.deleted"), at(1)).await.unwrap();
    tx.commit("delete").await.unwrap();
    let kinds: Vec<_> =
        store.events("brussels", 0, 10).await.unwrap().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["graph.created", "graph.deleted"]);
}

async fn event_of_a_rolled_back_transaction_never_happened(database: TestDatabase) {
    let store = &database.store;
    let mut tx = store.begin().await.unwrap();
    let lost = tx.insert_event(&event(Some("a"), "lost"), at(0)).await.unwrap();
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    let kept = tx.insert_event(&event(Some("a"), "kept"), at(0)).await.unwrap();
    tx.commit("event").await.unwrap();
    assert!(kept >= lost, "{kept} after {lost}");
    let events = store.events("a", 0, 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].seq, events[0].kind.as_str()), (kept, "kept"));
}

async fn history_is_known_by_event_or_revision(database: TestDatabase) {
    let store = &database.store;
    let mut tx = store.begin().await.unwrap();
    tx.insert_event(&event(Some("by-event"), "graph.created"), at(0)).await.unwrap();
    tx.insert_revision("by-revision", "p", &awkward_json(), None, at(0)).await.unwrap();
    tx.commit("history").await.unwrap();
    assert!(store.has_history("by-event").await.unwrap());
    assert!(store.has_history("by-revision").await.unwrap());
    assert!(!store.has_history("never").await.unwrap());
}
