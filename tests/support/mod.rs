//! Support for the integration tests.

pub mod app;
pub mod database;
mod postgres;
mod scratch;
