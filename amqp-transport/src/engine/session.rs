//! Sessions (§2.5): a pair of channels with windows, delivery-ids and handles; the links live on them.

use super::disposition::Verdicts;
use super::event::{DeliveryNumber, Event, Token};
use super::link::receiver::Progress;
use super::link::sender::cut;
use super::link::{Kind, Link, LinkState};
use super::serial::Serial;
use super::unsettled::Unsettled;
use super::window::{IncomingWindow, OutgoingWindow};
use super::{Fault, Io, LinkKey, Links, SessionKey, index};
use crate::error::{LinkError, Outcome, SessionError};
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{
    Attach, Begin, Detach, Disposition, End, ErrorInfo, Flow, Performative, ReceiverSettleMode, Role,
    Transfer, conditions,
};
use bytes::Bytes;
use std::collections::VecDeque;

/// What is told as outgoing-window: it is information only, and nothing here waits for it (§2.5.6).
const OUTGOING_WINDOW: u32 = u32::MAX >> 1;

/// Where a session is between begin and end (§2.5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// Our begin was sent, the peer's is awaited.
    BeginSent,
    /// Both begins were exchanged.
    Mapped,
    /// Our end was sent, the peer's is awaited; what arrives until then is ignored.
    EndSent,
    /// Both channels are free. The reason is in [`Session::end`].
    Unmapped,
}

/// A delivery that was sent unsettled.
#[derive(Debug)]
struct Sent {
    link: LinkKey,
    token: Token,
    number: DeliveryNumber,
    /// The peer said what became of it; it only has to be settled by the one who may.
    has_outcome: bool,
}

/// A delivery that arrived unsettled.
#[derive(Debug)]
struct Received {
    link: LinkKey,
    /// This side gave its verdict and waits for the sender to settle (receiver settle mode second).
    has_verdict: bool,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) state: SessionState,
    /// The channel on which this side sends.
    pub(crate) local_channel: u16,
    /// The channel on which the peer sends.
    pub(crate) remote_channel: Option<u16>,
    pub(crate) end: Option<SessionError>,
    pub(crate) is_forgotten: bool,
    outgoing: OutgoingWindow,
    incoming: IncomingWindow,
    remote_handle_max: u32,
    local_handles: Vec<Option<LinkKey>>,
    remote_handles: Vec<Option<LinkKey>>,
    sent: Unsettled<Sent>,
    received: Unsettled<Received>,
    received_from_begin: bool,
    receiver_verdicts: Verdicts,
    sender_verdicts: Verdicts,
    /// Links with something to send, in turn.
    ready: VecDeque<LinkKey>,
    flow_due: bool,
    link_flows_due: Vec<LinkKey>,
    is_dirty: bool,
}

impl Session {
    pub(crate) fn new(key: SessionKey, local_channel: u16, incoming_window: u32) -> Self {
        Self {
            key,
            state: SessionState::BeginSent,
            local_channel,
            remote_channel: None,
            end: None,
            is_forgotten: false,
            outgoing: OutgoingWindow::new(Serial(0)),
            incoming: IncomingWindow::new(incoming_window.max(1)),
            remote_handle_max: 0,
            local_handles: Vec::new(),
            remote_handles: Vec::new(),
            sent: Unsettled::new(Serial(0)),
            received: Unsettled::new(Serial(0)),
            received_from_begin: false,
            receiver_verdicts: Verdicts::default(),
            sender_verdicts: Verdicts::default(),
            ready: VecDeque::new(),
            flow_due: false,
            link_flows_due: Vec::new(),
            is_dirty: false,
        }
    }

    pub(crate) fn send_begin(&self, io: &mut Io) {
        let mut begin =
            Begin::new(self.outgoing.next_outgoing_id().0, self.incoming.remaining(), OUTGOING_WINDOW);
        begin.remote_channel = self.remote_channel;
        begin.handle_max = io.limits.handle_max;
        io.send(self.local_channel, Performative::Begin(Box::new(begin)));
    }

    /// The peer's begin, as an answer or unasked.
    pub(crate) fn on_begin(&mut self, remote_channel: u16, begin: &Begin, io: &mut Io) {
        self.remote_channel = Some(remote_channel);
        self.remote_handle_max = begin.handle_max;
        self.incoming.on_begin(Serial(begin.next_outgoing_id));
        self.outgoing.on_begin(begin.incoming_window);
        self.state = SessionState::Mapped;
        io.events.push_back(Event::Session(self.key));
        self.touch(io);
    }

