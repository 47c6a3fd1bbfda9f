//! Scaling profiles of services, by the service's name in any graph.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::db::{Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::model::ProfileRecord;

const LIST: &str = "SELECT * FROM profiles ORDER BY service";
const PUT: &str = "INSERT INTO profiles (service, profile, updated_at) VALUES ($1, $2, $3)
    ON CONFLICT (service) DO UPDATE SET profile = excluded.profile, updated_at = excluded.updated_at";
const DELETE: &str = "DELETE FROM profiles WHERE service = $1";

#[derive(sqlx::FromRow)]
struct ProfileRow {
    service: String,
    profile: JsonText<Value>,
    updated_at: DateTime<Utc>,
}

impl From<ProfileRow> for ProfileRecord {
    fn from(row: ProfileRow) -> Self {
        Self { service: row.service, profile: row.profile.0, updated_at: row.updated_at }
    }
}

impl Store {
    /// All profiles, sorted by service byte by byte.
    ///
    /// # Errors
    /// The database failed.
    pub async fn profiles(&self) -> Result<Vec<ProfileRecord>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<ProfileRow> = on!(connection.conn(), c => sqlx::query_as(LIST).fetch_all(c).await)?;
        Ok(rows.into_iter().map(ProfileRecord::from).collect())
    }
}

impl Tx {
    /// Replaces the profile of a service.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_profile(&mut self, service: &str, profile: &Value, at: DateTime<Utc>) -> Result<()> {
        on!(self.conn(), c => sqlx::query(PUT)
            .bind(service)
            .bind(JsonText(profile))
            .bind(micros(at))
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Removes the profile of a service; `false` when there was none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_profile(&mut self, service: &str) -> Result<bool> {
        let deleted =
            on!(self.conn(), c => sqlx::query(DELETE).bind(service).execute(c).await?.rows_affected());
        Ok(deleted == 1)
    }
}
