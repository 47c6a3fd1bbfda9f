//! Placement of a graph's services: builds the problem and has the planner solve it.

mod policy;
mod problem;
mod reschedule;
mod shadow;

use chrono::{DateTime, Utc};

use policy::Occasion;
pub use reschedule::{Move, Proposal, Rescheduling};

use super::App;
use super::planner::{Caller, Decided};
use crate::error::Result;
use crate::hdag::Descriptor;
use crate::model::ServiceRecord;
use crate::optimizer::DecisionContext;
use crate::optimizer::placement::PlacementRequest;

impl App {
    /// Decides where the services of a new graph go; `expected` are its services with what their charts bring.
    ///
    /// # Errors
    /// The known state of the clusters is too old, the strategy does not exist, or nothing fits.
    pub(super) async fn decide_placement(
        &self,
        project: &str,
        descriptor: &Descriptor,
        expected: &[ServiceRecord],
        at: DateTime<Utc>,
    ) -> Result<Decided> {
        let snapshot = self.parts.ledger.snapshot_for(&descriptor.id, at).await?;
        let context = DecisionContext::new(descriptor, project, at);
        let policy =
            self.policy_of(descriptor, &context, Occasion::New, &PlacementRequest::default()).await?;
        let problem = problem::problem(descriptor, &snapshot, expected, policy, false);
        let mut decided = self.parts.planner.place(problem, &context, Caller::Request).await?;
        decided.plan()?;
        decided.record.applied_at = Some(at);
        Ok(decided)
    }
}
