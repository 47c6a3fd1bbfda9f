//! A server with many graphs on a simulated continuum: how long a deploy takes, what a server at rest and a
//! server under change cost, how long it takes to leave a lost cluster, and how soon everything has been
//! looked at after a restart.
//!
//! All loops run at their default intervals, on a SQLite file, with the clock of the machine. One line of
//! JSON per run; `docs/performance.md` says which loops have something to do.

#![expect(
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a benchmark: amounts are far below 2^53, and its output is its result"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::Request;
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use smo::config::Settings;
use smo::faults::Faults;
use smo::model::ServiceRecord;
use smo::optimizer::scaling::TARGET_UTILISATION;
use smo::server::Server;
use smo::simulation::{Continuum, Operation, World};
use smo::store::Store;
use tower::ServiceExt as _;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Requests per second that one replica takes.
const ALPHA: f64 = 10.0;
const MAX_REPLICAS: usize = 3;
/// Requests per second for which a service needs the most replicas that it may have.
const LOAD: f64 = ALPHA * TARGET_UTILISATION * (MAX_REPLICAS as f64 - 0.5);
/// Longest wait for the end of a phase.
const PATIENCE: Duration = Duration::from_secs(3600);
/// How often the end of a phase is looked for.
const POLL: Duration = Duration::from_secs(1);
/// Graphs that are posted at the same time while the server is filled.
const CLIENTS: usize = 4;

const OPERATIONS: [Operation; 13] = [
    Operation::ListClusters,
    Operation::ReadWorkloads,
    Operation::Scale,
    Operation::ListReleases,
    Operation::ApplyRelease,
    Operation::UninstallRelease,
    Operation::ApplyRules,
    Operation::DeleteRules,
    Operation::ListRules,
    Operation::FiringAlerts,
    Operation::ListRates,
    Operation::Networks,
    Operation::Latencies,
];
/// Reads of watched state: no call leaves the process for them.
const WATCHED: [&str; 3] = ["ReadWorkloads", "ListReleases", "ListRules"];

/// Measures one number of graphs.
#[derive(Parser, Clone, Copy)]
struct Arguments {
    #[arg(long, default_value_t = 1000)]
    graphs: usize,
    /// Services of each graph.
    #[arg(long, default_value_t = 5)]
    services: usize,
    #[arg(long, default_value_t = 100)]
    clusters: usize,
    /// Deploys that are timed one by one once the other graphs are there.
    #[arg(long, default_value_t = 20)]
    timed: usize,
    /// Seconds at rest, and seconds under change.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Leave out the restart.
    #[arg(long)]
    no_restart: bool,
    /// The flag that `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let size = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let world = World::new(continuum(&size)?, 1);
    let mut run = Run::start(size, world, &folder).await?;
    let mut line = serde_json::Map::new();
    line.insert("graphs".to_owned(), size.graphs.into());
    line.insert("services".to_owned(), (size.graphs * size.services).into());
    line.insert("clusters".to_owned(), size.clusters.into());
    line.extend(run.deploy().await?);
    line.insert("at_rest".to_owned(), run.observe(false).await?);
    line.insert("one_percent_changing".to_owned(), run.observe(true).await?);
    line.insert("lost_cluster".to_owned(), run.lose_cluster().await?);
    line.insert("rss_mib".to_owned(), (status("VmRSS")? / 1024).into());
    line.insert("peak_rss_mib".to_owned(), (status("VmHWM")? / 1024).into());
    if !size.no_restart {
        run = run.restart(&folder).await?;
        line.insert("restart".to_owned(), run.follow_restart().await?);
    }
    println!("{}", Value::Object(line));
    run.server.shutdown(Duration::from_secs(10)).await;
    Ok(())
}

/// A server with its world.
struct Run {
    size: Arguments,
    server: Server,
    world: World,
    store: Store,
    started: Instant,
}

impl Run {
    async fn start(size: Arguments, world: World, folder: &tempfile::TempDir) -> Result<Self> {
        let url = format!("sqlite://{}", folder.path().join("smo.db").display());
        let store = Store::connect(&url).await?;
        store.migrate().await?;
        let mut settings = Settings::default();
        settings.scaling.enabled = true;
        let started = Instant::now();
        let server =
            Server::start(settings, store.clone(), world.ports(), Some(world.clone()), Faults::none());
        Ok(Self { size, server: Box::pin(server).await?, world, store, started })
    }

    async fn restart(self, folder: &tempfile::TempDir) -> Result<Self> {
        self.server.shutdown(Duration::from_secs(10)).await;
        self.store.close().await;
        Self::start(self.size, self.world, folder).await
    }

