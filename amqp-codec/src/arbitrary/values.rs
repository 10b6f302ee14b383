//! Values of every type.

use crate::types::{
    Array, Decimal32, Decimal64, Decimal128, Described, ElementType, Fields, Map, Symbol, Timestamp, Value,
};
use crate::{ByteString, Bytes, Uuid};
use proptest::collection::vec;
use proptest::prelude::*;

/// Levels of lists, maps, arrays and descriptors in a value.
const DEPTH: u32 = 4;

/// Octets: mostly a few, sometimes around the 255 where the encoding changes.
pub fn bytes() -> impl Strategy<Value = Bytes> + Clone {
    prop_oneof![
        8 => vec(any::<u8>(), 0..20),
        1 => vec(any::<u8>(), 253..258),
    ]
    .prop_map(Bytes::from)
}

/// Text of any characters, U+0000 too: mostly short, sometimes around 255 octets.
pub fn string() -> impl Strategy<Value = ByteString> + Clone {
    prop_oneof![
        8 => vec(any::<char>(), 0..12),
        1 => vec(prop_oneof![Just('a'), Just('é')], 125..257),
    ]
    .prop_map(|chars| ByteString::from(String::from_iter(chars)))
}

/// Symbols: mostly short, sometimes around 255 octets.
pub fn symbol() -> impl Strategy<Value = Symbol> + Clone {
    prop_oneof![
        8 => vec(0_u8..128, 0..16),
        1 => vec(0_u8..128, 254..258),
    ]
    .prop_map(|octets| octets.into_iter().map(char::from).collect::<String>())
    .prop_map(|text| Symbol::try_from(text).unwrap_or_default())
}

/// Integers whose encodings differ: near 0, near the limits of an octet, anywhere.
fn integer<T: Arbitrary + TryFrom<i16> + Clone + std::fmt::Debug + Default + 'static>()
-> impl Strategy<Value = T> + Clone {
    prop_oneof![any::<T>(), (-130_i16..260).prop_map(|number| T::try_from(number).unwrap_or_default()),]
        .boxed()
}

/// A value without parts, of this type; none where the type has parts.
fn of_type(element: ElementType) -> Option<BoxedStrategy<Value>> {
    Some(match element {
        ElementType::Null => Just(Value::Null).boxed(),
        ElementType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        ElementType::Ubyte => any::<u8>().prop_map(Value::Ubyte).boxed(),
        ElementType::Ushort => any::<u16>().prop_map(Value::Ushort).boxed(),
        ElementType::Uint => integer().prop_map(Value::Uint).boxed(),
        ElementType::Ulong => integer().prop_map(Value::Ulong).boxed(),
        ElementType::Byte => any::<i8>().prop_map(Value::Byte).boxed(),
        ElementType::Short => any::<i16>().prop_map(Value::Short).boxed(),
        ElementType::Int => integer().prop_map(Value::Int).boxed(),
        ElementType::Long => integer().prop_map(Value::Long).boxed(),
        ElementType::Float => any::<u32>().prop_map(|bits| Value::Float(f32::from_bits(bits))).boxed(),
        ElementType::Double => any::<u64>().prop_map(|bits| Value::Double(f64::from_bits(bits))).boxed(),
        ElementType::Decimal32 => any::<[u8; 4]>().prop_map(|octets| Decimal32(octets).into()).boxed(),
        ElementType::Decimal64 => any::<[u8; 8]>().prop_map(|octets| Decimal64(octets).into()).boxed(),
        ElementType::Decimal128 => any::<[u8; 16]>().prop_map(|octets| Decimal128(octets).into()).boxed(),
        ElementType::Char => any::<char>().prop_map(Value::Char).boxed(),
        ElementType::Timestamp => any::<i64>().prop_map(|millis| Timestamp(millis).into()).boxed(),
        ElementType::Uuid => any::<u128>().prop_map(|bits| Uuid::from_u128(bits).into()).boxed(),
        ElementType::Binary => bytes().prop_map(Value::Binary).boxed(),
        ElementType::String => string().prop_map(Value::String).boxed(),
        ElementType::Symbol => symbol().prop_map(Value::Symbol).boxed(),
        ElementType::List | ElementType::Map | ElementType::Array => return None,
    })
}

