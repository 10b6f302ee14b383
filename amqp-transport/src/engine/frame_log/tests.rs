//! What lines look like, and that nothing secret is in them.

use super::{Direction, FrameLog};
use amqp_codec::Encode;
use amqp_codec::messaging::{DeliveryState, Source, Target, TargetArchetype};
use amqp_codec::security::{SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslOutcome, SaslResponse};
use amqp_codec::transport::{
    Attach, Close, Disposition, ErrorInfo, Flow, Open, Performative, Role, Transfer, conditions,
};
use amqp_codec::types::{Fields, Symbol, Value};
use bytes::Bytes;
use std::sync::{Arc, Mutex};

/// The lines that `act` makes.
fn lines(act: impl FnOnce(&FrameLog)) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    act(&FrameLog::to(move |line| kept.lock().unwrap().push(line.to_owned())).named("c"));
    std::mem::take(&mut *lines.lock().unwrap())
}

fn sent(performative: impl Into<Performative>) -> String {
    let octets = performative.into().to_bytes();
    lines(|log| log.frame(Direction::Sent, Some(7), &octets, 0)).remove(0)
}

fn sasl(frame: &SaslFrame) -> String {
    let octets = frame.to_bytes();
    lines(|log| log.frame(Direction::Received, None, &octets, 0)).remove(0)
}

#[test]
fn a_line_has_direction_channel_performative_and_the_fields_that_are_set() {
    let mut open = Open::new("me");
    open.hostname = Some("host".into());
    open.max_frame_size = 4096;
    open.offered_capabilities = vec![Symbol::from_static("A"), Symbol::from_static("B")];
    assert_eq!(
        sent(Performative::Open(Box::new(open))),
        r#"c -> 7 open container-id="me" hostname="host" max-frame-size=4096 offered-capabilities=[:A, :B]"#
    );
    let mut attach = Attach::new("link", 0_u32, Role::Receiver);
    attach.source = Some(Source::new("q"));
    attach.target = Some(TargetArchetype::Target(Target::default()));
    assert_eq!(
        sent(Performative::Attach(Box::new(attach))),
        r#"c -> 7 attach name="link" handle=0 role=receiver source=source(address="q") target=target()"#
    );
    let mut flow = Flow::new(5_u32, 6_u32, 7_u32);
    flow.handle = Some(1);
    flow.link_credit = Some(10);
    flow.drain = true;
    assert_eq!(
        sent(Performative::Flow(flow)),
        "c -> 7 flow incoming-window=5 next-outgoing-id=6 outgoing-window=7 handle=1 link-credit=10 drain=true"
    );
    let mut disposition = Disposition::new(Role::Receiver, 3_u32);
    disposition.settled = true;
    disposition.state = Some(DeliveryState::Accepted);
    assert_eq!(
        sent(Performative::Disposition(disposition)),
        "c -> 7 disposition role=receiver first=3 settled=true state=accepted()"
    );
    let error = Some(ErrorInfo::new(conditions::NOT_FOUND, "no \"q\"\n"));
    assert_eq!(
        sent(Performative::Close(Close { error })),
        r#"c -> 7 close error=error(condition=:amqp:not-found, description="no \"q\"\n")"#
    );
}

#[test]
fn of_a_transfer_the_size_of_the_payload_is_shown_and_nothing_of_the_payload() {
    let mut transfer = Transfer::new(0_u32);
    transfer.delivery_id = Some(4);
    transfer.delivery_tag = Some(Bytes::from_static(b"\x00\xff"));
    let mut octets = transfer.to_bytes().to_vec();
    assert_eq!(
        lines(|log| log.frame(Direction::Sent, Some(1), &Bytes::from(octets.clone()), 300)),
        ["c -> 1 transfer handle=0 delivery-id=4 delivery-tag=0x00ff payload=300"]
    );
    octets.extend_from_slice(b"the message");
    assert_eq!(
        lines(|log| log.frame(Direction::Received, Some(1), &octets.into(), 0)),
        ["c <- 1 transfer handle=0 delivery-id=4 delivery-tag=0x00ff payload=11"]
    );
}

