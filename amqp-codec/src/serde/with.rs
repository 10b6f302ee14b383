//! Modules for `#[serde(with = "…")]`: fields of ordinary Rust types as AMQP types that serde does not know.

use super::name;
use super::types::{AmqpUuid, Octets};
use crate::types::{Symbol, Timestamp};
use crate::{Bytes, Uuid};
use ::serde::de::Error as _;
use ::serde::ser::Error as _;
use ::serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ops::{Deref, DerefMut};
use std::time::SystemTime;

/// The module for `Option` of a type that has a module, in terms of a newtype of the crate.
macro_rules! option {
    ($what:literal, $type:ty, $wrap:expr, $unwrap:expr) => {
        /// The same for fields that may be absent, which are null then. Name `#[serde(default)]` too where the field may
        /// be missing.
        pub mod option {
            use super::*;

            #[doc = concat!("Writes ", $what, ", or null.")]
            ///
            /// # Errors
            /// If it cannot be expressed, or the serializer refuses it.
            pub fn serialize<S: Serializer>(value: &Option<$type>, serializer: S) -> Result<S::Ok, S::Error> {
                let wrap: fn(&$type) -> Result<_, S::Error> = $wrap;
                match value {
                    Some(value) => serializer.serialize_some(&wrap(value)?),
                    None => serializer.serialize_none(),
                }
            }

            #[doc = concat!("Reads ", $what, ", or null as none.")]
            ///
            /// # Errors
            /// Where something else stands, or what stands there cannot be expressed.
            pub fn deserialize<'de, D: Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<$type>, D::Error> {
                let unwrap: fn(_) -> Result<$type, D::Error> = $unwrap;
                Option::deserialize(deserializer)?.map(unwrap).transpose()
            }
        }
    };
}

/// Text as a symbol (§1.6.21): `#[serde(with = "amqp_codec::serde::symbol")]`. Strings are read too.
///
/// A field of type [`Symbol`] needs no attribute.
///
/// ```
/// use amqp_codec::serde::to_value;
/// use amqp_codec::types::{Symbol, Value};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Address {
///     #[serde(with = "amqp_codec::serde::symbol")]
///     kind: String,
/// }
///
/// let value = to_value(&Address { kind: "queue".to_owned() })?;
/// let kind = value.as_map().and_then(|map| map.get("kind"));
/// assert_eq!(kind, Some(&Value::Symbol(Symbol::from_static("queue"))));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
pub mod symbol {
    use super::*;

    /// Writes text as a symbol.
    ///
    /// # Errors
    /// If it is not ASCII, or the serializer refuses it.
    pub fn serialize<T: AsRef<str> + ?Sized, S: Serializer>(
        text: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Symbol::try_from(text.as_ref()).map_err(S::Error::custom)?.serialize(serializer)
    }

    /// Reads a symbol or string as text.
    ///
    /// # Errors
    /// Where something else stands.
    pub fn deserialize<'de, T: From<String>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        String::deserialize(deserializer).map(T::from)
    }

    option!(
        "text as a symbol",
        String,
        |text| Symbol::try_from(text.as_str()).map_err(S::Error::custom),
        |text: String| Ok(text)
    );
}

/// The system's time as a timestamp (§1.6.17), to the millisecond: `#[serde(with = "amqp_codec::serde::timestamp")]`.
///
/// A field of type [`Timestamp`] needs no attribute.
///
/// ```
/// use amqp_codec::serde::to_value;
/// use amqp_codec::types::{Timestamp, Value};
/// use serde::{Deserialize, Serialize};
/// use std::time::SystemTime;
///
/// #[derive(Serialize, Deserialize)]
/// struct Event {
///     #[serde(with = "amqp_codec::serde::timestamp")]
///     at: SystemTime,
/// }
///
/// let value = to_value(&Event { at: SystemTime::UNIX_EPOCH })?;
/// assert_eq!(value.as_map().and_then(|map| map.get("at")), Some(&Value::Timestamp(Timestamp(0))));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
pub mod timestamp {
    use super::*;

    /// Writes a point in time as a timestamp, rounded towards 1970.
    ///
    /// # Errors
    /// If the serializer refuses it.
    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        Timestamp::from(*time).serialize(serializer)
    }

    /// Reads a timestamp, or milliseconds, as a point in time.
    ///
    /// # Errors
    /// Where something else stands, or a time that the system's clock cannot express.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        read(Timestamp::deserialize(deserializer)?)
    }

    fn read<E: ::serde::de::Error>(time: Timestamp) -> Result<SystemTime, E> {
        time.to_system_time()
            .ok_or_else(|| E::custom("expected a time that the system's clock can express, found another"))
    }

    option!("a point in time as a timestamp", SystemTime, |time| Ok(Timestamp::from(*time)), read);
}

/// A UUID as the AMQP type (§1.6.18): `#[serde(with = "amqp_codec::serde::uuid")]`. Without it serde makes text of it.
/// 16 octets and text are read too.
///
/// ```
/// use amqp_codec::Uuid;
/// use amqp_codec::serde::to_value;
/// use amqp_codec::types::Value;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Order {
///     #[serde(with = "amqp_codec::serde::uuid")]
///     id: Uuid,
/// }
///
/// let value = to_value(&Order { id: Uuid::nil() })?;
/// assert_eq!(value.as_map().and_then(|map| map.get("id")), Some(&Value::Uuid(Uuid::nil())));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
pub mod uuid {
    use super::*;

