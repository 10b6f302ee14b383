//! Values that outlive the frame in which they came.

use amqp_codec::{Decode, Encode};

/// The same value in memory of its own. What was decoded is a slice of what was read from the network; kept for long, a
/// word of it would keep all of that.
pub(crate) fn own<T: Encode + Decode>(value: T) -> T {
    // What was decoded once can be decoded again; if not, the value is as good where it is.
    T::from_bytes(value.to_bytes()).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use amqp_codec::types::{Map, Value};

    use super::*;

    #[test]
    fn what_is_owned_lets_go_of_what_was_read() {
        let inner: Map =
            [(Value::from("b"), Value::from("a text too long to be kept in place"))].into_iter().collect();
        let value = Value::List(vec![Value::Map(inner), Value::Null]);
        let read = value.to_bytes();
        let decoded = Value::from_bytes(read.clone()).unwrap();
        assert!(!read.is_unique(), "a decoded value is a slice");
        let owned = own(decoded);
        assert!(read.is_unique());
        assert_eq!(owned, value);
    }
}
