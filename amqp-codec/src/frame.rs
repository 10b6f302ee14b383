//! Frames (§2.3) and protocol headers (§2.2).

use crate::decode::{Decode, Decoder};
use crate::encode::{Encode, wire_u32};
use crate::error::{DecodeError, FRAMING_ERROR, Fault, Found};
use crate::security::SaslFrame;
use crate::transport::{Performative, Transfer};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a connection starts with, and each of its layers again (§2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolHeader {
    /// 0 AMQP, 2 TLS, 3 SASL.
    pub id: u8,
    /// Major version.
    pub major: u8,
    /// Minor version.
    pub minor: u8,
    /// Revision.
    pub revision: u8,
}

impl ProtocolHeader {
    /// AMQP 1.0.
    pub const AMQP: Self = Self { id: 0, major: 1, minor: 0, revision: 0 };
    /// TLS within the protocol, which is hardly in use.
    pub const TLS: Self = Self { id: 2, major: 1, minor: 0, revision: 0 };
    /// SASL.
    pub const SASL: Self = Self { id: 3, major: 1, minor: 0, revision: 0 };
    /// Octets of a header.
    pub const LEN: usize = 8;

    /// Its octets.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        [b'A', b'M', b'Q', b'P', self.id, self.major, self.minor, self.revision]
    }

    /// Whether this is version 1.0.0 of a known layer.
    #[must_use]
    pub fn is_supported(self) -> bool {
        [Self::AMQP, Self::TLS, Self::SASL].contains(&self)
    }

    /// Reads the first eight octets.
    ///
    /// # Errors
    /// If there are fewer or they do not start with `AMQP`. Other versions are no error.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        match octets.first_chunk::<8>() {
            Some([b'A', b'M', b'Q', b'P', id, major, minor, revision]) => {
                Ok(Self { id: *id, major: *major, minor: *minor, revision: *revision })
            }
            Some(_) => {
                Err(framing(0, "a protocol header that starts with AMQP", Found::Text("other octets")))
            }
            None => Err(framing(octets.len(), "eight octets of a protocol header", Found::End(octets.len()))),
        }
    }
}

#[cold]
fn framing(offset: usize, expected: &'static str, found: Found) -> DecodeError {
    DecodeError::new(offset, Fault::new(0, expected, found).condition(FRAMING_ERROR))
}

/// What a frame carries (§2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameType {
    /// A performative.
    Amqp,
    /// SASL.
    Sasl,
}

/// The first eight octets of a frame (§2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Octets of the whole frame.
    pub size: u32,
    /// Where the body begins, in words of four octets.
    pub doff: u8,
    /// What the frame carries.
    pub frame_type: FrameType,
    /// The channel, in AMQP frames.
    pub channel: u16,
}

impl FrameHeader {
    /// Octets of a header.
    pub const LEN: usize = 8;

    /// Reads the first eight octets of a frame.
    ///
    /// # Errors
    /// With condition `amqp:connection:framing-error` if there are fewer, or if size, data offset or type are no good.
    pub fn decode(octets: &[u8]) -> Result<Self, DecodeError> {
        let Some([s0, s1, s2, s3, doff, kind, c0, c1]) = octets.first_chunk::<8>() else {
            return Err(framing(octets.len(), "eight octets of a frame header", Found::End(octets.len())));
        };
        let size = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
        if size < 8 {
            return Err(framing(0, "a frame size of at least 8", Found::Number(size.into())));
        }
        if *doff < 2 || u32::from(*doff) * 4 > size {
            return Err(framing(
                4,
                "a data offset from 2 up to the end of the frame",
                Found::Number((*doff).into()),
            ));
        }
        let frame_type = match kind {
            0 => FrameType::Amqp,
            1 => FrameType::Sasl,
            other => {
                return Err(framing(5, "frame type 0 (AMQP) or 1 (SASL)", Found::Number((*other).into())));
            }
        };
        Ok(Self { size, doff: *doff, frame_type, channel: u16::from_be_bytes([*c0, *c1]) })
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut BytesMut) {
        out.put_u32(self.size);
        out.put_u8(self.doff);
        out.put_u8(match self.frame_type {
            FrameType::Amqp => 0,
            FrameType::Sasl => 1,
        });
        out.put_u16(self.channel);
    }
}

fn put_header(out: &mut BytesMut, frame_type: FrameType, channel: u16, body: usize) {
    let size = wire_u32(FrameHeader::LEN + body);
    out.reserve(FrameHeader::LEN + body);
    FrameHeader { size, doff: 2, frame_type, channel }.encode(out);
}

/// Appends a frame with a performative and no payload.
pub fn encode_frame(out: &mut BytesMut, channel: u16, performative: &Performative) {
    put_header(out, FrameType::Amqp, channel, performative.encoded_len());
    performative.encode(out);
}

/// Appends a transfer frame up to its payload, whose `payload_len` octets the caller sends behind it.
pub fn encode_transfer_header(out: &mut BytesMut, channel: u16, transfer: &Transfer, payload_len: usize) {
    let len = transfer.encoded_len();
    out.reserve(FrameHeader::LEN + len);
    let size = wire_u32(FrameHeader::LEN + len + payload_len);
    FrameHeader { size, doff: 2, frame_type: FrameType::Amqp, channel }.encode(out);
    transfer.encode(out);
}

/// Octets of a transfer frame beside its payload.
#[must_use]
pub fn transfer_overhead(transfer: &Transfer) -> usize {
    FrameHeader::LEN + transfer.encoded_len()
}

/// Appends a SASL frame.
pub fn encode_sasl_frame(out: &mut BytesMut, frame: &SaslFrame) {
    put_header(out, FrameType::Sasl, 0, frame.encoded_len());
    frame.encode(out);
}

/// Appends a frame without a body, which says that its sender is alive (§2.4.5).
pub fn encode_empty_frame(out: &mut BytesMut) {
    put_header(out, FrameType::Amqp, 0, 0);
}

/// Reads the body of an AMQP frame, which is what follows the extended header: performative and payload.
///
/// # Errors
/// If the performative cannot be decoded, or if one that is no transfer has something behind it.
pub fn decode_amqp_body(mut body: Bytes) -> Result<(Performative, Bytes), DecodeError> {
    let mut input = Decoder::new(&body);
    let performative = Performative::decode(&mut input)?;
    if !matches!(performative, Performative::Transfer(_)) {
        input.expect_end("nothing behind the performative")?;
    }
    let payload_start = input.offset();
    body.advance(payload_start);
    Ok((performative, body))
}

/// Reads the body of a SASL frame.
///
/// # Errors
/// If it cannot be decoded or something stands behind it.
pub fn decode_sasl_body(body: Bytes) -> Result<SaslFrame, DecodeError> {
    SaslFrame::from_bytes(body)
}
