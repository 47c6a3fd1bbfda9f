use proptest::prelude::*;

use super::super::model::{Edge, Matrix, Model, Overload, PairRule};
use super::knapsack::{Candidate, Number, cover, knapsack};
use super::{Effort, branch_and_bound, exact_cost, lower_bound};
use crate::optimizer::Stop;

/// Enough to finish the search of a tiny model.
const COMPLETE: Effort = Effort { rounds: 50, nodes: 10_000, deadline: None };

fn matrix<T: Copy>(rows: usize, columns: usize, cells: &[T]) -> Matrix<T> {
    let mut matrix = Matrix::new(rows, columns, cells[0]);
    for row in 0..rows {
        for column in 0..columns {
            matrix.set(row, column, cells[row * columns + column]);
        }
    }
    matrix
}

/// A symmetric matrix out of the upper triangle of `cells`.
fn symmetric<T: Copy>(size: usize, cells: &[T], diagonal: Option<T>) -> Matrix<T> {
    let mut matrix = Matrix::new(size, size, cells[0]);
    for row in 0..size {
        for column in 0..size {
            let cell = cells[row.min(column) * size + row.max(column)];
            matrix.set(row, column, if row == column { diagonal.unwrap_or(cell) } else { cell });
        }
    }
    matrix
}

fn pairs(items: usize) -> Vec<(usize, usize)> {
    (0..items).flat_map(|a| (a + 1..items).map(move |b| (a, b))).collect()
}

