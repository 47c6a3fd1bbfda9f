//! The queue of the solver: few concurrent solves, a bounded number of waiting requests, dry runs last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The caller that waits for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Caller {
    /// A loop of the server. There are few of them, each waits for one decision at a time: never refused, and
    /// next.
    Loop,
    /// A request that will carry out the decision.
    Request,
    /// A request that only previews a decision. Served when no other request waits.
    DryRun,
}

/// Why a caller was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull {
    /// How many wait already.
    pub(super) waiting: usize,
}

/// A queue for permits to solve. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SolveQueue {
    /// Most callers that may wait.
    capacity: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Permits that are not held.
    free: usize,
    first: VecDeque<oneshot::Sender<Permit>>,
    last: VecDeque<oneshot::Sender<Permit>>,
}

/// The right to solve, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    /// `None` once it has been handed on.
    state: Option<Arc<Mutex<State>>>,
}

impl SolveQueue {
    /// A queue with at most `solves` concurrent solves and `capacity` waiting requests.
    pub(super) fn new(solves: usize, capacity: usize) -> Self {
        let state = State { free: solves.max(1), first: VecDeque::new(), last: VecDeque::new() };
        Self { capacity, state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn acquire(&self, caller: Caller) -> Result<Permit, QueueFull> {
        let waiter = {
            let mut state = lock(&self.state);
            state.forget_who_left();
            if state.free > 0 {
                state.free -= 1;
                return Ok(self.permit());
            }
            let waiting = state.first.len() + state.last.len();
            if caller != Caller::Loop && waiting >= self.capacity {
                return Err(QueueFull { waiting });
            }
            let (sender, waiter) = oneshot::channel();
            match caller {
                Caller::Loop => state.first.push_front(sender),
                Caller::Request => state.first.push_back(sender),
                Caller::DryRun => state.last.push_back(sender),
            }
            waiter
        };
        // The sender lives in the state, which the queue keeps alive.
        waiter.await.map_err(|_| QueueFull { waiting: 0 })
    }

    fn permit(&self) -> Permit {
        Permit { state: Some(Arc::clone(&self.state)) }
    }
}

impl State {
    fn forget_who_left(&mut self) {
        self.first.retain(|waiter| !waiter.is_closed());
        self.last.retain(|waiter| !waiter.is_closed());
    }

    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        self.first.pop_front().or_else(|| self.last.pop_front())
    }
}

/// Hands the permit to the next who still waits.
impl Drop for Permit {
    fn drop(&mut self) {
        let Some(state) = self.state.take() else { return };
        loop {
            let waiter = {
                let mut locked = lock(&state);
                let Some(waiter) = locked.next() else {
                    locked.free += 1;
                    return;
                };
                waiter
            };
            match waiter.send(Self { state: Some(Arc::clone(&state)) }) {
                Ok(()) => return,
                Err(mut refused) => drop(refused.state.take()),
            }
        }
    }
}

/// A panic elsewhere leaves the counters as they are.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn dry_runs_come_last_and_who_left_is_passed_over() {
        let queue = SolveQueue::new(1, 8);
        let held = queue.acquire(Caller::Request).await.unwrap();
        let mut dry = Box::pin(queue.acquire(Caller::DryRun));
        let mut gone = Box::pin(queue.acquire(Caller::Request));
        let mut wanted = Box::pin(queue.acquire(Caller::Request));
        for waiting in [&mut dry, &mut gone, &mut wanted] {
            assert!(waiting.now_or_never().is_none());
        }
        drop(gone);
        drop(held);
        let second = wanted.now_or_never().unwrap().unwrap();
        assert!((&mut dry).now_or_never().is_none());
        drop(second);
        assert!(dry.now_or_never().unwrap().is_ok());
        assert!(queue.acquire(Caller::Request).now_or_never().unwrap().is_ok(), "the permit came back");
    }

    #[tokio::test]
    async fn a_permit_that_nobody_picks_up_comes_back() {
        let queue = SolveQueue::new(1, 8);
        let held = queue.acquire(Caller::Request).await.unwrap();
        let mut waiting = Box::pin(queue.acquire(Caller::Request));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        drop(waiting);
        assert!(queue.acquire(Caller::Request).now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn requests_are_refused_when_the_queue_is_full_and_loops_are_not() {
        let queue = SolveQueue::new(1, 1);
        let held = queue.acquire(Caller::Request).await.unwrap();
        let mut waiting = Box::pin(queue.acquire(Caller::DryRun));
        assert!((&mut waiting).now_or_never().is_none());
        for caller in [Caller::Request, Caller::DryRun] {
            let refused = queue.acquire(caller).now_or_never().unwrap();
            assert_eq!(refused.unwrap_err(), QueueFull { waiting: 1 });
        }
        let mut tick = Box::pin(queue.acquire(Caller::Loop));
        assert!((&mut tick).now_or_never().is_none());
        drop(held);
        assert!(tick.now_or_never().unwrap().is_ok());
    }
}
