//! The id of this installation, which marks its objects in systems that it shares with others.

use uuid::Uuid;

use super::db::{micros, on};
use super::{Result, Store};
use crate::model::now;

const ADD: &str =
    "INSERT INTO installation (id, name, created_at) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING";
const GET: &str = "SELECT name FROM installation";

impl Store {
    /// The installation's id: a UUID that is made at the first call and kept for good.
    ///
    /// # Errors
    /// The database failed.
    pub async fn installation(&self) -> Result<String> {
        let mut tx = self.begin().await?;
        on!(tx.conn(), c => sqlx::query(ADD)
            .bind(Uuid::now_v7().to_string())
            .bind(micros(now()))
            .execute(c).await.map(drop))?;
        let name: String = on!(tx.conn(), c => sqlx::query_scalar(GET).fetch_one(c).await)?;
        tx.commit_unnumbered().await?;
        Ok(name)
    }
}
