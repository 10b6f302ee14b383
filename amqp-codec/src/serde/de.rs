//! From values to Rust types.

use super::access::{Entries, Items, Named, OneEntry, Parts, Typed};
use super::depth::Depth;
use super::error::{Error, type_name};
use super::name;
use super::value::{DESCRIBED_INDEX, index_of};
use crate::types::Value;
use ::serde::de::value::{BorrowedStrDeserializer, SeqDeserializer};
use ::serde::de::{Expected, IntoDeserializer, Visitor};
use ::serde::{Deserializer, forward_to_deserialize_any};

/// What stands where a list has ended.
pub(super) static NULL: Value = Value::Null;

/// Reads a [`Value`] as anything that serde can deserialize; [`from_value`](super::from_value) is the short way.
///
/// Texts and octets are borrowed from the value.
///
/// ```
/// use amqp_codec::serde::ValueDeserializer;
/// use amqp_codec::types::Value;
/// use serde::Deserialize;
///
/// let value = Value::from("seven");
/// assert_eq!(<&str>::deserialize(ValueDeserializer::new(&value))?, "seven");
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ValueDeserializer<'de> {
    value: &'de Value,
    /// What describes the value besides, outermost first: the descriptors of the array whose element it is.
    descriptors: &'de [Value],
    depth: Depth,
    /// Whether a struct is expected as the list of its fields.
    is_list: bool,
}

impl<'de> ValueDeserializer<'de> {
    /// A deserializer of one value.
    #[must_use]
    pub fn new(value: &'de Value) -> Self {
        Self::at(value, Depth::of_decoded())
    }

    pub(super) const fn at(value: &'de Value, depth: Depth) -> Self {
        Self { value, descriptors: &[], depth, is_list: false }
    }

    /// An element of an array with descriptors.
    pub(super) const fn described_by(self, descriptors: &'de [Value]) -> Self {
        Self { descriptors, ..self }
    }

    /// The number of the value's type.
    pub(super) fn index(&self) -> u32 {
        if self.descriptors.is_empty() { index_of(self.value) } else { DESCRIBED_INDEX }
    }

    /// The value, without descriptors: they mean something only to those who ask for them (§1.3.2).
    fn content(&self) -> &'de Value {
        let mut value = self.value;
        while let Value::Described(described) = value {
            value = &described.value;
        }
        value
    }

    fn step(self) -> Result<Self, Error> {
        Ok(Self { depth: self.depth.step()?, ..self })
    }

    pub(super) fn unexpected(&self, expected: &dyn Expected) -> Error {
        Error::expected(expected, type_name(self.content()))
    }

    /// An integer of any width, or the milliseconds of a timestamp.
    fn integer(&self) -> Option<i128> {
        match self.content() {
            Value::Ulong(value) => Some((*value).into()),
            Value::Timestamp(time) => Some(time.millis().into()),
            other => other.as_i64().map(Into::into),
        }
    }

    /// An integer that `T` holds.
    fn narrowed<T: TryFrom<i128>>(&self, name: &str, range: [i128; 2]) -> Result<T, Error> {
        let found = type_name(self.content());
        let Some(integer) = self.integer() else {
            return Err(Error::expected(name, found));
        };
        T::try_from(integer).map_err(|_| {
            let [least, most] = range;
            Error::expected(format_args!("{name} ({least} to {most})"), format_args!("{found} {integer}"))
        })
    }

    fn items<V: Visitor<'de>>(
        self,
        items: &'de [Value],
        descriptors: &'de [Value],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let depth = self.depth.level()?;
        let items = items.iter().map(|item| Self::at(item, depth).described_by(descriptors));
        Items::new(items).visited_by(visitor)
    }

    /// The descriptor in front, and what it describes.
    fn described<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let depth = self.depth.level()?;
        let (descriptor, value) = match (self.descriptors.split_first(), self.value) {
            (Some((first, others)), value) => (first, Self::at(value, depth).described_by(others)),
            (None, Value::Described(described)) => (&described.descriptor, Self::at(&described.value, depth)),
            (None, other) => return Err(Error::expected("described value", type_name(other))),
        };
        Items::parts([Self::at(descriptor, depth), value].into_iter()).visited_by(visitor)
    }

    /// A list of so many fields; the nulls at its end may be left out (§1.4).
    fn padded<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        let Value::List(items) = self.content() else {
            return Err(self.unexpected(&visitor));
        };
        let missing = std::iter::repeat_n(&NULL, len.saturating_sub(items.len()));
        let depth = self.depth.level()?;
        Items::new(items.iter().chain(missing).map(|item| Self::at(item, depth))).visited_by(visitor)
    }

    /// What one of the crate's own types is read from.
    fn own<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        let expected = match (name, self.content()) {
            (name::DECIMAL32, Value::Decimal32(_))
            | (name::DECIMAL64, Value::Decimal64(_))
            | (name::DECIMAL128, Value::Decimal128(_))
            | (name::SYMBOL, Value::Symbol(_) | Value::String(_))
            | (name::UUID, Value::Uuid(_) | Value::Binary(_) | Value::String(_)) => {
                return visitor.visit_newtype_struct(self);
            }
            (name::TIMESTAMP, _) if self.integer().is_some() => return visitor.visit_newtype_struct(self),
            (name::DECIMAL32, _) => "decimal32",
            (name::DECIMAL64, _) => "decimal64",
            (name::DECIMAL128, _) => "decimal128",
            (name::SYMBOL, _) => "symbol",
            (name::UUID, _) => "uuid",
            _ => "timestamp",
        };
        Err(Error::expected(expected, type_name(self.content())))
    }
}

