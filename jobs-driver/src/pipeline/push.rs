//! Publishing a job: success only when the broker has accepted it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amqp_codec::Encode;
use amqp_codec::messaging::Message;
use amqp_transport::{Outcome, SendError};
use bytes::Bytes;

use super::Pipeline;
use super::declare::{Route, exists, prepare};
use crate::broker::{Broker, ManagementError};
use crate::delay::{bounded, due};
use crate::error::PushError;
use crate::fault::{Fault, is_missing, link_fault};
use crate::job::Job;
use crate::profile::{DelayPlan, DelayRequest, QueueDeclaration};
use crate::shared::{Core, Pauses};
use crate::wire::{self, Publication, ROUTING_KEY_HEADER};

/// Pauses between attempts while the broker is connected but something on it does not work.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Where a job is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Where the pipeline publishes to.
    Route,
    /// Back to the pipeline's queue, past any exchange.
    Queue,
}

/// One attempt to publish.
enum Attempt {
    /// May work in a moment.
    Again(String),
    /// Will not work.
    Fail(PushError),
}

/// A job on its way: written once, so that every attempt carries the same message-id.
struct Parcel<'a> {
    pipeline: &'a Pipeline,
    destination: Destination,
    /// The key for this one job.
    own_key: Option<String>,
    message: Message,
    delay: Duration,
    due: SystemTime,
}

/// Publishes `job`. `attempts` is how many attempts earlier copies of it had.
pub(crate) async fn push(
    core: &Core,
    pipeline: &Pipeline,
    mut job: Job,
    destination: Destination,
    attempts: u32,
) -> Result<(), PushError> {
    let name = || pipeline.name.clone();
    let invalid = |reason: &str| PushError::InvalidJob { pipeline: name(), reason: reason.to_owned() };
    if job.id.is_empty() {
        return Err(invalid("the job has no id"));
    }
    job.pipeline = name();
    job.delay = bounded(job.delay);
    let own_key =
        job.headers.remove(ROUTING_KEY_HEADER).and_then(|values| values.into_iter().find(|v| !v.is_empty()));
    let publication = Publication {
        format: pipeline.config.format,
        priority: job.priority.filter(|priority| *priority != 0).unwrap_or(pipeline.config.priority),
        subject: own_key.clone().or_else(|| pipeline.config.routing_key.clone()),
        attempts,
    };
    let message = wire::message(&job, &publication).map_err(|reason| invalid(&reason))?;
    let parcel = Parcel { pipeline, destination, own_key, message, delay: job.delay, due: due(job.delay) };
    let mut last = "the broker is not connected".to_owned();
    let sent = tokio::time::timeout(core.timeout, async {
        let mut pauses = Pauses::new(RETRY.0, RETRY.1);
        loop {
            let Some(broker) = core.connected().await else { return Err(PushError::Closed) };
            match parcel.publish(&broker).await {
                Ok(()) => return Ok(()),
                Err(Attempt::Fail(error)) => return Err(error),
                Err(Attempt::Again(reason)) => {
                    tracing::debug!(pipeline = %pipeline.name, reason, "a publication is tried again");
                    last = reason;
                    if broker.is_closed() {
                        last.push_str("; there has been no new connection since");
                        // Give the new connection its time; `connected` waits for it.
                        tokio::task::yield_now().await;
                    } else {
                        tokio::time::sleep(pauses.next()).await;
                    }
                }
            }
        }
    })
    .await;
    match sent {
        Ok(result) => result,
        Err(_) => Err(PushError::Timeout { pipeline: name(), after: core.timeout, reason: last }),
    }
}

