//! Attach and detach (§2.6): handles, answers and refusals, and what becomes of deliveries on a link that ends.

use super::{Session, unattached};
use crate::engine::link::{Kind, Link, LinkState};
use crate::engine::{Fault, Io, LinkKey, Links, index, refusal};
use crate::error::LinkError;
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Attach, Detach, ErrorInfo, Performative, Role, conditions};
use amqp_codec::{Decode, Encode};

impl Session {
    /// Gives a new link the lowest free handle and sends its attach.
    pub(crate) fn attach(&mut self, key: LinkKey, link: &mut Link, mut attach: Attach, io: &mut Io) -> bool {
        let free = self.local_handles.iter().position(Option::is_none).unwrap_or(self.local_handles.len());
        let Ok(handle) = u32::try_from(free) else { return false };
        // The peer answers on a handle of its own: a link that it may not answer is not asked for.
        let is_asked_for_here = link.state == LinkState::AttachSent && handle > io.limits.handle_max;
        if handle > self.remote_handle_max || is_asked_for_here {
            return false;
        }
        if free == self.local_handles.len() {
            self.local_handles.push(None);
        }
        if let Some(slot) = self.local_handles.get_mut(free) {
            *slot = Some(key);
        }
        link.local_handle = Some(handle);
        attach.handle = handle;
        io.send(self.local_channel, Performative::Attach(Box::new(attach)));
        if link.state == LinkState::Requested {
            link.state = LinkState::Attached;
            if std::mem::take(&mut link.flow_due) {
                // The peer has asked for it before its attach was answered.
                self.link_flows_due.retain(|due| *due != key);
                self.want_flow(key, link, io);
            }
            self.resolve_unsettled(key, link, io);
            self.open_receiver(key, link, io);
        }
        // An attach of ours is never followed by a flow before it is answered: if the peer refuses the link, RabbitMQ
        // 4.3 ends the whole session over a flow for a handle that it has detached.
        true
    }

    /// The first flow of a receiver, once it is attached. Before any credit the window is made as small as what it hands
    /// over in parts needs.
    fn open_receiver(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        if let Kind::Receiver(receiver) = &link.kind {
            if receiver.streams.is_some() {
                self.hold_window_back(io);
            }
            self.want_flow(key, link, io);
        }
    }

    /// How many more links the peer allows here.
    pub(crate) fn room(&self, own_handle_max: u32) -> u64 {
        let in_use = self.local_handles.iter().flatten().count();
        self.max_links(own_handle_max).saturating_sub(u64::try_from(in_use).unwrap_or(u64::MAX))
    }

    /// How many links both sides allow on a session.
    pub(crate) fn max_links(&self, own_handle_max: u32) -> u64 {
        u64::from(self.remote_handle_max.min(own_handle_max)) + 1
    }

