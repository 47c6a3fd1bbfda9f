//! The built-in placement strategies.

use crate::optimizer::{self, BuiltInStrategy};

/// A placement strategy that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// Places services one after the other on the first cluster with enough free capacity.
    FirstFit,
    /// Moves as few services as possible.
    MinMoves,
    /// Minimises activation, price, carbon, moves, latency and imbalance.
    Cost,
    /// [`Self::Cost`] with carbon in the place of price.
    Green,
}

/// A way to decide where services run.
pub type Strategy = optimizer::Strategy<BuiltIn>;

impl BuiltInStrategy for BuiltIn {
    const ALL: &'static [Self] = &[Self::FirstFit, Self::MinMoves, Self::Cost, Self::Green];

    fn name(self) -> &'static str {
        match self {
            Self::FirstFit => "first-fit",
            Self::MinMoves => "min-moves",
            Self::Cost => "cost",
            Self::Green => "green",
        }
    }
}
