//! The trait that turns octets into values, and the decoder that carries the position, the bounds and the limits.

use ascii::AsciiStr;
use bytes::Bytes;

use crate::composite::Descriptor;
use crate::error::{DecodeError, Fault, Found, RESOURCE_LIMIT_EXCEEDED};
use crate::types::ByteString;
use crate::types::constructor::code;
use crate::types::primitive::{self, BINARY, CompoundForm, Parsed, STRING, VariableForm};
use std::ops::Range;

/// What a decoder of octets stands on that were checked before: it shares none of them.
static NO_SOURCE: Bytes = Bytes::new();

/// What can be read from AMQP octets.
///
/// Every legal encoding is accepted, not only the smallest one. After an error the position of the decoder is
/// unspecified: drop it.
pub trait Decode: Sized {
    /// Reads one value and moves behind it.
    ///
    /// # Errors
    /// Where the octets are no legal encoding of this type, or a limit is exceeded.
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// Reads one value that takes up all of `bytes`.
    ///
    /// # Errors
    /// Like [`decode`](Decode::decode), and where octets are left over.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(&bytes);
        match Self::decode(&mut input) {
            Ok(_) if !input.is_empty() => {
                Err(input.error("the end of the input", Found::Trailing(input.remaining())))
            }
            // handed on as it is: large types are not moved again
            decoded => decoded,
        }
    }
}

/// What can be read from AMQP octets and stays tied to them: `&str`, `&[u8]` and the types whose names end in `Ref` borrow
/// texts and octets, and copy, share or allocate nothing. Whatever is [`Decode`] is this too, and is read as it is there: it
/// owns what it holds.
///
/// The rules are those of [`Decode`], and so are the errors: what one refuses, the other refuses.
///
/// ```
/// use amqp_codec::types::ValueRef;
/// use amqp_codec::{Bytes, DecodeRef, Decoder};
///
/// let octets = Bytes::from_static(b"\xa1\x05seven\x52\x07");
/// let mut input = Decoder::new(&octets);
/// assert_eq!(<&str>::decode_ref(&mut input)?, "seven");
/// assert_eq!(ValueRef::decode_ref(&mut input)?, ValueRef::Uint(7));
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
pub trait DecodeRef<'a>: Sized {
    /// Reads one value and moves behind it.
    ///
    /// # Errors
    /// Where the octets are no legal encoding of this type, or a limit is exceeded.
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError>;

    /// Reads one value that takes up all of `bytes`.
    ///
    /// # Errors
    /// Like [`decode_ref`](DecodeRef::decode_ref), and where octets are left over.
    fn borrow_from(bytes: &'a Bytes) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        let decoded = Self::decode_ref(&mut input)?;
        input.expect_end("the end of the input")?;
        Ok(decoded)
    }
}

impl<'a, T: Decode> DecodeRef<'a> for T {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        T::decode(input)
    }
}

impl<'a> DecodeRef<'a> for &'a str {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let octets = input.run(|input| primitive::variable_with_code(STRING, input))?;
        input.as_text(octets, STRING)
    }
}

impl<'a> DecodeRef<'a> for &'a [u8] {
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        input.run(|input| primitive::variable_with_code(BINARY, input))
    }
}

/// How much a decoder takes on before it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How deeply lists, maps, arrays and descriptors may be nested in each other, counted together. Default 32:
    /// far above what peers send, far below what the stack holds. Deeper ones are `amqp:decode-error`. Each level takes
    /// stack when it is decoded, encoded, compared and dropped: raise this only where there is enough of it.
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
/// Binaries, long strings, long symbols and payloads that are kept share the buffer; short ones are copied.
///
/// ```
/// use amqp_codec::{Bytes, Decode, Decoder};
///
/// let octets = Bytes::from_static(b"\x52\x07\xa1\x05seven");
/// let mut input = Decoder::new(&octets);
/// assert_eq!(u32::decode(&mut input)?, 7);
/// assert_eq!(input.offset(), 2);
/// assert_eq!(input.rest(), &b"\xa1\x05seven"[..]);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    source: &'a Bytes,
    /// What is left of the source, up to the end of the compound being read.
    input: &'a [u8],
    /// Octets of the source behind `input`.
    behind: usize,
    depth_left: usize,
    zero_width_left: usize,
    /// Items of compounds that may still be announced. Every one takes at least an octet that no other one takes, so
    /// the octets of the input bound them all together, however compounds are nested.
    items_left: usize,
    /// Whether these octets were read before, so that borrowed compounds need not look into themselves again.
    is_checked: bool,
}