    pub(crate) fn on_attach(
        &mut self,
        attach: Box<Attach>,
        links: &mut Links,
        io: &mut Io,
    ) -> Result<Option<Box<Attach>>, Fault> {
        if attach.handle > io.limits.handle_max {
            return Err(Fault::Connection(ErrorInfo::new(
                conditions::FRAMING_ERROR,
                format!("handle {} is above the handle-max {}", attach.handle, io.limits.handle_max),
            )));
        }
        if self.remote_link(attach.handle).is_some() {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::HANDLE_IN_USE,
                format!("handle {} is in use", attach.handle),
            )));
        }
        if io.attach_bytes.saturating_add(attach.encoded_len()) > io.limits.max_attach_bytes {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::RESOURCE_LIMIT_EXCEEDED,
                format!("the attaches of all links have more than {} octets", io.limits.max_attach_bytes),
            )));
        }
        let attach = detached_from_buffer(attach);
        let handle = attach.handle;
        let awaits = |state: LinkState| {
            self.local_handles.iter().flatten().copied().find(|key| {
                links.get(key.0).is_some_and(|link| {
                    let is_unanswered = link.state == state && link.remote_attach.is_none();
                    is_unanswered && link.role() != attach.role && link.name == attach.name
                })
            })
        };
        // One that was given up before it was answered is older than one of the same name that was asked for since.
        let answered = awaits(LinkState::DetachSent).or_else(|| awaits(LinkState::AttachSent));
        let Some(key) = answered else { return Ok(Some(attach)) };
        self.set_remote_handle(handle, Some(key));
        let Some(link) = links.get_mut(key.0) else { return Ok(None) };
        if link.state == LinkState::DetachSent {
            link.on_attach(attach, io);
            return Ok(None);
        }
        // The terminus on the peer's side is the peer's to give: without it the peer refuses, and says why in
        // the detach that follows (§2.6.3).
        let refused = match link.role() {
            Role::Sender => attach.target.is_none(),
            Role::Receiver => attach.source.is_none(),
        };
        link.on_attach(attach, io);
        link.state = if refused { LinkState::Refused } else { LinkState::Attached };
        if !refused {
            io.signal(key, link);
            self.resolve_unsettled(key, link, io);
            self.open_receiver(key, link, io);
        }
        Ok(None)
    }

    /// Enters a link that the peer asked for.
    pub(crate) fn enter_request(&mut self, key: LinkKey, link: &mut Link, attach: Box<Attach>, io: &mut Io) {
        self.set_remote_handle(attach.handle, Some(key));
        link.on_attach(attach, io);
    }

    fn set_remote_handle(&mut self, handle: u32, key: Option<LinkKey>) {
        let handle = index(handle);
        if self.remote_handles.len() <= handle {
            self.remote_handles.resize(handle + 1, None);
        }
        if let Some(slot) = self.remote_handles.get_mut(handle) {
            *slot = key;
        }
    }

    pub(super) fn remote_link(&self, handle: u32) -> Option<LinkKey> {
        self.remote_handles.get(index(handle)).copied().flatten()
    }

    /// Sends a detach. Verdicts go out first, and what nobody has taken from the link is released, because some
    /// brokers keep unsettled deliveries until the session ends.
    pub(crate) fn detach(
        &mut self,
        key: LinkKey,
        link: &mut Link,
        closed: bool,
        error: Option<ErrorInfo>,
        io: &mut Io,
    ) {
        if let Kind::Receiver(receiver) = &mut link.kind {
            // Those that came settled are the application's alone: they stay to be taken.
            receiver.inbox.retain(|delivery| {
                if self.received.take(delivery.id).is_some() {
                    self.receiver_verdicts.push(delivery.id, true, Some(DeliveryState::Released));
                }
                delivery.settled
            });
        }
        self.flush_verdicts(io);
        // The key may soon be another link's.
        self.ready.retain(|ready| *ready != key);
        self.link_flows_due.retain(|due| *due != key);
        let Some(handle) = link.local_handle else { return };
        let mut detach = Detach::new(handle);
        detach.closed = closed;
        detach.error = error;
        io.send(self.local_channel, Performative::Detach(detach));
        if link.state == LinkState::Detached {
            self.free_local_handle(link);
        } else {
            link.state = LinkState::DetachSent;
        }
        self.drop_deliveries(key, link, io);
    }

    fn free_local_handle(&mut self, link: &mut Link) {
        if let Some(handle) = link.local_handle.take()
            && let Some(slot) = self.local_handles.get_mut(index(handle))
        {
            *slot = None;
        }
    }

    /// The peer's detach: an answer to ours, or the end of the link.
    pub(crate) fn on_detach(
        &mut self,
        detach: Detach,
        links: &mut Links,
        io: &mut Io,
    ) -> Result<LinkKey, Fault> {
        let Some(key) = self.remote_link(detach.handle) else { return Err(unattached(detach.handle)) };
        self.set_remote_handle(detach.handle, None);
        let Some(link) = links.get_mut(key.0) else { return Ok(key) };
        link.remote_handle = None;
        let before = std::mem::replace(&mut link.state, LinkState::Detached);
        match before {
            LinkState::DetachSent => {
                self.free_local_handle(link);
                // Ours went first, but the peer's may carry the real reason, such as that of a refused link.
                if detach.error.is_some() && link.end == Some(LinkError::DetachedLocally) {
                    link.end = Some(LinkError::DetachedByPeer(detach.error));
                }
            }
            LinkState::Refused => {
                link.end = Some(LinkError::Refused(detach.error));
                self.detach(key, link, detach.closed, None, io);
            }
            LinkState::Requested => {
                // The peer gave up before it was answered: its attach is answered all the same.
                link.end = Some(LinkError::DetachedByPeer(detach.error));
                let Some(attach) = refusal(link, io.max_frame_size) else {
                    io.signal(key, link);
                    return Err(Fault::Session(ErrorInfo::new(
                        conditions::FRAME_SIZE_TOO_SMALL,
                        "the answer to an attach does not fit into open.max-frame-size",
                    )));
                };
                if self.attach(key, link, attach, io) {
                    self.detach(key, link, detach.closed, None, io);
                }
            }
            LinkState::AttachSent | LinkState::Attached | LinkState::Detached => {
                link.end = Some(LinkError::DetachedByPeer(detach.error));
                self.detach(key, link, detach.closed, None, io);
            }
        }
        link.forget_attach(io);
        if let Some(reason) = &link.end {
            tracing::debug!(channel = self.local_channel, link = %link.name, %reason, "link detached");
        }
        io.signal(key, link);
        Ok(key)
    }

    /// Everything in flight on a link that ends: whoever waits for an outcome is told that there is none.
    pub(super) fn drop_deliveries(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        match &mut link.kind {
            Kind::Sender(sender) => {
                for (_, sent) in self.sent.take_where(|sent| sent.link == key) {
                    if !sent.has_outcome {
                        io.outcome(key, sent.token, sent.number, None);
                        if let (Some(resume), Some(kept)) = (&mut sender.resume, sent.kept) {
                            resume.unsettled.push((sent.number, *kept));
                        }
                    }
                }
                for queued in std::mem::take(&mut sender.queue) {
                    io.waiting_bytes = io.waiting_bytes.saturating_sub(queued.cost());
                    // A delivery whose first frame left unsettled stands in `sent` and was told above.
                    if queued.id.is_none() || queued.is_told_when_sent {
                        io.outcome(key, queued.token, queued.number, None);
                    }
                    if let (Some(resume), Some(kept)) = (&mut sender.resume, queued.kept) {
                        resume.unsettled.push((queued.number, *kept));
                    }
                }
                sender.not_started = 0;
                if self.is_full {
                    self.touch(io);
                }
            }
            Kind::Receiver(receiver) => {
                for (_, received) in self.received.take_where(|received| received.link == key) {
                    if let (Some(resume), Some(kept)) = (&mut receiver.resume, received.kept) {
                        resume.unsettled.push((kept.tag, kept.verdict));
                    }
                }
                io.partial_bytes = io.partial_bytes.saturating_sub(receiver.partial_len());
                receiver.partial = None;
                if let Some(streams) = &mut receiver.streams {
                    self.stream_bytes = self.stream_bytes.saturating_sub(streams.unread());
                    streams.on_link_end(&mut receiver.inbox);
                    self.hold_window_back(io);
                }
            }
        }
        io.signal(key, link);
    }
}

/// An attach is kept for long: it gets a buffer of its own, so that it does not keep that of a whole read alive.
fn detached_from_buffer(attach: Box<Attach>) -> Box<Attach> {
    match Attach::from_bytes(attach.to_bytes()) {
        Ok(own) => Box::new(own),
        Err(_) => attach,
    }
}
