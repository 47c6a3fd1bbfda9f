//! Optimality without a solver: a bound by counting, and an assignment that meets it.
//!
//! Bound: every item costs at least its cheapest allowed cluster. Let the resident items stay; where they
//! exceed a cluster's capacity, at least k of them must leave, k being the minimum number of largest-first
//! removals that cover the excess of a resource (the largest such k over the resources), and they cost at
//! least the k smallest surcharges of leaving. Pair rules can only add to that.
//!
//! Assignment: k residents leave each such cluster, as small ones as cover the excess, and are packed
//! elsewhere.

use super::super::{Model, RESOURCES};
use super::Placement;
use super::packing::Packing;

/// The result without a solver.
pub(super) enum Certificate {
    /// The assignment meets the bound.
    Optimal(Placement),
    /// Some item has nowhere to be, or there is too little of a resource.
    Infeasible,
    /// Not decided.
    Open {
        /// A feasible assignment, if one was found.
        found: Option<Vec<usize>>,
        /// Lower bound of the nano-cost.
        bound: i64,
    },
}

/// A resident that could leave its cluster.
struct Leaver {
    item: usize,
    demand: [i64; RESOURCES],
    /// Nano-cost of the next best allowed cluster minus that of its own.
    surcharge: i64,
    /// See [`Packing::size`].
    size: f64,
}

pub(super) fn certify(model: &Model) -> Certificate {
    if exceeds_everything(model) {
        return Certificate::Infeasible;
    }
    let mut packing = Packing::new(model);
    let mut moving = Vec::new();
    let mut residents = vec![Vec::new(); model.clusters()];
    let mut bound = 0;
    for item in 0..model.items() {
        let Some((home, cost)) = cheapest(model, item) else { return Certificate::Infeasible };
        bound += cost;
        match home {
            Some(home) => {
                packing.put(item, home);
                residents[home].push(item);
            }
            None => moving.push(item),
        }
    }
    for (cluster, residents) in residents.iter().enumerate() {
        let excess = packing.room[cluster].map(|room| (-room).max(0));
        if excess == [0; RESOURCES] {
            continue;
        }
        let leavers = leavers(model, &packing, residents, cluster);
        let Some(count) = fewest(&leavers, &excess) else { return Certificate::Infeasible };
        bound += leavers[..count].iter().map(|leaver| leaver.surcharge).sum::<i64>();
        for item in choose(leavers, &excess) {
            packing.take(item);
            moving.push(item);
        }
    }
    let found = packing.complete(moving).filter(|assignment| model.is_feasible(assignment));
    match found.map(|assignment| Placement::new(model, assignment, bound)) {
        Some(placement) if placement.cost == bound => Certificate::Optimal(placement),
        found => Certificate::Open { found: found.map(|placement| placement.assignment), bound },
    }
}

/// Whether all items together need more of a resource than all clusters have.
fn exceeds_everything(model: &Model) -> bool {
    (0..RESOURCES).any(|resource| {
        let needed: i128 = model.demand.iter().map(|demand| i128::from(demand[resource])).sum();
        let free: i128 = model.capacity.iter().map(|capacity| i128::from(capacity[resource])).sum();
        needed > free
    })
}

/// The minimum nano-cost of an item, and its current cluster if the item has that cost there; `None` when it
/// is allowed nowhere.
fn cheapest(model: &Model, item: usize) -> Option<(Option<usize>, i64)> {
    let allowed = |cluster: &usize| model.allowed.at(item, *cluster);
    let home = model.current[item].filter(allowed);
    // Costs are not negative: nothing is cheaper than nothing.
    if let Some(home) = home.filter(|home| model.cost.at(item, *home) == 0) {
        return Some((Some(home), 0));
    }
    let least = (0..model.clusters()).filter(allowed).map(|cluster| model.cost.at(item, cluster)).min()?;
    Some((home.filter(|home| model.cost.at(item, *home) == least), least))
}

