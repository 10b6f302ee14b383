//! Arrays (§1.6.24): elements that share one constructor.

use super::Value;
use super::constructor::{ElementType, Layout, code, lookup};
use super::primitive::{ARRAY, Parsed, wrong_code};
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, compound_is_narrow, compound_len, put_compound, put_size_and_count, wire_u32};
use crate::error::{DecodeError, Found};
use bytes::{BufMut, BytesMut};
use nom::Parser;
use nom::bytes::complete::take;
use std::hash::{Hash, Hasher};

/// Elements of one type, with the same descriptor or none. An empty array has a type too, and keeps it.
///
/// ```
/// use amqp_codec::types::{Array, ElementType, Symbol, Value};
///
/// let array = Array::of_symbols([Symbol::from_static("queue")]);
/// assert_eq!(array.element_type(), ElementType::Symbol);
/// assert!(Array::new(ElementType::Uint, vec![Value::Int(1)]).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Array {
    element_type: ElementType,
    /// The format code of the elements that was received, which is no part of the value.
    received: Option<u8>,
    descriptors: Descriptors,
    elements: Vec<Value>,
}

/// What all elements are described by, outermost first: nearly always nothing, so they take a pointer and no more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Descriptors(Option<Box<Stack>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stack(Vec<Value>);

impl Descriptors {
    fn as_slice(&self) -> &[Value] {
        self.0.as_ref().map_or(&[], |stack| &stack.0)
    }
}

impl FromIterator<Value> for Descriptors {
    fn from_iter<T: IntoIterator<Item = Value>>(descriptors: T) -> Self {
        let descriptors: Vec<_> = descriptors.into_iter().collect();
        Self((!descriptors.is_empty()).then(|| Box::new(Stack(descriptors))))
    }
}

/// An element is of another type than the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("element {index} of the array is not of type {}", .expected.name())]
#[non_exhaustive]
pub struct ArrayError {
    /// Which one, from 0.
    pub index: usize,
    /// The array's type.
    pub expected: ElementType,
}

impl Array {
    /// An array of these elements.
    ///
    /// # Errors
    /// If one is of another type.
    pub fn new(element_type: ElementType, elements: Vec<Value>) -> Result<Self, ArrayError> {
        Self::described(element_type, None, elements)
    }

    /// An array whose elements all have this descriptor; they are given without it.
    ///
    /// # Errors
    /// If an element is of another type.
    pub fn described(
        element_type: ElementType,
        descriptor: Option<Value>,
        elements: Vec<Value>,
    ) -> Result<Self, ArrayError> {
        Self::with_descriptors(element_type, descriptor.into_iter().collect(), elements)
    }

    /// An array whose elements all have these descriptors, outermost first.
    pub(crate) fn with_descriptors(
        element_type: ElementType,
        descriptors: Vec<Value>,
        elements: Vec<Value>,
    ) -> Result<Self, ArrayError> {
        match elements.iter().position(|element| element.element_type() != Some(element_type)) {
            Some(index) => Err(ArrayError { index, expected: element_type }),
            None => Ok(Self {
                element_type,
                received: None,
                descriptors: descriptors.into_iter().collect(),
                elements,
            }),
        }
    }

    /// An array of symbols.
    #[must_use]
    pub fn of_symbols(symbols: impl IntoIterator<Item = super::Symbol>) -> Self {
        let elements = symbols.into_iter().map(Value::Symbol).collect();
        Self {
            element_type: ElementType::Symbol,
            received: None,
            descriptors: Descriptors::default(),
            elements,
        }
    }

    /// The type of the elements.
    #[must_use]
    pub const fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The format code of the elements: the one that was received, else the one that will be sent. Arrays that differ
    /// in nothing else are equal, and are encoded alike.
    #[must_use]
    pub fn constructor(&self) -> u8 {
        self.received.unwrap_or_else(|| self.element_type.array_code(self.measure().narrow))
    }

