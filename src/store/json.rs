//! JSON columns that preserve the written text: the order of keys and the form of numbers.
//!
//! `sqlx::types::Json` binds JSONB, which PostgreSQL sorts and rewrites even when the column is plain JSON. A
//! descriptor must come back as it was posted, and the digest of a release's values must not change because
//! they went through the database. On SQLite both are text, so there this is `sqlx`'s own type.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::sqlite::{SqliteArgumentsBuffer, SqliteTypeInfo, SqliteValueRef};
use sqlx::types::Json;
use sqlx::{Decode, Encode, Postgres, Sqlite, Type};

/// PostgreSQL's fixed object id of the type `json`.
const PG_JSON: PgTypeInfo = PgTypeInfo::with_oid(Oid(114));

/// A value kept as JSON text.
#[derive(Debug, Clone)]
pub(super) struct JsonText<T>(pub T);

impl<T> Type<Postgres> for JsonText<T> {
    fn type_info() -> PgTypeInfo {
        PG_JSON
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        *ty == PG_JSON
    }
}

impl<T: Serialize> Encode<'_, Postgres> for JsonText<T> {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        serde_json::to_writer(&mut **buf, &self.0)?;
        Ok(IsNull::No)
    }
}

impl<T: DeserializeOwned> Decode<'_, Postgres> for JsonText<T> {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(serde_json::from_slice(value.as_bytes()?)?))
    }
}

impl<T> Type<Sqlite> for JsonText<T> {
    fn type_info() -> SqliteTypeInfo {
        <Json<T> as Type<Sqlite>>::type_info()
    }

    fn compatible(ty: &SqliteTypeInfo) -> bool {
        <Json<T> as Type<Sqlite>>::compatible(ty)
    }
}

impl<T: Serialize> Encode<'_, Sqlite> for JsonText<T> {
    fn encode_by_ref(&self, buf: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        <Json<&T> as Encode<'_, Sqlite>>::encode(Json(&self.0), buf)
    }
}

impl<T: DeserializeOwned> Decode<'_, Sqlite> for JsonText<T> {
    fn decode(value: SqliteValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(serde_json::from_str(<&str as Decode<'_, Sqlite>>::decode(value)?)?))
    }
}
