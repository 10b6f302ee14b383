//! The task of a pipeline that consumes: attach, move deliveries into the driver's priority queue, pause, hand back, stop;
//! and again after every lost link.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_transport::{Credit, Delivery, LinkError, Receiver};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use super::declare::{Prepared, prepare};
use super::settle::Taken;
use super::{Desired, Phase, Pipeline};
use crate::broker::{Broker, close};
use crate::event::Event;
use crate::fault::{Fault, link_fault};
use crate::shared::{Core, Pauses, reached};
use crate::wire;

/// Pauses between attempts when a link fails for a reason that passes.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// How often a pipeline that needs a person is tried.
const SLOW_RETRY: Duration = Duration::from_secs(30);

/// How often a fault that lasts is told of, although it should pass.
const REMIND: Duration = Duration::from_secs(300);

/// How a served link came to its end.
enum End {
    Stopped,
    Lost(LinkError),
}

/// What the task reports once: whether the pipeline could be consumed at first.
pub(crate) type FirstResult = oneshot::Sender<Result<(), Fault>>;

/// Consumes until the pipeline is stopped or the driver shut down.
pub(crate) async fn consume(core: Arc<Core>, pipeline: Arc<Pipeline>, first: FirstResult) {
    let mut desired = pipeline.desired.subscribe();
    let mut pauses = Pauses::new(RETRY.0, RETRY.1);
    let mut first = Some(first);
    let mut warned: Option<Instant> = None;
    loop {
        let now = *desired.borrow_and_update();
        match now {
            Desired::Stopped => break,
            Desired::Paused => {
                pipeline.set_phase(Phase::Paused);
                if desired.changed().await.is_err() {
                    break;
                }
                continue;
            }
            Desired::Running => {}
        }
        if !matches!(*pipeline.phase.borrow(), Phase::Failed(_)) {
            pipeline.set_phase(Phase::Attaching);
        }
        let fault = tokio::select! {
            attached = attach(&core, &pipeline) => match attached {
                None => break,
                Some(Ok((broker, prepared, receiver))) => {
                    if let Some(first) = first.take() {
                        // Whoever asked may have gone away.
                        let _ = first.send(Ok(()));
                    }
                    warned = None;
                    let since = Instant::now();
                    tracing::info!(pipeline = %pipeline.name, queue = %pipeline.queue(), "consuming");
                    core.tell(Event::PipelineReady { pipeline: pipeline.name.clone() });
                    let link = Link { core: &core, pipeline: &pipeline, broker: &broker, prepared: &prepared };
                    match link.serve(receiver, &mut desired).await {
                        End::Stopped => break,
                        End::Lost(error) => {
                            link.forget_waiting();
                            pauses.ended_after(since.elapsed());
                            link_fault(&error, || broker.profile().missing_queue(pipeline.queue()))
                        }
                    }
                }
                Some(Err(fault)) => fault,
            },
            _ = desired.changed() => continue,
        };
        if matches!(fault, Fault::Lasting(_))
            && let Some(first) = first.take()
        {
            let _ = first.send(Err(fault));
            break;
        }
        let pause = match &fault {
            Fault::Passing(reason) => {
                pipeline.set_hindrance(Some(reason.clone()));
                // A lost connection is told of elsewhere.
                if core.is_connected() && warned.is_none_or(|at| at.elapsed() >= REMIND) {
                    warned = Some(Instant::now());
                    tracing::warn!(pipeline = %pipeline.name, reason, "the pipeline cannot consume; it is tried again");
                } else {
                    tracing::debug!(pipeline = %pipeline.name, reason, "the pipeline's link is tried again");
                }
                pauses.next()
            }
            Fault::Lasting(reason) => {
                tracing::error!(pipeline = %pipeline.name, reason, "the pipeline cannot consume");
                pipeline.forget_prepared();
                pipeline.set_phase(Phase::Failed(reason.clone()));
                core.tell(Event::PipelineFailed { pipeline: pipeline.name.clone(), error: reason.clone() });
                SLOW_RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = desired.changed() => {}
        }
    }
    pipeline.set_hindrance(None);
    pipeline.set_phase(Phase::Stopped);
}

/// Waits for a connection, prepares the pipeline on it and attaches a receiver. `None` at shutdown.
async fn attach(
    core: &Core,
    pipeline: &Pipeline,
) -> Option<Result<(Arc<Broker>, Arc<Prepared>, Receiver), Fault>> {
    let broker = core.connected().await?;
    let attached = async {
        let prepared = prepare(&broker, pipeline).await?;
        let address = broker.profile().queue_source(pipeline.queue());
        let receiver = broker
            .attach_receiver(&address, Credit::Auto(pipeline.config.prefetch))
            .await
            .map_err(|error| link_fault(&error, || broker.profile().missing_queue(pipeline.queue())))?;
        Ok((prepared, receiver))
    }
    .await;
    Some(attached.map(|(prepared, receiver)| (broker, prepared, receiver)))
}

/// A pipeline on one connection.
struct Link<'a> {
    core: &'a Arc<Core>,
    pipeline: &'a Arc<Pipeline>,
    broker: &'a Arc<Broker>,
    prepared: &'a Arc<Prepared>,
}

