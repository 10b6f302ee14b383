//! Values that stay in the octets they were read from.

use super::codec::decode_value;
use super::{Described, Value};
use crate::decode::{DecodeRef, Decoder};
use crate::error::DecodeError;
use crate::types::constructor::code;
use crate::types::primitive::{self, BINARY, STRING, wrong_code};
use crate::types::{ArrayRef, Decimal32, Decimal64, Decimal128, ListRef, MapRef, SymbolRef, Timestamp};
use bytes::Bytes;
use std::fmt;
use uuid::Uuid;

/// A value of any AMQP type, borrowed from the octets that it was read from: what a [`Value`] owns, this points at.
///
/// All of it was checked when it was read, whatever is nested in it too, so lists, maps and arrays are gone through without
/// errors; their items are decoded again as they are asked for. Equality is that of [`Value`]. `Value::from` copies it.
///
/// ```
/// use amqp_codec::types::{Value, ValueRef};
/// use amqp_codec::{DecodeRef, Encode};
///
/// let octets = Value::List(vec![7_u32.into(), "seven".into()]).to_bytes();
/// let ValueRef::List(list) = ValueRef::borrow_from(&octets)? else { unreachable!() };
/// let items: Vec<_> = list.iter().collect();
/// assert_eq!(items, [ValueRef::Uint(7), ValueRef::String("seven")]);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub enum ValueRef<'a> {
    /// Nothing (§1.6.1).
    #[default]
    Null,
    /// True or false (§1.6.2).
    Bool(bool),
    /// 8 bits, unsigned (§1.6.3).
    Ubyte(u8),
    /// 16 bits, unsigned (§1.6.4).
    Ushort(u16),
    /// 32 bits, unsigned (§1.6.5).
    Uint(u32),
    /// 64 bits, unsigned (§1.6.6).
    Ulong(u64),
    /// 8 bits, signed (§1.6.7).
    Byte(i8),
    /// 16 bits, signed (§1.6.8).
    Short(i16),
    /// 32 bits, signed (§1.6.9).
    Int(i32),
    /// 64 bits, signed (§1.6.10).
    Long(i64),
    /// IEEE 754 binary32 (§1.6.11).
    Float(f32),
    /// IEEE 754 binary64 (§1.6.12).
    Double(f64),
    /// IEEE 754 decimal32 (§1.6.13).
    Decimal32(Decimal32),
    /// IEEE 754 decimal64 (§1.6.14).
    Decimal64(Decimal64),
    /// IEEE 754 decimal128 (§1.6.15).
    Decimal128(Decimal128),
    /// A Unicode scalar value (§1.6.16).
    Char(char),
    /// A point in time (§1.6.17).
    Timestamp(Timestamp),
    /// A UUID (§1.6.18).
    Uuid(Uuid),
    /// Octets (§1.6.19).
    Binary(&'a [u8]),
    /// Text (§1.6.20).
    String(&'a str),
    /// A name in ASCII (§1.6.21).
    Symbol(SymbolRef<'a>),
    /// Values in a row (§1.6.22).
    List(ListRef<'a>),
    /// Keys and values, in order (§1.6.23).
    Map(MapRef<'a>),
    /// Values of one type (§1.6.24).
    Array(ArrayRef<'a>),
    /// A value with a descriptor (§1.3.2).
    Described(DescribedRef<'a>),
}

impl<'a> ValueRef<'a> {
    /// A value whose format code was taken.
    #[inline]
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(decode_value!(code, input, {
            code::VBIN8 | code::VBIN32 => {
                Self::Binary(input.run(|octets| primitive::variable(code, BINARY, octets))?)
            },
            code::STR8 | code::STR32 => Self::String(input.borrowed_text(code, STRING)?),
            code::SYM8 | code::SYM32 => Self::Symbol(SymbolRef::decode_data(code, input)?),
            code::LIST0 | code::LIST8 | code::LIST32 => Self::List(ListRef::decode_data(code, input)?),
            code::MAP8 | code::MAP32 => Self::Map(MapRef::decode_data(code, input)?),
            code::ARRAY8 | code::ARRAY32 => Self::Array(ArrayRef::decode_data(code, input)?),
            code::DESCRIBED => Self::Described(DescribedRef::decode_data(input)?),
        }))
    }

    /// The text of a string or symbol.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        match *self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// A symbol; not a string of the same letters.
    #[must_use]
    pub const fn as_symbol(&self) -> Option<SymbolRef<'a>> {
        match *self {
            Self::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// The octets of a binary.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Binary(octets) => Some(octets),
            _ => None,
        }
    }

    /// A list.
    #[must_use]
    pub const fn as_list(&self) -> Option<ListRef<'a>> {
        match *self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// A map.
    #[must_use]
    pub const fn as_map(&self) -> Option<MapRef<'a>> {
        match *self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// An array.
    #[must_use]
    pub const fn as_array(&self) -> Option<ArrayRef<'a>> {
        match *self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// A described value.
    #[must_use]
    pub const fn as_described(&self) -> Option<DescribedRef<'a>> {
        match *self {
            Self::Described(described) => Some(described),
            _ => None,
        }
    }
}

impl<'a> DecodeRef<'a> for ValueRef<'a> {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        // nearly always a text
        if let Some(octets) = input.take_short(STRING) {
            return input.as_text(octets, STRING).map(Self::String);
        }
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}

impl From<ValueRef<'_>> for Value {
    /// Copies texts and octets.
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Bool(value) => Self::Bool(value),
            ValueRef::Ubyte(value) => Self::Ubyte(value),
            ValueRef::Ushort(value) => Self::Ushort(value),
            ValueRef::Uint(value) => Self::Uint(value),
            ValueRef::Ulong(value) => Self::Ulong(value),
            ValueRef::Byte(value) => Self::Byte(value),
            ValueRef::Short(value) => Self::Short(value),
            ValueRef::Int(value) => Self::Int(value),
            ValueRef::Long(value) => Self::Long(value),
            ValueRef::Float(value) => Self::Float(value),
            ValueRef::Double(value) => Self::Double(value),
            ValueRef::Decimal32(value) => Self::Decimal32(value),
            ValueRef::Decimal64(value) => Self::Decimal64(value),
            ValueRef::Decimal128(value) => Self::Decimal128(value),
            ValueRef::Char(value) => Self::Char(value),
            ValueRef::Timestamp(value) => Self::Timestamp(value),
            ValueRef::Uuid(value) => Self::Uuid(value),
            ValueRef::Binary(octets) => Self::Binary(Bytes::copy_from_slice(octets)),
            ValueRef::String(text) => Self::String(text.into()),
            ValueRef::Symbol(symbol) => Self::Symbol(symbol.into()),
            ValueRef::List(list) => Self::List(list.iter().map(Self::from).collect()),
            ValueRef::Map(map) => Self::Map(map.into()),
            ValueRef::Array(array) => Self::Array(array.into()),
            ValueRef::Described(described) => Described::from(described).into(),
        }
    }
}

