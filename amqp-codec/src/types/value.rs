//! Values of any type, without loss.

mod borrowed;
mod codec;
mod equality;

pub use borrowed::{DescribedRef, ValueRef};

use super::ByteString;
use super::{Array, Decimal32, Decimal64, Decimal128, ElementType, Map, Symbol, Timestamp};
use bytes::Bytes;
use uuid::Uuid;

/// A value of any AMQP type.
///
/// Two values are equal if type and content are: `uint 1` is not `ulong 1`, the string `a` is not the symbol `a`.
/// Floating point numbers compare by their bits, so that every value equals itself.
///
/// ```
/// use amqp_codec::types::Value;
/// use amqp_codec::{Decode, Encode};
///
/// let value = Value::from("seven");
/// assert_eq!(Value::from_bytes(value.to_bytes())?, value);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing (§1.6.1).
    #[default]
    Null,
    /// True or false (§1.6.2).
    Bool(bool),
    /// 8 bits, unsigned (§1.6.3).
    Ubyte(u8),
    /// 16 bits, unsigned (§1.6.4).
    Ushort(u16),
    /// 32 bits, unsigned (§1.6.5).
    Uint(u32),
    /// 64 bits, unsigned (§1.6.6).
    Ulong(u64),
    /// 8 bits, signed (§1.6.7).
    Byte(i8),
    /// 16 bits, signed (§1.6.8).
    Short(i16),
    /// 32 bits, signed (§1.6.9).
    Int(i32),
    /// 64 bits, signed (§1.6.10).
    Long(i64),
    /// IEEE 754 binary32 (§1.6.11).
    Float(f32),
    /// IEEE 754 binary64 (§1.6.12).
    Double(f64),
    /// IEEE 754 decimal32 (§1.6.13).
    Decimal32(Decimal32),
    /// IEEE 754 decimal64 (§1.6.14).
    Decimal64(Decimal64),
    /// IEEE 754 decimal128 (§1.6.15).
    Decimal128(Decimal128),
    /// A Unicode scalar value (§1.6.16).
    Char(char),
    /// A point in time (§1.6.17).
    Timestamp(Timestamp),
    /// A UUID (§1.6.18).
    Uuid(Uuid),
    /// Octets (§1.6.19).
    Binary(Bytes),
    /// Text (§1.6.20).
    String(ByteString),
    /// A name in ASCII (§1.6.21).
    Symbol(Symbol),
    /// Values in a row (§1.6.22).
    List(Vec<Self>),
    /// Keys and values, in order (§1.6.23).
    Map(Map),
    /// Values of one type (§1.6.24).
    Array(Array),
    /// A value with a descriptor (§1.3.2).
    Described(Box<Described>),
}

/// A value and the descriptor that tells what it means (§1.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Described {
    /// Usually a ulong or a symbol.
    pub descriptor: Value,
    /// The value described.
    pub value: Value,
}

