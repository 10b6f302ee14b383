//! What borrowed forms share with owned ones: limits, keys that are the same, elements of arrays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{AnnotationKeyRef, AnnotationsRef, Message, MessageSections};
use amqp_codec::types::{
    Array, Decimal32, Decimal64, Decimal128, ElementType, Map, MapRef, Timestamp, Value, ValueRef,
};
use amqp_codec::{Bytes, Decode, DecodeRef, Decoder, Encode, Limits, Uuid};

/// The limits of a decoder, one of depth 2 and with 2 elements without octets.
const STRICT: Limits = Limits { max_depth: 2, max_zero_width: 2 };

#[test]
fn sections_are_read_under_the_limits_of_the_decoder_that_found_them() {
    let three_lists = Value::List(vec![Value::List(vec![Value::List(vec![1_u8.into()])])]);
    let three_nulls = Array::new(ElementType::Null, vec![Value::Null; 3]).unwrap();
    for body in [three_lists, Value::Array(three_nulls)] {
        let octets = Message::value(body).to_bytes();
        let owned = Message::decode(&mut Decoder::with_limits(&octets, STRICT)).unwrap_err();
        let sections = MessageSections::decode_ref(&mut Decoder::with_limits(&octets, STRICT)).unwrap();
        assert_eq!(sections.body().unwrap_err(), owned);
        assert_eq!(sections.to_message().unwrap_err(), owned);
        let sections = MessageSections::parse(&octets).unwrap();
        assert!(sections.body().is_ok() && sections.to_message().is_ok());
    }
}

#[test]
fn items_behind_an_offset_are_bounded_by_the_octets_behind_it() {
    // Every level of lists announces as many items as there are octets left.
    let mut octets = Vec::new();
    for level in (0_usize..30).rev() {
        octets.push(0xd0);
        octets.extend(u32::try_from(level * 9 + 4 + 1_000).unwrap().to_be_bytes());
        octets.extend(u32::try_from(level * 9 + 1_000).unwrap().to_be_bytes());
    }
    octets.extend([0x40; 1_000]);
    let alone = Bytes::from(octets.clone());
    let prefixed = Bytes::from([vec![0; 100_000], octets].concat());
    let expected = Value::decode(&mut Decoder::new(&alone)).unwrap_err();
    let found = Value::decode(&mut Decoder::at(&prefixed, 100_000)).unwrap_err();
    assert_eq!((found.expected(), found.offset()), (expected.expected(), expected.offset() + 100_000));
    let found = ValueRef::decode_ref(&mut Decoder::at(&prefixed, 100_000)).unwrap_err();
    assert_eq!((found.expected(), found.offset()), (expected.expected(), expected.offset() + 100_000));
}

#[test]
fn items_of_a_section_are_bounded_alike_whether_the_message_is_read_whole_or_by_sections() {
    /// A section of this kind that announces so many items, and in it a list that announces so many, of which the first
    /// is no text.
    fn section(code: u8, (outer, inner): (u8, u8)) -> Vec<u8> {
        let compound = if code == 0x76 { 0xc0 } else { 0xc1 };
        let list = [0xc0, 10, inner, 0xa1, 1, 0xff, 0x40, 0x40, 0x40, 0x40, 0x40, 0x40];
        let head = [0x00, 0x53, code, compound, 16, outer, 0xa3, 1, b'k'];
        [&head[..], &list].concat()
    }
    let sequence = [0x00, 0x53, 0x76, 0xc0, 2, 1, 0x40];
    let footer = [0x00, 0x53, 0x78, 0xc1, 1, 0];
    let counts = (2..20).step_by(2).flat_map(|outer| (0..20).map(move |inner| (outer, inner)));
    for announced in counts {
        for octets in [
            section(0x72, announced),
            [&section(0x72, announced)[..], &sequence, &footer].concat(),
            section(0x76, announced),
            [&section(0x76, announced)[..], &sequence, &footer].concat(),
            [&sequence[..], &sequence, &section(0x76, announced)].concat(),
            [&sequence[..], &sequence, &section(0x76, announced), &footer].concat(),
        ] {
            let octets = Bytes::from(octets);
            let whole = Message::from_bytes(octets.clone()).unwrap_err();
            let sections = MessageSections::parse(&octets).unwrap();
            let alone = sections.message_annotations().map(drop).and_then(|()| sections.body().map(drop));
            assert_eq!(alone.unwrap_err(), whole, "{announced:?} items announced in {octets:02x?}");
        }
    }
}

