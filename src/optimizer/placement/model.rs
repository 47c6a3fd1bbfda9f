//! The placement model: a problem in ordinals and integers, on which strategies compute.
//!
//! [`super::compile()`] makes it out of a [`super::Problem`]; nothing here knows a name. Services that must share a
//! cluster are one *item*. Costs are integers of a billionth of a cost unit ("nano"), so that sums are exact
//! and equal on every machine; amounts of resources stay in their own integer units.

use crate::hdag::Dimension;

/// Resources that limit a cluster, in the order of [`Dimension::ALL`].
pub const RESOURCES: usize = Dimension::ALL.len();
/// Nano-costs per cost unit.
pub const NANO: f64 = 1e9;

/// A dense matrix, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix<T> {
    columns: usize,
    cells: Vec<T>,
}

impl<T: Copy> Matrix<T> {
    /// A matrix of equal cells.
    #[must_use]
    pub fn new(rows: usize, columns: usize, cell: T) -> Self {
        Self { columns, cells: vec![cell; rows * columns] }
    }

    /// One cell.
    #[must_use]
    #[inline]
    pub fn at(&self, row: usize, column: usize) -> T {
        self.cells[row * self.columns + column]
    }

    /// Changes one cell.
    #[inline]
    pub fn set(&mut self, row: usize, column: usize, cell: T) {
        self.cells[row * self.columns + column] = cell;
    }

    /// One row.
    #[must_use]
    #[inline]
    pub fn row(&self, row: usize) -> &[T] {
        &self.cells[row * self.columns..(row + 1) * self.columns]
    }
}

/// Two items that exchange traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The two items; `a < b`, each pair once.
    pub a: usize,
    /// The other one.
    pub b: usize,
    /// Nano-cost per microsecond of latency between their clusters; not negative.
    pub weight: i64,
}

/// Two items whose clusters must stand in a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairRule {
    /// The two items; `a < b`.
    pub a: usize,
    /// The other one.
    pub b: usize,
    /// Index into [`Model::relations`].
    pub relation: usize,
}

/// A soft limit of CPU per cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overload {
    /// Nano-cost per millicore above the threshold.
    pub rate: i64,
    /// Millicores from which on it costs, per cluster.
    pub threshold: Vec<i64>,
}

/// Assign every item to one allowed cluster, within capacities and pair rules, at minimum cost: `Σ
/// cost[i][e(i)] + Σ_{used e} activation[e] + Σ_edges weight·latency[e(a)][e(b)] + Σ_e rate·max(0, cpu_e −
/// threshold_e)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Demand of each item, all replicas of all its services together.
    pub demand: Vec<[i64; RESOURCES]>,
    /// Free capacity of each cluster; `i64::MAX` where a resource is unlimited. Never negative.
    pub capacity: Vec<[i64; RESOURCES]>,
    /// Items × clusters: whether the item may go there, by every rule about one item and one cluster alone
    /// (availability, requirements, pinning, and that its demand fits the empty cluster).
    pub allowed: Matrix<bool>,
    /// Items × clusters: nano-cost of the item there (price, carbon, moving); not negative.
    pub cost: Matrix<i64>,
    /// Nano-cost of using a cluster at all; not negative.
    pub activation: Vec<i64>,
    /// Traffic between items.
    pub edges: Vec<Edge>,
    /// Clusters × clusters: microseconds; symmetric, not negative, zero on the diagonal. Not always a metric.
    pub latency: Matrix<i64>,
    /// Which pairs of clusters are compatible, clusters × clusters, symmetric; one matrix per kind of rule.
    pub relations: Vec<Matrix<bool>>,
    /// Pairs of items bound by a relation.
    pub pair_rules: Vec<PairRule>,
    /// Soft limit of CPU, if any.
    pub overload: Option<Overload>,
    /// Where each item is now; `None` when it is new (or when its services are on several clusters).
    pub current: Vec<Option<usize>>,
}

impl Model {
    /// Number of items.
    #[must_use]
    pub fn items(&self) -> usize {
        self.demand.len()
    }

