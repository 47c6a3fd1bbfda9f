use std::error::Error;

use smo::store::{Store, StoreError};

use super::records::{deploy, graph};
use crate::support::database::{Engine, TestDatabase, on_every_engine};

on_every_engine!(
    store_names_its_engine_and_gives_a_sign_of_life,
    migrations_run_twice_and_keep_the_data,
    concurrent_migrations_of_an_empty_database_succeed,
    closed_store_gives_no_sign_of_life,
    wrong_database_is_named_without_the_password,
);

async fn store_names_its_engine_and_gives_a_sign_of_life(database: TestDatabase) {
    database.store.ping().await.unwrap();
    let expected = match database.engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    };
    assert_eq!(database.store.engine(), expected);
}

async fn migrations_run_twice_and_keep_the_data(database: TestDatabase) {
    deploy(&database.store, &graph("brussels"), &[]).await;
    database.store.migrate().await.unwrap();
    let again = Store::connect(&database.url).await.unwrap();
    again.migrate().await.unwrap();
    assert_eq!(again.graph("brussels").await.unwrap(), Some(graph("brussels")));
    again.close().await;
}

async fn concurrent_migrations_of_an_empty_database_succeed(database: TestDatabase) {
    let url = database.empty().await;
    let migrations = (0..3).map(|_| {
        let url = url.clone();
        tokio::spawn(async move {
            let store = Store::connect(&url).await.unwrap();
            store.migrate().await.unwrap();
            let names = store.graph_names().await.unwrap();
            store.close().await;
            names
        })
    });
    let seen = futures::future::try_join_all(migrations).await.unwrap();
    assert!(seen.iter().all(Vec::is_empty));
}

async fn closed_store_gives_no_sign_of_life(database: TestDatabase) {
    database.store.close().await;
    let error = database.store.ping().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

async fn wrong_database_is_named_without_the_password(database: TestDatabase) {
    let (url, named) = match database.engine {
        Engine::Postgres => (
            // Nothing listens on port 1.
            "postgresql+psycopg2://someone:hunter2@127.0.0.1:1/orders".to_owned(),
            "PostgreSQL at 127.0.0.1:1, database \"orders\"",
        ),
        // A folder is no database.
        Engine::Sqlite => ("sqlite:///dev".to_owned(), "the SQLite database /dev"),
    };
    let error = Store::connect(&url).await.unwrap_err();
    assert!(matches!(error, StoreError::Connect { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("cannot connect to {named}"));
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(&format!(": {error}"));
        cause = error.source();
    }
    assert!(!chain.contains("hunter2"), "{chain}");
}

#[tokio::test]
async fn unknown_scheme_is_refused_without_quoting_the_url() {
    let error = Store::connect("mysql://someone:hunter2@db/orders").await.unwrap_err();
    assert!(matches!(error, StoreError::Url { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn database_in_memory_works_alone() {
    let store = Store::connect("sqlite::memory:").await.unwrap();
    let _lock = store.lock_instance().await.unwrap();
    deploy(&store, &graph("brussels"), &[]).await;
    assert_eq!(store.graph_names().await.unwrap(), ["brussels"]);
    let other = Store::connect("sqlite::memory:").await.unwrap();
    other.migrate().await.unwrap();
    assert_eq!(other.graph_names().await.unwrap(), Vec::<String>::new());
}
