//! Values from and to octets.

use super::{Described, Value};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, compound_len, put_compound};
use crate::error::DecodeError;
use crate::types::array::{self, Array};
use crate::types::constructor::{ElementType, code, lookup};
use crate::types::primitive::{self, wrong_code};
use crate::types::{Decimal32, Decimal64, Decimal128, Map, Symbol, Timestamp};
use bytes::{BufMut, BytesMut};
use uuid::Uuid;

impl Value {
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
fn decode_list(code: u8, input: &mut Decoder) -> Result<Vec<Value>, DecodeError> {
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
