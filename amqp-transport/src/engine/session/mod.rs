//! Sessions (§2.5): a pair of channels with windows, delivery-ids and handles; the links live on them.
//!
//! Here are begin, flush and end. What a session does with its links is in one file a deed: `links` attaches and
//! detaches, `flow` speaks of windows and credit, `transfer_out` and `transfer_in` move deliveries,
//! `dispositions` settles them.

mod dispositions;
mod flow;
mod links;
mod resume;
mod stream_in;
mod transfer_in;
mod transfer_out;

pub(super) use dispositions::size;

use super::disposition::Verdicts;
use super::event::{DeliveryNumber, Event, Token};
use super::link::resume::UnsettledDelivery;
use super::link::{Kind, LinkState};
use super::serial::Serial;
use super::stats::SessionStats;
use super::unsettled::Unsettled;
use super::window::{IncomingWindow, OutgoingWindow};
use super::{Fault, Io, LinkKey, Links, SessionKey, Usage};
use crate::error::{LinkError, SessionError};
use amqp_codec::messaging::DeliveryState;
use amqp_codec::transport::{Begin, End, ErrorInfo, Performative, conditions};
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
    /// It was sent within a transaction.
    is_posted: bool,
    /// The peer gave its verdict within a transaction that is not discharged yet.
    is_retired: bool,
    /// It is sent in parts: its writer may wait for room.
    is_streamed: bool,
    /// When, as the counters tell the time.
    sent_at: u32,
    /// What it takes to send it again, on a link that can be resumed.
    kept: Option<Box<UnsettledDelivery>>,
}

/// A delivery that arrived unsettled.
#[derive(Debug)]
struct Received {
    link: LinkKey,
    /// This side gave its verdict and waits for the sender to settle (receiver settle mode second).
    has_verdict: bool,
    /// The sender wants this side to settle it first, whatever the link's mode.
    settles_first: bool,
    /// Its size, where credit goes by octets.
    octets: u32,
    /// What the peer is told of it when its link is resumed, if that can be.
    kept: Option<Box<Kept>>,
}

/// What is kept of a delivery that arrived on a link that can be resumed.
#[derive(Debug)]
struct Kept {
    tag: Bytes,
    /// This side's verdict, while the sender has not settled by it (receiver settle mode second).
    verdict: Option<DeliveryState>,
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
    /// Octets of deliveries received in parts that nobody has read yet.
    stream_bytes: usize,
    receiver_verdicts: Verdicts,
    sender_verdicts: Verdicts,
    /// Links with something to send, in turn.
    ready: VecDeque<LinkKey>,
    flow_due: bool,
    link_flows_due: Vec<LinkKey>,
    is_dirty: bool,
    /// A sender found the limit of unsettled deliveries reached; it is to be told when that is over.
    is_full: bool,
    transfers_in: u64,
    transfers_out: u64,
}

impl Session {
    pub(crate) fn new(key: SessionKey, local_channel: u16, incoming_window: u32, first_id: Serial) -> Self {
        Self {
            key,
            state: SessionState::BeginSent,
            local_channel,
            remote_channel: None,
            end: None,
            is_forgotten: false,
            outgoing: OutgoingWindow::new(first_id),
            incoming: IncomingWindow::new(incoming_window.max(1)),
            remote_handle_max: 0,
            local_handles: Vec::new(),
            remote_handles: Vec::new(),
            sent: Unsettled::new(first_id),
            received: Unsettled::new(Serial(0)),
            received_from_begin: false,
            stream_bytes: 0,
            receiver_verdicts: Verdicts::default(),
            sender_verdicts: Verdicts::default(),
            ready: VecDeque::new(),
            flow_due: false,
            link_flows_due: Vec::new(),
            is_dirty: false,
            is_full: false,
            transfers_in: 0,
            transfers_out: 0,
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

    /// What the session carried so far and holds now, with so many links.
    pub(crate) fn stats(&self, links: usize) -> SessionStats {
        SessionStats {
            transfers_in: self.transfers_in,
            transfers_out: self.transfers_out,
            incoming_window: self.incoming.remaining(),
            outgoing_window: self.outgoing.remaining(),
            unsettled_in: self.received.len(),
            unsettled_out: self.sent.len(),
            links,
        }
    }

    /// Unsettled deliveries of a link.
    pub(crate) fn unsettled_on(&self, key: LinkKey) -> usize {
        let sent = self.sent.iter().filter(|sent| sent.link == key).count();
        sent + self.received.iter().filter(|received| received.link == key).count()
    }

    pub(crate) fn check(&self) -> Result<(), SessionError> {
        match &self.end {
            Some(end) => Err(end.clone()),
            None => Ok(()),
        }
    }

    /// Adds what this session holds.
    pub(crate) fn count(&self, usage: &mut Usage) {
        usage.unsettled_sent += self.sent.len();
        usage.unsettled_received += self.received.len();
        usage.unread_bytes += self.stream_bytes;
        usage.unsettled_places += self.sent.width() + self.received.width();
    }

    /// Something is to be written at the next flush.
    pub(crate) fn touch(&mut self, io: &mut Io) {
        if !self.is_dirty {
            self.is_dirty = true;
            io.dirty.push(self.key);
        }
    }

    /// Writes what is due: verdicts and flows first, then transfers. False if transfers had to stay behind for
    /// want of room in the outbox.
    pub(crate) fn flush(&mut self, links: &mut Links, io: &mut Io) -> bool {
        self.is_dirty = false;
        if self.state != SessionState::Mapped {
            return true;
        }
        if self.is_full && self.sent.len() < io.limits.max_unsettled && !self.sent.is_stretched() {
            self.is_full = false;
            for key in self.local_handles.iter().flatten() {
                if let Some(link) = links.get_mut(key.0) {
                    io.signal(*key, link);
                }
            }
        }
        self.flush_verdicts(io);
        self.flush_flows(links, io);
        self.pump(links, io);
        // Pumping may have drained a link.
        self.flush_flows(links, io);
        self.ready.is_empty() || !self.outgoing.is_open()
    }

    /// Whether more may be sent without an outcome. If not, senders are told when it is so again.
    pub(crate) fn has_room_for_unsettled(&mut self, limit: usize) -> bool {
        self.is_full |= self.sent.len() >= limit || self.sent.is_stretched();
        !self.is_full
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
            link.forget_attach(io);
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
