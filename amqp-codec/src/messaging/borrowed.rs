//! Messages that stay in the octets they came in: sections found, and read as they are asked for.

use super::sections::{
    AMQP_SEQUENCE, AMQP_VALUE, APPLICATION_PROPERTIES, DATA, DELIVERY_ANNOTATIONS, FOOTER, HEADER,
    MESSAGE_ANNOTATIONS, Order, PROPERTIES, put_section, within_section,
};
use super::{Annotations, AnnotationsRef, ApplicationPropertiesRef, Body, Header, Message, PropertiesRef};
use crate::composite::Composite;
use crate::decode::{Decode, DecodeRef, Decoder, Limits};
use crate::encode::Encode;
use crate::error::DecodeError;
use crate::types::{ListRef, Value, ValueRef};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::ops::Range;

/// A message whose sections are known by their places. What is not asked for is never decoded; what is asked for is
/// borrowed: no text and no octet is copied, nothing is allocated (save to look for duplicate keys in maps of more than 8
/// entries); and the bare message stays as its sender encoded it.
///
/// A section is checked in whole when it is asked for, by the rules of [`Message`], and refused with the same error; what
/// is then handed out is gone through without errors. Asking twice reads twice. The [`Limits`] are those of the decoder
/// that found the sections; the one for elements without octets holds for each section, not for all of them together.
///
/// ```
/// use amqp_codec::messaging::{BodyRef, Header, Message, MessageIdRef, MessageSections, Properties};
/// use amqp_codec::types::ValueRef;
/// use amqp_codec::{BytesMut, Decode, Encode};
///
/// let properties = Properties { message_id: Some("id-7".into()), ..Properties::new() };
/// let message = Message::data("octets").with_properties(properties).with_application_property("attempt", 3_i32);
/// let octets = message.to_bytes();
///
/// let sections = MessageSections::parse(&octets)?;
/// let properties = sections.properties()?.unwrap_or_default();
/// assert_eq!(properties.message_id, Some(MessageIdRef::String("id-7")));
/// for (name, value) in sections.application_properties()?.into_iter().flatten() {
///     assert_eq!((name, value), ("attempt", ValueRef::Int(3)));
/// }
/// assert_eq!(sections.data()?, Some(&b"octets"[..]));
///
/// let header = Header { delivery_count: 1, ..Header::new() };
/// let mut forwarded = BytesMut::new();
/// sections.forward(Some(&header), None, None, &mut forwarded);
/// assert_eq!(Message::from_bytes(forwarded.freeze())?, message.with_header(header));
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MessageSections<'a> {
    bytes: &'a Bytes,
    /// Where the message is in them.
    whole: Range<usize>,
    /// By code, from that of the header.
    parts: [Part; KINDS],
    /// Those of the decoder that it was found by.
    limits: Limits,
}

/// Where the contents of a section are, behind its descriptor; those of the first section, if there are several. The next
/// section begins at their end. Absent sections end at 0.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    contents: usize,
    end: usize,
}

/// How many kinds of sections there are, whose codes follow each other in their order.
const KINDS: usize = 9;

impl<'a> MessageSections<'a> {
    /// Finds the sections of an encoded message.
    ///
    /// # Errors
    /// If they are not whole, stand in the wrong order or twice, or if something stands behind them.
    #[inline]
    pub fn parse(bytes: &'a Bytes) -> Result<Self, DecodeError> {
        Self::decode_ref(&mut Decoder::new(bytes))
    }

    #[inline]
    fn part(&self, code: u64) -> Option<Part> {
        let place = usize::try_from(code - HEADER).ok()?;
        self.parts.get(place).copied().filter(|part| part.end > 0)
    }

