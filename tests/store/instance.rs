use std::time::Duration;

use smo::store::{Store, StoreError};

use crate::support::database::{Engine, TestDatabase, on_every_engine};

on_every_engine!(
    second_server_is_refused_and_told_who_holds_the_database,
    lock_is_free_when_its_holder_is_gone,
    lock_brings_the_schema_up_to_date,
    lock_tells_when_its_connection_dies,
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

async fn lock_tells_when_its_connection_dies(database: TestDatabase) {
    let mut lock = database.store.lock_instance().await.unwrap();
    tokio::time::timeout(Duration::from_millis(1), lock.lost()).await.expect_err("the lock is held");
    database.disconnect_all().await;
    match database.engine {
        Engine::Postgres => tokio::time::timeout(Duration::from_secs(30), lock.lost()).await.unwrap(),
        // A lock on a file has no connection.
        Engine::Sqlite => assert!(futures::poll!(std::pin::pin!(lock.lost())).is_pending()),
    }
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
