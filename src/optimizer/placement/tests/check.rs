//! Tests of the independent checker: its refusals, and that it accepts no wrong plan.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::strategies::any_problem;
use super::*;
use crate::optimizer::BuiltInStrategy;

/// Where a service is and was.
fn explained(service: &ServiceDemand, places: &[(&str, &str)]) -> ServiceExplanation {
    let place = places.iter().find(|(name, _)| *name == service.name);
    let cluster = place.map_or_else(String::new, |(_, cluster)| (*cluster).to_owned());
    ServiceExplanation {
        service: service.name.clone(),
        moved_from: service.current.clone().filter(|current| *current != cluster),
        cluster,
        reason: String::new(),
        clusters: Vec::new(),
        omitted: 0,
    }
}

/// A plan of the stated assignment, whatever it is worth.
fn stated(problem: &Problem, places: &[(&str, &str)]) -> Plan {
    Plan {
        strategy: problem.strategy.clone(),
        assignment: places
            .iter()
            .map(|(service, cluster)| ((*service).to_owned(), (*cluster).to_owned()))
            .collect(),
        replicas: problem
            .services
            .iter()
            .map(|service| (service.name.clone(), service.replicas.min))
            .collect(),
        objective: Objective { total: 0.0, terms: Vec::new() },
        bound: None,
        gap: None,
        certificate: Certificate::None,
        resolution: None,
        reproducible: true,
        unknown_allowed: false,
        waived: Vec::new(),
        warnings: Vec::new(),
        explanation: problem.services.iter().map(|service| explained(service, places)).collect(),
    }
}

#[test]
fn every_service_needs_a_cluster_that_exists() {
    let room = cluster("up", amount(1000, 10, 10, 0));
    let problem =
        in_turn("g", vec![room], vec![service("a", amount(1, 1, 1, 0)), service("b", amount(1, 1, 1, 0))]);
    let plan = stated(&problem, &[("a", "nowhere"), ("c", "up")]);
    assert_eq!(
        accepts(&problem, &plan).unwrap_err(),
        [
            "service c is not part of the problem",
            "service a is on the unknown cluster nowhere",
            "service b has no cluster"
        ]
    );
}

#[test]
fn every_broken_constraint_is_named() {
    let mut down = cluster("down", amount(9, 9, 9, 0));
    down.available = false;
    let mut pinned = service("d", amount(1, 1, 1, 0));
    (pinned.pinned, pinned.current) = (true, Some("down".to_owned()));
    let mut secure = service("e", amount(1, 1, 1, 0));
    secure.requires = vec![trusted()];
    let mut alone = service("f", amount(1, 1, 1, 0));
    alone.anti_affinity = vec!["e".to_owned()];
    let mut large = service("g", amount(0, 0, 0, 0));
    large.pods = vec![amount(500, 1, 1, 0), amount(501, 1, 1, 0)];
    let mut up = cluster("up", amount(1000, 10, 10, 0));
    up.nodes = vec![amount(500, 5, 5, 0), amount(400, 10, 5, 0)];
    let mut problem = in_turn(
        "g",
        vec![up, down],
        vec![
            with(service("a", amount(600, 6, 6, 1)), &["b"]),
            service("b", amount(1, 1, 1, 0)),
            service("c", amount(600, 6, 6, 0)),
            pinned,
            secure,
            alone,
            large,
        ],
    );
    problem.links = vec![link("b", "c", Some(LatencyBound::Ultralow))];
    let places =
        [("a", "up"), ("b", "down"), ("c", "up"), ("d", "up"), ("e", "up"), ("f", "up"), ("g", "up")];
    let mut plan = stated(&problem, &places);
    plan.objective = Objective { total: 1.0, terms: vec![Term { name: "moves".to_owned(), value: 1.0 }] };
    assert_eq!(
        accepts(&problem, &plan).unwrap_err(),
        [
            "service b is on the unavailable cluster down",
            "service d must stay on down, but is on up",
            "cluster up does not meet intent security of service e",
            "a pod of service g is larger than every node of cluster up",
            "cluster up has 1000 millicores of cpu free, the plan puts 1203 there",
            "cluster up has 10 bytes of ram free, the plan puts 15 there",
            "cluster up has 10 bytes of storage free, the plan puts 15 there",
            "cluster up has 0 gpus free, the plan puts 1 there",
            "services a and b must share a cluster, but are on up and down",
            "services f and e must be apart, but are both on up",
            "services b and c are too far apart on down and up",
        ]
    );
}

