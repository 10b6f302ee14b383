//! Room for what is read, so that it is neither taken anew for each read nor kept by connections that are idle.
//!
//! A connection at rest holds no room at all: its reads go to the stack, and what came of a frame is kept in as many octets
//! as it has. With reads that are filled the room grows. A large frame gets room of its own, into which it is read directly
//! and which its delivery keeps; once that is dropped, the room serves another one.

use bytes::{BufMut, BytesMut};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Octets that a read takes at first, which one message at a time does not exceed.
const FIRST_READ: usize = 2 * 1024;

/// Octets that a read of small frames takes at most. Large enough for many of them, small enough to stay in the cache.
const LARGEST_READ: usize = 64 * 1024;

/// Frames of which so many octets are missing are read into room of their own: small ones behind them would keep it.
const LARGE: usize = 16 * 1024;

/// What is read beyond the end of a large frame: enough to know the size of the next one, and of little weight when it is
/// copied.
const BEYOND: usize = 256;

/// Room for large frames is a multiple of this, so that it serves frames of about the same size again.
const STEP: usize = 16 * 1024;

/// Octets of room that are kept for use again, at most: what stays in the processor's cache.
const MOST_KEPT: usize = 1024 * 1024;

/// What was read and is not taken yet, and room for more.
#[derive(Debug)]
pub(super) struct Input {
    octets: BytesMut,
    /// Size of the room that `octets` is in.
    size: usize,
    /// Octets that the next read of small frames takes.
    read_size: usize,
    /// Room that was read into before, and its size: usable again once nobody holds a part of it.
    before: VecDeque<(usize, BytesMut)>,
    kept: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { octets: BytesMut::new(), size: 0, read_size: FIRST_READ, before: VecDeque::new(), kept: 0 }
    }

    /// What was read and is not taken yet.
    pub(super) const fn octets(&mut self) -> &mut BytesMut {
        &mut self.octets
    }

    /// Reads once, and gives the number of octets. So many are known to be missing of the frame that is arriving.
    pub(super) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        transport: &mut T,
        missing: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if missing >= LARGE {
            self.make_room(missing + BEYOND, missing + BEYOND);
            let mut room = (&mut self.octets).limit(missing + BEYOND);
            return pin!(transport.read_buf(&mut room)).poll(cx);
        }
        if self.read_size == FIRST_READ {
            return self.poll_first_read(transport, cx);
        }
        self.make_room(self.read_size / 4, self.read_size);
        let room = self.octets.capacity() - self.octets.len();
        let read = ready!(pin!(transport.read_buf(&mut self.octets)).poll(cx))?;
        self.on_read(read, room);
        Poll::Ready(Ok(read))
    }

    fn poll_first_read<T: AsyncRead + Unpin>(
        &mut self,
        transport: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; FIRST_READ];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(transport).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        self.octets.extend_from_slice(room.filled());
        self.size = self.octets.capacity();
        self.on_read(read, FIRST_READ);
        Poll::Ready(Ok(read))
    }

    /// A read that is filled shows that more waits: the next one may take more.
    fn on_read(&mut self, read: usize, room: usize) {
        if read == room {
            self.read_size = LARGEST_READ.min(self.read_size * 4);
        }
    }

    /// Makes room for `wanted` octets more if there are fewer than `needed`.
    fn make_room(&mut self, needed: usize, wanted: usize) {
        if self.octets.capacity() - self.octets.len() >= needed || self.octets.try_reclaim(wanted) {
            return;
        }
        let rest = self.octets.split();
        let whole = rest.len() + wanted;
        let again = self.before.iter_mut().position(|(_, room)| room.try_reclaim(whole));
        let (size, room) = match again.and_then(|place| self.before.remove(place)) {
            Some((size, room)) => {
                self.kept -= size;
                (size, room)
            }
            None => {
                let size = if whole > LARGE { whole.next_multiple_of(STEP) } else { whole };
                (size, BytesMut::with_capacity(size))
            }
        };
        let before = (std::mem::replace(&mut self.size, size), std::mem::replace(&mut self.octets, room));
        self.octets.extend_from_slice(&rest);
        if before.0 >= LARGE {
            self.kept += before.0;
            self.before.push_back(before);
        }
        while self.kept > MOST_KEPT
            && let Some((size, _)) = self.before.pop_front()
        {
            self.kept -= size;
        }
    }

    /// Gives back what nothing is in, once all that was read is taken; all of it if the connection is at rest.
    pub(super) fn on_taken(&mut self) {
        if self.read_size == FIRST_READ && self.octets.is_empty() {
            self.octets = BytesMut::new();
        }
    }

    /// The connection is at rest.
    pub(super) fn rest(&mut self) {
        self.before = VecDeque::new();
        self.kept = 0;
        if self.octets.is_empty() {
            self.octets = BytesMut::new();
            self.read_size = FIRST_READ;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    /// Reads once from these octets.
    fn read(input: &mut Input, from: &mut &[u8], missing: usize) -> usize {
        match input.poll_read(from, missing, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(read)) => read,
            other => panic!("{other:?}"),
        }
    }

    /// Reads a large frame of one octet over and over, and takes it.
    fn frame(input: &mut Input, octet: u8, size: usize) -> bytes::Bytes {
        let octets = vec![octet; size];
        let mut from = &octets[..];
        while !from.is_empty() {
            let missing = size - input.octets().len();
            read(input, &mut from, missing);
        }
        input.octets().split_to(size).freeze()
    }

    #[test]
    fn a_connection_at_rest_keeps_no_room() {
        let mut input = Input::new();
        assert_eq!(read(&mut input, &mut &[1; 100][..], 8), 100);
        drop(input.octets().split());
        input.on_taken();
        assert_eq!(input.octets().capacity(), 0);
        for octets in [100_000, 100_000, 100] {
            read(&mut input, &mut &vec![1; octets][..], 8);
            drop(input.octets().split());
        }
        input.on_taken();
        assert!(input.octets().capacity() > 0, "reads were filled: more is expected");
        drop(frame(&mut input, 1, 100_000));
        input.rest();
        assert_eq!((input.octets().capacity(), input.kept, input.before.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_not_taken_outlives_a_rest() {
        let mut input = Input::new();
        read(&mut input, &mut &b"beginning"[..], 8);
        input.rest();
        read(&mut input, &mut &b" and end"[..], 8);
        assert_eq!(input.octets(), &b"beginning and end"[..]);
    }

    #[test]
    fn reads_grow_while_they_are_filled() {
        let mut input = Input::new();
        let octets = vec![1; 1_000_000];
        let mut from = &octets[..];
        let sizes: Vec<_> = (0..6)
            .map(|_| {
                let read = read(&mut input, &mut from, 8);
                drop(input.octets().split());
                read
            })
            .collect();
        assert_eq!(sizes, [2, 8, 32, 64, 64, 64].map(|kib| kib * 1024));
    }

    #[test]
    fn hardly_more_than_a_large_frame_is_read_into_its_room() {
        let mut input = Input::new();
        let octets = vec![1; 200_000];
        assert_eq!(read(&mut input, &mut &octets[..], 70_000), 70_000 + BEYOND);
        let large = input.octets().split_to(70_000).freeze();
        assert_eq!(read(&mut input, &mut &octets[..], 70_000 - BEYOND), 70_000);
        assert_eq!(input.octets().len(), 70_000 + BEYOND);
        assert_eq!(large.len(), 70_000);
    }

    #[test]
    fn room_that_somebody_holds_is_not_used_for_another_frame() {
        let mut input = Input::new();
        let frames: Vec<_> = (0..50).map(|octet| frame(&mut input, octet, 70_000)).collect();
        assert!(input.kept <= MOST_KEPT);
        for (octet, frame) in (0..).zip(&frames) {
            assert!(frame.iter().all(|found| found == &octet), "{octet}");
        }
        drop(frames);
        let mut places = Vec::new();
        for octet in 0..50 {
            let frame = frame(&mut input, octet, 70_000);
            assert!(frame.iter().all(|found| *found == octet));
            places.push(frame.as_ptr());
        }
        places.sort_unstable();
        places.dedup();
        assert!(places.len() < 20, "room that nobody holds serves again: {}", places.len());
    }

    #[test]
    fn held_parts_of_small_reads_stay_as_they_are() {
        let mut input = Input::new();
        let mut held = Vec::new();
        for octet in 0..200 {
            read(&mut input, &mut &vec![octet; 40_000][..], 8);
            let size = input.octets().len();
            held.push((octet, input.octets().split_to(size).freeze()));
            if octet % 3 == 0 {
                held.remove(0);
            }
        }
        assert!(held.iter().all(|(octet, part)| part.iter().all(|found| found == octet)));
    }
}
