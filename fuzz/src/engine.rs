//! What must hold for an engine, whatever its peer says and its user does: no panic, no octet that the codec cannot read, no
//! memory beyond what the input pays for, and silence once it is over.
//!
//! An input is a script: each octet chooses what happens next, those behind it say how. Octets that run out are zeros.

use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::{DeliveryState, Modified, Received, Source, Target, TargetArchetype};
use amqp_codec::security::{
    SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse,
};
use amqp_codec::transport::{
    Attach, Begin, Close, Detach, Disposition, End, ErrorInfo, Flow, Open, Performative, ReceiverSettleMode,
    Role, SenderSettleMode, Transfer, conditions,
};
use amqp_codec::types::Symbol;
use amqp_codec::{Bytes, BytesMut};
use amqp_transport::Outcome;
use amqp_transport::engine::{
    AbortPolicy, Credit, DeliveryNumber, Engine, Event, Limits, LinkAnswer, LinkKey, LinkOptions, Nonce,
    OutgoingDelivery, Sasl, ScramHash, Serial, SessionKey, Side, StaticCredentials, Token,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Octets of output that an engine may give for each octet of input or deed, and beside that.
const OUTPUT_FACTOR: usize = 400;
const OUTPUT_FREE: usize = 1 << 20;

/// Any octets, for a client.
pub fn client(octets: &[u8]) {
    Script::new(octets, true).run(false);
}

/// Any octets, for a listener.
pub fn listener(octets: &[u8]) {
    Script::new(octets, false).run(false);
}

/// Frames and deeds, for a client and for a listener.
pub fn frames(octets: &[u8]) {
    Script::new(octets, true).run(true);
    Script::new(octets, false).run(true);
}

struct Script<'a> {
    rest: &'a [u8],
    len: usize,
    engine: Engine,
    is_client: bool,
    input: BytesMut,
    now: Instant,
    output: BytesMut,
    written: usize,
    events: usize,
    deeds: usize,
    sessions: Vec<SessionKey>,
    links: Vec<LinkKey>,
    held: Vec<(LinkKey, Serial)>,
    streams: Vec<(LinkKey, DeliveryNumber)>,
    readers: Vec<(LinkKey, Serial)>,
}

impl<'a> Script<'a> {
    fn new(octets: &'a [u8], is_client: bool) -> Self {
        let now = Instant::now();
        let (set_up, rest) = octets.split_first().map_or((0, octets), |(first, rest)| (*first, rest));
        let mut limits = Limits::default();
        if set_up & 1 != 0 {
            limits.max_frame_size = 512;
            limits.max_outgoing_frame_size = 512;
            limits.incoming_window = 3;
            limits.max_message_size = 2_000;
            limits.max_partial_bytes = 1_500;
            limits.max_queued_bytes = 600;
            limits.handle_max = 3;
            limits.channel_max = 2;
        }
        let user = "user".to_owned();
        let password = "pencil".to_owned();
        let side = match (is_client, set_up >> 1 & 3) {
            (true, 0) => Side::Client(Sasl::None),
            (true, 1) => Side::Client(Sasl::Plain { user, password }),
            (true, 2) => Side::Client(Sasl::Anonymous),
            (true, _) => Side::Client(Sasl::Scram { hash: ScramHash::Sha256, user, password }),
            (false, choice) => Side::Listener(Arc::new(StaticCredentials {
                anonymous: choice < 2,
                users: vec![(user, password)],
            })),
        };
        let engine = Engine::new(side, Open::new("fuzzed"), limits, now).with_nonce(Nonce::new(&[7; 24]));
        let mut script = Self {
            rest,
            len: octets.len(),
            engine,
            is_client,
            input: BytesMut::new(),
            now,
            output: BytesMut::new(),
            written: 0,
            events: 0,
            deeds: 0,
            sessions: Vec::new(),
            links: Vec::new(),
            held: Vec::new(),
            streams: Vec::new(),
            readers: Vec::new(),
        };
        // Most scripts are about what comes after the handshake.
        if set_up & 6 == 0 && set_up & 8 == 0 {
            script.feed(&ProtocolHeader::AMQP.to_bytes());
            let mut open = Open::new("peer");
            open.max_frame_size = if set_up & 16 == 0 { 512 } else { u32::MAX };
            script.hear(0, &Performative::Open(Box::new(open)), b"");
        }
        script
    }

