//! End-to-end tests on the test bed.
