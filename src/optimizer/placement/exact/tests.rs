use proptest::prelude::*;

use super::super::model::NANO;
use super::super::{Matrix, Model, PairRule, RESOURCES};
use super::groups::Objective;
use super::*;

/// Nano-cost of one move.
const MOVE: i64 = NANO as i64;
/// Items of these millicores on these clusters; every other cluster is allowed, each move costs the same.
fn model(demand: &[i64], capacity: &[i64], current: &[Option<usize>]) -> Model {
    let mut model = Model { current: current.to_vec(), ..Model::of_cpu(demand, capacity) };
    charge_moves(&mut model, &vec![MOVE; demand.len()]);
    model
}

fn charge_moves(model: &mut Model, weights: &[i64]) {
    for (item, weight) in weights.iter().enumerate() {
        for cluster in 0..model.clusters() {
            model.cost.set(item, cluster, if model.current[item] == Some(cluster) { 0 } else { *weight });
        }
    }
}

/// Relation 0: not on the same cluster.
fn keep_apart(model: &mut Model, a: usize, b: usize) {
    if model.relations.is_empty() {
        let mut apart = Matrix::new(model.clusters(), model.clusters(), true);
        (0..model.clusters()).for_each(|cluster| apart.set(cluster, cluster, false));
        model.relations.push(apart);
    }
    model.pair_rules.push(PairRule { a, b, relation: 0 });
}

fn optimum(minimum: Minimum) -> (Vec<usize>, i64, Proof) {
    match minimum {
        Minimum::Optimal { placement, proof } => {
            assert!(placement.bound <= placement.cost);
            (placement.assignment, placement.cost, proof)
        }
        other => panic!("{other:?}"),
    }
}

/// The answer of the program alone, without the certificate.
fn by_program(model: &Model) -> Minimum {
    rounds::minimise(model, Objective::Cost, None, 0, &Run { seed: 0, stop: &Stop::never() })
}

#[test]
fn what_fits_stays() {
    let model = model(&[3, 4, 5], &[7, 5], &[Some(0), Some(0), Some(1)]);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())), (vec![0, 0, 1], 0, Proof::Certificate));
    assert_eq!(optimum(by_program(&model)), (vec![0, 0, 1], 0, Proof::Program));
}

#[test]
fn the_smallest_sufficient_resident_leaves_an_overfull_cluster() {
    // Cluster 0 has 10 for 2 + 3 + 4 + 4 = 13: one has to leave, 3 is the smallest that suffices and fits the
    // free 3.
    let model = model(&[2, 3, 4, 4], &[10, 3], &[Some(0); 4]);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())), (vec![0, 1, 0, 0], MOVE, Proof::Certificate));
    assert_eq!(optimum(by_program(&model)), (vec![0, 1, 0, 0], MOVE, Proof::Program));
}

#[test]
fn of_equal_items_the_lowest_leaves_for_the_lowest_cluster() {
    let model = model(&[2, 2, 2], &[4, 2, 2], &[Some(0); 3]);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())).0, [1, 0, 0]);
    assert_eq!(optimum(by_program(&model)).0.iter().filter(|cluster| **cluster == 0).count(), 2);
    assert_ne!(optimum(by_program(&model)).0[0], 0);
}

#[test]
fn items_without_a_usable_cluster_have_to_move_and_new_ones_cost_the_same_anywhere() {
    // Item 0 may not stay on cluster 0, item 1 is new: two charges of a move, whatever happens.
    let mut model = model(&[1, 1], &[9, 9], &[Some(0), None]);
    model.allowed.set(0, 0, false);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())).1, 2 * MOVE);
    assert_eq!(optimum(by_program(&model)).1, 2 * MOVE);
}

#[test]
fn a_chain_of_moves_that_the_count_does_not_see_is_found_by_the_program() {
    // Cluster 0 has to lose 3, and only cluster 2 is open to item 0; there, item 1 frees capacity by moving
    // to cluster 1.
    let mut model = model(&[3, 3], &[0, 3, 3], &[Some(0), Some(2)]);
    model.allowed.set(0, 1, false);
    model.allowed.set(0, 0, false);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())), (vec![2, 1], 2 * MOVE, Proof::Program));
}

#[test]
fn the_resource_that_needs_most_removals_counts() {
    // CPU needs one removal (8 of 7), RAM two (4 + 4 + 4 + 4 of 8): at least two moves.
    let mut model = model(&[2, 2, 2, 2], &[7, 100], &[Some(0); 4]);
    model.demand.iter_mut().for_each(|demand| demand[1] = 4);
    model.capacity[0][1] = 8;
    assert_eq!(
        optimum(min_moves(&model, 0, &Stop::never())),
        (vec![1, 1, 0, 0], 2 * MOVE, Proof::Certificate)
    );
}

