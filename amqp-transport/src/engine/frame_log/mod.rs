//! A log of frames for people: one line a frame, with the fields that are set, and nothing secret.
//!
//! A line goes to a sink that the embedding program gives, and to `tracing` (target `amqp::frames`, level `TRACE`). While
//! nobody wants it, a frame costs two comparisons.

mod names;
mod show;
#[cfg(test)]
mod tests;

use amqp_codec::frame::ProtocolHeader;
use amqp_codec::types::Described;
use amqp_codec::{Decode, Decoder};
use bytes::Bytes;
use show::Line;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// Where to log each frame that a connection sends or receives, as one readable line.
///
/// ```text
/// client-1 -> header SASL 1.0.0
/// client-1 <- sasl-mechanisms sasl-server-mechanisms=[:SCRAM-SHA-256, :PLAIN]
/// client-1 -> sasl-init mechanism=:PLAIN initial-response=*** hostname="localhost"
/// client-1 -> 0 begin next-outgoing-id=0 incoming-window=2048 outgoing-window=2147483647 handle-max=255
/// client-1 -> 0 transfer handle=0 delivery-id=0 delivery-tag=0x00 message-format=0 settled=false payload=109
/// ```
///
/// The parts of a line: the connection's name, the direction (`->` sent, `<-` received), the channel (not for SASL), the
/// performative, its fields as far as they are set and differ from their defaults, and the octets of payload behind a
/// transfer. A line has no more than some 4000 characters and no control characters.
///
/// **Nothing secret is shown**: what SASL frames carry, message payloads (where claims-based security has its tokens),
/// entries of property maps whose key speaks of a password, token, signature or the like, and texts that look like a
/// token or an address with a password in it.
///
/// With tokio, connections use by default what the environment says: `AMQP_LOG=frames` writes to standard error. Apart
/// from that, `tracing` gets every line if its level for the target `amqp::frames` is `TRACE`.
///
/// ```
/// use amqp_transport::FrameLog;
/// # use std::sync::{Arc, Mutex, PoisonError};
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let kept = Arc::clone(&lines);
/// let log = FrameLog::to(move |line| {
///     kept.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
/// });
/// # let _ = log;
/// ```
#[derive(Clone, Default)]
pub struct FrameLog {
    name: String,
    sink: Option<Arc<Sink>>,
}

/// What takes lines.
type Sink = dyn Fn(&str) + Send + Sync;

impl FrameLog {
    /// No log, but for `tracing`.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Gives each line, without a line feed, to `sink`. It is called in the middle of the connection's work and has to
    /// be quick; it must not use the connection.
    #[must_use]
    pub fn to(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { name: String::new(), sink: Some(Arc::new(sink)) }
    }

    /// How lines begin, to tell connections apart. With tokio each connection has a name of its own.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Whether anybody wants to see frames.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.sink.is_some() || tracing::enabled!(target: "amqp::frames", tracing::Level::TRACE)
    }

    /// A protocol header.
    pub(crate) fn header(&self, direction: Direction, header: &[u8]) {
        if !self.is_on() {
            return;
        }
        let mut line = self.line(direction, None);
        line.word("header");
        match ProtocolHeader::decode(header) {
            Ok(ProtocolHeader { id, major, minor, revision }) => {
                let layer = match id {
                    0 => "AMQP",
                    2 => "TLS",
                    3 => "SASL",
                    _ => "unknown",
                };
                line.word(layer);
                line.word(&format!("{major}.{minor}.{revision}"));
            }
            Err(_) => line.word("unknown"),
        }
        self.emit(line);
    }

    /// The body of a frame: a performative, and its payload. `payload` octets more are not part of `body`.
    #[cold]
    pub(crate) fn frame(&self, direction: Direction, channel: Option<u16>, body: &Bytes, payload: usize) {
        let mut line = self.line(direction, channel);
        if body.is_empty() {
            line.word("empty");
            return self.emit(line);
        }
        let mut input = Decoder::new(body);
        match Described::decode(&mut input) {
            Ok(performative) => {
                let payload = payload + body.len().saturating_sub(input.offset());
                line.performative(&performative);
                if payload > 0 || names::is_transfer(&performative) {
                    line.word(&format!("payload={payload}"));
                }
            }
            Err(_) => line.word(&format!("undecodable ({} octets)", body.len())),
        }
        self.emit(line);
    }

    fn line(&self, direction: Direction, channel: Option<u16>) -> Line {
        let mut line = Line::new(&self.name);
        line.word(match direction {
            Direction::Sent => "->",
            Direction::Received => "<-",
        });
        if let Some(channel) = channel {
            line.word(&channel.to_string());
        }
        line
    }

    fn emit(&self, line: Line) {
        let line = line.finish();
        if let Some(sink) = &self.sink {
            sink(&line);
        }
        tracing::trace!(target: "amqp::frames", "{line}");
    }
}

impl fmt::Debug for FrameLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.sink.is_some() { "FrameLog(on" } else { "FrameLog(off" })?;
        if !self.name.is_empty() {
            write!(f, ", {}", self.name)?;
        }
        f.write_char(')')
    }
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Sent,
    Received,
}
