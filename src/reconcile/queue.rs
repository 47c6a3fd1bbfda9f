//! The one work queue: everything that is reconciled is a key in it, and a bounded number of workers bring
//! other systems to the state that the key's record desires.
//!
//! * Wakes of one key merge, and a key is worked on by one worker at a time: two requests never race.
//! * Three priorities, first come first served within each, and none is starved by the ones above it.
//! * Every delay has jitter. An observed change never shortens a backoff; a request does.
//! * A worker is not held while Helm works: such operations have slots of their own ([`WorkerSlot`]).

mod metrics;
mod schedule;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use prometheus_client::registry::Registry;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::metrics::QueueMetrics;
use self::schedule::{Job, Next, Schedule};
use super::delay::{backoff, jitter, not_before, spread};
use super::memory::Memory;
use super::progress::Progress;
use crate::config::ReconcileSettings;
use crate::error::Result;

/// Interval between keys that are reconciled for no particular reason, if all of them fit into the resync
/// interval.
const PACE: Duration = Duration::from_millis(20);

/// Names something that is reconciled: a kind of record and the name of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Which worker it needs.
    pub kind: Kind,
    /// Its name among those of its kind.
    pub name: String,
}

/// The kinds of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A graph, by its name.
    Graph,
    /// Objects of deleted graphs in other systems: one key for all of them.
    Leftovers,
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 2] = [Self::Graph, Self::Leftovers];

    /// The name in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Leftovers => "leftovers",
        }
    }
}

impl Key {
    /// The key of a graph.
    pub fn graph(name: &str) -> Self {
        Self { kind: Kind::Graph, name: name.to_owned() }
    }

    /// The key of objects of graphs that exist no more.
    pub fn leftovers() -> Self {
        Self { kind: Kind::Leftovers, name: "leftovers".to_owned() }
    }
}

/// Why a key is reconciled, the most urgent reason first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Priority {
    /// A request waits for it.
    Request,
    /// Something changed.
    Change,
    /// A wake may have been lost.
    Resync,
}

/// The result of the work on a key, and when to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkOutcome {
    /// It does not exist any more.
    Gone,
    /// All is as desired.
    Settled,
    /// An external change is needed (pods start, an object disappears, a user acts): its observation wakes
    /// the key.
    Waiting,
    /// Parts of it failed in a way that may pass. An observed change may wake the key earlier: the parts
    /// remember when each is due.
    Retry {
        /// When the first of them is due; `None` leaves it to the backoff of the key.
        after: Option<Duration>,
    },
    /// Nothing could be done, for a reason that may pass. An observed change does not bring the next attempt
    /// forward.
    Failed {
        /// The pause that the failed system asked for; `None` leaves it to the backoff.
        after: Option<Duration>,
    },
    /// The intent changed meanwhile: the observation is stale.
    Superseded,
}

impl WorkOutcome {
    /// Whether the next failure in a row waits longer.
    fn counts_as_failure(self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Retry { after: None })
    }

    fn label(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Settled => "settled",
            Self::Waiting => "waiting",
            Self::Retry { .. } => "retry",
            Self::Failed { .. } => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// A finished run: its result, and the memory for the next one.
pub type Worked = (Result<(WorkOutcome, Progress)>, Memory);

type Work = dyn Fn(Key, Memory, WorkerSlot) -> BoxFuture<'static, Worked> + Send + Sync;

/// The work queue. Clones share everything.
#[derive(Clone)]
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    work: Box<Work>,
    settings: ReconcileSettings,
    schedule: Arc<Mutex<Schedule>>,
    /// The schedule may have work for a free worker, or an earlier timer.
    changed: Notify,
    tracker: TaskTracker,
    /// No new work begins.
    stopping: CancellationToken,
    /// Running work is cancelled.
    abort: CancellationToken,
    metrics: QueueMetrics,
}

/// Wakes a graph when dropped.
#[must_use]
pub struct WakeOnDrop {
    queue: Queue,
    graph: String,
}

