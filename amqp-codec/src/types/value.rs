//! Values of any type, without loss.

use super::array::{self, Array};
use super::constructor::{ElementType, code, lookup};
use super::map::Map;
use super::primitive::{self, wrong_code};
use super::{Decimal32, Decimal64, Decimal128, Symbol, Timestamp};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, compound_len, put_compound};
use crate::error::DecodeError;
use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use std::hash::{Hash, Hasher};
use uuid::Uuid;

/// A value of any AMQP type.
///
/// Two values are equal if type and content are: `uint 1` is not `ulong 1`, the string `a` is not the symbol `a`.
/// Floating point numbers compare by their bits, so that every value equals itself.
///
/// ```
/// use amqp_codec::types::Value;
/// use amqp_codec::{Decode, Encode};
///
/// let value = Value::from("seven");
/// assert_eq!(Value::from_bytes(value.to_bytes())?, value);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub enum Value {
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
    Binary(Bytes),
    /// Text (§1.6.20).
    String(ByteString),
    /// A name in ASCII (§1.6.21).
    Symbol(Symbol),
    /// Values in a row (§1.6.22).
    List(Vec<Self>),
    /// Keys and values, in order (§1.6.23).
    Map(Map),
    /// Values of one type (§1.6.24).
    Array(Array),
    /// A value with a descriptor (§1.3.2).
    Described(Box<Described>),
}

/// A value and the descriptor that tells what it means (§1.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Described {
    /// Usually a ulong or a symbol.
    pub descriptor: Value,
    /// The value described.
    pub value: Value,
}

impl Value {
    /// The text of a string or symbol.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// A boolean.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Any integer that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Ulong(value) => Some(value),
            _ => self.as_i64().and_then(|value| u64::try_from(value).ok()),
        }
    }

    /// Any integer that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match *self {
            Self::Ubyte(value) => Some(value.into()),
            Self::Ushort(value) => Some(value.into()),
            Self::Uint(value) => Some(value.into()),
            Self::Ulong(value) => i64::try_from(value).ok(),
            Self::Byte(value) => Some(value.into()),
            Self::Short(value) => Some(value.into()),
            Self::Int(value) => Some(value.into()),
            Self::Long(value) => Some(value),
            _ => None,
        }
    }

    /// A timestamp.
    #[must_use]
    pub const fn as_timestamp(&self) -> Option<Timestamp> {
        match self {
            Self::Timestamp(value) => Some(*value),
            _ => None,
        }
    }

    /// The octets of a binary.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items of a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// A map.
    #[must_use]
    pub const fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// An array.
    #[must_use]
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Whether this is null.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The primitive type; none for described values.
    #[must_use]
    pub const fn element_type(&self) -> Option<ElementType> {
        Some(match self {
            Self::Null => ElementType::Null,
            Self::Bool(_) => ElementType::Boolean,
            Self::Ubyte(_) => ElementType::Ubyte,
            Self::Ushort(_) => ElementType::Ushort,
            Self::Uint(_) => ElementType::Uint,
            Self::Ulong(_) => ElementType::Ulong,
            Self::Byte(_) => ElementType::Byte,
            Self::Short(_) => ElementType::Short,
            Self::Int(_) => ElementType::Int,
            Self::Long(_) => ElementType::Long,
            Self::Float(_) => ElementType::Float,
            Self::Double(_) => ElementType::Double,
            Self::Decimal32(_) => ElementType::Decimal32,
            Self::Decimal64(_) => ElementType::Decimal64,
            Self::Decimal128(_) => ElementType::Decimal128,
            Self::Char(_) => ElementType::Char,
            Self::Timestamp(_) => ElementType::Timestamp,
            Self::Uuid(_) => ElementType::Uuid,
            Self::Binary(_) => ElementType::Binary,
            Self::String(_) => ElementType::String,
            Self::Symbol(_) => ElementType::Symbol,
            Self::List(_) => ElementType::List,
            Self::Map(_) => ElementType::Map,
            Self::Array(_) => ElementType::Array,
            Self::Described(_) => return None,
        })
    }

    /// A value whose format code was taken.
    pub(crate) fn decode_data(code: u8, input: &mut Decoder) -> Result<Self, DecodeError> {
        if code == code::DESCRIBED {
            input.descend()?;
            let descriptor = Self::decode(input)?;
            let value = Self::decode(input)?;
            input.ascend();
            return Ok(Self::Described(Box::new(Described { descriptor, value })));
        }
        let Some((element, _)) = lookup(code) else {
            return input.run(|data| wrong_code(data, "a value", code));
        };
        Ok(match element {
            ElementType::Null => Self::Null,
            ElementType::Boolean => Self::Bool(input.run(|data| primitive::bool_data(code, data))?),
            ElementType::Ubyte => Self::Ubyte(input.run(|data| primitive::ubyte_data(code, data))?),
            ElementType::Ushort => Self::Ushort(input.run(|data| primitive::ushort_data(code, data))?),
            ElementType::Uint => Self::Uint(input.run(|data| primitive::uint_data(code, data))?),
            ElementType::Ulong => Self::Ulong(input.run(|data| primitive::ulong_data(code, data))?),
            ElementType::Byte => Self::Byte(input.run(|data| primitive::byte_data(code, data))?),
            ElementType::Short => Self::Short(input.run(|data| primitive::short_data(code, data))?),
            ElementType::Int => Self::Int(input.run(|data| primitive::int_data(code, data))?),
            ElementType::Long => Self::Long(input.run(|data| primitive::long_data(code, data))?),
            ElementType::Float => Self::Float(input.run(|data| primitive::float_data(code, data))?),
            ElementType::Double => Self::Double(input.run(|data| primitive::double_data(code, data))?),
            ElementType::Decimal32 => {
                Self::Decimal32(Decimal32(input.run(|data| primitive::decimal32_data(code, data))?))
            }
            ElementType::Decimal64 => {
                Self::Decimal64(Decimal64(input.run(|data| primitive::decimal64_data(code, data))?))
            }
            ElementType::Decimal128 => {
                Self::Decimal128(Decimal128(input.run(|data| primitive::decimal128_data(code, data))?))
            }
            ElementType::Char => Self::Char(input.run(|data| primitive::char_data(code, data))?),
            ElementType::Timestamp => {
                Self::Timestamp(Timestamp(input.run(|data| primitive::timestamp_data(code, data))?))
            }
            ElementType::Uuid => {
                Self::Uuid(Uuid::from_bytes(input.run(|data| primitive::uuid_data(code, data))?))
            }
            ElementType::Binary => Self::Binary(input.variable(code, ElementType::Binary)?),
            ElementType::String => Self::String(primitive::string_data(code, input)?),
            ElementType::Symbol => Self::Symbol(Symbol::decode_data(code, input)?),
            ElementType::List => Self::List(decode_list(code, input)?),
            ElementType::Map => Self::Map(Map::decode_data(code, input)?),
            ElementType::Array => Self::Array(Array::decode_data(code, input)?),
        })
    }
}

