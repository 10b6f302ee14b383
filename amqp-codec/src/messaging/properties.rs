//! Properties, application properties and annotations (§3.2.2 to §3.2.5).

use crate::composite::{DecodeField, IntoOwned, composite};
use crate::decode::{Decode, DecodeRef, Decoder};
use crate::encode::Encode;
use crate::error::{DecodeError, INVALID_FIELD};
use crate::types::constructor::code;
use crate::types::{Key, MapKeyRef, MapRef, Symbol, SymbolRef, Timestamp, Value, keyed_map};
use crate::{ByteString, Uuid};
use bytes::{Bytes, BytesMut};
use std::fmt;

composite! {
    /// The immutable properties of a message (§3.2.4).
    Properties / PropertiesRef = 0x73 "amqp:properties:list" new() {
        /// Identity of the message.
        optional message_id: Option<MessageId> | Option<MessageIdRef<'a>>;
        /// Who made it.
        optional user_id: Option<Bytes> | Option<&'a [u8]>;
        /// The node that it is for.
        optional to: Option<ByteString> | Option<&'a str>;
        /// What it is about.
        optional subject: Option<ByteString> | Option<&'a str>;
        /// Where answers go.
        optional reply_to: Option<ByteString> | Option<&'a str>;
        /// The message that it answers.
        optional correlation_id: Option<MessageId> | Option<MessageIdRef<'a>>;
        /// MIME type of the body.
        optional content_type: Option<Symbol> | Option<SymbolRef<'a>>;
        /// Encoding of the body.
        optional content_encoding: Option<Symbol> | Option<SymbolRef<'a>>;
        /// When it expires.
        optional absolute_expiry_time: Option<Timestamp>;
        /// When it was made.
        optional creation_time: Option<Timestamp>;
        /// The group that it belongs to.
        optional group_id: Option<ByteString> | Option<&'a str>;
        /// Its place in the group.
        optional group_sequence: Option<u32>;
        /// The group that answers belong to.
        optional reply_to_group_id: Option<ByteString> | Option<&'a str>;
    }
}

impl Default for Properties {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for PropertiesRef<'_> {
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

macro_rules! show_message_id {
    ($($type:ty),*) => {
        $(impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::Ulong(number) => fmt::Display::fmt(number, f),
                    Self::Uuid(uuid) => fmt::Display::fmt(uuid, f),
                    Self::Binary(octets) => octets.iter().try_for_each(|octet| write!(f, "{octet:02x}")),
                    Self::String(text) => f.write_str(text),
                }
            }
        })*
    };
}

show_message_id!(MessageId, MessageIdRef<'_>);

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

macro_rules! decode_message_id {
    ($input:ident) => {
        Ok(match $input.peek() {
            Some(code::STR8 | code::STR32) => Self::String(DecodeRef::decode_ref($input)?),
            Some(code::VBIN8 | code::VBIN32) => Self::Binary(DecodeRef::decode_ref($input)?),
            Some(code::UUID) => Self::Uuid(DecodeRef::decode_ref($input)?),
            Some(code::ULONG0 | code::SMALLULONG | code::ULONG) => {
                Self::Ulong(DecodeRef::decode_ref($input)?)
            }
            _ => {
                let error = $input.unexpected("a ulong, uuid, binary or string");
                return Err(error.with_condition(INVALID_FIELD));
            }
        })
    };
}

impl Decode for MessageId {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decode_message_id!(input)
    }
}

/// A [`MessageId`], borrowed from the octets that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageIdRef<'a> {
    /// A number.
    Ulong(u64),
    /// A UUID.
    Uuid(Uuid),
    /// Octets.
    Binary(&'a [u8]),
    /// Text; the only kind that all brokers carry without harm.
    String(&'a str),
}

impl<'a> DecodeRef<'a> for MessageIdRef<'a> {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        decode_message_id!(input)
    }
}

impl From<MessageIdRef<'_>> for MessageId {
    /// Copies text and octets.
    fn from(id: MessageIdRef<'_>) -> Self {
        match id {
            MessageIdRef::Ulong(number) => Self::Ulong(number),
            MessageIdRef::Uuid(uuid) => Self::Uuid(uuid),
            MessageIdRef::Binary(octets) => Self::Binary(Bytes::copy_from_slice(octets)),
            MessageIdRef::String(text) => Self::String(text.into()),
        }
    }
}

impl IntoOwned<MessageId> for MessageIdRef<'_> {
    fn into_owned(self) -> MessageId {
        self.into()
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

macro_rules! decode_annotation_key {
    ($input:ident) => {
        Ok(match $input.peek() {
            Some(code::SYM8 | code::SYM32) => Self::Symbol(DecodeRef::decode_ref($input)?),
            Some(code::ULONG0 | code::SMALLULONG | code::ULONG) => {
                Self::Ulong(DecodeRef::decode_ref($input)?)
            }
            _ => return Err($input.unexpected("a symbol or ulong as the key of an annotation")),
        })
    };
}

impl Decode for AnnotationKey {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        decode_annotation_key!(input)
    }
}

/// An [`AnnotationKey`], borrowed from the octets that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnnotationKeyRef<'a> {
    /// A symbol, such as `x-opt-delivery-time`.
    Symbol(SymbolRef<'a>),
    /// A number.
    Ulong(u64),
}

impl<'a> AnnotationKeyRef<'a> {
    /// The text of a symbol.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Symbol(symbol) => Some(symbol.as_str()),
            Self::Ulong(_) => None,
        }
    }
}

impl<'a> DecodeRef<'a> for AnnotationKeyRef<'a> {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        decode_annotation_key!(input)
    }
}

impl<'a> MapKeyRef<'a> for AnnotationKeyRef<'a> {}

impl Key for AnnotationKeyRef<'_> {
    #[inline]
    fn key_text(&self) -> Option<&str> {
        self.as_str()
    }
}

impl Key for AnnotationKey {
    #[inline]
    fn key_text(&self) -> Option<&str> {
        self.as_str()
    }
}

impl From<AnnotationKeyRef<'_>> for AnnotationKey {
    /// Copies the text.
    fn from(key: AnnotationKeyRef<'_>) -> Self {
        match key {
            AnnotationKeyRef::Symbol(symbol) => Self::Symbol(symbol.into()),
            AnnotationKeyRef::Ulong(number) => Self::Ulong(number),
        }
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

/// [`Annotations`], borrowed from the octets that they were read from.
pub type AnnotationsRef<'a> = MapRef<'a, AnnotationKeyRef<'a>>;

/// [`ApplicationProperties`], borrowed from the octets that they were read from.
pub type ApplicationPropertiesRef<'a> = MapRef<'a, &'a str>;

impl From<AnnotationsRef<'_>> for Annotations {
    /// Copies texts and octets.
    fn from(annotations: AnnotationsRef<'_>) -> Self {
        annotations.iter().collect()
    }
}

impl From<ApplicationPropertiesRef<'_>> for ApplicationProperties {
    /// Copies texts and octets.
    fn from(properties: ApplicationPropertiesRef<'_>) -> Self {
        properties.iter().collect()
    }
}
