//! Tests of the shares of services when their needed replicas do not fit.

use super::*;

/// A service of half a core whose replicas serve ten requests per second each, up to twenty.
fn loaded(name: &str, on: &str, rate: f64, previous: i64) -> ScaledService {
    let profile = Profile::new(10.0, 0.0, 1, 20);
    ScaledService { rate: Some(rate), previous, ..ScaledService::new(name, on, cpu(500), profile) }
}

/// The clusters `x` and `y` with these millicores.
fn on_two(free: [i64; 2], services: Vec<ScaledService>) -> ScalingProblem {
    let [x, y] = free.map(cpu);
    let problem = ScalingProblem::new("g", vec![cluster("x", x), cluster("y", y)], services);
    ScalingProblem { target_utilisation: 1.0, ..problem }
}

/// The rationed problem, whose plan must exist.
fn rationed(problem: &ScalingProblem) -> ScalingPlan {
    let rationed = ration(problem, &refusal_of(exact, problem)).expect("can be rationed");
    plan_of(exact, &rationed)
}

#[test]
fn room_goes_to_the_services_in_proportion_to_their_load() {
    // 8 + 4 replicas are needed, and 9 fit.
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
fn on_a_cluster_that_is_too_full_already_nothing_grows_and_what_is_needed_stays() {
    let full = vec![loaded("a", "x", 30.0, 3), loaded("c", "x", 5.0, 4), loaded("d", "x", 90.0, 1)];
    let services = [full, vec![loaded("b", "y", 40.0, 1)]].concat();
    // `a` keeps the replicas it needs, three of `b` fit, `c` gives up unneeded ones, `d` would need nine.
    assert_eq!(numbers(&rationed(&on_two([500, 1500], services)).replicas), [3, 3, 1, 1]);
}

#[test]
fn loads_that_are_nearly_equal_stop_nothing_that_runs() {
    for rates in [[80.1, 79.9], [79.9, 80.1]] {
        for previous in [[5, 4], [4, 5]] {
            let services =
                vec![loaded("a", "x", rates[0], previous[0]), loaded("b", "x", rates[1], previous[1])];
            assert_eq!(numbers(&rationed(&on_two([4500, 0], services)).replicas), previous);
        }
    }
    // Half as much again is not nearly equal, unless replicas were changed just now.
    let mut services = vec![loaded("a", "x", 80.0, 4), loaded("b", "x", 120.0, 4)];
    assert_eq!(numbers(&rationed(&on_two([4000, 0], services.clone())).replicas), [3, 5]);
    services[0].not_below = kept(4);
    assert_eq!(numbers(&rationed(&on_two([4000, 0], services)).replicas), [4, 4]);
}

#[test]
fn a_shortage_on_one_cluster_leaves_the_minimum_over_all_services_to_the_others() {
    let mut problem = on_two([1000, 8000], vec![loaded("a", "x", 30.0, 1), loaded("b", "y", 5.0, 9)]);
    problem.min_overall = Some(10);
    assert_eq!(numbers(&rationed(&problem).replicas), [2, 8]);
}

#[test]
fn a_minimum_that_is_out_of_reach_for_now_does_not_hold_up_the_services() {
    // Whether `b` may get more replicas than it has is unknown.
    let mut unknown = loaded("b", "y", 0.0, 1);
    unknown.rate = None;
    let mut problem = on_two([9000, 9000], vec![loaded("a", "x", 25.0, 1), unknown]);
    problem.services[0].profile.max = 3;
    problem.min_overall = Some(5);
    assert_eq!(numbers(&rationed(&problem).replicas), [3, 1]);
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
    // Three of `a` fit, so seven are left for `b`.
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
fn threshold_shares_what_there_is_and_gives_the_minimum_to_who_has_room() {
    let services = vec![loaded("a", "x", 30.0, 1), loaded("b", "y", 5.0, 1), loaded("c", "z", 5.0, 1)];
    let clusters = vec![cluster("x", cpu(1000)), cluster("y", cpu(1000)), cluster("z", cpu(5000))];
    let mut problem = ScalingProblem::new("g", clusters, services);
    problem.min_overall = Some(7);
    let rationed = ration(&problem, &refusal_of(threshold, &problem)).expect("can be rationed");
    assert_eq!(numbers(&plan_of(threshold, &rationed).replicas), [2, 2, 3]);
}

#[test]
fn contradictions_and_the_model_of_the_original_are_not_rationed() {
    let mut problem = on_two([1000, 0], vec![loaded("a", "x", 50.0, 1)]);
    let original = problem.clone().original();
    assert_eq!(ration(&original, &refusal_of(exact, &original)), None);
    // The running replicas that have to stay exceed the maximum.
    problem.services[0].previous = 5;
    problem.services[0].rate = None;
    problem.max_overall = Some(3);
    assert_eq!(ration(&problem, &refusal_of(exact, &problem)), None);
}
