//! Books about one session: windows, delivery-ids, handles, and which delivery is settled.

use super::Broken;
use super::link::Link;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{
    Attach, Begin, Detach, Disposition, Flow, Performative, ReceiverSettleMode, Role, Transfer,
};
use std::collections::{BTreeMap, BTreeSet};

/// Serial numbers: whether `a` is after `b`.
pub(super) const fn is_after(a: u32, b: u32) -> bool {
    let distance = a.wrapping_sub(b);
    distance != 0 && distance < 1 << 31
}

/// The later of two serial numbers.
pub(super) const fn later(a: u32, b: u32) -> u32 {
    if is_after(a, b) { a } else { b }
}

const fn opposite(role: Role) -> Role {
    match role {
        Role::Sender => Role::Receiver,
        Role::Receiver => Role::Sender,
    }
}

/// A number that only rises from the engine's point of view, and what it was when output was last taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Limit {
    now: Option<u32>,
    lenient: Option<u32>,
}

impl Limit {
    pub(super) const NONE: Self = Self { now: None, lenient: None };

    pub(super) fn set(&mut self, limit: u32, is_stale: bool) {
        self.lenient = match self.lenient {
            Some(before) if is_stale => Some(later(before, limit)),
            _ => Some(limit),
        };
        self.now = Some(limit);
    }

    pub(super) const fn lenient(self) -> Option<u32> {
        self.lenient
    }

    pub(super) const fn forget_the_past(&mut self) {
        self.lenient = self.now;
    }
}

/// An unsettled delivery, at either end.
#[derive(Debug)]
struct Delivery {
    link: usize,
    /// The receiver said what becomes of it, and waits for the sender to settle.
    has_verdict: bool,
}

#[derive(Debug, Default)]
pub(super) struct Session {
    begin_sent: bool,
    begin_received: bool,
    pub(super) end_sent: bool,
    pub(super) end_received: bool,
    initial_outgoing_id: u32,
    next_outgoing_id: u32,
    /// The transfer-id that may not be reached.
    window: Limit,
    next_incoming_id: u32,
    /// What it was when output was last taken: a flow may have been written then.
    next_incoming_id_then: u32,
    incoming_window: u32,
    remote_handle_max: u32,
    remote_window: u32,
    next_delivery: Option<u32>,
    sent: BTreeMap<u32, Delivery>,
    received: BTreeMap<u32, Delivery>,
    /// Deliveries that the peer has taken back since output was last taken: a verdict may have been written then.
    aborted_then: BTreeSet<u32>,
    links: Vec<Link>,
    by_local: BTreeMap<u32, usize>,
    by_remote: BTreeMap<u32, usize>,
}

impl Session {
    pub(super) const fn is_over(&self) -> bool {
        self.end_sent && self.end_received
    }

    pub(super) fn forget_the_past(&mut self) {
        self.window.forget_the_past();
        self.aborted_then.clear();
        self.next_incoming_id_then = self.next_incoming_id;
        self.links.iter_mut().for_each(Link::forget_the_past);
    }

    pub(super) fn on_begin_sent(&mut self, begin: &Begin) -> Result<(), Broken> {
        if self.begin_sent {
            return Err("a second one for the session".into());
        }
        if begin.incoming_window == 0 {
            return Err("a window of 0".into());
        }
        self.begin_sent = true;
        self.incoming_window = begin.incoming_window;
        self.initial_outgoing_id = begin.next_outgoing_id;
        self.next_outgoing_id = begin.next_outgoing_id;
        if self.begin_received {
            self.open_window();
        }
        Ok(())
    }

    /// The peer's begin counts its window from our first transfer.
    fn open_window(&mut self) {
        self.window.set(self.initial_outgoing_id.wrapping_add(self.remote_window), false);
    }

