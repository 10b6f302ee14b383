//! The client's core: a pair of links to a node, and those who wait for its answers.

use crate::connection::Connection;
use crate::delivery::Delivery;
use crate::engine::credit::Credit;
use crate::error::{LinkError, Outcome, SendError};
use crate::link_options::{ReceiverOptions, SenderOptions};
use crate::receiver::Receiver;
use crate::sender::Sender;
use amqp_codec::messaging::{Message, MessageId, Source, Target};
use amqp_codec::transport::SenderSettleMode;
use amqp_codec::{ByteString, Decode};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use uuid::Uuid;

/// Default of [`RequesterOptions::time_out`].
const TIME_OUT: Duration = Duration::from_secs(15);

/// Default of [`RequesterOptions::credit`]. Answers are taken as they come, so that this bounds bursts only.
const CREDIT: u32 = 16;

/// What `reply-to` says where the answers' link has the name of the requests' link.
pub(super) const ME: &str = "$me";

/// How the peer finds the link for its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplyTo {
    /// Both links have the same name and the property `paired`; requests and answers are settled (RabbitMQ 4).
    Paired,
    /// The link for the answers has an address of this side's choice as its target (Service Bus, `$cbs`).
    OwnAddress,
    /// The peer makes an address for the answers: the source is dynamic (AMQP management, Qpid).
    Dynamic,
}

/// Where requests go and how long answers may take.
#[derive(Debug, Clone)]
#[must_use = "pass it to Requester::new"]
pub struct RequesterOptions {
    node: String,
    reply_to: ReplyTo,
    time_out: Duration,
    credit: u32,
}

impl RequesterOptions {
    /// Asks the node at this address.
    pub fn new(node: impl Into<String>, reply_to: ReplyTo) -> Self {
        Self { node: node.into(), reply_to, time_out: TIME_OUT, credit: CREDIT }
    }

    /// How long a request may take, with the attaching of the links if it is the first. Default 15 s.
    pub const fn time_out(mut self, time_out: Duration) -> Self {
        self.time_out = time_out;
        self
    }

    /// How many answers may be on their way at once, 1 and up. Default 16.
    pub const fn credit(mut self, credit: u32) -> Self {
        self.credit = if credit == 0 { 1 } else { credit };
        self
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not sent: the links to the node cannot be attached, or ended.
    #[error("the node cannot be asked: {0}")]
    NotSent(SendError),
    /// It was sent, but the links ended before the answer came: whether it was done is not known.
    #[error("the request was sent, but its answer is lost: {0}")]
    Lost(LinkError),
    /// The node did not take the request over.
    #[error("the node did not take the request: {0}")]
    NotTaken(Outcome),
    /// The answer took longer than [`RequesterOptions::time_out`]: whether the request was done is not known.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer cannot be understood.
    #[error("the answer is not to be understood: {0}")]
    Malformed(String),
}

impl From<LinkError> for RequestError {
    fn from(error: LinkError) -> Self {
        Self::NotSent(SendError::NotSent(error))
    }
}

impl RequestError {
    /// Whether the same request may be answered later. One that was sent may have been done already.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotSent(error) => error.is_retryable(),
            Self::Lost(error) => error.is_retryable(),
            Self::NotTaken(outcome) => !matches!(outcome, Outcome::Rejected(_)),
            Self::Timeout(_) => true,
            Self::Malformed(_) => false,
        }
    }
}

/// Sends requests to a node and finds their answers. Any number of requests may wait at once; clones share the links.
///
/// The links are attached at the first request, on a session of their own because some peers end the session over a
/// request that they do not know. If they end, the next request attaches new ones.
#[derive(Debug, Clone)]
pub struct Requester {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Connection,
    options: RequesterOptions,
    /// Locked while the links are attached.
    links: tokio::sync::Mutex<Option<Arc<Links>>>,
    requests: AtomicU64,
}

