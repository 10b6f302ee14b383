//! The AMQP 1.0 engine: state machines without sockets, tasks or a clock of their own.
//!
//! One [`Engine`] is one end of one connection, client or listener alike. Its methods are of four kinds:
//!
//! - *feed*: [`Engine::handle_input`], [`Engine::handle_lost`], [`Engine::handle_timeout`] bring octets and time in;
//! - *act*: [`Engine::begin`], [`Engine::attach`], [`Engine::send`], [`Engine::settle`] … do what the user asked for;
//! - *look*: [`Engine::link`], [`Engine::check_session`] … tell the state and change nothing;
//! - *poll*: [`Engine::poll_output`] and [`Engine::poll_event`] take out what is to be written and what happened, and
//!   [`Engine::deadline`] tells when to come back at the latest.
//!
//! After any feeding or acting, output and events are to be polled. What can wait does wait for that moment:
//! verdicts fold into ranges there and flows are written once, however many calls asked for them.
#![warn(clippy::indexing_slicing)]

mod commands;
mod connection;
pub(crate) mod credit;
mod disposition;
pub(crate) mod event;
mod idle;
pub(crate) mod limits;
mod link;
mod outbox;
pub(crate) mod sasl;
mod serial;
mod session;
#[cfg(test)]
mod tests;
mod unsettled;
mod window;

pub(crate) use commands::{LinkOptions, LinkStatus, OutgoingDelivery};
pub(crate) use connection::{Engine, Side};
pub(crate) use link::receiver::Incoming;
pub(crate) use serial::Serial;

use crate::error::Outcome;
use amqp_codec::messaging::{Source, Target, TargetArchetype};
use amqp_codec::transport::{Attach, ErrorInfo, Performative, Role};
use event::{DeliveryNumber, Event, Token};
use limits::Limits;
use link::Link;
use outbox::Outbox;
use slab::Slab;
use std::collections::VecDeque;

/// Names a session of an engine, until it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey(pub(crate) usize);

/// Names a link of an engine, until it is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LinkKey(pub(crate) usize);

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
    /// Octets of messages of which frames are missing.
    pub(crate) partial_bytes: usize,
    pub(crate) limits: Limits,
}

impl Io {
    pub(crate) fn send(&mut self, channel: u16, performative: Performative) {
        tracing::trace!(target: "amqp::frames", channel, ?performative, "sent");
        self.outbox.frame(channel, &performative);
    }

    pub(crate) fn trace_sent(&self, channel: u16, name: &'static str) {
        tracing::trace!(target: "amqp::frames", channel, name, queued = self.outbox.len(), "sent");
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
        self.events.push_back(Event::Outcome { link, token, number, outcome });
    }
}

/// The attach that refuses a peer's: without the terminus that would be this side's to give (§2.6.3).
fn refusal(link: &Link) -> Attach {
    let mut attach = Attach::new(link.name.clone(), 0_u32, link.role());
    if let Some(remote) = &link.remote_attach {
        attach.snd_settle_mode = remote.snd_settle_mode;
        attach.rcv_settle_mode = remote.rcv_settle_mode;
        match link.role() {
            Role::Sender => attach.target = remote.target.clone(),
            Role::Receiver => attach.source = remote.source.clone(),
        }
    }
    if link.role() == Role::Sender {
        attach.initial_delivery_count = Some(0);
    }
    attach
}

/// Both termini of a new link.
#[derive(Debug, Clone, Default)]
pub(crate) struct Termini {
    pub(crate) source: Option<Source>,
    pub(crate) target: Option<TargetArchetype>,
}

impl Termini {
    pub(crate) fn new(source: Source, target: Target) -> Self {
        Self { source: Some(source), target: Some(TargetArchetype::Target(target)) }
    }
}

/// A wire number as an index. On machines where it does not fit, nothing is found at the largest index.
fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
