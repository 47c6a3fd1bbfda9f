//! Tests of intents that the clusters' data cannot decide.

use super::*;
use crate::optimizer::BuiltInStrategy;
use crate::optimizer::ClusterAttributes;

/// Two clusters that hold one of two services each.
fn apart(bound: LatencyBound) -> Problem {
    let room = amount(1000, GIB, GB, 0);
    let needs = amount(1000, 1, 1, 0);
    let mut problem = in_turn(
        "g",
        vec![cluster("a", room), cluster("b", room)],
        vec![service("x", needs), service("y", needs)],
    );
    problem.links = vec![link("x", "y", Some(bound))];
    problem
}

#[test]
fn an_unknown_latency_is_a_warning_or_in_a_strict_problem_a_refusal() {
    for strategy in BuiltIn::ALL.iter().copied() {
        let mut problem = Problem { strategy: strategy.into(), ..apart(LatencyBound::Ultralow) };
        let plan = plan(&problem);
        assert!(plan.unknown_allowed);
        assert!(
            plan.warnings.contains(
                &"x and y want less than 10 ms, but no latency between their clusters a and b is known"
                    .to_owned()
            ),
            "{:?}",
            plan.warnings
        );
        problem.strict = true;
        let refusal = refusal(&problem);
        assert!(refusal.proven);
        assert!(
            refusal.conflict.iter().any(|text| text.contains("less than 10 ms")),
            "{:?}",
            refusal.conflict
        );
    }
}

#[test]
fn what_is_known_is_preferred_to_what_is_not() {
    // y fits beside x on "large": then no latency has to be known.
    let mut problem = Problem { strategy: BuiltIn::Cost.into(), ..apart(LatencyBound::Low) };
    problem.clusters.push(cluster("large", amount(2000, GIB, GB, 0)));
    let plan = plan(&problem);
    assert_eq!(places(&plan), [("x", "large"), ("y", "large")]);
    assert!(!plan.unknown_allowed);
    assert!(!plan.warnings.iter().any(|warning| warning.contains("latency")), "{:?}", plan.warnings);
}

#[test]
fn services_that_rest_on_the_unknown_already_are_not_moved() {
    let mut problem = apart(LatencyBound::Low);
    problem.clusters.push(cluster("large", amount(2000, GIB, GB, 0)));
    problem.strategy = BuiltIn::MinMoves.into();
    problem.services[0].current = Some("a".to_owned());
    problem.services[1].current = Some("b".to_owned());
    let plan = plan(&problem);
    assert_eq!((plan.objective.total, plan.warnings.len()), (0.0, 1));
}

#[test]
fn regions_decide_where_no_latency_is_known() {
    let mut problem = apart(LatencyBound::Low);
    problem.strict = true;
    for cluster in &mut problem.clusters {
        cluster.attributes.region = Some("be".to_owned());
    }
    assert_eq!(places(&plan(&problem)).len(), 2);
    problem.clusters[1].attributes.region = Some("gr".to_owned());
    assert!(refusal(&problem).proven);
    // Measured to be near, whatever the regions are called.
    problem.clusters[1].attributes.latencies_ms.insert("a".to_owned(), 20.0);
    assert_eq!(places(&plan(&problem)).len(), 2);
}

#[test]
fn a_cluster_of_unknown_trust_is_never_trusted() {
    let mut secure = service("s", amount(1, 1, 1, 0));
    secure.requires = vec![trusted()];
    let mut problem = in_turn("g", vec![cluster("a", amount(9, 9, 9, 0))], vec![secure]);
    let refusal = refusal(&problem);
    assert_eq!(
        refusal.summary,
        "service s fits on no cluster: a (security: trusted must be true, is unknown)"
    );
    problem.clusters[0].attributes.trusted = Some(true);
    assert_eq!(places(&plan(&problem)), [("s", "a")]);
}

#[test]
fn an_unknown_price_is_never_cheap() {
    let priced = |name: &str, price| ClusterState {
        attributes: ClusterAttributes { price_per_core_hour: price, ..ClusterAttributes::default() },
        ..cluster(name, amount(4000, GIB, GB, 0))
    };
    let clusters = vec![priced("a", None), priced("b", Some(2.0)), priced("c", Some(3.0))];
    let problem = in_turn("g", clusters, vec![service("s", amount(1000, 1, 1, 0))]);
    let plan = plan(&Problem { strategy: BuiltIn::Cost.into(), ..problem });
    assert_eq!(places(&plan), [("s", "b")]);
    assert!(plan.warnings.iter().any(|text| text.starts_with("price_per_core_hour of a is unknown")));
}

/// A requirement on the region.
fn in_region(region: &str) -> Requirement {
    Requirement {
        intent: format!("near: {region}"),
        attribute: "region".to_owned(),
        test: AttributeTest::OneOf(vec![region.to_owned()]),
        must_be_known: false,
    }
}

#[test]
fn one_requirement_that_cannot_be_decided_does_not_waive_the_others() {
    // No cluster has a site, so that `s` has to do without; the regions are known, of `a` and `b`.
    let room = amount(4000, GIB, GB, 0);
    let with_region = |name: &str, region: Option<&str>| {
        let mut cluster = cluster(name, room);
        cluster.attributes.region = region.map(str::to_owned);
        cluster
    };
    let clusters = vec![with_region("a", Some("gr")), with_region("b", Some("be")), with_region("c", None)];
    let mut s = service("s", amount(1000, 1, 1, 0));
    let site = Requirement { attribute: "site".to_owned(), ..in_region("factory") };
    s.requires = vec![site, in_region("be")];
    let mut other = service("t", amount(1000, 1, 1, 0));
    other.requires = vec![in_region("gr")];
    for strategy in BuiltIn::ALL.iter().copied() {
        let problem = in_turn("g", clusters.clone(), vec![s.clone(), other.clone()]);
        let problem = Problem { strategy: strategy.into(), ..problem };
        let plan = plan(&problem);
        assert_eq!(places(&plan), [("s", "b"), ("t", "a")], "{strategy:?}");
        let undecided: Vec<_> =
            plan.warnings.iter().filter(|text| text.contains("cannot be decided")).collect();
        assert_eq!(undecided.len(), 1, "{:?}", plan.warnings);
        assert!(plan.unknown_allowed && check(&problem, &Outcome::Feasible(plan)).is_ok());
    }
}

#[test]
fn what_a_service_rests_on_already_waives_nothing_else() {
    // `x` and `y` are where no latency is known, and stay; `z` is new, and goes where its region is known.
    let mut problem = apart(LatencyBound::Low);
    problem.strategy = BuiltIn::MinMoves.into();
    problem.services[0].current = Some("a".to_owned());
    problem.services[1].current = Some("b".to_owned());
    problem.clusters.push(cluster("c", amount(1000, GIB, GB, 0)));
    problem.clusters.push(cluster("d", amount(1000, GIB, GB, 0)));
    problem.clusters[3].attributes.region = Some("be".to_owned());
    let mut z = service("z", amount(1000, 1, 1, 0));
    z.requires = vec![in_region("be")];
    problem.services.push(z);
    assert_eq!(places(&plan(&problem)), [("x", "a"), ("y", "b"), ("z", "d")]);
}
