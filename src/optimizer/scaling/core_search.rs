//! Exact search: dynamic programming over an expanding core of a program's groups, pruned by reduced costs.
//!
//! With multipliers `λ`, an answer costs `L(λ) + Σ ρ_g(y_g) + Σ λ_j·left_j`, where `left` is the remainder of
//! the rows. The relaxation `L` is a constant, and the reduced cost `ρ_g ≥ 0` is convex in `y_g` and 0 at the
//! relaxation's own number. The search begins at a centre: that number, moved to fill the rows where it is as
//! good as free to move. Groups are taken in the order of their cheapest deviation from the centre; a state
//! is the remainder of the rows after the deviations so far, and their cost, with all other groups at the
//! centre. States that cannot become better than the best answer, or that another one dominates, are dropped;
//! usually few groups are visited until none is left. After Pisinger, "A Minimal Algorithm for the 0-1
//! Knapsack Problem", Operations Research 45 (1997).
//!
//! One row has at most `limit / gcd` states that do not dominate each other, and so takes at most `O(groups ·
//! limit / gcd · steps)`. With several rows the number of states can be exponential; the search then ends
//! with a budget, the best answer and a bound.

use super::program::{Group, Program, Solution};
use crate::optimizer::Stop;

/// States × rows created before the search stops with its best answer: about half a second.
const BUDGET: usize = 1_000_000;
/// States between two checks of the clock.
const PULSE: usize = 64;
/// States kept from one group to the next.
const MOST_STATES: usize = 30_000;
/// Number of states from which answers better by a negligible amount are not searched for.
const MANY_STATES: usize = 1000;

/// The best answer of a program, beginning with a feasible one. When the search is large, an answer may be
/// above the minimum cost by `negligible`.
pub(super) fn run(
    program: &Program,
    multipliers: &[i128],
    start: Vec<i64>,
    negligible: i128,
    stop: &Stop,
) -> Solution {
    let relaxed = program.relaxed(multipliers);
    let excess = program.cost(&start) - relaxed;
    let curves = program.groups.iter().map(|group| Curve::new(group, multipliers)).collect();
    let mut search =
        Search { program, stop, multipliers, curves, order: Vec::new(), best: start, excess, negligible };
    search.sort();
    let (filled, free) = (search.rush(), search.free());
    for (curve, filled) in search.curves.iter_mut().zip(filled) {
        let (low, high) = curve.within(free);
        curve.move_to(filled.clamp(low, high));
    }
    search.sort();
    let proven = search.expand();
    let best = search.best.clone();
    search.offer(&search.filled(best, &search.order));
    let cost = relaxed + search.excess;
    Solution { bound: cost.min(relaxed + proven), cost, steps: search.best }
}

/// A group's reduced cost.
struct Curve<'a> {
    group: &'a Group,
    price: i128,
    /// The relaxation's number.
    best: i64,
    /// Cost with the price at that number.
    base: i128,
    /// Number at which the search begins.
    centre: i64,
    /// Reduced cost of the cheapest other number.
    deviation: i128,
}

impl<'a> Curve<'a> {
    fn new(group: &'a Group, multipliers: &[i128]) -> Self {
        let price = group.price(multipliers);
        let best = group.best(price);
        let base = group.cost(best) + price * i128::from(best);
        let mut curve = Self { group, price, best, base, centre: best, deviation: i128::MAX };
        curve.move_to(best);
        curve
    }

    fn move_to(&mut self, centre: i64) {
        let others =
            [centre - 1, centre + 1].into_iter().filter(|steps| (0..=self.group.most()).contains(steps));
        self.deviation = others.map(|steps| self.reduced(steps)).min().unwrap_or(i128::MAX);
        self.centre = centre;
    }

    fn reduced(&self, steps: i64) -> i128 {
        self.group.cost(steps) + self.price * i128::from(steps) - self.base
    }

