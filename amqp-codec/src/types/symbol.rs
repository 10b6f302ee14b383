//! Symbols (§1.6.21): names from a constrained domain, in ASCII.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use super::{ByteString, primitive};
use crate::decode::{Decode, Decoder};
use crate::error::DecodeError;

/// A symbol: a name in ASCII, such as `amqp:not-found`. It is another type than the string of the same letters.
///
/// ```
/// use amqp_codec::types::Symbol;
///
/// const QUEUE: Symbol = Symbol::from_static("queue");
/// assert_eq!(QUEUE, "queue");
/// assert!(Symbol::try_from("Grüße").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Symbol(ByteString);

/// The text is no symbol: it holds something outside ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a symbol in ASCII, found another character")]
#[non_exhaustive]
pub struct NotAscii;

impl Symbol {
    /// The symbol of a text that is part of the program; no allocation, usable in constants.
    ///
    /// # Panics
    /// If the text is not ASCII; in a constant that is an error of the compiler.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.is_ascii(), "a symbol is ASCII");
        Self(ByteString::from_static(text))
    }

    /// The text of the symbol.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, as a string that shares the octets.
    #[must_use]
    pub fn into_string(self) -> ByteString {
        self.0
    }
}

impl TryFrom<ByteString> for Symbol {
    type Error = NotAscii;

    fn try_from(text: ByteString) -> Result<Self, NotAscii> {
        if text.is_ascii() { Ok(Self(text)) } else { Err(NotAscii) }
    }
}

impl TryFrom<&str> for Symbol {
    type Error = NotAscii;

    fn try_from(text: &str) -> Result<Self, NotAscii> {
        if text.is_ascii() { Ok(Self(ByteString::from(text))) } else { Err(NotAscii) }
    }
}

impl TryFrom<String> for Symbol {
    type Error = NotAscii;

    fn try_from(text: String) -> Result<Self, NotAscii> {
        Self::try_from(ByteString::from(text))
    }
}

impl Deref for Symbol {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Symbol {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Symbol {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Symbol {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Symbol {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<Symbol> for str {
    fn eq(&self, other: &Symbol) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<Symbol> for &str {
    fn eq(&self, other: &Symbol) -> bool {
        *self == other.as_str()
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({:?})", self.as_str())
    }
}

impl Symbol {
    #[inline]
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.text(code, primitive::SYMBOL).map(Self)
    }
}

impl Decode for Symbol {
    #[inline]
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let code = input.run(primitive::format_code)?;
        Self::decode_data(code, input)
    }
}
