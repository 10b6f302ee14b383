//! Where the sections of a message begin (§3.2) that has not come whole yet.

use super::sections::{AMQP_SEQUENCE, AMQP_VALUE, DATA, FOOTER, SECTIONS};
use crate::decode::Decoder;
use crate::error::DecodeError;
use crate::types::constructor::{Layout, code, lookup};
use crate::types::primitive::{narrow_length, wide_length};
use bytes::Bytes;

/// More octets than any section needs to tell what it is and how long: at most 36 of a descriptor that is a symbol, then
/// constructor and size.
const LONGEST: usize = 48;

/// The beginning of a section: enough to go on before the section is whole.
///
/// ```
/// use amqp_codec::Bytes;
/// use amqp_codec::messaging::SectionStart;
///
/// let begun = Bytes::from_static(b"\x00\x53\x75\xa0\x64the first of a hundred octets");
/// assert_eq!(SectionStart::of(&begun)?, Some(SectionStart::Data { start: 5, len: 100 }));
/// assert_eq!(SectionStart::of(&begun.slice(..4))?, None);
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SectionStart {
    /// Header, annotations, properties or application properties: this many octets in all.
    Head {
        /// Octets of the whole section.
        len: usize,
    },
    /// Octets of the body (§3.2.6).
    Data {
        /// Octets of descriptor, constructor and size.
        start: usize,
        /// Octets of the contents behind them.
        len: usize,
    },
    /// A body of another kind: a sequence or a value.
    OtherBody,
    /// The footer: it ends with the message.
    Footer,
}

impl SectionStart {
    /// What begins at the first of these octets. None if more of them are needed to know it: 48 are always enough.
    ///
    /// # Errors
    /// If no section can begin like this.
    pub fn of(octets: &Bytes) -> Result<Option<Self>, DecodeError> {
        match Self::read(&mut Decoder::new(octets)) {
            Ok(start) => Ok(Some(start)),
            Err(_) if octets.len() < LONGEST => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let Some(section) = input.descriptor(&SECTIONS)? else {
            return Err(input.unexpected("a section of a message"));
        };
        match section {
            DATA => {
                let len = Self::size(input, &[code::VBIN8, code::VBIN32], "data, which is binary")?;
                Ok(Self::Data { start: input.offset(), len })
            }
            AMQP_SEQUENCE | AMQP_VALUE => Ok(Self::OtherBody),
            FOOTER => Ok(Self::Footer),
            _ => {
                let forms = [code::LIST0, code::LIST8, code::LIST32, code::MAP8, code::MAP32];
                let len = Self::size(input, &forms, "a section that is a list or a map")?;
                Ok(Self::Head { len: input.offset().saturating_add(len) })
            }
        }
    }

    /// Takes constructor and size.
    fn size(input: &mut Decoder<'_>, forms: &[u8], expected: &'static str) -> Result<usize, DecodeError> {
        match input.peek() {
            Some(code) if forms.contains(&code) => {}
            _ => return Err(input.unexpected(expected)),
        }
        match lookup(input.code()?) {
            Some((_, Layout::Fixed(len))) => Ok(len),
            Some((_, Layout::Variable { wide: false } | Layout::Compound { wide: false })) => {
                input.run(narrow_length)
            }
            _ => input.run(wide_length),
        }
    }
}
