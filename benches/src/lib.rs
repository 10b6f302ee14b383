//! What the benchmark programs share: the work to be measured, how it is measured, how it is shown.
//!
//! They print figures and assert no times. Every implementation gets the same work in the same run; before anything is
//! measured, each has to read what the others wrote.

pub mod codec;
pub mod jobs;
pub mod machine;
pub mod measure;
pub mod show;
pub mod transport;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::time::Duration;

/// Whatever went wrong, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Result of the programs.
pub type Result<T> = std::result::Result<T, Error>;

/// Processor time of this process so far, user and system.
#[must_use]
pub fn processor_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return f64::NAN };
    let used = usage.user_time() + usage.system_time();
    Duration::from_micros(used.num_microseconds().unsigned_abs()).as_secs_f64()
}
