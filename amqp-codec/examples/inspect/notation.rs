//! The JSON notation of what octets mean, and their smallest encoding.
//!
//! Integers up to 32 bits are numbers, larger ones strings of digits; binaries are hexadecimal; a map is a list of
//! pairs, so that order and keys of any type survive.

use super::names;
use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::Message;
use amqp_codec::types::{Array, Described, Value};
use amqp_codec::{Bytes, BytesMut, Decode, DecodeError, Decoder, Encode};
use serde_json::{Map, Value as Json, json};
use std::fmt;
use std::str::FromStr;

/// What octets are said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One value of any type.
    Value,
    /// A described list of the specification.
    Composite,
    /// A whole frame.
    Frame,
    /// A whole message.
    Message,
    /// A protocol header.
    Header,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "value" => Ok(Self::Value),
            "composite" => Ok(Self::Composite),
            "frame" => Ok(Self::Frame),
            "message" => Ok(Self::Message),
            "header" => Ok(Self::Header),
            _ => Err(format!("expected value, composite, frame, message or header, found {name:?}")),
        }
    }
}

/// Why octets mean nothing.
#[derive(Clone, Debug)]
pub(crate) struct Malformed {
    /// Where, in octets from the start.
    pub(crate) offset: usize,
    /// What would have been legal there.
    pub(crate) expected: String,
    /// What was there.
    pub(crate) found: String,
    /// What to tell a peer.
    pub(crate) condition: &'static str,
}

impl Malformed {
    fn framing(offset: usize, expected: &str, found: String) -> Self {
        Self { offset, expected: expected.to_owned(), found, condition: "amqp:connection:framing-error" }
    }

    fn behind(error: &DecodeError, octets: usize) -> Self {
        let path = error.path();
        let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
        Self {
            offset: octets + error.offset(),
            expected: format!("{}{place}", error.expected()),
            found: error.found(),
            condition: error.condition(),
        }
    }
}

impl From<DecodeError> for Malformed {
    fn from(error: DecodeError) -> Self {
        Self::behind(&error, 0)
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, expected, found, condition } = self;
        write!(f, "at offset {offset}: expected {expected}, found {found} ({condition})")
    }
}

/// Octets that were checked against their kind, taken apart without a loss.
#[derive(Debug)]
pub(crate) enum Checked {
    /// A value or composite.
    Value(Value),
    /// A frame and, save for an empty one, what it carries and what follows that.
    Frame(FrameHeader, Option<(Described, Bytes)>),
    /// The sections of a message.
    Message(Vec<Described>),
    /// A protocol header.
    Header(ProtocolHeader),
}

/// Decodes octets.
pub(crate) fn check(kind: Kind, octets: Bytes) -> Result<Checked, Malformed> {
    match kind {
        Kind::Value => Ok(Checked::Value(Value::from_bytes(octets)?)),
        Kind::Composite => {
            let described = Described::from_bytes(octets.clone())?;
            if let Some(composite) = names::composite(&described.descriptor) {
                (composite.check)(octets)?;
            }
            Ok(Checked::Value(described.into()))
        }
        Kind::Frame => check_frame(&octets),
        Kind::Message => {
            Message::from_bytes(octets.clone())?;
            let mut input = Decoder::new(&octets);
            let mut sections = Vec::new();
            while !input.is_empty() {
                sections.push(Described::decode(&mut input)?);
            }
            Ok(Checked::Message(sections))
        }
        Kind::Header => {
            let header = ProtocolHeader::decode(&octets)?;
            if !header.is_supported() {
                let ProtocolHeader { id, major, minor, revision } = header;
                let found = format!("protocol {id}, version {major}.{minor}.{revision}");
                return Err(Malformed::framing(4, "protocol 0, 2 or 3 in version 1.0.0", found));
            }
            Ok(Checked::Header(header))
        }
    }
}

fn check_frame(octets: &Bytes) -> Result<Checked, Malformed> {
    let header = FrameHeader::decode(octets)?;
    if usize::try_from(header.size) != Ok(octets.len()) {
        let found = format!("{} octets", octets.len());
        return Err(Malformed::framing(0, &format!("a frame of {} octets", header.size), found));
    }
    let start = usize::from(header.doff) * 4;
    let body = octets.slice(start..);
    let shifted = |error: DecodeError| Malformed::behind(&error, start);
    match header.frame_type {
        FrameType::Amqp if body.is_empty() => return Ok(Checked::Frame(header, None)),
        FrameType::Amqp => drop(frame::decode_amqp_body(body.clone()).map_err(shifted)?),
        // SASL knows no conditions: the transport is closed.
        FrameType::Sasl => drop(
            frame::decode_sasl_body(body.clone())
                .map_err(|error| Malformed { condition: "none (close the transport)", ..shifted(error) })?,
        ),
    }
    let mut input = Decoder::new(&body);
    let performative = Described::decode(&mut input).map_err(shifted)?;
    Ok(Checked::Frame(header, Some((performative, input.rest()))))
}

impl Checked {
    /// What the octets mean.
    pub(crate) fn meaning(&self) -> Json {
        match self {
            Self::Value(content) => value(content),
            Self::Frame(header, body) => {
                let frame_type = match header.frame_type {
                    FrameType::Amqp => "amqp",
                    FrameType::Sasl => "sasl",
                };
                let mut json = json!({
                    "type": "frame",
                    "frame-type": frame_type,
                    "channel": header.channel,
                    "doff": header.doff,
                    "performative": null,
                });
                if let Some((performative, payload)) = body {
                    json["performative"] = names::name(&performative.descriptor).into();
                    json["descriptor"] = value(&performative.descriptor);
                    json["fields"] = fields(performative);
                    json["payload"] = json!({"type": "binary", "hex": hex(payload)});
                }
                json
            }
            Self::Message(sections) => {
                let sections: Vec<Json> = sections.iter().map(section).collect();
                json!({"type": "message", "sections": sections})
            }
            Self::Header(header) => json!({
                "type": "protocol-header",
                "protocol-id": header.id,
                "major": header.major,
                "minor": header.minor,
                "revision": header.revision,
            }),
        }
    }

