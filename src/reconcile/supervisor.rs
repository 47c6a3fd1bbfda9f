//! One task per graph: mailbox, timer and cancellation. A graph's work is serial, so two requests never race;
//! many graphs run in parallel.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::graph::{Memory, Outcome, Reconciler};
use crate::config::ReconcileSettings;
use crate::error::Result;

/// How far the task of a graph has come. Waiting requests read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The generation that was worked on.
    pub generation: i64,
    /// Every release is as that generation wants it.
    pub done: bool,
    /// Something failed that only a user can mend.
    pub failed: bool,
    /// The graph does not exist any more.
    pub gone: bool,
}

impl Progress {
    pub(super) fn gone() -> Self {
        Self { gone: true, ..Self::default() }
    }

    pub(super) fn under_way(generation: i64) -> Self {
        Self { generation, ..Self::default() }
    }

    /// Whether waiting any longer for `generation` is of no use.
    #[must_use]
    pub fn is_final_for(&self, generation: i64) -> bool {
        self.gone || (self.generation >= generation && (self.done || self.failed))
    }
}

/// Owns the tasks of all graphs. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    reconciler: Reconciler,
    settings: ReconcileSettings,
    tasks: Mutex<HashMap<String, Arc<Mailbox>>>,
    tracker: TaskTracker,
    /// No new reconcile begins.
    stopping: CancellationToken,
    /// Running reconciles are cut off.
    abort: CancellationToken,
    metrics: SupervisorMetrics,
}

/// What others see of a task.
struct Mailbox {
    wake: Notify,
    /// Set with every wake, so that a task that is about to end sees one that came too late for its last look.
    pending: AtomicBool,
    /// Set by a request: what had failed is tried at once.
    try_again: AtomicBool,
    progress: watch::Sender<Progress>,
}

/// Wakes a graph when dropped.
#[must_use]
pub struct WakeOnDrop {
    supervisor: Supervisor,
    graph: String,
}

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.supervisor.wake(&self.graph);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Default)]
struct SupervisorMetrics {
    reconciles: Family<OutcomeLabels, Counter>,
    graphs: Gauge,
}

