//! What a user of the engine may ask for: sessions, links, deliveries, verdicts.

use super::credit::Credit;
use super::event::{DeliveryNumber, Token};
use super::limits::Limits;
use super::link::receiver::{Incoming, ReceiverLink, transaction_of};
use super::link::resume::UnsettledDelivery;
use super::link::sender::{Outgoing, SenderLink};
use super::link::{Kind, Link, LinkState};
use super::options::LinkAnswer;
use super::options::{AbortPolicy, Resumption};
use super::resumption::resume;
use super::session::SessionState;
use super::{Engine, LinkKey, Serial, SessionKey, Termini, attach_size, make_room, refusal};
use crate::error::{ConnectionError, LinkError, Outcome, SendError, SessionError, SettleError};
use amqp_codec::messaging::{DeliveryState, Source, Target};
use amqp_codec::transport::{Attach, ErrorInfo, ReceiverSettleMode, Role, SenderSettleMode, conditions};
use amqp_codec::types::{Fields, Map, Symbol};
use amqp_codec::{ByteString, Encode};
use bytes::Bytes;
use std::sync::Arc;

/// How a new link is to be (§2.7.3). Set fields on what [`LinkOptions::sender`] or [`LinkOptions::receiver`] gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkOptions {
    /// Name of the link: unique between the two containers, for its direction.
    pub name: ByteString,
    /// What this side is to be.
    pub role: Role,
    /// Where messages come from and where they go.
    pub termini: Termini,
    /// Whether deliveries go out unsettled, settled, or as each says (the default).
    pub snd_settle_mode: SenderSettleMode,
    /// Whether the receiver settles first (the default), or waits for the sender to settle.
    pub rcv_settle_mode: ReceiverSettleMode,
    /// How a receiver asks for deliveries; nothing for a sender.
    pub credit: Credit,
    /// Properties of the link, such as `paired`.
    pub properties: Option<Fields>,
    /// Extensions that are asked for.
    pub desired_capabilities: Vec<Symbol>,
    /// Extensions that this side supports.
    pub offered_capabilities: Vec<Symbol>,
    /// How a sender takes a delivery back of which a part has left.
    pub abort_policy: AbortPolicy,
    /// Whether a receiver hands deliveries over with their first frame, to be read with [`Engine::read_stream`].
    pub streams: bool,
    /// The largest message that a receiver takes, in octets, in place of
    /// [`Limits::max_message_size`](super::Limits::max_message_size); 0 for no limit, the default with `streams`.
    pub max_message_size: Option<u64>,
    /// Whether the link can be resumed, and with what.
    pub resumption: Option<Resumption>,
}

impl LinkOptions {
    /// A link of this name to send on, to the node at this address.
    #[must_use]
    pub fn sender(name: impl Into<ByteString>, address: impl Into<ByteString>) -> Self {
        let target = Target { address: Some(address.into()), ..Target::default() };
        Self::new(name.into(), Role::Sender, Termini::new(Source::default(), target), Credit::Manual)
    }

    /// A link of this name to receive on, from the node at this address.
    #[must_use]
    pub fn receiver(name: impl Into<ByteString>, address: impl Into<ByteString>, credit: Credit) -> Self {
        let source = Source { address: Some(address.into()), ..Source::default() };
        Self::new(name.into(), Role::Receiver, Termini::new(source, Target::default()), credit)
    }

    pub(crate) const fn new(name: ByteString, role: Role, termini: Termini, credit: Credit) -> Self {
        Self {
            name,
            role,
            termini,
            snd_settle_mode: SenderSettleMode::Mixed,
            rcv_settle_mode: ReceiverSettleMode::First,
            credit,
            properties: None,
            desired_capabilities: Vec::new(),
            offered_capabilities: Vec::new(),
            abort_policy: AbortPolicy::Abort,
            streams: false,
            max_message_size: None,
            resumption: None,
        }
    }
}

