//! Connection pools from URLs: choice of the engine, its options, and error messages when it does not answer.
//!
//! Messages name engine, host and database, and nothing else of the URL: the rest may be a password.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgPool, SqlitePool};

use super::db::{ACQUIRE_TIMEOUT, Db};
use super::{Result, StoreError};

const POSTGRES_CONNECTIONS: u32 = 10;
/// WAL lets readers continue beside the one writer; more connections would only wait for the disk.
const SQLITE_CONNECTIONS: u32 = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// No statement of `smo` comes near it; a stuck one must not hold a graph's row for ever.
const STATEMENT_TIMEOUT: &str = "30s";
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const SQLITE_RETRY: Duration = Duration::from_millis(20);

/// Opens the database of a URL.
pub(super) async fn open(url: &str) -> Result<Db> {
    let (scheme, rest) = url.split_once(':').ok_or_else(|| not_valid("it has no scheme"))?;
    // SQLAlchemy writes the driver into the scheme: `postgresql+psycopg2`.
    match scheme.split_once('+').map_or(scheme, |(engine, _driver)| engine) {
        "postgres" | "postgresql" => open_postgres(rest).await.map(Db::Pg),
        "sqlite" => open_sqlite(rest).await.map(|pool| Db::Lite(pool, Arc::default())),
        _ => Err(not_valid("the scheme must be postgres, postgresql or sqlite")),
    }
}

/// Whether the database lives in this process only.
pub(super) fn is_in_memory(options: &SqliteConnectOptions) -> bool {
    options.get_filename().to_string_lossy().starts_with("file:")
}

async fn open_postgres(rest: &str) -> Result<PgPool> {
    let options = postgres_options(rest)?;
    let failed = |source| StoreError::Connect { target: postgres_target(&options), source: Box::new(source) };
    // A pool hides why it cannot connect behind a timeout; a single direct connection reports it.
    let first = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await;
    let connection = match first {
        Ok(connection) => connection.map_err(failed)?,
        Err(_elapsed) => return Err(failed(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    };
    connection.close().await.map_err(failed)?;
    Ok(PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_lazy_with(options))
}

fn postgres_options(rest: &str) -> Result<PgConnectOptions> {
    let location = rest.strip_prefix("//").ok_or_else(|| not_valid("`//` must follow the scheme"))?;
    let (authority, tail) = location.split_at(location.find(['/', '?', '#']).unwrap_or(location.len()));
    // Such a password ends the host's part early, and the rest would be shown as port, host or database.
    if !authority.contains('@') && authority.contains(':') && tail.contains('@') {
        return Err(not_valid("the characters / ? # must be percent-encoded in user name and password"));
    }
    let options =
        PgConnectOptions::from_str(&format!("postgres://{location}")).map_err(|error| match error {
            sqlx::Error::Configuration(cause) => not_valid(&cause.to_string()),
            _ => not_valid("it does not parse"),
        })?;
    Ok(options.application_name("smo").options([("statement_timeout", STATEMENT_TIMEOUT)]))
}

fn postgres_target(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("PostgreSQL at {}, database {database:?}", socket.display()),
        None => {
            format!("PostgreSQL at {}:{}, database {database:?}", options.get_host(), options.get_port())
        }
    }
}

async fn open_sqlite(rest: &str) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::from_str(&format!("sqlite:{rest}"))
        .map_err(|error| not_valid(&error.to_string()))?
        .create_if_missing(true)
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .foreign_keys(true);
    // The database is in this process: there is no connection that could have been lost meanwhile.
    let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).test_before_acquire(false);
    let path = options.get_filename().to_path_buf();
    let (pool, options) = if is_in_memory(&options) {
        // It ends with its last connection, so the only one must stay.
        (pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None), options)
    } else {
        create_parent(&path).await?;
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal);
        (pool.max_connections(SQLITE_CONNECTIONS), options)
    };
    let deadline = tokio::time::Instant::now() + SQLITE_BUSY_TIMEOUT;
    loop {
        let source = match pool.clone().connect_with(options.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(error) => Box::new(error),
        };
        let failed =
            StoreError::Connect { target: format!("the SQLite database {}", path.display()), source };
        // Two processes that create one database at once both switch it to WAL, and to that the busy timeout
        // does not apply.
        if !failed.is_transient() || tokio::time::Instant::now() >= deadline {
            return Err(failed);
        }
        tokio::time::sleep(SQLITE_RETRY).await;
    }
}

async fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => tokio::fs::create_dir_all(parent)
            .await
            .map_err(|source| StoreError::File { path: parent.to_path_buf(), source }),
        _ => Ok(()),
    }
}

fn not_valid(reason: &str) -> StoreError {
    StoreError::Url { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> String {
        let (_scheme, rest) = url.split_once(':').expect("the test's URL has a scheme");
        postgres_options(rest).map_or_else(|error| error.to_string(), |options| postgres_target(&options))
    }

    #[test]
    fn target_names_host_and_database_without_credentials() {
        assert_eq!(
            target("postgres://u:secret@db.example:5433/smo"),
            "PostgreSQL at db.example:5433, database \"smo\""
        );
        assert_eq!(
            target("postgresql+psycopg2://u:s%40ecret@db.example:5432/smo"),
            "PostgreSQL at db.example:5432, database \"smo\""
        );
        assert_eq!(
            target("postgres:///smo?host=/run/pg&port=5432&user=u"),
            "PostgreSQL at /run/pg, database \"smo\""
        );
    }

    #[test]
    fn a_password_that_breaks_the_url_is_never_quoted() {
        for url in
            ["postgres://u:12/secret@h/db", "postgres://u:secret#1@h/db", "postgres://u:12?secret@h/db"]
        {
            let message = target(url);
            assert!(message.contains("percent-encoded"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let message = target("postgres://u:secret@h:port/db");
        assert!(
            message.starts_with("the database URL is not valid") && !message.contains("secret"),
            "{message}"
        );
    }
}
