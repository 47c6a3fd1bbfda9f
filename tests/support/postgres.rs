//! A PostgreSQL server of this test process alone: own data, private Unix socket, no TCP.
//!
//! It starts when the first test asks for it and ends with the process, however that ends. Before anything is
//! written it is proved that the server that answers is this one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use smo::store::Store;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::OnceCell;

use super::scratch::{self, User};
use crate::wait::eventually;

const NOT_INSTALLED: &str = "PostgreSQL is not installed, and the suite must run on it: \
    apt-get install postgresql (`make test` does it)";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const TEMPLATE: &str = "smo_template";

/// Creates the cluster and runs it until this process has ended. `$0` = folder of the programs, `$1` = base
/// folder. The names sort as in C here; the template database has another collation, so that a query that
/// relies on the server's is found out.
const RUN: &str = r#"
exec >"$1/log" 2>&1
"$0/initdb" -D "$1/data" --username=smo --auth=trust --encoding=UTF8 --locale=C --no-sync --no-instructions || exit
setpriv --pdeathsig INT -- "$0/postgres" -D "$1/data" \
    -c listen_addresses= -c unix_socket_directories="$1" -c unix_socket_permissions=0700 \
    -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=300 \
    -c max_wal_size=128MB -c autovacuum=off &
server=$!
cat >/dev/null
kill -INT "$server"
wait "$server"
rm -rf "$1/data"
"#;

/// The running server.
pub struct Server {
    socket: PathBuf,
    /// Held for its standard input: while that is open, the server runs.
    watchdog: Child,
}

/// The server of this process, with a migrated template database. Fails, and fails every test that asks, when
/// it cannot be had.
pub async fn server() -> &'static Server {
    static SERVER: OnceCell<Result<Server, String>> = OnceCell::const_new();
    match SERVER.get_or_init(start).await {
        Ok(server) => server,
        Err(message) => panic!("{message}"),
    }
}

impl Server {
    /// URL of a database of this server.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&port=5432&user=smo&sslmode=disable", self.socket.display())
    }

    /// A new database with all migrations applied.
    pub async fn create(&self, database: &str) {
        self.admin(format!("CREATE DATABASE {database} TEMPLATE {TEMPLATE}")).await.unwrap();
    }

    /// A new database without any table.
    pub async fn create_empty(&self, database: &str) {
        self.admin(format!("CREATE DATABASE {database}")).await.unwrap();
    }

    /// Removes a database, and whoever is still connected to it.
    pub async fn remove(&self, database: &str) {
        self.admin(format!("DROP DATABASE {database} WITH (FORCE)")).await.unwrap();
    }

    /// Cuts every connection to a database but the one that says so.
    pub async fn disconnect_all(&self, database: &str) {
        let sql =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'");
        self.admin(sql).await.unwrap();
    }

    /// Whether new connections to a database are taken.
    pub async fn allow_connections(&self, database: &str, allowed: bool) {
        self.admin(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS {allowed}")).await.unwrap();
    }

    async fn admin(&self, sql: String) -> sqlx::Result<()> {
        let mut connection = PgConnection::connect_with(&self.options()).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        connection.close().await
    }

    fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket)
            .port(5432)
            .username("smo")
            .database("postgres")
            .ssl_mode(sqlx::postgres::PgSslMode::Disable)
    }

    /// Waits until the server answers; false when it has given up.
    async fn answers(&mut self) -> bool {
        eventually("PostgreSQL answers or has given up", START_TIMEOUT, async || {
            match PgConnection::connect_with(&self.options()).await {
                Ok(_) => Ok(true),
                Err(_) if !matches!(self.watchdog.try_wait(), Ok(None)) => Ok(false),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    /// Panics unless the server behind the socket keeps its data in our folder.
    async fn prove_ours(&self) {
        let mut connection = PgConnection::connect_with(&self.options()).await.unwrap();
        let data: String =
            sqlx::query_scalar("SHOW data_directory").fetch_one(&mut connection).await.unwrap();
        assert_eq!(
            Path::new(&data),
            self.socket.join("data"),
            "the server that answers is not the test's own"
        );
    }
}

async fn start() -> Result<Server, String> {
    let programs = programs().ok_or(NOT_INSTALLED)?;
    let base = scratch::folder().join("pg");
    std::fs::create_dir(&base).map_err(|error| error.to_string())?;
    let user = User::unprivileged();
    if let Some(user) = &user {
        user.own(&base);
    }
    let watchdog = scratch::watchdog(RUN, user.as_ref(), &[programs.as_os_str(), base.as_os_str()]);
    let mut server = Server { socket: base, watchdog };
    if !tokio::time::timeout(START_TIMEOUT, server.answers()).await.unwrap_or(false) {
        drop(server.watchdog.stdin.take());
        let _ = server.watchdog.wait();
        let log = std::fs::read_to_string(server.socket.join("log")).unwrap_or_default();
        return Err(format!("the test's own PostgreSQL did not start:\n{log}"));
    }
    server.prove_ours().await;
    make_template(&server).await?;
    Ok(server)
}

/// A database with all migrations applied, to copy from. It sorts like English, not like bytes.
async fn make_template(server: &Server) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| format!("the template database could not be made: {error:?}");
    let create = format!(
        "CREATE DATABASE {TEMPLATE} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
    );
    server.admin(create).await.map_err(|error| text(&error))?;
    let store = Store::connect(&server.url(TEMPLATE)).await.map_err(|error| text(&error))?;
    store.migrate().await.map_err(|error| text(&error))?;
    store.close().await;
    Ok(())
}

/// The folder with `initdb` and `postgres`: on the path, or the newest that Debian's packages brought.
fn programs() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(folder) = std::env::split_paths(&path).find(complete) {
        return Some(folder);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let version =
        |folder: &PathBuf| folder.parent()?.file_name().and_then(OsStr::to_str)?.parse::<u32>().ok();
    versions.map(|entry| entry.path().join("bin")).filter(complete).max_by_key(version)
}