    /// A decoder of the contents of a part.
    #[inline]
    fn decoder(&self, part: Part) -> Decoder<'a> {
        // Items are counted against all that follows, as when the whole message is read.
        let mut input = Decoder::part(self.bytes, part.contents..self.whole.end).under(self.limits);
        input.end_at(part.end);
        input
    }

    /// A section, of whose contents `decode` makes something.
    #[inline]
    fn section<T>(
        &self,
        code: u64,
        decode: impl FnOnce(&mut Decoder<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        let Some(part) = self.part(code) else { return Ok(None) };
        match decode(&mut self.decoder(part)) {
            Ok(section) => Ok(Some(section)),
            Err(error) => Err(within_section(error, code)),
        }
    }

    /// The header.
    ///
    /// # Errors
    /// If it cannot be decoded.
    #[inline]
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        self.section(HEADER, Header::decode_list)
    }

    /// The delivery annotations.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn delivery_annotations(&self) -> Result<Option<AnnotationsRef<'a>>, DecodeError> {
        self.section(DELIVERY_ANNOTATIONS, AnnotationsRef::decode_ref)
    }

    /// The message annotations.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn message_annotations(&self) -> Result<Option<AnnotationsRef<'a>>, DecodeError> {
        self.section(MESSAGE_ANNOTATIONS, AnnotationsRef::decode_ref)
    }

    /// The properties.
    ///
    /// # Errors
    /// If they cannot be decoded.
    #[inline]
    pub fn properties(&self) -> Result<Option<PropertiesRef<'a>>, DecodeError> {
        self.section(PROPERTIES, PropertiesRef::decode_list)
    }

    /// The application properties.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn application_properties(&self) -> Result<Option<ApplicationPropertiesRef<'a>>, DecodeError> {
        self.section(APPLICATION_PROPERTIES, ApplicationPropertiesRef::decode_ref)
    }

    /// The body.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn body(&self) -> Result<BodyRef<'a>, DecodeError> {
        if let Some(data) = self.section(DATA, SectionsRef::read)? {
            return Ok(BodyRef::Data(data));
        }
        if let Some(sequence) = self.section(AMQP_SEQUENCE, SectionsRef::read)? {
            return Ok(BodyRef::Sequence(sequence));
        }
        let value = self.section(AMQP_VALUE, ValueRef::decode_ref)?;
        Ok(value.map_or(BodyRef::Empty, BodyRef::Value))
    }

    /// The octets of a body that is one data section: the quick way to what most messages carry. None for a body
    /// of another kind or of several sections, which [`body`](Self::body) tells. To keep them without a copy, share the
    /// buffer: `sections.bytes().slice_ref(data)`.
    ///
    /// # Errors
    /// If the section holds something else than octets.
    #[inline]
    pub fn data(&self) -> Result<Option<&'a [u8]>, DecodeError> {
        self.section(DATA, |input| {
            let data = <&[u8]>::decode_ref(input)?;
            Ok(input.is_empty().then_some(data))
        })
        .map(Option::flatten)
    }

    /// The footer.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn footer(&self) -> Result<Option<AnnotationsRef<'a>>, DecodeError> {
        self.section(FOOTER, AnnotationsRef::decode_ref)
    }

    /// The whole message, owned: long texts and octets share the buffer.
    ///
    /// # Errors
    /// If a section cannot be decoded.
    pub fn to_message(&self) -> Result<Message, DecodeError> {
        Message::decode(&mut Decoder::part(self.bytes, self.whole.clone()).under(self.limits))
    }

    /// Where the bare message is: behind header and annotations, up to the footer.
    fn bare_range(&self) -> Range<usize> {
        let end_of = |parts: &[Part], start| parts.iter().fold(start, |end: usize, part| end.max(part.end));
        let [header, delivery, message, bare @ .., _] = &self.parts;
        let start = end_of(&[*header, *delivery, *message], self.whole.start);
        start..end_of(bare, start)
    }

    /// The bare message, exactly as its sender encoded it (§3.2).
    #[must_use]
    pub fn bare(&self) -> Bytes {
        self.bytes.slice(self.bare_range())
    }

    /// The buffer that the message is in.
    #[must_use]
    pub const fn bytes(&self) -> &'a Bytes {
        self.bytes
    }

    /// Writes the message with another header and other annotations; bare message and footer stay as they are.
    pub fn forward(
        &self,
        header: Option<&Header>,
        delivery_annotations: Option<&Annotations>,
        message_annotations: Option<&Annotations>,
        out: &mut BytesMut,
    ) {
        if let Some(header) = header {
            header.encode(out);
        }
        put_section(DELIVERY_ANNOTATIONS, delivery_annotations, out);
        put_section(MESSAGE_ANNOTATIONS, message_annotations, out);
        let unchanged = self.bare_range().start..self.whole.end;
        out.extend_from_slice(self.bytes.get(unchanged).unwrap_or_default());
    }
}

