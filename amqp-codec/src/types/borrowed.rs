//! Lists, maps and arrays that stay in the octets they were read from: checked once, then decoded item by item.

use super::array::{Array, ArrayHead};
use super::constructor::code;
use super::map::{Ascending, COMPARE_UP_TO, Key, duplicate, has_duplicates, has_equal};
use super::primitive::{self, ARRAY, LIST, MAP};
use super::{ElementType, Fields, Map, Symbol, SymbolRef, Value, ValueRef};
use crate::decode::{DecodeRef, Decoder};
use crate::error::DecodeError;
use arrayvec::ArrayVec;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::FusedIterator;
use std::marker::PhantomData;

/// The items of a list (§1.6.22), borrowed.
///
/// ```
/// use amqp_codec::types::{ListRef, Value};
/// use amqp_codec::{DecodeRef, Encode};
///
/// let octets = Value::List(vec![1_u8.into(), 2_u8.into()]).to_bytes();
/// let list = ListRef::borrow_from(&octets)?;
/// assert_eq!(list.len(), 2);
/// assert_eq!(list.iter().filter_map(|item| item.as_u64()).sum::<u64>(), 3);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct ListRef<'a> {
    items: &'a [u8],
    count: usize,
}

impl<'a> ListRef<'a> {
    /// A list whose format code was taken.
    #[inline(never)]
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        if input.is_checked() {
            let (items, count) = input.run(|data| primitive::compound(code, LIST, data))?;
            return Ok(Self { items, count });
        }
        let compound = input.enter(code, LIST)?;
        let list = Self { items: input.left(), count: compound.count };
        for _ in 0..compound.count {
            ValueRef::decode_ref(input)?;
        }
        input.leave(&compound)?;
        Ok(list)
    }

    /// How many items there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The items, in order.
    #[must_use]
    pub fn iter(self) -> ItemsRef<'a> {
        ItemsRef { input: Decoder::again(self.items), left: self.count, code: None }
    }
}

impl<'a> DecodeRef<'a> for ListRef<'a> {
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}

/// The values of a [`ListRef`] or an [`ArrayRef`], decoded as they are asked for.
#[derive(Clone, Debug)]
pub struct ItemsRef<'a> {
    input: Decoder<'a>,
    left: usize,
    /// The format code that all of them share, in arrays.
    code: Option<u8>,
}

impl<'a> Iterator for ItemsRef<'a> {
    type Item = ValueRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<ValueRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        let input = &mut self.input;
        // They were read before, so there is no error.
        match self.code {
            None => ValueRef::decode_ref(input).ok(),
            // what long arrays are made of
            Some(code::USHORT) => input.take_octets().map(u16::from_be_bytes).map(ValueRef::Ushort),
            Some(code::UINT) => input.take_octets().map(u32::from_be_bytes).map(ValueRef::Uint),
            Some(code::ULONG) => input.take_octets().map(u64::from_be_bytes).map(ValueRef::Ulong),
            Some(code::SHORT) => input.take_octets().map(i16::from_be_bytes).map(ValueRef::Short),
            Some(code::INT) => input.take_octets().map(i32::from_be_bytes).map(ValueRef::Int),
            Some(code::LONG) => input.take_octets().map(i64::from_be_bytes).map(ValueRef::Long),
            Some(code::FLOAT) => input.take_octets().map(f32::from_be_bytes).map(ValueRef::Float),
            Some(code::DOUBLE) => input.take_octets().map(f64::from_be_bytes).map(ValueRef::Double),
            Some(code) => ValueRef::decode_data(code, input).ok(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ItemsRef<'_> {}
impl FusedIterator for ItemsRef<'_> {}

/// What can be the key of a [`MapRef`]: a value of any type, or `&str`, [`SymbolRef`],
/// [`AnnotationKeyRef`](crate::messaging::AnnotationKeyRef) where all keys are of one type.
#[expect(private_bounds, reason = "the types of keys are those of the specification, and no others")]
pub trait MapKeyRef<'a>: DecodeRef<'a> + Key + Copy + Eq + Hash + fmt::Debug {}

impl<'a> MapKeyRef<'a> for ValueRef<'a> {}
impl<'a> MapKeyRef<'a> for &'a str {}
impl<'a> MapKeyRef<'a> for SymbolRef<'a> {}

/// The entries of a map (§1.6.23), borrowed, with keys of any type or of one.
///
/// ```
/// use amqp_codec::types::{Map, MapRef, ValueRef};
/// use amqp_codec::{DecodeRef, Encode};
///
/// let octets = Map::from_iter([("attempt", 3), ("of", 5)]).to_bytes();
/// let map = MapRef::<&str>::borrow_from(&octets)?;
/// assert_eq!(map.get("of"), Some(ValueRef::Int(5)));
/// assert_eq!(map.iter().next(), Some(("attempt", ValueRef::Int(3))));
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct MapRef<'a, K = ValueRef<'a>> {
    items: &'a [u8],
    /// Entries, not items.
    count: usize,
    key: PhantomData<K>,
}

impl<'a, K: MapKeyRef<'a>> MapRef<'a, K> {
    /// A map whose format code was taken.
    #[inline(never)]
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        if input.is_checked() {
            let (items, count) = input.run(|data| primitive::compound(code, MAP, data))?;
            return Ok(Self { items, count: count / 2, key: PhantomData });
        }
        let (compound, count) = input.enter_map(code)?;
        let map = Self { items: input.left(), count, key: PhantomData };
        let is_there_twice = if count <= COMPARE_UP_TO {
            let mut keys = ArrayVec::<K, COMPARE_UP_TO>::new();
            for _ in 0..count {
                keys.push(K::decode_ref(input)?);
                ValueRef::decode_ref(input)?;
            }
            has_duplicates(count, keys.iter())
        } else {
            let mut ascending = Ascending::new();
            for _ in 0..count {
                ascending.add(K::decode_ref(input)?);
                ValueRef::decode_ref(input)?;
            }
            !ascending.so_far() && has_equal(count, map.keys())
        };
        input.leave(&compound)?;
        if is_there_twice { Err(duplicate(input)) } else { Ok(map) }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The entries, in order.
    #[must_use]
    pub fn iter(self) -> EntriesRef<'a, K> {
        EntriesRef { input: Decoder::again(self.items), left: self.count, key: PhantomData }
    }

    /// The keys, in order; values are stepped over.
    fn keys(self) -> impl Iterator<Item = K> {
        let mut input = Decoder::again(self.items);
        let mut next = move || {
            let key = K::decode_ref(&mut input).ok()?;
            input.skip().ok()?;
            Some(key)
        };
        // all of them are there
        (0..self.count).map_while(move |_| next())
    }

    /// The value of a key, named by its text. Goes through the entries up to it.
    #[must_use]
    pub fn get(self, key: &str) -> Option<ValueRef<'a>> {
        self.iter().find(|(known, _)| known.key_text() == Some(key)).map(|(_, value)| value)
    }
}

