//! The sections of a message (§3.2), found but not decoded.

use super::{Annotations, ApplicationProperties, Body, Header, Properties};
use crate::composite::{Composite, Descriptor};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::{DecodeError, Found};
use crate::types::Value;
use bytes::{Bytes, BytesMut};
use std::ops::Range;

const HEADER: u64 = 0x70;
const DELIVERY_ANNOTATIONS: u64 = 0x71;
const MESSAGE_ANNOTATIONS: u64 = 0x72;
const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
pub(super) const DATA: u64 = 0x75;
pub(super) const AMQP_SEQUENCE: u64 = 0x76;
pub(super) const AMQP_VALUE: u64 = 0x77;
pub(super) const FOOTER: u64 = 0x78;

/// All sections, by their place in a message.
pub(super) const SECTIONS: [Descriptor; 9] = [
    Descriptor { code: HEADER, symbol: "amqp:header:list" },
    Descriptor { code: DELIVERY_ANNOTATIONS, symbol: "amqp:delivery-annotations:map" },
    Descriptor { code: MESSAGE_ANNOTATIONS, symbol: "amqp:message-annotations:map" },
    Descriptor { code: PROPERTIES, symbol: "amqp:properties:list" },
    Descriptor { code: APPLICATION_PROPERTIES, symbol: "amqp:application-properties:map" },
    Descriptor { code: DATA, symbol: "amqp:data:binary" },
    Descriptor { code: AMQP_SEQUENCE, symbol: "amqp:amqp-sequence:list" },
    Descriptor { code: AMQP_VALUE, symbol: "amqp:amqp-value:*" },
    Descriptor { code: FOOTER, symbol: "amqp:footer:map" },
];

/// The order of sections (§3.2): each at most once, save data and sequences, and one kind of body.
#[derive(Debug, Default)]
struct Order {
    last: u64,
}

impl Order {
    /// Takes the descriptor of the next section and tells which one it is; none at the end of the message.
    #[inline]
    fn next(&mut self, input: &mut Decoder<'_>) -> Result<Option<u64>, DecodeError> {
        if input.is_empty() {
            return Ok(None);
        }
        let Some(code) = input.descriptor(&SECTIONS)? else {
            return Err(input.unexpected("a section of a message"));
        };
        let is_body = |code| (DATA..=AMQP_VALUE).contains(&code);
        let repeats = code == self.last && matches!(code, DATA | AMQP_SEQUENCE);
        if !repeats && (code <= self.last || is_body(code) && is_body(self.last)) {
            return Err(input.error("sections in their order", Found::Text("one out of place")));
        }
        self.last = code;
        Ok(Some(code))
    }
}

impl Body {
    /// Adds a section whose descriptor was taken.
    fn read_section(&mut self, code: u64, input: &mut Decoder<'_>) -> Result<(), DecodeError> {
        match (code, &mut *self) {
            (DATA, Self::Data(sections)) => sections.push(Bytes::decode(input)?),
            (DATA, _) => *self = Self::Data(Bytes::decode(input)?.into()),
            (AMQP_SEQUENCE, Self::Sequence(sections)) => sections.push(Vec::decode(input)?),
            (AMQP_SEQUENCE, _) => *self = Self::Sequence(vec![Vec::decode(input)?]),
            _ => *self = Self::Value(Value::decode(input)?),
        }
        Ok(())
    }
}

impl Decode for super::Message {
    /// Takes all that is left of the input: a message has no length of its own.
    fn decode(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        let mut order = Order::default();
        while let Some(code) = order.next(input)? {
            let read = match code {
                HEADER => fill(&mut message.header, Header::decode_list(input)),
                DELIVERY_ANNOTATIONS => fill(&mut message.delivery_annotations, Annotations::decode(input)),
                MESSAGE_ANNOTATIONS => fill(&mut message.message_annotations, Annotations::decode(input)),
                PROPERTIES => fill(&mut message.properties, Properties::decode_list(input)),
                APPLICATION_PROPERTIES => {
                    fill(&mut message.application_properties, ApplicationProperties::decode(input))
                }
                FOOTER => fill(&mut message.footer, Annotations::decode(input)),
                _ => message.body.read_section(code, input),
            };
            if let Err(error) = read {
                return Err(within_section(error, code));
            }
        }
        Ok(message)
    }
}

/// The specification's name of a section.
fn section_name(code: u64) -> &'static str {
    let section = SECTIONS.iter().find(|section| section.code == code);
    section.and_then(|section| section.symbol.split(':').nth(1)).unwrap_or_default()
}

