//! The feature `serde`: what Rust types become, that they come back equal, and which form each has on the wire.

use amqp_codec::messaging::{Body, Message};
use amqp_codec::serde::{
    AsList, DescribedList, Descriptor, Error, SymbolKeys, from_bytes, from_value, to_bytes, to_value,
};
use amqp_codec::types::{
    Array, Decimal32, Decimal64, Decimal128, Described, ElementType, Fields, Map, Symbol, Timestamp, Value,
};
use amqp_codec::{ByteString, Bytes, Decode, Encode, Uuid, arbitrary};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::{Duration, SystemTime};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    unit: (),
    nothing: Unit,
    flag: bool,
    small: (u8, i8, u16, i16),
    wide: (u32, i32),
    widest: (u64, i64),
    single: f32,
    double: f64,
    letter: char,
    text: String,
    octets: Bytes,
    #[serde(with = "amqp_codec::serde::binary")]
    plain_octets: Vec<u8>,
    list_of_octets: Vec<u8>,
    newtype: Newtype,
    pair: Pair,
    maybe: Option<Box<Self>>,
    lines: Vec<Line>,
    by_name: BTreeMap<String, Option<i64>>,
    by_number: BTreeMap<u32, Line>,
    external: Vec<External>,
    internal: Internal,
    adjacent: Adjacent,
    untagged: Untagged,
    flat: Flat,
    any: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Option<String>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u64, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    item: String,
    count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    Newtype(u64),
    Tuple(i8, String),
    Struct { x: Option<i32>, inner: Box<Option<Self>> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Internal {
    Unit,
    Newtype(Line),
    Struct { count: i64, lines: Vec<Line>, by_number: BTreeMap<u32, i16> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(Vec<u8>),
    Tuple(char, u64),
    Struct { letter: char },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
    Row(Vec<u16>),
    Struct { x: Option<u8>, letter: char },
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    id: u32,
    #[serde(flatten)]
    line: Line,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

fn text() -> impl Strategy<Value = String> {
    arbitrary::string().prop_map(|text| text.to_string())
}

/// Numbers that equal themselves; the bits of others are looked at where values are.
fn single() -> impl Strategy<Value = f32> {
    prop_oneof![proptest::num::f32::ANY, Just(f32::INFINITY), Just(f32::NEG_INFINITY)]
        .prop_filter("equals itself", |number| !number.is_nan())
}

fn double() -> impl Strategy<Value = f64> {
    prop_oneof![proptest::num::f64::ANY, Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
        .prop_filter("equals itself", |number| !number.is_nan())
}

fn unsigned() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), Just(1 << 63)]
}

fn signed() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -1_i64..2]
}

fn line() -> impl Strategy<Value = Line> + Clone {
    (text().boxed(), any::<u32>(), proptest::option::of(double().boxed()))
        .prop_map(|(item, count, price)| Line { item, count, price })
        .boxed()
}

fn external() -> BoxedStrategy<External> {
    let flat = prop_oneof![
        Just(External::Unit),
        unsigned().prop_map(External::Newtype),
        (any::<i8>(), text()).prop_map(|(number, text)| External::Tuple(number, text)),
    ]
    .boxed();
    let nested = (any::<Option<i32>>(), proptest::option::of(flat.clone()))
        .prop_map(|(x, inner)| External::Struct { x, inner: Box::new(inner) });
    prop_oneof![3 => flat, 1 => nested].boxed()
}

fn internal() -> impl Strategy<Value = Internal> {
    let by_number = btree_map(any::<u32>(), any::<i16>(), 0..3);
    prop_oneof![
        Just(Internal::Unit),
        line().prop_map(Internal::Newtype),
        (signed(), vec(line(), 0..3), by_number).prop_map(|(count, lines, by_number)| Internal::Struct {
            count,
            lines,
            by_number
        }),
    ]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        Just(Adjacent::Unit),
        vec(any::<u8>(), 0..4).prop_map(Adjacent::Newtype),
        (any::<char>(), unsigned()).prop_map(|(letter, number)| Adjacent::Tuple(letter, number)),
        any::<char>().prop_map(|letter| Adjacent::Struct { letter }),
    ]
}

