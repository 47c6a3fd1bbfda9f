//! Effects: what makes the desired state in the database true outside.
//!
//! * [`Queue`] is the one work queue: keys of records, bounded workers, one worker per key at a time.
//! * [`Reconciler`] is the work on a key. For a graph: read desired and observed, compute what must change (`resources/`,
//!   pure), carry it out, record what was seen. It takes nothing but the graph's name and may be cut off at any step.
//! * [`loops`] bring news: clusters, workloads, firing alerts. They wake graphs and never act themselves.
//!
//! Nothing here knows of HTTP, and nothing here decides a placement.

mod cluster_sync;
pub mod loops;

mod delay;
mod graph;
mod leftovers;
mod memory;
mod observed;
mod progress;
mod queue;
mod readiness;
mod record;
mod resources;
mod summary;

pub use cluster_sync::ClusterSync;
pub use graph::Reconciler;
pub use memory::Memory;
pub use progress::Progress;
pub use queue::{Key, Kind, Queue, WakeOnDrop, WorkOutcome, Worked, WorkerSlot};
