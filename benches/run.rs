//! Runs instances through the library and writes one JSON line each.
//!
//! `cargo bench --bench instances -- [PATH…] [--out FILE] [--time-limit SECONDS] [--seeds N]`; paths are
//! instance files or directories of them. Times are of the whole decision, from the problem to the plan with
//! its explanation: `cpu_s` of all threads together, and `wall_s`. `solve_cpu_s` is `min-moves` without
//! making the model and explaining the plan, where there is no time limit. Exact decisions are made a first time to warm up, which counts
//! when it took [`LONG`], then in three rounds of at least [`ROUND`] each, of which the median one's mean
//! counts; `baseline/run.py` does the same. `cost` uses up its time limit once.
//!
//! Every answer is checked by the library's own checker, and its objective against the instance. Lines:
//! `instance, strategy, time_limit, seed, cpu_s, wall_s, solve_cpu_s, outcome, objective, bound, gap,
//! certificate`, and `assignment` (cluster of each service) or `replicas`.

mod problems;
mod verification;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use problems::{Instance, Placement, Scaling};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use smo::optimizer::Stop;
use smo::optimizer::placement::{BuiltIn, Problem, SolveLimits, Unknown, check, compile, decide, exact};
use smo::optimizer::scaling::{self, ScalingOutcome};

/// CPU seconds from which on the first run counts.
const LONG: f64 = 2.0;
/// About how many seconds a round of repetitions takes.
const ROUND: f64 = 0.01;
/// Relative difference of two ways to add up one objective.
const ROUNDING: f64 = 1e-9;
/// Services × clusters up to which the default time limit is the short one.
const SMALL: usize = 500;

/// Runs instances and writes one JSON line each.
#[derive(Parser)]
struct Arguments {
    /// Instance files, or directories of them.
    #[arg(default_value = "benches/instances")]
    paths: Vec<PathBuf>,
    /// Where to write; standard output by default.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Seconds of wall time for a placement; by default none for `min-moves`, and for `cost` 0.5 up to 500
    /// services × clusters, otherwise 2.
    #[arg(long)]
    time_limit: Option<f64>,
    /// How many seeds of `cost`, from 1 on; the other strategies know no chance.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The flag that `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut out: Box<dyn Write> = match &arguments.out {
        Some(path) => Box::new(BufWriter::new(File::create(path)?)),
        None => Box::new(io::stdout()),
    };
    for path in files(&arguments.paths)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let lines = run(&path, &arguments).map_err(|error| format!("{name}: {error}"))?;
        for mut line in lines {
            line["instance"] = json!(name);
            writeln!(out, "{line}")?;
        }
        out.flush()?;
    }
    Ok(())
}

/// The instance files among `paths`, in the order of their names; of a directory all in it.
fn files(paths: &[PathBuf]) -> io::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
            let entries = entries.into_iter().map(|entry| entry.path());
            files
                .extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")));
        } else {
            files.insert(path.clone());
        }
    }
    Ok(files)
}

fn run(path: &Path, arguments: &Arguments) -> Result<Vec<Value>, Box<dyn Error>> {
    match problems::read(path)? {
        Instance::Scaling(instance) => Ok(vec![replicas(&instance)?]),
        Instance::Placement(instance) => {
            let problem = instance.problem();
            if problem.strategy == BuiltIn::MinMoves.into() {
                return Ok(vec![moves(&instance, &problem, arguments.time_limit)?]);
            }
            let cells = problem.services.len() * problem.clusters.len();
            let limit = arguments.time_limit.unwrap_or(if cells <= SMALL { 0.5 } else { 2.0 });
            (1..=arguments.seeds).map(|seed| cost(&instance, &problem, limit, seed)).collect()
        }
    }
}

fn moves(instance: &Placement, problem: &Problem, limit: Option<f64>) -> Result<Value, Box<dyn Error>> {
    let limits = SolveLimits { deadline_ms: limit.map(milliseconds), ..problem.limits };
    let problem = &Problem { limits, ..problem.clone() };
    let mut line = placement(instance, problem, true)?;
    line["time_limit"] = json!(limit);
    if limit.is_none() {
        let compiled = compile(problem, Unknown::Forbids)?;
        let stop = Stop::never();
        let solved = timed(true, || exact::min_moves(&compiled.model, limits.seed, &stop));
        line["solve_cpu_s"] = json!(solved.cpu_s);
    }
    Ok(line)
}