    /// Writes a UUID as the AMQP type.
    ///
    /// # Errors
    /// If the serializer refuses it.
    pub fn serialize<S: Serializer>(uuid: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        AmqpUuid(*uuid).serialize(serializer)
    }

    /// Reads a UUID, 16 octets, or the text of a UUID.
    ///
    /// # Errors
    /// Where something else stands.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        AmqpUuid::deserialize(deserializer).map(|AmqpUuid(uuid)| uuid)
    }

    option!("a UUID", Uuid, |uuid| Ok(AmqpUuid(*uuid)), |AmqpUuid(uuid)| Ok(uuid));
}

/// Octets as a binary (§1.6.19), not as a list of numbers: `#[serde(with = "amqp_codec::serde::binary")]` for `Vec<u8>`,
/// `Box<[u8]>` and `[u8; N]`. Lists and arrays of ubytes are read too.
///
/// A field of type [`Bytes`] needs no attribute. One of type `&[u8]` needs `serialize_with` only.
///
/// ```
/// use amqp_codec::Bytes;
/// use amqp_codec::serde::to_value;
/// use amqp_codec::types::Value;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Picture {
///     #[serde(with = "amqp_codec::serde::binary")]
///     pixels: Vec<u8>,
/// }
///
/// let value = to_value(&Picture { pixels: vec![1, 2] })?;
/// let pixels = value.as_map().and_then(|map| map.get("pixels"));
/// assert_eq!(pixels, Some(&Value::Binary(Bytes::from_static(&[1, 2]))));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
pub mod binary {
    use super::*;

    /// Writes octets as a binary.
    ///
    /// # Errors
    /// If the serializer refuses it.
    pub fn serialize<T: AsRef<[u8]> + ?Sized, S: Serializer>(
        octets: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Octets(octets.as_ref()).serialize(serializer)
    }

    /// Reads a binary as octets.
    ///
    /// # Errors
    /// Where something else stands, or another count of octets than the type has.
    pub fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let octets = Vec::from(Bytes::deserialize(deserializer)?);
        let found = octets.len();
        T::try_from(octets)
            .map_err(|_| D::Error::custom(format_args!("expected another count of octets, found {found}")))
    }
}

/// Values in a row as an array (§1.6.24), not as a list: `#[serde(with = "amqp_codec::serde::array")]` for `Vec` and the
/// like. Lists are read too.
///
/// The elements must become values of one AMQP type, with the same descriptor or none. Of no elements an array of nulls is made,
/// because their type cannot be known; a field of type [`Array`](crate::types::Array) keeps it.
///
/// ```
/// use amqp_codec::serde::to_value;
/// use amqp_codec::types::ElementType;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Samples {
///     #[serde(with = "amqp_codec::serde::array")]
///     volts: Vec<f32>,
/// }
///
/// let value = to_value(&Samples { volts: vec![1.5, 1.25] })?;
/// let volts = value.as_map().and_then(|map| map.get("volts")).and_then(|volts| volts.as_array());
/// assert_eq!(volts.map(|array| array.element_type()), Some(ElementType::Float));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
pub mod array {
    use super::*;

    /// Writes values in a row as an array.
    ///
    /// # Errors
    /// If they become values of several types, or the serializer refuses one.
    pub fn serialize<T: Serialize + ?Sized, S: Serializer>(
        elements: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::ARRAY, elements)
    }

    /// Reads the elements of an array or list.
    ///
    /// # Errors
    /// Where something else stands.
    pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }
}

/// A struct as a described list: `#[serde(with = "amqp_codec::serde::described_list")]`; see
/// [`DescribedList`](super::DescribedList).
pub mod described_list {
    use super::super::{AsList, DescribedList};
    use super::*;

    /// Writes a struct as a described list.
    ///
    /// # Errors
    /// If it has no fields in order, or the serializer refuses one.
    pub fn serialize<T: DescribedList + Serialize, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        AsList(value).serialize(serializer)
    }

    /// Reads a struct from a described list.
    ///
    /// # Errors
    /// Where something else stands, or a list with another descriptor.
    pub fn deserialize<'de, T: DescribedList + Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        AsList::deserialize(deserializer).map(|AsList(value)| value)
    }
}

/// A struct or map whose keys are written as symbols, as in annotations; those within it keep theirs. Keys are read as
/// either, here and everywhere.
///
/// ```
/// use amqp_codec::serde::{SymbolKeys, to_value};
/// use amqp_codec::types::{Map, Symbol, Value};
///
/// #[derive(serde::Serialize)]
/// struct Capabilities {
///     durable: bool,
/// }
///
/// let value = to_value(&SymbolKeys(Capabilities { durable: true }))?;
/// let map: Map = [(Symbol::from_static("durable"), true)].into_iter().collect();
/// assert_eq!(value, Value::Map(map));
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SymbolKeys<T>(pub T);

impl<T> Deref for SymbolKeys<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for SymbolKeys<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for SymbolKeys<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: Serialize> Serialize for SymbolKeys<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(name::SYMBOL_KEYS, &self.0)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for SymbolKeys<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}
