//! Jobs handled by async Rust functions.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::driver::Driver;
use crate::error::SettleError;
use crate::job::{Headers, Job};
use crate::pipeline::settle::{ActiveJob, NackOptions};

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
    /// Failed: back to the queue, to be handed out after `delay`.
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

/// Runs `handler` for `concurrency` jobs at a time until the driver is shut down.
pub(crate) async fn handle<F, Fut>(driver: &Driver, concurrency: usize, handler: F)
where
    F: Fn(Job) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Verdict> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut workers = JoinSet::new();
    for _ in 0..concurrency.max(1) {
        let (driver, handler) = (driver.clone(), handler.clone());
        workers.spawn(async move {
            while let Some(active) = driver.next_job().await {
                work(active, handler.as_ref()).await;
            }
        });
    }
    while workers.join_next().await.is_some() {}
}

async fn work<F, Fut>(active: ActiveJob, handler: &F)
where
    F: Fn(Job) -> Fut,
    Fut: Future<Output = Verdict> + Send + 'static,
{
    let id = active.job().id.clone();
    // A task of its own, so that a panic of the handler ends this one job only. Dropping the set aborts it.
    let mut task = JoinSet::new();
    task.spawn(handler(active.job().clone()));
    let verdict = match task.join_next().await {
        Some(Ok(verdict)) => verdict,
        Some(Err(error)) if error.is_panic() => {
            tracing::error!(id, "a handler panicked");
            Verdict::Nack { reason: "the handler panicked".to_owned() }
        }
        _ => return,
    };
    if let Err(error) = end(active, verdict).await {
        tracing::warn!(id, %error, "a job could not be settled");
    }
}

async fn end(active: ActiveJob, verdict: Verdict) -> Result<(), SettleError> {
    match verdict {
        Verdict::Ack => active.ack().await,
        Verdict::Nack { reason } => active.nack(&reason).await,
        Verdict::Retry { delay, reason } => {
            active.nack_with(NackOptions { requeue: true, delay, reason }).await
        }
        Verdict::Requeue { headers, delay } => active.requeue(headers, delay).await,
    }
}