    /// Number of clusters.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.capacity.len()
    }

    /// No assignment costs more than this many nano; in floating point, since it may be more than an integer
    /// holds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a relative error of 2^-53")]
    pub fn cost_ceiling(&self) -> f64 {
        let largest = |cells: &[i64]| cells.iter().max().map_or(0.0, |cell| *cell as f64);
        let items: f64 = (0..self.items()).map(|item| largest(self.cost.row(item))).sum();
        let latency =
            (0..self.clusters()).map(|cluster| largest(self.latency.row(cluster))).fold(0.0, f64::max);
        let edges: f64 = self.edges.iter().map(|edge| edge.weight as f64 * latency).sum();
        let activation: f64 = self.activation.iter().map(|cost| *cost as f64).sum();
        let overload = self.overload.as_ref().map_or(0.0, |overload| {
            let load: f64 = self.demand.iter().map(|demand| demand[0] as f64).sum();
            let threshold = overload.threshold.iter().map(|amount| (*amount).min(0) as f64).sum::<f64>();
            overload.rate as f64 * (load - threshold)
        });
        items + edges + activation + overload
    }

    /// Nano-cost of an assignment (item → cluster), feasible or not.
    #[must_use]
    pub fn cost_of(&self, assignment: &[usize]) -> i64 {
        let mut used = vec![false; self.clusters()];
        let mut total = 0;
        for (item, cluster) in assignment.iter().enumerate() {
            used[*cluster] = true;
            total += self.cost.at(item, *cluster);
        }
        total +=
            used.iter().zip(&self.activation).filter(|(used, _)| **used).map(|(_, cost)| cost).sum::<i64>();
        for edge in &self.edges {
            total += edge.weight * self.latency.at(assignment[edge.a], assignment[edge.b]);
        }
        if let Some(overload) = &self.overload {
            for (sum, threshold) in self.used(assignment).iter().zip(&overload.threshold) {
                total += overload.rate * (sum[0] - threshold).max(0);
            }
        }
        total
    }

    /// The load of each cluster under an assignment.
    #[must_use]
    pub fn used(&self, assignment: &[usize]) -> Vec<[i64; RESOURCES]> {
        let mut used = vec![[0_i64; RESOURCES]; self.clusters()];
        for (demand, cluster) in self.demand.iter().zip(assignment) {
            for (sum, amount) in used[*cluster].iter_mut().zip(demand) {
                // More than a cluster can have, and no less than is needed.
                *sum = sum.saturating_add(*amount);
            }
        }
        used
    }

    /// Whether an assignment keeps every constraint.
    #[must_use]
    pub fn is_feasible(&self, assignment: &[usize]) -> bool {
        assignment.iter().enumerate().all(|(item, cluster)| self.allowed.at(item, *cluster))
            && self
                .used(assignment)
                .iter()
                .zip(&self.capacity)
                .all(|(used, capacity)| used.iter().zip(capacity).all(|(used, capacity)| used <= capacity))
            && self
                .pair_rules
                .iter()
                .all(|rule| self.relations[rule.relation].at(assignment[rule.a], assignment[rule.b]))
    }
}

#[cfg(test)]
impl Model {
    /// A model without constraints or costs.
    pub fn free(items: usize, clusters: usize) -> Self {
        Self {
            demand: vec![[0; RESOURCES]; items],
            capacity: vec![[i64::MAX; RESOURCES]; clusters],
            allowed: Matrix::new(items, clusters, true),
            cost: Matrix::new(items, clusters, 0),
            activation: vec![0; clusters],
            edges: Vec::new(),
            latency: Matrix::new(clusters, clusters, 0),
            relations: Vec::new(),
            pair_rules: Vec::new(),
            overload: None,
            current: vec![None; items],
        }
    }

    /// Items of these CPU demands on clusters of these CPU capacities, at no cost.
    pub fn of_cpu(demand: &[i64], capacity: &[i64]) -> Self {
        let mut model = Self::free(demand.len(), capacity.len());
        model.demand.iter_mut().zip(demand).for_each(|(amounts, cpu)| amounts[0] = *cpu);
        model.capacity.iter_mut().zip(capacity).for_each(|(amounts, cpu)| amounts[0] = *cpu);
        model
    }

    /// Least cost by trying every assignment; `None` when none is feasible.
    pub fn brute_force(&self) -> Option<i64> {
        let feasible = self.assignments().filter(|assignment| self.is_feasible(assignment));
        feasible.map(|assignment| self.cost_of(&assignment)).min()
    }

    /// Every assignment, feasible or not.
    pub fn assignments(&self) -> impl Iterator<Item = Vec<usize>> {
        let (items, clusters) = (self.items() as u32, self.clusters());
        let assignment =
            move |number| (0..items).map(|item| number / clusters.pow(item) % clusters).collect();
        (0..clusters.pow(items)).map(assignment)
    }
}
