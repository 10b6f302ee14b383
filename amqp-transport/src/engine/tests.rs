//! Rules of the specification, each checked against a peer that is scripted frame by frame.

use super::commands::LinkOptions;
use super::connection::{Engine, Side};
use super::credit::Credit;
use super::event::{Event, Token};
use super::limits::Limits;
use super::sasl::{Sasl, StaticCredentials};
use super::{LinkKey, LinkStatus, OutgoingDelivery, SessionKey, Termini};
use crate::error::{ConnectionError, LinkError, Outcome, SessionError};
use amqp_codec::frame::{self, FrameHeader, FrameType, ProtocolHeader};
use amqp_codec::messaging::{DeliveryState, Source, Target, TargetArchetype};
use amqp_codec::security::{SaslCode, SaslFrame, SaslMechanisms, SaslOutcome};
use amqp_codec::transport::{
    Attach, Begin, Close, Detach, Disposition, End, ErrorInfo, Flow, Open, Performative, ReceiverSettleMode,
    Role, SenderSettleMode, Transfer, conditions,
};
use amqp_codec::types::Symbol;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
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
    LinkOptions {
        name: "link".into(),
        role,
        termini: Termini::new(Source::new("q"), Target::new("q")),
        snd_settle_mode: SenderSettleMode::Mixed,
        rcv_settle_mode: ReceiverSettleMode::First,
        credit,
        properties: None,
        desired_capabilities: Vec::new(),
    }
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

// §2.2
#[test]
fn a_listener_answers_a_foreign_header_with_its_own() {
    for foreign in [&b"AMQP\x00\x00\x09\x01"[..], b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01"]
    {
        let mut script = Scripted::listener();
        script.feed(foreign);
        assert_eq!(script.octets(), ProtocolHeader::SASL.to_bytes());
        assert!(matches!(script.engine.end(), Some(ConnectionError::Header(_))));
    }
}

// §2.2
#[test]
fn a_listener_that_demands_sasl_says_so() {
    let mut script = Scripted::listener();
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    assert_eq!(script.octets(), ProtocolHeader::SASL.to_bytes());
    assert!(script.engine.is_ended());
}

// §2.2
#[test]
fn a_client_recognises_a_broker_that_only_speaks_0_9_1() {
    let mut script = Scripted::client_with(Sasl::Anonymous, Limits::default());
    script.feed(b"AMQP\x00\x00\x09\x01");
    let end = script.engine.end().unwrap().to_string();
    assert!(end.contains("rabbitmq_amqp1_0"), "{end}");
}

// §5.3.2
#[test]
fn each_sasl_code_but_ok_is_a_failure() {
    for code in [SaslCode::Auth, SaslCode::Sys, SaslCode::SysPerm, SaslCode::SysTemp] {
        let mut script = Scripted::client_with(Sasl::Anonymous, Limits::default());
        script.feed(&ProtocolHeader::SASL.to_bytes());
        let mechanisms = SaslMechanisms { sasl_server_mechanisms: vec![Symbol::from_static("ANONYMOUS")] };
        script.feed(&sasl_frame(&SaslFrame::Mechanisms(mechanisms)));
        script.octets();
        script.feed(&sasl_frame(&SaslFrame::Outcome(SaslOutcome::new(code))));
        assert!(
            matches!(script.engine.end(), Some(ConnectionError::Sasl { code: Some(said), .. }) if *said == code)
        );
        assert!(script.octets().is_empty(), "no AMQP header follows");
    }
}

// §5.3.2
#[test]
fn a_listener_takes_no_sasl_frame_out_of_place() {
    let mut script = Scripted::listener();
    script.feed(&ProtocolHeader::SASL.to_bytes());
    script.octets();
    script.feed(&sasl_frame(&SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok))));
    assert!(script.engine.is_ended());
}

// §2.4.1
#[test]
fn everything_pipelined_behind_the_header_is_understood() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    let mut octets = BytesMut::from(&ProtocolHeader::AMQP.to_bytes()[..]);
    frame::encode_frame(&mut octets, 0, &Performative::Open(Box::new(Open::new("peer"))));
    frame::encode_frame(&mut octets, 0, &Performative::Close(Close::default()));
    script.feed(&octets);
    assert!(matches!(script.engine.end(), Some(ConnectionError::ClosedByPeer(None))));
    let heard = script.hears();
    assert!(matches!(heard[..], [(0, Performative::Open(_), _), (0, Performative::Close(_), _)]));
}

