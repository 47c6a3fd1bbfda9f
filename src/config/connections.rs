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

/// Names of the labels by which smo knows the objects that it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLabels {
    /// Says which installation made an object.
    pub installation: String,
    /// Says to which graph it belongs.
    pub graph: String,
    /// Holds the digest of what was applied.
    pub digest: String,
}

impl Default for ObjectLabels {
    fn default() -> Self {
        Self {
            installation: "smo-installation".to_owned(),
            graph: "smo-graph".to_owned(),
            digest: "smo-digest".to_owned(),
        }
    }
}

/// Submariner: the broker, which knows the clusters' networks, and the gateways, which measure round-trip
/// times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmarinerSettings {
    /// Kubeconfig of the broker; `None` when not configured.
    pub kubeconfig: Option<KubeconfigSettings>,
    /// Namespace of the broker's Cluster objects.
    pub broker_namespace: String,
    /// Namespace of the Gateway objects in each member.
    pub gateway_namespace: String,
}

impl Default for SubmarinerSettings {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            broker_namespace: "submariner-k8s-broker".to_owned(),
            gateway_namespace: "submariner-operator".to_owned(),
        }
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