    pub(super) fn on_begin_received(&mut self, begin: &Begin) {
        self.begin_received = true;
        self.next_incoming_id = begin.next_outgoing_id;
        self.next_incoming_id_then = begin.next_outgoing_id;
        self.remote_handle_max = begin.handle_max;
        self.remote_window = begin.incoming_window;
        if self.begin_sent {
            self.open_window();
        }
    }

    // ---- what the engine sends ----------------------------------------------------------------------------

    pub(super) fn on_sent(&mut self, performative: Performative, payload: usize) -> Result<(), Broken> {
        // A link may be asked for, and given up, before the session is answered.
        let may_be_early = matches!(performative, Performative::Detach(_));
        if !self.begin_sent || !(self.begin_received || may_be_early) {
            return Err("before both begins".into());
        }
        match performative {
            Performative::Flow(flow) => self.on_sent_flow(&flow),
            Performative::Transfer(transfer) => self.on_sent_transfer(&transfer, payload),
            Performative::Disposition(disposition) => self.on_sent_disposition(&disposition),
            Performative::Detach(detach) => self.on_sent_detach(&detach),
            _ => Err("out of place".into()),
        }
    }

    /// `whole`: what the link may grant and hold, if it receives.
    pub(super) fn on_sent_attach(&mut self, attach: &Attach, whole: Option<u32>) -> Result<(), Broken> {
        if !self.begin_sent {
            return Err("before begin".into());
        }
        // Before the peer's begin only the first handle is there in any case.
        if attach.handle > self.remote_handle_max {
            return Err(format!("handle {} is above handle-max", attach.handle));
        }
        if self.by_local.contains_key(&attach.handle) {
            return Err(format!("handle {} is in use", attach.handle));
        }
        let index = match self.find(attach, true) {
            Some(index) => index,
            None => {
                self.links.push(Link::new(attach.name.clone(), attach.role));
                self.links.len() - 1
            }
        };
        self.by_local.insert(attach.handle, index);
        self.links[index].on_attach_sent(attach, whole)
    }

    /// The link that an attach answers.
    fn find(&self, attach: &Attach, is_sent: bool) -> Option<usize> {
        let role = if is_sent { attach.role } else { opposite(attach.role) };
        self.links.iter().position(|link| link.awaits(&attach.name, role, is_sent))
    }

    fn local(&mut self, handle: u32) -> Result<(usize, &mut Link), Broken> {
        let index = *self.by_local.get(&handle).ok_or("no link has this handle")?;
        let link = &mut self.links[index];
        if link.detach_sent { Err("after detach".into()) } else { Ok((index, link)) }
    }

    fn on_sent_flow(&mut self, flow: &Flow) -> Result<(), Broken> {
        if flow.next_outgoing_id != self.next_outgoing_id {
            return Err(format!("next-outgoing-id is not {}", self.next_outgoing_id));
        }
        let next = flow.next_incoming_id.ok_or("no next-incoming-id")?;
        if is_after(next, self.next_incoming_id) || is_after(self.next_incoming_id_then, next) {
            return Err(format!("next-incoming-id is not {}", self.next_incoming_id));
        }
        if flow.incoming_window > self.incoming_window {
            return Err("a window beyond the limit".into());
        }
        let Some(handle) = flow.handle else { return Ok(()) };
        let (index, link) = self.local(handle)?;
        link.on_flow_sent(flow)?;
        if let Some(whole) = link.whole {
            let unsettled = self.received.values().filter(|delivery| delivery.link == index).count();
            let link = &self.links[index];
            let held = u32::try_from(unsettled).unwrap_or(u32::MAX).saturating_add(link.settled_waiting());
            // What came after the flow was written does not count.
            let held = held.saturating_sub(link.since(flow.delivery_count));
            let credit = flow.link_credit.unwrap_or(0);
            if credit.saturating_add(held) > whole {
                return Err(format!("{credit} granted and {held} held are more than {whole}"));
            }
        }
        Ok(())
    }

