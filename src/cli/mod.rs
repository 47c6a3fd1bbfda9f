//! The command line; each command that is more than a call of the library has a file of its name.
//!
//! Reads arguments and configuration, sets up the log, and hands over to the library. Standard output carries
//! the result of a command and nothing else; messages go to standard error. Exit codes: 0 done, 1 failed (or
//! the descriptor is invalid), 2 wrong arguments or configuration.

mod config;
mod graph;
mod hdag;
mod replay;
mod settings;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::config::ConfigArgs;
use self::graph::{ClientCommandError, GraphCommand};
use self::hdag::HdagCommand;
use self::replay::ReplayError;
use self::settings::SettingsArgs;
use crate::config::ConfigErrors;
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
    /// Bring the database to the current schema, then exit.
    Migrate(SettingsArgs),
    /// Print the effective settings as YAML, without passwords.
    Config(ConfigArgs),
    /// Print the OpenAPI document.
    Openapi,
    /// Print the reference of conditions and events.
    Conditions,
    /// Take over a Helm release that smo did not make, by its labels; Helm is not run.
    Adopt(AdoptArgs),
    /// Ask a running server about a graph.
    #[command(subcommand)]
    Graph(GraphCommand),
    /// Make a recorded decision again and compare: exit code 1 if the answer differs.
    Replay {
        /// JSON of a decision, as `GET /graphs/NAME/decisions/ID` gives it.
        file: PathBuf,
    },
    /// Work with descriptors.
    #[command(subcommand)]
    Hdag(HdagCommand),
}

/// Which release to take over, for which graph.
#[derive(Debug, Args)]
struct AdoptArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Namespace of the release.
    namespace: String,
    /// Name of the release, which is that of the service.
    release: String,
    /// The graph that it belongs to from now on; post it afterwards, and its releases become what it says.
    #[arg(long)]
    graph: String,
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
    /// The descriptor is invalid; the text lists its faults.
    #[error("{0}")]
    Descriptor(String),
    /// The server cannot be asked, or refused.
    #[error(transparent)]
    Client(#[from] ClientCommandError),
    /// A decision cannot be replayed.
    #[error("{}", path.display())]
    Replay {
        path: PathBuf,
        #[source]
        source: ReplayError,
    },
    /// A decision made again is not the recorded one.
    #[error("the decision in {} gives a different result when it is replayed", .0.display())]
    Differs(PathBuf),
    /// The document cannot be written.
    #[error("the OpenAPI document cannot be written")]
    Document(#[from] serde_json::Error),
}

/// Carries out the command of the arguments, and reports an error on standard error.
pub async fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        None => serve(cli.settings).await,
        Some(Command::Serve(args)) => serve(args).await,
        Some(Command::Migrate(args)) => migrate(args).await,
        Some(Command::Config(args)) => config::run(args),
        Some(Command::Openapi) => show_openapi(),
        Some(Command::Conditions) => {
            print(&crate::model::conditions_and_events());
            Ok(())
        }
        Some(Command::Adopt(args)) => adopt(args).await,
        Some(Command::Graph(command)) => graph::run(command).await,
        Some(Command::Replay { file }) => replay::run(&file),
        Some(Command::Hdag(command)) => hdag::run(command),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    match &error {
        CliError::Descriptor(report) => eprint!("{report}"),
        other => eprintln!("smo: {}", telemetry::chain(other)),
    }
    ExitCode::from(if matches!(error, CliError::Config(_)) { 2 } else { 1 })
}

async fn serve(args: SettingsArgs) -> Result<(), CliError> {
    let settings = args.start()?;
    Box::pin(server::run(settings)).await?;
    Ok(())
}

async fn adopt(args: AdoptArgs) -> Result<(), CliError> {
    let AdoptArgs { settings, namespace, release, graph } = args;
    Box::pin(server::adopt(settings.start()?, namespace, release, &graph)).await?;
    Ok(())
}

async fn migrate(args: SettingsArgs) -> Result<(), CliError> {
    let settings = args.start()?;
    Box::pin(server::migrate(settings)).await?;
    Ok(())
}

fn show_openapi() -> Result<(), CliError> {
    print(&serde_json::to_string_pretty(&api::openapi())?);
    print("\n");
    Ok(())
}

fn read(file: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(file).map_err(|source| CliError::Read { path: file.to_owned(), source })
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