impl<'a, K: MapKeyRef<'a>> DecodeRef<'a> for MapRef<'a, K> {
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}

/// The keys and values of a [`MapRef`], decoded as they are asked for.
#[derive(Clone, Debug)]
pub struct EntriesRef<'a, K = ValueRef<'a>> {
    input: Decoder<'a>,
    left: usize,
    key: PhantomData<K>,
}

impl<'a, K: MapKeyRef<'a>> Iterator for EntriesRef<'a, K> {
    type Item = (K, ValueRef<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        // They were read before, so there is no error.
        let key = K::decode_ref(&mut self.input).ok()?;
        Some((key, ValueRef::decode_ref(&mut self.input).ok()?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, K: MapKeyRef<'a>> ExactSizeIterator for EntriesRef<'a, K> {}
impl<'a, K: MapKeyRef<'a>> FusedIterator for EntriesRef<'a, K> {}

/// The elements of an array (§1.6.24), borrowed.
///
/// ```
/// use amqp_codec::types::{Array, ArrayRef, ElementType, Value, ValueRef};
/// use amqp_codec::{DecodeRef, Encode};
///
/// let octets = Array::new(ElementType::Uint, vec![Value::Uint(1), Value::Uint(2)])?.to_bytes();
/// let array = ArrayRef::borrow_from(&octets)?;
/// assert_eq!((array.element_type(), array.len()), (ElementType::Uint, 2));
/// assert_eq!(array.iter().last(), Some(ValueRef::Uint(2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct ArrayRef<'a> {
    /// Descriptors, constructor and elements.
    octets: &'a [u8],
    count: usize,
}

impl<'a> ArrayRef<'a> {
    /// An array whose format code was taken.
    #[inline(never)]
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        if input.is_checked() {
            let (octets, count) = input.run(|data| primitive::compound(code, ARRAY, data))?;
            return Ok(Self { octets, count });
        }
        let compound = input.enter(code, ARRAY)?;
        let array = Self { octets: input.left(), count: compound.count };
        let head = ArrayHead::decode(input, |input| ValueRef::decode_ref(input).map(drop))?;
        head.charge(compound.count, input)?;
        if let Some(width) = head.width_of_any_content() {
            input.run(|data| primitive::step_over(compound.count.saturating_mul(width), data))?;
        } else {
            for _ in 0..compound.count {
                ValueRef::decode_data(head.code, input)?;
            }
        }
        head.ascend(input);
        input.leave(&compound)?;
        Ok(array)
    }

    /// The decoder behind descriptors and constructor, which were read before.
    fn elements(self, each: impl FnMut(ValueRef<'a>)) -> (Decoder<'a>, Option<ArrayHead>) {
        let mut each = each;
        let mut input = Decoder::again(self.octets);
        let head = ArrayHead::decode(&mut input, |input| ValueRef::decode_ref(input).map(&mut each));
        (input, head.ok())
    }

    /// How many elements there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.count
    }

    /// Whether there are none. Even then they have a type.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The type of the elements.
    #[must_use]
    pub fn element_type(self) -> ElementType {
        self.elements(drop).1.map_or(ElementType::Null, |head| head.element_type)
    }

    /// The format code of the elements.
    #[must_use]
    pub fn constructor(self) -> u8 {
        self.elements(drop).1.map_or(code::NULL, |head| head.code)
    }

    /// The descriptor that all elements share (the outermost, if there are several).
    #[must_use]
    pub fn descriptor(self) -> Option<ValueRef<'a>> {
        let mut first = None;
        self.elements(|descriptor| first = first.or(Some(descriptor)));
        first
    }

    /// All descriptors that the elements share, outermost first.
    #[must_use]
    pub fn descriptors(self) -> Vec<ValueRef<'a>> {
        let mut all = Vec::new();
        self.elements(|descriptor| all.push(descriptor));
        all
    }

    /// The elements, without their descriptor.
    #[must_use]
    pub fn iter(self) -> ItemsRef<'a> {
        let (input, head) = self.elements(drop);
        ItemsRef { input, left: self.count, code: head.map(|head| head.code) }
    }
}