/// The error in the contents of a section, with its name.
#[cold]
fn within_section(error: DecodeError, code: u64) -> DecodeError {
    error.within("message", section_name(code))
}

#[inline]
fn fill<T>(section: &mut Option<T>, decoded: Result<T, DecodeError>) -> Result<(), DecodeError> {
    *section = Some(decoded?);
    Ok(())
}

/// A message whose sections are known by their places: what is not asked for is never decoded, and the bare message
/// stays as its sender encoded it.
///
/// ```
/// use amqp_codec::messaging::{Header, Message, MessageSections};
/// use amqp_codec::{BytesMut, Decode, Encode};
///
/// let sections = MessageSections::parse(Message::data("payload").to_bytes())?;
/// let mut header = Header::new();
/// header.delivery_count = 1;
/// let mut forwarded = BytesMut::new();
/// sections.forward(Some(&header), None, None, &mut forwarded);
/// assert_eq!(Message::from_bytes(forwarded.freeze())?.header, Some(header));
/// # Ok::<(), amqp_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MessageSections {
    bytes: Bytes,
    header: Range<usize>,
    delivery_annotations: Range<usize>,
    message_annotations: Range<usize>,
    properties: Range<usize>,
    application_properties: Range<usize>,
    body: Range<usize>,
    body_code: Option<u64>,
    footer: Range<usize>,
}

impl MessageSections {
    /// Finds the sections of an encoded message.
    ///
    /// # Errors
    /// If they are not whole, stand in the wrong order or twice, or if something stands behind them.
    pub fn parse(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut sections = Self {
            bytes: Bytes::new(),
            header: 0..0,
            delivery_annotations: 0..0,
            message_annotations: 0..0,
            properties: 0..0,
            application_properties: 0..0,
            body: 0..0,
            body_code: None,
            footer: 0..0,
        };
        let mut input = Decoder::new(&bytes);
        let mut order = Order::default();
        loop {
            let start = input.offset();
            let Some(code) = order.next(&mut input)? else { break };
            input.skip()?;
            let range = start..input.offset();
            match code {
                HEADER => sections.header = range,
                DELIVERY_ANNOTATIONS => sections.delivery_annotations = range,
                MESSAGE_ANNOTATIONS => sections.message_annotations = range,
                PROPERTIES => sections.properties = range,
                APPLICATION_PROPERTIES => sections.application_properties = range,
                FOOTER => sections.footer = range,
                _ if sections.body_code.is_some() => sections.body.end = range.end,
                _ => {
                    sections.body = range;
                    sections.body_code = Some(code);
                }
            }
        }
        sections.bytes = bytes;
        Ok(sections)
    }

    fn decoder(&self, range: &Range<usize>) -> Decoder<'_> {
        Decoder::part(&self.bytes, range.clone())
    }

    /// A section that is a described value: `decode` gets what is behind the descriptor.
    fn section<T>(
        &self,
        range: &Range<usize>,
        code: u64,
        decode: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if range.is_empty() {
            return Ok(None);
        }
        let mut input = self.decoder(range);
        input.descriptor(&SECTIONS)?;
        let value = decode(&mut input).map_err(|error| within_section(error, code))?;
        input.expect_end("the end of the section")?;
        Ok(Some(value))
    }

    /// The header.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn header(&self) -> Result<Option<Header>, DecodeError> {
        self.section(&self.header, HEADER, Header::decode_list)
    }

    /// The delivery annotations.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn delivery_annotations(&self) -> Result<Option<Annotations>, DecodeError> {
        self.section(&self.delivery_annotations, DELIVERY_ANNOTATIONS, Annotations::decode)
    }

    /// The message annotations.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn message_annotations(&self) -> Result<Option<Annotations>, DecodeError> {
        self.section(&self.message_annotations, MESSAGE_ANNOTATIONS, Annotations::decode)
    }

    /// The properties.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn properties(&self) -> Result<Option<Properties>, DecodeError> {
        self.section(&self.properties, PROPERTIES, Properties::decode_list)
    }

    /// The application properties.
    ///
    /// # Errors
    /// If they cannot be decoded.
    pub fn application_properties(&self) -> Result<Option<ApplicationProperties>, DecodeError> {
        self.section(&self.application_properties, APPLICATION_PROPERTIES, ApplicationProperties::decode)
    }

    /// The body.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn body(&self) -> Result<Body, DecodeError> {
        let mut input = self.decoder(&self.body);
        let mut body = Body::Empty;
        while !input.is_empty() {
            if let Some(code) = input.descriptor(&SECTIONS)? {
                body.read_section(code, &mut input).map_err(|error| within_section(error, code))?;
            }
        }
        Ok(body)
    }

    /// The octets of a body that is one data section, shared: the quick way to what most messages carry. None for a body
    /// of another kind or of several sections, which [`body`](Self::body) tells.
    ///
    /// # Errors
    /// If the section holds something else than octets.
    pub fn data(&self) -> Result<Option<Bytes>, DecodeError> {
        if self.body_code != Some(DATA) {
            return Ok(None);
        }
        let mut input = self.decoder(&self.body);
        input.descriptor(&SECTIONS)?;
        let data = Bytes::decode(&mut input).map_err(|error| within_section(error, DATA))?;
        Ok(input.is_empty().then_some(data))
    }

    /// The footer.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn footer(&self) -> Result<Option<Annotations>, DecodeError> {
        self.section(&self.footer, FOOTER, Annotations::decode)
    }

    /// Where the bare message begins: behind header and annotations.
    fn bare_start(&self) -> usize {
        self.header.end.max(self.delivery_annotations.end).max(self.message_annotations.end)
    }

    /// The bare message, exactly as its sender encoded it (§3.2).
    #[must_use]
    pub fn bare(&self) -> Bytes {
        let end = if self.footer.is_empty() { self.bytes.len() } else { self.footer.start };
        self.bytes.slice(self.bare_start()..end)
    }

    /// The whole message as it was parsed.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
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
        out.extend_from_slice(&self.bytes.slice(self.bare_start()..));
    }
}

