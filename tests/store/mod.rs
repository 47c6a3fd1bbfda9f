//! The store, every test on both engines.

// A test that is missing in its module's list would run nowhere.
#![deny(dead_code)]

mod clusters;
mod connect;
mod decisions;
mod events;
mod graphs;
mod instance;
mod ledger;
mod profiles;
mod records;
mod scaling;
mod services;
mod transactions;
