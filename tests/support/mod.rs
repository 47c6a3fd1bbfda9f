//! What integration tests stand on.

pub mod database;
mod postgres;
mod scratch;
