//! `smo`: meta-orchestrator for applications spread over many Kubernetes clusters.
//!
//! The map, from top to bottom; arrows between modules go down only:
//!
//! * [`cli`] reads the command line, [`server`] puts the parts together and runs them.
//! * [`api`] speaks HTTP and calls nothing but [`service`], the use cases.
//! * [`reconcile`] makes the desired state in the database true outside.
//! * [`store`] is the only place with SQL, [`clients`] the only one that speaks to other systems;
//!   [`simulation`] stands in for them.
//! * [`hdag`] (the language) and [`optimizer`] (the decisions) are pure.
//! * [`events`], [`error`], [`config`] and [`telemetry`] are used by all.

pub mod api;
pub mod cli;
pub mod clients;
pub mod config;
pub mod error;
pub mod events;
pub mod hdag;
pub mod optimizer;
pub mod reconcile;
pub mod server;
pub mod service;
pub mod simulation;
pub mod store;
pub mod telemetry;
