//! Jobs handled by async Rust functions.

use std::time::Duration;

use crate::job::Headers;

/// What a handler decides about its job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Done.
    Ack,
    /// Failed: dead-lettered, or back to the queue if the pipeline has `requeue_on_fail`.
    Nack {
        /// Why.
        reason: String,
    },
    /// Failed: back to the queue, after `delay`.
    Retry {
        /// How long it is held back.
        delay: Duration,
        /// Why.
        reason: String,
    },
    /// Again, with these headers over the old ones, after `delay`.
    Requeue {
        /// Headers that replace those of the same name.
        headers: Headers,
        /// How long it is held back.
        delay: Duration,
    },
}
