//! Values in a form for people, with secrets masked and length bounded.

use super::names;
use amqp_codec::types::{Described, Value};
use std::fmt::Write as _;

/// Octets of a line at which it ends, however much there were to say: a peer decides how much there is.
const LINE: usize = 4000;

/// Characters shown of a text.
const TEXT: usize = 200;

/// Octets shown of a binary.
const BINARY: usize = 32;

const MASK: &str = "***";

/// A line that is being written.
pub(super) struct Line {
    text: String,
}

impl Line {
    pub(super) fn new(name: &str) -> Self {
        Self { text: name.to_owned() }
    }

    pub(super) fn finish(mut self) -> String {
        if self.is_full() {
            self.text.push_str(" ...");
        }
        self.text
    }

    const fn is_full(&self) -> bool {
        self.text.len() > LINE
    }

    /// A word of our own.
    pub(super) fn word(&mut self, word: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(word);
    }

    /// A performative: its name, then its fields.
    pub(super) fn performative(&mut self, performative: &Described) {
        match names::composite(&performative.descriptor) {
            Some(composite) => {
                self.word(composite.name);
                self.fields(composite, &performative.value, " ");
            }
            None => {
                self.word("");
                self.described(performative);
            }
        }
    }

    /// `name=value` for each field that is set.
    fn fields(&mut self, composite: &names::Composite, list: &Value, separator: &str) {
        let Value::List(fields) = list else { return self.value(list) };
        let set = fields.iter().enumerate().filter(|(_, value)| !matches!(value, Value::Null));
        for (nth, (at, value)) in set.enumerate() {
            if nth > 0 || separator == " " {
                self.text.push_str(separator);
            }
            let name = composite.field(at);
            self.text.push_str(name);
            self.text.push('=');
            if names::is_secret(name) { self.text.push_str(MASK) } else { self.field(name, value) }
        }
    }

    /// A field whose numbers have names.
    fn field(&mut self, name: &str, value: &Value) {
        match (name, value) {
            ("role", Value::Bool(is_receiver)) => {
                self.text.push_str(if *is_receiver { "receiver" } else { "sender" });
            }
            ("snd-settle-mode", Value::Ubyte(0)) => self.text.push_str("unsettled"),
            ("snd-settle-mode", Value::Ubyte(1)) => self.text.push_str("settled"),
            ("snd-settle-mode", Value::Ubyte(2)) => self.text.push_str("mixed"),
            ("rcv-settle-mode", Value::Ubyte(0)) => self.text.push_str("first"),
            ("rcv-settle-mode", Value::Ubyte(1)) => self.text.push_str("second"),
            ("code", Value::Ubyte(code @ 0..=4)) => {
                let names = ["ok", "auth", "sys", "sys-perm", "sys-temp"];
                self.text.push_str(names.get(usize::from(*code)).copied().unwrap_or_default());
            }
            _ => self.value(value),
        }
    }

    fn described(&mut self, described: &Described) {
        match names::composite(&described.descriptor) {
            Some(composite) => {
                self.text.push_str(composite.name);
                self.text.push('(');
                self.fields(composite, &described.value, ", ");
            }
            None => {
                self.text.push('@');
                self.value(&described.descriptor);
                self.text.push('(');
                self.value(&described.value);
            }
        }
        self.text.push(')');
    }

    fn value(&mut self, value: &Value) {
        if self.is_full() {
            return;
        }
        match value {
            Value::Null => self.text.push_str("null"),
            Value::Bool(value) => self.put(value),
            Value::Ubyte(value) => self.put(value),
            Value::Ushort(value) => self.put(value),
            Value::Uint(value) => self.put(value),
            Value::Ulong(value) => self.put(value),
            Value::Byte(value) => self.put(value),
            Value::Short(value) => self.put(value),
            Value::Int(value) => self.put(value),
            Value::Long(value) => self.put(value),
            Value::Float(value) => self.put(value),
            Value::Double(value) => self.put(value),
            Value::Char(value) => self.text(value.encode_utf8(&mut [0; 4]), "'"),
            Value::Uuid(value) => self.put(value),
            Value::Binary(octets) => self.binary(octets),
            Value::String(text) => self.text(text, "\""),
            Value::Symbol(symbol) => {
                self.text.push(':');
                self.text(symbol.as_str(), "");
            }
            Value::List(values) => self.row(values.iter()),
            Value::Array(array) => self.row(array.elements().iter()),
            Value::Map(map) => self.map(map.iter()),
            Value::Described(described) => self.described(described),
            Value::Decimal32(_) | Value::Decimal64(_) | Value::Decimal128(_) | Value::Timestamp(_) => {
                // Their debug form is the number or the octets.
                let _ = write!(self.text, "{value:?}");
            }
        }
    }

    fn put(&mut self, value: &impl std::fmt::Display) {
        // Writing to a text cannot fail.
        let _ = write!(self.text, "{value}");
    }

    fn row<'a>(&mut self, values: impl Iterator<Item = &'a Value>) {
        self.text.push('[');
        for (at, value) in values.enumerate() {
            if self.is_full() {
                break;
            }
            if at > 0 {
                self.text.push_str(", ");
            }
            self.value(value);
        }
        self.text.push(']');
    }

    fn map<'a>(&mut self, entries: impl Iterator<Item = &'a (Value, Value)>) {
        self.text.push('{');
        for (at, (key, value)) in entries.enumerate() {
            if self.is_full() {
                break;
            }
            if at > 0 {
                self.text.push_str(", ");
            }
            match key {
                Value::Symbol(symbol) => self.text(symbol.as_str(), ""),
                key => self.value(key),
            }
            self.text.push('=');
            if key.as_str().is_some_and(names::is_secret) {
                self.text.push_str(MASK);
            } else {
                self.value(value);
            }
        }
        self.text.push('}');
    }

    fn binary(&mut self, octets: &[u8]) {
        // Some put tokens into binaries.
        if std::str::from_utf8(octets).is_ok_and(names::looks_secret) {
            return self.text.push_str(MASK);
        }
        self.text.push_str("0x");
        for octet in octets.iter().take(BINARY) {
            let _ = write!(self.text, "{octet:02x}");
        }
        if octets.len() > BINARY {
            let _ = write!(self.text, "...({} octets)", octets.len());
        }
    }

    /// A text of the peer or of the user.
    fn text(&mut self, text: &str, quote: &str) {
        if names::looks_secret(text) {
            return self.text.push_str(MASK);
        }
        self.text.push_str(quote);
        for character in without_password(text).chars().take(TEXT) {
            match character {
                '"' | '\\' if !quote.is_empty() => self.text.extend(['\\', character]),
                control if control.is_control() => self.text.extend(control.escape_default()),
                other => self.text.push(other),
            }
        }
        self.text.push_str(quote);
        if text.chars().nth(TEXT).is_some() {
            let _ = write!(self.text, "...({} octets)", text.len());
        }
    }
}

/// An address without the user and password in it.
fn without_password(text: &str) -> std::borrow::Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://") else { return text.into() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@').and_then(|(login, _)| rest.strip_prefix(login)) {
        Some(rest) => format!("{scheme}://{MASK}{rest}").into(),
        None => text.into(),
    }
}