impl Requester {
    /// Nothing is sent before the first request.
    #[must_use]
    pub fn new(connection: &Connection, options: RequesterOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                connection: connection.clone(),
                options,
                links: tokio::sync::Mutex::default(),
                requests: AtomicU64::new(0),
            }),
        }
    }

    /// The address of the node that is asked.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.inner.options.node
    }

    /// Sends a request and waits for its answer. `message-id` and `reply-to` are set here.
    ///
    /// Dropping the future before the request left sends nothing; later, its answer is thrown away when it comes.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn request(&self, request: Message) -> Result<Message, RequestError> {
        let time_out = self.inner.options.time_out;
        match tokio::time::timeout(time_out, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(RequestError::Timeout(time_out)),
        }
    }

    async fn exchange(&self, mut request: Message) -> Result<Message, RequestError> {
        let number = self.inner.requests.fetch_add(1, Ordering::Relaxed);
        // Text is the one kind of message-id that every peer gives back unharmed.
        let id = MessageId::from(number.to_string());
        let mut is_first_try = true;
        loop {
            let links = self.links().await?;
            let properties = request.properties.get_or_insert_default();
            properties.message_id = Some(id.clone());
            properties.reply_to = Some(links.reply_to.clone());
            match links.exchange(&request, id.clone()).await {
                // The links had ended and nobody had noticed yet: nothing was sent, so new ones do no harm.
                Err(RequestError::NotSent(SendError::NotSent(_)))
                    if std::mem::take(&mut is_first_try) && !self.inner.connection.is_closed() =>
                {
                    links.waiting.end(LinkError::DetachedLocally);
                }
                answer => return answer,
            }
        }
    }

    async fn links(&self) -> Result<Arc<Links>, RequestError> {
        let mut slot = self.inner.links.lock().await;
        if let Some(links) = &*slot
            && links.waiting.is_open()
        {
            return Ok(Arc::clone(links));
        }
        let links = Arc::new(Links::attach(&self.inner.connection, &self.inner.options).await?);
        *slot = Some(Arc::clone(&links));
        Ok(links)
    }
}

/// One pair of links. It never comes back to life; a new pair is new [`Links`].
#[derive(Debug)]
struct Links {
    sender: Sender,
    reply_to: ByteString,
    is_settled: bool,
    waiting: Arc<Waiting>,
    /// The task that hands out the answers.
    reader: AbortHandle,
}

impl Drop for Links {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Links {
    async fn attach(connection: &Connection, options: &RequesterOptions) -> Result<Self, RequestError> {
        let session = connection.session().await.map_err(LinkError::from)?;
        let node = options.node.as_str();
        let name = format!("{node}-{}", Uuid::new_v4());
        let receiver = ReceiverOptions::new(node).credit(Credit::Auto(options.credit));
        let sender = SenderOptions::new(node);
        let (receiver, sender, reply_to) = match options.reply_to {
            ReplyTo::Paired => (
                receiver
                    .name(name.clone())
                    .target(Target::new(node))
                    .sender_settle_mode(SenderSettleMode::Settled)
                    .property("paired", true),
                sender
                    .name(name)
                    .source(Source::new(node))
                    .settle_mode(SenderSettleMode::Settled)
                    .property("paired", true),
                Some(ByteString::from(ME)),
            ),
            ReplyTo::OwnAddress => {
                let receiver = receiver.name(format!("{name}-replies")).target(Target::new(name.clone()));
                let sender = sender.name(format!("{name}-requests")).source(Source::new(name.clone()));
                (receiver, sender, Some(ByteString::from(name)))
            }
            ReplyTo::Dynamic => {
                (receiver.source(Source { dynamic: true, ..Source::default() }), sender, None)
            }
        };
        // The answers' link first: an answer must find it, with credit.
        let receiver = session.receiver(receiver).await?;
        let sender = session.sender(sender).await?;
        let reply_to = match reply_to {
            Some(reply_to) => reply_to,
            None => dynamic_address(&receiver)?,
        };
        let waiting = Arc::new(Waiting::default());
        let reader = tokio::spawn(read(receiver, sender.clone(), Arc::clone(&waiting))).abort_handle();
        let is_settled = options.reply_to == ReplyTo::Paired;
        Ok(Self { sender, reply_to, is_settled, waiting, reader })
    }