#[test]
fn the_cheaper_item_moves_when_weights_differ() {
    let mut model = model(&[4, 4, 4], &[8, 8], &[Some(0); 3]);
    charge_moves(&mut model, &[3 * MOVE, MOVE / 2, 2 * MOVE]);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())).1, MOVE / 2);
    assert_eq!(optimum(by_program(&model)).1, MOVE / 2);
}

#[test]
fn items_that_must_be_apart_are_separated_by_one_move() {
    let mut model = model(&[1, 1], &[9, 9], &[Some(1), Some(1)]);
    keep_apart(&mut model, 0, 1);
    let (assignment, cost, proof) = optimum(min_moves(&model, 0, &Stop::never()));
    assert_eq!((cost, proof), (MOVE, Proof::Program));
    assert!(model.is_feasible(&assignment));
}

#[test]
fn three_items_apart_on_two_clusters_are_infeasible() {
    let mut model = model(&[1, 1, 1], &[9, 9], &[Some(0), Some(1), None]);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        keep_apart(&mut model, a, b);
    }
    assert_eq!(min_moves(&model, 0, &Stop::never()), Minimum::Infeasible);
    assert_eq!(feasibility(&model, &Stop::never()), Feasibility::Infeasible);
    assert_eq!(elastic(&model, &Stop::never()), None);
}

#[test]
fn a_packing_that_totals_hide_is_infeasible() {
    // 5 + 5 + 5 on 7 + 8: enough in total, but only one fits on each.
    let model = model(&[5, 5, 5], &[7, 8], &[Some(0); 3]);
    assert_eq!(feasibility(&model, &Stop::never()), Feasibility::Infeasible);
    // Two on cluster 1 (8) need 2 more; two on cluster 0 (7) would need 3.
    assert_eq!(elastic(&model, &Stop::never()), Some(vec![[0; RESOURCES], [2, 0, 0, 0, 0]]));
}

#[test]
fn bytes_are_exact_whatever_the_tolerance_of_the_solver() {
    // 10^13 bytes and one: two items of half of it and one byte do not fit; of exactly half they do.
    let half = 5_000_000_000_000;
    let mut model = model(&[0, 0, 0], &[1, 1], &[Some(0); 3]);
    model.demand = vec![[0, half, 0, 0, 0], [0, half + 1, 0, 0, 0], [0, half + 3, 0, 0, 0]];
    model.capacity = vec![[0, 2 * half + 2, 0, 0, 0], [0, half + 1, 0, 0, 0]];
    // Only {0, 2} = 2·half + 3 and {1, 2} exceed cluster 0; {0, 1} fits, but then item 2 does not fit cluster
    // 1.
    assert_eq!(feasibility(&model, &Stop::never()), Feasibility::Infeasible);
    model.capacity[0][1] += 1;
    assert_eq!(optimum(by_program(&model)).0, [0, 1, 0]);
}

#[test]
fn an_empty_model_has_an_empty_answer() {
    let model = model(&[], &[1], &[]);
    assert_eq!(optimum(min_moves(&model, 0, &Stop::never())).0, Vec::<usize>::new());
    assert_eq!(optimum(by_program(&model)).0, Vec::<usize>::new());
    assert_eq!(elastic(&model, &Stop::never()), Some(vec![[0; RESOURCES]]));
}

/// The minimum sum of the fractions of total demand by which capacities are exceeded; `None` when no capacity
/// helps.
fn least_extension(model: &Model) -> Option<f64> {
    let mut unlimited = model.clone();
    unlimited.capacity.iter_mut().for_each(|capacity| *capacity = [i64::MAX; RESOURCES]);
    model
        .assignments()
        .filter(|assignment| unlimited.is_feasible(assignment))
        .map(|assignment| {
            let used = model.used(&assignment);
            let extra: Vec<_> = used
                .iter()
                .zip(&model.capacity)
                .map(|(used, capacity)| std::array::from_fn(|r| (used[r] - capacity[r]).max(0)))
                .collect();
            extension(model, &extra)
        })
        .min_by(f64::total_cmp)
}

fn extension(model: &Model, extra: &[[i64; RESOURCES]]) -> f64 {
    let share = packing::shares(model);
    extra.iter().flat_map(|extra| (0..RESOURCES).map(|r| extra[r] as f64 * share[r])).sum()
}