    /// The descriptor that all elements share (the outermost, if there are several).
    #[must_use]
    pub fn descriptor(&self) -> Option<&Value> {
        self.descriptors().first()
    }

    /// All descriptors that the elements share, outermost first.
    #[must_use]
    pub fn descriptors(&self) -> &[Value] {
        self.descriptors.as_slice()
    }

    /// The elements, without their descriptor.
    #[must_use]
    pub fn elements(&self) -> &[Value] {
        &self.elements
    }

    /// The elements, without their descriptor.
    #[must_use]
    pub fn into_elements(self) -> Vec<Value> {
        self.elements
    }

    /// An array whose format code was taken.
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let compound = input.enter(code, ARRAY)?;
        let mut descriptors = Vec::new();
        let head =
            ArrayHead::decode(input, |input| Value::decode(input).map(|value| descriptors.push(value)))?;
        head.charge(compound.count, input)?;
        let elements = decode_elements(head.code, compound.count, input)?;
        head.ascend(input);
        input.leave(&compound)?;
        Ok(Self::of_received(head.code, head.element_type, descriptors, elements))
    }

    /// An array that came with this format code, which is one of the type, as all elements are.
    pub(super) fn of_received(
        code: u8,
        element_type: ElementType,
        descriptors: impl IntoIterator<Item = Value>,
        elements: Vec<Value>,
    ) -> Self {
        Self { element_type, received: Some(code), descriptors: descriptors.into_iter().collect(), elements }
    }

    /// How the elements will be laid out. Looks at every element once, so that arrays of arrays of arrays are measured
    /// in linear time.
    fn measure(&self) -> Measure {
        let (contents, narrow) = match lookup(self.element_type.array_code(true)) {
            Some((_, Layout::Fixed(width))) => (width * self.elements.len(), true),
            _ => self
                .elements
                .iter()
                .map(contents_len)
                .fold((0, true), |(sum, narrow), (len, fits)| (sum + len, narrow && fits)),
        };
        let header = match (self.element_type, narrow) {
            (ElementType::Binary | ElementType::String | ElementType::Symbol, true) => 1,
            (ElementType::Binary | ElementType::String | ElementType::Symbol, false) => 4,
            (ElementType::List | ElementType::Map | ElementType::Array, true) => 2,
            (ElementType::List | ElementType::Map | ElementType::Array, false) => 8,
            _ => 0,
        };
        let descriptors: usize =
            self.descriptors().iter().map(|descriptor| 1 + descriptor.encoded_len()).sum();
        Measure { narrow, octets: descriptors + 1 + self.elements.len() * header + contents }
    }

    fn put_items(&self, narrow: bool, out: &mut BytesMut) {
        for descriptor in self.descriptors() {
            out.put_u8(code::DESCRIBED);
            descriptor.encode(out);
        }
        out.put_u8(self.element_type.array_code(narrow));
        for element in &self.elements {
            put_data(element, narrow, out);
        }
    }
}

/// What stands in front of the elements of an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct ArrayHead {
    /// The format code that all elements share.
    pub(super) code: u8,
    pub(super) element_type: ElementType,
    layout: Layout,
    /// How many levels of descriptors there are.
    depth: usize,
}

impl ArrayHead {
    /// Reads constructor and descriptors, each of which `descriptor` reads. The decoder stays deeper by each of them.
    pub(super) fn decode<'a>(
        input: &mut Decoder<'a>,
        mut descriptor: impl FnMut(&mut Decoder<'a>) -> Result<(), DecodeError>,
    ) -> Result<Self, DecodeError> {
        let mut depth = 0;
        let mut code = input.code()?;
        while code == code::DESCRIBED {
            input.descend()?;
            depth += 1;
            descriptor(input)?;
            code = input.code()?;
        }
        match lookup(code) {
            Some((element_type, layout)) => Ok(Self { code, element_type, layout, depth }),
            None => input.run(|data| wrong_code(data, "an element constructor", code)),
        }
    }

