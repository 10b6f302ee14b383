//! Books about one link: attach and detach, delivery-count and credit, settle modes.

use super::Broken;
use super::session::{Limit, is_after, later};
use amqp_codec::ByteString;
use amqp_codec::transport::{Attach, Flow, ReceiverSettleMode, Role, SenderSettleMode, Transfer};
use bytes::Bytes;
use std::collections::BTreeSet;

/// Tags that are remembered, to see that none is used twice in a row of unsettled deliveries.
const TAGS: usize = 32;

#[derive(Debug)]
pub(super) struct Link {
    name: ByteString,
    role: Role,
    attach_sent: bool,
    attach_received: bool,
    pub(super) detach_sent: bool,
    pub(super) detach_received: bool,
    snd_settle_mode: SenderSettleMode,
    pub(super) rcv_settle_mode: ReceiverSettleMode,
    /// Deliveries begun, from the sender's point of view or as the receiver has counted them.
    delivery_count: u32,
    /// What it was when output was last taken: a flow may have been written then.
    delivery_count_then: u32,
    initial_delivery_count: u32,
    /// The delivery-count that a sender may reach.
    credit: Limit,
    /// Delivery-counts up to which the peer drained since output was last taken.
    drains: Vec<u32>,
    is_draining: bool,
    /// The delivery-id of a delivery whose last frame is missing.
    pub(super) open_delivery: Option<u32>,
    tags: Vec<Bytes>,
    /// What a receiver may have granted and hold together, where that is bounded.
    pub(super) whole: Option<u32>,
    /// Deliveries that came settled and are not taken.
    pub(super) settled_and_waiting: BTreeSet<u32>,
}

