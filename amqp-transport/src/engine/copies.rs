//! Small messages in octets of their own: one that is kept for long must not keep the whole read buffer with it. The frame is
//! copied before it is decoded: tag and payload then share its octets, and the read buffer with nobody.
//!
//! To save allocations some share a block. What one message keeps alive stays within bounds: a block is no more than sixteen
//! times as large as the smallest frame in it, or [`SMALL_BLOCK`].

use bytes::{Buf, Bytes, BytesMut};

/// Frames up to this size are copied. Larger ones stay where they were read: that costs no more than the copy is worth.
pub(crate) const COPY_UP_TO: usize = 8 * 1024;

/// The descriptor of transfer (§2.7.5).
const TRANSFER: u8 = 0x14;

/// Up to which size they share a block with others.
const SMALL: usize = 256;

/// Octets of a block for small ones.
const SMALL_BLOCK: usize = 1024;

/// As [`SMALL`], for those in larger blocks.
const MIDDLING: usize = 2048;

/// Octets of a block for middling ones.
const MIDDLING_BLOCK: usize = 4096;

/// The blocks that are being filled.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    small: BytesMut,
    middling: BytesMut,
}

impl Copies {
    /// Takes a frame's body of `size` octets out of what was read: a small one with a part of a message in octets of its own.
    pub(crate) fn take(&mut self, input: &mut BytesMut, size: usize) -> Bytes {
        let is_copied = |body: &&[u8]| size <= COPY_UP_TO && may_be_transfer(body);
        let Some(octets) = input.get(..size).filter(is_copied) else {
            return input.split_to(size.min(input.len())).freeze();
        };
        let own = match size {
            0 => Bytes::new(),
            _ if size <= SMALL => put(&mut self.small, SMALL_BLOCK, octets),
            _ if size <= MIDDLING => put(&mut self.middling, MIDDLING_BLOCK, octets),
            _ => Bytes::copy_from_slice(octets),
        };
        input.advance(size);
        own
    }

    /// Lets go of blocks that are only begun.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}

/// Whether there is a part of a message in a frame: in all but those whose descriptor, in its usual form, tells otherwise.
fn may_be_transfer(body: &[u8]) -> bool {
    !matches!(body, [0x00, 0x53, code, ..] if *code != TRANSFER)
}

/// Appends octets. A block that is full and of which nobody holds a part any more is filled again.
fn put(block: &mut BytesMut, size: usize, octets: &[u8]) -> Bytes {
    if block.capacity() < octets.len() && !block.try_reclaim(octets.len()) {
        *block = BytesMut::with_capacity(size.max(octets.len()));
    }
    block.extend_from_slice(octets);
    block.split().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes so many octets of this value, behind which others stand.
    fn take(copies: &mut Copies, octet: u8, size: usize) -> Bytes {
        let mut input = BytesMut::from(&vec![octet; size][..]);
        input.extend_from_slice(b"next");
        let taken = copies.take(&mut input, size);
        assert_eq!(input, &b"next"[..]);
        taken
    }

    #[test]
    fn an_empty_frame_takes_nothing() {
        let mut copies = Copies::default();
        assert!(take(&mut copies, 1, 0).is_empty());
        assert_eq!(copies.small.capacity(), 0);
    }

    #[test]
    fn a_large_frame_stays_where_it_is_and_a_small_one_does_not() {
        for (size, stays) in [(COPY_UP_TO + 1, true), (COPY_UP_TO, false), (100, false)] {
            let mut input = BytesMut::from(&vec![7; size + 1][..]);
            let place = input.as_ptr();
            let taken = Copies::default().take(&mut input, size);
            assert_eq!((taken.len(), input.len()), (size, 1));
            assert_eq!(taken.as_ptr() == place, stays, "{size}");
        }
    }

    #[test]
    fn a_block_is_filled_again_once_nobody_holds_a_part_of_it() {
        let mut copies = Copies::default();
        let place = take(&mut copies, 1, 200).as_ptr();
        for _ in 0..5 {
            take(&mut copies, 2, 200);
        }
        let sixth = take(&mut copies, 3, 200);
        assert_eq!(sixth.as_ptr(), place.wrapping_add(200), "the block was begun again with the one before");
    }

    proptest! {
        #[test]
        fn what_one_holds_is_never_anothers(steps in proptest::collection::vec((0usize..3000, 0usize..8), 1..200)) {
            let mut copies = Copies::default();
            let mut held: Vec<(u8, Bytes)> = Vec::new();
            for (number, (size, dropped)) in steps.into_iter().enumerate() {
                let octet = u8::try_from(number).unwrap_or(0);
                held.push((octet, take(&mut copies, octet, size)));
                if dropped < held.len() {
                    held.swap_remove(dropped);
                }
                for (octet, octets) in &held {
                    prop_assert!(octets.iter().all(|found| found == octet));
                }
            }
        }
    }
}
