//! What is read and written, as octets that ours encoded.

use crate::Result;
use amqp_codec::messaging::{DeliveryState, Header, Message, Properties};
use amqp_codec::transport::{Disposition, Flow, Performative, Role, Transfer};
use amqp_codec::types::{Array, ElementType, Map, Symbol, Timestamp, Value};
use amqp_codec::{Bytes, BytesMut, Encode, frame};

/// Entries of the large values.
const ENTRIES: u32 = 1000;

/// Text of so many octets.
pub(super) fn text(octets: usize) -> String {
    "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(octets).collect()
}

/// A message with a header, properties, five application properties and a body of so many octets.
pub(super) fn message(body: usize) -> Message {
    let mut header = Header::new();
    header.durable = true;
    header.priority = Some(7);
    let properties = Properties {
        message_id: Some("5f3c9a4e-7d2b-4b7e-9a51-0c8f5d1e2b3a".into()),
        to: Some("/queues/invoices".into()),
        subject: Some("invoice.created".into()),
        correlation_id: Some("order-17-0042".into()),
        content_type: Some(Symbol::from_static("application/json")),
        creation_time: Some(Timestamp(1_700_000_000_000)),
        ..Properties::default()
    };
    Message::data(text(body))
        .with_header(header)
        .with_properties(properties)
        .with_application_property("tenant", "acme")
        .with_application_property("trace-id", "4bf92f3577b34da6a3ce929d0e0e4736")
        .with_application_property("attempt", 3_i32)
        .with_application_property("issued-at", 1_700_000_000_123_i64)
        .with_application_property("express", true)
}

fn performative(performative: &Performative) -> Bytes {
    let mut out = BytesMut::new();
    frame::encode_frame(&mut out, 1, performative);
    out.freeze()
}

/// A transfer frame that carries such a message.
pub(super) fn transfer(body: usize) -> Bytes {
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(70_000);
    transfer.delivery_tag = Some(Bytes::from_static(b"\0\x01\x11\x70"));
    transfer.message_format = Some(0);
    transfer.settled = Some(false);
    let payload = message(body).to_bytes();
    let mut out = BytesMut::new();
    frame::encode_transfer_header(&mut out, 1, &transfer, payload.len());
    out.extend_from_slice(&payload);
    out.freeze()
}

/// A flow frame that grants credit.
pub(super) fn flow() -> Bytes {
    let mut flow = Flow::new(2048_u32, 1_u32, 2048_u32);
    flow.next_incoming_id = Some(70_000);
    flow.handle = Some(3);
    flow.delivery_count = Some(69_000);
    flow.link_credit = Some(1000);
    performative(&Performative::Flow(flow))
}

/// A disposition frame that accepts a range.
pub(super) fn disposition() -> Bytes {
    let mut disposition = Disposition::new(Role::Receiver, 70_000_u32);
    disposition.last = Some(70_063);
    disposition.settled = true;
    disposition.state = Some(DeliveryState::Accepted);
    performative(&Performative::Disposition(disposition))
}

/// Large values.
pub(super) fn values() -> Result<Vec<(&'static str, Bytes)>> {
    let entry = |n| (format!("key-{n:04}"), format!("value {n} {}", text(40)));
    let map: Map = (0..ENTRIES).map(entry).collect();
    // Most of what sends maps keeps them in no order.
    let unsorted: Map = (0..ENTRIES).map(|n| n * 617 % ENTRIES).map(entry).collect();
    let list: Vec<Value> = (0..ENTRIES).map(|n| Value::from(format!("item {n} {}", text(40)))).collect();
    let array = Array::new(ElementType::Uint, (0..ENTRIES).map(|n| Value::Uint(n * 65_537)).collect())?;
    Ok(vec![
        ("map of 1000 strings", Value::Map(map).to_bytes()),
        ("map of 1000 strings, unsorted", Value::Map(unsorted).to_bytes()),
        ("list of 1000 strings", Value::List(list).to_bytes()),
        ("array of 1000 uint", Value::Array(array).to_bytes()),
    ])
}
