//! Transfers of links that hand deliveries over with their first frame (§2.6.14). Octets that nobody reads hold the
//! session's window back (§2.5.6), so that what is buffered stays below a limit.

use super::Session;
use crate::engine::limits::MIN_MAX_FRAME_SIZE;
use crate::engine::link::receiver::{Incoming, check_transaction, transaction_of};
use crate::engine::link::stream_in::Found;
use crate::engine::link::{Kind, Link};
use crate::engine::serial::Serial;
use crate::engine::{Fault, Io, LinkKey, index};
use amqp_codec::transport::{ErrorInfo, Transfer, conditions};
use bytes::Bytes;

impl Session {
    /// A frame on such a link. Frames and delivery-ids of the session are counted already.
    pub(super) fn on_stream_transfer(
        &mut self,
        key: LinkKey,
        link: &mut Link,
        transfer: Transfer,
        payload: Bytes,
        io: &mut Io,
    ) -> Result<(), Fault> {
        let fault = |condition, text: &'static str| Err(Fault::Link(key, ErrorInfo::new(condition, text)));
        let open = link.receiver().and_then(|receiver| receiver.streams.as_ref()?.open());
        let id = match open {
            Some(id) if transfer.delivery_id.is_some_and(|other| Serial(other) != id) => {
                return fault(
                    conditions::ILLEGAL_STATE,
                    "another delivery began before the last frame of the one before it",
                );
            }
            Some(id) => id,
            None => self.enter_delivery(key, &transfer)?,
        };
        let (aborted, more, settled) = (transfer.aborted, transfer.more, transfer.settled == Some(true));
        let Kind::Receiver(receiver) = &mut link.kind else { return Ok(()) };
        let Some(streams) = &mut receiver.streams else { return Ok(()) };
        if open.is_none() {
            receiver.credit.on_delivery();
            if aborted {
                self.delivery_done(key, link, 0, io);
                return Ok(());
            }
            let Some(tag) = transfer.delivery_tag else {
                return fault(
                    conditions::INVALID_FIELD,
                    "transfer.delivery-tag is missing on the first frame of a delivery",
                );
            };
            streams.start(id, settled, transaction_of(transfer.state.as_ref()));
            receiver.inbox.push_back(Incoming {
                id,
                tag: Bytes::copy_from_slice(&tag),
                message_format: transfer.message_format.unwrap_or(0),
                settled,
                state: transfer.state,
                payload: Bytes::new(),
            });
        } else if aborted {
            let was_unsettled = self.received.take(id).is_some();
            let before = streams.unread();
            let (is_taken, counted) = streams.abort();
            self.stream_bytes = (self.stream_bytes + streams.unread()).saturating_sub(before);
            if !is_taken {
                receiver.inbox.retain(|delivery| delivery.id != id);
            }
            if was_unsettled || counted {
                self.delivery_done(key, link, 0, io);
            }
            self.hold_window_back(io);
            io.signal(key, link);
            return Ok(());
        } else if let Some(state) = &transfer.state {
            check_transaction(streams.transaction(), state).map_err(|error| Fault::Link(key, error))?;
        }
        let before = streams.unread();
        let total = streams.push(payload);
        self.stream_bytes = (self.stream_bytes + streams.unread()).saturating_sub(before);
        if receiver.max_message_size > 0 && total > receiver.max_message_size {
            return Err(Fault::Link(key, receiver.too_large()));
        }
        if !more {
            streams.complete();
            link.traffic.deliveries += 1;
        }
        if receiver.is_overrun() {
            return fault(
                conditions::TRANSFER_LIMIT_EXCEEDED,
                "far more deliveries came than credit was granted for",
            );
        }
        // What was under way when the window was made smaller is borne.
        if self.stream_bytes > io.limits.max_stream_bytes.saturating_mul(2).saturating_add(frame_size(io)) {
            return fault(
                conditions::RESOURCE_LIMIT_EXCEEDED,
                "more octets came than the session window lets through",
            );
        }
        let tops_up = receiver.credit.top_up().is_some();
        if open.is_some() && settled && self.received.take(id).is_some() {
            // Settled is sticky, whichever frame says so (§2.7.5).
            self.delivery_done(key, link, 0, io);
        }
        if tops_up {
            self.want_flow(key, link, io);
        }
        self.hold_window_back(io);
        io.signal(key, link);
        Ok(())
    }

    /// The session's window from here on leaves no more room than octets may wait to be read.
    pub(crate) fn hold_window_back(&mut self, io: &mut Io) {
        let free = io.limits.max_stream_bytes.saturating_sub(self.stream_bytes);
        let frames = free / frame_size(io);
        // With nothing to read, nobody would open the window again.
        let frames = if self.stream_bytes == 0 { frames.max(1) } else { frames };
        self.incoming.set_limit(u32::try_from(frames).unwrap_or(u32::MAX));
        if self.incoming.needs_flow() && !self.flow_due {
            self.flow_due = true;
            self.touch(io);
        }
    }

    /// What there is to read of a delivery.
    pub(crate) fn read_stream(&mut self, link: &mut Link, id: Serial, io: &mut Io) -> Found {
        let is_over = link.end.is_some();
        let Some(streams) = link.receiver().and_then(|receiver| receiver.streams.as_mut()) else {
            return Found::Unknown;
        };
        let found = streams.read(id);
        if let Found::Octets(octets) = &found
            && !is_over
        {
            self.stream_bytes = self.stream_bytes.saturating_sub(octets.len());
            self.hold_window_back(io);
        }
        found
    }

    /// Nobody reads a delivery any more: what still comes of it is thrown away.
    pub(crate) fn forget_stream(&mut self, key: LinkKey, link: &mut Link, id: Serial, io: &mut Io) {
        let is_over = link.end.is_some();
        let Some(streams) = link.receiver().and_then(|receiver| receiver.streams.as_mut()) else { return };
        let before = streams.unread();
        let counted = streams.forget(id);
        let freed = before - streams.unread();
        if is_over {
            return;
        }
        if freed > 0 {
            self.stream_bytes = self.stream_bytes.saturating_sub(freed);
            self.hold_window_back(io);
        }
        if counted {
            self.delivery_done(key, link, 0, io);
        }
    }
}

/// The largest frame that the peer may send.
fn frame_size(io: &Io) -> usize {
    index(io.limits.max_frame_size.max(MIN_MAX_FRAME_SIZE))
}
