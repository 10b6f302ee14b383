//! Values from and to octets.

use super::{Described, Value};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, OpenCompound, compound_len};
use crate::error::DecodeError;
use crate::types::array::{self, Array};
use crate::types::constructor::code;
use crate::types::primitive::{self, BINARY, LIST, STRING, wrong_code};
use crate::types::{Decimal32, Decimal64, Decimal128, Map, Symbol, Timestamp};
use bytes::{BufMut, BytesMut};
use uuid::Uuid;

/// A value whose format code was taken: the arms of the types of fixed width, which are the same for owned and borrowed
/// values, and the given ones for the others.
macro_rules! decode_value {
    ($code:ident, $input:ident, { $($others:tt)* }) => {
        match $code {
            code::NULL => Self::Null,
            code::TRUE => Self::Bool(true),
            code::FALSE => Self::Bool(false),
            code::BOOLEAN => Self::Bool($input.run(primitive::boolean_octet)?),
            code::UBYTE => Self::Ubyte($input.run(primitive::be_u8)?),
            code::USHORT => Self::Ushort($input.run(primitive::be_u16)?),
            code::UINT0 => Self::Uint(0),
            code::SMALLUINT => Self::Uint($input.run(primitive::be_u8)?.into()),
            code::UINT => Self::Uint($input.run(primitive::be_u32)?),
            code::ULONG0 => Self::Ulong(0),
            code::SMALLULONG => Self::Ulong($input.run(primitive::be_u8)?.into()),
            code::ULONG => Self::Ulong($input.run(primitive::be_u64)?),
            code::BYTE => Self::Byte($input.run(primitive::be_i8)?),
            code::SHORT => Self::Short($input.run(primitive::be_i16)?),
            code::SMALLINT => Self::Int($input.run(primitive::be_i8)?.into()),
            code::INT => Self::Int($input.run(primitive::be_i32)?),
            code::SMALLLONG => Self::Long($input.run(primitive::be_i8)?.into()),
            code::LONG => Self::Long($input.run(primitive::be_i64)?),
            code::FLOAT => Self::Float($input.run(primitive::be_f32)?),
            code::DOUBLE => Self::Double($input.run(primitive::be_f64)?),
            code::DECIMAL32 => Self::Decimal32(Decimal32($input.run(primitive::octets)?)),
            code::DECIMAL64 => Self::Decimal64(Decimal64($input.run(primitive::octets)?)),
            code::DECIMAL128 => Self::Decimal128(Decimal128($input.run(primitive::octets)?)),
            code::CHAR => Self::Char($input.run(primitive::scalar)?),
            code::TIMESTAMP => Self::Timestamp(Timestamp($input.run(primitive::be_i64)?)),
            code::UUID => Self::Uuid(Uuid::from_bytes($input.run(primitive::octets)?)),
            $($others)*
            _ => return $input.run(|data| wrong_code(data, "a value", $code)),
        }
    };
}
pub(super) use decode_value;

impl Value {
    /// A value whose format code was taken.
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(decode_value!(code, input, {
            code::VBIN8 | code::VBIN32 => Self::Binary(input.shared(code, BINARY)?),
            code::STR8 | code::STR32 => Self::String(input.text(code, STRING)?),
            code::SYM8 | code::SYM32 => Self::Symbol(Symbol::decode_data(code, input)?),
            code::LIST0 | code::LIST8 | code::LIST32 => Self::List(decode_list(code, input)?),
            code::MAP8 | code::MAP32 => Self::Map(Map::decode_data(code, input)?),
            code::ARRAY8 | code::ARRAY32 => Self::Array(Array::decode_data(code, input)?),
            code::DESCRIBED => Self::Described(Box::new(decode_described(input)?)),
        }))
    }
}

/// Descriptor and value behind the octet that introduces them.
fn decode_described(input: &mut Decoder<'_>) -> Result<Described, DecodeError> {
    input.descend()?;
    let described = Described { descriptor: Value::decode(input)?, value: Value::decode(input)? };
    input.ascend();
    Ok(described)
}

/// The items of a list whose format code was taken.
fn decode_list(code: u8, input: &mut Decoder<'_>) -> Result<Vec<Value>, DecodeError> {
    let compound = input.enter(code, LIST)?;
    let mut items = Vec::with_capacity(compound.count);
    for _ in 0..compound.count {
        items.push(Value::decode(input)?);
    }
    input.leave(&compound)?;
    Ok(items)
}

impl Decode for Value {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        // nearly always a text
        if let Some(octets) = input.take_short(STRING) {
            return input.own_text(octets, STRING).map(Self::String);
        }
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}

impl Decode for Vec<Value> {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
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
        let list = OpenCompound::begin(out, self.len());
        for item in self {
            item.encode(out);
        }
        list.finish(out, code::LIST8, code::LIST32, self.len());
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
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if input.peek() != Some(code::DESCRIBED) {
            return Err(input.unexpected("a described value"));
        }
        input.code()?;
        decode_described(input)
    }
}