impl Supervisor {
    /// A supervisor without tasks; its metrics go into `registry`.
    pub fn new(reconciler: Reconciler, settings: ReconcileSettings, registry: &mut Registry) -> Self {
        let metrics = SupervisorMetrics::default();
        let reconciles = metrics.reconciles.clone();
        registry.register("smo_reconciles", "Reconciles of graphs by outcome", reconciles);
        registry.register("smo_graphs", "Graphs with a task", metrics.graphs.clone());
        let inner = Inner {
            reconciler,
            settings,
            tasks: Mutex::default(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            abort: CancellationToken::new(),
            metrics,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Looks at a graph soon; starts its task when it has none.
    pub fn wake(&self, graph: &str) {
        self.with_mailbox(graph, |_| ());
    }

    /// Looks at a graph soon, tries again what had failed, and follows how far it comes from now on.
    #[must_use]
    pub fn begin(&self, graph: &str) -> watch::Receiver<Progress> {
        self.with_mailbox(graph, |mailbox| {
            mailbox.try_again.store(true, Ordering::SeqCst);
            mailbox.progress.send_replace(Progress::default());
            mailbox.progress.subscribe()
        })
    }

    /// Wakes the graph when dropped: a request that is cut off while its commit is under way may have been recorded.
    pub fn wake_on_drop(&self, graph: &str) -> WakeOnDrop {
        WakeOnDrop { supervisor: self.clone(), graph: graph.to_owned() }
    }

    /// Looks at every graph that has a task.
    pub fn wake_all(&self) {
        let names: Vec<String> = self.inner.lock().keys().cloned().collect();
        names.iter().for_each(|name| self.wake(name));
    }

    /// Begins nothing new from now on.
    pub fn begin_shutdown(&self) {
        self.inner.stopping.cancel();
    }

    /// Resolves when nothing new is begun any more.
    pub async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }

    /// Begins nothing new, lets running reconciles finish for `grace`, then cuts them off: what they leave is
    /// taken up by the next start.
    pub async fn shutdown(&self, grace: Duration) {
        self.begin_shutdown();
        self.inner.tracker.close();
        if tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!("reconciles still run after {grace:?}: cut off, the next start goes on");
            self.inner.abort.cancel();
            self.inner.tracker.wait().await;
        }
    }

    /// Wakes the task of a graph. All of it happens under the lock, so that a task that is about to end sees it.
    fn with_mailbox<T>(&self, graph: &str, change: impl FnOnce(&Mailbox) -> T) -> T {
        let mut tasks = self.inner.lock();
        let mailbox = match tasks.get(graph) {
            Some(mailbox) => Arc::clone(mailbox),
            None => self.start(graph, &mut tasks),
        };
        let changed = change(&mailbox);
        mailbox.pending.store(true, Ordering::SeqCst);
        mailbox.wake.notify_one();
        changed
    }

    fn start(&self, graph: &str, tasks: &mut HashMap<String, Arc<Mailbox>>) -> Arc<Mailbox> {
        let mailbox = Arc::new(Mailbox {
            wake: Notify::new(),
            pending: AtomicBool::new(false),
            try_again: AtomicBool::new(false),
            progress: watch::Sender::default(),
        });
        tasks.insert(graph.to_owned(), Arc::clone(&mailbox));
        self.inner.metrics.graphs.inc();
        if !self.inner.stopping.is_cancelled() {
            let (inner, name) = (Arc::clone(&self.inner), graph.to_owned());
            let task = Arc::clone(&mailbox);
            self.inner.tracker.spawn(async move {
                tokio::select! {
                    () = inner.abort.cancelled() => {}
                    () = inner.run(&name, &task) => {}
                }
            });
        }
        mailbox
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Mailbox>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, name: &str, mailbox: &Mailbox) {
        let (mut memory, mut failures) = (Memory::default(), 0);
        mailbox.wake.notified().await;
        while !self.stopping.is_cancelled() {
            mailbox.pending.store(false, Ordering::SeqCst);
            if mailbox.try_again.swap(false, Ordering::SeqCst) {
                memory.try_again();
                failures = 0;
            }
            let delay = match self.reconcile(name, &mut memory).await {
                (Outcome::Gone, progress) => {
                    mailbox.progress.send_replace(progress);
                    if self.retire(name, mailbox) {
                        return;
                    }
                    Duration::ZERO
                }
                (outcome, progress) => {
                    mailbox.progress.send_replace(progress);
                    failures = if matches!(outcome, Outcome::Retry { .. }) { failures + 1 } else { 0 };
                    self.delay(outcome, failures)
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = mailbox.wake.notified() => {}
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// One reconcile; an error of the database or a panic is logged and counts as something that may pass.
    async fn reconcile(&self, name: &str, memory: &mut Memory) -> (Outcome, Progress) {
        let work = AssertUnwindSafe(self.reconciler.reconcile(name, memory)).catch_unwind();
        let result: Option<Result<_>> = work.await.ok();
        let (outcome, progress) = match result {
            Some(Ok(done)) => done,
            Some(Err(error)) => {
                tracing::error!(
                    graph.name = name,
                    error = &error as &dyn std::error::Error,
                    "reconcile of {name} failed"
                );
                (Outcome::Retry { after: None }, Progress::default())
            }
            None => {
                tracing::error!(graph.name = name, "reconcile of {name} panicked");
                (Outcome::Retry { after: None }, Progress::default())
            }
        };
        self.metrics.reconciles.get_or_create(&OutcomeLabels { outcome: label(outcome) }).inc();
        (outcome, progress)
    }

    /// Takes a finished task out of the map, unless it was woken after its last look.
    fn retire(&self, name: &str, mailbox: &Mailbox) -> bool {
        let mut tasks = self.lock();
        if mailbox.pending.load(Ordering::SeqCst) {
            return false;
        }
        tasks.remove(name);
        self.metrics.graphs.dec();
        true
    }

    fn delay(&self, outcome: Outcome, failures: u32) -> Duration {
        match outcome {
            Outcome::Superseded | Outcome::Gone => Duration::ZERO,
            Outcome::Settled | Outcome::Waiting => jitter(self.settings.resync),
            Outcome::Retry { after } => after.unwrap_or_else(|| jitter(backoff(&self.settings, failures))),
        }
    }
}

/// Doubles with every failure in a row.
pub(super) fn backoff(settings: &ReconcileSettings, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    settings.backoff_first.saturating_mul(factor).min(settings.backoff_max)
}

/// Between three quarters and five quarters, so that graphs that failed together do not come back together.
pub(super) fn jitter(delay: Duration) -> Duration {
    delay.mul_f64(0.75 + rand::random::<f64>() / 2.0)
}

fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Gone => "gone",
        Outcome::Settled => "settled",
        Outcome::Waiting => "waiting",
        Outcome::Retry { .. } => "retry",
        Outcome::Superseded => "superseded",
    }
}
