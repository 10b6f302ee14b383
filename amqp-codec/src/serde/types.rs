//! The codec's own types through serde: without loss through this crate's serializer, in their natural form elsewhere.

use super::described::Descriptor;
use super::error::{Error, Segment, type_name};
use super::name;
use crate::types::{Decimal32, Decimal64, Decimal128, Described, Fields, Map, Symbol, Timestamp, Value};
use crate::{ByteString, Bytes, Uuid};
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
