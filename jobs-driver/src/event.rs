//! What the driver tells whoever watches it.

use std::time::Duration;

/// Something that happened to the driver. Received from [`Driver::events`](crate::Driver::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A connection is open, the first one or a new one.
    Connected {
        /// The broker's address without credentials.
        address: String,
        /// What the broker is.
        broker: crate::BrokerInfo,
        /// Whether there was a connection before.
        again: bool,
    },
    /// The connection was lost, or a new one could not be made.
    ConnectionLost {
        /// What it ended with.
        error: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// A pipeline cannot consume. It is tried again, slowly.
    PipelineFailed {
        /// The pipeline's name.
        pipeline: String,
        /// Why, and what to do.
        error: String,
    },
    /// A pipeline consumes.
    PipelineReady {
        /// The pipeline's name.
        pipeline: String,
    },
    /// A message was no job; it was rejected.
    MessageRejected {
        /// The pipeline's name.
        pipeline: String,
        /// What was wrong with it.
        reason: String,
    },
    /// A job's link was lost before the job was settled: it will run again.
    JobLost {
        /// The pipeline's name.
        pipeline: String,
        /// The job's identifier.
        id: String,
    },
}
