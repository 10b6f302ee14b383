//! Transfers to the peer (§2.6.12): links in turn, a frame each, as far as window, credit and the outbox allow.

use super::{Sent, Session};
use crate::engine::event::DeliveryNumber;
use crate::engine::link::sender::Outgoing;
use crate::engine::link::{Kind, Link, LinkState};
use crate::engine::{Io, LinkKey, Links};
use crate::error::Outcome;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::Transfer;

impl Session {
    /// Puts a link in the queue of those with something to send.
    pub(crate) fn make_ready(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        if let Kind::Sender(sender) = &mut link.kind
            && !sender.is_ready
            && !sender.queue.is_empty()
        {
            sender.is_ready = true;
            self.ready.push_back(key);
            self.touch(io);
        }
    }

    /// Sends frames, one a link in turn, as far as window, credit and the outbox allow.
    pub(super) fn pump(&mut self, links: &mut Links, io: &mut Io) {
        while self.outgoing.is_open() && io.has_room() {
            let Some(key) = self.ready.pop_front() else { return };
            let Some(link) = links.get_mut(key.0).filter(|link| link.session == self.key) else { continue };
            if self.send_frame(key, link, io) {
                self.ready.push_back(key);
            } else if let Kind::Sender(sender) = &mut link.kind {
                sender.is_ready = false;
                self.drain_if_idle(key, link, io);
                io.signal(key, link);
            }
        }
    }

    /// Sends one frame of a link's first delivery. False if the link has nothing more that it may send.
    fn send_frame(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) -> bool {
        let (Some(handle), Kind::Sender(sender)) = (link.local_handle, &mut link.kind) else { return false };
        if link.state != LinkState::Attached {
            return false;
        }
        if sender.queue.front().is_none_or(Outgoing::is_idle) {
            return false;
        }
        let Some(mut delivery) = sender.queue.pop_front() else { return false };
        let mut transfer = Transfer::new(handle);
        if delivery.id.is_none() {
            if sender.credit.link_credit() == 0 {
                sender.queue.push_front(delivery);
                return false;
            }
            sender.credit.on_send();
            sender.not_started = sender.not_started.saturating_sub(1);
            let (token, number) = (delivery.token, delivery.number);
            let tag = delivery.tag.take().unwrap_or_else(|| sender.fresh_tag());
            if let Some(kept) = &mut delivery.kept {
                kept.tag = Some(tag.clone());
            }
            let sent = (!delivery.settled).then(|| Sent {
                link: key,
                token,
                number,
                has_outcome: false,
                is_posted: matches!(delivery.state.as_deref(), Some(DeliveryState::Transactional(_))),
                is_retired: false,
                is_streamed: delivery.stream.is_some(),
                sent_at: io.counters.micros(),
                kept: delivery.kept.take(),
            });
            link.traffic.deliveries += 1;
            let id = self.sent.push(sent);
            delivery.id = Some(id);
            transfer.delivery_id = Some(id.0);
            transfer.delivery_tag = Some(tag);
            transfer.resume = delivery.resumes;
            transfer.message_format = Some(delivery.message_format);
            transfer.settled = Some(delivery.settled);
        }
        // Within a transaction every frame says so (§4.4.1).
        transfer.state = delivery.state.as_deref().cloned();
        let chunk = delivery.cut(&mut transfer, io.max_frame_size);
        let sent_octets = chunk.len();
        link.traffic.octets += u64::try_from(sent_octets).unwrap_or(u64::MAX);
        self.transfers_out += 1;
        io.send_transfer(self.local_channel, &transfer, chunk);
        self.outgoing.on_send();
        let (token, number) = (delivery.token, delivery.number);
        let is_told = !transfer.more && !transfer.aborted && delivery.is_told_when_sent;
        let is_streamed = delivery.stream.is_some();
        let relieved =
            if is_streamed { 0 } else { sent_octets } + if transfer.more { 0 } else { delivery.cost() };
        io.waiting_bytes = io.waiting_bytes.saturating_sub(relieved);
        let mut has_more = !sender.queue.is_empty();
        if transfer.more {
            has_more = !delivery.is_idle();
            sender.queue.push_front(delivery);
        }
        if is_told {
            io.outcome(key, token, number, Some(Outcome::Unspecified));
        }
        if is_streamed {
            // Its writer may wait for room.
            io.signal(key, link);
        }
        if transfer.aborted {
            // It has used credit all the same: the receiver may count otherwise (§2.6.7).
            self.want_flow(key, link, io);
        }
        has_more
    }

    /// Takes a delivery back that is not sent whole (§2.6.14): it is settled on both sides, and a frame says so if
    /// one of it has left.
    pub(crate) fn abort(&mut self, key: LinkKey, link: &mut Link, number: DeliveryNumber, io: &mut Io) {
        let Kind::Sender(sender) = &mut link.kind else { return };
        let Some(place) = sender.queue.iter().position(|delivery| delivery.number == number) else { return };
        let Some(delivery) = sender.queue.get_mut(place) else { return };
        let is_awaited = match delivery.id {
            Some(id) if !delivery.settled => self.sent.take(id).is_some_and(|sent| !sent.has_outcome),
            _ => delivery.is_awaited(),
        };
        if is_awaited {
            io.outcome(key, delivery.token, number, None);
        }
        delivery.is_told_when_sent = false;
        if delivery.id.is_some() {
            if let Some(stream) = &mut delivery.stream {
                stream.abort();
            }
        } else {
            if let Some(removed) = sender.queue.remove(place) {
                io.waiting_bytes = io.waiting_bytes.saturating_sub(removed.cost());
            }
            sender.not_started = sender.not_started.saturating_sub(1);
            self.drain_if_idle(key, link, io);
        }
        self.make_ready(key, link, io);
        io.signal(key, link);
    }

    /// Whether the peer has settled a delivery that this side sent unsettled.
    pub(crate) fn is_settled_by_peer(&self, delivery: &Outgoing) -> bool {
        !delivery.settled && delivery.id.is_some_and(|id| !self.sent.contains(id))
    }
}