fn untagged() -> impl Strategy<Value = Untagged> {
    prop_oneof![
        signed().prop_map(Untagged::Number),
        text().prop_map(Untagged::Text),
        vec(any::<u16>(), 0..4).prop_map(Untagged::Row),
        (any::<Option<u8>>(), any::<char>()).prop_map(|(x, letter)| Untagged::Struct { x, letter }),
        Just(Untagged::Nothing),
    ]
}

fn flat() -> impl Strategy<Value = Flat> {
    let rest = btree_map("[a-z]{6,8}", signed(), 0..3);
    (any::<u32>(), line(), rest).prop_map(|(id, line, rest)| Flat { id, line, rest })
}

// boxed parts keep their trees off the stack, which tests have little of
prop_compose! {
    fn shallow()(
        flag: bool,
        small: (u8, i8, u16, i16),
        wide: (u32, i32),
        widest in (unsigned(), signed()).boxed(),
        floats in (single(), double()).boxed(),
        letter: char,
        texts in (text(), proptest::option::of(text()), text()).boxed(),
        octets in (arbitrary::bytes(), vec(any::<u8>(), 0..4), vec(any::<u8>(), 0..4)).boxed(),
        lines in (vec(line(), 0..3)).boxed(),
        maps in (btree_map(text(), proptest::option::of(signed()), 0..3), btree_map(any::<u32>(), line(), 0..3)).boxed(),
        enums in (vec(external(), 0..3), internal(), adjacent(), untagged()).boxed(),
        flat in (flat()).boxed(),
        any in arbitrary::value(),
    ) -> Everything {
        Everything {
            unit: (),
            nothing: Unit,
            flag,
            small,
            wide,
            widest,
            single: floats.0,
            double: floats.1,
            letter,
            text: texts.0,
            octets: octets.0,
            plain_octets: octets.1,
            list_of_octets: octets.2,
            newtype: Newtype(texts.1),
            pair: Pair(widest.0, texts.2),
            maybe: None,
            lines,
            by_name: maps.0,
            by_number: maps.1,
            external: enums.0,
            internal: enums.1,
            adjacent: enums.2,
            untagged: enums.3,
            flat,
            any,
        }
    }
}

fn everything() -> impl Strategy<Value = Everything> {
    (shallow(), proptest::option::of(shallow()))
        .prop_map(|(outer, inner)| Everything { maybe: inner.map(Box::new), ..outer })
}

proptest! {
    #[test]
    fn derived_types_come_back_equal(value in everything()) {
        let as_value = to_value(&value).unwrap();
        prop_assert_eq!(&from_value::<Everything>(&as_value).unwrap(), &value);
        let octets = to_bytes(&value).unwrap();
        prop_assert_eq!(from_bytes::<Everything>(octets).unwrap(), value);
    }

    #[test]
    fn a_value_survives_serde_without_loss(value in arbitrary::value()) {
        let through = to_value(&value).unwrap();
        prop_assert_eq!(&through, &value);
        prop_assert_eq!(from_value::<Value>(&through).unwrap(), value);
    }

    #[test]
    fn a_value_survives_inside_other_types(value in arbitrary::value()) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Holder(Vec<(Option<Box<Value>>, External)>, HashMap<u8, Value>, Adjacently);

        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "t", content = "c")]
        enum Adjacently {
            Any { value: Value },
        }

        let some = (!value.is_null()).then(|| Box::new(value.clone()));
        let by_number = HashMap::from([(7, value.clone())]);
        let holder = Holder(vec![(some, External::Unit)], by_number, Adjacently::Any { value });
        prop_assert_eq!(from_value::<Holder>(&to_value(&holder).unwrap()).unwrap(), holder);
    }

    #[test]
    fn no_octets_and_no_value_make_it_panic(
        value in everything(),
        other in arbitrary::value(),
        damage in vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let mut octets = to_bytes(&value).unwrap().to_vec();
        for (at, octet) in damage {
            let at = at % octets.len();
            octets[at] = octet;
        }
        let octets = Bytes::from(octets);
        if let Ok(read) = from_bytes::<Everything>(octets.clone()) {
            prop_assert!(to_bytes(&read).is_ok());
        }
        drop(from_bytes::<serde_json::Value>(octets));
        drop((from_value::<Everything>(&other), from_value::<External>(&other), from_value::<Untagged>(&other)));
        drop((from_value::<AsList<Order>>(&other), from_value::<Array>(&other), from_value::<Flat>(&other)));
    }

    #[test]
    fn maps_by_symbols_come_back_equal(fields in arbitrary::fields()) {
        prop_assert_eq!(from_value::<Fields>(&to_value(&fields).unwrap()).unwrap(), fields);
    }
}

