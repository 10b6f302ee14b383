//! Composite types (§1.4): described lists with positional fields. The macro here is the only place that knows of
//! list forms, trailing nulls, defaults and missing mandatory fields.

use crate::decode::{Decode, DecodeRef, Decoder};
use crate::encode::{Encode, OpenCompound, compound_len, put_compound};
use crate::error::{DecodeError, Found};
use crate::types::constructor::{code, lookup};
use crate::types::primitive::{ARRAY, wrong_code};
use crate::types::{ByteString, ElementType, Symbol, SymbolRef};
use bytes::{BufMut, Bytes, BytesMut};

/// Both names of a composite type: the one sent, and the one that must be understood too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) code: u64,
    pub(crate) symbol: &'static str,
}

/// A type that is a described list.
pub(crate) trait Composite: Sized {
    const DESCRIPTOR: Descriptor;

    /// The list behind the descriptor.
    fn decode_list(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;
}

/// Reads a composite with its descriptor.
pub(crate) fn decode_composite<T: Composite>(input: &mut Decoder<'_>) -> Result<T, DecodeError> {
    expect_descriptor(input, T::DESCRIPTOR)?;
    T::decode_list(input)
}

/// Takes the descriptor of a composite.
#[inline]
pub(crate) fn expect_descriptor(input: &mut Decoder<'_>, descriptor: Descriptor) -> Result<(), DecodeError> {
    match input.descriptor(&[descriptor])? {
        Some(_) => Ok(()),
        None => Err(input.error(descriptor.symbol, Found::Text("another described type"))),
    }
}

/// The error that a mandatory field is not there.
#[cold]
pub(crate) fn missing(input: &Decoder<'_>, symbol: &'static str, field: &'static str) -> DecodeError {
    input.error("a value for a mandatory field", Found::Text("none")).within(symbol, field)
}

/// Checks that there are no more fields than the type has.
pub(crate) fn expect_no_more(input: &Decoder<'_>, left: usize) -> Result<(), DecodeError> {
    if left == 0 {
        return Ok(());
    }
    let found = Found::Number(u64::try_from(left).unwrap_or(u64::MAX));
    Err(input.error("no more fields than the type has", found))
}

/// A field that may hold many values: null, a bare value, or an array (§1.4).
pub(crate) fn decode_multiple<T: Decode + Element>(input: &mut Decoder<'_>) -> Result<Vec<T>, DecodeError> {
    let is_array = input.peek().and_then(lookup).is_some_and(|(element, _)| element == ElementType::Array);
    if !is_array {
        return Ok(Option::<T>::decode(input)?.into_iter().collect());
    }
    let code = input.code()?;
    let compound = input.enter(code, ARRAY)?;
    let element_code = input.code()?;
    if lookup(element_code).is_none() {
        return input.run(|data| wrong_code(data, "an element constructor", element_code));
    }
    input.charge_items(compound.count)?;
    let mut elements = Vec::with_capacity(compound.count);
    for _ in 0..compound.count {
        elements.push(T::decode_element(element_code, input)?);
    }
    input.leave(&compound)?;
    Ok(elements)
}

/// What the arrays in composites are made of.
pub(crate) trait Element: Sized {
    fn decode_element(code: u8, input: &mut Decoder<'_>) -> Result<Self, DecodeError>;
    fn data(&self) -> &[u8];
}

impl Element for Symbol {
    fn decode_element(code: u8, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Self::decode_data(code, input)
    }

