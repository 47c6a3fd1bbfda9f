//! CPU, memory and outside calls of scaling many graphs on a simulated continuum.
//!
//! `cargo bench --bench continuum -- [--graphs N] [--services N] [--clusters N] [--ticks N]` deploys the graphs on a
//! server of its own, lets the load of each service follow one period of a sine over the ticks, each service in a
//! phase of its own, and after each tick waits until every replica is as decided. It does so for a tenth of the graphs
//! first. The run fails when the outside calls of a tick differ between ticks or between the two sizes.
//!
//! The clock is not simulated: the server's own timers sleep, so that whatever is called during a tick is called by the
//! tick, and there are no cooldowns. A [`Gate`] holds the reconciles that a tick wakes until the tick is over; of their
//! CPU time only the reading of their graph is part of the tick's. What runs between two ticks, the simulation of the
//! continuum included, is stated apart as `settle`. One line of text for each tick and one of JSON for each size.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use smo::app::{RequestContext, Scaler};
use smo::clients::{Ports, ReleaseKey, ReleaseObservation, ReleaseSpec, Releases};
use smo::config::Settings;
use smo::faults::Faults;
use smo::hdag::{Format, rate_query};
use smo::model::ServiceRecord;
use smo::optimizer::ClusterAttributes;
use smo::server::Server;
use smo::simulation::{Continuum, Operation, World};
use smo::store::Store;
use tokio::sync::RwLock;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Requests per second that one replica takes.
const ALPHA: f64 = 10.0;
/// Most replicas of a service.
const MAX_REPLICAS: usize = 3;
/// Longer than any run: timers of the server, and the age at which knowledge is too old.
const NEVER: Duration = Duration::from_secs(24 * 3600);
/// Without outside calls for so long, the server has come to rest; longer than it waits for the rest of a burst.
const REST: Duration = Duration::from_millis(400);
/// Longest wait for what was decided.
const PATIENCE: Duration = Duration::from_secs(600);
/// Graphs that are deployed at the same time.
const CLIENTS: usize = 4;
const PROJECT: &str = "p";

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

/// Measures scaling on a simulated continuum.
#[derive(Parser, Clone, Copy)]
struct Arguments {
    /// Graphs of the larger of the two runs.
    #[arg(long, default_value_t = 1000)]
    graphs: usize,
    /// Services of each graph.
    #[arg(long, default_value_t = 5)]
    services: usize,
    /// Clusters.
    #[arg(long, default_value_t = 20)]
    clusters: usize,
    /// Ticks; at an interval of 30 s, 20 are ten minutes.
    #[arg(long, default_value_t = 20)]
    ticks: usize,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Outside calls by operation, those that happened only.
type Calls = BTreeMap<String, u64>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut constant = None;
    for graphs in [arguments.graphs.div_ceil(10), arguments.graphs] {
        let calls = Run::start(Arguments { graphs, ..arguments }).await?.measure().await?;
        let expected = constant.get_or_insert_with(|| calls.clone());
        if *expected != calls {
            return Err(
                format!("outside calls of a tick depend on the graphs: {expected:?}, {calls:?}").into()
            );
        }
    }
    Ok(())
}

/// A server with its graphs.
struct Run {
    size: Arguments,
    server: Server,
    world: World,
    store: Store,
    gate: Gate,
    scaler: Scaler,
    _folder: tempfile::TempDir,
}

/// What was used between two moments.
#[derive(Clone, Copy, Default)]
struct Used {
    cpu_s: f64,
    wall_s: f64,
}

/// One tick and what it caused.
struct Tick {
    graphs: usize,
    scaled: usize,
    used: Used,
    /// Of the tick itself.
    calls: Calls,
    settle: Used,
    scale_calls: u64,
}

