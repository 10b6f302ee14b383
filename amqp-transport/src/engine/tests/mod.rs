//! Rules of the specification, each checked against a peer that is scripted frame by frame.

mod connection;
mod edges;
mod endings;
mod gaps;
mod hostile;
mod link;
mod pitfalls;
mod reference;
mod resume;
mod session;
mod stream_endings;
mod streams;
mod transactions;

use super::commands::LinkOptions;
use super::connection::{Engine, Side};
use super::credit::Credit;
use super::event::{DeliveryNumber, Event, Token};
use super::limits::Limits;
use super::options::AbortPolicy;
use super::sasl::{Sasl, StaticCredentials};
use super::{
    Fate, LinkAnswer, LinkKey, LinkStatus, OutgoingDelivery, Resumption, SessionKey, StreamPart, Termini,
    UnsettledDelivery,
};
use crate::error::{ConnectionError, LinkError, Outcome, SendError, SessionError, SettleError, StreamError};
use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::{DeliveryState, Source, Target, TargetArchetype};
use amqp_codec::security::{SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome};
use amqp_codec::transport::{
    Attach, Begin, Close, Detach, Disposition, End, ErrorInfo, Flow, Open, Performative, ReceiverSettleMode,
    Role, SenderSettleMode, Transfer, conditions,
};
use amqp_codec::types::Symbol;
use bytes::{Bytes, BytesMut};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One engine, and what a scripted peer says to it and hears from it.
struct Scripted {
    engine: Engine,
    input: BytesMut,
    now: Instant,
}

type Heard = Vec<(u16, Performative, Bytes)>;

impl Scripted {
    fn client_with(sasl: Sasl, limits: Limits) -> Self {
        let now = Instant::now();
        let engine = Engine::new(Side::Client(sasl), Open::new("client"), limits, now);
        Self { engine, input: BytesMut::new(), now }
    }

    /// A client that has opened; the peer's limits are given.
    fn opened(mut open: Open, limits: Limits) -> Self {
        let mut script = Self::client_with(Sasl::None, limits);
        script.octets();
        script.feed(&ProtocolHeader::AMQP.to_bytes());
        if open.container_id.is_empty() {
            open.container_id = "peer".into();
        }
        script.says(0, Performative::Open(Box::new(open)));
        script
    }

    /// A client with one session: channel 0 here, 7 at the peer.
    fn begun() -> (Self, SessionKey) {
        Self::begun_with(Limits::default(), 2048)
    }

    fn begun_with(limits: Limits, window: u32) -> (Self, SessionKey) {
        let mut script = Self::opened(Open::new("peer"), limits);
        let key = script.engine.begin().unwrap();
        script.hears();
        let mut begin = Begin::new(u32::MAX - 1, window, 100_u32);
        begin.remote_channel = Some(0);
        script.says(7, Performative::Begin(Box::new(begin)));
        (script, key)
    }

    /// A link from the client to the peer, whose handle is 3.
    fn sending(window: u32, credit: u32) -> (Self, LinkKey) {
        let (mut script, session) = Self::begun_with(Limits::default(), window);
        let key = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
        script.hears();
        let mut attach = Attach::new("link", 3_u32, Role::Receiver);
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        script.says(7, Performative::Attach(Box::new(attach)));
        script.grants(window, 0, 0, credit);
        (script, key)
    }

    /// A link from the peer, whose handle is 3, to the client.
    fn receiving(credit: Credit, limits: Limits) -> (Self, LinkKey) {
        let (mut script, session) = Self::begun_with(limits, 2048);
        let key = script.engine.attach(session, options(Role::Receiver, credit)).unwrap();
        script.hears();
        let mut attach = Attach::new("link", 3_u32, Role::Sender);
        attach.source = Some(Source::new("q"));
        attach.initial_delivery_count = Some(u32::MAX);
        script.says(7, Performative::Attach(Box::new(attach)));
        (script, key)
    }

    fn listener() -> Self {
        let now = Instant::now();
        let users = StaticCredentials { anonymous: false, users: vec![("u".into(), "p".into())] };
        let engine =
            Engine::new(Side::Listener(Arc::new(users)), Open::new("server"), Limits::default(), now);
        Self { engine, input: BytesMut::new(), now }
    }

