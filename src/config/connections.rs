//! How Karmada and Submariner are reached, and whether outside systems are real.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::value::{Parse, scalar};

/// Which outside systems are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// All are real; a missing setting stops the start.
    Real,
    /// A system without a setting is simulated.
    Simulated,
}

/// A kubeconfig file and the context in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigSettings {
    /// The file.
    pub path: PathBuf,
}

/// Connection to Karmada and how its clusters are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KarmadaSettings {
    /// Kubeconfig of Karmada's API server; `None` only when simulated.
    pub kubeconfig: Option<KubeconfigSettings>,
    /// Label of a Cluster that says it has GPUs (value other than `false`), besides `*.com/gpu` resources.
    pub gpu_label: String,
}

impl Default for KarmadaSettings {
    fn default() -> Self {
        Self { kubeconfig: None, gpu_label: "acceleration".to_owned() }
    }
}

impl Parse for Mode {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = scalar(value)?;
        match text.to_ascii_lowercase().as_str() {
            "real" => Ok(Self::Real),
            "simulated" => Ok(Self::Simulated),
            _ => Err(format!("{text:?} is neither real nor simulated")),
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::Real => json!("real"),
            Self::Simulated => json!("simulated"),
        }
    }
}

impl Parse for KubeconfigSettings {
    fn parse(value: &Value) -> Result<Self, String> {
        PathBuf::parse(value).map(|path| Self { path })
    }

    fn show(&self) -> Value {
        self.path.show()
    }
}
