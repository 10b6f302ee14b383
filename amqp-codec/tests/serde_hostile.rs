//! The feature `serde` on what does not fit: errors say where, what was expected and what was found, and nothing goes
//! deeper than its bound.

use amqp_codec::serde::{AsList, DescribedList, Descriptor, from_bytes, from_value, to_value};
use amqp_codec::types::{Described, Symbol, Timestamp, Value};
use amqp_codec::{Bytes, Decode, Encode};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

#[derive(Debug, Serialize, Deserialize)]
struct Envelope {
    order: Order,
}

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    price: u32,
}

#[derive(Debug, Deserialize)]
enum Payment {
    Cash,
    Card {
        #[expect(dead_code, reason = "only read")]
        number: u32,
    },
}

fn map<K: Into<Value>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
    Value::Map(entries.into_iter().collect())
}

fn error<T: DeserializeOwned>(value: impl Into<Value>) -> String {
    from_value::<T>(&value.into()).map_or_else(|error| error.to_string(), |_| "nothing wrong".to_owned())
}

#[test]
fn an_error_names_the_way_to_the_field() {
    let line = |price: Value| map([("price", price)]);
    let lines = vec![line(1_u32.into()), line(2_u32.into()), line("three".into())];
    let order = map([("id", Value::Ulong(1)), ("lines", lines.into())]);
    let envelope = map([("order", order)]);
    assert_eq!(error::<Envelope>(envelope.clone()), "order.lines[2].price: expected uint, found string");
    assert_eq!(from_value::<Envelope>(&envelope).unwrap_err().path(), "order.lines[2].price");
}

#[test]
fn wrong_types_are_named_by_their_names_in_the_specification() {
    assert_eq!(error::<u32>("one"), "expected uint, found string");
    assert_eq!(error::<i8>(1.0_f64), "expected byte, found double");
    assert_eq!(error::<u64>(Value::Null), "expected ulong, found null");
    assert_eq!(error::<i16>(Symbol::from_static("one")), "expected short, found symbol");
    assert_eq!(error::<Symbol>(1_u8), "expected symbol, found ubyte");
    assert_eq!(error::<Timestamp>("now"), "expected timestamp, found string");
    assert_eq!(error::<amqp_codec::types::Decimal32>(1_u32), "expected decimal32, found uint");
    assert_eq!(error::<amqp_codec::types::Array>("a"), "expected array, found string");
    assert_eq!(error::<Described>(Value::Null), "expected described value, found null");
    assert_eq!(error::<Line>(Value::List(vec![1_u32.into()])), "expected struct Line, found list");
    assert_eq!(error::<BTreeMap<u8, u8>>(true), "expected a map, found boolean");
    assert_eq!(error::<Vec<u8>>(Value::Null), "expected a sequence, found null");
    assert_eq!(error::<(u8, u8)>(map([(1_u8, 1_u8)])), "expected a tuple of size 2, found map");
    assert_eq!(error::<String>(Bytes::from_static(b"\xff")), "expected a string, found binary");
    assert_eq!(error::<char>("ab"), "expected a character, found string");
    assert_eq!(error::<bool>(1_u8), "expected a boolean, found integer 1");
}

#[test]
fn an_integer_out_of_range_is_refused_with_the_range() {
    assert_eq!(error::<u32>(-1_i64), "expected uint (0 to 4294967295), found long -1");
    assert_eq!(
        error::<i64>(u64::MAX),
        "expected long (-9223372036854775808 to 9223372036854775807), found ulong 18446744073709551615"
    );
    assert_eq!(error::<u8>(Value::Uint(256)), "expected ubyte (0 to 255), found uint 256");
    assert_eq!(error::<f32>(1e300_f64), "expected float, found double out of its range");
}

#[test]
fn integers_of_128_bits_are_refused_both_ways() {
    let written = to_value(&BTreeMap::from([("big", [1_i128])])).unwrap_err();
    assert_eq!(written.to_string(), "big[0]: expected an integer of at most 64 bits, found i128");
    assert!(to_value(&1_u128).is_err());
    assert_eq!(error::<u128>(1_u8), "expected an integer of at most 64 bits, found u128");
}

#[test]
fn missing_unknown_and_doubled_fields_are_named() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        #[expect(dead_code, reason = "only read")]
        a: u8,
    }
    assert_eq!(error::<Line>(map([("prize", 1_u8)])), "expected field `price`, found none");
    assert_eq!(error::<Strict>(map([("b", 1_u8)])), "expected field `a`, found `b`");
    // the same name as a string and as a symbol, which are different keys on the wire
    let doubled = map([(Value::from("price"), 1_u32), (Symbol::from_static("price").into(), 2)]);
    assert_eq!(error::<Line>(doubled), "expected field `price` once, found it twice");
    assert_eq!(error::<Line>(map([(0_u64, 1_u32)])), "expected field identifier, found ulong");
}

