//! The sending end of a link: credit, and deliveries on their way out.

use super::super::credit::SenderCredit;
use super::super::event::{DeliveryNumber, Token};
use super::super::options::AbortPolicy;
use super::super::serial::Serial;
use super::resume::{SenderResume, UnsettledDelivery};
use super::stream_out::OutgoingStream;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Attach, SenderSettleMode, Transfer};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// A delivery handed over to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The encoded message; shrinks as its frames leave.
    pub(crate) payload: Bytes,
    pub(crate) message_format: u32,
    /// Sent settled: nobody waits for an outcome.
    pub(crate) settled: bool,
    pub(crate) token: Token,
    pub(crate) number: DeliveryNumber,
    /// The link sends everything settled although an outcome is awaited: there is none but that it has left.
    pub(crate) is_told_when_sent: bool,
    /// The delivery-tag, if the sender chose one.
    pub(crate) tag: Option<Bytes>,
    /// The delivery-id, once the first frame has left.
    pub(crate) id: Option<Serial>,
    /// The state that each of its frames carries.
    pub(crate) state: Option<Box<DeliveryState>>,
    /// The octets, if they come in parts; `payload` is empty then.
    pub(crate) stream: Option<Box<OutgoingStream>>,
    /// It goes on with a delivery of an earlier attachment (§2.6.13).
    pub(crate) resumes: bool,
    /// What it takes to send it again, on a link that can be resumed.
    pub(crate) kept: Option<Box<UnsettledDelivery>>,
}

impl Outgoing {
    /// What it holds while it waits, in octets: what is left of the message, and a little for the rest of it, so that
    /// endless empty messages are not free.
    pub(crate) fn cost(&self) -> usize {
        self.payload.len() + 64
    }

    /// Whether it waits for octets.
    pub(crate) fn is_idle(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_idle())
    }

    /// Cuts the next frame's payload off. Sets `more` or `aborted`.
    pub(crate) fn cut(&mut self, transfer: &mut Transfer, max_frame_size: usize) -> Bytes {
        match &mut self.stream {
            None => cut(transfer, &mut self.payload, max_frame_size),
            Some(stream) => stream.cut(transfer, max_frame_size),
        }
    }

    /// Whether somebody is to be told of an outcome.
    pub(crate) const fn is_awaited(&self) -> bool {
        !self.settled || self.is_told_when_sent
    }
}

#[derive(Debug)]
pub(crate) struct SenderLink {
    pub(crate) credit: SenderCredit,
    pub(crate) queue: VecDeque<Outgoing>,
    /// Deliveries in the queue that have not used their credit yet.
    pub(crate) not_started: u32,
    /// The settle mode in force: this side's is (§2.6.2).
    pub(crate) settle_mode: SenderSettleMode,
    /// The peer's max-message-size; 0 = none.
    pub(crate) max_message_size: u64,
    /// Whether credit is given back by itself when the peer drains and nothing waits to be sent.
    pub(crate) drains_by_itself: bool,
    /// Nothing comes after what is queued: unused credit goes back once that has left.
    pub(crate) is_last: bool,
    /// The transaction within which the receiver acquires what is sent to it (§4.4.3).
    pub(crate) acquisition: Option<Box<Bytes>>,
    /// The peer knows that its drain is done.
    pub(crate) is_drain_answered: bool,
    /// Whether the link stands in the session's list of links with something to send.
    pub(crate) is_ready: bool,
    /// There if the link can be resumed.
    pub(crate) resume: Option<Box<SenderResume>>,
    pub(crate) abort_policy: AbortPolicy,
    next_number: u64,
    next_tag: u32,
    tags: BytesMut,
}

impl SenderLink {
    pub(crate) fn new(settle_mode: SenderSettleMode, drains_by_itself: bool, first: Serial) -> Self {
        Self {
            credit: SenderCredit::new(first),
            queue: VecDeque::new(),
            not_started: 0,
            settle_mode,
            max_message_size: 0,
            drains_by_itself,
            is_last: false,
            acquisition: None,
            is_drain_answered: false,
            is_ready: false,
            resume: None,
            abort_policy: AbortPolicy::Abort,
            next_number: 0,
            next_tag: 0,
            tags: BytesMut::new(),
        }
    }

    pub(crate) fn on_attach(&mut self, attach: &Attach) {
        self.max_message_size = attach.max_message_size.unwrap_or(0);
    }

    /// Whether there is nothing more for the credit: it is used up, or nobody has anything to send.
    pub(crate) fn is_drained(&self) -> bool {
        let is_unused = self.drains_by_itself || self.is_last;
        match self.queue.front() {
            None => is_unused || self.credit.link_credit() == 0,
            // A message in parts of which nothing can leave yet may take its time: it waits for the next credit.
            Some(next) => {
                next.id.is_none() && (self.credit.link_credit() == 0 || (is_unused && next.is_idle()))
            }
        }
    }

    /// How many more deliveries may be handed over.
    pub(crate) fn room(&self) -> u32 {
        if self.resume.as_ref().is_some_and(|resume| resume.is_incomplete) {
            return 0;
        }
        self.credit.link_credit().saturating_sub(self.not_started)
    }

    /// A delivery that has not left whole.
    pub(crate) fn find(&mut self, number: DeliveryNumber) -> Option<&mut Outgoing> {
        self.queue.iter_mut().find(|delivery| delivery.number == number)
    }

    /// The next tag that is made here; on a resumed link it is none of those that are still in use.
    pub(crate) const fn next_tag(&self) -> u32 {
        self.next_tag
    }

    pub(crate) const fn start_tags_at(&mut self, next: u32) {
        self.next_tag = next;
    }

    /// The number of the delivery that is handed over next.
    pub(crate) const fn next_number(&self) -> DeliveryNumber {
        DeliveryNumber(self.next_number)
    }

    pub(crate) fn push(&mut self, mut delivery: Outgoing) -> DeliveryNumber {
        let number = DeliveryNumber(self.next_number);
        self.next_number += 1;
        delivery.number = number;
        match self.settle_mode {
            SenderSettleMode::Settled => {
                delivery.is_told_when_sent = !delivery.settled;
                delivery.settled = true;
            }
            SenderSettleMode::Unsettled => delivery.settled = false,
            SenderSettleMode::Mixed => {}
        }
        if delivery.settled {
            delivery.kept = None;
        }
        self.not_started = self.not_started.saturating_add(1);
        self.queue.push_back(delivery);
        number
    }

    /// A tag that no unsettled delivery of this link has: four octets that count. They are cut from one
    /// buffer, so that a tag is no allocation of its own.
    pub(crate) fn fresh_tag(&mut self) -> Bytes {
        if self.tags.capacity() < 4 {
            self.tags.reserve(1024);
        }
        self.tags.put_u32(self.next_tag);
        self.next_tag = self.next_tag.wrapping_add(1);
        self.tags.split().freeze()
    }
}

/// Cuts the next frame's payload off a delivery: as much as the peer's frame size allows. Sets `more`.
fn cut(transfer: &mut Transfer, payload: &mut Bytes, max_frame_size: usize) -> Bytes {
    transfer.more = false;
    let room = max_frame_size.saturating_sub(amqp_codec::frame::transfer_overhead(transfer));
    if payload.len() <= room {
        return std::mem::take(payload);
    }
    transfer.more = true;
    let room = max_frame_size.saturating_sub(amqp_codec::frame::transfer_overhead(transfer));
    payload.split_to(room.min(payload.len()))
}