    fn data(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

fn multiple_is_narrow<T: Element>(elements: &[T]) -> bool {
    elements.iter().all(|element| element.data().len() <= 255)
}

fn multiple_items<T: Element>(elements: &[T]) -> usize {
    let size = if multiple_is_narrow(elements) { 1 } else { 4 };
    1 + elements.iter().map(|element| size + element.data().len()).sum::<usize>()
}

/// Length of a field with many values: an array, even of one.
pub(crate) fn multiple_len<T: Element>(elements: &[T]) -> usize {
    compound_len(multiple_items(elements), elements.len())
}

pub(crate) fn put_multiple<T: Element>(elements: &[T], out: &mut BytesMut) {
    put_compound(out, code::ARRAY8, code::ARRAY32, multiple_items(elements), elements.len());
    let narrow = multiple_is_narrow(elements);
    out.put_u8(if narrow { code::SYM8 } else { code::SYM32 });
    for element in elements {
        let data = element.data();
        match u8::try_from(data.len()) {
            Ok(len) if narrow => out.put_u8(len),
            _ => out.put_u32(crate::encode::wire_u32(data.len())),
        }
        out.put_slice(data);
    }
}

/// Length of a composite whose fields, trailing nulls cut off, take `octets` in `count` items.
pub(crate) fn composite_len(octets: usize, count: usize) -> usize {
    3 + if count == 0 { 1 } else { compound_len(octets, count) }
}

/// A composite whose fields are being written. Nulls wait until a field with a value follows, so that those at the end
/// are never written; nor is the list begun before, so that an empty one takes an octet and no more.
#[derive(Debug)]
pub(crate) struct FieldsWriter {
    list: Option<OpenCompound>,
    count: usize,
    nulls: usize,
}

impl FieldsWriter {
    /// Begins with the descriptor. All codes of the specification have one octet.
    #[inline]
    pub(crate) fn begin(code: u8, out: &mut BytesMut) -> Self {
        out.put_slice(&[code::DESCRIBED, code::SMALLULONG, code]);
        Self { list: None, count: 0, nulls: 0 }
    }

    /// A field that is null.
    #[inline]
    pub(crate) const fn null(&mut self) {
        self.nulls += 1;
    }

    /// A field with a value, which the caller writes behind this.
    #[inline]
    pub(crate) fn value(&mut self, out: &mut BytesMut) {
        self.list.get_or_insert_with(|| OpenCompound::begin(out, 0));
        for _ in 0..self.nulls {
            out.put_u8(code::NULL);
        }
        self.count += self.nulls + 1;
        self.nulls = 0;
    }

    #[inline]
    pub(crate) fn finish(self, out: &mut BytesMut) {
        match self.list {
            None => out.put_u8(code::LIST0),
            Some(list) => list.finish(out, code::LIST8, code::LIST32, self.count),
        }
    }
}

/// Adds up the fields of a composite; nulls at the end do not count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) octets: usize,
    pub(crate) count: usize,
    nulls: usize,
}

impl Tally {
    /// A field of this length; 0 stands for null.
    #[inline]
    pub(crate) fn field(&mut self, len: usize) {
        if len == 0 {
            self.nulls += 1;
        } else {
            self.octets += self.nulls + len;
            self.count += self.nulls + 1;
            self.nulls = 0;
        }
    }
}

/// Length of an optional field; 0 for null.
#[inline]
pub(crate) fn optional_len<T: Encode>(field: &Option<T>) -> usize {
    field.as_ref().map_or(0, Encode::encoded_len)
}

/// Declares a composite type: one line a field, with its name, its type, and whether it is `mandatory`, `optional`,
/// has a `default`, or is `multiple`. The constructor takes the mandatory ones.
///
/// `Name / NameRef` declares the borrowed form too, `NameRef<'a>`, with the types that stand behind `|`.
macro_rules! composite {
    (
        $(#[$meta:meta])*
        $name:ident / $borrowed:ident = $code:literal $symbol:literal $new:ident($($arg:ident: $arg_type:ty),*) {
            $(
                $(#[$field_meta:meta])*
                $kind:ident $field:ident: $type:ty $(| $borrowed_type:ty)? $(= $default:expr)?;
            )*
        }
    ) => {
        $crate::composite::composite! {
            $(#[$meta])*
            $name = $code $symbol $new($($arg: $arg_type),*) {
                $($(#[$field_meta])* $kind $field: $type $(= $default)?;)*
            }
        }

        #[doc = concat!("[`", stringify!($name), "`], borrowed from the octets that it was read from.")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $borrowed<'a> {
            $(
                $(#[$field_meta])*
                pub $field: $crate::composite::composite!(@borrowed $type $(| $borrowed_type)?),
            )*
        }

        impl<'a> $borrowed<'a> {
            /// With the mandatory fields; the others are absent or have their default.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "types without mandatory fields implement Default below")]
            pub fn $new($($arg: impl Into<$arg_type>),*) -> Self {
                Self { $($field: $crate::composite::composite!(@init $kind $field $(, $default)?),)* }
            }

            /// The list behind the descriptor.
            #[inline]
            pub(crate) fn decode_list(
                input: &mut $crate::decode::Decoder<'a>,
            ) -> Result<Self, $crate::error::DecodeError> {
                $crate::composite::composite! {
                    @list input, $symbol,
                    $($kind $field: ($crate::composite::composite!(@borrowed $type $(| $borrowed_type)?)) $(= $default)?;)*
                }
            }
        }

        impl<'a> $crate::decode::DecodeRef<'a> for $borrowed<'a> {
            #[inline]
            fn decode_ref(input: &mut $crate::decode::Decoder<'a>) -> Result<Self, $crate::error::DecodeError> {
                const DESCRIPTOR: $crate::composite::Descriptor =
                    $crate::composite::Descriptor { code: $code, symbol: $symbol };
                $crate::composite::expect_descriptor(input, DESCRIPTOR)?;
                Self::decode_list(input)
            }
        }

        impl From<$borrowed<'_>> for $name {
            /// Copies texts and octets.
            fn from(borrowed: $borrowed<'_>) -> Self {
                Self { $($field: $crate::composite::composite!(@own $kind, borrowed.$field),)* }
            }
        }
    };

    (
        $(#[$meta:meta])*
        $name:ident = $code:literal $symbol:literal $new:ident($($arg:ident: $arg_type:ty),*) {
            $($(#[$field_meta:meta])* $kind:ident $field:ident: $type:ty $(= $default:expr)?;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $name {
            /// With the mandatory fields; the others are absent or have their default.
            #[must_use]
            #[allow(clippy::new_without_default, reason = "types without mandatory fields implement Default below")]
            pub fn $new($($arg: impl Into<$arg_type>),*) -> Self {
                Self { $($field: $crate::composite::composite!(@init $kind $field $(, $default)?),)* }
            }

            #[allow(unused_mut, reason = "some types have no fields")]
            fn tally(&self) -> $crate::composite::Tally {
                let mut tally = $crate::composite::Tally::default();
                $(tally.field($crate::composite::composite!(@len $kind, self.$field $(, $default)?));)*
                tally
            }
        }

        impl $crate::composite::Composite for $name {
            const DESCRIPTOR: $crate::composite::Descriptor =
                $crate::composite::Descriptor { code: $code, symbol: $symbol };

            #[inline]
            fn decode_list(
                input: &mut $crate::decode::Decoder<'_>,
            ) -> Result<Self, $crate::error::DecodeError> {
                $crate::composite::composite! {
                    @list input, $symbol, $($kind $field: ($type) $(= $default)?;)*
                }
            }
        }

        impl $crate::decode::Decode for $name {
            fn decode(input: &mut $crate::decode::Decoder<'_>) -> Result<Self, $crate::error::DecodeError> {
                $crate::composite::decode_composite(input)
            }
        }

        impl $crate::encode::Encode for $name {
            fn encoded_len(&self) -> usize {
                let tally = self.tally();
                $crate::composite::composite_len(tally.octets, tally.count)
            }

            #[allow(unused_mut, reason = "some types have no fields")]
            fn encode(&self, out: &mut bytes::BytesMut) {
                let mut fields = $crate::composite::FieldsWriter::begin($code, out);
                $($crate::composite::composite!(@encode $kind, self.$field, fields, out $(, $default)?);)*
                fields.finish(out);
            }
        }
    };

    (@list $input:ident, $symbol:literal, $($kind:ident $field:ident: ($type:ty) $(= $default:expr)?;)*) => {{
        let code = $input.code()?;
        let compound = $input.enter(code, $crate::types::primitive::LIST)?;
        #[allow(unused_mut, reason = "some types have no fields")]
        let mut left = compound.count;
        $(let $field: $type = if left == 0 {
            $crate::composite::composite!(@absent $kind, $input, $symbol, $field $(, $default)?)
        } else {
            left -= 1;
            $crate::composite::composite!(@decode $kind, $type, $input, $symbol, $field $(, $default)?)
        };)*
        $crate::composite::expect_no_more($input, left)?;
        $input.leave(&compound)?;
        Ok(Self { $($field),* })
    }};

    (@borrowed $type:ty) => { $type };
    (@borrowed $type:ty | $borrowed:ty) => { $borrowed };

    (@own mandatory, $value:expr) => { $crate::composite::IntoOwned::into_owned($value) };
    (@own default, $value:expr) => { $value };
    (@own optional, $value:expr) => { $value.map($crate::composite::IntoOwned::into_owned) };

    (@init mandatory $field:ident) => { $field.into() };
    (@init optional $field:ident) => { None };
    (@init default $field:ident, $default:expr) => { $default };
    (@init multiple $field:ident) => { Vec::new() };

    (@len mandatory, $field:expr) => { $crate::encode::Encode::encoded_len(&$field) };
    (@len optional, $field:expr) => { $crate::composite::optional_len(&$field) };
    (@len default, $field:expr, $default:expr) => {
        if $field == $default { 0 } else { $crate::encode::Encode::encoded_len(&$field) }
    };
    (@len multiple, $field:expr) => {
        if $field.is_empty() { 0 } else { $crate::composite::multiple_len(&$field) }
    };

    (@absent mandatory, $input:ident, $symbol:literal, $field:ident) => {
        return Err($crate::composite::missing($input, $symbol, stringify!($field)))
    };
    (@absent optional, $input:ident, $symbol:literal, $field:ident) => { None };
    (@absent default, $input:ident, $symbol:literal, $field:ident, $default:expr) => { $default };
    (@absent multiple, $input:ident, $symbol:literal, $field:ident) => { Vec::new() };

    (@decode mandatory, $type:ty, $input:ident, $symbol:literal, $field:ident) => {
        match Option::<$type>::decode_field($input, $symbol, stringify!($field))? {
            Some(value) => value,
            None => return Err($crate::composite::missing($input, $symbol, stringify!($field))),
        }
    };
    (@decode optional, $type:ty, $input:ident, $symbol:literal, $field:ident) => {
        <$type>::decode_field($input, $symbol, stringify!($field))?
    };
    (@decode default, $type:ty, $input:ident, $symbol:literal, $field:ident, $default:expr) => {
        match Option::<$type>::decode_field($input, $symbol, stringify!($field))? {
            Some(value) => value,
            None => $default,
        }
    };
    (@decode multiple, $type:ty, $input:ident, $symbol:literal, $field:ident) => {
        match $crate::composite::decode_multiple($input) {
            Ok(values) => values,
            Err(error) => return Err(error.within($symbol, stringify!($field))),
        }
    };

    (@encode mandatory, $value:expr, $fields:ident, $out:ident) => {
        $fields.value($out);
        $crate::encode::Encode::encode(&$value, $out);
    };
    (@encode optional, $value:expr, $fields:ident, $out:ident) => {
        match &$value {
            Some(value) => {
                $fields.value($out);
                $crate::encode::Encode::encode(value, $out);
            }
            None => $fields.null(),
        }
    };
    (@encode default, $value:expr, $fields:ident, $out:ident, $default:expr) => {
        if $value == $default {
            $fields.null();
        } else {
            $fields.value($out);
            $crate::encode::Encode::encode(&$value, $out);
        }
    };
    (@encode multiple, $value:expr, $fields:ident, $out:ident) => {
        if $value.is_empty() {
            $fields.null();
        } else {
            $fields.value($out);
            $crate::composite::put_multiple(&$value, $out);
        }
    };
}
pub(crate) use composite;

/// Decoding of a field, whose name goes into the error.
pub(crate) trait DecodeField<'a>: Sized {
    fn decode_field(
        input: &mut Decoder<'a>,
        symbol: &'static str,
        field: &'static str,
    ) -> Result<Self, DecodeError>;
}

impl<'a, T: DecodeRef<'a>> DecodeField<'a> for Option<T> {
    #[inline]
    fn decode_field(
        input: &mut Decoder<'a>,
        symbol: &'static str,
        field: &'static str,
    ) -> Result<Self, DecodeError> {
        if input.take_null() {
            return Ok(None);
        }
        match T::decode_ref(input) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.within(symbol, field)),
        }
    }
}

/// What becomes of a borrowed field when its composite is to be owned.
pub(crate) trait IntoOwned<T> {
    fn into_owned(self) -> T;
}

impl<T> IntoOwned<T> for T {
    fn into_owned(self) -> T {
        self
    }
}

impl IntoOwned<Bytes> for &[u8] {
    fn into_owned(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl IntoOwned<ByteString> for &str {
    fn into_owned(self) -> ByteString {
        self.into()
    }
}

impl IntoOwned<Symbol> for SymbolRef<'_> {
    fn into_owned(self) -> Symbol {
        self.into()
    }
}

/// Declares a restricted type: its choices and how they stand on the wire (§1.5).
macro_rules! restricted {
    (
        $(#[$meta:meta])*
        $name:ident: $source:ty { $($(#[$choice_meta:meta])* $choice:ident = $wire:pat => $value:expr;)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$choice_meta])* $choice,)*
        }

        impl $crate::decode::Decode for $name {
            #[inline]
            fn decode(input: &mut $crate::decode::Decoder<'_>) -> Result<Self, $crate::error::DecodeError> {
                let before = input.offset();
                let value = <$source>::decode(input)?;
                match value {
                    $($wire => Ok(Self::$choice),)*
                    #[allow(unreachable_patterns, reason = "booleans have no other values")]
                    other => {
                        let found = $crate::error::Found::Number(u64::from(other));
                        let fault = $crate::error::Fault::new(0, concat!("a choice of ", stringify!($name)), found);
                        Err($crate::error::DecodeError::new(before, fault.condition($crate::error::INVALID_FIELD)))
                    }
                }
            }
        }

        impl $crate::encode::Encode for $name {
            #[inline]
            fn encoded_len(&self) -> usize {
                self.wire().encoded_len()
            }

            #[inline]
            fn encode(&self, out: &mut bytes::BytesMut) {
                self.wire().encode(out);
            }
        }

        impl $name {
            #[inline]
            const fn wire(self) -> $source {
                match self {
                    $(Self::$choice => $value,)*
                }
            }
        }
    };
}
pub(crate) use restricted;
