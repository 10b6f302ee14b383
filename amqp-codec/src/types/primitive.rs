//! Parsers of format codes and primitive data (§1.6): pure functions from octets to Rust values.
//!
//! A `*_data` parser gets the format code apart from the data, because an array has one code for all its elements.

mod encoding;

use bytes::Bytes;
use bytestring::ByteString;
use nom::bytes::complete::take;
use nom::combinator::map;
use nom::number::complete::{be_f32, be_f64, be_i8, be_i16, be_i32, be_i64, be_u8, be_u16, be_u32, be_u64};
use nom::{IResult, Parser};
use uuid::Uuid;

use super::constructor::{ElementType, Layout, code, lookup};
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

pub(crate) fn bool_data(code: u8, data: &[u8]) -> Parsed<'_, bool> {
    match code {
        code::TRUE => Ok((data, true)),
        code::FALSE => Ok((data, false)),
        code::BOOLEAN => {
            let (rest, octet) = be_u8(data)?;
            match octet {
                0 => Ok((rest, false)),
                1 => Ok((rest, true)),
                other => fail(data.len(), "boolean octet 0x00 or 0x01", Found::Octet(other)),
            }
        }
        other => wrong_code(data, "boolean", other),
    }
}

pub(crate) fn uint_data(code: u8, data: &[u8]) -> Parsed<'_, u32> {
    match code {
        code::UINT0 => Ok((data, 0)),
        code::SMALLUINT => map(be_u8, u32::from).parse(data),
        code::UINT => be_u32(data),
        other => wrong_code(data, "uint", other),
    }
}

pub(crate) fn ulong_data(code: u8, data: &[u8]) -> Parsed<'_, u64> {
    match code {
        code::ULONG0 => Ok((data, 0)),
        code::SMALLULONG => map(be_u8, u64::from).parse(data),
        code::ULONG => be_u64(data),
        other => wrong_code(data, "ulong", other),
    }
}

pub(crate) fn int_data(code: u8, data: &[u8]) -> Parsed<'_, i32> {
    match code {
        code::SMALLINT => map(be_i8, i32::from).parse(data),
        code::INT => be_i32(data),
        other => wrong_code(data, "int", other),
    }
}

pub(crate) fn long_data(code: u8, data: &[u8]) -> Parsed<'_, i64> {
    match code {
        code::SMALLLONG => map(be_i8, i64::from).parse(data),
        code::LONG => be_i64(data),
        other => wrong_code(data, "long", other),
    }
}

pub(crate) fn char_data(code: u8, data: &[u8]) -> Parsed<'_, char> {
    if code != code::CHAR {
        return wrong_code(data, "char", code);
    }
    let (rest, scalar) = be_u32(data)?;
    match char::from_u32(scalar) {
        Some(char) => Ok((rest, char)),
        None => fail(data.len(), "a Unicode scalar value", Found::Number(u64::from(scalar))),
    }
}

/// Parsers of the types that have a single form.
macro_rules! single_form {
    ($($parser:ident -> $type:ty = $code:ident $name:literal, $data:expr;)*) => {
        $(pub(crate) fn $parser(code: u8, data: &[u8]) -> Parsed<'_, $type> {
            if code == code::$code { $data.parse(data) } else { wrong_code(data, $name, code) }
        })*
    };
}

single_form! {
    ubyte_data -> u8 = UBYTE "ubyte", be_u8;
    ushort_data -> u16 = USHORT "ushort", be_u16;
    byte_data -> i8 = BYTE "byte", be_i8;
    short_data -> i16 = SHORT "short", be_i16;
    float_data -> f32 = FLOAT "float", be_f32;
    double_data -> f64 = DOUBLE "double", be_f64;
    timestamp_data -> i64 = TIMESTAMP "timestamp", be_i64;
    decimal32_data -> [u8; 4] = DECIMAL32 "decimal32", octets::<4>;
    decimal64_data -> [u8; 8] = DECIMAL64 "decimal64", octets::<8>;
    decimal128_data -> [u8; 16] = DECIMAL128 "decimal128", octets::<16>;
    uuid_data -> [u8; 16] = UUID "uuid", octets::<16>;
}

