//! An assignment under change, with the derived data that makes evaluating a change cheap.

use super::landscape::Landscape;
use crate::optimizer::placement::RESOURCES;

/// Prices are interpolated in parts of this.
const PARTS: i64 = 1024;

/// An assignment that keeps [`Model::allowed`](crate::optimizer::placement::model::Model::allowed) and may
/// break the rest.
#[derive(Debug, Clone)]
pub(super) struct State<'a> {
    pub(super) landscape: &'a Landscape<'a>,
    /// Cluster of each item.
    pub(super) at: Vec<usize>,
    /// Items on each cluster, in no order.
    pub(super) members: Vec<Vec<usize>>,
    /// Where each item stands among the members of its cluster.
    slot: Vec<usize>,
    used: Vec<[i64; RESOURCES]>,
    /// Cost of overload and penalty of each cluster.
    load: Vec<(i64, i64)>,
    /// Items × clusters: own cost there plus latency and broken rules towards the others where they are.
    pull: Vec<i64>,
    /// For each cluster, by number of members: the price of being used.
    prices: Vec<Vec<i64>>,
    /// Prices and all other costs and penalties.
    value: i64,
    /// Activation costs that are due minus prices that are due.
    rebate: i64,
    /// Capacity penalties before strictness.
    excess: i64,
    /// Number of broken pair rules.
    broken: i64,
    softness: i64,
    strictness: u32,
}

impl<'a> State<'a> {
    /// The state of an assignment to allowed clusters.
    pub(super) fn new(landscape: &'a Landscape<'a>, assignment: Vec<usize>) -> Self {
        Self::with_strictness(landscape, assignment, 0)
    }

    fn with_strictness(landscape: &'a Landscape<'a>, at: Vec<usize>, strictness: u32) -> Self {
        let model = landscape.model;
        let mut members = vec![Vec::new(); model.clusters()];
        let mut slot = Vec::with_capacity(at.len());
        for (item, cluster) in at.iter().enumerate() {
            slot.push(members[*cluster].len());
            members[*cluster].push(item);
        }
        let used = model.used(&at);
        let load: Vec<(i64, i64)> =
            used.iter().enumerate().map(|(cluster, used)| landscape.load_cost(cluster, used)).collect();
        let is_broken = |a: usize, b: usize, relation: usize| !model.relations[relation].at(at[a], at[b]);
        let mut state = Self {
            landscape,
            pull: Vec::with_capacity(model.items() * model.clusters()),
            prices: model.activation.iter().map(|activation| vec![0, *activation]).collect(),
            value: model.cost_of(&at),
            rebate: 0,
            excess: load.iter().map(|(_, penalty)| penalty).sum(),
            broken: model.pair_rules.iter().filter(|rule| is_broken(rule.a, rule.b, rule.relation)).count()
                as i64,
            softness: 0,
            strictness,
            at,
            members,
            slot,
            used,
            load,
        };
        state.value += (state.excess + state.broken * landscape.rule_penalty) << strictness;
        for item in 0..model.items() {
            for cluster in 0..model.clusters() {
                state.pull.push(state.attraction(item, cluster));
            }
        }
        state
    }

    fn attraction(&self, item: usize, cluster: usize) -> i64 {
        let model = self.landscape.model;
        let mut cost = model.cost.at(item, cluster);
        for (other, weight) in self.landscape.neighbours.of(item) {
            cost += weight * model.latency.at(cluster, self.at[*other]);
        }
        for (other, relation) in self.landscape.rules.of(item) {
            if !model.relations[*relation].at(cluster, self.at[*other]) {
                cost += self.rule_penalty();
            }
        }
        cost
    }

    /// Whether no constraint is broken.
    #[inline]
    pub(super) fn is_feasible(&self) -> bool {
        self.excess == 0 && self.broken == 0
    }

    /// Whether a pair rule is broken.
    pub(super) fn breaks_a_rule(&self) -> bool {
        self.broken > 0
    }

