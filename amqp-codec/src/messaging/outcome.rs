//! Delivery states and outcomes (§3.4).

use crate::composite::{Composite, DecodeField, Descriptor, FieldsWriter, composite, composite_len};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::transactions::{Declared, TransactionalState};
use crate::transport::ErrorInfo;
use crate::types::{Described, Fields};
use bytes::BytesMut;

composite! {
    /// How much of a delivery has arrived (§3.4.1).
    Received = 0x23 "amqp:received:list" new(section_number: u32, section_offset: u64) {
        /// The first section that is not there completely.
        mandatory section_number: u32;
        /// Octets of it that are there.
        mandatory section_offset: u64;
    }
}

composite! {
    /// The delivery was taken over (§3.4.2).
    Accepted = 0x24 "amqp:accepted:list" new() {}
}

composite! {
    /// The delivery is invalid (§3.4.3).
    Rejected = 0x25 "amqp:rejected:list" new() {
        /// Why.
        optional error: Option<ErrorInfo>;
    }
}

composite! {
    /// The delivery was not processed (§3.4.4).
    Released = 0x26 "amqp:released:list" new() {}
}

composite! {
    /// The delivery was not processed, and is to be changed (§3.4.5).
    Modified = 0x27 "amqp:modified:list" new() {
        /// Whether it counts as a failed attempt.
        default delivery_failed: bool = false;
        /// Whether it is not to come to this link again.
        default undeliverable_here: bool = false;
        /// Message annotations to merge over the existing ones.
        optional message_annotations: Option<Fields>;
    }
}

impl Default for Modified {
    fn default() -> Self {
        Self::new()
    }
}

/// The state of a delivery at one end (§3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Partly there; the only state that is not an outcome.
    Received(Received),
    /// Taken over.
    Accepted,
    /// Invalid, with a reason.
    Rejected(Option<Box<ErrorInfo>>),
    /// Not processed.
    Released,
    /// Not processed, to be changed.
    Modified(Modified),
    /// A transaction was declared (§4.5.5).
    Declared(Declared),
    /// What it will be when its transaction is committed (§4.5.8).
    Transactional(Box<TransactionalState>),
    /// A state that this codec does not know.
    Other(Box<Described>),
}

impl DeliveryState {
    /// Whether this is terminal at its end. A state within a transaction counts too, though it takes effect only when the
    /// transaction is committed.
    #[must_use]
    pub const fn is_outcome(&self) -> bool {
        !matches!(self, Self::Received(_))
    }
}

const STATES: [Descriptor; 7] = [
    Received::DESCRIPTOR,
    Accepted::DESCRIPTOR,
    Rejected::DESCRIPTOR,
    Released::DESCRIPTOR,
    Modified::DESCRIPTOR,
    Declared::DESCRIPTOR,
    TransactionalState::DESCRIPTOR,
];

impl Decode for DeliveryState {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        // An outcome within a transactional state is one level deeper, however often somebody nests them.
        input.descend()?;
        let state = match input.descriptor(&STATES)? {
            Some(0x24) => Accepted::decode_list(input).map(|_| Self::Accepted)?,
            Some(0x25) => Self::Rejected(Rejected::decode_list(input)?.error.map(Box::new)),
            Some(0x26) => Released::decode_list(input).map(|_| Self::Released)?,
            Some(0x27) => Self::Modified(Modified::decode_list(input)?),
            Some(0x23) => Self::Received(Received::decode_list(input)?),
            Some(0x33) => Self::Declared(Declared::decode_list(input)?),
            Some(0x34) => Self::Transactional(Box::new(TransactionalState::decode_list(input)?)),
            _ => Self::Other(Box::new(Described::decode(input)?)),
        };
        input.ascend();
        Ok(state)
    }
}

impl Encode for DeliveryState {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Accepted | Self::Released | Self::Rejected(None) => 4,
            Self::Rejected(Some(error)) => rejected_len(error),
            Self::Modified(modified) => modified.encoded_len(),
            Self::Received(received) => received.encoded_len(),
            Self::Declared(declared) => declared.encoded_len(),
            Self::Transactional(state) => state.encoded_len(),
            Self::Other(described) => described.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Accepted => Accepted::new().encode(out),
            Self::Released => Released::new().encode(out),
            Self::Rejected(None) => Rejected::new().encode(out),
            Self::Rejected(Some(error)) => {
                let mut fields = FieldsWriter::begin(0x25, out);
                fields.value(out);
                error.encode(out);
                fields.finish(out);
            }
            Self::Modified(modified) => modified.encode(out),
            Self::Received(received) => received.encode(out),
            Self::Declared(declared) => declared.encode(out),
            Self::Transactional(state) => state.encode(out),
            Self::Other(described) => described.encode(out),
        }
    }
}

/// Length of a rejected with this error, which stays where it is.
fn rejected_len(error: &ErrorInfo) -> usize {
    composite_len(error.encoded_len(), 1)
}
