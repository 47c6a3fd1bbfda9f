//! Pair costs between items: traffic and pair rules as one pairwise Markov random field.
//!
//! Messages move cost between an item and its pairs without changing the cost of any assignment
//! ("reparametrisation"), so that the sum of all local minima, a lower bound, rises. One pass is sequential
//! reweighted message passing: V. Kolmogorov, *Convergent tree-reweighted message passing for energy
//! minimization*, IEEE TPAMI 28(10), 2006, in the form of *A new look at reweighted message passing*, IEEE
//! TPAMI 37(5), 2015. Its fixed points approach the bound of the local polytope, which is the flow LP of the
//! quadratic term.

use std::collections::BTreeMap;

use super::super::model::{Matrix, Model};

#[derive(Debug)]
struct Pair {
    a: usize,
    b: usize,
    /// Nano-cost per microsecond; 0 when only a rule binds the two.
    weight: i64,
    /// Relations that bind the pair.
    relations: Vec<usize>,
    /// Index into [`Pairs::tables`].
    table: usize,
    /// Nano-costs per unit of the table.
    scale: f32,
}

/// Costs of a pair, clusters × clusters. Pairs without rules share one of latencies; others have nano-costs.
#[derive(Debug)]
struct Table {
    /// Its key: the weight, 0 for the shared one, and the relations.
    key: (i64, Vec<usize>),
    cells: Matrix<f32>,
    /// Whether the triangle inequality holds, which lets most rows of a minimisation be skipped.
    metric: bool,
}

/// All pairs of a model, grouped by item.
#[derive(Debug)]
pub(super) struct Pairs {
    pairs: Vec<Pair>,
    tables: Vec<Table>,
    /// Per item: pairs with earlier and with later items.
    earlier: Vec<Vec<usize>>,
    later: Vec<Vec<usize>>,
    /// Labels per item, a multiple of the vector width.
    stride: usize,
}

/// Messages: cost that pairs lend to their two items, `[pair][end][cluster]`.
#[derive(Debug, Clone)]
pub(super) struct Messages(Vec<f32>);

/// Widths that compile to whole vectors.
const LANES: usize = 4;

impl Pairs {
    pub(super) fn new(model: &Model) -> Self {
        let mut bound: BTreeMap<(usize, usize), (i64, Vec<usize>)> = BTreeMap::new();
        for edge in &model.edges {
            bound.entry((edge.a, edge.b)).or_default().0 += edge.weight;
        }
        for rule in &model.pair_rules {
            bound.entry((rule.a, rule.b)).or_default().1.push(rule.relation);
        }
        let stride = model.clusters().max(1).next_multiple_of(LANES);
        let mut all = Self {
            pairs: Vec::new(),
            tables: Vec::new(),
            earlier: vec![Vec::new(); model.items()],
            later: vec![Vec::new(); model.items()],
            stride,
        };
        for ((a, b), (weight, mut relations)) in bound {
            relations.sort_unstable();
            relations.dedup();
            let plain = relations.is_empty();
            if plain && weight == 0 {
                continue;
            }
            let table = all.table(model, (if plain { 0 } else { weight }, relations.clone()));
            let scale = if plain { weight as f32 } else { 1.0 };
            all.later[a].push(all.pairs.len());
            all.earlier[b].push(all.pairs.len());
            all.pairs.push(Pair { a, b, weight, relations, table, scale });
        }
        all
    }

    /// Labels per item including padding.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Number of pairs.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Messages that move nothing.
    pub(super) fn messages(&self) -> Messages {
        Messages(vec![0.0; 2 * self.pairs.len() * self.stride])
    }