fn both_ways<T: Serialize + DeserializeOwned + PartialEq + Debug>(rust: T, amqp: impl Into<Value>) {
    let amqp = amqp.into();
    assert_eq!(to_value(&rust).as_ref(), Ok(&amqp));
    assert_eq!(from_value(&amqp), Ok(rust));
}

fn map<K: Into<Value>, V: Into<Value>>(entries: impl IntoIterator<Item = (K, V)>) -> Value {
    Value::Map(entries.into_iter().collect())
}

const fn symbol(text: &'static str) -> Symbol {
    Symbol::from_static(text)
}

#[test]
fn every_type_has_its_natural_form() {
    both_ways((), Value::Null);
    both_ways(Unit, Value::Null);
    both_ways(None::<u8>, Value::Null);
    both_ways(Some(7_u8), 7_u8);
    both_ways(u64::MAX, u64::MAX);
    both_ways(i64::MIN, i64::MIN);
    both_ways(f32::INFINITY, f32::INFINITY);
    both_ways(f64::NEG_INFINITY, f64::NEG_INFINITY);
    both_ways('ß', 'ß');
    both_ways("text\0".to_owned(), "text\0");
    both_ways(ByteString::from("text"), "text");
    both_ways(Bytes::from_static(b"octets"), Bytes::from_static(b"octets"));
    both_ways(Newtype(Some("inner".to_owned())), "inner");
    both_ways(Pair(1, "b".to_owned()), vec![1_u64.into(), "b".into()]);
    both_ways((1_u8, false), vec![1_u8.into(), false.into()]);
    both_ways(BTreeMap::from([(1_u32, 'a')]), map([(1_u32, 'a')]));
}

#[test]
fn a_nan_keeps_its_bits() {
    let odd = f64::from_bits(0x7ff8_0000_0000_0123);
    assert_eq!(to_value(&odd).unwrap(), Value::Double(odd));
    assert_eq!(from_value::<f64>(&Value::Double(odd)).unwrap().to_bits(), odd.to_bits());
}

#[test]
fn structs_are_maps_in_order_with_nulls_for_none() {
    #[derive(Serialize)]
    struct Order {
        zebra: u8,
        note: Option<u8>,
        apple: u8,
    }
    let order = to_value(&Order { zebra: 1, note: None, apple: 2 }).unwrap();
    assert_eq!(order, map([("zebra", Value::Ubyte(1)), ("note", Value::Null), ("apple", Value::Ubyte(2))]));
}

#[test]
fn an_absent_option_reads_as_none_as_a_null_does() {
    let absent = map([("item", Value::from("a")), ("count", 1_u32.into())]);
    let null = map([("item", Value::from("a")), ("count", 1_u32.into()), ("price", Value::Null)]);
    for value in [absent, null] {
        let line = from_value::<Line>(&value).unwrap();
        assert_eq!(line, Line { item: "a".to_owned(), count: 1, price: None });
    }
}

#[test]
fn the_codecs_own_types_are_themselves() {
    both_ways(symbol("queue"), symbol("queue"));
    both_ways(Timestamp(-1), Timestamp(-1));
    both_ways(Decimal32([1; 4]), Decimal32([1; 4]));
    both_ways(Decimal64([2; 8]), Decimal64([2; 8]));
    both_ways(Decimal128([3; 16]), Decimal128([3; 16]));
    let described = Described { descriptor: 7_u64.into(), value: Value::Null };
    both_ways(described.clone(), described);
    let array = Array::described(ElementType::Short, Some(symbol("d").into()), vec![1_i16.into()]).unwrap();
    both_ways(array.clone(), array);
    let empty = Array::new(ElementType::Uuid, vec![]).unwrap();
    both_ways(empty.clone(), empty);
    let keyed: Map =
        [(Value::from(1_u8), Value::from("a")), (symbol("b").into(), Value::Null)].into_iter().collect();
    both_ways(keyed.clone(), keyed);
}

