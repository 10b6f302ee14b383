//! How often the memory allocator is asked.

use allocation_counter::measure;
use amqp_codec::messaging::{DeliveryState, Header, Message, MessageSections, Properties};
use amqp_codec::transport::{Disposition, Flow, Performative, Role, Transfer};
use amqp_codec::types::{Map, MapRef, Value, ValueRef};
use amqp_codec::{Bytes, BytesMut, Decode, DecodeRef, Encode};

/// Octets as a connection has them: a part of a buffer that is shared already.
fn received(encodable: &impl Encode) -> Bytes {
    let octets = encodable.to_bytes();
    let shared = octets.clone();
    assert_eq!(octets, shared);
    shared
}

fn frequent() -> [Performative; 3] {
    let mut transfer = Transfer::new(1_u32);
    transfer.delivery_id = Some(70_000);
    transfer.delivery_tag = Some(Bytes::from_static(b"tag-1"));
    transfer.message_format = Some(0);
    let mut flow = Flow::new(2_048_u32, 1_u32, 2_048_u32);
    flow.handle = Some(1);
    flow.link_credit = Some(100);
    let mut disposition = Disposition::new(Role::Receiver, 7_u32);
    disposition.settled = true;
    disposition.state = Some(DeliveryState::Accepted);
    [Performative::Transfer(transfer), Performative::Flow(flow), Performative::Disposition(disposition)]
}

fn message() -> Message {
    let mut header = Header::new();
    header.durable = true;
    let properties = Properties {
        message_id: Some("id-1".into()),
        to: Some("/queues/test".into()),
        ..Properties::default()
    };
    (0..5).fold(
        Message::data(vec![7; 1_024]).with_header(header).with_properties(properties),
        |message, number| message.with_application_property(format!("key-{number}"), "value"),
    )
}

#[test]
fn decoding_transfer_flow_and_disposition_allocates_nothing() {
    for performative in frequent() {
        let octets = received(&performative);
        let allocations = measure(|| assert!(Performative::from_bytes(octets.clone()).is_ok()));
        assert_eq!(allocations.count_total, 0, "{}", performative.name());
    }
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing() {
    let mut out = BytesMut::with_capacity(4_096);
    for performative in frequent() {
        let allocations = measure(|| performative.encode(&mut out));
        assert_eq!(allocations.count_total, 0, "{}", performative.name());
    }
    let message = message();
    assert_eq!(measure(|| message.encode(&mut out)).count_total, 0);
}

#[test]
fn octets_in_a_buffer_of_their_own_allocate_it_once() {
    for performative in frequent() {
        let allocations = measure(|| drop(performative.to_bytes()));
        assert_eq!(allocations.count_total, 1, "{}", performative.name());
    }
    let message = message();
    assert_eq!(measure(|| drop(message.to_bytes())).count_total, 1);
}

#[test]
fn a_borrowed_message_allocates_nothing_and_an_owned_one_once() {
    let octets = received(&message());
    let read_all = || {
        let sections = MessageSections::parse(&octets)?;
        let (header, properties) = (sections.header()?, sections.properties()?);
        let entries = sections.application_properties()?.into_iter().flatten();
        let text: usize = entries.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
        let data = sections.data()?.map_or(0, <[u8]>::len);
        Ok::<_, amqp_codec::DecodeError>((header.is_some(), properties.and_then(|all| all.to), text, data))
    };
    let allocations = measure(|| assert_eq!(read_all(), Ok((true, Some("/queues/test"), 50, 1_024))));
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
    let allocations = measure(|| assert!(Message::from_bytes(octets.clone()).is_ok()));
    assert_eq!(allocations.count_total, 1, "application properties: {allocations:?}");
}

#[test]
fn a_borrowed_map_allocates_once_at_most_to_look_for_duplicate_keys() {
    for (entries, expected) in [(8_u32, 0), (9, 1), (1_000, 1)] {
        let octets =
            received(&Map::from_iter((0..entries).map(|entry| (format!("{}", entries - entry), entry))));
        let allocations = measure(|| {
            let map = MapRef::<&str>::borrow_from(&octets);
            assert_eq!(map.map(|map| map.iter().count()).ok(), usize::try_from(entries).ok());
        });
        assert_eq!(allocations.count_total, expected, "{entries} entries: {allocations:?}");
    }
}

#[test]
fn what_announces_more_than_is_there_allocates_next_to_nothing() {
    let attacks: [&[u8]; 5] = [
        &[0xb0, 0xff, 0xff, 0xff, 0xff],
        &[0xd0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        &[0xd1, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xfe, 0x40, 0x40],
        &[0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0x41],
        &[0xf0, 0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x50, 1],
    ];
    for attack in attacks {
        let octets = Bytes::from_static(attack);
        let allocations = measure(|| assert!(Value::from_bytes(octets.clone()).is_err()));
        assert!(allocations.bytes_max < 1_024, "{attack:x?}: {allocations:?}");
        let allocations = measure(|| assert!(ValueRef::borrow_from(&octets).is_err()));
        assert!(allocations.bytes_max < 1_024, "borrowed {attack:x?}: {allocations:?}");
    }
}
