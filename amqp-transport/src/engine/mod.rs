//! The AMQP 1.0 engine: state machines without sockets, tasks or a clock of their own.
//!
//! One [`Engine`] is one end of one connection, client or listener alike. Its methods are of four kinds:
//!
//! - *feed*: [`Engine::handle_input`], [`Engine::handle_lost`], [`Engine::handle_timeout`] bring octets and time in;
//! - *act*: [`Engine::begin`], [`Engine::attach`], [`Engine::send`], [`Engine::settle`] … do what the user asked for;
//! - *look*: [`Engine::link_status`], [`Engine::check_session`] … tell the state and change nothing;
//! - *poll*: [`Engine::poll_output`] and [`Engine::poll_event`] take out what is to be written and what happened, and
//!   [`Engine::deadline`] tells when to come back at the latest.
//!
//! After any feeding or acting, output and events are to be polled. What can wait does wait for that moment:
//! verdicts fold into ranges there and flows are written once, however many calls asked for them.
//!
//! Octets may be cut and joined in any way on their way. The engine takes the time from its caller and never reads a
//! clock, so a run can be repeated to the octet, and any transport, thread or event loop will do. It needs no runtime:
//! it is there with the crate's default features turned off.
//!
//! # Example
//!
//! A client and a listener in one thread, with nothing but two buffers between them:
//!
//! ```
//! use amqp_codec::transport::Open;
//! use amqp_transport::engine::*;
//! use bytes::{Bytes, BytesMut};
//! use std::collections::VecDeque;
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! /// Carries octets both ways until neither side has anything to say.
//! fn talk(near: &mut Engine, far: &mut Engine, now: Instant) {
//!     let (mut to_near, mut to_far) = (BytesMut::new(), BytesMut::new());
//!     loop {
//!         let mut octets = VecDeque::new();
//!         near.poll_output(&mut octets, now);
//!         let near_is_quiet = octets.is_empty();
//!         octets.drain(..).for_each(|chunk| to_far.extend_from_slice(&chunk));
//!         far.handle_input(&mut to_far, now);
//!         far.poll_output(&mut octets, now);
//!         if near_is_quiet && octets.is_empty() {
//!             return;
//!         }
//!         octets.drain(..).for_each(|chunk| to_near.extend_from_slice(&chunk));
//!         near.handle_input(&mut to_near, now);
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let now = Instant::now();
//! let users = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
//! let mut client = Engine::new(Side::Client(Sasl::Anonymous), Open::new("client"), Limits::default(), now);
//! let mut listener = Engine::new(Side::Listener(users), Open::new("listener"), Limits::default(), now);
//! talk(&mut client, &mut listener, now);
//!
//! let session = client.begin()?;
//! talk(&mut client, &mut listener, now);
//! let sender = client.attach(session, LinkOptions::sender("a link", "a queue"))?;
//! talk(&mut client, &mut listener, now);
//!
//! // The listener is asked for the link, accepts it, and lets ten messages come.
//! let receiver = std::iter::from_fn(|| listener.poll_event())
//!     .find_map(|event| match event {
//!         Event::LinkRequested(link) => Some(link),
//!         _ => None,
//!     })
//!     .ok_or("no link was asked for")?;
//! listener.accept(receiver, Termini::default(), Credit::Auto(10))?;
//! talk(&mut client, &mut listener, now);
//!
//! assert_eq!(client.credit(sender)?, 10);
//! client.send(sender, OutgoingDelivery::new(Bytes::from_static(b"\x00\x53\x77\xa1\x02hi"), Token(7)))?;
//! talk(&mut client, &mut listener, now);
//!
//! let delivery = listener.take(receiver)?.ok_or("nothing came")?;
//! listener.settle(receiver, delivery.id, amqp_transport::Outcome::Accepted)?;
//! talk(&mut client, &mut listener, now);
//!
//! let outcome = std::iter::from_fn(|| client.poll_event()).find_map(|event| match event {
//!     Event::Outcome { token: Token(7), outcome, .. } => outcome,
//!     _ => None,
//! });
//! assert_eq!(outcome, Some(amqp_transport::Outcome::Accepted));
//! # Ok(()) }
//! ```
#![warn(clippy::indexing_slicing)]

