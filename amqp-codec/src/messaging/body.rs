//! The body of a message (§3.2.6 to §3.2.8).

use crate::types::Value;
use bytes::Bytes;

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Body {
    /// No body at all, which the format does not allow; some peers send it. Encoded as a null value.
    #[default]
    Empty,
    /// Opaque octets, in one section or several; no section at all is encoded as an empty one.
    Data(Vec<Bytes>),
    /// Lists, in one section or several; no section at all is encoded as an empty one.
    Sequence(Vec<Vec<Value>>),
    /// One value.
    Value(Value),
}
