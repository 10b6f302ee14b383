//! Connections (§2.4): protocol headers, the SASL layer, open and close, channels.

use super::channels::Channels;
use super::copies::Copies;
use super::event::Event;
use super::frame_log::{Direction, FrameLog};
use super::idle::{Idle, announced};
use super::limits::{Limits, MIN_IDLE_TIME_OUT, MIN_MAX_FRAME_SIZE};
use super::link::Link;
use super::link::sender::SenderLink;
use super::link::{Kind, LinkState, receiver::ReceiverLink};
use super::outbox::Outbox;
use super::sasl::{Authenticator, ClientCertificate, Identity, Nonce, Progress, Sasl, SaslLayer};
use super::session::{Session, SessionState};
use super::stats::Counters;
use super::{Fault, Io, LinkKey, Links, Serial, SessionKey, index, make_room};
use crate::error::{ConnectionError, SessionError};
use crate::peer::Peer;
use amqp_codec::Encode;
use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::transport::{
    Attach, Begin, Close, ErrorInfo, Open, Performative, Role, SenderSettleMode, conditions,
};
use bytes::{Buf, Bytes, BytesMut};
use slab::Slab;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Largest frame sent before the peer's open tells what it takes (§2.4.1).
const FRAME_BEFORE_OPEN: usize = 512;

/// Which end of the connection this is.
#[derive(Clone)]
#[non_exhaustive]
pub enum Side {
    /// The one that connected, and how it authenticates.
    Client(Sasl),
    /// The one that was connected to, and how it checks its clients.
    Listener(Arc<dyn Authenticator>),
}

impl fmt::Debug for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(sasl) => f.debug_tuple("Client").field(sasl).finish(),
            Self::Listener(_) => f.write_str("Listener"),
        }
    }
}

/// What is awaited from the peer, in the order of a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Listener: any protocol header.
    FirstHeader,
    /// Client: the SASL header.
    SaslHeader,
    /// A SASL frame; which one, the SASL layer knows.
    Sasl,
    /// The AMQP header.
    AmqpHeader,
    /// The peer's open.
    Open,
    /// Any frame.
    Opened,
    /// The peer's close, after ours; everything else is ignored.
    Close,
    /// Nothing: the connection is over.
    Ended,
}

/// One end of one connection. See the [module's documentation](crate::engine) for how to drive it.
#[derive(Debug)]
pub struct Engine {
    side: Side,
    phase: Phase,
    open: Open,
    pub(crate) io: Io,
    pub(crate) sessions: Slab<Session>,
    pub(crate) links: Links,
    /// Sessions by the channel on which the peer sends.
    channels: Channels,
    /// Sessions by the channel on which this side sends.
    pub(super) local_channels: Channels,
    peer: Option<Arc<Peer>>,
    identity: Identity,
    sasl: SaslLayer,
    idle: Idle,
    /// Until when the handshake, or the answer to a close, may take; none if that is beyond what the clock can tell.
    patience: Option<Instant>,
    end: Option<ConnectionError>,
}

impl Engine {
    /// Starts one end of a connection. `open` is sent when its turn comes; its limits are filled in from `limits`.
    /// From `now` on the handshake may take [`Limits::handshake`].
    #[must_use]
    pub fn new(side: Side, mut open: Open, limits: Limits, now: Instant) -> Self {
        open.max_frame_size = limits.max_frame_size.max(MIN_MAX_FRAME_SIZE);
        open.channel_max = limits.channel_max;
        open.idle_time_out = announced(limits.idle_time_out);
        let mut engine = Self {
            phase: Phase::FirstHeader,
            open,
            sessions: Slab::new(),
            links: Slab::new(),
            channels: Channels::default(),
            local_channels: Channels::default(),
            peer: None,
            identity: Identity::Anonymous,
            sasl: SaslLayer::default(),
            idle: Idle::new(now, limits.idle_time_out),
            patience: now.checked_add(limits.handshake),
            end: None,
            io: Io {
                outbox: Outbox::default(),
                events: VecDeque::new(),
                dirty: Vec::new(),
                max_frame_size: FRAME_BEFORE_OPEN,
                is_wanted: false,
                first_id: Serial(0),
                waiting_bytes: 0,
                partial_bytes: 0,
                attach_bytes: 0,
                counters: Counters::new(now),
                copies: Copies::default(),
                limits,
                frame_log: FrameLog::off(),
            },
            side,
        };
        match &engine.side {
            Side::Client(Sasl::None) => engine.send_amqp_header_and_open(),
            Side::Client(_) => {
                engine.io.send_header(ProtocolHeader::SASL);
                engine.phase = Phase::SaslHeader;
            }
            Side::Listener(_) => {}
        }
        engine
    }

