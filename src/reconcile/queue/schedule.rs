//! The schedule of the queue: the order in which keys are worked on. A plain state machine: the time is
//! passed in, and nothing here waits, so that tests can drive it through any history.
//!
//! A key is known as long as it has an entry. At rest an entry holds one timer and nothing else; failures and
//! waiting requests are kept only while there are any.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Key, Kind, Priority};
use crate::reconcile::memory::Memory;
use crate::reconcile::progress::Progress;

/// Number of keys of higher priority that are taken before a waiting one of this priority.
const PASSED_OVER_AT_MOST: [u32; 3] = [0, 4, 16];

/// The keys that are known, those that wait in line, and those that are worked on.
pub(super) struct Schedule {
    workers: usize,
    entries: HashMap<Key, Entry>,
    /// One line per priority. A place whose ticket is not the entry's has been left and is skipped.
    lines: [VecDeque<Place>; 3],
    /// How often a key of higher priority was taken while each line had one waiting.
    passed_over: [u32; 3],
    timers: BTreeSet<(Instant, Key)>,
    tickets: u64,
    /// Keys that hold a worker.
    busy: usize,
    /// Keys that no request asked for and whose worker is lent to others.
    lent: usize,
}

/// A place in a line.
struct Place {
    key: Key,
    ticket: u64,
}

#[derive(Default)]
struct Entry {
    /// Its place in line.
    queued: Option<Queued>,
    running: Option<Running>,
    /// Woken while it was worked on.
    again: Option<Priority>,
    /// When it is woken, and with which priority.
    timer: Option<(Instant, Priority)>,
    /// Its last run failed as a whole: until then only a request may bring it forward.
    held_until: Option<Instant>,
    kept: Option<Box<Kept>>,
}

#[derive(Clone, Copy)]
struct Queued {
    priority: Priority,
    ticket: u64,
    since: Instant,
}

#[derive(Clone, Copy)]
struct Running {
    priority: Priority,
    /// Its operations that the worker is lent to others for.
    lends: u32,
}

/// The part of an entry that is kept only while there is a reason to.
#[derive(Default)]
struct Kept {
    /// Runs that failed as a whole, in a row.
    failures: u32,
    memory: Memory,
    /// A request came since the last run began: failed operations are retried at once.
    try_again: bool,
    progress: watch::Sender<Progress>,
}

/// A key that is to be worked on now.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) key: Key,
    pub(super) memory: Memory,
    /// How long it waited in line.
    pub(super) waited: Duration,
}

/// How to continue with a key after its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// It has ceased to exist.
    Forget,
    /// It runs again at once.
    AtOnce,
    /// It runs again at this time, with this priority; an observed change may bring it forward.
    At(Instant, Priority),
    /// It failed as a whole; not before then, unless a request comes.
    NotBefore(Instant),
}

