//! Tests of decisions that are stopped.

use std::time::{Duration, Instant};

use super::strategies::any_problem;
use super::*;
use crate::optimizer::{BuiltInStrategy, Stop};

/// Two services of which only one fits.
fn too_large() -> Problem {
    let room = amount(1000, GIB, GB, 0);
    let needs = amount(800, 1, 1, 0);
    in_turn("g", vec![cluster("a", room)], vec![service("x", needs), service("y", needs)])
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn a_deadline_that_is_not_reached_changes_nothing(problem in any_problem()) {
        let stop = Stop::never().within(Duration::from_secs(3600));
        proptest::prop_assert_eq!(decide_within(&problem, &stop), decide(&problem));
        proptest::prop_assert!(!stop.has_cut());
    }

    #[test]
    fn what_is_found_in_no_time_at_all_is_valid(problem in any_problem()) {
        let outcome = decide_within(&problem, &Stop::at(Instant::now())).unwrap();
        proptest::prop_assert_eq!(check(&problem, &outcome), Ok(()));
        if let Outcome::Infeasible(_) = decide(&problem).unwrap() {
            proptest::prop_assert!(outcome.plan().is_none(), "{outcome:?}");
        }
    }
}

#[test]
fn a_plan_that_was_cut_short_says_that_it_is_not_reproducible() {
    let room = amount(4000, 8 * GIB, 40 * GB, 0);
    let services = (0..6).map(|at| service(&format!("s{at}"), amount(500, GIB, GB, 0))).collect();
    let mut problem = in_turn("g", vec![cluster("a", room), cluster("b", room)], services);
    problem.strategy = BuiltIn::Cost.into();
    let whole = decide(&problem).unwrap();
    let warnings = &whole.plan().expect("there is room").warnings;
    assert!(whole.plan().is_some_and(|plan| plan.reproducible));
    let cancelled = Stop::never();
    cancelled.cancel();
    let cut = decide_within(&problem, &cancelled).unwrap();
    let plan = cut.plan().expect("the greedy placement is feasible");
    assert!(!plan.reproducible);
    assert_eq!(plan.warnings.len(), warnings.len() + 1);
    assert!(plan.warnings.iter().any(|warning| warning.contains("all the time that the server allows")));
}

#[test]
fn a_bound_that_was_proven_before_the_time_was_over_stays() {
    // Each service alone would be on the cheap cluster, which has room for one of them.
    let priced = |name: &str, price| ClusterState {
        attributes: ClusterAttributes { price_per_core_hour: Some(price), ..ClusterAttributes::default() },
        ..cluster(name, amount(1000, GIB, GB, 0))
    };
    let services = ["x", "y"].map(|name| service(name, amount(800, 1, 1, 0))).to_vec();
    let mut problem = in_turn("g", vec![priced("cheap", 1.0), priced("dear", 3.0)], services);
    problem.strategy = BuiltIn::Cost.into();
    // Too late for a mixed-integer program, whose bound is none then.
    let outcome = decide_within(&problem, &Stop::at(Instant::now())).unwrap();
    let plan = outcome.plan().expect("the greedy placement is feasible");
    let bound = plan.bound.expect("the relaxation gives one");
    assert!(bound > 0.0 && bound < plan.objective.total, "{bound} of {}", plan.objective.total);
    assert_eq!(plan.certificate, Certificate::Relaxation);
}

#[test]
fn without_time_for_the_reasons_what_is_infeasible_stays_so() {
    for strategy in BuiltIn::ALL {
        let problem = Problem { strategy: (*strategy).into(), ..too_large() };
        let Outcome::Infeasible(whole) = decide(&problem).unwrap() else { panic!("{strategy:?}") };
        assert!(whole.proven && whole.minimal && !whole.cut_short && !whole.relaxations.is_empty());
        match decide_within(&problem, &Stop::at(Instant::now())).unwrap() {
            Outcome::Infeasible(cut) => {
                assert!(cut.cut_short && cut.relaxations.is_empty());
                assert_eq!((cut.summary, cut.clusters), (whole.summary, whole.clusters));
            }
            other => panic!("{strategy:?}: {other:?}"),
        }
    }
}
