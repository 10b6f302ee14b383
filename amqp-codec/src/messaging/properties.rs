//! Properties, application properties and annotations (§3.2.2 to §3.2.5).

use crate::composite::{DecodeField, composite};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::{DecodeError, INVALID_FIELD};
use crate::types::{ElementType, Symbol, Timestamp, Value, keyed_map};
use crate::{ByteString, Uuid};
use bytes::{Bytes, BytesMut};
use std::fmt;

composite! {
    /// The immutable properties of a message (§3.2.4).
    Properties = 0x73 "amqp:properties:list" new() {
        /// Identity of the message.
        optional message_id: Option<MessageId>;
        /// Who made it.
        optional user_id: Option<Bytes>;
        /// The node that it is for.
        optional to: Option<ByteString>;
        /// What it is about.
        optional subject: Option<ByteString>;
        /// Where answers go.
        optional reply_to: Option<ByteString>;
        /// The message that it answers.
        optional correlation_id: Option<MessageId>;
        /// MIME type of the body.
        optional content_type: Option<Symbol>;
        /// Encoding of the body.
        optional content_encoding: Option<Symbol>;
        /// When it expires.
        optional absolute_expiry_time: Option<Timestamp>;
        /// When it was made.
        optional creation_time: Option<Timestamp>;
        /// The group that it belongs to.
        optional group_id: Option<ByteString>;
        /// Its place in the group.
        optional group_sequence: Option<u32>;
        /// The group that answers belong to.
        optional reply_to_group_id: Option<ByteString>;
    }
}

impl Default for Properties {
    fn default() -> Self {
        Self::new()
    }
}

/// Identity of a message (§3.2.11 to §3.2.14).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// A number.
    Ulong(u64),
    /// A UUID.
    Uuid(Uuid),
    /// Octets.
    Binary(Bytes),
    /// Text; the only kind that all brokers carry without harm.
    String(ByteString),
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ulong(number) => fmt::Display::fmt(number, f),
            Self::Uuid(uuid) => fmt::Display::fmt(uuid, f),
            Self::Binary(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
            Self::String(text) => f.write_str(text),
        }
    }
}

macro_rules! message_id_from {
    ($($type:ty => $variant:ident;)*) => {
        $(impl From<$type> for MessageId {
            fn from(id: $type) -> Self {
                Self::$variant(id.into())
            }
        })*
    };
}

message_id_from! {
    u64 => Ulong;
    Uuid => Uuid;
    Bytes => Binary;
    &str => String;
    String => String;
    ByteString => String;
}

impl Decode for MessageId {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let element = input.peek().and_then(crate::types::constructor::lookup).map(|(element, _)| element);
        Ok(match element {
            Some(ElementType::Ulong) => Self::Ulong(u64::decode(input)?),
            Some(ElementType::Uuid) => Self::Uuid(Uuid::decode(input)?),
            Some(ElementType::Binary) => Self::Binary(Bytes::decode(input)?),
            Some(ElementType::String) => Self::String(ByteString::decode(input)?),
            _ => {
                return Err(input
                    .unexpected("a ulong, uuid, binary or string")
                    .with_condition(INVALID_FIELD));
            }
        })
    }
}

impl Encode for MessageId {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Ulong(number) => number.encoded_len(),
            Self::Uuid(uuid) => uuid.encoded_len(),
            Self::Binary(octets) => octets.encoded_len(),
            Self::String(text) => text.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Ulong(number) => number.encode(out),
            Self::Uuid(uuid) => uuid.encode(out),
            Self::Binary(octets) => octets.encode(out),
            Self::String(text) => text.encode(out),
        }
    }
}

/// The key of an annotation: a symbol, or a ulong (reserved by the specification).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnnotationKey {
    /// A symbol, such as `x-opt-delivery-time`.
    Symbol(Symbol),
    /// A number.
    Ulong(u64),
}

impl AnnotationKey {
    /// The text of a symbol.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Symbol(symbol) => Some(symbol.as_str()),
            Self::Ulong(_) => None,
        }
    }
}

impl From<Symbol> for AnnotationKey {
    fn from(symbol: Symbol) -> Self {
        Self::Symbol(symbol)
    }
}

impl From<AnnotationKey> for Value {
    fn from(key: AnnotationKey) -> Self {
        match key {
            AnnotationKey::Symbol(symbol) => symbol.into(),
            AnnotationKey::Ulong(number) => number.into(),
        }
    }
}

impl Decode for AnnotationKey {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let element = input.peek().and_then(crate::types::constructor::lookup).map(|(element, _)| element);
        Ok(match element {
            Some(ElementType::Symbol) => Self::Symbol(Symbol::decode(input)?),
            Some(ElementType::Ulong) => Self::Ulong(u64::decode(input)?),
            _ => return Err(input.unexpected("a symbol or ulong as the key of an annotation")),
        })
    }
}

impl Encode for AnnotationKey {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Symbol(symbol) => symbol.encoded_len(),
            Self::Ulong(number) => number.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Symbol(symbol) => symbol.encode(out),
            Self::Ulong(number) => number.encode(out),
        }
    }
}

keyed_map! {
    /// Delivery annotations, message annotations, footers (§3.2.10): by symbol, in order.
    Annotations, AnnotationKey, "symbol", |wanted, found| found.as_str() == Some(wanted)
}

keyed_map! {
    /// What the application says of a message (§3.2.5): by string, in order. Brokers carry simple values only, and
    /// safely just strings, booleans, ints and longs.
    ApplicationProperties, ByteString, "string", |wanted, found| **found == *wanted
}