    /// The numbers whose reduced cost is below a limit: a range, as the cost is convex.
    fn within(&self, limit: i128) -> (i64, i64) {
        let fits = |steps: i64| self.reduced(steps) < limit;
        (lowest(0, self.best, fits), -lowest(-self.group.most(), -self.best, |steps| fits(-steps)))
    }
}

struct Search<'a> {
    program: &'a Program,
    stop: &'a Stop,
    multipliers: &'a [i128],
    curves: Vec<Curve<'a>>,
    /// Groups by their cheapest deviation.
    order: Vec<usize>,
    /// The best answer, and how much more than the relaxation it costs.
    best: Vec<i64>,
    excess: i128,
    negligible: i128,
}

/// The centre with some deviations.
struct State {
    /// The remainder of the rows; negative where they are exceeded.
    left: Vec<i128>,
    /// Sum of the reduced costs.
    spent: i128,
    /// `spent` and the unused remainder of the rows: how much more than the relaxation it costs.
    excess: i128,
    /// The last deviation, an index into the history.
    last: usize,
}

/// One deviation and the one before it.
struct Deviation {
    group: usize,
    steps: i64,
    before: usize,
}

/// All deviations made; the first entry represents none.
type History = Vec<Option<Deviation>>;

/// The range still reachable from one turn on.
struct Reach {
    /// By how much the remainder of each row can grow, and shrink.
    rows: Vec<(i128, i128)>,
    /// Reduced cost of the groups at their centres, which they may save.
    saving: i128,
    /// Reduced cost of the cheapest deviation.
    deviation: i128,
}