/// A [`Described`] value, borrowed from the octets that it was read from.
#[derive(Clone, Copy)]
pub struct DescribedRef<'a> {
    /// The descriptor and the value behind it, both checked.
    octets: &'a [u8],
}

impl<'a> DescribedRef<'a> {
    /// Descriptor and value behind the octet that introduces them.
    #[inline(never)]
    fn decode_data(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let before = input.left();
        if input.is_checked() {
            input.skip()?;
            input.skip()?;
        } else {
            input.descend()?;
            ValueRef::decode_ref(input)?;
            ValueRef::decode_ref(input)?;
            input.ascend();
        }
        let len = before.len() - input.remaining();
        Ok(Self { octets: before.get(..len).unwrap_or_default() })
    }

    fn parts(self) -> (ValueRef<'a>, ValueRef<'a>) {
        let mut input = Decoder::again(self.octets);
        // Both were read before.
        let mut next = || ValueRef::decode_ref(&mut input).unwrap_or_default();
        (next(), next())
    }

    /// Usually a ulong or a symbol.
    #[must_use]
    pub fn descriptor(self) -> ValueRef<'a> {
        self.parts().0
    }

    /// The value described.
    #[must_use]
    pub fn value(self) -> ValueRef<'a> {
        self.parts().1
    }
}

impl PartialEq for DescribedRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for DescribedRef<'_> {}

impl std::hash::Hash for DescribedRef<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl fmt::Debug for DescribedRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (descriptor, value) = self.parts();
        f.debug_struct("DescribedRef").field("descriptor", &descriptor).field("value", &value).finish()
    }
}

impl From<DescribedRef<'_>> for Described {
    /// Copies texts and octets.
    fn from(described: DescribedRef<'_>) -> Self {
        let (descriptor, value) = described.parts();
        Self { descriptor: descriptor.into(), value: value.into() }
    }
}