// §2.3
#[test]
fn frames_may_be_cut_at_any_octet() {
    let (mut whole, _) = Scripted::receiving(Credit::Auto(10), Limits::default());
    whole.delivers(9);
    let mut octets = BytesMut::new();
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(0);
    transfer.delivery_tag = Some(Bytes::from_static(b"t"));
    frame::encode_transfer_header(&mut octets, 7, &transfer, 4);
    octets.extend_from_slice(b"\x00\x53\x77\x40");
    for cut in 0..octets.len() {
        let (mut script, link) = Scripted::receiving(Credit::Auto(10), Limits::default());
        script.feed(&octets[..cut]);
        assert!(script.engine.take(link).unwrap().is_none());
        script.feed(&octets[cut..]);
        assert_eq!(script.engine.take(link).unwrap().unwrap().payload, b"\x00\x53\x77\x40"[..]);
    }
}

// §2.3.1
#[test]
fn a_malformed_frame_is_a_framing_error() {
    for octets in [
        &[0, 0, 0, 7, 2, 0, 0, 0][..],
        &[0, 0, 0, 8, 1, 0, 0, 0],
        &[0, 0, 0, 8, 3, 0, 0, 0],
        &[0, 0, 0, 8, 2, 9, 0, 0],
        &[0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0],
    ] {
        let (mut script, _) = Scripted::begun();
        script.hears();
        script.feed(octets);
        assert_eq!(script.closes_with(), conditions::FRAMING_ERROR, "{octets:?}");
        assert!(script.engine.is_ended());
    }
}

// §2.4.2
#[test]
fn the_first_frame_must_be_open_and_there_is_only_one() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(0, Performative::End(End::default()));
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
    let (mut script, _) = Scripted::begun();
    script.says(0, Performative::Open(Box::new(Open::new("again"))));
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
}

// §2.7.1
#[test]
fn a_max_frame_size_below_512_is_refused() {
    let mut open = Open::new("peer");
    open.max_frame_size = 511;
    let mut script = Scripted::opened(open, Limits::default());
    assert_eq!(script.closes_with(), conditions::INVALID_FIELD);
}

