//! What services get when what they need does not fit.

use super::*;

/// A service of half a core whose replicas serve ten requests per second each, up to twenty.
fn loaded(name: &str, on: &str, rate: f64, previous: i64) -> ScaledService {
    let profile = Profile::new(10.0, 0.0, 1, 20);
    ScaledService { rate: Some(rate), previous, ..ScaledService::new(name, on, cpu(500), profile) }
}

/// The clusters `x` and `y` with so many millicores.
fn on_two(free: [i64; 2], services: Vec<ScaledService>) -> ScalingProblem {
    let [x, y] = free.map(cpu);
    ScalingProblem::new("g", vec![cluster("x", x), cluster("y", y)], services)
}

/// The rationed problem, whose plan must exist.
fn rationed(problem: &ScalingProblem) -> ScalingPlan {
    let rationed = ration(problem, &refusal_of(exact, problem)).expect("can be rationed");
    plan_of(exact, &rationed)
}

fn names(plan: &ScalingPlan) -> Vec<&str> {
    plan.replicas.keys().map(String::as_str).collect()
}

#[test]
fn room_goes_to_the_services_in_proportion_to_their_load() {
    // 8 + 4 replicas are needed, and there is room for 9.
    let problem = on_two([4500, 0], vec![loaded("a", "x", 80.0, 1), loaded("b", "x", 40.0, 1)]);
    let plan = rationed(&problem);
    assert_eq!(numbers(&plan.replicas), [6, 3]);
    assert!(plan.services.iter().all(|service| service.saturated));
    assert_eq!(
        reasons(&plan)[0],
        "rate 80 requests/s needs 8 replicas (10·8 + 0 = 80); its share of what there is for all services is 6 replicas"
    );
}

#[test]
fn a_cluster_without_room_does_not_hold_up_another_one() {
    let problem = on_two([1000, 4000], vec![loaded("a", "x", 50.0, 1), loaded("b", "y", 40.0, 1)]);
    assert_eq!(numbers(&rationed(&problem).replicas), [2, 4]);
}

#[test]
fn services_of_a_cluster_that_is_too_full_already_are_left_as_they_are() {
    let problem = on_two([500, 1500], vec![loaded("a", "x", 30.0, 3), loaded("b", "y", 40.0, 1)]);
    let plan = rationed(&problem);
    assert_eq!((names(&plan), numbers(&plan.replicas)), (vec!["b"], vec![3]));
    // Nothing is left to decide.
    let alone = on_two([500, 0], vec![loaded("a", "x", 30.0, 3)]);
    assert_eq!(ration(&alone, &refusal_of(exact, &alone)), None);
}

#[test]
fn a_service_without_a_replica_waits_for_room() {
    let mut none = loaded("a", "x", 5.0, 0);
    none.profile.min = 0;
    let problem = on_two([400, 500], vec![none, loaded("b", "y", 0.0, 1)]);
    let plan = rationed(&problem);
    assert_eq!(numbers(&plan.replicas), [0, 1]);
    assert!(plan.services[0].saturated);
}

#[test]
fn bounds_over_all_services_hold_for_what_is_shared_out() {
    let mut problem = on_two([1500, 5000], vec![loaded("a", "x", 90.0, 3), loaded("b", "y", 90.0, 3)]);
    (problem.min_overall, problem.max_overall) = (Some(10), Some(10));
    // Three of `a` have room, so seven are left for `b`.
    assert_eq!(numbers(&rationed(&problem).replicas), [3, 7]);
    problem.max_overall = Some(4);
    problem.min_overall = None;
    assert_eq!(numbers(&rationed(&problem).replicas), [2, 2]);
}

#[test]
fn a_minimum_over_all_services_that_has_no_room_is_met_as_far_as_it_goes() {
    let mut problem = on_two([1000, 1500], vec![loaded("a", "x", 5.0, 1), loaded("b", "y", 5.0, 1)]);
    problem.min_overall = Some(12);
    assert_eq!(numbers(&rationed(&problem).replicas), [2, 3]);
}

#[test]
fn what_is_no_matter_of_room_and_the_model_of_the_original_are_not_rationed() {
    let mut problem = on_two([1000, 0], vec![loaded("a", "x", 50.0, 1)]);
    let original = problem.clone().original();
    assert_eq!(ration(&original, &refusal_of(exact, &original)), None);
    problem.min_overall = Some(30);
    assert_eq!(ration(&problem, &refusal_of(exact, &problem)), None);
}
