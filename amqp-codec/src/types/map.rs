//! Maps (§1.6.23): keys and values in order; and those whose keys are of one type.

use super::primitive::MAP;
use super::{ByteString, Symbol, SymbolRef, Value, ValueRef};
use crate::decode::{Compound, Decoder};
use crate::error::{DecodeError, Found};
use std::collections::HashSet;
use std::hash::Hash;

/// Up to this many keys are compared with each other; more are hashed, so that the work stays linear.
pub(super) const COMPARE_UP_TO: usize = 8;

impl<'a> Decoder<'a> {
    /// Enters a map whose format code was taken, and tells how many entries it has.
    #[inline]
    pub(crate) fn enter_map(&mut self, code: u8) -> Result<(Compound<'a>, usize), DecodeError> {
        let compound = self.enter(code, MAP)?;
        let entries = compound.count / 2;
        if compound.count % 2 != 0 {
            let found = Found::Number(u64::try_from(compound.count).unwrap_or(u64::MAX));
            return Err(self.error("an even count of keys and values", found));
        }
        Ok((compound, entries))
    }
}

/// The error that a key stands twice in a map that was just read (§1.6.23).
#[cold]
pub(crate) fn duplicate(input: &Decoder<'_>) -> DecodeError {
    input.error("different keys in a map", Found::Text("the same key twice"))
}

/// A key of a map, which may be a text.
pub(crate) trait Key: Hash + Eq {
    /// The text of a string or symbol.
    fn key_text(&self) -> Option<&str>;
}

macro_rules! keys {
    ($($type:ty = |$key:ident| $text:expr;)*) => {
        $(impl Key for $type {
            #[inline]
            fn key_text(&self) -> Option<&str> {
                let $key = self;
                $text
            }
        })*
    };
}

keys! {
    Value = |key| key.as_str();
    ValueRef<'_> = |key| key.as_str();
    ByteString = |key| Some(key.as_str());
    &str = |key| Some(key);
    Symbol = |key| Some(key.as_str());
    SymbolRef<'_> = |key| Some(key.as_str());
}

/// Whether keys come in the order of their texts, each greater than the one before: then none stands twice. Whoever keeps
/// maps sorted sends them like this.
#[derive(Debug)]
pub(super) struct Ascending<K> {
    last: Option<K>,
    so_far: bool,
}

impl<K: Key> Ascending<K> {
    pub(super) const fn new() -> Self {
        Self { last: None, so_far: true }
    }

    /// Takes the next key, and tells whether all were in order.
    #[inline]
    pub(super) fn add(&mut self, key: K) -> bool {
        if self.so_far {
            // none is less than any text
            self.so_far = self.last.as_ref().and_then(K::key_text) < key.key_text();
            self.last = Some(key);
        }
        self.so_far
    }

    pub(super) const fn so_far(&self) -> bool {
        self.so_far
    }
}

impl<K: Key> Key for &K {
    #[inline]
    fn key_text(&self) -> Option<&str> {
        K::key_text(self)
    }
}

/// Whether a key stands twice among so many.
pub(crate) fn has_duplicates<K: Key>(count: usize, keys: impl Iterator<Item = K> + Clone) -> bool {
    if count <= COMPARE_UP_TO {
        return keys.clone().enumerate().any(|(n, key)| keys.clone().take(n).any(|before| before == key));
    }
    let mut ascending = Ascending::new();
    !keys.clone().all(|key| ascending.add(key)) && has_equal(count, keys)
}

/// Whether two of many keys are equal, whatever their order is.
pub(super) fn has_equal<K: Key>(count: usize, mut keys: impl Iterator<Item = K>) -> bool {
    let mut seen = HashSet::with_capacity_and_hasher(count, foldhash::fast::RandomState::default());
    !keys.all(|key| seen.insert(key))
}

