//! Links that hand messages over with their first frame, to be read while the rest arrives.

use crate::error::LinkError;
use crate::message_reader::MessageReader;
use crate::receiver::Receiver;
use crate::session::LinkHandle;
use amqp_codec::transport::Attach;
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
    /// println!("{:?}", message.head().await?.properties);
    /// while let Some(octets) = message.read_data().await? {
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
        Ok(MessageReader::new(&self.link, taken))
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