// §2.4.5
#[test]
fn an_idle_connection_sends_empty_frames_and_gives_a_silent_peer_up() {
    let mut open = Open::new("peer");
    open.idle_time_out = Some(1000);
    let limits = Limits { idle_time_out: Duration::from_secs(10), ..Limits::default() };
    let mut script = Scripted::opened(open, limits);
    script.octets();
    assert_eq!(script.engine.deadline(), Some(script.now + Duration::from_millis(500)));
    script.now += Duration::from_millis(500);
    script.engine.handle_timeout(script.now);
    assert_eq!(script.octets(), [0, 0, 0, 8, 2, 0, 0, 0]);
    assert!(script.octets().is_empty(), "one is enough");
    script.now += Duration::from_secs(20);
    script.engine.handle_timeout(script.now);
    assert_eq!(script.closes_with(), conditions::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(script.engine.end(), Some(&ConnectionError::IdleTimeout));
}

// §2.4.6
#[test]
fn an_unanswered_close_ends_in_time() {
    let mut script = Scripted::opened(Open::new("peer"), Limits::default());
    script.engine.close(None, script.now);
    script.says(0, Performative::Begin(Box::new(Begin::new(0_u32, 1_u32, 1_u32))));
    assert!(!script.engine.is_ended(), "frames under way are ignored");
    script.now += Duration::from_secs(5);
    script.engine.handle_timeout(script.now);
    assert!(script.engine.is_ended());
}

// §2.5.1
#[test]
fn sessions_are_found_by_the_peers_channel() {
    let (mut script, session) = Scripted::begun();
    assert!(script.engine.check_session(session).unwrap());
    script.says(7, Performative::End(End::default()));
    assert!(matches!(script.hears()[..], [(0, Performative::End(_), _)]));
    assert_eq!(script.engine.check_session(session), Err(SessionError::EndedByPeer(None)));
}

// §2.5.1
#[test]
fn a_begin_that_answers_nothing_closes_the_connection() {
    let mut script = Scripted::opened(Open::new("peer"), Limits::default());
    script.hears();
    let mut begin = Begin::new(0_u32, 1_u32, 1_u32);
    begin.remote_channel = Some(5);
    script.says(0, Performative::Begin(Box::new(begin)));
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
}

// §2.7.1
#[test]
fn channels_and_handles_above_what_was_announced_are_framing_errors() {
    let mut script = Scripted::opened(Open::new("peer"), Limits::default());
    script.says(256, Performative::Begin(Box::new(Begin::new(0_u32, 1_u32, 1_u32))));
    assert_eq!(script.closes_with(), conditions::FRAMING_ERROR);
    let (mut script, _) = Scripted::begun();
    script.says(7, Performative::Attach(Box::new(Attach::new("x", 256_u32, Role::Sender))));
    assert_eq!(script.closes_with(), conditions::FRAMING_ERROR);
}

// §2.5.6
#[test]
fn no_transfer_leaves_while_the_session_window_is_closed() {
    let (mut script, link) = Scripted::sending(2, 10);
    for _ in 0..4 {
        script.sends(link, b"x");
    }
    assert_eq!(script.hears().len(), 2);
    script.grants(2, 1, 0, 10);
    assert_eq!(script.hears().len(), 1, "one of the two was under way");
    script.grants(2, 3, 3, 10);
    assert_eq!(script.hears().len(), 1);
}

// §2.5.6
#[test]
fn a_transfer_outside_the_window_ends_the_session() {
    let limits = Limits { incoming_window: 2, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(10), limits);
    for id in 0..2 {
        script.delivers(id);
    }
    // The window is opened again by the next flow only, which has not left yet.
    script.delivers(2);
    assert_eq!(script.ends_with(), conditions::WINDOW_VIOLATION);
}

// §2.5.6
#[test]
fn the_window_opens_as_frames_arrive_not_as_they_are_settled() {
    let limits = Limits { incoming_window: 4, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(100), limits);
    script.hears();
    script.delivers(0);
    assert!(script.hears().is_empty());
    script.delivers(1);
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((flow.next_incoming_id, flow.incoming_window), (Some(0), 4), "from 2^32-2, two later");
}

// §2.6.7
#[test]
fn no_delivery_leaves_without_credit_and_credit_is_a_total() {
    let (mut script, link) = Scripted::sending(100, 2);
    assert_eq!(script.engine.credit(link).unwrap(), 2);
    script.sends(link, b"1");
    script.sends(link, b"2");
    assert_eq!(script.engine.credit(link).unwrap(), 0);
    assert_eq!(script.hears().len(), 2);
    script.grants(100, 1, 1, 2);
    assert_eq!(script.engine.credit(link).unwrap(), 1, "count 1 + credit 2 - count 2");
}

// §2.6.7
#[test]
fn a_drained_sender_uses_its_credit_up() {
    let (mut script, link) = Scripted::sending(100, 5);
    script.sends(link, b"1");
    let mut flow = Flow::new(100_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle, flow.delivery_count) = (Some(0), Some(3), Some(0));
    (flow.link_credit, flow.drain) = (Some(5), true);
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    assert!(matches!(heard[0].1, Performative::Transfer(_)), "transfers go first");
    let flow = flows(&heard)[0];
    assert_eq!((flow.delivery_count, flow.link_credit, flow.drain), (Some(5), Some(0), true));
}

// §2.6.7
#[test]
fn draining_waits_for_deliveries_that_the_window_holds_back() {
    let (mut script, link) = Scripted::sending(1, 5);
    if let Some(sender) = script.engine.links[link.0].sender() {
        sender.drains_by_itself = false;
    }
    script.sends(link, b"1");
    script.sends(link, b"2");
    let mut flow = Flow::new(1_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle, flow.delivery_count) = (Some(0), Some(3), Some(0));
    (flow.link_credit, flow.drain) = (Some(5), true);
    script.says(7, Performative::Flow(flow));
    script.engine.drained(link);
    let heard = script.hears();
    assert!(flows(&heard).is_empty(), "one delivery still waits: {heard:?}");
    let mut flow = Flow::new(1_u32, 0_u32, 100_u32);
    flow.next_incoming_id = Some(1);
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    assert!(matches!(heard[0].1, Performative::Transfer(_)));
    assert_eq!((flows(&heard)[0].delivery_count, flows(&heard)[0].link_credit), (Some(5), Some(0)));
}

// §2.6.7
#[test]
fn credit_is_granted_only_once_the_link_is_attached() {
    let (mut script, session) = Scripted::begun();
    script.engine.attach(session, options(Role::Receiver, Credit::Auto(5))).unwrap();
    let heard = script.hears();
    assert!(matches!(heard[..], [(0, Performative::Attach(_), _)]), "{heard:?}");
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(u32::MAX);
    script.says(7, Performative::Attach(Box::new(attach)));
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((flow.link_credit, flow.delivery_count), (Some(5), Some(u32::MAX)));
}

// §2.7.4
#[test]
fn an_echo_is_answered() {
    let (mut script, _) = Scripted::begun();
    script.hears();
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    flow.next_incoming_id = Some(0);
    flow.echo = true;
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    assert_eq!(flows(&heard).len(), 1);
    assert!(!flows(&heard)[0].echo);
}

// §2.6.12
#[test]
fn delivery_ids_are_contiguous_and_tags_unique() {
    let (mut script, link) = Scripted::sending(100, 100);
    for _ in 0..3 {
        script.sends(link, b"x");
    }
    let heard = script.hears();
    let ids: Vec<_> = heard
        .iter()
        .map(|(_, performative, _)| match performative {
            Performative::Transfer(transfer) => (transfer.delivery_id, transfer.delivery_tag.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    assert!(ids[0].1 != ids[1].1 && ids[1].1 != ids[2].1);
}

// §2.6.14
#[test]
fn a_large_message_fills_frames_to_the_octet() {
    let mut open = Open::new("peer");
    open.max_frame_size = 512;
    let mut script = Scripted::opened(open, Limits::default());
    let session = script.engine.begin().unwrap();
    let mut begin = Begin::new(0_u32, 100_u32, 100_u32);
    begin.remote_channel = Some(0);
    script.says(7, Performative::Begin(Box::new(begin)));
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 1);
    script.hears();
    let payload: Vec<u8> = (0..1500_u32).map(|n| n.to_be_bytes()[3]).collect();
    script.sends(link, &payload);
    let octets = script.octets();
    let mut rest = &octets[..];
    let mut together = Vec::new();
    let mut sizes = Vec::new();
    while !rest.is_empty() {
        let header = FrameHeader::decode(rest).unwrap();
        let size = usize::try_from(header.size).unwrap();
        sizes.push(size);
        let (performative, payload) =
            frame::decode_amqp_body(Bytes::copy_from_slice(&rest[8..size])).unwrap();
        let Performative::Transfer(transfer) = performative else { panic!() };
        rest = &rest[size..];
        assert_eq!(transfer.more, !rest.is_empty());
        together.extend_from_slice(&payload);
    }
    assert_eq!(together, payload);
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size == 512), "{sizes:?}");
}

// §2.7.5
#[test]
fn a_gap_in_the_delivery_ids_ends_the_session() {
    let (mut script, _) = Scripted::receiving(Credit::Auto(10), Limits::default());
    script.delivers(u32::MAX);
    script.delivers(0);
    script.delivers(2);
    assert_eq!(script.ends_with(), conditions::INVALID_FIELD);
}

// §2.6.14
#[test]
fn an_aborted_delivery_is_forgotten_and_gives_its_credit_back() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(1), Limits::default());
    script.hears();
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(0);
    transfer.delivery_tag = Some(Bytes::from_static(b"t"));
    transfer.more = true;
    script.transfers(&transfer, b"half");
    let mut transfer = Transfer::new(3_u32);
    transfer.aborted = true;
    script.transfers(&transfer, b"");
    assert!(script.engine.take(link).unwrap().is_none());
    let heard = script.hears();
    assert_eq!(flows(&heard)[0].link_credit, Some(1), "{heard:?}");
    script.delivers(1);
    assert!(script.engine.take(link).unwrap().is_some());
}

