//! Names of newtypes by which the serializer and the deserializer know what serde's data model lacks. Other formats
//! see what is inside.

/// A [`Value`](crate::types::Value), read as a variant of all types.
pub(super) const VALUE: &str = "$amqp_codec::Value";
/// Text that is a symbol.
pub(super) const SYMBOL: &str = "$amqp_codec::Symbol";
/// Milliseconds that are a timestamp.
pub(super) const TIMESTAMP: &str = "$amqp_codec::Timestamp";
/// Text that is a UUID.
pub(super) const UUID: &str = "$amqp_codec::Uuid";
/// Octets that are a decimal32.
pub(super) const DECIMAL32: &str = "$amqp_codec::Decimal32";
/// Octets that are a decimal64.
pub(super) const DECIMAL64: &str = "$amqp_codec::Decimal64";
/// Octets that are a decimal128.
pub(super) const DECIMAL128: &str = "$amqp_codec::Decimal128";
/// An array: its parts by name, or its elements.
pub(super) const ARRAY: &str = "$amqp_codec::Array";
/// A descriptor and a value.
pub(super) const DESCRIBED: &str = "$amqp_codec::Described";
/// A struct that is the list of its fields.
pub(super) const LIST: &str = "$amqp_codec::List";
/// A struct or map whose keys are symbols.
pub(super) const SYMBOL_KEYS: &str = "$amqp_codec::SymbolKeys";
