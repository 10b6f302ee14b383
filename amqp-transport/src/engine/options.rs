//! How links are asked for and answered, beyond what every link needs.

use super::Termini;
use super::credit::Credit;
use super::event::Token;
use super::link::resume::UnsettledDelivery;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::types::{Fields, Symbol};
use bytes::Bytes;

/// How a delivery is taken back of which a part has left (§2.6.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AbortPolicy {
    /// A frame says that it is aborted, and the link goes on.
    #[default]
    Abort,
    /// The link is closed with an error. For peers that do not know of aborted deliveries and would take what they
    /// have of it for a whole message, as RabbitMQ 4 does.
    Detach,
}

/// What a link goes on with that can be resumed (§2.6.13). A default value makes a new link one that can be: what is unsettled
/// when it ends is kept, and [`Engine::take_unsettled`](super::Engine::take_unsettled) gives it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Resumption {
    /// Whether the link is resumed: then the peer is told what is unsettled here, even if that is nothing.
    pub is_resumed: bool,
    /// A sender's deliveries; the tokens come back with their outcomes.
    pub deliveries: Vec<(UnsettledDelivery, Token)>,
    /// A receiver's deliveries: tag, and the verdict if there is one.
    pub verdicts: Vec<(Bytes, Option<DeliveryState>)>,
    /// As [`Unsettled::next_tag`].
    pub next_tag: u32,
}

/// What a link that can be resumed left behind.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Unsettled {
    /// A sender's deliveries, in the order in which they were handed over.
    pub deliveries: Vec<UnsettledDelivery>,
    /// A receiver's deliveries, by their tags, and the verdict that the peer was told and has not applied yet.
    pub verdicts: Vec<(Bytes, Option<DeliveryState>)>,
    /// Where the tags that a sender makes go on.
    pub next_tag: u32,
}

/// How a link that the peer asked for is accepted, for
/// [`Engine::accept_with`](super::Engine::accept_with). Set fields on a default value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkAnswer {
    /// The termini that are really in force; one that is left out is the peer's own.
    pub termini: Termini,
    /// How a receiver asks for deliveries (default [`Credit::Manual`]).
    pub credit: Credit,
    /// Properties of the link.
    pub properties: Option<Fields>,
    /// Extensions that this side supports.
    pub offered_capabilities: Vec<Symbol>,
    /// How a sender takes a delivery back of which a part has left.
    pub abort_policy: AbortPolicy,
    /// As [`LinkOptions::streams`](super::LinkOptions::streams).
    pub streams: bool,
    /// As [`LinkOptions::max_message_size`](super::LinkOptions::max_message_size).
    pub max_message_size: Option<u64>,
    /// Whether the link can be resumed, and with what.
    pub resumption: Option<Resumption>,
}

impl Default for LinkAnswer {
    fn default() -> Self {
        Self {
            termini: Termini::default(),
            credit: Credit::Manual,
            properties: None,
            offered_capabilities: Vec::new(),
            abort_policy: AbortPolicy::Abort,
            streams: false,
            max_message_size: None,
            resumption: None,
        }
    }
}
