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
