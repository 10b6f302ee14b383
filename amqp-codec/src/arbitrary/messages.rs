//! Messages and their sections.

use super::values::{bytes, string, symbol, value};
use crate::messaging::{
    AnnotationKey, Annotations, ApplicationProperties, Body, Header, Message, MessageId, Properties,
};
use crate::types::Timestamp;
use crate::{ByteString, Uuid};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// A header.
pub fn header() -> BoxedStrategy<Header> {
    (any::<bool>(), of(any::<u8>()), of(any::<u32>()), any::<bool>(), any::<u32>())
        .prop_map(|(durable, priority, ttl, first_acquirer, delivery_count)| Header {
            durable,
            priority,
            ttl,
            first_acquirer,
            delivery_count,
        })
        .boxed()
}

fn message_id() -> BoxedStrategy<MessageId> {
    prop_oneof![
        any::<u64>().prop_map(MessageId::Ulong),
        any::<u128>().prop_map(|bits| MessageId::Uuid(Uuid::from_u128(bits))),
        bytes().prop_map(MessageId::Binary),
        string().prop_map(MessageId::String),
    ]
    .boxed()
}

fn timestamp() -> BoxedStrategy<Timestamp> {
    any::<i64>().prop_map(Timestamp).boxed()
}

/// Properties.
pub fn properties() -> BoxedStrategy<Properties> {
    let addresses =
        (of(message_id()), of(bytes()), of(string()), of(string()), of(string()), of(message_id()));
    let content = (of(symbol()), of(symbol()), of(timestamp()), of(timestamp()));
    let group = (of(string()), of(any::<u32>()), of(string()));
    (addresses, content, group)
        .prop_map(|(addresses, content, group)| {
            let (message_id, user_id, to, subject, reply_to, correlation_id) = addresses;
            let (content_type, content_encoding, absolute_expiry_time, creation_time) = content;
            let (group_id, group_sequence, reply_to_group_id) = group;
            Properties {
                message_id,
                user_id,
                to,
                subject,
                reply_to,
                correlation_id,
                content_type,
                content_encoding,
                absolute_expiry_time,
                creation_time,
                group_id,
                group_sequence,
                reply_to_group_id,
            }
        })
        .boxed()
}

fn annotations() -> BoxedStrategy<Annotations> {
    let key = prop_oneof![
        4 => symbol().prop_map(AnnotationKey::Symbol),
        1 => any::<u64>().prop_map(AnnotationKey::Ulong),
    ];
    vec((key, value()), 0..4).prop_map(Annotations::from_iter).boxed()
}

fn application_properties() -> BoxedStrategy<ApplicationProperties> {
    vec((string(), value()), 0..4)
        .prop_map(|entries: Vec<(ByteString, _)>| entries.into_iter().collect())
        .boxed()
}

/// A body; not [`Body::Empty`] and not without sections, which come back as what they were encoded as.
fn body() -> BoxedStrategy<Body> {
    prop_oneof![
        vec(bytes(), 1..4).prop_map(|sections| Body::Data(sections.into_iter().collect())),
        vec(vec(value(), 0..4), 1..4).prop_map(Body::Sequence),
        value().prop_map(Body::Value),
    ]
    .boxed()
}

/// A message with a body and any other sections.
pub fn message() -> BoxedStrategy<Message> {
    let sections = (of(header()), of(annotations()), of(annotations()), of(properties()));
    (sections, of(application_properties()), body(), of(annotations()))
        .prop_map(|(sections, application_properties, body, footer)| {
            let (header, delivery_annotations, message_annotations, properties) = sections;
            Message {
                header,
                delivery_annotations,
                message_annotations,
                properties,
                application_properties,
                body,
                footer,
            }
        })
        .boxed()
}