    /// Accounts for so many elements, before room is made for them.
    pub(super) fn charge(&self, count: usize, input: &mut Decoder<'_>) -> Result<(), DecodeError> {
        // An element takes at least so many octets.
        let width = match self.layout {
            Layout::Fixed(width) => width,
            Layout::Variable { wide: false } => 1,
            Layout::Variable { wide: true } => 4,
            Layout::Compound { wide: false } | Layout::Array { wide: false } => 2,
            Layout::Compound { wide: true } | Layout::Array { wide: true } => 8,
        };
        if width == 0 {
            input.charge_zero_width(count)
        } else if count > input.remaining() / width {
            let found = Found::Number(u64::try_from(count).unwrap_or(u64::MAX));
            Err(input.error("a count of elements that are there", found))
        } else {
            input.charge_items(count)
        }
    }

    /// The width of elements that are legal whatever is in them, and wherever; none where they must be looked at.
    pub(super) fn width_of_any_content(&self) -> Option<usize> {
        match (self.layout, self.code) {
            (_, code::BOOLEAN | code::CHAR | code::LIST0) => None,
            (Layout::Fixed(width), _) => Some(width),
            _ => None,
        }
    }

    /// Leaves the levels of the descriptors.
    pub(super) fn ascend(&self, input: &mut Decoder<'_>) {
        for _ in 0..self.depth {
            input.ascend();
        }
    }
}

/// The elements of an array. Numbers are read in one go, because the octets that they need are known to be there.
fn decode_elements(code: u8, count: usize, input: &mut Decoder<'_>) -> Result<Vec<Value>, DecodeError> {
    match code {
        code::USHORT => input.run(|data| numbers(count, data, |octets| u16::from_be_bytes(octets).into())),
        code::UINT => input.run(|data| numbers(count, data, |octets| u32::from_be_bytes(octets).into())),
        code::ULONG => input.run(|data| numbers(count, data, |octets| u64::from_be_bytes(octets).into())),
        code::SHORT => input.run(|data| numbers(count, data, |octets| i16::from_be_bytes(octets).into())),
        code::INT => input.run(|data| numbers(count, data, |octets| i32::from_be_bytes(octets).into())),
        code::LONG => input.run(|data| numbers(count, data, |octets| i64::from_be_bytes(octets).into())),
        code::FLOAT => input.run(|data| numbers(count, data, |octets| f32::from_be_bytes(octets).into())),
        code::DOUBLE => input.run(|data| numbers(count, data, |octets| f64::from_be_bytes(octets).into())),
        _ => {
            let mut elements = Vec::with_capacity(count);
            for _ in 0..count {
                elements.push(Value::decode_data(code, input)?);
            }
            Ok(elements)
        }
    }
}

fn numbers<const WIDTH: usize>(
    count: usize,
    data: &[u8],
    number: impl Fn([u8; WIDTH]) -> Value,
) -> Parsed<'_, Vec<Value>> {
    let (rest, octets) = take(count.saturating_mul(WIDTH)).parse(data)?;
    Ok((rest, octets.as_chunks().0.iter().map(|octets| number(*octets)).collect()))
}

/// Octets of values in a row.
pub(crate) fn items_len(items: &[Value]) -> usize {
    items.iter().map(Encode::encoded_len).sum()
}

/// How the elements of an array are laid out.
#[derive(Clone, Copy, Debug)]
struct Measure {
    /// Whether every element fits the form with a size of one octet.
    narrow: bool,
    /// Octets of descriptors, constructor and elements.
    octets: usize,
}

