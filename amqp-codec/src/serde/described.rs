//! Structs as described lists, which is how AMQP's own composites are encoded (§1.4).

use super::name;
use super::types::{Newtype, read_pair};
use crate::ByteString;
use crate::types::{Symbol, Value};
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A struct that is written as the list of its fields with a descriptor in front, where it stands in [`AsList`].
///
/// The fields stand in the order of their declaration, an absent one is null, and nulls at the end are left out. When it
/// is read, a null counts as an absent field, so that `Option` and `#[serde(default)]` do what they say.
///
/// As places count, both directions must know the same fields: `skip` and `skip_serializing_if` are good,
/// `skip_serializing` and `skip_deserializing` alone move what follows to other places. Fields must have one name each
/// (no `alias`), and no `flatten`.
///
/// ```
/// use amqp_codec::serde::{AsList, DescribedList, Descriptor, from_bytes, to_bytes};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Order {
///     id: u32,
///     item: String,
///     note: Option<String>,
/// }
///
/// impl DescribedList for Order {
///     const DESCRIPTOR: Descriptor = Descriptor::symbol("example:order:list").or_code(0x1234_0000_0001);
/// }
///
/// let order = Order { id: 7, item: "apple".to_owned(), note: None };
/// let octets = to_bytes(&AsList(&order))?;
/// assert_eq!(octets, &b"\0\xa3\x12example:order:list\xc0\x0a\x02\x52\x07\xa1\x05apple"[..]);
/// let AsList(read) = from_bytes::<AsList<Order>>(octets)?;
/// assert_eq!(read, order);
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
pub trait DescribedList {
    /// What tells this list from others.
    const DESCRIPTOR: Descriptor;
}

impl<T: DescribedList + ?Sized> DescribedList for &T {
    const DESCRIPTOR: Descriptor = T::DESCRIPTOR;
}

impl<T: DescribedList + ?Sized> DescribedList for Box<T> {
    const DESCRIPTOR: Descriptor = T::DESCRIPTOR;
}

/// A symbol, a number, or both for the same (§1.4): the first that is named is written, either is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    symbol: Option<&'static str>,
    code: Option<u64>,
    writes_code: bool,
}

impl Descriptor {
    /// A symbolic descriptor, such as `example:order:list`.
    ///
    /// # Panics
    /// If the text is not ASCII; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn symbol(text: &'static str) -> Self {
        assert!(text.is_ascii(), "a symbol is ASCII");
        Self { symbol: Some(text), code: None, writes_code: false }
    }

    /// A numeric descriptor: the domain in the upper 32 bits, the number within it in the lower.
    #[must_use]
    pub const fn code(code: u64) -> Self {
        Self { symbol: None, code: Some(code), writes_code: true }
    }

    /// The same list may also be named by this number.
    #[must_use]
    pub const fn or_code(self, code: u64) -> Self {
        Self { code: Some(code), ..self }
    }

    /// The same list may also be named by this symbol.
    ///
    /// # Panics
    /// If the text is not ASCII; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn or_symbol(self, text: &'static str) -> Self {
        assert!(text.is_ascii(), "a symbol is ASCII");
        Self { symbol: Some(text), ..self }
    }

    /// As it is written.
    fn value(self) -> Value {
        match (self.symbol, self.code) {
            (Some(text), code) if !self.writes_code || code.is_none() => {
                Symbol::try_from(ByteString::from_static(text)).map_or(Value::Null, Value::Symbol)
            }
            (_, Some(code)) => code.into(),
            (_, None) => Value::Null,
        }
    }

    pub(super) fn is(self, found: &Value) -> bool {
        let is_symbol = self.symbol.is_some() && found.as_str() == self.symbol;
        is_symbol || (self.code.is_some() && found.as_u64() == self.code)
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.symbol, self.code) {
            (Some(symbol), Some(code)) => write!(f, "{symbol} or {code:#018x}"),
            (Some(symbol), None) => f.write_str(symbol),
            (None, code) => write!(f, "{:#018x}", code.unwrap_or_default()),
        }
    }
}

/// A struct as a described list; see [`DescribedList`].
///
/// It dereferences to the struct. Where a field should keep its type, name the module instead:
/// `#[serde(with = "amqp_codec::serde::described_list")]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AsList<T>(pub T);

impl<T> Deref for AsList<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for AsList<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for AsList<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: DescribedList + Serialize> Serialize for AsList<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::DESCRIBED, &(T::DESCRIPTOR.value(), Bare(&self.0)))
    }
}

impl<'de, T: DescribedList + Deserialize<'de>> Deserialize<'de> for AsList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_pair(deserializer, Some(T::DESCRIPTOR)).map(|(_, Bare(value))| Self(value))
    }
}

/// The list alone.
struct Bare<T>(T);

impl<T: Serialize> Serialize for Bare<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::LIST, self.0)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bare<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let convert = |value| Ok::<_, &str>(Self(value));
        deserializer.deserialize_newtype_struct(name::LIST, Newtype { expected: "a list of fields", convert })
    }
}
