//! Reconciliation: brings other systems to the desired state in the database.
//!
//! * [`Queue`] is the one work queue: keys of records, bounded workers, one worker per key at a time.
//! * [`Reconciler`] is the work on a key. For a graph: read desired and observed state, compute the changes
//!   (`resources/`, pure), carry them out, record the observation. Its only input is the graph's name, and it
//!   may be interrupted at any step.
//! * [`loops`] follow clusters, workloads, releases, policies and rules. They wake graphs and never act on them. The
//!   loop that asks for firing alerts changes intent and is in `app/alerts.rs`.
//!
//! Nothing here knows of HTTP, and nothing here decides a placement.

mod charts;
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
mod rule_health;
mod summary;

pub use cluster_sync::ClusterSync;
pub use graph::Reconciler;
pub use memory::Memory;
pub use progress::Progress;
pub use queue::{Key, Kind, Queue, WakeOnDrop, WorkOutcome, Worked, WorkerSlot};
pub(crate) use resources::render_chart;
pub use rule_health::{RuleHealth, RulesState};