/// Octets of an element without format code, size and count, and whether it fits the form with a size of one octet.
fn contents_len(element: &Value) -> (usize, bool) {
    let variable = |len: usize| (len, len <= 255);
    let compound = |items: usize, count: usize| (items, compound_is_narrow(items, count));
    match element {
        Value::Null | Value::Described(_) => (0, true),
        Value::Bool(_) | Value::Ubyte(_) | Value::Byte(_) => (1, true),
        Value::Ushort(_) | Value::Short(_) => (2, true),
        Value::Uint(_) | Value::Int(_) | Value::Float(_) | Value::Decimal32(_) | Value::Char(_) => (4, true),
        Value::Ulong(_) | Value::Long(_) | Value::Double(_) | Value::Decimal64(_) | Value::Timestamp(_) => {
            (8, true)
        }
        Value::Decimal128(_) | Value::Uuid(_) => (16, true),
        Value::Binary(bytes) => variable(bytes.len()),
        Value::String(text) => variable(text.len()),
        Value::Symbol(symbol) => variable(symbol.as_str().len()),
        Value::List(items) => compound(items_len(items), items.len()),
        Value::Map(map) => compound(map.items_len(), map.len() * 2),
        Value::Array(array) => compound(array.measure().octets, array.elements.len()),
    }
}

/// Writes an element without its format code.
fn put_data(element: &Value, narrow: bool, out: &mut BytesMut) {
    match element {
        // Elements have no descriptor of their own: `Array::described` refuses them.
        Value::Null | Value::Described(_) => {}
        Value::Bool(value) => out.put_u8(u8::from(*value)),
        Value::Ubyte(value) => out.put_u8(*value),
        Value::Ushort(value) => out.put_u16(*value),
        Value::Uint(value) => out.put_u32(*value),
        Value::Ulong(value) => out.put_u64(*value),
        Value::Byte(value) => out.put_i8(*value),
        Value::Short(value) => out.put_i16(*value),
        Value::Int(value) => out.put_i32(*value),
        Value::Long(value) => out.put_i64(*value),
        Value::Float(value) => out.put_f32(*value),
        Value::Double(value) => out.put_f64(*value),
        Value::Decimal32(value) => out.put_slice(&value.0),
        Value::Decimal64(value) => out.put_slice(&value.0),
        Value::Decimal128(value) => out.put_slice(&value.0),
        Value::Char(value) => out.put_u32(u32::from(*value)),
        Value::Timestamp(value) => out.put_i64(value.0),
        Value::Uuid(value) => out.put_slice(value.as_bytes()),
        Value::Binary(bytes) => put_sized(bytes, narrow, out),
        Value::String(text) => put_sized(text.as_bytes(), narrow, out),
        Value::Symbol(symbol) => put_sized(symbol.as_str().as_bytes(), narrow, out),
        Value::List(items) => {
            put_size_and_count(out, narrow, items_len(items), items.len());
            for item in items {
                item.encode(out);
            }
        }
        Value::Map(map) => {
            put_size_and_count(out, narrow, map.items_len(), map.len() * 2);
            for (key, value) in map {
                key.encode(out);
                value.encode(out);
            }
        }
        Value::Array(array) => {
            let measure = array.measure();
            put_size_and_count(out, narrow, measure.octets, array.elements.len());
            array.put_items(measure.narrow, out);
        }
    }
}

fn put_sized(data: &[u8], narrow: bool, out: &mut BytesMut) {
    match u8::try_from(data.len()) {
        Ok(len) if narrow => out.put_u8(len),
        _ => out.put_u32(wire_u32(data.len())),
    }
    out.put_slice(data);
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.element_type == other.element_type
            && self.descriptors == other.descriptors
            && self.elements == other.elements
    }
}

impl Eq for Array {}

impl Hash for Array {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.element_type.hash(state);
        self.descriptors.hash(state);
        self.elements.hash(state);
    }
}

impl Encode for Array {
    fn encoded_len(&self) -> usize {
        compound_len(self.measure().octets, self.elements.len())
    }

    fn encode(&self, out: &mut BytesMut) {
        let measure = self.measure();
        put_compound(out, code::ARRAY8, code::ARRAY32, measure.octets, self.elements.len());
        self.put_items(measure.narrow, out);
    }
}

impl Decode for Array {
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}
