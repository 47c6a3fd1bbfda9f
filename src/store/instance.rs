//! One server per database: a second one on the same database refuses to start.
//!
//! The lock belongs to the process, not to a row: a session lock on a connection of its own (PostgreSQL) or a
//! lock on a file (SQLite). Both end with the process however it dies. The row in `server` is only for the
//! message.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, PgPool, SqlitePool};

use super::connect::is_in_memory;
use super::db::{Db, micros, on};
use super::{Result, Store, StoreError};

/// Key of the advisory lock; PostgreSQL keeps advisory locks apart by database. The letters are "smo serve".
const ADVISORY_LOCK: i64 = 0x736d_6f73_6572_7665;
/// A server that was just killed may need a moment to lose its connection.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(100);
/// Interval and timeout of the liveness check of the lock's connection.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

const SET_HOLDER: &str = "INSERT INTO server (id, hostname, pid, started_at) VALUES (1, $1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET hostname = excluded.hostname, pid = excluded.pid, started_at = excluded.started_at";
/// PostgreSQL shows the two halves of a lock's key.
const HOLDER: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = $1";
const GET_HOLDER: &str = "SELECT hostname, pid, started_at FROM server";

/// Proof that this server is the only one on its database. Dropping it lets the next one in.
#[derive(Debug)]
pub struct InstanceLock {
    held: HeldLock,
}

/// Process of PostgreSQL that serves a connection.
type Backend = i32;

#[derive(Debug)]
enum HeldLock {
    Connection(PgConnection, Backend),
    /// Kept for its lock only, which ends when it is closed.
    File(#[expect(dead_code, reason = "held, not read: closing the file is what unlocks it")] File),
    /// No other process can open a database that lives in this one.
    InMemory,
}

impl InstanceLock {
    /// Watches over the lock, and returns when another server has taken it. Whenever its connection dies, the
    /// store writes nothing until the lock is held again: meanwhile another server may have started. Never
    /// returns on SQLite, whose lock cannot be lost.
    pub async fn lost(&mut self, store: &Store) {
        while let HeldLock::Connection(connection, backend) = &mut self.held {
            tokio::time::sleep(PROBE_INTERVAL).await;
            let alive = tokio::time::timeout(PROBE_TIMEOUT, connection.ping()).await;
            if matches!(alive, Ok(Ok(()))) {
                continue;
            }
            store.pause_writing(true);
            tracing::warn!(
                "the connection that holds the lock on the database is gone; nothing is written until it is back"
            );
            match regained(&store.db, *backend).await {
                Some(held) => self.held = held,
                None => return,
            }
            store.pause_writing(false);
            tracing::info!("the lock on the database is held again");
        }
        std::future::pending().await
    }
}

/// The lock, once the database answers; `None` when another server has it. The database may not have noticed yet that
/// the connection of `dead` is, and go on giving it the lock.
async fn regained(db: &Db, dead: Backend) -> Option<HeldLock> {
    loop {
        match try_lock(db).await {
            Ok(Some(held)) => return Some(held),
            Ok(None) => match holder(db).await {
                Ok(Some(holder)) if holder != dead => return None,
                _ => {}
            },
            Err(error) => tracing::debug!("the database does not answer yet: {error}"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Which connection holds the lock.
async fn holder(db: &Db) -> Result<Option<Backend>> {
    match db {
        Db::Pg(pool) => Ok(sqlx::query_scalar(HOLDER).bind(ADVISORY_LOCK).fetch_optional(pool).await?),
        Db::Lite(..) => Ok(None),
    }
}

impl Store {
    /// Locks this database for one server, brings its schema up to date, and records the holder.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another server holds it; the database or the lock file failed.
    pub async fn lock_instance(&self) -> Result<InstanceLock> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let held = loop {
            match try_lock(&self.db).await? {
                Some(held) => break held,
                None if tokio::time::Instant::now() < deadline => tokio::time::sleep(RETRY).await,
                None => return Err(StoreError::Locked { holder: self.holder().await }),
            }
        };
        // Only now: a second server must not change the schema under the first.
        self.migrate().await?;
        let mut connection = self.db.acquire().await?;
        on!(connection.conn(), c => sqlx::query(SET_HOLDER)
            .bind(hostname())
            .bind(i64::from(std::process::id()))
            .bind(micros(Utc::now()))
            .execute(c).await.map(drop))?;
        Ok(InstanceLock { held })
    }

    /// Who wrote the row last. Only for a message, so an unreadable row is no error.
    async fn holder(&self) -> String {
        let read = async {
            let mut connection = self.db.acquire().await?;
            let row: Option<(String, i64, DateTime<Utc>)> = on!(connection.conn(), c =>
                sqlx::query_as(GET_HOLDER).fetch_optional(c).await)?;
            Ok::<_, StoreError>(row)
        };
        match read.await {
            Ok(Some((host, pid, since))) => {
                format!("process {pid} on host {host}, started {}", since.format("%Y-%m-%d %H:%M:%S UTC"))
            }
            _ => "its process and host are not recorded".to_owned(),
        }
    }
}

async fn try_lock(db: &Db) -> Result<Option<HeldLock>> {
    match db {
        Db::Pg(pool) => try_lock_postgres(pool).await,
        Db::Lite(pool, _) => try_lock_sqlite(pool),
    }
}

async fn try_lock_postgres(pool: &PgPool) -> Result<Option<HeldLock>> {
    let options = pool.connect_options();
    // If this host vanishes, the database server notices within half a minute and frees the lock. No effect
    // on a socket.
    let options = options.as_ref().clone().application_name("smo instance lock").options([
        ("tcp_keepalives_idle", "10"),
        ("tcp_keepalives_interval", "5"),
        ("tcp_keepalives_count", "4"),
    ]);
    let mut connection = PgConnection::connect_with(&options).await?;
    let (locked, backend) =
        sqlx::query_as::<_, (bool, Backend)>("SELECT pg_try_advisory_lock($1), pg_backend_pid()")
            .bind(ADVISORY_LOCK)
            .fetch_one(&mut connection)
            .await?;
    Ok(locked.then_some(HeldLock::Connection(connection, backend)))
}

fn try_lock_sqlite(pool: &SqlitePool) -> Result<Option<HeldLock>> {
    let options = pool.connect_options();
    if is_in_memory(&options) {
        return Ok(Some(HeldLock::InMemory));
    }
    let path = lock_path(options.get_filename());
    let failed = |source| StoreError::File { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(HeldLock::File(file))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The lock is beside the database, not on it: SQLite's own locks on that file would interfere with this one.
fn lock_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    PathBuf::from(path)
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .or_else(|| std::env::var("HOSTNAME").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
