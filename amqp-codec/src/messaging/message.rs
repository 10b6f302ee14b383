//! Whole messages (§3.2).

use super::{Annotations, ApplicationProperties, Body, Header, Properties};
use crate::ByteString;
use crate::encode::Encode;
use crate::types::{Symbol, Value};
use bytes::{Bytes, BytesMut};

/// A message with all its sections.
///
/// ```
/// use amqp_codec::messaging::{Header, Message, Properties};
/// use amqp_codec::types::Symbol;
///
/// let header = Header { durable: true, ..Header::new() };
/// let properties = Properties { message_id: Some("id-7".into()), ..Properties::new() };
/// let message = Message::data("octets")
///     .with_header(header)
///     .with_annotation(Symbol::from_static("x-opt-partition-key"), "p1")
///     .with_properties(properties)
///     .with_application_property("attempt", 1_i32);
/// assert_eq!(message.body_bytes().as_deref(), Some(&b"octets"[..]));
/// assert_eq!(message.annotation("x-opt-partition-key").and_then(|value| value.as_str()), Some("p1"));
/// assert_eq!(message.application_property("attempt").and_then(|value| value.as_i64()), Some(1));
///
/// assert_eq!(Message::value(7_u32).body_value().and_then(|value| value.as_u64()), Some(7));
/// assert_eq!(Message::sequence(["a", "b"]).body_value(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Message {
    /// How it is to be delivered.
    pub header: Option<Header>,
    /// Annotations for the next hop only.
    pub delivery_annotations: Option<Annotations>,
    /// Annotations that travel with it.
    pub message_annotations: Option<Annotations>,
    /// Its immutable properties.
    pub properties: Option<Properties>,
    /// What the application says of it.
    pub application_properties: Option<ApplicationProperties>,
    /// What it carries.
    pub body: Body,
    /// Checksums and the like.
    pub footer: Option<Annotations>,
}

impl Message {
    /// A message that carries octets.
    #[must_use]
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { body: Body::Data(data.into().into()), ..Self::default() }
    }

    /// A message that carries a value.
    #[must_use]
    pub fn value(value: impl Into<Value>) -> Self {
        Self { body: Body::Value(value.into()), ..Self::default() }
    }

    /// A message that carries values in a row, in one sequence section.
    #[must_use]
    pub fn sequence<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(Into::into).collect();
        Self { body: Body::Sequence(vec![items]), ..Self::default() }
    }

    /// With this header.
    #[must_use]
    pub fn with_header(mut self, header: Header) -> Self {
        self.header = Some(header);
        self
    }

    /// With these properties.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = Some(properties);
        self
    }

    /// With one more application property.
    #[must_use]
    pub fn with_application_property(mut self, name: impl Into<ByteString>, value: impl Into<Value>) -> Self {
        self.application_properties.get_or_insert_default().insert(name, value);
        self
    }

    /// With one more delivery annotation.
    #[must_use]
    pub fn with_delivery_annotation(mut self, name: Symbol, value: impl Into<Value>) -> Self {
        self.delivery_annotations.get_or_insert_default().insert(name, value);
        self
    }

    /// With one more message annotation.
    #[must_use]
    pub fn with_annotation(mut self, name: Symbol, value: impl Into<Value>) -> Self {
        self.message_annotations.get_or_insert_default().insert(name, value);
        self
    }

    /// With one more entry of the footer.
    #[must_use]
    pub fn with_footer(mut self, name: Symbol, value: impl Into<Value>) -> Self {
        self.footer.get_or_insert_default().insert(name, value);
        self
    }

    /// A message annotation.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&Value> {
        self.message_annotations.as_ref()?.get(name)
    }

    /// An application property.
    #[must_use]
    pub fn application_property(&self, name: &str) -> Option<&Value> {
        self.application_properties.as_ref()?.get(name)
    }

    /// The value that it carries, if it carries one.
    #[must_use]
    pub const fn body_value(&self) -> Option<&Value> {
        match &self.body {
            Body::Value(value) => Some(value),
            Body::Empty | Body::Data(_) | Body::Sequence(_) => None,
        }
    }

    /// The octets that it carries, if it carries octets: shared if they are in one section, joined otherwise.
    #[must_use]
    pub fn body_bytes(&self) -> Option<Bytes> {
        match &self.body {
            Body::Data(sections) => match &**sections {
                [] => Some(Bytes::new()),
                [one] => Some(one.clone()),
                many => Some(Bytes::from(many.concat())),
            },
            _ => None,
        }
    }
}

impl Encode for Message {
    fn encoded_len(&self) -> usize {
        self.len()
    }

    fn encode(&self, out: &mut BytesMut) {
        self.put(out);
    }
}