impl Run {
    async fn start(size: Arguments) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Store::connect(&format!("sqlite://{}/smo.db", folder.path().display())).await?;
        store.migrate().await?;
        let world = World::new(continuum(&size)?, 1);
        let gate = Gate { world: world.clone(), open: Arc::default() };
        let ports = Ports { releases: Arc::new(gate.clone()), ..world.ports() };
        let settings = settings(&size);
        let started = Server::start(settings, store.clone(), ports, Some(world.clone()), Faults::none());
        let server = Box::pin(started).await?;
        let scaler = Scaler::new(server.app.clone());
        Ok(Self { size, server, world, store, gate, scaler, _folder: folder })
    }

    /// Gives the outside calls of every tick.
    async fn measure(mut self) -> Result<Calls> {
        let (deployed, slowing) = self.deploy().await?;
        let mut ticks = Vec::new();
        let begun = Meter::start();
        for number in 0..self.size.ticks {
            let tick = self.tick(number).await?;
            writeln!(io::stdout(), "{}", tick.line(number))?;
            ticks.push(tick);
        }
        let used = begun.used();
        let still = self.tick(self.size.ticks.saturating_sub(1)).await?;
        let summary = json!({
            "graphs": self.size.graphs, "services": self.size.graphs * self.size.services,
            "clusters": self.size.clusters, "ticks": ticks.len(), "debug": cfg!(debug_assertions),
            "deploy": deployed.show(), "deploy_s_first_and_last_tenth": slowing,
            "ticks_and_settling": used.show(), "tick": figures(&ticks),
            "tick_without_changes": { "scaled": still.scaled, "cpu_s": rounded(still.used.cpu_s) },
            "read_graphs_cpu_s": rounded(self.read_graphs().await?),
            "read_placed_cpu_s": rounded(self.read_placed().await?),
            "sync_clusters_cpu_s": rounded(self.sync_clusters().await?),
            "calls_of_a_tick": ticks.first().map(|tick| &tick.calls),
            "scale_calls": ticks.iter().map(|tick| tick.scale_calls).sum::<u64>(),
            "query_bytes": self.query_bytes(), "peak_rss_mib": status("VmHWM")? / 1024, "rss_mib": status("VmRSS")? / 1024,
        });
        writeln!(io::stdout(), "{summary}")?;
        ticks.push(still);
        self.server.shutdown(Duration::from_secs(30)).await;
        self.store.close().await;
        same(&ticks)
    }

    /// Deploys all graphs; gives what it took, and the mean seconds of wall time of the first and the last tenth.
    async fn deploy(&self) -> Result<(Used, [f64; 2])> {
        let (begun, count) = (Meter::start(), self.size.graphs);
        let context = RequestContext { actor: "bench".to_owned(), ..RequestContext::default() };
        let deploy = |graph: usize| {
            let (project, text) = (format!("{PROJECT}{graph}"), self.descriptor(graph).to_string());
            let (service, context) = (self.server.app.clone(), &context);
            async move {
                let begun = Instant::now();
                service.deploy_graph(&project, &text, Format::Json, context).await?;
                Ok::<_, Box<dyn Error>>(begun.elapsed().as_secs_f64())
            }
        };
        let seconds: Vec<f64> =
            stream::iter((0..count).map(deploy)).buffer_unordered(CLIENTS).try_collect().await?;
        self.settle().await?;
        let tenth = count.div_ceil(10);
        let mean = |seconds: &[f64]| rounded(seconds.iter().sum::<f64>() / seconds.len() as f64);
        let (used, slowing) = (begun.used(), [mean(&seconds[..tenth]), mean(&seconds[count - tenth..])]);
        writeln!(
            io::stdout(),
            "{count} graphs deployed and ready: {:.1} s CPU, {:.1} s; one deployment {:.3} s at first, {:.3} s at last",
            used.cpu_s,
            used.wall_s,
            slowing[0],
            slowing[1]
        )?;
        Ok((used, slowing))
    }

    /// Looks at the load once, and waits until everything is as decided.
    async fn tick(&mut self, number: usize) -> Result<Tick> {
        self.set_rates(number);
        let (before, closed) = (self.calls(), self.gate.open.clone().write_owned().await);
        let meter = Meter::start();
        let summary = self.scaler.tick().await?;
        let (used, after) = (meter.used(), self.calls());
        drop(closed);
        let meter = Meter::start();
        self.settle().await?;
        let scale_calls = difference(&after, &self.calls()).get("Scale").copied().unwrap_or(0);
        if summary.rescheduled > 0 {
            return Err("a graph had to be placed again: the clusters are too small".into());
        }
        Ok(Tick {
            graphs: summary.graphs,
            scaled: summary.scaled,
            used,
            calls: difference(&before, &after),
            settle: meter.used(),
            scale_calls,
        })
    }

    /// Sets the load at the time of a tick. The last service of a graph has no counter of its own: its load is that
    /// of its caller.
    fn set_rates(&self, tick: usize) {
        for graph in 0..self.size.graphs {
            for service in 0..self.size.services.max(2) - 1 {
                // Multiples of the golden ratio: no two phases fall together.
                let phase = (graph * self.size.services + service) as f64 * 0.618_033_988_749_895;
                let angle = std::f64::consts::TAU * (tick as f64 / self.size.ticks as f64 + phase);
                let most = ALPHA * MAX_REPLICAS as f64;
                self.world.set_rate(&name(graph, service), most * (0.5 + 0.45 * angle.sin()));
            }
        }
    }

    /// Waits until everything is as decided, and nothing is being done any more.
    async fn settle(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let before = self.calls();
            tokio::time::sleep(REST).await;
            let (_, graphs) = self.store.snapshot_of_scaled(true).await?;
            let as_decided = graphs.iter().flat_map(|found| &found.services).all(is_as_decided);
            if before == self.calls() && as_decided {
                return Ok(());
            }
        }
        Err(format!("not as decided after {PATIENCE:?}").into())
    }

    fn calls(&self) -> Calls {
        let counted = |operation: Operation| (format!("{operation:?}"), self.world.calls(operation));
        OPERATIONS.into_iter().map(counted).collect()
    }

    /// A graph whose services call one another in a chain, each near to its own site.
    fn descriptor(&self, graph: usize) -> Value {
        let service = |number: usize| {
            let site = (graph * self.size.services + number) % self.size.clusters;
            let next = (number + 1 < self.size.services).then(|| name(graph, number + 1));
            json!({
                "id": name(graph, number),
                "deployment": { "trigger": { "auto": { "dependencies": [] } }, "intent": {
                    "compute": { "cpu": "light", "ram": "light" },
                    "connectionPoints": Vec::from_iter(next),
                    "network": { "deviceProximity": { "enabled": true, "site": cluster(site) } },
                } },
                "artifact": { "ociImage": "oci://registry.example/demo/app" },
                "smo": { "scaling": { "alpha": ALPHA, "min": 1, "max": MAX_REPLICAS } },
            })
        };
        let services: Vec<Value> = (0..self.size.services).map(service).collect();
        json!({ "hdaGraph": { "id": format!("g{graph}"), "services": services } })
    }

    /// Length of the one query for the rates of all services.
    fn query_bytes(&self) -> usize {
        let settings = settings(&self.size).scaling;
        let names: Vec<String> = (0..self.size.graphs)
            .flat_map(|graph| (0..self.size.services).map(move |service| name(graph, service)))
            .collect();
        rate_query(&settings.query, names.iter().map(String::as_str), settings.rate_window()).len()
    }

    /// CPU time of reading all graphs, with which a tick begins.
    async fn read_graphs(&self) -> Result<f64> {
        let meter = Meter::start();
        drop(self.store.snapshot_of_scaled(true).await?);
        Ok(meter.used().cpu_s)
    }

    /// CPU time of reading the clusters and what is taken on them, which every placement needs.
    async fn read_placed(&self) -> Result<f64> {
        let meter = Meter::start();
        drop(self.store.cluster_use().await?);
        Ok(meter.used().cpu_s)
    }

    /// CPU time of reading the clusters, which the server does every 10 s. Most of it is the simulation's own.
    async fn sync_clusters(&self) -> Result<f64> {
        let meter = Meter::start();
        drop(self.server.app.list_clusters().await?);
        Ok(meter.used().cpu_s)
    }
}

