//! Arrays through serde: as their parts by name, or as their elements.

use super::error::{Error, type_name};
use super::name;
use crate::types::{Array, ElementType, Value};
use ::serde::de::value::MapAccessDeserializer;
use ::serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The parts of an array, by name.
pub(super) const ARRAY_PARTS: [&str; 3] = ["type", DESCRIPTORS, "elements"];
/// The part that comes before the elements, and is above them.
pub(super) const DESCRIPTORS: &str = "descriptors";

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

/// All types of the specification, in its order.
pub(super) const ELEMENT_TYPES: [ElementType; 24] = [
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
