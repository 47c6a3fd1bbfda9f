use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use smo::model::GraphRecord;
use smo::store::{Store, StoreError};

use super::records::{deploy, event, graph, service};
use crate::support::database::{TestDatabase, on_every_engine};

on_every_engine!(
    dropped_transaction_leaves_nothing,
    concurrent_read_then_write_loses_no_update,
    many_writers_and_readers_of_one_store_all_get_their_turn,
    concurrent_deploys_of_one_release_let_exactly_one_in,
    readers_see_the_old_state_until_the_commit,
    who_leaves_while_a_transaction_begins_leaves_no_connection_in_it,
);

async fn dropped_transaction_leaves_nothing(database: TestDatabase) {
    let mut tx = database.store.begin().await.unwrap();
    tx.insert_graph(&graph("brussels")).await.unwrap();
    tx.insert_services(&[service("brussels", "a", 0)]).await.unwrap();
    drop(tx);
    assert_eq!(database.store.graph_names().await.unwrap(), Vec::<String>::new());
    assert_eq!(database.store.graph_of_release("namespace-a", "a").await.unwrap(), None);
}

/// Every task reads in its transaction and writes what it read plus one. Each has a store of its own, as if
/// it were another process: only the database keeps them apart.
async fn concurrent_read_then_write_loses_no_update(database: TestDatabase) {
    const TASKS: i64 = 8;
    const ROUNDS: i64 = 10;
    let first = graph("brussels");
    deploy(&database.store, &first, &[]).await;
    let tasks = (0..TASKS).map(|_| {
        let url = database.url.clone();
        tokio::spawn(async move {
            let store = Store::connect(&url).await.unwrap();
            for _ in 0..ROUNDS {
                let mut tx = store.begin().await.unwrap();
                let read = tx.graph("brussels").await.unwrap().unwrap();
                let next = GraphRecord { generation: read.generation + 1, ..read };
                tx.update_graph(&next).await.unwrap();
                tx.commit("increment").await.unwrap();
            }
            store.close().await;
        })
    });
    futures::future::try_join_all(tasks).await.unwrap();
    let last = database.store.graph("brussels").await.unwrap().unwrap();
    assert_eq!(last.generation, first.generation + TASKS * ROUNDS);
    assert_eq!(last.version, first.version + TASKS * ROUNDS);
}

async fn many_writers_and_readers_of_one_store_all_get_their_turn(database: TestDatabase) {
    let tasks = (0..60).map(|number| {
        let store = database.store.clone();
        tokio::spawn(async move {
            let name = format!("graph-{number}");
            deploy(&store, &graph(&name), &[service(&name, &name, 0)]).await;
            store.services(&name).await.unwrap().len()
        })
    });
    let seen = futures::future::try_join_all(tasks).await.unwrap();
    assert_eq!(seen, vec![1; 60]);
    assert_eq!(database.store.graph_names().await.unwrap().len(), 60);
}

async fn concurrent_deploys_of_one_release_let_exactly_one_in(database: TestDatabase) {
    let tasks = (0..6).map(|number| {
        let store = database.store.clone();
        tokio::spawn(async move {
            let name = format!("graph-{number}");
            let mut tx = store.begin().await?;
            tx.insert_graph(&graph(&name)).await?;
            tx.insert_services(&[service(&name, "wanted", 0)]).await?;
            tx.commit("deploy").await
        })
    });
    let outcomes = futures::future::try_join_all(tasks).await.unwrap();
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    let owner = database.store.graph_of_release("namespace-a", "wanted").await.unwrap().unwrap();
    assert_eq!(database.store.graph_names().await.unwrap(), std::slice::from_ref(&owner));
    for outcome in lost {
        let error = outcome.unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
        let expected = format!("release wanted in namespace namespace-a belongs to graph {owner}");
        assert_eq!(error.to_string(), expected);
    }
}

async fn readers_see_the_old_state_until_the_commit(database: TestDatabase) {
    let store = &database.store;
    deploy(store, &graph("brussels"), &[]).await;
    let mut tx = store.begin().await.unwrap();
    let read = tx.graph("brussels").await.unwrap().unwrap();
    tx.update_graph(&GraphRecord { generation: 99, ..read.clone() }).await.unwrap();
    tx.insert_event(&event(Some("brussels"), "changed"), read.updated_at).await.unwrap();
    assert_eq!(store.graph("brussels").await.unwrap(), Some(read));
    assert_eq!(store.events("brussels", 0, 10).await.unwrap(), []);
    tx.commit("change").await.unwrap();
    assert_eq!(store.graph("brussels").await.unwrap().unwrap().generation, 99);
    assert_eq!(store.events("brussels", 0, 10).await.unwrap().len(), 1);
}

/// A request whose client closes the connection is dropped wherever it waits. Reads begin transactions that
/// are read-only.
async fn who_leaves_while_a_transaction_begins_leaves_no_connection_in_it(database: TestDatabase) {
    // Beginning takes a few waits, and the next writer may get another connection of the pool.
    const READS: usize = 60;
    for (number, waits) in (0..6).cycle().take(READS).enumerate() {
        until_it_waits(waits, database.store.cluster_use()).await;
        deploy(&database.store, &graph(&format!("graph-{number}")), &[]).await;
    }
    assert_eq!(database.store.graph_names().await.unwrap().len(), READS);
}

/// Runs a future until it has to wait once more than `waits` times, and drops it there.
async fn until_it_waits(mut waits: usize, future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Pending if waits > 0 => {
            waits -= 1;
            Poll::Pending
        }
        _ => Poll::Ready(()),
    })
    .await;
}
