//! Protocol headers, SASL, frames, open and close, idle time-outs.

use super::*;

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
fn what_is_missing_of_a_frame_is_known_from_its_header_on() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    assert_eq!(script.engine.missing(b"AMQP"), 4);
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    let mut frame = BytesMut::new();
    frame::encode_frame(&mut frame, 0, &Performative::Open(Box::new(Open::new("peer"))));
    assert_eq!(script.engine.missing(&[]), 8);
    assert_eq!(script.engine.missing(&frame[..3]), 5);
    assert_eq!(script.engine.missing(&frame[..8]), frame.len() - 8);
    // A size that nobody has checked yet takes no room.
    assert_eq!(script.engine.missing(&[0xff; 4]), 4);
    assert_eq!(script.engine.missing(&[0xff; 7]), 1);
    assert_eq!(script.engine.missing(&frame[..frame.len() - 1]), 1);
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

// §2.4.3
#[test]
fn verdicts_given_before_the_peers_close_still_leave() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(1), Limits::default());
    script.delivers(0);
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    script.engine.settle(link, delivery.id, Outcome::Accepted).unwrap();
    script.says(0, Performative::Close(Close::default()));
    let heard = script.hears();
    assert!(matches!(heard[0].1, Performative::Disposition(_)), "{heard:?}");
    assert!(matches!(heard.last(), Some((0, Performative::Close(_), _))));
}

// §2.4.5
#[test]
fn an_idle_time_out_that_cannot_be_kept_is_refused() {
    let mut open = Open::new("peer");
    open.idle_time_out = Some(1);
    let mut script = Scripted::opened(open, Limits::default());
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
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

// §2.4.3
#[test]
fn a_close_is_answered_with_a_close() {
    let mut client = Scripted::opened(Open::new("peer"), Limits::default());
    let mut listener = Scripted::listener();
    listener.feed(&ProtocolHeader::SASL.to_bytes());
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
    listener.feed(&sasl_frame(&SaslFrame::Init(init)));
    listener.feed(&ProtocolHeader::AMQP.to_bytes());
    listener.says(0, Performative::Open(Box::new(Open::new("peer"))));
    for script in [&mut client, &mut listener] {
        script.hears();
        script.says(0, Performative::Close(Close::default()));
        let heard = script.hears();
        assert!(matches!(heard[..], [(0, Performative::Close(Close { error: None }), _)]), "{heard:?}");
        assert!(script.engine.is_ended());
    }
}
