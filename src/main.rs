//! The program `smo`: parses its arguments and calls the library.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    smo::cli::run(smo::cli::Cli::parse()).await
}
