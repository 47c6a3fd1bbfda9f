//! Tests of every strategy against brute force, and properties of all of them.

use crate::optimizer::ClusterAttributes;
use proptest::prelude::*;

use super::*;
use crate::optimizer::BuiltInStrategy;

prop_compose! {
    fn any_cluster()(
        cpu in 0..9_i64, ram in 0..9_i64, gpus in 0..2_i64,
        available in prop::bool::weighted(0.85),
        price in prop::option::of(0..5_u8), carbon in prop::option::of(0..5_u8), activation in prop::option::of(1..9_u8),
        region in prop::option::of(0..2_u8), trusted in prop::option::of(any::<bool>()),
        latencies in prop::collection::vec(prop::option::of(1..40_u8), 3),
        nodes in prop::collection::vec((1..4_i64, 1..4_i64), 0..3),
    ) -> ClusterState {
        let latencies = latencies.into_iter().enumerate().filter_map(|(to, ms)| Some((format!("c{to}"), f64::from(ms?))));
        ClusterState {
            available,
            nodes: nodes.into_iter().map(|(cpu, ram)| amount(cpu * 500, ram * GIB, GB, 1)).collect(),
            attributes: ClusterAttributes {
                price_per_core_hour: price.map(f64::from),
                carbon_per_core_hour: carbon.map(f64::from),
                activation_cost: activation.map(f64::from),
                region: region.map(|region| format!("r{region}")),
                trusted,
                latencies_ms: latencies.collect(),
                ..ClusterAttributes::default()
            },
            ..cluster("", amount(cpu * 1000, ram * GIB, GB, gpus))
        }
    }
}

prop_compose! {
    fn any_service()(
        cpu in 0..4_i64, ram in 0..4_i64, gpus in prop::bool::weighted(0.15), replicas in 1..3_i64,
        current in prop::option::weighted(0.7, 0..4_usize), pinned in prop::bool::weighted(0.1),
        weight in 1..3_u8, mate in prop::option::weighted(0.2, 0..4_usize), enemy in prop::option::weighted(0.2, 0..4_usize),
        secure in prop::bool::weighted(0.15), fixed in 0..2_i64, with_pods in any::<bool>(), runs in any::<bool>(),
    ) -> ServiceDemand {
        let needs = amount(cpu * 500, ram * GIB, 0, i64::from(gpus));
        let names = |other: Option<usize>| other.map(|other| format!("s{other}")).into_iter().collect();
        ServiceDemand {
            replicas: ReplicaBounds::exactly(replicas),
            current: current.map(|at| format!("c{at}")),
            pinned,
            move_weight: f64::from(weight),
            co_location: names(mate),
            anti_affinity: names(enemy),
            requires: if secure { vec![trusted()] } else { Vec::new() },
            fixed_needs: amount(fixed * 500, 0, 0, 0),
            runs,
            pods: if with_pods { vec![needs] } else { Vec::new() },
            ..service("", needs)
        }
    }
}

prop_compose! {
    /// Problems of at most 4 services and 3 clusters with every feature of a problem.
    pub(super) fn any_problem()(
        clusters in prop::collection::vec(any_cluster(), 1..4),
        services in prop::collection::vec(any_service(), 0..5),
        links in prop::collection::vec((0..4_usize, 0..4_usize, 0..3_u8, prop::option::weighted(0.4, any::<bool>())), 0..4),
        strategy in prop::sample::select(BuiltIn::ALL.to_vec()),
        strict in any::<bool>(),
    ) -> Problem {
        let name = |prefix: &str, index: usize| format!("{prefix}{index}");
        let mut problem = in_turn(
            "g",
            clusters.into_iter().enumerate().map(|(at, cluster)| ClusterState { name: name("c", at), ..cluster }).collect(),
            services.into_iter().enumerate().map(|(at, mut service)| {
                service.name = name("s", at);
                service.anti_affinity.retain(|other| *other != service.name);
                service
            }).collect(),
        );
        problem.links = links.into_iter().filter(|(one, other, ..)| one != other).map(|(one, other, traffic, bound)| Link {
            traffic: f64::from(traffic),
            bound: bound.map(|low| if low { LatencyBound::Low } else { LatencyBound::Ultralow }),
            ..link(&name("s", one), &name("s", other), None)
        }).collect();
        problem.strategy = strategy.into();
        problem.strict = strict;
        problem.limits.iterations = Some(3000);
        problem.sorted()
    }
}