impl Parcel<'_> {
    async fn publish(&self, broker: &Broker) -> Result<(), Attempt> {
        let prepared = match prepare(broker, self.pipeline).await {
            Ok(prepared) => prepared,
            Err(fault) => return Err(self.fault(fault)),
        };
        let route = match (self.destination, &self.own_key) {
            (Destination::Queue, _) => Route::Queue(self.pipeline.queue().to_owned()),
            (Destination::Route, Some(key)) => prepared.route.with_key(key),
            (Destination::Route, None) => prepared.route.clone(),
        };
        if let (Route::Queue(queue), Some(_)) = (&route, &self.own_key)
            && !broker.profile().checks_targets()
        {
            // The pipeline's own queue has been looked for, this one has not.
            match exists(broker, queue).await {
                Ok(()) => {}
                Err(Fault::Passing(reason)) => return Err(Attempt::Again(reason)),
                Err(Fault::Lasting(reason)) => return Err(self.target(reason)),
            }
        }
        if self.delay.is_zero() {
            return self.send(broker, &route, &self.message, self.own_key.is_some()).await;
        }
        let (exchange, routing_key) = route.exchange_and_key();
        let config = &self.pipeline.config.delay;
        let request = DelayRequest { delay: self.delay, due: self.due, exchange, routing_key, config };
        match broker.profile().delay(&request) {
            DelayPlan::Annotate(name, value) => {
                let mut message = self.message.clone();
                message.message_annotations.get_or_insert_default().insert(name, value);
                self.send(broker, &route, &message, self.own_key.is_some()).await
            }
            DelayPlan::Declare(room) => self.send_through(broker, &route, &room).await,
            DelayPlan::Existing { queue, advice } => {
                let delay = || {
                    Attempt::Fail(PushError::Delay {
                        pipeline: self.pipeline.name.clone(),
                        reason: advice.clone(),
                    })
                };
                match exists(broker, &queue).await {
                    Ok(()) => self.send(broker, &Route::Queue(queue), &self.message, true).await,
                    Err(Fault::Lasting(_)) => Err(delay()),
                    Err(Fault::Passing(reason)) => Err(Attempt::Again(reason)),
                }
            }
            DelayPlan::Impossible(reason) => {
                Err(Attempt::Fail(PushError::Delay { pipeline: self.pipeline.name.clone(), reason }))
            }
        }
    }

    /// Through a waiting room, which is made anew if it turns out to be gone.
    async fn send_through(
        &self,
        broker: &Broker,
        route: &Route,
        room: &QueueDeclaration,
    ) -> Result<(), Attempt> {
        let (exchange, key) = route.exchange_and_key();
        let target = if exchange.is_empty() { key.to_owned() } else { format!("{exchange}/{key}") };
        let mut again = true;
        loop {
            match broker.open_room(&target, room).await {
                Ok(()) => {}
                Err(ManagementError::Failed(reason)) => return Err(Attempt::Again(reason)),
                Err(error @ ManagementError::Refused { .. }) => {
                    let reason = format!("the delay queue {:?} cannot be declared: {error}", room.name);
                    return Err(Attempt::Fail(PushError::Delay {
                        pipeline: self.pipeline.name.clone(),
                        reason,
                    }));
                }
            }
            let sent = self.send(broker, &Route::Queue(room.name.clone()), &self.message, true).await;
            match sent {
                Err(Attempt::Fail(PushError::NotAccepted { .. } | PushError::Target { .. })) if again => {
                    again = false;
                    broker.forget_room(&target, &room.name);
                }
                other => return other,
            }
        }
    }

    /// Sends the message; `passing_by` for targets that are not the pipeline's own, which need no link of their own
    /// where the broker has a terminus for all.
    async fn send(
        &self,
        broker: &Broker,
        route: &Route,
        message: &Message,
        passing_by: bool,
    ) -> Result<(), Attempt> {
        let profile = broker.profile();
        let address = match route {
            Route::Queue(queue) => profile.queue_target(queue),
            Route::Exchange { exchange, routing_key } => match profile.exchange_target(exchange, routing_key)
            {
                Some(address) => address,
                None => profile.queue_target(routing_key),
            },
        };
        let (link, payload): (&str, Bytes) = if passing_by && profile.has_anonymous_terminus() {
            let mut message = message.clone();
            message.properties.get_or_insert_default().to = Some(address.as_str().into());
            ("", message.to_bytes())
        } else {
            (&address, message.to_bytes())
        };
        let missing = || match route {
            Route::Queue(queue) => profile.missing_queue(queue),
            Route::Exchange { exchange, .. } => profile.missing_exchange(exchange),
        };
        let sender = match broker.sender(link).await {
            Ok(sender) => sender,
            Err(error) => {
                let fault = link_fault(&error, missing);
                if let (Fault::Lasting(reason), false) = (&fault, passing_by) {
                    self.pipeline.set_refused(broker.epoch, reason);
                }
                return Err(self.fault(fault));
            }
        };
        match sender.send(payload).await {
            Ok(Outcome::Accepted) => Ok(()),
            Ok(outcome) => Err(Attempt::Fail(PushError::NotAccepted {
                pipeline: self.pipeline.name.clone(),
                target: route.shown(),
                outcome: explained(&outcome),
            })),
            Err(error @ SendError::TooLarge { .. }) => Err(Attempt::Fail(PushError::InvalidJob {
                pipeline: self.pipeline.name.clone(),
                reason: error.to_string(),
            })),
            Err(error) => {
                broker.forget_sender(link);
                match error.link_error() {
                    Some(link)
                        if is_missing(link) || !error.is_retryable() && link.remote_error().is_some() =>
                    {
                        Err(self.fault(link_fault(link, missing)))
                    }
                    _ => Err(Attempt::Again(error.to_string())),
                }
            }
        }
    }

    fn fault(&self, fault: Fault) -> Attempt {
        match fault {
            Fault::Passing(reason) => Attempt::Again(reason),
            Fault::Lasting(reason) => {
                // Somebody may mend it; then the next push should see it.
                self.pipeline.forget_prepared();
                self.target(reason)
            }
        }
    }

    fn target(&self, reason: String) -> Attempt {
        Attempt::Fail(PushError::Target { pipeline: self.pipeline.name.clone(), reason })
    }
}

/// An outcome and what it means.
fn explained(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Released => "released (no queue took the message)".to_owned(),
        other => other.to_string(),
    }
}

/// Where a requeued copy goes: the queue that the original came from.
pub(crate) async fn requeue(
    core: &Core,
    pipeline: &Arc<Pipeline>,
    job: Job,
    attempts: u32,
) -> Result<(), PushError> {
    push(core, pipeline, job, Destination::Queue, attempts).await
}
