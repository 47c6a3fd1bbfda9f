//! Hand-worked cases, limits, and properties against brute force.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::landscape::Landscape;
use super::random::{Random, below, tolerance};
use super::state::State;
use super::{Budget, anneal, greedy, iterations};
use crate::optimizer::Stop;
use crate::optimizer::placement::{Edge, Matrix, Model, Overload, PairRule, RESOURCES};

const UNLIMITED: [i64; RESOURCES] = [i64::MAX; RESOURCES];

fn budget(seed: u64, iterations: u64) -> Budget {
    Budget { seed, iterations, deadline: None, threads: 1 }
}

fn matrix<T: Copy>(rows: &[Vec<T>], columns: usize, cell: T) -> Matrix<T> {
    let mut matrix = Matrix::new(rows.len(), columns, cell);
    for (row, cells) in rows.iter().enumerate() {
        for (column, cell) in cells.iter().enumerate() {
            matrix.set(row, column, *cell);
        }
    }
    matrix
}

/// A relation of clusters that are equal.
fn same(clusters: usize) -> Matrix<bool> {
    let mut same = Matrix::new(clusters, clusters, false);
    (0..clusters).for_each(|cluster| same.set(cluster, cluster, true));
    same
}

#[test]
fn a_model_without_items_has_the_empty_assignment() {
    assert_eq!(greedy(&Model::of_cpu(&[], &[10])), Some(vec![]));
    assert_eq!(anneal(&Model::of_cpu(&[], &[10]), &[], &budget(0, 1000), &Stop::never()), Some(vec![]));
    assert_eq!(anneal(&Model::of_cpu(&[], &[]), &[], &budget(0, 1000), &Stop::never()), Some(vec![]));
}

#[test]
fn items_without_an_allowed_cluster_have_no_assignment() {
    assert_eq!(anneal(&Model::of_cpu(&[1], &[]), &[], &budget(0, 1000), &Stop::never()), None);
    let mut pinned = Model::of_cpu(&[1, 1], &[10, 10]);
    pinned.allowed.set(1, 0, false);
    pinned.allowed.set(1, 1, false);
    assert_eq!(greedy(&pinned), None);
    assert_eq!(anneal(&pinned, &[vec![0, 0]], &budget(0, 1000), &Stop::never()), None);
}

#[test]
fn the_only_assignment_is_found_without_a_budget() {
    let mut pinned = Model::of_cpu(&[1, 1], &[2, 2]);
    pinned.allowed.set(0, 0, false);
    pinned.allowed.set(1, 1, false);
    assert_eq!(anneal(&pinned, &[], &budget(0, 0), &Stop::never()), Some(vec![1, 0]));
    assert_eq!(anneal(&Model::of_cpu(&[1, 2], &[2]), &[], &budget(0, 1000), &Stop::never()), None);
}

#[test]
fn greedy_places_the_largest_item_first() {
    // 3 takes the cheap cluster 0 (capacity 4); the first 2 does not fit beside it and pays 5 on cluster 1,
    // the second one too. No single item can improve that.
    let mut model = Model::of_cpu(&[2, 3, 2], &[4, 4]);
    model.cost = matrix(&[vec![1, 5], vec![1, 5], vec![1, 5]], 2, 0);
    assert_eq!(greedy(&model), Some(vec![1, 0, 1]));
    assert_eq!(model.cost_of(&[1, 0, 1]), 11);
}

#[test]
fn greedy_corrects_what_it_could_not_foresee() {
    // Insertion: 2 -> cluster 0 (cost 1 of 1 or 3), then 1, pinned -> cluster 1, at latency 5. Descent: 2
    // follows to cluster 1: 3 instead of 1 + 5.
    let mut model = Model::of_cpu(&[2, 1], &[4, 4]);
    model.cost = matrix(&[vec![1, 3], vec![0, 0]], 2, 0);
    model.allowed.set(1, 0, false);
    model.latency = matrix(&[vec![0, 5], vec![5, 0]], 2, 0);
    model.edges = vec![Edge { a: 0, b: 1, weight: 1 }];
    assert_eq!(greedy(&model), Some(vec![1, 1]));
}

#[test]
fn search_leaves_the_cheap_cluster_to_where_it_saves_most() {
    // Greedy: 3 -> cluster 0 (1), 2 and 2 -> cluster 1 (5 + 5): 11. Better: 2 and 2 -> 0 (1 + 1), 3 -> 1 (5):
    // 7.
    let mut model = Model::of_cpu(&[2, 3, 2], &[4, 4]);
    model.cost = matrix(&[vec![1, 5], vec![1, 5], vec![1, 5]], 2, 0);
    assert_eq!(anneal(&model, &[], &budget(1, 20_000), &Stop::never()), Some(vec![0, 1, 0]));
}

