//! What a decoder reports: where it stood, what it expected there and what it met.
//!
//! Inside the crate a miss is a small copyable [`Fault`]; it becomes a [`DecodeError`] with an absolute offset
//! only when it leaves a parser. Contents of the input are never quoted, so an error can be logged whatever the
//! octets were.

use std::fmt;

use nom::error::{ErrorKind, ParseError};

pub(crate) const DECODE_ERROR: &str = "amqp:decode-error";
pub(crate) const INVALID_FIELD: &str = "amqp:invalid-field";
pub(crate) const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
pub(crate) const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
pub(crate) const FRAMING_ERROR: &str = "amqp:connection:framing-error";

/// How many field names an error remembers: deeper ones are dropped, the innermost are kept.
const PATH_LIMIT: usize = 8;

/// Why octets could not be decoded.
///
/// It is one pointer wide, cheap to return, and clonable so that everyone who waits can have it.
///
/// ```
/// use amqp_codec::{Decode, Bytes};
///
/// let error = u32::from_bytes(Bytes::from_static(&[0xa1, 0x01, b'x'])).unwrap_err();
/// assert_eq!(error.offset(), 0);
/// assert_eq!(error.condition(), "amqp:decode-error");
/// assert_eq!(error.to_string(), "at offset 0: expected uint, found format code 0xa1 (string)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    offset: usize,
    fault: Fault,
    /// Composites, by symbolic descriptor or name, and fields; innermost first.
    path: Vec<(&'static str, &'static str)>,
}

impl DecodeError {
    #[cold]
    pub(crate) fn new(offset: usize, mut fault: Fault) -> Self {
        // What was left is told by the offset, which does not depend on where the input was made to end.
        fault.left = 0;
        Self(Box::new(Inner { offset, fault, path: Vec::new() }))
    }

    /// Octets from the start of the decoded input to the place of the fault.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What would have been legal there.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.0.fault.expected
    }

    /// What was there instead: codes, sizes and counts, never contents.
    #[must_use]
    pub fn found(&self) -> String {
        self.0.fault.found.to_string()
    }

    /// The error condition (§2.8.14-2.8.18) that a peer should be told, such as `amqp:decode-error`.
    #[must_use]
    pub fn condition(&self) -> &'static str {
        self.0.fault.condition
    }

    /// The composite and field in which decoding failed, by their names in the specification, outermost first, such as
    /// `attach.source/source.timeout` or `message.properties/properties.reply-to`; empty outside composites.
    #[must_use]
    pub fn path(&self) -> String {
        let names = self.0.path.iter().rev().map(|(composite, field)| {
            let composite = composite.split(':').nth(1).unwrap_or(composite);
            format!("{composite}.{}", field.replace('_', "-"))
        });
        names.collect::<Vec<_>>().join("/")
    }

    /// The same error, one composite further out.
    #[cold]
    pub(crate) fn within(mut self, composite: &'static str, field: &'static str) -> Self {
        if self.0.path.len() < PATH_LIMIT {
            self.0.path.push((composite, field));
        }
        self
    }

    /// The same error with another condition.
    #[cold]
    pub(crate) fn with_condition(mut self, condition: &'static str) -> Self {
        self.0.fault.condition = condition;
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at offset {}", self.0.offset)?;
        if !self.0.path.is_empty() {
            write!(f, " in {}", self.path())?;
        }
        write!(f, ": expected {}, found {}", self.0.fault.expected, self.0.fault.found)
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("offset", &self.0.offset)
            .field("path", &self.path())
            .field("expected", &self.0.fault.expected)
            .field("found", &self.found())
            .field("condition", &self.0.fault.condition)
            .finish()
    }
}

impl std::error::Error for DecodeError {}

/// A miss of a parser, counted from the end of its input because a parser does not know where that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Octets of input that were left at the place of the fault.
    pub(crate) left: usize,
    pub(crate) expected: &'static str,
    pub(crate) found: Found,
    pub(crate) condition: &'static str,
}

impl Fault {
    #[cold]
    pub(crate) fn new(left: usize, expected: &'static str, found: Found) -> Self {
        Self { left, expected, found, condition: DECODE_ERROR }
    }

    #[cold]
    pub(crate) fn condition(mut self, condition: &'static str) -> Self {
        self.condition = condition;
        self
    }
}

impl ParseError<&[u8]> for Fault {
    #[cold]
    fn from_error_kind(input: &[u8], _kind: ErrorKind) -> Self {
        Self::new(input.len(), "more octets", Found::End(input.len()))
    }

    fn append(_input: &[u8], _kind: ErrorKind, other: Self) -> Self {
        other
    }
}

/// What stood in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The end of the input after this many octets.
    End(usize),
    /// A format code (§1.2).
    Code(u8),
    /// A plain octet.
    Octet(u8),
    /// A number: a size, a count, a choice.
    Number(u64),
    /// This many octets too many.
    Trailing(usize),
    /// Something that words describe best.
    Text(&'static str),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::End(0) => f.write_str("the end of the input"),
            Self::End(1) => f.write_str("the end of the input after 1 octet"),
            Self::End(octets) => write!(f, "the end of the input after {octets} octets"),
            Self::Code(code) => match crate::types::type_of_code(code) {
                Some(name) => write!(f, "format code {code:#04x} ({name})"),
                None => write!(f, "unassigned format code {code:#04x}"),
            },
            Self::Octet(octet) => write!(f, "octet {octet:#04x}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Trailing(1) => f.write_str("1 octet too many"),
            Self::Trailing(octets) => write!(f, "{octets} octets too many"),
            Self::Text(text) => f.write_str(text),
        }
    }
}
