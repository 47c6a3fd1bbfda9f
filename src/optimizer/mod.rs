//! Decisions as pure functions: problem in, plan with proof and explanation out.
//!
//! Knows nothing of HTTP, the store or clusters beyond the contents of a problem, and reads no clock (unless
//! a problem asks for a deadline): equal problems give equal answers. [`placement`] decides where services
//! run,
//! [`scaling`] how many replicas they have; each has problem, strategies, explanation, report and an
//! independent checker of its own.

mod attributes;
mod external;
pub mod placement;
pub mod scaling;
mod solver;
mod stop;
mod strategy;
mod text;

pub use attributes::{ClusterAttributes, LARGEST_ATTRIBUTE};
pub use external::{
    DecisionContext, ExternalPlacementAnswer, ExternalPlacementQuestion, ExternalScalingAnswer,
    ExternalScalingQuestion, IntentHandlerAnswer, IntentHandlerQuestion, IntentRequirement, ScalingSample,
    ServiceContext, ServiceSample,
};
pub use stop::Stop;
pub use strategy::{BuiltInStrategy, Strategy};

/// Default of documents that were stored before GPUs could be uncounted.
pub(crate) const fn counted() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(crate) const fn is_counted(counted: &bool) -> bool {
    *counted
}
