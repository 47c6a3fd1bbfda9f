//! Tests of first fit.

use proptest::prelude::*;

use super::*;
use crate::optimizer::BuiltInStrategy;

#[test]
fn services_fill_clusters_in_name_order() {
    let room = amount(2000, 4 * GIB, 40 * GB, 0);
    let needs = amount(1000, GIB, 10 * GB, 0);
    let problem = in_turn(
        "g",
        vec![cluster("edge-2", room), cluster("edge-1", room)],
        vec![service("c", needs), service("b", needs), service("a", needs)],
    );
    let plan = plan(&problem);
    assert_eq!(places(&plan), [("a", "edge-2"), ("b", "edge-1"), ("c", "edge-1")]);
    assert_eq!(accepts(&problem, &plan), Ok(()));
    let explained = &plan.explanation[0];
    assert_eq!(
        explained.reason,
        "first cluster in order of discovery with room: needs 1 core, 1GiB RAM, 10GB storage; \
         free 2 cores, 4GiB RAM, 40GB storage"
    );
    // Everything else being placed as planned, edge-1 is full.
    let violated: Vec<_> = explained.clusters.iter().map(|verdict| verdict.violated.as_slice()).collect();
    assert_eq!(violated, [[Violation::Cpu { needed: 1000, free: 0 }].as_slice(), &[]]);
}

#[test]
fn clusters_are_tried_in_the_order_in_which_they_were_first_seen() {
    let room = amount(1000, GIB, GB, 0);
    let needs = amount(1000, GIB, GB, 0);
    let seen = |name: &str, rank| ClusterState { rank, ..cluster(name, room) };
    let problem = in_turn(
        "g",
        vec![seen("a", 3), seen("c", 1), seen("b", 2)],
        vec![service("x", needs), service("y", needs), service("z", needs)],
    );
    assert_eq!(places(&plan(&problem)), [("x", "c"), ("y", "b"), ("z", "a")]);
    // Decisions that were stored before clusters had a rank are made again as they were.
    let mut stored = serde_json::to_value(&problem).unwrap();
    for cluster in stored["clusters"].as_array_mut().unwrap() {
        cluster.as_object_mut().unwrap().remove("rank").unwrap();
    }
    let stored: Problem = serde_json::from_value(stored).unwrap();
    assert_eq!(places(&plan(&stored)), [("x", "a"), ("y", "b"), ("z", "c")]);
}

#[test]
fn each_resource_alone_rules_a_cluster_out() {
    let room = amount(1000, GIB, 10 * GB, 1);
    for (needs, text) in [
        (amount(8000, 1, 1, 0), "cpu: needs 8 cores, 1 free"),
        (amount(1, 2 * GIB, 1, 0), "ram: needs 2GiB, 1GiB free"),
        (amount(1, 1, 40 * GB, 0), "storage: needs 40GB, 10GB free"),
        (amount(1, 1, 1, 2), "gpu: needs 2, 1 free"),
    ] {
        let refusal = refusal(&in_turn("g", vec![cluster("c", room)], vec![service("s", needs)]));
        assert_eq!(refusal.clusters[0].violated.len(), 1);
        assert_eq!(refusal.clusters[0].violated[0].to_string(), text);
        assert_eq!(refusal.summary, format!("service s fits on no cluster: c ({text})"));
    }
}

#[test]
fn a_cluster_that_does_not_report_storage_is_not_limited_by_it() {
    let mut silent = cluster("c", amount(1000, GIB, 0, 0));
    silent.storage_reported = false;
    let problem = in_turn("g", vec![silent], vec![service("s", amount(1000, GIB, 10 * GB, 0))]);
    let plan = plan(&problem);
    assert_eq!(places(&plan), [("s", "c")]);
    assert_eq!(accepts(&problem, &plan), Ok(()));
}

