//! Charts that are not in a registry. Repositories over HTTP replace and remove versions, so the archive that was first
//! installed is kept in the database.

use tokio::sync::OwnedSemaphorePermit;

use crate::clients::{ChartArchive, ClientError, ClientErrorKind, Outside};
use crate::model::{ServiceRecord, now};
use crate::store::{Store, StoreError};

/// An archive, with the right to hold it.
pub(super) struct HeldArchive {
    pub(super) archive: ChartArchive,
    _slot: OwnedSemaphorePermit,
}

/// The archive of a service's chart: as it was when the chart was first rendered, else as its origin has it now. `None`
/// for a chart in a registry, which Helm reads by its digest, and without a service.
///
/// # Errors
/// Those of [`Outside::fetch_chart`]; `Conflict` when the archive was lost and its origin has another one now.
pub(super) async fn archive_of(
    store: &Store,
    outside: &Outside,
    service: Option<&ServiceRecord>,
) -> Result<Option<HeldArchive>, ClientError> {
    let Some(service) = service.filter(|service| !service.chart.starts_with("oci://")) else {
        return Ok(None);
    };
    let slot = outside.archive_slot().await?;
    let held = |archive| Ok(Some(HeldArchive { archive, _slot: slot }));
    let pinned = service.chart_digest();
    if let Some(digest) = pinned
        && let Some(archive) = store.chart(digest).await.map_err(not_stored)?
    {
        return held(ChartArchive { digest: digest.to_owned(), archive });
    }
    let fetched = outside.fetch_chart(&service.chart).await?;
    if let Some(pinned) = pinned.filter(|pinned| *pinned != fetched.digest) {
        let (chart, now) = (&service.chart, &fetched.digest);
        let message =
            format!("{chart} is {now} now, and {pinned}, which was installed, is not kept any more");
        return Err(ClientError::new("repository", ClientErrorKind::Conflict, message));
    }
    store.keep_chart(&fetched.digest, &fetched.archive, now()).await.map_err(not_stored)?;
    held(fetched)
}

fn not_stored(error: StoreError) -> ClientError {
    ClientError::new("database", ClientErrorKind::Failed, format!("cannot use the kept charts: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Calls;
    use crate::config::Settings;
    use crate::faults::Faults;
    use crate::model::{Manifest, testing};
    use crate::simulation::{Continuum, Operation, World};

    const CHART: &str = "https://charts.example/stable#plain:~1.2";

    fn installed(digest: &str) -> ServiceRecord {
        let manifest = Manifest {
            source: String::new(),
            chart: CHART.to_owned(),
            chart_digest: Some(digest.to_owned()),
            objects: Vec::new(),
        };
        ServiceRecord { chart: CHART.to_owned(), manifest: Some(manifest), ..testing::service("a") }
    }

    #[tokio::test]
    async fn a_lost_archive_is_fetched_again_unless_its_origin_has_another_one_now() {
        let store = Store::connect("sqlite::memory:").await.unwrap();
        store.migrate().await.unwrap();
        let world = World::new(Continuum::built_in().unwrap(), 1);
        let settings = Settings::default();
        let calls = Calls::new(&settings.calls, &settings.helm, Faults::none());
        let outside = Outside::new(world.ports(), calls, settings.stale_after);
        let first = outside.fetch_chart(CHART).await.unwrap();
        let service = installed(&first.digest);

        let again = archive_of(&store, &outside, Some(&service)).await.unwrap().unwrap();
        assert_eq!(again.archive.archive, first.archive, "the origin still has it");
        drop(again);
        world.publish_again();
        let kept = archive_of(&store, &outside, Some(&service)).await.unwrap().unwrap();
        assert_eq!((&kept.archive.archive, world.calls(Operation::FetchChart)), (&first.archive, 2));
        drop(kept);

        let lost = installed("sha256:0000");
        let Err(error) = archive_of(&store, &outside, Some(&lost)).await else { panic!("it is lost") };
        assert_eq!(error.kind, ClientErrorKind::Conflict);
        assert!(error.to_string().contains("sha256:0000, which was installed"), "{error}");
    }
}