prop_compose! {
    /// Any kind of constraint and cost; amounts in `unit`, so that cells are exact or rounded.
    fn tiny_models()(items in 1_usize..=5, clusters in 1_usize..=3, unit in prop_oneof![Just(1_i64), Just(7_777_777)])
    (
        demand in prop::collection::vec(prop::array::uniform5(0_i64..5), items),
        capacity in prop::collection::vec(prop::array::uniform5(prop_oneof![0_i64..12, Just(i64::MAX)]), clusters),
        jitter in prop::collection::vec(0..unit, items),
        allowed in prop::collection::vec(prop::bool::weighted(0.85), items * clusters),
        cost in prop::collection::vec(0_i64..50_000_000_000, items * clusters),
        activation in prop::collection::vec(prop_oneof![Just(0_i64), 0_i64..60_000_000_000], clusters),
        edges in prop::sample::subsequence(pairs(items), 0..=pairs(items).len()),
        weights in prop::collection::vec(0_i64..2_000_000, 10),
        latency in prop::collection::vec(0_i64..30_000, clusters * clusters),
        relations in prop::collection::vec(prop::collection::vec(any::<bool>(), clusters * clusters), 2),
        rules in prop::sample::subsequence(pairs(items), 0..=pairs(items).len().min(3)),
        overload in prop::option::of((0_i64..5_000_000_000, prop::collection::vec(0_i64..8, clusters))),
        shape in (Just(items), Just(clusters), Just(unit)),
    ) -> Model {
        let (items, clusters, unit) = shape;
        let mut model = Model::free(items, clusters);
        model.demand = demand;
        for (demand, jitter) in model.demand.iter_mut().zip(jitter) {
            *demand = demand.map(|amount| amount * unit + jitter);
        }
        model.capacity = capacity;
        for amount in model.capacity.as_flattened_mut() {
            *amount = amount.saturating_mul(unit);
        }
        model.allowed = matrix(items, clusters, &allowed);
        model.cost = matrix(items, clusters, &cost);
        model.activation = activation;
        model.edges = edges.iter().zip(weights).map(|((a, b), weight)| Edge { a: *a, b: *b, weight }).collect();
        model.latency = symmetric(clusters, &latency, Some(0));
        model.relations = relations.iter().map(|cells| symmetric(clusters, cells, None)).collect();
        model.pair_rules = rules.iter().map(|(a, b)| PairRule { a: *a, b: *b, relation: (a + b) % 2 }).collect();
        model.overload = overload.map(|(rate, threshold)| Overload {
            rate: rate / unit,
            threshold: threshold.iter().map(|amount| amount * unit).collect(),
        });
        model
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_bound_is_never_above_the_optimum(model in tiny_models(), rounds in 0_usize..80, nodes in 0_usize..6) {
        let effort = Effort { rounds, nodes, deadline: None };
        if let Some(optimum) = model.brute_force() {
            prop_assert!(lower_bound(&model, None, &effort, &Stop::never()) <= optimum);
            prop_assert!(lower_bound(&model, Some(optimum), &effort, &Stop::never()) <= optimum);
            let worse = optimum + 10_000_000_000;
            prop_assert!(lower_bound(&model, Some(worse), &effort, &Stop::never()) <= optimum);
        } else {
            let _bound = lower_bound(&model, None, &effort, &Stop::never());
        }
    }

    #[test]
    fn a_complete_search_proves_the_optimum_or_that_there_is_none(model in tiny_models()) {
        let optimum = model.brute_force();
        prop_assert_eq!(lower_bound(&model, None, &COMPLETE, &Stop::never()), optimum.unwrap_or(i64::MAX));
        if let Some(optimum) = optimum {
            prop_assert_eq!(lower_bound(&model, Some(optimum), &COMPLETE, &Stop::never()), optimum);
        }
    }

    #[test]
    fn branch_and_bound_finds_the_optimum(model in tiny_models()) {
        let optimum = model.brute_force();
        let found = branch_and_bound(&model, None, &COMPLETE, &Stop::never());
        prop_assert_eq!(found.incumbent.as_ref().map(|(_, cost)| *cost), optimum);
        prop_assert_eq!(found.bound, optimum.unwrap_or(i64::MAX));
        if let Some((assignment, _)) = found.incumbent {
            prop_assert!(model.is_feasible(&assignment));
            prop_assert_eq!(branch_and_bound(&model, Some(&assignment), &COMPLETE, &Stop::never()).incumbent, Some((assignment, found.bound)));
        }
    }

    /// Costs are small integers, so that floats are exact.
    #[test]
    fn a_reduced_knapsack_has_the_same_optimum(
        raw in prop::collection::vec((0_usize..20, 1_i64..1000), 40..90), cells in 0_usize..300
    ) {
        let raw = || raw.iter().enumerate().map(|(item, (weight, gain))| (item, *weight, -gain));
        let whole: Vec<_> = raw().map(|(item, weight, cost)| Candidate { item, weight, cost }).collect();
        let optimum = knapsack(&whole, cells, None, &mut Vec::new(), &mut Vec::new());
        let mut core: Vec<_> =
            raw().map(|(item, weight, cost)| Candidate { item, weight, cost: cost as f32 }).collect();
        let mut chosen = Vec::new();
        let (surely, left) = f32::reduce(&mut core, cells, &mut chosen);
        let least = surely + knapsack(&core, left, None, &mut Vec::new(), &mut chosen);
        prop_assert_eq!(least as i64, optimum);
        prop_assert_eq!(chosen.iter().map(|item| whole[*item].cost).sum::<i64>(), optimum);
        prop_assert!(chosen.iter().map(|item| whole[*item].weight).sum::<usize>() <= cells);
    }

    #[test]
    fn a_cover_is_the_cheapest_set_that_reaches_the_demand(
        raw in prop::collection::vec((0_usize..9, 0_i64..100), 0..8), cells in 0_usize..40
    ) {
        let candidates: Vec<_> = raw.iter().enumerate()
            .map(|(item, (weight, cost))| Candidate { item, weight: *weight, cost: *cost }).collect();
        let least = (0..1_usize << raw.len())
            .map(|set| raw.iter().enumerate().filter(move |(item, _)| set >> item & 1 == 1).map(|(_, part)| part))
            .filter(|set| set.clone().map(|(weight, _)| weight).sum::<usize>() >= cells)
            .map(|set| set.map(|(_, cost)| cost).sum::<i64>())
            .min();
        let mut chosen = Vec::new();
        prop_assert_eq!(cover(&candidates, cells, &mut Vec::new(), &mut chosen), least);
        if let Some(least) = least {
            prop_assert_eq!(chosen.iter().map(|item| raw[*item].1).sum::<i64>(), least);
        }
    }

    #[test]
    fn the_mixed_integer_program_finds_the_optimum(model in tiny_models(), uniform in any::<bool>()) {
        let mut model = model;
        if uniform {
            let latency = model.latency.row(0).iter().copied().max().unwrap_or(0);
            model.latency = symmetric(model.clusters(), &vec![latency; model.clusters().pow(2)], Some(0));
        }
        let optimum = model.brute_force();
        let found = exact_cost(&model, None, 0, &Stop::never());
        prop_assert_eq!(found.incumbent.as_ref().map(|(_, cost)| *cost), optimum);
        prop_assert!(found.bound <= optimum.unwrap_or(i64::MAX));
        if let Some((assignment, cost)) = found.incumbent {
            prop_assert!(model.is_feasible(&assignment));
            prop_assert!(found.bound as f64 >= cost as f64 * (1.0 - 1e-5) - 1e3, "{} {}", found.bound, cost);
            let again = exact_cost(&model, Some(&assignment), 0, &Stop::never());
            prop_assert_eq!(again.incumbent.map(|(_, cost)| cost), Some(cost));
        }
    }

    #[test]
    fn equal_models_give_equal_bounds(model in tiny_models()) {
        let effort = Effort { rounds: 30, nodes: 2, deadline: None };
        prop_assert_eq!(lower_bound(&model, None, &effort, &Stop::never()), lower_bound(&model, None, &effort, &Stop::never()));
    }
}

#[test]
fn models_without_items_or_clusters_have_a_bound() {
    assert_eq!(lower_bound(&Model::free(0, 0), None, &COMPLETE, &Stop::never()), 0);
    assert_eq!(lower_bound(&Model::free(0, 2), None, &COMPLETE, &Stop::never()), 0);
    assert_eq!(lower_bound(&Model::free(2, 0), None, &COMPLETE, &Stop::never()), i64::MAX);
}

/// Three items of 6 of 10 cores need three clusters, although 18 of 30 cores would do in the LP relaxation:
/// 3 activations of 5.
#[test]
fn knapsacks_see_that_items_cannot_be_cut() {
    let mut model = Model::free(3, 4);
    model.demand = vec![[6, 0, 0, 0, 0]; 3];
    model.capacity = vec![[10, i64::MAX, i64::MAX, i64::MAX, i64::MAX]; 4];
    model.activation = vec![5_000_000_000; 4];
    let bound = lower_bound(&model, None, &Effort { rounds: 500, nodes: 0, deadline: None }, &Stop::never());
    assert!((14_900_000_000..=15_000_000_000).contains(&bound), "{bound}");
}

/// Ten items of 1 core need three clusters of 4: the LP relaxation pays 2.5 activations of 2, the covering
/// problem 3.
#[test]
fn the_covering_problem_rounds_the_number_of_clusters_up() {
    let mut model = Model::free(10, 4);
    model.demand = vec![[1, 0, 0, 0, 0]; 10];
    model.capacity = vec![[4, i64::MAX, i64::MAX, i64::MAX, i64::MAX]; 4];
    model.activation = vec![2_000_000_000; 4];
    let bound = lower_bound(&model, None, &Effort { rounds: 500, nodes: 0, deadline: None }, &Stop::never());
    assert!((5_900_000_000..=6_000_000_000).contains(&bound), "{bound}");
}

/// Costs near the limit of the integers give the trivial bound instead of an overflow.
#[test]
fn enormous_costs_do_not_overflow() {
    let mut model = Model::free(3, 2);
    model.cost = Matrix::new(3, 2, i64::MAX / 4);
    assert_eq!(lower_bound(&model, None, &COMPLETE, &Stop::never()), 0);
}

#[test]
fn a_deadline_in_the_past_still_gives_a_valid_bound() {
    let mut model = Model::free(2, 2);
    model.cost = Matrix::new(2, 2, 3);
    let effort = Effort { deadline: Some(std::time::Instant::now()), ..COMPLETE };
    assert_eq!(lower_bound(&model, None, &effort, &Stop::never()), 6);
}
