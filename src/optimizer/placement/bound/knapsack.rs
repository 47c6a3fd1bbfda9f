//! 0-1 knapsack and covering by dynamic programming, over any ordered number type.
//!
//! The ascent runs them with floats and the final evaluation with integers. Float knapsacks are first reduced
//! to their core by reduced costs of the LP relaxation (E. Balas, E. Zemel, *An algorithm for large zero-one
//! knapsack problems*, Operations Research 28(5), 1980); integers skip that, because a comparison of floats
//! proves nothing.

use std::ops::{Add, Sub};

/// A number that costs are made of: floats in the search for multipliers, integers in proofs.
pub(super) trait Number:
    Copy + PartialOrd + Default + Add<Output = Self> + Sub<Output = Self>
{
    /// More than any cost; with a cost added, still a number.
    const UNREACHABLE: Self;

    /// A nano-cost as this number.
    fn from_cost(cost: i64) -> Self;

    /// The part of a non-negative value that belongs to `amount` of `whole`, rounded down.
    fn portion(self, amount: i64, whole: i64) -> Self;

    /// Takes candidates out that some best set within `cells` surely has, into `chosen`, or surely lacks.
    /// Returns the cost of the chosen ones and the cells left.
    fn reduce(
        _candidates: &mut Vec<Candidate<Self>>,
        cells: usize,
        _chosen: &mut Vec<usize>,
    ) -> (Self, usize) {
        (Self::default(), cells)
    }
}

impl Number for f32 {
    const UNREACHABLE: Self = f32::INFINITY;

    fn from_cost(cost: i64) -> Self {
        cost as f32
    }

    fn portion(self, amount: i64, whole: i64) -> Self {
        self * (amount as f32 / whole as f32)
    }

    fn reduce(candidates: &mut Vec<Candidate<f32>>, cells: usize, chosen: &mut Vec<usize>) -> (f32, usize) {
        if candidates.len() < WORTH_REDUCING {
            return (0.0, cells);
        }
        candidates.sort_unstable_by(|a, b| a.per_cell().total_cmp(&b.per_cell()).then(a.item.cmp(&b.item)));
        let Some(Relaxation { rate, least, greedy }) = Relaxation::new(candidates, cells) else {
            chosen.extend(candidates.iter().map(|candidate| candidate.item));
            let cost = candidates.iter().map(|candidate| candidate.cost).sum();
            candidates.clear();
            return (cost, cells);
        };
        let (mut cost, mut left) = (0.0, cells);
        // Ties, which rounding blurs, stay in the core.
        let margin = greedy - least + TIE * greedy.abs();
        candidates.retain(|candidate| {
            let reduced = candidate.cost - rate * candidate.weight as f32;
            let decided = reduced.abs() > margin;
            if decided && reduced < 0.0 {
                chosen.push(candidate.item);
                cost += candidate.cost;
                left = left.saturating_sub(candidate.weight);
            }
            !decided
        });
        (cost, left)
    }
}

impl Number for i64 {
    const UNREACHABLE: Self = i64::MAX / 2;

    fn from_cost(cost: i64) -> Self {
        cost
    }

    fn portion(self, amount: i64, whole: i64) -> Self {
        let part = i128::from(self) * i128::from(amount) / i128::from(whole);
        i64::try_from(part).unwrap_or(i64::MAX / 8)
    }
}

/// Number of candidates from which on sorting them is cheaper than a table of them.
const WORTH_REDUCING: usize = 48;
/// Relative difference of float costs below which they count as equal.
const TIE: f32 = 1e-5;

/// One candidate of a knapsack; only a negative cost makes it worth packing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<T> {
    /// Which item it is.
    pub(super) item: usize,
    /// Cells of capacity it takes.
    pub(super) weight: usize,
    /// Cost of packing it.
    pub(super) cost: T,
}

impl Candidate<f32> {
    fn per_cell(&self) -> f32 {
        self.cost / self.weight as f32
    }
}

/// Bounds of a knapsack by its LP relaxation.
struct Relaxation {
    /// Cost of a cell at the margin.
    rate: f32,
    /// Optimum of the relaxation.
    least: f32,
    /// Cost of the greedy set.
    greedy: f32,
}