#[test]
fn variants_that_do_not_fit_are_named() {
    assert_eq!(error::<Payment>("Cheque"), "expected variant `Cash` or `Card`, found `Cheque`");
    assert_eq!(
        error::<Payment>(7_u8),
        "expected a string or a map of one entry for enum Payment, found ubyte"
    );
    assert_eq!(
        error::<Payment>(map([("Cash", 1_u8), ("Card", 1)])),
        "expected a string or a map of one entry for enum Payment, found map of 2"
    );
    let card = map([("Card", map([("number", "secret")]))]);
    assert_eq!(error::<Payment>(card), "Card.number: expected uint, found string");
    assert_eq!(error::<Payment>("Card"), "expected struct variant, found unit variant");
    assert_eq!(error::<Payment>(map([("Cash", 1_u8)])), "Cash: expected unit, found integer 1");
}

#[test]
fn what_a_peer_wrote_is_not_quoted_save_names_and_those_not_at_length() {
    let long = "x".repeat(100_000);
    let found = error::<Payment>(long.as_str());
    assert!(found.len() < 200, "{} octets", found.len());
    let found = error::<HashMap<String, u8>>(map([(long.as_str(), "secret\n")]));
    assert!(found.len() < 200 && !found.contains("secret"), "{found}");
    let controls = error::<HashMap<String, u8>>(map([("a\nb\u{1b}[31m", true)]));
    assert_eq!(controls, "a\\nb\\u{1b}[31m: expected ubyte, found boolean");
}

#[test]
fn a_list_of_another_length_than_the_tuple_is_refused() {
    let three = || Value::List(vec![1_u8.into(), 2_u8.into(), 3_u8.into()]);
    assert_eq!(error::<(u8, u8)>(three()), "expected 2 items, found 3");
    assert_eq!(error::<(u8, u8, u8, u8)>(three()), "expected a tuple of size 4, found 3");
    assert_eq!(error::<[u8; 2]>(three()), "expected 2 items, found 3");
}

impl DescribedList for Line {
    const DESCRIPTOR: Descriptor = Descriptor::code(7);
}

#[test]
fn a_described_list_of_the_wrong_form_is_refused() {
    let described = |value: Value| Value::from(Described { descriptor: 7_u64.into(), value });
    assert_eq!(error::<AsList<Line>>(described("a".into())), "expected struct Line, found string");
    assert_eq!(error::<AsList<Line>>(described(map([("price", 1_u32)]))), "expected struct Line, found map");
    let long = vec![1_u32.into(), Value::Null];
    assert_eq!(error::<AsList<Line>>(described(long.into())), "expected a list of at most 1 fields, found 2");
    assert_eq!(
        error::<AsList<Line>>(described(vec!["a".into()].into())),
        "price: expected uint, found string"
    );
}

#[test]
fn what_has_no_fields_in_order_is_no_described_list() {
    #[derive(Serialize)]
    struct Flat {
        #[serde(flatten)]
        rest: BTreeMap<String, u8>,
    }
    impl DescribedList for Flat {
        const DESCRIPTOR: Descriptor = Descriptor::code(8);
    }
    let error = to_value(&AsList(Flat { rest: BTreeMap::new() })).unwrap_err();
    assert_eq!(error.to_string(), "expected a struct with known fields for a described list, found a map");
}

#[test]
fn a_map_with_the_same_key_twice_is_not_written() {
    struct Twice;
    impl Serialize for Twice {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map((0..20_u8).map(|n| (n % 10, n)))
        }
    }
    let error = to_value(&Twice).unwrap_err();
    assert_eq!(error.to_string(), "expected different keys in a map, found the same key twice");
}