const SCALARS: [ElementType; 21] = [
    ElementType::Null,
    ElementType::Boolean,
    ElementType::Ubyte,
    ElementType::Ushort,
    ElementType::Uint,
    ElementType::Ulong,
    ElementType::Byte,
    ElementType::Short,
    ElementType::Int,
    ElementType::Long,
    ElementType::Float,
    ElementType::Double,
    ElementType::Decimal32,
    ElementType::Decimal64,
    ElementType::Decimal128,
    ElementType::Char,
    ElementType::Timestamp,
    ElementType::Uuid,
    ElementType::Binary,
    ElementType::String,
    ElementType::Symbol,
];

/// A value of any type that has no parts.
pub fn scalar() -> BoxedStrategy<Value> {
    proptest::strategy::Union::new(SCALARS.iter().copied().filter_map(of_type)).boxed()
}

/// An array of these elements; without those that do not fit, which generators do not make.
fn array_of(element: ElementType, descriptor: Option<Value>, elements: Vec<Value>) -> Array {
    let fitting = elements.into_iter().filter(|value| value.element_type() == Some(element)).collect();
    Array::described(element, descriptor, fitting).unwrap_or_else(|_| Array::of_symbols([]))
}

/// A descriptor: a ulong or a symbol, now and then of another type.
fn descriptor() -> BoxedStrategy<Value> {
    prop_oneof![4 => integer().prop_map(Value::Ulong), 4 => symbol().prop_map(Value::Symbol), 1 => scalar()]
        .boxed()
}

/// An array of values without parts, described or not, empty or not.
pub fn array() -> BoxedStrategy<Array> {
    let of_scalars = proptest::strategy::Union::new(SCALARS.iter().copied().filter_map(|element| {
        let elements = vec(of_type(element)?, 0..6);
        let parts = (proptest::option::weighted(0.2, descriptor()), elements);
        Some(parts.prop_map(move |(descriptor, elements)| array_of(element, descriptor, elements)).boxed())
    }));
    of_scalars.boxed()
}

fn array_of_parts(inner: &BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let list = vec(inner.clone(), 0..4).prop_map(Value::List);
    let map = entries(inner).prop_map(Value::Map);
    let described = || proptest::option::weighted(0.2, descriptor());
    prop_oneof![
        (described(), vec(list, 0..4)).prop_map(|(by, elements)| array_of(ElementType::List, by, elements)),
        (described(), vec(map, 0..4)).prop_map(|(by, elements)| array_of(ElementType::Map, by, elements)),
        (described(), vec(array().prop_map(Value::Array), 0..4)).prop_map(|(by, elements)| array_of(
            ElementType::Array,
            by,
            elements
        )),
    ]
    .prop_map(Value::Array)
    .boxed()
}

fn entries(inner: &BoxedStrategy<Value>) -> BoxedStrategy<Map> {
    vec((scalar(), inner.clone()), 0..5).prop_map(Map::from_iter).boxed()
}

/// A value of any type, nested or not.
pub fn value() -> BoxedStrategy<Value> {
    nested(DEPTH)
}

/// A value with so many levels. The strategy of every level is made once and shared, which is much faster than
/// `prop_recursive`, which makes them anew for every value.
fn nested(levels: u32) -> BoxedStrategy<Value> {
    (0..levels).fold(scalar(), |inner, _| {
        let described = (descriptor(), inner.clone())
            .prop_map(|(descriptor, value)| Described { descriptor, value }.into());
        prop_oneof![
            8 => scalar(),
            2 => vec(inner.clone(), 0..6).prop_map(Value::List),
            2 => entries(&inner).prop_map(Value::Map),
            1 => array().prop_map(Value::Array),
            1 => array_of_parts(&inner),
            1 => described,
        ]
        .boxed()
    })
}

/// A map with keys without parts.
pub fn map() -> BoxedStrategy<Map> {
    entries(&value())
}

/// A map by symbols.
pub fn fields() -> BoxedStrategy<Fields> {
    vec((symbol(), nested(2)), 0..4).prop_map(Fields::from_iter).boxed()
}
