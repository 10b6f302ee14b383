//! The codec's own types through serde: without loss through this crate's serializer, in their natural form elsewhere.

use super::described::Descriptor;
use super::error::{Error, Segment, type_name};
use super::name;
use crate::types::{
    Array, Decimal32, Decimal64, Decimal128, Described, ElementType, Fields, Map, Symbol, Timestamp, Value,
};
use crate::{ByteString, Bytes, Uuid};
use ::serde::de::value::MapAccessDeserializer;
use ::serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// A newtype with one of the crate's names: what is inside it as `I`, and what that means.
pub(super) struct Newtype<I, T, E> {
    pub(super) expected: &'static str,
    pub(super) convert: fn(I) -> Result<T, E>,
}

impl<'de, I: Deserialize<'de>, T, E: fmt::Display> Visitor<'de> for Newtype<I, T, E> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        (self.convert)(I::deserialize(deserializer)?)
            .map_err(|found| D::Error::custom(format_args!("expected {}, found {found}", self.expected)))
    }
}

impl Serialize for ByteString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = ByteString;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E>(self, text: &str) -> Result<ByteString, E> {
                Ok(text.into())
            }

            fn visit_string<E>(self, text: String) -> Result<ByteString, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::SYMBOL, self.as_str())
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let convert = |text: ByteString| Self::try_from(text).map_err(|_| "another character");
        deserializer
            .deserialize_newtype_struct(name::SYMBOL, Newtype { expected: "symbol in ASCII", convert })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::TIMESTAMP, &self.millis())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let convert = |millis: i64| Ok::<_, &str>(Self::from_millis(millis));
        deserializer.deserialize_newtype_struct(name::TIMESTAMP, Newtype { expected: "timestamp", convert })
    }
}

macro_rules! decimals {
    ($($type:ident $name:ident $expected:literal;)*) => {
        $(impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_newtype_struct(name::$name, &Octets(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let convert = |octets: Bytes| octets.as_ref().try_into().map(Self).map_err(|_| "other octets");
                deserializer.deserialize_newtype_struct(name::$name, Newtype { expected: $expected, convert })
            }
        })*
    };
}

decimals! {
    Decimal32 DECIMAL32 "decimal32";
    Decimal64 DECIMAL64 "decimal64";
    Decimal128 DECIMAL128 "decimal128";
}

/// Octets as octets, not as a list of numbers.
pub(super) struct Octets<'a>(pub(super) &'a [u8]);

impl Serialize for Octets<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// A UUID that is the AMQP type (§1.6.18), not its text.
pub(super) struct AmqpUuid(pub(super) Uuid);

impl Serialize for AmqpUuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text: &str = self.0.hyphenated().encode_lower(&mut text);
        serializer.serialize_newtype_struct(name::UUID, text)
    }
}

impl<'de> Deserialize<'de> for AmqpUuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let convert = |uuid: Uuid| Ok::<_, &str>(Self(uuid));
        deserializer.deserialize_newtype_struct(name::UUID, Newtype { expected: "uuid", convert })
    }
}

impl Serialize for Described {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::DESCRIBED, &(&self.descriptor, &self.value))
    }
}

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_pair(deserializer, None).map(|(descriptor, value)| Self { descriptor, value })
    }
}

/// A descriptor, this one if there is one, and what it describes.
pub(super) fn read_pair<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    expected: Option<Descriptor>,
) -> Result<(Value, T), D::Error> {
    deserializer.deserialize_newtype_struct(name::DESCRIBED, Pair { expected, value: PhantomData })
}

struct Pair<T> {
    expected: Option<Descriptor>,
    value: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Pair<T> {
    type Value = (Value, T);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a descriptor and a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let descriptor = parts.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        if let Some(expected) = self.expected.filter(|expected| !expected.is(&descriptor)) {
            let found = Segment::key(&descriptor);
            return Err(A::Error::custom(format_args!("expected descriptor {expected}, found {found}")));
        }
        let value = parts.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        Ok((descriptor, value))
    }
}

/// The parts of an array, by name.
pub(super) const ARRAY_PARTS: [&str; 3] = ["type", "descriptors", "elements"];

#[derive(Serialize)]
struct ArrayParts<'a> {
    #[serde(rename = "type")]
    element_type: &'static str,
    descriptors: &'a [Value],
    elements: &'a [Value],
}

#[derive(Deserialize)]
struct ArrayRead {
    #[serde(rename = "type")]
    element_type: String,
    #[serde(default)]
    descriptors: Vec<Value>,
    elements: Vec<Value>,
}

impl Serialize for Array {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = ArrayParts {
            element_type: self.element_type().name(),
            descriptors: self.descriptors(),
            elements: self.elements(),
        };
        serializer.serialize_newtype_struct(name::ARRAY, &parts)
    }
}

impl<'de> Deserialize<'de> for Array {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Array;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("array")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Array, D::Error> {
                deserializer.deserialize_any(self)
            }

            fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<Array, A::Error> {
                let read = ArrayRead::deserialize(MapAccessDeserializer::new(parts))?;
                let Some(element_type) =
                    ELEMENT_TYPES.into_iter().find(|known| known.name() == read.element_type)
                else {
                    return Err(A::Error::custom("expected the name of a type, found another"));
                };
                Array::with_descriptors(element_type, read.descriptors, read.elements)
                    .map_err(A::Error::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Array, A::Error> {
                array_of(read_all(&mut elements)?).map_err(A::Error::custom)
            }
        }

        deserializer.deserialize_newtype_struct(name::ARRAY, Parts)
    }
}

