//! Links that hand messages over with their first frame, to be read while the rest arrives.

use crate::engine::{Incoming, StreamPart};
use crate::error::{LinkError, Outcome, SettleError, StreamError};
use crate::receiver::Receiver;
use crate::session::LinkHandle;
use amqp_codec::messaging::{DeliveryState, Modified};
use amqp_codec::transport::{Attach, ErrorInfo};
use bytes::Bytes;
use std::sync::Arc;

/// A link to receive messages in parts on (§2.6.14): each is handed over with its first frame. Clones are the same link; it
/// is closed when the last one, and the last of its messages, is dropped.
///
/// What arrived and is not read yet is held below [`Limits::max_stream_bytes`](crate::Limits::max_stream_bytes) by closing
/// the session's window: **other links on the session wait as well** while nobody reads. Links that are to go on get a
/// session of their own, as [`Connection::stream_receiver`](crate::Connection::stream_receiver) gives them.
#[derive(Debug, Clone)]
pub struct StreamReceiver {
    link: Arc<LinkHandle>,
    inner: Receiver,
}

impl StreamReceiver {
    pub(crate) fn new(link: Arc<LinkHandle>) -> Self {
        Self { inner: Receiver::new(Arc::clone(&link)), link }
    }

    /// The next message, as soon as its first frame is here. Cancel-safe: a message is either returned or still waits.
    ///
    /// ```no_run
    /// # async fn run(session: amqp_transport::Session) -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_transport::ReceiverOptions;
    /// let receiver = session.stream_receiver(ReceiverOptions::new("/queues/videos")).await?;
    /// let mut message = receiver.recv().await?;
    /// while let Some(octets) = message.read().await? {
    ///     println!("{} octets more", octets.len());
    /// }
    /// message.accept()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Why the link ended.
    pub async fn recv(&self) -> Result<MessageReader, LinkError> {
        let taken = self
            .link
            .shared()
            .wait(&self.link.changed, |state| state.engine.take(self.link.key).transpose())
            .await?;
        Ok(MessageReader { link: Arc::clone(&self.link), is_settled: taken.settled, incoming: taken })
    }

    /// As [`Receiver::set_credit`].
    ///
    /// # Errors
    /// Why the link ended.
    pub fn set_credit(&self, credit: u32) -> Result<(), LinkError> {
        self.inner.set_credit(credit)
    }

    /// As [`Receiver::pause`].
    ///
    /// # Errors
    /// Why the link ended.
    pub fn pause(&self) -> Result<(), LinkError> {
        self.inner.pause()
    }

    /// As [`Receiver::resume`].
    ///
    /// # Errors
    /// Why the link ended.
    pub fn resume(&self) -> Result<(), LinkError> {
        self.inner.resume()
    }

    /// What the peer's attach said.
    #[must_use]
    pub fn remote_attach(&self) -> Option<&Attach> {
        self.inner.remote_attach()
    }

    /// The link's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// As [`Receiver::close`]. Messages that are being read end with an error.
    ///
    /// # Errors
    /// Why the link had ended before.
    pub async fn close(&self) -> Result<(), LinkError> {
        self.inner.close().await
    }

    /// Waits until the link ends, and tells why.
    pub async fn detached(&self) -> LinkError {
        self.inner.detached().await
    }
}

/// A message that is read while it arrives. A verdict may be given at any time: before the end, the rest is thrown away as
/// it comes. Dropped without one, the message is released.
#[derive(Debug)]
#[must_use = "a message that is dropped goes back to the peer"]
pub struct MessageReader {
    link: Arc<LinkHandle>,
    incoming: Incoming,
    is_settled: bool,
}

impl MessageReader {
    /// The next octets of the encoded message, as they come; `None` at its end. Boundaries between them mean nothing.
    /// Cancel-safe: octets are either returned or still wait.
    ///
    /// # Errors
    /// [`StreamError::Aborted`] if the peer took the message back: no verdict is wanted then. [`StreamError::Link`] if
    /// the link ended before the message was whole.
    pub async fn read(&mut self) -> Result<Option<Bytes>, StreamError> {
        let (key, id) = (self.link.key, self.incoming.id);
        self.link
            .shared()
            .wait(&self.link.changed, |state| match state.engine.read_stream(key, id) {
                Ok(StreamPart::Octets(octets)) => Some(Ok(Some(octets))),
                Ok(StreamPart::End) => Some(Ok(None)),
                Ok(StreamPart::Pending) => None,
                Err(error) => Some(Err(error)),
            })
            .await
    }

    /// The sender's tag.
    #[must_use]
    pub const fn delivery_tag(&self) -> &Bytes {
        &self.incoming.tag
    }

    /// The message-format; 0 is the standard's.
    #[must_use]
    pub const fn message_format(&self) -> u32 {
        self.incoming.message_format
    }

    /// Whether it came settled: then no verdict is wanted.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.incoming.settled
    }

    /// The state that the sender gave it with its first frame, such as a transaction's.
    #[must_use]
    pub const fn state(&self) -> Option<&DeliveryState> {
        self.incoming.state.as_ref()
    }

    /// Takes the message over.
    ///
    /// # Errors
    /// As [`MessageReader::settle`].
    pub fn accept(self) -> Result<(), SettleError> {
        self.settle(Outcome::Accepted)
    }

    /// Refuses the message as invalid.
    ///
    /// # Errors
    /// As [`MessageReader::settle`].
    pub fn reject(self, error: Option<ErrorInfo>) -> Result<(), SettleError> {
        self.settle(Outcome::Rejected(error))
    }

    /// Gives the message back unchanged.
    ///
    /// # Errors
    /// As [`MessageReader::settle`].
    pub fn release(self) -> Result<(), SettleError> {
        self.settle(Outcome::Released)
    }

    /// Gives the message back changed.
    ///
    /// # Errors
    /// As [`MessageReader::settle`].
    pub fn modify(self, modified: Modified) -> Result<(), SettleError> {
        self.settle(Outcome::Modified(modified))
    }

    /// Gives a verdict. What has not come of the message yet is thrown away.
    ///
    /// # Errors
    /// [`SettleError`] if the peer has taken the message back or the link ended.
    pub fn settle(mut self, outcome: Outcome) -> Result<(), SettleError> {
        if std::mem::replace(&mut self.is_settled, true) { Ok(()) } else { self.give(outcome) }
    }

    fn give(&self, outcome: Outcome) -> Result<(), SettleError> {
        self.link.shared().act(|state| state.engine.settle(self.link.key, self.incoming.id, outcome))
    }
}

impl Drop for MessageReader {
    fn drop(&mut self) {
        if !self.is_settled {
            // If the link is gone the peer has it back already.
            let _ = self.give(Outcome::Released);
        }
        self.link.shared().act(|state| state.engine.forget_stream(self.link.key, self.incoming.id));
    }
}
