//! Properties that hold for all problems.

use proptest::prelude::*;

use super::*;
use crate::optimizer::BuiltInStrategy;

prop_compose! {
    fn any_service()(
        needs in (prop::sample::select(vec![0_i64, 100, 130, 250, 500, 1000]), 0..4_i64, 0..2_i64),
        alpha in prop::sample::select(vec![0.0, 0.533, 1.67, 33.33]),
        beta in prop::sample::select(vec![-16.66, -0.416, 0.0, 2.0]),
        (min, span) in (0..3_i64, 0..6_i64),
        rate in prop::option::weighted(0.9, 0.0..80.0),
        previous in 0..9_i64,
        bounds in (prop::option::weighted(0.3, 0..9_i64), prop::option::weighted(0.1, 0..9_i64)),
        steps in prop::option::weighted(0.1, (0.0..80.0, 1..6_i64)),
        share in prop::option::weighted(0.1, 0..6_i64),
        cluster in 0..2_usize,
    ) -> ScaledService {
        let needs = Resources { cpu_millicores: needs.0, ram_bytes: needs.1, storage_bytes: 0, gpus: needs.2, pods: 0 };
        let profile = Profile::new(alpha, beta, min, (min + span).max(1));
        ScaledService {
            rate,
            previous,
            not_below: bounds.0.map(bound),
            not_above: bounds.1.map(bound),
            steps: steps.map(|(above, to)| Steps {
                up: Some(StepUp { above, to }),
                down: Some(StepDown { below: above / 2.0, to: 1 }),
            }),
            share,
            ..ScaledService::new("", ["x", "y"][cluster], needs, profile)
        }
    }
}

fn bound(replicas: i64) -> ChangeBound {
    ChangeBound { replicas, because: BoundCause::Stabilisation }
}

prop_compose! {
    fn any_problem()(
        services in prop::collection::vec(any_service(), 0..9),
        free in prop::array::uniform2((0..12_000_i64, 5..60_i64, 2..20_i64)),
        target_utilisation in prop::sample::select(vec![1.0, 0.8, 0.5]),
        minimum in prop::option::weighted(0.3, 0..20_i64),
        maximum in prop::option::weighted(0.3, 10..40_i64),
        compat in prop::bool::weighted(0.3),
    ) -> ScalingProblem {
        let named = |(index, service)| ScaledService { name: format!("s{index}"), ..service };
        let clusters = ["x", "y"].into_iter().zip(free).map(|(name, (cpu_millicores, ram_bytes, gpus))| {
            cluster(name, Resources { cpu_millicores, ram_bytes, storage_bytes: 0, gpus, pods: 0 })
        });
        let problem = ScalingProblem::new("g", clusters.collect(), services.into_iter().enumerate().map(named).collect());
        if compat {
            return problem.original();
        }
        let max_overall = maximum.map(|maximum| maximum.max(minimum.unwrap_or(0)));
        ScalingProblem { target_utilisation, min_overall: minimum, max_overall, ..problem }
    }
}

/// The problem of the next step, when the plan has been carried out.
fn next_step(problem: &ScalingProblem, plan: &ScalingPlan) -> ScalingProblem {
    let mut next = problem.clone();
    next.services.iter_mut().for_each(|service| service.previous = plan.replicas[&service.name]);
    next
}