impl Schedule {
    /// An empty schedule; at most `workers` keys are worked on at a time.
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1),
            entries: HashMap::new(),
            lines: Default::default(),
            passed_over: [0; 3],
            timers: BTreeSet::new(),
            tickets: 0,
            busy: 0,
            lent: 0,
        }
    }

    /// Puts a key in line. A key that is worked on is put in line afterwards; one whose backoff is not over
    /// waits for its end, unless a request asks.
    pub(super) fn wake(&mut self, key: &Key, priority: Priority, now: Instant) {
        let entry = self.entries.entry(key.clone()).or_default();
        if priority == Priority::Request {
            entry.held_until = None;
            let kept = entry.kept.get_or_insert_default();
            (kept.failures, kept.try_again) = (0, true);
        }
        if entry.running.is_some() {
            entry.again = Some(entry.again.map_or(priority, |again| again.min(priority)));
        } else if let Some(until) = entry.held_until.filter(|until| *until > now) {
            self.set_timer(key, until, priority);
        } else {
            self.enqueue(key, priority, now);
        }
    }

    /// As [`Schedule::wake`] for a request, which follows the progress from now on.
    pub(super) fn begin(&mut self, key: &Key, now: Instant) -> watch::Receiver<Progress> {
        let progress = &self.entries.entry(key.clone()).or_default().kept.get_or_insert_default().progress;
        progress.send_replace(Progress::default());
        let receiver = progress.subscribe();
        self.wake(key, Priority::Request, now);
        receiver
    }

    /// Runs a key at that time unless it runs earlier anyway.
    pub(super) fn wake_by(&mut self, key: &Key, at: Instant, priority: Priority) {
        let entry = self.entries.entry(key.clone()).or_default();
        if entry.running.is_some() {
            entry.again = Some(entry.again.map_or(priority, |again| again.min(priority)));
        } else if entry.queued.is_none()
            && entry.held_until.is_none_or(|until| until <= at)
            && entry.timer.is_none_or(|(due, _)| due > at)
        {
            self.set_timer(key, at, priority);
        }
    }

    /// Whether a key has an entry.
    pub(super) fn knows(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// All keys of a kind, in no order.
    pub(super) fn keys(&self, kind: Kind) -> Vec<Key> {
        self.entries.keys().filter(|key| key.kind == kind).cloned().collect()
    }

    /// Enqueues the keys that are due, and returns when the next one is due.
    pub(super) fn advance(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                return Some(at);
            }
            let timer = self.entries.get_mut(&key).and_then(|entry| entry.timer.take());
            self.timers.remove(&(at, key.clone()));
            if let Some((_, priority)) = timer {
                self.enqueue(&key, priority, now);
            }
        }
        None
    }

    /// The key whose turn it is, if a worker is free. It must end in [`Schedule::finish`].
    pub(super) fn take(&mut self, now: Instant) -> Option<Job> {
        if self.busy >= self.workers {
            return None;
        }
        let line = self.next_line()?;
        let Place { key, .. } = self.lines[line].pop_front()?;
        let entry = self.entries.get_mut(&key)?;
        let queued = entry.queued.take()?;
        entry.running = Some(Running { priority: queued.priority, lends: 0 });
        entry.held_until = None;
        let kept = entry.kept.as_mut();
        let memory = kept.map_or_else(Memory::default, |kept| {
            let mut memory = std::mem::take(&mut kept.memory);
            if std::mem::take(&mut kept.try_again) {
                memory.try_again();
            }
            memory
        });
        self.busy += 1;
        Some(Job { key, memory, waited: now.saturating_duration_since(queued.since) })
    }

    /// Ends the work on a key. `next` is given how many runs in a row failed as a whole, this one included.
    pub(super) fn finish(
        &mut self,
        key: &Key,
        (failed, memory, progress): (bool, Memory, Progress),
        next: impl FnOnce(u32) -> Next,
        now: Instant,
    ) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        match entry.running.take() {
            Some(Running { lends: 0, .. }) => self.busy -= 1,
            // It ended in the middle of an operation.
            Some(running) => self.lent -= usize::from(running.priority != Priority::Request),
            None => return,
        }
        let again = entry.again.take();
        let kept = entry.kept.get_or_insert_default();
        kept.memory = memory;
        // A request that arrived meanwhile may have created it again: it does not wait for the removed one.
        if !(progress.gone && again == Some(Priority::Request)) {
            kept.progress.send_replace(progress);
        }
        let asked = again == Some(Priority::Request);
        kept.failures = if failed && !asked { kept.failures.saturating_add(1) } else { 0 };
        let next = next(kept.failures);
        if kept.is_idle() {
            entry.kept = None;
        }
        match (next, again) {
            (Next::Forget, None) => drop(self.entries.remove(key)),
            (Next::NotBefore(until), _) if !asked => {
                entry.held_until = Some(until);
                self.set_timer(key, until, Priority::Change);
            }
            (_, Some(priority)) => self.enqueue(key, priority, now),
            (Next::At(at, priority), None) => self.set_timer(key, at, priority),
            (Next::AtOnce | Next::NotBefore(_), None) => self.enqueue(key, Priority::Change, now),
        }
    }

    /// Lends the key's worker to others while it waits for something long.
    pub(super) fn lend(&mut self, key: &Key) {
        let Some(running) = self.entries.get_mut(key).and_then(|entry| entry.running.as_mut()) else {
            return;
        };
        running.lends += 1;
        if running.lends == 1 {
            self.busy -= 1;
            self.lent += usize::from(running.priority != Priority::Request);
        }
    }

    /// Ends an operation that the key's worker was lent for. After the last one the key continues at once,
    /// though that may exceed the number of workers by one.
    pub(super) fn take_back(&mut self, key: &Key) {
        let Some(running) = self.entries.get_mut(key).and_then(|entry| entry.running.as_mut()) else {
            return;
        };
        running.lends -= 1;
        if running.lends == 0 {
            self.busy += 1;
            self.lent -= usize::from(running.priority != Priority::Request);
        }
    }

    /// How many keys of a kind are known, and how many of them wait in line.
    pub(super) fn count(&self, kind: Kind) -> (usize, usize) {
        let of_kind = self.entries.iter().filter(|(key, _)| key.kind == kind);
        of_kind.fold((0, 0), |(known, queued), (_, entry)| {
            (known + 1, queued + usize::from(entry.queued.is_some()))
        })
    }

    fn enqueue(&mut self, key: &Key, priority: Priority, now: Instant) {
        self.clear_timer(key);
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.queued.is_some_and(|queued| queued.priority <= priority) {
            return;
        }
        self.tickets += 1;
        let since = entry.queued.map_or(now, |queued| queued.since);
        entry.queued = Some(Queued { priority, ticket: self.tickets, since });
        self.lines[priority as usize].push_back(Place { key: key.clone(), ticket: self.tickets });
    }

    /// Sets the timer of a key that waits for nothing else. The more urgent reason counts.
    fn set_timer(&mut self, key: &Key, at: Instant, priority: Priority) {
        let previous = self.clear_timer(key);
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.timer = Some((at, previous.map_or(priority, |previous| previous.min(priority))));
        self.timers.insert((at, key.clone()));
    }

    fn clear_timer(&mut self, key: &Key) -> Option<Priority> {
        let (at, priority) = self.entries.get_mut(key)?.timer.take()?;
        self.timers.remove(&(at, key.clone()));
        Some(priority)
    }

    /// The line whose turn it is: the most urgent one, unless a less urgent one was passed over often enough.
    fn next_line(&mut self) -> Option<usize> {
        let mut waiting = [false; 3];
        for (line, waits) in self.lines.iter_mut().zip(&mut waiting) {
            while line.front().is_some_and(|place| !is_held(&self.entries, place)) {
                line.pop_front();
            }
            *waits = !line.is_empty();
        }
        // More of the background in line for Helm would only make requests wait there.
        let background = self.lent < self.workers;
        let may = |line: &usize| waiting[*line] && (background || *line == Priority::Request as usize);
        let starving =
            (1..3).rev().find(|line| may(line) && self.passed_over[*line] >= PASSED_OVER_AT_MOST[*line]);
        let chosen = starving.or_else(|| (0..3).find(may))?;
        self.passed_over[chosen] = 0;
        for (passed_over, waits) in self.passed_over.iter_mut().zip(waiting).skip(chosen + 1) {
            *passed_over += u32::from(waits);
        }
        Some(chosen)
    }
}

impl Kept {
    fn is_idle(&self) -> bool {
        self.failures == 0 && !self.try_again && self.memory.is_empty() && self.progress.receiver_count() == 0
    }
}

/// Whether a key still holds a place in line.
fn is_held(entries: &HashMap<Key, Entry>, place: &Place) -> bool {
    let queued = entries.get(&place.key).and_then(|entry| entry.queued);
    queued.is_some_and(|queued| queued.ticket == place.ticket)
}

#[cfg(test)]
mod tests;