/// A message to send, for [`Engine::send`]. Set fields on what [`OutgoingDelivery::new`] gives.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutgoingDelivery {
    /// The encoded message.
    pub payload: Bytes,
    /// The message-format; 0 (the default) is the standard's.
    pub message_format: u32,
    /// Whether it leaves settled: then there is no outcome, but `None` if the link ends before it has left. The link's
    /// settle mode has the last word.
    pub settled: bool,
    /// Comes back with the outcome, in [`Event::Outcome`](super::Event::Outcome).
    pub token: Token,
    /// The delivery-tag, at most 32 octets; if none is given the engine makes one that is unique on the link.
    pub tag: Option<Bytes>,
    /// The state with which it leaves, on each of its frames; a transaction's, if it is posted within one (§4.4.1).
    pub state: Option<Box<DeliveryState>>,
}

impl OutgoingDelivery {
    /// An unsettled delivery of an encoded message in the standard's format.
    #[must_use]
    pub const fn new(payload: Bytes, token: Token) -> Self {
        Self { payload, message_format: 0, settled: false, token, tag: None, state: None }
    }
}

/// Whether the peer lets another session be begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionRoom {
    /// A channel is free.
    Free,
    /// None is free, but the peer's answer to an end will free one.
    Ending,
    /// All are in use.
    Full,
}

/// Where a link stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LinkStatus {
    /// The peer has not answered yet, or has not been answered.
    Pending,
    /// Both sides have attached.
    Attached,
    /// Over, and why; the handles may still be busy: see [`Engine::is_link_detached`].
    Ended(LinkError),
}

impl Engine {
    // ---- sessions -----------------------------------------------------------------------------------------

    /// Begins a session (§2.5). [`Event::Session`](super::Event::Session) tells when the peer has answered.
    ///
    /// A client that has sent its open need not wait for the peer's (§2.4.5): until that has come, one session can be begun
    /// and one link attached on it, which is what any peer lets be.
    ///
    /// # Errors
    /// [`SessionError::TooMany`] if no channel is free that both sides allow; the connection's error if it is not
    /// open yet or no longer.
    pub fn begin(&mut self) -> Result<SessionKey, SessionError> {
        if let Some(end) = self.end() {
            return Err(end.clone().into());
        }
        if self.peer().is_none() && !self.may_pipeline() {
            return Err(ConnectionError::Lost("it is not open yet".into()).into());
        }
        let Some(key) = self.new_session() else {
            return Err(SessionError::TooMany(self.max_sessions()));
        };
        if let Some(session) = self.sessions.get(key.0) {
            session.send_begin(&mut self.io);
        }
        Ok(key)
    }

    /// The channel on which this side sends what belongs to a session.
    #[must_use]
    pub fn channel(&self, key: SessionKey) -> Option<u16> {
        self.sessions.get(key.0).map(|session| session.local_channel)
    }

    /// How many sessions both sides allow.
    pub fn max_sessions(&self) -> u32 {
        u32::from(self.max_channel()) + 1
    }

    /// Whether another session can be begun.
    pub fn room_for_session(&self) -> SessionRoom {
        let in_use = self.local_channels.in_use();
        if u32::try_from(in_use).is_ok_and(|in_use| in_use < self.max_sessions()) {
            SessionRoom::Free
        } else if self.sessions.iter().any(|(_, session)| session.state == SessionState::EndSent) {
            SessionRoom::Ending
        } else {
            SessionRoom::Full
        }
    }

    /// How many more links the peer allows on the session; none if it has ended.
    pub fn room_for_links(&self, key: SessionKey) -> u64 {
        let own_handle_max = self.io.limits.handle_max;
        let session = self.sessions.get(key.0).filter(|session| session.check().is_ok());
        session.map_or(0, |session| session.room(own_handle_max))
    }

    /// Whether the session is begun; false while the peer has not answered.
    ///
    /// # Errors
    /// Why the session ended.
    pub fn check_session(&self, key: SessionKey) -> Result<bool, SessionError> {
        let Some(session) = self.sessions.get(key.0) else { return Err(SessionError::EndedLocally) };
        session.check()?;
        Ok(session.state == SessionState::Mapped)
    }

    /// Whether both ends of the session were exchanged.
    #[must_use]
    pub fn is_session_unmapped(&self, key: SessionKey) -> bool {
        self.sessions.get(key.0).is_none_or(|session| session.state == SessionState::Unmapped)
    }

