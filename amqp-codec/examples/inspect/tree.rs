//! Octets as lines to read: offset, octets, and what they are. Walks octets that were decoded before, so it does not
//! check anything itself.

use super::names;
use super::notation::{Kind, hex};
use amqp_codec::frame::{FrameHeader, FrameType};
use amqp_codec::types::Value;
use amqp_codec::{Bytes, Decode, Decoder};

/// How many octets a line shows.
const SHOWN: usize = 8;

/// Lines that grow.
#[derive(Debug)]
pub(crate) struct Tree {
    octets: Bytes,
    lines: Vec<String>,
    is_coloured: bool,
}

/// What a value is to its parent: its depth, its label and, in arrays, the format code that it does not carry.
#[derive(Clone, Copy)]
struct Place<'a> {
    depth: usize,
    label: &'a str,
    code: Option<u8>,
}

impl Tree {
    /// The lines of octets that were decoded as this kind.
    pub(crate) fn lines(kind: Kind, octets: Bytes, is_coloured: bool) -> Vec<String> {
        let len = octets.len();
        let mut tree = Self { octets, lines: Vec::new(), is_coloured };
        let start = match kind {
            Kind::Value | Kind::Composite | Kind::Message => 0,
            Kind::Frame => tree.frame(),
            Kind::Header => {
                tree.line(0, len, 0, "", "protocol header", &format!("{:?}", &tree.octets.slice(4..)[..]));
                len
            }
        };
        let mut at = start;
        // Behind the performative of a frame comes the payload.
        while at < len && (kind != Kind::Frame || at == start) {
            at = tree.value(at, Place { depth: 0, label: "", code: None });
        }
        if at < len {
            tree.line(at, len, 0, "", "payload", &format!("{} octets", len - at));
        }
        tree.lines
    }

    fn frame(&mut self) -> usize {
        let Ok(header) = FrameHeader::decode(&self.octets) else { return self.octets.len() };
        let kind = match header.frame_type {
            FrameType::Amqp => "AMQP frame",
            FrameType::Sasl => "SASL frame",
        };
        let end = usize::from(header.doff) * 4;
        self.line(0, end, 0, "", kind, &format!("of {} octets on channel {}", header.size, header.channel));
        end
    }

    fn line(&mut self, from: usize, to: usize, depth: usize, label: &str, kind: &str, content: &str) {
        let octets = self.octets.slice(from..to);
        let shown = hex(octets.get(..SHOWN).unwrap_or(&octets));
        let more = if octets.len() > SHOWN { ".." } else { "  " };
        let label = if label.is_empty() { String::new() } else { format!("{label}: ") };
        let indent = "  ".repeat(depth);
        self.lines.push(if self.is_coloured {
            format!(
                "\x1b[2m{from:>6}  {shown:<16}{more}\x1b[0m  {indent}{label}\x1b[36m{kind}\x1b[0m {content}"
            )
        } else {
            format!("{from:>6}  {shown:<16}{more}  {indent}{label}{kind} {content}").trim_end().to_owned()
        });
    }

    fn number(&self, at: usize, width: usize) -> usize {
        let octets = self.octets.slice(at..at + width);
        octets.iter().fold(0, |number, octet| number << 8 | usize::from(*octet))
    }

    /// Adds the lines of a value and tells where it ends.
    fn value(&mut self, at: usize, place: Place<'_>) -> usize {
        let (code, data) = match place.code {
            Some(code) => (code, at),
            None => (self.octets.get(at).copied().unwrap_or_default(), at + 1),
        };
        match code >> 4 {
            0x0 => self.described(at, place),
            0xc | 0xd => self.compound(at, data, code, place, &[]),
            0xe | 0xf => self.array(at, data, code, place),
            class => {
                let end = match class {
                    0xa => data + 1 + self.number(data, 1),
                    0xb => data + 4 + self.number(data, 4),
                    0x4 => data,
                    class => data + (1 << (class - 5)),
                };
                let mut octets = vec![code];
                octets.extend_from_slice(&self.octets.slice(data..end));
                let value = Value::from_bytes(octets.into()).unwrap_or_default();
                let kind = value.element_type().map_or("", |element| element.name());
                self.line(at, end, place.depth, place.label, kind, &leaf(&value));
                end
            }
        }
    }

