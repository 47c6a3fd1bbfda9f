//! Plans that were worked out by hand.

use super::*;

/// The services and coefficients of the original program; 0.5 cores each, at most 3 replicas.
fn brussels(rates: [f64; 3], previous: [i64; 3], millicores: i64) -> ScalingProblem {
    problem(
        millicores,
        vec![
            service("image-compression-vo", rates[0], previous[0], 33.33, -16.66),
            service("image-detection", rates[1], previous[1], 1.67, -0.01),
            service("noise-reduction", rates[2], previous[2], 0.533, -0.416),
        ],
    )
}

#[test]
fn rates_of_the_original_services_need_what_their_coefficients_say() {
    // (52.3 + 16.66) / 33.33 = 2.07 → 3; (1.6 + 0.01) / 1.67 = 0.96 → 1; (0.6 + 0.416) / 0.533 = 1.91 → 2.
    let problem = brussels([52.3, 1.6, 0.6], [1, 1, 1], 3000);
    let plan = plan_of(exact, &problem);
    assert_eq!(numbers(&plan.replicas), [3, 1, 2]);
    assert_eq!(
        reasons(&plan),
        [
            "rate 52.3 requests/s needs 3 replicas (33.33·3 − 16.66 = 83.33)",
            "rate 1.6 requests/s needs 1 replica (1.67·1 − 0.01 = 1.66)",
            "rate 0.6 requests/s needs 2 replicas (0.533·2 − 0.416 = 0.65)",
        ]
    );
    // U = 3·500 = 1500 millicores, a replica's share 1/3: 0.5·6/3 = 1, and 0.2·(2 + 0 + 1)/3 = 0.2.
    assert!((plan.objective.total - 1.2).abs() < 1e-12);
    assert!(plan.optimal && plan.bound == Some(plan.objective.total));
}

#[test]
fn an_unneeded_replica_is_given_up() {
    // 20 requests/s need (20 + 16.66) / 33.33 = 1.1 → 2 replicas.
    let plan = plan_of(exact, &brussels([20.0, 0.0, 0.0], [3, 3, 3], 9000));
    assert_eq!(numbers(&plan.replicas), [2, 1, 1]);
    assert_eq!(reasons(&plan)[1], "no requests; the minimum is 1 replica");
}

#[test]
fn replicas_are_used_up_to_the_target() {
    // A counter of served requests shows no more than one replica serves: 1.66 of 1.66 requests/s.
    let mut problem = brussels([0.0, 1.66, 0.0], [1, 1, 1], 9000);
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [1, 1, 1]);
    problem.target_utilisation = 0.8;
    let plan = plan_of(exact, &problem);
    assert_eq!(numbers(&plan.replicas), [1, 2, 1]);
    assert_eq!(reasons(&plan)[1], "rate 1.66 requests/s needs 2 replicas (80 % of 1.67·2 − 0.01 = 2.664)");
    // 80 % of 1.66 are 1.328.
    problem.services[1].rate = Some(1.328);
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [1, 1, 1]);
}

#[test]
fn what_was_needed_a_moment_ago_is_held_while_there_is_room() {
    // 48 requests/s need 64.66 / 33.33 = 1.94 → 2.
    let at = |millicores| {
        let mut problem = brussels([48.0, 0.0, 0.0], [3, 1, 1], millicores);
        problem.services[0].not_below = kept(5);
        problem
    };
    let plan = plan_of(exact, &at(2500));
    assert_eq!(numbers(&plan.replicas), [3, 1, 1]);
    assert_eq!(
        reasons(&plan)[0],
        "rate 48 requests/s needs 2 replicas (33.33·2 − 16.66 = 50); \
         held at 3 replicas, which it needed within the stabilisation window"
    );
    let plan = plan_of(exact, &at(2499));
    assert_eq!(numbers(&plan.replicas), [2, 1, 1]);
    assert_eq!(
        reasons(&plan)[0],
        "rate 48 requests/s needs 2 replicas (33.33·2 − 16.66 = 50); \
         gives up 1 of 3 that it would hold, for lack of room"
    );
    // One third each: 0.5·4/3, 0.2·1/3 for the one given up and 0.5·1/3 because it was held: 2.7/3.
    assert!((plan.objective.total - 0.9).abs() < 1e-12);
}