fn octets<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    match input.split_first_chunk::<N>() {
        Some((octets, rest)) => Ok((rest, *octets)),
        None => fail(input.len(), "more octets", Found::End(input.len())),
    }
}

/// A size or count of one octet or four, as a number that can be compared with lengths.
fn length(wide: bool, input: &[u8]) -> Parsed<'_, usize> {
    if wide {
        map(be_u32, |number| usize::try_from(number).unwrap_or(usize::MAX)).parse(input)
    } else {
        map(be_u8, usize::from).parse(input)
    }
}

fn number(number: usize) -> Found {
    Found::Number(u64::try_from(number).unwrap_or(u64::MAX))
}

/// The size of a variable-width value of the type that is wanted, of which that many octets are there.
#[inline]
pub(crate) fn variable_size(code: u8, expected: ElementType, data: &[u8]) -> Parsed<'_, usize> {
    match lookup(code) {
        Some((element, Layout::Variable { wide })) if element == expected => {
            let (rest, size) = length(wide, data)?;
            if size > rest.len() {
                return fail(data.len(), "a size within the input", number(size));
            }
            Ok((rest, size))
        }
        _ => wrong_code(data, expected.name(), code),
    }
}

/// Octets behind the count, and the count, of a list, map or array. As many octets are there, and the count is not
/// larger than they allow (save for arrays, whose elements may occupy none).
#[inline]
pub(crate) fn compound_size(code: u8, expected: ElementType, data: &[u8]) -> Parsed<'_, (usize, usize)> {
    let layout = match lookup(code) {
        Some((element, layout)) if element == expected => layout,
        _ => return wrong_code(data, expected.name(), code),
    };
    let wide = match layout {
        Layout::Compound { wide } | Layout::Array { wide } => wide,
        // list0: nothing follows
        Layout::Fixed(_) | Layout::Variable { .. } => return Ok((data, (0, 0))),
    };
    let (rest, size) = length(wide, data)?;
    if size > rest.len() {
        return fail(data.len(), "a size within the input", number(size));
    }
    let Some(items) = size.checked_sub(if wide { 4 } else { 1 }) else {
        return fail(data.len(), "a size that includes the count", number(size));
    };
    let (items_input, count) = length(wide, rest)?;
    if count > items && expected != ElementType::Array {
        return fail(rest.len(), "a count within the size", number(count));
    }
    Ok((items_input, (items, count)))
}

/// Moves over one value. Compounds are stepped over by their size; only descriptors are followed, without recursion,
/// so that nesting costs nothing and needs no limit here.
pub(crate) fn skip(input: &[u8]) -> Parsed<'_, ()> {
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
                let (contents, size) = length(wide, data)?;
                if size > contents.len() {
                    return fail(data.len(), "a size within the input", number(size));
                }
                take(size).parse(contents)?.0
            }
        };
        values -= 1;
    }
    Ok((rest, ()))
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
            Ok((rest, table.iter().find(|known| known.code == descriptor).map(|known| known.code)))
        }
        code::SYM8 | code::SYM32 => {
            let (rest, size) = variable_size(code, ElementType::Symbol, data)?;
            let (rest, symbol) = take(size).parse(rest)?;
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
            fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
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
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        let code = input.code()?;
        input.variable(code, ElementType::Binary)
    }
}

impl Decode for ByteString {
    #[inline]
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        let code = input.code()?;
        string_data(code, input)
    }
}

#[inline]
pub(crate) fn string_data(code: u8, input: &mut Decoder) -> Result<ByteString, DecodeError> {
    let octets = input.variable(code, ElementType::String)?;
    let len = octets.len();
    ByteString::try_from(octets).map_err(|_| {
        let left = input.remaining() + len;
        DecodeError::new(
            input.offset().saturating_sub(len),
            Fault::new(left, "string in UTF-8", Found::Text("octets that are not")),
        )
    })
}

impl<T: Decode> Decode for Option<T> {
    #[inline]
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError> {
        if input.take_null() { Ok(None) } else { T::decode(input).map(Some) }
    }
}
