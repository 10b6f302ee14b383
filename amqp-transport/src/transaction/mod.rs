//! Transactions (part 4): several messages sent and several verdicts given, all or none of which take effect.
//!
//! ```no_run
//! # async fn run(session: amqp_transport::Session) -> Result<(), Box<dyn std::error::Error>> {
//! use amqp_codec::messaging::Message;
//! use amqp_transport::{Outcome, ReceiverOptions, SenderOptions};
//!
//! let orders = session.receiver(ReceiverOptions::new("orders")).await?;
//! let invoices = session.sender(SenderOptions::new("invoices")).await?;
//! let controller = session.controller().await?;
//!
//! let order = orders.recv().await?;
//! let transaction = controller.declare().await?;
//! transaction.send(&invoices, Message::data("an invoice")).await?.accepted()?;
//! transaction.settle(order, Outcome::Accepted)?;
//! // The order is gone and the invoice is there, or neither.
//! transaction.commit().await?;
//! # Ok(()) }
//! ```
//!
//! The side that has the messages, the resource, takes the controllers' links with a [`Coordinator`]; see there.

#[cfg(feature = "tokio")]
mod controller;
#[cfg(feature = "tokio")]
mod coordinator;
#[cfg(feature = "tokio")]
mod error;

#[cfg(feature = "tokio")]
pub use controller::{Controller, Post, PostWriter, Transaction};
#[cfg(feature = "tokio")]
pub use coordinator::{ControlLink, Coordinator, CoordinatorLimits, Discharge};
#[cfg(feature = "tokio")]
pub use error::TransactionError;

use crate::engine::Serial;
use crate::error::Outcome;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transactions::TransactionalState;
use bytes::Bytes;
use std::fmt;

/// What a coordinator can do (§4.5.6); what is here is what [`Coordinator`] offers.
#[cfg(feature = "tokio")]
mod capability {
    use amqp_codec::types::Symbol;

    /// Transactions at one resource.
    pub(super) const LOCAL: Symbol = Symbol::from_static("amqp:local-transactions");
    /// Several transactions at once on a session.
    pub(super) const MULTI_TXNS_PER_SESSION: Symbol = Symbol::from_static("amqp:multi-txns-per-ssn");
    /// One transaction over several sessions of the connection.
    pub(super) const MULTI_SESSIONS_PER_TXN: Symbol = Symbol::from_static("amqp:multi-ssns-per-txn");
}

/// Names a transaction to its coordinator: up to 32 octets (§4.5.7).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(Bytes);

impl TransactionId {
    /// An id of these octets.
    #[must_use]
    pub const fn new(octets: Bytes) -> Self {
        Self(octets)
    }

    /// Its octets.
    #[must_use]
    pub const fn octets(&self) -> &Bytes {
        &self.0
    }

    /// The state of a delivery within this transaction, as the [`engine`](crate::engine) wants it.
    #[must_use]
    pub fn state(&self, outcome: Option<DeliveryState>) -> DeliveryState {
        let mut state = TransactionalState::new(self.0.clone());
        state.outcome = outcome;
        DeliveryState::Transactional(Box::new(state))
    }

    /// The transaction that a state names. The octets are its own: they may be kept for long.
    #[must_use]
    pub fn of(state: Option<&DeliveryState>) -> Option<Self> {
        match state {
            Some(DeliveryState::Transactional(state)) => Some(Self(Bytes::copy_from_slice(&state.txn_id))),
            _ => None,
        }
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(32).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

/// An outcome that holds only if its transaction is committed (§4.5.8).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Provisional {
    /// The transaction.
    pub transaction: TransactionId,
    /// What the outcome will be; [`Outcome::Unspecified`] if that was not said.
    pub outcome: Outcome,
    /// Whether the delivery is settled already. One that is not stays the peer's if the transaction is rolled back.
    pub is_settled: bool,
    /// The delivery's id, if it was sent from here: names it to
    /// [`Engine::settle_sent`](crate::engine::Engine::settle_sent) and [`Engine::revert`](crate::engine::Engine::revert).
    pub id: Option<Serial>,
}

impl Provisional {
    /// An outcome within a transaction.
    pub const fn new(transaction: TransactionId, outcome: Outcome) -> Self {
        Self { transaction, outcome, is_settled: false, id: None }
    }

    pub(crate) fn of(state: TransactionalState) -> Self {
        let transaction = TransactionId(Bytes::copy_from_slice(&state.txn_id));
        Self::new(transaction, Outcome::from_state(state.outcome))
    }

    pub(crate) fn into_state(self) -> TransactionalState {
        let mut state = TransactionalState::new(self.transaction.0);
        state.outcome = self.outcome.into_state();
        state
    }
}

impl fmt::Display for Provisional {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, if transaction {} is committed", self.outcome, self.transaction)
    }
}
