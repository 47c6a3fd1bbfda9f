//! Placement: the choice of a cluster for each service.
//!
//! A decision goes through
//!
//! * [`compile()`]: names and units to a [`Model`] in ordinals and integers,
//! * a strategy ([`decide()`]): `first-fit`, `min-moves` ([`exact`]), `cost` and `green` ([`search`],
//!   [`bound`]),
//! * `explain`: the plan with its objective by terms, its bound, and the alternatives; or `conflict`: why
//!   there is none,
//! * [`check()`], which shares no code with any of them.

pub mod bound;
mod changes;
mod check;
mod compile;
mod conflict;
mod cost;
mod costs;
mod decide;
pub mod exact;
mod explain;
mod first_fit;
pub mod model;
mod objective;
mod partial;
mod plan;
mod problem;
mod proximity;
mod report;
pub mod search;
mod strategy;
mod violation;

#[cfg(test)]
mod tests;

pub use crate::hdag::{SolveLimits, Weights};
pub use changes::changes;
pub use check::{broken_constraints, check};
pub use compile::{Compiled, Undecidable, Unknown, compile};
pub use decide::{adopt, decide, decide_within};
pub use model::{Edge, Matrix, Model, Overload, PairRule, RESOURCES};
pub use objective::Objectives;
pub use plan::{
    Certificate, ClusterVerdict, Infeasibility, Objective, Outcome, Plan, ServiceExplanation, Term, TimedOut,
    Violation, Waived,
};
pub use problem::{
    AttributeTest, ClusterState, LatencyBound, Link, PlacementRequest, Preference, Problem, ReplicaBounds,
    Requirement, ServiceDemand,
};
pub use report::report;
pub use strategy::{BuiltIn, Strategy};
