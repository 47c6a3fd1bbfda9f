//! Bulkheads: limits on concurrent Helm operations, so that one hanging registry does not block all others.
//!
//! Removals have their own slots, since deletes must get through while installs wait for a registry. One
//! registry takes at most three quarters of the slots for installing, so that others continue while it hangs;
//! and a registry that repeatedly did not answer is not called for a while. A waiting caller holds no slot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::breaker::Breaker;
use super::{ClientError, ClientErrorKind as Kind, ReleaseSpec, Result};
use crate::config::CallSettings;

/// The kind of slot that a Helm operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot<'a> {
    /// Installing or upgrading a chart from this registry (`host:port`).
    Install(&'a str),
    /// Uninstalling.
    Remove,
}

impl<'a> Slot<'a> {
    /// The slot for installing a release, by the host of its chart's registry (`oci://host:port/path`).
    #[must_use]
    pub fn install(release: &'a ReleaseSpec) -> Self {
        if release.archive.is_some() {
            // Helm asks no registry.
            return Self::Install("");
        }
        let chart = release.chart.as_str();
        let path = chart.strip_prefix("oci://").unwrap_or(chart);
        Self::Install(path.split_once('/').map_or(path, |(host, _)| host))
    }
}

/// Room for Helm operations.
pub struct Bulkheads {
    installs: Arc<Semaphore>,
    removals: Arc<Semaphore>,
    /// Slots for installing that one registry may take.
    share: usize,
    breaker: (u32, Duration),
    registries: Mutex<BTreeMap<String, Registry>>,
}

/// A registry that is in use, or that failed.
struct Registry {
    slots: Arc<Semaphore>,
    breaker: Breaker,
    last_error: Option<String>,
}

/// The right to run one Helm operation, until dropped. Dropped without a recorded result that tells how the
/// registry is, it frees the place of a probe.
pub struct Permit<'a> {
    registry: Option<(&'a Bulkheads, &'a str)>,
    slots: Vec<OwnedSemaphorePermit>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.slots.clear();
        if let Some((bulkheads, host)) = self.registry {
            bulkheads.with(host, |registry| registry.breaker.abandoned(Instant::now()));
            bulkheads.forget_the_healthy();
        }
    }
}

impl Bulkheads {
    /// Slots for this many concurrent installs and removals; at least one each.
    #[must_use]
    pub fn new(installs: usize, removals: usize, calls: &CallSettings) -> Self {
        let slots = |count: usize| Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            installs: slots(installs),
            removals: slots(removals),
            share: (installs / 4 * 3 + installs % 4 * 3 / 4).max(1),
            breaker: (calls.breaker_threshold, calls.breaker_open),
            registries: Mutex::default(),
        }
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// `CircuitOpen` while the registry is not called.
    pub async fn acquire<'a>(&'a self, slot: Slot<'a>) -> Result<Permit<'a>> {
        let Slot::Install(host) = slot else {
            return Ok(Permit { registry: None, slots: acquired(Arc::clone(&self.removals)).await });
        };
        let of_host = self.with(host, |registry| Arc::clone(&registry.slots));
        // First the share and then a slot, so that who waits for a registry holds no slot meanwhile.
        let mut slots = acquired(of_host).await;
        slots.extend(acquired(Arc::clone(&self.installs)).await);
        self.with(host, |registry| {
            let last = registry.last_error.as_deref().unwrap_or_default();
            registry.breaker.admit(Instant::now()).map_err(|wait| left_alone(host, wait, last))
        })?;
        Ok(Permit { registry: Some((self, host)), slots })
    }

    /// Records the result of an operation for the health of its registry, while its permit is held. One that
    /// did not get as far as the registry says nothing about it.
    pub fn record<T>(&self, slot: Slot<'_>, answer: &Result<T>) {
        let Slot::Install(host) = slot else { return };
        match answer {
            Err(error)
                if error.system == "registry" && matches!(error.kind, Kind::Unreachable | Kind::Timeout) =>
            {
                self.with(host, |registry| {
                    registry.breaker.failure(Instant::now());
                    registry.last_error = Some(error.message.clone());
                });
            }
            Err(error) if error.system != "registry" => {}
            // The chart was delivered, or the registry answered with an error.
            _ => self.with(host, |registry| {
                registry.breaker.success();
                registry.last_error = None;
            }),
        }
    }

    /// Registries are named by descriptors: those of which there is nothing to remember are forgotten.
    fn forget_the_healthy(&self) {
        self.lock()
            .retain(|_, registry| registry.last_error.is_some() || Arc::strong_count(&registry.slots) > 1);
    }

    fn with<R>(&self, host: &str, change: impl FnOnce(&mut Registry) -> R) -> R {
        let mut registries = self.lock();
        change(registries.entry(host.to_owned()).or_insert_with(|| Registry {
            slots: Arc::new(Semaphore::new(self.share)),
            breaker: Breaker::new(self.breaker.0, self.breaker.1),
            last_error: None,
        }))
    }

