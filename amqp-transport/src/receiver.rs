//! Links to receive on.

use crate::delivery::Delivery;
use crate::engine::LinkStatus;
use crate::engine::stats::LinkStats;
use crate::error::LinkError;
use crate::session::LinkHandle;
use crate::suspended::SuspendedReceiver;
use amqp_codec::transport::{Attach, ErrorInfo};
use amqp_codec::types::Value;
use bytes::Bytes;
use std::sync::Arc;

/// A link to receive on. Clones are the same link; it is closed when the last one, and the last of its deliveries, is
/// dropped.
#[derive(Debug, Clone)]
pub struct Receiver {
    link: Arc<LinkHandle>,
}

impl Receiver {
    pub(crate) const fn new(link: Arc<LinkHandle>) -> Self {
        Self { link }
    }

    pub(crate) const fn link(&self) -> &Arc<LinkHandle> {
        &self.link
    }

    /// The next delivery. Cancel-safe: a delivery is either returned or still waits.
    ///
    /// # Errors
    /// Why the link ended; deliveries that were not taken are the peer's again.
    pub async fn recv(&self) -> Result<Delivery, LinkError> {
        let taken = self
            .link
            .shared()
            .wait(&self.link.changed, |state| state.engine.take(self.link.key).transpose())
            .await?;
        Ok(Delivery::new(&self.link, taken))
    }

    /// A delivery that waits already.
    #[must_use]
    pub fn try_recv(&self) -> Option<Delivery> {
        let taken = self.link.shared().act(|state| state.engine.take(self.link.key)).ok().flatten()?;
        Some(Delivery::new(&self.link, taken))
    }

    /// How many deliveries wait to be taken.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.link.shared().look(|state| state.engine.queued(self.link.key))
    }

    /// Grants this much credit in all, for [`Credit::Manual`](crate::Credit::Manual): it replaces what is left of an
    /// earlier grant.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn set_credit(&self, credit: u32) -> Result<(), LinkError> {
        self.link.shared().act(|state| state.engine.set_credit(self.link.key, credit))
    }

    /// Takes all credit back. Deliveries under way still arrive; those that arrived can still be taken and settled.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn pause(&self) -> Result<(), LinkError> {
        self.link.shared().act(|state| state.engine.pause(self.link.key))
    }

    /// Asks for deliveries again after [`Receiver::pause`].
    ///
    /// # Errors
    /// Why the link ended.
    pub fn resume(&self) -> Result<(), LinkError> {
        self.link.shared().act(|state| state.engine.resume(self.link.key))
    }

    /// Asks the peer to use up the credit or give it back, and waits until it has: then nothing more comes until
    /// [`Receiver::resume`] or [`Receiver::set_credit`]. RabbitMQ 3.10 crashes over it; pause there instead. Dropping the future does not stop it.
    ///
    /// It is about credit that is there: after [`Receiver::pause`], which has taken it back, what was under way may still come.
    ///
    /// # Errors
    /// Why the link ended; [`LinkError::Timeout`] if nothing has come for [`Limits::answer`](crate::Limits::answer), no
    /// message and no answer: that still may.
    pub async fn drain(&self) -> Result<(), LinkError> {
        let shared = self.link.shared();
        shared.act(|state| state.engine.drain(self.link.key))?;
        loop {
            let before = self.link.stats();
            let drained = shared.wait_for_answer(&self.link.changed, |state| {
                match state.engine.is_drain_pending(self.link.key) {
                    Ok(true) => None,
                    Ok(false) => Some(Ok(())),
                    Err(error) => Some(Err(error)),
                }
            });
            if let Some(drained) = drained.await {
                return drained;
            }
            // What it owes first may be many messages, and large ones.
            let now = self.link.stats();
            if (now.deliveries, now.octets) == (before.deliveries, before.octets) {
                return Err(LinkError::Timeout("draining a link"));
            }
        }
    }

    /// Whether the link is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.shared().look(|state| state.engine.link_status(self.link.key) == LinkStatus::Attached)
    }

    /// What the peer's attach said: the source that is really there, filters in force, properties.
    #[must_use]
    pub fn remote_attach(&self) -> Option<&Attach> {
        self.link.remote_attach.as_deref()
    }

    /// The address of the node that messages come from, as the peer's attach says: of a dynamic node, the one it got.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.remote_attach()?.source.as_ref()?.address.as_deref()
    }

    /// Whether the peer applies the filter of this name: those that it does not know are missing in its attach.
    #[must_use]
    pub fn has_filter(&self, name: &str) -> bool {
        let source = self.remote_attach().and_then(|attach| attach.source.as_ref());
        let filters = source.and_then(|source| source.filter.as_ref());
        filters.and_then(|filters| filters.get(name)).is_some_and(|filter| *filter != Value::Null)
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

    /// Detaches the link for good and waits for the peer's answer. Deliveries that were not taken are released; those
    /// taken and not settled are the peer's again. Dropping the future does not stop the closing.
    ///
    /// # Errors
    /// Why the link had ended before.
    pub async fn close(&self) -> Result<(), LinkError> {
        self.link.detach(true, None).await
    }

    /// Detaches the link for good and tells the peer why. Deliveries taken and not settled are the peer's again.
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
    /// another one or another connection with [`Session::resume_receiver`](crate::Session::resume_receiver). Deliveries
    /// that were taken cannot be settled any more: their verdicts go to [`SuspendedReceiver::decide`]. `None` if the link
    /// was not attached as [`resumable`](crate::ReceiverOptions::resumable).
    ///
    /// Dropping the future does not stop the detaching.
    pub async fn suspend(&self) -> Option<SuspendedReceiver> {
        if let Err(error) = self.link.detach(false, None).await {
            tracing::debug!(link = self.link.name, %error, "a link had ended before it was suspended");
        }
        let unsettled = self.link.shared().act(|state| state.engine.take_unsettled(self.link.key))?;
        Some(SuspendedReceiver::new(self.link.name.clone(), unsettled))
    }

    /// The tags of deliveries that the link was resumed with and that the peer has not come back to yet: those without a
    /// verdict it sends once more, the others it settles.
    #[must_use]
    pub fn unresolved(&self) -> Vec<Bytes> {
        self.link.shared().look(|state| state.engine.unresolved(self.link.key))
    }

    /// Waits until the link ends, and tells why.
    pub async fn detached(&self) -> LinkError {
        self.link.detached().await
    }
}
