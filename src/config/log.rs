//! Settings of the log.

/// Log format and filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// JSON lines instead of text.
    pub json: bool,
    /// Filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { json: false, filter: "info".to_owned() }
    }
}
