//! One direction of a connection, put in order by its sequence numbers and cut into headers and frames.

use super::packet::Segment;
use amqp_codec::{Bytes, BytesMut};
use std::collections::BTreeMap;

/// What a stream holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Header(Bytes),
    Frame(Bytes),
    /// Why something cannot be shown.
    Trouble(String),
}

/// One direction of a connection, put in order by its sequence numbers.
#[derive(Default)]
pub(crate) struct Stream {
    /// The sequence number of the next octet; none before the first segment.
    next: Option<u32>,
    /// Octets that came in order, from the beginning of the stream.
    position: u64,
    /// What came before its turn, by its place in the stream.
    early: BTreeMap<u64, Bytes>,
    /// What was not taken apart yet.
    octets: BytesMut,
    /// What comes is not looked at any more.
    is_over: bool,
}

impl Stream {
    /// Takes a segment in, and gives what became whole by it.
    pub(crate) fn take(&mut self, segment: &Segment<'_>, missing: u32) -> Vec<Content> {
        let data_at = segment.sequence.wrapping_add(u32::from(segment.is_first));
        if segment.is_first && self.next != Some(data_at) && self.position > 0 {
            // the ports are used again by another connection
            *self = Self::default();
        }
        let next = *self.next.get_or_insert(data_at);
        if self.is_over || segment.payload.is_empty() {
            return Vec::new();
        }
        if missing > 0 {
            self.is_over = true;
            let expected = "expected whole packets (capture with a larger snapshot length)";
            return vec![Content::Trouble(format!(
                "{expected}, found one without its last {missing} octets"
            ))];
        }
        let ahead = data_at.wrapping_sub(next);
        let behind = next.wrapping_sub(data_at);
        if ahead < 1 << 31 {
            let known = self.early.entry(self.position + u64::from(ahead)).or_default();
            if known.len() < segment.payload.len() {
                *known = Bytes::copy_from_slice(segment.payload);
            }
        } else if let Some(new) = usize::try_from(behind).ok().and_then(|old| segment.payload.get(old..)) {
            self.append(new);
        }
        while let Some(entry) = self.early.first_entry().filter(|entry| *entry.key() <= self.position) {
            let (at, data) = entry.remove_entry();
            let old = usize::try_from(self.position - at).unwrap_or(usize::MAX);
            self.append(data.get(old..).unwrap_or_default());
        }
        self.whole()
    }

    fn append(&mut self, data: &[u8]) {
        self.octets.extend_from_slice(data);
        self.position += u64::try_from(data.len()).unwrap_or_default();
        let len = u32::try_from(data.len()).unwrap_or_default();
        self.next = self.next.map(|next| next.wrapping_add(len));
    }

    fn whole(&mut self) -> Vec<Content> {
        let mut contents = Vec::new();
        while let Some(head) = self.octets.first_chunk::<4>() {
            let is_header = head == b"AMQP";
            let size = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
            let size = if is_header { 8 } else { size };
            if size < 8 || head.starts_with(&[0x16, 3]) {
                self.is_over = true;
                let found = if size < 8 { format!("size {size}") } else { "TLS".to_owned() };
                contents
                    .push(Content::Trouble(format!("expected a protocol header or a frame, found {found}")));
                break;
            }
            if self.octets.len() < size {
                break;
            }
            let octets = self.octets.split_to(size).freeze();
            contents.push(if is_header { Content::Header(octets) } else { Content::Frame(octets) });
        }
        contents
    }

    /// What is wrong when the capture ends.
    pub(crate) fn trouble_at_end(&self) -> Option<String> {
        if self.is_over {
            return None;
        }
        let position = self.position;
        match self.early.first_key_value() {
            Some((at, _)) => Some(format!(
                "expected octets {position} to {at} of this direction, found none of them; what follows is not shown"
            )),
            None if self.octets.is_empty() => None,
            None => Some(format!(
                "expected the rest of a frame, found the end after {} octets of it",
                self.octets.len()
            )),
        }
    }
}
