//! `smo graph`: commands that ask a running server over HTTP. Its address is in `SMO_URL`.

use std::time::Duration;

use clap::Subcommand;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use thiserror::Error;

use super::{CliError, print};

/// How long the server may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A command about a graph of a running server.
#[derive(Debug, Subcommand)]
pub(super) enum GraphCommand {
    /// Explain why the services of a graph are where they are.
    Explain {
        /// Name of the graph.
        name: String,
        /// Id of a decision; without it the one that placed the graph.
        #[arg(long, value_name = "ID")]
        decision: Option<String>,
        /// Address of the server.
        #[arg(long, value_name = "URL", env = "SMO_URL", default_value = "http://127.0.0.1:8000")]
        url: String,
    },
}

/// Why a command got nothing to show from a server.
#[derive(Debug, Error)]
pub(super) enum ClientCommandError {
    /// It cannot be reached, or broke off.
    #[error("the server at {url} does not answer; set SMO_URL to its address")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// It refused.
    #[error("the server at {url} answered {status}: {detail}")]
    Refused { url: String, status: u16, detail: String },
    /// There is nothing to show.
    #[error("graph {0:?} was placed by its charts: there is no decision to explain")]
    NoDecision(String),
}

type Result<T> = std::result::Result<T, ClientCommandError>;

/// Carries out the command.
pub(super) async fn run(command: GraphCommand) -> std::result::Result<(), CliError> {
    match command {
        GraphCommand::Explain { name, decision, url } => {
            print(&Server::new(&url).explain(&name, decision.as_deref()).await?);
        }
    }
    Ok(())
}

/// A running server.
struct Server {
    url: String,
    http: reqwest::Client,
}

impl Server {
    /// The server at `url`.
    fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), http: reqwest::Client::new() }
    }

    /// The text that explains a decision about a graph: the one named, or the one that placed it.
    async fn explain(&self, graph: &str, decision: Option<&str>) -> Result<String> {
        let graph_path = format!("/graphs/{}", utf8_percent_encode(graph, NON_ALPHANUMERIC));
        let id = match decision {
            Some(id) => utf8_percent_encode(id, NON_ALPHANUMERIC).to_string(),
            None => self.current_decision(graph, &graph_path).await?,
        };
        self.get(&format!("{graph_path}/decisions/{id}?format=text")).await
    }

    async fn current_decision(&self, graph: &str, path: &str) -> Result<String> {
        let answer = self.get(path).await?;
        let document: Value = serde_json::from_str(&answer).unwrap_or_default();
        let id = document["decision_id"].as_str().map(str::to_owned);
        id.ok_or_else(|| ClientCommandError::NoDecision(graph.to_owned()))
    }

    async fn get(&self, path: &str) -> Result<String> {
        let unreachable = |source| ClientCommandError::Unreachable { url: self.url.clone(), source };
        let request = self.http.get(format!("{}{path}", self.url)).timeout(DEADLINE);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let text = answer.text().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(text);
        }
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(&text).to_owned();
        Err(ClientCommandError::Refused { url: self.url.clone(), status: status.as_u16(), detail })
    }
}
