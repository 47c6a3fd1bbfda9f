//! Cluster subproblems: the best set of items at given prices, and the number of clusters that must be open.
//!
//! Both are solved exactly over one resource in cells. Demands are rounded down to cells and capacities of
//! the covering problem up, so a feasible assignment stays feasible and minima stay bounds. Further resources
//! that could bind enter a knapsack by a Lagrange multiplier ("rent").

use super::super::model::{Matrix, Model, RESOURCES};
use super::domain::{Domain, Use};
use super::knapsack::{Candidate, Number, cover, knapsack};

/// Maximum number of cells of a capacity: precision against time.
const CELLS: i64 = 1024;

/// Multipliers of the constraints between items and clusters, in nano-costs; none is negative.
#[derive(Debug, Clone)]
pub(super) struct Values<T> {
    /// Price of an item's place on a cluster, items × stride.
    pub(super) price: Vec<T>,
    /// Price of the whole capacity of a resource, per cluster.
    pub(super) rent: Vec<[T; RESOURCES]>,
    /// The part of the activation that the covering problem pays, per cluster.
    pub(super) duty: Vec<T>,
}

impl<T> Values<T> {
    /// The same multipliers as other numbers.
    pub(super) fn map<U>(&self, number: impl Fn(&T) -> U) -> Values<U> {
        Values {
            price: self.price.iter().map(&number).collect(),
            rent: self.rent.iter().map(|rent| rent.each_ref().map(&number)).collect(),
            duty: self.duty.iter().map(&number).collect(),
        }
    }
}

/// How a cluster's knapsack counts.
#[derive(Debug)]
struct Shelf {
    resource: usize,
    /// Amount per cell.
    unit: i64,
    cells: usize,
    /// Other resources that all items together would exceed.
    rented: Vec<usize>,
    /// Whether the soft limit can be exceeded.
    overload: bool,
}

/// The covering problem: open clusters must hold the demand of all items for one resource.
#[derive(Debug)]
struct Covering {
    cells: usize,
    /// Cells of each cluster.
    offer: Vec<usize>,
}

/// The knapsacks of all clusters, and the covering problem.
#[derive(Debug)]
pub(super) struct Clusters<'a> {
    model: &'a Model,
    stride: usize,
    shelves: Vec<Shelf>,
    covering: Covering,
    /// Clusters × items: cells an item takes.
    weight: Matrix<usize>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(model: &'a Model, stride: usize) -> Self {
        let shelves: Vec<Shelf> = (0..model.clusters()).map(|cluster| shelf(model, cluster)).collect();
        let mut weight = Matrix::new(model.clusters(), model.items(), 0);
        for (cluster, shelf) in shelves.iter().enumerate() {
            for (item, demand) in model.demand.iter().enumerate() {
                weight.set(cluster, item, (demand[shelf.resource] / shelf.unit) as usize);
            }
        }
        Self { model, stride, shelves, covering: covering(model), weight }
    }

    /// Prices to start from: every item pays its share of the activation, as in the LP relaxation of `Σ
    /// demand ≤ capacity·used`.
    pub(super) fn start(&self) -> Values<f32> {
        let mut price = vec![0.0; self.model.items() * self.stride];
        for (cluster, shelf) in self.shelves.iter().enumerate() {
            let activation = self.model.activation[cluster] as f32;
            let capacity = self.model.capacity[cluster][shelf.resource].max(1);
            for (item, demand) in self.model.demand.iter().enumerate() {
                price[item * self.stride + cluster] = activation.portion(demand[shelf.resource], capacity);
            }
        }
        let clusters = self.model.clusters();
        Values { price, rent: vec![[0.0; RESOURCES]; clusters], duty: vec![0.0; clusters] }
    }

    /// Resources of a cluster that have a rent.
    pub(super) fn rented(&self, cluster: usize) -> &[usize] {
        &self.shelves[cluster].rented
    }

    /// The largest share of a cluster's capacity that an item takes.
    pub(super) fn share(&self, item: usize, cluster: usize) -> f32 {
        let part =
            |resource| 1.0_f32.portion(self.model.demand[item][resource], self.capacity(cluster, resource));
        (0..RESOURCES).map(part).fold(0.0, f32::max)
    }

    /// Part of a rented resource that items take.
    pub(super) fn load(&self, items: &[usize], cluster: usize, resource: usize) -> f32 {
        let capacity = self.capacity(cluster, resource);
        items.iter().map(|item| 1.0_f32.portion(self.model.demand[*item][resource], capacity)).sum()
    }

    fn capacity(&self, cluster: usize, resource: usize) -> i64 {
        self.model.capacity[cluster][resource].max(1)
    }

    /// Least cost of using a cluster: activation, less the payments of items, rents and duty, with the best
    /// set of items. `table` is scratch memory; fills `packed`.
    pub(super) fn pack<T: Number>(
        &self,
        domain: &Domain,
        values: &Values<T>,
        cluster: usize,
        table: &mut Vec<T>,
        packed: &mut Vec<usize>,
    ) -> T {
        let shelf = &self.shelves[cluster];
        let rent = values.rent[cluster];
        let mut candidates = Vec::new();
        for (item, demand) in self.model.demand.iter().enumerate() {
            let price = values.price[item * self.stride + cluster];
            if price <= T::default() || !domain.allowed.at(item, cluster) {
                continue;
            }
            let mut cost = T::default() - price;
            for resource in &shelf.rented {
                cost = cost + rent[*resource].portion(demand[*resource], self.capacity(cluster, *resource));
            }
            if cost < T::default() {
                candidates.push(Candidate { item, weight: self.weight.at(cluster, item), cost });
            }
        }
        let mut fixed = T::from_cost(self.model.activation[cluster]) - values.duty[cluster];
        for resource in &shelf.rented {
            fixed = fixed - rent[*resource];
        }
        let penalty = |cell: usize| T::from_cost(self.overload(cluster, cell));
        packed.clear();
        if shelf.overload {
            return fixed + knapsack(&candidates, shelf.cells, Some(&penalty), table, packed);
        }
        let (surely, cells) = T::reduce(&mut candidates, shelf.cells, packed);
        fixed + surely + knapsack(&candidates, cells, None, table, packed)
    }

    /// Nano-cost of a load above the soft limit.
    fn overload(&self, cluster: usize, cell: usize) -> i64 {
        let load = self.shelves[cluster].unit.saturating_mul(cell as i64);
        self.model.overload.as_ref().map_or(0, |overload| {
            overload.rate.saturating_mul(load.saturating_sub(overload.threshold[cluster]).max(0))
        })
    }

    /// Least duty of clusters that can hold all items; `None` when no set can. Fills `covering`.
    pub(super) fn cover<T: Number>(&self, domain: &Domain, duty: &[T], covering: &mut [bool]) -> Option<T> {
        covering.fill(false);
        let mut total = T::default();
        let mut missing = self.covering.cells;
        let mut candidates = Vec::new();
        for (cluster, state) in domain.uses.iter().enumerate() {
            let weight = self.covering.offer[cluster];
            match state {
                Use::Closed => {}
                Use::Open => {
                    covering[cluster] = true;
                    total = total + duty[cluster];
                    missing = missing.saturating_sub(weight);
                }
                Use::Free => candidates.push(Candidate { item: cluster, weight, cost: duty[cluster] }),
            }
        }
        let mut chosen = Vec::new();
        let free = cover(&candidates, missing, &mut Vec::new(), &mut chosen)?;
        for cluster in chosen {
            covering[cluster] = true;
        }
        Some(total + free)
    }
}