    /// Index of the table for a weight and relations, which is made when it is the first of its kind.
    fn table(&mut self, model: &Model, key: (i64, Vec<usize>)) -> usize {
        if let Some(index) = self.tables.iter().position(|table| table.key == key) {
            return index;
        }
        let weight = if key.1.is_empty() { 1.0 } else { key.0 as f32 };
        let mut cells = Matrix::new(self.stride, self.stride, forbidding(model));
        for a in 0..model.clusters() {
            for b in 0..model.clusters() {
                if is_compatible(model, &key.1, a, b) {
                    cells.set(a, b, weight * model.latency.at(a, b) as f32);
                }
            }
        }
        let metric = is_metric(&cells, model.clusters());
        self.tables.push(Table { key, cells, metric });
        self.tables.len() - 1
    }

    /// One pass over the items, in ascending or descending order. `unary[item][cluster]` are the items' own
    /// costs. Fills `labels` with each item's cheapest cluster, and returns the bound.
    pub(super) fn pass(
        &self,
        unary: &[f32],
        messages: &mut Messages,
        forward: bool,
        labels: &mut [usize],
    ) -> f64 {
        let mut bound = 0.0;
        let mut belief = vec![0.0; self.stride];
        let mut scaled = vec![0.0; self.stride];
        let items = self.earlier.len();
        for step in 0..items {
            let item = if forward { step } else { items - 1 - step };
            let (done, next) = if forward {
                (&self.earlier[item], &self.later[item])
            } else {
                (&self.later[item], &self.earlier[item])
            };
            belief.copy_from_slice(&unary[item * self.stride..(item + 1) * self.stride]);
            for pair in done {
                self.collect(*pair, item, messages, &mut scaled);
            }
            for pair in done.iter().chain(next) {
                add(&mut belief, messages.of(*pair, self.end(*pair, item), self.stride));
            }
            let (label, least) = smallest(&belief);
            labels[item] = label;
            bound += f64::from(least);
            let share = 1.0 / done.len().max(next.len()).max(1) as f32;
            for pair in next {
                let message = messages.of_mut(*pair, self.end(*pair, item), self.stride);
                for (message, belief) in message.iter_mut().zip(&belief) {
                    *message -= share * (belief - least);
                }
            }
        }
        bound
    }

    fn end(&self, pair: usize, item: usize) -> usize {
        usize::from(self.pairs[pair].b == item)
    }

    /// Moves as much cost as a pair can lend to one of its items: the message becomes `min over the other's
    /// clusters of (pair cost − the other's message)`.
    fn collect(&self, pair: usize, item: usize, messages: &mut Messages, scaled: &mut [f32]) {
        let end = self.end(pair, item);
        let Pair { table, scale, .. } = &self.pairs[pair];
        let inverse = 1.0 / scale;
        for (to, from) in scaled.iter_mut().zip(messages.of(pair, 1 - end, self.stride)) {
            *to = -from * inverse;
        }
        let table = &self.tables[*table];
        let message = messages.of_mut(pair, end, self.stride);
        let (first, least) = smallest(scaled);
        for (message, cell) in message.iter_mut().zip(table.cells.row(first)) {
            *message = least + cell;
        }
        for (row, offset) in scaled.iter().enumerate() {
            // By the triangle inequality a row that is no better at its own cluster is no better anywhere.
            if table.metric && message[row] <= *offset {
                continue;
            }
            for (message, cell) in message.iter_mut().zip(table.cells.row(row)) {
                let through = offset + cell;
                *message = if through < *message { through } else { *message };
            }
        }
        for message in message {
            *message *= scale;
        }
    }

