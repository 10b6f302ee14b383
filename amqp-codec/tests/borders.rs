//! Where the encoding of a compound changes its width (§1.6.22 to §1.6.24): sizes around 255 octets, counts around 255
//! items, and the buffers that were made to measure for them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use amqp_codec::messaging::{
    Annotations, ApplicationProperties, DeliveryState, Header, Message, Modified, Properties, Source, Target,
};
use amqp_codec::transactions::Coordinator;
use amqp_codec::transport::{Attach, Close, Disposition, End, ErrorInfo, Open, Role};
use amqp_codec::types::{Array, Described, ElementType, Fields, Map, Symbol, Value};
use amqp_codec::{Bytes, BytesMut, Decode, Encode};
use std::fmt::Debug;

/// What stands in front of items: code, size and count of one octet each if they fit, else of four.
fn header(narrow: u8, wide: u8, items: usize, count: usize) -> Vec<u8> {
    if items < 255 && count < 256 {
        return vec![narrow, u8::try_from(items + 1).unwrap(), u8::try_from(count).unwrap()];
    }
    let mut header = vec![wide];
    header.extend(u32::try_from(items + 4).unwrap().to_be_bytes());
    header.extend(u32::try_from(count).unwrap().to_be_bytes());
    header
}

/// The octets are these, as many as announced, in the buffer that was made for them, also behind others; and they mean
/// the same.
fn check<T: Encode + Decode + PartialEq + Debug>(value: &T, expected: &[u8]) {
    assert_eq!(value.encoded_len(), expected.len(), "the length of {value:?}");
    let mut out = BytesMut::with_capacity(expected.len());
    let place = out.as_ptr();
    value.encode(&mut out);
    assert_eq!(out, expected, "{value:?}");
    assert_eq!(out.as_ptr(), place, "the buffer had room for {value:?}");
    let mut behind = BytesMut::from(&b"before"[..]);
    value.encode(&mut behind);
    assert_eq!(behind.strip_prefix(b"before"), Some(expected));
    assert_eq!(T::from_bytes(out.freeze()).as_ref(), Ok(value));
}

/// So many octets as a binary, with its header.
fn binary(len: usize) -> (Bytes, Vec<u8>) {
    let data = vec![7; len];
    let mut octets = match u8::try_from(len) {
        Ok(len) => vec![0xa0, len],
        Err(_) => [&[0xb0][..], &u32::try_from(len).unwrap().to_be_bytes()].concat(),
    };
    octets.extend(&data);
    (data.into(), octets)
}

#[test]
fn a_list_is_wide_from_256_octets_or_256_items() {
    check(&Value::List(vec![]), &[0x45]);
    for count in 1..600 {
        let expected = [header(0xc0, 0xd0, count, count), vec![0x40; count]].concat();
        check(&Value::List(vec![Value::Null; count]), &expected);
    }
    for len in 240..300 {
        let (data, octets) = binary(len);
        let expected = [header(0xc0, 0xd0, octets.len(), 1), octets].concat();
        check(&Value::List(vec![data.into()]), &expected);
    }
}

#[test]
fn a_map_is_wide_from_256_octets_or_256_items() {
    check(&Map::new(), &[0xc1, 1, 0]);
    for entries in (1..4).chain(120..135).chain([255, 256, 300]) {
        let map: Map = (0..entries).map(|key| (u16::try_from(key).unwrap(), Value::Null)).collect();
        let items: Vec<u8> = (0..entries)
            .flat_map(|key| [0x60, u8::try_from(key / 256).unwrap(), u8::try_from(key % 256).unwrap(), 0x40])
            .collect();
        let expected = [header(0xc1, 0xd1, items.len(), entries * 2), items].concat();
        check(&Value::Map(map), &expected);
    }
    for len in 240..300 {
        let (data, octets) = binary(len);
        let fields: Fields = [(Symbol::from_static("k"), data.clone())].into_iter().collect();
        let annotations: Annotations = [(Symbol::from_static("k"), data.clone())].into_iter().collect();
        let items = [b"\xa3\x01k", &octets[..]].concat();
        let expected = [header(0xc1, 0xd1, items.len(), 2), items].concat();
        check(&fields, &expected);
        check(&annotations, &expected);
        let properties: ApplicationProperties = [("k", data)].into_iter().collect();
        let items = [b"\xa1\x01k", &octets[..]].concat();
        check(&properties, &[header(0xc1, 0xd1, items.len(), 2), items].concat());
    }
}