    fn run(mut self, is_structured: bool) {
        if is_structured {
            while !self.rest.is_empty() {
                self.step();
            }
        } else {
            self.engine.begin().ok().into_iter().for_each(|key| self.sessions.push(key));
            while !self.rest.is_empty() {
                let some = usize::from(self.octet()) + 1;
                let part = self.take(some);
                self.feed(&part);
            }
        }
        self.leave();
    }

    // ---- reading the script -------------------------------------------------------------------------------

    fn octet(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((first, rest)) => {
                self.rest = rest;
                *first
            }
            None => 0,
        }
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let (taken, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        taken.to_vec()
    }

    fn is(&mut self) -> bool {
        self.octet() & 1 != 0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.octet()) % bound.max(1)
    }

    /// Mostly small numbers, some at the edges, some anywhere.
    fn number(&mut self) -> u32 {
        match self.octet() {
            octet @ 0..=200 => u32::from(octet % 12),
            octet @ 201..=215 => u32::MAX - u32::from(octet - 201),
            octet @ 216..=230 => (1 << 31) + u32::from(octet - 216) - 7,
            octet @ 231..=245 => u32::from(octet) * 100,
            _ => u32::from_be_bytes([self.octet(), self.octet(), self.octet(), self.octet()]),
        }
    }

    fn maybe_number(&mut self) -> Option<u32> {
        self.is().then(|| self.number())
    }

    fn role(&mut self) -> Role {
        if self.is() { Role::Sender } else { Role::Receiver }
    }

    fn state(&mut self) -> Option<DeliveryState> {
        Some(match self.octet() % 7 {
            0 => DeliveryState::Accepted,
            1 => DeliveryState::Released,
            2 => DeliveryState::Rejected(None),
            3 => DeliveryState::Modified(Modified::default()),
            4 => DeliveryState::Received(Received::new(self.number(), u64::from(self.number()))),
            _ => return None,
        })
    }

    fn error(&mut self) -> Option<ErrorInfo> {
        self.is().then(|| ErrorInfo::new(conditions::INTERNAL_ERROR, "so"))
    }

    fn name(&mut self) -> String {
        format!("link {}", self.octet() % 4)
    }

    fn snd_settle_mode(&mut self) -> SenderSettleMode {
        [SenderSettleMode::Mixed, SenderSettleMode::Settled, SenderSettleMode::Unsettled][self.below(3)]
    }

    fn rcv_settle_mode(&mut self) -> ReceiverSettleMode {
        if self.is() { ReceiverSettleMode::Second } else { ReceiverSettleMode::First }
    }

    fn credit(&mut self) -> Credit {
        if self.is() { Credit::Auto(self.number()) } else { Credit::Manual }
    }

    // ---- what happens -------------------------------------------------------------------------------------

    fn step(&mut self) {
        self.deeds += 1;
        match self.octet() {
            0..=139 => self.say(),
            140..=144 => self.say_sasl(),
            145..=149 => {
                let len = self.below(40);
                let octets = self.take(len);
                self.feed(&octets);
            }
            150..=156 => {
                let pause = u64::from(self.number() % 100_000);
                self.now += Duration::from_millis(pause);
                self.engine.handle_timeout(self.now);
            }
            157..=247 => self.act(),
            248 => self.engine.handle_lost("the script says so"),
            249 => {
                let error = self.error();
                self.engine.close(error, self.now);
            }
            _ => {}
        }
        if self.is() {
            self.settle_down();
        }
    }

    /// The peer says something.
    fn say(&mut self) {
        let channel = u16::from(self.octet() % 4);
        let mut payload = Vec::new();
        let performative = match self.octet() % 16 {
            0..=1 => {
                let mut begin = Begin::new(self.number(), self.number(), self.number());
                begin.remote_channel = self.is().then(|| u16::from(self.octet() % 4));
                begin.handle_max = self.number();
                Performative::Begin(Box::new(begin))
            }
            2..=4 => Performative::Attach(Box::new(self.attach())),
            5..=6 => Performative::Flow(self.flow()),
            7..=10 => {
                let transfer = self.transfer();
                let len = self.below(200);
                payload = self.take(len.min(60));
                payload.resize(len, 7);
                Performative::Transfer(transfer)
            }
            11..=12 => {
                let mut disposition = Disposition::new(self.role(), self.number());
                disposition.last = self.maybe_number();
                disposition.settled = self.is();
                disposition.state = self.state();
                Performative::Disposition(disposition)
            }
            13 => {
                let mut detach = Detach::new(self.number());
                detach.closed = self.is();
                detach.error = self.error();
                Performative::Detach(detach)
            }
            14 => Performative::End(End { error: self.error() }),
            _ if self.octet() < 16 => Performative::Close(Close { error: self.error() }),
            _ => {
                let mut open = Open::new(self.name());
                open.max_frame_size = self.number();
                open.channel_max = u16::from(self.octet());
                open.idle_time_out = self.maybe_number();
                Performative::Open(Box::new(open))
            }
        };
        self.hear(channel, &performative, &payload);
    }

    fn attach(&mut self) -> Attach {
        let mut attach = Attach::new(self.name(), self.number(), self.role());
        attach.snd_settle_mode = self.snd_settle_mode();
        attach.rcv_settle_mode = self.rcv_settle_mode();
        attach.source = self.is().then(|| Source::new("a"));
        attach.target = self.is().then(|| TargetArchetype::Target(Target::new("b")));
        attach.initial_delivery_count = self.maybe_number();
        attach.max_message_size = self.maybe_number().map(u64::from);
        attach
    }

    fn flow(&mut self) -> Flow {
        let mut flow = Flow::new(self.number(), self.number(), self.number());
        flow.next_incoming_id = self.maybe_number();
        flow.handle = self.maybe_number();
        flow.delivery_count = self.maybe_number();
        flow.link_credit = self.maybe_number();
        flow.drain = self.is();
        flow.echo = self.is();
        flow
    }

    fn transfer(&mut self) -> Transfer {
        let mut transfer = Transfer::new(self.number());
        transfer.delivery_id = self.maybe_number();
        transfer.delivery_tag = self.is().then(|| Bytes::from_static(b"tag"));
        transfer.message_format = self.maybe_number();
        transfer.settled = self.is().then(|| self.is());
        transfer.more = self.is();
        transfer.state = self.state();
        transfer.aborted = self.octet() > 240;
        transfer.resume = self.octet() > 240;
        transfer
    }

    fn say_sasl(&mut self) {
        let len = self.below(60);
        let text = Bytes::from(self.take(len));
        let sasl = match self.octet() % 5 {
            0 => {
                let offered = ["PLAIN", "ANONYMOUS", "EXTERNAL", "SCRAM-SHA-256"];
                let offered = offered.map(Symbol::from_static).to_vec();
                SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: offered })
            }
            1 => {
                let mechanism = ["PLAIN", "ANONYMOUS", "SCRAM-SHA-256"][self.below(3)];
                let mut init = SaslInit::new(Symbol::from_static(mechanism));
                init.initial_response = Some(text.into());
                SaslFrame::Init(init)
            }
            2 => SaslFrame::Challenge(SaslChallenge::new(text)),
            3 => SaslFrame::Response(SaslResponse::new(text)),
            _ => {
                let codes = [SaslCode::Ok, SaslCode::Auth, SaslCode::Sys, SaslCode::SysTemp];
                SaslFrame::Outcome(SaslOutcome::new(codes[self.below(4)]))
            }
        };
        let mut out = BytesMut::new();
        frame::encode_sasl_frame(&mut out, &sasl);
        self.feed(&out);
    }

    /// The user does something.
    fn act(&mut self) {
        let session = self.sessions.get(self.rest.len() % self.sessions.len().max(1)).copied();
        let link = self.links.get(self.rest.len() % self.links.len().max(1)).copied();
        match (self.octet() % 24, session, link) {
            (0..=1, ..) if self.sessions.len() < 8 => {
                if let Ok(key) = self.engine.begin() {
                    self.sessions.push(key);
                }
            }
            (2..=4, Some(session), _) if self.links.len() < 16 => self.ask_for_link(session),
            (5, Some(session), _) => {
                let error = self.error();
                self.engine.end_session(session, error);
            }
            (6, Some(session), _) => {
                self.engine.forget_session(session);
                self.sessions.retain(|key| *key != session);
            }
            (7..=8, _, Some(link)) => self.answer(link),
            (9, _, Some(link)) => {
                let (closed, error) = (self.is(), self.error());
                self.engine.detach(link, closed, error);
            }
            (10, _, Some(link)) => {
                self.engine.forget_link(link);
                self.links.retain(|key| *key != link);
            }
            (11..=13, _, Some(link)) => self.send(link),
            (14..=15, _, Some(link)) => {
                if let Ok(Some(delivery)) = self.engine.take(link) {
                    self.held.push((link, delivery.id));
                    self.readers.push((link, delivery.id));
                }
            }
            (16..=17, ..) if !self.held.is_empty() => {
                let index = self.below(self.held.len());
                let (link, id) = self.held.swap_remove(index);
                let outcome = match self.octet() % 4 {
                    0 => Outcome::Accepted,
                    1 => Outcome::Released,
                    2 => Outcome::Rejected(None),
                    _ => Outcome::Unspecified,
                };
                let _ = self.engine.settle(link, id, outcome);
            }
            (18, _, Some(link)) => {
                let credit = self.number();
                let _ = self.engine.set_credit(link, credit);
            }
            (19, _, Some(link)) => {
                let _ = if self.is() { self.engine.pause(link) } else { self.engine.resume(link) };
            }
            (20, _, Some(link)) => {
                let _ = self.engine.drain(link);
                self.engine.drained(link);
            }
            (21, ..) => self.write_on(),
            (22, ..) if !self.readers.is_empty() => {
                let index = self.below(self.readers.len());
                let (link, id) = self.readers[index];
                if self.is() {
                    self.engine.forget_stream(link, id);
                    self.readers.swap_remove(index);
                } else {
                    let _ = self.engine.read_stream(link, id);
                }
            }
            _ => {}
        }
    }

    fn ask_for_link(&mut self, session: SessionKey) {
        let name = self.name();
        let mut options = if self.is() {
            LinkOptions::sender(name, "node")
        } else {
            let credit = self.credit();
            LinkOptions::receiver(name, "node", credit)
        };
        options.snd_settle_mode = self.snd_settle_mode();
        options.rcv_settle_mode = self.rcv_settle_mode();
        options.streams = self.is();
        if self.is() {
            options.abort_policy = AbortPolicy::Detach;
        }
        if let Ok(key) = self.engine.attach(session, options) {
            self.links.push(key);
        }
    }

    fn answer(&mut self, link: LinkKey) {
        if self.octet() < 40 {
            self.engine.refuse(link, ErrorInfo::new(conditions::NOT_FOUND, "no"));
            return;
        }
        let mut answer = LinkAnswer::default();
        answer.termini.source = Some(Source::new("a"));
        answer.termini.target = Some(TargetArchetype::Target(Target::new("b")));
        answer.credit = self.credit();
        answer.streams = self.is();
        let _ = self.engine.accept_with(link, answer);
    }

    fn send(&mut self, link: LinkKey) {
        if !self.engine.credit(link).is_ok_and(|credit| credit > 0) {
            return;
        }
        let len = usize::from(self.octet()) * 10;
        let mut delivery = OutgoingDelivery::new(vec![1; len].into(), Token(self.deeds));
        delivery.settled = self.is();
        if self.is() {
            if let Ok(number) = self.engine.send_stream(link, delivery) {
                self.streams.push((link, number));
            }
        } else {
            let _ = self.engine.send(link, delivery);
        }
    }

    fn write_on(&mut self) {
        if self.streams.is_empty() {
            return;
        }
        let index = self.below(self.streams.len());
        let (link, number) = self.streams[index];
        match self.octet() % 6 {
            0 => self.engine.abort_stream(link, number),
            1 => {
                let _ = self.engine.finish_stream(link, number);
            }
            _ => {
                if self.engine.stream_room(link, number).is_ok_and(|room| room > 0) {
                    let len = usize::from(self.octet()) * 4;
                    let _ = self.engine.write_stream(link, number, vec![2; len].into());
                }
                return;
            }
        }
        self.streams.swap_remove(index);
    }

    // ---- octets in and out --------------------------------------------------------------------------------

    fn hear(&mut self, channel: u16, performative: &Performative, payload: &[u8]) {
        let mut out = BytesMut::new();
        match performative {
            Performative::Transfer(transfer) => {
                frame::encode_transfer_header(&mut out, channel, transfer, payload.len());
                out.extend_from_slice(payload);
            }
            other => frame::encode_frame(&mut out, channel, other),
        }
        self.feed(&out);
    }

    fn feed(&mut self, octets: &[u8]) {
        self.len += octets.len();
        self.input.extend_from_slice(octets);
        self.engine.handle_input(&mut self.input, self.now);
        let limits = self.engine.limits();
        let most = limits.max_frame_size.max(limits.max_sasl_frame_size);
        assert!(self.input.len() <= usize::try_from(most).unwrap_or(0), "{} octets wait", self.input.len());
        self.settle_down();
    }

    /// Takes events and output, and looks whether they are right.
    fn settle_down(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.events += 1;
            assert!(self.events <= 200 * (self.len + self.deeds + 10), "events without end");
            match event {
                Event::Session(key) if !self.sessions.contains(&key) && self.sessions.len() < 8 => {
                    self.sessions.push(key);
                }
                Event::LinkRequested(key) if !self.links.contains(&key) => self.links.push(key),
                _ => {}
            }
        }
        let mut chunks = VecDeque::new();
        self.engine.poll_output(&mut chunks, self.now);
        for chunk in chunks {
            self.written += chunk.len();
            self.output.extend_from_slice(&chunk);
        }
        let paid = OUTPUT_FREE + OUTPUT_FACTOR * (self.len + 300 * self.deeds);
        assert!(self.written <= paid, "{} octets of output", self.written);
        self.check_output();
        self.check_memory();
    }

    /// What leaves can be read.
    fn check_output(&mut self) {
        while self.output.len() >= FrameHeader::LEN {
            if self.output.starts_with(b"AMQP") {
                let _ = self.output.split_to(ProtocolHeader::LEN);
                continue;
            }
            let header = FrameHeader::decode(&self.output[..8]).unwrap_or_else(|error| panic!("{error}"));
            let size = usize::try_from(header.size).unwrap_or(usize::MAX);
            if self.output.len() < size {
                break;
            }
            let body = self.output.split_to(size).freeze().slice(8..);
            if header.frame_type == FrameType::Sasl {
                frame::decode_sasl_body(body).unwrap_or_else(|error| panic!("{error}"));
            } else if !body.is_empty() {
                frame::decode_amqp_body(body).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    fn check_memory(&self) {
        let usage = self.engine.usage();
        let limits = self.engine.limits();
        let unsettled = usage.unsettled_sent + usage.unsettled_received;
        assert!(usage.unsettled_places <= 4 * unsettled + 300 * (usage.sessions + 1), "{usage:?}");
        let frame = usize::try_from(limits.max_frame_size).unwrap_or(usize::MAX);
        assert!(usage.partial_bytes <= limits.max_partial_bytes + frame, "{usage:?}");
        assert!(usage.sessions <= usize::from(limits.channel_max) + 1 + 8, "{usage:?}");
        let links = usize::try_from(limits.handle_max).unwrap_or(usize::MAX).saturating_add(1);
        assert!(usage.links <= 2 * links.saturating_mul(usage.sessions + 1) + 1100, "{usage:?}");
    }

    /// Whatever state it is in, it comes to an end and is quiet then.
    fn leave(mut self) {
        self.engine.close(None, self.now);
        self.settle_down();
        for _ in 0..4 {
            self.now += Duration::from_secs(3_600);
            self.engine.handle_timeout(self.now);
            self.settle_down();
        }
        assert!(self.engine.is_ended() && self.engine.end().is_some() && self.engine.deadline().is_none());
        let written = self.written;
        self.engine.handle_timeout(self.now + Duration::from_secs(3_600));
        self.settle_down();
        assert_eq!(
            written,
            self.written,
            "{} is over and speaks",
            if self.is_client { "a client" } else { "a listener" }
        );
        let usage = self.engine.usage();
        let unsettled = usage.unsettled_sent + usage.unsettled_received + usage.waiting_bytes;
        assert_eq!(unsettled + usage.partial_bytes + usage.queued_bytes + usage.events, 0, "{usage:?}");
    }
}
