//! End-to-end tests: the real `smo` binary against the real systems of the test bed.
//!
//! Run by `make e2e`, which starts the test bed and exports where its parts are. `E2E_HELM` (3 or 4) and
//! `E2E_DATABASE` (sqlite or postgres) choose the variant. The tests share one test bed and names that charts
//! fix for a whole cluster, so they take turns: each holds [`bed::Bed`] while it runs.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only the test functions themselves"
)]

mod alerts;
mod any_chart;
mod bed;
mod belief;
mod brussels;
mod charts;
mod contract;
mod counted;
mod failures;
mod kills;
mod leftovers;
mod placement;
mod repositories;
mod room;
mod scaling;
mod server;
#[path = "../wait.rs"]
mod wait;
mod workloads;
