//! Transactions (part 4).

use crate::composite::{DecodeField, composite};
use crate::messaging::DeliveryState;
use crate::types::{Symbol, Value};
use bytes::Bytes;

composite! {
    /// The target of a link that controls transactions (§4.5.1).
    Coordinator = 0x30 "amqp:coordinator:list" new() {
        /// What it can do, such as `amqp:local-transactions`.
        multiple capabilities: Vec<Symbol>;
    }
}

composite! {
    /// Asks for a transaction (§4.5.2).
    Declare = 0x31 "amqp:declare:list" new() {
        /// The global transaction that it belongs to.
        optional global_id: Option<Value>;
    }
}

composite! {
    /// Ends a transaction (§4.5.3).
    Discharge = 0x32 "amqp:discharge:list" new(txn_id: Bytes) {
        /// The transaction, up to 32 octets.
        mandatory txn_id: Bytes;
        /// Whether it is rolled back.
        optional fail: Option<bool>;
    }
}

composite! {
    /// The outcome of a declare (§4.5.5).
    Declared = 0x33 "amqp:declared:list" new(txn_id: Bytes) {
        /// The transaction, up to 32 octets.
        mandatory txn_id: Bytes;
    }
}

composite! {
    /// The state of a delivery within a transaction (§4.5.8).
    TransactionalState = 0x34 "amqp:transactional-state:list" new(txn_id: Bytes) {
        /// The transaction, up to 32 octets.
        mandatory txn_id: Bytes;
        /// What the delivery will be when the transaction is committed.
        optional outcome: Option<DeliveryState>;
    }
}

impl Default for Coordinator {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for Declare {
    fn default() -> Self {
        Self::new()
    }
}