prop_compose! {
    /// Up to five items on up to three clusters: CPU, bytes and GPUs, pair rules, forbidden clusters.
    fn models()(clusters in 1..=3_usize, items in 1..=5_usize)(
        demand in prop::collection::vec((0..6_i64, 0..4_i64, 0..2_i64), items),
        capacity in prop::collection::vec((0..14_i64, 0..9_i64, prop::option::of(0..3_i64)), clusters),
        forbidden in prop::collection::vec(prop::bool::weighted(0.15), items * clusters),
        current in prop::collection::vec(prop::option::weighted(0.8, 0..clusters), items),
        weights in prop_oneof![
            Just(vec![MOVE; items]),
            prop::collection::vec(prop::sample::select(vec![MOVE, 2 * MOVE, 5 * MOVE / 2, 1_234_567_891]), items),
        ],
        prices in prop::option::weighted(0.3, prop::collection::vec(0..5_i64, items * clusters)),
        compatible in prop::collection::vec(any::<bool>(), clusters * clusters),
        rules in prop::collection::btree_map((0..items, 0..items), 0..2_usize, 0..=2),
        large in any::<bool>(),
    ) -> Model {
        let mut model = model(&vec![0; demand.len()], &vec![0; capacity.len()], &current);
        // Large: bytes without a common divisor, so that coefficients have to be scaled.
        let bytes = |amount: i64| if large { amount * 1_999_999_999_993 + amount % 2 } else { amount };
        model.demand = demand.iter().map(|(cpu, ram, gpu)| [*cpu, bytes(*ram), 0, *gpu, 0]).collect();
        model.capacity = capacity
            .iter()
            .map(|(cpu, ram, gpu)| [*cpu, bytes(*ram), i64::MAX, gpu.unwrap_or(i64::MAX), i64::MAX])
            .collect();
        charge_moves(&mut model, &weights);
        for item in 0..model.items() {
            for cluster in 0..model.clusters() {
                let cell = item * model.clusters() + cluster;
                model.allowed.set(item, cluster, !forbidden[cell]);
                if let Some(prices) = &prices {
                    model.cost.set(item, cluster, model.cost.at(item, cluster) + prices[cell] * MOVE / 2);
                }
            }
        }
        let mut relation = Matrix::new(model.clusters(), model.clusters(), true);
        for (cell, compatible) in compatible.iter().enumerate() {
            let (e, f) = (cell / model.clusters(), cell % model.clusters());
            relation.set(e, f, *compatible);
            relation.set(f, e, *compatible);
        }
        let mut apart = Matrix::new(model.clusters(), model.clusters(), true);
        (0..model.clusters()).for_each(|cluster| apart.set(cluster, cluster, false));
        model.relations = vec![apart, relation];
        model.pair_rules = rules
            .iter()
            .filter(|((a, b), _)| a < b)
            .map(|((a, b), relation)| PairRule { a: *a, b: *b, relation: *relation })
            .collect();
        model
    }
}

/// The model in which everything is where an assignment puts it.
fn moved(model: &Model, assignment: &[usize]) -> Model {
    let mut moved = model.clone();
    moved.current = assignment.iter().map(|cluster| Some(*cluster)).collect();
    charge_moves(&mut moved, &vec![MOVE; model.items()]);
    moved
}

fn check_minimum(model: &Model, minimum: Minimum) -> Result<(), TestCaseError> {
    match (minimum, model.brute_force()) {
        (Minimum::Infeasible, None) => Ok(()),
        (Minimum::Optimal { placement, .. }, Some(least)) => {
            prop_assert!(model.is_feasible(&placement.assignment));
            prop_assert_eq!(placement.cost, model.cost_of(&placement.assignment));
            prop_assert_eq!(placement.cost, least);
            prop_assert!(placement.bound <= least);
            Ok(())
        }
        (minimum, least) => Err(TestCaseError::fail(format!("{minimum:?} instead of {least:?}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_least_cost_is_that_of_brute_force(model in models()) {
        check_minimum(&model, min_moves(&model, 0, &Stop::never()))?;
    }

    #[test]
    fn the_program_alone_finds_the_least_cost(model in models()) {
        check_minimum(&model, by_program(&model))?;
    }

    #[test]
    fn feasibility_is_that_of_brute_force(model in models()) {
        match feasibility(&model, &Stop::never()) {
            Feasibility::Feasible(assignment) => prop_assert!(model.is_feasible(&assignment)),
            Feasibility::Infeasible => prop_assert_eq!(model.brute_force(), None),
            Feasibility::Unknown => prop_assert!(false, "not decided"),
        }
    }

    #[test]
    fn solving_again_from_the_answer_moves_nothing(model in models()) {
        if let Minimum::Optimal { placement, .. } = min_moves(&model, 0, &Stop::never()) {
            let again = optimum(min_moves(&moved(&model, &placement.assignment), 0, &Stop::never()));
            prop_assert_eq!(again, (placement.assignment, 0, Proof::Certificate));
        }
    }

    #[test]
    fn the_extension_makes_the_model_feasible_and_is_least(model in models()) {
        let extra = elastic(&model, &Stop::never());
        let least = least_extension(&model);
        prop_assert_eq!(extra.is_none(), least.is_none());
        if let (Some(extra), Some(least)) = (extra, least) {
            let mut extended = model.clone();
            for (capacity, extra) in extended.capacity.iter_mut().zip(&extra) {
                (0..RESOURCES).for_each(|r| capacity[r] = capacity[r].saturating_add(extra[r]));
            }
            prop_assert!(extended.brute_force().is_some());
            prop_assert!(extension(&model, &extra) <= least * 1.011 + 1e-6, "{:?} instead of {}", extra, least);
        }
    }
}
