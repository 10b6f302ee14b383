//! What `inspect` prints for people: lines for whatever was decoded, never a panic.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../examples/inspect/names.rs"]
mod names;
#[path = "../examples/inspect/notation.rs"]
mod notation;
#[path = "../examples/inspect/tree.rs"]
mod tree;

use amqp_codec::arbitrary::{message, performative, value};
use amqp_codec::types::{Described, Symbol, Value};
use amqp_codec::{Bytes, BytesMut, Encode, frame};
use notation::{Kind, check};
use proptest::prelude::*;
use tree::Tree;

fn lines(kind: Kind, octets: &Bytes) -> Vec<String> {
    assert!(check(kind, octets.clone()).is_ok());
    Tree::lines(kind, octets.clone(), false)
}

#[test]
fn a_frame_is_a_line_for_each_part_with_its_offset() {
    let octets = Bytes::from_static(b"\0\0\0\x15\x02\0\0\x01\0\x53\x14\xc0\x05\x03\x43\x43\xa0\x00hi");
    let octets = Bytes::from([&octets[..3], &[20], &octets[4..]].concat());
    let expected = [
        "     0  0000001402000001    AMQP frame of 20 octets on channel 1",
        "     8  005314              transfer 20 (0x14)",
        "    11  c00503                list of 3 in 5 octets",
        "    14  43                      handle: uint 0",
        "    15  43                      delivery-id: uint 0",
        "    16  a000                    delivery-tag: binary of 0 octets",
        "    18  6869                payload 2 octets",
    ];
    assert_eq!(lines(Kind::Frame, &octets), expected);
}

#[test]
fn what_a_known_descriptor_describes_need_not_be_a_list() {
    let uints =
        amqp_codec::types::Array::new(amqp_codec::types::ElementType::Uint, vec![1_u32.into()]).unwrap();
    let map = Value::Map([("a", 1_u32)].into_iter().collect());
    for value in [uints.into(), map, Value::List(vec![]), Value::Null, "a".into()] {
        for descriptor in
            [Value::Ulong(0x24), Symbol::from_static("amqp:open:list").into(), Value::Ulong(0x77)]
        {
            let described = Value::from(Described { descriptor, value: value.clone() });
            assert!(lines(Kind::Value, &described.to_bytes()).len() >= 2);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_can_be_decoded_can_be_shown(
        value in value(),
        performative in performative(),
        message in message(),
        damage in prop::collection::vec((any::<usize>(), 1_u8..), 0..3),
    ) {
        let mut framed = BytesMut::new();
        frame::encode_frame(&mut framed, 1, &performative);
        for (kind, octets) in
            [(Kind::Value, value.to_bytes()), (Kind::Frame, framed.freeze()), (Kind::Message, message.to_bytes())]
        {
            let mut octets = octets.to_vec();
            let len = octets.len();
            damage.iter().for_each(|(at, bits)| octets[at % len] ^= bits);
            let octets = Bytes::from(octets);
            for kind in [kind, Kind::Value] {
                if let Ok(checked) = check(kind, octets.clone()) {
                    prop_assert!(!Tree::lines(kind, octets.clone(), true).is_empty());
                    prop_assert!(checked.meaning()["type"].is_string());
                    let again = check(kind, checked.reencode());
                    prop_assert!(again.is_ok(), "{}", again.unwrap_err());
                }
            }
        }
    }
}