impl<'a> DecodeRef<'a> for MessageSections<'a> {
    /// Takes all that is left of the input: a message has no length of its own.
    #[inline]
    fn decode_ref(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let mut parts = [Part::default(); KINDS];
        let whole = input.offset()..input.end();
        let mut order = Order::default();
        while let Some(code) = order.next(input)? {
            let contents = whole.end - input.remaining();
            input.skip()?;
            let place = usize::try_from(code - HEADER).ok();
            if let Some(part) = place.and_then(|place| parts.get_mut(place)) {
                if part.end == 0 {
                    part.contents = contents;
                }
                part.end = whole.end - input.remaining();
            }
        }
        Ok(Self { bytes: input.source(), whole, parts, limits: input.limits_left() })
    }
}

/// What a message carries, borrowed: the [`Body`] of a [`MessageSections`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BodyRef<'a> {
    /// No body at all, which the format does not allow; some peers send it.
    #[default]
    Empty,
    /// Opaque octets, in one section or several.
    Data(SectionsRef<'a, &'a [u8]>),
    /// Lists, in one section or several.
    Sequence(SectionsRef<'a, ListRef<'a>>),
    /// One value.
    Value(ValueRef<'a>),
}

impl From<BodyRef<'_>> for Body {
    /// Copies texts and octets.
    fn from(body: BodyRef<'_>) -> Self {
        match body {
            BodyRef::Empty => Self::Empty,
            BodyRef::Data(sections) => Self::Data(sections.into_iter().map(Bytes::copy_from_slice).collect()),
            BodyRef::Sequence(sections) => {
                let list = |list: ListRef<'_>| list.iter().map(Value::from).collect();
                Self::Sequence(sections.into_iter().map(list).collect())
            }
            BodyRef::Value(value) => Self::Value(value.into()),
        }
    }
}

/// The sections of a body that has one or more of a kind, in order: `&[u8]` or [`ListRef`].
#[derive(Clone, Copy)]
pub struct SectionsRef<'a, T> {
    /// From the contents of the first one to the end of the last one.
    octets: &'a [u8],
    section: PhantomData<T>,
}

impl<'a, T: DecodeRef<'a>> SectionsRef<'a, T> {
    /// Checks all sections from behind the descriptor of the first one.
    fn read(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let octets = input.left();
        let behind = input.items_behind();
        T::decode_ref(input)?;
        while !input.is_empty() {
            input.skip_descriptor()?;
            input.count_items_with(behind);
            T::decode_ref(input)?;
        }
        Ok(Self { octets, section: PhantomData })
    }

    /// The sections; there is at least one.
    #[must_use]
    pub fn iter(self) -> SectionsIter<'a, T> {
        SectionsIter::new(self.octets)
    }
}

impl<'a, T: DecodeRef<'a>> IntoIterator for SectionsRef<'a, T> {
    type Item = T;
    type IntoIter = SectionsIter<'a, T>;

    fn into_iter(self) -> SectionsIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: DecodeRef<'a> + PartialEq> PartialEq for SectionsRef<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        SectionsIter::<T>::new(self.octets).eq(SectionsIter::new(other.octets))
    }
}

impl<'a, T: DecodeRef<'a> + Eq> Eq for SectionsRef<'a, T> {}

impl<'a, T: DecodeRef<'a> + fmt::Debug> fmt::Debug for SectionsRef<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(SectionsIter::<T>::new(self.octets)).finish()
    }
}

/// The sections of a [`SectionsRef`], decoded as they are asked for.
#[derive(Clone, Debug)]
pub struct SectionsIter<'a, T> {
    input: Decoder<'a>,
    is_behind_descriptor: bool,
    section: PhantomData<T>,
}

impl<'a, T> SectionsIter<'a, T> {
    fn new(octets: &'a [u8]) -> Self {
        Self { input: Decoder::again(octets), is_behind_descriptor: true, section: PhantomData }
    }
}

impl<'a, T: DecodeRef<'a>> Iterator for SectionsIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        if self.input.is_empty() {
            return None;
        }
        // All of this was read before, so there is no error.
        if !std::mem::take(&mut self.is_behind_descriptor) {
            self.input.skip_descriptor().ok()?;
        }
        T::decode_ref(&mut self.input).ok()
    }
}

impl<'a, T: DecodeRef<'a>> FusedIterator for SectionsIter<'a, T> {}