// §2.7.5
#[test]
fn settled_is_sticky_over_the_frames_of_a_delivery() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(1), Limits::default());
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(0);
    transfer.delivery_tag = Some(Bytes::from_static(b"t"));
    transfer.settled = Some(true);
    transfer.more = true;
    script.transfers(&transfer, b"a");
    script.transfers(&Transfer::new(3_u32), b"b");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert!(delivery.settled);
    assert_eq!(delivery.payload, b"ab"[..]);
}

// §2.7.3
#[test]
fn a_message_above_the_limit_detaches_the_link() {
    let limits = Limits { max_message_size: 3, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(1), limits);
    script.delivers(0);
    assert_eq!(script.detaches_with(), conditions::MESSAGE_SIZE_EXCEEDED);
}

// §2.7.6
#[test]
fn a_disposition_over_all_ids_settles_what_is_in_flight() {
    let (mut script, link) = Scripted::sending(100, 100);
    for _ in 0..3 {
        script.sends(link, b"x");
    }
    script.hears();
    let mut disposition = Disposition::new(Role::Receiver, 0_u32);
    disposition.last = Some(u32::MAX >> 1);
    disposition.settled = true;
    disposition.state = Some(DeliveryState::Accepted);
    script.says(7, Performative::Disposition(disposition));
    assert_eq!(script.outcomes(), vec![Some(Outcome::Accepted); 3]);
    assert!(script.hears().is_empty(), "the receiver has settled: the sender has nothing to say");
}