impl Search<'_> {
    /// By cheapest deviation; of those that are as good as free, the ones that can give and take in turns.
    fn sort(&mut self) {
        let free = self.free();
        let mut ranks = [0; 2];
        let mut key = |curve: &Curve<'_>| {
            let rank = &mut ranks[usize::from(curve.centre == curve.group.most())];
            *rank += 1;
            (curve.deviation / free, *rank)
        };
        let keys: Vec<(i128, usize)> = self.curves.iter().map(&mut key).collect();
        self.order = (0..keys.len()).collect();
        self.order.sort_by_key(|group| keys[*group]);
    }

    /// A reduced cost below this is as good as none.
    fn free(&self) -> i128 {
        self.negligible / 1024 + 1
    }

    /// A first answer without looking back: as near to the relaxation as rows allow, then filled up.
    fn rush(&mut self) -> Vec<i64> {
        let mut steps = vec![0; self.order.len()];
        let mut left = self.program.limits.clone();
        // The dearest deviation first, so that the cheapest one is made.
        for group in self.order.iter().rev() {
            steps[*group] = self.curves[*group].best.min(self.room(*group, &left));
            left = self.after(*group, steps[*group], &left);
        }
        let filled =
            [self.order.clone(), self.by_utility(&left)].map(|order| self.filled(steps.clone(), &order));
        filled.iter().for_each(|steps| self.offer(steps));
        let [one, other] = filled;
        if self.program.cost(&one) <= self.program.cost(&other) { one } else { other }
    }

    /// Groups by the gain of a step per share of the rows' remainder, the largest first. After Senju and
    /// Toyoda, "An Approach to Linear Programming with 0-1 Variables", Management Science 15 (1968).
    fn by_utility(&self, left: &[i128]) -> Vec<usize> {
        let utility = |curve: &Curve<'_>| {
            let gain = curve.group.segments().iter().map(|segment| -segment.slope).max().unwrap_or(0);
            let shares = curve.group.coefficients.iter().zip(left);
            let share: f64 = shares.map(|(a, left)| (*a).max(0) as f64 / (*left).max(1) as f64).sum();
            -(gain as f64) / share
        };
        let utilities: Vec<f64> = self.curves.iter().map(utility).collect();
        let mut order = self.order.clone();
        order.sort_by(|one, other| utilities[*one].total_cmp(&utilities[*other]));
        order
    }

    /// The same answer with as many more steps as pay off and fit.
    fn filled(&self, mut steps: Vec<i64>, order: &[usize]) -> Vec<i64> {
        let mut left = self.left(&steps);
        for group in order {
            let paying = self.curves[*group].group.best(0) - steps[*group];
            let more = paying.min(self.room(*group, &left)).max(0);
            left = self.after(*group, more, &left);
            steps[*group] += more;
        }
        steps
    }

    fn left(&self, steps: &[i64]) -> Vec<i128> {
        self.program.limits.iter().zip(self.program.usage(steps)).map(|(limit, used)| limit - used).collect()
    }

    /// Takes an answer if it is feasible and better.
    fn offer(&mut self, steps: &[i64]) {
        let excess = self.program.cost(steps) - self.program.relaxed(self.multipliers);
        if excess < self.excess && self.left(steps).iter().all(|left| *left >= 0) {
            (self.best, self.excess) = (steps.to_vec(), excess);
        }
    }

    /// How many steps of a group fit the remainder of the rows.
    fn room(&self, group: usize, left: &[i128]) -> i64 {
        let coefficients = self.curves[group].group.coefficients.iter().zip(left);
        let steps = coefficients
            .filter(|(coefficient, _)| **coefficient > 0)
            .map(|(coefficient, left)| left / coefficient);
        steps.min().map_or(i64::MAX, |steps| i64::try_from(steps).unwrap_or(i64::MAX)).max(0)
    }

    /// The remainder of the rows after this many more steps of a group.
    fn after(&self, group: usize, steps: i64, left: &[i128]) -> Vec<i128> {
        let coefficients = &self.curves[group].group.coefficients;
        left.iter()
            .zip(coefficients)
            .map(|(left, coefficient)| left - coefficient * i128::from(steps))
            .collect()
    }

    /// Searches; returns the minimum excess that an answer can have.
    fn expand(&mut self) -> i128 {
        let reaches = self.reaches();
        let mut history: History = vec![None];
        let mut states = vec![self.root()];
        let mut proven = i128::MAX;
        self.offer_states(&states, &history);
        for (turn, group) in self.order.clone().into_iter().enumerate() {
            let reach = &reaches[turn];
            let limit = self.limit(states.len());
            proven = proven.min(limit);
            states.retain(|state| self.may_improve(state, reach, limit));
            let kept = states.len();
            for index in 0..kept {
                let made = states.len();
                let limit = self.limit(made);
                // No answer costs less than the relaxation.
                let over = history.len() * self.multipliers.len() > BUDGET;
                if limit <= 0 || over || (index % PULSE == 0 && self.stop.is_due()) {
                    return states.iter().map(|state| state.spent - reach.saving).fold(proven, i128::min);
                }
                self.deviate(group, index, limit + reach.saving, &mut states, &mut history);
                self.offer_states(&states[made..], &history);
            }
            drop_dominated(&mut states);
            if states.len() > MOST_STATES {
                states.sort_by_cached_key(|state| self.distance(state));
                let dropped = states.drain(MOST_STATES..).map(|state| state.spent - reaches[turn + 1].saving);
                proven = dropped.fold(proven, i128::min);
            }
        }
        proven.min(self.excess)
    }

    /// Answers of equal cost are not searched for.
    fn limit(&self, states: usize) -> i128 {
        self.excess - if states > MANY_STATES { self.negligible } else { 0 }
    }

    fn root(&self) -> State {
        let centre: Vec<i64> = self.curves.iter().map(|curve| curve.centre).collect();
        let left = self.left(&centre);
        let spent = self.curves.iter().map(|curve| curve.reduced(curve.centre)).sum();
        State { excess: spent + self.unused(&left), left, spent, last: 0 }
    }

    fn unused(&self, left: &[i128]) -> i128 {
        left.iter().zip(self.multipliers).map(|(left, multiplier)| left * multiplier).sum()
    }

    /// How promising a state is: the nearer to filling the rows exactly at little cost the better.
    fn distance(&self, state: &State) -> i128 {
        let unused =
            state.left.iter().zip(self.multipliers).map(|(left, multiplier)| (left * multiplier).abs());
        state.spent + unused.sum::<i128>()
    }

    fn reaches(&self) -> Vec<Reach> {
        let rows = vec![(0, 0); self.program.limits.len()];
        let mut reaches = vec![Reach { rows, saving: 0, deviation: i128::MAX }];
        let all: i128 = self.curves.iter().map(|curve| curve.reduced(curve.centre)).sum();
        for (group, next) in self.order.iter().rev().zip(0..) {
            let curve = &self.curves[*group];
            let (low, high) = curve.within(self.excess + all);
            let (down, up) = (i128::from(curve.centre - low), i128::from(high - curve.centre));
            let reach = |((grow, shrink), a): (&(i128, i128), &i128)| {
                (grow + (a * down).max(-a * up), shrink + (a * up).max(-a * down))
            };
            let after: &Reach = &reaches[next];
            let rows = after.rows.iter().zip(&curve.group.coefficients).map(reach).collect();
            let saving = after.saving + curve.reduced(curve.centre);
            reaches.push(Reach { rows, saving, deviation: after.deviation.min(curve.deviation) });
        }
        reaches.reverse();
        reaches
    }

    /// Whether a state with at least one more deviation may be feasible and cost less than the limit.
    fn may_improve(&self, state: &State, reach: &Reach, limit: i128) -> bool {
        let rows = state.left.iter().zip(&reach.rows);
        let unused = rows.clone().map(|(left, (_, shrink))| (left - shrink).max(0)).zip(self.multipliers);
        let unused: i128 = unused.map(|(left, multiplier)| left * multiplier).sum();
        let least = (state.spent - reach.saving).saturating_add(reach.deviation.max(unused));
        least < limit && rows.clone().all(|(left, (grow, _))| left + grow >= 0)
    }

    /// The states that a state becomes with all other numbers of a group.
    fn deviate(
        &self,
        group: usize,
        index: usize,
        limit: i128,
        states: &mut Vec<State>,
        history: &mut History,
    ) {
        let curve = &self.curves[group];
        let before = states[index].spent - curve.reduced(curve.centre);
        // Outwards in both directions, until the reduced cost has risen too high.
        for direction in [-1, 1] {
            let mut steps = curve.centre + direction;
            while (0..=curve.group.most()).contains(&steps) {
                let spent = before + curve.reduced(steps);
                if spent >= limit {
                    break;
                }
                let left = self.after(group, steps - curve.centre, &states[index].left);
                history.push(Some(Deviation { group, steps, before: states[index].last }));
                states.push(State {
                    excess: spent + self.unused(&left),
                    left,
                    spent,
                    last: history.len() - 1,
                });
                steps += direction;
            }
        }
    }

    /// Takes the best feasible state if it is better.
    fn offer_states(&mut self, states: &[State], history: &History) {
        let feasible = states.iter().filter(|state| state.left.iter().all(|left| *left >= 0));
        let Some(state) =
            feasible.min_by_key(|state| state.excess).filter(|state| state.excess < self.excess)
        else {
            return;
        };
        self.excess = state.excess;
        self.best = self.curves.iter().map(|curve| curve.centre).collect();
        let mut last = state.last;
        while let Some(Deviation { group, steps, before }) = &history[last] {
            self.best[*group] = *steps;
            last = *before;
        }
    }
}

/// Drops states that leave no more of any row than another one and cost no less; in several rows not all of
/// them.
fn drop_dominated(states: &mut Vec<State>) {
    states.sort_by(|one, other| other.left.cmp(&one.left).then(one.excess.cmp(&other.excess)));
    states.dedup_by(|next, kept| {
        next.excess >= kept.excess && next.left.iter().zip(&kept.left).all(|(next, kept)| next <= kept)
    });
}

/// The smallest number from `low` on that fits, where all from it to `high` fit; `high` if none does.
fn lowest(mut low: i64, mut high: i64, fits: impl Fn(i64) -> bool) -> i64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) { high = middle } else { low = middle + 1 }
    }
    high
}
