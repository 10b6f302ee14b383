//! The beginnings of sections, of messages that have not come whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Header, Message, Properties, SectionStart};
use amqp_codec::types::{Symbol, Value};
use amqp_codec::{Bytes, Encode};

fn of(octets: &[u8]) -> Option<SectionStart> {
    SectionStart::of(&Bytes::copy_from_slice(octets)).unwrap()
}

#[test]
fn a_section_is_known_by_its_first_octets_in_each_encoding() {
    // Small ulong, ulong, short symbol, long symbol; list and data of each size.
    assert_eq!(of(b"\x00\x53\x70\x45"), Some(SectionStart::Head { len: 4 }));
    assert_eq!(of(b"\x00\x80\0\0\0\0\0\0\0\x73\xc0\x05"), Some(SectionStart::Head { len: 17 }));
    let symbol = b"\x00\xa3\x1famqp:application-properties:map\xd1\0\x01\0\0";
    assert_eq!(of(symbol), Some(SectionStart::Head { len: 39 + 65_536 }));
    assert_eq!(
        of(b"\x00\xb3\0\0\0\x10amqp:data:binary\xb0\x7f\xff\xff\xff"),
        Some(SectionStart::Data { start: 27, len: 0x7fff_ffff })
    );
    assert_eq!(of(b"\x00\x53\x76\x45"), Some(SectionStart::OtherBody));
    assert_eq!(of(b"\x00\x53\x77"), Some(SectionStart::OtherBody));
    assert_eq!(of(b"\x00\x53\x78"), Some(SectionStart::Footer));
}

#[test]
fn every_cut_of_a_beginning_asks_for_more() {
    let whole = b"\x00\xb3\0\0\0\x10amqp:data:binary\xb0\0\0\x01\0";
    for end in 0..whole.len() {
        assert_eq!(of(&whole[..end]), None, "{end}");
    }
}

#[test]
fn what_is_no_section_is_an_error_once_there_is_enough_of_it() {
    let with = |begin: &[u8]| {
        let mut octets = begin.to_vec();
        octets.resize(48, 0x40);
        SectionStart::of(&Bytes::from(octets)).unwrap_err().to_string()
    };
    assert_eq!(with(b"\x40"), "at offset 0: expected a described value, found format code 0x40 (null)");
    assert!(with(b"\x00\x53\x10").contains("expected a section of a message"));
    assert!(with(b"\x00\x53\x75\xa1\x05").contains("expected data, which is binary"));
    assert!(with(b"\x00\x53\x70\xa0\x05").contains("expected a section that is a list or a map"));
    assert!(with(b"\x00\xb3\xff\xff\xff\xff").contains("size"));
}

#[test]
fn the_sections_of_a_message_are_found_one_after_the_other() {
    let properties = Properties { subject: Some("s".into()), ..Properties::default() };
    let message = Message::data("body")
        .with_header(Header { durable: true, ..Header::default() })
        .with_properties(properties)
        .with_application_property("n", 1_i32)
        .with_footer(Symbol::from_static("f"), Value::Null);
    let mut rest = message.to_bytes();
    let mut heads = 0;
    loop {
        match SectionStart::of(&rest).unwrap().unwrap() {
            SectionStart::Head { len } => (heads, rest) = (heads + 1, rest.slice(len..)),
            SectionStart::Data { start, len } => {
                assert_eq!(rest.slice(start..start + len), "body");
                rest = rest.slice(start + len..);
            }
            SectionStart::Footer => break,
            other => unreachable!("{other:?}"),
        }
    }
    assert_eq!(heads, 3);
}
