//! `smo`: meta-orchestrator for applications spread over many Kubernetes clusters.

pub mod clients;
pub mod config;
pub mod hdag;
pub mod optimizer;
pub mod simulation;
pub mod store;
