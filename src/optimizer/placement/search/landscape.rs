//! The model prepared for fast evaluation of changes; shared by all chains.
//!
//! Capacities and pair rules become penalties, priced in units of a typical change, so that chains may pass
//! through infeasible assignments. Allowed clusters stay hard: no chain proposes others.

use super::random::{Random, below};
use crate::optimizer::placement::{Model, RESOURCES};

/// Penalty for missing the capacity of an average item, in typical changes.
const PENALTY: i64 = 4;
/// Penalty for a broken pair rule, in typical changes.
const RULE_PENALTY: i64 = 1;
/// Samples from which the typical change is estimated.
const SAMPLES: usize = 2000;
/// All penalties together stay below this.
const MAX_PENALTY: i64 = 1 << 58;
/// Resources are counted in units of which there are about 2²⁴, so that products fit.
const RESOURCE_BITS: u32 = 24;

/// A list of lists in one piece of memory.
#[derive(Debug)]
pub(super) struct Lists<T> {
    starts: Vec<usize>,
    entries: Vec<T>,
}

impl<T> Lists<T> {
    fn new(lists: Vec<Vec<T>>) -> Self {
        let mut starts = vec![0];
        let mut entries = Vec::new();
        for list in lists {
            entries.extend(list);
            starts.push(entries.len());
        }
        Self { starts, entries }
    }

    /// One of the lists.
    #[inline]
    pub(super) fn of(&self, index: usize) -> &[T] {
        &self.entries[self.starts[index]..self.starts[index + 1]]
    }
}

/// The penalty for a missing amount of a resource.
#[derive(Debug, Clone, Copy, Default)]
struct Penalty {
    /// Nano-cost per unit.
    rate: i64,
    /// A unit is this many bits coarser than the model's.
    shift: u32,
}

/// A model with penalties and adjacency.
#[derive(Debug)]
pub(super) struct Landscape<'a> {
    pub(super) model: &'a Model,
    /// Items with a choice.
    pub(super) movable: Vec<usize>,
    /// Allowed clusters of each item; none is empty.
    pub(super) choices: Lists<usize>,
    /// Other end and weight of each item's edges.
    pub(super) neighbours: Lists<(usize, i64)>,
    /// Other end and relation of each item's pair rules.
    pub(super) rules: Lists<(usize, usize)>,
    /// The typical cost change of moving one item: the unit of temperatures.
    pub(super) scale: i64,
    /// Cost of a broken pair rule.
    pub(super) rule_penalty: i64,
    /// By how many bits penalties can be raised without overflow.
    pub(super) max_strictness: u32,
    /// How many average items fill each cluster, at least 1.
    pub(super) room: Vec<i64>,
    /// Capacities, capped at the total demand.
    capacity: Vec<[i64; RESOURCES]>,
    penalties: [Penalty; RESOURCES],
}

impl<'a> Landscape<'a> {
    /// Prepares a model; `None` if there is an item without an allowed cluster.
    pub(super) fn new(model: &'a Model) -> Option<Self> {
        let choices: Vec<Vec<usize>> = (0..model.items())
            .map(|item| (0..model.clusters()).filter(|cluster| model.allowed.at(item, *cluster)).collect())
            .collect();
        if choices.iter().any(Vec::is_empty) {
            return None;
        }
        let total = total_demand(model);
        let mut landscape = Self {
            model,
            movable: (0..model.items()).filter(|item| choices[*item].len() > 1).collect(),
            choices: Lists::new(choices),
            neighbours: adjacency(
                model.items(),
                model.edges.iter().map(|edge| (edge.a, edge.b, edge.weight)),
            ),
            rules: adjacency(
                model.items(),
                model.pair_rules.iter().map(|rule| (rule.a, rule.b, rule.relation)),
            ),
            scale: 1,
            rule_penalty: 0,
            max_strictness: 0,
            room: Vec::new(),
            capacity: model.capacity.clone(),
            penalties: [Penalty::default(); RESOURCES],
        };
        for capacity in &mut landscape.capacity {
            for (limit, total) in capacity.iter_mut().zip(&total) {
                *limit = (*limit).min(*total);
            }
        }
        landscape.room = landscape.capacity.iter().map(|capacity| room(model, capacity, &total)).collect();
        landscape.set_penalties(&total);
        Some(landscape)
    }