    fn on_sent_transfer(&mut self, transfer: &Transfer, payload: usize) -> Result<(), Broken> {
        let limit = self.window.lenient().ok_or("no window is known")?;
        if !is_after(limit, self.next_outgoing_id) {
            return Err(format!("transfer-id {} is beyond the peer's window", self.next_outgoing_id));
        }
        self.next_outgoing_id = self.next_outgoing_id.wrapping_add(1);
        let (index, link) = self.local(transfer.handle)?;
        if transfer.more && payload == 0 {
            return Err("an empty frame of a delivery with more to come".into());
        }
        if let Some(id) = link.open_delivery {
            if transfer.delivery_id.is_some_and(|given| given != id) {
                return Err(format!("delivery {id} is not finished"));
            }
            link.open_delivery = Some(id).filter(|_| transfer.more && !transfer.aborted);
            if transfer.aborted {
                self.sent.remove(&id);
            }
            return Ok(());
        }
        let id = transfer.delivery_id.ok_or("no delivery-id on the first frame")?;
        link.on_delivery_sent(transfer, id)?;
        link.open_delivery = Some(id).filter(|_| transfer.more);
        if self.next_delivery.is_some_and(|next| next != id) {
            return Err(format!("delivery-id {id} leaves a gap"));
        }
        self.next_delivery = Some(id.wrapping_add(1));
        if !transfer.settled.unwrap_or(false) {
            self.sent.insert(id, Delivery { link: index, has_verdict: false });
        }
        Ok(())
    }

    fn on_sent_disposition(&mut self, disposition: &Disposition) -> Result<(), Broken> {
        let last = disposition.last.unwrap_or(disposition.first);
        let width = last.wrapping_sub(disposition.first);
        if width > 1 << 20 {
            return Err(format!("a range of {width}"));
        }
        for step in 0..=width {
            let id = disposition.first.wrapping_add(step);
            match disposition.role {
                Role::Receiver => self.on_sent_verdict(id, disposition)?,
                Role::Sender => {
                    let delivery = self.sent.get(&id).ok_or(format!("{id} is settled or was never sent"))?;
                    if !disposition.settled || !delivery.has_verdict {
                        return Err(format!(
                            "a sender speaks of {id}, on which the receiver has not decided"
                        ));
                    }
                    self.sent.remove(&id);
                }
            }
        }
        Ok(())
    }

    fn on_sent_verdict(&mut self, id: u32, disposition: &Disposition) -> Result<(), Broken> {
        if self.aborted_then.remove(&id) {
            return Ok(());
        }
        let delivery = self.received.get_mut(&id).ok_or(format!("{id} is settled or never came"))?;
        let link = &self.links[delivery.link];
        if link.detach_sent {
            return Err(format!("{id} belongs to a link that is detached"));
        }
        let settles_second = link.rcv_settle_mode == ReceiverSettleMode::Second;
        // Without an outcome there is nothing that the sender could answer; what goes back as its link is detached is not
        // waited for.
        let is_not_waited_for = matches!(disposition.state, None | Some(DeliveryState::Released));
        if disposition.settled == settles_second && !(disposition.settled && is_not_waited_for) {
            return Err(format!("settled is {} in mode {:?}", disposition.settled, link.rcv_settle_mode));
        }
        if std::mem::replace(&mut delivery.has_verdict, true) {
            return Err(format!("a second verdict on {id}"));
        }
        if disposition.settled {
            self.received.remove(&id);
        }
        Ok(())
    }

    fn on_sent_detach(&mut self, detach: &Detach) -> Result<(), Broken> {
        let (index, link) = self.local(detach.handle)?;
        link.detach_sent = true;
        self.drop_deliveries(index);
        self.drop_detached();
        Ok(())
    }

    fn drop_deliveries(&mut self, index: usize) {
        self.sent.retain(|_, delivery| delivery.link != index);
        self.received.retain(|_, delivery| delivery.link != index);
    }

    fn drop_detached(&mut self) {
        let links = &self.links;
        self.by_local.retain(|_, index| !links[*index].is_over());
    }

