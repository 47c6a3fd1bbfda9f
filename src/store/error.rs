//! Errors of the store, as far as callers distinguish them.

use std::path::PathBuf;

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;

use crate::faults::InjectedFault;

/// Result of a call to the store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store failed. No message holds a password.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A unique name is taken.
    #[error("{message}")]
    Conflict {
        /// Description of the conflict, for the user.
        message: String,
    },
    /// The graph was written by another transaction since it was read, or is gone. Read again and decide
    /// again.
    #[error("graph {graph:?} has changed since it was read, or is gone")]
    Version {
        /// The graph.
        graph: String,
    },
    /// The additional usage of a decision no longer fits a cluster. Decide again on the newest state.
    #[error("cluster {cluster:?} no longer has the capacity that was decided on")]
    NoCapacity {
        /// The cluster.
        cluster: String,
    },
    /// Another server works on this database.
    #[error("another smo server uses this database: {holder}")]
    Locked {
        /// Who: process, host and time of start.
        holder: String,
    },
    /// The lock on the database was lost, as when it restarts; nothing is written until it is held again.
    #[error("the lock on the database is being taken again")]
    Paused,
    /// The database's URL cannot be understood.
    #[error("the database URL is not valid: {reason}")]
    Url {
        /// The cause of the failure. Quotes nothing of the URL that could be part of a password.
        reason: String,
    },
    /// The first connection failed.
    #[error("cannot connect to {target}")]
    Connect {
        /// Engine, host and database.
        target: String,
        /// Why.
        source: Box<sqlx::Error>,
    },
    /// The folder or the lock file of a SQLite database cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the database schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A fault that a test injected at a step.
    #[error("injected fault")]
    Injected(#[source] InjectedFault),
    /// A query failed.
    #[error("a database query failed")]
    Database(#[from] sqlx::Error),
}

impl StoreError {
    /// Whether trying again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Version { .. } | Self::NoCapacity { .. } | Self::Injected(_) | Self::Paused => true,
            Self::Database(error) => is_transient(error),
            Self::Connect { source, .. } => is_transient(source),
            _ => false,
        }
    }
}

fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            if let Some(error) = error.try_downcast_ref::<PgDatabaseError>() {
                is_transient_on_postgres(error.code())
            } else if error.try_downcast_ref::<SqliteError>().is_some() {
                error.code().is_some_and(|code| is_transient_on_sqlite(&code))
            } else {
                false
            }
        }
        _ => false,
    }
}

/// Connection lost (class 08), resources exhausted (53), serialisation failure and deadlock (40), lock not
/// available (55P03), statement cancelled and server going down or coming up (57).
fn is_transient_on_postgres(sqlstate: &str) -> bool {
    sqlstate == "55P03" || ["08", "40", "53", "57"].iter().any(|class| sqlstate.starts_with(class))
}

/// `SQLITE_BUSY`, `SQLITE_LOCKED` and `SQLITE_FULL` (the disk is) with all their extended codes, whose low byte is the
/// plain code.
fn is_transient_on_sqlite(code: &str) -> bool {
    code.parse::<i32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 13))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contention_and_lost_connections_are_transient_and_constraints_are_not() {
        for sqlstate in ["40001", "40P01", "57P01", "57014", "08006", "53300", "55P03"] {
            assert!(is_transient_on_postgres(sqlstate), "{sqlstate}");
        }
        for sqlstate in ["23505", "42P01", "22021", "55000"] {
            assert!(!is_transient_on_postgres(sqlstate), "{sqlstate}");
        }
        for code in ["5", "6", "13", "261", "517"] {
            assert!(is_transient_on_sqlite(code), "{code}");
        }
        for code in ["1", "19", "2067", "1555"] {
            assert!(!is_transient_on_sqlite(code), "{code}");
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_transient() {
        use sqlx::{ConnectOptions as _, Executor as _};
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new().connect().await.unwrap();
        connection.execute("CREATE TABLE filled (bytes BLOB); PRAGMA max_page_count = 4").await.unwrap();
        let full = connection.execute("INSERT INTO filled VALUES (zeroblob(1000000))").await.unwrap_err();
        assert!(full.to_string().contains("full"), "{full}");
        assert!(StoreError::from(full).is_transient());
    }
}
