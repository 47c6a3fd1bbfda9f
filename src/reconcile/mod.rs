//! Effects: what makes the desired state in the database true outside.
//!
//! * [`Queue`] is the one work queue: keys of records, bounded workers, one worker per key at a time.
//! * [`Reconciler`] is the work on one graph: read desired and observed, compute the actions ([`diff`], pure), do
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

mod delay;
mod execute;
mod graph;
mod memory;
mod progress;
mod queue;
mod record;

pub use cluster_sync::ClusterSync;
pub use graph::Reconciler;
pub use memory::Memory;
pub use progress::Progress;
pub use queue::{Key, Kind, Outcome, Queue, WakeOnDrop, Worked, WorkerSlot};