mod channels;
mod commands;
mod connection;
mod copies;
pub(crate) mod credit;
mod disposition;
pub(crate) mod event;
pub(crate) mod frame_log;
mod idle;
pub(crate) mod limits;
mod link;
mod options;
mod outbox;
mod resumption;
pub(crate) mod sasl;
mod serial;
mod session;
pub(crate) mod stats;
mod streams;
#[cfg(test)]
mod tests;
mod unsettled;
mod usage;
mod window;

pub use commands::{LinkOptions, LinkStatus, OutgoingDelivery, SessionRoom};
pub use connection::{Engine, Side};
pub use credit::Credit;
pub use event::{DeliveryNumber, Event, Token};
pub use frame_log::FrameLog;
pub use limits::Limits;
pub use link::receiver::Incoming;
pub use link::resume::{Fate, UnsettledDelivery};
pub use options::{AbortPolicy, LinkAnswer, Resumption, Unsettled};
pub use sasl::{
    Authenticator, BearerRefusal, BearerToken, ClientCertificate, Identity, Mechanism, Nonce, Sasl,
    SaslFault, ScramCredentials, ScramHash, StaticCredentials,
};
pub use serial::Serial;
pub use stats::{ConnectionStats, Latency, LinkStats, SessionStats};
pub use streams::StreamPart;
pub use usage::Usage;

use crate::error::Outcome;
use amqp_codec::Encode;
use amqp_codec::frame::{FrameHeader, ProtocolHeader};
use amqp_codec::messaging::{DeliveryState, Source, Target, TargetArchetype};
use amqp_codec::security::SaslFrame;
use amqp_codec::transport::{Attach, ErrorInfo, Performative, Role, Transfer};
use bytes::Bytes;
use copies::Copies;
use frame_log::Direction;
use link::{Kind, Link};
use outbox::Outbox;
use slab::Slab;
use stats::Counters;
use std::collections::VecDeque;

/// Names a session of an engine, until it is forgotten; later it may name another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub(crate) usize);

/// Names a link of an engine, until it is forgotten; later it may name another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey(pub(crate) usize);

type Links = Slab<Link>;

/// A rule that the peer broke, and how much has to end because of it (§2.8.15 and on).
#[derive(Debug)]
pub(crate) enum Fault {
    Connection(ErrorInfo),
    Session(ErrorInfo),
    Link(LinkKey, ErrorInfo),
}

/// What all parts of the engine write to.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) outbox: Outbox,
    pub(crate) events: VecDeque<Event>,
    /// Sessions with something to flush.
    pub(crate) dirty: Vec<SessionKey>,
    /// Largest frame that may be sent now.
    pub(crate) max_frame_size: usize,
    /// A sender found no room; it is to be told once there is some.
    pub(crate) is_wanted: bool,
    /// Where the numbers of new sessions and links start.
    pub(crate) first_id: Serial,
    /// Octets of whole messages that were handed over and have not left.
    pub(crate) waiting_bytes: usize,
    /// Octets of messages of which frames are missing.
    pub(crate) partial_bytes: usize,
    /// Octets of the peer's attaches.
    pub(crate) attach_bytes: usize,
    pub(crate) counters: Counters,
    pub(crate) copies: Copies,
    pub(crate) limits: Limits,
    pub(crate) frame_log: FrameLog,
}

impl Io {
    pub(crate) fn send(&mut self, channel: u16, mut performative: Performative) {
        if let Some(error) = error_of(&mut performative)
            && error.encoded_len() > self.max_frame_size / 2
        {
            shorten(error);
        }
        if self.frame_log.is_on() {
            self.frame_log.frame(Direction::Sent, Some(channel), &performative.to_bytes(), 0);
        }
        self.outbox.frame(channel, &performative);
    }

    pub(crate) fn send_sasl(&mut self, frame: &SaslFrame) {
        if self.frame_log.is_on() {
            self.frame_log.frame(Direction::Sent, None, &frame.to_bytes(), 0);
        }
        self.outbox.sasl(frame);
    }

    pub(crate) fn send_transfer(&mut self, channel: u16, transfer: &Transfer, payload: Bytes) {
        if self.frame_log.is_on() {
            self.frame_log.frame(Direction::Sent, Some(channel), &transfer.to_bytes(), payload.len());
        }
        self.outbox.transfer(channel, transfer, payload);
    }

    pub(crate) fn send_header(&mut self, header: ProtocolHeader) {
        let header = header.to_bytes();
        self.frame_log.header(Direction::Sent, &header);
        self.outbox.bytes(&header);
    }

