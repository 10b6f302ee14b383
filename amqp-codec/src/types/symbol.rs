//! Symbols (§1.6.21): names from a constrained domain, in ASCII.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;

use super::{ByteString, primitive};
use crate::decode::{Decode, DecodeRef, Decoder};
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

/// A [`Symbol`], borrowed from the octets that it was read from. It can be used as the `str` that it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SymbolRef<'a>(&'a str);

impl<'a> SymbolRef<'a> {
    /// The text of the symbol.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    #[inline]
    pub(crate) fn decode_data(code: u8, input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.borrowed_text(code, primitive::SYMBOL).map(Self)
    }
}

impl<'a> DecodeRef<'a> for SymbolRef<'a> {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let octets = input.run(|input| primitive::variable_with_code(primitive::SYMBOL, input))?;
        input.as_text(octets, primitive::SYMBOL).map(Self)
    }
}

impl Deref for SymbolRef<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl PartialEq<str> for SymbolRef<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for SymbolRef<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl From<SymbolRef<'_>> for Symbol {
    /// Copies the text.
    fn from(symbol: SymbolRef<'_>) -> Self {
        Self(ByteString::from(symbol.0))
    }
}

impl fmt::Display for SymbolRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for SymbolRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({:?})", self.0)
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
