//! Strings (§1.6.20): short ones in place, long ones in shared octets.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str::Utf8Error;

use arrayvec::ArrayString;
use ascii::AsciiStr;
use bytes::Bytes;
use bytestring::ByteString as SharedString;

/// As many octets as fit in place without making the type larger.
const SHORT: usize = 20;

/// A string of Unicode characters in UTF-8.
///
/// Up to 20 octets are kept in place: reading such a string allocates nothing, counts no reference and does not keep
/// the buffer alive that it came from. Longer ones share the octets that they were read from. Clones copy no long text.
///
/// ```
/// use amqp_codec::ByteString;
///
/// const QUEUE: ByteString = ByteString::from_static("queue");
/// assert_eq!(QUEUE, "queue");
/// assert_eq!(ByteString::from("Grüße").to_uppercase(), "GRÜSSE");
/// ```
#[derive(Clone)]
pub struct ByteString(Repr);

#[derive(Clone)]
enum Repr {
    Short(ArrayString<SHORT>),
    Shared(SharedString),
}

impl ByteString {
    /// The string of a text that is part of the program; no allocation, usable in constants.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Shared(SharedString::from_static(text)))
    }

    /// The empty string.
    #[must_use]
    pub const fn new() -> Self {
        Self::from_static("")
    }

    /// The text.
    #[must_use]
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(text) => text,
            Repr::Shared(text) => text,
        }
    }

    /// The text's octets: shared if the string is long, copied if it is short.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Repr::Short(text) => Bytes::copy_from_slice(text.as_bytes()),
            Repr::Shared(text) => text.into_bytes(),
        }
    }

    /// A copy of octets in UTF-8; none if they do not fit in place.
    #[inline]
    pub(crate) fn short(octets: &[u8]) -> Option<Result<Self, Utf8Error>> {
        if octets.len() > SHORT {
            return None;
        }
        // For a few octets the check for ASCII takes half as long as that for UTF-8.
        let text = match AsciiStr::from_ascii(octets) {
            Ok(text) => text.as_str(),
            Err(_) => match std::str::from_utf8(octets) {
                Ok(text) => text,
                Err(error) => return Some(Err(error)),
            },
        };
        let mut short = ArrayString::new();
        // It fits: that was checked.
        short.try_push_str(text).ok()?;
        Some(Ok(Self(Repr::Short(short))))
    }
}

impl Default for ByteString {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&str> for ByteString {
    fn from(text: &str) -> Self {
        match ArrayString::from(text) {
            Ok(short) => Self(Repr::Short(short)),
            Err(_) => Self(Repr::Shared(text.into())),
        }
    }
}

impl From<String> for ByteString {
    fn from(text: String) -> Self {
        match ArrayString::from(&text) {
            Ok(short) => Self(Repr::Short(short)),
            Err(_) => Self(Repr::Shared(text.into())),
        }
    }
}

impl From<&Self> for ByteString {
    fn from(text: &Self) -> Self {
        text.clone()
    }
}

impl TryFrom<Bytes> for ByteString {
    type Error = Utf8Error;

    /// Shares the octets if the string is long.
    fn try_from(octets: Bytes) -> Result<Self, Utf8Error> {
        match Self::short(&octets) {
            Some(short) => short,
            None => SharedString::try_from(octets).map(|text| Self(Repr::Shared(text))),
        }
    }
}

impl Deref for ByteString {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for ByteString {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for ByteString {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for ByteString {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ByteString {}

impl PartialOrd for ByteString {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByteString {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for ByteString {
    /// As `str`, so that maps can be asked by `&str`.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for ByteString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for ByteString {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for ByteString {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<ByteString> for str {
    fn eq(&self, other: &ByteString) -> bool {
        self == other.as_str()
    }
}

impl PartialEq<ByteString> for &str {
    fn eq(&self, other: &ByteString) -> bool {
        *self == other.as_str()
    }
}

impl fmt::Display for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl fmt::Debug for ByteString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_string_is_the_same_in_place_and_shared() {
        let text = "exactly twenty bytes";
        assert_eq!(text.len(), SHORT);
        let (short, shared) = (ByteString::from(text), ByteString::from_static(text));
        assert!(matches!((&short.0, &shared.0), (Repr::Short(_), Repr::Shared(_))));
        assert_eq!(short, shared);
        assert_eq!(short.cmp(&shared), std::cmp::Ordering::Equal);
        assert!(HashSet::from([short]).contains(&shared));
    }

    #[test]
    fn only_long_strings_share_their_octets() {
        let octets = Bytes::from("twenty octets and one".to_owned());
        let shared = ByteString::try_from(octets.clone()).unwrap();
        assert_eq!(shared.as_str().as_ptr(), octets.as_ptr());
        let short = ByteString::try_from(octets.slice(..20)).unwrap();
        assert_ne!(short.as_str().as_ptr(), octets.as_ptr());
        assert_eq!(short.into_bytes(), octets.slice(..20));
    }

    #[test]
    fn octets_that_are_not_utf_8_are_no_string() {
        assert!(ByteString::try_from(Bytes::from_static(b"\xff")).is_err());
        assert!(ByteString::try_from(Bytes::from_static(b"an invalid octet at the end \xff")).is_err());
    }

    #[test]
    fn the_place_for_short_strings_costs_nothing() {
        assert_eq!(size_of::<ByteString>(), size_of::<SharedString>());
        assert_eq!(size_of::<crate::types::Value>(), 40);
    }
}
