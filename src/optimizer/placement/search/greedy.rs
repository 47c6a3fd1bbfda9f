//! Cheapest insertion: items by falling size, each to the cluster where it adds least; then descent.

use std::cmp::Reverse;

use super::landscape::Landscape;
use super::state::State;
use crate::optimizer::placement::{Model, RESOURCES};

/// Maximum number of rounds of descent over all items.
const ROUNDS: usize = 4;

/// A feasible assignment by cheapest insertion, improved by moving single items; `None` if insertion finds
/// none, although there may be some.
#[must_use]
pub fn greedy(model: &Model) -> Option<Vec<usize>> {
    let landscape = Landscape::new(model)?;
    let assignment = start(&landscape);
    model.is_feasible(&assignment).then_some(assignment)
}

/// The result of [`greedy()`], or else an assignment that violates constraints.
pub(super) fn start(landscape: &Landscape<'_>) -> Vec<usize> {
    descent(State::new(landscape, insertion(landscape)))
}

/// Moves items to cheaper clusters until no move helps. A feasible assignment stays feasible.
fn descent(mut state: State<'_>) -> Vec<usize> {
    let landscape = state.landscape;
    let mut improved = true;
    for _ in 0..ROUNDS {
        if !std::mem::take(&mut improved) {
            break;
        }
        for item in &landscape.movable {
            let from = state.at[*item];
            let others = landscape.choices.of(*item).iter().copied().filter(|to| *to != from);
            let Some(to) = others.min_by_key(|to| state.relocation(*item, *to)) else { continue };
            if state.relocation(*item, to) >= 0 {
                continue;
            }
            let was_feasible = state.is_feasible();
            state.relocate(*item, to);
            if was_feasible && !state.is_feasible() {
                state.relocate(*item, from);
            } else {
                improved = true;
            }
        }
    }
    state.at
}

/// Puts the items, largest first, where they violate least and, among such clusters, cost least.
fn insertion(landscape: &Landscape<'_>) -> Vec<usize> {
    let model = landscape.model;
    let mut at: Vec<Option<usize>> = vec![None; model.items()];
    let mut used = vec![[0; RESOURCES]; model.clusters()];
    let mut open = vec![false; model.clusters()];
    for item in by_size(model) {
        let price = |cluster: usize| {
            let mut load = used[cluster];
            add(&mut load, &model.demand[item]);
            let (overload, penalty) = landscape.load_cost(cluster, &load);
            let (overload_now, penalty_now) = landscape.load_cost(cluster, &used[cluster]);
            let broken = landscape.rules.of(item).iter().filter(|(other, relation)| {
                at[*other].is_some_and(|there| !model.relations[*relation].at(cluster, there))
            });
            let penalty = penalty - penalty_now + broken.count() as i64 * landscape.rule_penalty;
            let latency = landscape.neighbours.of(item).iter().map(|(other, weight)| {
                at[*other].map_or(0, |there| weight * model.latency.at(cluster, there))
            });
            let activation = if open[cluster] { 0 } else { model.activation[cluster] };
            let cost =
                model.cost.at(item, cluster) + activation + latency.sum::<i64>() + overload - overload_now;
            (penalty, cost)
        };
        let best = landscape.choices.of(item).iter().copied().min_by_key(|cluster| price(*cluster));
        if let Some(cluster) = best {
            add(&mut used[cluster], &model.demand[item]);
            open[cluster] = true;
            at[item] = Some(cluster);
        }
    }
    at.into_iter().flatten().collect()
}

fn add(sum: &mut [i64; RESOURCES], amount: &[i64; RESOURCES]) {
    for (sum, amount) in sum.iter_mut().zip(amount) {
        *sum += amount;
    }
}

/// All items by their largest share of the total demand for a resource, the largest first.
fn by_size(model: &Model) -> Vec<usize> {
    let mut total = [1_i128; RESOURCES];
    for demand in &model.demand {
        for (sum, amount) in total.iter_mut().zip(demand) {
            *sum += i128::from(*amount);
        }
    }
    let size = |item: &usize| {
        let shares =
            model.demand[*item].iter().zip(&total).map(|(amount, total)| (i128::from(*amount) << 32) / total);
        Reverse(shares.max())
    };
    let mut order: Vec<usize> = (0..model.items()).collect();
    order.sort_by_key(size);
    order
}
