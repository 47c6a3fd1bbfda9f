//! Where the services of a graph go: builds the problem, and has the planner decide it.

mod policy;
mod problem;
mod reschedule;

use chrono::{DateTime, Utc};

pub use policy::PlacementOptions;
use policy::{Occasion, resolve};
pub use reschedule::{Move, Proposal, Rescheduling};

use super::App;
use super::planner::{Caller, Decided};
use crate::error::Result;
use crate::hdag::Descriptor;
use crate::store::SnapshotEpochs;

impl App {
    /// Decides where the services of a new graph go.
    ///
    /// # Errors
    /// The known state of the clusters is too old, the strategy does not exist, or nothing fits.
    pub(super) async fn decide_placement(
        &self,
        project: &str,
        descriptor: &Descriptor,
        at: DateTime<Utc>,
    ) -> Result<(Decided, SnapshotEpochs)> {
        let snapshot = self.parts.ledger.snapshot_for(&descriptor.id, at).await?;
        let settings = &self.parts.settings.placement;
        let policy = resolve(settings, project, descriptor, Occasion::New, &PlacementOptions::default())?;
        let problem = problem::problem(descriptor, &snapshot, policy);
        let mut decided = self.parts.planner.place(problem, Caller::Request, at).await?;
        decided.plan()?;
        decided.record.applied_at = Some(at);
        Ok((decided, snapshot.capacity.epochs()))
    }
}
