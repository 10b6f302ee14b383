//! Parsers of format codes and primitive data (§1.6): pure functions from octets to Rust values.
//!
//! A `*_data` parser gets the format code apart from the data, because an array has one code for all its elements.

mod encoding;

use bytes::Bytes;
use nom::bytes::complete::take;
use nom::combinator::map;
use nom::{IResult, Parser};
use uuid::Uuid;

use super::ByteString;
use super::constructor::{Layout, code, lookup};
use crate::decode::{Decode, Decoder};
use crate::error::{DecodeError, Fault, Found};

pub(crate) type Parsed<'a, T> = IResult<&'a [u8], T, Fault>;

#[cold]
fn fail<T>(left: usize, expected: &'static str, found: Found) -> Parsed<'static, T> {
    Err(nom::Err::Error(Fault::new(left, expected, found)))
}

/// The error for a format code, already taken, of a type that has no place here.
#[cold]
pub(crate) fn wrong_code<T>(data: &[u8], expected: &'static str, code: u8) -> Parsed<'static, T> {
    fail(data.len() + 1, expected, Found::Code(code))
}

#[inline]
pub(crate) fn format_code(input: &[u8]) -> Parsed<'_, u8> {
    match input.split_first() {
        Some((code, rest)) => Ok((rest, *code)),
        None => fail(0, "a format code", Found::End(0)),
    }
}

/// So many octets. (The parsers of nom build numbers octet by octet, which takes several times as long.)
#[inline]
pub(crate) fn octets<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk::<N>() {
        Some((octets, rest)) => Ok((rest, *octets)),
        None => fail(input.len(), "more octets", Found::End(input.len())),
    }
}

/// Parsers of numbers of fixed width, in network byte order.
macro_rules! numbers {
    ($($parser:ident -> $type:ty;)*) => {
        $(#[inline]
        pub(crate) fn $parser(input: &[u8]) -> Parsed<'_, $type> {
            let (rest, octets) = octets(input)?;
            Ok((rest, <$type>::from_be_bytes(octets)))
        })*
    };
}

numbers! {
    be_u8 -> u8;
    be_u16 -> u16;
    be_u32 -> u32;
    be_u64 -> u64;
    be_i8 -> i8;
    be_i16 -> i16;
    be_i32 -> i32;
    be_i64 -> i64;
    be_f32 -> f32;
    be_f64 -> f64;
}

/// The octet of the boolean form that has one (§1.6.2).
#[inline]
pub(crate) fn boolean_octet(data: &[u8]) -> Parsed<'_, bool> {
    let (rest, octet) = be_u8(data)?;
    match octet {
        0 => Ok((rest, false)),
        1 => Ok((rest, true)),
        other => fail(data.len(), "boolean octet 0x00 or 0x01", Found::Octet(other)),
    }
}

/// The octets of a char: a Unicode scalar value (§1.6.16).
#[inline]
pub(crate) fn scalar(data: &[u8]) -> Parsed<'_, char> {
    let (rest, scalar) = be_u32(data)?;
    match char::from_u32(scalar) {
        Some(char) => Ok((rest, char)),
        None => fail(data.len(), "a Unicode scalar value", Found::Number(u64::from(scalar))),
    }
}

/// Parsers of types whose forms are told by the format code: `CODE => parser` for forms with data, `CODE = value` for
/// those without.
macro_rules! typed {
    ($($parser:ident -> $type:ty, $name:literal ($($empty:ident = $value:expr),*) { $($code:ident => $data:expr),* })*) => {
        $(#[inline]
        pub(crate) fn $parser(code: u8, data: &[u8]) -> Parsed<'_, $type> {
            match code {
                $(code::$empty => Ok((data, $value)),)*
                $(code::$code => $data.parse(data),)*
                other => wrong_code(data, $name, other),
            }
        })*
    };
}

typed! {
    bool_data -> bool, "boolean" (TRUE = true, FALSE = false) { BOOLEAN => boolean_octet }
    ubyte_data -> u8, "ubyte" () { UBYTE => be_u8 }
    ushort_data -> u16, "ushort" () { USHORT => be_u16 }
    uint_data -> u32, "uint" (UINT0 = 0) { SMALLUINT => map(be_u8, u32::from), UINT => be_u32 }
    ulong_data -> u64, "ulong" (ULONG0 = 0) { SMALLULONG => map(be_u8, u64::from), ULONG => be_u64 }
    byte_data -> i8, "byte" () { BYTE => be_i8 }
    short_data -> i16, "short" () { SHORT => be_i16 }
    int_data -> i32, "int" () { SMALLINT => map(be_i8, i32::from), INT => be_i32 }
    long_data -> i64, "long" () { SMALLLONG => map(be_i8, i64::from), LONG => be_i64 }
    float_data -> f32, "float" () { FLOAT => be_f32 }
    double_data -> f64, "double" () { DOUBLE => be_f64 }
    char_data -> char, "char" () { CHAR => scalar }
    timestamp_data -> i64, "timestamp" () { TIMESTAMP => be_i64 }
    decimal32_data -> [u8; 4], "decimal32" () { DECIMAL32 => octets::<4> }
    decimal64_data -> [u8; 8], "decimal64" () { DECIMAL64 => octets::<8> }
    decimal128_data -> [u8; 16], "decimal128" () { DECIMAL128 => octets::<16> }
    uuid_data -> [u8; 16], "uuid" () { UUID => octets::<16> }
}