#[test]
fn of_two_held_replicas_the_smaller_sufficient_one_is_given_up() {
    // Both may give up one; 600 millicores are missing: neither the 500 of `a` nor less will do, the 700 of
    // `b` will.
    let held = |name, millicores| ScaledService {
        needs: cpu(millicores),
        not_below: kept(2),
        ..service(name, 5.0, 2, 10.0, 0.0)
    };
    let plan = plan_of(exact, &problem(2 * 500 + 2 * 700 - 600, vec![held("a", 500), held("b", 700)]));
    assert_eq!(numbers(&plan.replicas), [2, 1]);
    let plan = plan_of(exact, &problem(2 * 500 + 2 * 700 - 500, vec![held("a", 500), held("b", 700)]));
    assert_eq!(numbers(&plan.replicas), [1, 2]);
}

#[test]
fn a_change_is_bounded_in_both_directions() {
    let bounded = |because, up, down| {
        let mut problem = brussels([52.3, 0.0, 0.6], [1, 3, 1], 9000);
        problem.services[0].not_above = Some(ChangeBound { replicas: up, because });
        problem.services[1].not_below = Some(ChangeBound { replicas: down, because });
        plan_of(exact, &problem)
    };
    let plan = bounded(BoundCause::Cooldown, 1, 3);
    assert_eq!(numbers(&plan.replicas), [1, 3, 2]);
    assert!(plan.services[0].saturated && !plan.services[1].saturated);
    assert!(reasons(&plan)[0].ends_with("; held by the cooldown of scale-up at 1 replica"));
    assert_eq!(reasons(&plan)[1], "no requests; held by the cooldown of scale-down at 3 replicas");
    let plan = bounded(BoundCause::Step, 2, 2);
    assert_eq!(numbers(&plan.replicas), [2, 2, 2]);
    assert!(reasons(&plan)[0].ends_with("; one step up is limited to 2 replicas"));
    assert_eq!(reasons(&plan)[1], "no requests; one step down is limited to 2 replicas");
}

#[test]
fn steps_decide_by_fixed_marks_of_the_rate() {
    let steps =
        Steps { up: Some(StepUp { above: 100.0, to: 3 }), down: Some(StepDown { below: 20.0, to: 1 }) };
    let at = |rate, previous| {
        let service = ScaledService { steps: Some(steps), ..service("a", rate, previous, 0.0, 0.0) };
        let decided = decide(&problem(9000, vec![service]), BuiltIn::Steps, &Stop::never());
        let ScalingOutcome::Decided(plan) = decided else { panic!("{decided:?}") };
        (plan.replicas["a"], plan.services[0].reason.clone())
    };
    assert_eq!(at(101.0, 1), (3, "rate 101 requests/s needs 3 replicas (above 100)".to_owned()));
    assert_eq!(at(50.0, 3), (3, "rate 50 requests/s needs 3 replicas (between its marks)".to_owned()));
    assert_eq!(at(50.0, 2).0, 2);
    assert_eq!(at(0.0, 3), (1, "rate 0 requests/s needs 1 replica (below 20)".to_owned()));
}

#[test]
fn an_unknown_rate_holds_the_replicas() {
    let mut problem = brussels([0.0; 3], [2, 5, 0], 9000);
    problem.services.iter_mut().for_each(|service| service.rate = None);
    let plan = plan_of(exact, &problem);
    assert_eq!(numbers(&plan.replicas), [2, 3, 1]);
    assert_eq!(reasons(&plan)[0], "the rate is unknown: held at 2 replicas");
    assert_eq!(reasons(&plan)[1], "the rate is unknown: held at 3 replicas, the nearest to what it has");
    assert_eq!(
        plan,
        ScalingPlan {
            strategy: BuiltIn::Exact.into(),
            optimal: true,
            bound: plan.bound,
            ..plan_of(threshold, &problem)
        }
    );
}

#[test]
fn a_rate_above_the_maximum_saturates() {
    // (200 + 16.66) / 33.33 = 6.5 → 7 replicas of at most 3.
    let plan = plan_of(exact, &brussels([200.0, 0.0, 0.0], [3, 1, 1], 9000));
    assert_eq!(numbers(&plan.replicas), [3, 1, 1]);
    assert!(plan.services[0].saturated);
    assert_eq!(plan.services[0].needed, Some(7));
    assert_eq!(
        reasons(&plan)[0],
        "rate 200 requests/s needs 7 replicas (33.33·7 − 16.66 = 216.65); the maximum is 3 replicas"
    );
}

