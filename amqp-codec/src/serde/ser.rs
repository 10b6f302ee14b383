//! From Rust types to values.

use super::arrays::DESCRIPTORS;
use super::depth::Depth;
use super::error::{Error, Segment, type_name};
use super::{name, types};
use crate::types::{Symbol, Timestamp, Value};
use crate::{ByteString, Bytes};
use ::serde::{Serialize, Serializer, ser};

/// Makes a [`Value`] of anything that serde can serialize; [`to_value`](super::to_value) is the short way.
///
/// ```
/// use amqp_codec::serde::ValueSerializer;
/// use amqp_codec::types::Value;
/// use serde::Serialize;
///
/// assert_eq!(7_u32.serialize(ValueSerializer::new())?, Value::Uint(7));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ValueSerializer {
    depth: Depth,
    form: Form,
}

/// How a struct is written; what is inside it is [`Form::Plain`] again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As a map from strings.
    Plain,
    /// As a map from symbols.
    SymbolKeys,
    /// As a list of its fields, without the nulls at its end.
    List,
    /// As two parts of something that is no list.
    Pair,
    /// As the elements of an array, or as its parts by name, which are no level of their own.
    Array,
}

impl ValueSerializer {
    /// A serializer of one value.
    #[must_use]
    pub fn new() -> Self {
        Self { depth: Depth::of_encoded(), form: Form::Plain }
    }

    const fn plain(depth: Depth) -> Self {
        Self { depth, form: Form::Plain }
    }

    fn list(self, len: usize, variant: Option<&'static str>) -> Result<ListSerializer, Error> {
        Ok(ListSerializer {
            depth: self.depth.level()?,
            items: Vec::with_capacity(len.min(RESERVE)),
            variant,
            form: self.form,
        })
    }

    fn map(self, len: usize, variant: Option<&'static str>) -> Result<MapSerializer, Error> {
        Ok(MapSerializer {
            depth: if self.form == Form::Array { self.depth.step()? } else { self.depth.level()? },
            entries: Vec::with_capacity(len.min(RESERVE)),
            key: Value::Null,
            variant,
            form: self.form,
        })
    }

    /// The error for what has no fields in order, where a described list is to be written.
    fn refuse_list(self, found: &str) -> Result<(), Error> {
        match self.form {
            Form::List => Err(Error::expected("a struct with known fields for a described list", found)),
            Form::Plain | Form::SymbolKeys | Form::Pair | Form::Array => Ok(()),
        }
    }

    fn scalar(self, value: impl Into<Value>) -> Result<Value, Error> {
        let value = value.into();
        self.refuse_list(type_name(&value))?;
        Ok(value)
    }
}

/// Room that is made at once for items and entries that are announced.
const RESERVE: usize = 4096;

impl Default for ValueSerializer {
    fn default() -> Self {
        Self::new()
    }
}

/// Methods for values that one Rust type stands for.
macro_rules! scalars {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, value: $type) -> Result<Value, Error> {
            self.scalar(value)
        })*
    };
}

impl Serializer for ValueSerializer {
    type Ok = Value;
    type Error = Error;
    type SerializeSeq = ListSerializer;
    type SerializeTuple = ListSerializer;
    type SerializeTupleStruct = ListSerializer;
    type SerializeTupleVariant = ListSerializer;
    type SerializeMap = MapSerializer;
    type SerializeStruct = StructSerializer;
    type SerializeStructVariant = MapSerializer;