#[test]
fn gpus_without_a_number_are_no_constraint_where_there_are_some() {
    let room = amount(8000, 8 * GIB, 40 * GB, 0);
    let with_nodes = |name: &str, gpus_counted| ClusterState {
        gpus_counted,
        nodes: vec![amount(4000, 4 * GIB, 40 * GB, 0)],
        ..cluster(name, room)
    };
    let needs = amount(1000, GIB, GB, 2);
    let service = |name: &str| ServiceDemand { pods: vec![needs], ..service(name, needs) };
    for strategy in BuiltIn::ALL.iter().copied() {
        let on = |gpus_counted| {
            let clusters = vec![with_nodes("a", true), with_nodes("b", gpus_counted)];
            Problem { strategy: strategy.into(), ..in_turn("g", clusters, vec![service("x"), service("y")]) }
        };
        let labelled = on(false);
        let plan = plan(&labelled);
        assert_eq!(places(&plan), [("x", "b"), ("y", "b")], "{strategy:?}");
        assert_eq!(accepts(&labelled, &plan), Ok(()), "{strategy:?}");
        // A cluster that counts them has none.
        let none = on(true);
        assert!(refusal(&none).summary.contains("gpu: needs 2, 0 free"), "{strategy:?}");
        assert!(accepts(&none, &plan).is_err(), "{strategy:?}");
    }
}

#[test]
fn an_unavailable_cluster_is_never_used() {
    let mut down = cluster("a", amount(8000, GIB, GB, 0));
    down.available = false;
    let needs = service("s", amount(1, 1, 1, 0));
    let alone = refusal(&in_turn("g", vec![down.clone()], vec![needs.clone()]));
    assert_eq!(alone.summary, "service s fits on no cluster: a (unavailable)");
    let problem = in_turn("g", vec![down, cluster("b", amount(1, 1, 1, 0))], vec![needs]);
    assert_eq!(places(&plan(&problem)), [("s", "b")]);
}

#[test]
fn a_gpu_service_skips_clusters_without_gpus() {
    let room = amount(4000, 8 * GIB, 40 * GB, 0);
    let problem = in_turn(
        "g",
        vec![cluster("cloud", amount(4000, 8 * GIB, 40 * GB, 1)), cluster("a-edge", room)],
        vec![service("gpu", amount(500, GIB, GB, 1)), service("plain", amount(500, GIB, GB, 0))],
    );
    let plan = plan(&problem);
    assert_eq!(places(&plan), [("gpu", "cloud"), ("plain", "a-edge")]);
    assert_eq!(
        plan.explanation[0].reason,
        "first cluster in order of discovery with room: needs 0.5 cores, 1GiB RAM, 1GB storage, 1 GPU; \
         free 4 cores, 8GiB RAM, 40GB storage, 1 GPU"
    );
}

#[test]
fn replicas_count() {
    let mut twice = service("s", amount(1000, 1, 1, 0));
    twice.replicas = ReplicaBounds::exactly(2);
    let room = |cpu| amount(cpu, GIB, GB, 0);
    let problem = in_turn("g", vec![cluster("a", room(1999)), cluster("b", room(2000))], vec![twice]);
    assert_eq!(places(&plan(&problem)), [("s", "b")]);
}

#[test]
fn a_pod_must_fit_one_node() {
    // 8 cores, but in nodes of 4.
    let mut halved = cluster("a", amount(8000, 32 * GIB, GB, 0));
    halved.nodes = vec![amount(2000, 16 * GIB, GB, 0), amount(4000, 8 * GIB, GB, 0)];
    let mut large = service("s", amount(5000, GIB, 0, 0));
    large.pods = vec![large.needs];
    let fits = |clusters: &[ClusterState]| in_turn("g", clusters.to_vec(), vec![large.clone()]);
    let refused = refusal(&fits(std::slice::from_ref(&halved)));
    assert_eq!(
        refused.clusters[0].violated[0].to_string(),
        "node: a pod needs 5 cores, 1GiB RAM; the largest nodes have 2 cores, 16GiB RAM, 1GB storage or 4 cores, \
         8GiB RAM, 1GB storage"
    );
    assert_eq!(refused.conflict, ["each pod of service s fits one node: 5 cores, 1GiB RAM"]);
    let whole = ClusterState { nodes: vec![amount(8000, 32 * GIB, GB, 0)], ..cluster("b", halved.free) };
    assert_eq!(places(&plan(&fits(&[halved.clone(), whole]))), [("s", "b")]);
    let unknown = ClusterState { nodes: Vec::new(), ..halved };
    assert_eq!(places(&plan(&fits(&[unknown]))), [("s", "a")]);
}