/// A map with ordered entries and keys of one type.
macro_rules! keyed_map {
    ($(#[$meta:meta])* $name:ident, $key:ty, $key_name:literal, |$wanted:ident, $found:ident| $same:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
        pub struct $name(Vec<($key, $crate::types::Value)>);

        impl $name {
            /// An empty map; nothing is allocated.
            #[must_use]
            pub const fn new() -> Self {
                Self(Vec::new())
            }

            /// How many entries there are.
            #[must_use]
            pub const fn len(&self) -> usize {
                self.0.len()
            }

            /// Whether there are none.
            #[must_use]
            pub const fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// The value of a key, named by its text.
            #[must_use]
            pub fn get(&self, $wanted: &str) -> Option<&$crate::types::Value> {
                self.0.iter().find(|($found, _)| $same).map(|(_, value)| value)
            }

            /// Sets the value of a key: replaces it in its place, or adds it at the end.
            pub fn insert(&mut self, key: impl Into<$key>, value: impl Into<$crate::types::Value>) {
                let (key, value) = (key.into(), value.into());
                match self.0.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, before)) => *before = value,
                    None => self.0.push((key, value)),
                }
            }

            /// Takes an entry out.
            pub fn remove(&mut self, $wanted: &str) -> Option<$crate::types::Value> {
                let place = self.0.iter().position(|($found, _)| $same)?;
                Some(self.0.remove(place).1)
            }

            /// The entries, in order.
            pub fn iter(&self) -> std::slice::Iter<'_, ($key, $crate::types::Value)> {
                self.0.iter()
            }

            /// Keeps the entries for which `keep` says true.
            pub fn retain(&mut self, mut keep: impl FnMut(&$key, &$crate::types::Value) -> bool) {
                self.0.retain(|(key, value)| keep(key, value));
            }

            /// Octets of keys and values, without size and count.
            pub(crate) fn items_len(&self) -> usize {
                use $crate::encode::Encode;
                self.0.iter().map(|(key, value)| key.encoded_len() + value.encoded_len()).sum()
            }

            /// A map whose format code was taken.
            pub(crate) fn decode_data(
                code: u8,
                input: &mut $crate::decode::Decoder<'_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                use $crate::decode::Decode;
                let (compound, count) = input.enter_map(code)?;
                let mut entries = Vec::with_capacity(count);
                for _ in 0..count {
                    let key = <$key>::decode(input)?;
                    entries.push((key, $crate::types::Value::decode(input)?));
                }
                input.leave(&compound)?;
                if $crate::types::has_duplicates(count, entries.iter().map(|(key, _)| key)) {
                    return Err($crate::types::duplicate(input));
                }
                Ok(Self(entries))
            }
        }

        impl $crate::decode::Decode for $name {
            fn decode(input: &mut $crate::decode::Decoder<'_>) -> Result<Self, $crate::error::DecodeError> {
                let code = input.code()?;
                Self::decode_data(code, input)
            }
        }

        impl $crate::encode::Encode for $name {
            fn encoded_len(&self) -> usize {
                $crate::encode::compound_len(self.items_len(), self.0.len() * 2)
            }

            fn encode(&self, out: &mut bytes::BytesMut) {
                use $crate::types::constructor::code;
                let count = self.0.len() * 2;
                let map = $crate::encode::OpenCompound::begin(out, count);
                for (key, value) in &self.0 {
                    key.encode(out);
                    value.encode(out);
                }
                map.finish(out, code::MAP8, code::MAP32, count);
            }
        }

        impl<K: Into<$key>, V: Into<$crate::types::Value>> FromIterator<(K, V)> for $name {
            /// Of entries with the same key the first gives the place and the last the value.
            fn from_iter<T: IntoIterator<Item = (K, V)>>(entries: T) -> Self {
                let entries: Vec<($key, $crate::types::Value)> =
                    entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
                if !$crate::types::has_duplicates(entries.len(), entries.iter().map(|(key, _)| key)) {
                    return Self(entries);
                }
                let mut map = Self::new();
                for (key, value) in entries {
                    map.insert(key, value);
                }
                map
            }
        }

        impl IntoIterator for $name {
            type Item = ($key, $crate::types::Value);
            type IntoIter = std::vec::IntoIter<Self::Item>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.into_iter()
            }
        }

        impl<'a> IntoIterator for &'a $name {
            type Item = &'a ($key, $crate::types::Value);
            type IntoIter = std::slice::Iter<'a, ($key, $crate::types::Value)>;

            fn into_iter(self) -> Self::IntoIter {
                self.0.iter()
            }
        }
    };
}
pub(crate) use keyed_map;

keyed_map! {
    /// A map with keys of any type, in order (§1.6.23). Strings and symbols are both found by their text.
    ///
    /// ```
    /// use amqp_codec::types::{Map, Value};
    ///
    /// let map: Map = [("durable", true), ("exclusive", false)].into_iter().collect();
    /// assert_eq!(map.get("durable"), Some(&Value::Bool(true)));
    /// ```
    Map, Value, "any", |wanted, found| found.as_str() == Some(wanted)
}

#[cfg(feature = "serde")]
impl Map {
    /// The map of these entries; none if a key stands twice.
    pub(crate) fn of_distinct(entries: Vec<(Value, Value)>) -> Option<Self> {
        let has_duplicates = has_duplicates(entries.len(), entries.iter().map(|(key, _)| key));
        (!has_duplicates).then_some(Self(entries))
    }
}

#[cfg(feature = "serde")]
impl Fields {
    /// The map of these entries; none if a key stands twice.
    pub(crate) fn of_distinct(entries: Vec<(Symbol, Value)>) -> Option<Self> {
        let has_duplicates = has_duplicates(entries.len(), entries.iter().map(|(key, _)| key));
        (!has_duplicates).then_some(Self(entries))
    }
}

impl Map {
    /// The value of a key of any type.
    #[must_use]
    pub fn get_value(&self, key: &Value) -> Option<&Value> {
        self.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

keyed_map! {
    /// A map with symbols as keys (`fields`, §2.8.13): properties of connections, sessions, links and errors.
    Fields, Symbol, "symbol", |wanted, found| found.as_str() == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_entries_with_one_key_the_first_gives_the_place_and_the_last_the_value() {
        for others in [0, 20] {
            let entries = [(7, 1), (8, 2), (7, 3)].into_iter().chain((100..100 + others).map(|key| (key, 0)));
            let map: Map = entries.map(|(key, value): (u32, u8)| (key, value)).collect();
            let first: Vec<_> = map.iter().take(2).cloned().collect();
            assert_eq!(first, [(Value::Uint(7), Value::Ubyte(3)), (Value::Uint(8), Value::Ubyte(2))]);
            assert_eq!(map.len(), 2 + usize::try_from(others).unwrap());
        }
    }

    #[test]
    fn a_large_map_is_collected_in_linear_time() {
        // Were each key compared with each, this would take minutes.
        let map: Map = (0..300_000_u32).map(|key| (key, key)).collect();
        assert_eq!(map.len(), 300_000);
    }
}
