//! A separable convex integer program with few rows: `min Σ C_g(y_g)`, `Σ a_jg·y_g ≤ b_j`, `0 ≤ y_g ≤ m_g`
//! integers.
//!
//! Knows nothing of services. Each `C_g` is a sum of unit steps of rising slope, kept as runs of equal ones,
//! so that the size of a model does not depend on how large the numbers are. A Lagrangian relaxation of the
//! rows splits into the groups; its bound prunes an exact search ([`super::core_search`]). See Fisher, "The
//! Lagrangian Relaxation Method for Solving Integer Programming Problems", Management Science 27 (1981).

use super::core_search;
use crate::optimizer::Stop;

/// A run of unit steps of equal slope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// Cost of one step.
    pub slope: i128,
    /// Whose steps these are; the caller's own numbering.
    pub owner: usize,
    /// How many.
    pub length: i64,
}

/// A variable `y` in `0..=most`, the number of steps taken in the order of their slopes, cheapest first.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The amount that one step adds to each row.
    pub coefficients: Vec<i128>,
    segments: Vec<Segment>,
    /// Steps and cost up to the start of each segment, and of all.
    starts: Vec<(i64, i128)>,
}

impl Group {
    /// The slopes of an owner must rise from segment to segment; those of several owners are merged.
    pub fn new(coefficients: Vec<i128>, mut segments: Vec<Segment>) -> Self {
        segments.retain(|segment| segment.length > 0);
        segments.sort_unstable();
        let mut group = Self { coefficients, segments, starts: Vec::new() };
        group.count();
        group
    }

    fn count(&mut self) {
        self.starts = vec![(0, 0)];
        let (mut steps, mut cost) = (0, 0);
        for segment in &self.segments {
            steps += segment.length;
            cost += segment.slope * i128::from(segment.length);
            self.starts.push((steps, cost));
        }
    }

    /// The segments in the order in which steps are taken.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The maximum number of steps.
    pub fn most(&self) -> i64 {
        self.starts[self.segments.len()].0
    }

    /// Cost of this many steps, `0..=most`.
    pub fn cost(&self, steps: i64) -> i128 {
        let segment = self.starts.partition_point(|(start, _)| *start <= steps) - 1;
        let (start, cost) = self.starts[segment];
        let slope = self.segments.get(segment).map_or(0, |segment| segment.slope);
        cost + slope * i128::from(steps - start)
    }

    /// The smallest number of steps that minimises the cost with `price` added to every step.
    pub fn best(&self, price: i128) -> i64 {
        self.starts[self.segments.partition_point(|segment| segment.slope + price < 0)].0
    }

    /// The price of a step in the rows at these multipliers.
    pub fn price(&self, multipliers: &[i128]) -> i128 {
        self.coefficients
            .iter()
            .zip(multipliers)
            .map(|(coefficient, multiplier)| coefficient * multiplier)
            .sum()
    }
}

/// The model: groups and the limits of its rows.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub groups: Vec<Group>,
    pub limits: Vec<i128>,
}

/// A feasible answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Solution {
    /// Steps of each group.
    pub steps: Vec<i64>,
    /// Their cost.
    pub cost: i128,
    /// No feasible answer costs less; equal to the cost when the search was complete.
    pub bound: i128,
}

impl Program {
    /// The best answer, or the best that was found when the search ran out of its budget, beginning with a
    /// feasible one. A large search accepts answers known to be at most `negligible` above the minimum cost.
    ///
    /// Steps that only cost are left out where no row asks for steps, and so are rows that cannot be
    /// violated. Time: `O(n log n)` for `n` segments plus the states that the search visits, usually few; the
    /// knapsack problem is a special case, so no bound that is polynomial in `n` alone is known.
    pub fn solve(mut self, start: Vec<i64>, negligible: i128, stop: &Stop) -> Solution {
        let asks = |group: &Group| group.coefficients.iter().any(|coefficient| *coefficient < 0);
        if !self.groups.iter().any(asks) {
            for group in &mut self.groups {
                group.segments.retain(|segment| segment.slope < 0);
                group.count();
            }
        }
        self.drop_loose_rows();
        let multipliers = self.multipliers();
        core_search::run(&self, &multipliers, start, negligible, stop)
    }

    fn drop_loose_rows(&mut self) {
        let largest = |row: usize| -> i128 {
            let usage = |group: &Group| (group.coefficients[row] * i128::from(group.most())).max(0);
            self.groups.iter().map(usage).sum()
        };
        let tight: Vec<usize> =
            (0..self.limits.len()).filter(|row| largest(*row) > self.limits[*row]).collect();
        for group in &mut self.groups {
            group.coefficients = tight.iter().map(|row| group.coefficients[*row]).collect();
        }
        self.limits = tight.iter().map(|row| self.limits[*row]).collect();
        // Divided by the greatest common divisor, so that no limit has a remainder that steps cannot use.
        for row in 0..self.limits.len() {
            let divisor =
                self.groups.iter().fold(0, |divisor, group| gcd(divisor, group.coefficients[row])).max(1);
            self.groups.iter_mut().for_each(|group| group.coefficients[row] /= divisor);
            self.limits[row] = self.limits[row].div_euclid(divisor);
        }
    }