/// A map of these encoded keys, and of so many others in front of each.
fn map_of(keys: &[&[u8]], others: usize) -> Bytes {
    let mut items = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        for other in 0..others {
            // descending
            let name = Value::from(format!("{:04}", 9_999 - place * others - other));
            items.extend([&name.to_bytes()[..], &[0x40]].concat());
        }
        items.extend([key, &[0x40][..]].concat());
    }
    let count = u32::try_from(keys.len() * (others + 1) * 2).unwrap();
    let size = u32::try_from(items.len() + 4).unwrap();
    [&[0xd1][..], &size.to_be_bytes(), &count.to_be_bytes(), &items].concat().into()
}

#[test]
fn keys_are_the_same_whatever_their_encodings_in_small_and_large_maps_owned_and_borrowed() {
    let same: [(&[u8], &[u8]); 12] = [
        (b"\x43", b"\x70\0\0\0\0"),
        (b"\x52\x07", b"\x70\0\0\0\x07"),
        (b"\x53\x07", b"\x80\0\0\0\0\0\0\0\x07"),
        (b"\x54\xff", b"\x71\xff\xff\xff\xff"),
        (b"\x41", b"\x56\x01"),
        (b"\xa1\x01a", b"\xb1\0\0\0\x01a"),
        (b"\xa3\0", b"\xb3\0\0\0\0"),
        (b"\xa0\x01a", b"\xb0\0\0\0\x01a"),
        (b"\x72\x7f\xc0\0\0", b"\x72\x7f\xc0\0\0"),
        (b"\xc0\x03\x01\x52\x07", b"\xd0\0\0\0\x09\0\0\0\x01\x70\0\0\0\x07"),
        (b"\xe0\x04\x01\xa1\x01a", b"\xf0\0\0\0\x0a\0\0\0\x01\xb1\0\0\0\x01a"),
        (b"\0\x53\x07\x40", b"\0\x80\0\0\0\0\0\0\0\x07\x40"),
    ];
    for (one, other) in same {
        for others in [0, 3, 20] {
            let octets = map_of(&[one, other], others);
            let owned = Map::from_bytes(octets.clone()).map(drop).unwrap_err();
            assert_eq!(owned.expected(), "different keys in a map", "{one:x?} {other:x?} {others}");
            assert_eq!(MapRef::<ValueRef<'_>>::borrow_from(&octets).unwrap_err(), owned);
            let octets = map_of(&[one, b"\xa3\x01z", other, b"\xa3\x02zz"], others);
            assert_eq!(Map::from_bytes(octets.clone()).map(drop).unwrap_err().expected(), owned.expected());
            assert!(MapRef::<ValueRef<'_>>::borrow_from(&octets).is_err(), "{one:x?} {other:x?} {others}");
        }
    }
}

#[test]
fn keys_that_differ_in_type_or_bits_are_different_in_small_and_large_maps_owned_and_borrowed() {
    let different: [(&[u8], &[u8]); 8] = [
        (b"\x72\0\0\0\0", b"\x72\x80\0\0\0"),
        (b"\x82\x7f\xf8\0\0\0\0\0\0", b"\x82\x7f\xf8\0\0\0\0\0\x01"),
        (b"\x52\x07", b"\x53\x07"),
        (b"\x70\0\0\0\x07", b"\x71\0\0\0\x07"),
        (b"\xa1\x01a", b"\xa3\x01a"),
        (b"\xa1\0", b"\xa0\0"),
        (b"\x40", b"\x42"),
        (b"\xe0\x02\0\x50", b"\xe0\x02\0\x51"),
    ];
    for (one, other) in different {
        for others in [0, 3, 20] {
            let octets = map_of(&[one, other], others);
            let owned = Map::from_bytes(octets.clone()).unwrap();
            let borrowed = MapRef::<ValueRef<'_>>::borrow_from(&octets).unwrap();
            assert_eq!(Map::from(borrowed), owned, "{one:x?} {other:x?} {others}");
        }
    }
}

fn check_elements<T: Into<Value>>(element_type: ElementType, elements: impl IntoIterator<Item = T>) {
    let elements: Vec<Value> = elements.into_iter().map(Into::into).collect();
    for descriptor in [None, Some(Value::Ulong(7))] {
        let array = Array::described(element_type, descriptor, elements.clone()).unwrap();
        let octets = Value::Array(array).to_bytes();
        let borrowed = ValueRef::borrow_from(&octets).unwrap().as_array().unwrap();
        let mut items = borrowed.iter();
        for (place, element) in elements.iter().enumerate() {
            assert_eq!(items.len(), elements.len() - place);
            assert_eq!(items.next().map(Value::from).as_ref(), Some(element), "{element_type:?} {place}");
        }
        assert_eq!((items.next(), items.next(), items.len()), (None, None, 0));
    }
}

#[test]
fn borrowed_arrays_of_every_type_of_fixed_width_are_gone_through_to_their_last_element() {
    check_elements(ElementType::Boolean, [true, false, true]);
    check_elements(ElementType::Ubyte, [0_u8, 1, u8::MAX]);
    check_elements(ElementType::Ushort, [0_u16, 1, u16::MAX]);
    check_elements(ElementType::Uint, [0_u32, 1, u32::MAX]);
    check_elements(ElementType::Ulong, [0_u64, 1, u64::MAX]);
    check_elements(ElementType::Byte, [0_i8, -1, i8::MIN]);
    check_elements(ElementType::Short, [0_i16, -1, i16::MIN]);
    check_elements(ElementType::Int, [0_i32, -1, i32::MIN]);
    check_elements(ElementType::Long, [0_i64, -1, i64::MIN]);
    check_elements(ElementType::Float, [0.0_f32, -0.0, f32::NAN, 1.5]);
    check_elements(ElementType::Double, [0.0_f64, -0.0, f64::NAN, 1.5]);
    check_elements(ElementType::Decimal32, [Decimal32([1, 2, 3, 4])]);
    check_elements(ElementType::Decimal64, [Decimal64([7; 8])]);
    check_elements(ElementType::Decimal128, [Decimal128([7; 16])]);
    check_elements(ElementType::Char, ['a', '\u{10ffff}']);
    check_elements(ElementType::Timestamp, [Timestamp(0), Timestamp(-1)]);
    check_elements(ElementType::Uuid, [Uuid::nil(), Uuid::max()]);
    check_elements(ElementType::Null, [Value::Null, Value::Null]);
    check_elements(ElementType::Uint, [0_u32; 0]);
}

#[test]
fn the_keys_of_borrowed_annotations_tell_their_texts() {
    fn names<'a>(annotations: AnnotationsRef<'a>) -> Vec<Option<&'a str>> {
        annotations.iter().map(|(key, _)| key.as_str()).collect()
    }
    let octets = Bytes::from_static(b"\xc1\x08\x04\xa3\x01a\x40\x53\x07\x40");
    let annotations = AnnotationsRef::borrow_from(&octets).unwrap();
    assert_eq!(names(annotations), [Some("a"), None]);
    let keys: Vec<AnnotationKeyRef<'_>> = annotations.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.last(), Some(&AnnotationKeyRef::Ulong(7)));
}

