//! Karmada through its API server: member clusters, workloads and where they run, and propagation policies.
//!
//! Only the few relevant fields of Karmada's objects are read, so that neither a newer Karmada nor an unusual
//! object stops anything: a binding that cannot be read is skipped, and such a cluster counts as unavailable,
//! each with a warning. Workloads, bindings and policies are watched, and only small extracts of them are kept;
//! clusters are listed, and their watch tells when to list them again.

mod index;
mod inventory;
mod kinds;
pub(super) mod manifest;
mod nodes;
mod pod;
mod propagation;
mod workloads;

pub use inventory::KarmadaInventory;
pub use pod::request as pod_request;
pub use propagation::KarmadaPropagation;
pub use workloads::KarmadaWorkloads;

use kube::Client;
use serde::Deserialize;

use super::{ClientError, ClientErrorKind, Result, kubernetes};
use crate::config::KarmadaSettings;

/// A client for Karmada. Does not speak to it, so that it may be down.
///
/// # Errors
/// `Invalid` when no kubeconfig is set, or it is missing or unusable.
pub async fn connect(settings: &KarmadaSettings) -> Result<Client> {
    let kubeconfig = settings.kubeconfig.as_ref().ok_or_else(|| {
        ClientError::new("karmada", ClientErrorKind::Invalid, "no kubeconfig is set; set KARMADA_KUBECONFIG")
    })?;
    kubernetes::connect("karmada", kubeconfig).await
}

/// The part of a Kubernetes condition that is read.
#[derive(Debug, Clone, Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Condition {
    fn find<'a>(conditions: &'a [Self], kind: &str) -> Option<&'a Self> {
        conditions.iter().find(|condition| condition.kind == kind)
    }

    fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// Reason and message on one line.
    fn why(&self) -> String {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", "") => format!("{} is {}", self.kind, self.status),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}
