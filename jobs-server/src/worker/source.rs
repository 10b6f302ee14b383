//! Where the pool's jobs come from, and what can become of them. The pool knows no broker: it takes a [`Task`] from a
//! [`Source`] and ends it with a [`Verdict`].

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

/// The longest that a job may be held back: ten years. Whoever asks for more has made a mistake, and times that far
/// away cannot be told to every broker.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What becomes of a job. No delay is longer than [`MAX_DELAY`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Done.
    Ack,
    /// Failed; the pipeline's own rule decides whether it is tried again.
    Fail { reason: String },
    /// Failed, and the worker says what should happen: tried again after `delay`, or not.
    Nack { requeue: bool, delay: Duration, reason: String },
    /// To be tried again with these headers over its own ones, after `delay`.
    Requeue { headers: BTreeMap<String, Vec<String>>, delay: Duration },
    /// Nothing is known about its outcome (the worker died, the server stops): back to the broker.
    Return { reason: String },
}

/// One job, taken and not yet settled. Dropping it must give it back.
pub(crate) trait Task: Send + 'static {
    /// For logs.
    fn id(&self) -> &str;

    /// The JSON that the worker reads first: `id`, `job`, `driver`, `queue`, `headers`, `pipeline`.
    fn context(&self) -> Vec<u8>;

    /// The payload, byte for byte.
    fn body(&self) -> Bytes;

    /// Ends the job. The error is text for the log; the job then goes back by itself.
    fn settle(self, verdict: Verdict) -> impl Future<Output = Result<(), String>> + Send;
}

/// Gives jobs, one at a time, to whoever asks.
pub(crate) trait Source: Send + Sync + 'static {
    type Task: Task;

    /// The next job; `None` when there will never be one again. Dropping the future must not lose a job.
    fn next(&self) -> impl Future<Output = Option<Self::Task>> + Send;
}
