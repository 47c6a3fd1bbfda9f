//! `smo`: meta-orchestrator for applications spread over many Kubernetes clusters.
//!
//! The map, from top to bottom; a module imports from floors below its own only, which a test enforces
//! against the table in `docs/architecture.md`:
//!
//! * [`cli`] reads the command line, [`server`] puts the parts together and runs them.
//! * [`api`] speaks HTTP and calls nothing but [`app`], the use cases.
//! * [`reconcile`] makes the desired state in the database true outside.
//! * [`store`] is the only place with SQL, [`clients`] the only one that speaks to other systems;
//!   [`simulation`] stands in for them.
//! * [`telemetry`], [`config`] and [`faults`] serve all of them.
//! * [`optimizer`] (the decisions), [`model`] (the domain) and [`hdag`] (the language) are pure.

pub mod api;
pub mod app;
pub mod cli;
pub mod clients;
pub mod config;
pub mod error;
pub mod faults;
pub mod hdag;
pub mod model;
pub mod optimizer;
pub mod reconcile;
pub mod server;
pub mod simulation;
pub mod store;
pub mod telemetry;