/// The best objective over all assignments under the rule for the unknown that the outcome was decided by.
fn brute_force(problem: &Problem, unknown: Unknown) -> Option<f64> {
    let compiled = compile(problem, unknown).unwrap();
    let (items, clusters) = (compiled.model.items(), compiled.model.clusters());
    let count = clusters.pow(u32::try_from(items).unwrap());
    let digits = |mut number: usize| -> Vec<usize> {
        (0..items)
            .map(|_| {
                let digit = number % clusters;
                number /= clusters;
                digit
            })
            .collect()
    };
    let feasible = (0..count).map(digits).filter(|assignment| compiled.model.is_feasible(assignment));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    feasible.map(|assignment| compiled.model.cost_of(&assignment)).min().map(|nano| nano as f64 / 1e9)
}

/// The requirements that a plan says to be waived.
fn waived(problem: &Problem, plan: &Plan) -> std::collections::BTreeSet<Undecidable> {
    let service = |name: &str| problem.services.iter().position(|service| service.name == name).unwrap();
    let find = |waived: &Waived| match waived {
        Waived::Intent { service: name, intent, attribute } => {
            let at = service(name);
            let mut requires = problem.services[at].requires.iter();
            let index =
                requires.position(|one| (&one.intent, &one.attribute) == (intent, attribute)).unwrap();
            Undecidable::Requirement(at, index)
        }
        Waived::Latency { from, to } => {
            let mut links = problem.links.iter();
            Undecidable::Link(links.position(|link| (&link.from, &link.to) == (from, to)).unwrap())
        }
    };
    plan.waived.iter().map(find).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn the_checker_accepts_every_outcome_and_brute_force_agrees(problem in any_problem()) {
        let outcome = decide(&problem).unwrap();
        prop_assert_eq!(check(&problem, &outcome), Ok(()), "{:?}", outcome);
        match &outcome {
            Outcome::Optimal(plan) | Outcome::Feasible(plan) => {
                let unknown = if plan.unknown_allowed { Unknown::AllowsIn(waived(&problem, plan)) } else { Unknown::Forbids };
                let best = brute_force(&problem, unknown).unwrap();
                if problem.strategy != BuiltIn::FirstFit.into() {
                    prop_assert!((plan.objective.total - best).abs() < 1e-6, "{} is not {}", plan.objective.total, best);
                }
                if let Some(bound) = plan.bound {
                    prop_assert!(bound <= best + 1e-6, "the bound {} is above {}", bound, best);
                }
            }
            Outcome::Infeasible(cause) => {
                let unknown = if problem.strict { Unknown::Forbids } else { Unknown::Allows };
                let exists = brute_force(&problem, unknown).is_some();
                prop_assert_eq!(exists, !cause.proven, "{:?}", cause);
                prop_assert!(problem.strategy == BuiltIn::FirstFit.into() || !exists);
            }
            Outcome::TimedOut(cause) => prop_assert!(false, "timed out: {}", cause.summary),
        }
    }

    #[test]
    fn the_order_of_the_input_is_irrelevant(problem in any_problem(), turn in 0..4_usize) {
        let mut shuffled = problem.clone();
        shuffled.clusters.reverse();
        shuffled.services.reverse();
        shuffled.links.reverse();
        let by = turn.min(shuffled.services.len());
        shuffled.services.rotate_left(by);
        for link in &mut shuffled.links {
            std::mem::swap(&mut link.from, &mut link.to);
        }
        let shuffled = shuffled.sorted();
        prop_assert_eq!(&shuffled, &problem);
        prop_assert_eq!(decide(&shuffled), decide(&problem));
    }

    #[test]
    fn solving_again_from_the_answer_moves_nothing(problem in any_problem()) {
        if let Some(plan) = decide(&problem).unwrap().plan() {
            let mut again = problem.clone();
            for service in &mut again.services {
                service.current = Some(plan.assignment[&service.name].clone());
            }
            if problem.strategy == BuiltIn::FirstFit.into() {
                again.strategy = BuiltIn::MinMoves.into();
            }
            let outcome = decide(&again).unwrap();
            let moves = &outcome.plan().unwrap().objective.terms[0];
            prop_assert_eq!((moves.name.as_str(), moves.value), ("moves", 0.0));
        }
    }

    #[test]
    fn a_conflict_is_infeasible_and_each_part_of_it_is_needed(problem in any_problem()) {
        if let Outcome::Infeasible(cause) = decide(&problem).unwrap()
            && cause.proven
        {
            prop_assert!(cause.minimal);
            let down = problem.clusters.iter().all(|cluster| !cluster.available);
            prop_assert!(down || !cause.conflict.is_empty(), "{:?}", cause);
        }
    }
}