/// The items of a list whose format code was taken.
pub(crate) fn decode_list(code: u8, input: &mut Decoder) -> Result<Vec<Value>, DecodeError> {
    let compound = input.enter(code, ElementType::List)?;
    let mut items = Vec::with_capacity(compound.count);
    for _ in 0..compound.count {
        items.push(Value::decode(input)?);
    }
    input.leave(&compound)?;
    Ok(items)
}

impl Decode for Value {
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}

impl Decode for Vec<Value> {
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        let code = input.code()?;
        decode_list(code, input)
    }
}

impl Encode for Value {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Null => 1,
            Self::Bool(value) => value.encoded_len(),
            Self::Ubyte(value) => value.encoded_len(),
            Self::Ushort(value) => value.encoded_len(),
            Self::Uint(value) => value.encoded_len(),
            Self::Ulong(value) => value.encoded_len(),
            Self::Byte(value) => value.encoded_len(),
            Self::Short(value) => value.encoded_len(),
            Self::Int(value) => value.encoded_len(),
            Self::Long(value) => value.encoded_len(),
            Self::Float(value) => value.encoded_len(),
            Self::Double(value) => value.encoded_len(),
            Self::Decimal32(value) => value.encoded_len(),
            Self::Decimal64(value) => value.encoded_len(),
            Self::Decimal128(value) => value.encoded_len(),
            Self::Char(value) => value.encoded_len(),
            Self::Timestamp(value) => value.encoded_len(),
            Self::Uuid(value) => value.encoded_len(),
            Self::Binary(value) => value.encoded_len(),
            Self::String(value) => value.encoded_len(),
            Self::Symbol(value) => value.encoded_len(),
            Self::List(items) => items.encoded_len(),
            Self::Map(map) => map.encoded_len(),
            Self::Array(array) => array.encoded_len(),
            Self::Described(described) => described.encoded_len(),
        }
    }

    fn encode(&self, out: &mut BytesMut) {
        match self {
            Self::Null => out.put_u8(code::NULL),
            Self::Bool(value) => value.encode(out),
            Self::Ubyte(value) => value.encode(out),
            Self::Ushort(value) => value.encode(out),
            Self::Uint(value) => value.encode(out),
            Self::Ulong(value) => value.encode(out),
            Self::Byte(value) => value.encode(out),
            Self::Short(value) => value.encode(out),
            Self::Int(value) => value.encode(out),
            Self::Long(value) => value.encode(out),
            Self::Float(value) => value.encode(out),
            Self::Double(value) => value.encode(out),
            Self::Decimal32(value) => value.encode(out),
            Self::Decimal64(value) => value.encode(out),
            Self::Decimal128(value) => value.encode(out),
            Self::Char(value) => value.encode(out),
            Self::Timestamp(value) => value.encode(out),
            Self::Uuid(value) => value.encode(out),
            Self::Binary(value) => value.encode(out),
            Self::String(value) => value.encode(out),
            Self::Symbol(value) => value.encode(out),
            Self::List(items) => items.encode(out),
            Self::Map(map) => map.encode(out),
            Self::Array(array) => array.encode(out),
            Self::Described(described) => described.encode(out),
        }
    }
}