/// All that is left. Room is made as items come: no announcement is believed.
fn read_all<'de, A: SeqAccess<'de>, T: Deserialize<'de>>(items: &mut A) -> Result<Vec<T>, A::Error> {
    let mut all = Vec::new();
    while let Some(item) = items.next_element()? {
        all.push(item);
    }
    Ok(all)
}

/// The array of values of one type, which is that of the first, and with one descriptor, if any; of nulls if there are
/// none.
fn array_of(mut elements: Vec<Value>) -> Result<Array, Error> {
    let mut descriptors = Vec::new();
    while let Some(Value::Described(first)) = elements.first() {
        let shared = first.descriptor.clone();
        elements = elements.into_iter().map(|element| without(&shared, element)).collect::<Result<_, _>>()?;
        descriptors.push(shared);
    }
    let element_type = elements.first().and_then(Value::element_type).unwrap_or(ElementType::Null);
    if let Some(other) = elements.iter().find(|element| element.element_type() != Some(element_type)) {
        let expected = format_args!("{} as every element of the array", element_type.name());
        return Err(Error::expected(expected, type_name(other)));
    }
    Array::with_descriptors(element_type, descriptors, elements).map_err(::serde::ser::Error::custom)
}

/// What this descriptor describes.
fn without(descriptor: &Value, element: Value) -> Result<Value, Error> {
    match element {
        Value::Described(described) if described.descriptor == *descriptor => Ok(described.value),
        other => {
            let expected = "the same descriptor for every element of the array";
            Err(Error::expected(expected, format_args!("another in front of {}", type_name(&other))))
        }
    }
}

/// The array that was serialized as its parts, or as its elements.
pub(super) fn array(value: Value) -> Result<Value, Error> {
    match value {
        Value::List(elements) => array_of(elements).map(Value::Array),
        Value::Map(parts) => {
            let mut parts = parts.into_iter().map(|(_, part)| part);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(Value::String(name)), Some(Value::List(descriptors)), Some(Value::List(elements))) => {
                    let name: &str = &name;
                    let known = ELEMENT_TYPES.into_iter().find(|known| known.name() == name);
                    let element_type =
                        known.ok_or_else(|| Error::expected("the name of a type", "another"))?;
                    Array::with_descriptors(element_type, descriptors, elements)
                        .map(Value::Array)
                        .map_err(::serde::ser::Error::custom)
                }
                _ => Err(Error::expected("the parts of an array", "others")),
            }
        }
        other => Err(Error::expected("values in a row for an array", type_name(&other))),
    }
}

/// The described value that was serialized as its parts.
pub(super) fn described(value: Value) -> Result<Value, Error> {
    let parts: Result<[Value; 2], _> = match value {
        Value::List(parts) => parts.try_into(),
        other => return Err(Error::expected("a descriptor and a value", type_name(&other))),
    };
    match parts {
        Ok([descriptor, value]) => Ok(Described { descriptor, value }.into()),
        Err(parts) => Err(Error::expected("a descriptor and a value", parts.len())),
    }
}

/// The value of fixed width that was serialized as text or octets.
pub(super) fn fixed(name: &'static str, value: &Value) -> Result<Value, Error> {
    let octets = value.as_bytes().map(AsRef::as_ref).unwrap_or_default();
    let value = match name {
        name::UUID => value.as_str().and_then(|text| Uuid::try_parse(text).ok()).map(Value::Uuid),
        name::DECIMAL32 => octets.try_into().map(|octets| Decimal32(octets).into()).ok(),
        name::DECIMAL64 => octets.try_into().map(|octets| Decimal64(octets).into()).ok(),
        _ => octets.try_into().map(|octets| Decimal128(octets).into()).ok(),
    };
    value.ok_or_else(|| Error::expected("a value of fixed width", "another"))
}

/// The map of these entries.
pub(super) fn distinct(entries: Vec<(Value, Value)>) -> Result<Map, Error> {
    Map::of_distinct(entries).ok_or_else(same_key)
}

#[cold]
fn same_key() -> Error {
    Error::expected("different keys in a map", "the same key twice")
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, value)))
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, value)))
    }
}

/// Entries of a map, in order.
struct EntriesVisitor<K>(PhantomData<K>);

impl<'de, K: Deserialize<'de>> Visitor<'de> for EntriesVisitor<K> {
    type Value = Vec<(K, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(all)
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_map(EntriesVisitor(PhantomData))?;
        Self::of_distinct(entries).ok_or_else(|| D::Error::custom(same_key()))
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_map(EntriesVisitor(PhantomData))?;
        Self::of_distinct(entries).ok_or_else(|| D::Error::custom(same_key()))
    }
}

/// All types of the specification, in its order.
const ELEMENT_TYPES: [ElementType; 24] = [
    ElementType::Null,
    ElementType::Boolean,
    ElementType::Ubyte,
    ElementType::Ushort,
    ElementType::Uint,
    ElementType::Ulong,
    ElementType::Byte,
    ElementType::Short,
    ElementType::Int,
    ElementType::Long,
    ElementType::Float,
    ElementType::Double,
    ElementType::Decimal32,
    ElementType::Decimal64,
    ElementType::Decimal128,
    ElementType::Char,
    ElementType::Timestamp,
    ElementType::Uuid,
    ElementType::Binary,
    ElementType::String,
    ElementType::Symbol,
    ElementType::List,
    ElementType::Map,
    ElementType::Array,
];

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
        deserializer.deserialize_newtype_struct(name::VALUE, super::any::AnyValue)
    }
}

/// A value of the type that a variant's number names.
pub(super) fn read_typed<'de, A: ::serde::de::VariantAccess<'de>>(
    index: u32,
    access: A,
) -> Result<Value, A::Error> {
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
