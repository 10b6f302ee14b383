//! Encoders of the primitive types: the smallest form of each value.

use crate::encode::{Encode, put_variable, variable_len};
use crate::types::constructor::code;
use crate::types::{ByteString, Decimal32, Decimal64, Decimal128, Symbol, Timestamp};
use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

/// Encoding of the types that have one form, whose length is constant.
macro_rules! encode_single_form {
    ($($type:ty = $code:ident, $width:literal, |$value:ident| $octets:expr;)*) => {
        $(impl Encode for $type {
            #[inline]
            fn encoded_len(&self) -> usize {
                1 + $width
            }

            #[inline]
            fn encode(&self, out: &mut BytesMut) {
                let $value = self;
                out.put_u8(code::$code);
                out.put_slice(&$octets);
            }
        })*
    };
}

encode_single_form! {
    u8 = UBYTE, 1, |value| [*value];
    u16 = USHORT, 2, |value| value.to_be_bytes();
    i8 = BYTE, 1, |value| value.to_be_bytes();
    i16 = SHORT, 2, |value| value.to_be_bytes();
    f32 = FLOAT, 4, |value| value.to_be_bytes();
    f64 = DOUBLE, 8, |value| value.to_be_bytes();
    char = CHAR, 4, |value| u32::from(*value).to_be_bytes();
    Uuid = UUID, 16, |value| *value.as_bytes();
    Timestamp = TIMESTAMP, 8, |value| value.0.to_be_bytes();
    Decimal32 = DECIMAL32, 4, |value| value.0;
    Decimal64 = DECIMAL64, 8, |value| value.0;
    Decimal128 = DECIMAL128, 16, |value| value.0;
}

/// Encoding of the integers that have a short form of one octet.
macro_rules! encode_integer {
    ($($type:ty = $full:ident $width:literal, $small:ident as $octet:ty;)*) => {
        $(impl Encode for $type {
            #[inline]
            fn encoded_len(&self) -> usize {
                if <$octet>::try_from(*self).is_ok() { 2 } else { 1 + $width }
            }

            #[inline]
            fn encode(&self, out: &mut BytesMut) {
                match <$octet>::try_from(*self) {
                    Ok(octet) => {
                        out.put_u8(code::$small);
                        out.put_slice(&octet.to_be_bytes());
                    }
                    Err(_) => {
                        out.put_u8(code::$full);
                        out.put_slice(&self.to_be_bytes());
                    }
                }
            }
        })*
    };
}

encode_integer! {
    i32 = INT 4, SMALLINT as i8;
    i64 = LONG 8, SMALLLONG as i8;
}

/// Encoding of the integers that have a form for zero beside the short one.
macro_rules! encode_unsigned {
    ($($type:ty = $full:ident $width:literal, $small:ident, $zero:ident;)*) => {
        $(impl Encode for $type {
            #[inline]
            fn encoded_len(&self) -> usize {
                match *self {
                    0 => 1,
                    1..=255 => 2,
                    _ => 1 + $width,
                }
            }

            #[inline]
            fn encode(&self, out: &mut BytesMut) {
                match u8::try_from(*self) {
                    Ok(0) => out.put_u8(code::$zero),
                    Ok(octet) => out.put_slice(&[code::$small, octet]),
                    Err(_) => {
                        out.put_u8(code::$full);
                        out.put_slice(&self.to_be_bytes());
                    }
                }
            }
        })*
    };
}

encode_unsigned! {
    u32 = UINT 4, SMALLUINT, UINT0;
    u64 = ULONG 8, SMALLULONG, ULONG0;
}

impl Encode for bool {
    #[inline]
    fn encoded_len(&self) -> usize {
        1
    }

    #[inline]
    fn encode(&self, out: &mut BytesMut) {
        out.put_u8(if *self { code::TRUE } else { code::FALSE });
    }
}

/// Encoding of what is a size and octets.
macro_rules! encode_variable {
    ($($type:ty = $narrow:ident, $wide:ident, |$value:ident| $octets:expr;)*) => {
        $(impl Encode for $type {
            #[inline]
            fn encoded_len(&self) -> usize {
                let $value = self;
                variable_len($octets.len())
            }

            #[inline]
            fn encode(&self, out: &mut BytesMut) {
                let $value = self;
                put_variable(out, code::$narrow, code::$wide, $octets);
            }
        })*
    };
}

encode_variable! {
    Bytes = VBIN8, VBIN32, |value| value.as_ref();
    [u8] = VBIN8, VBIN32, |value| value;
    ByteString = STR8, STR32, |value| value.as_bytes();
    str = STR8, STR32, |value| value.as_bytes();
    String = STR8, STR32, |value| value.as_bytes();
    Symbol = SYM8, SYM32, |value| value.as_str().as_bytes();
}

impl<T: Encode> Encode for Option<T> {
    #[inline]
    fn encoded_len(&self) -> usize {
        self.as_ref().map_or(1, Encode::encoded_len)
    }

    #[inline]
    fn encode(&self, out: &mut BytesMut) {
        match self {
            Some(value) => value.encode(out),
            None => out.put_u8(code::NULL),
        }
    }
}