    /// The model's cost of the assignment, if feasible.
    #[inline]
    pub(super) fn cost(&self) -> i64 {
        self.value + self.rebate
    }

    /// The value that chains minimise: cost, prices and penalties.
    #[cfg(test)]
    pub(super) fn value(&self) -> i64 {
        self.value
    }

    #[inline]
    fn rule_penalty(&self) -> i64 {
        self.landscape.rule_penalty << self.strictness
    }

    #[inline]
    fn pull(&self, item: usize) -> &[i64] {
        let clusters = self.members.len();
        &self.pull[item * clusters..(item + 1) * clusters]
    }

    #[inline]
    fn price(&self, cluster: usize, members: usize) -> i64 {
        let prices = &self.prices[cluster];
        prices[members.min(prices.len() - 1)]
    }

    /// Change of prices if this many items move from one cluster to another.
    #[inline]
    fn price_change(&self, items: usize, from: usize, to: usize) -> i64 {
        let (leaving, joining) = (self.members[from].len(), self.members[to].len());
        self.price(from, leaving - items) - self.price(from, leaving) + self.price(to, joining + items)
            - self.price(to, joining)
    }

    /// Change of overload and penalty if `amount` is added to a cluster.
    #[inline]
    fn load_change(&self, cluster: usize, amount: &[i64; RESOURCES]) -> i64 {
        let mut used = self.used[cluster];
        for (sum, amount) in used.iter_mut().zip(amount) {
            *sum += amount;
        }
        let (overload, penalty) = self.landscape.load_cost(cluster, &used);
        let (overload_now, penalty_now) = self.load[cluster];
        overload - overload_now + ((penalty - penalty_now) << self.strictness)
    }

    /// Change of both clusters' overload and penalty if `amount` goes from one to the other.
    #[inline]
    fn transfer(&self, amount: &[i64; RESOURCES], from: usize, to: usize) -> i64 {
        self.load_change(from, &amount.map(|amount| -amount)) + self.load_change(to, amount)
    }

    /// Change of the value if an item goes to another cluster.
    #[inline]
    pub(super) fn relocation(&self, item: usize, to: usize) -> i64 {
        let from = self.at[item];
        let pull = self.pull(item);
        pull[to] - pull[from]
            + self.price_change(1, from, to)
            + self.transfer(&self.landscape.model.demand[item], from, to)
    }

    /// Change of the value if two items on different clusters change places.
    #[inline]
    pub(super) fn exchange(&self, item: usize, other: usize) -> i64 {
        let model = self.landscape.model;
        let (from, to) = (self.at[item], self.at[other]);
        let mut amount = model.demand[item];
        for (sum, amount) in amount.iter_mut().zip(&model.demand[other]) {
            *sum -= amount;
        }
        let (pull, other_pull) = (self.pull(item), self.pull(other));
        pull[to] - pull[from] + other_pull[from] - other_pull[to] + self.transfer(&amount, from, to)
            - self.counted_twice(item, other, from, to)
    }

    /// Change of the value if some items of one cluster, each named once, go to another cluster together.
    pub(super) fn migration(&self, items: &[usize], to: usize) -> i64 {
        let Some(from) = items.first().map(|item| self.at[*item]) else { return 0 };
        let mut change = self.price_change(items.len(), from, to);
        let mut amount = [0; RESOURCES];
        for (index, item) in items.iter().enumerate() {
            let pull = self.pull(*item);
            change += pull[to] - pull[from];
            for (sum, amount) in amount.iter_mut().zip(&self.landscape.model.demand[*item]) {
                *sum += amount;
            }
            for other in &items[..index] {
                change += self.counted_twice(*item, *other, from, to);
            }
        }
        change + self.transfer(&amount, from, to)
    }

    /// The change of each item's pull takes the other one as resting. If both start on `from` and go to `to`,
    /// this much is missing in the sum; if they start apart and change places, it is too much.
    #[inline]
    fn counted_twice(&self, item: usize, other: usize, from: usize, to: usize) -> i64 {
        let cost = |at: (usize, usize)| self.landscape.together((item, other), at, self.rule_penalty());
        cost((from, from)) + cost((to, to)) - 2 * cost((from, to))
    }

