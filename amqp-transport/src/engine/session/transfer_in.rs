//! Transfers from the peer (§2.6.12, §2.6.14): delivery-ids without gaps, deliveries put together in their links.

use super::{Kept, Received, Session, size, unattached};
use crate::engine::commands::MAX_TAG;
use crate::engine::link::receiver::Progress;
use crate::engine::link::{Kind, LinkState};
use crate::engine::serial::Serial;
use crate::engine::{Fault, Io, LinkKey, Links};
use amqp_codec::transport::{ErrorInfo, ReceiverSettleMode, Transfer, conditions};
use bytes::Bytes;

impl Session {
    pub(crate) fn on_transfer(
        &mut self,
        transfer: Transfer,
        payload: Bytes,
        links: &mut Links,
        io: &mut Io,
    ) -> Result<(), Fault> {
        let id = transfer.delivery_id.map(Serial);
        let taken = self.take_transfer(transfer, payload, links, io);
        if matches!(taken, Err(Fault::Link(..))) && id == Some(self.received.next_id()) {
            // What costs the link its life uses its id up all the same: other links of the session go on.
            self.received.push(None);
        }
        taken
    }

    fn take_transfer(
        &mut self,
        transfer: Transfer,
        payload: Bytes,
        links: &mut Links,
        io: &mut Io,
    ) -> Result<(), Fault> {
        if !self.incoming.on_transfer() {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::WINDOW_VIOLATION,
                "a transfer came while the session window was closed",
            )));
        }
        self.transfers_in += 1;
        if self.incoming.needs_flow() {
            self.flow_due = true;
            self.touch(io);
        }
        let Some(key) = self.remote_link(transfer.handle) else { return Err(unattached(transfer.handle)) };
        let Some(link) = links.get_mut(key.0) else { return Ok(()) };
        let attached = link.state == LinkState::Attached;
        let Kind::Receiver(receiver) = &mut link.kind else {
            return Err(Fault::Link(
                key,
                ErrorInfo::new(
                    conditions::NOT_ALLOWED,
                    "a transfer came on a link whose receiver is the peer",
                ),
            ));
        };
        if !self.received_from_begin
            && let Some(id) = transfer.delivery_id
        {
            // The first delivery-id may be any number (§2.7.5).
            self.received_from_begin = true;
            self.received.restart(Serial(id));
        }
        if !attached {
            // Under way while our detach was: its id is used up, its content is the peer's again.
            if transfer.delivery_id.is_some_and(|id| Serial(id) == self.received.next_id()) {
                self.received.push(None);
            }
            return Ok(());
        }
        link.traffic.octets += u64::try_from(payload.len()).unwrap_or(u64::MAX);
        if receiver.streams.is_some() {
            return self.on_stream_transfer(key, link, transfer, payload, io);
        }
        if receiver.resume.is_some() && !self.on_resumed(key, link, &transfer, io)? {
            return Ok(());
        }
        let Kind::Receiver(receiver) = &mut link.kind else { return Ok(()) };
        let starts = receiver.starts_delivery();
        let before = receiver.partial_len();
        let progress = if starts {
            let id = self.enter_delivery(key, &transfer)?;
            if receiver.resume.is_some()
                && let Some(received) = self.received.get_mut(id)
            {
                let tag = transfer.delivery_tag.as_ref();
                received.kept =
                    tag.map(|tag| Box::new(Kept { tag: Bytes::copy_from_slice(tag), verdict: None }));
            }
            receiver.start(id, transfer, payload)
        } else {
            receiver.go_on(transfer, &payload)
        };
        io.partial_bytes = (io.partial_bytes + receiver.partial_len()).saturating_sub(before);
        match progress.map_err(|error| Fault::Link(key, error))? {
            Progress::Partial if io.partial_bytes > io.limits.max_partial_bytes => {
                return Err(Fault::Link(
                    key,
                    ErrorInfo::new(
                        conditions::RESOURCE_LIMIT_EXCEEDED,
                        "too many octets of unfinished messages on this connection",
                    ),
                ));
            }
            Progress::Partial => {}
            Progress::Aborted(id) => {
                self.received.take(id);
                receiver.credit.on_done();
                if receiver.credit.top_up().is_some() {
                    self.want_flow(key, link, io);
                }
            }
            Progress::Complete(delivery) => {
                link.traffic.deliveries += 1;
                if receiver.credit.counts_octets() {
                    let octets = size(&delivery.payload);
                    receiver.credit.on_octets(octets);
                    if let Some(received) = self.received.get_mut(delivery.id) {
                        received.octets = octets;
                    }
                }
                if delivery.settled {
                    self.received.take(delivery.id);
                }
                receiver.inbox.push_back(delivery);
                if receiver.is_overrun() {
                    return Err(Fault::Link(
                        key,
                        ErrorInfo::new(
                            conditions::TRANSFER_LIMIT_EXCEEDED,
                            "far more deliveries came than credit was granted for",
                        ),
                    ));
                }
                if receiver.credit.top_up().is_some() {
                    self.want_flow(key, link, io);
                }
                io.signal(key, link);
            }
        }
        Ok(())
    }

    /// The first frame of a delivery: delivery-ids have no gaps, and tags are short (§2.8.7).
    pub(super) fn enter_delivery(&mut self, key: LinkKey, transfer: &Transfer) -> Result<Serial, Fault> {
        let Some(id) = transfer.delivery_id.map(Serial) else {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::INVALID_FIELD,
                "transfer.delivery-id is missing on the first frame of a delivery",
            )));
        };
        let expected = self.received.next_id();
        if id != expected {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::INVALID_FIELD,
                format!("transfer.delivery-id is {id}, expected {expected}: they have no gaps"),
            )));
        }
        if let Some(tag) = transfer.delivery_tag.as_ref().filter(|tag| tag.len() > MAX_TAG) {
            let text =
                format!("transfer.delivery-tag has {} octets, at most {MAX_TAG} are allowed", tag.len());
            return Err(Fault::Link(key, ErrorInfo::new(conditions::INVALID_FIELD, text)));
        }
        if self.received.is_stretched() {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::RESOURCE_LIMIT_EXCEEDED,
                "a delivery stays unsettled while ids go round",
            )));
        }
        let settled = transfer.settled.unwrap_or(false) || transfer.aborted;
        self.received.push((!settled).then_some(Received {
            link: key,
            has_verdict: false,
            settles_first: transfer.rcv_settle_mode == Some(ReceiverSettleMode::First),
            octets: 0,
            kept: None,
        }));
        Ok(id)
    }
}
