//! The example `inspect`: what it prints for people, never a panic, and how it ends on wrong input.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

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
use std::io::Write;
use std::process::{Command, Stdio};
use tree::Tree;

/// Exit code, standard output and standard error of the program, which cargo builds along with the tests.
fn inspect(arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("examples").join("inspect");
    let mut child = Command::new(&program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; cargo build --examples", program.display()));
    // A program that refuses its arguments reads nothing.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_input_is_a_line_on_standard_error_and_exit_code_1() {
    let frame = "0000000c0200000000531845";
    let cases: [(&[&str], &[u8], &str); 12] = [
        (
            &["--json", "--kind", "value", "c10703a10161a10162"],
            b"",
            "an even count of keys and values, found 3",
        ),
        (&["--kind", "value", "c10704a10161a1016241"], b"", "at offset"),
        (&["--kind", "value", ""], b"", "at offset 0: expected a format code"),
        (&["--kind", "frame", "0000000d0200000000531845"], b"", "(amqp:connection:framing-error)"),
        (&["--kind", "header", "414d515000010001"], b"", "version 1.0.1"),
        (&["--kind", "message", "005370450053"], b"", "at offset 6"),
        (&["--kind", "composite", "00531045"], b"", "open.container-id"),
        (&["--reencode", "c0"], b"", "(amqp:decode-error)"),
        (&["abc"], b"", "expected hexadecimal digits or a file, found \"abc\""),
        (&["no such\nfile"], b"", "no such\\nfile"),
        (&["-"], b"", "at offset 0"),
        (&["-"], b"\xff\xfe\n\x00", "at offset 0"),
    ];
    for (arguments, input, expected) in cases {
        let (code, out, error) = inspect(arguments, input);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    }
    for arguments in
        [&["--kind", "thing", "40"][..], &["--port", "x", "40"], &["--colour"], &["40", "41"], &["--json"]]
    {
        let (code, out, error) = inspect(arguments, b"");
        assert_eq!((code, out.as_str(), error.lines().count()), (Some(2), "", 1), "{arguments:?}: {error}");
    }
    assert_eq!(inspect(&["--kind", "frame", frame], b"").0, Some(0));
}

#[test]
fn a_damaged_or_empty_capture_is_wrong_input() {
    let header = b"\xa1\xb2\xc3\xd4\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\0\0\0\x01";
    let (code, out, error) = inspect(&["-"], header);
    assert_eq!((code, out.as_str(), error.lines().count()), (Some(1), "", 1), "{error}");
    assert!(
        error.contains("expected a connection to port 5672 in the capture, found none; see --port"),
        "{error}"
    );
    for damaged in [&header[..20], b"\x0a\x0d\x0d\x0a", &[&header[..], &[0; 15]].concat()] {
        let (code, _, error) = inspect(&["-"], damaged);
        assert_eq!((code, error.lines().count()), (Some(1), 1), "{error}");
    }
}

#[test]
fn each_line_is_answered_by_a_line_whatever_it_is() {
    let (code, out, error) =
        inspect(&["--lines"], b"value 40\n\nvalue \xff\nthing 40\nvalue 4\nvalue c0\r\nvalue 41");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let answers: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let errors: Vec<bool> = answers.iter().map(|answer| answer["error"].is_string()).collect();
    assert_eq!(errors, [false, true, true, true, true, true, false], "{out}");
    assert_eq!(answers[5]["condition"], "amqp:decode-error");
    assert_eq!(answers[6], serde_json::json!({"type": "boolean", "value": true}));
}

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