impl<'a> DecodeRef<'a> for ArrayRef<'a> {
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let code = input.code()?;
        Self::decode_data(code, input)
    }
}

impl Default for ListRef<'_> {
    /// No items.
    fn default() -> Self {
        Self { items: &[], count: 0 }
    }
}

impl<K> Default for MapRef<'_, K> {
    /// No entries.
    fn default() -> Self {
        Self { items: &[], count: 0, key: PhantomData }
    }
}

impl PartialEq for ListRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl Eq for ListRef<'_> {}

impl Hash for ListRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.count.hash(state);
        self.iter().for_each(|item| item.hash(state));
    }
}

impl fmt::Debug for ListRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, K: MapKeyRef<'a>> PartialEq for MapRef<'a, K> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count && self.iter().eq(other.iter())
    }
}

impl<'a, K: MapKeyRef<'a>> Eq for MapRef<'a, K> {}

impl<'a, K: MapKeyRef<'a>> Hash for MapRef<'a, K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.count.hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl<'a, K: MapKeyRef<'a>> fmt::Debug for MapRef<'a, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for ArrayRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.count == other.count
            && self.element_type() == other.element_type()
            && self.descriptors() == other.descriptors()
            && self.iter().eq(other.iter())
    }
}

impl Eq for ArrayRef<'_> {}

impl Hash for ArrayRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.element_type(), self.descriptors(), self.count).hash(state);
        self.iter().for_each(|element| element.hash(state));
    }
}

impl fmt::Debug for ArrayRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayRef")
            .field("element_type", &self.element_type())
            .field("descriptors", &self.descriptors())
            .field("elements", &format_args!("{:?}", self.iter().collect::<Vec<_>>()))
            .finish()
    }
}

impl<'a> IntoIterator for ListRef<'a> {
    type Item = ValueRef<'a>;
    type IntoIter = ItemsRef<'a>;

    fn into_iter(self) -> ItemsRef<'a> {
        self.iter()
    }
}

impl<'a, K: MapKeyRef<'a>> IntoIterator for MapRef<'a, K> {
    type Item = (K, ValueRef<'a>);
    type IntoIter = EntriesRef<'a, K>;

    fn into_iter(self) -> EntriesRef<'a, K> {
        self.iter()
    }
}

impl<'a> IntoIterator for ArrayRef<'a> {
    type Item = ValueRef<'a>;
    type IntoIter = ItemsRef<'a>;

    fn into_iter(self) -> ItemsRef<'a> {
        self.iter()
    }
}

impl<'a, K: MapKeyRef<'a> + Into<Value>> From<MapRef<'a, K>> for Map {
    /// Copies texts and octets.
    fn from(map: MapRef<'a, K>) -> Self {
        map.iter().collect()
    }
}

impl<'a, K: MapKeyRef<'a> + Into<Symbol>> From<MapRef<'a, K>> for Fields {
    /// Copies texts and octets.
    fn from(map: MapRef<'a, K>) -> Self {
        map.iter().collect()
    }
}

impl From<ArrayRef<'_>> for Array {
    /// Copies texts and octets.
    fn from(array: ArrayRef<'_>) -> Self {
        Self::of_received(
            array.constructor(),
            array.element_type(),
            array.descriptors().into_iter().map(Value::from),
            array.iter().map(Value::from).collect(),
        )
    }
}