#[test]
fn an_array_with_several_descriptors_keeps_them() {
    // array8 of size 9 with 1 element: descriptors 0x01 and 0x02, ubyte 7
    let octets = Bytes::from_static(b"\xe0\x09\x01\0\x53\x01\0\x53\x02\x50\x07");
    let value = Value::from_bytes(octets.clone()).unwrap();
    assert_eq!(value.as_array().unwrap().descriptors(), [1_u64.into(), 2_u64.into()]);
    assert_eq!(to_value(&from_value::<Value>(&value).unwrap()).unwrap().to_bytes(), octets);
}

#[test]
fn a_null_with_a_descriptor_is_something() {
    let described = Value::from(Described { descriptor: 1_u64.into(), value: Value::Null });
    both_ways(Some(described.clone()), described);
}

#[test]
fn variants_are_strings_or_maps_of_one_entry() {
    both_ways(External::Unit, "Unit");
    both_ways(External::Newtype(7), map([("Newtype", 7_u64)]));
    both_ways(External::Tuple(1, "b".to_owned()), map([("Tuple", vec![Value::Byte(1), "b".into()])]));
    let contents = map([("x", Value::Int(1)), ("inner", "Unit".into())]);
    both_ways(
        External::Struct { x: Some(1), inner: Box::new(Some(External::Unit)) },
        map([("Struct", contents)]),
    );
    assert_eq!(from_value::<External>(&symbol("Unit").into()).unwrap(), External::Unit);
    assert_eq!(from_value::<External>(&map([("Unit", Value::Null)])).unwrap(), External::Unit);
    let by_symbol = map([(symbol("Newtype"), 7_u8)]);
    assert_eq!(from_value::<External>(&by_symbol).unwrap(), External::Newtype(7));
}

#[test]
fn enums_tagged_inside_beside_and_not_at_all_have_the_forms_that_serde_documents() {
    both_ways(Internal::Unit, map([("kind", "Unit")]));
    both_ways(Adjacent::Unit, map([("t", "Unit")]));
    both_ways(
        Adjacent::Tuple('x', 1),
        map([("t", Value::from("Tuple")), ("c", vec!['x'.into(), 1_u64.into()].into())]),
    );
    both_ways(Untagged::Nothing, Value::Null);
    both_ways(Untagged::Text("a".to_owned()), "a");
}

#[test]
fn a_struct_decodes_from_a_map_with_symbols_as_keys() {
    // what a peer sends that writes its keys as symbols: map8 of 4, sym8 "item" str8 "apple", sym8 "count" smallulong 3
    let octets = Bytes::from_static(b"\xc1\x17\x04\xa3\x04item\xa1\x05apple\xa3\x05count\x53\x03");
    let line = from_bytes::<Line>(octets).unwrap();
    assert_eq!(line, Line { item: "apple".to_owned(), count: 3, price: None });
}

#[test]
fn keys_become_symbols_at_one_level_only() {
    #[derive(Serialize)]
    struct Outer {
        inner: BTreeMap<String, u8>,
    }
    let outer = SymbolKeys(Outer { inner: BTreeMap::from([("a".to_owned(), 1)]) });
    assert_eq!(to_value(&outer).unwrap(), map([(symbol("inner"), map([("a", 1_u8)]))]));
    let keyed = SymbolKeys(BTreeMap::from([("é", 1_u8)]));
    assert_eq!(
        to_value(&keyed).unwrap_err().to_string(),
        "expected symbol in ASCII, found another character"
    );
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u32,
    note: Option<String>,
    #[serde(default)]
    priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f32>,
}

impl DescribedList for Order {
    const DESCRIPTOR: Descriptor = Descriptor::code(0x1234_0000_0001).or_symbol("example:order:list");
}

fn order(fields: Vec<Value>) -> Value {
    Described { descriptor: 0x1234_0000_0001_u64.into(), value: Value::List(fields) }.into()
}

