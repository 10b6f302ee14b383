//! A job that came from the broker, and the ways to end it. Every delivery is settled exactly once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use amqp_transport::{Delivery, Outcome};

use super::declare::Prepared;
use super::push::requeue;
use super::{Desired, Pipeline};
use crate::broker::Broker;
use crate::config::DRIVER;
use crate::delay::due;
use crate::error::SettleError;
use crate::event::Event;
use crate::job::{Headers, Job};
use crate::shared::{Core, reached};
use crate::wire::Received;

/// How long a job whose requeue failed is kept from its queue: its delay, but at least the first and at most the second.
/// Without a pause it would come and fail again as fast as the broker can hand it out.
const HELD_BACK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A job in the driver's priority queue. Dropped, it goes back to the broker.
#[derive(Debug)]
pub(crate) struct Taken {
    core: Arc<Core>,
    pipeline: Arc<Pipeline>,
    broker: Arc<Broker>,
    prepared: Arc<Prepared>,
    delivery: Delivery,
    received: Received,
    /// Counts the job as waiting until it is dropped.
    waiting: Waiting,
}

impl Taken {
    /// The caller has counted the job as waiting.
    pub(crate) fn new(
        core: Arc<Core>,
        pipeline: Arc<Pipeline>,
        broker: Arc<Broker>,
        prepared: Arc<Prepared>,
        delivery: Delivery,
        received: Received,
    ) -> Self {
        let waiting = Waiting(pipeline.clone());
        Self { core, pipeline, broker, prepared, delivery, received, waiting }
    }

    pub(crate) fn priority(&self) -> i64 {
        self.received.job.priority.unwrap_or(self.pipeline.config.priority)
    }

    pub(crate) fn is_of(&self, pipeline: &Arc<Pipeline>) -> bool {
        Arc::ptr_eq(&self.pipeline, pipeline)
    }

    /// Back to the broker.
    pub(crate) fn give_back(self) {
        if let Err(error) = self.delivery.release() {
            tracing::debug!(%error, "a delivery could not be handed back; its link is gone, which has the same effect");
        }
    }

    /// Whether the job can still be settled.
    pub(crate) fn is_alive(&self) -> bool {
        !self.delivery.is_revoked()
    }

    /// Hands the job out.
    pub(crate) fn start(self) -> ActiveJob {
        let Self { core, pipeline, broker, prepared, delivery, received, waiting } = self;
        let running = Running::new(pipeline.clone());
        drop(waiting);
        let Received { mut job, attempt } = received;
        job.priority = Some(job.priority.unwrap_or(pipeline.config.priority));
        let delivery = if job.auto_ack {
            // Never run twice: the broker forgets it before it runs.
            if let Err(error) = delivery.accept() {
                tracing::debug!(%error, "a job that is settled before it runs was not");
            }
            None
        } else {
            Some(delivery)
        };
        ActiveJob { job, attempt, delivery, pipeline, broker, prepared, core, _running: running }
    }
}

/// How a job that failed is treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NackOptions {
    /// Back to the queue, instead of to the dead letters.
    pub requeue: bool,
    /// How long it is held back, with `requeue`. Brokers with delay queues may round it up.
    pub delay: Duration,
    /// Why it failed. Kept with the dead letter where the broker can.
    pub reason: String,
}

/// A job that somebody works on. It is ended by exactly one of [`ack`](Self::ack), [`nack`](Self::nack),
/// [`nack_with`](Self::nack_with) and [`requeue`](Self::requeue); dropped without, it goes back to the broker.
#[derive(Debug)]
pub struct ActiveJob {
    job: Job,
    attempt: u32,
    /// `None` for a job that was settled before it was handed out.
    delivery: Option<Delivery>,
    pipeline: Arc<Pipeline>,
    broker: Arc<Broker>,
    prepared: Arc<Prepared>,
    core: Arc<Core>,
    _running: Running,
}