#[test]
fn replicas_that_add_nothing_are_not_added() {
    // alpha 0: one replica serves up to beta, and any number serves no more.
    let flat = |rate| problem(9000, vec![service("a", rate, 2, 0.0, 10.0)]);
    assert_eq!(numbers(&plan_of(exact, &flat(5.0)).replicas), [1]);
    let plan = plan_of(exact, &flat(11.0));
    assert_eq!(numbers(&plan.replicas), [2]);
    assert!(plan.services[0].saturated && plan.services[0].needed.is_none());
    assert_eq!(
        reasons(&plan),
        ["rate 11 requests/s is above 10 requests/s, to which replicas add nothing; held at 2 replicas"]
    );
    let refusal = refusal_of(exact, &flat(11.0).original());
    assert_eq!(refusal.summary, "no number of replicas of service a serves 11 requests/s");
}

#[test]
fn a_service_without_requests_may_have_no_replicas() {
    let mut problem = brussels([0.0; 3], [1, 1, 1], 9000);
    problem.services[0].profile.min = 0;
    let plan = plan_of(exact, &problem);
    assert_eq!(numbers(&plan.replicas), [0, 1, 1]);
    assert_eq!(reasons(&plan)[0], "no requests");
    // Without replicas nothing is served, whatever beta says.
    problem.services[0].rate = Some(0.5);
    problem.services[0].profile.beta = 10.0;
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [1, 1, 1]);
}

#[test]
fn whole_quotients_are_not_rounded_up() {
    // (0.65 + 0.416) / 0.533 = 2 exactly, 2.0000000000000004 in floating point.
    assert_eq!(numbers(&plan_of(exact, &brussels([0.0, 0.0, 0.65], [1, 1, 1], 9000)).replicas), [1, 1, 2]);
}

#[test]
fn the_minimum_over_all_services_takes_the_cheapest_replicas() {
    let mut problem = brussels([0.0; 3], [1, 1, 1], 9000);
    problem.services[1].needs = cpu(300);
    problem.min_overall = Some(6);
    let plan = plan_of(exact, &problem);
    // image-detection is the cheapest, but has at most 3; one more of the others, which are equal.
    assert_eq!(plan.replicas["image-detection"], 3);
    assert_eq!(plan.replicas.values().sum::<i64>(), 6);
    assert!(reasons(&plan)[1].ends_with("2 more for the minimum over all services"));
    assert_eq!(numbers(&plan_of(threshold, &problem).replicas), [2, 3, 1]);
}

#[test]
fn the_maximum_over_all_services_ends_holds() {
    let mut problem = brussels([48.0, 0.0, 0.0], [3, 1, 1], 9000);
    problem.services[0].not_below = kept(3);
    problem.max_overall = Some(4);
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [2, 1, 1]);
}

#[test]
fn the_minimum_over_all_services_finds_room_on_several_clusters() {
    // `edge` fits 2 of 500 millicores, `cloud` for 4; 5 are wanted and `edge` is as expensive as `cloud`.
    let mut services = vec![service("a", 0.0, 2, 10.0, 0.0), service("b", 0.0, 1, 10.0, 0.0)];
    services[1].cluster = "cloud".to_owned();
    let clusters = vec![cluster("edge", cpu(1000)), cluster("cloud", cpu(2000))];
    let mut problem = ScalingProblem::new("g", clusters, services);
    problem.min_overall = Some(5);
    assert_eq!(numbers(&plan_of(exact, &problem).replicas), [2, 3]);
    problem.min_overall = Some(6);
    let refusal = refusal_of(exact, &problem);
    assert_eq!(refusal.summary, "the minimum over all services is 6 replicas, there is room for 5");
    assert_eq!(numbers(&refusal.needed), [3, 3]);
}

