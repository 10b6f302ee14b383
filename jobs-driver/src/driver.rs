//! All pipelines of one broker.

use std::time::Duration;

use tokio::sync::broadcast;

use crate::config::{JobsConfig, PipelineConfig};
use crate::error::{DriverError, PushError, SettleError};
use crate::event::Event;
use crate::handler::Verdict;
use crate::job::{Headers, Job};

/// What is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// What the broker calls itself.
    pub product: String,
    /// The version that it tells.
    pub version: String,
    /// Which profile is used.
    pub profile: String,
}

/// How a pipeline is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PipelineState {
    /// The pipeline's name.
    pub pipeline: String,
    /// Its driver.
    pub driver: String,
    /// Its queue; empty for a pipeline that only pushes.
    pub queue: String,
    /// Messages in the queue that are ready to be taken, as far as the broker tells.
    pub active: u64,
    /// Messages that wait for their time, as far as the broker tells.
    pub delayed: u64,
    /// Messages handed out and not settled yet.
    pub reserved: u64,
    /// Whether the pipeline consumes.
    pub ready: bool,
    /// Priority of jobs that bring none.
    pub priority: i64,
    /// Why it does not work, if it does not.
    pub error: Option<String>,
}

/// How a job that failed is treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NackOptions {
    /// Back to the queue, instead of to the dead letters.
    pub requeue: bool,
    /// How long it is held back, with `requeue`.
    pub delay: Duration,
    /// Why it failed.
    pub reason: String,
}

/// The driver.
#[derive(Clone, Debug)]
pub struct Driver {}

impl Driver {
    /// Start.
    pub async fn start(_config: JobsConfig) -> Result<Self, DriverError> {
        Err(DriverError::Closed)
    }
    /// Push.
    pub async fn push(&self, _job: Job) -> Result<(), PushError> {
        Err(PushError::Closed)
    }
    /// Run.
    pub async fn run(&self, _name: &str) -> Result<(), DriverError> {
        Err(DriverError::Closed)
    }
    /// Pause.
    pub async fn pause(&self, _name: &str) -> Result<(), DriverError> {
        Err(DriverError::Closed)
    }
    /// Resume.
    pub async fn resume(&self, _name: &str) -> Result<(), DriverError> {
        Err(DriverError::Closed)
    }
    /// Stop.
    pub async fn stop(&self, _name: &str) -> Result<(), DriverError> {
        Err(DriverError::Closed)
    }
    /// Declare.
    pub async fn declare(&self, _name: &str) -> Result<(), DriverError> {
        Err(DriverError::Closed)
    }
    /// Purge; the number of messages removed.
    pub async fn purge(&self, _name: &str) -> Result<u64, DriverError> {
        Err(DriverError::Closed)
    }
    /// Add a pipeline.
    pub fn add_pipeline(&self, _name: &str, _pipeline: PipelineConfig) -> Result<(), DriverError> {
        Err(DriverError::Closed)
    }
    /// Names.
    pub fn pipelines(&self) -> Vec<String> {
        Vec::new()
    }
    /// State.
    pub async fn state(&self) -> Vec<PipelineState> {
        Vec::new()
    }
    /// Broker.
    pub fn broker(&self) -> BrokerInfo {
        BrokerInfo { product: String::new(), version: String::new(), profile: String::new() }
    }
    /// Next job.
    pub async fn next_job(&self) -> Option<ActiveJob> {
        None
    }
    /// Handle.
    pub async fn handle<F, Fut>(&self, _concurrency: usize, _handler: F)
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
    }
    /// Shutdown.
    pub async fn shutdown(&self, _grace: Duration) {}
    /// Events.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        broadcast::channel(1).1
    }
}

/// A job that was taken.
#[derive(Debug)]
pub struct ActiveJob {
    job: Job,
}

impl ActiveJob {
    /// The job.
    pub fn job(&self) -> &Job {
        &self.job
    }
    /// The pipeline.
    pub fn pipeline(&self) -> &str {
        &self.job.pipeline
    }
    /// The queue.
    pub fn queue(&self) -> &str {
        ""
    }
    /// The driver.
    pub fn driver(&self) -> &str {
        "amqp1"
    }
    /// 1 for the first attempt.
    pub fn attempt(&self) -> u32 {
        1
    }
    /// Ack.
    pub async fn ack(self) -> Result<(), SettleError> {
        Ok(())
    }
    /// Nack.
    pub async fn nack(self, _reason: &str) -> Result<(), SettleError> {
        Ok(())
    }
    /// Nack with options.
    pub async fn nack_with(self, _options: NackOptions) -> Result<(), SettleError> {
        Ok(())
    }
    /// Requeue.
    pub async fn requeue(self, _headers: Headers, _delay: Duration) -> Result<(), SettleError> {
        Ok(())
    }
}