#[test]
fn co_location_is_symmetric_and_transitive() {
    // c asks for b, b for a: all three need 3 cores together, which only "b" has; "x" still fits on "a".
    let needs = amount(1000, 1, 1, 0);
    let problem = in_turn(
        "g",
        vec![cluster("a", amount(2000, GIB, GB, 0)), cluster("b", amount(3000, GIB, GB, 0))],
        vec![
            service("a", needs),
            service("x", needs),
            with(service("b", needs), &["a", "not-here"]),
            with(service("c", needs), &["b"]),
        ],
    );
    let plan = plan(&problem);
    assert_eq!(places(&plan), [("a", "b"), ("b", "b"), ("c", "b"), ("x", "a")]);
    assert_eq!(accepts(&problem, &plan), Ok(()));
    let explained: Vec<&str> = plan.explanation.iter().map(|entry| entry.service.as_str()).collect();
    assert_eq!(explained, ["a", "b", "c", "x"]);
    assert!(plan.explanation[0].reason.contains("co-located a, b, c need 3 cores"));
}

#[test]
fn infeasible_names_the_group_and_what_each_cluster_lacks_after_earlier_services() {
    let problem = in_turn(
        "g",
        vec![
            cluster("a", amount(4000, 8 * GIB, 40 * GB, 0)),
            cluster("b", amount(8000, GIB + 7, 40 * GB, 0)),
        ],
        vec![
            service("first", amount(500, GIB, GB, 0)),
            with(service("big", amount(3000, 2 * GIB, GB, 0)), &["mate"]),
            service("mate", amount(1000, GIB, GB, 0)),
        ],
    );
    let refusal = refusal(&problem);
    assert_eq!(refusal.services, ["big", "mate"]);
    assert_eq!(
        refusal.summary,
        "co-located services big, mate fit together on no cluster: a (cpu: needs 4 cores, 3.5 free), \
         b (ram: needs 3GiB, 1GiB free)"
    );
    assert_eq!(refusal.clusters[0].violated, [Violation::Cpu { needed: 4000, free: 3500 }]);
}

#[test]
fn without_clusters_nothing_fits() {
    let refusal = refusal(&in_turn("g", Vec::new(), vec![service("s", amount(1, 1, 1, 0))]));
    assert_eq!(refusal.summary, "service s fits on no cluster: no cluster is known");
}

#[test]
fn numbers_that_round_alike_are_shown_exactly() {
    let violation = Violation::Ram { needed: GIB, free: GIB - 1 };
    assert_eq!(violation.to_string(), "ram: needs 1GiB, 1023.99MiB free");
    let violation = Violation::Ram { needed: GIB + 8, free: GIB + 7 };
    assert_eq!(violation.to_string(), "ram: needs 1073741832B, 1073741831B free");
}

prop_compose! {
    fn any_amount(max: i64)(cpu in 0..max, ram in 0..max, storage in 0..max, gpus in 0..3_i64) -> Resources {
        amount(cpu, ram, storage, gpus)
    }
}

prop_compose! {
    fn any_problem()(
        clusters in prop::collection::vec((any_amount(20), prop::bool::weighted(0.8), any::<bool>()), 0..5),
        services in prop::collection::vec((any_amount(8), 0..3_i64, prop::collection::vec(0..8_usize, 0..2)), 0..7),
    ) -> Problem {
        let clusters = clusters.into_iter().enumerate().map(|(index, (free, available, storage_reported))| {
            ClusterState { available, storage_reported, ..cluster(&format!("c{index}"), free) }
        });
        let services = services.into_iter().enumerate().map(|(index, (needs, replicas, others))| {
            let co_location = others.iter().map(|other| format!("s{other}")).collect();
            ServiceDemand { replicas: ReplicaBounds::exactly(replicas), co_location, ..service(&format!("s{index}"), needs) }
        });
        in_turn("g", clusters.collect(), services.collect())
    }
}

/// The problem restricted to the services that the answer placed, and the group on one cluster besides.
fn with_group_on(problem: &Problem, placed: &Plan, group: &[String], cluster: &str) -> (Problem, Plan) {
    let mut plan = placed.clone();
    for member in group {
        plan.assignment.insert(member.clone(), cluster.to_owned());
    }
    let mut problem = problem.clone();
    problem.services.retain(|service| plan.assignment.contains_key(&service.name));
    (problem, plan)
}