/// Both codes of a type that is a size and so many octets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VariableForm {
    pub(crate) name: &'static str,
    pub(crate) narrow: u8,
    wide: u8,
    /// Whether it is a text that must be ASCII, not just UTF-8.
    pub(crate) is_ascii: bool,
}

/// `binary` (§1.6.19).
pub(crate) const BINARY: VariableForm =
    VariableForm { name: "binary", narrow: code::VBIN8, wide: code::VBIN32, is_ascii: false };
/// `string` (§1.6.20).
pub(crate) const STRING: VariableForm =
    VariableForm { name: "string", narrow: code::STR8, wide: code::STR32, is_ascii: false };
/// `symbol` (§1.6.21).
pub(crate) const SYMBOL: VariableForm =
    VariableForm { name: "symbol", narrow: code::SYM8, wide: code::SYM32, is_ascii: true };

/// The codes of a type that is a size, a count and so many items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompoundForm {
    pub(crate) name: &'static str,
    narrow: u8,
    wide: u8,
    /// The form that has neither size nor count.
    empty: Option<u8>,
    /// Whether every item takes an octet or more, so that the size bounds the count.
    pub(crate) counts_octets: bool,
}

/// `list` (§1.6.22).
pub(crate) const LIST: CompoundForm = CompoundForm {
    name: "list",
    narrow: code::LIST8,
    wide: code::LIST32,
    empty: Some(code::LIST0),
    counts_octets: true,
};
/// `map` (§1.6.23).
pub(crate) const MAP: CompoundForm =
    CompoundForm { name: "map", narrow: code::MAP8, wide: code::MAP32, empty: None, counts_octets: true };
/// `array` (§1.6.24).
pub(crate) const ARRAY: CompoundForm = CompoundForm {
    name: "array",
    narrow: code::ARRAY8,
    wide: code::ARRAY32,
    empty: None,
    counts_octets: false,
};

/// A size or count of four octets, as a number that can be compared with lengths.
#[inline]
pub(crate) fn wide_length(input: &[u8]) -> Parsed<'_, usize> {
    map(be_u32, |number| usize::try_from(number).unwrap_or(usize::MAX)).parse(input)
}

/// A size or count of one octet.
#[inline]
pub(crate) fn narrow_length(input: &[u8]) -> Parsed<'_, usize> {
    map(be_u8, usize::from).parse(input)
}

fn number(number: usize) -> Found {
    Found::Number(u64::try_from(number).unwrap_or(u64::MAX))
}

/// The octets of a variable-width value.
#[inline]
pub(crate) fn variable(code: u8, form: VariableForm, data: &[u8]) -> Parsed<'_, &[u8]> {
    let (contents, size) = if code == form.narrow {
        narrow_length(data)?
    } else if code == form.wide {
        wide_length(data)?
    } else {
        return wrong_code(data, form.name, code);
    };
    match contents.split_at_checked(size) {
        Some((octets, rest)) => Ok((rest, octets)),
        None => fail(data.len(), "a size within the input", number(size)),
    }
}

/// The octets of a variable-width value with its format code.
#[inline]
pub(crate) fn variable_with_code(form: VariableForm, input: &[u8]) -> Parsed<'_, &[u8]> {
    let (data, code) = format_code(input)?;
    variable(code, form, data)
}

/// The items of a list, map or array, and their count, which is not larger than the octets allow (save for arrays,
/// whose elements may occupy none).
#[inline]
pub(crate) fn compound(code: u8, form: CompoundForm, data: &[u8]) -> Parsed<'_, (&[u8], usize)> {
    let (contents, size) = if code == form.narrow {
        narrow_length(data)?
    } else if code == form.wide {
        wide_length(data)?
    } else if Some(code) == form.empty {
        return Ok((data, (&[], 0)));
    } else {
        return wrong_code(data, form.name, code);
    };
    let Some((contents, rest)) = contents.split_at_checked(size) else {
        return fail(data.len(), "a size within the input", number(size));
    };
    let counted = if code == form.narrow { narrow_length(contents) } else { wide_length(contents) };
    match counted {
        Ok((items, count)) if count <= items.len() || !form.counts_octets => Ok((rest, (items, count))),
        Ok((_, count)) => fail(contents.len() + rest.len(), "a count within the size", number(count)),
        Err(_) => fail(data.len(), "a size that includes the count", number(size)),
    }
}

