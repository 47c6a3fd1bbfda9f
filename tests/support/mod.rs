//! What integration tests stand on.

pub mod app;
pub mod database;
mod postgres;
mod scratch;