// §2.6.12
#[test]
fn a_sender_settles_what_the_receiver_left_unsettled() {
    let (mut script, link) = Scripted::sending(100, 100);
    script.sends(link, b"x");
    script.hears();
    let mut disposition = Disposition::new(Role::Receiver, 0_u32);
    disposition.state = Some(DeliveryState::Released);
    script.says(7, Performative::Disposition(disposition));
    assert_eq!(script.outcomes(), [Some(Outcome::Released)]);
    let heard = script.hears();
    let [(0, Performative::Disposition(answer), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((answer.role, answer.settled), (Role::Sender, true));
}

// §2.7.6
#[test]
fn a_reversed_range_ends_the_session() {
    let (mut script, _) = Scripted::begun();
    script.hears();
    let mut disposition = Disposition::new(Role::Receiver, 5_u32);
    disposition.last = Some(4);
    script.says(7, Performative::Disposition(disposition));
    assert_eq!(script.ends_with(), conditions::INVALID_FIELD);
}

// §2.6.12
#[test]
fn a_delivery_that_the_sender_takes_back_cannot_be_settled() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(1), Limits::default());
    script.delivers(0);
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    // As RabbitMQ 4.3 does when a consumer holds a message too long.
    let mut disposition = Disposition::new(Role::Sender, 0_u32);
    disposition.state = Some(DeliveryState::Released);
    script.says(7, Performative::Disposition(disposition));
    assert!(script.engine.settle(link, delivery.id, Outcome::Accepted).is_err());
    let heard = script.hears();
    assert!(
        heard.iter().any(|(_, performative, _)| matches!(
            performative,
            Performative::Disposition(Disposition { role: Role::Receiver, settled: true, .. })
        )),
        "the sender waits for the answer: {heard:?}"
    );
    assert_eq!(flows(&heard).len(), 1, "its credit comes back");
}

// §2.6.12
#[test]
fn in_mode_second_the_sender_settles_last() {
    let (mut script, session) = Scripted::begun();
    let mut second = options(Role::Receiver, Credit::Auto(1));
    second.rcv_settle_mode = ReceiverSettleMode::Second;
    let link = script.engine.attach(session, second).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.delivers(0);
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    script.engine.settle(link, delivery.id, Outcome::Accepted).unwrap();
    let heard = script.hears();
    let [(0, Performative::Disposition(verdict), _)] = &heard[..] else { panic!("{heard:?}") };
    assert!(!verdict.settled);
    let mut answer = Disposition::new(Role::Sender, 0_u32);
    answer.settled = true;
    script.says(7, Performative::Disposition(answer));
    assert_eq!(flows(&script.hears()).len(), 1);
}

// §2.6.3
#[test]
fn a_refused_link_waits_for_the_reason() {
    let (mut script, session) = Scripted::begun();
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    script.hears();
    script.says(7, Performative::Attach(Box::new(Attach::new("link", 3_u32, Role::Receiver))));
    assert_eq!(script.engine.link_status(link), LinkStatus::Pending);
    let mut detach = Detach::new(3_u32);
    detach.closed = true;
    detach.error = Some(ErrorInfo::new(conditions::NOT_FOUND, "no"));
    script.says(7, Performative::Detach(detach));
    assert!(matches!(
        script.engine.link_status(link),
        LinkStatus::Ended(LinkError::Refused(Some(error))) if error.condition == conditions::NOT_FOUND
    ));
    assert!(matches!(script.hears()[..], [(0, Performative::Detach(Detach { closed: true, .. }), _)]));
}

