//! A delivery on its way out whose octets come in parts (§2.6.14).

use amqp_codec::frame::transfer_overhead;
use amqp_codec::transport::Transfer;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Parts below this are joined, so that many small ones do not become as many small frames. Larger ones are
/// referenced.
const JOIN_BELOW: usize = 4096;

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum End {
    /// More parts may come.
    #[default]
    Open,
    /// What waits is the last of it.
    Finished,
    /// It is taken back: nothing of it is to arrive.
    Aborted,
}

/// The octets of such a delivery that have not left yet.
#[derive(Debug, Default)]
pub(crate) struct OutgoingStream {
    parts: VecDeque<Bytes>,
    /// Small parts, joined; behind all others.
    tail: BytesMut,
    queued: usize,
    total: u64,
    end: End,
    /// All that waits may leave, although it is not known to be the last.
    is_flushed: bool,
}

impl OutgoingStream {
    /// Octets that wait to leave.
    pub(crate) fn queued(&self) -> usize {
        self.queued.saturating_sub(self.held_back())
    }

    /// Octets of the delivery so far.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Whether no frame can be made of it now.
    pub(crate) fn is_idle(&self) -> bool {
        self.end == End::Open && self.queued <= self.held_back()
    }

    /// Octets that wait for those behind them, so that the last frame is not empty: RabbitMQ 3 takes no such frame.
    fn held_back(&self) -> usize {
        usize::from(self.end == End::Open && !self.is_flushed)
    }

    /// Lets everything leave that was pushed until now.
    pub(crate) const fn flush(&mut self) {
        self.is_flushed = true;
    }

    pub(crate) fn push(&mut self, part: Bytes) {
        self.is_flushed = false;
        self.queued += part.len();
        self.total = self.total.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if part.len() < JOIN_BELOW {
            self.tail.extend_from_slice(&part);
        } else {
            self.seal();
            self.parts.push_back(part);
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push_back(self.tail.split().freeze());
        }
    }

    pub(crate) const fn finish(&mut self) {
        if matches!(self.end, End::Open) {
            self.end = End::Finished;
        }
    }

    pub(crate) fn abort(&mut self) {
        self.end = End::Aborted;
        self.parts.clear();
        self.tail.clear();
        self.queued = 0;
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.end == End::Aborted
    }

    /// Cuts the next frame's payload off: as much as the peer's frame size allows. Sets `more` or `aborted`.
    pub(crate) fn cut(&mut self, transfer: &mut Transfer, max_frame_size: usize) -> Bytes {
        if self.is_aborted() {
            // §2.6.14: whatever else the frame says is ignored.
            transfer.aborted = true;
            return Bytes::new();
        }
        transfer.more = true;
        let room = max_frame_size.saturating_sub(transfer_overhead(transfer));
        let chunk = self.front(room.min(self.queued.saturating_sub(self.held_back())));
        self.queued -= chunk.len();
        if self.queued == self.held_back()
            && let Some(last) = self.parts.pop_back()
        {
            // To be joined with what comes; the rest of its buffer is given back.
            self.tail.extend_from_slice(&last);
        }
        transfer.more = self.queued > 0 || self.end == End::Open;
        chunk
    }

    fn front(&mut self, room: usize) -> Bytes {
        if self.parts.is_empty() {
            self.seal();
        }
        match self.parts.front_mut() {
            Some(part) if part.len() > room => part.split_to(room),
            Some(_) => self.parts.pop_front().unwrap_or_default(),
            None => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_parts_become_one_frame_and_large_ones_are_cut() {
        let mut stream = OutgoingStream::default();
        for _ in 0..3 {
            stream.push(Bytes::from_static(b"ab"));
        }
        stream.push(Bytes::from(vec![7; 5000]));
        let mut transfer = Transfer::new(0_u32);
        assert_eq!(stream.cut(&mut transfer, 4096), b"ababab"[..]);
        assert!(transfer.more);
        let overhead = transfer_overhead(&transfer);
        assert_eq!(stream.cut(&mut transfer, 4096).len(), 4096 - overhead);
        assert!(!stream.is_idle());
        stream.finish();
        assert_eq!(stream.cut(&mut transfer, 4096).len(), 5000 - (4096 - overhead));
        assert!(!transfer.more, "it is finished, and nothing waits");
        assert_eq!((stream.queued(), stream.total()), (0, 5006));
    }

    #[test]
    fn the_last_octet_waits_for_more_or_for_a_flush() {
        let mut stream = OutgoingStream::default();
        let mut transfer = Transfer::new(0_u32);
        stream.push(Bytes::from_static(b"a"));
        assert!(stream.is_idle());
        stream.push(Bytes::from_static(b"b"));
        assert_eq!(stream.cut(&mut transfer, 4096), b"a"[..]);
        assert!(stream.is_idle());
        stream.push(Bytes::from_static(b"c"));
        stream.flush();
        assert_eq!(stream.cut(&mut transfer, 4096), b"bc"[..]);
        assert!(transfer.more && stream.is_idle());
        stream.push(Bytes::from(vec![7; 5000]));
        assert_eq!(stream.cut(&mut transfer, 10_000).len(), 4999);
        stream.finish();
        assert_eq!(stream.cut(&mut transfer, 4096), b"\x07"[..]);
        assert!(!transfer.more, "and the last frame is not empty");
    }
}
