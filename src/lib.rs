//! `smo`: meta-orchestrator for applications spread over many Kubernetes clusters.

pub mod clients;
pub mod config;
pub mod error;
pub mod events;
pub mod hdag;
pub mod optimizer;
pub mod reconcile;
pub mod service;
pub mod simulation;
pub mod store;
