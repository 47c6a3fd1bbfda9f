//! Flags that are settings, for the commands that need settings.

use std::path::PathBuf;

use clap::Args;

use super::CliError;
use crate::config::{self, ConfigErrors, Flag, Loaded, Settings, Sources};
use crate::telemetry;

/// Flags that override variables and file.
#[derive(Debug, Default, Args)]
pub(super) struct SettingsArgs {
    /// Configuration file (`SMO_CONFIG`).
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Address and port to listen on (`SMO_LISTEN`).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<String>,
    /// Folder for what is kept without PostgreSQL (`SMO_DATA_DIR`).
    #[arg(long, value_name = "FOLDER")]
    pub(super) data_dir: Option<String>,
    /// Database, postgres://… or sqlite://… (`DATABASE_URL`).
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Whether outside systems are real or simulated (`SMO_MODE`).
    #[arg(long, value_name = "real|simulated")]
    mode: Option<String>,
}

impl SettingsArgs {
    /// Reads all settings.
    pub(super) fn load(self) -> Result<Loaded, ConfigErrors> {
        let flag = |name, key, value: Option<String>| value.map(|value| Flag { name, key, value });
        let flags = [
            flag("--listen", "listen", self.listen),
            flag("--data-dir", "data_dir", self.data_dir),
            flag("--database-url", "database_url", self.database_url),
            flag("--mode", "mode", self.mode),
        ];
        config::load(Sources::of_process(self.config, flags.into_iter().flatten().collect())?)
    }

    /// Reads all settings, sets up the log, and logs the warnings.
    pub(super) fn start(self) -> Result<Settings, CliError> {
        let Loaded { settings, warnings } = self.load()?;
        telemetry::init(&settings.log)?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        Ok(settings)
    }
}
