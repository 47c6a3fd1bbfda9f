//! Archives of charts that are not in a registry, by their digests.

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::db::{micros, on};
use super::{Result, Store};

const INSERT: &str = "INSERT INTO charts (digest, archive, fetched_at) VALUES ($1, $2, $3)
    ON CONFLICT (digest) DO UPDATE SET fetched_at = excluded.fetched_at";
const GET: &str = "SELECT archive FROM charts WHERE digest = $1";
const REMOVE: &str = "DELETE FROM charts WHERE fetched_at < $1
    AND NOT EXISTS (SELECT 1 FROM services WHERE services.chart_digest = charts.digest)";

impl Store {
    /// Keeps an archive, which was fetched at `at`.
    ///
    /// # Errors
    /// The database failed.
    pub async fn keep_chart(&self, digest: &str, archive: &Bytes, at: DateTime<Utc>) -> Result<()> {
        let mut tx = self.begin().await?;
        on!(tx.conn(), c => sqlx::query(INSERT)
            .bind(digest)
            .bind(archive.as_ref())
            .bind(micros(at))
            .execute(c).await.map(drop))?;
        tx.commit_unnumbered().await
    }

    /// The archive of that digest, if it is kept.
    ///
    /// # Errors
    /// The database failed.
    pub async fn chart(&self, digest: &str) -> Result<Option<Bytes>> {
        let mut connection = self.db.acquire().await?;
        let archive: Option<Vec<u8>> =
            on!(connection.conn(), c => sqlx::query_scalar(GET).bind(digest).fetch_optional(c).await)?;
        Ok(archive.map(Bytes::from))
    }

    /// Removes the archives that no service has and that were fetched before a time; returns how many.
    ///
    /// # Errors
    /// The database failed.
    pub async fn remove_unused_charts(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.begin().await?;
        let removed =
            on!(tx.conn(), c => sqlx::query(REMOVE).bind(micros(before)).execute(c).await?.rows_affected());
        tx.commit_unnumbered().await?;
        Ok(removed)
    }
}