#[test]
fn headers_and_empty_and_broken_frames_have_lines_too() {
    let all = lines(|log| {
        log.header(Direction::Sent, b"AMQP\x03\x01\x00\x00");
        log.header(Direction::Received, b"AMQP\x00\x00\x09\x01");
        log.header(Direction::Received, b"HTTP/1.1");
        log.frame(Direction::Received, Some(0), &Bytes::new(), 0);
        log.frame(Direction::Received, Some(0), &Bytes::from_static(b"\x00\x53"), 0);
        log.frame(Direction::Received, Some(0), &Bytes::from_static(b"\x00\x53\x99\x45"), 0);
    });
    let expected = [
        "c -> header SASL 1.0.0",
        "c <- header AMQP 0.9.1",
        "c <- header unknown",
        "c <- 0 empty",
        "c <- 0 undecodable (2 octets)",
        "c <- 0 @153([])",
    ];
    assert_eq!(all.iter().map(|line| line.replace("  ", " ")).collect::<Vec<_>>(), expected);
}

#[test]
fn what_sasl_frames_carry_is_not_shown() {
    let secret = || Bytes::from_static(b"\0user\0hunter2");
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(secret().into());
    init.hostname = Some("host".into());
    let mut outcome = SaslOutcome::new(SaslCode::Auth);
    outcome.additional_data = Some(secret().into());
    for (frame, expected) in [
        (SaslFrame::Init(init), r#"c <- sasl-init mechanism=:PLAIN initial-response=*** hostname="host""#),
        (SaslFrame::Challenge(SaslChallenge::new(secret())), "c <- sasl-challenge challenge=***"),
        (SaslFrame::Response(SaslResponse::new(secret())), "c <- sasl-response response=***"),
        (SaslFrame::Outcome(outcome), "c <- sasl-outcome code=auth additional-data=***"),
    ] {
        assert_eq!(sasl(&frame), expected);
    }
}

#[test]
fn entries_and_texts_that_may_be_secret_are_not_shown() {
    let mut properties = Fields::default();
    for name in ["password", "x-opt-Access-Key", "sas_token", "Authorization", "SAS", "client.secret"] {
        properties.insert(Symbol::from_static(name), Value::from("hunter2"));
    }
    properties.insert(Symbol::from_static("product"), Value::from("thing"));
    properties.insert(Symbol::from_static("nested"), Value::List(vec![Value::from("Bearer hunter2")]));
    properties.insert(Symbol::from_static("a"), Value::from("SharedAccessSignature sr=x&sig=hunter2&se=1"));
    properties.insert(Symbol::from_static("b"), Value::from("eyJhbGciOi.hunter2.x"));
    properties.insert(Symbol::from_static("c"), Value::Binary(Bytes::from_static(b"Bearer hunter2")));
    properties.insert(Symbol::from_static("d"), Value::from("amqps://me:hunter2@host/path"));
    properties.insert(Symbol::from_static("e"), Value::Symbol(Symbol::from_static("password=hunter2")));
    let mut attach = Attach::new("link", 0_u32, Role::Sender);
    attach.properties = Some(properties);
    attach.target = Some(TargetArchetype::Target(Target::new("amqp://u:hunter2@h/q@x")));
    let line = sent(Performative::Attach(Box::new(attach)));
    assert!(!line.contains("hunter2"), "{line}");
    for kept in ["product=\"thing\"", "amqps://***@host/path", "amqp://***@h/q@x"] {
        assert!(line.contains(kept), "{kept} in {line}");
    }
}

#[test]
fn a_peer_cannot_make_lines_long_nor_steer_a_terminal() {
    let mut open = Open::new("\u{1b}[2J\n".repeat(1000));
    open.offered_capabilities = (0..500).map(|_| Symbol::try_from("x".repeat(300)).unwrap()).collect();
    let mut properties = Fields::default();
    properties
        .insert(Symbol::from_static("deep"), Value::List(vec![Value::List(vec![Value::Null; 5000]); 50]));
    open.properties = Some(properties);
    let line = sent(Performative::Open(Box::new(open)));
    assert!(line.len() < 5000, "{}", line.len());
    assert!(!line.chars().any(char::is_control), "{line}");
    assert!(line.ends_with(" ..."));
}

#[test]
fn without_a_sink_nothing_is_on() {
    assert!(!FrameLog::off().is_on());
    assert!(FrameLog::to(|_| ()).is_on());
    assert_eq!(format!("{:?}", FrameLog::to(|_| ()).named("x")), "FrameLog(on, x)");
}
