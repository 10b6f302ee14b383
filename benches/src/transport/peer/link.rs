//! Links of the peer: those that bring deliveries, and those that want some.

use crate::Result;
use amqp_codec::messaging::Message;
use amqp_codec::transport::Transfer;
use amqp_codec::{Bytes, BytesMut, Encode, frame};
use std::io::Write;

/// Deliveries that a link may bring; topped up at half.
pub(super) const CREDIT: u32 = 100_000;

/// Octets of deliveries that one write gives.
const BLOCK: usize = 128 * 1024;

/// The delivery-id in the pattern, which is replaced: five octets with its constructor, as the codec writes it.
const PLACEHOLDER: u32 = u32::MAX;

/// A link of the session.
pub(super) enum Link {
    /// It brings deliveries.
    Sink(Sink),
    /// It wants some.
    Feed(Feed),
}

/// A link that brings deliveries.
pub(super) struct Sink {
    /// Deliveries so far.
    pub(super) delivery_count: u32,
    /// Credit that is left.
    pub(super) credit: u32,
    /// The delivery of which a part is there: number, and whether it is settled.
    pub(super) current: Option<(u32, bool)>,
}

impl Sink {
    pub(super) const fn new(delivery_count: u32) -> Self {
        Self { delivery_count, credit: 0, current: None }
    }

    /// One more is there.
    pub(super) fn took(&mut self) {
        self.delivery_count = self.delivery_count.wrapping_add(1);
        self.credit = self.credit.saturating_sub(1);
    }

    pub(super) const fn is_short(&self) -> bool {
        self.credit < CREDIT / 2
    }
}

/// A link that wants deliveries: the same one over and over, many of them ready behind each other.
pub(super) struct Feed {
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    /// Whether the peer wants to know when its credit is used up.
    pub(super) drains: bool,
    block: Vec<u8>,
    /// Octets and frames of one delivery.
    octets: usize,
    frames: u32,
    /// Where a delivery holds its number, and its tag.
    number: usize,
    tag: usize,
}

impl Feed {
    /// Deliveries with a body of so many octets, in frames of at most `max_frame`.
    pub(super) fn new(channel: u16, handle: u32, body: usize, max_frame: usize) -> Result<Self> {
        let payload = Message::data(vec![b'x'; body]).to_bytes();
        let (pattern, frames) = pattern(channel, handle, &payload, max_frame);
        let place = pattern.windows(5).position(|five| five == [0x70, 0xff, 0xff, 0xff, 0xff]);
        let number = place.ok_or("a transfer without a number")? + 1;
        // Behind the number: the tag's constructor and its length.
        let tag = number + 4 + 2;
        let ready = (BLOCK / pattern.len()).max(1);
        let (octets, block) = (pattern.len(), pattern.repeat(ready));
        Ok(Self { delivery_count: 0, credit: 0, drains: false, block, octets, frames, number, tag })
    }

    /// Sends what credit and window allow. Gives the numbers of deliveries and of frames.
    pub(super) fn send(
        &mut self,
        out: &mut impl Write,
        first: u32,
        window: u32,
    ) -> std::io::Result<(u32, u32)> {
        let ready = u32::try_from(self.block.len() / self.octets).unwrap_or(1);
        let mut sent = 0;
        loop {
            let room = (window - sent * self.frames) / self.frames;
            let now = ready.min(self.credit).min(room);
            if now == 0 {
                return Ok((sent, sent * self.frames));
            }
            let mut end = 0;
            for (delivery, place) in (0..now).zip(self.block.chunks_exact_mut(self.octets)) {
                let number = first.wrapping_add(sent + delivery).to_be_bytes();
                place[self.number..self.number + 4].copy_from_slice(&number);
                place[self.tag..self.tag + 4].copy_from_slice(&number);
                end += self.octets;
            }
            out.write_all(&self.block[..end])?;
            sent += now;
            self.credit -= now;
            self.delivery_count = self.delivery_count.wrapping_add(now);
        }
    }
}

/// The frames of one delivery.
fn pattern(channel: u16, handle: u32, payload: &Bytes, max_frame: usize) -> (Vec<u8>, u32) {
    let mut out = BytesMut::new();
    let (mut at, mut frames) = (0, 0);
    while at < payload.len() {
        let mut transfer = Transfer::new(handle);
        if at == 0 {
            transfer.delivery_id = Some(PLACEHOLDER);
            transfer.delivery_tag = Some(Bytes::from_static(&[0; 4]));
            transfer.message_format = Some(0);
            transfer.settled = Some(false);
        }
        // The field for it counts, so that it is there when the size is known.
        transfer.more = true;
        let room = max_frame.saturating_sub(frame::transfer_overhead(&transfer)).max(1);
        let part = room.min(payload.len() - at);
        transfer.more = at + part < payload.len();
        frame::encode_transfer_header(&mut out, channel, &transfer, part);
        out.extend_from_slice(&payload[at..at + part]);
        at += part;
        frames += 1;
    }
    (out.to_vec(), frames)
}
