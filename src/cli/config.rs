//! `smo config`: the settings in effect, and the documents that are printed from the table of settings.

use clap::Args;

use super::settings::SettingsArgs;
use super::{CliError, print};
use crate::config::{self, Loaded};

/// Arguments of `smo config`.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Print the reference of all settings instead, in Markdown (docs/configuration.md).
    #[arg(long, conflicts_with = "example")]
    reference: bool,
    /// Print a configuration file with every key and its default instead (config/smo.example.yaml).
    #[arg(long)]
    example: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Carries out the command.
pub(super) fn run(args: ConfigArgs) -> Result<(), CliError> {
    if args.reference {
        print(&config::reference());
    } else if args.example {
        print(&config::example());
    } else {
        let Loaded { settings, warnings } = args.settings.load()?;
        for warning in warnings {
            eprintln!("smo: {warning}");
        }
        print(&settings.to_yaml());
    }
    Ok(())
}
