//! Links to send on.

use crate::engine::OutgoingDelivery;
use crate::engine::event::{DeliveryNumber, Token};
use crate::engine::stats::LinkStats;
use crate::error::{LinkError, Outcome, SendError, SettleError};
use crate::message_writer::MessageWriter;
use crate::runtime::shared::{State, TO_QUEUE};
use crate::session::LinkHandle;
use crate::suspended::SuspendedSender;
use crate::transaction::{Provisional, TransactionId};
use amqp_codec::Encode;
use amqp_codec::messaging::{Body, DeliveryState, Message};
use amqp_codec::transport::{Attach, ErrorInfo};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// An encoded message, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    pub(crate) bytes: Bytes,
    pub(crate) message_format: u32,
    state: Option<Box<DeliveryState>>,
}

impl Payload {
    /// Sends the message within a transaction (§4.4.1), as [`Transaction::send`](crate::transaction::Transaction::send)
    /// does; or, at the resource, as acquired within one (§4.4.3).
    #[must_use]
    pub fn in_transaction(mut self, transaction: &TransactionId) -> Self {
        self.state = Some(Box::new(transaction.state(None)));
        self
    }

    /// Marks the message with a format other than the standard's 0.
    #[must_use]
    pub const fn message_format(mut self, format: u32) -> Self {
        self.message_format = format;
        self
    }

    /// The encoded message.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for Payload {
    /// Takes a message that is encoded already.
    fn from(bytes: Bytes) -> Self {
        Self { bytes, message_format: 0, state: None }
    }
}

impl From<Vec<u8>> for Payload {
    /// Takes a message that is encoded already.
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<&Message> for Payload {
    fn from(message: &Message) -> Self {
        message.to_bytes().into()
    }
}

impl From<Message> for Payload {
    fn from(message: Message) -> Self {
        Self::from(&message)
    }
}

impl Payload {
    /// The beginning of a message for [`Sender::stream`]: the sections before the body, encoded.
    #[must_use]
    pub fn head(head: &Message) -> Self {
        let mut message = head.clone();
        (message.body, message.footer) = (Body::Data(Bytes::new().into()), None);
        let mut bytes = message.to_bytes();
        bytes.truncate(bytes.len().saturating_sub(EMPTY_DATA));
        bytes.into()
    }
}

/// Octets of an empty data section: descriptor, constructor and size.
const EMPTY_DATA: usize = 5;

/// Why a message was not taken by [`Sender::try_deliver`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TryDeliverError {
    /// There is no credit now; the message comes back.
    #[error("the peer has given no credit")]
    NoCredit(Payload),
    /// It cannot be sent on this link.
    #[error(transparent)]
    Send(SendError),
}

impl TryDeliverError {
    /// Whether trying again may succeed: with credit, or on a new link.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoCredit(_) => true,
            Self::Send(error) => error.is_retryable(),
        }
    }
}

/// A link to send on. Clones are the same link; it is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Sender {
    link: Arc<LinkHandle>,
}

impl Sender {
    pub(crate) const fn new(link: Arc<LinkHandle>) -> Self {
        Self { link }
    }

    /// Sends a message and waits for its outcome. How long the peer takes to give credit, and to decide, is its own affair:
    /// `tokio::time::timeout` around this bounds it.
    ///
    /// The message is encoded by the call; nothing is sent before the future is polled. Dropping the future before the peer
    /// gave credit sends nothing; later, the message may be stored and its outcome is lost.
    ///
    /// # Errors
    /// See [`SendError`]. An outcome other than accepted is not an error here: see [`Outcome::accepted`].
    pub fn send(&self, payload: impl Into<Payload>) -> impl Future<Output = Result<Outcome, SendError>> {
        let delivered = self.deliver_payload(payload.into());
        async { delivered.await?.await }
    }