#[test]
fn a_described_list_has_its_fields_in_order_without_the_nulls_at_its_end() {
    let full = Order { id: 7, note: Some("n".to_owned()), priority: 4, price: Some(1.5) };
    let fields = vec![7_u32.into(), "n".into(), 4_u8.into(), 1.5_f32.into()];
    both_ways(AsList(full), order(fields));
    let short = Order { id: 7, note: None, priority: 4, price: None };
    both_ways(AsList(short), order(vec![7_u32.into(), Value::Null, 4_u8.into()]));
}

#[test]
fn absent_and_null_fields_of_a_described_list_are_defaults() {
    let expected = AsList(Order { id: 7, note: None, priority: 0, price: None });
    for fields in [vec![7_u32.into()], vec![7_u32.into(), Value::Null, Value::Null, Value::Null]] {
        assert_eq!(from_value::<AsList<Order>>(&order(fields)).unwrap(), expected);
    }
    let error = from_value::<AsList<Order>>(&order(vec![])).unwrap_err();
    assert_eq!(error.to_string(), "expected field `id`, found none");
}

#[test]
fn a_described_list_is_known_by_either_descriptor_and_by_no_other() {
    let with = |descriptor: Value| {
        let value = Described { descriptor, value: Value::List(vec![7_u32.into()]) }.into();
        from_value::<AsList<Order>>(&value)
    };
    assert_eq!(with(symbol("example:order:list").into()).unwrap().id, 7);
    assert_eq!(
        with(symbol("example:other:list").into()).unwrap_err().to_string(),
        "expected descriptor example:order:list or 0x0000123400000001, found example:other:list"
    );
    assert!(with(Value::Ulong(1)).is_err());
    let bare = from_value::<AsList<Order>>(&Value::List(vec![7_u32.into()])).unwrap_err();
    assert_eq!(bare.to_string(), "expected described value, found list");
}

#[test]
fn a_described_list_stands_in_fields_and_options_and_vectors() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        #[serde(with = "amqp_codec::serde::described_list")]
        first: Order,
        more: Vec<AsList<Order>>,
        last: Option<AsList<Order>>,
    }
    let one = |id| Order { id, note: None, priority: 1, price: Some(0.5) };
    let outer = Outer { first: one(1), more: vec![AsList(one(2))], last: Some(AsList(one(3))) };
    let value = to_value(&outer).unwrap();
    let fields = |id: u32| order(vec![id.into(), Value::Null, 1_u8.into(), 0.5_f32.into()]);
    assert_eq!(value, map([("first", fields(1)), ("more", vec![fields(2)].into()), ("last", fields(3))]));
    assert_eq!(from_value::<Outer>(&value).unwrap(), outer);
}

#[test]
fn described_lists_stand_in_arrays_which_share_the_descriptor() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Orders {
        #[serde(with = "amqp_codec::serde::array")]
        all: Vec<AsList<Order>>,
    }
    let one = |id| AsList(Order { id, note: None, priority: 4, price: None });
    let fields = |id: u32| Value::List(vec![id.into(), Value::Null, 4_u8.into()]);
    let descriptor = Some(Value::Ulong(0x1234_0000_0001));
    let array = Array::described(ElementType::List, descriptor, vec![fields(1), fields(2)]).unwrap();
    both_ways(Orders { all: vec![one(1), one(2)] }, map([("all", array.clone())]));
    // any value is told what describes it, and who asks for none does not see it
    assert_eq!(
        from_value(&array.clone().into()),
        Ok(vec![
            order(vec![1_u32.into(), Value::Null, 4_u8.into()]),
            order(vec![2_u32.into(), Value::Null, 4_u8.into()])
        ])
    );
    assert_eq!(from_value(&array.into()), Ok(vec![(1_u8, (), 4_u8), (2, (), 4)]));
}

#[test]
fn nulls_with_a_descriptor_in_an_array_are_something() {
    let nulls = Array::described(ElementType::Null, Some(Value::Ulong(1)), vec![Value::Null]).unwrap();
    let described = Value::from(Described { descriptor: Value::Ulong(1), value: Value::Null });
    assert_eq!(from_value(&nulls.into()), Ok(vec![Some(described)]));
}

