//! Input that means harm: each attack by name, and what becomes of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use amqp_codec::frame::{FrameHeader, ProtocolHeader, decode_amqp_body, decode_sasl_body};
use amqp_codec::messaging::{Message, MessageSections, Source};
use amqp_codec::security::{SaslChallenge, SaslFrame, SaslInit, SaslOutcome, SaslResponse, Secret};
use amqp_codec::transport::{Attach, Open, Performative, Transfer};
use amqp_codec::types::{Array, Fields, Map, MapRef, Symbol, Value, ValueRef};
use amqp_codec::{Bytes, Decode, DecodeError, DecodeRef, Decoder, Encode, Limits};
use std::time::{Duration, Instant};

const DECODE_ERROR: &str = "amqp:decode-error";
const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";

/// The error that octets are refused with; as a value and as a message, whatever they are, the borrowed forms see in them
/// what the owned ones do.
fn refused<T: Decode + std::fmt::Debug>(octets: impl Into<Bytes>) -> DecodeError {
    let octets = octets.into();
    assert_eq!(ValueRef::borrow_from(&octets).map(Value::from), Value::from_bytes(octets.clone()));
    let sections = MessageSections::parse(&octets).and_then(|sections| sections.to_message());
    assert_eq!(sections.ok(), Message::from_bytes(octets.clone()).ok());
    T::from_bytes(octets).expect_err("is refused")
}

/// A list32 in a list32 and so on.
fn nested_lists(levels: usize) -> Bytes {
    let mut octets = vec![0x40];
    for _ in 0..levels {
        let size = u32::try_from(octets.len() + 4).unwrap();
        let mut outer = vec![0xd0];
        outer.extend(size.to_be_bytes());
        outer.extend(1_u32.to_be_bytes());
        outer.append(&mut octets);
        octets = outer;
    }
    octets.into()
}

#[test]
fn nesting_is_accepted_up_to_the_limit_and_refused_beyond() {
    assert!(Value::from_bytes(nested_lists(32)).is_ok());
    let error = refused::<Value>(nested_lists(33));
    assert_eq!((error.condition(), error.expected()), (DECODE_ERROR, "less nesting"));
    let error = refused::<Value>(nested_lists(10_000));
    assert_eq!(error.expected(), "less nesting");
    let limits = Limits { max_depth: 2, ..Limits::default() };
    assert!(Value::decode(&mut Decoder::with_limits(&nested_lists(2), limits)).is_ok());
    assert!(Value::decode(&mut Decoder::with_limits(&nested_lists(3), limits)).is_err());
}

#[test]
fn chains_of_descriptors_count_as_nesting() {
    let error = refused::<Value>(vec![0; 1_000_000]);
    assert_eq!((error.condition(), error.expected()), (DECODE_ERROR, "less nesting"));
    // Values described by values described by values: the descriptors follow each other instead of nesting.
    let mut right = vec![];
    (0..1_000_000).for_each(|_| right.extend([0, 0x44]));
    assert_eq!(refused::<Value>(right).expected(), "less nesting");
    // The constructor of an array, described again and again.
    let mut array = vec![0xf0, 0, 0, 0xff, 0xff, 0, 0, 0, 1];
    (0..40_000).for_each(|_| array.extend([0, 0x44]));
    assert_eq!(refused::<Value>(array).expected(), "less nesting");
}

#[test]
fn skipping_a_value_takes_no_stack_however_deep_it_is() {
    let octets = nested_lists(10_000);
    let mut input = Decoder::new(&octets);
    assert!(input.skip().is_ok() && input.is_empty());
    assert_eq!(Decoder::new(&vec![0; 1_000_000].into()).skip().unwrap_err().expected(), "a format code");
}

