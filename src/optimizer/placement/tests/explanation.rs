//! Tests of explanations, as data and as text.

use super::*;
use crate::optimizer::ClusterAttributes;

fn problem() -> Problem {
    let priced = |name: &str, price, region: &str, free| ClusterState {
        attributes: ClusterAttributes {
            price_per_core_hour: Some(price),
            region: Some(region.to_owned()),
            latencies_ms: [("cloud", 25.0)].map(|(to, ms)| (to.to_owned(), ms)).into(),
            ..ClusterAttributes::default()
        },
        ..cluster(name, free)
    };
    let mut camera = service("camera", amount(1000, GIB, GB, 0));
    camera.current = Some("edge".to_owned());
    let mut problem = in_turn(
        "vision",
        vec![
            priced("cloud", 0.5, "eu", amount(16_000, 64 * GIB, 500 * GB, 2)),
            priced("edge", 2.0, "be", amount(2000, 4 * GIB, 50 * GB, 0)),
        ],
        vec![camera, service("detect", amount(1500, 2 * GIB, GB, 0))],
    );
    problem.strategy = BuiltIn::Cost.into();
    problem.links = vec![link("camera", "detect", None)];
    problem
}

#[test]
fn a_plan_reads_like_a_table() {
    let problem = problem();
    insta::assert_snapshot!(report(&problem, &decide(&problem).unwrap()));
}

#[test]
fn an_infeasible_problem_names_a_minimal_conflict_and_what_would_help() {
    let mut problem = problem();
    problem.links[0].bound = Some(LatencyBound::Ultralow);
    problem.clusters[0].available = false;
    insta::assert_snapshot!(report(&problem, &decide(&problem).unwrap()));
}

#[test]
fn differences_of_cost_are_those_of_the_objective() {
    let problem = problem();
    let plan = plan(&problem);
    for service in &plan.explanation {
        for verdict in service.clusters.iter().filter(|verdict| verdict.feasible) {
            let mut assignment = plan.assignment.clone();
            assignment.insert(service.service.clone(), verdict.cluster.clone());
            let other = adopt(&problem, &assignment).unwrap();
            let difference = other.plan().unwrap().objective.total - plan.objective.total;
            assert!((difference - verdict.cost_difference.unwrap()).abs() < 1e-6);
        }
    }
}

#[test]
fn what_is_missing_for_services_larger_than_any_cluster_is_told() {
    let clusters = vec![cluster("x", amount(7900, GIB, GB, 0)), cluster("y", amount(8000, GIB, GB, 0))];
    let needs = amount(8000, 1, 1, 0);
    let mut problem = in_turn("g", clusters, vec![service("a", needs), service("b", needs)]);
    assert_eq!(refusal(&problem).relaxations, ["free another 0.1 cores on x"]);
    // Neither fits any cluster.
    problem.clusters[1].free.cpu_millicores = 7000;
    let both = refusal(&problem).relaxations;
    assert!(both[0].contains("on x") && both[0].contains("1 core on y"), "{both:?}");
}

#[test]
fn of_many_clusters_the_verdicts_that_tell_most_are_kept() {
    let mut clusters: Vec<ClusterState> = (0..60)
        .map(|number| {
            let mut one = cluster(&format!("c{number:02}"), amount(2000, GIB, GB, 0));
            one.attributes.price_per_core_hour = Some(f64::from(60 - number));
            one
        })
        .collect();
    clusters[0].available = false;
    let mut moving = service("a", amount(1000, 1, 1, 0));
    moving.current = Some("c00".to_owned());
    let problem = in_turn("g", clusters, vec![moving]);
    let plan = plan(&Problem { strategy: BuiltIn::Cost.into(), ..problem });
    let explained = &plan.explanation[0];
    assert_eq!((explained.cluster.as_str(), explained.clusters.len(), explained.omitted), ("c59", 20, 40));
    let kept: Vec<&str> = explained.clusters.iter().map(|verdict| verdict.cluster.as_str()).collect();
    let mut expected = vec!["c00".to_owned()];
    expected.extend((41..60).map(|number| format!("c{number:02}")));
    assert_eq!(kept, expected);
}

#[test]
fn a_cheaper_cluster_that_was_not_chosen_costs_less() {
    let mut clusters = vec![cluster("a", amount(2000, GIB, GB, 0)), cluster("b", amount(2000, GIB, GB, 0))];
    clusters[0].attributes.price_per_core_hour = Some(5.0);
    clusters[1].attributes.price_per_core_hour = Some(1.0);
    let problem = in_turn("g", clusters, vec![service("s", amount(1000, 1, 1, 0))]);
    let problem = Problem { strategy: Strategy::External("mine".to_owned()), ..problem };
    let assignment = std::collections::BTreeMap::from([("s".to_owned(), "a".to_owned())]);
    let Ok(Outcome::Feasible(plan)) = adopt(&problem, &assignment) else { panic!("not adopted") };
    assert_eq!(plan.explanation[0].reason, "the next best cluster, b, would cost 4.000 less");
}
