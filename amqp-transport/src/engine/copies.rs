//! Small messages in octets of their own: one that is kept for long must not keep the whole read buffer with it.
//!
//! To save allocations some share a block. What one message keeps alive stays within bounds: a block is no more than sixteen
//! times as large as the smallest payload in it, or [`SMALL_BLOCK`].

use bytes::{Bytes, BytesMut};

/// Payloads up to this size are copied. Larger ones stay where they were read: that costs no more than the copy is worth.
pub(crate) const COPY_UP_TO: usize = 8 * 1024;

/// Tag and payload together, up to which size they share a block with others.
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
    /// Gives tag and payload octets of their own, if the payload is small.
    pub(crate) fn detach(&mut self, tag: &Bytes, payload: Bytes) -> (Bytes, Bytes) {
        if payload.len() > COPY_UP_TO {
            return (self.copy(tag, &[]).0, payload);
        }
        self.copy(tag, &payload)
    }

    fn copy(&mut self, tag: &[u8], payload: &[u8]) -> (Bytes, Bytes) {
        let len = tag.len() + payload.len();
        let mut own = match len {
            0 => return (Bytes::new(), Bytes::new()),
            _ if len <= SMALL => put(&mut self.small, SMALL_BLOCK, tag, payload),
            _ if len <= MIDDLING => put(&mut self.middling, MIDDLING_BLOCK, tag, payload),
            _ => put(&mut BytesMut::new(), len, tag, payload),
        };
        let payload = own.split_off(tag.len());
        (own, payload)
    }

    /// Lets go of blocks that are only begun.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }
}

/// Appends both. A block that is full and of which nobody holds a part any more is filled again.
fn put(block: &mut BytesMut, size: usize, tag: &[u8], payload: &[u8]) -> Bytes {
    let len = tag.len() + payload.len();
    if block.capacity() < len && !block.try_reclaim(len) {
        *block = BytesMut::with_capacity(size.max(len));
    }
    block.extend_from_slice(tag);
    block.extend_from_slice(payload);
    block.split().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_tag_before_an_empty_payload_takes_nothing() {
        let mut copies = Copies::default();
        assert_eq!(copies.detach(&Bytes::new(), Bytes::new()), (Bytes::new(), Bytes::new()));
        assert_eq!(copies.small.capacity(), 0);
    }

    #[test]
    fn a_large_payload_stays_where_it_is() {
        let payload = Bytes::from(vec![7; COPY_UP_TO + 1]);
        let (_, detached) = Copies::default().detach(&Bytes::from_static(b"tag"), payload.clone());
        assert_eq!(detached.as_ptr(), payload.as_ptr());
    }

    #[test]
    fn a_block_is_filled_again_once_nobody_holds_a_part_of_it() {
        let mut copies = Copies::default();
        let (_, first) = copies.detach(&Bytes::new(), Bytes::from(vec![1; 200]));
        let place = first.as_ptr();
        drop(first);
        for _ in 0..5 {
            let (_, payload) = copies.detach(&Bytes::new(), Bytes::from(vec![2; 200]));
            drop(payload);
        }
        let (_, sixth) = copies.detach(&Bytes::new(), Bytes::from(vec![3; 200]));
        assert_eq!(sixth.as_ptr(), place.wrapping_add(200), "the block was begun again with the one before");
    }

    proptest! {
        #[test]
        fn what_one_holds_is_never_anothers(
            steps in proptest::collection::vec((0usize..3000, 0usize..32, 0usize..8), 1..200)
        ) {
            let mut copies = Copies::default();
            let mut held: Vec<(u8, Bytes, Bytes)> = Vec::new();
            for (number, (size, tag, dropped)) in steps.into_iter().enumerate() {
                let octet = u8::try_from(number).unwrap_or(0);
                let (tag, payload) = copies.detach(&vec![octet; tag].into(), vec![octet; size].into());
                held.push((octet, tag, payload));
                if dropped < held.len() {
                    held.swap_remove(dropped);
                }
                for (octet, tag, payload) in &held {
                    prop_assert!(tag.iter().chain(payload).all(|found| found == octet));
                }
            }
        }
    }
}