proptest! {
    #[test]
    fn plans_pass_the_checker(problem in any_problem()) {
        if let Some(plan) = decide(&problem).unwrap().plan() {
            prop_assert_eq!(accepts(&problem, plan), Ok(()));
            prop_assert_eq!(plan.explanation.len(), problem.services.len());
            for (entry, service) in plan.explanation.iter().zip(&problem.services) {
                prop_assert_eq!(&entry.service, &service.name);
                let own = entry.clusters.iter().find(|verdict| verdict.cluster == entry.cluster);
                prop_assert!(own.is_some_and(|verdict| verdict.feasible && verdict.cost_difference == Some(0.0)));
            }
        }
    }

    #[test]
    fn the_order_of_clusters_is_irrelevant(problem in any_problem(), turn in 0..5_usize) {
        let mut clusters = problem.clusters.clone();
        clusters.reverse();
        let turn = turn.min(clusters.len());
        clusters.rotate_left(turn);
        let shuffled = in_turn("g", clusters.clone(), problem.services.clone());
        prop_assert_eq!(&shuffled, &problem);
    }

    #[test]
    fn the_checker_refuses_mutated_plans(problem in any_problem(), which in any::<prop::sample::Index>()) {
        if let Some(plan) = decide(&problem).unwrap().plan() {
            prop_assume!(!plan.assignment.is_empty());
            let victim = which.get(&problem.services).name.clone();
            let mut missing = plan.clone();
            missing.assignment.remove(&victim);
            prop_assert!(accepts(&problem, &missing).is_err());
            let mut unknown = plan.clone();
            unknown.assignment.insert(victim.clone(), "nowhere".to_owned());
            prop_assert!(accepts(&problem, &unknown).is_err());
            // The same plan where its cluster is down, or a bit too small for the sum of what it holds.
            let home = &plan.assignment[&victim];
            let held = problem.services.iter().filter(|service| plan.assignment[&service.name] == *home)
                .fold(Resources::default(), |sum, service| sum + service.total());
            let mut down = problem.clone();
            let mut small = problem.clone();
            for index in 0..problem.clusters.len() {
                if problem.clusters[index].name == *home {
                    down.clusters[index].available = false;
                    small.clusters[index].free.cpu_millicores = held.cpu_millicores - 1;
                }
            }
            prop_assert!(accepts(&down, plan).is_err());
            prop_assert_eq!(accepts(&small, plan).is_err(), held.cpu_millicores > 0);
        }
    }

    #[test]
    fn an_infeasible_group_really_fits_nowhere_after_the_services_before_it(problem in any_problem()) {
        if let Outcome::Infeasible(refusal) = decide(&problem).unwrap() {
            // The services placed before: the same problem without the group and all services of later rank.
            let first = problem.services.iter().find(|service| service.name == refusal.services[0]).unwrap();
            let turn = first.rank as usize;
            let earlier = Problem { services: groups_before(&problem, turn), ..problem.clone() };
            let placed = plan(&earlier);
            for verdict in &refusal.clusters {
                prop_assert!(!verdict.feasible);
                let (problem, plan) = with_group_on(&problem, &placed, &refusal.services, &verdict.cluster);
                prop_assert!(accepts(&problem, &plan).is_err(), "{} would fit", verdict.cluster);
            }
        }
    }
}

/// The services of the groups whose first member comes before `turn`, found by repeated widening.
fn groups_before(problem: &Problem, turn: usize) -> Vec<ServiceDemand> {
    let mut taken: Vec<bool> =
        problem.services.iter().map(|service| (service.rank as usize) < turn).collect();
    loop {
        let mut grown = false;
        for (one, service) in problem.services.iter().enumerate() {
            for (other, candidate) in problem.services.iter().enumerate() {
                if service.co_location.contains(&candidate.name) && taken[one] != taken[other] {
                    (taken[one], taken[other]) = (true, true);
                    grown = true;
                }
            }
        }
        if !grown {
            break;
        }
    }
    let kept = problem.services.iter().zip(&taken).filter(|(_, taken)| **taken);
    kept.map(|(service, _)| service.clone()).collect()
}
