//! The persistent state of `smo` on PostgreSQL or SQLite; the only place with SQL.
//!
//! One file per aggregate, one SQL text for both engines (`db.rs`); migrations of the same names lie in
//! `migrations/postgres` and `migrations/sqlite`. Methods of [`Store`] read; methods of [`Tx`] write, and a
//! use case composes several of them in one transaction. No other system is called between [`Store::begin`]
//! and
//! [`Tx::commit`], and nothing is solved there.
//!
//! The store knows nothing of HTTP or Kubernetes, and little of the meaning of the records: each commit
//! brings the capacity ledger up to date and, when a decision is behind it, is refused if its additional
//! usage does not fit (`ledger.rs`). Its invariants: a graph's row is written only by a transaction that has
//! read its newest version; a release belongs to one graph; decisions, revisions and events are never changed
//! (but for when a decision was applied) and outlive their graph; times are cut to microseconds, so a record
//! reads back the same from either engine.

mod attributes;
mod charts;
mod clusters;
mod connect;
mod db;
mod decisions;
mod error;
mod events;
mod graphs;
mod installation;
mod instance;
mod json;
mod ledger;
mod profiles;
mod reconcile;
mod revisions;
mod scaling;
mod services;
mod snapshot;

pub use db::Tx;
pub use error::{Result, StoreError};
pub use instance::InstanceLock;
pub use snapshot::{ClusterUse, GraphUse};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::Migrator;

use crate::faults::Faults;
use db::{Db, on};

static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");
static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");

/// The database. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    faults: Faults,
    settle_time: Duration,
    /// Nothing is written while it is not certain that no other server writes.
    paused: Arc<AtomicBool>,
}

impl Store {
    /// Connects to the database of a URL: `postgres://user:password@host:port/name` (also `postgresql` and
    /// the driver spellings of `SQLAlchemy`; `?host=/folder` for a Unix socket), `sqlite://path` (created if
    /// it does not exist, with its folder), or `sqlite::memory:`. The last has one connection: reading from
    /// the store while a transaction is open waits in vain there.
    ///
    /// # Errors
    /// The URL is not valid, or the database cannot be reached; the message names host and database.
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self {
            db: connect::open(url).await?,
            faults: Faults::none(),
            settle_time: Duration::ZERO,
            paused: Arc::default(),
        })
    }

    /// Lets a test fail or kill the server at the commits of this store.
    #[must_use]
    pub fn with_faults(self, faults: Faults) -> Self {
        Self { faults, ..self }
    }

    /// Counts changed usage as reserved for that long ([`crate::model::footprint`]); without this, not at
    /// all.
    #[must_use]
    pub fn with_settle_time(self, settle_time: Duration) -> Self {
        Self { settle_time, ..self }
    }

    /// Brings the schema up to date. Safe to repeat, and to run from two processes at once.
    ///
    /// # Errors
    /// A migration failed, or the database was written by a newer version.
    pub async fn migrate(&self) -> Result<()> {
        match &self.db {
            Db::Pg(pool) => POSTGRES.run(pool).await?,
            Db::Lite(pool, _) => {
                // On PostgreSQL the migrator takes a lock; here the write lock of one transaction around all
                // of it keeps a second process from applying the same migration.
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                // `run` on a borrowed connection returns a future that cannot be sent between threads.
                SQLITE.run_direct(None, &mut *transaction, false).await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// The database failed, all connections are in use for too long, or it may be another server's now.
    pub async fn begin(&self) -> Result<Tx> {
        if self.paused.load(Ordering::Acquire) {
            return Err(StoreError::Paused);
        }
        self.db.begin(&self.faults, self.settle_time).await
    }

    /// Whether transactions are refused, in this store and all its clones.
    pub(super) fn pause_writing(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// Pings the database.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn ping(&self) -> Result<()> {
        let mut connection = self.db.acquire().await?;
        on!(connection.conn(), c => sqlx::query("SELECT 1").execute(c).await.map(drop))?;
        Ok(())
    }

    /// Name of the engine: `postgres` or `sqlite`.
    #[must_use]
    pub fn engine(&self) -> &'static str {
        match self.db {
            Db::Pg(_) => "postgres",
            Db::Lite(..) => "sqlite",
        }
    }

    /// Closes all connections after their current work; later calls fail.
    pub async fn close(&self) {
        match &self.db {
            Db::Pg(pool) => pool.close().await,
            Db::Lite(pool, _) => pool.close().await,
        }
    }
}
