//! The exact strategy against all possible plans of tiny problems.

use super::*;

/// A hundred thousand instances.
const INSTANCES: u64 = 100_000;
/// Largest number of replicas considered in the original's model, where the maximum is no bound.
const MOST: i64 = 12;

fn random_service(random: &mut Random, name: &str) -> ScaledService {
    let min = random.within(0, 2);
    let needs = Resources {
        cpu_millicores: random.one_of(&[0, 100, 300, 500, 700, 1000]),
        ram_bytes: random.within(0, 2),
        storage_bytes: random.within(0, 1),
        gpus: i64::from(random.one_in(6)),
        pods: 0,
    };
    let alpha = random.one_of(&[0.0, 0.75, 1.0, 3.0, 3.0, 10.0]);
    let beta = random.one_of(&[-2.0, 0.0, 0.0, 3.0]);
    let profile = Profile::new(alpha, beta, min, random.within(min.max(1), 5));
    ScaledService {
        rate: (!random.one_in(10)).then(|| random.within(0, 24) as f64 / 4.0),
        previous: random.within(0, 5),
        not_below: random.one_in(3).then(|| bound(random.within(0, 6))),
        not_above: random.one_in(6).then(|| bound(random.within(0, 6))),
        steps: random.one_in(8).then(|| Steps {
            up: Some(StepUp { above: 3.0, to: random.within(3, 6) }),
            down: Some(StepDown { below: 2.0, to: random.within(1, 3) }),
        }),
        share: random.one_in(8).then(|| random.within(0, 6)),
        ..ScaledService::new(name, random.one_of(&["x", "x", "y"]), needs, profile)
    }
}

fn bound(replicas: i64) -> ChangeBound {
    ChangeBound { replicas, because: BoundCause::Step }
}

fn random_problem(random: &mut Random) -> ScalingProblem {
    let services = ["a", "b", "c"].map(|name| random_service(random, name)).to_vec();
    let clusters = ["x", "y"].map(|name| ScalingCluster {
        name: name.to_owned(),
        free: Resources {
            cpu_millicores: 100 * random.within(0, 80),
            ram_bytes: random.within(4, 16),
            storage_bytes: random.within(2, 12),
            gpus: random.within(-1, 6),
            pods: 0,
        },
        storage_reported: random.one_in(2),
        gpus_counted: true,
        pods_counted: false,
        acceleration: !random.one_in(4),
    });
    let mut problem = ScalingProblem::new("g", clusters.to_vec(), services);
    problem.target_utilisation = random.one_of(&[1.0, 0.8, 0.5]);
    if random.one_in(4) {
        problem.weights.utilisation = random.within(0, 10) as f64 / 10.0;
        problem.weights.change = random.within(0, 10) as f64 / 10.0;
        problem.weights.margin = problem.weights.utilisation + 0.1;
    }
    if random.one_in(4) {
        return problem.original();
    }
    problem.min_overall = random.one_in(3).then(|| random.within(0, 10));
    problem.max_overall = random.one_in(3).then(|| random.within(problem.min_overall.unwrap_or(2), 12));
    problem
}

fn serves(problem: &ScalingProblem, service: &ScaledService, replicas: i64) -> bool {
    let rate = service.rate.unwrap_or(0.0) / problem.target_utilisation;
    if let Some(Steps { up: Some(up), down: Some(down) }) = service.steps {
        let rate = service.rate.unwrap_or(0.0);
        return replicas
            >= if rate > up.above {
                up.to
            } else if rate < down.below {
                down.to
            } else {
                service.previous
            };
    }
    let capacity = service.profile.alpha * replicas as f64 + service.profile.beta;
    (rate == 0.0 && !problem.compat) || (replicas > 0 && capacity > rate - 1e-7)
}

/// The allowed replicas of a service.
fn allowed(problem: &ScalingProblem, service: &ScaledService) -> Vec<i64> {
    let share = service.share.unwrap_or(MOST);
    let (min, max) = match service.profile {
        _ if problem.compat => (1, MOST),
        profile => (profile.min.min(share), profile.max.min(share)),
    };
    let now = service.previous.clamp(min, max);
    let above = service.not_above.filter(|_| !problem.compat);
    let most = above.map_or(max, |bound| bound.replicas.clamp(min, max).max(now));
    if service.rate.is_none() {
        return vec![now];
    }
    let serving: Vec<i64> = (min..=most).filter(|count| serves(problem, service, *count)).collect();
    match serving.is_empty() {
        true if problem.compat => Vec::new(),
        true if service.profile.alpha == 0.0 && service.steps.is_none() => vec![now.min(most)],
        true => vec![most],
        false => serving,
    }
}

