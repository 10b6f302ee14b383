//! A job: what is to be done, for whom it is, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

/// Headers of a job: for each name its values, in order. Names are case-sensitive.
pub type Headers = BTreeMap<String, Vec<String>>;

/// Name of jobs whose producer gave none.
pub(crate) const DEDUCED_NAME: &str = "deduced_by_rr";

/// A unit of work, to be pushed or just taken from a pipeline.
///
/// ```
/// use std::time::Duration;
/// use jobs_driver::Job;
///
/// let job = Job::new("mail", "send-invoice", "{\"invoice\":17}")
///     .with_header("tenant", "acme")
///     .with_delay(Duration::from_secs(30));
/// assert_eq!(job.pipeline, "mail");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Job {
    /// Identifier, given by the producer; kept when the job is requeued.
    pub id: String,
    /// What kind of job this is.
    pub name: String,
    /// The job's data, byte for byte.
    pub payload: Bytes,
    /// The job's headers.
    pub headers: Headers,
    /// Smaller numbers run first; `None` (and 0, when pushing) means the pipeline's.
    pub priority: Option<i64>,
    /// How long the broker holds the job back before it can be taken. Brokers with delay queues may round it up; more than
    /// ten years count as ten years.
    pub delay: Duration,
    /// The pipeline that the job goes through.
    pub pipeline: String,
    /// The job is settled before it runs: it is never run twice, and lost if its handler fails.
    pub auto_ack: bool,
}

impl Job {
    /// A job for `pipeline` with a new random identifier, no headers and no delay.
    pub fn new(pipeline: impl Into<String>, name: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            id: Uuid::new_v4().to_string(),
            name: name.into(),
            payload: payload.into(),
            headers: Headers::new(),
            priority: None,
            delay: Duration::ZERO,
            pipeline: pipeline.into(),
            auto_ack: false,
        }
    }

    /// Replaces the identifier.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// Adds a value to the header `name`.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.entry(name.into()).or_default().push(value.into());
        self
    }

    /// Replaces all headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Sets the priority; smaller numbers run first.
    #[must_use]
    pub const fn with_priority(mut self, priority: i64) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets how long the broker holds the job back.
    #[must_use]
    pub const fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Settles the job before it runs.
    #[must_use]
    pub const fn with_auto_ack(mut self, auto_ack: bool) -> Self {
        self.auto_ack = auto_ack;
        self
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.first().map(String::as_str)
    }
}
