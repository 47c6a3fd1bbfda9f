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