    /// Posts all graphs and waits until they run; the last ones alone and timed, once the others do.
    async fn deploy(&self) -> Result<serde_json::Map<String, Value>> {
        let (meter, before) = (Meter::start(), self.size.graphs.saturating_sub(self.size.timed));
        let fill = stream::iter(0..before).map(|graph| self.post(graph)).buffer_unordered(CLIENTS);
        let filling: Vec<f64> = fill.try_collect().await?;
        let filled = meter.used();
        let all_ready = async || Ok(self.services().await?.iter().all(|service| service.ready));
        self.wait("everything runs", all_ready).await?;
        let ready = meter.used();
        // One by one, on a server that has nothing else to do.
        let mut alone = Vec::new();
        for graph in before..self.size.graphs {
            alone.push(self.post(graph).await?);
        }
        self.wait("the last graphs run, too", all_ready).await?;
        let fields = json!({
            "deploy_ms": milliseconds(&mut alone),
            "deploy_ms_with_four_clients": milliseconds(&mut filling.clone()),
            "filled_s": rounded(filled.wall_s),
            "all_ready_s": rounded(ready.wall_s),
            "deploy_cpu_ms_per_graph": rounded(ready.cpu_s * 1000.0 / before.max(1) as f64),
        });
        let Value::Object(fields) = fields else { return Err("no object".into()) };
        Ok(fields)
    }

    /// Posts one graph through the HTTP interface, again when it is told to come back; the seconds until the answer.
    async fn post(&self, graph: usize) -> Result<f64> {
        let services: Vec<Value> =
            (0..self.size.services).map(|service| descriptor(graph, service)).collect();
        let body = json!({ "hdaGraph": { "id": format!("g{graph}"), "services": services } }).to_string();
        self.timed(&format!("/project/p{}/graphs", graph % 100), &body).await
    }

    /// Posts a body, again when the server says to come back; the seconds until the answer.
    async fn timed(&self, path: &str, body: &str) -> Result<f64> {
        let begun = Instant::now();
        let answer = loop {
            let request = Request::post(path)
                .header("content-type", "application/json")
                .body(Body::from(body.to_owned()))?;
            let answer = self.server.router.clone().oneshot(request).await?;
            let Some(wait) = answer.headers().get("retry-after") else { break answer };
            tokio::time::sleep(Duration::from_secs(wait.to_str()?.parse()?)).await;
        };
        let (status, seconds) = (answer.status(), begun.elapsed().as_secs_f64());
        if !status.is_success() {
            let text = to_bytes(answer.into_body(), usize::MAX).await?;
            return Err(format!("{path}: {status} {}", String::from_utf8_lossy(&text)).into());
        }
        Ok(seconds)
    }

    /// The usage of the server over a while, with or without change: at each tick of scaling the load of
    /// another hundredth of the graphs makes them scale.
    async fn observe(&self, change: bool) -> Result<Value> {
        let (meter, calls) = (Meter::start(), self.calls());
        let (interval, mut round) = (Settings::default().scaling.interval, 0);
        let end = Instant::now() + Duration::from_secs(self.size.seconds);
        while Instant::now() < end {
            if change {
                self.raise_load(round);
                round += 1;
            }
            tokio::time::sleep(interval.min(end - Instant::now())).await;
        }
        let used = meter.used();
        let minutes = used.wall_s / 60.0;
        let per_minute: BTreeMap<String, f64> = difference(&calls, &self.calls())
            .into_iter()
            .map(|(operation, count)| (operation, (count as f64 / minutes).round()))
            .collect();
        Ok(json!({
            "cpu_s_per_minute": rounded(used.cpu_s / minutes),
            "outside_calls_per_minute": per_minute,
        }))
    }

    /// All services of a hundredth of the graphs need another number of replicas from now on.
    fn raise_load(&self, round: usize) {
        let changing = self.size.graphs.div_ceil(100);
        for graph in (round * changing..(round + 1) * changing).map(|graph| graph % self.size.graphs) {
            for service in 0..self.size.services {
                self.world.set_rate(&name(graph, service), LOAD);
            }
        }
    }

    /// Takes the cluster with the most services down and places their graphs again, one after the other: how
    /// long each request takes, and how long it takes until all services are ready elsewhere.
    async fn lose_cluster(&self) -> Result<Value> {
        let mut graphs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for service in self.services().await? {
            if let Some(cluster) = service.cluster {
                *counts.entry(cluster.clone()).or_default() += 1;
                graphs.entry(cluster).or_default().insert(service.graph);
            }
        }
        let fullest = counts.into_iter().max_by_key(|(_, count)| *count);
        let (lost, services) = fullest.ok_or("no service has a cluster")?;
        self.world.set_cluster_available(&lost, false)?;
        self.wait("the loss is known", async || Ok(!self.is_available(&lost).await?)).await?;
        let meter = Meter::start();
        let affected = graphs.remove(&lost).unwrap_or_default();
        let mut requests = Vec::new();
        for graph in &affected {
            requests.push(self.timed(&format!("/graphs/{graph}/placement"), "{}").await?);
        }
        let moved = async || {
            let there = |service: &ServiceRecord| service.cluster.as_ref() == Some(&lost);
            Ok(self.services().await?.iter().all(|service| service.ready && !there(service)))
        };
        self.wait("everything runs elsewhere", moved).await?;
        let used = meter.used();
        Ok(json!({
            "graphs": affected.len(), "services": services, "placement_ms": milliseconds(&mut requests),
            "all_ready_s": rounded(used.wall_s), "cpu_s": rounded(used.cpu_s),
        }))
    }

