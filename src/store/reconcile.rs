//! Queries of the reconciler over all graphs.

use sqlx::QueryBuilder;

use super::db::{CHUNK, on};
use super::{Result, Store, Tx};

const CARRIED_OUT: &str = "SELECT name, (observed_generation = generation AND desired <> 'deleted') AS carried_out FROM graphs ORDER BY name";

impl Store {
    /// Names of all graphs, sorted, each with whether its newest generation has been carried out.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graphs_carried_out(&self) -> Result<Vec<(String, bool)>> {
        let mut connection = self.db.acquire().await?;
        Ok(on!(connection.conn(), c => sqlx::query_as(CARRIED_OUT).fetch_all(c).await)?)
    }
}

impl Tx {
    /// Names of the graphs with a service on one of these clusters, sorted. A service that was not placed by
    /// a decision may run anywhere, so its graph is one of them.
    ///
    /// # Errors
    /// The database failed.
    pub async fn graphs_on_clusters(&mut self, clusters: &[String]) -> Result<Vec<String>> {
        let mut graphs: Vec<String> = Vec::new();
        for chunk in clusters.chunks(CHUNK) {
            graphs.extend::<Vec<String>>(on!(self.conn(), c => {
                let mut query = QueryBuilder::new(
                    "SELECT DISTINCT graph FROM services WHERE cluster IS NULL OR cluster IN (");
                let mut list = query.separated(", ");
                for cluster in chunk {
                    list.push_bind(cluster);
                }
                query.push(")").build_query_scalar().persistent(false).fetch_all(c).await
            })?);
        }
        graphs.sort();
        graphs.dedup();
        Ok(graphs)
    }
}
