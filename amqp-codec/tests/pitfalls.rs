//! Mistakes that implementations of the encoding are known to have made: none of them is made here.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use amqp_codec::messaging::{Body, DeliveryState, Header, Message, MessageSections, Source};
use amqp_codec::transport::{Detach, Open};
use amqp_codec::types::{
    Array, Decimal32, Decimal64, Decimal128, Described, ElementType, Map, Symbol, Timestamp, Value, ValueRef,
};
use amqp_codec::{Bytes, Decode, DecodeRef, Encode};
use std::time::{Duration, SystemTime};

/// What these octets mean, owned and borrowed.
fn value(octets: impl Into<Bytes>) -> Value {
    let octets = octets.into();
    let value = Value::from_bytes(octets.clone()).unwrap();
    assert_eq!(ValueRef::borrow_from(&octets).map(Value::from).as_ref(), Ok(&value));
    value
}

/// The octets of a value, which come back as it.
fn octets(original: &Value) -> Bytes {
    let octets = original.to_bytes();
    assert_eq!(octets.len(), original.encoded_len());
    assert_eq!(&value(octets.clone()), original);
    octets
}

// ---- numbers ----------------------------------------------------------------------------------------------

#[test]
fn small_signed_numbers_are_signed() {
    assert_eq!(value(&b"\x54\xff"[..]), Value::Int(-1));
    assert_eq!(value(&b"\x55\x80"[..]), Value::Long(-128));
    assert_eq!(value(&b"\x51\x80"[..]), Value::Byte(-128));
}

#[test]
fn an_array_of_signed_numbers_is_not_made_narrow_by_those_that_fit() {
    for numbers in [vec![1, 255], vec![-129, 0], vec![128, i64::MIN, i64::MAX], vec![-1, -128]] {
        let elements: Vec<_> = numbers.into_iter().map(Value::Long).collect();
        octets(&Value::Array(Array::new(ElementType::Long, elements).unwrap()));
    }
}

#[test]
fn numbers_of_64_bits_are_kept_above_the_largest_signed_one() {
    for number in [u64::MAX, 1 << 63, (1 << 63) - 1, (1 << 53) + 1] {
        octets(&Value::Ulong(number));
    }
}

#[test]
fn a_boolean_is_the_same_in_each_of_its_forms() {
    assert_eq!(value(&b"\x56\x01"[..]), value(&b"\x41"[..]));
    assert_eq!(value(&b"\x56\x00"[..]), value(&b"\x42"[..]));
    assert_ne!(value(&b"\x56\x00"[..]), Value::Ubyte(0));
}

#[test]
fn what_is_no_number_keeps_its_bits() {
    for bits in [f32::NAN.to_bits(), 0x7fc0_1234, 0xff80_0000, 0x8000_0000, 1] {
        let Value::Float(float) = value(octets(&Value::Float(f32::from_bits(bits)))) else { panic!() };
        assert_eq!(float.to_bits(), bits);
    }
    for bits in [f64::NAN.to_bits(), 0x7ff8_0000_0000_1234, f64::NEG_INFINITY.to_bits(), 1 << 63] {
        let Value::Double(double) = value(octets(&Value::Double(f64::from_bits(bits)))) else { panic!() };
        assert_eq!(double.to_bits(), bits);
    }
    octets(&Value::Decimal32(Decimal32([0x7c, 0, 0, 1])));
    octets(&Value::Decimal64(Decimal64([0xff; 8])));
    octets(&Value::Decimal128(Decimal128([0x78; 16])));
}

#[test]
fn a_float_has_the_same_octets_wherever_it_stands() {
    let float = || Value::Float(1.5);
    let double = || Value::Double(-2.25);
    let map: Map = [("f", float()), ("d", double())].into_iter().collect();
    for whole in [
        Value::List(vec![float(), double()]),
        Value::Map(map),
        Described { descriptor: Value::Ulong(7), value: Value::List(vec![float(), double()]) }.into(),
    ] {
        let octets = octets(&whole);
        for number in [float(), double()] {
            let number = number.to_bytes();
            assert!(octets.windows(number.len()).any(|window| window == number), "{whole:?}");
        }
    }
    let array = octets(&Value::Array(Array::new(ElementType::Float, vec![float()]).unwrap()));
    assert!(array.ends_with(&1.5_f32.to_be_bytes()));
}

#[test]
fn times_before_1970_and_of_the_year_9999_are_kept_and_no_conversion_panics() {
    for millis in [-1, -62_135_596_800_000, 253_402_300_799_999, i64::MIN, i64::MAX] {
        octets(&Value::Timestamp(Timestamp(millis)));
        let _ = Timestamp(millis).to_system_time();
    }
    let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1);
    assert_eq!(Timestamp(-1).to_system_time(), Some(before));
    assert_eq!(Timestamp::from(before), Timestamp(-1));
}

