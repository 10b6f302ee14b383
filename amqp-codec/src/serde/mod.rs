//! Rust types to and from AMQP, through [serde] (feature `serde`).
//!
//! [`to_value`] and [`from_value`] convert between Rust types and [`Value`], [`to_bytes`] and [`from_bytes`] between
//! Rust types and octets; [`Message::value_of`](crate::messaging::Message::value_of) and
//! [`Body::deserialize`](crate::messaging::Body::deserialize) do so for messages.
//!
//! ```
//! use amqp_codec::messaging::Message;
//! use amqp_codec::{Decode, Encode};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Order {
//!     id: u64,
//!     lines: Vec<Line>,
//!     note: Option<String>,
//! }
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Line {
//!     item: String,
//!     count: u32,
//! }
//!
//! let order = Order { id: 7, lines: vec![Line { item: "apple".to_owned(), count: 3 }], note: None };
//! let octets = Message::value_of(&order)?.to_bytes();
//! assert_eq!(Message::from_bytes(octets)?.body.deserialize::<Order>()?, order);
//! # Ok::<(), amqp_codec::serde::Error>(())
//! ```
//!
//! # What becomes what
//!
//! | Rust | AMQP | read too |
//! | --- | --- | --- |
//! | `bool`, `char`, `f32`, `f64` | boolean, char, float, double | the other floating point type and integers; a string of one character |
//! | `u8` … `u64`, `i8` … `i64` | ubyte … ulong, byte … long | every integer type and a timestamp, where the value fits |
//! | `String`, `&str` | string | symbol |
//! | [`Bytes`] | binary | string, list or array of ubytes |
//! | `Option` | the value or null | an absent field |
//! | `()`, `struct Unit;` | null | |
//! | `struct Newtype(T)` | as `T` | |
//! | `Vec`, tuples, `struct Tuple(T, U)` | list | array |
//! | `struct Fields { … }` | map from strings | map from symbols |
//! | maps | map from whatever the keys become | |
//! | `Variant` | string | symbol |
//! | `Variant(T)`, `Variant(T, U)`, `Variant { … }` | map of one entry, from the variant's name | |
//! | [`Symbol`], [`Timestamp`], [`Decimal32`] …, [`Described`], [`Array`], [`Map`], [`Fields`], [`Value`] | themselves | string as a symbol, integer as a timestamp, list as an array |
//!
//! Enums may be tagged in each of serde's ways. Integers of 128 bits are refused. Unknown fields are ignored, unless the
//! type says `deny_unknown_fields`. A descriptor is ignored by types that do not ask for one (§1.3.2).
//!
//! What serde's attributes can say about a field besides:
//! [`symbol`], [`timestamp`] (for `SystemTime`), [`uuid`], [`binary`], [`array`], [`described_list`]. A whole struct
//! gets symbols as keys in [`SymbolKeys`], and is a described list in [`AsList`].
//!
//! A [`Value`] inside another type comes back equal, whatever its type, save where serde puts a value aside before it
//! is read: in and beside `flatten`, and in enums that are untagged or tagged inside. There symbols become strings,
//! timestamps longs, UUIDs and decimals binaries, arrays lists, and descriptors are lost.
//!
//! # Bounds
//!
//! What is written is nested as deeply as a decoder of default [`Limits`](crate::Limits) takes, and not deeper. What is
//! read is nested in 128 steps at most, options and newtypes counted. Nothing is reserved for items that are announced
//! and not there. An [`Error`] says in which field what was expected and found.
//!
//! [`Array`]: crate::types::Array
//! [`Decimal32`]: crate::types::Decimal32
//! [`Described`]: crate::types::Described
//! [`Fields`]: crate::types::Fields
//! [`Map`]: crate::types::Map
//! [`Symbol`]: crate::types::Symbol
//! [`Timestamp`]: crate::types::Timestamp

mod access;
mod arrays;
mod de;
mod depth;
mod described;
mod error;
mod message;
mod name;
mod ser;
mod types;
mod value;
mod with;

pub use de::ValueDeserializer;
pub use described::{AsList, DescribedList, Descriptor};
pub use error::Error;
pub use ser::{ListSerializer, MapSerializer, StructSerializer, ValueSerializer};
pub use with::{SymbolKeys, array, binary, described_list, symbol, timestamp, uuid};

use crate::types::Value;
use crate::{Bytes, Decode, Encode};
use ::serde::de::DeserializeOwned;
use ::serde::{Deserialize, Serialize};

/// The value that a Rust type becomes.
///
/// ```
/// use amqp_codec::serde::to_value;
/// use amqp_codec::types::Value;
///
/// assert_eq!(to_value(&("seven", 7_u8))?, Value::List(vec!["seven".into(), 7_u8.into()]));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
///
/// # Errors
/// If AMQP cannot express it (an integer of 128 bits, a map with the same key twice, more nesting than a decoder
/// takes), or the type itself refuses.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    value.serialize(ValueSerializer::new())
}

/// Reads a value as a Rust type, which may borrow texts and octets from it.
///
/// ```
/// use amqp_codec::serde::from_value;
/// use amqp_codec::types::Value;
///
/// let value = Value::List(vec!["seven".into(), 7_u64.into()]);
/// assert_eq!(from_value::<(&str, u8)>(&value)?, ("seven", 7));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
///
/// # Errors
/// Where the value does not fit the type, or the type itself refuses.
pub fn from_value<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<T, Error> {
    T::deserialize(ValueDeserializer::new(value))
}

/// The octets that a Rust type becomes.
///
/// ```
/// assert_eq!(amqp_codec::serde::to_bytes("seven")?, &b"\xa1\x05seven"[..]);
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
///
/// # Errors
/// Like [`to_value`].
pub fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, Error> {
    to_value(value).map(|value| value.to_bytes())
}

/// Reads octets, which must be one value, as a Rust type.
///
/// ```
/// use amqp_codec::Bytes;
///
/// let octets = Bytes::from_static(b"\xa1\x05seven");
/// assert_eq!(amqp_codec::serde::from_bytes::<String>(octets)?, "seven");
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
///
/// # Errors
/// Where the octets are no AMQP ([`Error::as_decode_error`]), or like [`from_value`].
pub fn from_bytes<T: DeserializeOwned>(octets: Bytes) -> Result<T, Error> {
    from_value(&Value::from_bytes(octets)?)
}
