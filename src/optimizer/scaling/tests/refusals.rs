//! Problems without a plan, and meaningless ones.

use super::*;
use crate::optimizer::placement::Violation;

#[test]
fn what_does_not_fit_is_named_with_numbers() {
    // 3 + 2 replicas of 500 millicores in 2 cores.
    let services = vec![
        service("a", 30.0, 1, 10.0, 0.0),
        service("b", 20.0, 1, 10.0, 0.0),
        service("c", 0.0, 0, 10.0, 0.0),
    ];
    let mut problem = problem(2000, services);
    problem.services[2].profile.min = 0;
    for strategy in [exact, threshold] {
        let mut problem = problem.clone();
        problem.thresholds.high = 1.0;
        let refusal = refusal_of(strategy, &problem);
        assert_eq!(
            refusal.conflicts,
            [ScalingConflict::Room {
                cluster: "edge".to_owned(),
                services: vec!["a".to_owned(), "b".to_owned()],
                violated: vec![Violation::Cpu { needed: 2500, free: 2000 }],
            }]
        );
        assert_eq!(
            refusal.summary,
            "cluster edge has too little room for services a, b: cpu: needs 2.5 cores, 2 free"
        );
        assert_eq!(numbers(&refusal.needed), [3, 2, 0]);
        assert!(refusal.lacks_room_for("a"));
    }
}

#[test]
fn a_service_that_needs_gpus_fits_no_cluster_without() {
    let gpu = Resources { gpus: 1, ..cpu(500) };
    let mut problem = problem(9000, vec![ScaledService { needs: gpu, ..service("a", 5.0, 1, 10.0, 0.0) }]);
    problem.clusters[0].free.gpus = 4;
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [1]);
    problem.clusters[0].acceleration = false;
    let refusal = refusal_of(exact, &problem);
    assert_eq!(refusal.summary, "cluster edge has too little room for service a: gpu: needs 1, 0 free");
}

#[test]
fn storage_counts_where_it_is_reported() {
    let needs = Resources { storage_bytes: 10, ..cpu(500) };
    let mut problem = problem(9000, vec![ScaledService { needs, ..service("a", 5.0, 1, 10.0, 0.0) }]);
    assert!(refusal_of(exact, &problem).lacks_room_for("a"));
    problem.clusters[0].storage_reported = false;
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [1]);
}

#[test]
fn bounds_over_all_services_can_contradict_the_others() {
    let mut problem = problem(9000, vec![service("a", 30.0, 1, 10.0, 0.0), service("b", 0.0, 1, 10.0, 0.0)]);
    problem.max_overall = Some(3);
    let refusal = refusal_of(exact, &problem);
    assert_eq!(refusal.summary, "the maximum over all services is 3 replicas, together they need 4");
    assert!(!refusal.lacks_room_for("a"));
    problem.max_overall = None;
    problem.min_overall = Some(7);
    let refusal = refusal_of(exact, &problem);
    assert_eq!(refusal.summary, "the minimum over all services is 7 replicas, together they may have 6");
}

#[test]
fn meaningless_problems_are_refused_with_field_and_cause() {
    let mut bad = service("a", f64::NAN, -1, -0.5, f64::INFINITY);
    bad.cluster = "nowhere".to_owned();
    bad.needs.gpus = -1;
    bad.profile.min = -1;
    bad.profile.max = 0;
    let mut problem =
        problem(1000, vec![bad, service("b", 1.0, 1, 1.0, 0.0), service("b", 1.0, 1, 1.0, 0.0)]);
    problem.clusters.push(problem.clusters[0].clone());
    problem.weights = ScalingWeights { utilisation: -1.0, change: 0.0, margin: f64::NAN };
    problem.target_utilisation = 0.0;
    problem.thresholds = Thresholds { high: 0.5, low: 0.5 };
    (problem.min_overall, problem.max_overall) = (Some(2), Some(1));
    let faults: Vec<String> = validate(&problem).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "weights/utilisation: must be a number from 0 to 100, not -1",
            "weights/margin: must be a number from 0 to 100.2, not NaN",
            "target_utilisation: must be more than 0 and at most 1, not 0",
            "thresholds: must be 0 ≤ low < high ≤ 1, not low 0.5 and high 0.5",
            "min_overall: must be from 0 to the maximum, not 2 with a maximum of 1",
            "clusters/edge: there are two of this name",
            "services/b: there are two of this name",
            "services/a/cluster: nowhere is not among the clusters",
            "services/a/rate: must be a number from 0, or absent when it is unknown, not NaN",
            "services/a/previous: must be from 0 to 100000, not -1",
            "services/a/needs: must not be negative",
            "services/a/profile/alpha: is -0.5: more replicas would serve fewer requests",
            "services/a/profile/beta: must be a number, not inf",
            "services/a/profile/min: must not be negative, is -1",
            "services/a/profile/max: must be from 1 to 100000, not 0",
        ]
    );
    for strategy in [exact, threshold] {
        assert!(matches!(strategy(&problem), ScalingOutcome::Invalid(invalid) if invalid.faults.len() == 15));
    }
}

#[test]
fn weights_under_which_nothing_is_held_are_refused() {
    let mut problem = problem(1000, vec![service("a", 1.0, 1, 1.0, 0.0)]);
    problem.weights.margin = 0.3;
    let faults = validate(&problem).unwrap_err();
    assert_eq!(faults[0].field, "weights/margin");
    problem.compat = true;
    assert_eq!(validate(&problem), Ok(()));
}