impl Tick {
    fn line(&self, number: usize) -> String {
        format!(
            "tick {number:2}: {} graphs, {} scaled, {:.3} s CPU, {:.3} s, calls {:?}; then {} scale calls, {:.2} s CPU, {:.2} s",
            self.graphs,
            self.scaled,
            self.used.cpu_s,
            self.used.wall_s,
            self.calls,
            self.scale_calls,
            self.settle.cpu_s,
            self.settle.wall_s
        )
    }
}

impl Used {
    fn show(self) -> Value {
        json!({ "cpu_s": rounded(self.cpu_s), "wall_s": rounded(self.wall_s) })
    }
}

/// The outside calls of every tick, which must be the same ones.
fn same(ticks: &[Tick]) -> Result<Calls> {
    let calls = ticks.first().map(|tick| tick.calls.clone()).unwrap_or_default();
    match ticks.iter().position(|tick| tick.calls != calls) {
        Some(other) => {
            Err(format!("outside calls: {calls:?}, in tick {other} {:?}", ticks[other].calls).into())
        }
        None => Ok(calls),
    }
}

fn figures(ticks: &[Tick]) -> Value {
    let summed = |used: fn(&Tick) -> f64| {
        let mut seconds: Vec<f64> = ticks.iter().map(used).collect();
        seconds.sort_by(f64::total_cmp);
        let (middle, last) = (seconds.get(seconds.len() / 2), seconds.last());
        json!({
            "median": middle.copied().map(rounded), "max": last.copied().map(rounded),
            "sum": rounded(seconds.iter().sum()),
        })
    };
    json!({
        "cpu_s": summed(|tick| tick.used.cpu_s),
        "wall_s": summed(|tick| tick.used.wall_s),
        "settle_cpu_s": summed(|tick| tick.settle.cpu_s),
        "scaled_graphs": ticks.iter().map(|tick| tick.scaled).sum::<usize>(),
    })
}