    pub(crate) fn check(&self) -> Result<(), SessionError> {
        match &self.end {
            Some(end) => Err(end.clone()),
            None => Ok(()),
        }
    }

    /// Something is to be written at the next flush.
    fn touch(&mut self, io: &mut Io) {
        if !self.is_dirty {
            self.is_dirty = true;
            io.dirty.push(self.key);
        }
    }

    // ---- attach, detach (§2.6) ----------------------------------------------------------------------------

    /// Gives a new link the lowest free handle and sends its attach.
    pub(crate) fn attach(&mut self, key: LinkKey, link: &mut Link, mut attach: Attach, io: &mut Io) -> bool {
        let free = self.local_handles.iter().position(Option::is_none).unwrap_or(self.local_handles.len());
        let Ok(handle) = u32::try_from(free) else { return false };
        if handle > self.remote_handle_max {
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
            if matches!(link.kind, Kind::Receiver(_)) {
                self.want_flow(key, link, io);
            }
        }
        // An attach of ours is never followed by a flow before it is answered: if the peer refuses the link, RabbitMQ
        // 4.3 ends the whole session over a flow for a handle that it has detached.
        true
    }

    /// How many links the peer allows on a session.
    pub(crate) fn max_links(&self) -> u64 {
        u64::from(self.remote_handle_max) + 1
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
        let handle = attach.handle;
        let answered = self.local_handles.iter().flatten().copied().find(|key| {
            links.get(key.0).is_some_and(|link| {
                let awaits_attach = match link.state {
                    LinkState::AttachSent => true,
                    LinkState::DetachSent => link.remote_attach.is_none(),
                    _ => false,
                };
                awaits_attach && link.role() != attach.role && link.name == attach.name
            })
        });
        let Some(key) = answered else { return Ok(Some(attach)) };
        self.set_remote_handle(handle, Some(key));
        let Some(link) = links.get_mut(key.0) else { return Ok(None) };
        if link.state == LinkState::DetachSent {
            link.on_attach(attach);
            return Ok(None);
        }
        // The terminus on the peer's side is the peer's to give: without it the peer refuses, and says why in
        // the detach that follows (§2.6.3).
        let refused = match link.role() {
            Role::Sender => attach.target.is_none(),
            Role::Receiver => attach.source.is_none(),
        };
        link.on_attach(attach);
        link.state = if refused { LinkState::Refused } else { LinkState::Attached };
        if !refused {
            io.signal(key, link);
            if matches!(link.kind, Kind::Receiver(_)) {
                self.want_flow(key, link, io);
            }
        }
        Ok(None)
    }

