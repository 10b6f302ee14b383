//! One goridge frame: a 12-byte header, up to ten option words, a payload. Pure: no I/O.
//!
//! All integers are little-endian. The CRC covers bytes 0 to 5 of the header only; options and payload are not
//! protected.

use bytes::Bytes;

/// Length of the fixed part of a header in bytes; options follow it.
pub(crate) const HEADER_LENGTH: usize = 12;

/// The only version of the format.
const VERSION: u8 = 1;

/// Header length in 32-bit words when there are no options.
const WORDS_WITHOUT_OPTIONS: u8 = 3;

/// The most option words that a header can carry.
const MAX_OPTIONS: usize = 10;

/// The bit mask in byte 1 of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A message between the server and the worker library: handshake, stop.
    pub(crate) const CONTROL: Self = Self(0x01);
    /// The payload is bytes for the worker's own code.
    pub(crate) const RAW: Self = Self(0x04);
    /// The payload is JSON.
    pub(crate) const JSON: Self = Self(0x08);
    /// The payload is the text of an error.
    pub(crate) const ERROR: Self = Self(0x40);

    /// Both masks together.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every bit of `other` is set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The stream bits in byte 10 of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StreamBits(u8);

impl StreamBits {
    /// More frames of the same answer follow.
    pub(crate) const STREAM: Self = Self(0x01);

    /// Whether every bit of `other` is set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) flags: Flags,
    pub(crate) stream: StreamBits,
    /// At most ten; the meaning depends on the kind of frame. A job and its answer have one: the length of the
    /// context at the head of the payload, in bytes.
    pub(crate) options: Vec<u32>,
    pub(crate) payload: Bytes,
}

/// Why a frame cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodeError {
    #[error("a frame carries at most {} bytes, this one has {length}", u32::MAX)]
    PayloadTooLong { length: usize },
    #[error("a frame carries at most {MAX_OPTIONS} options, this one has {count}")]
    TooManyOptions { count: usize },
}

impl Frame {
    /// A control frame with JSON in it.
    pub(crate) fn control(json: impl Into<Bytes>) -> Self {
        Self {
            flags: Flags::CONTROL.with(Flags::JSON),
            stream: StreamBits::default(),
            options: Vec::new(),
            payload: json.into(),
        }
    }

    /// The bytes of a job for a worker: the context, then the body, with the context's length as only option.
    /// One buffer, because a worker reads the header in a single call and must find all of it.
    pub(crate) fn encode_job(context: &[u8], body: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let length = context.len() + body.len();
        let option = u32::try_from(context.len()).map_err(|_| EncodeError::PayloadTooLong { length })?;
        let mut out = Vec::with_capacity(HEADER_LENGTH + 4 + length);
        encode_header(&mut out, Flags::RAW, StreamBits::default(), &[option], length)?;
        out.extend_from_slice(context);
        out.extend_from_slice(body);
        Ok(out)
    }

    /// The bytes of this frame.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(HEADER_LENGTH + 4 * self.options.len() + self.payload.len());
        encode_header(&mut out, self.flags, self.stream, &self.options, self.payload.len())?;
        out.extend_from_slice(&self.payload);
        Ok(out)
    }

    /// Splits the payload where the only option says: context and body. `None` unless there is exactly one option
    /// and it lies inside the payload.
    pub(crate) fn context_and_body(&self) -> Option<(Bytes, Bytes)> {
        let [option] = self.options.as_slice() else { return None };
        let at = usize::try_from(*option).ok().filter(|at| *at <= self.payload.len())?;
        Some((self.payload.slice(..at), self.payload.slice(at..)))
    }
}

fn encode_header(
    out: &mut Vec<u8>,
    flags: Flags,
    stream: StreamBits,
    options: &[u32],
    payload_length: usize,
) -> Result<(), EncodeError> {
    let words = u8::try_from(options.len())
        .ok()
        .filter(|_| options.len() <= MAX_OPTIONS)
        .ok_or(EncodeError::TooManyOptions { count: options.len() })?;
    let length =
        u32::try_from(payload_length).map_err(|_| EncodeError::PayloadTooLong { length: payload_length })?;
    out.push((VERSION << 4) | (WORDS_WITHOUT_OPTIONS + words));
    out.push(flags.0);
    out.extend_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&[stream.0, 0]);
    for option in options {
        out.extend_from_slice(&option.to_le_bytes());
    }
    Ok(())
}

/// What the fixed part of a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: Flags,
    pub(crate) stream: StreamBits,
    /// How many option words follow, at most ten.
    pub(crate) options: usize,
    /// How many bytes of payload follow the options.
    pub(crate) payload: usize,
}

