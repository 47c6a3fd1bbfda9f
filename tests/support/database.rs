//! A database of its own for each test, on either engine, with all migrations applied.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use smo::store::Store;

use super::{postgres, scratch};

/// The engines that every suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// A database of the test process's own server.
    Postgres,
}

/// An empty, migrated database and a store that is connected to it.
pub struct TestDatabase {
    /// The engine.
    pub engine: Engine,
    /// URL for [`Store::connect`]: a second server on the same database connects with it.
    pub url: String,
    /// The store.
    pub store: Store,
    name: String,
}

impl TestDatabase {
    /// Makes one.
    pub async fn create(engine: Engine) -> Self {
        let name = unique_name();
        let url = match engine {
            Engine::Sqlite => sqlite(&name),
            Engine::Postgres => {
                let server = postgres::server().await;
                server.create(&name).await;
                server.url(&name)
            }
        };
        let store = Store::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        Self { engine, url, store, name }
    }

    /// The same database through a pool of its own, as another server would use it.
    pub async fn second(&self) -> Self {
        let store = Store::connect(&self.url).await.unwrap();
        Self { engine: self.engine, url: self.url.clone(), store, name: self.name.clone() }
    }

    /// URL of another database without any table.
    pub async fn empty(&self) -> String {
        let name = unique_name();
        match self.engine {
            Engine::Sqlite => sqlite(&name),
            Engine::Postgres => {
                let server = postgres::server().await;
                server.create_empty(&name).await;
                server.url(&name)
            }
        }
    }

    /// Cuts every connection to it from the server's side. SQLite has none.
    pub async fn disconnect_all(&self) {
        if self.engine == Engine::Postgres {
            postgres::server().await.disconnect_all(&self.name).await;
        }
    }

    /// Whether the database server takes connections to this database; nothing on SQLite.
    pub async fn allow_connections(&self, allowed: bool) {
        if self.engine == Engine::Postgres {
            postgres::server().await.allow_connections(&self.name, allowed).await;
        }
    }

    /// Frees its room on the disk. What stays, as of a failed test, goes with the process.
    async fn remove(engine: Engine, name: &str) {
        match engine {
            // A connection that was being opened when its task ended lives on for a moment, and may make a
            // file meanwhile.
            Engine::Sqlite => drop(std::fs::remove_dir_all(scratch::folder().join(name))),
            Engine::Postgres => postgres::server().await.remove(name).await,
        }
    }
}

/// Runs a test on a database of its own.
pub async fn run<F: Future<Output = ()>>(engine: Engine, test: impl FnOnce(TestDatabase) -> F) {
    let database = TestDatabase::create(engine).await;
    let (name, store) = (database.name.clone(), database.store.clone());
    test(database).await;
    store.close().await;
    TestDatabase::remove(engine, &name).await;
}

/// Makes each named `async fn(TestDatabase)` a test on every engine: `sqlite::name` and `postgres::name`. A
/// function that is not in the list is dead code, which the modules that use this deny.
macro_rules! on_every_engine {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                $crate::support::database::run($crate::support::database::Engine::Sqlite, super::$name).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                $crate::support::database::run($crate::support::database::Engine::Postgres, super::$name).await;
            })+
        }
    };
}
pub(crate) use on_every_engine;

fn sqlite(name: &str) -> String {
    format!("sqlite://{}/smo.db", scratch::folder().join(name).display())
}

fn unique_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("smo_test_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