#[test]
fn an_array_is_wide_from_256_octets_or_256_elements() {
    for count in (0..3).chain(250..260).chain([511, 512]) {
        let array = |element_type, element: Value| {
            Value::Array(Array::new(element_type, vec![element; count]).unwrap())
        };
        let nulls = [header(0xe0, 0xf0, 1, count), vec![0x40]].concat();
        check(&array(ElementType::Null, Value::Null), &nulls);
        let octets = [header(0xe0, 0xf0, 1 + count, count), vec![0x50], vec![9; count]].concat();
        check(&array(ElementType::Ubyte, Value::Ubyte(9)), &octets);
        let lists = [header(0xe0, 0xf0, 1 + 2 * count, count), vec![0xc0], [1, 0].repeat(count)].concat();
        check(&array(ElementType::List, Value::List(vec![])), &lists);
    }
}

#[test]
fn one_element_that_needs_a_wide_header_makes_all_of_an_array_wide() {
    for len in 250..260 {
        let list = Value::List(vec![Value::Null; len]);
        let array = Array::new(ElementType::List, vec![list, Value::List(vec![])]).unwrap();
        let (code, first, second) = if len < 255 {
            let len = u8::try_from(len).unwrap();
            (0xc0, vec![len + 1, len], vec![1, 0])
        } else {
            let len = u32::try_from(len).unwrap();
            (0xd0, [(len + 4).to_be_bytes(), len.to_be_bytes()].concat(), vec![0, 0, 0, 4, 0, 0, 0, 0])
        };
        let items = [vec![code], first, vec![0x40; len], second].concat();
        check(&array, &[header(0xe0, 0xf0, items.len(), 2), items].concat());
    }
}

#[test]
fn compounds_in_compounds_grow_one_by_one() {
    // Each level adds 3 octets until it is wide, then 9: every width of the innermost makes another one the first wide.
    for len in 200..260 {
        let (data, mut octets) = binary(len);
        let mut value = Value::Binary(data);
        for level in 0..30 {
            (value, octets) = match level % 4 {
                0 => (Value::List(vec![value]), [header(0xc0, 0xd0, octets.len(), 1), octets].concat()),
                1 => {
                    let map = Value::Map([(true, value)].into_iter().collect());
                    (map, [header(0xc1, 0xd1, octets.len() + 1, 2), vec![0x41], octets].concat())
                }
                2 => {
                    let described = Described { descriptor: Value::Ulong(7), value };
                    (described.into(), [vec![0, 0x53, 7], octets].concat())
                }
                _ => (
                    Value::List(vec![Value::Null, value, Value::Null]),
                    [header(0xc0, 0xd0, octets.len() + 2, 3), vec![0x40], octets, vec![0x40]].concat(),
                ),
            };
            check(&value, &octets);
        }
    }
}

