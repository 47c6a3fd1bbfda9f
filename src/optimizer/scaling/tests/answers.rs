//! Tests of answers: as data, as text, and under the checker.

use super::*;
use crate::optimizer::BuiltInStrategy;

fn two_services() -> ScalingProblem {
    let needs = Resources { ram_bytes: GIB / 2, ..cpu(500) };
    let mut slow = service("noise-reduction", 7.0, 1, 0.533, -0.416);
    slow.needs = needs;
    let kept = ScaledService { not_below: kept(2), ..service("image-detection", 1.6, 2, 1.67, -0.01) };
    let mut problem = problem(3000, vec![kept, slow]);
    problem.clusters[0].free.ram_bytes = 4 * GIB;
    problem
}

#[test]
fn strategies_are_found_by_name() {
    let problem = two_services();
    for strategy in BuiltIn::ALL.iter().copied() {
        let named = BuiltIn::named(strategy.name()).unwrap();
        assert_eq!(
            plan_of(|problem| decide(problem, named, &Stop::never()), &problem).strategy,
            strategy.into()
        );
    }
    assert!(BuiltIn::named("none").is_none());
}

#[test]
fn a_decision_can_be_stored_and_replayed() {
    let problem = two_services();
    let stored = serde_json::to_string(&(&problem, exact(&problem))).unwrap();
    let (problem, outcome): (ScalingProblem, ScalingOutcome) = serde_json::from_str(&stored).unwrap();
    assert_eq!(exact(&problem), outcome);
    assert!(stored.contains(r#""outcome":"decided""#));
}

#[test]
fn a_plan_is_rendered_as_a_table() {
    let problem = two_services();
    assert_eq!(
        report(&problem, &exact(&problem)),
        "\
graph g scaled by exact: objective 0.967 (utilisation 0.833, change 0.133, margin 0), optimal
service          cluster  rate/s  needed  now  then  reason
image-detection  edge     1.6     1       2    2     rate 1.6 requests/s needs 1 replica (1.67·1 − 0.01 = 1.66); \
held at 2 replicas, which it needed within the stabilisation window
noise-reduction  edge     7       14      1    3!    rate 7 requests/s needs 14 replicas (0.533·14 − 0.416 = 7.046); \
the maximum is 3 replicas
cluster  cpu       ram             storage   gpu
edge     2.5 of 3  1.5GiB of 4GiB  0B of 0B  0 of 0
"
    );
}

#[test]
fn a_refusal_is_rendered_with_what_is_needed() {
    let mut problem = two_services();
    problem.clusters[0].free.cpu_millicores = 1000;
    assert_eq!(
        report(&problem, &exact(&problem)),
        "\
graph g cannot be scaled by exact:
  cluster edge has too little room for services image-detection, noise-reduction: cpu: needs 2 cores, 1 free
replicas needed:
  image-detection  1
  noise-reduction  3
"
    );
    problem.services[0].profile.alpha = -1.0;
    assert_eq!(
        report(&problem, &exact(&problem)),
        "\
the scaling problem of graph g is invalid:
  services/image-detection/profile/alpha: is -1: more replicas would serve fewer requests
"
    );
}

#[test]
fn the_checker_says_everything_that_is_wrong_with_a_plan() {
    let problem = two_services();
    let mut plan = plan_of(exact, &problem);
    assert_eq!(numbers(&plan.replicas), [2, 3]);
    plan.replicas.insert("image-detection".to_owned(), 1);
    plan.replicas.insert("noise-reduction".to_owned(), 4);
    plan.optimal = false;
    plan.services[1].saturated = false;
    let mut faults = check(&problem, &ScalingOutcome::Decided(plan.clone())).unwrap_err();
    faults.truncate(4);
    assert_eq!(
        faults,
        [
            "the list of services differs from the numbers of replicas",
            "service noise-reduction is marked as saturated: false",
            "service image-detection gives up replicas that it is to keep, though there is room",
            "service noise-reduction has 4 replicas, allowed are 1 to 3",
        ]
    );
    plan.replicas.remove("noise-reduction");
    plan.replicas.insert("another".to_owned(), 1);
    assert_eq!(
        check(&problem, &ScalingOutcome::Decided(plan)),
        Err(vec!["service noise-reduction has no number of replicas".to_owned()])
    );
}

#[test]
fn impossible_numbers_from_outside_are_refused() {
    let problem = two_services();
    for count in [i64::MIN, -1, 100_001, i64::MAX] {
        let numbers = problem.services.iter().map(|service| (service.name.clone(), count)).collect();
        let faults = adopt(&problem, "mine", &numbers).unwrap_err();
        let expected = format!("service image-detection has {count} replicas, possible are 0 to 100000");
        assert_eq!((faults.len(), &faults[0]), (2, &expected));
    }
}

#[test]
fn the_checker_refuses_refusals_with_wrong_numbers() {
    let mut problem = two_services();
    problem.clusters[0].free.cpu_millicores = 1000;
    let ScalingOutcome::Infeasible(refusal) = exact(&problem) else { panic!("feasible") };
    problem.clusters[0].free.cpu_millicores = 1500;
    let faults = check(&problem, &ScalingOutcome::Infeasible(refusal.clone())).unwrap_err();
    assert_eq!(faults, [format!("it is not so that {}", refusal.conflicts[0])]);
    let empty = ScalingInfeasibility { conflicts: Vec::new(), ..refusal };
    assert!(check(&problem, &ScalingOutcome::Infeasible(empty)).is_err());
}
