//! Cluster attributes set by users: prices, regions, trust and so on. Kept by name, whether or not Karmada
//! knows it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::db::{Tx, micros, on};
use super::json::JsonText;
use super::{Result, Store};
use crate::optimizer::ClusterAttributes;

const LIST: &str = "SELECT cluster, attributes FROM cluster_attributes";
const PUT: &str = "INSERT INTO cluster_attributes (cluster, attributes, updated_at) VALUES ($1, $2, $3)
    ON CONFLICT (cluster) DO UPDATE SET attributes = excluded.attributes, updated_at = excluded.updated_at";
const DELETE: &str = "DELETE FROM cluster_attributes WHERE cluster = $1";

impl Store {
    /// The attributes set for clusters, by name.
    ///
    /// # Errors
    /// The database failed.
    pub async fn cluster_attributes(&self) -> Result<BTreeMap<String, ClusterAttributes>> {
        let mut connection = self.db.acquire().await?;
        let rows: Vec<(String, JsonText<ClusterAttributes>)> =
            on!(connection.conn(), c => sqlx::query_as(LIST).fetch_all(c).await)?;
        Ok(rows.into_iter().map(|(cluster, attributes)| (cluster, attributes.0)).collect())
    }
}

impl Tx {
    /// Replaces the attributes set for a cluster.
    ///
    /// # Errors
    /// The database failed.
    pub async fn put_cluster_attributes(
        &mut self,
        cluster: &str,
        attributes: &ClusterAttributes,
        at: DateTime<Utc>,
    ) -> Result<()> {
        on!(self.conn(), c => sqlx::query(PUT)
            .bind(cluster)
            .bind(JsonText(attributes))
            .bind(micros(at))
            .execute(c).await.map(drop))?;
        Ok(())
    }

    /// Deletes the attributes set for a cluster; `false` when there were none.
    ///
    /// # Errors
    /// The database failed.
    pub async fn delete_cluster_attributes(&mut self, cluster: &str) -> Result<bool> {
        let deleted =
            on!(self.conn(), c => sqlx::query(DELETE).bind(cluster).execute(c).await?.rows_affected());
        Ok(deleted == 1)
    }
}