/// A section with this code, if there is something to write.
pub(super) fn put_section<T: Encode>(code: u64, section: Option<&T>, out: &mut BytesMut) {
    if let Some(section) = section {
        put_descriptor(code, out);
        section.encode(out);
    }
}

fn put_descriptor(code: u64, out: &mut BytesMut) {
    use bytes::BufMut;
    out.put_u8(0);
    code.encode(out);
}

fn section_len<T: Encode>(section: Option<&T>) -> usize {
    section.map_or(0, |section| 3 + section.encoded_len())
}

impl super::Message {
    pub(super) fn len(&self) -> usize {
        let body: usize = match &self.body {
            Body::Empty => 4,
            Body::Data(sections) if sections.is_empty() => section_len(Some(&Bytes::new())),
            Body::Data(sections) => sections.iter().map(|data| section_len(Some(data))).sum(),
            Body::Sequence(sections) if sections.is_empty() => section_len(Some(&Vec::new())),
            Body::Sequence(sections) => sections.iter().map(|list| section_len(Some(list))).sum(),
            Body::Value(value) => section_len(Some(value)),
        };
        self.header.as_ref().map_or(0, Encode::encoded_len)
            + section_len(self.delivery_annotations.as_ref())
            + section_len(self.message_annotations.as_ref())
            + self.properties.as_ref().map_or(0, Encode::encoded_len)
            + section_len(self.application_properties.as_ref())
            + body
            + section_len(self.footer.as_ref())
    }

    pub(super) fn put(&self, out: &mut BytesMut) {
        if let Some(header) = &self.header {
            header.encode(out);
        }
        put_section(DELIVERY_ANNOTATIONS, self.delivery_annotations.as_ref(), out);
        put_section(MESSAGE_ANNOTATIONS, self.message_annotations.as_ref(), out);
        if let Some(properties) = &self.properties {
            properties.encode(out);
        }
        put_section(APPLICATION_PROPERTIES, self.application_properties.as_ref(), out);
        match &self.body {
            Body::Empty => put_section(AMQP_VALUE, Some(&Value::Null), out),
            Body::Data(sections) if sections.is_empty() => put_section(DATA, Some(&Bytes::new()), out),
            Body::Data(sections) => sections.iter().for_each(|data| put_section(DATA, Some(data), out)),
            Body::Sequence(sections) if sections.is_empty() => {
                put_section(AMQP_SEQUENCE, Some(&Vec::new()), out);
            }
            Body::Sequence(sections) => {
                sections.iter().for_each(|list| put_section(AMQP_SEQUENCE, Some(list), out));
            }
            Body::Value(value) => put_section(AMQP_VALUE, Some(value), out),
        }
        put_section(FOOTER, self.footer.as_ref(), out);
    }
}