    /// Hands a message over as soon as there is credit, and gives a future for its outcome. Many messages can be on
    /// their way like this.
    ///
    /// The message is encoded by the call; nothing is sent before the future is polled. Dropping this future sends nothing.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn deliver(
        &self,
        payload: impl Into<Payload>,
    ) -> impl Future<Output = Result<Confirmation, SendError>> {
        // Encoded at once: a future that held the message would be many times as large, and be moved about with it.
        self.deliver_payload(payload.into())
    }

    async fn deliver_payload(&self, payload: Payload) -> Result<Confirmation, SendError> {
        let hand_over = |state: &mut State, payload| {
            // The place to wait exists before the message can leave.
            let token = state.new_confirm();
            let sent = state.engine.send(self.link.key, outgoing(payload, false, token));
            if sent.is_err() {
                state.cancel_confirm(token);
            }
            sent.map(|_| token)
        };
        let token = self.with_credit(payload, hand_over).await?;
        Ok(Confirmation { link: Arc::clone(&self.link), token: Some(token) })
    }

    /// Starts a message as soon as there is credit, whose octets are then written in parts: it may be larger than memory.
    /// `head` is its beginning: [`Payload::head`], or nothing. Other messages on this link wait until it is whole; other
    /// links go on in between.
    ///
    /// Dropping the future sends nothing.
    ///
    /// ```no_run
    /// # async fn run(sender: amqp_transport::Sender) -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_codec::messaging::Message;
    /// use amqp_transport::Payload;
    /// use tokio::io::AsyncReadExt;
    ///
    /// let mut file = tokio::fs::File::open("video.mp4").await?;
    /// let mut writer = sender.stream(Payload::head(&Message::default())).await?;
    /// loop {
    ///     let mut part = Vec::with_capacity(64 * 1024);
    ///     if file.read_buf(&mut part).await? == 0 {
    ///         break;
    ///     }
    ///     writer.write_data(part).await?;
    /// }
    /// writer.finish().await?.accepted()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn stream(&self, head: impl Into<Payload>) -> Result<MessageWriter, SendError> {
        let start = |state: &mut State, head| {
            let token = state.new_confirm();
            let sent = state.engine.send_stream(self.link.key, outgoing(head, false, token));
            if sent.is_err() {
                state.cancel_confirm(token);
            }
            sent.map(|number| (token, number))
        };
        let (token, number) = self.with_credit(head.into(), start).await?;
        let confirmation = Confirmation { link: Arc::clone(&self.link), token: Some(token) };
        Ok(MessageWriter::new(Arc::clone(&self.link), number, confirmation))
    }

    pub(crate) const fn link(&self) -> &Arc<LinkHandle> {
        &self.link
    }

    /// Hands a message over that leaves when there is credit; nobody wants to know its outcome.
    pub(crate) fn leave(&self, payload: impl Into<Payload>) {
        let payload = payload.into();
        self.link.shared().act(|state| {
            let token = state.new_confirm();
            match state.engine.send(self.link.key, outgoing(payload, false, token)) {
                Ok(_) => state.abandon_confirm(token),
                Err(_) => state.cancel_confirm(token),
            }
        });
    }

    /// Sends a message settled as soon as there is credit: nobody confirms it, and it may be lost.
    ///
    /// Dropping the future sends nothing.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send_settled(&self, payload: impl Into<Payload>) -> Result<(), SendError> {
        let hand_over = |state: &mut State, payload| {
            state.engine.send(self.link.key, outgoing(payload, true, Token::NOBODY)).map(|_| ())
        };
        self.with_credit(payload.into(), hand_over).await
    }

    /// Waits until there is credit, and does with the message what needs it.
    async fn with_credit<T>(
        &self,
        payload: Payload,
        hand_over: impl Fn(&mut State, Payload) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let mut payload = Some(payload);
        self.link
            .shared()
            .wait(&self.link.changed, |state| {
                let credit = match state.engine.credit(self.link.key) {
                    Ok(credit) => credit,
                    Err(error) => return Some(Err(SendError::NotSent(error))),
                };
                let payload = (credit > 0).then(|| payload.take()).flatten()?;
                Some(hand_over(state, payload))
            })
            .await
    }

    /// Hands a message over if there is credit now. Its outcome comes by [`Sender::next_outcome`]: no future for each
    /// message, which suits a server with many of them on their way.
    ///
    /// # Errors
    /// [`TryDeliverError::NoCredit`] gives the message back.
    pub fn try_deliver(&self, payload: impl Into<Payload>) -> Result<DeliveryNumber, TryDeliverError> {
        let payload = payload.into();
        self.link.shared().act(|state| match state.engine.credit(self.link.key) {
            Ok(0) => Err(TryDeliverError::NoCredit(payload)),
            Ok(_) => state
                .engine
                .send(self.link.key, outgoing(payload, false, TO_QUEUE))
                .map_err(TryDeliverError::Send),
            Err(error) => Err(TryDeliverError::Send(SendError::NotSent(error))),
        })
    }

    /// The next outcome of a message given to [`Sender::try_deliver`], in the order in which the peer told them. For
    /// one caller at a time. Cancel-safe.
    ///
    /// # Errors
    /// Why the link ended; messages without an outcome by then have none.
    pub async fn next_outcome(&self) -> Result<(DeliveryNumber, Outcome), LinkError> {
        self.link
            .shared()
            .wait(&self.link.changed, |state| {
                if let Some(outcome) = state.next_outcome(self.link.key) {
                    return Some(Ok(outcome));
                }
                state.engine.credit(self.link.key).err().map(Err)
            })
            .await
    }

    /// As [`Sender::next_outcome`], without waiting.
    #[must_use]
    pub fn try_next_outcome(&self) -> Option<(DeliveryNumber, Outcome)> {
        self.link.shared().look(|state| state.next_outcome(self.link.key))
    }

    /// How many messages may be handed over now.
    #[must_use]
    pub fn credit(&self) -> u32 {
        self.link.shared().look(|state| state.engine.credit(self.link.key).unwrap_or(0))
    }

    /// Waits until there is credit. Cancel-safe.
    ///
    /// # Errors
    /// Why the link ended.
    pub async fn credit_available(&self) -> Result<(), LinkError> {
        self.link
            .shared()
            .wait(&self.link.changed, |state| match state.engine.credit(self.link.key) {
                Ok(0) => None,
                Ok(_) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            })
            .await
    }

    /// Whether the peer asked to have its credit used up now or given back ([`Sender::drained`]). Links that were
    /// attached from this side give it back by themselves.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.link.shared().look(|state| state.engine.is_draining(self.link.key))
    }

    /// Gives unused credit back if the peer drains: there is nothing to send.
    pub fn drained(&self) {
        self.link.shared().act(|state| state.engine.drained(self.link.key));
    }

    /// Waits for any change of the link from this call on: credit, an outcome, drain, its end. May return without one.
    ///
    /// Call it before looking at the state and await it afterwards, and no change in between is missed:
    ///
    /// ```no_run
    /// # async fn run(sender: amqp_transport::Sender) {
    /// loop {
    ///     let changed = sender.changed();
    ///     if sender.is_draining() {
    ///         sender.drained();
    ///         break;
    ///     }
    ///     changed.await;
    /// }
    /// # }
    /// ```
    pub fn changed(&self) -> impl Future<Output = ()> + Send + '_ {
        self.link.changed.notified()
    }

    /// The transaction within which the receiver at the other end acquires what is sent to it (§4.4.3), if it has said so.
    /// A resource that does not know how closes the link with `amqp:not-implemented`.
    #[must_use]
    pub fn acquisition(&self) -> Option<TransactionId> {
        let acquisition = self.link.shared().look(|state| state.engine.acquisition(self.link.key).cloned());
        acquisition.map(TransactionId::new)
    }

    /// Notes that the transaction of [`Sender::acquisition`] is over.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn end_acquisition(&self) -> Result<(), LinkError> {
        self.link.shared().act(|state| state.engine.set_acquisition(self.link.key, None))
    }

    /// Settles a delivery on which the receiver gave a verdict within a transaction that is committed now (§4.4.2).
    /// `outcome` is what it has become. A verdict that came settled needs no answer.
    ///
    /// # Errors
    /// [`SettleError`] if the receiver settled it first, or the link ended.
    pub fn settle(&self, provisional: &Provisional, outcome: Outcome) -> Result<(), SettleError> {
        let Some(id) = provisional.id else { return Err(SettleError::Revoked) };
        self.link.shared().act(|state| state.engine.settle_sent(self.link.key, id, outcome))
    }

    /// Notes that the transaction of a verdict was rolled back: the delivery is the receiver's as before, which can give
    /// another verdict. False if it is not: it has been settled, or the link has ended.
    pub fn revert(&self, provisional: &Provisional) -> bool {
        let (key, id) = (self.link.key, provisional.id);
        id.is_some_and(|id| self.link.shared().act(|state| state.engine.revert(key, id)))
    }

    /// What the peer's attach said: the target that is really there, limits, properties.
    #[must_use]
    pub fn remote_attach(&self) -> Option<&Attach> {
        self.link.remote_attach.as_deref()
    }

    /// The address of the node that messages go to, as the peer's attach says: of a dynamic node, the one it got.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.remote_attach()?.target.as_ref()?.address().map(|address| &**address)
    }

    /// What the link carried so far, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.link.stats()
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.link.name
    }

    /// Detaches the link for good and waits for the peer's answer. Outcomes that are still missing stay unknown.
    /// Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// Why the link had ended before.
    pub async fn close(&self) -> Result<(), LinkError> {
        self.link.detach(true, None).await
    }

    /// Detaches the link for good and tells the peer why. Outcomes that are still missing stay unknown.
    ///
    /// # Errors
    /// Why the link had ended before.
    pub async fn close_with(&self, error: ErrorInfo) -> Result<(), LinkError> {
        self.link.detach(true, Some(error)).await
    }

    /// Detaches the link but leaves its terminus at the peer.
    ///
    /// # Errors
    /// Why the link had ended before.
    pub async fn detach(&self) -> Result<(), LinkError> {
        self.link.detach(false, None).await
    }

    /// Detaches the link, if it has not ended already, and gives what is unsettled on it: to be resumed on the same session,
    /// another one or another connection with [`Session::resume_sender`](crate::Session::resume_sender). Confirmations that
    /// are still awaited fail with [`SendError::Unknown`]; what became of their messages is told when the link is resumed.
    /// `None` if it was not attached as [`resumable`](crate::SenderOptions::resumable).
    ///
    /// Dropping the future does not stop the detaching.
    pub async fn suspend(&self) -> Option<SuspendedSender> {
        if let Err(error) = self.link.detach(false, None).await {
            tracing::debug!(link = self.link.name, %error, "a link had ended before it was suspended");
        }
        let unsettled = self.link.shared().act(|state| state.engine.take_unsettled(self.link.key))?;
        Some(SuspendedSender::new(self.link.name.clone(), unsettled))
    }

    /// Waits until the link ends, and tells why.
    pub async fn detached(&self) -> LinkError {
        self.link.detached().await
    }
}

fn outgoing(payload: Payload, settled: bool, token: Token) -> OutgoingDelivery {
    OutgoingDelivery {
        payload: payload.bytes,
        message_format: payload.message_format,
        settled,
        token,
        tag: None,
        state: payload.state,
    }
}

/// The outcome of a message that was handed over. Dropping it means that nobody wants to know.
#[derive(Debug)]
#[must_use = "a message is stored only if its outcome is accepted"]
pub struct Confirmation {
    link: Arc<LinkHandle>,
    token: Option<Token>,
}

impl Confirmation {
    pub(crate) const fn new(link: Arc<LinkHandle>, token: Option<Token>) -> Self {
        Self { link, token }
    }
}

impl Future for Confirmation {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(token) = self.token else {
            return Poll::Ready(Err(SendError::Unknown(LinkError::DetachedLocally)));
        };
        let polled = self.link.shared().look(|state| state.poll_confirm(token, cx.waker()));
        polled.map(|outcome| {
            self.token = None;
            outcome.ok_or_else(|| SendError::Unknown(self.link.end().unwrap_or(LinkError::DetachedLocally)))
        })
    }
}

impl Drop for Confirmation {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            self.link.shared().look(|state| state.abandon_confirm(token));
        }
    }
}