#[test]
fn tuple_structs_and_unit_structs_are_described_lists_too() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Point(i8, Option<i8>, Option<i8>);
    impl DescribedList for Point {
        const DESCRIPTOR: Descriptor = Descriptor::symbol("point");
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nothing;
    impl DescribedList for Nothing {
        const DESCRIPTOR: Descriptor = Descriptor::symbol("nothing");
    }
    let described =
        |descriptor, fields| Described { descriptor: symbol(descriptor).into(), value: Value::List(fields) };
    both_ways(AsList(Point(1, None, None)), described("point", vec![1_i8.into()]));
    both_ways(AsList(Nothing), described("nothing", vec![]));
}

#[test]
fn attributes_choose_types_that_serde_does_not_know() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Chosen {
        #[serde(with = "amqp_codec::serde::symbol")]
        kind: String,
        #[serde(with = "amqp_codec::serde::symbol::option")]
        other: Option<String>,
        #[serde(with = "amqp_codec::serde::timestamp")]
        at: SystemTime,
        #[serde(with = "amqp_codec::serde::timestamp::option")]
        until: Option<SystemTime>,
        #[serde(with = "amqp_codec::serde::uuid")]
        id: Uuid,
        #[serde(with = "amqp_codec::serde::uuid::option", default)]
        parent: Option<Uuid>,
        #[serde(with = "amqp_codec::serde::binary")]
        key: [u8; 2],
        #[serde(with = "amqp_codec::serde::array")]
        volts: Vec<f32>,
        #[serde(with = "amqp_codec::serde::array")]
        none: Vec<u8>,
        as_text: Uuid,
    }
    let id = Uuid::from_u128(7);
    let array = |kind, elements| Value::Array(Array::new(kind, elements).unwrap());
    let chosen = Chosen {
        kind: "queue".to_owned(),
        other: None,
        at: SystemTime::UNIX_EPOCH - Duration::from_millis(1),
        until: Some(SystemTime::UNIX_EPOCH),
        id,
        parent: Some(id),
        key: [1, 2],
        volts: vec![1.0, 2.0],
        none: vec![],
        as_text: id,
    };
    both_ways(
        chosen,
        map([
            ("kind", symbol("queue").into()),
            ("other", Value::Null),
            ("at", Timestamp(-1).into()),
            ("until", Timestamp(0).into()),
            ("id", id.into()),
            ("parent", id.into()),
            ("key", Bytes::from_static(&[1, 2]).into()),
            ("volts", array(ElementType::Float, vec![1.0_f32.into(), 2.0_f32.into()])),
            ("none", array(ElementType::Null, vec![])),
            ("as_text", "00000000-0000-0000-0000-000000000007".into()),
        ]),
    );
}

#[test]
fn any_integer_type_that_holds_the_value_is_read() {
    for value in [200_u8.into(), 200_u64.into(), 200_i16.into(), Value::Long(200), Timestamp(200).into()] {
        assert_eq!(from_value::<u8>(&value).unwrap(), 200);
        assert_eq!(from_value::<i64>(&value).unwrap(), 200);
        assert_eq!(from_value::<f64>(&value).unwrap(), 200.0);
    }
    assert_eq!(from_value::<f32>(&Value::Double(1.5)).unwrap(), 1.5);
    assert_eq!(from_value::<f64>(&Value::Float(1.5)).unwrap(), 1.5);
}

#[test]
fn octets_are_read_from_binaries_and_lists_and_arrays() {
    let numbers = vec![Value::Ubyte(1), Value::Ubyte(2)];
    let array = Array::new(ElementType::Ubyte, numbers.clone()).unwrap();
    for value in [Value::from(Bytes::from_static(&[1, 2])), numbers.into(), array.into()] {
        assert_eq!(from_value::<Vec<u8>>(&value).unwrap(), [1, 2]);
        assert_eq!(from_value::<Bytes>(&value).unwrap(), [1_u8, 2][..]);
    }
}