    /// The smallest octets that mean the same.
    pub(crate) fn reencode(self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            Self::Value(value) => value.encode(&mut out),
            Self::Frame(header, body) => {
                let mut content = BytesMut::new();
                if let Some((performative, payload)) = body {
                    trimmed(performative).encode(&mut content);
                    content.extend_from_slice(&payload);
                }
                let size = u32::try_from(FrameHeader::LEN + content.len()).unwrap_or(u32::MAX);
                FrameHeader { size, doff: 2, ..header }.encode(&mut out);
                out.extend_from_slice(&content);
            }
            Self::Message(sections) => {
                sections.into_iter().for_each(|section| trimmed(section).encode(&mut out));
            }
            Self::Header(header) => out.extend_from_slice(&header.to_bytes()),
        }
        out.freeze()
    }
}

/// A composite without the nulls at its end.
fn trimmed(mut described: Described) -> Described {
    if let (Some(_), Value::List(fields)) = (names::composite(&described.descriptor), &mut described.value) {
        while fields.last().is_some_and(Value::is_null) {
            fields.pop();
        }
    }
    described
}

fn section(section: &Described) -> Json {
    let name = names::name(&section.descriptor).unwrap_or("unknown");
    if names::composite(&section.descriptor).is_some() {
        json!({"section": name, "fields": fields(section)})
    } else {
        json!({"section": name, "value": value(&section.value)})
    }
}

/// The fields of a composite that are there, by name.
pub(crate) fn fields(composite: &Described) -> Json {
    let names = names::composite(&composite.descriptor).map_or(&[][..], |known| known.fields);
    let items = composite.value.as_list().unwrap_or_default();
    let present = names.iter().zip(items).filter(|(_, item)| !item.is_null());
    Json::Object(present.map(|(name, item)| ((*name).to_owned(), value(item))).collect::<Map<_, _>>())
}

/// Octets as hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A value in the notation.
pub(crate) fn value(content: &Value) -> Json {
    match content {
        Value::Null => json!({"type": "null"}),
        Value::Bool(value) => json!({"type": "boolean", "value": value}),
        Value::Ubyte(value) => json!({"type": "ubyte", "value": value}),
        Value::Ushort(value) => json!({"type": "ushort", "value": value}),
        Value::Uint(value) => json!({"type": "uint", "value": value}),
        Value::Ulong(value) => json!({"type": "ulong", "value": value.to_string()}),
        Value::Byte(value) => json!({"type": "byte", "value": value}),
        Value::Short(value) => json!({"type": "short", "value": value}),
        Value::Int(value) => json!({"type": "int", "value": value}),
        Value::Long(value) => json!({"type": "long", "value": value.to_string()}),
        Value::Float(value) => {
            json!({"type": "float", "bits": hex(&value.to_be_bytes()), "value": decimal(f64::from(*value))})
        }
        Value::Double(value) => {
            json!({"type": "double", "bits": hex(&value.to_be_bytes()), "value": decimal(*value)})
        }
        Value::Decimal32(value) => json!({"type": "decimal32", "bits": hex(&value.0)}),
        Value::Decimal64(value) => json!({"type": "decimal64", "bits": hex(&value.0)}),
        Value::Decimal128(value) => json!({"type": "decimal128", "bits": hex(&value.0)}),
        Value::Char(value) => json!({"type": "char", "codepoint": u32::from(*value)}),
        Value::Timestamp(value) => json!({"type": "timestamp", "value": value.millis().to_string()}),
        Value::Uuid(value) => json!({"type": "uuid", "value": value.to_string()}),
        Value::Binary(value) => json!({"type": "binary", "hex": hex(value)}),
        Value::String(value) => json!({"type": "string", "value": AsRef::<str>::as_ref(value)}),
        Value::Symbol(value) => json!({"type": "symbol", "value": value.as_str()}),
        Value::List(items) => json!({"type": "list", "value": values(items)}),
        Value::Map(map) => {
            let pairs: Vec<Json> = map.iter().map(|(key, item)| json!([value(key), value(item)])).collect();
            json!({"type": "map", "value": pairs})
        }
        Value::Array(elements) => array(elements),
        Value::Described(described) => json!({
            "type": "described",
            "descriptor": value(&described.descriptor),
            "value": value(&described.value),
        }),
    }
}

fn values(items: &[Value]) -> Vec<Json> {
    items.iter().map(value).collect()
}

fn array(array: &Array) -> Json {
    let mut json = json!({
        "type": "array",
        "of": array.element_type().name(),
        "constructor": hex(&[array.constructor()]),
    });
    match array.descriptors() {
        [] => {}
        [descriptor] => json["descriptor"] = value(descriptor),
        many => json["descriptors"] = values(many).into(),
    }
    json["value"] = values(array.elements()).into();
    json
}

/// The shortest digits that name a number: plain from 0.0001 up to 16 digits, with an exponent beyond.
fn decimal(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    let magnitude = number.abs();
    if !number.is_finite() || magnitude == 0.0 || (1e-4..1e16).contains(&magnitude) {
        return format!("{number:?}");
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |positive| ('-', positive));
    format!("{digits}e{sign}{exponent:0>2}")
}