impl ActiveJob {
    /// The job.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// Name of the pipeline that it came through.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        &self.pipeline.name
    }

    /// Name of the queue that it came from.
    #[must_use]
    pub fn queue(&self) -> &str {
        self.pipeline.queue()
    }

    /// Name of the driver.
    #[must_use]
    pub const fn driver(&self) -> &str {
        DRIVER
    }

    /// Which attempt this is, from 1: earlier copies and deliveries counted, as far as the broker tells.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The job is done.
    ///
    /// The verdict is on its way when this returns; a connection that breaks at that moment makes the job run again.
    ///
    /// # Errors
    /// The link is gone: the job will run again.
    #[expect(clippy::unused_async, reason = "brokers that answer a settlement will be waited for")]
    pub async fn ack(mut self) -> Result<(), SettleError> {
        self.settle(Outcome::Accepted)
    }

    /// The job failed. It goes back to the queue if the pipeline has `requeue_on_fail`, else to the dead letters.
    ///
    /// # Errors
    /// The link is gone: the job will run again.
    pub async fn nack(self, reason: &str) -> Result<(), SettleError> {
        let requeue = self.pipeline.config.requeue_on_fail;
        self.nack_with(NackOptions { requeue, delay: Duration::ZERO, reason: reason.to_owned() }).await
    }

    /// The job failed, and what happens to it is decided here rather than by the pipeline.
    ///
    /// # Errors
    /// The link is gone, or a copy that has to wait could not be published. In both cases the job will run again.
    pub async fn nack_with(mut self, options: NackOptions) -> Result<(), SettleError> {
        let NackOptions { requeue, delay, reason } = options;
        tracing::debug!(pipeline = %self.pipeline.name, id = %self.job.id, requeue, ?delay, reason, "a job failed");
        let profile = self.broker.profile();
        if !requeue {
            let outcome = profile.dead_letter(&reason, &self.prepared.facts);
            return self.settle(outcome);
        }
        if delay.is_zero() {
            let outcome = profile.failed(&self.prepared.facts);
            return self.settle(outcome);
        }
        self.requeue(Headers::new(), delay).await
    }

    /// Puts the job back with `headers` over its own (those of the same name are replaced), to be handed out after
    /// `delay`. The changed copy is published and accepted before the original is settled: a failure in between runs the
    /// job twice, never not at all. A delay of zero means at once, whatever delay the job had.
    ///
    /// # Errors
    /// The copy could not be published: the original goes back unchanged, after a pause of `delay` (but at least 1 s and at
    /// most 30 s; at once when the pipeline stops). Or the link is gone: the job will run again, and no copy was published.
    /// Or the copy of a job that was settled before it ran could not be published: it is lost.
    pub async fn requeue(mut self, headers: Headers, delay: Duration) -> Result<(), SettleError> {
        if self.delivery.as_ref().is_some_and(Delivery::is_revoked) {
            self.delivery = None;
            return Err(self.gone("its delivery was taken back".to_owned()));
        }
        if headers.is_empty()
            && !delay.is_zero()
            && self.delivery.is_some()
            && let Some(modified) = self.broker.profile().return_later(due(delay))
        {
            return self.settle(Outcome::Modified(modified));
        }
        let mut copy = self.job.clone();
        copy.headers.extend(headers);
        copy.delay = delay;
        match requeue(&self.core, &self.pipeline, copy, self.attempt).await {
            Ok(()) => self.settle(Outcome::Accepted),
            Err(source) => {
                let source = Box::new(source);
                if self.delivery.is_none() {
                    return Err(SettleError::Lost { source });
                }
                tokio::spawn(self.go_back_after(delay.clamp(HELD_BACK.0, HELD_BACK.1)));
                Err(SettleError::Requeue { source })
            }
        }
    }

    /// Hands the job back after a pause, or as soon as its pipeline takes no more jobs. Until then it counts as running,
    /// and against `prefetch`.
    async fn go_back_after(mut self, pause: Duration) {
        let mut desired = self.pipeline.desired.subscribe();
        let mut closing = self.core.closing.subscribe();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = reached(&mut desired, |desired| *desired != Desired::Running) => {}
            () = reached(&mut closing, |closing| *closing) => {}
        }
        if let Err(error) = self.settle(Outcome::Released) {
            tracing::debug!(%error, "the original went back with its link");
        }
    }

    fn settle(&mut self, outcome: Outcome) -> Result<(), SettleError> {
        let Some(delivery) = self.delivery.take() else { return Ok(()) };
        delivery.settle(outcome).map_err(|error| self.gone(error.to_string()))
    }

    /// Tells that the job's link is gone.
    fn gone(&self, reason: String) -> SettleError {
        self.core.tell(Event::JobLost { pipeline: self.pipeline.name.clone(), id: self.job.id.clone() });
        SettleError::Gone { reason }
    }
}

/// Counts a job as waiting while it lives.
#[derive(Debug)]
struct Waiting(Arc<Pipeline>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a job as running while it lives.
#[derive(Debug)]
struct Running(Arc<Pipeline>);

impl Running {
    fn new(pipeline: Arc<Pipeline>) -> Self {
        pipeline.active.send_modify(|active| *active += 1);
        Self(pipeline)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.active.send_modify(|active| *active = active.saturating_sub(1));
    }
}