/// The residents that have somewhere else to go, by surcharge.
fn leavers(model: &Model, packing: &Packing<'_>, residents: &[usize], home: usize) -> Vec<Leaver> {
    let leaver = |item: &usize| {
        let elsewhere =
            (0..model.clusters()).filter(|other| *other != home && model.allowed.at(*item, *other));
        let next = elsewhere.map(|other| model.cost.at(*item, other)).min()?;
        Some(Leaver {
            item: *item,
            demand: model.demand[*item],
            surcharge: next - model.cost.at(*item, home),
            size: packing.size(*item),
        })
    };
    let mut leavers: Vec<Leaver> = residents.iter().filter_map(leaver).collect();
    leavers.sort_by_key(|leaver| (leaver.surcharge, leaver.item));
    leavers
}

/// The minimum number of leavers that can cover the excess, considering each resource alone; `None` when all
/// of them together do not.
fn fewest(leavers: &[Leaver], excess: &[i64; RESOURCES]) -> Option<usize> {
    let mut count = 0;
    for (resource, excess) in excess.iter().enumerate().filter(|(_, excess)| **excess > 0) {
        let mut amounts: Vec<i64> = leavers.iter().map(|leaver| leaver.demand[resource]).collect();
        amounts.sort_unstable_by(|one, other| other.cmp(one));
        let mut covered = 0;
        let needed = amounts.iter().position(|amount| {
            covered += amount;
            covered >= *excess
        })?;
        count = count.max(needed + 1);
    }
    Some(count)
}

/// Chooses who leaves: the best cover of the excess, one by one, then each is replaced by the cheapest and
/// smallest that still lets the excess be covered. When several resources are exceeded, more may leave than
/// have to.
fn choose(mut open: Vec<Leaver>, excess: &[i64; RESOURCES]) -> Vec<usize> {
    open.sort_by(|one, other| {
        (one.surcharge.cmp(&other.surcharge))
            .then(one.size.total_cmp(&other.size))
            .then(one.item.cmp(&other.item))
    });
    let mut chosen: Vec<Leaver> = Vec::new();
    let mut missing = *excess;
    while missing.iter().any(|amount| *amount > 0) {
        let cover = |index: &usize| coverage(&open[*index].demand, &missing, excess);
        // Of equals the first: the cheapest, smallest and lowest.
        let best =
            (0..open.len()).max_by(|one, other| cover(one).total_cmp(&cover(other)).then(other.cmp(one)));
        let Some(best) = best else { break };
        let leaver = open.remove(best);
        missing = minus(&missing, &leaver.demand);
        chosen.push(leaver);
    }
    for leaver in &mut chosen {
        let without = minus(&missing, &leaver.demand.map(|amount| -amount));
        let better = |other: &Leaver| {
            (other.surcharge, other.size) < (leaver.surcharge, leaver.size)
                && minus(&without, &other.demand).iter().all(|amount| *amount <= 0)
        };
        if let Some(index) = open.iter().position(better) {
            *leaver = open.remove(index);
            missing = minus(&without, &leaver.demand);
        }
    }
    chosen.into_iter().map(|leaver| leaver.item).collect()
}

/// The fraction of the remaining excess that a demand removes, summed over the resources.
#[expect(clippy::cast_precision_loss, reason = "a measure, not an amount")]
fn coverage(demand: &[i64; RESOURCES], missing: &[i64; RESOURCES], excess: &[i64; RESOURCES]) -> f64 {
    let part = |resource: usize| {
        let covered = demand[resource].min(missing[resource].max(0));
        if excess[resource] > 0 { covered as f64 / excess[resource] as f64 } else { 0.0 }
    };
    (0..RESOURCES).map(part).sum()
}

fn minus(amounts: &[i64; RESOURCES], others: &[i64; RESOURCES]) -> [i64; RESOURCES] {
    std::array::from_fn(|resource| amounts[resource] - others[resource])
}