#[test]
fn claims_about_the_objective_are_computed_again() {
    let mut moved = service("a", amount(1, 1, 1, 0));
    moved.current = Some("x".to_owned());
    let room = amount(10, 10, 10, 0);
    let problem = Problem {
        strategy: BuiltIn::MinMoves.into(),
        ..in_turn("g", vec![cluster("x", room), cluster("y", room)], vec![moved])
    };
    let mut plan = stated(&problem, &[("a", "y")]);
    (plan.bound, plan.gap) = (Some(0.5), Some(0.0));
    let faults = check(&problem, &Outcome::Optimal(plan)).unwrap_err();
    assert_eq!(
        faults,
        [
            "the plan says its objective is 0, it is 1",
            "the plan says its gap is Some(0.0), it is 0.5",
            "the plan says it is optimal with the bound Some(0.5) and the objective 1",
            // Staying costs nothing, so no bound above 0 holds.
            "the bound is 0.5, but a placement of 0 exists",
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Moves one service somewhere else: either the checker refuses the plan for a broken constraint, or for
    /// its objective, or the mutated plan is just as good and claims nothing that is not so.
    #[test]
    fn mutated_plans_are_refused(problem in any_problem(), victim in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let outcome = decide(&problem).unwrap();
        if let Some(plan) = outcome.plan().filter(|plan| !plan.assignment.is_empty()) {
            let victim = victim.get(&problem.services).name.clone();
            let to = to.get(&problem.clusters).name.clone();
            prop_assume!(plan.assignment[&victim] != to);
            let mut mutated = plan.clone();
            mutated.assignment.insert(victim.clone(), to);
            let assignment: BTreeMap<String, String> = mutated.assignment.clone();
            let harmless = adopt(&problem, &assignment).ok()
                .is_some_and(|adopted| adopted.plan().is_some_and(|adopted| {
                    (adopted.objective.total - plan.objective.total).abs() < 1e-9
                }));
            let refused = check(&problem, &Outcome::Feasible(mutated)).is_err();
            prop_assert!(refused || harmless);
            for change in [
                |plan: &mut Plan| plan.objective.total += 1.0,
                |plan: &mut Plan| plan.objective.terms.push(Term { name: "x".to_owned(), value: 1.0 }),
                |plan: &mut Plan| { plan.replicas.clear(); },
                |plan: &mut Plan| { plan.assignment.pop_first(); },
                |plan: &mut Plan| { plan.bound = Some(plan.objective.total + 1.0); plan.gap = Some(0.0); },
            ] {
                let mut wrong = plan.clone();
                change(&mut wrong);
                prop_assert!(check(&problem, &Outcome::Feasible(wrong)).is_err());
            }
        }
    }
}

#[test]
fn a_false_claim_that_there_is_no_placement_is_refused() {
    let room = cluster("a", amount(1000, GIB, GB, 0));
    let problem = in_turn("g", vec![room], vec![service("s", amount(2000, 1, 1, 0))]);
    let mut cause = refusal(&problem);
    assert!(cause.proven);
    assert_eq!(check(&problem, &Outcome::Infeasible(cause.clone())), Ok(()));
    let mut roomier = problem;
    roomier.clusters[0].free.cpu_millicores = 2000;
    let faults = check(&roomier, &Outcome::Infeasible(cause.clone())).unwrap_err();
    assert_eq!(faults, ["it is called proven that there is no placement, and there is one"]);
    // A strategy that does not look back says only that it found none.
    cause.proven = false;
    assert_eq!(check(&roomier, &Outcome::Infeasible(cause)), Ok(()));
}

#[test]
fn an_explanation_that_differs_from_the_assignment_is_refused() {
    let clusters = vec![cluster("a", amount(1000, GIB, GB, 0)), cluster("b", amount(1000, GIB, GB, 0))];
    let mut moving = service("s", amount(1000, 1, 1, 0));
    moving.current = Some("b".to_owned());
    let mut problem = in_turn("g", clusters, vec![moving]);
    problem.clusters[1].available = false;
    let plan = plan(&problem);
    assert_eq!(accepts(&problem, &plan), Ok(()));
    let refused = |change: fn(&mut Plan)| {
        let mut changed = plan.clone();
        change(&mut changed);
        assert!(accepts(&problem, &changed).is_err(), "{changed:?}");
    };
    refused(|plan| plan.explanation[0].moved_from = None);
    refused(|plan| plan.explanation[0].cluster = "b".to_owned());
    refused(|plan| plan.explanation.clear());
}

#[test]
fn amounts_whose_sum_no_integer_holds_fit_nowhere() {
    let huge = amount(1000, 5 << 60, 1, 0);
    let room = cluster("a", amount(9000, GIB, GB, 0));
    let problem = in_turn("g", vec![room], vec![service("s", huge), service("t", huge)]);
    for strategy in BuiltIn::ALL.iter().copied() {
        let problem = Problem { strategy: strategy.into(), ..problem.clone() };
        let outcome = decide(&problem).unwrap();
        assert!(matches!(outcome, Outcome::Infeasible(_)), "{strategy:?}: {outcome:?}");
    }
}

#[test]
fn a_near_tie_under_a_coarse_unit_is_no_fault() {
    // One cell of a million cost units makes the unit coarse: 0.14 for the link is counted as 0.1, 0.12 as 0.12.
    let mut clusters = ["a", "b"].map(|name| cluster(name, amount(4000, GIB, GB, 0))).to_vec();
    clusters[0].attributes.site = Some("factory".to_owned());
    for (cluster, price) in clusters.iter_mut().zip([0.12, 0.0]) {
        cluster.attributes.price_per_core_hour = Some(price);
        cluster.attributes.activation_cost = Some(0.0);
    }
    let requirement = Requirement {
        attribute: "site".to_owned(),
        test: AttributeTest::OneOf(vec!["factory".to_owned()]),
        ..trusted()
    };
    let mut home = service("s", amount(10, 1, 1, 0));
    home.prefers = vec![Preference { requirement, cost: 1e6 }];
    let mut problem = in_turn("g", clusters, vec![home, service("t", amount(1000, 1, 1, 0))]);
    problem.links = vec![Link { traffic: 0.014, ..link("s", "t", None) }];
    let problem = Problem { strategy: BuiltIn::Cost.into(), ..problem };
    let outcome = decide(&problem).unwrap();
    assert_eq!(check(&problem, &outcome), Ok(()));
    assert_eq!(outcome.plan().unwrap().resolution, Some(1e-6));
    let mut coarse = outcome.plan().unwrap().clone();
    coarse.resolution = Some(1.0);
    assert!(accepts(&problem, &coarse).is_err(), "a plan may not call everything a rounding error");
}

#[test]
fn the_largest_numbers_that_are_accepted_can_be_decided_with() {
    let most = crate::hdag::MAX_WEIGHT;
    let mut clusters: Vec<ClusterState> =
        ["a", "b", "c"].map(|name| cluster(name, amount(400_000_000, GIB, GB, 0))).to_vec();
    for (cluster, price) in clusters.iter_mut().zip([most, 1.0, 0.0]) {
        cluster.attributes.price_per_core_hour = Some(price);
    }
    clusters[2].available = false;
    let mut moving = service("s", amount(10_000, 1, 1, 0));
    (moving.move_weight, moving.current) = (most, Some("c".to_owned()));
    moving.replicas = ReplicaBounds::exactly(10_000);
    let mut problem = in_turn("g", clusters, vec![moving, service("t", amount(1, 1, 1, 0))]);
    problem.links = vec![Link { traffic: most, ..link("s", "t", None) }];
    problem.weights.price = most;
    problem.weights.latency = most;
    problem.weights.moves = most;
    for strategy in BuiltIn::ALL.iter().copied() {
        let problem = Problem { strategy: strategy.into(), ..problem.clone() };
        let outcome = decide(&problem).unwrap();
        assert_eq!(check(&problem, &outcome), Ok(()), "{strategy:?}");
        if strategy != BuiltIn::FirstFit {
            assert_eq!(outcome.plan().unwrap().assignment.len(), 2, "{strategy:?}: {outcome:?}");
        }
    }
    let priced = Problem { strategy: BuiltIn::Cost.into(), ..problem };
    assert_eq!(plan(&priced).assignment["s"], "b");
}