    pub(crate) fn send_empty_frame(&mut self) {
        if self.frame_log.is_on() {
            self.frame_log.frame(Direction::Sent, Some(0), &Bytes::new(), 0);
        }
        self.outbox.empty_frame();
    }

    /// Whether more messages may be handed over: those that wait for credit or the window count too, because a peer
    /// may grant endless credit and never open its window.
    pub(crate) fn has_room_for_messages(&self) -> bool {
        self.outbox.len().saturating_add(self.waiting_bytes) < self.limits.max_queued_bytes
    }

    /// Whether more transfers may be put in the outbox.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < self.limits.max_queued_bytes
    }

    pub(crate) fn signal(&mut self, key: LinkKey, link: &mut Link) {
        if !link.is_signalled {
            link.is_signalled = true;
            self.events.push_back(Event::Link(key));
        }
    }

    pub(crate) fn outcome(
        &mut self,
        link: LinkKey,
        token: Token,
        number: DeliveryNumber,
        outcome: Option<Outcome>,
    ) {
        if token == Token::NOBODY {
            return;
        }
        self.events.push_back(Event::Outcome { link, token, number, outcome });
    }
}

/// The error that a performative tells.
fn error_of(performative: &mut Performative) -> Option<&mut ErrorInfo> {
    match performative {
        Performative::Disposition(disposition) => match &mut disposition.state {
            Some(DeliveryState::Rejected(error)) => error.as_deref_mut(),
            Some(DeliveryState::Transactional(state)) => match &mut state.outcome {
                Some(DeliveryState::Rejected(error)) => error.as_deref_mut(),
                _ => None,
            },
            _ => None,
        },
        Performative::Detach(detach) => detach.error.as_mut(),
        Performative::End(end) => end.error.as_mut(),
        Performative::Close(close) => close.error.as_mut(),
        _ => None,
    }
}

/// Makes an error fit into the smallest frame there is: what counts is its condition.
#[cold]
fn shorten(error: &mut ErrorInfo) {
    error.info = None;
    if let Some(description) = &mut error.description {
        *description = description.chars().take(MOST_WORDS).collect::<String>().into();
    }
}

/// Characters that are left of the description of an error that is too large for a frame; each has four octets at most.
const MOST_WORDS: usize = 60;

/// The attach that refuses a peer's: without the terminus that would be this side's to give (§2.6.3). None if not even
/// that fits into a frame of this size.
fn refusal(link: &Link, max_frame_size: usize) -> Option<Attach> {
    let mut attach = Attach::new(link.name.clone(), 0_u32, link.role());
    if let Some(remote) = &link.remote_attach {
        attach.snd_settle_mode = remote.snd_settle_mode;
        attach.rcv_settle_mode = remote.rcv_settle_mode;
        match link.role() {
            Role::Sender => attach.target = remote.target.clone(),
            Role::Receiver => attach.source = remote.source.clone(),
        }
    }
    if let Kind::Sender(sender) = &link.kind {
        attach.initial_delivery_count = Some(sender.credit.delivery_count().0);
    }
    if attach_size(&attach) > max_frame_size {
        // The peer's own terminus is only repeated to it.
        (attach.source, attach.target) = (None, None);
    }
    (attach_size(&attach) <= max_frame_size).then_some(attach)
}

/// Octets of the frame of an attach whose handle is not known yet: it may take four more.
fn attach_size(attach: &Attach) -> usize {
    attach.encoded_len() + FrameHeader::LEN + 4
}

/// Both termini of a link (§2.6.3).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Termini {
    /// Where messages come from.
    pub source: Option<Source>,
    /// Where they go: a node, or a transaction coordinator.
    pub target: Option<TargetArchetype>,
}

impl Termini {
    /// Between these two nodes.
    #[must_use]
    pub fn new(source: Source, target: Target) -> Self {
        Self { source: Some(source), target: Some(TargetArchetype::Target(target)) }
    }
}

/// Makes room for one more: for one alone at first, because most connections have one session and one link.
fn make_room<T>(slab: &mut Slab<T>) {
    if slab.len() == slab.capacity() {
        slab.reserve_exact(slab.len().max(1));
    }
}

/// A wire number as an index. On machines where it does not fit, nothing is found at the largest index.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
