//! Parsing of descriptors on threads of their own: few at a time, and a bounded number of waiting requests.
//!
//! The longest descriptor takes most of a second, in which a thread of the runtime would serve nobody else. A permit is
//! held until the *thread* has ended, whether or not the caller is still there.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Most requests that wait; each holds the text of its descriptor.
const MAX_WAITING: usize = 64;
/// When a client may ask again that was refused because too many wait.
const RETRY_BUSY: Duration = Duration::from_secs(1);

/// The threads that parse. Cheap to clone.
#[derive(Clone)]
pub(super) struct Parsing {
    /// One for each who parses or waits.
    places: Arc<Semaphore>,
    /// One for each who parses.
    permits: Arc<Semaphore>,
    waiting: usize,
}

impl Parsing {
    /// As many at a time as there are cores.
    pub(super) fn on_all_cores() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from), MAX_WAITING)
    }

    fn new(parallel: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(parallel + waiting)),
            permits: Arc::new(Semaphore::new(parallel)),
            waiting,
        }
    }

    /// Does the work on the blocking pool once there is a permit.
    ///
    /// # Errors
    /// Too many wait already; the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let busy = |_| Error::Busy { waiting: self.waiting, retry_after: RETRY_BUSY };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(busy)?;
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|error| Error::Internal(error.into()))?;
        let work = move || {
            let _held = (place, permit);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_runtime_goes_on_while_a_descriptor_is_parsed() {
        let (sender, receiver) = mpsc::channel();
        let parsing = Parsing::new(1, 0);
        let parsed = tokio::spawn(async move { parsing.run(move || receiver.recv().unwrap()).await });
        // The only thread of this runtime would never come here if it parsed.
        tokio::task::yield_now().await;
        sender.send("done").unwrap();
        assert_eq!(parsed.await.unwrap().unwrap(), "done");
    }

    #[tokio::test]
    async fn who_finds_too_many_waiting_is_told_to_come_back() {
        let parsing = Parsing::new(1, 1);
        let (end, ended) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let parsing = parsing.clone();
            async move { parsing.run(move || ended.recv().unwrap()).await }
        });
        let second = tokio::spawn({
            let parsing = parsing.clone();
            async move { parsing.run(|| 2).await }
        });
        while parsing.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(parsing.run(|| 3).await, Err(Error::Busy { waiting: 1, .. })));
        assert!(!second.is_finished());
        end.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap().unwrap(), 2);
        assert_eq!(parsing.run(|| 3).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_caller_who_leaves_keeps_the_permit_until_the_thread_ends() {
        let parsing = Parsing::new(1, 0);
        let (end, ended) = mpsc::channel::<()>();
        let (has_begun, begun) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let parsing = parsing.clone();
            async move {
                let work = move || {
                    has_begun.send(()).unwrap();
                    ended.recv().unwrap();
                };
                parsing.run(work).await
            }
        });
        begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        assert!(matches!(parsing.run(|| ()).await, Err(Error::Busy { .. })));
        end.send(()).unwrap();
        while parsing.places.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        parsing.run(|| ()).await.unwrap();
    }
}