    // ---- what the peer sends ------------------------------------------------------------------------------

    pub(super) fn on_received(&mut self, performative: Performative, is_stale: bool) {
        match performative {
            Performative::Attach(attach) => {
                let index = self.find(&attach, false).unwrap_or_else(|| {
                    self.links.push(Link::new(attach.name.clone(), opposite(attach.role)));
                    self.links.len() - 1
                });
                self.by_remote.insert(attach.handle, index);
                self.links[index].on_attach_received(&attach);
            }
            Performative::Flow(flow) => self.on_received_flow(&flow, is_stale),
            Performative::Transfer(transfer) => self.on_received_transfer(&transfer, is_stale),
            Performative::Disposition(disposition) => self.on_received_disposition(&disposition),
            Performative::Detach(detach) => {
                if let Some(index) = self.by_remote.remove(&detach.handle) {
                    self.links[index].detach_received = true;
                    self.drop_detached();
                }
            }
            _ => {}
        }
    }

    fn on_received_flow(&mut self, flow: &Flow, is_stale: bool) {
        let start = flow.next_incoming_id.unwrap_or(self.initial_outgoing_id);
        self.window.set(start.wrapping_add(flow.incoming_window), is_stale);
        if let Some(index) = flow.handle.and_then(|handle| self.by_remote.get(&handle)) {
            self.links[*index].on_flow_received(flow, is_stale);
        }
    }

    fn on_received_transfer(&mut self, transfer: &Transfer, is_stale: bool) {
        self.next_incoming_id = self.next_incoming_id.wrapping_add(1);
        let Some(index) = self.by_remote.get(&transfer.handle).copied() else { return };
        let link = &mut self.links[index];
        if link.detach_sent {
            return;
        }
        let id = match (link.open_delivery, transfer.delivery_id) {
            (Some(id), _) => id,
            (None, Some(id)) => {
                link.on_delivery_received(transfer, id);
                if !transfer.settled.unwrap_or(false) {
                    self.received.insert(id, Delivery { link: index, has_verdict: false });
                }
                id
            }
            (None, None) => return,
        };
        link.open_delivery = Some(id).filter(|_| transfer.more && !transfer.aborted);
        if transfer.aborted {
            link.settled_and_waiting.remove(&id);
            if self.received.remove(&id).is_some() && is_stale {
                self.aborted_then.insert(id);
            }
        }
    }

    fn on_received_disposition(&mut self, disposition: &Disposition) {
        let last = disposition.last.unwrap_or(disposition.first);
        let within = |id: u32| id.wrapping_sub(disposition.first) <= last.wrapping_sub(disposition.first);
        let is_outcome = disposition.state.as_ref().is_some_and(DeliveryState::is_outcome);
        let deliveries = if disposition.role == Role::Receiver { &mut self.sent } else { &mut self.received };
        if disposition.settled {
            deliveries.retain(|id, _| !within(*id));
        } else if is_outcome {
            deliveries.iter_mut().filter(|(id, _)| within(**id)).for_each(|(_, delivery)| {
                delivery.has_verdict = true;
            });
        }
    }

    // ---- look ---------------------------------------------------------------------------------------------

    pub(super) fn check_rest(&self) -> Result<(), Broken> {
        if self.begin_sent != self.begin_received {
            return Err("a begin stays without an answer".into());
        }
        if self.end_sent != self.end_received {
            return Err("an end stays without an answer".into());
        }
        if self.end_sent {
            return Ok(());
        }
        self.links.iter().try_for_each(Link::check_rest)
    }

    pub(super) fn taken_settled(&mut self, id: u32) {
        for link in &mut self.links {
            link.settled_and_waiting.remove(&id);
        }
    }

    pub(super) fn reverted(&mut self, id: u32) {
        if let Some(delivery) = self.received.get_mut(&id) {
            delivery.has_verdict = false;
        }
    }
}