    /// Gives the engine the nonce that SCRAM needs, as client and as listener; without one it is not spoken.
    #[must_use]
    pub fn with_nonce(mut self, nonce: Nonce) -> Self {
        self.sasl.nonce = Some(nonce);
        self
    }

    /// Gives a listener's engine 32 random octets, the same for all its connections: what the salts of unknown users
    /// are made of, which tell them from known ones if anybody can guess it. Zeros if not given.
    #[must_use]
    pub const fn with_salt_secret(mut self, secret: [u8; 32]) -> Self {
        self.sasl.salt_secret = secret;
        self
    }

    /// Gives a listener's engine the certificate that the client showed in the TLS handshake and that was verified
    /// there, for EXTERNAL.
    #[must_use]
    pub fn with_client_certificate(mut self, certificate: ClientCertificate) -> Self {
        self.sasl.certificate = Some(certificate);
        self
    }

    /// Logs every frame, from the first on if this is called before anything else.
    #[must_use]
    pub fn with_frame_log(mut self, log: FrameLog) -> Self {
        if log.is_on() && self.io.outbox.len() > 0 {
            // A client's first octets stand there already.
            match self.phase {
                Phase::AmqpHeader => {
                    log.header(Direction::Sent, &ProtocolHeader::AMQP.to_bytes());
                    log.frame(Direction::Sent, Some(0), &self.open.to_bytes(), 0);
                }
                _ => log.header(Direction::Sent, &ProtocolHeader::SASL.to_bytes()),
            }
        }
        self.io.frame_log = log;
        self
    }

    /// Sets where the transfer-ids, delivery-ids and delivery-counts of sessions and links to come start. They may
    /// start anywhere and wrap (§2.8.10); 0 unless this is called.
    pub const fn start_numbers_at(&mut self, first: u32) {
        self.io.first_id = Serial(first);
    }

    fn send_amqp_header_and_open(&mut self) {
        self.io.send_header(ProtocolHeader::AMQP);
        self.io.send(0, Performative::Open(Box::new(self.open.clone())));
        self.phase = Phase::AmqpHeader;
    }

    // ---- feed ---------------------------------------------------------------------------------------------

    /// Takes octets from the peer; what is not yet whole stays in `input`, and more is to be put behind it. That is
    /// never more than one frame of the size that this side announced, and [`Engine::missing`] tells how much that is.
    pub fn handle_input(&mut self, input: &mut BytesMut, now: Instant) {
        self.idle.on_received(now);
        self.io.counters.tick(now);
        while self.phase != Phase::Ended {
            let taken = match self.phase {
                Phase::FirstHeader | Phase::SaslHeader | Phase::AmqpHeader => self.take_header(input, now),
                _ => self.take_frame(input, now),
            };
            match taken {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => self.fail(error, now),
            }
        }
        input.clear();
    }

    /// How many octets are missing at least until [`Engine::handle_input`] can go on with what it has left in `input`. More
    /// than the header of a frame is known to be missing once its size is there.
    #[must_use]
    pub fn missing(&self, input: &[u8]) -> usize {
        let is_frame = !matches!(self.phase, Phase::FirstHeader | Phase::SaslHeader | Phase::AmqpHeader);
        let whole = match input.first_chunk().copied().map(u32::from_be_bytes) {
            // Until the header is whole, nobody has checked the size.
            Some(size) if is_frame && input.len() >= FrameHeader::LEN => index(size),
            _ => FrameHeader::LEN,
        };
        whole.saturating_sub(input.len()).max(1)
    }

