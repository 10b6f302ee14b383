//! What the engine tells its driver.

use super::{LinkKey, SessionKey};
use crate::error::Outcome;

/// Something that happened. Events of one link are joined while they wait: [`Event::Link`] says that its state is
/// worth a look, not what changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The connection's state changed: opened, or ended.
    Connection,
    /// The session's state changed: begun, or ended.
    Session(SessionKey),
    /// The peer wants a link; it is to be accepted or refused.
    LinkRequested(LinkKey),
    /// The link's state changed: attached, credit, drain, a delivery to take, ended.
    Link(LinkKey),
    /// The outcome of a delivery, or `None` when the link ended before there was one.
    Outcome { link: LinkKey, token: Token, number: DeliveryNumber, outcome: Option<Outcome> },
}

/// Names the one who waits for the outcome of a delivery; the engine only carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) usize);

/// Names a delivery sent with `try_deliver`, unique on its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryNumber(pub(crate) u64);
