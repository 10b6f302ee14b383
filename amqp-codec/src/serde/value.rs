//! Values of any type through serde. Our own deserializer tells the AMQP type; of any other, types are taken for their
//! likes.

use super::arrays::ELEMENT_TYPES;
use super::name;
use super::types::AmqpUuid;
use crate::Bytes;
use crate::types::{Described, ElementType, Map, Value};
use ::serde::de::value::MapAccessDeserializer;
use ::serde::de::{EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Which variant a value is, as [`Value`] is told when it is read: the number of its type, or the one after the last for
/// described values.
pub(super) fn index_of(value: &Value) -> u32 {
    let known = (0..).zip(ELEMENT_TYPES).find(|(_, known)| value.element_type() == Some(*known));
    known.map_or(DESCRIBED_INDEX, |(index, _)| index)
}

/// The number after the last.
pub(super) const DESCRIBED_INDEX: u32 = 24;

/// The type of which this is the number; none for described values.
fn type_at(index: u32) -> Option<ElementType> {
    usize::try_from(index).ok().and_then(|index| ELEMENT_TYPES.get(index)).copied()
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Ubyte(value) => serializer.serialize_u8(*value),
            Self::Ushort(value) => serializer.serialize_u16(*value),
            Self::Uint(value) => serializer.serialize_u32(*value),
            Self::Ulong(value) => serializer.serialize_u64(*value),
            Self::Byte(value) => serializer.serialize_i8(*value),
            Self::Short(value) => serializer.serialize_i16(*value),
            Self::Int(value) => serializer.serialize_i32(*value),
            Self::Long(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f32(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Decimal32(value) => value.serialize(serializer),
            Self::Decimal64(value) => value.serialize(serializer),
            Self::Decimal128(value) => value.serialize(serializer),
            Self::Char(value) => serializer.serialize_char(*value),
            Self::Timestamp(value) => value.serialize(serializer),
            Self::Uuid(value) => AmqpUuid(*value).serialize(serializer),
            Self::Binary(octets) => serializer.serialize_bytes(octets),
            Self::String(text) => serializer.serialize_str(text),
            Self::Symbol(symbol) => symbol.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(map) => map.serialize(serializer),
            Self::Array(array) => array.serialize(serializer),
            Self::Described(described) => described.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(name::VALUE, AnyValue)
    }
}

/// A value of the type that a variant's number names.
fn read_typed<'de, A: VariantAccess<'de>>(index: u32, access: A) -> Result<Value, A::Error> {
    let Some(element_type) = type_at(index) else {
        return access.newtype_variant::<Described>().map(Into::into);
    };
    Ok(match element_type {
        ElementType::Null => {
            access.unit_variant()?;
            Value::Null
        }
        ElementType::Boolean => Value::Bool(access.newtype_variant()?),
        ElementType::Ubyte => Value::Ubyte(access.newtype_variant()?),
        ElementType::Ushort => Value::Ushort(access.newtype_variant()?),
        ElementType::Uint => Value::Uint(access.newtype_variant()?),
        ElementType::Ulong => Value::Ulong(access.newtype_variant()?),
        ElementType::Byte => Value::Byte(access.newtype_variant()?),
        ElementType::Short => Value::Short(access.newtype_variant()?),
        ElementType::Int => Value::Int(access.newtype_variant()?),
        ElementType::Long => Value::Long(access.newtype_variant()?),
        ElementType::Float => Value::Float(access.newtype_variant()?),
        ElementType::Double => Value::Double(access.newtype_variant()?),
        ElementType::Decimal32 => Value::Decimal32(access.newtype_variant()?),
        ElementType::Decimal64 => Value::Decimal64(access.newtype_variant()?),
        ElementType::Decimal128 => Value::Decimal128(access.newtype_variant()?),
        ElementType::Char => Value::Char(access.newtype_variant()?),
        ElementType::Timestamp => Value::Timestamp(access.newtype_variant()?),
        ElementType::Uuid => Value::Uuid(access.newtype_variant::<AmqpUuid>()?.0),
        ElementType::Binary => Value::Binary(access.newtype_variant()?),
        ElementType::String => Value::String(access.newtype_variant()?),
        ElementType::Symbol => Value::Symbol(access.newtype_variant()?),
        ElementType::List => Value::List(access.newtype_variant()?),
        ElementType::Map => Value::Map(access.newtype_variant()?),
        ElementType::Array => Value::Array(access.newtype_variant()?),
    })
}

/// Takes what a deserializer shows.
struct AnyValue;

/// Methods for Rust types that one AMQP type stands for.
macro_rules! scalars {
    ($($method:ident($type:ty);)*) => {
        $(fn $method<E>(self, value: $type) -> Result<Value, E> {
            Ok(value.into())
        })*
    };
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of any type")
    }

    scalars! {
        visit_bool(bool);
        visit_i8(i8);
        visit_i16(i16);
        visit_i32(i32);
        visit_i64(i64);
        visit_u8(u8);
        visit_u16(u16);
        visit_u32(u32);
        visit_u64(u64);
        visit_f32(f32);
        visit_f64(f64);
        visit_char(char);
        visit_str(&str);
        visit_string(String);
    }

    fn visit_bytes<E>(self, octets: &[u8]) -> Result<Value, E> {
        Ok(Bytes::copy_from_slice(octets).into())
    }

    fn visit_byte_buf<E>(self, octets: Vec<u8>) -> Result<Value, E> {
        Ok(Bytes::from(octets).into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        Map::deserialize(MapAccessDeserializer::new(entries)).map(Value::Map)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, value: A) -> Result<Value, A::Error> {
        let (index, access) = value.variant()?;
        read_typed(index, access)
    }
}
