//! The command line.
//!
//! Reads arguments and configuration, sets up the log, and hands over to the library. What it prints on standard
//! output is the result of a command; everything else goes to standard error. It decides about exit codes:
//! 0 done, 1 failed (or the descriptor is invalid), 2 wrong arguments or configuration.

mod client;
mod replay;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, ConfigErrors, Flag, Loaded, Sources};
use crate::hdag::{self, Format, ParseError};
use crate::{api, server, telemetry};

/// Meta-orchestrator for applications spread over many Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(name = "smo", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (also without a command).
    Serve(SettingsArgs),
    /// Bring the database to the current schema and end.
    Migrate(SettingsArgs),
    /// Print the effective settings as YAML, without passwords.
    Config(SettingsArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Ask a running server about a graph.
    #[command(subcommand)]
    Graph(GraphCommand),
    /// Decide a recorded decision again and compare: exit code 1 when the answer is another.
    Replay {
        /// JSON of a decision, as `GET /graphs/NAME/decisions/ID` gives it.
        file: PathBuf,
    },
    /// Work with descriptors.
    #[command(subcommand)]
    Hdag(HdagCommand),
}

#[derive(Debug, Subcommand)]
enum GraphCommand {
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

#[derive(Debug, Subcommand)]
enum HdagCommand {
    /// Print the JSON Schema of descriptors.
    Schema,
    /// Check a descriptor and show every fault with its place.
    Validate {
        /// YAML file, or JSON when its name ends in .json.
        file: PathBuf,
        /// Configuration file, for its intents, rules and limits (`SMO_CONFIG`).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

/// Flags that win over variables and file.
#[derive(Debug, Default, Args)]
struct SettingsArgs {
    /// Configuration file (`SMO_CONFIG`).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on (`SMO_LISTEN`).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder for what is kept without PostgreSQL (`SMO_DATA_DIR`).
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Database, postgres://… or sqlite://… (`DATABASE_URL`).
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Whether outside systems are real or simulated (`SMO_MODE`).
    #[arg(long, value_name = "real|simulated")]
    mode: Option<String>,
}

impl SettingsArgs {
    fn load(self) -> Result<Loaded, ConfigErrors> {
        let flag = |name, key, value: Option<String>| value.map(|value| Flag { name, key, value });
        let flags = [
            flag("--listen", "listen", self.listen),
            flag("--data-dir", "data_dir", self.data_dir),
            flag("--database-url", "database_url", self.database_url),
            flag("--mode", "mode", self.mode),
        ];
        config::load(Sources::of_process(self.config, flags.into_iter().flatten().collect())?)
    }
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The log cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The server or the database failed.
    #[error(transparent)]
    Server(#[from] crate::error::Error),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The descriptor is invalid; the text says what is wrong with it.
    #[error("{0}")]
    Descriptor(String),
    /// The server did not answer as wanted.
    #[error(transparent)]
    Client(#[from] client::ClientCommandError),
    /// A decision cannot be replayed.
    #[error("{}", path.display())]
    Replay {
        path: PathBuf,
        #[source]
        source: replay::ReplayError,
    },
    /// A decision made again is not the recorded one.
    #[error("the decision in {} is another one when it is made again", .0.display())]
    Differs(PathBuf),
    /// The document cannot be written.
    #[error("the OpenAPI document cannot be written")]
    Document(#[from] serde_json::Error),
}

/// Carries out what the arguments ask for, and says on standard error why it failed.
pub async fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        None => serve(cli.settings).await,
        Some(Command::Serve(args)) => serve(args).await,
        Some(Command::Migrate(args)) => migrate(args).await,
        Some(Command::Config(args)) => show_config(args),
        Some(Command::Openapi) => show_openapi(),
        Some(Command::Graph(GraphCommand::Explain { name, decision, url })) => {
            explain(&url, &name, decision.as_deref()).await
        }
        Some(Command::Replay { file }) => replay_file(&file),
        Some(Command::Hdag(HdagCommand::Schema)) => {
            print(hdag::SCHEMA);
            Ok(())
        }
        Some(Command::Hdag(HdagCommand::Validate { file, config })) => validate(&file, config),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    match &error {
        CliError::Descriptor(report) => eprint!("{report}"),
        other => eprintln!("smo: {}", telemetry::chain(other)),
    }
    ExitCode::from(if matches!(error, CliError::Config(_)) { 2 } else { 1 })
}

async fn serve(args: SettingsArgs) -> Result<(), CliError> {
    let settings = start(args)?;
    Box::pin(server::run(settings)).await?;
    Ok(())
}

async fn migrate(args: SettingsArgs) -> Result<(), CliError> {
    let settings = start(args)?;
    Box::pin(server::migrate(settings)).await?;
    Ok(())
}

/// Settings in effect, with the log set up and the operator warned.
fn start(args: SettingsArgs) -> Result<config::Settings, CliError> {
    let Loaded { settings, warnings } = args.load()?;
    telemetry::init(&settings.log)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(settings)
}

async fn explain(url: &str, graph: &str, decision: Option<&str>) -> Result<(), CliError> {
    print(&client::Server::new(url).explain(graph, decision).await?);
    Ok(())
}

fn replay_file(file: &Path) -> Result<(), CliError> {
    let text =
        std::fs::read_to_string(file).map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    let replayed =
        replay::replay(&text).map_err(|source| CliError::Replay { path: file.to_owned(), source })?;
    print(&replayed.text);
    match replayed.same {
        Some(true) => eprintln!("smo: the same as recorded"),
        Some(false) => return Err(CliError::Differs(file.to_owned())),
        None => eprintln!("smo: made by the clock or outside of smo, so it need not be the same again"),
    }
    Ok(())
}

fn show_config(args: SettingsArgs) -> Result<(), CliError> {
    let Loaded { settings, warnings } = args.load()?;
    for warning in warnings {
        eprintln!("smo: {warning}");
    }
    print(&settings.to_yaml());
    Ok(())
}

fn show_openapi() -> Result<(), CliError> {
    print(&serde_json::to_string_pretty(&api::openapi())?);
    print("\n");
    Ok(())
}

fn validate(file: &Path, config: Option<PathBuf>) -> Result<(), CliError> {
    let (mapping, limits) = config::language(&Sources::of_process(config, Vec::new())?)?;
    let bytes = std::fs::read(file).map_err(|source| CliError::Read { path: file.to_owned(), source })?;
    let name = file.display().to_string();
    let text = String::from_utf8(bytes)
        .map_err(|error| CliError::Descriptor(format!("{name}: not UTF-8 text: {error}\n")))?;
    let is_json = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let format = if is_json { Format::Json } else { Format::Yaml };
    let parsed = hdag::parse(&text, format, &mapping, &limits).map_err(|error| match error {
        ParseError::TooLarge(message) => CliError::Descriptor(format!("{name}: {message}\n")),
        ParseError::Invalid(findings) => CliError::Descriptor(hdag::pretty(&findings, &name, &text)),
    })?;
    eprint!("{}", hdag::pretty_warnings(&parsed.warnings, &name, &text));
    let services = parsed.descriptor.services.len();
    let plural = if services == 1 { "service" } else { "services" };
    print(&format!("{name}: graph {:?} with {services} {plural} is valid\n", parsed.descriptor.id));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the result of a command belongs on standard output")]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_the_server_runs() {
        let cli = Cli::try_parse_from(["smo", "--listen", "0.0.0.0:1"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.settings.listen.as_deref(), Some("0.0.0.0:1"));
        let cli = Cli::try_parse_from(["smo", "serve", "--data-dir", "d"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Serve(SettingsArgs { data_dir: Some(_), .. }))));
    }

    #[test]
    fn an_unknown_command_is_refused() {
        assert!(Cli::try_parse_from(["smo", "server"]).is_err());
    }

    #[test]
    fn a_failure_is_shown_with_its_causes() {
        let source = std::io::Error::other("disk on fire");
        let error = CliError::Read { path: PathBuf::from("a.yaml"), source };
        assert_eq!(telemetry::chain(&error), "cannot read a.yaml: disk on fire");
    }
}