fn cost(instance: &Placement, problem: &Problem, limit: f64, seed: u64) -> Result<Value, Box<dyn Error>> {
    let limits = SolveLimits { seed, deadline_ms: Some(milliseconds(limit)), ..problem.limits };
    let mut line = placement(instance, &Problem { limits, ..problem.clone() }, false)?;
    line["time_limit"] = json!(limit);
    line["seed"] = json!(seed);
    Ok(line)
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}

/// Decides a placement and checks the answer.
fn placement(instance: &Placement, problem: &Problem, repeat: bool) -> Result<Value, Box<dyn Error>> {
    let decided = timed(repeat, || decide(problem));
    let outcome = decided.value?;
    check(problem, &outcome).map_err(|wrong| wrong.join("; "))?;
    let plan = outcome.plan();
    let assignment = plan.map(|plan| verification::ordinals(instance, &plan.assignment)).transpose()?;
    if let (Some(plan), Some(assignment)) = (plan, &assignment) {
        agree(plan.objective.total, verification::placement_objective(instance, assignment)?)?;
    }
    Ok(json!({
        "instance": null, "strategy": problem.strategy, "time_limit": null, "seed": null,
        "cpu_s": decided.cpu_s, "wall_s": decided.wall_s,
        "outcome": outcome.word(),
        "objective": plan.map(|plan| plan.objective.total),
        "bound": plan.and_then(|plan| plan.bound),
        "gap": plan.and_then(|plan| plan.gap),
        "certificate": plan.map(|plan| plan.certificate),
        "assignment": assignment,
    }))
}

/// Decides numbers of replicas and checks the answer.
fn replicas(instance: &Scaling) -> Result<Value, Box<dyn Error>> {
    let problem = instance.problem();
    let decided = timed(true, || scaling::exact(&problem));
    scaling::check(&problem, &decided.value).map_err(|wrong| wrong.join("; "))?;
    let plan = match &decided.value {
        ScalingOutcome::Decided(plan) => Some(plan),
        ScalingOutcome::Infeasible(_) => None,
        ScalingOutcome::Invalid(invalid) => return Err(invalid.faults[0].to_string().into()),
    };
    // By name is by ordinal.
    let replicas: Option<Vec<i64>> = plan.map(|plan| plan.replicas.values().copied().collect());
    if let (Some(plan), Some(replicas)) = (plan, &replicas) {
        agree(plan.objective.total, verification::scaling_objective(instance, replicas)?)?;
    }
    let word = plan.map_or("infeasible", |plan| if plan.optimal { "optimal" } else { "feasible" });
    let objective = plan.map(|plan| plan.objective.total);
    let bound = plan.and_then(|plan| plan.bound);
    Ok(json!({
        "instance": null, "strategy": "replicas", "time_limit": null, "seed": null,
        "cpu_s": decided.cpu_s, "wall_s": decided.wall_s,
        "outcome": word, "objective": objective, "bound": bound,
        "gap": objective.zip(bound).map(|(objective, bound)| (objective - bound) / objective),
        "replicas": replicas,
    }))
}

fn agree(answered: f64, own: f64) -> Result<(), String> {
    if (answered - own).abs() <= ROUNDING * own.abs().max(1.0) {
        Ok(())
    } else {
        Err(format!("the objective is {own}, the plan says {answered}"))
    }
}

struct Timed<T> {
    value: T,
    cpu_s: f64,
    wall_s: f64,
}

/// Runs something once, or if it is not long a first time to warm up and then in rounds, to give the mean of
/// the median round.
fn timed<T>(repeat: bool, mut run: impl FnMut() -> T) -> Timed<T> {
    let mut round = |times: u32| {
        let (cpu, wall) = (process_seconds(), Instant::now());
        let mut value = run();
        for _ in 1..times {
            value = run();
        }
        let (cpu_s, wall_s) = (process_seconds() - cpu, wall.elapsed().as_secs_f64());
        Timed { value, cpu_s: cpu_s / f64::from(times), wall_s: wall_s / f64::from(times) }
    };
    let once = round(1);
    if !repeat || once.cpu_s >= LONG {
        return once;
    }
    let times = (ROUND / once.cpu_s.max(1e-6)) as u32 + 1;
    let mut rounds = [round(times), round(times), round(times)];
    rounds.sort_by(|one, other| one.cpu_s.total_cmp(&other.cpu_s));
    let [_, median, _] = rounds;
    median
}

/// CPU time of this process, all threads together.
fn process_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}