/// Moves over so many octets.
pub(crate) fn step_over(len: usize, input: &[u8]) -> Parsed<'_, ()> {
    take(len).map(|_| ()).parse(input)
}

/// Moves over one value: nearly always one with a size of an octet or of four.
#[inline]
pub(crate) fn skip(input: &[u8]) -> Parsed<'_, ()> {
    let rest = match input {
        [
            code::VBIN8 | code::STR8 | code::SYM8 | code::LIST8 | code::MAP8 | code::ARRAY8,
            size,
            contents @ ..,
        ] => contents.get(usize::from(*size)..),
        [
            code::VBIN32 | code::STR32 | code::SYM32 | code::LIST32 | code::MAP32 | code::ARRAY32,
            s0,
            s1,
            s2,
            s3,
            contents @ ..,
        ] => {
            let size = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            usize::try_from(size).ok().and_then(|size| contents.get(size..))
        }
        _ => None,
    };
    match rest {
        Some(rest) => Ok((rest, ())),
        None => skip_any(input),
    }
}

/// Moves over one value. Compounds are stepped over by their size; only descriptors are followed, without recursion,
/// so that nesting costs nothing and needs no limit here.
fn skip_any(input: &[u8]) -> Parsed<'_, ()> {
    let mut rest = input;
    // a descriptor is a value that is followed by one more value
    let mut values = 1_usize;
    while values > 0 {
        let (data, code) = format_code(rest)?;
        if code == code::DESCRIBED {
            values += 1;
            rest = data;
            continue;
        }
        let Some((_, layout)) = lookup(code) else {
            return wrong_code(data, "a value", code);
        };
        rest = match layout {
            Layout::Fixed(width) => take(width).parse(data)?.0,
            Layout::Variable { wide } | Layout::Compound { wide } | Layout::Array { wide } => {
                let (contents, size) = if wide { wide_length(data)? } else { narrow_length(data)? };
                match contents.get(size..) {
                    Some(rest) => rest,
                    None => return fail(data.len(), "a size within the input", number(size)),
                }
            }
        };
        values -= 1;
    }
    Ok((rest, ()))
}

/// The code, if it is in the table: in most tables the codes follow each other, so its distance from the first one is
/// its place.
#[inline]
pub(crate) fn known(table: &[crate::composite::Descriptor], code: u64) -> Option<u64> {
    let distance = code.wrapping_sub(table.first()?.code);
    let guess = usize::try_from(distance).ok().and_then(|place| table.get(place));
    if guess.is_some_and(|guess| guess.code == code) || table.iter().any(|known| known.code == code) {
        return Some(code);
    }
    None
}

/// A descriptor that is a ulong or a symbol, looked up among pairs of code and symbol; any other is none.
/// Symbols are compared whole.
pub(crate) fn descriptor<'a>(
    table: &[crate::composite::Descriptor],
    input: &'a [u8],
) -> Parsed<'a, Option<u64>> {
    let (data, code) = format_code(input)?;
    if code != code::DESCRIBED {
        return wrong_code(data, "a described value", code);
    }
    let (data, code) = format_code(data)?;
    match code {
        code::SMALLULONG | code::ULONG | code::ULONG0 => {
            let (rest, descriptor) = ulong_data(code, data)?;
            Ok((rest, known(table, descriptor)))
        }
        code::SYM8 | code::SYM32 => {
            let (rest, symbol) = variable(code, SYMBOL, data)?;
            let known = table.iter().find(|known| known.symbol.as_bytes() == symbol);
            Ok((rest, known.map(|known| known.code)))
        }
        _ => Ok((data, None)),
    }
}

/// Decoding of the types that are not kept as shared octets.
macro_rules! decode_by_parser {
    ($($type:ty: $parser:ident $(, $convert:expr)?;)*) => {
        $(impl Decode for $type {
            #[inline]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                input.run(|octets| {
                    let (data, code) = format_code(octets)?;
                    $parser(code, data)
                })
                $(.map($convert))?
            }
        })*
    };
}

decode_by_parser! {
    bool: bool_data;
    u8: ubyte_data;
    u16: ushort_data;
    u32: uint_data;
    u64: ulong_data;
    i8: byte_data;
    i16: short_data;
    i32: int_data;
    i64: long_data;
    f32: float_data;
    f64: double_data;
    char: char_data;
    Uuid: uuid_data, Uuid::from_bytes;
    super::Timestamp: timestamp_data, super::Timestamp;
    super::Decimal32: decimal32_data, super::Decimal32;
    super::Decimal64: decimal64_data, super::Decimal64;
    super::Decimal128: decimal128_data, super::Decimal128;
}

impl Decode for Bytes {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let code = input.code()?;
        input.shared(code, BINARY)
    }
}

impl Decode for ByteString {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let code = input.code()?;
        input.text(code, STRING)
    }
}

impl<T: Decode> Decode for Option<T> {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if input.take_null() { Ok(None) } else { T::decode(input).map(Some) }
    }
}
