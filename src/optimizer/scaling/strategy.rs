//! The built-in scaling strategies.

use crate::optimizer::{self, BuiltInStrategy};

/// A scaling strategy that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// The cheapest numbers of replicas within all constraints: [`super::exact()`].
    Exact,
    /// The classic rule of two marks: [`super::threshold()`].
    Threshold,
    /// As [`super::exact()`], but fixed marks of the rate say how many replicas are needed: [`super::Steps`].
    Steps,
}

/// A way to decide how many replicas services have.
pub type Strategy = optimizer::Strategy<BuiltIn>;

impl BuiltInStrategy for BuiltIn {
    const ALL: &'static [Self] = &[Self::Exact, Self::Threshold, Self::Steps];

    fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Threshold => "threshold",
            Self::Steps => "steps",
        }
    }
}
