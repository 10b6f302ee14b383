//! All pipelines of one broker: start, steer, drain, stop.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use amqp_codec::types::Value;
use tokio::sync::{broadcast, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::broker::{Broker, connect};
use crate::config::{JobsConfig, PipelineConfig};
use crate::delay::bounded;
use crate::error::{DriverError, PushError};
use crate::event::Event;
use crate::fault::Fault;
use crate::handler::{Verdict, handle};
use crate::job::Job;
use crate::pipeline::consume::consume;
use crate::pipeline::declare;
use crate::pipeline::push::{Destination, push};
use crate::pipeline::settle::ActiveJob;
use crate::pipeline::stats::{PipelineState, state};
use crate::pipeline::{Desired, Phase, Pipeline};
use crate::profile::queue_path;
use crate::shared::{Core, reached, supervise};

/// How long links may take to go in an orderly way at shutdown.
const GOODBYE: Duration = Duration::from_secs(2);

/// What is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// What the broker calls itself.
    pub product: String,
    /// The version that it tells; empty if it tells none.
    pub version: String,
    /// Which profile is used: `rabbitmq4`, `rabbitmq3`, `embedded` or `generic`.
    pub profile: String,
}

/// The pipelines of one broker, over one connection that is kept up for ever. A cheap handle: clones steer the same
/// driver, which ends with [`shutdown`](Self::shutdown) or when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Driver {
    handle: Arc<Handle>,
}

/// Ends the driver when its last user goes.
#[derive(Debug)]
struct Handle {
    core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.queue.close();
        self.core.closing.send_replace(true);
    }
}

impl Driver {
    /// Connects, finds out what the broker is, and consumes the pipelines named in `consume`.
    ///
    /// # Errors
    /// The first connection fails, or one of those pipelines cannot be consumed for a reason that does not pass by
    /// itself, such as a missing queue. Later losses are no errors: they are repaired, and told by [`events`](Self::events).
    pub async fn start(config: JobsConfig) -> Result<Self, DriverError> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let broker = connect(&config.connection, 1).await?;
        let pipelines: BTreeMap<String, Arc<Pipeline>> = config
            .pipelines
            .into_iter()
            .map(|(name, pipeline)| (name.clone(), Arc::new(Pipeline::new(name, pipeline))))
            .collect();
        let core =
            Arc::new(Core::new(config.connection, config.timeout, pipelines, config.pipeline_size, broker));
        if let Some(broker) = core.broker.borrow().as_deref() {
            core.announce(broker, false);
        }
        tokio::spawn(supervise(core.clone()));
        let driver = Self { handle: Arc::new(Handle { core }) };
        for name in &config.consume {
            if let Err(error) = driver.run(name).await {
                driver.shutdown(Duration::ZERO).await;
                return Err(error);
            }
        }
        Ok(driver)
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>, DriverError> {
        if self.core().is_closing() {
            return Err(DriverError::Closed);
        }
        self.core()
            .pipeline(name)
            .ok_or_else(|| DriverError::UnknownPipeline { name: name.to_owned(), known: self.core().known() })
    }

    /// The names of all pipelines, sorted.
    #[must_use]
    pub fn pipelines(&self) -> Vec<String> {
        self.core().all_pipelines().iter().map(|pipeline| pipeline.name.clone()).collect()
    }

    /// Adds a pipeline, which is not consumed until [`run`](Self::run).
    ///
    /// # Errors
    /// There is one of that name.
    pub fn add_pipeline(&self, name: &str, config: PipelineConfig) -> Result<(), DriverError> {
        let mut pipelines = self.core().pipelines.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pipelines.get(name) {
            let reason = format!("pipeline already exists, name: {name}, driver: {}", known.config.driver);
            return Err(DriverError::State { pipeline: name.to_owned(), reason });
        }
        pipelines.insert(name.to_owned(), Arc::new(Pipeline::new(name.to_owned(), config)));
        Ok(())
    }