/// Cost of a number of replicas, from the definition.
fn cost(problem: &ScalingProblem, service: &ScaledService, replicas: i64) -> f64 {
    let millicores = |service: &ScaledService| match service.needs.cpu_millicores {
        0 if !problem.compat => 1.0,
        cpu => cpu as f64,
    };
    let scope = problem.services.iter().filter(|other| !problem.compat || other.cluster == service.cluster);
    let normaliser = scope.map(|other| other.profile.max as f64 * millicores(other)).fold(1.0, f64::max);
    let share = millicores(service) / normaliser;
    let moved = (replicas - service.previous).abs() as f64;
    let weights = problem.weights;
    if problem.compat {
        return weights.utilisation * replicas as f64 * share
            + weights.change * moved / service.profile.max as f64;
    }
    let most = service.profile.max.min(service.share.unwrap_or(MOST));
    let highest = *allowed(problem, service).last().unwrap();
    let kept = service.not_below.filter(|_| service.rate.is_some()).map_or(0, |bound| bound.replicas);
    let held = replicas..kept.min(service.previous).min(most).min(highest);
    share
        * (weights.utilisation * replicas as f64
            + weights.change * moved
            + weights.margin * held.count() as f64)
}

fn fits(problem: &ScalingProblem, replicas: [i64; 3]) -> bool {
    let total: i64 = replicas.iter().sum();
    let overall = problem.min_overall.unwrap_or(0)..=problem.max_overall.unwrap_or(i64::MAX);
    overall.contains(&total)
        && problem.clusters.iter().all(|cluster| {
            let on =
                problem.services.iter().zip(replicas).filter(|(service, _)| service.cluster == cluster.name);
            let used =
                on.fold(Resources::default(), |sum, (service, count)| sum + service.needs.times(count));
            let free = cluster.free;
            used.cpu_millicores <= free.cpu_millicores
                && used.ram_bytes <= free.ram_bytes
                && (!cluster.storage_reported || used.storage_bytes <= free.storage_bytes)
                && used.gpus <= if cluster.acceleration { free.gpus.max(0) } else { 0 }
        })
}

/// Least cost of all plans, and the fewest changes with which it is reached.
fn best(problem: &ScalingProblem) -> Option<(f64, i64)> {
    let choices: Vec<Vec<(i64, f64, i64)>> = problem
        .services
        .iter()
        .map(|service| {
            let choice = |count| (count, cost(problem, service, count), (service.previous - count).abs());
            allowed(problem, service).into_iter().map(choice).collect()
        })
        .collect();
    let mut best: Option<(f64, i64)> = None;
    for a in &choices[0] {
        for b in &choices[1] {
            for c in &choices[2] {
                let (cost, changes) = (a.1 + b.1 + c.1, a.2 + b.2 + c.2);
                let better = best.is_none_or(|(least, fewest)| {
                    cost < least - 1e-9 || (cost < least + 1e-9 && changes < fewest)
                });
                if better && fits(problem, [a.0, b.0, c.0]) {
                    best = Some((cost, changes));
                }
            }
        }
    }
    best
}

#[test]
fn exact_equals_brute_force() {
    let mut random = Random(7);
    let mut counts = [0; 3];
    for _ in 0..INSTANCES {
        let problem = random_problem(&mut random);
        match (exact(&problem), best(&problem)) {
            (ScalingOutcome::Decided(plan), Some((least, fewest))) => {
                assert!(
                    (plan.objective.total - least).abs() < 1e-9,
                    "{least}, not {plan:?} for {problem:#?}"
                );
                let changes: i64 = plan.services.iter().map(|one| (one.replicas - one.previous).abs()).sum();
                assert_eq!(changes, fewest, "{plan:?} for {problem:#?}");
                assert!(plan.optimal);
                counts[0] += 1;
            }
            (ScalingOutcome::Infeasible(_), None) => counts[1] += 1,
            (outcome, best) => panic!("{outcome:?}, not {best:?} for {problem:#?}"),
        }
        counts[2] += usize::from(problem.compat);
    }
    // All kinds of instances occur often.
    assert!(counts.iter().all(|count| *count > 10_000), "{counts:?}");
}
