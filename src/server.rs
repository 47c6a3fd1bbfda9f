//! Assembly of the server: builds the parts, runs them, and joins them at shutdown.
//!
//! No process-wide state: several servers can live in one process, as they do in the tests.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{App, CapacityLedger, Parts, Planner, Scaler};
use crate::clients::{Calls, OptionalPorts, Outside, Ports, ReleaseKey, optional_ports, real_ports};
use crate::config::{Mode, Settings};
use crate::error::{Error, Result};
use crate::faults::Faults;
use crate::model::owner_of;
use crate::reconcile::loops::Loops;
use crate::reconcile::{ClusterSync, Queue, Reconciler, RuleHealth};
use crate::simulation::{Continuum, World};
use crate::store::{InstanceLock, Store};
use crate::telemetry::{self, MetricsRegistry};

/// Seed of the simulated continuum of a server: the same run twice looks the same.
const SIMULATION_SEED: u64 = 1;

/// Digest of an adopted release: equals no digest of a graph's release, so that it is upgraded when it is
/// reconciled.
const ADOPTED: &str = "adopted";

/// A server without its socket.
pub struct Server {
    /// The HTTP interface.
    pub router: Router,
    /// The use cases behind it.
    pub app: App,
    queue: Queue,
    settings: Settings,
    stop: CancellationToken,
    loops: TaskTracker,
}

impl Server {
    /// Builds the parts, reads the clusters, and takes up the work that the database knows of.
    ///
    /// # Errors
    /// The database failed.
    pub async fn start(
        settings: Settings,
        store: Store,
        ports: Ports,
        world: Option<World>,
        faults: Faults,
    ) -> Result<Self> {
        let store = store.with_settle_time(settings.placement.settle);
        for cluster in store.repair_ledger().await? {
            tracing::warn!(cluster.name = %cluster, "the ledger of cluster {cluster} was wrong and has been repaired");
        }
        let calls = Calls::new(&settings.calls, &settings.helm, faults);
        let outside = Outside::new(ports, calls, settings.stale_after);
        let rule_health = RuleHealth::default();
        let reconciler = Reconciler::new(
            store.clone(),
            outside.clone(),
            settings.monitoring.severity.clone(),
            rule_health.clone(),
            settings.helm.allowed_kinds.iter().cloned().collect(),
            settings.reconcile.clone(),
        );
        let mut registry = telemetry::registry();
        outside.register(&mut registry);
        let queue = Queue::new(reconciler.into_work(), settings.reconcile.clone(), &mut registry);
        let clusters =
            ClusterSync::new(store.clone(), outside.clone(), queue.clone(), settings.reconcile.clone());
        let loops = Loops::new(
            store.clone(),
            outside.clone(),
            queue.clone(),
            clusters.clone(),
            settings.reconcile.clone(),
        );
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        loops.take_up_known().await?;
        loops.spawn(&tracker, &stop);
        let planner = Planner::new(&settings, outside.clone());
        let shared = Arc::new(settings.clone());
        let app = App::new(Parts {
            planner,
            started: tokio::time::Instant::now(),
            settings: Arc::clone(&shared),
            ledger: CapacityLedger::new(store.clone(), clusters.clone(), shared),
            store,
            outside,
            queue: queue.clone(),
            rule_health,
            clusters,
            world,
        });
        tracker.spawn(stop.clone().run_until_cancelled_owned(Scaler::new(app.clone()).run()));
        tracker.spawn(stop.clone().run_until_cancelled_owned(app.clone().run_alert_loop()));
        let router = crate::api::router(app.clone(), MetricsRegistry::new(registry), &settings);
        Ok(Self { router, app, queue, settings, stop, loops: tracker })
    }