    async fn exchange(&self, request: &Message, id: MessageId) -> Result<Message, RequestError> {
        let Some(mut expected) = self.waiting.expect(id) else {
            return Err(LinkError::DetachedLocally.into());
        };
        if self.is_settled {
            self.sender.send_settled(request).await.map_err(RequestError::NotSent)?;
            return self.answer((&mut expected.answer).await.ok());
        }
        let mut confirmation = self.sender.deliver(request).await.map_err(RequestError::NotSent)?;
        let answer = tokio::select! {
            biased;
            outcome = &mut confirmation => match outcome {
                Ok(Outcome::Accepted | Outcome::Unspecified) => (&mut expected.answer).await.ok(),
                Ok(outcome) => return Err(RequestError::NotTaken(outcome)),
                // The answer may have come all the same.
                Err(error) => match (&mut expected.answer).await {
                    Ok(answer) => Some(answer),
                    Err(_) => return Err(lost(error)),
                },
            },
            // Some answer before they settle.
            answer = &mut expected.answer => answer.ok(),
        };
        self.answer(answer)
    }

    fn answer(&self, answer: Option<Bytes>) -> Result<Message, RequestError> {
        let Some(answer) = answer else { return Err(RequestError::Lost(self.waiting.reason())) };
        Message::from_bytes(answer).map_err(|error| RequestError::Malformed(error.to_string()))
    }
}

/// An outcome that will not come: the request had left.
fn lost(error: SendError) -> RequestError {
    match error {
        SendError::Unknown(error) => RequestError::Lost(error),
        error => RequestError::NotSent(error),
    }
}

fn dynamic_address(receiver: &Receiver) -> Result<ByteString, RequestError> {
    receiver
        .remote_attach()
        .and_then(|attach| attach.source.as_ref())
        .and_then(|source| source.address.clone())
        .ok_or_else(|| {
            RequestError::Malformed("the dynamic source for the answers has no address".to_owned())
        })
}

/// Hands out the answers until either link ends.
async fn read(receiver: Receiver, sender: Sender, waiting: Arc<Waiting>) {
    loop {
        tokio::select! {
            // Answers that are here are handed out before the end of the other link is told; a peer that never stops
            // answering keeps that from its own client only, whose requests run out of time.
            biased;
            delivery = receiver.recv() => match delivery {
                Ok(delivery) => waiting.hand_out(delivery),
                Err(error) => return waiting.end(error),
            },
            error = sender.detached() => return waiting.end(error),
        }
    }
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Waiting {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_id: HashMap<MessageId, oneshot::Sender<Bytes>>,
    /// Why no more answers come.
    end: Option<LinkError>,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self) -> bool {
        self.lock().end.is_none()
    }

    fn reason(&self) -> LinkError {
        self.lock().end.clone().unwrap_or(LinkError::DetachedLocally)
    }

    /// A place to wait for the answer to a request; none if no answers come any more.
    fn expect(&self, id: MessageId) -> Option<Expected<'_>> {
        let (sender, answer) = oneshot::channel();
        let mut state = self.lock();
        if state.end.is_some() {
            return None;
        }
        state.by_id.insert(id.clone(), sender);
        Some(Expected { waiting: self, id, answer })
    }

    /// Gives an answer to the one who waits for it; one that nobody waits for is thrown away.
    fn hand_out(&self, delivery: Delivery) {
        let payload = delivery.payload().clone();
        let id = delivery
            .sections()
            .and_then(|sections| sections.properties())
            .map(|properties| properties?.correlation_id.map(MessageId::from));
        if !delivery.is_settled()
            && let Err(error) = delivery.accept()
        {
            tracing::debug!(%error, "an answer could not be settled");
        }
        match id.map(|id| id.and_then(|id| self.lock().by_id.remove(&id))) {
            // Whoever waited may have gone at this very moment.
            Ok(Some(waiting)) => drop(waiting.send(payload)),
            Ok(None) => tracing::debug!("an answer that nobody waits for"),
            Err(error) => tracing::debug!(%error, "an answer that is no message"),
        }
    }

    /// No more answers come: all who wait are told.
    fn end(&self, reason: LinkError) {
        let mut state = self.lock();
        state.end.get_or_insert(reason);
        state.by_id.clear();
    }
}

/// A place to wait; given back when it is dropped.
#[derive(Debug)]
struct Expected<'a> {
    waiting: &'a Waiting,
    id: MessageId,
    answer: oneshot::Receiver<Bytes>,
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.waiting.lock().by_id.remove(&self.id);
    }
}
