//! Rust types as bodies of messages.

use super::access::Row;
use super::de::NULL;
use super::{Error, from_value, to_value};
use crate::messaging::{Body, Message};
use ::serde::{Deserialize, Serialize};

impl Message {
    /// A message that carries what serde makes of a Rust type, as one value (§3.2.8).
    ///
    /// ```
    /// use amqp_codec::messaging::Message;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// struct Order<'a> {
    ///     id: u32,
    ///     item: &'a str,
    /// }
    ///
    /// let message = Message::value_of(&Order { id: 7, item: "apple" })?;
    /// assert_eq!(message.body.deserialize::<Order<'_>>()?, Order { id: 7, item: "apple" });
    /// # Ok::<(), amqp_codec::serde::Error>(())
    /// ```
    ///
    /// # Errors
    /// If AMQP cannot express it; see [`to_value`].
    pub fn value_of<T: Serialize + ?Sized>(body: &T) -> Result<Self, Error> {
        to_value(body).map(Self::value)
    }
}

impl Body {
    /// Reads the body as a Rust type, which may borrow from it.
    ///
    /// A value is read as it is, a sequence (§3.2.7) as the items of all its sections in one row, and no body as null.
    /// Data (§3.2.6) are octets that the sender encoded in a way of its own, which AMQP does not know:
    /// [`Message::body_bytes`] gives them.
    ///
    /// # Errors
    /// If the body is data, or what it holds does not fit the type.
    pub fn deserialize<'de, T: Deserialize<'de>>(&'de self) -> Result<T, Error> {
        match self {
            Self::Empty => from_value(&NULL),
            Self::Value(value) => from_value(value),
            Self::Sequence(sections) => T::deserialize(Row::new(sections.iter().flatten())),
            Self::Data(_) => Err(Error::expected(
                "a body of AMQP values",
                "data, whose encoding only its sender knows (see the content-type)",
            )),
        }
    }
}