impl Drop for WakeOnDrop {
    fn drop(&mut self) {
        self.queue.wake(&self.graph);
    }
}

/// The worker that a key holds while it is worked on.
pub struct WorkerSlot {
    inner: Arc<Inner>,
    key: Key,
}

impl WorkerSlot {
    /// Waits for an operation that takes long and is bounded elsewhere, and lets other keys have the worker
    /// meanwhile. The key itself stays in work.
    pub async fn lend_during<T>(&self, operation: impl Future<Output = T>) -> T {
        let _lent = Lent::new(self);
        operation.await
    }
}

/// Takes the worker back when dropped, also when the work is cancelled.
struct Lent<'a>(&'a WorkerSlot);

impl<'a> Lent<'a> {
    fn new(slot: &'a WorkerSlot) -> Self {
        slot.inner.change(|schedule, _| schedule.lend(&slot.key));
        Self(slot)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.inner.change(|schedule, _| schedule.take_back(&self.0.key));
    }
}

impl Queue {
    /// An empty queue whose workers do `work`; its metrics go into `registry`. Must be made within a runtime.
    pub fn new(
        work: impl Fn(Key, Memory, WorkerSlot) -> BoxFuture<'static, Worked> + Send + Sync + 'static,
        settings: ReconcileSettings,
        registry: &mut Registry,
    ) -> Self {
        let schedule = Arc::new(Mutex::new(Schedule::new(settings.workers)));
        let inner = Arc::new(Inner {
            work: Box::new(work),
            settings,
            metrics: QueueMetrics::register(registry, Arc::clone(&schedule)),
            schedule,
            changed: Notify::new(),
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            abort: CancellationToken::new(),
        });
        inner.tracker.spawn(Arc::clone(&inner).dispatch());
        Self { inner }
    }

    /// Looks at a graph soon: something about it changed.
    pub fn wake(&self, graph: &str) {
        self.inner.change(|schedule, now| schedule.wake(&Key::graph(graph), Priority::Change, now));
    }

    /// Reconciles a graph as soon as a worker is free, retries failed operations, and follows its progress
    /// from now on.
    #[must_use]
    pub fn begin(&self, graph: &str) -> watch::Receiver<Progress> {
        self.inner.change(|schedule, now| schedule.begin(&Key::graph(graph), now))
    }

    /// Wakes the graph when dropped: the change of a request that is cancelled during its commit may have
    /// been recorded.
    pub fn wake_on_drop(&self, graph: &str) -> WakeOnDrop {
        WakeOnDrop { queue: self.clone(), graph: graph.to_owned() }
    }

    /// Reconciles every known graph once, spread over a time that grows with their number, since changes may
    /// have been missed.
    pub fn wake_all(&self) {
        self.inner.change(|schedule, now| {
            let keys = schedule.keys(Kind::Graph);
            let window = self.inner.window(keys.len());
            for key in keys {
                schedule.wake_by(&key, now + spread(window), Priority::Resync);
            }
        });
    }

    /// Adds the keys of the database, each with whether its work is done according to the database.
    /// Unfinished work continues; the rest is checked, spread over a time that grows with their number. Keys
    /// that are already known are left alone.
    pub fn take_up(&self, keys: Vec<(Key, bool)>) {
        let window = self.inner.window(keys.len());
        self.inner.change(|schedule, now| {
            for (key, done) in keys {
                if schedule.knows(&key) {
                    continue;
                }
                if done {
                    schedule.wake_by(&key, now + spread(window), Priority::Resync);
                } else {
                    schedule.wake(&key, Priority::Change, now);
                }
            }
        });
    }

    /// Begins nothing new from now on.
    pub fn begin_shutdown(&self) {
        self.inner.stopping.cancel();
    }

    /// Resolves when nothing new is begun any more.
    pub async fn stopping(&self) {
        self.inner.stopping.cancelled().await;
    }

