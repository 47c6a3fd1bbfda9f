//! Settings of the reconciler and of the loops that read the outside systems.

use std::time::Duration;

/// Intervals of the reconciler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// Graphs that are worked on at the same time. One that waits for Helm does not count.
    pub workers: usize,
    /// A graph in its desired state is looked at again after this time.
    pub resync: Duration,
    /// First delay after a transient failure; doubles up to `backoff_max`, with jitter.
    pub backoff_first: Duration,
    /// Longest delay after a transient failure.
    pub backoff_max: Duration,
    /// How often clusters are read besides watching them.
    pub cluster_sync: Duration,
    /// How old a reading of the clusters may be that a request for them is answered with.
    pub cluster_max_age: Duration,
    /// How often round-trip times between clusters are read from Submariner's gateways.
    pub latency_sync: Duration,
    /// How often Prometheus is asked which alerts fire.
    pub alert_poll: Duration,
    /// How long a shutdown waits for running operations.
    pub shutdown_grace: Duration,
}

impl Default for ReconcileSettings {
    fn default() -> Self {
        Self {
            workers: 32,
            resync: Duration::from_secs(5 * 60),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            cluster_sync: Duration::from_secs(10),
            cluster_max_age: Duration::from_secs(1),
            latency_sync: Duration::from_secs(60),
            alert_poll: Duration::from_secs(15),
            shutdown_grace: Duration::from_secs(30),
        }
    }
}
