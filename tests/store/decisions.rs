use serde_json::{Value, json};
use smo::model::{DecisionRecord, DecisionSummary};
use sqlx::{Connection, PgConnection, SqliteConnection};
use uuid::Uuid;

use super::records::{at, awkward_json, decision, deploy, graph};
use crate::support::database::{Engine, TestDatabase, on_every_engine};

on_every_engine!(
    decision_reads_back_as_written,
    revisions_count_within_a_name_and_go_on_after_a_delete,
    decisions_survive_their_graph,
    decisions_of_a_graph_are_listed_newest_first_in_pages,
    a_decision_is_applied_once,
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
    let stored = revisions_of(&database, "a").await;
    assert_eq!(stored, [(1, "p1".to_owned(), awkward_json()), (2, "p2".to_owned(), second)]);
}

/// Number, project and document of the revisions of a graph, as the database has them: the program only writes
/// them.
async fn revisions_of(database: &TestDatabase, graph: &str) -> Vec<(i64, String, Value)> {
    let sql = "SELECT revision, project, CAST(document AS TEXT) FROM graph_revisions WHERE graph = $1 ORDER BY revision";
    let rows: Vec<(i64, String, String)> = match database.engine {
        Engine::Sqlite => {
            let mut connection = SqliteConnection::connect(&database.url).await.unwrap();
            sqlx::query_as(sql).bind(graph).fetch_all(&mut connection).await.unwrap()
        }
        Engine::Postgres => {
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            sqlx::query_as(sql).bind(graph).fetch_all(&mut connection).await.unwrap()
        }
    };
    let document = |text: String| serde_json::from_str(&text).unwrap();
    rows.into_iter().map(|(revision, project, text)| (revision, project, document(text))).collect()
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

async fn decisions_of_a_graph_are_listed_newest_first_in_pages(database: TestDatabase) {
    let store = &database.store;
    let mut tx = store.begin().await.unwrap();
    for id in [2, 1, u128::MAX, 3] {
        tx.insert_decision(&decision(id)).await.unwrap();
    }
    tx.insert_decision(&DecisionRecord { graph: "other".to_owned(), ..decision(9) }).await.unwrap();
    tx.commit("decide").await.unwrap();
    let page = store.decisions("brussels", 3, None).await.unwrap();
    let ids = |page: &[DecisionSummary]| page.iter().map(|seen| seen.id.as_u128()).collect::<Vec<_>>();
    assert_eq!(ids(&page), [u128::MAX, 3, 2]);
    let rest = store.decisions("brussels", 3, Some(page[2].id)).await.unwrap();
    let DecisionRecord { id, graph, kind, strategy, outcome, duration_ms, created_at, applied_at, .. } =
        decision(1);
    let first = DecisionSummary { id, graph, kind, strategy, outcome, duration_ms, created_at, applied_at };
    assert_eq!(rest, [first]);
    assert_eq!(store.decisions("none", 3, None).await.unwrap(), []);
}

async fn a_decision_is_applied_once(database: TestDatabase) {
    let store = &database.store;
    let proposal = DecisionRecord { applied_at: None, duration_ms: None, ..decision(1) };
    let mut tx = store.begin().await.unwrap();
    tx.insert_decision(&proposal).await.unwrap();
    tx.commit("propose").await.unwrap();
    assert_eq!(store.decision(proposal.id).await.unwrap(), Some(proposal.clone()));
    let mut tx = store.begin().await.unwrap();
    assert!(tx.mark_decision_applied(proposal.id, at(20)).await.unwrap());
    assert!(!tx.mark_decision_applied(proposal.id, at(30)).await.unwrap());
    assert!(!tx.mark_decision_applied(Uuid::from_u128(2), at(30)).await.unwrap());
    tx.commit("apply").await.unwrap();
    let applied = DecisionRecord { applied_at: Some(at(20)), ..proposal.clone() };
    assert_eq!(store.decision(proposal.id).await.unwrap(), Some(applied));
}
