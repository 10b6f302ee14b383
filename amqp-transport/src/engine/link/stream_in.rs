//! Deliveries that are handed over with their first frame, and read part by part while the rest arrives (§2.6.14).

use super::super::copies::COPY_UP_TO;
use super::super::serial::Serial;
use super::receiver::Incoming;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Small parts are joined up to this many octets: endless frames of one octet take little more than their octets.
const JOIN_UP_TO: usize = 4 * 1024;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it is here.
    Whole,
    /// The sender took it back: it is settled on both sides.
    Aborted,
}

/// One such delivery, until nobody reads it any more.
#[derive(Debug)]
pub(crate) struct IncomingStream {
    id: Serial,
    /// Octets that nobody has read yet.
    parts: VecDeque<Bytes>,
    /// The last of them, while they are few.
    tail: BytesMut,
    total: u64,
    /// It came settled: it counts against the credit until it is dropped.
    settled: bool,
    end: Option<End>,
    is_taken: bool,
    /// Nobody will read it: what still comes is thrown away.
    is_dropped: bool,
    /// The transaction that its first frame named.
    transaction: Option<Bytes>,
}

impl IncomingStream {
    /// Small parts are copied out of the read buffer and joined, large ones are referenced.
    fn push(&mut self, octets: Bytes) {
        if self.tail.len() + octets.len() > JOIN_UP_TO {
            self.seal();
        }
        if octets.len() > COPY_UP_TO {
            self.parts.push_back(octets);
        } else {
            self.tail.extend_from_slice(&octets);
        }
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        if self.parts.is_empty() {
            self.seal();
        }
        self.parts.pop_front()
    }

    /// Throws away what nobody has read; gives how many octets that were.
    fn clear(&mut self) -> usize {
        self.seal();
        self.parts.drain(..).map(|part| part.len()).sum()
    }
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Octets(Bytes),
    End(End),
    /// Nothing now; more may come.
    Nothing,
    /// No such delivery.
    Unknown,
}

/// The deliveries of one link that are still arriving or still read.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    list: VecDeque<IncomingStream>,
    /// Octets that nobody has read yet.
    unread: usize,
}

impl Streams {
    pub(crate) const fn unread(&self) -> usize {
        self.unread
    }

    fn find(&mut self, id: Serial) -> Option<&mut IncomingStream> {
        self.list.iter_mut().find(|stream| stream.id == id)
    }

    /// The delivery of which frames are missing.
    pub(crate) fn open(&self) -> Option<Serial> {
        self.list.back().filter(|stream| stream.end.is_none()).map(|stream| stream.id)
    }

    /// The transaction of the delivery of which frames are missing.
    pub(crate) fn transaction(&self) -> Option<&[u8]> {
        self.list.back().filter(|stream| stream.end.is_none())?.transaction.as_deref()
    }

    pub(crate) fn start(&mut self, id: Serial, settled: bool, transaction: Option<&[u8]>) {
        self.list.push_back(IncomingStream {
            id,
            parts: VecDeque::new(),
            tail: BytesMut::new(),
            total: 0,
            settled,
            end: None,
            is_taken: false,
            is_dropped: false,
            transaction: transaction.map(Bytes::copy_from_slice),
        });
    }

    /// The next octets of the delivery that is arriving. Returns how many it has by now.
    pub(crate) fn push(&mut self, octets: Bytes) -> u64 {
        let Some(stream) = self.list.back_mut() else { return 0 };
        stream.total = stream.total.saturating_add(u64::try_from(octets.len()).unwrap_or(u64::MAX));
        if !octets.is_empty() && !stream.is_dropped {
            self.unread += octets.len();
            stream.push(octets);
        }
        stream.total
    }

    /// The last frame of the delivery that is arriving.
    pub(crate) fn complete(&mut self) {
        if let Some(stream) = self.list.back_mut() {
            stream.end = Some(End::Whole);
            if stream.is_dropped {
                self.list.pop_back();
            }
        }
    }

    /// The delivery that is arriving is taken back. Returns whether it was handed over already, and whether it still
    /// counts against the credit if it came settled.
    pub(crate) fn abort(&mut self) -> (bool, bool) {
        let Some(stream) = self.list.back_mut() else { return (false, false) };
        self.unread -= stream.clear();
        stream.end = Some(End::Aborted);
        let counts = stream.settled && !stream.is_dropped;
        let is_taken = stream.is_taken;
        // Nobody has to be told of one that was dropped or that nobody has seen.
        if stream.is_dropped || !is_taken {
            self.list.pop_back();
        } else {
            stream.settled = false;
        }
        (is_taken, counts)
    }

    /// The sender wants no outcome: it counts against the credit until nobody reads it.
    pub(crate) fn settle(&mut self, id: Serial) {
        if let Some(stream) = self.find(id) {
            stream.settled = true;
        }
    }

    pub(crate) fn on_taken(&mut self, id: Serial) {
        if let Some(stream) = self.find(id) {
            stream.is_taken = true;
        }
    }

    pub(crate) fn read(&mut self, id: Serial) -> Found {
        let Some(stream) = self.list.iter_mut().find(|stream| stream.id == id) else { return Found::Unknown };
        match (stream.pop(), stream.end) {
            (Some(part), _) => {
                self.unread -= part.len();
                Found::Octets(part)
            }
            (None, Some(end)) => Found::End(end),
            (None, None) => Found::Nothing,
        }
    }

    /// Nobody reads the delivery any more. Returns whether it counted against the credit until now because it came
    /// settled.
    pub(crate) fn forget(&mut self, id: Serial) -> bool {
        let Some(place) = self.list.iter().position(|stream| stream.id == id) else { return false };
        let Some(stream) = self.list.get_mut(place) else { return false };
        self.unread -= stream.clear();
        let counted = stream.settled && !stream.is_dropped;
        stream.is_dropped = true;
        if stream.end.is_some() {
            self.list.remove(place);
        }
        counted
    }

    /// The link ended: what nobody can read any more is forgotten. What came settled and whole is still to be had.
    pub(crate) fn on_link_end(&mut self, inbox: &mut VecDeque<Incoming>) {
        let list = &mut self.list;
        inbox.retain(|delivery| {
            list.iter().any(|stream| stream.id == delivery.id && stream.end == Some(End::Whole))
        });
        list.retain(|stream| {
            !stream.is_dropped && (stream.is_taken || inbox.iter().any(|delivery| delivery.id == stream.id))
        });
    }
}