#[test]
fn talking_items_meet_where_both_fit() {
    // Apart: 1 + 1 + 10·7 = 72. Together on 2: 4 + 4 = 8. Clusters 0 and 1 fit one item each.
    let mut model = Model::of_cpu(&[5, 5], &[5, 5, 10]);
    model.cost = matrix(&[vec![1, 3, 4], vec![3, 1, 4]], 3, 0);
    model.latency = matrix(&[vec![0, 7, 9], vec![7, 0, 9], vec![9, 9, 0]], 3, 0);
    model.edges = vec![Edge { a: 0, b: 1, weight: 10 }];
    assert_eq!(anneal(&model, &[], &budget(1, 20_000), &Stop::never()), Some(vec![2, 2]));
}

#[test]
fn overload_is_paid_only_if_it_is_cheaper() {
    // Both on 0: (8 − 6)·3 = 6 of overload. One on 1: activation 5. With activation 7 both stay.
    let mut model = Model::of_cpu(&[4, 4], &[8, 8]);
    model.activation = vec![0, 5];
    model.overload = Some(Overload { rate: 3, threshold: vec![6, i64::MAX] });
    assert_eq!(anneal(&model, &[], &budget(1, 20_000), &Stop::never()), Some(vec![0, 1]));
    model.activation = vec![0, 7];
    assert_eq!(anneal(&model, &[], &budget(1, 20_000), &Stop::never()), Some(vec![0, 0]));
}

#[test]
fn of_equally_cheap_assignments_the_one_with_fewest_moves_wins() {
    // All four cost 0; two items are on cluster 1 now, one is new and takes the first cluster.
    let mut model = Model::of_cpu(&[1, 1, 1], &[9, 9]);
    model.current = vec![Some(1), None, Some(1)];
    assert_eq!(
        anneal(&model, &[vec![1, 0, 1], vec![0, 0, 0], vec![1, 1, 1]], &budget(3, 0), &Stop::never()),
        Some(vec![1, 0, 1])
    );
}

#[test]
fn search_repairs_what_insertion_breaks() {
    // 4 and 1 must be together, 3 + 3 + 3 = 9 then are the rest. Capacities 7 and 7: 4 + 1 leave 2, no 3
    // fits. Capacities 7 and 9: only [4, 1] | [3, 3, 3]. Insertion puts 4 and 3 on cluster 0 and has no place
    // for 1.
    let mut model = Model::of_cpu(&[4, 3, 3, 3, 1], &[7, 7]);
    model.relations = vec![same(2)];
    model.pair_rules = vec![PairRule { a: 0, b: 4, relation: 0 }];
    assert_eq!(model.brute_force(), None);
    model.capacity[1][0] = 9;
    assert_eq!(greedy(&model), None);
    let found = anneal(&model, &[], &budget(0, 20_000), &Stop::never());
    assert!(found.is_some_and(|found| model.is_feasible(&found)));
}

#[test]
fn unlimited_capacity_does_not_overflow() {
    let mut model = Model::of_cpu(&[1 << 40, 1 << 40, 0], &[0, 0]);
    model.capacity = vec![UNLIMITED; 2];
    model.activation = vec![1 << 40, 1];
    assert_eq!(anneal(&model, &[], &budget(0, 20_000), &Stop::never()), Some(vec![1, 1, 1]));
}

#[test]
fn a_start_of_the_wrong_shape_is_ignored() {
    let model = Model::of_cpu(&[1, 1], &[2, 2]);
    let starts = [vec![], vec![7, 7], vec![0, 1, 0]];
    assert!(
        anneal(&model, &starts, &budget(0, 1000), &Stop::never())
            .is_some_and(|found| model.is_feasible(&found))
    );
}

#[test]
fn a_deadline_ends_the_search() {
    let model = random_model(11, 40, 6);
    for left in [Duration::ZERO, Duration::from_millis(30)] {
        let deadline = Instant::now() + left;
        let budget = Budget { seed: 0, iterations: u64::MAX, deadline: Some(deadline), threads: 2 };
        let found = anneal(&model, &[], &budget, &Stop::never());
        assert!(found.is_some_and(|found| model.is_feasible(&found)));
        assert!(Instant::now() < deadline + Duration::from_secs(5));
    }
}

