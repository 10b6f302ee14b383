//! Arrays (§1.6.24): elements that share one constructor.

use super::Value;
use super::constructor::{ElementType, Layout, code, lookup};
use super::primitive::wrong_code;
use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, compound_is_narrow, compound_len, put_compound, put_size_and_count, wire_u32};
use crate::error::{DecodeError, Found};
use bytes::{BufMut, BytesMut};
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
    /// Outermost first; nearly always none or one.
    descriptors: Vec<Value>,
    elements: Vec<Value>,
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
        match elements.iter().position(|element| element.element_type() != Some(element_type)) {
            Some(index) => Err(ArrayError { index, expected: element_type }),
            None => {
                let descriptors = descriptor.into_iter().collect();
                Ok(Self { element_type, received: None, descriptors, elements })
            }
        }
    }

    /// An array of symbols.
    #[must_use]
    pub fn of_symbols(symbols: impl IntoIterator<Item = super::Symbol>) -> Self {
        let elements = symbols.into_iter().map(Value::Symbol).collect();
        Self { element_type: ElementType::Symbol, received: None, descriptors: Vec::new(), elements }
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
        self.received.unwrap_or_else(|| self.element_type.array_code(self.is_narrow()))
    }

    /// The descriptor that all elements share (the outermost, if there are several).
    #[must_use]
    pub fn descriptor(&self) -> Option<&Value> {
        self.descriptors.first()
    }

    /// All descriptors that the elements share, outermost first.
    #[must_use]
    pub fn descriptors(&self) -> &[Value] {
        &self.descriptors
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
    pub(crate) fn decode_data(code: u8, input: &mut Decoder) -> Result<Self, DecodeError> {
        let compound = input.enter(code, ElementType::Array)?;
        let mut descriptors = Vec::new();
        let mut element_code = input.code()?;
        while element_code == code::DESCRIBED {
            input.descend()?;
            descriptors.push(Value::decode(input)?);
            element_code = input.code()?;
        }
        let Some((element_type, layout)) = lookup(element_code) else {
            return input.run(|data| wrong_code(data, "an element constructor", element_code));
        };
        let count = compound.count;
        // An element takes at least so many octets; the count is checked against them before room is made.
        let width = match layout {
            Layout::Fixed(width) => width,
            Layout::Variable { wide: false } => 1,
            Layout::Variable { wide: true } => 4,
            Layout::Compound { wide: false } | Layout::Array { wide: false } => 2,
            Layout::Compound { wide: true } | Layout::Array { wide: true } => 8,
        };
        if width == 0 {
            input.charge_zero_width(count)?;
        } else if count > input.remaining() / width {
            return Err(input.error(
                "a count of elements that are there",
                Found::Number(u64::try_from(count).unwrap_or(u64::MAX)),
            ));
        } else {
            input.charge_items(count)?;
        }
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(Value::decode_data(element_code, input)?);
        }
        for _ in &descriptors {
            input.ascend();
        }
        input.leave(&compound)?;
        Ok(Self { element_type, received: Some(element_code), descriptors, elements })
    }

    /// Whether every element fits the form with a size of one octet.
    fn is_narrow(&self) -> bool {
        self.elements.iter().all(|element| match element {
            Value::Binary(bytes) => bytes.len() <= 255,
            Value::String(text) => text.len() <= 255,
            Value::Symbol(symbol) => symbol.as_str().len() <= 255,
            Value::List(items) => compound_is_narrow(items_len(items), items.len()),
            Value::Map(map) => compound_is_narrow(map.items_len(), map.len() * 2),
            Value::Array(array) => compound_is_narrow(array.items_len(), array.elements.len()),
            _ => true,
        })
    }

    /// Octets of constructor and elements.
    fn items_len(&self) -> usize {
        let descriptors: usize = self.descriptors.iter().map(|descriptor| 1 + descriptor.encoded_len()).sum();
        let narrow = self.is_narrow();
        let elements: usize = self.elements.iter().map(|element| data_len(element, narrow)).sum();
        descriptors + 1 + elements
    }

    fn put_items(&self, out: &mut BytesMut) {
        let narrow = self.is_narrow();
        for descriptor in &self.descriptors {
            out.put_u8(code::DESCRIBED);
            descriptor.encode(out);
        }
        out.put_u8(self.element_type.array_code(narrow));
        for element in &self.elements {
            put_data(element, narrow, out);
        }
    }
}

/// Octets of values in a row.
pub(crate) fn items_len(items: &[Value]) -> usize {
    items.iter().map(Encode::encoded_len).sum()
}

/// Octets of a size, or of a size and a count, before `octets` of contents.
const fn sized(octets: usize, width: usize) -> usize {
    width + octets
}

/// Length of an element without its format code.
fn data_len(element: &Value, narrow: bool) -> usize {
    let (size, size_and_count) = if narrow { (1, 2) } else { (4, 8) };
    match element {
        Value::Null | Value::Described(_) => 0,
        Value::Bool(_) | Value::Ubyte(_) | Value::Byte(_) => 1,
        Value::Ushort(_) | Value::Short(_) => 2,
        Value::Uint(_) | Value::Int(_) | Value::Float(_) | Value::Decimal32(_) | Value::Char(_) => 4,
        Value::Ulong(_) | Value::Long(_) | Value::Double(_) | Value::Decimal64(_) | Value::Timestamp(_) => 8,
        Value::Decimal128(_) | Value::Uuid(_) => 16,
        Value::Binary(bytes) => sized(bytes.len(), size),
        Value::String(text) => sized(text.len(), size),
        Value::Symbol(symbol) => sized(symbol.as_str().len(), size),
        Value::List(items) => sized(items_len(items), size_and_count),
        Value::Map(map) => sized(map.items_len(), size_and_count),
        Value::Array(array) => sized(array.items_len(), size_and_count),
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
            put_size_and_count(out, narrow, array.items_len(), array.elements.len());
            array.put_items(out);
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
        compound_len(self.items_len(), self.elements.len())
    }

    fn encode(&self, out: &mut BytesMut) {
        put_compound(out, code::ARRAY8, code::ARRAY32, self.items_len(), self.elements.len());
        self.put_items(out);
    }
}

impl Decode for Array {
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}
