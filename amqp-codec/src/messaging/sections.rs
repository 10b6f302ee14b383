//! The sections of a message (§3.2): which there are, in which order, and how a whole message is read and written.

use super::{Annotations, ApplicationProperties, Body, Header, Properties};
use crate::composite::{Composite, Descriptor};
use crate::decode::{Decode, Decoder};
use crate::encode::Encode;
use crate::error::{DecodeError, Found};
use crate::types::Value;
use bytes::{Bytes, BytesMut};

pub(super) const HEADER: u64 = 0x70;
pub(super) const DELIVERY_ANNOTATIONS: u64 = 0x71;
pub(super) const MESSAGE_ANNOTATIONS: u64 = 0x72;
pub(super) const PROPERTIES: u64 = 0x73;
pub(super) const APPLICATION_PROPERTIES: u64 = 0x74;
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
pub(super) struct Order {
    last: u64,
}

impl Order {
    /// Takes the descriptor of the next section and tells which one it is; none at the end of the message. Items are
    /// counted anew in each section.
    #[inline]
    pub(super) fn next(&mut self, input: &mut Decoder<'_>) -> Result<Option<u64>, DecodeError> {
        if input.is_empty() {
            return Ok(None);
        }
        let Some(code) = input.descriptor(&SECTIONS)? else {
            return Err(input.unexpected("a section of a message"));
        };
        let is_next = code > self.last && (self.last < DATA || code == FOOTER);
        if !is_next && (code != self.last || !matches!(code, DATA | AMQP_SEQUENCE)) {
            return Err(input.error("sections in their order", Found::Text("one out of place")));
        }
        self.last = code;
        input.count_items_anew();
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
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        // It takes all that is there, so nothing is left over to look for; and what is as large is not moved once more.
        Self::decode(&mut Decoder::new(&bytes))
    }

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
pub(super) fn within_section(error: DecodeError, code: u64) -> DecodeError {
    error.within("message", section_name(code))
}

#[inline]
fn fill<T>(section: &mut Option<T>, decoded: Result<T, DecodeError>) -> Result<(), DecodeError> {
    *section = Some(decoded?);
    Ok(())
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