#[test]
fn memory_and_gpus_limit_like_cpu() {
    // Three services hold 2 replicas of 1 core, 1 GiB and 1 GPU; the cluster has 5 GiB and 4 GPUs: one must
    // give up for memory, two for GPUs.
    let needs = Resources { cpu_millicores: 1000, ram_bytes: GIB, storage_bytes: 0, gpus: 1, pods: 0 };
    let held = |name| ScaledService { needs, not_below: kept(2), ..service(name, 5.0, 2, 10.0, 0.0) };
    let mut problem = problem(9000, vec![held("a"), held("b"), held("c")]);
    problem.clusters[0].free = Resources { ram_bytes: 5 * GIB, gpus: 9, ..cpu(9000) };
    assert_eq!(plan_of(exact, &problem).replicas.values().sum::<i64>(), 5);
    problem.clusters[0].free.gpus = 4;
    assert_eq!(plan_of(exact, &problem).replicas.values().sum::<i64>(), 4);
}

#[test]
fn the_original_never_gives_up_a_replica_while_there_is_room() {
    let mut problem = brussels([0.0; 3], [8, 8, 8], 100_000).original();
    let plan = plan_of(exact, &problem);
    assert_eq!(numbers(&plan.replicas), [8, 8, 8]);
    // 0.4·24·500/1500 = 3.2, and nothing changes.
    assert!((plan.objective.total - 3.2).abs() < 1e-12);
    assert!(reasons(&plan)[1].ends_with("held at 8 replicas: giving replicas up does not pay"));
    // 22 half cores: two replicas go, at 0.4·(1/3 − 1/3) = 0 each.
    problem.clusters[0].free = cpu(11_000);
    let plan = plan_of(exact, &problem);
    assert_eq!(plan.replicas.values().sum::<i64>(), 22);
    assert!((plan.objective.total - 3.2).abs() < 1e-12);
}

#[test]
fn the_original_has_no_maximum() {
    // (983.24 + 16.66) / 33.33 = 30 replicas, although the maximum is 3.
    let plan = plan_of(exact, &brussels([983.24, 0.0, 0.0], [1, 1, 1], 100_000).original());
    assert_eq!(numbers(&plan.replicas), [30, 1, 1]);
    // 0.4·32·500/1500 + 0.4·29/3
    assert!((plan.objective.total - (0.4 * 32.0 / 3.0 + 0.4 * 29.0 / 3.0)).abs() < 1e-12);
}

#[test]
fn threshold_goes_up_at_once_and_down_by_one() {
    // 52.3 of 50.0 that 2 replicas serve; 80 % of 83.33 (3 replicas) is 66.66.
    let plan = plan_of(threshold, &brussels([52.3, 0.0, 0.4], [2, 3, 2], 9000));
    assert_eq!(numbers(&plan.replicas), [3, 2, 2]);
    assert_eq!(
        reasons(&plan),
        [
            "rate 52.3 requests/s needs 3 replicas (33.33·3 − 16.66 = 83.33)",
            "no requests; takes 0 % of 2 replicas (marks 50 % and 80 %)",
            // 0.4 of 0.65 is between the marks, yet (0.4 + 0.416) / 0.533 = 1.53 → 2 are needed anyway.
            "rate 0.4 requests/s needs 2 replicas (0.533·2 − 0.416 = 0.65)",
        ]
    );
    assert!(!plan.optimal && plan.bound.is_none());
}

#[test]
fn threshold_holds_within_its_marks() {
    // 1.4 of 1.66 (1 replica) is above 80 %; 2 replicas serve 3.33.
    let detection = |rate, previous| plan_of(threshold, &brussels([0.0, rate, 0.0], [1, previous, 1], 9000));
    assert_eq!(detection(1.4, 1).replicas["image-detection"], 2);
    assert_eq!(
        detection(1.4, 1).services[1].reason,
        "rate 1.4 requests/s needs 1 replica (1.67·1 − 0.01 = 1.66); takes 42.042 % of 2 replicas (marks 50 % and 80 %)"
    );
    // 42 % is below the low mark, but one replica would be above the high one.
    assert_eq!(detection(1.4, 2).replicas["image-detection"], 2);
    assert_eq!(detection(1.3, 2).replicas["image-detection"], 1);
}

#[test]
fn threshold_gives_up_nothing_above_its_high_mark_where_replicas_add_nothing() {
    // 1.98 of 2 requests/s, whatever the replicas: fewer would serve no more.
    let mut constant = service("a", 1.98, 2, 0.0, 2.0);
    constant.needs = Resources::default();
    assert_eq!(plan_of(threshold, &problem(0, vec![constant])).replicas["a"], 2);
}
