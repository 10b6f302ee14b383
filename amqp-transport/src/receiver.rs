//! Links to receive on.

use crate::delivery::Delivery;
use crate::engine::credit::Credit;
use crate::engine::{AbortPolicy, LinkOptions, LinkStatus, Termini};
use crate::error::LinkError;
use crate::session::LinkHandle;
use amqp_codec::messaging::{Source, Target};
use amqp_codec::transport::{Attach, ErrorInfo, ReceiverSettleMode, Role, SenderSettleMode};
use amqp_codec::types::{Fields, Symbol, Value};
use std::sync::Arc;
use uuid::Uuid;

/// How a link to receive on is to be. Only the address is needed.
#[derive(Debug, Clone)]
#[must_use = "pass it to Session::receiver"]
pub struct ReceiverOptions {
    name: Option<String>,
    source: Source,
    target: Target,
    credit: Credit,
    settle_mode: ReceiverSettleMode,
    sender_settle_mode: SenderSettleMode,
    properties: Fields,
}

impl ReceiverOptions {
    /// Receives from the node at this address, at most 100 messages ahead.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            name: None,
            source: Source { address: Some(address.into().into()), ..Source::default() },
            target: Target::default(),
            credit: Credit::Auto(100),
            settle_mode: ReceiverSettleMode::First,
            sender_settle_mode: SenderSettleMode::Mixed,
            properties: Fields::default(),
        }
    }

    /// The link's name, unique between the two containers; a fresh UUID if not set.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// How deliveries are asked for.
    pub const fn credit(mut self, credit: Credit) -> Self {
        self.credit = credit;
        self
    }

    /// Whether this side settles at once (first, the default) or after the sender (second).
    pub const fn settle_mode(mut self, mode: ReceiverSettleMode) -> Self {
        self.settle_mode = mode;
        self
    }

    /// How the sender is asked to send: settled means at most once.
    pub const fn sender_settle_mode(mut self, mode: SenderSettleMode) -> Self {
        self.sender_settle_mode = mode;
        self
    }

    /// The whole source, in place of its address alone: filters, capabilities, a dynamic node.
    pub fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// What this side says of its own terminus.
    pub fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// A capability that the source is to have, such as `queue`.
    pub fn capability(mut self, capability: &'static str) -> Self {
        self.source.capabilities.push(Symbol::from_static(capability));
        self
    }

    /// A link property, such as `paired`.
    pub fn property(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Ok(name) = Symbol::try_from(name) {
            self.properties.insert(name, value.into());
        }
        self
    }

    pub(crate) const fn credit_mode(&self) -> Credit {
        self.credit
    }

    pub(crate) fn into_link(self) -> LinkOptions {
        LinkOptions {
            name: self.name.unwrap_or_else(|| Uuid::new_v4().to_string()).into(),
            role: Role::Receiver,
            termini: Termini::new(self.source, self.target),
            snd_settle_mode: self.sender_settle_mode,
            rcv_settle_mode: self.settle_mode,
            credit: self.credit,
            properties: (!self.properties.is_empty()).then_some(self.properties),
            desired_capabilities: Vec::new(),
            abort_policy: AbortPolicy::Abort,
        }
    }
}

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

    /// Grants this much credit in all, for [`Credit::Manual`]: it replaces what is left of an earlier grant.
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
    /// # Errors
    /// Why the link ended.
    pub async fn drain(&self) -> Result<(), LinkError> {
        self.link.shared().act(|state| state.engine.drain(self.link.key))?;
        self.link
            .shared()
            .wait(&self.link.changed, |state| match state.engine.is_drain_pending(self.link.key) {
                Ok(true) => None,
                Ok(false) => Some(Ok(())),
                Err(error) => Some(Err(error)),
            })
            .await
    }

    /// Whether the link is attached.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.link.shared().look(|state| state.engine.link_status(self.link.key) == LinkStatus::Attached)
    }

    /// What the peer's attach said: the source that is really there, filters in force, properties.
    #[must_use]
    pub fn remote_attach(&self) -> Option<&Attach> {
        self.link.remote_attach.as_ref()
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

    /// Waits until the link ends, and tells why.
    pub async fn detached(&self) -> LinkError {
        self.link.detached().await
    }
}
