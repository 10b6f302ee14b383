//! Decimal floating point (§1.6.13-1.6.15): carried, not calculated with.

/// An IEEE 754 decimal32: its octets in network order, with a binary integer significand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Decimal32(pub [u8; 4]);

/// An IEEE 754 decimal64: its octets in network order, with a binary integer significand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Decimal64(pub [u8; 8]);

/// An IEEE 754 decimal128: its octets in network order, with a binary integer significand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Decimal128(pub [u8; 16]);