impl Value {
    /// The text of a string or symbol.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Symbol(symbol) => Some(symbol.as_str()),
            _ => None,
        }
    }

    /// A symbol; not a string of the same letters.
    #[must_use]
    pub const fn as_symbol(&self) -> Option<&Symbol> {
        match self {
            Self::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// A described value.
    #[must_use]
    pub fn as_described(&self) -> Option<&Described> {
        match self {
            Self::Described(described) => Some(described),
            _ => None,
        }
    }

    /// The octets of a binary.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items of a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// A map.
    #[must_use]
    pub const fn as_map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// An array.
    #[must_use]
    pub const fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}

/// What owned and borrowed values tell alike.
macro_rules! accessors {
    ($($type:ty),*) => {
        $(impl $type {
            /// A boolean.
            #[must_use]
            pub const fn as_bool(&self) -> Option<bool> {
                match self {
                    Self::Bool(value) => Some(*value),
                    _ => None,
                }
            }

            /// Any integer that is not negative.
            #[must_use]
            pub fn as_u64(&self) -> Option<u64> {
                match *self {
                    Self::Ulong(value) => Some(value),
                    _ => self.as_i64().and_then(|value| u64::try_from(value).ok()),
                }
            }

            /// Any integer that fits.
            #[must_use]
            pub fn as_i64(&self) -> Option<i64> {
                match *self {
                    Self::Ubyte(value) => Some(value.into()),
                    Self::Ushort(value) => Some(value.into()),
                    Self::Uint(value) => Some(value.into()),
                    Self::Ulong(value) => i64::try_from(value).ok(),
                    Self::Byte(value) => Some(value.into()),
                    Self::Short(value) => Some(value.into()),
                    Self::Int(value) => Some(value.into()),
                    Self::Long(value) => Some(value),
                    _ => None,
                }
            }

            /// A float or double.
            #[must_use]
            pub fn as_f64(&self) -> Option<f64> {
                match *self {
                    Self::Float(value) => Some(value.into()),
                    Self::Double(value) => Some(value),
                    _ => None,
                }
            }

            /// A UUID.
            #[must_use]
            pub const fn as_uuid(&self) -> Option<Uuid> {
                match self {
                    Self::Uuid(value) => Some(*value),
                    _ => None,
                }
            }

            /// A timestamp.
            #[must_use]
            pub const fn as_timestamp(&self) -> Option<Timestamp> {
                match self {
                    Self::Timestamp(value) => Some(*value),
                    _ => None,
                }
            }

            /// Whether this is null.
            #[must_use]
            pub const fn is_null(&self) -> bool {
                matches!(self, Self::Null)
            }

            /// The primitive type; none for described values.
            #[must_use]
            pub const fn element_type(&self) -> Option<ElementType> {
                Some(match self {
                    Self::Null => ElementType::Null,
                    Self::Bool(_) => ElementType::Boolean,
                    Self::Ubyte(_) => ElementType::Ubyte,
                    Self::Ushort(_) => ElementType::Ushort,
                    Self::Uint(_) => ElementType::Uint,
                    Self::Ulong(_) => ElementType::Ulong,
                    Self::Byte(_) => ElementType::Byte,
                    Self::Short(_) => ElementType::Short,
                    Self::Int(_) => ElementType::Int,
                    Self::Long(_) => ElementType::Long,
                    Self::Float(_) => ElementType::Float,
                    Self::Double(_) => ElementType::Double,
                    Self::Decimal32(_) => ElementType::Decimal32,
                    Self::Decimal64(_) => ElementType::Decimal64,
                    Self::Decimal128(_) => ElementType::Decimal128,
                    Self::Char(_) => ElementType::Char,
                    Self::Timestamp(_) => ElementType::Timestamp,
                    Self::Uuid(_) => ElementType::Uuid,
                    Self::Binary(_) => ElementType::Binary,
                    Self::String(_) => ElementType::String,
                    Self::Symbol(_) => ElementType::Symbol,
                    Self::List(_) => ElementType::List,
                    Self::Map(_) => ElementType::Map,
                    Self::Array(_) => ElementType::Array,
                    Self::Described(_) => return None,
                })
            }
        })*
    };
}

accessors!(Value, ValueRef<'_>);

macro_rules! value_from {
    ($($type:ty => $variant:ident;)*) => {
        $(impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        })*
    };
}

value_from! {
    bool => Bool;
    u8 => Ubyte;
    u16 => Ushort;
    u32 => Uint;
    u64 => Ulong;
    i8 => Byte;
    i16 => Short;
    i32 => Int;
    i64 => Long;
    f32 => Float;
    f64 => Double;
    Decimal32 => Decimal32;
    Decimal64 => Decimal64;
    Decimal128 => Decimal128;
    char => Char;
    Timestamp => Timestamp;
    Uuid => Uuid;
    Bytes => Binary;
    &str => String;
    String => String;
    ByteString => String;
    Symbol => Symbol;
    Vec<Value> => List;
    Map => Map;
    Array => Array;
}

impl From<Described> for Value {
    fn from(described: Described) -> Self {
        Self::Described(Box::new(described))
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_told_by_its_type() {
        let described = Described { descriptor: 1_u64.into(), value: Value::Null };
        assert_eq!(Value::Float(1.5).as_f64(), Some(1.5));
        assert_eq!(Value::Double(0.1).as_f64(), Some(0.1));
        assert_eq!(Value::Int(1).as_f64(), None);
        assert_eq!(Value::from(Symbol::from_static("a")).as_symbol(), Some(&Symbol::from_static("a")));
        assert_eq!(Value::from("a").as_symbol(), None);
        assert_eq!(Value::from(Uuid::nil()).as_uuid(), Some(Uuid::nil()));
        assert_eq!(Value::from(described.clone()).as_described(), Some(&described));
        assert_eq!(Value::Null.as_described(), None);
        assert_eq!((Value::Byte(-1).as_i64(), Value::Byte(-1).as_u64()), (Some(-1), None));
        assert_eq!(
            (Value::Ulong(u64::MAX).as_i64(), Value::Ulong(u64::MAX).as_u64()),
            (None, Some(u64::MAX))
        );
    }
}