    /// Ends a session and everything on it, with an error for the peer or without.
    pub fn end_session(&mut self, key: SessionKey, error: Option<ErrorInfo>) {
        self.end_session_with(key, SessionError::EndedLocally, error);
    }

    pub(super) fn end_session_with(
        &mut self,
        key: SessionKey,
        reason: SessionError,
        error: Option<ErrorInfo>,
    ) {
        self.flush_sessions();
        let Some(session) = self.sessions.get_mut(key.0) else { return };
        if !matches!(session.state, SessionState::BeginSent | SessionState::Mapped) {
            return;
        }
        session.send_end(error, &mut self.io);
        session.state = SessionState::EndSent;
        session.finish(reason, &mut self.links, &mut self.io);
        self.remove_forgotten_links();
    }

    /// The session is of no more interest: it is ended, and its key becomes free for another.
    pub fn forget_session(&mut self, key: SessionKey) {
        self.end_session(key, None);
        let Some(session) = self.sessions.get_mut(key.0) else { return };
        session.is_forgotten = true;
        if session.state == SessionState::Unmapped {
            self.sessions.try_remove(key.0);
        }
    }

    // ---- links --------------------------------------------------------------------------------------------

    /// Attaches a link (§2.6.3). [`Event::Link`](super::Event::Link) tells when the peer has answered; then
    /// [`Engine::link_status`] says how.
    ///
    /// # Errors
    /// [`LinkError::TooMany`] if no handle is free that the peer allows; the session's error if it has ended.
    pub fn attach(&mut self, key: SessionKey, options: LinkOptions) -> Result<LinkKey, LinkError> {
        let Some(session) = self.sessions.get_mut(key.0) else {
            return Err(SessionError::EndedLocally.into());
        };
        session.check()?;
        let limit = message_limit(options.max_message_size, options.streams, &self.io.limits);
        let kind = match options.role {
            Role::Sender => {
                let mut sender = SenderLink::new(options.snd_settle_mode, true, self.io.first_id);
                sender.abort_policy = options.abort_policy;
                Kind::Sender(sender)
            }
            Role::Receiver => {
                let mut receiver = ReceiverLink::new(options.credit, options.rcv_settle_mode, limit);
                receiver.streams = options.streams.then(Box::default);
                Kind::Receiver(receiver)
            }
        };
        let mut link = Link::new(key, options.name.clone(), LinkState::AttachSent, kind);
        let resumption = options.resumption;
        let mut attach = Attach::new(options.name, 0_u32, options.role);
        attach.snd_settle_mode = options.snd_settle_mode;
        attach.rcv_settle_mode = options.rcv_settle_mode;
        attach.source = options.termini.source;
        attach.target = options.termini.target;
        attach.properties = options.properties;
        attach.desired_capabilities = options.desired_capabilities;
        attach.offered_capabilities = options.offered_capabilities;
        match options.role {
            Role::Sender => attach.initial_delivery_count = Some(self.io.first_id.0),
            Role::Receiver => attach.max_message_size = Some(limit).filter(|size| *size > 0),
        }
        if let Some(resumption) = resumption {
            resume(&mut link, resumption, &mut attach, self.io.max_frame_size);
        }
        let (size, limit) = (attach_size(&attach), self.io.max_frame_size);
        if size > limit {
            return Err(LinkError::FrameTooSmall { size, limit });
        }
        let link_key = LinkKey(self.links.vacant_key());
        if !session.attach(link_key, &mut link, attach, &mut self.io) {
            return Err(LinkError::TooMany(session.max_links(self.io.limits.handle_max)));
        }
        make_room(&mut self.links);
        self.links.insert(link);
        Ok(link_key)
    }

