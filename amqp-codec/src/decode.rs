//! The trait that turns octets into values, and the decoder that carries the position, the bounds and the limits.

use bytes::Bytes;

use crate::composite::Descriptor;
use crate::error::{DecodeError, Fault, Found, RESOURCE_LIMIT_EXCEEDED};
use crate::types::constructor::{ElementType, code};
use crate::types::primitive::{self, Parsed};

/// What can be read from AMQP octets.
///
/// Every legal encoding is accepted, not only the smallest one. After an error the position of the decoder is
/// unspecified: drop it.
pub trait Decode: Sized {
    /// Reads one value and moves behind it.
    ///
    /// # Errors
    /// Where the octets are no legal encoding of this type, or a limit is exceeded.
    fn decode(input: &mut Decoder) -> Result<Self, DecodeError>;

    /// Reads one value that takes up all of `bytes`.
    ///
    /// # Errors
    /// Like [`decode`](Decode::decode), and where octets are left over.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        let value = Self::decode(&mut input)?;
        input.expect_end("the end of the input")?;
        Ok(value)
    }
}

/// How much a decoder takes on before it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deeply lists, maps, arrays and descriptors may be nested in each other, counted together. Default 32:
    /// far above what peers send, far below what the stack holds. Deeper ones are `amqp:decode-error`.
    pub max_depth: usize,
    /// How many array elements that occupy no octet (null, true, empty lists …) one input may announce in all.
    /// Default 65 536, which bounds their memory at about 2.6 MB. More are `amqp:resource-limit-exceeded`.
    pub max_zero_width: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 32, max_zero_width: 65_536 }
    }
}

/// Octets being decoded: a position in one shared buffer.
///
/// Binaries, strings, symbols and payloads that are kept share the buffer; nothing is copied.
///
/// ```
/// use amqp_codec::{Bytes, Decode, Decoder};
///
/// let mut input = Decoder::new(Bytes::from_static(b"\x52\x07\xa1\x05seven"));
/// assert_eq!(u32::decode(&mut input)?, 7);
/// assert_eq!(input.offset(), 2);
/// assert_eq!(input.rest(), &b"\xa1\x05seven"[..]);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    bytes: Bytes,
    /// Invariant: `pos <= end <= bytes.len()`.
    pos: usize,
    end: usize,
    depth_left: usize,
    zero_width_left: usize,
    /// Items of compounds that may still be announced. Every one takes at least an octet that no other one takes, so
    /// the octets of the input bound them all together, however compounds are nested.
    items_left: usize,
}

/// A list, map or array whose items are being read: the decoder ends where it ends.
#[derive(Debug)]
pub(crate) struct Compound {
    /// Items announced; never more than octets are there, save in arrays, which check it themselves.
    pub(crate) count: usize,
    outer_end: usize,
}

