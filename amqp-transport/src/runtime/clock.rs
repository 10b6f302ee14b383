//! The time that engines are told: that of the runtime's timers, so that both stand still together where a test pauses them.

use std::time::Instant;

/// The present moment.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
