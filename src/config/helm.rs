//! Settings of the Helm program.

use std::path::PathBuf;

/// The Helm program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelmSettings {
    /// Program name or path.
    pub bin: PathBuf,
    /// Use plain HTTP for the registry (`INSECURE_REGISTRY`).
    pub plain_http: bool,
    /// Helm operations that install or upgrade at the same time.
    pub parallel: usize,
    /// Helm operations that uninstall at the same time, besides those.
    pub parallel_removals: usize,
    /// Kinds of objects that a chart may bring although they would act on Karmada itself.
    pub allowed_kinds: Vec<String>,
}

impl Default for HelmSettings {
    fn default() -> Self {
        Self {
            bin: PathBuf::from("helm"),
            plain_http: false,
            parallel: 8,
            parallel_removals: 4,
            allowed_kinds: Vec::new(),
        }
    }
}