#[test]
fn nested_arrays_and_outcomes_in_outcomes_are_refused_when_too_deep() {
    let mut array = Array::new(amqp_codec::types::ElementType::Uint, vec![]).unwrap();
    for _ in 0..40 {
        array = Array::new(amqp_codec::types::ElementType::Array, vec![array.into()]).unwrap();
    }
    // Measuring is linear in the depth: were it exponential, this would not end.
    assert_eq!(refused::<Value>(array.to_bytes()).expected(), "less nesting");

    let mut state = vec![0x00, 0x53, 0x24, 0x45];
    for _ in 0..10_000 {
        let mut outer = vec![0x00, 0x53, 0x34, 0xd0];
        outer.extend(u32::try_from(state.len() + 6).unwrap().to_be_bytes());
        outer.extend([0, 0, 0, 2, 0xa0, 0]);
        outer.append(&mut state);
        state = outer;
    }
    assert_eq!(refused::<amqp_codec::messaging::DeliveryState>(state).expected(), "less nesting");
}

#[test]
fn sizes_beyond_the_input_are_refused_before_anything_is_allocated() {
    for code in [0xb0, 0xb1, 0xb3, 0xd0, 0xd1, 0xf0] {
        let error = refused::<Value>(vec![code, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(error.expected(), "a size within the input", "{code:#x}");
    }
    for code in [0xa0, 0xa1, 0xa3, 0xc0, 0xc1, 0xe0] {
        let error = refused::<Value>(vec![code, 0xff, 0, 0]);
        assert_eq!((error.offset(), error.expected()), (1, "a size within the input"), "{code:#x}");
    }
}

#[test]
fn counts_beyond_the_input_are_refused_before_anything_is_allocated() {
    let huge = |code: u8, items: &[u8]| {
        let mut octets = vec![code];
        octets.extend(u32::try_from(items.len() + 4).unwrap().to_be_bytes());
        octets.extend([0xff, 0xff, 0xff, 0xfe]);
        octets.extend(items);
        octets
    };
    for octets in [huge(0xd0, &[]), huge(0xd1, &[0x40, 0x40])] {
        assert_eq!(refused::<Value>(octets).expected(), "a count within the size");
    }
    for element in [&[0x50, 1][..], &[0x70, 0, 0, 0, 1], &[0xa0, 0], &[0xc0, 1, 0], &[0xe0, 2, 0, 0x40]] {
        let error = refused::<Value>(huge(0xf0, element));
        assert_eq!(error.expected(), "a count of elements that are there", "{element:x?}");
    }
}

#[test]
fn counts_of_nested_compounds_are_charged_together() {
    // Every level announces as many items as the input has octets left: 30 times what can be there.
    let levels = 30_usize;
    let padding = 10_000_usize;
    let mut octets = Vec::new();
    for level in (0..levels).rev() {
        let size = u32::try_from(level * 9 + 4 + padding).unwrap();
        octets.push(0xd0);
        octets.extend(size.to_be_bytes());
        octets.extend((size - 4).to_be_bytes());
    }
    octets.resize(octets.len() + padding, 0x40);
    let error = refused::<Value>(octets);
    assert_eq!(error.expected(), "a count of items that are there");
}

#[test]
fn arrays_of_elements_without_octets_are_bounded() {
    for element in [0x40, 0x41, 0x42, 0x43, 0x44, 0x45] {
        let error = refused::<Value>(vec![0xf0, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, element]);
        assert_eq!(error.condition(), RESOURCE_LIMIT_EXCEEDED, "{element:#x}");
        let value = Value::from_bytes(vec![0xf0, 0, 0, 0, 5, 0, 1, 0, 0, element].into()).unwrap();
        assert_eq!(value.as_array().unwrap().elements().len(), 65_536);
    }
    // Many small ones are charged together.
    let mut octets = vec![0xd0];
    octets.extend((4 + 1_000 * 4_u32).to_be_bytes());
    octets.extend(1_000_u32.to_be_bytes());
    (0..1_000).for_each(|_| octets.extend([0xe0, 2, 255, 0x41]));
    assert_eq!(refused::<Value>(octets).condition(), RESOURCE_LIMIT_EXCEEDED);
    let limits = Limits { max_zero_width: 3, ..Limits::default() };
    let array = |count| Bytes::from(vec![0xe0, 2, count, 0x40]);
    assert!(Value::decode(&mut Decoder::with_limits(&array(3), limits)).is_ok());
    assert!(Value::decode(&mut Decoder::with_limits(&array(4), limits)).is_err());
}

#[test]
fn an_odd_count_in_a_map_is_refused() {
    let error = refused::<Map>(&b"\xc1\x07\x03\xa1\x01a\xa1\x01b"[..]);
    assert_eq!(error.to_string(), "at offset 3: expected an even count of keys and values, found 3");
    refused::<Fields>(&b"\xc1\x04\x01\xa3\x01a"[..]);
}

#[test]
fn a_key_that_stands_twice_is_refused_in_small_and_large_maps_alike() {
    let error = refused::<Value>(&b"\xc1\x09\x04\xa1\x01a\x40\xa1\x01a\x40"[..]);
    assert_eq!((error.expected(), error.condition()), ("different keys in a map", DECODE_ERROR));
    // The two encodings of one key.
    refused::<Value>(&b"\xc1\x08\x04\x43\x40\x70\0\0\0\0\x40"[..]);
    refused::<Fields>(&b"\xc1\x09\x04\xa3\x01a\x40\xa3\x01a\x40"[..]);
    let mut items = Vec::new();
    for key in (0..1_000_u32).chain([500]) {
        items.extend(key.to_bytes());
        items.push(0x40);
    }
    let mut octets = vec![0xd1];
    octets.extend(u32::try_from(items.len() + 4).unwrap().to_be_bytes());
    octets.extend(2_002_u32.to_be_bytes());
    octets.extend(items);
    assert_eq!(refused::<Value>(octets).expected(), "different keys in a map");
    // Texts in their order save for one, wherever that is, and equal to its neighbour or to another.
    for (at, again) in [(1, 0), (2, 0), (11, 10), (11, 0), (6, 3)] {
        let mut keys: Vec<_> = (0..12).map(|key| format!("key-{key:02}")).collect();
        keys[at] = keys[again].clone();
        let mut items = Vec::new();
        keys.iter().for_each(|key| items.extend([&key.to_bytes()[..], &[0x40]].concat()));
        let mut octets = vec![0xc1, u8::try_from(items.len() + 1).unwrap(), 24];
        octets.extend(items);
        assert_eq!(refused::<Value>(octets.clone()).expected(), "different keys in a map", "{at} {again}");
        assert!(MapRef::<&str>::borrow_from(&octets.into()).is_err(), "{at} {again}");
    }
    // Same text, other type: another key.
    assert!(Value::from_bytes(Bytes::from_static(b"\xc1\x09\x04\xa1\x01a\x40\xa3\x01a\x40")).is_ok());
}

#[test]
fn a_large_map_is_checked_for_duplicates_in_linear_time() {
    let mut items = Vec::new();
    for key in 0..200_000_u32 {
        items.extend(key.to_bytes());
        items.push(0x40);
    }
    let mut octets = vec![0xd1];
    octets.extend(u32::try_from(items.len() + 4).unwrap().to_be_bytes());
    octets.extend(400_000_u32.to_be_bytes());
    octets.extend(items);
    let start = Instant::now();
    assert_eq!(Map::from_bytes(octets.into()).unwrap().len(), 200_000);
    // Comparing each with each takes minutes.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn octets_behind_a_value_or_within_a_compound_are_refused() {
    assert_eq!(refused::<Value>(vec![0x40, 0x40]).found(), "1 octet too many");
    for octets in [&[0xc0, 3, 1, 0x41, 0x41][..], &[0xc1, 4, 2, 0x41, 0x41, 0x41], &[0xe0, 4, 1, 0x50, 1, 2]]
    {
        assert_eq!(refused::<Value>(octets.to_vec()).expected(), "the end of the compound, by its count");
    }
    // A size that lies about the count's own octets.
    refused::<Value>(vec![0xc0, 0, 0]);
    refused::<Value>(vec![0xd0, 0, 0, 0, 3, 0, 0, 0]);
    let mut end = Performative::End(amqp_codec::transport::End::new()).to_bytes().to_vec();
    end.push(0x40);
    assert_eq!(decode_amqp_body(end.into()).unwrap_err().expected(), "nothing behind the performative");
}

#[test]
fn unassigned_and_extended_format_codes_are_refused() {
    let assigned: Vec<u8> = (0..=255).filter(|code| !refused_as_code(*code)).collect();
    assert_eq!(assigned.len(), 39 + 1, "{assigned:x?}");
    fn refused_as_code(code: u8) -> bool {
        match Value::from_bytes(vec![code].into()) {
            Ok(_) => false,
            Err(error) => error.found().starts_with("unassigned"),
        }
    }
    // As the element constructor of arrays too, even of empty ones, even where an empty array is as good as none.
    for code in [0x46, 0x4f, 0x5f, 0xff] {
        assert_eq!(refused::<Value>(vec![0xe0, 2, 0, code]).expected(), "an element constructor");
        let coordinator = vec![0, 0x53, 0x30, 0xc0, 5, 1, 0xe0, 2, 0, code];
        refused::<amqp_codec::transactions::Coordinator>(coordinator);
    }
    refused::<Value>(vec![0xe0, 1, 0]);
}

#[test]
fn wrong_utf8_is_refused_in_all_its_forms() {
    let cases: [&[u8]; 7] = [
        b"\xc3\x28",         // no continuation
        b"\xc0\x80",         // overlong
        b"\xed\xa0\x80",     // a surrogate
        b"\xf4\x90\x80\x80", // above U+10FFFF
        b"\xe2\x82",         // cut off
        b"\x80",             // a continuation alone
        b"\xff",
    ];
    for text in cases {
        let mut octets = vec![0xa1, u8::try_from(text.len()).unwrap()];
        octets.extend(text);
        let error = refused::<Value>(octets);
        assert_eq!((error.offset(), error.expected()), (2, "string in UTF-8"), "{text:x?}");
    }
    assert_eq!(refused::<Symbol>(&b"\xa3\x02\xc3\xa9"[..]).expected(), "symbol in ASCII");
}

#[test]
fn characters_that_are_surrogates_or_too_large_are_refused() {
    for scalar in [0xd800_u32, 0xdbff, 0xdc00, 0xdfff, 0x0011_0000, u32::MAX] {
        let mut octets = vec![0x73];
        octets.extend(scalar.to_be_bytes());
        assert_eq!(refused::<Value>(octets).expected(), "a Unicode scalar value");
    }
    assert_eq!(Value::from_bytes(vec![0x73, 0, 0, 0, 0].into()), Ok(Value::Char('\0')));
}

#[test]
fn a_boolean_octet_is_0_or_1() {
    (2..=255).for_each(|octet| assert_eq!(refused::<bool>(vec![0x56, octet]).offset(), 1));
}

#[test]
fn sections_out_of_order_twice_or_unknown_are_refused() {
    let header = &[0x00, 0x53, 0x70, 0x45][..];
    let properties = &[0x00, 0x53, 0x73, 0x45][..];
    let data = &[0x00, 0x53, 0x75, 0xa0, 0][..];
    let sequence = &[0x00, 0x53, 0x76, 0x45][..];
    let value = &[0x00, 0x53, 0x77, 0x40][..];
    let footer = &[0x00, 0x53, 0x78, 0xc1, 1, 0][..];
    let legal = [&[header, properties, data, data, footer][..], &[sequence, sequence], &[value, footer]];
    for sections in legal {
        assert!(Message::from_bytes(sections.concat().into()).is_ok(), "{sections:x?}");
    }
    let illegal = [
        &[properties, header, data][..],
        &[data, header],
        &[header, header, data],
        &[data, value],
        &[data, sequence],
        &[sequence, data],
        &[value, value],
        &[footer, data],
        &[data, footer, footer],
        &[data, footer, data],
    ];
    for sections in illegal {
        let error = refused::<Message>(sections.concat());
        assert_eq!(error.expected(), "sections in their order", "{sections:x?}");
        assert!(MessageSections::parse(&sections.concat().into()).is_err());
    }
    refused::<Message>(vec![0x00, 0x53, 0x79, 0x45]);
    refused::<Message>(vec![0x40]);
}

#[test]
fn annotations_and_properties_refuse_keys_of_other_types() {
    let section = |code: u8, key: &[u8]| {
        let mut octets = vec![0x00, 0x53, code, 0xc1, u8::try_from(key.len() + 2).unwrap(), 2];
        octets.extend(key);
        octets.extend([0x40, 0x00, 0x53, 0x77, 0x40]);
        Message::from_bytes(octets.into())
    };
    for code in [0x71, 0x72] {
        assert!(section(code, b"\xa3\x01a").is_ok() && section(code, b"\x53\x01").is_ok());
        assert!(section(code, b"\xa1\x01a").is_err() && section(code, b"\x40").is_err());
    }
    assert!(section(0x74, b"\xa1\x01a").is_ok());
    assert!(section(0x74, b"\xa3\x01a").is_err() && section(0x74, b"\x40").is_err());
}

#[test]
fn mandatory_fields_must_be_there_and_types_must_fit() {
    let error = refused::<Open>(vec![0x00, 0x53, 0x10, 0x45]);
    assert_eq!((error.path(), error.condition()), ("open.container-id".to_owned(), DECODE_ERROR));
    assert_eq!(refused::<Open>(vec![0x00, 0x53, 0x10, 0xc0, 2, 1, 0x40]).path(), "open.container-id");
    assert_eq!(refused::<Transfer>(vec![0x00, 0x53, 0x14, 0xc0, 3, 1, 0x53, 7]).path(), "transfer.handle");
    refused::<Attach>(vec![0x00, 0x53, 0x12, 0xc1, 1, 0]);
    let mechanisms = vec![0x00, 0x53, 0x40, 0x45];
    assert_eq!(refused::<SaslFrame>(mechanisms).path(), "sasl-mechanisms.sasl-server-mechanisms");
    let fields = [0x40; 12];
    let mut source = vec![0x00, 0x53, 0x28, 0xc0, 13, 12];
    source.extend(fields);
    assert_eq!(refused::<Source>(source).expected(), "no more fields than the type has");
}

#[test]
fn an_error_names_the_way_to_its_place() {
    // attach, whose source has a string as its time-out
    let attach =
        b"\0\x53\x12\xc0\x15\x06\xa1\x01l\x43\x42\x40\x40\0\x53\x28\xc0\x08\x04\x40\x40\x40\xa1\x02no";
    let error = refused::<Performative>(&attach[..]);
    assert_eq!(
        error.to_string(),
        "at offset 22 in attach.source/source.timeout: expected uint, found format code 0xa1 (string)"
    );
    let another = refused::<Source>(vec![0x00, 0x53, 0x29, 0x45]);
    assert_eq!((another.offset(), another.expected()), (0, "amqp:source:list"));
}

#[test]
fn an_error_in_a_message_is_the_same_whether_it_is_read_whole_or_by_sections() {
    let sections: [(&str, &[u8]); 9] = [
        ("message.header/header.durable", b"\0\x53\x70\xc0\x03\x01\x50\x01"),
        ("message.delivery-annotations", b"\0\x53\x71\xa0\x00"),
        ("message.message-annotations", b"\0\x53\x72\xc1\x03\x02\x40\x40"),
        ("message.properties/properties.reply-to", b"\0\x53\x73\xc0\x06\x05\x40\x40\x40\x40\x41"),
        ("message.application-properties", b"\0\x53\x74\xc1\x03\x02\x40\x40"),
        ("message.data", b"\0\x53\x75\xa1\x00"),
        ("message.amqp-sequence", b"\0\x53\x76\xa1\x00"),
        ("message.amqp-value", b"\0\x53\x77\x73\xff\xff\xff\xff"),
        ("message.footer", b"\0\x53\x78\xa1\x00"),
    ];
    for (path, section) in sections {
        let before = [0x00, 0x53, 0x70, 0x45];
        let before = if path.contains("header") { &[][..] } else { &before[..] };
        let octets = Bytes::from([before, section].concat());
        let whole = refused::<Message>(octets.clone());
        assert_eq!(whole.path(), path);
        assert!(whole.offset() >= before.len() + 3, "{whole}");
        let sections = MessageSections::parse(&octets).unwrap();
        let read = [
            sections.header().err(),
            sections.delivery_annotations().err(),
            sections.message_annotations().err(),
            sections.properties().err(),
            sections.application_properties().err(),
            sections.body().err(),
            sections.footer().err(),
        ];
        let read: Vec<_> = read.into_iter().flatten().collect();
        assert_eq!(read, std::slice::from_ref(&whole), "{path}");
        assert_eq!(sections.data().err(), (path == "message.data").then_some(whole));
    }
}

#[test]
fn descriptors_match_whole_and_only_as_ulong_or_symbol() {
    let close = |descriptor: &[u8]| {
        let octets = [&[0x00][..], descriptor, &[0x45]].concat();
        Performative::from_bytes(octets.into())
    };
    assert!(close(b"\x53\x18").is_ok() && close(b"\x80\0\0\0\0\0\0\0\x18").is_ok());
    assert!(close(b"\xa3\x0famqp:close:list").is_ok() && close(b"\xb3\0\0\0\x0famqp:close:list").is_ok());
    assert!(close(b"\xa3\x0eamqp:close:lis").is_err() && close(b"\xa3\x10amqp:close:list2").is_err());
    assert!(close(b"\x52\x18").is_err() && close(b"\xa1\x0famqp:close:list").is_err());
    assert!(close(b"\x80\0\0\0\x01\0\0\0\x18").is_err());
}

#[test]
fn frame_and_protocol_headers_are_checked_before_anything_else() {
    let framing = |octets: &[u8]| FrameHeader::decode(octets).unwrap_err();
    for octets in [
        &[0, 0, 0, 7, 2, 0, 0, 0][..],
        &[0, 0, 0, 8, 1, 0, 0, 0],
        &[0, 0, 0, 8, 3, 0, 0, 0],
        &[0, 0, 0, 8, 2, 2, 0, 0],
        &[0, 0, 0, 8, 2, 0, 0],
        &[],
    ] {
        assert_eq!(framing(octets).condition(), "amqp:connection:framing-error", "{octets:x?}");
    }
    assert!(ProtocolHeader::decode(b"HTTP/1.1").is_err() && ProtocolHeader::decode(b"AMQP").is_err());
    assert!(!ProtocolHeader::decode(b"AMQP\0\0\x09\x01").unwrap().is_supported());
    assert!(decode_amqp_body(Bytes::new()).is_err() && decode_sasl_body(Bytes::new()).is_err());
}

#[test]
fn debug_of_sasl_frames_shows_no_secret() {
    let secret = || Secret(Bytes::from_static(b"hunter2"));
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(secret());
    let mut outcome = SaslOutcome::new(amqp_codec::security::SaslCode::Ok);
    outcome.additional_data = Some(secret());
    let frames = [
        SaslFrame::Init(init),
        SaslFrame::Challenge(SaslChallenge::new(secret())),
        SaslFrame::Response(SaslResponse::new(secret())),
        SaslFrame::Outcome(outcome),
    ];
    for frame in frames {
        let shown = format!("{frame:?} {frame:#?}");
        assert!(
            shown.contains("7 octets") && !shown.contains("hunter2") && !shown.contains("104"),
            "{shown}"
        );
        // Nor does an error that is about its octets.
        let octets = frame.to_bytes();
        let error = decode_sasl_body(octets.slice(..octets.len() - 1)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn elements_without_octets_are_bounded_in_a_message_and_in_each_of_its_borrowed_sections() {
    // a section with an array of 40,000 nulls, and one of 70,000
    let section = |code: u8, count: u32| {
        let key: &[u8] = if code == 0x77 { &[] } else { b"\xd1\0\0\0\x11\0\0\0\x02\xa3\x01a" };
        [&[0x00, 0x53, code], key, b"\xf0\0\0\0\x05", &count.to_be_bytes(), &[0x40]].concat()
    };
    let octets = Bytes::from([section(0x72, 40_000), section(0x77, 40_000)].concat());
    assert_eq!(refused::<Message>(octets.clone()).condition(), RESOURCE_LIMIT_EXCEEDED);
    let sections = MessageSections::parse(&octets).unwrap();
    assert!(sections.message_annotations().is_ok() && sections.body().is_ok());
    assert_eq!(sections.to_message().unwrap_err().condition(), RESOURCE_LIMIT_EXCEEDED);
    let octets = Bytes::from(section(0x77, 70_000));
    let error = MessageSections::parse(&octets).unwrap().body().unwrap_err();
    assert_eq!(error.condition(), RESOURCE_LIMIT_EXCEEDED);
}