/// Methods for integers: every type that holds the value will do.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty = $name:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let range = [<$type>::MIN.into(), <$type>::MAX.into()];
            visitor.$visit(self.narrowed::<$type>($name, range)?)
        })*
    };
}

impl<'de> Deserializer<'de> for ValueDeserializer<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.content() {
            // descriptors were taken off
            Value::Null | Value::Described(_) => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Ubyte(value) => visitor.visit_u8(*value),
            Value::Ushort(value) => visitor.visit_u16(*value),
            Value::Uint(value) => visitor.visit_u32(*value),
            Value::Ulong(value) => visitor.visit_u64(*value),
            Value::Byte(value) => visitor.visit_i8(*value),
            Value::Short(value) => visitor.visit_i16(*value),
            Value::Int(value) => visitor.visit_i32(*value),
            Value::Long(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f32(*value),
            Value::Double(value) => visitor.visit_f64(*value),
            Value::Decimal32(value) => visitor.visit_borrowed_bytes(&value.0),
            Value::Decimal64(value) => visitor.visit_borrowed_bytes(&value.0),
            Value::Decimal128(value) => visitor.visit_borrowed_bytes(&value.0),
            Value::Char(value) => visitor.visit_char(*value),
            Value::Timestamp(value) => visitor.visit_i64(value.millis()),
            Value::Uuid(value) => visitor.visit_borrowed_bytes(value.as_bytes()),
            Value::Binary(octets) => visitor.visit_borrowed_bytes(octets),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Symbol(text) => visitor.visit_borrowed_str(text.as_str()),
            Value::List(items) => self.items(items, &[], visitor),
            Value::Array(array) => self.items(array.elements(), array.descriptors(), visitor),
            Value::Map(map) => visitor.visit_map(Entries::new(map, self.depth.level()?)),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8 = "byte";
        deserialize_i16 visit_i16 i16 = "short";
        deserialize_i32 visit_i32 i32 = "int";
        deserialize_i64 visit_i64 i64 = "long";
        deserialize_u8 visit_u8 u8 = "ubyte";
        deserialize_u16 visit_u16 u16 = "ushort";
        deserialize_u32 visit_u32 u32 = "uint";
        deserialize_u64 visit_u64 u64 = "ulong";
    }

    fn deserialize_i128<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::expected("an integer of at most 64 bits", "i128"))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::expected("an integer of at most 64 bits", "u128"))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.content() {
            Value::Double(value) if value.is_finite() && value.abs() > f64::from(f32::MAX) => {
                Err(Error::expected("float", "double out of its range"))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let is_null = self.value.is_null() && self.descriptors.is_empty();
        if is_null { visitor.visit_none() } else { visitor.visit_some(self.step()?) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.content() {
            Value::List(_) if self.is_list => visitor.visit_unit(),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            name::VALUE => visitor.visit_enum(Typed(self)),
            name::LIST => visitor.visit_newtype_struct(Self { is_list: true, ..self.step()? }),
            name::ARRAY => match self.content() {
                Value::Array(array) => visitor.visit_map(Parts::new(array, self.depth.level()?)),
                Value::List(_) => self.deserialize_any(visitor),
                other => Err(Error::expected("array", type_name(other))),
            },
            name::DESCRIBED => self.described(visitor),
            name::SYMBOL
            | name::TIMESTAMP
            | name::UUID
            | name::DECIMAL32
            | name::DECIMAL64
            | name::DECIMAL128 => self.own(name, visitor),
            _ => visitor.visit_newtype_struct(self.step()?),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.content() {
            Value::Binary(octets) => visitor.visit_seq(SeqDeserializer::new(octets.iter().copied())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        if self.is_list { self.padded(len, visitor) } else { self.deserialize_seq(visitor) }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.content() {
            Value::Map(_) if !self.is_list => self.deserialize_any(visitor),
            _ => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.content() {
            Value::List(items) if self.is_list => {
                if items.len() > fields.len() {
                    let expected = format_args!("a list of at most {} fields", fields.len());
                    return Err(Error::expected(expected, items.len()));
                }
                visitor.visit_map(Named::new(fields, items, self.depth.level()?))
            }
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let expected = format_args!("a string or a map of one entry for enum {name}");
        match self.content() {
            Value::Map(map) => match (map.len(), map.iter().next()) {
                (1, Some((key, value))) => visitor.visit_enum(OneEntry::new(key, value, self.depth.level()?)),
                (entries, _) => Err(Error::expected(expected, format_args!("map of {entries}"))),
            },
            other => match other.as_str() {
                Some(variant) => visitor.visit_enum(BorrowedStrDeserializer::new(variant)),
                None => Err(Error::expected(expected, type_name(other))),
            },
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.content().as_str() {
            Some(name) => visitor.visit_borrowed_str(name),
            None => Err(self.unexpected(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { bool f64 char str string bytes byte_buf unit }
}

impl<'de> IntoDeserializer<'de, Error> for ValueDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Value {
    type Deserializer = ValueDeserializer<'de>;

    fn into_deserializer(self) -> ValueDeserializer<'de> {
        ValueDeserializer::new(self)
    }
}