#[test]
fn threads_do_not_change_the_answer() {
    for seed in 0..3 {
        let model = random_model(seed, 30, 6);
        let answer =
            |threads| anneal(&model, &[], &Budget { threads, ..budget(seed, 400_000) }, &Stop::never());
        let alone = answer(1);
        assert!(alone.is_some());
        for threads in [0, 2, 3, 64] {
            assert_eq!(answer(threads), alone, "threads: {threads}");
        }
    }
}

#[test]
fn the_recommended_iterations_grow_with_the_model() {
    assert!(iterations(0, 0) > 0);
    assert!(iterations(50, 10) <= iterations(200, 20));
    assert!(iterations(5000, 100) <= iterations(usize::MAX, usize::MAX));
}

#[test]
fn tolerances_are_exponentially_distributed() {
    // The mean of −T·ln u is T; a share e⁻¹ = 0.3679 is above T.
    let tolerances: Vec<i64> = (0..1024).map(|bits| tolerance(1_000_000, bits)).collect();
    let mean = tolerances.iter().sum::<i64>() / 1024;
    assert!((999_000..1_001_000).contains(&mean), "mean {mean}");
    assert_eq!(tolerances.iter().filter(|tolerance| **tolerance > 1_000_000).count(), 377);
}

#[test]
fn random_numbers_keep_their_bounds_and_their_values() {
    let mut random = Random::new(1, 2);
    let numbers: Vec<usize> = (0..1000).map(|_| below(random.next() >> 32, 10)).collect();
    assert!((0..10).all(|digit| numbers.iter().filter(|number| **number == digit).count() > 60));
    assert_eq!(below(u64::MAX, 0), 0);
}

/// A model that uses everything at once.
fn random_model(seed: u64, items: usize, clusters: usize) -> Model {
    let mut random = Random::new(seed, 99);
    let mut pick = |bound: usize| below(random.next() >> 32, bound);
    let cpu: Vec<i64> = (0..items).map(|_| 1 + pick(9) as i64).collect();
    let each = cpu.iter().sum::<i64>() * 3 / 2 / clusters as i64 + 9;
    let mut model = Model::of_cpu(&cpu, &vec![each; clusters]);
    for item in 0..items {
        for cluster in 0..clusters {
            model.cost.set(item, cluster, pick(50) as i64);
            model.allowed.set(item, cluster, cluster == item % clusters || pick(5) > 0);
        }
        model.demand[item][1] = pick(4) as i64;
        model.current[item] = (pick(3) > 0).then(|| pick(clusters));
        if item > 0 {
            model.edges.push(Edge { a: pick(item), b: item, weight: pick(5) as i64 });
        }
    }
    for one in 0..clusters {
        for other in 0..one {
            let latency = pick(30) as i64;
            model.latency.set(one, other, latency);
            model.latency.set(other, one, latency);
        }
        model.activation[one] = pick(100) as i64;
    }
    model.overload = Some(Overload { rate: 2, threshold: vec![each * 3 / 4; clusters] });
    model
}

#[test]
fn changes_are_told_as_they_turn_out() {
    let mut model = random_model(5, 25, 5);
    model.relations = vec![same(5)];
    model.pair_rules = vec![PairRule { a: 0, b: 1, relation: 0 }, PairRule { a: 1, b: 7, relation: 0 }];
    model.allowed = Matrix::new(25, 5, true);
    let landscape = Landscape::new(&model).expect("every item has a choice");
    let mut state = State::new(&landscape, vec![0; 25]);
    let mut random = Random::new(3, 0);
    for round in 0..3000 {
        let mut pick = |bound: usize| below(random.next() >> 32, bound);
        let (item, other, to) = (pick(25), pick(25), pick(5));
        let (from, before) = (state.at[item], state.value());
        if round % 500 == 499 {
            state.soften([0, 300, 50][round / 500 % 3]);
            state.harden();
        } else if round % 3 == 0 && from != state.at[other] {
            let (change, to) = (state.exchange(item, other), state.at[other]);
            state.relocate(item, to);
            state.relocate(other, from);
            assert_eq!(state.value() - before, change, "exchange");
        } else if round % 3 == 1 && from != to {
            let group: Vec<usize> = state.members[from].iter().copied().take(4).collect();
            let change = state.migration(&group, to);
            group.iter().for_each(|member| state.relocate(*member, to));
            assert_eq!(state.value() - before, change, "migration");
        } else if from != to {
            let change = state.relocation(item, to);
            state.relocate(item, to);
            assert_eq!(state.value() - before, change, "relocation");
        }
        assert_eq!(state.is_feasible(), model.is_feasible(&state.at));
        if state.is_feasible() {
            assert_eq!(state.cost(), model.cost_of(&state.at));
        }
        let mut fresh = State::new(&landscape, state.at.clone());
        if round < 499 {
            fresh.soften(0);
            assert_eq!(state.value(), fresh.value());
        }
    }
}