    /// Accepts a link that the peer asked for ([`Event::LinkRequested`](super::Event::LinkRequested)), with the
    /// termini and the credit that are really in force; a terminus that is left out is the peer's own.
    ///
    /// # Errors
    /// [`LinkError::TooMany`] if the peer lets no more links be answered, which ends the session;
    /// [`LinkError::FrameTooSmall`] if the peer takes no frame in which the answer fits: then the link is refused; why the
    /// link ended if it did meanwhile, [`LinkError::DetachedLocally`] if it was answered before.
    pub fn accept(&mut self, key: LinkKey, termini: Termini, credit: Credit) -> Result<(), LinkError> {
        self.accept_with(key, LinkAnswer { termini, credit, ..LinkAnswer::default() })
    }

    /// As [`Engine::accept`], with all that can be said of the link.
    ///
    /// # Errors
    /// As [`Engine::accept`].
    pub fn accept_with(&mut self, key: LinkKey, answer: LinkAnswer) -> Result<(), LinkError> {
        let Some(link) = self.links.get_mut(key.0) else { return Err(LinkError::DetachedLocally) };
        link.check()?;
        let Some(remote) = link.remote_attach.as_deref().filter(|_| link.state == LinkState::Requested)
        else {
            return Err(LinkError::DetachedLocally);
        };
        let mut attach = Attach::new(link.name.clone(), 0_u32, link.role());
        attach.snd_settle_mode = remote.snd_settle_mode;
        attach.rcv_settle_mode = remote.rcv_settle_mode;
        attach.source = answer.termini.source.or_else(|| remote.source.clone());
        attach.target = answer.termini.target.or_else(|| remote.target.clone());
        attach.properties = answer.properties;
        attach.offered_capabilities = answer.offered_capabilities;
        match &mut link.kind {
            Kind::Sender(sender) => {
                sender.settle_mode = remote.snd_settle_mode;
                sender.abort_policy = answer.abort_policy;
                attach.initial_delivery_count = Some(sender.credit.delivery_count().0);
            }
            Kind::Receiver(receiver) => {
                let limit = message_limit(answer.max_message_size, answer.streams, &self.io.limits);
                let mut fresh = ReceiverLink::new(answer.credit, remote.rcv_settle_mode, limit);
                fresh.streams = answer.streams.then(Box::default);
                fresh.on_attach(remote);
                *receiver = fresh;
                attach.max_message_size = Some(limit).filter(|size| *size > 0);
            }
        }
        if remote.unsettled.is_some() {
            // The answer to a link that is resumed tells what is unsettled, be it nothing.
            attach.unsettled = Some(Map::new());
        }
        let session_key = link.session;
        if let Some(resumption) = answer.resumption {
            resume(link, resumption, &mut attach, self.io.max_frame_size);
        }
        let (size, limit) = (attach_size(&attach), self.io.max_frame_size);
        if size > limit {
            let text = format!("the answer takes a frame of {size} octets, at most {limit} are accepted");
            self.refuse(key, ErrorInfo::new(conditions::FRAME_SIZE_TOO_SMALL, text));
            return Err(LinkError::FrameTooSmall { size, limit });
        }
        let Some(session) = self.sessions.get_mut(session_key.0) else {
            return Err(SessionError::EndedLocally.into());
        };
        if session.attach(key, link, attach, &mut self.io) {
            self.io.signal(key, link);
            Ok(())
        } else {
            let limit = session.max_links(self.io.limits.handle_max);
            self.end_unanswerable(session_key);
            Err(LinkError::TooMany(limit))
        }
    }

    /// Refuses a link that the peer asked for: an attach without our terminus, then a detach with the reason.
    pub fn refuse(&mut self, key: LinkKey, error: ErrorInfo) {
        let Some(link) = self.links.get_mut(key.0) else { return };
        if link.state != LinkState::Requested {
            return;
        }
        let attach = refusal(link, self.io.max_frame_size);
        link.end = Some(LinkError::DetachedLocally);
        let session_key = link.session;
        let Some(session) = self.sessions.get_mut(session_key.0) else { return };
        if let Some(attach) = attach
            && session.attach(key, link, attach, &mut self.io)
        {
            session.detach(key, link, true, Some(error), &mut self.io);
        } else {
            self.end_unanswerable(session_key);
        }
    }

