use std::time::Duration;

use smo::store::{Store, StoreError};

use crate::support::database::{Engine, TestDatabase, on_every_engine};
use crate::wait::eventually;

const LIMIT: Duration = Duration::from_secs(30);

on_every_engine!(
    second_server_is_refused_and_told_who_holds_the_database,
    lock_is_free_when_its_holder_is_gone,
    lock_brings_the_schema_up_to_date,
    a_lock_whose_connection_died_is_taken_again_and_nothing_is_written_meanwhile,
    a_lock_that_another_server_has_taken_is_lost,
    an_installation_keeps_its_id,
);

async fn second_server_is_refused_and_told_who_holds_the_database(database: TestDatabase) {
    let _lock = database.store.lock_instance().await.unwrap();
    let second = Store::connect(&database.url).await.unwrap();
    let error = second.lock_instance().await.unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&format!("process {} on host ", std::process::id())), "{message}");
    assert!(!error.is_transient());
    second.close().await;
}

async fn lock_is_free_when_its_holder_is_gone(database: TestDatabase) {
    for _ in 0..3 {
        let lock = database.store.lock_instance().await.unwrap();
        drop(lock);
    }
}

async fn lock_brings_the_schema_up_to_date(database: TestDatabase) {
    let lock = database.store.lock_instance().await.unwrap();
    drop(lock);
    // Applied before, applied by the lock, and once more.
    database.store.migrate().await.unwrap();
    assert_eq!(database.store.graph_names().await.unwrap(), Vec::<String>::new());
}

async fn a_lock_whose_connection_died_is_taken_again_and_nothing_is_written_meanwhile(
    database: TestDatabase,
) {
    let (store, mut lock) = (database.store.clone(), database.store.lock_instance().await.unwrap());
    let watching = tokio::spawn({
        let store = store.clone();
        async move { lock.lost(&store).await }
    });
    // As while the database server restarts.
    database.allow_connections(false).await;
    database.disconnect_all().await;
    if matches!(database.engine, Engine::Postgres) {
        eventually("writing is paused", LIMIT, async || match store.begin().await {
            Err(StoreError::Paused) => Ok(()),
            other => Err(format!("{:?}", other.map(drop))),
        })
        .await;
        assert!(StoreError::Paused.is_transient());
    }
    database.allow_connections(true).await;
    eventually("writing goes on", LIMIT, async || store.begin().await.map(drop).map_err(|e| e.to_string()))
        .await;
    let second = Store::connect(&database.url).await.unwrap();
    assert!(
        matches!(second.lock_instance().await, Err(StoreError::Locked { .. })),
        "the first one has it again"
    );
    assert!(!watching.is_finished());
    watching.abort();
    second.close().await;
}

async fn a_lock_that_another_server_has_taken_is_lost(database: TestDatabase) {
    let mut lock = database.store.lock_instance().await.unwrap();
    let Engine::Postgres = database.engine else {
        // A lock on a file has no connection that could die.
        assert!(futures::poll!(std::pin::pin!(lock.lost(&database.store))).is_pending());
        return;
    };
    database.disconnect_all().await;
    let second = Store::connect(&database.url).await.unwrap();
    let _taken = second.lock_instance().await.unwrap();
    tokio::time::timeout(LIMIT, lock.lost(&database.store)).await.expect("it is lost");
    assert!(matches!(database.store.begin().await, Err(StoreError::Paused)), "nothing is written any more");
    second.close().await;
}

async fn an_installation_keeps_its_id(database: TestDatabase) {
    let other = Store::connect(&database.url).await.unwrap();
    let (one, two) = futures::join!(database.store.installation(), other.installation());
    let id = one.unwrap();
    assert_eq!(two.unwrap(), id);
    assert_eq!(database.store.installation().await.unwrap(), id);
    assert_eq!(id.len(), 36, "a UUID: {id}");
    other.close().await;
}
