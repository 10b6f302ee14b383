//! The composite types by name: their fields, and the check that octets are one.

use amqp_codec::messaging::{
    Accepted, Header, Modified, Properties, Received, Rejected, Released, Source, Target,
};
use amqp_codec::security::SaslFrame;
use amqp_codec::transactions::{Coordinator, Declare, Declared, Discharge, TransactionalState};
use amqp_codec::transport::{
    Attach, Begin, Close, Detach, Disposition, End, ErrorInfo, Flow, Open, Transfer,
};
use amqp_codec::types::Value;
use amqp_codec::{Bytes, Decode, DecodeError};

/// A composite type of the specification.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Composite {
    /// The number of its descriptor.
    pub(crate) code: u64,
    /// The symbol of its descriptor.
    pub(crate) symbol: &'static str,
    /// The specification's name.
    pub(crate) name: &'static str,
    /// The names of its fields, by their place.
    pub(crate) fields: &'static [&'static str],
    /// Decodes octets as this type.
    pub(crate) check: fn(Bytes) -> Result<(), DecodeError>,
}

macro_rules! composites {
    ($($code:literal $name:literal $type:ty [$($field:literal)*];)*) => {
        /// All composite types of the specification.
        pub(crate) const COMPOSITES: &[Composite] = &[$(Composite {
            code: $code,
            symbol: concat!("amqp:", $name, ":list"),
            name: $name,
            fields: &[$($field),*],
            check: |octets| <$type>::from_bytes(octets).map(drop),
        }),*];
    };
}

composites! {
    0x10 "open" Open ["container-id" "hostname" "max-frame-size" "channel-max" "idle-time-out" "outgoing-locales"
        "incoming-locales" "offered-capabilities" "desired-capabilities" "properties"];
    0x11 "begin" Begin ["remote-channel" "next-outgoing-id" "incoming-window" "outgoing-window" "handle-max"
        "offered-capabilities" "desired-capabilities" "properties"];
    0x12 "attach" Attach ["name" "handle" "role" "snd-settle-mode" "rcv-settle-mode" "source" "target" "unsettled"
        "incomplete-unsettled" "initial-delivery-count" "max-message-size" "offered-capabilities"
        "desired-capabilities" "properties"];
    0x13 "flow" Flow ["next-incoming-id" "incoming-window" "next-outgoing-id" "outgoing-window" "handle"
        "delivery-count" "link-credit" "available" "drain" "echo" "properties"];
    0x14 "transfer" Transfer ["handle" "delivery-id" "delivery-tag" "message-format" "settled" "more"
        "rcv-settle-mode" "state" "resume" "aborted" "batchable"];
    0x15 "disposition" Disposition ["role" "first" "last" "settled" "state" "batchable"];
    0x16 "detach" Detach ["handle" "closed" "error"];
    0x17 "end" End ["error"];
    0x18 "close" Close ["error"];
    0x1d "error" ErrorInfo ["condition" "description" "info"];
    0x23 "received" Received ["section-number" "section-offset"];
    0x24 "accepted" Accepted [];
    0x25 "rejected" Rejected ["error"];
    0x26 "released" Released [];
    0x27 "modified" Modified ["delivery-failed" "undeliverable-here" "message-annotations"];
    0x28 "source" Source ["address" "durable" "expiry-policy" "timeout" "dynamic" "dynamic-node-properties"
        "distribution-mode" "filter" "default-outcome" "outcomes" "capabilities"];
    0x29 "target" Target ["address" "durable" "expiry-policy" "timeout" "dynamic" "dynamic-node-properties"
        "capabilities"];
    0x2b "delete-on-close" Value [];
    0x2c "delete-on-no-links" Value [];
    0x2d "delete-on-no-messages" Value [];
    0x2e "delete-on-no-links-or-messages" Value [];
    0x30 "coordinator" Coordinator ["capabilities"];
    0x31 "declare" Declare ["global-id"];
    0x32 "discharge" Discharge ["txn-id" "fail"];
    0x33 "declared" Declared ["txn-id"];
    0x34 "transactional-state" TransactionalState ["txn-id" "outcome"];
    0x40 "sasl-mechanisms" SaslFrame ["sasl-server-mechanisms"];
    0x41 "sasl-init" SaslFrame ["mechanism" "initial-response" "hostname"];
    0x42 "sasl-challenge" SaslFrame ["challenge"];
    0x43 "sasl-response" SaslFrame ["response"];
    0x44 "sasl-outcome" SaslFrame ["code" "additional-data"];
    0x70 "header" Header ["durable" "priority" "ttl" "first-acquirer" "delivery-count"];
    0x73 "properties" Properties ["message-id" "user-id" "to" "subject" "reply-to" "correlation-id" "content-type"
        "content-encoding" "absolute-expiry-time" "creation-time" "group-id" "group-sequence" "reply-to-group-id"];
}

/// The sections of a message that are no composites: code, symbol and name.
const SECTIONS: [(u64, &str, &str); 7] = [
    (0x71, "amqp:delivery-annotations:map", "delivery-annotations"),
    (0x72, "amqp:message-annotations:map", "message-annotations"),
    (0x74, "amqp:application-properties:map", "application-properties"),
    (0x75, "amqp:data:binary", "data"),
    (0x76, "amqp:amqp-sequence:list", "amqp-sequence"),
    (0x77, "amqp:amqp-value:*", "amqp-value"),
    (0x78, "amqp:footer:map", "footer"),
];

/// The composite type that a descriptor names.
pub(crate) fn composite(descriptor: &Value) -> Option<&'static Composite> {
    COMPOSITES.iter().find(|known| is_named(descriptor, known.code, known.symbol))
}

/// The name of what a descriptor describes: a composite type or a section of a message.
pub(crate) fn name(descriptor: &Value) -> Option<&'static str> {
    composite(descriptor).map(|known| known.name).or_else(|| {
        let section = SECTIONS.iter().find(|(code, symbol, _)| is_named(descriptor, *code, symbol));
        section.map(|(_, _, name)| *name)
    })
}

fn is_named(descriptor: &Value, code: u64, symbol: &str) -> bool {
    match descriptor {
        Value::Ulong(number) => *number == code,
        Value::Symbol(text) => text.as_str() == symbol,
        _ => false,
    }
}
