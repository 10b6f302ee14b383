//! Whatever can be encoded: any message arrives as it was sent, however it is cut into frames; and no performative, whenever
//! it comes, breaks the engine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use amqp_codec::arbitrary::{message, performative};
use amqp_codec::frame::{self, ProtocolHeader};
use amqp_codec::messaging::{Message, Source, Target, TargetArchetype};
use amqp_codec::transport::{Attach, Begin, Flow, Open, Performative, Role, Transfer};
use amqp_codec::{Bytes, BytesMut, Encode};
use amqp_transport::engine::{Engine, Event, LinkKey, LinkOptions, OutgoingDelivery, Side, Termini, Token};
use amqp_transport::{Credit, Limits, Outcome, Sasl, StaticCredentials};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

fn octets_of(engine: &mut Engine, now: Instant) -> Vec<u8> {
    let mut out = VecDeque::new();
    engine.poll_output(&mut out, now);
    out.into_iter().flatten().collect()
}

/// Carries octets both ways until there are none, cut into pieces of this size.
fn converse(client: &mut Engine, listener: &mut Engine, piece: usize, now: Instant) {
    let (mut to_listener, mut to_client) = (BytesMut::new(), BytesMut::new());
    loop {
        let (there, back) = (octets_of(client, now), octets_of(listener, now));
        if there.is_empty() && back.is_empty() {
            return;
        }
        for part in there.chunks(piece) {
            to_listener.extend_from_slice(part);
            listener.handle_input(&mut to_listener, now);
        }
        for part in back.chunks(piece) {
            to_client.extend_from_slice(part);
            client.handle_input(&mut to_client, now);
        }
    }
}

fn options(role: Role) -> LinkOptions {
    match role {
        Role::Sender => LinkOptions::sender("link", "q"),
        Role::Receiver => LinkOptions::receiver("link", "q", Credit::Auto(10)),
    }
}

fn requested(engine: &mut Engine) -> LinkKey {
    std::iter::from_fn(|| engine.poll_event())
        .find_map(|event| match event {
            Event::LinkRequested(link) => Some(link),
            _ => None,
        })
        .unwrap()
}

/// What a listener receives of what a client sends, in frames and pieces of these sizes.
fn carried(message: &Message, max_frame_size: u32, piece: usize) -> Bytes {
    let now = Instant::now();
    let limits = || {
        let mut limits = Limits::default();
        limits.max_frame_size = max_frame_size;
        limits
    };
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let mut client = Engine::new(Side::Client(Sasl::Anonymous), Open::new("c"), limits(), now);
    let mut listener = Engine::new(Side::Listener(Arc::new(anyone)), Open::new("l"), limits(), now);
    converse(&mut client, &mut listener, piece, now);
    let session = client.begin().unwrap();
    let sending = client.attach(session, options(Role::Sender)).unwrap();
    converse(&mut client, &mut listener, piece, now);
    let receiving = requested(&mut listener);
    listener.accept(receiving, Termini::default(), Credit::Auto(10)).unwrap();
    converse(&mut client, &mut listener, piece, now);
    client.send(sending, OutgoingDelivery::new(message.to_bytes(), Token(0))).unwrap();
    converse(&mut client, &mut listener, piece, now);
    let delivery = listener.take(receiving).unwrap().unwrap();
    listener.settle(receiving, delivery.id, Outcome::Accepted).unwrap();
    converse(&mut client, &mut listener, piece, now);
    let told = std::iter::from_fn(|| client.poll_event())
        .any(|event| matches!(event, Event::Outcome { outcome: Some(Outcome::Accepted), .. }));
    assert!(told);
    delivery.payload
}

/// A client with a session and a link in each direction.
fn attached(now: Instant) -> (Engine, BytesMut) {
    let mut engine = Engine::new(Side::Client(Sasl::None), Open::new("c"), Limits::default(), now);
    let mut input = BytesMut::from(&ProtocolHeader::AMQP.to_bytes()[..]);
    frame::encode_frame(&mut input, 0, &Performative::Open(Box::new(Open::new("peer"))));
    engine.handle_input(&mut input, now);
    let session = engine.begin().unwrap();
    octets_of(&mut engine, now);
    let mut begin = Begin::new(0_u32, 100_u32, 100_u32);
    begin.remote_channel = Some(0);
    frame::encode_frame(&mut input, 0, &Performative::Begin(Box::new(begin)));
    engine.handle_input(&mut input, now);
    engine.attach(session, options(Role::Sender)).unwrap();
    engine.attach(session, options(Role::Receiver)).unwrap();
    octets_of(&mut engine, now);
    for (handle, role) in [(0_u32, Role::Receiver), (1, Role::Sender)] {
        let mut attach = Attach::new("link", handle, role);
        attach.source = Some(Source::new("q"));
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        attach.initial_delivery_count = Some(0);
        frame::encode_frame(&mut input, 0, &Performative::Attach(Box::new(attach)));
    }
    let mut flow = Flow::new(100_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle) = (Some(0), Some(0));
    (flow.delivery_count, flow.link_credit) = (Some(0), Some(10));
    frame::encode_frame(&mut input, 0, &Performative::Flow(flow));
    engine.handle_input(&mut input, now);
    assert!(!engine.is_ended());
    (engine, input)
}

/// Makes what comes by lot come to what is there: small numbers where a link or a session is named.
fn aimed(performative: Performative) -> Performative {
    match performative {
        Performative::Transfer(transfer) => {
            Performative::Transfer(Transfer { handle: transfer.handle % 3, ..transfer })
        }
        Performative::Flow(flow) => Performative::Flow(Flow { handle: flow.handle.map(|it| it % 3), ..flow }),
        Performative::Detach(mut detach) => {
            detach.handle %= 3;
            Performative::Detach(detach)
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 300 } else { 3_000 }))]

    // §2.6.14
    #[test]
    fn any_message_arrives_as_it_was_sent_however_it_is_cut(
        message in message(),
        max_frame_size in 512_u32..2_000,
        piece in 1_usize..3_000,
    ) {
        let payload = carried(&message, max_frame_size, piece);
        prop_assert_eq!(&payload, &message.to_bytes());
    }

    #[test]
    fn no_performative_whenever_it_comes_breaks_the_engine(
        performatives in prop::collection::vec((0_u16..3, performative(), prop::collection::vec(any::<u8>(), 0..20)), 1..12),
    ) {
        let now = Instant::now();
        let (mut engine, mut input) = attached(now);
        for (channel, performative, payload) in performatives {
            let performative = aimed(performative);
            if let Performative::Transfer(transfer) = &performative {
                frame::encode_transfer_header(&mut input, channel, transfer, payload.len());
                input.extend_from_slice(&payload);
            } else {
                frame::encode_frame(&mut input, channel, &performative);
            }
            engine.handle_input(&mut input, now);
            while engine.poll_event().is_some() {}
            octets_of(&mut engine, now);
            prop_assert!(input.is_empty() || engine.is_ended(), "{} octets wait", input.len());
        }
        engine.handle_lost("over");
        prop_assert!(engine.is_ended());
    }
}
