//! One direction of a connection as its octets show it: cut into headers and frames again, with the codec alone.

use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::transport::Performative;
use bytes::{Buf, Bytes, BytesMut};

/// What stands in a stream.
#[derive(Debug)]
pub(crate) enum Seen {
    Header(ProtocolHeader),
    Sasl,
    /// A frame without a body: a sign of life.
    Empty,
    Frame {
        channel: u16,
        performative: Performative,
        payload: usize,
        /// Octets of the whole frame.
        size: usize,
    },
}

/// Octets that came, up to the last whole frame.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    buffer: BytesMut,
}

impl Stream {
    pub(crate) fn extend(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The next header or frame, once it is whole.
    pub(crate) fn next(&mut self) -> Result<Option<Seen>, String> {
        if self.buffer.len() < 8 {
            return Ok(None);
        }
        if self.buffer.starts_with(b"AMQP") {
            let header = ProtocolHeader::decode(&self.buffer[..8]).map_err(|error| error.to_string())?;
            self.buffer.advance(8);
            return Ok(Some(Seen::Header(header)));
        }
        let header = FrameHeader::decode(&self.buffer[..8]).map_err(|error| error.to_string())?;
        let size = usize::try_from(header.size).unwrap_or(usize::MAX);
        if self.buffer.len() < size {
            return Ok(None);
        }
        let mut body: Bytes = self.buffer.split_to(size).freeze();
        body.advance(usize::from(header.doff) * 4);
        if header.frame_type == FrameType::Sasl {
            return frame::decode_sasl_body(body)
                .map(|_| Some(Seen::Sasl))
                .map_err(|error| format!("a SASL frame that cannot be decoded: {error}"));
        }
        if body.is_empty() {
            return Ok(Some(Seen::Empty));
        }
        let (performative, payload) = frame::decode_amqp_body(body)
            .map_err(|error| format!("a frame that cannot be decoded: {error}"))?;
        Ok(Some(Seen::Frame { channel: header.channel, performative, payload: payload.len(), size }))
    }

    /// Nothing of an unfinished frame is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}
