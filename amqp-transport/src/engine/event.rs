//! What the engine tells its driver.

use super::{LinkKey, SessionKey};
use crate::error::Outcome;

/// Something that happened. Events of one link are joined while they wait: [`Event::Link`] says that its state is
/// worth a look, not what changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The connection's state changed: opened, or ended.
    Connection,
    /// The session's state changed: begun, or ended.
    Session(SessionKey),
    /// The peer wants a link; it is to be accepted or refused.
    LinkRequested(LinkKey),
    /// The link's state changed: attached, credit, drain, a delivery to take, ended.
    Link(LinkKey),
    /// The outcome of a delivery.
    Outcome {
        /// The link that it was sent on.
        link: LinkKey,
        /// What was given with it.
        token: Token,
        /// Its number.
        number: DeliveryNumber,
        /// What the peer did with it; `None` when the link ended before that was known.
        outcome: Option<Outcome>,
    },
}

/// Names the one who waits for the outcome of a delivery; the engine only carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(pub usize);

impl Token {
    /// Stands for nobody: what becomes of a delivery that carries it is not told.
    pub const NOBODY: Self = Self(usize::MAX - 1);
}

/// Names a delivery that was sent, unique on its link: the first one is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryNumber(pub(crate) u64);

impl DeliveryNumber {
    /// How many deliveries were handed over on the link before this one.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}