    /// Starts no new work, lets running work finish for `grace`, then cancels it: the next start continues
    /// it.
    pub async fn shutdown(&self, grace: Duration) {
        self.begin_shutdown();
        self.inner.tracker.close();
        if tokio::time::timeout(grace, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!("reconciles still run after {grace:?}: cut off, the next start goes on");
            self.inner.abort.cancel();
            self.inner.tracker.wait().await;
        }
    }
}

impl Inner {
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        // Every change of the schedule is complete before anything can panic.
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the schedule, and notifies the dispatcher.
    fn change<T>(&self, change: impl FnOnce(&mut Schedule, Instant) -> T) -> T {
        let changed = change(&mut self.schedule(), Instant::now());
        self.changed.notify_one();
        changed
    }

    /// The time over which this many keys are spread.
    fn window(&self, keys: usize) -> Duration {
        PACE.saturating_mul(u32::try_from(keys).unwrap_or(u32::MAX)).min(self.settings.resync)
    }

    /// Hands keys to free workers until the shutdown begins.
    async fn dispatch(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            let next = self.hand_out();
            let timer = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.stopping.cancelled() => {}
                () = self.changed.notified() => {}
                () = timer => {}
            }
        }
    }

    /// Starts all work that is due; returns when the next timer is due.
    fn hand_out(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut schedule = self.schedule();
        let next = schedule.advance(now);
        while let Some(job) = schedule.take(now) {
            let inner = Arc::clone(self);
            self.tracker.spawn(async move {
                tokio::select! {
                    () = inner.abort.cancelled() => {}
                    () = inner.work_on(job) => {}
                }
            });
        }
        next
    }

    async fn work_on(self: &Arc<Self>, job: Job) {
        let Job { key, memory, waited } = job;
        self.metrics.waited(key.kind, waited);
        let begun = Instant::now();
        let slot = WorkerSlot { inner: Arc::clone(self), key: key.clone() };
        let (label, outcome, progress, memory) = match self.run(&key, memory, slot).await {
            Some((Ok((outcome, progress)), memory)) => (outcome.label(), outcome, progress, memory),
            Some((Err(error), memory)) => {
                let cause = &error as &dyn std::error::Error;
                tracing::error!(
                    kind = key.kind.label(),
                    name = key.name,
                    error = cause,
                    "work on {} failed",
                    key.name
                );
                ("error", WorkOutcome::Failed { after: None }, Progress::default(), memory)
            }
            None => {
                tracing::error!(kind = key.kind.label(), name = key.name, "work on {} panicked", key.name);
                ("panic", WorkOutcome::Failed { after: None }, Progress::default(), Memory::default())
            }
        };
        self.metrics.worked(key.kind, label, begun.elapsed());
        self.change(|schedule, now| {
            schedule.finish(
                &key,
                (outcome.counts_as_failure(), memory, progress),
                |failures| self.next(outcome, failures, now),
                now,
            );
        });
    }

    /// One run of the work; `None` when it panicked. Its memory is lost then, which costs a call.
    async fn run(&self, key: &Key, memory: Memory, slot: WorkerSlot) -> Option<Worked> {
        let work = AssertUnwindSafe(async { (self.work)(key.clone(), memory, slot).await });
        work.catch_unwind().await.ok()
    }

    fn delay(&self, asked: Option<Duration>, failures: u32) -> Duration {
        asked.map_or_else(|| jitter(backoff(&self.settings, failures)), not_before)
    }

    fn next(&self, outcome: WorkOutcome, failures: u32, now: Instant) -> Next {
        match outcome {
            WorkOutcome::Gone => Next::Forget,
            WorkOutcome::Superseded => Next::AtOnce,
            WorkOutcome::Settled | WorkOutcome::Waiting => {
                Next::At(now + jitter(self.settings.resync), Priority::Resync)
            }
            WorkOutcome::Retry { after } => Next::At(now + self.delay(after, failures), Priority::Change),
            WorkOutcome::Failed { after } => Next::NotBefore(now + self.delay(after, failures)),
        }
    }
}

#[cfg(test)]
mod tests;