    fn take_header(&mut self, input: &mut BytesMut, now: Instant) -> Result<bool, ErrorInfo> {
        let known = input.len().min(4);
        if input.get(..known) != b"AMQP".get(..known) {
            self.reject_header(input);
            return Ok(true);
        }
        let Some(octets) = input.get(..ProtocolHeader::LEN) else { return Ok(false) };
        self.io.frame_log.header(Direction::Received, octets);
        match (ProtocolHeader::decode(octets), self.phase) {
            (Ok(ProtocolHeader::SASL), Phase::FirstHeader) => {
                self.io.send_header(ProtocolHeader::SASL);
                let Side::Listener(authenticator) = &self.side else { return Ok(false) };
                match self.sasl.enter_as_listener(authenticator.as_ref()) {
                    Some(offer) => self.io.send_sasl(&offer),
                    None => {
                        self.finish(ConnectionError::Sasl { code: None, offered: Vec::new() });
                        return Ok(true);
                    }
                }
                self.phase = Phase::Sasl;
            }
            (Ok(ProtocolHeader::AMQP), Phase::FirstHeader) if self.admits_without_sasl() => {
                self.io.send_header(ProtocolHeader::AMQP);
                self.phase = Phase::Open;
            }
            (Ok(ProtocolHeader::SASL), Phase::SaslHeader) => {
                self.sasl.enter_as_client();
                self.phase = Phase::Sasl;
            }
            (Ok(ProtocolHeader::AMQP), Phase::AmqpHeader) => {
                // A listener answers header with header; a client's went out before.
                if matches!(self.side, Side::Listener(_)) {
                    self.io.send_header(ProtocolHeader::AMQP);
                }
                self.phase = Phase::Open;
            }
            _ => {
                self.reject_header(input);
                return Ok(true);
            }
        }
        input.advance(ProtocolHeader::LEN);
        self.io.counters.octets_in += 8;
        self.idle.on_received(now);
        Ok(true)
    }

    fn admits_without_sasl(&self) -> bool {
        matches!(&self.side, Side::Listener(authenticator) if authenticator.anonymous())
    }

    /// An unexpected header (§2.2): a listener answers with one that would have worked, both give up.
    fn reject_header(&mut self, input: &mut BytesMut) {
        let shown: String =
            input.iter().take(8).map(|octet| std::ascii::escape_default(*octet).to_string()).collect();
        if matches!(self.side, Side::Listener(_)) {
            self.io.send_header(ProtocolHeader::SASL);
        }
        let hint = match input.get(..8) {
            Some([b'A', b'M', b'Q', b'P', 0, 0, 9, 1]) => {
                ": that is AMQP 0-9-1 (RabbitMQ 3 needs: rabbitmq-plugins enable rabbitmq_amqp1_0)"
            }
            Some([b'A', b'M', b'Q', b'P', 3, ..]) => ": it demands SASL",
            Some([b'A', b'M', b'Q', b'P', 2, ..]) => ": it demands TLS",
            Some([0x15, ..]) => ": that looks like TLS (amqps)",
            _ => "",
        };
        input.clear();
        self.finish(ConnectionError::Header(format!("it answered \"{shown}\"{hint}")));
    }