prop_compose! {
    fn tiny_model()(items in 1..=5_usize, clusters in 1..=3_usize)(
        demand in prop::collection::vec(prop::array::uniform5(0..4_i64), items),
        capacity in prop::collection::vec(prop::array::uniform5(prop_oneof![3 => 2..12_i64, 1 => Just(i64::MAX)]), clusters),
        allowed in prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.85), clusters), items),
        cost in prop::collection::vec(prop::collection::vec(0..40_i64, clusters), items),
        activation in prop::collection::vec(0..60_i64, clusters),
        weights in prop::collection::vec(prop_oneof![Just(0), 1..6_i64], items * (items - 1) / 2),
        rules in prop::collection::vec(prop_oneof![4 => Just(None), 1 => (0..2_usize).prop_map(Some)], items * (items - 1) / 2),
        latency in prop::collection::vec(1..20_i64, clusters * clusters),
        compatible in prop::collection::vec(any::<bool>(), clusters * clusters),
        overload in prop::option::of((0..5_i64, prop::collection::vec(0..8_i64, clusters))),
        current in prop::collection::vec(prop::option::of(0..clusters), items),
    ) -> Model {
        let items = demand.len();
        let clusters = capacity.len();
        let pairs: Vec<(usize, usize)> = (0..items).flat_map(|b| (0..b).map(move |a| (a, b))).collect();
        let mut symmetric = Matrix::new(clusters, clusters, 0);
        let mut related = same(clusters);
        for one in 0..clusters {
            for other in 0..one {
                for (row, column) in [(one, other), (other, one)] {
                    symmetric.set(row, column, latency[one * clusters + other]);
                    related.set(row, column, compatible[one * clusters + other]);
                }
            }
        }
        let mut apart = Matrix::new(clusters, clusters, true);
        (0..clusters).for_each(|cluster| apart.set(cluster, cluster, false));
        Model {
            demand, capacity, activation, current,
            allowed: matrix(&allowed, clusters, false),
            cost: matrix(&cost, clusters, 0),
            edges: pairs.iter().zip(weights).filter(|(_, weight)| *weight > 0)
                .map(|(pair, weight)| Edge { a: pair.0, b: pair.1, weight }).collect(),
            latency: symmetric,
            relations: vec![related, apart],
            pair_rules: pairs.iter().zip(rules)
                .filter_map(|(pair, rule)| rule.map(|relation| PairRule { a: pair.0, b: pair.1, relation })).collect(),
            overload: overload.map(|(rate, threshold)| Overload { rate, threshold }),
        }
    }
}

/// The search does not promise the optimum: it misses one of some ten thousand tiny models. So that the test
/// says the same each time, its models are the same each time.
#[test]
fn nearly_all_tiny_models_are_solved_to_the_optimum() {
    let mut runner = TestRunner::deterministic();
    let models: Vec<Model> = (0..200)
        .map(|_| tiny_model().new_tree(&mut runner).expect("the strategy rejects nothing").current())
        .collect();
    let missed = (0..).zip(&models).filter(|(seed, model)| {
        let found = anneal(model, &[], &budget(*seed, 30_000), &Stop::never());
        found.map(|found| model.cost_of(&found)) != model.brute_force()
    });
    assert!(missed.count() <= 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_result_is_feasible_and_costs_no_less_than_the_optimum(model in tiny_model(), seed in any::<u64>()) {
        if let Some(found) = anneal(&model, &[], &budget(seed, 3_000), &Stop::never()) {
            prop_assert!(model.is_feasible(&found));
            prop_assert!(model.brute_force().is_some_and(|optimum| model.cost_of(&found) >= optimum));
        }
    }

    #[test]
    fn the_result_is_no_worse_than_any_start(seed in any::<u64>(), items in 1..20_usize, clusters in 1..6_usize, steps in 0..3000_u64) {
        let model = random_model(seed, items, clusters);
        let start: Vec<usize> = (0..items).map(|item| item % clusters).collect();
        let found = anneal(&model, std::slice::from_ref(&start), &budget(seed, steps), &Stop::never());
        for known in [greedy(&model), model.is_feasible(&start).then_some(start)].into_iter().flatten() {
            let found = found.as_ref().expect("a feasible start is an answer");
            prop_assert!(model.is_feasible(found));
            prop_assert!(model.cost_of(found) <= model.cost_of(&known));
        }
    }
}
