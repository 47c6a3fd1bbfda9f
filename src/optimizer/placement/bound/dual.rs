//! The Lagrangian function: the bound that multipliers give, as floats for the ascent and as proven integers.

use super::super::model::{Matrix, Model};
use super::clusters::{Clusters, Values};
use super::domain::{Domain, Use};
use super::pairs::{Messages, Pairs, forbidding};

/// The function of one model.
#[derive(Debug)]
pub(super) struct Dual<'a> {
    pub(super) model: &'a Model,
    pub(super) clusters: Clusters<'a>,
    pub(super) pairs: Pairs,
    forbidding: f32,
}

/// Where the function is evaluated.
#[derive(Debug, Clone)]
pub(super) struct Multipliers {
    pub(super) values: Values<f32>,
    pub(super) messages: Messages,
}

/// The bound in floats and the solutions of the parts, whose disagreement is a subgradient. Reused between
/// evaluations.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) bound: f64,
    /// Cluster of each item, by its own costs and the pairs'.
    pub(super) labels: Vec<usize>,
    /// Items that each cluster takes; none where it stays unused.
    pub(super) packed: Vec<Vec<usize>>,
    /// Clusters in use by their own costs.
    pub(super) open: Vec<bool>,
    /// Clusters in use by the covering problem.
    pub(super) covering: Vec<bool>,
    unary: Vec<f32>,
    table: Vec<f32>,
}

impl<'a> Dual<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let pairs = Pairs::new(model);
        Self { model, clusters: Clusters::new(model, pairs.stride()), pairs, forbidding: forbidding(model) }
    }

    pub(super) fn start(&self) -> Multipliers {
        Multipliers { values: self.clusters.start(), messages: self.pairs.messages() }
    }

    pub(super) fn parts(&self) -> Parts {
        let (items, clusters) = (self.model.items(), self.model.clusters());
        Parts {
            bound: 0.0,
            labels: vec![0; items],
            packed: vec![Vec::new(); clusters],
            open: vec![false; clusters],
            covering: vec![false; clusters],
            unary: vec![0.0; items * self.pairs.stride()],
            table: Vec::new(),
        }
    }

    /// Improves the messages by one pass and solves all parts.
    pub(super) fn evaluate(
        &self,
        domain: &Domain,
        multipliers: &mut Multipliers,
        forward: bool,
        parts: &mut Parts,
    ) {
        self.fill_unary(domain, &multipliers.values.price, &mut parts.unary);
        let Parts { labels, packed, open, covering, unary, table, .. } = parts;
        let mut bound = self.pairs.pass(unary, &mut multipliers.messages, forward, labels);
        for (cluster, packed) in packed.iter_mut().enumerate() {
            let least = match domain.uses[cluster] {
                Use::Closed => f32::INFINITY,
                _ => self.clusters.pack(domain, &multipliers.values, cluster, table, packed),
            };
            open[cluster] = domain.uses[cluster] == Use::Open || least < 0.0;
            if open[cluster] {
                bound += f64::from(least);
            } else {
                packed.clear();
            }
        }
        let duty = self.clusters.cover(domain, &multipliers.values.duty, covering);
        parts.bound = bound + f64::from(duty.unwrap_or(0.0));
    }

    fn fill_unary(&self, domain: &Domain, price: &[f32], unary: &mut [f32]) {
        let stride = self.pairs.stride();
        for (item, (unary, price)) in unary.chunks_mut(stride).zip(price.chunks(stride)).enumerate() {
            unary.fill(self.forbidding);
            let row = self.model.cost.row(item).iter().zip(domain.allowed.row(item)).zip(price);
            for (cell, ((cost, allowed), price)) in unary.iter_mut().zip(row) {
                if *allowed {
                    *cell = *cost as f32 + price;
                }
            }
        }
    }

    /// The bound on a domain, in exact integers: multipliers are rounded first, and any multipliers give a
    /// bound. With the cost of an incumbent, also removes choices from the domain that occur only in
    /// assignments no better than it (reduced-cost fixing). `None` when nothing is left.
    pub(super) fn certify(
        &self,
        domain: &mut Domain,
        multipliers: &Multipliers,
        upper: Option<i64>,
    ) -> Option<i64> {
        let (items, clusters) = (self.model.items(), self.model.clusters());
        let limit = self.multiplier_limit();
        let values = multipliers.values.map(|value| (value.round() as i64).clamp(0, limit));
        let mut excess = Matrix::new(items, clusters, 0);
        let mut bound = self.pairs.certify(
            self.model,
            &domain.allowed,
            &values.price,
            &multipliers.messages,
            limit,
            &mut excess,
        )?;
        let (mut table, mut packed) = (Vec::new(), Vec::new());
        let mut least = vec![0; clusters];
        for (cluster, least) in least.iter_mut().enumerate() {
            if domain.uses[cluster] != Use::Closed {
                *least = self.clusters.pack(domain, &values, cluster, &mut table, &mut packed);
                bound += if domain.uses[cluster] == Use::Open { *least } else { (*least).min(0) };
            }
        }
        bound += self.clusters.cover(domain, &values.duty, &mut vec![false; clusters])?;
        if let Some(upper) = upper {
            fix(domain, &excess, &least, upper.saturating_sub(bound));
        }
        (0..items).all(|item| domain.choices(item).next().is_some()).then_some(bound)
    }

    /// Largest multiplier whose sums cannot overflow.
    fn multiplier_limit(&self) -> i64 {
        let terms = 1 + self.model.items() * self.model.clusters() + 2 * self.pairs.len();
        i64::MAX / 16 / terms as i64
    }
}

/// Removes choices that cost at least `gap` more than the bound.
fn fix(domain: &mut Domain, excess: &Matrix<i64>, least: &[i64], gap: i64) {
    for (cluster, least) in least.iter().enumerate() {
        if domain.uses[cluster] == Use::Free && *least > 0 && *least >= gap {
            domain.close(cluster);
        } else if domain.uses[cluster] == Use::Free && *least < 0 && -least >= gap {
            domain.uses[cluster] = Use::Open;
        }
    }
    for item in 0..domain.items() {
        for (cluster, excess) in excess.row(item).iter().enumerate() {
            if *excess >= gap {
                domain.allowed.set(item, cluster, false);
            }
        }
    }
}
