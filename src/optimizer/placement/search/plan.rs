//! Division of a budget: exploring chains first, then chains that refine the best results.

use std::time::{Duration, Instant};

use super::Budget;
use super::chain::{HOT, WARM};
use crate::optimizer::placement::Model;

/// Chains that run side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    /// How many; does not depend on the number of threads.
    pub(super) chains: usize,
    /// Proposals of each.
    pub(super) steps: u64,
    /// When all of them must be done, instead of `steps`.
    pub(super) end: Option<Instant>,
    /// Where they start, in temperatures of [`super::chain`].
    pub(super) heat: i64,
}

/// Percent of the budget that explores; the rest refines.
const EXPLORING: u64 = 80;
/// Useful length of a chain, in proposals per squared number of items; beyond that another chain gains more
/// than a longer one (measured with 50 and 200 items).
const STEPS_PER_SQUARE: u64 = 400;
/// Minimum and maximum number of exploring chains; always a power of two, to keep threads equally busy.
const MIN_CHAINS: u64 = 2;
const MAX_CHAINS: u64 = 16;
/// Maximum number of refining chains.
const REFINED: u64 = 4;
/// Approximate proposals per microsecond and thread; determines how many chains fit before a deadline.
const SPEED: u64 = 10;

/// Recommended proposals: about one second of CPU time for 50 × 10, two for 200 × 20, four for 1000 × 50 and
/// milliseconds for tiny models.
#[must_use]
pub fn iterations(items: usize, clusters: usize) -> u64 {
    let cells = (items as u64).saturating_mul(clusters as u64).max(1);
    cells.saturating_mul(40_000).min(18_000_000) + cells.saturating_mul(5_000).min(20_000_000)
}

/// The phases of a search that begins at `began`, which matters only with a deadline.
pub(super) fn phases(model: &Model, budget: &Budget, began: Option<Instant>) -> [Phase; 2] {
    let time = began
        .zip(budget.deadline)
        .map(|(began, deadline)| (began, deadline.saturating_duration_since(began)));
    let total = match time {
        Some((_, left)) => {
            let micros = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
            micros.saturating_mul(SPEED).saturating_mul(budget.threads.max(1) as u64)
        }
        None => budget.iterations,
    };
    let exploring = total / 100 * EXPLORING;
    let square = (model.items() as u64).saturating_pow(2).max(1);
    let wanted = exploring / square.saturating_mul(STEPS_PER_SQUARE);
    let chains = 1 << wanted.clamp(MIN_CHAINS, MAX_CHAINS).ilog2();
    [
        phase(chains, exploring, HOT, EXPLORING, time),
        phase(chains.min(REFINED), total - exploring, WARM, 100, time),
    ]
}

fn phase(chains: u64, steps: u64, heat: i64, percent: u64, time: Option<(Instant, Duration)>) -> Phase {
    let (count, percent) = (chains as usize, percent as u32);
    Phase {
        chains: count,
        steps: steps / chains,
        end: time.map(|(began, left)| began + left / 100 * percent),
        heat,
    }
}