    /// Enters a link that the peer asked for.
    pub(crate) fn enter_request(&mut self, key: LinkKey, link: &mut Link, attach: Box<Attach>) {
        self.set_remote_handle(attach.handle, Some(key));
        link.on_attach(attach);
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

    fn remote_link(&self, handle: u32) -> Option<LinkKey> {
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
                let attach = super::refusal(link);
                link.state = LinkState::Detached;
                if self.attach(key, link, attach, io) {
                    self.detach(key, link, detach.closed, None, io);
                }
            }
            LinkState::AttachSent | LinkState::Attached | LinkState::Detached => {
                link.end = Some(LinkError::DetachedByPeer(detach.error));
                self.detach(key, link, detach.closed, None, io);
            }
        }
        io.signal(key, link);
        Ok(key)
    }

    /// Everything in flight on a link that ends: whoever waits for an outcome is told that there is none.
    fn drop_deliveries(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        match &mut link.kind {
            Kind::Sender(sender) => {
                for (_, sent) in self.sent.take_where(|sent| sent.link == key) {
                    if !sent.has_outcome {
                        io.outcome(key, sent.token, sent.number, None);
                    }
                }
                for queued in std::mem::take(&mut sender.queue) {
                    // A delivery whose first frame left stands in `sent` and was told above.
                    if queued.id.is_none() {
                        io.outcome(key, queued.token, queued.number, None);
                    }
                }
                sender.not_started = 0;
            }
            Kind::Receiver(receiver) => {
                self.received.take_where(|received| received.link == key);
                io.partial_bytes = io.partial_bytes.saturating_sub(receiver.partial_len());
                receiver.partial = None;
            }
        }
        io.signal(key, link);
    }

    // ---- flow (§2.7.4) ------------------------------------------------------------------------------------

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
    fn drain_if_idle(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
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
        {
            sender.is_last = true;
            if !sender.is_drained() {
                return;
            }
            sender.credit.drain();
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
                receiver.credit.top_up();
                flow.delivery_count = receiver.credit.delivery_count().map(|count| count.0);
                flow.link_credit = Some(receiver.credit.link_credit());
                flow.drain = receiver.credit.is_draining();
            }
        }
        Some(flow)
    }

    // ---- transfer out (§2.6.12) ---------------------------------------------------------------------------

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
    fn pump(&mut self, links: &mut Links, io: &mut Io) {
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
            let sent = (!delivery.settled).then_some(Sent { link: key, token, number, has_outcome: false });
            let id = self.sent.push(sent);
            delivery.id = Some(id);
            transfer.delivery_id = Some(id.0);
            transfer.delivery_tag = Some(delivery.tag.take().unwrap_or_else(|| sender.fresh_tag()));
            transfer.message_format = Some(delivery.message_format);
            transfer.settled = Some(delivery.settled);
        }
        let chunk = cut(&mut transfer, &mut delivery.payload, io.max_frame_size);
        io.outbox.transfer(self.local_channel, &transfer, chunk);
        io.trace_sent(self.local_channel, "transfer");
        self.outgoing.on_send();
        let (token, number) = (delivery.token, delivery.number);
        let is_told = !transfer.more && delivery.is_told_when_sent;
        if transfer.more {
            sender.queue.push_front(delivery);
        }
        let has_more = !sender.queue.is_empty();
        if is_told {
            io.outcome(key, token, number, Some(Outcome::Unspecified));
        }
        has_more
    }

    // ---- transfer in --------------------------------------------------------------------------------------

    pub(crate) fn on_transfer(
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
        let starts = receiver.starts_delivery();
        let before = receiver.partial_len();
        let progress = if starts {
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
            let settled = transfer.settled.unwrap_or(false) || transfer.aborted;
            self.received.push((!settled).then_some(Received { link: key, has_verdict: false }));
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

    // ---- disposition (§2.7.6) -----------------------------------------------------------------------------

    /// The application's verdict on a delivery. False if the peer took it back before.
    pub(crate) fn settle(
        &mut self,
        key: LinkKey,
        link: &mut Link,
        id: Serial,
        outcome: Outcome,
        io: &mut Io,
    ) -> bool {
        let waits_for_sender =
            link.receiver().is_some_and(|receiver| receiver.settle_mode == ReceiverSettleMode::Second);
        if waits_for_sender {
            // The sender applies the verdict and settles; only then is the delivery done with (§2.6.12).
            return match self.received.get_mut(id) {
                Some(received) if !received.has_verdict => {
                    received.has_verdict = true;
                    self.receiver_verdicts.push(id, false, outcome.into_state());
                    self.touch(io);
                    true
                }
                _ => false,
            };
        }
        if self.received.take(id).is_none() {
            return false;
        }
        self.receiver_verdicts.push(id, true, outcome.into_state());
        self.touch(io);
        self.delivery_done(key, link, io);
        true
    }

    /// A delivery no longer counts against the link's credit.
    pub(crate) fn delivery_done(&mut self, key: LinkKey, link: &mut Link, io: &mut Io) {
        if let Kind::Receiver(receiver) = &mut link.kind {
            receiver.credit.on_done();
            if link.state == LinkState::Attached && receiver.credit.top_up().is_some() {
                self.want_flow(key, link, io);
            }
        }
    }

    /// Whether a delivery is still this side's to settle.
    pub(crate) fn is_unsettled(&self, id: Serial) -> bool {
        self.received.contains(id)
    }

    pub(crate) fn on_disposition(
        &mut self,
        disposition: Disposition,
        links: &mut Links,
        io: &mut Io,
    ) -> Result<(), Fault> {
        let first = Serial(disposition.first);
        let last = Serial(disposition.last.unwrap_or(disposition.first));
        if first.is_after(last) {
            return Err(Fault::Session(ErrorInfo::new(
                conditions::INVALID_FIELD,
                format!("disposition.last {last} is before disposition.first {first}"),
            )));
        }
        match disposition.role {
            Role::Receiver => self.on_receiver_disposition(first, last, disposition, io),
            Role::Sender => self.on_sender_disposition(first, last, &disposition, links, io),
        }
        Ok(())
    }

    /// The peer tells what became of our deliveries.
    fn on_receiver_disposition(
        &mut self,
        first: Serial,
        last: Serial,
        disposition: Disposition,
        io: &mut Io,
    ) {
        let is_final =
            disposition.settled || disposition.state.as_ref().is_some_and(DeliveryState::is_outcome);
        if !is_final {
            return;
        }
        for id in self.sent.within(first, last) {
            if let Some(sent) = self.sent.get_mut(id)
                && !std::mem::replace(&mut sent.has_outcome, true)
            {
                let (link, token, number) = (sent.link, sent.token, sent.number);
                io.outcome(link, token, number, Some(Outcome::from_state(disposition.state.clone())));
            }
            self.sent.take(id);
            if !disposition.settled {
                // The receiver waits for us to settle. Only then may a sender speak: RabbitMQ ends the session
                // over any other disposition from a sender.
                self.sender_verdicts.push(id, true, disposition.state.clone());
            }
        }
        if !self.sender_verdicts.is_empty() {
            self.touch(io);
        }
    }

    /// The peer takes deliveries back, or settles what it was asked to settle.
    fn on_sender_disposition(
        &mut self,
        first: Serial,
        last: Serial,
        disposition: &Disposition,
        links: &mut Links,
        io: &mut Io,
    ) {
        let is_outcome = disposition.state.as_ref().is_some_and(DeliveryState::is_outcome);
        if !disposition.settled && !is_outcome {
            return;
        }
        for id in self.received.within(first, last) {
            let Some(Received { link: key, .. }) = self.received.take(id) else { continue };
            if !disposition.settled {
                self.receiver_verdicts.push(id, true, disposition.state.clone());
            }
            let Some(link) = links.get_mut(key.0) else { continue };
            if let Some(receiver) = link.receiver() {
                receiver.inbox.retain(|delivery| delivery.id != id);
            }
            self.delivery_done(key, link, io);
            io.signal(key, link);
        }
        self.touch(io);
    }

    fn flush_verdicts(&mut self, io: &mut Io) {
        for (role, verdicts) in
            [(Role::Receiver, &mut self.receiver_verdicts), (Role::Sender, &mut self.sender_verdicts)]
        {
            if verdicts.is_empty() {
                continue;
            }
            for run in verdicts.flush() {
                let mut disposition = Disposition::new(role, run.first.0);
                disposition.last = (run.last != run.first).then_some(run.last.0);
                disposition.settled = run.settled;
                disposition.state = run.state;
                io.send(self.local_channel, Performative::Disposition(disposition));
            }
        }
    }

    // ---- flush, end ---------------------------------------------------------------------------------------

    /// Writes what is due: verdicts and flows first, then transfers. False if transfers had to stay behind for
    /// want of room in the outbox.
    pub(crate) fn flush(&mut self, links: &mut Links, io: &mut Io) -> bool {
        self.is_dirty = false;
        if self.state != SessionState::Mapped {
            return true;
        }
        self.flush_verdicts(io);
        self.flush_flows(links, io);
        self.pump(links, io);
        // Pumping may have drained a link.
        self.flush_flows(links, io);
        self.ready.is_empty() || !self.outgoing.is_open()
    }

    fn flush_flows(&mut self, links: &mut Links, io: &mut Io) {
        for key in std::mem::take(&mut self.link_flows_due) {
            let Some(link) = links.get_mut(key.0).filter(|link| link.session == self.key) else { continue };
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
    const fn reopen_window(&mut self) {
        self.incoming.reopen();
        self.flow_due = false;
    }

    pub(crate) fn send_end(&mut self, error: Option<ErrorInfo>, io: &mut Io) {
        self.flush_verdicts(io);
        io.send(self.local_channel, Performative::End(End { error }));
    }

    /// The session is over: so are its links and everything in flight on them.
    pub(crate) fn finish(&mut self, reason: SessionError, links: &mut Links, io: &mut Io) {
        if self.end.is_none() {
            self.end = Some(reason.clone());
        }
        let mut keys: Vec<_> =
            self.local_handles.iter().chain(&self.remote_handles).flatten().copied().collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let Some(link) = links.get_mut(key.0) else { continue };
            if link.end.is_none() {
                link.end = Some(LinkError::Session(reason.clone()));
            }
            link.state = LinkState::Detached;
            link.local_handle = None;
            link.remote_handle = None;
            self.drop_deliveries(key, link, io);
            if let Kind::Receiver(receiver) = &mut link.kind {
                receiver.inbox.retain(|delivery| delivery.settled);
            }
        }
        self.local_handles.clear();
        self.remote_handles.clear();
        self.ready.clear();
        self.link_flows_due.clear();
        io.events.push_back(Event::Session(self.key));
    }
}

fn unattached(handle: u32) -> Fault {
    Fault::Session(ErrorInfo::new(
        conditions::UNATTACHED_HANDLE,
        format!("no link is attached at handle {handle}"),
    ))
}