// ---- lengths ----------------------------------------------------------------------------------------------

#[test]
fn the_size_of_a_wide_compound_counts_its_count() {
    let list = octets(&Value::List(vec![Value::Null; 300]));
    assert_eq!(&list[..9], b"\xd0\0\0\x01\x30\0\0\x01\x2c");
}

#[test]
fn a_list_of_few_large_items_is_wide() {
    assert_eq!(octets(&Value::List(vec![Value::Binary(vec![0; 255].into())]))[0], 0xd0);
}

#[test]
fn a_text_is_as_long_as_its_octets_not_as_its_characters() {
    let text = octets(&Value::String("\u{e9}".repeat(128).into()));
    assert_eq!(&text[..5], b"\xb1\0\0\x01\0");
}

#[test]
fn there_is_no_gap_between_the_narrow_and_the_wide_form() {
    for (length, narrow) in [(0, true), (1, true), (254, true), (255, true), (256, false), (257, false)] {
        let binary = octets(&Value::Binary(vec![7; length].into()));
        assert_eq!(binary[0], if narrow { 0xa0 } else { 0xb0 }, "{length}");
        let text = octets(&Value::String("x".repeat(length).into()));
        assert_eq!(text[0], if narrow { 0xa1 } else { 0xb1 }, "{length}");
        let symbol = octets(&Value::Symbol(Symbol::try_from("x".repeat(length).as_str()).unwrap()));
        assert_eq!(symbol[0], if narrow { 0xa3 } else { 0xb3 }, "{length}");
    }
}

// ---- arrays -----------------------------------------------------------------------------------------------

#[test]
fn an_array_of_lists_may_begin_with_an_empty_one() {
    let lists = vec![Value::List(Vec::new()), Value::List(vec![Value::Uint(7)]), Value::List(Vec::new())];
    octets(&Value::Array(Array::new(ElementType::List, lists).unwrap()));
    octets(&Value::Array(Array::new(ElementType::List, vec![Value::List(Vec::new()); 3]).unwrap()));
}

#[test]
fn an_empty_array_has_a_type_and_keeps_it() {
    for element_type in [ElementType::Uint, ElementType::Symbol, ElementType::List, ElementType::Array] {
        let Value::Array(array) = value(octets(&Value::Array(Array::new(element_type, vec![]).unwrap())))
        else {
            panic!()
        };
        assert_eq!(array.element_type(), element_type);
    }
}

#[test]
fn elements_without_octets_are_no_work_without_end() {
    // 4,294,967,295 times true, in ten octets.
    assert!(Value::from_bytes(b"\xf0\0\0\0\x05\xff\xff\xff\xff\x41"[..].into()).is_err());
    assert!(ValueRef::borrow_from(&b"\xf0\0\0\0\x05\xff\xff\xff\xff\x41"[..].into()).is_err());
}

#[test]
fn an_array_of_half_a_million_texts_is_read_in_linear_time() {
    // Were the rest copied for each element, this would take hours.
    let texts: Vec<_> = (0..500_000_u32).map(|number| Value::String(number.to_string().into())).collect();
    octets(&Value::Array(Array::new(ElementType::String, texts).unwrap()));
}

// ---- values -----------------------------------------------------------------------------------------------

#[test]
fn null_may_stand_wherever_a_value_may() {
    let map: Map = [("after", Value::Null), ("before", Value::Uint(1))].into_iter().collect();
    octets(&Value::List(vec![Value::Uint(1), Value::Null, Value::Uint(2), Value::Null]));
    octets(&Value::Map(map));
    octets(&Described { descriptor: Value::Ulong(7), value: Value::Null }.into());
    octets(&Value::Array(Array::new(ElementType::Null, vec![Value::Null; 3]).unwrap()));
}

#[test]
fn a_zero_character_and_empty_octets_are_kept() {
    octets(&Value::Char('\0'));
    octets(&Value::String("a\0b".into()));
    assert_ne!(value(octets(&Value::Binary(Bytes::new()))), Value::Null);
    assert_ne!(value(octets(&Value::String("".into()))), Value::Null);
}

#[test]
fn a_symbol_stays_a_symbol_and_a_text_a_text() {
    let (symbol, text) = (Value::Symbol(Symbol::from_static("x")), Value::String("x".into()));
    assert_ne!(value(octets(&symbol)), value(octets(&text)));
}

