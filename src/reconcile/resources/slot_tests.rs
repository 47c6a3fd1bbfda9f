//! Whether a release is wanted is asked again once Helm has a slot for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::release;
use crate::clients::{Calls, ClientErrorKind, Outside, ReleaseKey, ReleaseSpec, Result};
use crate::config::{CallSettings, HelmSettings};
use crate::faults::Faults;
use crate::simulation::{Continuum, Operation, World};

const NAMESPACE: &str = "project";
const OWNER: &str = "g-1";

/// A world with one slot of each kind, and a change of mind.
struct Bed {
    world: World,
    outside: Outside,
    taken: Notify,
    free: Notify,
    wanted: AtomicBool,
}

impl Bed {
    fn new() -> Self {
        let world = World::new(Continuum::built_in().unwrap(), 1);
        let helm = HelmSettings { parallel: 1, parallel_removals: 1, ..HelmSettings::default() };
        let calls = Calls::new(&CallSettings::default(), &helm, Faults::none());
        let outside = Outside::new(world.ports(), calls, Duration::from_secs(300));
        let (taken, free, wanted) = (Notify::new(), Notify::new(), AtomicBool::new(true));
        Self { world, outside, taken, free, wanted }
    }

    /// Holds a slot until the change of mind.
    async fn hold(&self) -> bool {
        self.taken.notify_one();
        self.free.notified().await;
        true
    }

    async fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Lets `waiting` ask for the slot that `busy` holds, and then changes the mind about it.
    async fn change_of_mind(
        &self,
        busy: impl Future<Output = Result<()>>,
        waiting: impl Future<Output = Result<()>>,
    ) {
        let overtaken = async {
            self.taken.notified().await;
            let decide = async {
                self.wanted.store(false, Ordering::SeqCst);
                self.free.notify_one();
            };
            tokio::join!(waiting, decide).0
        };
        let (done, superseded) = tokio::join!(busy, overtaken);
        assert_eq!(done, Ok(()));
        assert_eq!(superseded.unwrap_err().kind, ClientErrorKind::Superseded);
    }
}

fn spec(name: &str) -> ReleaseSpec {
    ReleaseSpec {
        key: ReleaseKey { namespace: NAMESPACE.to_owned(), name: name.to_owned() },
        chart: format!("oci://registry.example/demo/{name}"),
        archive: None,
        values: serde_json::json!({}),
        owner: OWNER.to_owned(),
        digest: "0".to_owned(),
    }
}

#[tokio::test]
async fn what_ceases_to_be_wanted_while_helm_is_busy_is_not_installed() {
    let (bed, a, b) = (Bed::new(), spec("a"), spec("b"));
    let busy = release::apply(&bed.outside, &a, || bed.hold());
    bed.change_of_mind(busy, release::apply(&bed.outside, &b, || bed.is_wanted())).await;
    assert_eq!(bed.world.calls(Operation::ApplyRelease), 1);
    assert_eq!(bed.world.revision(NAMESPACE, "b"), None);
}

#[tokio::test]
async fn what_is_wanted_again_while_helm_is_busy_is_not_removed() {
    let (bed, a, b) = (Bed::new(), spec("a"), spec("b"));
    for spec in [&a, &b] {
        bed.world.ports().releases.apply(spec).await.unwrap();
    }
    let busy = release::remove(&bed.outside, &a.key, OWNER, || bed.hold());
    bed.change_of_mind(busy, release::remove(&bed.outside, &b.key, OWNER, || bed.is_wanted())).await;
    assert_eq!(bed.world.calls(Operation::UninstallRelease), 1);
    let left = ["a", "b"].map(|name| bed.world.revision(NAMESPACE, name));
    assert_eq!(left, [None, Some(1)]);
}
