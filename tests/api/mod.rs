//! The HTTP interface over the simulated continuum: what clients of the original rely on, and what is refused.

#![deny(dead_code)]

mod alerts;
mod cluster_sync;
mod graphs;
mod interface;
mod placement;
mod recovery;
mod scaling;
mod scaling_reconcile;
