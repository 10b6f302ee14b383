//! Equality and hashes of values, owned and borrowed: by type and content, floating point numbers by their bits.

use super::{Value, ValueRef};
use std::hash::{Hash, Hasher};

macro_rules! equal_by_type_and_content {
    ($($type:ty),*) => {
        $(
            impl PartialEq for $type {
                fn eq(&self, other: &Self) -> bool {
                    match (self, other) {
                        (Self::Null, Self::Null) => true,
                        (Self::Bool(a), Self::Bool(b)) => a == b,
                        (Self::Ubyte(a), Self::Ubyte(b)) => a == b,
                        (Self::Ushort(a), Self::Ushort(b)) => a == b,
                        (Self::Uint(a), Self::Uint(b)) => a == b,
                        (Self::Ulong(a), Self::Ulong(b)) => a == b,
                        (Self::Byte(a), Self::Byte(b)) => a == b,
                        (Self::Short(a), Self::Short(b)) => a == b,
                        (Self::Int(a), Self::Int(b)) => a == b,
                        (Self::Long(a), Self::Long(b)) => a == b,
                        (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
                        (Self::Double(a), Self::Double(b)) => a.to_bits() == b.to_bits(),
                        (Self::Decimal32(a), Self::Decimal32(b)) => a == b,
                        (Self::Decimal64(a), Self::Decimal64(b)) => a == b,
                        (Self::Decimal128(a), Self::Decimal128(b)) => a == b,
                        (Self::Char(a), Self::Char(b)) => a == b,
                        (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
                        (Self::Uuid(a), Self::Uuid(b)) => a == b,
                        (Self::Binary(a), Self::Binary(b)) => a == b,
                        (Self::String(a), Self::String(b)) => a == b,
                        (Self::Symbol(a), Self::Symbol(b)) => a == b,
                        (Self::List(a), Self::List(b)) => a == b,
                        (Self::Map(a), Self::Map(b)) => a == b,
                        (Self::Array(a), Self::Array(b)) => a == b,
                        (Self::Described(a), Self::Described(b)) => a == b,
                        _ => false,
                    }
                }
            }

            impl Eq for $type {}

            impl Hash for $type {
                fn hash<H: Hasher>(&self, state: &mut H) {
                    std::mem::discriminant(self).hash(state);
                    match self {
                        Self::Null => {}
                        Self::Bool(value) => value.hash(state),
                        Self::Ubyte(value) => value.hash(state),
                        Self::Ushort(value) => value.hash(state),
                        Self::Uint(value) => value.hash(state),
                        Self::Ulong(value) => value.hash(state),
                        Self::Byte(value) => value.hash(state),
                        Self::Short(value) => value.hash(state),
                        Self::Int(value) => value.hash(state),
                        Self::Long(value) => value.hash(state),
                        Self::Float(value) => value.to_bits().hash(state),
                        Self::Double(value) => value.to_bits().hash(state),
                        Self::Decimal32(value) => value.hash(state),
                        Self::Decimal64(value) => value.hash(state),
                        Self::Decimal128(value) => value.hash(state),
                        Self::Char(value) => value.hash(state),
                        Self::Timestamp(value) => value.hash(state),
                        Self::Uuid(value) => value.hash(state),
                        Self::Binary(value) => value.hash(state),
                        Self::String(value) => value.hash(state),
                        Self::Symbol(value) => value.hash(state),
                        Self::List(items) => items.hash(state),
                        Self::Map(map) => map.hash(state),
                        Self::Array(array) => array.hash(state),
                        Self::Described(described) => described.hash(state),
                    }
                }
            }
        )*
    };
}

equal_by_type_and_content!(Value, ValueRef<'_>);