    scalars! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
    }

    fn serialize_i128(self, _: i128) -> Result<Value, Error> {
        Err(Error::expected("an integer of at most 64 bits", "i128"))
    }

    fn serialize_u128(self, _: u128) -> Result<Value, Error> {
        Err(Error::expected("an integer of at most 64 bits", "u128"))
    }

    fn serialize_bytes(self, octets: &[u8]) -> Result<Value, Error> {
        self.scalar(Bytes::copy_from_slice(octets))
    }

    fn serialize_none(self) -> Result<Value, Error> {
        self.scalar(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Error> {
        value.serialize(Self { depth: self.depth.step()?, ..self })
    }

    fn serialize_unit(self) -> Result<Value, Error> {
        self.scalar(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Error> {
        Ok(if self.form == Form::List { Value::List(Vec::new()) } else { Value::Null })
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Error> {
        self.scalar(text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, Error> {
        let depth = self.depth.step()?;
        match name {
            name::LIST => value.serialize(Self { depth, form: Form::List }),
            name::SYMBOL_KEYS => value.serialize(Self { depth, form: Form::SymbolKeys }),
            name::DESCRIBED => types::described(value.serialize(Self { depth, form: Form::Pair })?),
            name::ARRAY => super::arrays::array(value.serialize(Self { depth, form: Form::Array })?),
            name::SYMBOL => symbol(value.serialize(Self::plain(depth))?),
            name::TIMESTAMP => match value.serialize(Self::plain(depth))? {
                Value::Long(millis) => Ok(Timestamp(millis).into()),
                other => Err(Error::expected("milliseconds of a timestamp", type_name(&other))),
            },
            name::UUID | name::DECIMAL32 | name::DECIMAL64 | name::DECIMAL128 => {
                types::fixed(name, &value.serialize(Self::plain(depth))?)
            }
            _ => value.serialize(Self { depth, ..self }),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Error> {
        self.refuse_list("an enum")?;
        let value = value.serialize(Self::plain(self.depth.level()?));
        Ok(tagged(variant, value.map_err(|error| error.within(Segment::name(variant)))?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<ListSerializer, Error> {
        self.list(len.unwrap_or_default(), None)
    }

    fn serialize_tuple(self, len: usize) -> Result<ListSerializer, Error> {
        self.list(len, None)
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<ListSerializer, Error> {
        self.list(len, None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<ListSerializer, Error> {
        self.refuse_list("an enum")?;
        Self::plain(self.depth.level()?).list(len, Some(variant))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<MapSerializer, Error> {
        self.refuse_list("a map")?;
        self.map(len.unwrap_or_default(), None)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<StructSerializer, Error> {
        Ok(match self.form {
            Form::List => StructSerializer(Fields::List(self.list(len, None)?)),
            Form::Plain | Form::SymbolKeys | Form::Pair | Form::Array => {
                StructSerializer(Fields::Map(self.map(len, None)?))
            }
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<MapSerializer, Error> {
        self.refuse_list("an enum")?;
        Self { depth: self.depth.level()?, ..self }.map(len, Some(variant))
    }
}

/// A name of the program as a string; nothing is copied.
fn text(name: &'static str) -> Value {
    ByteString::from_static(name).into()
}

/// A map of one entry, which stands for a variant with contents.
fn tagged(variant: &'static str, value: Value) -> Value {
    Value::Map(std::iter::once((text(variant), value)).collect())
}

/// The symbol of these letters.
fn symbol(text: Value) -> Result<Value, Error> {
    match text {
        Value::String(text) => match Symbol::try_from(text) {
            Ok(symbol) => Ok(symbol.into()),
            Err(_) => Err(Error::expected("symbol in ASCII", "another character")),
        },
        Value::Symbol(symbol) => Ok(symbol.into()),
        other => Err(Error::expected("symbol", type_name(&other))),
    }
}

/// Items of a list that is being made.
#[derive(Debug)]
pub struct ListSerializer {
    depth: Depth,
    items: Vec<Value>,
    /// Of which variant these are the contents.
    variant: Option<&'static str>,
    form: Form,
}

impl ListSerializer {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let value = value.serialize(ValueSerializer::plain(self.depth)).map_err(|error| {
            let index = Segment::Index(self.items.len());
            within_variant(if self.form == Form::Pair { error } else { error.within(index) }, self.variant)
        })?;
        self.items.push(value);
        Ok(())
    }

    /// A field: it has a name for those who read an error.
    fn push_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        let value = value.serialize(ValueSerializer::plain(self.depth));
        self.items.push(value.map_err(|error| error.within(Segment::name(name)))?);
        Ok(())
    }

    fn finish(mut self) -> Value {
        if self.form == Form::List {
            let used = self.items.iter().rposition(|item| !item.is_null()).map_or(0, |last| last + 1);
            self.items.truncate(used);
        }
        let list = Value::List(self.items);
        match self.variant {
            Some(variant) => tagged(variant, list),
            None => list,
        }
    }
}

#[cold]
fn within_variant(error: Error, variant: Option<&'static str>) -> Error {
    match variant {
        Some(variant) => error.within(Segment::name(variant)),
        None => error,
    }
}

/// The four traits of serde for values in a row.
macro_rules! list_serializer {
    ($($trait:ident::$method:ident;)*) => {
        $(impl ser::$trait for ListSerializer {
            type Ok = Value;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Error> {
                Ok(self.finish())
            }
        })*
    };
}

list_serializer! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// Entries of a map that is being made.
#[derive(Debug)]
pub struct MapSerializer {
    depth: Depth,
    entries: Vec<(Value, Value)>,
    /// The key whose value comes next.
    key: Value,
    /// Of which variant these are the contents.
    variant: Option<&'static str>,
    form: Form,
}

impl MapSerializer {
    fn push<T: Serialize + ?Sized>(&mut self, key: Value, value: &T) -> Result<(), Error> {
        let key = match key {
            Value::String(_) if self.form == Form::SymbolKeys => symbol(key)?,
            _ => key,
        };
        let value = value
            .serialize(ValueSerializer::plain(self.depth))
            .map_err(|error| within_variant(error.within(Segment::key(&key)), self.variant))?;
        self.entries.push((key, value));
        Ok(())
    }

    /// After a part of an array: its descriptors are levels above the elements, which follow.
    fn charge_descriptors(&mut self, part: &str) -> Result<(), Error> {
        match self.entries.last() {
            Some((_, Value::List(descriptors))) if self.form == Form::Array && part == DESCRIPTORS => {
                for _ in descriptors {
                    self.depth = self.depth.level()?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(self) -> Result<Value, Error> {
        let map = Value::Map(types::distinct(self.entries)?);
        Ok(match self.variant {
            Some(variant) => tagged(variant, map),
            None => map,
        })
    }
}

impl ser::SerializeMap for MapSerializer {
    type Ok = Value;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = key.serialize(ValueSerializer::plain(self.depth))?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = std::mem::take(&mut self.key);
        self.push(key, value)
    }

    fn end(self) -> Result<Value, Error> {
        self.finish()
    }
}

impl ser::SerializeStructVariant for MapSerializer {
    type Ok = Value;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.push(text(key), value)
    }

    fn end(self) -> Result<Value, Error> {
        self.finish()
    }
}

/// Fields of a struct that is being made a map or a list.
#[derive(Debug)]
pub struct StructSerializer(Fields);

#[derive(Debug)]
enum Fields {
    Map(MapSerializer),
    List(ListSerializer),
}

impl ser::SerializeStruct for StructSerializer {
    type Ok = Value;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        match &mut self.0 {
            Fields::Map(map) => {
                map.push(text(key), value)?;
                map.charge_descriptors(key)
            }
            Fields::List(list) => list.push_field(key, value),
        }
    }

    fn skip_field(&mut self, key: &'static str) -> Result<(), Error> {
        match &mut self.0 {
            Fields::Map(_) => Ok(()),
            // its place must be kept
            Fields::List(list) => list.push_field(key, &()),
        }
    }

    fn end(self) -> Result<Value, Error> {
        match self.0 {
            Fields::Map(map) => map.finish(),
            Fields::List(list) => Ok(list.finish()),
        }
    }
}
