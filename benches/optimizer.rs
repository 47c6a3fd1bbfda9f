//! Times of decisions by size, measured by criterion on the instances of seed 0 in `benches/instances/`.

mod problems;

use std::path::Path;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use problems::{Instance, Scaling};
use smo::optimizer::Stop;
use smo::optimizer::placement::{Problem, SolveLimits, Unknown, check, compile, decide, exact, search};
use smo::optimizer::scaling;

/// Proposals of the local search: enough to see what one costs.
const ITERATIONS: u64 = 20_000;
/// No exact model: how long it takes depends more on the instance than on its size.
const EXACT_CELLS: usize = 0;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    group
}

fn read(name: &str) -> Option<Instance> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/instances/{name}_0.json"));
    problems::read(&path).ok()
}

fn placement(name: &str) -> Option<Problem> {
    match read(name)? {
        Instance::Placement(instance) => Some(instance.problem()),
        Instance::Scaling(_) => None,
    }
}

fn replicas(name: &str) -> Option<Scaling> {
    match read(name)? {
        Instance::Scaling(instance) => Some(instance),
        Instance::Placement(_) => None,
    }
}

fn min_moves(criterion: &mut Criterion) {
    let mut group = group(criterion, "min-moves");
    for size in ["10x3", "50x10", "200x20", "1000x50", "5000x100"] {
        let Some(problem) = placement(&format!("tight_{size}")) else { continue };
        group.bench_function(BenchmarkId::new("decide", size), |bencher| bencher.iter(|| decide(&problem)));
        let Ok(compiled) = compile(&problem, Unknown::Forbids) else { continue };
        let (seed, stop) = (problem.limits.seed, Stop::never());
        group.bench_function(BenchmarkId::new("solve", size), |bencher| {
            bencher.iter(|| exact::min_moves(&compiled.model, seed, &stop));
        });
        let Ok(outcome) = decide(&problem) else { continue };
        group.bench_function(BenchmarkId::new("check", size), |bencher| {
            bencher.iter(|| check(&problem, &outcome))
        });
    }
    group.finish();
}

fn cost(criterion: &mut Criterion) {
    let mut group = group(criterion, "cost");
    for size in ["10x3", "50x10", "200x20"] {
        let Some(problem) = placement(&format!("rich_{size}")) else { continue };
        let limits = SolveLimits { iterations: Some(ITERATIONS), exact_cells: EXACT_CELLS, ..problem.limits };
        let problem = Problem { limits, ..problem };
        group.bench_function(BenchmarkId::new("decide", size), |bencher| bencher.iter(|| decide(&problem)));
        let Ok(compiled) = compile(&problem, Unknown::Forbids) else { continue };
        group.bench_function(BenchmarkId::new("greedy", size), |bencher| {
            bencher.iter(|| search::greedy(&compiled.model));
        });
    }
    group.finish();
}

fn scaling_exact(criterion: &mut Criterion) {
    let mut group = group(criterion, "replicas");
    for size in ["3", "10", "100", "1000"] {
        let Some(instance) = replicas(&format!("scale_{size}")) else { continue };
        let original = instance.problem();
        group.bench_function(BenchmarkId::new("original", size), |bencher| {
            bencher.iter(|| scaling::exact(&original));
        });
        // The same services in the model and with the parameters that are the default.
        let own = scaling::ScalingProblem {
            compat: false,
            weights: scaling::ScalingWeights::default(),
            target_utilisation: scaling::TARGET_UTILISATION,
            ..original.clone()
        };
        group
            .bench_function(BenchmarkId::new("exact", size), |bencher| bencher.iter(|| scaling::exact(&own)));
    }
    group.finish();
}

criterion_group!(decisions, min_moves, cost, scaling_exact);
criterion_main!(decisions);
