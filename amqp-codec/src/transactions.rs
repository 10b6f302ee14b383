//! Transactions (part 4).

use crate::composite::{Composite, DecodeField, Descriptor, composite};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::messaging::{Body, DeliveryState, Message};
use crate::types::{Symbol, Value};
use bytes::{BufMut, Bytes, BytesMut};

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

/// What a message to a coordinator carries, as an amqp-value (§4.5.2, §4.5.3).
///
/// ```
/// use amqp_codec::transactions::{Control, Declare};
/// use amqp_codec::{Decode, messaging::Message};
///
/// let control = Control::Declare(Declare::new());
/// let message = Message::from_bytes(control.to_message()).unwrap();
/// assert_eq!(Control::of(&message).unwrap(), control);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Asks for a transaction.
    Declare(Declare),
    /// Ends one.
    Discharge(Discharge),
}

impl Control {
    /// The encoded message.
    #[must_use]
    pub fn to_message(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        // The amqp-value section (§3.2.8), whose value is a composite.
        out.put_slice(&[0x00, 0x53, 0x77]);
        match self {
            Self::Declare(declare) => declare.encode(&mut out),
            Self::Discharge(discharge) => discharge.encode(&mut out),
        }
        out.freeze()
    }

    /// Reads the body of a message.
    ///
    /// # Errors
    /// If the body is no amqp-value with a declare or a discharge.
    pub fn of(message: &Message) -> Result<Self, DecodeError> {
        match &message.body {
            Body::Value(value) => Self::from_bytes(value.to_bytes()),
            _ => Self::from_bytes(Bytes::new()),
        }
    }
}

const CONTROLS: [Descriptor; 2] = [Declare::DESCRIPTOR, Discharge::DESCRIPTOR];

impl Decode for Control {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.descriptor(&CONTROLS)? {
            Some(0x31) => Ok(Self::Declare(Declare::decode_list(input)?)),
            Some(0x32) => Ok(Self::Discharge(Discharge::decode_list(input)?)),
            _ => Err(input.unexpected("a declare or a discharge")),
        }
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
