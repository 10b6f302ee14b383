//! What can go wrong, by what the caller asked for: to run the driver, to push a job, to settle one.

use std::time::Duration;

use crate::config::ConfigError;

/// Starting the driver or steering a pipeline failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The first connection failed.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// The broker's address without credentials.
        address: String,
        /// What went wrong and what to do.
        reason: String,
        /// Whether trying again later can help.
        retryable: bool,
    },
    /// There is no such pipeline.
    #[error("no such pipeline, requested: {name} ({known})")]
    UnknownPipeline {
        /// The name that was asked for.
        name: String,
        /// Which pipelines there are.
        known: String,
    },
    /// The broker refuses what the pipeline needs.
    #[error("pipeline {pipeline}: {reason}")]
    Pipeline {
        /// The pipeline's name.
        pipeline: String,
        /// What the broker said and what to do.
        reason: String,
    },
    /// The pipeline is not in a state in which this can be done.
    #[error("pipeline {pipeline}: {reason}")]
    State {
        /// The pipeline's name.
        pipeline: String,
        /// Why not.
        reason: String,
    },
    /// The broker cannot do this over AMQP 1.0.
    #[error("pipeline {pipeline}: {reason}")]
    Unsupported {
        /// The pipeline's name.
        pipeline: String,
        /// What cannot be done, and what can.
        reason: String,
    },
    /// It took longer than `jobs.timeout`.
    #[error("pipeline {pipeline}: no answer within {}; {reason}", seconds(*after))]
    Timeout {
        /// The pipeline's name.
        pipeline: String,
        /// How long it was waited.
        after: Duration,
        /// What was waited for.
        reason: String,
    },
    /// The driver has been shut down.
    #[error("the driver has been shut down")]
    Closed,
}

impl DriverError {
    /// Whether the same call can succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { retryable, .. } => *retryable,
            Self::Timeout { .. } => true,
            _ => false,
        }
    }
}

/// A job was not pushed, or it is not known that it was.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// There is no such pipeline.
    #[error("no such pipeline, requested: {name} ({known})")]
    UnknownPipeline {
        /// The name that was asked for.
        name: String,
        /// Which pipelines there are.
        known: String,
    },
    /// The job cannot be written in the pipeline's form, or breaks a limit.
    #[error("pipeline {pipeline}: the job cannot be sent: {reason}")]
    InvalidJob {
        /// The pipeline's name.
        pipeline: String,
        /// Why not.
        reason: String,
    },
    /// The broker did not take the message: nothing was stored.
    #[error("pipeline {pipeline}: the broker answered {outcome} for {target}")]
    NotAccepted {
        /// The pipeline's name.
        pipeline: String,
        /// Where the job was sent.
        target: String,
        /// `released`, `rejected: …` or `modified`, with what it means.
        outcome: String,
    },
    /// The target cannot be published to.
    #[error("pipeline {pipeline}: {reason}")]
    Target {
        /// The pipeline's name.
        pipeline: String,
        /// What the broker said and what to do.
        reason: String,
    },
    /// The job wants a delay that the broker cannot make.
    #[error("pipeline {pipeline}: {reason}")]
    Delay {
        /// The pipeline's name.
        pipeline: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// It took longer than `jobs.timeout`. The job may have been stored all the same.
    #[error("pipeline {pipeline}: not confirmed within {}; {reason}", seconds(*after))]
    Timeout {
        /// The pipeline's name.
        pipeline: String,
        /// How long it was waited.
        after: Duration,
        /// What was waited for.
        reason: String,
    },
    /// The driver has been shut down.
    #[error("the driver has been shut down")]
    Closed,
}

impl PushError {
    /// Whether pushing the same job later can succeed without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::NotAccepted { .. } | Self::Timeout { .. })
    }
}

/// The end of a job could not be told to the broker, which will hand the job out again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// The link that the job came over is gone.
    #[error("the job's link to the broker is gone, the job will run again: {reason}")]
    Gone {
        /// What the link ended with.
        reason: String,
    },
    /// The changed job could not be published; the original goes back to the queue as it was, after a pause.
    #[error("requeue failed, the job goes back to the queue unchanged: {source}")]
    Requeue {
        /// Why the publication failed.
        #[source]
        source: Box<PushError>,
    },
    /// The changed job could not be published, and there is no original any more: the job was settled before it ran.
    #[error("requeue failed, and the job is lost, for it was settled before it ran (auto_ack): {source}")]
    Lost {
        /// Why the publication failed.
        #[source]
        source: Box<PushError>,
    },
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
