//! Links (§2.6): one direction of messages between two termini, from attach to detach.

pub(crate) mod receiver;
pub(crate) mod resume;
pub(crate) mod sender;
pub(crate) mod stream_in;
pub(crate) mod stream_out;

use super::stats::Traffic;
use super::{Io, SessionKey};
use crate::error::LinkError;
use amqp_codec::transport::{Attach, Role};
use amqp_codec::{ByteString, Encode};
use receiver::ReceiverLink;
use sender::SenderLink;
use std::sync::Arc;

/// Where a link is between attach and detach (§2.6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// Our attach was sent, the peer's is awaited.
    AttachSent,
    /// The peer's attach came first; it is to be accepted or refused.
    Requested,
    /// Both attaches were exchanged.
    Attached,
    /// The peer's attach came without its own terminus: it refuses, and its detach follows with the reason.
    Refused,
    /// Our detach was sent, the peer's is awaited. What still arrives was under way.
    DetachSent,
    /// Both handles are free. The reason is in [`Link::end`].
    Detached,
}

/// What a link does here.
#[derive(Debug)]
pub(crate) enum Kind {
    Sender(SenderLink),
    Receiver(ReceiverLink),
}

#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) session: SessionKey,
    pub(crate) name: ByteString,
    pub(crate) state: LinkState,
    /// The handle under which this side speaks of the link.
    pub(crate) local_handle: Option<u32>,
    /// The handle under which the peer speaks of it.
    pub(crate) remote_handle: Option<u32>,
    /// The peer's attach, until the link is detached: what is really in force.
    pub(crate) remote_attach: Option<Arc<Attach>>,
    pub(crate) kind: Kind,
    /// Why the link ended, once it has.
    pub(crate) end: Option<LinkError>,
    /// A flow is to be sent at the next flush.
    pub(crate) flow_due: bool,
    /// An event for this link waits already.
    pub(crate) is_signalled: bool,
    /// Nobody holds the link any more: its place is free once it is detached.
    pub(crate) is_forgotten: bool,
    pub(crate) traffic: Traffic,
}

impl Link {
    pub(crate) const fn new(session: SessionKey, name: ByteString, state: LinkState, kind: Kind) -> Self {
        Self {
            session,
            name,
            state,
            local_handle: None,
            remote_handle: None,
            remote_attach: None,
            kind,
            end: None,
            flow_due: false,
            is_signalled: false,
            is_forgotten: false,
            traffic: Traffic { deliveries: 0, octets: 0 },
        }
    }

    pub(crate) const fn role(&self) -> Role {
        match self.kind {
            Kind::Sender(_) => Role::Sender,
            Kind::Receiver(_) => Role::Receiver,
        }
    }

    pub(crate) const fn sender(&mut self) -> Option<&mut SenderLink> {
        match &mut self.kind {
            Kind::Sender(sender) => Some(sender),
            Kind::Receiver(_) => None,
        }
    }

    pub(crate) const fn receiver(&mut self) -> Option<&mut ReceiverLink> {
        match &mut self.kind {
            Kind::Receiver(receiver) => Some(receiver),
            Kind::Sender(_) => None,
        }
    }

    /// Whether the link may be used: an error says why not.
    pub(crate) fn check(&self) -> Result<(), LinkError> {
        match &self.end {
            Some(end) => Err(end.clone()),
            None => Ok(()),
        }
    }

    /// Whether nothing and nobody needs the link any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_forgotten && self.state == LinkState::Detached
    }

    /// Takes what is in force from the peer's attach. It counts until [`Link::forget_attach`].
    pub(crate) fn on_attach(&mut self, attach: Box<Attach>, io: &mut Io) {
        io.attach_bytes += attach.encoded_len();
        match &mut self.kind {
            Kind::Sender(sender) => sender.on_attach(&attach),
            Kind::Receiver(receiver) => receiver.on_attach(&attach),
        }
        self.remote_handle = Some(attach.handle);
        self.remote_attach = Some(attach.into());
    }

    /// The link is detached: what the peer said of it is in force no more.
    pub(crate) fn forget_attach(&mut self, io: &mut Io) {
        if let Some(attach) = self.remote_attach.take() {
            io.attach_bytes = io.attach_bytes.saturating_sub(attach.encoded_len());
        }
    }
}