    fn described(&mut self, at: usize, place: Place<'_>) -> usize {
        let (descriptor, start) = self.descriptor(at + 1);
        let name = names::name(&descriptor).unwrap_or("described");
        self.line(at, start, place.depth, place.label, name, &leaf(&descriptor));
        let inner = Place { depth: place.depth + 1, label: "", code: None };
        let code = self.octets.get(start).copied().unwrap_or_default();
        match names::composite(&descriptor) {
            Some(composite) if matches!(code >> 4, 0xc | 0xd) => {
                self.compound(start, start + 1, code, inner, composite.fields)
            }
            _ => self.value(start, inner),
        }
    }

    fn descriptor(&self, at: usize) -> (Value, usize) {
        let octets = self.octets.slice(at..);
        let mut input = Decoder::new(&octets);
        let descriptor = Value::decode(&mut input).unwrap_or_default();
        (descriptor, at + input.offset())
    }

    /// A list or map; its items are labelled with the names of fields or as keys and values.
    fn compound(&mut self, at: usize, data: usize, code: u8, place: Place<'_>, fields: &[&str]) -> usize {
        let is_map = code & 0x0f == 1;
        let width = if code >> 4 == 0xc { 1 } else { 4 };
        let (size, count) = (self.number(data, width), self.number(data + width, width));
        let mut next = data + 2 * width;
        let kind = if is_map { "map" } else { "list" };
        self.line(at, next, place.depth, place.label, kind, &format!("of {count} in {size} octets"));
        for item in 0..count {
            let label = match (is_map, item % 2) {
                (true, 0) => "key",
                (true, _) => "value",
                (false, _) => fields.get(item).copied().unwrap_or_default(),
            };
            next = self.value(next, Place { depth: place.depth + 1, label, code: None });
        }
        next
    }

    fn array(&mut self, at: usize, data: usize, code: u8, place: Place<'_>) -> usize {
        let width = if code >> 4 == 0xe { 1 } else { 4 };
        let (size, count) = (self.number(data, width), self.number(data + width, width));
        let mut next = data + 2 * width;
        let mut descriptors = String::new();
        while self.octets.get(next) == Some(&0) {
            let (descriptor, end) = self.descriptor(next + 1);
            descriptors = format!("{descriptors} described by {}", leaf(&descriptor));
            next = end;
        }
        let element = self.octets.get(next).copied();
        next += 1;
        let content = format!("of {count} in {size} octets{descriptors}");
        self.line(at, next, place.depth, place.label, "array", &content);
        for _ in 0..count {
            next = self.value(next, Place { depth: place.depth + 1, label: "", code: element });
        }
        next
    }
}

/// The content of a value that has no parts.
fn leaf(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Ubyte(value) => value.to_string(),
        Value::Ushort(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Ulong(value) => format!("{value} ({value:#x})"),
        Value::Byte(value) => value.to_string(),
        Value::Short(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Long(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Double(value) => value.to_string(),
        Value::Decimal32(value) => hex(&value.0),
        Value::Decimal64(value) => hex(&value.0),
        Value::Decimal128(value) => hex(&value.0),
        Value::Char(value) => format!("{value:?}"),
        Value::Timestamp(value) => format!("{} ms", value.millis()),
        Value::Uuid(value) => value.to_string(),
        Value::Binary(value) => format!("of {} octets", value.len()),
        Value::String(value) => format!("{:?}", AsRef::<str>::as_ref(value)),
        Value::Symbol(value) => value.to_string(),
        Value::List(_) => "of 0".to_owned(),
        Value::Map(_) | Value::Array(_) | Value::Described(_) => "…".to_owned(),
    }
}