impl Header {
    /// Reads the first 12 bytes of a frame. `None` when they are something else, most often text that the worker
    /// printed: wrong version, impossible header length, or a CRC that does not fit.
    pub(crate) fn decode(bytes: [u8; HEADER_LENGTH]) -> Option<Self> {
        let [first, flags, l0, l1, l2, l3, c0, c1, c2, c3, stream, _reserved] = bytes;
        if first >> 4 != VERSION {
            return None;
        }
        let options = usize::from((first & 0x0f).checked_sub(WORDS_WITHOUT_OPTIONS)?);
        if options > MAX_OPTIONS {
            return None;
        }
        if crc32fast::hash(&[first, flags, l0, l1, l2, l3]) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return None;
        }
        let payload = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        Some(Self { flags: Flags(flags), stream: StreamBits(stream), options, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(text.get(at..at + 2).unwrap(), 16).unwrap())
            .collect()
    }

    /// Decodes a complete frame from bytes, the way the pipe does.
    fn decode(bytes: &[u8]) -> Frame {
        let header = Header::decode(bytes[..HEADER_LENGTH].try_into().unwrap()).unwrap();
        let at = HEADER_LENGTH + 4 * header.options;
        let options = bytes[HEADER_LENGTH..at]
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(bytes.len(), at + header.payload);
        Frame {
            flags: header.flags,
            stream: header.stream,
            options,
            payload: Bytes::copy_from_slice(&bytes[at..]),
        }
    }

    #[test]
    fn a_job_has_the_bytes_that_php_reads() {
        let expected = hex("14040f000000b857668400000a0000007b226964223a2231227d68656c6c6f");
        assert_eq!(Frame::encode_job(br#"{"id":"1"}"#, b"hello").unwrap(), expected);
        let (context, body) = decode(&expected).context_and_body().unwrap();
        assert_eq!(&context[..], br#"{"id":"1"}"#);
        assert_eq!(&body[..], b"hello");
    }

    #[test]
    fn stop_and_pid_requests_have_the_bytes_that_php_reads() {
        let stop = Frame::control(&br#"{"stop":true}"#[..]).encode().unwrap();
        assert_eq!(stop, hex("13090d0000003a6bfacb00007b2273746f70223a747275657d"));
        let pid = Frame::control(&br#"{"pid":42}"#[..]).encode().unwrap();
        assert_eq!(pid, hex("13090a00000083532d5600007b22706964223a34327d"));
    }

    #[test]
    fn what_php_writes_is_read() {
        let pid = decode(&hex("13010c0000009e47364300007b22706964223a323431377d"));
        assert!(pid.flags.contains(Flags::CONTROL));
        assert_eq!(&pid.payload[..], br#"{"pid":2417}"#);

        let answer = decode(&hex("140014000000e621fef60000000000007b2274797065223a322c2264617461223a5b5d7d"));
        assert_eq!(answer.options, [0]);
        assert_eq!(&answer.context_and_body().unwrap().1[..], br#"{"type":2,"data":[]}"#);

        let error = decode(&hex("134004000000881e11e30000626f6f6d"));
        assert!(error.flags.contains(Flags::ERROR));
        assert_eq!(&error.payload[..], b"boom");
    }

    #[test]
    fn printed_text_is_not_a_header() {
        assert_eq!(Header::decode(*b"Could not op"), None);
        assert_eq!(Header::decode([0; 12]), None);
        let mut damaged: [u8; 12] = hex("134004000000881e11e30000").try_into().unwrap();
        damaged[2] ^= 1;
        assert_eq!(Header::decode(damaged), None);
    }

    #[test]
    fn header_lengths_outside_three_to_thirteen_words_are_refused() {
        for words in [0u8, 1, 2, 14, 15] {
            let mut bytes = vec![(VERSION << 4) | words, 0, 0, 0, 0, 0];
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            bytes.extend([0, 0]);
            assert_eq!(Header::decode(bytes.try_into().unwrap()), None, "{words} words");
        }
    }

    #[test]
    fn an_option_beyond_the_payload_is_not_split() {
        let frame = Frame {
            flags: Flags::RAW,
            stream: StreamBits::default(),
            options: vec![5],
            payload: Bytes::from_static(b"four"),
        };
        assert_eq!(frame.context_and_body(), None);
    }

    #[test]
    fn eleven_options_cannot_be_written() {
        let frame = Frame {
            flags: Flags::RAW,
            stream: StreamBits::default(),
            options: vec![0; 11],
            payload: Bytes::new(),
        };
        assert_eq!(frame.encode(), Err(EncodeError::TooManyOptions { count: 11 }));
    }
}
