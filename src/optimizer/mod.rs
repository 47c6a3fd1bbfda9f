//! Decisions as pure functions: problem in, plan with explanation out.
//!
//! Knows nothing of HTTP, the store or clusters beyond what a [`Problem`] says, and reads no clock: equal
//! problems give equal answers. Every plan can be checked by [`check()`], which shares no code with strategies.

mod attributes;
mod check;
mod first_fit;
mod model;
mod text;

#[cfg(test)]
mod tests;

pub use attributes::ClusterAttributes;
pub use check::check;
pub use first_fit::first_fit;
pub use model::{
    ClusterState, ClusterVerdict, Infeasibility, Outcome, Plan, Problem, ServiceDemand, ServiceExplanation,
    Violation,
};
