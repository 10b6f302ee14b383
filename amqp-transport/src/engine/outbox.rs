//! Frames on their way to the socket: small ones are joined in one buffer, large payloads are referenced.

use amqp_codec::frame;
use amqp_codec::security::SaslFrame;
use amqp_codec::transport::{Performative, Transfer};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Payloads below this are copied behind their header. A reference costs a slot in the vectored write and a
/// reference count on either side, which is dearer than copying up to about this many octets.
const COPY_BELOW: usize = 4096;

/// Room for a transfer frame without its payload; seldom is one larger.
const HEADER: usize = 128;

/// Room made for joined frames at a time.
const BUFFER: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    tail: BytesMut,
    chunks: VecDeque<Bytes>,
    queued: usize,
    frames: u64,
    /// Octets taken so far.
    taken: u64,
}

impl Outbox {
    /// Octets that wait here.
    pub(crate) fn len(&self) -> usize {
        self.queued + self.tail.len()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Frames put in so far.
    pub(crate) const fn frames(&self) -> u64 {
        self.frames
    }

    /// Octets put in so far.
    pub(crate) fn octets(&self) -> u64 {
        self.taken + u64::try_from(self.len()).unwrap_or(u64::MAX)
    }

    pub(crate) fn frame(&mut self, channel: u16, performative: &Performative) {
        self.frames += 1;
        frame::encode_frame(&mut self.tail, channel, performative);
    }

    pub(crate) fn sasl(&mut self, sasl: &SaslFrame) {
        self.frames += 1;
        frame::encode_sasl_frame(&mut self.tail, sasl);
    }

    pub(crate) fn empty_frame(&mut self) {
        self.frames += 1;
        frame::encode_empty_frame(&mut self.tail);
    }

    pub(crate) fn transfer(&mut self, channel: u16, transfer: &Transfer, payload: Bytes) {
        let is_copied = payload.len() < COPY_BELOW;
        let needed = HEADER + if is_copied { payload.len() } else { 0 };
        if self.tail.capacity() - self.tail.len() < needed {
            // A buffer that is full is left behind: growing it would copy what is in it.
            self.seal();
            self.tail.reserve(BUFFER);
        }
        self.frames += 1;
        frame::encode_transfer_header(&mut self.tail, channel, transfer, payload.len());
        if is_copied {
            self.tail.extend_from_slice(&payload);
        } else {
            self.seal();
            self.queued += payload.len();
            self.chunks.push_back(payload);
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let chunk = self.tail.split().freeze();
            self.queued += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Moves everything to `out`, in order.
    pub(crate) fn take_into(&mut self, out: &mut VecDeque<Bytes>) {
        self.seal();
        self.taken += u64::try_from(self.queued).unwrap_or(u64::MAX);
        self.queued = 0;
        out.append(&mut self.chunks);
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        let (frames, taken) = (self.frames, self.taken);
        *self = Self { frames, taken, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_not_moved_when_more_comes() {
        let mut outbox = Outbox::default();
        let transfer = Transfer::new(0_u32);
        let payload = Bytes::from(vec![7; 1000]);
        (0..100).for_each(|_| outbox.transfer(0, &transfer, payload.clone()));
        outbox.empty_frame();
        let (mut chunks, octets) = (VecDeque::new(), outbox.len());
        outbox.take_into(&mut chunks);
        assert!(chunks.iter().all(|chunk| chunk.len() <= BUFFER), "each buffer is filled once");
        assert!((7..9).contains(&chunks.len()), "{}", chunks.len());
        assert_eq!(chunks.iter().map(Bytes::len).sum::<usize>(), octets);
        let joined: Vec<u8> = chunks.into_iter().flatten().collect();
        let one = frame::transfer_overhead(&transfer) + payload.len();
        assert_eq!(joined.len(), 100 * one + 8);
        assert!(joined.chunks_exact(one).take(100).all(|frame| frame.ends_with(&payload)));
    }
}