impl Link<'_> {
    async fn serve(&self, receiver: Receiver, desired: &mut watch::Receiver<Desired>) -> End {
        loop {
            let now = *desired.borrow_and_update();
            match now {
                Desired::Running => {
                    if let Err(error) = receiver.resume() {
                        return End::Lost(error);
                    }
                    self.pipeline.set_hindrance(None);
                    self.pipeline.set_phase(Phase::Running);
                    if let Err(error) = self.receive(&receiver, desired).await {
                        return End::Lost(error);
                    }
                }
                Desired::Paused => {
                    self.hold(&receiver);
                    self.pipeline.set_phase(Phase::Paused);
                    if let Err(error) = self.hand_back(&receiver, desired).await {
                        return End::Lost(error);
                    }
                }
                Desired::Stopped => {
                    self.hold(&receiver);
                    self.pipeline.set_phase(Phase::Paused);
                    // A link that goes takes its unsettled jobs along: let the running ones end first.
                    let mut active = self.pipeline.active.subscribe();
                    let ended = tokio::select! {
                        ended = timeout(self.core.timeout, reached(&mut active, |active| *active == 0)) => ended.is_ok(),
                        _ = self.hand_back_for_ever(&receiver) => true,
                    };
                    if !ended {
                        tracing::warn!(pipeline = %self.pipeline.name, "jobs still ran when the pipeline stopped");
                    }
                    close(receiver).await;
                    return End::Stopped;
                }
            }
        }
    }

    /// Moves deliveries to the priority queue until something else is desired.
    async fn receive(
        &self,
        receiver: &Receiver,
        desired: &mut watch::Receiver<Desired>,
    ) -> Result<(), LinkError> {
        loop {
            let delivery = tokio::select! {
                biased;
                _ = desired.changed() => return Ok(()),
                delivery = receiver.recv() => delivery?,
            };
            let Some(taken) = self.job_of(delivery) else { continue };
            let priority = taken.priority();
            tokio::select! {
                biased;
                place = self.core.queue.reserve() => {
                    let back = match place {
                        Some(place) => place.put(priority, taken).err(),
                        None => Some(taken),
                    };
                    if let Some(taken) = back {
                        taken.give_back();
                    }
                }
                _ = desired.changed() => {
                    // The select dropped the waiting place, not the job.
                    taken_back(receiver);
                    return Ok(());
                }
            }
        }
    }

    /// No more credit, and everything that nobody has taken goes back.
    fn hold(&self, receiver: &Receiver) {
        if let Err(error) = receiver.pause() {
            tracing::debug!(%error, "a link was gone before it could be paused");
        }
        for taken in self.core.queue.remove_where(|taken| taken.is_of(self.pipeline)) {
            taken.give_back();
        }
        taken_back(receiver);
    }

    /// Gives back what was still on its way, until something else is desired.
    async fn hand_back(
        &self,
        receiver: &Receiver,
        desired: &mut watch::Receiver<Desired>,
    ) -> Result<(), LinkError> {
        tokio::select! {
            error = self.hand_back_for_ever(receiver) => Err(error),
            _ = desired.changed() => Ok(()),
        }
    }

    async fn hand_back_for_ever(&self, receiver: &Receiver) -> LinkError {
        loop {
            match receiver.recv().await {
                Ok(delivery) => release(delivery),
                Err(error) => return error,
            }
        }
    }

    /// Jobs of a lost link cannot be settled any more, and the broker hands them out again: nobody should start them.
    fn forget_waiting(&self) {
        let forgotten = self.core.queue.remove_where(|taken| taken.is_of(self.pipeline));
        if !forgotten.is_empty() {
            tracing::debug!(pipeline = %self.pipeline.name, jobs = forgotten.len(), "waiting jobs went with their link");
        }
    }

    /// The job of a delivery; a message that cannot be decoded is rejected.
    fn job_of(&self, delivery: Delivery) -> Option<Taken> {
        let message = match delivery.message() {
            Ok(message) => message,
            Err(error) => {
                let reason = format!("not a message that can be decoded: {error}");
                tracing::error!(pipeline = %self.pipeline.name, reason, "a message was rejected");
                let info = ErrorInfo::new(conditions::DECODE_ERROR, reason.as_str());
                if let Err(error) = delivery.reject(Some(info)) {
                    tracing::debug!(%error, "the rejection did not reach the broker");
                }
                self.core.tell(Event::MessageRejected { pipeline: self.pipeline.name.clone(), reason });
                return None;
            }
        };
        let received = wire::job(&message, &self.pipeline.name);
        self.pipeline.queued.fetch_add(1, Ordering::Relaxed);
        Some(Taken::new(
            self.core.clone(),
            self.pipeline.clone(),
            self.broker.clone(),
            self.prepared.clone(),
            delivery,
            received,
        ))
    }
}

/// Gives back what the receiver holds.
fn taken_back(receiver: &Receiver) {
    while let Some(delivery) = receiver.try_recv() {
        release(delivery);
    }
}

fn release(delivery: Delivery) {
    if let Err(error) = delivery.release() {
        tracing::debug!(%error, "a delivery could not be handed back; its link is gone, which has the same effect");
    }
}
