//! The embedded continuum: every port of [`crate::clients`] over one world in memory.
//!
//! It stands in for Karmada, Helm, Prometheus and Submariner when none is configured, in the demo and in the
//! tests. Time is tokio's clock, so that a test with a paused clock sees a Deployment become ready at once;
//! all randomness comes from one seed.

mod continuum;
mod ports;
mod state;
mod world;

#[cfg(test)]
mod tests;

pub use continuum::{ClusterSpec, Continuum, ContinuumError, MeasuredLatency};
pub use world::{Operation, Snapshot, UnknownCluster, UnknownRule, World};