#[test]
fn elements_of_several_types_are_no_array() {
    #[derive(Serialize)]
    struct Mixed(#[serde(with = "amqp_codec::serde::array")] (u8, bool));
    let error = to_value(&Mixed((1, true))).unwrap_err();
    assert_eq!(error.to_string(), "expected ubyte as every element of the array, found boolean");
}

#[test]
fn elements_with_several_descriptors_are_no_array() {
    #[derive(Serialize)]
    struct Mixed(#[serde(with = "amqp_codec::serde::array")] [Described; 2]);
    let described = |number: u8| Described { descriptor: number.into(), value: Value::Null };
    let error = to_value(&Mixed([described(1), described(2)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected the same descriptor for every element of the array, found another in front of described value"
    );
}

#[test]
fn octets_that_are_no_amqp_are_said_to_be_so() {
    let error = from_bytes::<u32>(Bytes::from_static(b"\x70\0")).unwrap_err();
    assert_eq!(error.as_decode_error().map(|error| error.offset()), Some(1));
    assert_eq!(error.to_string(), error.as_decode_error().unwrap().to_string());
}

#[derive(Debug, Serialize, Deserialize)]
struct Nested(Vec<Self>);

fn nested_lists(levels: usize) -> Value {
    (0..levels).fold(Value::List(vec![]), |inner, _| Value::List(vec![inner]))
}

#[test]
fn what_is_written_is_nested_no_deeper_than_a_decoder_takes() {
    let deep = |levels| (1..levels).fold(Nested(vec![]), |inner, _| Nested(vec![inner]));
    let octets = to_value(&deep(32)).unwrap().to_bytes();
    Value::from_bytes(octets).unwrap();
    let error = to_value(&deep(33)).unwrap_err();
    assert!(error.to_string().ends_with("expected less nesting, found one level too many"), "{error}");
}

#[test]
fn arrays_and_descriptors_count_as_on_the_wire() {
    let array = |inner: Value| {
        let kind = inner.element_type().unwrap();
        Value::Array(amqp_codec::types::Array::new(kind, vec![inner]).unwrap())
    };
    let described = |value| Value::from(Described { descriptor: 1_u64.into(), value });
    let arrays = (0..32).fold(Value::Null, |inner, _| array(inner));
    let descriptors = (0..32).fold(Value::Null, |inner, _| described(inner));
    for value in [arrays, descriptors] {
        assert_eq!(Value::from_bytes(to_value(&value).unwrap().to_bytes()).unwrap(), value);
        assert_eq!(from_value::<Value>(&value).unwrap(), value);
        assert!(to_value(&described(value)).is_err());
    }
}

#[test]
fn arrays_by_attribute_count_as_on_the_wire_too() {
    #[derive(Serialize)]
    struct Arrays(#[serde(with = "amqp_codec::serde::array")] Vec<Self>);
    let deep = |levels| (1..levels).fold(Arrays(vec![]), |inner, _| Arrays(vec![inner]));
    let octets = to_value(&deep(32)).unwrap().to_bytes();
    Value::from_bytes(octets).unwrap();
    let error = to_value(&deep(33)).unwrap_err();
    assert!(error.to_string().ends_with("expected less nesting, found one level too many"), "{error}");
}

#[test]
fn the_descriptors_of_an_array_count_as_on_the_wire() {
    let lists = |levels| (1..levels).fold(Value::List(vec![]), |inner, _| Value::List(vec![inner]));
    let array = |levels| {
        let described = |value| Value::from(Described { descriptor: 1_u64.into(), value });
        let elements = [described(described(lists(levels)))];
        #[derive(Serialize)]
        struct Elements(#[serde(with = "amqp_codec::serde::array")] [Value; 1]);
        to_value(&Elements(elements))
    };
    let whole = array(29).unwrap();
    assert_eq!(Value::from_bytes(whole.to_bytes()).unwrap(), whole);
    assert_eq!(to_value(&whole).unwrap(), whole);
    assert!(array(30).is_err());
    assert!(to_value(&[whole]).is_err());
    let many = amqp_codec::types::Array::new(amqp_codec::types::ElementType::Byte, vec![Value::Byte(1); 300]);
    assert!(to_value(&many.unwrap()).is_ok());
}

#[test]
fn what_is_read_is_nested_no_deeper_than_the_bound() {
    assert!(from_value::<Value>(&nested_lists(100)).is_ok());
    assert!(from_value::<Value>(&nested_lists(1_000)).is_err());
    assert!(from_value::<Nested>(&nested_lists(1_000)).is_err());
    assert!(from_value::<IgnoredAny>(&nested_lists(1_000)).is_ok());
    let error = from_value::<serde_json::Value>(&nested_lists(1_000)).unwrap_err();
    assert!(error.path().len() <= 3 * 128, "{}", error.path().len());
}

#[test]
fn a_type_that_never_ends_is_not_followed_for_ever() {
    #[derive(Debug, Deserialize)]
    struct Endless(#[expect(dead_code, reason = "only read")] Option<Box<Self>>);
    assert_eq!(error::<Endless>(1_u8), "expected less nesting, found one level too many");
}