    fn set_penalties(&mut self, total: &[i64; RESOURCES]) {
        let terms = self.model.items() * RESOURCES + self.model.pair_rules.len() + 1;
        let limit = MAX_PENALTY / PENALTY / i64::try_from(terms).unwrap_or(i64::MAX);
        self.scale = self.typical_change().clamp(1, limit.max(1));
        self.max_strictness = (limit / self.scale).max(1).ilog2().min(10);
        self.rule_penalty = self.scale * RULE_PENALTY;
        for (resource, total) in total.iter().enumerate() {
            let users = i64::try_from(users(self.model, resource)).unwrap_or(i64::MAX).max(1);
            let shift = (i64::BITS - total.leading_zeros()).saturating_sub(RESOURCE_BITS);
            let mean = ((total / users) >> shift).max(1);
            self.penalties[resource] = Penalty { rate: self.scale * PENALTY / mean + 1, shift };
        }
    }

    /// Mean absolute change of cost and latency when an item moves between random places among random others,
    /// plus its share of the activation costs.
    fn typical_change(&self) -> i64 {
        let model = self.model;
        let mut random = Random::new(0, 0);
        let mut place = |item: usize| {
            let choices = self.choices.of(item);
            choices[below(random.next() >> 32, choices.len())]
        };
        let mut sum = 0_i128;
        for item in self.movable.iter().cycle().take(SAMPLES) {
            let (from, to) = (place(*item), place(*item));
            let mut change = model.cost.at(*item, to) - model.cost.at(*item, from);
            for (other, weight) in self.neighbours.of(*item) {
                let there = place(*other);
                change += weight * (model.latency.at(to, there) - model.latency.at(from, there));
            }
            sum += i128::from(change.abs());
        }
        let activation: i128 = model.activation.iter().copied().map(i128::from).sum();
        let change = sum / SAMPLES as i128 + activation / model.items().max(1) as i128;
        i64::try_from(change).unwrap_or(i64::MAX)
    }

    /// Cost of overload, and penalty, for the usage of a cluster.
    #[inline]
    pub(super) fn load_cost(&self, cluster: usize, used: &[i64; RESOURCES]) -> (i64, i64) {
        let mut penalty = 0;
        for ((used, capacity), price) in used.iter().zip(&self.capacity[cluster]).zip(&self.penalties) {
            let excess = (used - capacity).max(0);
            penalty += price.rate * ((excess + (1 << price.shift) - 1) >> price.shift);
        }
        let overload = self
            .model
            .overload
            .as_ref()
            .map_or(0, |overload| overload.rate * (used[0] - overload.threshold[cluster]).max(0));
        (overload, penalty)
    }

    /// The pair cost of two items on two clusters: latency, and `rule_penalty` for each rule that they break.
    pub(super) fn together(&self, pair: (usize, usize), at: (usize, usize), rule_penalty: i64) -> i64 {
        let edges = self.neighbours.of(pair.0).iter().filter(|(other, _)| *other == pair.1);
        let latency: i64 = edges.map(|(_, weight)| weight * self.model.latency.at(at.0, at.1)).sum();
        let rules = self.rules.of(pair.0).iter().filter(|(other, _)| *other == pair.1);
        let broken = rules.filter(|(_, relation)| !self.model.relations[*relation].at(at.0, at.1)).count();
        latency + rule_penalty * broken as i64
    }
}

/// The total demand of all items.
fn total_demand(model: &Model) -> [i64; RESOURCES] {
    let mut total = [0_i64; RESOURCES];
    for demand in &model.demand {
        for (sum, amount) in total.iter_mut().zip(demand) {
            *sum = sum.saturating_add(*amount);
        }
    }
    total
}

/// The lists of pairs, seen from both ends.
fn adjacency<T: Copy>(items: usize, pairs: impl Iterator<Item = (usize, usize, T)>) -> Lists<(usize, T)> {
    let mut lists = vec![Vec::new(); items];
    for (a, b, what) in pairs {
        lists[a].push((b, what));
        lists[b].push((a, what));
    }
    Lists::new(lists)
}

/// How many average items fill a capacity, by the resources that at least half of the items need. At most
/// four times the mean number of items per cluster.
fn room(model: &Model, capacity: &[i64; RESOURCES], total: &[i64; RESOURCES]) -> i64 {
    let items = model.items() as i128;
    let most = 4 * items / model.clusters().max(1) as i128;
    let is_common = |resource: &usize| 2 * users(model, *resource) >= model.items().max(1);
    let room = (0..RESOURCES)
        .filter(is_common)
        .map(|resource| i128::from(capacity[resource]) * items / i128::from(total[resource]))
        .fold(most, i128::min);
    i64::try_from(room.max(1)).unwrap_or(i64::MAX)
}

/// How many items need a resource.
fn users(model: &Model, resource: usize) -> usize {
    model.demand.iter().filter(|demand| demand[resource] > 0).count()
}
