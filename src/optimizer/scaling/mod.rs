//! Scaling: the number of replicas of every service of a graph, as pure functions from a problem to a plan
//! with reasons.
//!
//! Services stay on their clusters. The caller that gathers a [`ScalingProblem`] measures the rates and
//! states how far replicas may change now; nothing here reads a clock. When the replicas needed for the
//! rates do not fit a cluster, the answer contains the number that each service needs, so that the graph can
//! be rescheduled with them. Every answer can be checked by [`check()`], which shares no code with the
//! strategies.

mod adopt;
mod check;
mod core_search;
mod demand;
mod exact;
mod instance;
mod outcome;
mod problem;
mod program;
mod ration;
mod reason;
mod report;
mod strategy;
mod threshold;

#[cfg(test)]
mod tests;

use super::Stop;
pub use crate::hdag::{StepDown, StepUp, Steps};
pub use adopt::adopt;
pub use check::check;
pub use exact::exact;
pub use outcome::{
    ScalingConflict, ScalingFault, ScalingInfeasibility, ScalingInvalid, ScalingOutcome, ScalingPlan,
    ServiceScaling,
};
pub use problem::{
    BoundCause, ChangeBound, Profile, ScaledService, ScalingCluster, ScalingProblem, ScalingWeights,
    TARGET_UTILISATION, Thresholds, validate,
};
pub use ration::ration;
pub use report::report;
pub use strategy::{BuiltIn, Strategy};
pub use threshold::threshold;

/// Decides a problem by a built-in strategy; ends when it has to, with the best that was found.
#[must_use]
pub fn decide(problem: &ScalingProblem, strategy: BuiltIn, stop: &Stop) -> ScalingOutcome {
    match strategy {
        // They differ in what a rate needs: see [`ScaledService::steps`].
        BuiltIn::Exact | BuiltIn::Steps => exact::exact_within(problem, strategy, stop),
        BuiltIn::Threshold => threshold(problem),
    }
}