    /// The peer asks for a link and does not let us answer: it would wait for ever.
    fn end_unanswerable(&mut self, session: SessionKey) {
        let error = ErrorInfo::new(
            conditions::RESOURCE_LIMIT_EXCEEDED,
            "a link was asked for that begin.handle-max or open.max-frame-size does not let be answered",
        );
        self.end_session(session, Some(error));
    }

    /// Ends a link because the peer attached it again elsewhere (§2.6.1, `amqp:link:stolen`).
    pub fn steal(&mut self, key: LinkKey) {
        let error = ErrorInfo::new(conditions::STOLEN, "the link was attached again elsewhere");
        self.detach_with(key, LinkError::Stolen, Some(error), true);
    }

    /// Detaches a link; `closed` tells the peer to forget its terminus too. One that the peer asked for and that was not
    /// answered is refused.
    pub fn detach(&mut self, key: LinkKey, closed: bool, error: Option<ErrorInfo>) {
        self.detach_with(key, LinkError::DetachedLocally, error, closed);
    }

    pub(super) fn detach_with(
        &mut self,
        key: LinkKey,
        reason: LinkError,
        error: Option<ErrorInfo>,
        closed: bool,
    ) {
        self.flush_sessions();
        let Some(link) = self.links.get_mut(key.0) else { return };
        if link.state == LinkState::Requested {
            // Nobody will answer it: the peer must not wait for ever.
            let unanswered = || ErrorInfo::new(conditions::INTERNAL_ERROR, "the link was not answered");
            return self.refuse(key, error.unwrap_or_else(unanswered));
        }
        // One that the peer refuses without ever saying why is detached from here: its handle is not lost.
        if !matches!(link.state, LinkState::Attached | LinkState::AttachSent | LinkState::Refused) {
            return;
        }
        link.end = Some(reason);
        if let Some(session) = self.sessions.get_mut(link.session.0) {
            session.detach(key, link, closed, error, &mut self.io);
        }
    }

    /// The link is of no more interest: it is closed, and its key becomes free for another.
    pub fn forget_link(&mut self, key: LinkKey) {
        self.detach(key, true, None);
        let Some(link) = self.links.get_mut(key.0) else { return };
        link.is_forgotten = true;
        if link.state == LinkState::Detached {
            self.links.try_remove(key.0);
        }
    }

    /// Where the link stands.
    #[must_use]
    pub fn link_status(&self, key: LinkKey) -> LinkStatus {
        match self.links.get(key.0) {
            None => LinkStatus::Ended(LinkError::DetachedLocally),
            Some(Link { end: Some(end), .. }) => LinkStatus::Ended(end.clone()),
            Some(Link { state: LinkState::Attached, .. }) => LinkStatus::Attached,
            Some(_) => LinkStatus::Pending,
        }
    }

    /// Whether the peer has answered our detach, or has detached itself.
    #[must_use]
    pub fn is_link_detached(&self, key: LinkKey) -> bool {
        self.links.get(key.0).is_none_or(|link| link.state == LinkState::Detached)
    }

    /// The session that a link is on.
    #[must_use]
    pub fn session_of(&self, key: LinkKey) -> Option<SessionKey> {
        self.links.get(key.0).map(|link| link.session)
    }

    /// The peer's attach: what it asks for, or what is really in force. None before it has come, and once the link is
    /// detached.
    #[must_use]
    pub fn remote_attach(&self, key: LinkKey) -> Option<&Attach> {
        self.links.get(key.0)?.remote_attach.as_deref()
    }

    /// The same, to be kept.
    #[must_use]
    pub fn keep_remote_attach(&self, key: LinkKey) -> Option<Arc<Attach>> {
        self.links.get(key.0)?.remote_attach.clone()
    }

    pub(super) fn usable(&mut self, key: LinkKey) -> Result<&mut Link, LinkError> {
        let link = self.links.get_mut(key.0).ok_or(LinkError::DetachedLocally)?;
        link.check()?;
        Ok(link)
    }

    // ---- sending ------------------------------------------------------------------------------------------