#[test]
fn a_descriptor_keeps_all_of_its_64_bits() {
    for code in [0x0000_468c_0000_0004, 0x0000_0013_7000_000c, u64::MAX] {
        let described = Described { descriptor: Value::Ulong(code), value: "x".into() };
        assert!(octets(&described.into()).starts_with(&[&b"\0\x80"[..], &code.to_be_bytes()].concat()));
    }
}

// ---- composites and messages ------------------------------------------------------------------------------

/// An open whose eighth field, the offered capabilities, is this.
fn offering(capabilities: &[u8]) -> Vec<Symbol> {
    let mut fields = b"\xa1\x01c\x40\x40\x40\x40\x40\x40".to_vec();
    fields.extend_from_slice(capabilities);
    let mut octets = vec![0, 0x53, 0x10, 0xc0, u8::try_from(fields.len() + 1).unwrap(), 8];
    octets.extend(fields);
    Open::from_bytes(octets.into()).unwrap().offered_capabilities
}

#[test]
fn a_field_of_many_takes_none_one_and_an_array() {
    assert_eq!(offering(b"\x40"), [""; 0]);
    assert_eq!(offering(b"\xe0\x02\0\xa3"), [""; 0]);
    let one = [Symbol::from_static("abc")];
    assert_eq!(offering(b"\xa3\x03abc"), one);
    assert_eq!(offering(b"\xe0\x06\x01\xa3\x03abc"), one);
    assert_eq!(offering(b"\xf0\0\0\0\x0c\0\0\0\x01\xb3\0\0\0\x03abc"), one);
}

#[test]
fn both_forms_of_a_descriptor_are_known_and_no_other_that_begins_like_one() {
    let known: &[&[u8]] = &[b"\x53\x24", b"\x80\0\0\0\0\0\0\0\x24", b"\xa3\x12amqp:accepted:list"];
    for &descriptor in known {
        let octets = [&b"\0"[..], descriptor, b"\x45"].concat();
        assert_eq!(DeliveryState::from_bytes(octets.into()), Ok(DeliveryState::Accepted));
    }
    let longer = [&b"\0\xa3\x13amqp:accepted:list2"[..], b"\x45"].concat();
    assert_ne!(DeliveryState::from_bytes(longer.into()), Ok(DeliveryState::Accepted));
}

#[test]
fn keys_of_annotations_may_be_symbols_and_numbers() {
    let annotated =
        Message::from_bytes(b"\0\x53\x72\xc1\x08\x04\xa3\x01x\x41\x53\x07\x42"[..].into()).unwrap();
    assert_eq!(annotated.message_annotations.unwrap().len(), 2);
}

#[test]
fn what_a_header_leaves_out_has_its_default() {
    let header = Header::from_bytes(b"\0\x53\x70\x45"[..].into()).unwrap();
    assert!(!header.durable && !header.first_acquirer);
    assert_eq!((header.priority(), header.ttl, header.delivery_count), (4, None, 0));
}

#[test]
fn the_durability_of_a_terminus_is_a_number_and_that_of_a_message_a_boolean() {
    let durable = |durable: &[u8]| {
        [&b"\0\x53\x28\xc0"[..], &[u8::try_from(durable.len() + 2).unwrap(), 2, 0x40], durable].concat()
    };
    assert!(Source::from_bytes(durable(b"\x52\x02").into()).is_ok());
    assert!(Source::from_bytes(durable(b"\x41").into()).is_err());
    assert!(Header::from_bytes(b"\0\x53\x70\xc0\x02\x01\x41"[..].into()).is_ok());
    assert!(Header::from_bytes(b"\0\x53\x70\xc0\x03\x01\x52\x01"[..].into()).is_err());
}

#[test]
fn a_message_without_a_body_is_one_whose_body_is_empty() {
    for octets in [&b""[..], b"\0\x53\x70\x45", b"\0\x53\x73\x45"] {
        let octets = Bytes::from_static(octets);
        let message = Message::from_bytes(octets.clone()).unwrap();
        assert_eq!((&message.body, message.body_bytes()), (&Body::Empty, None));
        assert_eq!(MessageSections::parse(&octets).unwrap().to_message(), Ok(message));
    }
}

#[test]
fn an_error_without_a_condition_is_refused_and_says_where() {
    // A detach whose error is a list without any field.
    let detach = &b"\0\x53\x16\xc0\x08\x03\x52\x03\x41\0\x53\x1d\x45"[..];
    let error = Detach::from_bytes(detach.into()).unwrap_err();
    assert!(error.to_string().contains("detach.error/error.condition"), "{error}");
    // Nothing is said of an error that is null.
    assert!(Detach::from_bytes(b"\0\x53\x16\xc0\x05\x03\x52\x03\x41\x40"[..].into()).is_ok());
}
