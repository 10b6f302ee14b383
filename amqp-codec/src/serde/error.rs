//! Why a Rust type could not be turned into AMQP or back: what was expected, what was found, and in which field.

use crate::error::DecodeError;
use crate::types::Value;
use ::serde::{de, ser};
use std::fmt;

/// So many characters of a name that came from outside are quoted.
const QUOTED: usize = 64;

/// Why a value could not be turned into a Rust type, or the other way.
///
/// It says where, in the words of Rust (`order.lines[2].price`), and what was expected and found there. Texts and
/// octets that were found are not quoted, only names of fields and variants and numbers, so that it can be logged.
/// It is one pointer wide.
///
/// ```
/// use std::collections::BTreeMap;
///
/// let prices = amqp_codec::serde::to_value(&BTreeMap::from([("apple", vec!["cheap"])]))?;
/// let error = amqp_codec::serde::from_value::<BTreeMap<String, Vec<u32>>>(&prices).unwrap_err();
/// assert_eq!(error.path(), "apple[0]");
/// assert_eq!(error.to_string(), "apple[0]: expected uint, found string");
/// # Ok::<(), amqp_codec::serde::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    cause: Cause,
    /// Innermost first. Bounded by the nesting that is allowed.
    path: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Text(String),
    Decode(DecodeError),
}

/// One step from a value to a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// A field, a key that is text, or a variant.
    Name(String),
    /// An item of a list.
    Index(usize),
    /// A key that is no text.
    Key(String),
}

impl Segment {
    /// A name that may come from outside: control characters are escaped, the end of a long one is left out.
    pub(super) fn name(name: &str) -> Self {
        Self::Name(shortened(name))
    }

    /// The entry of a map under this key.
    pub(super) fn key(key: &Value) -> Self {
        match (key.as_str(), key.as_u64(), key.as_i64()) {
            (Some(name), ..) => Self::name(name),
            (_, Some(number), _) => Self::Key(number.to_string()),
            (_, _, Some(number)) => Self::Key(number.to_string()),
            _ => Self::Key(type_name(key).to_owned()),
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) | Self::Key(name) => f.write_str(name),
            Self::Index(index) => index.fmt(f),
        }
    }
}

fn shortened(name: &str) -> String {
    let mut quoted: String = name.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if name.chars().nth(QUOTED).is_some() {
        quoted.push('…');
    }
    quoted
}

/// The specification's name of a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    value.element_type().map_or("described value", crate::types::ElementType::name)
}

impl Error {
    #[cold]
    fn text(text: String) -> Self {
        Self(Box::new(Inner { cause: Cause::Text(text), path: Vec::new() }))
    }

    /// The error for a value of a type that has no place here.
    #[cold]
    pub(super) fn expected(expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::text(format!("expected {expected}, found {found}"))
    }

    /// The same error, seen from one level further out.
    #[cold]
    pub(super) fn within(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }

    /// The place of the fault, outermost name first, such as `order.lines[2].price`; empty where the value as a whole
    /// is at fault.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.0.path.iter().rev() {
            match segment {
                Segment::Name(name) if path.is_empty() => path.push_str(name),
                Segment::Name(name) => path.extend([".", name]),
                Segment::Index(_) | Segment::Key(_) => path.push_str(&format!("[{segment}]")),
            }
        }
        path
    }

    /// The fault of the octets, where they were no AMQP at all.
    #[must_use]
    pub fn as_decode_error(&self) -> Option<&DecodeError> {
        match &self.0.cause {
            Cause::Decode(error) => Some(error),
            Cause::Text(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            write!(f, "{}: ", self.path())?;
        }
        match &self.0.cause {
            Cause::Text(text) => f.write_str(text),
            Cause::Decode(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<DecodeError> for Error {
    #[cold]
    fn from(error: DecodeError) -> Self {
        Self(Box::new(Inner { cause: Cause::Decode(error), path: Vec::new() }))
    }
}

impl ser::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::text(message.to_string())
    }
}

impl de::Error for Error {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::text(message.to_string())
    }

    #[cold]
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected, Kind(found))
    }

    #[cold]
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected, Kind(found))
    }

    #[cold]
    fn invalid_length(count: usize, expected: &dyn de::Expected) -> Self {
        Self::expected(expected, format_args!("{count}"))
    }

    #[cold]
    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::expected(OneOf("variant", known), format_args!("`{}`", shortened(variant)))
    }

    #[cold]
    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::expected(OneOf("field", known), format_args!("`{}`", shortened(field)))
    }

    #[cold]
    fn missing_field(field: &'static str) -> Self {
        Self::expected(format_args!("field `{field}`"), "none")
    }

    #[cold]
    fn duplicate_field(field: &'static str) -> Self {
        Self::expected(format_args!("field `{field}` once"), "it twice")
    }
}

/// What serde found, without the texts and octets that it would quote.
struct Kind<'a>(de::Unexpected<'a>);

impl fmt::Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            de::Unexpected::Unsigned(number) => return write!(f, "integer {number}"),
            de::Unexpected::Signed(number) => return write!(f, "integer {number}"),
            de::Unexpected::Float(_) => "floating point number",
            de::Unexpected::Bool(_) => "boolean",
            de::Unexpected::Char(_) => "char",
            de::Unexpected::Str(_) => "string",
            de::Unexpected::Bytes(_) => "binary",
            de::Unexpected::Unit | de::Unexpected::Option => "null",
            de::Unexpected::Seq => "list",
            de::Unexpected::Map => "map",
            ref other => return other.fmt(f),
        })
    }
}

/// The names that are known.
struct OneOf(&'static str, &'static [&'static str]);

impl fmt::Display for OneOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, names) = self;
        match names.split_last() {
            None => write!(f, "no {what}"),
            Some((name, [])) => write!(f, "{what} `{name}`"),
            Some((last, names)) => {
                write!(f, "{what} ")?;
                for (n, name) in names.iter().enumerate() {
                    write!(f, "{}`{name}`", if n == 0 { "" } else { ", " })?;
                }
                write!(f, " or `{last}`")
            }
        }
    }
}