    /// Each change is of single fields: after a panic elsewhere the state is as good as before.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Registry>> {
        self.registries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit. The semaphores are never closed; should one be, its operation simply runs without.
async fn acquired(slots: Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    slots.acquire_owned().await.into_iter().collect()
}

fn left_alone(host: &str, wait: Duration, last: &str) -> ClientError {
    let message =
        format!("registry {host} failed repeatedly and is left alone for a while; last error: {last}");
    let mut error = ClientError::new("registry", Kind::CircuitOpen, message);
    error.retry_after = Some(wait);
    error
}

#[cfg(test)]
mod tests {
    use crate::clients::{ChartArchive, ReleaseKey};
    use futures::FutureExt;

    use super::*;

    fn bulkheads(installs: usize, removals: usize) -> Bulkheads {
        let settings = CallSettings { breaker_threshold: 2, ..CallSettings::default() };
        Bulkheads::new(installs, removals, &settings)
    }

    /// Takes as many slots as there are without waiting.
    fn take_all<'a>(bulkheads: &'a Bulkheads, slot: Slot<'a>) -> Vec<Permit<'a>> {
        std::iter::from_fn(|| bulkheads.acquire(slot).now_or_never()?.ok()).collect()
    }

    fn hangs(host: &str) -> Result<()> {
        Err(ClientError::new("registry", Kind::Timeout, format!("{host} hangs")))
    }

    #[test]
    fn the_registry_is_the_host_of_the_chart() {
        let archive = ChartArchive { digest: String::new(), archive: bytes::Bytes::new() };
        for (chart, archive, host) in [
            ("oci://h:5000/p/c:1.0", None, "h:5000"),
            ("oci://h", None, "h"),
            ("https://h/c.tgz", Some(archive), ""),
        ] {
            let key = ReleaseKey { namespace: "n".into(), name: "r".into() };
            let (owner, digest, values) = (String::new(), String::new(), serde_json::Value::Null);
            let release = ReleaseSpec { key, chart: chart.into(), archive, values, owner, digest };
            assert_eq!(Slot::install(&release), Slot::Install(host));
        }
    }

    #[tokio::test]
    async fn a_registry_that_hangs_leaves_room_for_others_and_for_removals() {
        let bulkheads = bulkheads(8, 2);
        let hanging = take_all(&bulkheads, Slot::Install("slow"));
        assert_eq!(hanging.len(), 6);
        assert_eq!(take_all(&bulkheads, Slot::Install("other")).len(), 2);
        assert_eq!(take_all(&bulkheads, Slot::Remove).len(), 2);
        drop(hanging);
        assert_eq!(take_all(&bulkheads, Slot::Install("slow")).len(), 6);
    }

    #[tokio::test]
    async fn one_slot_serves_every_registry() {
        let bulkheads = bulkheads(1, 1);
        assert_eq!(take_all(&bulkheads, Slot::Install("a")).len(), 1);
        let held = bulkheads.acquire(Slot::Install("a")).await.unwrap();
        assert!(bulkheads.acquire(Slot::Install("b")).now_or_never().is_none());
        drop(held);
        bulkheads.acquire(Slot::Install("b")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_registry_has_a_breaker_of_its_own() {
        let bulkheads = bulkheads(8, 2);
        for _ in 0..2 {
            let _permit = bulkheads.acquire(Slot::Install("slow")).await.unwrap();
            bulkheads.record(Slot::Install("slow"), &hangs("slow"));
            // Nobody asked the registry.
            let superseded = ClientError::new("helm", Kind::Conflict, "it belongs to another graph");
            bulkheads.record::<()>(Slot::Install("slow"), &Err(superseded));
        }
        let refused = bulkheads.acquire(Slot::Install("slow")).await.err().unwrap();
        assert_eq!((refused.system, refused.kind), ("registry", Kind::CircuitOpen));
        assert!(
            refused.message.contains("registry slow") && refused.message.contains("slow hangs"),
            "{refused}"
        );
        bulkheads.acquire(Slot::Install("other")).await.unwrap();
        bulkheads.acquire(Slot::Remove).await.unwrap();

        tokio::time::advance(refused.retry_after.unwrap()).await;
        drop(bulkheads.acquire(Slot::Install("slow")).await.unwrap());
        let probe = bulkheads.acquire(Slot::Install("slow")).await.unwrap();
        let second = bulkheads.acquire(Slot::Install("slow")).await.err().unwrap();
        assert_eq!(second.kind, Kind::CircuitOpen, "one call is let through");
        drop(probe);
        let _probe = bulkheads.acquire(Slot::Install("slow")).await.unwrap();
        bulkheads.record(Slot::Install("slow"), &Ok(()));
        bulkheads.record(Slot::Install("slow"), &hangs("slow"));
        bulkheads.acquire(Slot::Install("slow")).await.unwrap();
    }

    #[tokio::test]
    async fn registries_that_work_are_not_remembered() {
        let bulkheads = bulkheads(8, 2);
        for host in 0..100 {
            let host = format!("registry-{host}");
            let _permit = bulkheads.acquire(Slot::Install(&host)).await.unwrap();
            bulkheads.record(Slot::Install(&host), &Ok(()));
        }
        assert_eq!(bulkheads.lock().len(), 0);
    }
}
