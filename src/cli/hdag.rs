//! `smo hdag`: commands about descriptors, which need no server.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{CliError, print};
use crate::config::{self, Sources};
use crate::hdag::{self, Format, ParseError};

/// A command about descriptors.
#[derive(Debug, Subcommand)]
pub(super) enum HdagCommand {
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

/// Carries out the command.
pub(super) fn run(command: HdagCommand) -> Result<(), CliError> {
    match command {
        HdagCommand::Schema => {
            print(hdag::SCHEMA);
            Ok(())
        }
        HdagCommand::Validate { file, config } => validate(&file, config),
    }
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
