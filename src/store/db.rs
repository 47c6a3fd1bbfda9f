//! One SQL text for two engines: pools, connections and transactions of PostgreSQL and SQLite behind one
//! interface.
//!
//! Differences of the engines in locking are handled here and in [`super::instance`], nowhere else. The rest
//! of the store is written against [`Conn`] and runs the same text on both.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Database, PgPool, Postgres, Sqlite, SqlitePool, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tracing::Instrument as _;

use super::ledger::Unsettled;
use super::{Result, StoreError};
use crate::faults::{Faults, Phase};

/// Rows or parameters per statement: SQLite takes 32766 parameters, the widest row has 21.
pub(super) const CHUNK: usize = 1000;

/// How long a caller waits for a connection, or for its turn to write, before it gets an error.
pub(super) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// The pool of either engine.
#[derive(Debug, Clone)]
pub(super) enum Db {
    Pg(PgPool),
    /// SQLite lets one write at a time. Who waits does so in turn at the mutex, not by polling the file while
    /// holding a connection that a reader could use.
    Lite(SqlitePool, Arc<Mutex<()>>),
}

impl Db {
    /// A connection outside a transaction.
    pub(super) async fn acquire(&self) -> Result<Held> {
        Ok(match self {
            Self::Pg(pool) => Held::Pg(pool.acquire().await?),
            Self::Lite(pool, _) => Held::Lite(pool.acquire().await?),
        })
    }

    /// A read-only transaction on one consistent snapshot.
    pub(super) async fn begin_reading(&self) -> Result<Reader> {
        Ok(match self {
            Self::Pg(pool) => {
                Reader::Pg(begin_with(pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
            Self::Lite(pool, _) => Reader::Lite(begin_with(pool, "BEGIN").await?),
        })
    }

    /// A transaction. SQLite's takes the write lock at once: a transaction that reads first and asks for the
    /// lock later is refused whenever another one wrote in between.
    pub(super) async fn begin(&self, faults: &Faults, settle_time: Duration) -> Result<Tx> {
        Ok(Tx {
            faults: faults.clone(),
            settle_time,
            unsettled: Unsettled::default(),
            inner: match self {
                Self::Pg(pool) => TxInner::Pg(begin_with(pool, "BEGIN").await?),
                Self::Lite(pool, writer) => {
                    let turn = tokio::time::timeout(ACQUIRE_TIMEOUT, Arc::clone(writer).lock_owned());
                    let turn = turn.await.map_err(|_elapsed| sqlx::Error::PoolTimedOut)?;
                    let pool = pool.clone();
                    // The turn lasts as long as the statement, whoever leaves meanwhile.
                    let begin = async move { Ok((pool.begin_with("BEGIN IMMEDIATE").await?, turn)) };
                    let (transaction, turn) = uncancelled(begin).await?;
                    TxInner::Lite(transaction, turn)
                }
            },
        })
    }
}

async fn begin_with<DB: Database>(
    pool: &sqlx::Pool<DB>,
    statement: &'static str,
) -> sqlx::Result<Transaction<'static, DB>> {
    let pool = pool.clone();
    uncancelled(async move { pool.begin_with(statement).await }).await
}

/// Runs the begin of a transaction to its end, even if the caller is cancelled meanwhile. Otherwise sqlx 0.9
/// returns the connection to the pool inside the open transaction, which may be read-only, and the next
/// caller works in it.
async fn uncancelled<T: Send + 'static>(
    begin: impl Future<Output = sqlx::Result<T>> + Send + 'static,
) -> sqlx::Result<T> {
    tokio::spawn(begin.in_current_span()).await.map_err(|_ended| sqlx::Error::WorkerCrashed)?
}

/// A connection taken from the pool.
pub(super) enum Held {
    Pg(PoolConnection<Postgres>),
    Lite(PoolConnection<Sqlite>),
}

impl Held {
    pub(super) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Pg(connection) => Conn::Pg(&mut *connection),
            Self::Lite(connection) => Conn::Lite(&mut *connection),
        }
    }
}

/// A transaction that only reads.
pub(super) enum Reader {
    Pg(Transaction<'static, Postgres>),
    Lite(Transaction<'static, Sqlite>),
}

impl Reader {
    pub(super) fn conn(&mut self) -> Conn<'_> {
        match self {
            Self::Pg(transaction) => Conn::Pg(&mut *transaction),
            Self::Lite(transaction) => Conn::Lite(&mut *transaction),
        }
    }
}

/// The connection that queries run on, in or out of a transaction.
pub(super) enum Conn<'c> {
    Pg(&'c mut PgConnection),
    Lite(&'c mut SqliteConnection),
}

/// Runs the same expression on either engine.
macro_rules! on {
    ($conn:expr, $connection:ident => $run:expr) => {
        match $conn {
            $crate::store::db::Conn::Pg($connection) => $run,
            $crate::store::db::Conn::Lite($connection) => $run,
        }
    };
}
pub(super) use on;

/// A transaction. Dropping it rolls back.
pub struct Tx {
    faults: Faults,
    /// How long after a change of intent a cluster's report may be older.
    pub(super) settle_time: Duration,
    /// Changes of this transaction that the ledger does not include yet.
    pub(super) unsettled: Unsettled,
    inner: TxInner,
}

enum TxInner {
    Pg(Transaction<'static, Postgres>),
    Lite(Transaction<'static, Sqlite>, OwnedMutexGuard<()>),
}

impl Tx {
    pub(super) fn conn(&mut self) -> Conn<'_> {
        match &mut self.inner {
            TxInner::Pg(transaction) => Conn::Pg(&mut *transaction),
            TxInner::Lite(transaction, _) => Conn::Lite(&mut *transaction),
        }
    }

    /// Makes everything that was written in this transaction durable and visible. `label` names the change:
    /// the moments before and after it are numbered steps at which a test may fail or kill the server.
    ///
    /// # Errors
    /// The database failed; then nothing was written, or, if the connection broke at that very moment, the
    /// result is unknown: read again. [`StoreError::NoCapacity`] as [`Tx::require_capacity`] says.
    pub async fn commit(mut self, label: &str) -> Result<()> {
        self.settle().await?;
        let (faults, step) = (self.faults.clone(), format!("store.commit {label}"));
        faults.step(&step, Phase::Before).await.map_err(StoreError::Injected)?;
        self.commit_unnumbered().await?;
        faults.step(&step, Phase::After).await.map_err(StoreError::Injected)
    }

    /// As [`Tx::commit`], for observations that will soon be repeated: no numbered step.
    ///
    /// # Errors
    /// The database failed.
    pub async fn commit_unnumbered(mut self) -> Result<()> {
        self.settle().await?;
        match self.inner {
            TxInner::Pg(transaction) => transaction.commit().await?,
            TxInner::Lite(transaction, _turn) => transaction.commit().await?,
        }
        Ok(())
    }

    /// The text that also locks the rows it reads until the end of this transaction. SQLite has no such
    /// clause and needs none: its transactions hold the write lock from the start.
    pub(super) fn locking(&self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        match self.inner {
            TxInner::Pg(_) => postgres,
            TxInner::Lite(..) => sqlite,
        }
    }

    /// Lets no other transaction write a table until this one ends; readers continue.
    pub(super) async fn lock_table(&mut self, postgres: &'static str) -> Result<()> {
        if let TxInner::Pg(transaction) = &mut self.inner {
            sqlx::query(postgres).execute(&mut **transaction).await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// The time as PostgreSQL keeps it, so that a record reads back the same from either engine.
pub(super) fn micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}