    async fn is_available(&self, cluster: &str) -> Result<bool> {
        let clusters = self.store.clusters().await?;
        Ok(clusters.iter().any(|found| found.name == cluster && found.available))
    }

    /// Seconds from the start of a server to the moments when every graph has been looked at, and when it is
    /// idle.
    async fn follow_restart(&self) -> Result<Value> {
        let serving_s = self.started.elapsed().as_secs_f64();
        let (calls, meter) = (self.calls(), Meter::start());
        let wanted = self.size.graphs as u64;
        self.wait("every graph was looked at", async || Ok(self.reconciles().await? >= wanted)).await?;
        Ok(json!({
            "serving_after_s": rounded(serving_s),
            "all_reconciled_after_s": rounded(self.started.elapsed().as_secs_f64()),
            "cpu_s": rounded(meter.used().cpu_s),
            "outside_calls": difference(&calls, &self.calls()),
        }))
    }

    /// Reconciles since the start, whatever their outcome.
    async fn reconciles(&self) -> Result<u64> {
        let answer =
            self.server.router.clone().oneshot(Request::get("/metrics").body(Body::empty())?).await?;
        let text = String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await?.to_vec())?;
        let lines = text.lines().filter(|line| line.starts_with("smo_reconciles_total"));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter")]
        Ok(counts.sum::<f64>() as u64)
    }

    async fn services(&self) -> Result<Vec<ServiceRecord>> {
        let everything = i64::MAX;
        let (_, graphs) = self.store.snapshot_of_scaled(true, "", everything).await?;
        Ok(graphs.into_iter().flat_map(|found| found.services).collect())
    }

    async fn wait(&self, what: &str, reached: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let begun = Instant::now();
        while !reached().await? {
            if begun.elapsed() > PATIENCE {
                return Err(format!("not within {PATIENCE:?}: {what}").into());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Outside calls by operation, those that leave the process only.
    fn calls(&self) -> BTreeMap<String, u64> {
        let counted = |operation: Operation| (format!("{operation:?}"), self.world.calls(operation));
        OPERATIONS.into_iter().map(counted).filter(|(name, _)| !WATCHED.contains(&name.as_str())).collect()
    }
}

/// A service whose release has one small Deployment.
fn descriptor(graph: usize, service: usize) -> Value {
    let callee = (service > 0).then(|| name(graph, service - 1));
    json!({
        "id": name(graph, service),
        "deployment": {
            "trigger": { "auto": { "dependencies": [] } },
            "intent": { "compute": { "cpu": "light" }, "connectionPoints": Vec::from_iter(callee) },
        },
        "artifact": { "ociImage": "oci://registry.example/demo/app" },
        "smo": { "scaling": { "alpha": ALPHA, "min": 1, "max": MAX_REPLICAS } },
    })
}

/// Clusters with capacity for everything, even while it is counted twice: as reserved and as reported.
fn continuum(size: &Arguments) -> Result<Continuum> {
    let replicas = (size.graphs * size.services * MAX_REPLICAS).div_ceil(size.clusters) * 2 + 8;
    let clusters: Vec<Value> = (0..size.clusters)
        .map(|number| {
            json!({
                "name": cluster(number), "cpu": replicas, "ram": format!("{replicas}Gi"),
                "storage": format!("{}Gi", replicas * 20), "region": format!("region-{}", number % 4),
            })
        })
        .collect();
    let latencies: Vec<Value> = (1..size.clusters)
        .map(|number| json!({ "between": [cluster(0), cluster(number)], "ms": 10.0 }))
        .collect();
    let text = json!({ "ready_delay": 2.0, "clusters": clusters, "latencies": latencies }).to_string();
    Ok(Continuum::parse(&text)?)
}

fn cluster(number: usize) -> String {
    format!("cluster-{number}")
}

/// Unique over all graphs: rates are known by the name of the service.
fn name(graph: usize, service: usize) -> String {
    format!("g{graph}-s{service}")
}

fn difference(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let counted = |(operation, count): (&String, &u64)| {
        let more = count - before.get(operation).copied().unwrap_or(0);
        (more > 0).then(|| (operation.clone(), more))
    };
    after.iter().filter_map(counted).collect()
}

/// CPU time of this process, all threads together, and wall time since a moment.
struct Meter {
    cpu_s: f64,
    begun: Instant,
}

struct Used {
    cpu_s: f64,
    wall_s: f64,
}

impl Meter {
    fn start() -> Self {
        Self { cpu_s: process_seconds(), begun: Instant::now() }
    }

    fn used(&self) -> Used {
        Used { cpu_s: process_seconds() - self.cpu_s, wall_s: self.begun.elapsed().as_secs_f64() }
    }
}

fn process_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A line of this process's status in KiB.
fn status(key: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).ok_or("no such line")?;
    Ok(number.parse()?)
}

/// Median and 95th percentile of durations in seconds, in milliseconds.
fn milliseconds(seconds: &mut [f64]) -> Value {
    seconds.sort_by(f64::total_cmp);
    let at = |part: usize| seconds.get(seconds.len() * part / 100).map(|value| rounded(value * 1000.0));
    json!({ "median": at(50), "p95": at(95) })
}

/// To three digits.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