#[test]
fn a_problem_survives_its_serialisation_and_gives_the_same_plan() {
    let room = amount(4000, 8 * GIB, 40 * GB, 0);
    let mut problem = in_turn(
        "g",
        vec![cluster("a", room), cluster("b", room)],
        vec![service("x", amount(3000, GIB, GB, 0)), service("y", amount(3000, GIB, GB, 0))],
    );
    problem.strategy = BuiltIn::Cost.into();
    problem.links = vec![link("x", "y", None)];
    let text = serde_json::to_string(&problem).unwrap();
    let read: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(read, problem);
    assert_eq!(decide(&read), decide(&problem));
}

#[test]
fn an_unknown_strategy_is_refused_with_the_known_ones() {
    let problem = Problem { strategy: "best".into(), ..in_turn("g", Vec::new(), Vec::new()) };
    let error = decide(&problem).unwrap_err();
    assert_eq!(error, "there is no strategy \"best\"; built in are first-fit, min-moves, cost, green");
}

#[test]
fn min_moves_moves_only_what_an_overfull_cluster_forces() {
    // a (2 cores free for the graph) holds 3 services of 1 core: one must go, and only b has free capacity.
    let mut services: Vec<ServiceDemand> =
        ["x", "y", "z"].map(|name| service(name, amount(1000, 1, 1, 0))).into();
    services.iter_mut().for_each(|service| service.current = Some("a".to_owned()));
    let clusters = vec![cluster("a", amount(2000, 9, 9, 0)), cluster("b", amount(1000, 9, 9, 0))];
    let problem = Problem { strategy: BuiltIn::MinMoves.into(), ..in_turn("g", clusters, services) };
    let outcome = decide(&problem).unwrap();
    let Outcome::Optimal(plan) = &outcome else { panic!("{outcome:?}") };
    assert_eq!(plan.objective.total, 1.0);
    let moved: Vec<_> = plan.explanation.iter().filter(|service| service.moved_from.is_some()).collect();
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].reason, "moves away from a: cpu: needs 1 core, 0 free");
}

#[test]
fn green_prefers_clean_clusters_where_cost_prefers_cheap_ones() {
    let attributes = |price, carbon| ClusterAttributes {
        price_per_core_hour: Some(price),
        carbon_per_core_hour: Some(carbon),
        ..ClusterAttributes::default()
    };
    let room = amount(4000, GIB, GB, 0);
    let clusters = vec![
        ClusterState { attributes: attributes(1.0, 400.0), ..cluster("cheap", room) },
        ClusterState { attributes: attributes(5.0, 10.0), ..cluster("clean", room) },
    ];
    let on = |strategy: BuiltIn| {
        let problem = in_turn("g", clusters.clone(), vec![service("s", amount(1000, 1, 1, 0))]);
        let problem = Problem { strategy: strategy.into(), ..problem };
        plan(&problem).assignment["s"].clone()
    };
    // cost: 1·1 + 0.01·400 = 5 against 5 + 0.1 = 5.1; green: 0.01 + 400 against 0.05 + 10.
    assert_eq!([on(BuiltIn::Cost), on(BuiltIn::Green)], ["cheap", "clean"]);
}