proptest! {
    #[test]
    fn answers_pass_the_checker(problem in any_problem()) {
        for strategy in [exact, threshold] {
            prop_assert_eq!(check(&problem, &strategy(&problem)), Ok(()));
        }
    }

    #[test]
    fn the_order_of_the_input_is_irrelevant(problem in any_problem(), turn in 0..8_usize) {
        let mut shuffled = problem.clone();
        shuffled.clusters.reverse();
        shuffled.services.reverse();
        let turn = turn.min(shuffled.services.len());
        shuffled.services.rotate_left(turn);
        for strategy in [exact, threshold] {
            prop_assert_eq!(strategy(&shuffled), strategy(&problem));
        }
        let sorted = ScalingProblem::new("g", shuffled.clusters.clone(), shuffled.services.clone());
        prop_assert_eq!(sorted.services, problem.services);
    }

    #[test]
    fn solving_again_from_the_answer_changes_nothing(problem in any_problem()) {
        if let ScalingOutcome::Decided(plan) = exact(&problem) {
            let ScalingOutcome::Decided(again) = exact(&next_step(&problem, &plan)) else {
                return Err(TestCaseError::fail("infeasible from the answer"));
            };
            prop_assert_eq!(again.replicas, plan.replicas);
        }
    }

    #[test]
    fn what_is_rationed_has_a_plan_and_takes_nothing_that_is_needed(problem in any_problem()) {
        for strategy in BuiltIn::ALL.iter().copied() {
            let ScalingOutcome::Infeasible(cause) = decide(&problem, strategy, &Stop::never()) else { continue };
            let Some(rationed) = ration(&problem, &cause) else { continue };
            let outcome = decide(&rationed, strategy, &Stop::never());
            prop_assert_eq!(check(&rationed, &outcome), Ok(()));
            let ScalingOutcome::Decided(plan) = outcome else {
                // `threshold` fills up in one order and may miss a minimum that another order reaches.
                prop_assert!(strategy == BuiltIn::Threshold && rationed.min_overall.is_some(), "{rationed:?}");
                continue;
            };
            for service in &rationed.services {
                let least = service.previous.min(cause.needed[&service.name]).min(1);
                prop_assert!(plan.replicas[&service.name] >= least, "{} lost its last replica", service.name);
            }
        }
    }

    #[test]
    fn more_room_never_costs_more(
        problem in any_problem(), which in 0..2_usize, more in (0..3000_i64, 0..5_i64, 0..3_i64),
    ) {
        let mut roomier = problem.clone();
        let more = Resources { cpu_millicores: more.0, ram_bytes: more.1, storage_bytes: 0, gpus: more.2, pods: 0 };
        roomier.clusters[which].free += more;
        if let ScalingOutcome::Decided(plan) = exact(&problem) {
            let ScalingOutcome::Decided(better) = exact(&roomier) else {
                return Err(TestCaseError::fail("infeasible with more room"));
            };
            prop_assert!(better.objective.total <= plan.objective.total + 1e-9);
        }
    }

    #[test]
    fn nothing_is_better_than_exact(problem in any_problem()) {
        if let (ScalingOutcome::Decided(plan), ScalingOutcome::Decided(other)) = (exact(&problem), threshold(&problem)) {
            prop_assert!(plan.objective.total <= other.objective.total + 1e-9);
        }
    }

    #[test]
    fn without_pressure_a_rate_is_served_within_the_target_and_no_further(problem in any_problem()) {
        let mut problem = problem;
        (problem.min_overall, problem.max_overall) = (None, None);
        for cluster in &mut problem.clusters {
            cluster.free = Resources { cpu_millicores: 1 << 40, ram_bytes: 1 << 40, storage_bytes: 0, gpus: 1 << 40, pods: 0 };
        }
        if let (false, ScalingOutcome::Decided(plan)) = (problem.compat, exact(&problem)) {
            for (one, service) in plan.services.iter().zip(&problem.services) {
                // Never above what is there or what is needed.
                let most = one.needed.unwrap_or(service.profile.max).max(one.previous);
                prop_assert!(one.replicas <= most.clamp(service.profile.min, service.profile.max));
                if service.steps.is_some() {
                    continue;
                }
                let less = service.profile.alpha * (one.replicas - 1) as f64 + service.profile.beta;
                let rate = service.rate.unwrap_or(f64::INFINITY) / problem.target_utilisation;
                let spare = one.replicas > service.profile.min.max(1) && less > rate + 1e-6;
                let is_kept = service.not_below.is_some_and(|bound| bound.replicas >= one.replicas);
                prop_assert!(!spare || is_kept, "{} could give one up", one.service);
            }
        }
    }

    #[test]
    fn the_checker_refuses_mutated_plans(problem in any_problem(), which in any::<prop::sample::Index>(), by in 1..4_i64) {
        if let ScalingOutcome::Decided(plan) = exact(&problem) {
            prop_assume!(!plan.services.is_empty());
            let refused = |plan: &ScalingPlan| check(&problem, &ScalingOutcome::Decided(plan.clone())).is_err();
            let victim = which.index(plan.services.len());
            let name = plan.services[victim].service.clone();
            for by in [by, -by] {
                // One number alone differs from the list and from the objective.
                let mut changed = plan.clone();
                *changed.replicas.get_mut(&name).unwrap() += by;
                prop_assert!(refused(&changed));
                changed.services[victim].replicas += by;
                let share = problem.services[victim].needs.cpu_millicores;
                prop_assert!(refused(&changed) || (problem.compat && share == 0));
            }
            let mut flagged = plan.clone();
            flagged.services[victim].saturated ^= true;
            prop_assert!(refused(&flagged));
            let mut cheaper = plan.clone();
            cheaper.objective.total -= 0.01;
            prop_assert!(refused(&cheaper));
            let mut missing = plan.clone();
            missing.replicas.remove(&name);
            prop_assert!(refused(&missing));
        }
    }

    #[test]
    fn the_checker_refuses_plans_for_less_room(problem in any_problem(), which in 0..2_usize) {
        if let ScalingOutcome::Decided(plan) = exact(&problem) {
            let on = problem.services.iter().filter(|service| service.cluster == problem.clusters[which].name);
            let used = on.fold(Resources::default(), |sum, service| {
                sum + service.needs.times(plan.replicas[&service.name])
            });
            let mut smaller = problem.clone();
            smaller.clusters[which].free.cpu_millicores = used.cpu_millicores - 1;
            let refused = check(&smaller, &ScalingOutcome::Decided(plan)).is_err();
            prop_assert_eq!(refused, used.cpu_millicores > 0);
        }
    }

    #[test]
    fn every_answer_is_rendered(problem in any_problem()) {
        for strategy in [exact, threshold] {
            let text = report(&problem, &strategy(&problem));
            prop_assert!(text.starts_with("graph g ") && text.ends_with('\n'));
            for service in &problem.services {
                prop_assert!(text.contains(&service.name));
            }
        }
    }
}