    /// How many messages may be handed over on the link now. Zero also while too much waits to be written; an event
    /// tells when that is over.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn credit(&mut self, key: LinkKey) -> Result<u32, LinkError> {
        let mut has_room = self.io.has_room_for_messages();
        self.io.is_wanted |= !has_room;
        let limit = self.io.limits.max_unsettled;
        let link = self.usable(key)?;
        let attached = link.state == LinkState::Attached;
        let (session, room) = (link.session, link.sender().map_or(0, |sender| sender.room()));
        has_room &=
            self.sessions.get_mut(session.0).is_some_and(|session| session.has_room_for_unsettled(limit));
        Ok(if attached && has_room { room } else { 0 })
    }

    /// Whether the peer asked to have its credit used up.
    pub fn is_draining(&mut self, key: LinkKey) -> bool {
        self.usable(key)
            .ok()
            .and_then(Link::sender)
            .is_some_and(|sender| sender.credit.is_draining() && sender.credit.link_credit() > 0)
    }

    /// Hands a message over to be sent (§2.6.12). It leaves as credit and session window allow: call it only while
    /// [`Engine::credit`] is above 0, so that nothing piles up here.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] if the peer takes no message of this size on this link; [`SendError::Invalid`] if its tag or
    /// its state is too long; [`SendError::NotSent`] if the link ended.
    pub fn send(&mut self, key: LinkKey, delivery: OutgoingDelivery) -> Result<DeliveryNumber, SendError> {
        let link = self.usable(key).map_err(SendError::NotSent)?;
        let session_key = link.session;
        let Some(sender) = link.sender() else { return Err(SendError::NotSent(LinkError::DetachedLocally)) };
        let size = u64::try_from(delivery.payload.len()).unwrap_or(u64::MAX);
        if sender.max_message_size > 0 && size > sender.max_message_size {
            return Err(SendError::TooLarge { size, limit: sender.max_message_size });
        }
        if delivery.tag.as_ref().is_some_and(|tag| tag.len() > MAX_TAG) {
            return Err(SendError::Invalid("expected a delivery-tag of at most 32 octets"));
        }
        if delivery.state.as_ref().is_some_and(|state| state.encoded_len() > MAX_STATE) {
            return Err(SendError::Invalid("expected a transaction-id of at most 32 octets"));
        }
        // What a transaction covers is rolled back when its link is lost: it is not to be sent again.
        let kept = (sender.resume.is_some() && delivery.state.is_none()).then(|| {
            Box::new(UnsettledDelivery {
                tag: None,
                payload: delivery.payload.clone(),
                message_format: delivery.message_format,
            })
        });
        let delivery = Outgoing {
            payload: delivery.payload,
            message_format: delivery.message_format,
            settled: delivery.settled,
            token: delivery.token,
            number: DeliveryNumber(0),
            is_told_when_sent: false,
            resumes: false,
            kept,
            tag: delivery.tag,
            state: delivery.state,
            id: None,
            stream: None,
        };
        let cost = delivery.cost();
        let number = sender.push(delivery);
        self.io.waiting_bytes = self.io.waiting_bytes.saturating_add(cost);
        if let (Some(session), Some(link)) = (self.sessions.get_mut(session_key.0), self.links.get_mut(key.0))
        {
            session.make_ready(key, link, &mut self.io);
        }
        Ok(number)
    }

    /// The sender has nothing more to send: unused credit goes back if the peer drains (§2.6.7). Links that this side
    /// attached do it by themselves.
    pub fn drained(&mut self, key: LinkKey) {
        let Some(link) = self.links.get_mut(key.0) else { return };
        let Some(session) = self.sessions.get_mut(link.session.0) else { return };
        session.drained(key, link, &mut self.io);
    }

    // ---- receiving ----------------------------------------------------------------------------------------

    /// Takes the next delivery. `Ok(None)` if there is none now.
    ///
    /// # Errors
    /// Why the link ended, once what came settled before is taken.
    pub fn take(&mut self, key: LinkKey) -> Result<Option<Incoming>, LinkError> {
        let Some(link) = self.links.get_mut(key.0) else { return Err(LinkError::DetachedLocally) };
        let Some(delivery) = link.receiver().and_then(|receiver| receiver.inbox.pop_front()) else {
            return link.check().map(|()| None);
        };
        if let Some(streams) = link.receiver().and_then(|receiver| receiver.streams.as_mut()) {
            streams.on_taken(delivery.id);
        } else if delivery.settled
            && let Some(session) = self.sessions.get_mut(link.session.0)
        {
            let octets = super::session::size(&delivery.payload);
            session.delivery_done(key, link, octets, &mut self.io);
        }
        Ok(Some(delivery))
    }

    /// How many deliveries wait to be taken.
    pub fn queued(&mut self, key: LinkKey) -> usize {
        self.links.get_mut(key.0).and_then(Link::receiver).map_or(0, |receiver| receiver.inbox.len())
    }

    /// Settles a delivery with an outcome (§2.7.6). Neighbours with the same outcome leave as one frame.
    ///
    /// # Errors
    /// [`SettleError::Revoked`] if it is settled already, here or by the peer; why the link ended.
    pub fn settle(&mut self, key: LinkKey, id: Serial, outcome: Outcome) -> Result<(), SettleError> {
        let Some(link) = self.links.get_mut(key.0) else { return Err(LinkError::DetachedLocally.into()) };
        link.check()?;
        let Some(session) = self.sessions.get_mut(link.session.0) else {
            return Err(LinkError::Session(SessionError::EndedLocally).into());
        };
        if session.settle(key, link, id, outcome, &mut self.io) { Ok(()) } else { Err(SettleError::Revoked) }
    }

    /// Settles a delivery that was sent: its sender knows what becomes of it (§2.6.12). The outcome is not told again.
    ///
    /// # Errors
    /// [`SettleError::Revoked`] if it is settled already; why the link ended.
    pub fn settle_sent(&mut self, key: LinkKey, id: Serial, outcome: Outcome) -> Result<(), SettleError> {
        let link = self.usable(key)?;
        let session_key = link.session;
        let Some(session) = self.sessions.get_mut(session_key.0) else {
            return Err(LinkError::Session(SessionError::EndedLocally).into());
        };
        if session.settle_sent(key, id, outcome, &mut self.io) { Ok(()) } else { Err(SettleError::Revoked) }
    }

    /// What follows a [provisional outcome](Outcome::Provisional) of this delivery is not told any more: for those whose
    /// tokens may name another delivery by then.
    pub fn tell_nobody(&mut self, key: LinkKey, id: Serial) {
        let session = self.links.get(key.0).map(|link| link.session);
        if let Some(session) = session.and_then(|session| self.sessions.get_mut(session.0)) {
            session.tell_nobody(key, id);
        }
    }

    /// The transaction within which a verdict on a delivery was given is rolled back: another verdict may follow
    /// (§4.4.2). False if the delivery is settled already.
    pub fn revert(&mut self, key: LinkKey, id: Serial) -> bool {
        let Some(session) = self.links.get(key.0).map(|link| link.session) else { return false };
        self.sessions.get_mut(session.0).is_some_and(|session| session.revert(key, id))
    }

    /// Says within which transaction deliveries on the link are acquired from now on, or that they are within none
    /// (§4.4.3). A receiver tells its peer; a sender only notes that the transaction is over.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn set_acquisition(&mut self, key: LinkKey, txn_id: Option<Bytes>) -> Result<(), LinkError> {
        let link = self.usable(key)?;
        let txn_id = txn_id.map(Box::new);
        match &mut link.kind {
            Kind::Sender(sender) => {
                sender.acquisition = txn_id;
                Ok(())
            }
            Kind::Receiver(receiver) => {
                receiver.acquisition = txn_id;
                self.change_credit(key, |_| {})
            }
        }
    }

    /// Within which transaction deliveries on the link are acquired now: as set here, or as the receiver at the other
    /// end has said (§4.4.3).
    #[must_use]
    pub fn acquisition(&self, key: LinkKey) -> Option<&Bytes> {
        match &self.links.get(key.0)?.kind {
            Kind::Sender(sender) => sender.acquisition.as_deref(),
            Kind::Receiver(receiver) => receiver.acquisition.as_deref(),
        }
    }

    /// Whether part of a delivery has arrived that was posted within a transaction, and the rest has not: that may not be
    /// committed yet (§4.4.1). It looks at every link.
    #[must_use]
    pub fn is_partly_posted(&self, txn_id: &[u8]) -> bool {
        self.links.iter().any(|(_, link)| match &link.kind {
            Kind::Receiver(receiver) => receiver.is_partly_within(txn_id),
            Kind::Sender(_) => false,
        })
    }

    /// Whether everything that was handed over on the link has left.
    #[must_use]
    pub fn is_sent(&self, key: LinkKey) -> bool {
        self.links.get(key.0).is_none_or(|link| match &link.kind {
            Kind::Sender(sender) => sender.queue.is_empty(),
            Kind::Receiver(_) => true,
        })
    }

    /// Whether something that was posted on the link within a transaction has not left whole. It looks at all that waits
    /// there.
    #[must_use]
    pub fn is_posting(&self, key: LinkKey, txn_id: &[u8]) -> bool {
        self.links.get(key.0).is_some_and(|link| match &link.kind {
            Kind::Sender(sender) => {
                sender.queue.iter().any(|delivery| transaction_of(delivery.state.as_deref()) == Some(txn_id))
            }
            Kind::Receiver(_) => false,
        })
    }

    /// Whether a delivery is still this side's to settle.
    #[must_use]
    pub fn is_unsettled(&self, key: LinkKey, id: Serial) -> bool {
        self.links.get(key.0).is_some_and(|link| {
            link.end.is_none()
                && self.sessions.get(link.session.0).is_some_and(|session| session.is_unsettled(id))
        })
    }

    /// Changes what may arrive, then tells the peer.
    fn change_credit(
        &mut self,
        key: LinkKey,
        change: impl FnOnce(&mut ReceiverLink),
    ) -> Result<(), LinkError> {
        let link = self.usable(key)?;
        if let Some(receiver) = link.receiver() {
            change(receiver);
        }
        let session_key = link.session;
        if let (Some(session), Some(link)) = (self.sessions.get_mut(session_key.0), self.links.get_mut(key.0))
        {
            session.want_flow(key, link, &mut self.io);
        }
        Ok(())
    }

    /// Grants this much in all ([`Credit::Manual`]).
    ///
    /// # Errors
    /// Why the link ended.
    pub fn set_credit(&mut self, key: LinkKey, credit: u32) -> Result<(), LinkError> {
        self.change_credit(key, |receiver| receiver.credit.set(credit))
    }

    /// Takes all credit back; what is under way still arrives.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn pause(&mut self, key: LinkKey) -> Result<(), LinkError> {
        self.change_credit(key, |receiver| receiver.credit.pause())
    }

    /// Grants credit again as before the pause, or after a drain.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn resume(&mut self, key: LinkKey) -> Result<(), LinkError> {
        self.change_credit(key, |receiver| receiver.credit.resume())
    }

    /// Asks the peer to use up the credit or give it back (§2.6.7). Nothing is granted by itself after that until
    /// [`Engine::resume`].
    ///
    /// # Errors
    /// Why the link ended.
    pub fn drain(&mut self, key: LinkKey) -> Result<(), LinkError> {
        self.change_credit(key, |receiver| receiver.credit.start_drain())
    }

    /// Whether a drain is still going on.
    ///
    /// # Errors
    /// Why the link ended.
    pub fn is_drain_pending(&mut self, key: LinkKey) -> Result<bool, LinkError> {
        Ok(self.usable(key)?.receiver().is_some_and(|receiver| receiver.credit.is_draining()))
    }
}

/// Octets of a delivery-tag at most (§2.8.7).
pub(super) const MAX_TAG: usize = 32;

/// Octets of the state that goes with a message at most: a transaction's has fewer (§4.5.7), and the smallest frames have
/// room for some of the message behind it.
pub(super) const MAX_STATE: usize = 128;

/// The largest message that a receiver takes: a link that hands messages over in parts has no limit unless it is given
/// one.
fn message_limit(wanted: Option<u64>, streams: bool, limits: &Limits) -> u64 {
    wanted.unwrap_or(if streams { 0 } else { limits.max_message_size })
}