fn shelf(model: &Model, cluster: usize) -> Shelf {
    let items: Vec<usize> = (0..model.items()).filter(|item| model.allowed.at(*item, cluster)).collect();
    let capacity = model.capacity[cluster];
    let wanted = |resource: usize| total(items.iter().map(|item| model.demand[*item][resource]));
    let binding: Vec<usize> =
        (0..RESOURCES).filter(|resource| wanted(*resource) > i128::from(capacity[*resource])).collect();
    let overload = model
        .overload
        .as_ref()
        .is_some_and(|overload| overload.rate > 0 && wanted(0) > i128::from(overload.threshold[cluster]));
    let tightness = |resource: &usize| wanted(*resource) as f64 / capacity[*resource].max(1) as f64;
    let tightest = binding.iter().copied().max_by(|a, b| tightness(a).total_cmp(&tightness(b)));
    let counted = if overload { Some(0) } else { tightest };
    let Some(resource) = counted else {
        // Everything fits.
        return Shelf { resource: 0, unit: i64::MAX, cells: 1, rented: binding, overload };
    };
    let limit = i128::from(capacity[resource]).min(wanted(resource)) as i64;
    let unit = unit(items.iter().map(|item| model.demand[*item][resource]), limit);
    let rented = binding.into_iter().filter(|other| *other != resource).collect();
    Shelf { resource, unit, cells: (limit / unit) as usize, rented, overload }
}

fn covering(model: &Model) -> Covering {
    let wanted = |resource: usize| total(model.demand.iter().map(|demand| demand[resource]));
    let offered = |resource: usize| total(model.capacity.iter().map(|capacity| capacity[resource]));
    let tightness = |resource: usize| wanted(resource) as f64 / offered(resource).max(1) as f64;
    let tightest = (0..RESOURCES).max_by(|a, b| tightness(*a).total_cmp(&tightness(*b))).unwrap_or(0);
    let limit = i64::try_from(wanted(tightest)).unwrap_or(i64::MAX);
    let unit = unit(model.demand.iter().map(|demand| demand[tightest]), limit);
    let offer = model.capacity.iter().map(|capacity| capacity[tightest]);
    let offer = offer.map(|amount| (amount / unit + i64::from(amount % unit > 0)) as usize).collect();
    Covering { cells: (limit / unit) as usize, offer }
}

fn total(amounts: impl Iterator<Item = i64>) -> i128 {
    amounts.map(i128::from).sum()
}

/// Amount per cell: the greatest common divisor of the demands, which loses nothing, or more where that would
/// make too many cells.
fn unit(demands: impl Iterator<Item = i64>, limit: i64) -> i64 {
    demands.fold(0, greatest_common_divisor).max(limit / CELLS + i64::from(limit % CELLS > 0)).max(1)
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