#[test]
fn texts_and_octets_are_borrowed() {
    #[derive(Deserialize)]
    struct Borrowing<'a> {
        text: &'a str,
        name: &'a str,
        octets: &'a [u8],
    }
    let value = map([
        ("text", Value::from("text")),
        ("name", symbol("name").into()),
        ("octets", Bytes::from_static(b"o").into()),
    ]);
    let borrowing = from_value::<Borrowing<'_>>(&value).unwrap();
    assert_eq!((borrowing.text, borrowing.name, borrowing.octets), ("text", "name", &b"o"[..]));
}

#[test]
fn a_descriptor_is_ignored_by_those_who_do_not_ask() {
    let described = |value: Value| Value::from(Described { descriptor: 1_u64.into(), value });
    assert_eq!(from_value::<u8>(&described(described(7_u8.into()))).unwrap(), 7);
    let line = described(map([("item", described("a".into())), ("count", 1_u32.into())]));
    assert_eq!(from_value::<Line>(&line).unwrap().item, "a");
}

#[test]
fn a_message_carries_a_rust_type() {
    let line = Line { item: "apple".to_owned(), count: 3, price: Some(0.5) };
    let message = Message::value_of(&line).unwrap();
    let received = Message::from_bytes(message.to_bytes()).unwrap();
    assert_eq!(received.body.deserialize::<Line>().unwrap(), line);
}

#[test]
fn a_sequence_is_the_items_of_all_its_sections() {
    let body = Body::Sequence(vec![vec![1_u8.into(), 2_i64.into()], vec![], vec![Value::Long(3)]]);
    assert_eq!(body.deserialize::<Vec<u16>>().unwrap(), [1, 2, 3]);
    assert_eq!(body.deserialize::<(u8, u8, u8)>().unwrap(), (1, 2, 3));
    assert_eq!(
        body.deserialize::<Value>().unwrap(),
        Value::List(vec![1_u8.into(), 2_i64.into(), Value::Long(3)])
    );
    let error = body.deserialize::<Vec<bool>>().unwrap_err();
    assert_eq!(error.to_string(), "[0]: expected a boolean, found integer 1");
}

#[test]
fn data_is_no_amqp_and_no_body_is_null() {
    let error = Body::Data(Bytes::from_static(b"{}").into()).deserialize::<Value>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected a body of AMQP values, found data, whose encoding only its sender knows (see the content-type)"
    );
    assert_eq!(Body::Empty.deserialize::<Option<Line>>().unwrap(), None);
    assert!(Body::Empty.deserialize::<Line>().is_err());
}

#[test]
fn other_formats_see_the_natural_form() {
    let value = map([
        ("symbol", symbol("queue").into()),
        ("at", Timestamp(5).into()),
        ("id", Uuid::nil().into()),
        ("items", Value::List(vec![1_u8.into(), Value::Null])),
    ]);
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(
        json,
        r#"{"symbol":"queue","at":5,"id":"00000000-0000-0000-0000-000000000000","items":[1,null]}"#
    );
    let read: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read.as_map().unwrap().get("at"), Some(&Value::Ulong(5)));
    let array = Array::of_symbols([symbol("a")]);
    let json = serde_json::to_string(&array).unwrap();
    assert_eq!(json, r#"{"type":"symbol","descriptors":[],"elements":["a"]}"#);
}

#[test]
fn errors_can_be_sent_to_other_threads() {
    fn is_send_and_sync<T: Send + Sync + 'static>() {}
    is_send_and_sync::<Error>();
}

#[test]
fn a_field_that_is_skipped_both_ways_has_no_place_in_a_described_list_and_one_left_out_keeps_its_place() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Skipping {
        first: u8,
        #[serde(skip)]
        cache: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        second: Option<u8>,
        third: u8,
    }
    impl DescribedList for Skipping {
        const DESCRIPTOR: Descriptor = Descriptor::code(9);
    }
    let value = to_value(&AsList(Skipping { first: 1, cache: 9, second: None, third: 3 })).unwrap();
    let Value::Described(described) = &value else { panic!("{value:?} is described") };
    assert_eq!(described.value, Value::List(vec![1_u8.into(), Value::Null, 3_u8.into()]));
    let AsList(read) = from_value::<AsList<Skipping>>(&value).unwrap();
    assert_eq!(read, Skipping { first: 1, cache: 0, second: None, third: 3 });
}