impl Link {
    pub(super) const fn new(name: ByteString, role: Role) -> Self {
        Self {
            name,
            role,
            attach_sent: false,
            attach_received: false,
            detach_sent: false,
            detach_received: false,
            snd_settle_mode: SenderSettleMode::Mixed,
            rcv_settle_mode: ReceiverSettleMode::First,
            delivery_count: 0,
            delivery_count_then: 0,
            initial_delivery_count: 0,
            credit: Limit::NONE,
            drains: Vec::new(),
            is_draining: false,
            open_delivery: None,
            tags: Vec::new(),
            whole: None,
            settled_and_waiting: BTreeSet::new(),
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        self.detach_sent && self.detach_received
    }

    pub(super) fn forget_the_past(&mut self) {
        self.credit.forget_the_past();
        // What is drained later is drained up to the last limit.
        let last = self.drains.pop().filter(|_| self.is_draining);
        self.drains.clear();
        self.drains.extend(last);
        self.delivery_count_then = self.delivery_count;
    }

    /// Whether an attach that is sent, or received, would answer the one before.
    pub(super) fn awaits(&self, name: &ByteString, role: Role, is_sent: bool) -> bool {
        let half = if is_sent {
            self.attach_received && !self.attach_sent
        } else {
            self.attach_sent && !self.attach_received
        };
        half && self.role == role && self.name == *name
    }

    // ---- what the engine sends ----------------------------------------------------------------------------

    pub(super) fn on_attach_sent(&mut self, attach: &Attach, whole: Option<u32>) -> Result<(), Broken> {
        self.attach_sent = true;
        if self.role == Role::Sender {
            self.snd_settle_mode = attach.snd_settle_mode;
            self.initial_delivery_count =
                attach.initial_delivery_count.ok_or("a sender without initial-delivery-count")?;
            self.delivery_count = self.initial_delivery_count;
        } else {
            self.rcv_settle_mode = attach.rcv_settle_mode;
            self.whole = whole;
        }
        Ok(())
    }

    pub(super) fn on_flow_sent(&mut self, flow: &Flow) -> Result<(), Broken> {
        if !self.attach_received {
            return Err("before the link is attached".into());
        }
        let count = flow.delivery_count.ok_or("no delivery-count")?;
        let credit = flow.link_credit.ok_or("no link-credit")?;
        if self.role == Role::Receiver {
            if is_after(count, self.delivery_count) || is_after(self.delivery_count_then, count) {
                return Err(format!("delivery-count is {count}, {} were counted", self.delivery_count));
            }
            return Ok(());
        }
        if count != self.delivery_count {
            // Drained: the credit that was left is used up (§2.6.7).
            if !is_after(count, self.delivery_count) || !self.drains.contains(&count) {
                return Err(format!("delivery-count is {count}, {} were sent", self.delivery_count));
            }
            self.delivery_count = count;
        }
        if let Some(limit) = self.credit.lenient()
            && credit > limit.wrapping_sub(self.delivery_count)
            && is_after(limit, self.delivery_count)
        {
            return Err(format!("link-credit is {credit}, more than is left"));
        }
        Ok(())
    }

    pub(super) fn on_delivery_sent(&mut self, transfer: &Transfer, id: u32) -> Result<(), Broken> {
        if self.role != Role::Sender || !self.attach_received {
            return Err("on a link that is not attached to send".into());
        }
        let limit = self.credit.lenient().ok_or("no credit was ever given")?;
        if !is_after(limit, self.delivery_count) {
            return Err(format!("delivery {id} goes beyond the credit"));
        }
        self.delivery_count = self.delivery_count.wrapping_add(1);
        let tag = transfer.delivery_tag.clone().ok_or("no delivery-tag")?;
        if tag.len() > 32 || transfer.message_format.is_none() {
            return Err("a tag of more than 32 octets, or no message-format".into());
        }
        if self.tags.contains(&tag) {
            return Err("a delivery-tag that is in use".into());
        }
        if self.tags.len() == TAGS {
            self.tags.remove(0);
        }
        self.tags.push(tag);
        let settled = transfer.settled.unwrap_or(false);
        match self.snd_settle_mode {
            SenderSettleMode::Settled if !settled => Err("unsettled on a link of settled ones".into()),
            // What was decided before the link was resumed is only said to be settled (§2.6.13).
            SenderSettleMode::Unsettled if settled && !transfer.resume => {
                Err("settled on a link of unsettled ones".into())
            }
            _ => Ok(()),
        }
    }

    // ---- what the peer sends ------------------------------------------------------------------------------

    pub(super) fn on_attach_received(&mut self, attach: &Attach) {
        self.attach_received = true;
        if self.role == Role::Receiver {
            self.snd_settle_mode = attach.snd_settle_mode;
            self.delivery_count = attach.initial_delivery_count.unwrap_or(0);
            self.delivery_count_then = self.delivery_count;
        } else {
            self.rcv_settle_mode = attach.rcv_settle_mode;
        }
    }

    pub(super) fn on_flow_received(&mut self, flow: &Flow, is_stale: bool) {
        match self.role {
            Role::Sender => {
                let start = flow.delivery_count.unwrap_or(self.initial_delivery_count);
                let limit = start.wrapping_add(flow.link_credit.unwrap_or(0));
                self.credit.set(limit, is_stale);
                if flow.drain {
                    self.drains.push(limit);
                }
                self.is_draining = flow.drain;
            }
            Role::Receiver => {
                if let Some(count) = flow.delivery_count {
                    self.delivery_count = later(count, self.delivery_count);
                }
            }
        }
    }

    pub(super) fn on_delivery_received(&mut self, transfer: &Transfer, id: u32) {
        self.delivery_count = self.delivery_count.wrapping_add(1);
        if transfer.settled.unwrap_or(false) && !transfer.resume {
            self.settled_and_waiting.insert(id);
        }
    }

    /// How many deliveries came settled and are not taken.
    pub(super) fn settled_waiting(&self) -> u32 {
        u32::try_from(self.settled_and_waiting.len()).unwrap_or(u32::MAX)
    }

    /// Deliveries that were counted since.
    pub(super) fn since(&self, delivery_count: Option<u32>) -> u32 {
        delivery_count.map_or(0, |count| self.delivery_count.wrapping_sub(count))
    }

    // ---- look ---------------------------------------------------------------------------------------------

    pub(super) fn check_rest(&self) -> Result<(), Broken> {
        if self.attach_sent != self.attach_received {
            return Err(format!("the attach of {} stays without an answer", self.name));
        }
        if self.detach_sent != self.detach_received {
            return Err(format!("the detach of {} stays without an answer", self.name));
        }
        if self.open_delivery.is_some() && !self.detach_sent {
            return Err(format!("a delivery on {} stays unfinished", self.name));
        }
        Ok(())
    }
}
