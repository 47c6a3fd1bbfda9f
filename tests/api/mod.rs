//! The HTTP interface over the simulated continuum: what clients of the original rely on, and what is
//! refused.

#![deny(dead_code)]

mod alerts;
mod any_chart;
mod capacity;
mod cluster_sync;
mod external;
mod graphs;
mod intents;
mod interface;
mod limits;
mod placement;
mod process;
mod reconcile;
mod recovery;
mod replay;
mod scaling;
mod scaling_bounds;
mod scaling_reconcile;