// §2.6.3
#[test]
fn a_sender_and_a_receiver_may_have_the_same_name() {
    let (mut script, session) = Scripted::begun();
    let sender = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let receiver = script.engine.attach(session, options(Role::Receiver, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 9_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    script.says(7, Performative::Attach(Box::new(attach)));
    assert_eq!(script.engine.link_status(receiver), LinkStatus::Attached);
    assert_eq!(script.engine.link_status(sender), LinkStatus::Pending);
}

// §2.6.2
#[test]
fn a_handle_in_use_and_one_that_is_not_end_the_session() {
    let (mut script, _) = Scripted::receiving(Credit::Auto(1), Limits::default());
    script.says(7, Performative::Attach(Box::new(Attach::new("other", 3_u32, Role::Sender))));
    assert_eq!(script.ends_with(), conditions::HANDLE_IN_USE);
    let (mut script, _) = Scripted::begun();
    script.hears();
    let mut flow = Flow::new(1_u32, u32::MAX - 1, 1_u32);
    (flow.next_incoming_id, flow.handle) = (Some(0), Some(0));
    script.says(7, Performative::Flow(flow));
    assert_eq!(script.ends_with(), conditions::UNATTACHED_HANDLE);
}

// §2.6.6
#[test]
fn what_was_under_way_when_a_link_was_detached_is_dropped() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(10), Limits::default());
    script.delivers(0);
    script.engine.detach(link, true, None);
    script.delivers(1);
    script.grants(10, 0, 0, 0);
    let mut detach = Detach::new(3_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    let heard = script.hears();
    assert!(
        !heard.iter().any(|(_, performative, _)| matches!(performative, Performative::End(_))),
        "{heard:?}"
    );
    assert!(script.engine.is_link_detached(link));
}

// §2.6.6
#[test]
fn a_link_that_ends_tells_everyone_who_waits() {
    let (mut script, link) = Scripted::sending(1, 10);
    script.sends(link, b"sent");
    script.sends(link, b"held back by the window");
    script.hears();
    script.outcomes();
    let mut detach = Detach::new(3_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    assert_eq!(script.outcomes(), [None, None]);
}

// §2.6.6
#[test]
fn links_and_sessions_that_are_over_leave_nothing_behind() {
    let (mut script, session) = Scripted::begun();
    for _ in 0..3 {
        let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
        let mut attach = Attach::new("link", 3_u32, Role::Receiver);
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        script.says(7, Performative::Attach(Box::new(attach)));
        script.engine.forget_link(link);
        let mut detach = Detach::new(3_u32);
        detach.closed = true;
        script.says(7, Performative::Detach(detach));
        assert!(script.engine.links.is_empty());
    }
    script.engine.forget_session(session);
    script.says(7, Performative::End(End::default()));
    for _ in 0..3 {
        script.says(9, Performative::Begin(Box::new(Begin::new(0_u32, 1_u32, 1_u32))));
        assert_eq!(script.engine.sessions.len(), 1);
        script.says(9, Performative::End(End::default()));
        assert!(script.engine.sessions.is_empty());
    }
}

// §2.8.15
#[test]
fn octets_that_are_no_performative_close_the_connection() {
    for body in [&b"\x00\x53\x99\x45"[..], b"\x40", b"\x00\x53\x13\x45", b"\x00\x53\x17\x45\x40"] {
        let (mut script, _) = Scripted::begun();
        script.hears();
        let mut octets = BytesMut::new();
        let size = u32::try_from(8 + body.len()).unwrap();
        FrameHeader { size, doff: 2, frame_type: FrameType::Amqp, channel: 7 }.encode(&mut octets);
        octets.extend_from_slice(body);
        script.feed(&octets);
        assert_eq!(script.closes_with(), conditions::DECODE_ERROR);
    }
}

#[test]
fn a_client_serves_no_links() {
    let (mut script, _) = Scripted::begun();
    script.hears();
    let mut attach = Attach::new("theirs", 4_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    let heard = script.hears();
    let [(_, Performative::Attach(refusal), _), (_, Performative::Detach(detach), _)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(refusal.target, None);
    assert!(detach.error.is_some() && detach.closed);
}