    /// Publishes a job through the pipeline that it names. Success means that the broker has accepted it. While there is
    /// no connection this waits for one, all in all at most `timeout`.
    ///
    /// Cancel: the job may have been stored.
    ///
    /// # Errors
    /// See [`PushError`].
    pub async fn push(&self, job: Job) -> Result<(), PushError> {
        let core = self.core();
        let Some(pipeline) = core.pipeline(&job.pipeline) else {
            return Err(PushError::UnknownPipeline { name: job.pipeline, known: core.known() });
        };
        push(core, &pipeline, job, Destination::Route, 0).await
    }

    /// Starts to consume a pipeline; nothing happens if it consumes already.
    ///
    /// # Errors
    /// The pipeline is unknown or has no queue, or the broker refuses to let it consume for a reason that does not pass by
    /// itself. A lost connection is none: the pipeline consumes as soon as there is one.
    pub async fn run(&self, name: &str) -> Result<(), DriverError> {
        let pipeline = self.pipeline(name)?;
        if pipeline.queue().is_empty() {
            let reason = "empty queue name, consider adding the queue name to the configuration".to_owned();
            return Err(DriverError::State { pipeline: pipeline.name.clone(), reason });
        }
        let mut consumer = pipeline.consumer.lock().await;
        if consumer.as_ref().is_some_and(|task| !task.is_finished()) {
            if *pipeline.desired.borrow() != Desired::Stopped {
                pipeline.desired.send_replace(Desired::Running);
                return Ok(());
            }
            // It is about to stop; let it.
            if let Some(task) = consumer.as_mut() {
                let _ = task.await;
            }
            *consumer = None;
        }
        // Whoever asks for it may just have mended it.
        pipeline.forget_refused();
        if let Some(broker) = self.core().broker.borrow().as_deref() {
            broker.sightings().forget(pipeline.queue());
        }
        pipeline.desired.send_replace(Desired::Running);
        let (first, result) = oneshot::channel();
        *consumer = Some(tokio::spawn(consume(self.core().clone(), pipeline.clone(), first)));
        drop(consumer);
        match tokio::time::timeout(self.core().timeout, result).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(fault))) => {
                pipeline.desired.send_replace(Desired::Stopped);
                Err(refused(&pipeline, &fault))
            }
            Ok(Err(_)) if *pipeline.desired.borrow() == Desired::Stopped && !self.core().is_closing() => {
                let reason = "it was stopped before it could consume".to_owned();
                Err(DriverError::State { pipeline: pipeline.name.clone(), reason })
            }
            Ok(Err(_)) => Err(DriverError::Closed),
            Err(_) => Err(DriverError::Timeout {
                pipeline: pipeline.name.clone(),
                after: self.core().timeout,
                reason: match pipeline.hindrance() {
                    Some(reason) => format!("the broker did not let the pipeline consume: {reason}"),
                    None => "the broker did not let the pipeline consume".to_owned(),
                },
            }),
        }
    }

    /// Takes no more jobs of a pipeline. Jobs that were prefetched go back to the broker, those that run can still be
    /// settled.
    ///
    /// # Errors
    /// The pipeline is unknown or does not consume.
    pub async fn pause(&self, name: &str) -> Result<(), DriverError> {
        let pipeline = self.pipeline(name)?;
        if *pipeline.desired.borrow() != Desired::Running {
            let reason = "no active listeners, nothing to pause".to_owned();
            return Err(DriverError::State { pipeline: pipeline.name.clone(), reason });
        }
        pipeline.desired.send_replace(Desired::Paused);
        self.reaches(&pipeline, |phase| matches!(phase, Phase::Paused | Phase::Stopped)).await
    }

    /// Takes jobs of a paused (or stopped) pipeline again.
    ///
    /// # Errors
    /// The pipeline is unknown or consumes already; as for [`run`](Self::run) if it was stopped.
    pub async fn resume(&self, name: &str) -> Result<(), DriverError> {
        let pipeline = self.pipeline(name)?;
        let desired = *pipeline.desired.borrow();
        match desired {
            Desired::Running => {
                let reason = "listener is already in the active state".to_owned();
                Err(DriverError::State { pipeline: pipeline.name.clone(), reason })
            }
            Desired::Paused => {
                pipeline.desired.send_replace(Desired::Running);
                Ok(())
            }
            Desired::Stopped => self.run(name).await,
        }
    }

    /// Stops a pipeline: takes no more jobs, hands prefetched ones back, waits for those that run (at most `timeout`), and
    /// gives up its link. Nothing happens if it is stopped.
    ///
    /// # Errors
    /// The pipeline is unknown.
    pub async fn stop(&self, name: &str) -> Result<(), DriverError> {
        let pipeline = self.pipeline(name)?;
        // The task stays where it is until it has ended: nobody may start another one beside it.
        let mut consumer = pipeline.consumer.lock().await;
        pipeline.desired.send_replace(Desired::Stopped);
        if let Some(task) = consumer.as_mut() {
            let _ = task.await;
        }
        *consumer = None;
        Ok(())
    }

    /// Stops a pipeline and forgets it. Its queue stays on the broker.
    ///
    /// # Errors
    /// The pipeline is unknown.
    pub async fn remove_pipeline(&self, name: &str) -> Result<(), DriverError> {
        let pipeline = self.pipeline(name)?;
        self.stop(&pipeline.name).await?;
        self.core().pipelines.write().unwrap_or_else(PoisonError::into_inner).remove(&pipeline.name);
        Ok(())
    }

    /// Declares the queue of a pipeline, its dead-letter queue, and its exchange with the binding, whatever its `declare`
    /// says.
    ///
    /// # Errors
    /// The pipeline is unknown, the broker cannot declare over AMQP 1.0, or refuses.
    pub async fn declare(&self, name: &str) -> Result<(), DriverError> {
        let pipeline = self.pipeline(name)?;
        let broker = self.managed(&pipeline, "declare queues").await?;
        declare::declare(&broker, &pipeline).await.map_err(|fault| refused(&pipeline, &fault))?;
        pipeline.forget_prepared();
        pipeline.forget_refused();
        Ok(())
    }

    /// Removes all messages that are ready in the pipeline's queue or wait to get there, and says how many. Those that have
    /// been handed out stay.
    ///
    /// # Errors
    /// The pipeline is unknown, the broker cannot purge over AMQP 1.0, or refuses.
    pub async fn purge(&self, name: &str) -> Result<u64, DriverError> {
        let pipeline = self.pipeline(name)?;
        let broker = self.managed(&pipeline, "purge queues").await?;
        let mut queues = broker.rooms_of(pipeline.queue());
        queues.push(pipeline.queue().to_owned());
        let mut removed = 0_u64;
        for queue in queues {
            let answer =
                match broker.manage("DELETE", &format!("{}/messages", queue_path(&queue)), Value::Null).await
                {
                    Ok(reply) => reply.success().map_err(Into::into),
                    Err(error) => Err(error),
                };
            let body = answer.map_err(|error| DriverError::Pipeline {
                pipeline: pipeline.name.clone(),
                reason: format!("queue {queue:?} cannot be purged: {error}"),
            })?;
            let count = body.as_map().and_then(|map| map.get("message_count")).and_then(Value::as_u64);
            removed = removed.saturating_add(count.unwrap_or(0));
        }
        Ok(removed)
    }

    /// How all pipelines are doing, sorted by name. Asks the broker where it tells.
    pub async fn state(&self) -> Vec<PipelineState> {
        let broker = self.core().broker.borrow().clone().filter(|broker| !broker.is_closed());
        let mut states = Vec::new();
        for pipeline in self.core().all_pipelines() {
            states.push(state(broker.as_deref(), &pipeline).await);
        }
        states
    }

    /// How many consumed jobs wait here until somebody takes them.
    #[must_use]
    pub fn waiting_jobs(&self) -> usize {
        self.core().queue.len()
    }

    /// What is at the other end (of the last connection, if there is none now).
    #[must_use]
    pub fn broker(&self) -> BrokerInfo {
        self.core().info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there is a connection at the moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.core().is_connected()
    }

    /// The most urgent job of all consumed pipelines; waits for one. `None` once the driver shuts down.
    ///
    /// Cancel-safe: a job is taken and returned in one step.
    pub async fn next_job(&self) -> Option<ActiveJob> {
        loop {
            let taken = self.core().queue.take().await?;
            // A job of a lost connection would run twice: the broker hands it out again.
            if taken.is_alive() {
                return Some(taken.start());
            }
        }
    }

    /// Runs an async function for every job, `concurrency` at a time, and settles each job as it says. A handler that
    /// panics has failed. Returns when the driver is shut down.
    ///
    /// Cancel: jobs that run are given up and go back to the broker.
    pub async fn handle<F, Fut>(&self, concurrency: usize, handler: F)
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        handle(self, concurrency, handler).await;
    }

    /// Ends the driver: takes no more jobs, hands prefetched ones back, waits at most `grace` for those that run, then
    /// closes the connection, which gives the rest back.
    pub async fn shutdown(&self, grace: Duration) {
        let core = self.core();
        let deadline = Instant::now() + bounded(grace);
        core.queue.close();
        let pipelines = core.all_pipelines();
        for pipeline in &pipelines {
            pipeline.desired.send_if_modified(|desired| {
                let running = *desired == Desired::Running;
                if running {
                    *desired = Desired::Paused;
                }
                running
            });
        }
        for taken in core.queue.remove_where(|_| true) {
            taken.give_back();
        }
        for pipeline in &pipelines {
            let mut active = pipeline.active.subscribe();
            let ended = timeout_at(deadline, reached(&mut active, |active| *active == 0)).await;
            if ended.is_err() {
                let jobs = *pipeline.active.borrow();
                tracing::warn!(pipeline = %pipeline.name, jobs, "jobs still run at the end of the grace period");
            }
        }
        // Links go before the connection: a broker that has answered a detach has seen every verdict before it.
        for pipeline in &pipelines {
            pipeline.desired.send_replace(Desired::Stopped);
        }
        let deadline = Instant::now() + GOODBYE;
        for pipeline in &pipelines {
            // Whoever stops the pipeline at this moment waits for its task; it ends with the connection.
            if let Ok(mut consumer) = timeout_at(deadline, pipeline.consumer.lock()).await
                && let Some(mut task) = consumer.take()
            {
                let is_idle = *pipeline.active.borrow() == 0;
                if !is_idle || timeout_at(deadline, &mut task).await.is_err() {
                    task.abort();
                }
            }
            pipeline.set_phase(Phase::Stopped);
        }
        core.closing.send_replace(true);
        let broker = core.broker.send_replace(None);
        if let Some(broker) = broker {
            broker.close().await;
        }
    }

    /// What happens from now on. A watcher that falls behind misses the oldest events.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.core().events.subscribe()
    }

    /// A connection to a broker with management.
    async fn managed(&self, pipeline: &Pipeline, what: &str) -> Result<Arc<Broker>, DriverError> {
        let broker = match tokio::time::timeout(self.core().timeout, self.core().connected()).await {
            Ok(Some(broker)) => broker,
            Ok(None) => return Err(DriverError::Closed),
            Err(_) => {
                return Err(DriverError::Timeout {
                    pipeline: pipeline.name.clone(),
                    after: self.core().timeout,
                    reason: "the broker is not connected".to_owned(),
                });
            }
        };
        if broker.profile().has_management() {
            Ok(broker)
        } else {
            let reason = format!("this broker ({}) cannot {what} over AMQP 1.0", broker.profile().name());
            Err(DriverError::Unsupported { pipeline: pipeline.name.clone(), reason })
        }
    }

    async fn reaches(
        &self,
        pipeline: &Pipeline,
        is_there: impl FnMut(&Phase) -> bool,
    ) -> Result<(), DriverError> {
        let mut phase = pipeline.phase.subscribe();
        match tokio::time::timeout(self.core().timeout, reached(&mut phase, is_there)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(DriverError::Timeout {
                pipeline: pipeline.name.clone(),
                after: self.core().timeout,
                reason: "the pipeline's link did not answer".to_owned(),
            }),
        }
    }
}

fn refused(pipeline: &Pipeline, fault: &Fault) -> DriverError {
    DriverError::Pipeline { pipeline: pipeline.name.clone(), reason: fault.reason().to_owned() }
}