    /// Serves HTTP until the server stops, and the requests that run then to their end.
    pub fn serve(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + use<> {
        let (queue, router, settings) = (self.queue.clone(), self.router.clone(), self.settings.http.clone());
        async move { crate::api::serve(listener, router, settings, queue.stopping()).await }
    }

    /// Lets `serving` go on until `stopped` tells why to end, then ends it and the server; returns that reason.
    /// Requests and reconciles share the grace.
    async fn run_until(self, serving: impl Future<Output = ()>, stopped: impl Future<Output = Stop>) -> Stop {
        let mut serving = Box::pin(serving);
        let (reason, serves) = tokio::select! {
            () = &mut serving => (Stop::Signal, false),
            reason = stopped => (reason, true),
        };
        let grace = match reason {
            Stop::Signal => self.settings.reconcile.shutdown_grace,
            // Another server has the database.
            Stop::LockLost => Duration::ZERO,
        };
        let end = Instant::now() + grace;
        // Requests that wait for work answer now with its progress; one that never ends is cancelled.
        self.queue.begin_shutdown();
        self.stop.cancel();
        if serves && timeout_at(end, serving).await.is_err() {
            tracing::warn!("requests still run after {grace:?}: cut off");
        }
        self.shutdown(end.saturating_duration_since(Instant::now())).await;
        reason
    }

    /// Stops the loops, lets running reconciles finish for `grace`, and leaves the rest to the next start.
    pub async fn shutdown(self, grace: Duration) {
        self.stop.cancel();
        self.loops.close();
        self.loops.wait().await;
        self.queue.shutdown(grace).await;
    }
}

/// Runs a server until SIGTERM or SIGINT.
///
/// # Errors
/// The database or a configured system cannot be used, another server has the database, or the address is
/// taken.
pub async fn run(settings: Settings) -> Result<()> {
    let faults = settings.kill_at_step.map_or_else(Faults::none, Faults::kill_at);
    let store = Store::connect(&settings.database_url).await?.with_faults(faults.clone());
    let mut lock = store.lock_instance().await?;
    let installation = installation(&settings, &store).await?;
    let (ports, world) = connect(&settings, &installation).await?;
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| Error::Internal(format!("cannot listen on {}: {error}", settings.listen).into()))?;
    let watched = store.clone();
    let server = Server::start(settings, store, ports, world, faults).await?;
    announce(&server, &listener);
    let serving = server.serve(listener);
    let reason = server.run_until(serving, stopped(&mut lock, &watched)).await;
    // Only now may another server take over.
    drop(lock);
    if reason == Stop::LockLost {
        return Err(Error::Internal("another server has taken the database".into()));
    }
    Ok(())
}

/// Labels a Helm release that smo did not make as one of a graph; Helm is not run. When the graph is posted
/// or reconciled next, the release is upgraded to its service's record.
///
/// # Errors
/// There is no such release, Karmada is not configured or does not answer, or the database has no schema yet.
pub async fn adopt(settings: Settings, namespace: String, release: String, graph: &str) -> Result<()> {
    if settings.karmada.kubeconfig.is_none() {
        return Err(Error::NotConfigured { system: "Karmada", setting: "KARMADA_KUBECONFIG" });
    }
    let store = Store::connect(&settings.database_url).await?;
    let ports = real_ports(&settings, &installation(&settings, &store).await?).await?;
    let calls = Calls::new(&settings.calls, &settings.helm, Faults::none());
    let outside = Outside::new(ports, calls, settings.stale_after);
    let key = ReleaseKey { namespace, name: release };
    outside.adopt_release(&key, &owner_of(graph), ADOPTED).await?;
    tracing::info!(
        graph.name = graph,
        "release {} in {} belongs to graph {graph} now",
        key.name,
        key.namespace
    );
    Ok(())
}

/// The id of this installation: the setting, else the one that the database keeps.
async fn installation(settings: &Settings, store: &Store) -> Result<String> {
    match &settings.installation {
        Some(name) => Ok(name.clone()),
        None => Ok(store.installation().await?),
    }
}

/// Brings the database to the current schema.
///
/// # Errors
/// The database cannot be reached or migrated.
pub async fn migrate(settings: Settings) -> Result<()> {
    Ok(Store::connect(&settings.database_url).await?.migrate().await?)
}

async fn connect(settings: &Settings, installation: &str) -> Result<(Ports, Option<World>)> {
    match settings.mode {
        Mode::Real => Ok((real_ports(settings, installation).await?, None)),
        Mode::Simulated => {
            let continuum = match &settings.simulation_file {
                Some(path) => Continuum::load(path),
                None => Continuum::built_in(),
            };
            let continuum = continuum.map_err(|error| Error::Internal(error.into()))?;
            let world = World::new(continuum, SIMULATION_SEED);
            Ok((mixed_ports(settings, &world, installation).await?, Some(world)))
        }
    }
}