/// A list, map or array whose items are being read: the decoder ends where it ends.
#[derive(Debug)]
pub(crate) struct Compound<'a> {
    /// Items announced; never more than octets are there, save in arrays, which check it themselves.
    pub(crate) count: usize,
    /// What follows behind it.
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A decoder of `bytes` with the default [`Limits`].
    #[must_use]
    pub fn new(bytes: &'a Bytes) -> Self {
        Self::with_limits(bytes, Limits::default())
    }

    /// A decoder of `bytes` with limits of one's own.
    #[must_use]
    pub fn with_limits(bytes: &'a Bytes, limits: Limits) -> Self {
        Self {
            source: bytes,
            input: bytes,
            behind: 0,
            depth_left: limits.max_depth,
            zero_width_left: limits.max_zero_width,
            items_left: bytes.len(),
            is_checked: false,
        }
    }

    /// A decoder of what stands in `bytes` behind so many octets, such as a frame's header, with the default [`Limits`].
    /// Offsets count from the start of `bytes`.
    #[must_use]
    #[inline]
    pub fn at(bytes: &'a Bytes, offset: usize) -> Self {
        Self::part(bytes, offset..bytes.len())
    }

    /// A decoder of a part of `bytes` that knows its place in the whole: errors tell offsets from the start of `bytes`.
    /// A part that is not there is empty.
    #[inline]
    pub(crate) fn part(bytes: &'a Bytes, part: Range<usize>) -> Self {
        let behind = bytes.len().saturating_sub(part.end);
        let mut decoder = Self::new(bytes);
        decoder.input = bytes.get(part).unwrap_or_default();
        decoder.behind = behind;
        decoder.count_items_anew();
        decoder
    }

    /// This decoder, with other limits.
    #[inline]
    pub(crate) const fn under(mut self, limits: Limits) -> Self {
        self.depth_left = limits.max_depth;
        self.zero_width_left = limits.max_zero_width;
        self
    }

    /// What is left of the limits.
    #[inline]
    pub(crate) const fn limits_left(&self) -> Limits {
        Limits { max_depth: self.depth_left, max_zero_width: self.zero_width_left }
    }

    /// A decoder of items that were read before, with all checks, and are now read again one by one.
    #[inline]
    pub(crate) fn again(items: &'a [u8]) -> Self {
        Self {
            source: &NO_SOURCE,
            input: items,
            behind: 0,
            depth_left: usize::MAX,
            zero_width_left: 0,
            items_left: 0,
            is_checked: true,
        }
    }

    /// Whether these octets were read before, with all checks.
    #[inline]
    pub(crate) const fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// Bounds the items that are still to come by the octets that are left: all items so far were there.
    #[inline]
    pub(crate) const fn count_items_anew(&mut self) {
        self.items_left = self.input.len();
    }

    /// How many octets behind those that are left count as room for items too.
    pub(crate) const fn items_behind(&self) -> usize {
        self.items_left.saturating_sub(self.input.len())
    }

    /// As [`Decoder::count_items_anew`], with so many octets behind those that are left.
    pub(crate) const fn count_items_with(&mut self, behind: usize) {
        self.items_left = self.input.len().saturating_add(behind);
    }

    /// Leaves out what is behind this place.
    #[inline]
    pub(crate) fn end_at(&mut self, end: usize) {
        let cut = self.end().saturating_sub(end);
        let len = self.input.len().saturating_sub(cut);
        self.input = self.input.get(..len).unwrap_or_default();
        self.behind += cut;
    }

    /// Moves over the descriptor of a described value, which stays to be read.
    pub(crate) fn skip_descriptor(&mut self) -> Result<(), DecodeError> {
        self.code()?;
        self.skip()
    }

    /// What is left, borrowed; the decoder does not move.
    #[inline]
    pub(crate) const fn left(&self) -> &'a [u8] {
        self.input
    }

    /// The buffer that all this is in.
    #[inline]
    pub(crate) const fn source(&self) -> &'a Bytes {
        self.source
    }

    /// Octets that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.input.len()
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    /// Octets read so far.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.end().saturating_sub(self.input.len())
    }

    /// Where the input ends in the source.
    #[inline]
    pub(crate) const fn end(&self) -> usize {
        self.source.len().saturating_sub(self.behind)
    }

    /// Takes all that is left, without a copy.
    pub fn rest(&mut self) -> Bytes {
        let len = self.input.len();
        self.input = &[];
        self.last(len)
    }

    /// Moves over one complete value without looking at the contents of lists, maps and arrays. What is nested too
    /// deeply to be decoded can be skipped all the same.
    ///
    /// # Errors
    /// Where the value does not end within the input, or a format code in front of it is unassigned.
    #[inline]
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.run(primitive::skip)
    }

    /// The format code of the next value, if there is one; the decoder does not move.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.input.first().copied()
    }

    /// Runs a parser over what is left and moves behind what it took.
    #[inline]
    pub(crate) fn run<T>(
        &mut self,
        parser: impl FnOnce(&'a [u8]) -> Parsed<'a, T>,
    ) -> Result<T, DecodeError> {
        match parser(self.input) {
            Ok((rest, value)) => {
                self.input = rest;
                Ok(value)
            }
            Err(fault) => Err(self.fault(fault)),
        }
    }

    #[cold]
    fn fault(&self, fault: nom::Err<Fault>) -> DecodeError {
        match fault {
            nom::Err::Error(fault) | nom::Err::Failure(fault) => {
                DecodeError::new(self.end().saturating_sub(fault.left), fault)
            }
            nom::Err::Incomplete(_) => self.error("more octets", Found::End(self.remaining())),
        }
    }

    /// An error at the present position.
    #[cold]
    pub(crate) fn error(&self, expected: &'static str, found: Found) -> DecodeError {
        DecodeError::new(self.offset(), Fault::new(self.remaining(), expected, found))
    }

    /// An error about the next value, whatever it is.
    #[cold]
    pub(crate) fn unexpected(&self, expected: &'static str) -> DecodeError {
        self.error(expected, self.peek().map_or(Found::End(0), Found::Code))
    }

    #[inline]
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
        match self.input.split_first() {
            Some((&code::NULL, rest)) => {
                self.input = rest;
                true
            }
            _ => false,
        }
    }

    /// The octets of a variable-width value whose format code was taken, shared.
    #[inline]
    pub(crate) fn shared(&mut self, code: u8, form: VariableForm) -> Result<Bytes, DecodeError> {
        let len = self.run(|input| primitive::variable(code, form, input))?.len();
        Ok(self.last(len))
    }

    /// The octets taken last, shared.
    #[inline]
    fn last(&self, len: usize) -> Bytes {
        let end = self.offset();
        self.source.slice(end - len..end)
    }

    /// A text whose format code was taken: a short one is copied, a long one shared.
    // A call of its own would move the string once more: strings in maps take a sixth longer then.
    #[inline(always)]
    pub(crate) fn text(&mut self, code: u8, form: VariableForm) -> Result<ByteString, DecodeError> {
        let octets = self.run(|input| primitive::variable(code, form, input))?;
        self.own_text(octets, form)
    }

    /// The text of octets taken last: a short one is copied, a long one shared.
    #[inline(always)]
    pub(crate) fn own_text(&self, octets: &[u8], form: VariableForm) -> Result<ByteString, DecodeError> {
        if form.is_ascii && !octets.is_ascii() {
            return Err(self.bad_text(octets.len(), "symbol in ASCII", "octets above 0x7f"));
        }
        let text = match ByteString::short(octets) {
            Some(text) => text,
            None => ByteString::try_from(self.last(octets.len())),
        };
        text.map_err(|_| self.bad_text(octets.len(), "string in UTF-8", "octets that are not"))
    }

    /// Takes the octets of a value of up to 255 octets, if that is what comes next.
    #[inline]
    pub(crate) fn take_short(&mut self, form: VariableForm) -> Option<&'a [u8]> {
        let (code, data) = self.input.split_first()?;
        let (size, contents) = data.split_first()?;
        if *code != form.narrow {
            return None;
        }
        let (octets, rest) = contents.split_at_checked(usize::from(*size))?;
        self.input = rest;
        Some(octets)
    }

    /// Takes so many octets, if they are there.
    #[inline]
    pub(crate) fn take_octets<const WIDTH: usize>(&mut self) -> Option<[u8; WIDTH]> {
        let (octets, rest) = self.input.split_first_chunk()?;
        self.input = rest;
        Some(*octets)
    }

    /// A text whose format code was taken, borrowed.
    #[inline]
    pub(crate) fn borrowed_text(&mut self, code: u8, form: VariableForm) -> Result<&'a str, DecodeError> {
        let octets = self.run(|input| primitive::variable(code, form, input))?;
        self.as_text(octets, form)
    }

    /// The text of octets taken last.
    #[inline]
    pub(crate) fn as_text(&self, octets: &'a [u8], form: VariableForm) -> Result<&'a str, DecodeError> {
        if let Ok(text) = AsciiStr::from_ascii(octets) {
            return Ok(text.as_str());
        }
        self.rare_text(octets, form)
    }

    /// A text that is not ASCII.
    #[inline(never)]
    fn rare_text(&self, octets: &'a [u8], form: VariableForm) -> Result<&'a str, DecodeError> {
        if form.is_ascii {
            return Err(self.bad_text(octets.len(), "symbol in ASCII", "octets above 0x7f"));
        }
        match std::str::from_utf8(octets) {
            Ok(text) => Ok(text),
            Err(_) => Err(self.bad_text(octets.len(), "string in UTF-8", "octets that are not")),
        }
    }

    /// The error about a text taken last.
    #[cold]
    fn bad_text(&self, len: usize, expected: &'static str, found: &'static str) -> DecodeError {
        DecodeError::new(self.offset() - len, Fault::new(0, expected, Found::Text(found)))
    }

    /// Takes the descriptor of a described value if it is one of `table`, and tells which. The decoder does not move
    /// otherwise.
    #[inline]
    pub(crate) fn descriptor(&mut self, table: &[Descriptor]) -> Result<Option<u64>, DecodeError> {
        // nearly always a small ulong
        if let [code::DESCRIBED, code::SMALLULONG, small, rest @ ..] = self.input {
            let known = primitive::known(table, u64::from(*small));
            if known.is_some() {
                self.input = rest;
            }
            return Ok(known);
        }
        self.rare_descriptor(table)
    }

    #[cold]
    fn rare_descriptor(&mut self, table: &[Descriptor]) -> Result<Option<u64>, DecodeError> {
        let before = self.input;
        let known = self.run(|input| primitive::descriptor(table, input))?;
        if known.is_none() {
            self.input = before;
        }
        Ok(known)
    }

    /// One level deeper, or the error that it is too deep.
    #[inline]
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
    #[inline]
    pub(crate) const fn ascend(&mut self) {
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
            _ => Err(self.bad_count(count)),
        }
    }

    #[cold]
    pub(crate) fn bad_count(&self, count: usize) -> DecodeError {
        let found = Found::Number(u64::try_from(count).unwrap_or(u64::MAX));
        self.error("a count of items that are there", found)
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
    pub(crate) fn enter(&mut self, code: u8, form: CompoundForm) -> Result<Compound<'a>, DecodeError> {
        self.descend()?;
        let (items, count) = self.run(|input| primitive::compound(code, form, input))?;
        let rest = std::mem::replace(&mut self.input, items);
        self.behind += rest.len();
        if form.counts_octets {
            self.charge_items(count)?;
        }
        Ok(Compound { count, rest })
    }

    /// Leaves a compound, all of whose octets must have been read.
    #[inline]
    pub(crate) fn leave(&mut self, compound: &Compound<'a>) -> Result<(), DecodeError> {
        self.expect_end("the end of the compound, by its count")?;
        self.input = compound.rest;
        self.behind -= compound.rest.len();
        self.ascend();
        Ok(())
    }
}
