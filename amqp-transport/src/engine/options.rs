//! How links are asked for and answered, beyond what every link needs.

use super::Termini;
use super::credit::Credit;
use amqp_codec::types::{Fields, Symbol};

/// How a delivery is taken back of which a part has left (§2.6.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AbortPolicy {
    /// A frame says that it is aborted, and the link goes on (the default).
    #[default]
    Abort,
    /// The link is closed with an error. For peers that do not know of aborted deliveries and would take what they
    /// have of it for a whole message, as RabbitMQ 4 does.
    Detach,
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
        }
    }
}
