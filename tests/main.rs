//! Integration tests: the parts of `smo` against the real databases.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod api;
mod contract;
mod floors;
mod store;
mod support;
mod wait;