impl Decoder {
    /// A decoder of `bytes` with the default [`Limits`].
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self::with_limits(bytes, Limits::default())
    }

    /// A decoder of `bytes` with limits of one's own.
    #[must_use]
    pub fn with_limits(bytes: Bytes, limits: Limits) -> Self {
        let end = bytes.len();
        Self {
            bytes,
            pos: 0,
            end,
            depth_left: limits.max_depth,
            zero_width_left: limits.max_zero_width,
            items_left: end,
        }
    }

    /// Octets that are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.end - self.pos
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pos == self.end
    }

    /// Octets read so far.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.pos
    }

    /// Takes all that is left, without a copy.
    pub fn rest(&mut self) -> Bytes {
        let rest = self.bytes.slice(self.pos..self.end);
        self.pos = self.end;
        rest
    }

    /// Moves over one complete value without looking at the contents of lists, maps and arrays. What is nested too
    /// deeply to be decoded can be skipped all the same.
    ///
    /// # Errors
    /// Where the value does not end within the input, or a format code in front of it is unassigned.
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.run(primitive::skip)
    }

    /// The format code of the next value, if there is one; the decoder does not move.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.input().first().copied()
    }

    pub(crate) fn input(&self) -> &[u8] {
        self.bytes.get(self.pos..self.end).unwrap_or_default()
    }

    /// Runs a parser over what is left and moves behind what it took.
    #[inline]
    pub(crate) fn run<T>(
        &mut self,
        parser: impl for<'a> FnOnce(&'a [u8]) -> Parsed<'a, T>,
    ) -> Result<T, DecodeError> {
        match parser(self.input()) {
            Ok((rest, value)) => {
                self.pos = self.end - rest.len();
                Ok(value)
            }
            Err(nom::Err::Error(fault) | nom::Err::Failure(fault)) => Err(self.fault(fault)),
            Err(nom::Err::Incomplete(_)) => Err(self.error("more octets", Found::End(self.remaining()))),
        }
    }

    #[cold]
    fn fault(&self, fault: Fault) -> DecodeError {
        DecodeError::new(self.end.saturating_sub(fault.left), fault)
    }

    /// An error at the present position.
    #[cold]
    pub(crate) fn error(&self, expected: &'static str, found: Found) -> DecodeError {
        DecodeError::new(self.pos, Fault::new(self.remaining(), expected, found))
    }

    /// An error about the next value, whatever it is.
    #[cold]
    pub(crate) fn unexpected(&self, expected: &'static str) -> DecodeError {
        self.error(expected, self.peek().map_or(Found::End(0), Found::Code))
    }

    pub(crate) fn expect_end(&self, expected: &'static str) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(self.error(expected, Found::Trailing(self.remaining()))) }
    }

    /// The next format code, taken.
    #[inline]
    pub(crate) fn code(&mut self) -> Result<u8, DecodeError> {
        self.run(primitive::format_code)
    }

    /// Takes a null, if that is what comes next.
    #[inline]
    pub(crate) fn take_null(&mut self) -> bool {
        let is_null = self.peek() == Some(code::NULL);
        if is_null {
            self.pos += 1;
        }
        is_null
    }

    /// The octets of a variable-width value whose format code was taken, shared.
    #[inline]
    pub(crate) fn variable(&mut self, code: u8, expected: ElementType) -> Result<Bytes, DecodeError> {
        let len = self.run(|input| primitive::variable_size(code, expected, input))?;
        let start = self.pos;
        self.pos += len;
        Ok(self.bytes.slice(start..self.pos))
    }

    /// Takes the descriptor of a described value if it is one of `table`, and tells which. The decoder does not move
    /// otherwise.
    #[inline]
    pub(crate) fn descriptor(&mut self, table: &[Descriptor]) -> Result<Option<u64>, DecodeError> {
        let before = self.pos;
        let known = self.run(|input| primitive::descriptor(table, input))?;
        if known.is_none() {
            self.pos = before;
        }
        Ok(known)
    }

    /// One level deeper, or the error that it is too deep.
    pub(crate) fn descend(&mut self) -> Result<(), DecodeError> {
        match self.depth_left.checked_sub(1) {
            Some(left) => {
                self.depth_left = left;
                Ok(())
            }
            None => Err(self.error("less nesting", Found::Text("one level too many"))),
        }
    }

    /// One level back up.
    pub(crate) fn ascend(&mut self) {
        self.depth_left += 1;
    }

    /// Accounts for items that take an octet or more, before room is made for them.
    #[inline]
    pub(crate) fn charge_items(&mut self, count: usize) -> Result<(), DecodeError> {
        match self.items_left.checked_sub(count) {
            Some(left) if count <= self.remaining() => {
                self.items_left = left;
                Ok(())
            }
            _ => {
                let found = Found::Number(u64::try_from(count).unwrap_or(u64::MAX));
                Err(self.error("a count of items that are there", found))
            }
        }
    }

    /// Accounts for array elements that occupy no octet.
    pub(crate) fn charge_zero_width(&mut self, count: usize) -> Result<(), DecodeError> {
        match self.zero_width_left.checked_sub(count) {
            Some(left) => {
                self.zero_width_left = left;
                Ok(())
            }
            None => Err(self
                .error(
                    "fewer array elements without octets",
                    Found::Number(u64::try_from(count).unwrap_or(u64::MAX)),
                )
                .with_condition(RESOURCE_LIMIT_EXCEEDED)),
        }
    }

    /// Enters a list, map or array whose format code was taken: size and count are checked, and until
    /// [`leave`](Self::leave) the input ends where the compound does.
    #[inline]
    pub(crate) fn enter(&mut self, code: u8, expected: ElementType) -> Result<Compound, DecodeError> {
        self.descend()?;
        let (size, count) = self.run(|input| primitive::compound_size(code, expected, input))?;
        let outer_end = self.end;
        self.end = self.pos + size;
        if expected != ElementType::Array {
            self.charge_items(count)?;
        }
        Ok(Compound { count, outer_end })
    }

    /// Leaves a compound, all of whose octets must have been read.
    #[inline]
    pub(crate) fn leave(&mut self, compound: &Compound) -> Result<(), DecodeError> {
        self.expect_end("the end of the compound, by its count")?;
        self.end = compound.outer_end;
        self.ascend();
        Ok(())
    }
}