#[test]
fn an_empty_list_without_octets_is_a_level_of_nesting_as_any_list_is() {
    // As deep as may be: 32 descriptors, and the innermost value.
    let in_place: [(&[u8], bool); 5] = [
        (&[0x40], true),
        (&[0x45], false),
        (&[0xc0, 1, 0], false),
        (&[0xe0, 2, 0, 0x45], false),
        (&[0x00, 0x53, 0x01, 0x40], false),
    ];
    for (innermost, is_legal) in in_place {
        let descriptors = [0x00, 0x53, 0x01].repeat(Limits::default().max_depth);
        let octets = Bytes::from([&descriptors, innermost].concat());
        let owned = Value::decode(&mut Decoder::new(&octets));
        let borrowed = ValueRef::decode_ref(&mut Decoder::new(&octets)).map(Value::from);
        assert_eq!(borrowed, owned, "{innermost:02x?}");
        assert_eq!(owned.is_ok(), is_legal, "{innermost:02x?}");
    }
    // What can be read can be read again once it was written, in arrays too.
    for depth in 0..=Limits::default().max_depth {
        let octets = Bytes::from([&[0x00, 0x53, 0x01].repeat(depth)[..], &[0xe0, 2, 2, 0x45]].concat());
        let owned = Value::from_bytes(octets.clone());
        assert_eq!(owned.is_ok(), depth + 2 <= Limits::default().max_depth, "{depth}");
        assert_eq!(ValueRef::borrow_from(&octets).map(Value::from), owned, "{depth}");
        if let Ok(value) = owned {
            assert_eq!(Value::from_bytes(value.to_bytes()), Ok(value), "{depth}");
        }
    }
}
