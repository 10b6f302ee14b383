//! Messages received, and the verdicts on them.

use crate::engine::{Incoming, Serial};
use crate::error::{Outcome, SettleError};
use crate::session::LinkHandle;
use crate::transaction::TransactionId;
use amqp_codec::messaging::{Message, MessageSections, Modified};
use amqp_codec::transport::ErrorInfo;
use amqp_codec::{Decode, DecodeError};
use bytes::Bytes;
use std::sync::Arc;

/// The verdicts on a message received, whole or in parts.
macro_rules! verdicts {
    ($message:ident) => {
        impl $message {
            /// Takes the message over.
            ///
            /// # Errors
            /// As [`settle`](Self::settle).
            pub fn accept(self) -> Result<(), SettleError> {
                self.settle(Outcome::Accepted)
            }

            /// Refuses the message as invalid: brokers dead-letter it or throw it away.
            ///
            /// # Errors
            /// As [`settle`](Self::settle).
            pub fn reject(self, error: Option<ErrorInfo>) -> Result<(), SettleError> {
                self.settle(Outcome::Rejected(error))
            }

            /// Gives the message back unchanged.
            ///
            /// # Errors
            /// As [`settle`](Self::settle).
            pub fn release(self) -> Result<(), SettleError> {
                self.settle(Outcome::Released)
            }

            /// Gives the message back changed: as failed, as undeliverable here, with annotations.
            ///
            /// # Errors
            /// As [`settle`](Self::settle).
            pub fn modify(self, modified: Modified) -> Result<(), SettleError> {
                self.settle(Outcome::Modified(modified))
            }

            /// Gives a verdict. What has not come yet of a message in parts is thrown away.
            ///
            /// # Errors
            /// [`SettleError`] if the peer has taken the message back or the link ended: then it will come again, to this
            /// consumer or another.
            pub fn settle(mut self, outcome: Outcome) -> Result<(), SettleError> {
                if std::mem::replace(&mut self.is_settled, true) {
                    return Ok(());
                }
                self.give(outcome)
            }

            fn give(&self, outcome: Outcome) -> Result<(), SettleError> {
                self.link.shared().act(|state| state.engine.settle(self.link.key, self.incoming.id, outcome))
            }
        }
    };
}
pub(crate) use verdicts;

/// A message received. Settle it with one of its methods; dropped without a verdict, it is released.
///
/// The verdict is queued, not awaited: neighbours with the same verdict leave together.
#[derive(Debug)]
#[must_use = "a delivery that is dropped goes back to the peer"]
pub struct Delivery {
    link: Arc<LinkHandle>,
    incoming: Incoming,
    is_settled: bool,
}

impl Delivery {
    pub(crate) fn new(link: &Arc<LinkHandle>, incoming: Incoming) -> Self {
        Self { link: Arc::clone(link), is_settled: incoming.settled, incoming }
    }

    pub(crate) const fn link(&self) -> &Arc<LinkHandle> {
        &self.link
    }

    pub(crate) const fn id(&self) -> Serial {
        self.incoming.id
    }

    /// The encoded message.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.incoming.payload
    }

    /// The whole message, decoded.
    ///
    /// # Errors
    /// What is wrong with the encoding; the delivery is best rejected then.
    pub fn message(&self) -> Result<Message, DecodeError> {
        Message::from_bytes(self.incoming.payload.clone())
    }

    /// The message's sections, found but not decoded; what is read of them is borrowed from the delivery.
    ///
    /// # Errors
    /// What is wrong with the encoding; the delivery is best rejected then.
    pub fn sections(&self) -> Result<MessageSections<'_>, DecodeError> {
        MessageSections::parse(&self.incoming.payload)
    }

    /// The sender's tag: unique among its unsettled deliveries on this link, at most 32 octets.
    #[must_use]
    pub const fn delivery_tag(&self) -> &Bytes {
        &self.incoming.tag
    }

    /// The message-format; 0 is the standard's.
    #[must_use]
    pub const fn message_format(&self) -> u32 {
        self.incoming.message_format
    }

    /// The transaction within which it was sent (§4.4.1), or acquired (§4.4.3). The verdict on it is then to be an
    /// [`Outcome::Provisional`].
    #[must_use]
    pub fn transaction(&self) -> Option<TransactionId> {
        TransactionId::of(self.incoming.state.as_ref())
    }

    /// Whether it came settled: then no verdict is wanted.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.incoming.settled
    }

    /// Whether it is no longer this side's to settle: the peer took it back, or the link ended.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        let (key, id) = (self.link.key, self.incoming.id);
        !self.is_settled && !self.link.shared().look(|state| state.engine.is_unsettled(key, id))
    }
}

verdicts!(Delivery);

impl Drop for Delivery {
    fn drop(&mut self) {
        if !self.is_settled {
            // If the link is gone the peer has it back already.
            let _ = self.give(Outcome::Released);
        }
    }
}
