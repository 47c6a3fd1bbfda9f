//! `smo`: meta-orchestrator for applications spread over many Kubernetes clusters.

pub mod hdag;
pub mod optimizer;