#[test]
fn zero_is_a_price_and_a_carbon_intensity_and_only_absence_is_unknown() {
    let room = amount(4000, GIB, GB, 0);
    let with = |name: &str, carbon: Option<f64>| {
        let (price_per_core_hour, carbon_per_core_hour) = (Some(1.0), carbon);
        let attributes =
            ClusterAttributes { price_per_core_hour, carbon_per_core_hour, ..ClusterAttributes::default() };
        ClusterState { attributes, ..cluster(name, room) }
    };
    let on = |carbon: [Option<f64>; 3]| {
        let clusters =
            ["a", "b", "c"].into_iter().zip(carbon).map(|(name, carbon)| with(name, carbon)).collect();
        let problem = in_turn("g", clusters, vec![service("s", amount(1000, 1, 1, 0))]);
        let problem = Problem { strategy: BuiltIn::Green.into(), ..problem };
        let outcome = decide(&problem).unwrap();
        assert_eq!(check(&problem, &outcome), Ok(()));
        let plan = outcome.plan().unwrap();
        (plan.assignment["s"].clone(), plan.warnings.len())
    };
    assert_eq!(on([Some(0.5), Some(1.0), Some(0.0)]), ("c".to_owned(), 0), "the renewable one");
    assert_eq!(on([None, Some(1.0), Some(0.0)]), ("c".to_owned(), 1), "unknown counts as the highest");
    assert_eq!(on([None, Some(0.0), None]).1, 1);
}

/// Two services that prefer the site of cluster `near`, which has room for one of them and is dearer and farther.
fn overflowing(strategy: BuiltIn) -> Problem {
    let mut clusters = ["far", "near"].map(|name| cluster(name, amount(4000, GIB, GB, 0))).to_vec();
    clusters[0].attributes.price_per_core_hour = Some(1.0);
    clusters[1].attributes.price_per_core_hour = Some(90.0);
    clusters[1].attributes.site = Some("factory".to_owned());
    clusters[1].free.cpu_millicores = 1000;
    let requirement = Requirement {
        intent: "offload_policy: overflow".to_owned(),
        attribute: "site".to_owned(),
        test: AttributeTest::OneOf(vec!["factory".to_owned()]),
        must_be_known: false,
    };
    let preferring = |name: &str| ServiceDemand {
        prefers: vec![Preference { requirement: requirement.clone(), cost: 10_000.0 }],
        ..service(name, amount(1000, 1, 1, 0))
    };
    Problem { strategy: strategy.into(), ..in_turn("g", clusters, vec![preferring("a"), preferring("b")]) }
}

#[test]
fn what_is_preferred_comes_first_and_what_has_no_room_overflows() {
    for strategy in BuiltIn::ALL.iter().copied() {
        let mut problem = overflowing(strategy);
        let on = |problem: &Problem| {
            let outcome = decide(problem).unwrap();
            assert_eq!(check(problem, &outcome), Ok(()), "{strategy:?}");
            outcome.plan().unwrap().clone()
        };
        let plan = on(&problem);
        let near = plan.assignment.values().filter(|cluster| *cluster == "near").count();
        assert_eq!(near, 1, "{strategy:?}: {:?}", plan.assignment);
        assert_eq!(
            plan.objective.terms.last().map(|term| (term.name.as_str(), term.value)),
            Some(("preference", 10_000.0))
        );
        // It is undone when there is room.
        for service in &mut problem.services {
            service.current = plan.assignment.get(&service.name).cloned();
        }
        problem.clusters[1].free.cpu_millicores = 4000;
        assert_eq!(places(&on(&problem)), [("a", "near"), ("b", "near")], "{strategy:?}");
    }
}
