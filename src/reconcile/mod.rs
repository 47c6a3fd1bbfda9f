//! Effects: what makes the desired state in the database true outside.
//!
//! * [`Supervisor`] owns one task per graph. A graph's work is serial; many graphs run in parallel.
//! * [`Reconciler`] is the work of one task: read desired and observed, compute the actions ([`diff`], pure), do
//!   them, record what was seen. It takes nothing but the graph's name and may be cut off at any step.
//! * [`loops`] bring news: clusters, workloads, firing alerts. They wake graphs; the only intent they record is
//!   that the event of a conditional service has happened.
//!
//! Nothing here knows of HTTP, and nothing here decides a placement.

mod cluster_sync;
pub mod diff;
pub mod loops;
pub mod readiness;
pub mod replicas;
pub mod rules;
pub mod trigger;

mod execute;
mod graph;
mod record;
mod supervisor;

pub use cluster_sync::ClusterSync;
pub use graph::{Outcome, Reconciler};
pub use supervisor::{Progress, Supervisor};