/// Systems with settings are real, the rest is simulated.
async fn mixed_ports(settings: &Settings, world: &World, installation: &str) -> Result<Ports> {
    let simulated = world.ports_of(installation);
    let real = match settings.karmada.kubeconfig {
        Some(_) => real_ports(settings, installation).await?,
        None => {
            let OptionalPorts { rules, metrics, networks } = optional_ports(settings, installation).await?;
            Ports { rules, metrics, networks, ..simulated.clone() }
        }
    };
    Ok(Ports {
        rules: real.rules.or(simulated.rules),
        metrics: real.metrics.or(simulated.metrics),
        networks: real.networks.or(simulated.networks),
        ..real
    })
}

fn announce(server: &Server, listener: &TcpListener) {
    let address =
        listener.local_addr().map_or_else(|_| server.settings.listen.to_string(), |a| a.to_string());
    if server.app.is_simulated() {
        tracing::warn!(
            "SIMULATED: every outside system without a setting is simulated; \
             set KARMADA_KUBECONFIG and SMO_MODE=real for real clusters"
        );
    }
    tracing::info!(
        "smo {} listens on http://{address}, Swagger UI at http://{address}/docs/",
        env!("CARGO_PKG_VERSION")
    );
}

/// Why the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Signal,
    LockLost,
}

/// Resolves when the server has to stop: on a signal, or when another one has taken the database.
async fn stopped(lock: &mut InstanceLock, store: &Store) -> Stop {
    let on = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(error) => {
                tracing::error!("signals cannot be received: {error}");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = on(SignalKind::terminate()) => tracing::info!("received SIGTERM, stopping"),
        () = on(SignalKind::interrupt()) => tracing::info!("received SIGINT, stopping"),
        () = lock.lost(store) => {
            tracing::error!("another server has taken the database; stopping");
            return Stop::LockLost;
        }
    }
    Stop::Signal
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::body::Body;
    use axum::http::Request;
    use serde_json::json;
    use tokio::sync::Notify;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::ReconcileSettings;
    use crate::faults::FaultAction;

    /// A server with a reconcile that does not end by itself before its grace is over.
    async fn busy_server(folder: &Path) -> Server {
        let store = Store::connect(&format!("sqlite://{}/smo.db", folder.display())).await.unwrap();
        store.migrate().await.unwrap();
        let (world, hangs) = (World::new(Continuum::built_in().unwrap(), 1), Arc::new(Notify::new()));
        let reached = Arc::clone(&hangs);
        let faults = Faults::hook(move |step| {
            (step.name == "helm.apply").then(|| {
                reached.notify_one();
                FaultAction::Hang
            })
        });
        let ports = world.ports();
        let server = Server::start(Settings::default(), store, ports, Some(world), faults).await.unwrap();
        let trigger = json!({ "auto": { "dependencies": [] } });
        let deployment = json!({ "trigger": trigger, "intent": { "compute": { "cpu": "light" } } });
        let artifact = json!({ "ociImage": "oci://registry.example/demo/a" });
        let services = json!([{ "id": "a", "deployment": deployment, "artifact": artifact }]);
        let post = Request::post("/project/demo/graphs")
            .header("content-type", "application/json")
            .header("prefer", "respond-async")
            .body(Body::from(json!({ "hdaGraph": { "id": "g", "services": services } }).to_string()));
        let answer = server.router.clone().oneshot(post.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 202);
        hangs.notified().await;
        server
    }

    #[tokio::test]
    async fn requests_and_reconciles_that_do_not_end_share_one_grace() {
        for (reason, grace) in
            [(Stop::Signal, ReconcileSettings::default().shutdown_grace), (Stop::LockLost, Duration::ZERO)]
        {
            let folder = tempfile::tempdir().unwrap();
            let server = busy_server(folder.path()).await;
            tokio::time::pause();
            let begun = Instant::now();
            assert_eq!(server.run_until(std::future::pending(), async { reason }).await, reason);
            let (taken, rounding) = (begun.elapsed(), Duration::from_millis(10));
            assert!(taken >= grace && taken < grace + rounding, "{reason:?}: {taken:?}");
            tokio::time::resume();
        }
    }
}
