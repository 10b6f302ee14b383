//! The parts of lists, maps and variants, one after the other, with the way to them for errors.

use super::de::ValueDeserializer;
use super::depth::Depth;
use super::error::{Error, Segment};
use crate::types::{Array, Map, Value};
use ::serde::Deserialize;
use ::serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use ::serde::de::{
    DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use ::serde::{Deserializer, forward_to_deserialize_any};

/// Values in a row.
pub(super) struct Items<I> {
    items: I,
    taken: usize,
    /// Whether an error names the item by its number.
    is_numbered: bool,
}

impl<'de, I: Iterator<Item = ValueDeserializer<'de>>> Items<I> {
    /// Items of a list or array.
    pub(super) const fn new(items: I) -> Self {
        Self { items, taken: 0, is_numbered: true }
    }

    /// Parts of something that is no list.
    pub(super) const fn parts(items: I) -> Self {
        Self { items, taken: 0, is_numbered: false }
    }

    /// Shows all of them, or it is an error.
    pub(super) fn visited_by<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let seen = visitor.visit_seq(&mut self)?;
        match self.items.count() {
            0 => Ok(seen),
            left => Err(Error::expected(format_args!("{} items", self.taken), self.taken + left)),
        }
    }
}

impl<'de, I: Iterator<Item = ValueDeserializer<'de>>> SeqAccess<'de> for Items<I> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let index = self.taken;
        self.taken += 1;
        let read = seed.deserialize(item);
        let number =
            |error: Error| if self.is_numbered { error.within(Segment::Index(index)) } else { error };
        read.map(Some).map_err(number)
    }

    fn size_hint(&self) -> Option<usize> {
        // these are there, not announced
        Some(self.items.size_hint().0)
    }
}

/// Entries of a map.
pub(super) struct Entries<'de> {
    entries: <&'de Map as IntoIterator>::IntoIter,
    entry: Option<&'de (Value, Value)>,
    depth: Depth,
}

impl<'de> Entries<'de> {
    pub(super) fn new(map: &'de Map, depth: Depth) -> Self {
        Self { entries: map.iter(), entry: None, depth }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.entry = self.entries.next();
        let key = self.entry.map(|(key, _)| seed.deserialize(ValueDeserializer::at(key, self.depth)));
        key.transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some((key, value)) = self.entry else {
            return Err(Error::expected("a key before a value", "none"));
        };
        let read = seed.deserialize(ValueDeserializer::at(value, self.depth));
        read.map_err(|error| error.within(Segment::key(key)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// Items of a list under the names of fields. A null is as good as no field, so that defaults apply (§1.4).
pub(super) struct Named<'de> {
    names: std::slice::Iter<'static, &'static str>,
    items: std::slice::Iter<'de, Value>,
    field: Option<(&'static str, &'de Value)>,
    depth: Depth,
}

impl<'de> Named<'de> {
    pub(super) fn new(names: &'static [&'static str], items: &'de [Value], depth: Depth) -> Self {
        Self { names: names.iter(), items: items.iter(), field: None, depth }
    }
}

impl<'de> MapAccess<'de> for Named<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let mut fields = self.names.by_ref().zip(self.items.by_ref());
        self.field = fields.find(|(_, item)| !item.is_null()).map(|(name, item)| (*name, item));
        let key = self.field.map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name)));
        key.transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let Some((name, item)) = self.field else {
            return Err(Error::expected("a key before a value", "none"));
        };
        let read = seed.deserialize(ValueDeserializer::at(item, self.depth));
        read.map_err(|error| error.within(Segment::name(name)))
    }
}

/// The parts of an array, by name: `type`, `descriptors`, `elements`.
pub(super) struct Parts<'de> {
    array: &'de Array,
    next: usize,
    depth: Depth,
}

impl<'de> Parts<'de> {
    pub(super) const fn new(array: &'de Array, depth: Depth) -> Self {
        Self { array, next: 0, depth }
    }
}

impl<'de> MapAccess<'de> for Parts<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(name) = super::arrays::ARRAY_PARTS.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let values = match self.next {
            1 => return seed.deserialize(BorrowedStrDeserializer::new(self.array.element_type().name())),
            2 => self.array.descriptors(),
            _ => self.array.elements(),
        };
        seed.deserialize(Row { items: values.iter(), depth: self.depth })
    }
}

/// Values in a row that are no list.
pub(super) struct Row<I> {
    items: I,
    depth: Depth,
}

impl<'de, I: Iterator<Item = &'de Value>> Row<I> {
    pub(super) const fn new(items: I) -> Self {
        Self { items, depth: Depth::of_decoded() }
    }
}

impl<'de, I: Iterator<Item = &'de Value>> Deserializer<'de> for Row<I> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let depth = self.depth;
        Items::new(self.items.map(|item| ValueDeserializer::at(item, depth))).visited_by(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(Self { depth: self.depth.step()?, ..self })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(Self { depth: self.depth.step()?, ..self })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let expected: &dyn Expected = &visitor;
        Err(Error::expected(expected, "list"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct enum identifier ignored_any
    }
}

/// A variant with contents: the one entry of a map.
pub(super) struct OneEntry<'de> {
    key: &'de Value,
    value: &'de Value,
    depth: Depth,
}

impl<'de> OneEntry<'de> {
    pub(super) const fn new(key: &'de Value, value: &'de Value, depth: Depth) -> Self {
        Self { key, value, depth }
    }

    fn read<T>(self, read: impl FnOnce(ValueDeserializer<'de>) -> Result<T, Error>) -> Result<T, Error> {
        read(ValueDeserializer::at(self.value, self.depth))
            .map_err(|error| error.within(Segment::key(self.key)))
    }
}

impl<'de> EnumAccess<'de> for OneEntry<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        Ok((seed.deserialize(ValueDeserializer::at(self.key, self.depth))?, self))
    }
}

impl<'de> VariantAccess<'de> for OneEntry<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        self.read(<()>::deserialize)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.read(|value| seed.deserialize(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.read(|value| value.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.read(|value| value.deserialize_struct("", fields, visitor))
    }
}

/// A value as a variant of all types, so that [`Value`] is read without loss.
pub(super) struct Typed<'de>(pub(super) ValueDeserializer<'de>);

impl<'de> EnumAccess<'de> for Typed<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let index: U32Deserializer<Error> = self.0.index().into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> VariantAccess<'de> for Typed<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Err(self.0.unexpected(&visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        Err(self.0.unexpected(&visitor))
    }
}