    fn take_frame(&mut self, input: &mut BytesMut, now: Instant) -> Result<bool, ErrorInfo> {
        let Some(octets) = input.get(..FrameHeader::LEN) else { return Ok(false) };
        let header = FrameHeader::decode(octets)
            .map_err(|error| ErrorInfo::new(conditions::FRAMING_ERROR, error.to_string()))?;
        let is_sasl_phase = self.phase == Phase::Sasl;
        let limit = match self.phase {
            Phase::Opened | Phase::Close => self.open.max_frame_size,
            // Our own open tells the peer what we take; before it, peers keep to much less.
            _ => self.io.limits.max_sasl_frame_size.max(MIN_MAX_FRAME_SIZE),
        };
        if header.size > limit {
            return Err(ErrorInfo::new(
                conditions::FRAMING_ERROR,
                format!("a frame of {} octets came, at most {limit} are accepted", header.size),
            ));
        }
        if (header.frame_type == FrameType::Sasl) != is_sasl_phase {
            return Err(ErrorInfo::new(
                conditions::FRAMING_ERROR,
                format!("a frame of type {:?} came out of place", header.frame_type),
            ));
        }
        let size = index(header.size);
        if input.len() < size {
            return Ok(false);
        }
        self.io.counters.frames_in += 1;
        self.io.counters.octets_in += u64::from(header.size);
        let begin = usize::from(header.doff) * 4;
        input.advance(begin);
        let body = self.io.copies.take(input, size - begin);
        if self.io.frame_log.is_on() {
            let channel = (!is_sasl_phase).then_some(header.channel);
            self.io.frame_log.frame(Direction::Received, channel, &body, 0);
        }
        if is_sasl_phase {
            self.on_sasl_frame(body, now);
        } else if !body.is_empty() {
            let (performative, payload) =
                frame::decode_amqp_body(body).map_err(|error| self.decode_fault(&error))?;
            self.on_frame(header.channel, performative, payload, now)?;
        } else if self.phase == Phase::Open {
            return Err(ErrorInfo::new(conditions::NOT_ALLOWED, "an empty frame came before open"));
        }
        Ok(true)
    }

    fn decode_fault(&self, error: &amqp_codec::DecodeError) -> ErrorInfo {
        ErrorInfo::new(conditions::DECODE_ERROR, error.to_string())
    }

    // ---- SASL (§5.3) --------------------------------------------------------------------------------------

