//! A running `smo` process and its HTTP interface.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;
use tokio::process::Child;

use crate::bed::{Bed, command, variable, variant};
use crate::wait::eventually;

/// How to start a server.
pub struct Options {
    /// Where to listen; a free port when `None`.
    pub port: Option<u16>,
    /// Further environment variables.
    pub environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: None, environment: vec![("SMO_WAIT".into(), "60".into())] }
    }
}

/// A place to keep data: a folder, and a database of its own.
pub struct Data {
    pub folder: TempDir,
    pub database_url: String,
}

impl Data {
    /// A new one of the variant's engine.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let database_url = match variant("E2E_DATABASE", "sqlite").as_str() {
            "sqlite" => format!("sqlite://{}/smo.db", folder.path().display()),
            "postgres" => new_postgres_database(folder.path()).await,
            other => panic!("E2E_DATABASE is {other:?}, not sqlite or postgres"),
        };
        Self { folder, database_url }
    }

    /// Writes a configuration file; gives the variable that names it.
    pub fn config(&self, yaml: &str) -> (String, String) {
        let path = self.folder.path().join("smo.yaml");
        std::fs::write(&path, yaml).expect("configuration file");
        ("SMO_CONFIG".to_owned(), path.display().to_string())
    }
}

async fn new_postgres_database(folder: &Path) -> String {
    let url = variable("DATABASE_URL");
    let unique = folder.file_name().and_then(|name| name.to_str()).expect("folder has a name");
    let name = format!("e2e_{}", unique.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
    let mut connection = PgConnection::connect(&url).await.expect("PostgreSQL of the test bed");
    let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    connection.execute(sql).await.expect("database is created");
    let (server, _) = url.rsplit_once('/').expect("DATABASE_URL ends with a database");
    format!("{server}/{name}")
}

/// A running server; killed when dropped.
pub struct Server {
    process: Child,
    pub url: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts the binary and waits until it answers.
    pub async fn start(bed: &Bed, data: &Data, options: &Options) -> Self {
        let server = Self::spawn(bed, data, options);
        eventually("smo answers", Duration::from_secs(20), || async {
            match server.http.get(format!("{}/healthz", server.url)).send().await {
                Ok(answer) if answer.status() == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        server
    }

    /// Starts the binary.
    pub fn spawn(bed: &Bed, data: &Data, options: &Options) -> Self {
        let port = options.port.unwrap_or_else(free_port);
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(data.folder.path().join("smo.log"));
        let process = command(env!("CARGO_BIN_EXE_smo"))
            .env("SMO_MODE", "real")
            .env("SMO_LISTEN", format!("127.0.0.1:{port}"))
            .env("SMO_DATA_DIR", data.folder.path())
            .env("DATABASE_URL", &data.database_url)
            .env("HELM_BIN", bed.helm())
            .env("SMO_LOG", "info,smo=debug")
            .envs(options.environment.iter().cloned())
            .stdin(Stdio::null())
            .stderr(log.expect("log file"))
            .kill_on_drop(true)
            .spawn()
            .expect("smo starts");
        let http = reqwest::Client::builder().timeout(Duration::from_secs(90)).build().expect("HTTP client");
        Self { process, url: format!("http://127.0.0.1:{port}"), http }
    }

    /// SIGKILL, and waits until it is dead.
    pub async fn kill(mut self) {
        self.process.kill().await.expect("smo is killed");
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub async fn terminate(mut self) {
        let pid = self.process.id().expect("smo runs").to_string();
        assert!(command("kill").arg(&pid).status().await.expect("kill runs").success());
        let status = tokio::time::timeout(Duration::from_secs(40), self.process.wait()).await;
        assert!(status.expect("smo ends after SIGTERM").expect("smo is waited for").success());
    }

    /// Waits until the process has ended by itself; whether it had within the time.
    pub async fn died(&mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.process.wait()).await.is_ok()
    }

    /// GET; the status and the JSON body.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(format!("{}{path}", self.url))).await
    }

    /// POST with a body.
    pub async fn post(&self, path: &str, content_type: &str, body: String) -> (u16, Value) {
        answer(self.http.post(format!("{}{path}", self.url)).header("content-type", content_type).body(body))
            .await
    }

    /// POST without a body.
    pub async fn trigger(&self, path: &str) -> (u16, Value) {
        answer(self.http.post(format!("{}{path}", self.url))).await
    }

    /// POST that may fail because the server dies.
    pub async fn try_post(&self, path: &str, content_type: &str, body: String) {
        let request =
            self.http.post(format!("{}{path}", self.url)).header("content-type", content_type).body(body);
        drop(request.send().await);
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> (u16, Value) {
        answer(self.http.delete(format!("{}{path}", self.url))).await
    }

    /// Deletes a graph and waits until it is gone.
    pub async fn delete_graph(&self, name: &str) {
        let (status, body) = self.delete(&format!("/graphs/{name}")).await;
        assert!(matches!(status, 200 | 202), "delete of {name}: {status} {body}");
        self.until(name, "is gone", |status, _| status == 404).await;
    }

    /// Waits until a graph is ready.
    pub async fn until_ready(&self, name: &str) -> Value {
        self.until(name, "is ready", |_, graph| graph["ready"] == true).await
    }

    /// Waits until the answer for a graph satisfies a condition.
    pub async fn until(&self, name: &str, what: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        eventually(&format!("graph {name} {what}"), Duration::from_secs(90), || async {
            let (status, graph) = self.get(&format!("/graphs/{name}")).await;
            if wanted(status, &graph) { Ok(graph) } else { Err(format!("{status} {graph:#}")) }
        })
        .await
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.expect("smo answers");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A service in the answer for a graph.
pub fn service<'a>(graph: &'a Value, name: &str) -> &'a Value {
    let services = graph["services"].as_array().expect("services");
    services
        .iter()
        .find(|service| service["name"] == name)
        .unwrap_or_else(|| panic!("no service {name} in {graph:#}"))
}
