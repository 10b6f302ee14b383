//! Flow (§2.7.4): what the peer says of windows and credit, and what this side says of them.

use super::{OUTGOING_WINDOW, Session, unattached};
use crate::engine::link::{Kind, Link, LinkState};
use crate::engine::serial::Serial;
use crate::engine::{Fault, Io, LinkKey, Links};
use amqp_codec::transport::{ErrorInfo, Flow, Performative, conditions};
use amqp_codec::types::{Fields, Symbol, Value};
use bytes::Bytes;

/// The property of a link's flow that names a transaction (§4.4.3).
const TXN_ID: &str = "txn-id";

/// Octets of a transaction-id at most (§4.5.7).
const MAX_TXN_ID: usize = 32;

impl Session {
    /// A flow for this link is to be sent at the next flush.
    pub(crate) fn want_flow(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        if !link.flow_due {
            link.flow_due = true;
            self.link_flows_due.push(key);
            self.touch(io);
        }
    }

    pub(crate) fn on_flow(&mut self, flow: &Flow, links: &mut Links, io: &mut Io) -> Result<(), Fault> {
        self.outgoing.on_flow(flow.next_incoming_id.map(Serial), flow.incoming_window).map_err(|ahead| {
            Fault::Session(ErrorInfo::new(
                conditions::WINDOW_VIOLATION,
                format!(
                    "flow.next-incoming-id {} is ahead of next-outgoing-id {}",
                    ahead.next_incoming_id, ahead.next_outgoing_id
                ),
            ))
        })?;
        self.incoming.on_flow(Serial(flow.next_outgoing_id));
        if !self.ready.is_empty() {
            self.touch(io);
        }
        let Some(handle) = flow.handle else {
            if flow.echo {
                self.flow_due = true;
                self.touch(io);
            }
            return Ok(());
        };
        let Some(key) = self.remote_link(handle) else { return Err(unattached(handle)) };
        let Some(link) = links.get_mut(key.0) else { return Ok(()) };
        if !matches!(link.state, LinkState::Attached | LinkState::Requested) {
            return Ok(());
        }
        match &mut link.kind {
            Kind::Sender(sender) => {
                let credit = flow.link_credit.unwrap_or(0);
                sender.credit.on_flow(flow.delivery_count.map(Serial), credit, flow.drain).map_err(|_| {
                    Fault::Link(
                        key,
                        ErrorInfo::new(
                            conditions::INVALID_FIELD,
                            "flow.delivery-count is ahead of the deliveries sent",
                        ),
                    )
                })?;
                sender.is_last = false;
                if let Some(properties) = &flow.properties {
                    sender.acquisition = acquisition(properties);
                }
                sender.is_drain_answered = false;
                self.make_ready(key, link, io);
                self.drain_if_idle(key, link, io);
            }
            Kind::Receiver(receiver) => {
                // The link-credit of a sender's flow is its echo of ours, and wrong on RabbitMQ 3.10.
                receiver.credit.on_flow(flow.delivery_count.map(Serial));
                if receiver.credit.top_up().is_some() {
                    self.want_flow(key, link, io);
                }
            }
        }
        if flow.echo
            && let Some(link) = links.get_mut(key.0)
        {
            self.want_flow(key, link, io);
        }
        if let Some(link) = links.get_mut(key.0) {
            io.signal(key, link);
        }
        Ok(())
    }

    /// Drains a link that has nothing to send, if it drains by itself.
    pub(super) fn drain_if_idle(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        if let Kind::Sender(sender) = &link.kind
            && sender.is_drained()
        {
            self.drained(key, link, io);
        }
    }

    /// The sender has nothing more: its credit is used up and the receiver is told (§2.6.7). Deliveries that wait for
    /// the session window go first.
    pub(crate) fn drained(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        if let Kind::Sender(sender) = &mut link.kind
            && sender.credit.is_draining()
            && !sender.is_drain_answered
        {
            sender.is_last = true;
            if !sender.is_drained() {
                return;
            }
            sender.credit.drain();
            sender.is_drain_answered = true;
            self.want_flow(key, link, io);
        }
    }

    fn flow(&self) -> Flow {
        let mut flow =
            Flow::new(self.incoming.remaining(), self.outgoing.next_outgoing_id().0, OUTGOING_WINDOW);
        flow.next_incoming_id = self.incoming.next_incoming_id().map(|id| id.0);
        flow
    }

    fn link_flow(&self, link: &mut Link) -> Option<Flow> {
        let mut flow = self.flow();
        flow.handle = Some(link.local_handle?);
        match &mut link.kind {
            Kind::Sender(sender) => {
                flow.delivery_count = Some(sender.credit.delivery_count().0);
                flow.link_credit = Some(sender.credit.link_credit());
                flow.available = Some(sender.not_started);
                flow.drain = sender.credit.is_draining();
            }
            Kind::Receiver(receiver) => {
                receiver.credit.fill();
                flow.delivery_count = receiver.credit.delivery_count().map(|count| count.0);
                flow.link_credit = Some(receiver.credit.link_credit());
                flow.drain = receiver.credit.is_draining();
                if let Some(txn_id) = receiver.acquisition.as_deref() {
                    let txn_id = Value::Binary(txn_id.clone());
                    flow.properties = Some([(Symbol::from_static(TXN_ID), txn_id)].into_iter().collect());
                }
            }
        }
        Some(flow)
    }

    pub(super) fn flush_flows(&mut self, links: &mut Links, io: &mut Io) {
        for key in std::mem::take(&mut self.link_flows_due) {
            let Some(link) = links.get_mut(key.0).filter(|link| link.session == self.key) else { continue };
            if link.state == LinkState::Requested {
                // It stays due until the link is answered.
                continue;
            }
            link.flow_due = false;
            if link.state != LinkState::Attached {
                continue;
            }
            self.reopen_window();
            if let Some(flow) = self.link_flow(link) {
                io.send(self.local_channel, Performative::Flow(flow));
            }
        }
        if self.flow_due {
            self.reopen_window();
            io.send(self.local_channel, Performative::Flow(self.flow()));
        }
        self.flow_due = false;
    }

    /// Every flow carries the session's window, so each one opens it.
    fn reopen_window(&mut self) {
        self.incoming.reopen();
        self.flow_due = false;
    }
}

/// The transaction within which a receiver acquires, by the properties of its flow. Kept for long, so in octets of its own.
fn acquisition(properties: &Fields) -> Option<Box<Bytes>> {
    let txn_id = properties.get(TXN_ID)?.as_bytes()?;
    (txn_id.len() <= MAX_TXN_ID).then(|| Box::new(Bytes::copy_from_slice(txn_id)))
}
