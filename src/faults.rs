//! Fault injection: numbered steps at which a test may fail a call, hang it, or kill the whole process.
//!
//! A step is a point just before or just after a change of another system or the database. Steps are numbered
//! from 1 in the order in which this process reaches them, so that a test of crash safety can kill the
//! process at each step in turn. Reads are no steps: repeating them is harmless.
//!
//! This module knows nothing of ports or calls, so that the store can name its commits here, too.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Signal, getpid, kill_process};

/// On which side of the change a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been done yet.
    Before,
    /// The change is done, but not reported to anyone.
    After,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// One step that was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number in the order of this process, from 1.
    pub number: u64,
    /// The change, such as `helm.apply` or `store.commit create`.
    pub name: String,
    /// On which side of it.
    pub phase: Phase,
}

/// Effect of a hook on a call.
#[derive(Debug, Clone)]
pub enum FaultAction {
    /// The step fails, with this message.
    Fail(String),
    /// The step never returns; a deadline around it has to end it.
    Hang,
}

/// The failure of a step that a test asked for. Callers treat it as transient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InjectedFault(pub String);

type Hook = dyn Fn(&Step) -> Option<FaultAction> + Send + Sync;

/// The faults of one server. Clones share the numbering.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

struct Inner {
    reached: AtomicU64,
    mode: Mode,
}

enum Mode {
    None,
    KillAt(u64),
    Hook(Box<Hook>),
}

impl Faults {
    /// No faults; steps are still numbered, to be seen in the debug log.
    #[must_use]
    pub fn none() -> Self {
        Self::with(Mode::None)
    }

    /// Kills this process with SIGKILL at the `n`-th step.
    #[must_use]
    pub fn kill_at(n: u64) -> Self {
        Self::with(Mode::KillAt(n))
    }

    /// Asks `hook` at every step.
    #[must_use]
    pub fn hook(hook: impl Fn(&Step) -> Option<FaultAction> + Send + Sync + 'static) -> Self {
        Self::with(Mode::Hook(Box::new(hook)))
    }

    fn with(mode: Mode) -> Self {
        Self(Arc::new(Inner { reached: AtomicU64::new(0), mode }))
    }

    /// How many steps were reached so far.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.0.reached.load(Ordering::SeqCst)
    }

    /// Marks a step.
    ///
    /// # Errors
    /// The failure that the hook asks for. Does not return at all when the hook hangs it or the
    /// process is to be killed here.
    pub async fn step(&self, name: &str, phase: Phase) -> Result<(), InjectedFault> {
        let number = self.0.reached.fetch_add(1, Ordering::SeqCst) + 1;
        tracing::debug!(number, name, %phase, "step {number} {phase} {name}");
        match &self.0.mode {
            Mode::None => Ok(()),
            Mode::KillAt(at) if *at == number => kill_self(number, name, phase),
            Mode::KillAt(_) => Ok(()),
            Mode::Hook(hook) => match hook(&Step { number, name: name.to_owned(), phase }) {
                None => Ok(()),
                Some(FaultAction::Fail(message)) => Err(InjectedFault(message)),
                Some(FaultAction::Hang) => std::future::pending().await,
            },
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.0.mode {
            Mode::None => "none".to_owned(),
            Mode::KillAt(at) => format!("kill at {at}"),
            Mode::Hook(_) => "hook".to_owned(),
        };
        f.debug_struct("Faults").field("mode", &mode).field("reached", &self.reached()).finish()
    }
}

/// SIGKILL, so that no destructor, signal handler or buffered write softens the crash.
fn kill_self(number: u64, name: &str, phase: Phase) -> ! {
    // The process ends: an error of this write has no receiver.
    let _ = writeln!(std::io::stderr(), "kill point {number}: {phase} {name}");
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn steps_are_numbered_in_the_order_they_are_reached_and_clones_share_the_numbering() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let faults = Faults::hook(move |step| {
            log.lock().unwrap().push(format!("{} {} {}", step.number, step.phase, step.name));
            None
        });
        faults.step("helm.apply", Phase::Before).await.unwrap();
        faults.clone().step("helm.apply", Phase::After).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["1 before helm.apply", "2 after helm.apply"]);
        assert_eq!(faults.reached(), 2);
    }

    #[tokio::test]
    async fn a_hook_fails_exactly_the_step_it_chooses() {
        let faults =
            Faults::hook(move |step| (step.number == 2).then(|| FaultAction::Fail("injected".to_owned())));
        assert_eq!(faults.step("a", Phase::Before).await, Ok(()));
        assert_eq!(faults.step("b", Phase::Before).await, Err(InjectedFault("injected".to_owned())));
        assert_eq!(faults.step("c", Phase::Before).await, Ok(()));
    }

    #[tokio::test]
    async fn kill_at_lets_other_steps_pass() {
        let faults = Faults::kill_at(3);
        assert_eq!(faults.step("a", Phase::Before).await, Ok(()));
        assert_eq!(faults.step("a", Phase::After).await, Ok(()));
        assert_eq!(faults.reached(), 2);
    }
}