impl Encode for Vec<Value> {
    fn encoded_len(&self) -> usize {
        if self.is_empty() {
            return 1;
        }
        compound_len(array::items_len(self), self.len())
    }

    fn encode(&self, out: &mut BytesMut) {
        if self.is_empty() {
            return out.put_u8(code::LIST0);
        }
        put_compound(out, code::LIST8, code::LIST32, array::items_len(self), self.len());
        for item in self {
            item.encode(out);
        }
    }
}

impl Encode for Described {
    fn encoded_len(&self) -> usize {
        1 + self.descriptor.encoded_len() + self.value.encoded_len()
    }

    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(code::DESCRIBED);
        self.descriptor.encode(out);
        self.value.encode(out);
    }
}

impl Decode for Described {
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        if input.peek() != Some(code::DESCRIBED) {
            return Err(input.unexpected("a described value"));
        }
        input.code()?;
        input.descend()?;
        let described = Self { descriptor: Value::decode(input)?, value: Value::decode(input)? };
        input.ascend();
        Ok(described)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Ubyte(a), Self::Ubyte(b)) => a == b,
            (Self::Ushort(a), Self::Ushort(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Ulong(a), Self::Ulong(b)) => a == b,
            (Self::Byte(a), Self::Byte(b)) => a == b,
            (Self::Short(a), Self::Short(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Long(a), Self::Long(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
            (Self::Decimal32(a), Self::Decimal32(b)) => a == b,
            (Self::Decimal64(a), Self::Decimal64(b)) => a == b,
            (Self::Decimal128(a), Self::Decimal128(b)) => a == b,
            (Self::Char(a), Self::Char(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Symbol(a), Self::Symbol(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Described(a), Self::Described(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Ubyte(value) => value.hash(state),
            Self::Ushort(value) => value.hash(state),
            Self::Uint(value) => value.hash(state),
            Self::Ulong(value) => value.hash(state),
            Self::Byte(value) => value.hash(state),
            Self::Short(value) => value.hash(state),
            Self::Int(value) => value.hash(state),
            Self::Long(value) => value.hash(state),
            Self::Float(value) => value.to_bits().hash(state),
            Self::Double(value) => value.to_bits().hash(state),
            Self::Decimal32(value) => value.hash(state),
            Self::Decimal64(value) => value.hash(state),
            Self::Decimal128(value) => value.hash(state),
            Self::Char(value) => value.hash(state),
            Self::Timestamp(value) => value.hash(state),
            Self::Uuid(value) => value.hash(state),
            Self::Binary(value) => value.hash(state),
            Self::String(value) => value.hash(state),
            Self::Symbol(value) => value.hash(state),
            Self::List(items) => items.hash(state),
            Self::Map(map) => map.hash(state),
            Self::Array(array) => array.hash(state),
            Self::Described(described) => described.hash(state),
        }
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

value_from! {
    bool => Bool;
    u8 => Ubyte;
    u16 => Ushort;
    u32 => Uint;
    u64 => Ulong;
    i8 => Byte;
    i16 => Short;
    i32 => Int;
    i64 => Long;
    f32 => Float;
    f64 => Double;
    Decimal32 => Decimal32;
    Decimal64 => Decimal64;
    Decimal128 => Decimal128;
    char => Char;
    Timestamp => Timestamp;
    Uuid => Uuid;
    Bytes => Binary;
    &str => String;
    String => String;
    ByteString => String;
    Symbol => Symbol;
    Vec<Value> => List;
    Map => Map;
    Array => Array;
}

impl From<Described> for Value {
    fn from(described: Described) -> Self {
        Self::Described(Box::new(described))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