    /// The usage of the rows by an answer.
    pub fn usage(&self, steps: &[i64]) -> Vec<i128> {
        let mut usage = vec![0; self.limits.len()];
        for (group, steps) in self.groups.iter().zip(steps) {
            for (sum, coefficient) in usage.iter_mut().zip(&group.coefficients) {
                *sum += coefficient * i128::from(*steps);
            }
        }
        usage
    }

    /// Cost of an answer.
    pub fn cost(&self, steps: &[i64]) -> i128 {
        self.groups.iter().zip(steps).map(|(group, steps)| group.cost(*steps)).sum()
    }

    /// The relaxation's minimum cost at these multipliers: a lower bound for every feasible answer.
    pub fn relaxed(&self, multipliers: &[i128]) -> i128 {
        let of_group = |group: &Group| {
            let price = group.price(multipliers);
            let steps = group.best(price);
            group.cost(steps) + price * i128::from(steps)
        };
        let paid: i128 =
            self.limits.iter().zip(multipliers).map(|(limit, multiplier)| limit * multiplier).sum();
        self.groups.iter().map(of_group).sum::<i128>() - paid
    }

    /// Multipliers of the rows with a large bound: the best in one row, good ones in several. Any are valid.
    fn multipliers(&self) -> Vec<i128> {
        let mut multipliers = vec![0; self.limits.len()];
        for row in 0..multipliers.len() {
            multipliers[row] = self.best_multiplier(row, &mut multipliers.clone());
        }
        if multipliers.len() > 1 { self.ascend(multipliers) } else { multipliers }
    }

    /// Subgradient ascent, with steps towards a target above the best bound that comes down when it is out of
    /// reach. See Polyak, "Minimization of Unsmooth Functionals", USSR Computational Mathematics 9 (1969).
    fn ascend(&self, multipliers: Vec<i128>) -> Vec<i128> {
        let units: Vec<f64> = self.limits.iter().map(|limit| limit.abs().max(1) as f64).collect();
        let mut best = (self.relaxed(&multipliers), multipliers.clone());
        let mut target = 0.1 * best.0.abs() as f64 + 1.0;
        let mut at: Vec<f64> = multipliers.iter().map(|multiplier| *multiplier as f64).collect();
        let mut failures = 0;
        for _ in 0..MOST_ROUNDS {
            let rounded: Vec<i128> = at.iter().map(|multiplier| *multiplier as i128).collect();
            let bound = self.relaxed(&rounded);
            let steps: Vec<i64> = self.groups.iter().map(|group| group.best(group.price(&rounded))).collect();
            let over =
                self.usage(&steps).into_iter().zip(&self.limits).map(|(used, limit)| (used - limit) as f64);
            let gradient: Vec<f64> = over.zip(&units).map(|(over, unit)| over / unit).collect();
            let norm: f64 = gradient.iter().map(|slope| slope * slope).sum();
            if bound > best.0 {
                (best, failures) = ((bound, rounded), 0);
            } else {
                failures += 1;
            }
            if norm == 0.0 || target < 1.0 {
                break;
            }
            if failures == PATIENCE {
                (failures, target) = (0, target / 2.0);
                at = best.1.iter().map(|multiplier| *multiplier as f64).collect();
                continue;
            }
            let length = ((best.0 - bound) as f64 + target) / norm;
            for ((at, slope), unit) in at.iter_mut().zip(&gradient).zip(&units) {
                *at = (*at + length * slope / unit).max(0.0);
            }
        }
        best.1
    }

    /// The smallest multiplier of a row, the others being fixed, at which the relaxation keeps the row: the
    /// bound is concave in it, and the usage of the row falls with it.
    fn best_multiplier(&self, row: usize, multipliers: &mut [i128]) -> i128 {
        let steepest = |group: &Group| {
            let ends = [group.segments.first(), group.segments.last()];
            let slope = ends.into_iter().flatten().map(|segment| segment.slope.abs()).max().unwrap_or(0);
            slope
                + group.coefficients.iter().zip(multipliers.iter()).map(|(a, m)| (a * m).abs()).sum::<i128>()
        };
        let mut high = self.groups.iter().map(steepest).max().unwrap_or(0) + 1;
        let mut low = -1;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            multipliers[row] = middle;
            let usage: i128 = self
                .groups
                .iter()
                .filter(|group| group.coefficients[row] != 0)
                .map(|group| group.coefficients[row] * i128::from(group.best(group.price(multipliers))))
                .sum();
            if usage <= self.limits[row] { high = middle } else { low = middle }
        }
        high
    }
}

/// Rounds of the ascent.
const MOST_ROUNDS: usize = 300;
/// Rounds without a better bound after which its target is halved.
const PATIENCE: usize = 8;

fn gcd(mut one: i128, mut other: i128) -> i128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one.abs()
}