    /// The bound in integers: the minimum cost of each item alone plus that of each pair alone, over allowed
    /// cells only. Messages are rounded, none beyond `limit`. Fills `excess[item][cluster]` with how much
    /// more than its best cluster a cluster costs the item. `None` when an item or a pair has no allowed
    /// cell.
    pub(super) fn certify(
        &self,
        model: &Model,
        allowed: &Matrix<bool>,
        price: &[i64],
        messages: &Messages,
        limit: i64,
        excess: &mut Matrix<i64>,
    ) -> Option<i64> {
        let lent: Vec<i64> =
            messages.0.iter().map(|message| (message.round() as i64).clamp(-limit, limit)).collect();
        let lent = |pair: usize, end: usize| &lent[(2 * pair + end) * self.stride..][..self.stride];
        let mut total = 0;
        for item in 0..model.items() {
            let mut costs = model.cost.row(item).to_vec();
            for (cost, price) in costs.iter_mut().zip(&price[item * self.stride..]) {
                *cost += price;
            }
            for pair in self.earlier[item].iter().chain(&self.later[item]) {
                for (cost, lent) in costs.iter_mut().zip(lent(*pair, self.end(*pair, item))) {
                    *cost += lent;
                }
            }
            let choices = costs.iter().zip(allowed.row(item)).filter(|(_, allowed)| **allowed);
            let least = *choices.map(|(cost, _)| cost).min()?;
            for (cluster, cost) in costs.iter().enumerate() {
                excess.set(item, cluster, cost - least);
            }
            total += least;
        }
        for (index, pair) in self.pairs.iter().enumerate() {
            total += pair.least(model, allowed, lent(index, 0), lent(index, 1))?;
        }
        Some(total)
    }
}

impl Pair {
    /// Minimum cost of an allowed cell, less the cost that the pair has lent to its items.
    fn least(&self, model: &Model, allowed: &Matrix<bool>, to_a: &[i64], to_b: &[i64]) -> Option<i64> {
        let mut least = None;
        for a in (0..model.clusters()).filter(|a| allowed.at(self.a, *a)) {
            for b in (0..model.clusters()).filter(|b| allowed.at(self.b, *b)) {
                if is_compatible(model, &self.relations, a, b) {
                    let cost = self.weight * model.latency.at(a, b) - to_a[a] - to_b[b];
                    least = Some(least.map_or(cost, |least: i64| least.min(cost)));
                }
            }
        }
        least
    }
}

impl Messages {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn of(&self, pair: usize, end: usize, stride: usize) -> &[f32] {
        let start = (2 * pair + end) * stride;
        &self.0[start..start + stride]
    }

    fn of_mut(&mut self, pair: usize, end: usize, stride: usize) -> &mut [f32] {
        let start = (2 * pair + end) * stride;
        &mut self.0[start..start + stride]
    }
}

fn add(sum: &mut [f32], part: &[f32]) {
    for (sum, part) in sum.iter_mut().zip(part) {
        *sum += part;
    }
}

fn smallest(values: &[f32]) -> (usize, f32) {
    let mut best = (0, values[0]);
    for (index, value) in values.iter().enumerate() {
        if *value < best.1 {
            best = (index, *value);
        }
    }
    best
}

/// A nano-cost that no local minimum accepts, and that loses little precision in sums: enough to keep the
/// search for multipliers away from forbidden cells, which the final evaluation leaves out altogether.
pub(super) fn forbidding(model: &Model) -> f32 {
    let latency = (0..model.clusters()).flat_map(|cluster| model.latency.row(cluster)).max();
    let weight = model.edges.iter().map(|edge| edge.weight).max();
    let pair = latency.map_or(0.0, |latency| *latency as f32) * weight.map_or(0.0, |weight| weight as f32);
    let cost =
        (0..model.items()).flat_map(|item| model.cost.row(item)).max().map_or(0.0, |cost| *cost as f32);
    let activation = model.activation.iter().max().map_or(0.0, |cost| *cost as f32);
    8.0 * (1.0 + pair + cost + activation)
}

fn is_compatible(model: &Model, relations: &[usize], a: usize, b: usize) -> bool {
    relations.iter().all(|relation| model.relations[*relation].at(a, b))
}

fn is_metric(cells: &Matrix<f32>, clusters: usize) -> bool {
    (0..clusters).all(|a| {
        (0..clusters).all(|b| {
            let direct = cells.at(a, b);
            (0..clusters).all(|through| direct <= cells.at(a, through) + cells.at(through, b))
        }) && cells.at(a, a) == 0.0
    })
}
