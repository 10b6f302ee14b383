//! The built program as people run it: its output, its exit codes, its behaviour under signals.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in the functions that tests share"
)]

mod demo;
mod mistakes;
mod serve;
mod support;