    fn on_sasl_frame(&mut self, body: Bytes, now: Instant) {
        let frame = if self.sasl.admits_frame(&self.io.limits) {
            frame::decode_sasl_body(body).map_err(|error| self.decode_fault(&error))
        } else {
            let text = format!("more than {} SASL frames came", self.io.limits.max_sasl_frames);
            Err(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, text))
        };
        let progress = match &self.side {
            Side::Client(sasl) => {
                self.sasl.on_listeners(frame, sasl, self.open.hostname.as_deref(), &self.io.limits)
            }
            Side::Listener(authenticator) => self.sasl.on_clients(frame, authenticator.as_ref()),
        };
        match progress {
            Progress::Reply(reply) => self.io.send_sasl(&reply),
            Progress::Authenticated(identity, outcome) => {
                if let Some(outcome) = outcome {
                    self.io.send_sasl(&outcome);
                }
                self.identity = identity;
                match self.side {
                    Side::Client(_) => self.send_amqp_header_and_open(),
                    Side::Listener(_) => self.phase = Phase::AmqpHeader,
                }
            }
            Progress::Failed(error, outcome) => {
                if let Some(outcome) = outcome {
                    self.io.send_sasl(&outcome);
                }
                self.finish(error);
            }
        }
        self.idle.on_received(now);
    }

    // ---- frames -------------------------------------------------------------------------------------------

    fn on_frame(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: Bytes,
        now: Instant,
    ) -> Result<(), ErrorInfo> {
        match (self.phase, performative) {
            (Phase::Open, Performative::Open(open)) => self.on_open(channel, &open, now),
            // Illegal before an open, but some peers refuse that way.
            (_, Performative::Close(close)) => {
                self.on_close(close);
                Ok(())
            }
            (Phase::Close, _) => Ok(()),
            (Phase::Open, other) => Err(ErrorInfo::new(
                conditions::NOT_ALLOWED,
                format!("the first frame must be open, it is {}", other.name()),
            )),
            (_, Performative::Open(_)) => Err(ErrorInfo::new(conditions::NOT_ALLOWED, "a second open came")),
            (_, Performative::Begin(begin)) => self.on_begin(channel, &begin),
            (_, other) => self.on_session_frame(channel, other, payload),
        }
    }

    fn on_open(&mut self, channel: u16, open: &Open, now: Instant) -> Result<(), ErrorInfo> {
        // The open is answered even if it is refused: a close without an open is not legal (§2.4.6).
        if matches!(self.side, Side::Listener(_)) {
            self.io.send(0, Performative::Open(Box::new(self.open.clone())));
        }
        self.phase = Phase::Opened;
        self.patience = None;
        self.idle.on_open(open.idle_time_out);
        self.idle.on_received(now);
        let own_cap = self.io.limits.max_outgoing_frame_size.max(MIN_MAX_FRAME_SIZE);
        self.io.max_frame_size = index(open.max_frame_size.min(own_cap));
        self.peer = Some(Arc::new(Peer::new(open, self.sasl.mechanisms.clone())));
        self.io.events.push_back(Event::Connection);
        if open.max_frame_size < MIN_MAX_FRAME_SIZE {
            return Err(ErrorInfo::new(
                conditions::INVALID_FIELD,
                format!("open.max-frame-size is {}, it must be at least 512", open.max_frame_size),
            ));
        }
        if let Some(announced @ 1..MIN_IDLE_TIME_OUT) = open.idle_time_out {
            return Err(ErrorInfo::new(
                conditions::NOT_ALLOWED,
                format!("open.idle-time-out is {announced} ms, less than {MIN_IDLE_TIME_OUT} cannot be kept"),
            ));
        }
        if channel != 0 {
            return Err(ErrorInfo::new(
                conditions::NOT_ALLOWED,
                format!("open came on channel {channel}, not 0"),
            ));
        }
        Ok(())
    }

    fn on_close(&mut self, close: Close) {
        let reason = match self.phase {
            Phase::Close => self.end.take().unwrap_or(ConnectionError::ClosedLocally),
            _ => {
                // Verdicts given before are still worth something to the peer.
                if self.phase == Phase::Opened {
                    self.flush_sessions();
                }
                if matches!(self.side, Side::Client(_)) || self.phase == Phase::Opened {
                    self.io.send(0, Performative::Close(Close { error: None }));
                }
                ConnectionError::ClosedByPeer(close.error)
            }
        };
        self.finish(reason);
    }

    fn on_begin(&mut self, channel: u16, begin: &Begin) -> Result<(), ErrorInfo> {
        if channel > self.open.channel_max {
            return Err(ErrorInfo::new(
                conditions::FRAMING_ERROR,
                format!("channel {channel} is above the channel-max {}", self.open.channel_max),
            ));
        }
        if self.channels.session_on(channel).is_some() {
            return Err(ErrorInfo::new(
                conditions::NOT_ALLOWED,
                format!("a session was begun on channel {channel}, which is in use"),
            ));
        }
        let key = match begin.remote_channel {
            Some(ours) => {
                let pending = self.local_channels.session_on(ours);
                pending.filter(|key| {
                    self.sessions.get(key.0).is_some_and(|session| session.remote_channel.is_none())
                })
            }
            None => self.new_session(),
        };
        let Some(key) = key else {
            return Err(ErrorInfo::new(
                conditions::NOT_ALLOWED,
                "a begin names a remote-channel on which none was sent, or there are too many sessions",
            ));
        };
        self.channels.map(channel, key);
        let Some(session) = self.sessions.get_mut(key.0) else { return Ok(()) };
        if begin.remote_channel.is_none() {
            session.remote_channel = Some(channel);
            // It is the peer's: once the peer has ended it, nobody asks for it any more.
            session.is_forgotten = true;
            session.send_begin(&mut self.io);
        }
        if session.state == SessionState::EndSent {
            // It was given up before it was answered.
            session.remote_channel = Some(channel);
            return Ok(());
        }
        session.on_begin(channel, begin, &mut self.io);
        Ok(())
    }

    /// A session on a free channel that both sides allow.
    pub(super) fn new_session(&mut self) -> Option<SessionKey> {
        let channel = self.local_channels.free_channel(self.max_channel())?;
        make_room(&mut self.sessions);
        let entry = self.sessions.vacant_entry();
        let key = SessionKey(entry.key());
        entry.insert(Session::new(key, channel, self.io.limits.incoming_window, self.io.first_id));
        self.local_channels.map(channel, key);
        Some(key)
    }

    /// The highest channel that may be used here.
    pub(super) fn max_channel(&self) -> u16 {
        let remote = self.peer.as_ref().map_or(0, |peer| peer.channel_max);
        remote.min(self.open.channel_max)
    }

    fn on_session_frame(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: Bytes,
    ) -> Result<(), ErrorInfo> {
        let Some(key) = self.channels.session_on(channel) else {
            return Err(ErrorInfo::new(
                conditions::NOT_ALLOWED,
                format!("{} came on channel {channel}, which has no session", performative.name()),
            ));
        };
        let sessions = self.sessions.len();
        let Some(session) = self.sessions.get_mut(key.0) else { return Ok(()) };
        if session.state == SessionState::EndSent && !matches!(performative, Performative::End(_)) {
            return Ok(());
        }
        let (links, io) = (&mut self.links, &mut self.io);
        let handled = match performative {
            Performative::Attach(attach) => match session.on_attach(attach, links, io) {
                Ok(Some(_)) if links.len() >= most_links(&io.limits, sessions) => {
                    Err(Fault::Session(ErrorInfo::new(
                        conditions::RESOURCE_LIMIT_EXCEEDED,
                        "links are asked for and taken back faster than they are answered",
                    )))
                }
                Ok(Some(request)) => {
                    self.on_link_request(key, request);
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(fault) => Err(fault),
            },
            Performative::Flow(flow) => session.on_flow(&flow, links, io),
            Performative::Transfer(transfer) => session.on_transfer(transfer, payload, links, io),
            Performative::Disposition(disposition) => session.on_disposition(disposition, links, io),
            Performative::Detach(detach) => session.on_detach(detach, links, io).map(|key| {
                if links.get(key.0).is_some_and(Link::is_over) {
                    links.remove(key.0);
                }
            }),
            Performative::End(end) => {
                self.on_end(key, channel, end.error);
                Ok(())
            }
            Performative::Open(_) | Performative::Begin(_) | Performative::Close(_) => Ok(()),
        };
        match handled {
            Ok(()) => Ok(()),
            Err(Fault::Connection(error)) => Err(error),
            Err(Fault::Session(error)) => {
                self.end_session_with(key, SessionError::Violation(error.clone()), Some(error));
                Ok(())
            }
            Err(Fault::Link(link, error)) => {
                self.detach_with(link, crate::error::LinkError::Violation(error.clone()), Some(error), true);
                Ok(())
            }
        }
    }

    /// The peer wants a link. A client, which serves none, refuses it.
    fn on_link_request(&mut self, session: SessionKey, attach: Box<Attach>) {
        let kind = match attach.role {
            Role::Sender => Kind::Receiver(ReceiverLink::new(
                super::credit::Credit::Manual,
                attach.rcv_settle_mode,
                self.io.limits.max_message_size,
            )),
            Role::Receiver => Kind::Sender(SenderLink::new(SenderSettleMode::Mixed, false, self.io.first_id)),
        };
        let mut link = Link::new(session, attach.name.clone(), LinkState::Requested, kind);
        let key = LinkKey(self.links.vacant_key());
        if let Some(session) = self.sessions.get_mut(session.0) {
            session.enter_request(key, &mut link, attach, &mut self.io);
        }
        make_room(&mut self.links);
        self.links.insert(link);
        if matches!(self.side, Side::Client(_)) {
            self.refuse(key, ErrorInfo::new(conditions::NOT_ALLOWED, "this container serves no links"));
            self.forget_link(key);
        } else {
            self.io.events.push_back(Event::LinkRequested(key));
        }
    }

    fn on_end(&mut self, key: SessionKey, channel: u16, error: Option<ErrorInfo>) {
        let Some(session) = self.sessions.get_mut(key.0) else { return };
        if session.state != SessionState::EndSent {
            session.send_end(None, &mut self.io);
        }
        let reason = match session.end.clone() {
            // Our end went first, but the peer's may carry the real reason.
            Some(SessionError::EndedLocally) if error.is_some() => SessionError::EndedByPeer(error),
            Some(reason) => reason,
            None => SessionError::EndedByPeer(error),
        };
        tracing::debug!(channel = session.local_channel, %reason, "session ended");
        session.end = Some(reason.clone());
        session.state = SessionState::Unmapped;
        let local = session.local_channel;
        session.finish(reason, &mut self.links, &mut self.io);
        let is_forgotten = session.is_forgotten;
        self.channels.unmap(channel);
        self.local_channels.unmap(local);
        if is_forgotten {
            self.sessions.try_remove(key.0);
        }
        self.remove_forgotten_links();
        // Somebody may wait for a free channel.
        self.io.events.push_back(Event::Connection);
    }

    // ---- the end ------------------------------------------------------------------------------------------

    /// The peer broke the protocol beyond repair: close with the error, and wait for nothing but the close.
    fn fail(&mut self, error: ErrorInfo, now: Instant) {
        match self.phase {
            Phase::Opened | Phase::Open => {
                if self.phase == Phase::Open && matches!(self.side, Side::Listener(_)) {
                    self.io.send(0, Performative::Open(Box::new(self.open.clone())));
                }
                self.io.send(0, Performative::Close(Close { error: Some(error.clone()) }));
                if error.condition == conditions::FRAMING_ERROR || error.condition == conditions::DECODE_ERROR
                {
                    // The stream cannot be followed any further.
                    return self.finish(ConnectionError::Violation(error));
                }
                self.phase = Phase::Close;
                self.patience = now.checked_add(self.io.limits.close);
                self.end_everything(ConnectionError::Violation(error));
            }
            _ => self.finish(ConnectionError::Violation(error)),
        }
    }

    /// Closes the connection in an orderly way (§2.4.3), with an error for the peer or without; what was handed over
    /// before is sent first, as far as windows and credit allow. [`Engine::is_ended`] tells when it is over, at the
    /// latest after [`Limits::close`].
    pub fn close(&mut self, error: Option<ErrorInfo>, now: Instant) {
        match self.phase {
            Phase::Opened => {
                self.flush_sessions();
                self.io.send(0, Performative::Close(Close { error }));
                self.phase = Phase::Close;
                self.patience = now.checked_add(self.io.limits.close);
                self.end_everything(ConnectionError::ClosedLocally);
            }
            Phase::Close | Phase::Ended => {}
            _ => self.finish(ConnectionError::ClosedLocally),
        }
    }

    /// The transport is gone: `why` goes into the error that everybody gets to see.
    pub fn handle_lost(&mut self, why: &str) {
        if self.phase == Phase::Close {
            let reason = self.end.take().unwrap_or(ConnectionError::ClosedLocally);
            return self.finish(reason);
        }
        let why = match self.phase {
            Phase::Sasl => format!("{why} during authentication"),
            Phase::Open => format!(
                "{why} after authentication, before it opened: perhaps it does not know the virtual host"
            ),
            _ => why.to_owned(),
        };
        self.io.outbox.clear();
        self.finish(ConnectionError::Lost(why.into()));
    }

    fn end_everything(&mut self, reason: ConnectionError) {
        if self.end.is_none() {
            self.end = Some(reason.clone());
        }
        for (_, session) in &mut self.sessions {
            session.state = SessionState::Unmapped;
            session.finish(SessionError::Connection(reason.clone()), &mut self.links, &mut self.io);
        }
        self.channels.clear();
        self.local_channels.clear();
        self.io.dirty.clear();
        self.sessions.retain(|_, session| !session.is_forgotten);
        self.remove_forgotten_links();
        self.io.events.push_back(Event::Connection);
    }

    fn finish(&mut self, reason: ConnectionError) {
        if self.phase == Phase::Ended {
            return;
        }
        self.phase = Phase::Ended;
        self.patience = None;
        self.end = Some(self.end.take().unwrap_or_else(|| reason.clone()));
        self.end_everything(reason);
    }

    pub(super) fn remove_forgotten_links(&mut self) {
        self.links.retain(|_, link| !link.is_over());
    }

    // ---- poll ---------------------------------------------------------------------------------------------

    pub(crate) fn flush_sessions(&mut self) {
        let mut dirty = std::mem::take(&mut self.io.dirty);
        for key in dirty.drain(..) {
            if let Some(session) = self.sessions.get_mut(key.0)
                && !session.flush(&mut self.links, &mut self.io)
            {
                session.touch(&mut self.io);
            }
        }
        if self.io.dirty.is_empty() {
            // Its room is kept.
            self.io.dirty = dirty;
        } else {
            // Those that stayed behind for want of room take turns at being first.
            self.io.dirty.rotate_left(1);
        }
    }

    /// Moves what is to be written to `out`, in order; nothing if there is nothing now. To be called after anything was
    /// fed or asked for, and at the [deadline](Engine::deadline).
    pub fn poll_output(&mut self, out: &mut VecDeque<Bytes>, now: Instant) {
        if self.phase == Phase::Opened {
            self.io.counters.tick(now);
            self.flush_sessions();
            if self.io.outbox.len() == 0 && self.idle.is_heartbeat_due(now) {
                self.io.send_empty_frame();
                self.io.copies.rest();
            }
        }
        if self.io.outbox.len() > 0 {
            self.idle.on_sent(now);
            self.io.outbox.take_into(out);
        }
        // What was taken back leaves room too, without a frame that leaves.
        if self.io.is_wanted && self.io.has_room_for_messages() {
            self.io.is_wanted = false;
            for (key, link) in self.links.iter_mut().filter(|(_, link)| link.role() == Role::Sender) {
                self.io.signal(LinkKey(key), link);
            }
        }
    }

    /// Whether something happened that was not taken yet.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.io.events.is_empty()
    }

    /// The next thing that happened. Events are to be taken until there is none.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.io.events.pop_front()?;
        if let Event::Link(key) = event
            && let Some(link) = self.links.get_mut(key.0)
        {
            link.is_signalled = false;
        }
        Some(event)
    }

    /// When [`Engine::handle_timeout`], and then [`Engine::poll_output`], are to be called at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Ended => None,
            Phase::Opened => self.idle.deadline(),
            _ => self.patience,
        }
    }

    /// Time has passed: time-outs are checked. It may be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Opened if self.idle.is_peer_silent(now) => {
                let error =
                    ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, "local idle time-out expired");
                self.io.send(0, Performative::Close(Close { error: Some(error) }));
                self.finish(ConnectionError::IdleTimeout);
            }
            Phase::Opened | Phase::Ended => {}
            phase if self.patience.is_some_and(|patience| now >= patience) => {
                let reason = match phase {
                    Phase::Close => self.end.take().unwrap_or(ConnectionError::ClosedLocally),
                    Phase::Open => ConnectionError::Timeout("opening the connection"),
                    Phase::Sasl => ConnectionError::Timeout("authenticating"),
                    _ => ConnectionError::Timeout("exchanging protocol headers"),
                };
                self.finish(reason);
            }
            _ => {}
        }
    }

    // ---- look ---------------------------------------------------------------------------------------------

    /// Whether frames may follow our open before the peer's has come (§2.4.5).
    pub(super) const fn may_pipeline(&self) -> bool {
        matches!((&self.side, self.phase), (Side::Client(_), Phase::AmqpHeader | Phase::Open))
    }

    /// Whether the connection is over: the transport may be closed once the output is written.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Why the connection ended or is ending.
    #[must_use]
    pub const fn end(&self) -> Option<&ConnectionError> {
        self.end.as_ref()
    }

    /// Octets that wait to be taken by [`Engine::poll_output`].
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.io.outbox.len()
    }

    /// The limits that this end keeps to.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.io.limits
    }

    /// What the peer said in its open, once it has.
    #[must_use]
    pub const fn peer(&self) -> Option<&Arc<Peer>> {
        self.peer.as_ref()
    }

    /// Who the client is, on a listener.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// What may be attached at once, as much again that has ended and is not forgotten, and some for those who are slow.
fn most_links(limits: &Limits, sessions: usize) -> usize {
    let handles = index(limits.handle_max).saturating_add(1);
    handles.saturating_mul(2 * sessions).saturating_add(1024)
}