    fn feed(&mut self, octets: &[u8]) {
        self.input.extend_from_slice(octets);
        self.engine.handle_input(&mut self.input, self.now);
    }

    fn says(&mut self, channel: u16, performative: Performative) {
        let mut out = BytesMut::new();
        frame::encode_frame(&mut out, channel, &performative);
        self.feed(&out);
    }

    fn transfers(&mut self, transfer: &Transfer, payload: &[u8]) {
        let mut out = BytesMut::new();
        frame::encode_transfer_header(&mut out, 7, transfer, payload.len());
        out.extend_from_slice(payload);
        self.feed(&out);
    }

    /// A delivery of the peer in one frame.
    fn delivers(&mut self, id: u32) {
        let mut transfer = Transfer::new(3_u32);
        transfer.delivery_id = Some(id);
        transfer.delivery_tag = Some(Bytes::copy_from_slice(&id.to_be_bytes()));
        self.transfers(&transfer, b"\x00\x53\x77\x40");
    }

    fn grants(&mut self, window: u32, next_incoming_id: u32, count: u32, credit: u32) {
        let mut flow = Flow::new(window, u32::MAX - 1, 100_u32);
        flow.next_incoming_id = Some(next_incoming_id);
        flow.handle = Some(3);
        flow.delivery_count = Some(count);
        flow.link_credit = Some(credit);
        self.says(7, Performative::Flow(flow));
    }

    fn octets(&mut self) -> Vec<u8> {
        let mut out = VecDeque::new();
        self.engine.poll_output(&mut out, self.now);
        out.into_iter().flatten().collect()
    }

    fn hears(&mut self) -> Heard {
        let mut octets = Bytes::from(self.octets());
        let mut heard = Vec::new();
        while !octets.is_empty() {
            if octets.starts_with(b"AMQP") {
                let _ = octets.split_to(8);
                continue;
            }
            let header = FrameHeader::decode(&octets).unwrap();
            let body = octets.split_to(usize::try_from(header.size).unwrap()).slice(8..);
            if header.frame_type == FrameType::Amqp && !body.is_empty() {
                let (performative, payload) = frame::decode_amqp_body(body).unwrap();
                heard.push((header.channel, performative, payload));
            }
        }
        heard
    }

    fn sends(&mut self, link: LinkKey, payload: &[u8]) {
        let delivery = OutgoingDelivery {
            payload: Bytes::copy_from_slice(payload),
            message_format: 0,
            settled: false,
            token: Token(0),
            tag: None,
            state: None,
        };
        self.engine.send(link, delivery).unwrap();
    }

    fn outcomes(&mut self) -> Vec<Option<Outcome>> {
        std::iter::from_fn(|| self.engine.poll_event())
            .filter_map(|event| match event {
                Event::Outcome { outcome, .. } => Some(outcome),
                _ => None,
            })
            .collect()
    }

    fn closes_with(&mut self) -> Symbol {
        match self.hears().pop() {
            Some((0, Performative::Close(Close { error: Some(error) }), _)) => error.condition,
            other => panic!("no close with an error, but {other:?}"),
        }
    }

    fn ends_with(&mut self) -> Symbol {
        match self.hears().pop() {
            Some((0, Performative::End(End { error: Some(error) }), _)) => error.condition,
            other => panic!("no end with an error, but {other:?}"),
        }
    }

    fn detaches_with(&mut self) -> Symbol {
        match self.hears().pop() {
            Some((0, Performative::Detach(Detach { error: Some(error), .. }), _)) => error.condition,
            other => panic!("no detach with an error, but {other:?}"),
        }
    }
}

fn options(role: Role, credit: Credit) -> LinkOptions {
    LinkOptions::new("link".into(), role, Termini::new(Source::new("q"), Target::new("q")), credit)
}

fn flows(heard: &Heard) -> Vec<&Flow> {
    heard
        .iter()
        .filter_map(|(_, performative, _)| match performative {
            Performative::Flow(flow) => Some(flow),
            _ => None,
        })
        .collect()
}

fn sasl_frame(frame: &SaslFrame) -> BytesMut {
    let mut out = BytesMut::new();
    frame::encode_sasl_frame(&mut out, frame);
    out
}