impl Relaxation {
    /// Of candidates in the order of cost per cell; `None` when all fit.
    fn new(candidates: &[Candidate<f32>], cells: usize) -> Option<Self> {
        let (mut left, mut greedy) = (cells, 0.0);
        let mut margin = None;
        for candidate in candidates {
            if candidate.weight <= left {
                left -= candidate.weight;
                greedy += candidate.cost;
            } else if margin.is_none() {
                let rate = candidate.per_cell();
                margin = Some((rate, greedy + rate * left as f32));
            }
        }
        margin.map(|(rate, least)| Self { rate, least, greedy })
    }
}

/// Cheapest set within `cells`, plus `penalty(load)`, which must not fall with the load. Adds it to `chosen`.
///
/// `table` is scratch memory: row `k`, column `c` is the best of the first `k` candidates within `c` cells.
pub(super) fn knapsack<T: Number>(
    candidates: &[Candidate<T>],
    cells: usize,
    penalty: Option<&dyn Fn(usize) -> T>,
    table: &mut Vec<T>,
    chosen: &mut Vec<usize>,
) -> T {
    let width = cells + 1;
    let size = width * (candidates.len() + 1);
    if table.len() < size {
        table.resize(size, T::default());
    }
    table[..width].fill(T::default());
    for (row, candidate) in candidates.iter().enumerate() {
        let (before, after) = table.split_at_mut((row + 1) * width);
        add_candidate(&before[row * width..], &mut after[..width], candidate);
    }
    let last = &table[candidates.len() * width..size];
    let mut load = cells;
    let mut best = last[cells];
    if let Some(penalty) = penalty {
        (load, best) = (0, last[0] + penalty(0));
        for (cell, value) in last.iter().enumerate() {
            let value = *value + penalty(cell);
            if value < best {
                (load, best) = (cell, value);
            }
        }
    }
    for (row, candidate) in candidates.iter().enumerate().rev() {
        if table[(row + 1) * width + load] < table[row * width + load] {
            chosen.push(candidate.item);
            load -= candidate.weight;
        }
    }
    best
}

fn add_candidate<T: Number>(before: &[T], after: &mut [T], candidate: &Candidate<T>) {
    let weight = candidate.weight;
    if weight >= after.len() {
        after.copy_from_slice(before);
        return;
    }
    after[..weight].copy_from_slice(&before[..weight]);
    let without = &before[weight..];
    for ((cell, without), with) in after[weight..].iter_mut().zip(without).zip(before) {
        *cell = smaller(*without, *with + candidate.cost);
    }
}

/// Cheapest set whose weights reach `cells`; `None` when all together do not. Costs must not be negative.
/// Adds it to `chosen`; `table` is scratch memory.
pub(super) fn cover<T: Number>(
    candidates: &[Candidate<T>],
    cells: usize,
    table: &mut Vec<T>,
    chosen: &mut Vec<usize>,
) -> Option<T> {
    let width = cells + 1;
    table.clear();
    table.resize(width * (candidates.len() + 1), T::UNREACHABLE);
    table[0] = T::default();
    for (row, candidate) in candidates.iter().enumerate() {
        let (before, after) = table.split_at_mut((row + 1) * width);
        let (before, after) = (&before[row * width..], &mut after[..width]);
        let weight = candidate.weight.min(width);
        for (cell, without) in after[..weight].iter_mut().zip(before) {
            *cell = smaller(*without, before[0] + candidate.cost);
        }
        for ((cell, without), with) in after[weight..].iter_mut().zip(&before[weight..]).zip(before) {
            *cell = smaller(*without, *with + candidate.cost);
        }
    }
    let best = table[candidates.len() * width + cells];
    let mut open = cells;
    for (row, candidate) in candidates.iter().enumerate().rev() {
        if table[(row + 1) * width + open] < table[row * width + open] {
            chosen.push(candidate.item);
            open = open.saturating_sub(candidate.weight);
        }
    }
    (best < T::UNREACHABLE).then_some(best)
}

fn smaller<T: Number>(a: T, b: T) -> T {
    if b < a { b } else { a }
}