    /// Moves an item to another cluster.
    pub(super) fn relocate(&mut self, item: usize, to: usize) {
        let from = self.at[item];
        self.value += self.relocation(item, to);
        let (leaving, joining) = (self.members[from].len(), self.members[to].len());
        let activation = &self.landscape.model.activation;
        self.rebate -= self.price_change(1, from, to);
        self.rebate += if joining == 0 { activation[to] } else { 0 };
        self.rebate -= if leaving == 1 { activation[from] } else { 0 };
        for (resource, amount) in self.landscape.model.demand[item].iter().enumerate() {
            self.used[from][resource] -= amount;
            self.used[to][resource] += amount;
        }
        for cluster in [from, to] {
            let load = self.landscape.load_cost(cluster, &self.used[cluster]);
            self.excess += load.1 - self.load[cluster].1;
            self.load[cluster] = load;
        }
        let slot = self.slot[item];
        self.members[from].swap_remove(slot);
        if let Some(moved) = self.members[from].get(slot) {
            self.slot[*moved] = slot;
        }
        self.slot[item] = joining;
        self.members[to].push(item);
        self.at[item] = to;
        self.update_pull(item, from, to);
    }

    /// Tells the items that `item` is bound to that it has moved.
    fn update_pull(&mut self, item: usize, from: usize, to: usize) {
        let landscape = self.landscape;
        let model = landscape.model;
        let clusters = model.clusters();
        for (other, weight) in landscape.neighbours.of(item) {
            let pull = &mut self.pull[other * clusters..(other + 1) * clusters];
            for ((pull, before), after) in
                pull.iter_mut().zip(model.latency.row(from)).zip(model.latency.row(to))
            {
                *pull += weight * (after - before);
            }
        }
        let rule_penalty = self.rule_penalty();
        for (other, relation) in landscape.rules.of(item) {
            let (before, after) = (model.relations[*relation].row(from), model.relations[*relation].row(to));
            let there = self.at[*other];
            self.broken += i64::from(before[there]) - i64::from(after[there]);
            let pull = &mut self.pull[other * clusters..(other + 1) * clusters];
            for ((pull, before), after) in pull.iter_mut().zip(before).zip(after) {
                *pull += rule_penalty * (i64::from(*before) - i64::from(*after));
            }
        }
    }

    /// Makes the price of using a cluster grow with its number of members, up to the activation cost when it
    /// is full: in proportion if `softness` is large, at once if it is 0.
    ///
    /// With `f` for how full the cluster is and `s` for softness/1024, a part `f·(1 + s)/(f + s)` is due.
    /// With `s → ∞` this is `f`, the charge of the relaxation `load ≤ capacity·used` with fractional `used`.
    pub(super) fn soften(&mut self, softness: i64) {
        if softness == self.softness {
            return;
        }
        self.softness = softness;
        self.value += self.rebate;
        self.rebate = 0;
        for (cluster, activation) in self.landscape.model.activation.iter().enumerate() {
            let room = self.landscape.room[cluster];
            self.prices[cluster].clear();
            for members in 0..=room {
                let due = i128::from(members * (PARTS + softness));
                let whole = i128::from((members * PARTS + room * softness).max(1));
                let price = i128::from(*activation) * due / whole;
                self.prices[cluster].push(i64::try_from(price).unwrap_or(*activation));
            }
            let members = self.members[cluster].len();
            if members > 0 {
                self.rebate += activation - self.price(cluster, members);
            }
        }
        self.value -= self.rebate;
    }

    /// Doubles the penalties.
    pub(super) fn harden(&mut self) {
        if self.strictness < self.landscape.max_strictness {
            let softness = self.softness;
            *self = Self::with_strictness(self.landscape, std::mem::take(&mut self.at), self.strictness + 1);
            self.soften(softness);
        }
    }
}