#[test]
fn a_composite_is_wide_from_256_octets() {
    for len in 240..300 {
        let (data, octets) = binary(len);
        let text = String::from_utf8(data.to_vec()).unwrap();
        let text_octets = [&[octets[0] + 1], &octets[1..]].concat();

        let mut open = Open::new(text.as_str());
        open.channel_max = 1;
        let fields = [&text_octets[..], &[0x40, 0x40, 0x60, 0, 1]].concat();
        check(&open, &[vec![0, 0x53, 0x10], header(0xc0, 0xd0, fields.len(), 4), fields].concat());

        // In the last place, in the place of another composite, and twice over.
        let error = ErrorInfo::new(Symbol::from_static("a:b"), text.as_str());
        let fields = [b"\xa3\x03a:b", &text_octets[..]].concat();
        let error_octets = [vec![0, 0x53, 0x1d], header(0xc0, 0xd0, fields.len(), 2), fields].concat();
        check(&error, &error_octets);
        let rejected =
            [vec![0, 0x53, 0x25], header(0xc0, 0xd0, error_octets.len(), 1), error_octets.clone()].concat();
        check(&DeliveryState::Rejected(Some(Box::new(error.clone()))), &rejected);
        let mut disposition = Disposition::new(Role::Receiver, 1_u32);
        disposition.state = Some(DeliveryState::Rejected(Some(Box::new(error))));
        let fields = [&[0x41, 0x52, 1, 0x40, 0x40], &rejected[..]].concat();
        check(&disposition, &[vec![0, 0x53, 0x15], header(0xc0, 0xd0, fields.len(), 5), fields].concat());
    }
}

#[test]
fn many_values_in_a_field_are_wide_from_256_octets_or_256_symbols() {
    for count in (1..3).chain(120..130).chain([255, 256, 300]) {
        let mut coordinator = Coordinator::new();
        coordinator.capabilities = vec![Symbol::from_static("c"); count];
        let array = [header(0xe0, 0xf0, 1 + 2 * count, count), vec![0xa3], b"\x01c".repeat(count)].concat();
        check(&coordinator, &[vec![0, 0x53, 0x30], header(0xc0, 0xd0, array.len(), 1), array].concat());
    }
    for len in 253..258 {
        let mut coordinator = Coordinator::new();
        coordinator.capabilities = vec![Symbol::try_from("c".repeat(len)).unwrap(), Symbol::from_static("d")];
        assert_eq!(coordinator.to_bytes().len(), coordinator.encoded_len());
        assert_eq!(Coordinator::from_bytes(coordinator.to_bytes()).as_ref(), Ok(&coordinator));
    }
}

#[test]
fn a_composite_without_fields_takes_no_more_room_than_it_needs() {
    check(&DeliveryState::Accepted, &[0, 0x53, 0x24, 0x45]);
    check(&DeliveryState::Released, &[0, 0x53, 0x26, 0x45]);
    check(&DeliveryState::Rejected(None), &[0, 0x53, 0x25, 0x45]);
    check(&DeliveryState::Modified(Modified::new()), &[0, 0x53, 0x27, 0x45]);
    check(&End::new(), &[0, 0x53, 0x17, 0x45]);
    check(&Close::new(), &[0, 0x53, 0x18, 0x45]);
    check(&Source::default(), &[0, 0x53, 0x28, 0x45]);
    check(&Header::new(), &[0, 0x53, 0x70, 0x45]);
    check(&Properties::new(), &[0, 0x53, 0x73, 0x45]);
    // At the end of another one.
    let mut disposition = Disposition::new(Role::Receiver, 7_u32);
    disposition.settled = true;
    disposition.state = Some(DeliveryState::Accepted);
    check(&disposition, &[0, 0x53, 0x15, 0xc0, 10, 5, 0x41, 0x52, 7, 0x40, 0x41, 0, 0x53, 0x24, 0x45]);
    let mut attach = Attach::new("l", 0_u32, Role::Sender);
    attach.target = Some(amqp_codec::messaging::TargetArchetype::Target(Target::default()));
    let fields = [&b"\xa1\x01l\x43\x42\x40\x40\x40"[..], &[0, 0x53, 0x29, 0x45]].concat();
    check(&attach, &[vec![0, 0x53, 0x12], header(0xc0, 0xd0, fields.len(), 7), fields].concat());
}

#[test]
fn a_message_takes_the_buffer_that_was_made_for_it() {
    for len in 0..300 {
        let text = "v".repeat(len);
        let message = Message::data(vec![1; len]).with_application_property("k", text.as_str());
        let mut out = BytesMut::with_capacity(message.encoded_len());
        let place = out.as_ptr();
        message.encode(&mut out);
        assert_eq!((out.len(), out.as_ptr()), (message.encoded_len(), place));
    }
}