/// Whether a service has the replicas that were decided, and they are ready.
fn is_as_decided(service: &ServiceRecord) -> bool {
    let decided = service.replicas_decided.or(service.replicas_observed);
    service.replicas_observed == decided && service.replicas_ready == decided
}

fn difference(before: &Calls, after: &Calls) -> Calls {
    let counted = |(operation, count): (&String, &u64)| {
        let more = count - before.get(operation).copied().unwrap_or(0);
        (more > 0).then(|| (operation.clone(), more))
    };
    after.iter().filter_map(counted).collect()
}

fn settings(size: &Arguments) -> Settings {
    let mut settings = Settings { stale_after: NEVER, ..Settings::default() };
    settings.calls.deadline = PATIENCE;
    settings.reconcile.resync = NEVER;
    settings.reconcile.cluster_sync = NEVER;
    settings.reconcile.latency_sync = NEVER;
    settings.reconcile.alert_poll = NEVER;
    settings.scaling.enabled = true;
    settings.scaling.window = Duration::from_secs(60);
    settings.scaling.cooldown = Duration::ZERO;
    // The server's own ticks.
    settings.scaling.interval = NEVER;
    let near = |number| {
        let attributes = ClusterAttributes { site: Some(cluster(number)), ..ClusterAttributes::default() };
        (cluster(number), attributes)
    };
    settings.clusters = (0..size.clusters).map(near).collect();
    settings
}

/// Clusters with room for everything, even while it is counted twice: as reserved and as reported.
fn continuum(size: &Arguments) -> Result<Continuum> {
    let replicas = size.graphs * size.services * MAX_REPLICAS;
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
    let text = json!({ "ready_delay": 0.01, "clusters": clusters, "latencies": latencies }).to_string();
    Ok(Continuum::parse(&text)?)
}

fn cluster(number: usize) -> String {
    format!("cluster-{number}")
}

/// Unique over all graphs: rates are known by the name of the service.
fn name(graph: usize, service: usize) -> String {
    format!("g{graph}-s{service}")
}

/// The releases of a world, whose listing, with which every reconcile begins, waits while the gate is closed.
#[derive(Clone)]
struct Gate {
    world: World,
    open: Arc<RwLock<()>>,
}

#[async_trait]
impl Releases for Gate {
    async fn list(&self, namespace: &str) -> smo::clients::Result<Vec<ReleaseObservation>> {
        drop(self.open.read().await);
        Releases::list(&self.world, namespace).await
    }

    async fn apply(&self, release: &ReleaseSpec) -> smo::clients::Result<()> {
        Releases::apply(&self.world, release).await
    }

    async fn uninstall(&self, key: &ReleaseKey, owner: &str) -> smo::clients::Result<()> {
        self.world.uninstall(key, owner).await
    }
}

/// CPU time of this process, all threads together, and wall time since a moment.
struct Meter {
    cpu_s: f64,
    begun: Instant,
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

/// To milliseconds.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
