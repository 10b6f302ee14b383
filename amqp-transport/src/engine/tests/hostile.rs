//! Peers that break rules, stall, or try to make this side grow: each ends in its error, in time, with little held.

use super::*;

/// A listener that takes anybody, opened by its peer; small limits where memory is counted.
fn opened_listener(limits: Limits) -> Scripted {
    let now = Instant::now();
    let users = StaticCredentials { anonymous: true, users: Vec::new() };
    let engine = Engine::new(Side::Listener(Arc::new(users)), Open::new("server"), limits, now);
    let mut script = Scripted { engine, input: BytesMut::new(), now };
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(0, Performative::Open(Box::new(Open::new("peer"))));
    script.octets();
    script
}

fn begin() -> Performative {
    Performative::Begin(Box::new(Begin::new(0_u32, 100_u32, 100_u32)))
}

fn attach(name: &str, handle: u32, role: Role) -> Attach {
    let mut attach = Attach::new(name, handle, role);
    attach.source = Some(Source::new("q"));
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.initial_delivery_count = (role == Role::Sender).then_some(0);
    attach
}

// ---- frames -----------------------------------------------------------------------------------------------

// §2.4.1
#[test]
fn a_frame_above_the_announced_size_is_a_framing_error_before_it_is_buffered() {
    let limits = Limits { max_frame_size: 512, ..Limits::default() };
    let (mut script, _) = Scripted::begun_with(limits, 100);
    script.hears();
    script.feed(&[0, 0, 2, 1, 2, 0, 0, 7]);
    assert_eq!(script.closes_with(), conditions::FRAMING_ERROR);
    assert!(script.input.is_empty());
}

// §2.3.1
#[test]
fn an_extended_header_is_passed_over() {
    let mut script = opened_listener(Limits::default());
    let mut octets = BytesMut::new();
    frame::encode_frame(&mut octets, 0, &begin());
    octets[4] = 4;
    let size = octets.len() + 8;
    octets[..4].copy_from_slice(&u32::try_from(size).unwrap().to_be_bytes());
    let mut extended = octets.split_to(8);
    extended.extend_from_slice(b"whatever");
    extended.extend_from_slice(&octets);
    script.feed(&extended);
    assert!(matches!(script.hears()[..], [(0, Performative::Begin(_), _)]));
}

// §2.4.5
#[test]
fn endless_empty_frames_cost_nothing() {
    let mut script = opened_listener(Limits::default());
    let alive = [0, 0, 0, 8, 2, 0, 0, 0].repeat(1000);
    for _ in 0..100 {
        script.feed(&alive);
    }
    let usage = script.engine.usage();
    assert_eq!((usage.queued_bytes, usage.events, script.input.len()), (0, 1, 0), "{usage:?}");
}

// §2.3.1
#[test]
fn a_sasl_frame_after_open_is_a_framing_error() {
    let mut script = opened_listener(Limits::default());
    script.feed(&sasl_frame(&SaslFrame::Init(SaslInit::new(Symbol::from_static("PLAIN")))));
    assert_eq!(script.closes_with(), conditions::FRAMING_ERROR);
}

// §2.4.1
#[test]
fn open_belongs_on_channel_0() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    script.octets();
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(3, Performative::Open(Box::new(Open::new("peer"))));
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
}

// §2.4.5
#[test]
fn an_empty_frame_before_open_is_not_allowed() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    script.octets();
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.feed(&[0, 0, 0, 8, 2, 0, 0, 0]);
    assert!(matches!(script.engine.end(), Some(ConnectionError::Violation(error))
        if error.condition == conditions::NOT_ALLOWED));
}

// ---- stalls -----------------------------------------------------------------------------------------------

/// What a peer says up to a step at which it falls silent.
fn stalls_after(mut script: Scripted, said: &[&[u8]]) -> String {
    let patience = script.engine.limits().handshake;
    for octets in said {
        script.feed(octets);
        script.octets();
    }
    let deadline = script.engine.deadline().unwrap();
    assert_eq!(deadline, script.now + patience, "the whole handshake has one deadline");
    script.engine.handle_timeout(deadline - Duration::from_millis(1));
    assert!(!script.engine.is_ended());
    script.engine.handle_timeout(deadline);
    assert!(script.engine.is_ended() && script.engine.deadline().is_none());
    script.engine.end().unwrap().to_string()
}

// §2.4.1
#[test]
fn a_peer_that_stalls_at_any_step_of_the_handshake_is_given_up_in_time() {
    let plain = || Sasl::Plain { user: "u".into(), password: "p".into() };
    let client = |sasl: Sasl| {
        let mut script = Scripted::client_with(sasl, Limits::default());
        script.octets();
        script
    };
    let mechanisms = sasl_frame(&SaslFrame::Mechanisms(SaslMechanisms {
        sasl_server_mechanisms: vec![Symbol::from_static("PLAIN")],
    }));
    let outcome = sasl_frame(&SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok)));
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
    let init = sasl_frame(&SaslFrame::Init(init));
    let (sasl, amqp) = (ProtocolHeader::SASL.to_bytes(), ProtocolHeader::AMQP.to_bytes());

    let headers = "the peer did not answer in time while exchanging protocol headers";
    let sasl_text = "the peer did not answer in time while authenticating";
    let opening = "the peer did not answer in time while opening the connection";
    assert_eq!(stalls_after(client(plain()), &[]), headers);
    assert_eq!(stalls_after(client(plain()), &[&sasl[..3]]), headers);
    assert_eq!(stalls_after(client(plain()), &[&sasl]), sasl_text);
    assert_eq!(stalls_after(client(plain()), &[&sasl, &mechanisms[..9]]), sasl_text);
    assert_eq!(stalls_after(client(plain()), &[&sasl, &mechanisms]), sasl_text);
    assert_eq!(stalls_after(client(plain()), &[&sasl, &mechanisms, &outcome]), headers);
    assert_eq!(stalls_after(client(plain()), &[&sasl, &mechanisms, &outcome, &amqp]), opening);
    assert_eq!(stalls_after(client(Sasl::None), &[&amqp]), opening);

    assert_eq!(stalls_after(Scripted::listener(), &[]), headers);
    assert_eq!(stalls_after(Scripted::listener(), &[&sasl[..7]]), headers);
    assert_eq!(stalls_after(Scripted::listener(), &[&sasl]), sasl_text);
    assert_eq!(stalls_after(Scripted::listener(), &[&sasl, &init[..10]]), sasl_text);
    assert_eq!(stalls_after(Scripted::listener(), &[&sasl, &init]), headers);
    assert_eq!(stalls_after(Scripted::listener(), &[&sasl, &init, &amqp]), opening);
}

// §5.3.2
#[test]
fn endless_sasl_challenges_end_at_the_limit() {
    let mut script =
        Scripted::client_with(Sasl::Plain { user: "u".into(), password: "p".into() }, Limits::default());
    script.feed(&ProtocolHeader::SASL.to_bytes());
    let offered = vec![Symbol::from_static("PLAIN")];
    script.feed(&sasl_frame(&SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: offered })));
    let challenge = SaslFrame::Challenge(amqp_codec::security::SaslChallenge::new(Bytes::new()));
    for _ in 0..script.engine.limits().max_sasl_frames {
        script.feed(&sasl_frame(&challenge));
    }
    assert!(script.engine.is_ended());
}

// §5.3.1
#[test]
fn a_sasl_frame_may_be_larger_than_512_octets_but_not_than_the_limit() {
    for (size, is_borne) in [(600, true), (8_000, true), (8_200, false)] {
        let mut script = Scripted::listener();
        script.feed(&ProtocolHeader::SASL.to_bytes());
        let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
        init.initial_response = Some(Bytes::from(vec![b'x'; size]).into());
        script.feed(&sasl_frame(&SaslFrame::Init(init))[..300]);
        assert_eq!(script.engine.is_ended(), !is_borne, "{size}");
    }
}

// ---- sessions ---------------------------------------------------------------------------------------------

// §2.7.1
#[test]
fn a_thousand_sessions_are_too_many() {
    let mut script = opened_listener(Limits::default());
    for channel in 0..=255 {
        script.says(channel, begin());
    }
    assert_eq!(script.engine.usage().sessions, 256);
    assert_eq!(script.hears().len(), 256);
    script.says(256, begin());
    assert_eq!(script.closes_with(), conditions::FRAMING_ERROR);
    assert_eq!(script.engine.usage().sessions, 0);
}

// §2.5.1
#[test]
fn a_second_begin_on_a_channel_is_not_allowed() {
    let mut script = opened_listener(Limits::default());
    script.says(4, begin());
    script.says(4, begin());
    assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
}

// §2.5.5
#[test]
fn sessions_that_come_and_go_leave_nothing_behind() {
    let mut script = opened_listener(Limits::default());
    for _ in 0..10_000 {
        script.says(9, begin());
        script.says(9, Performative::End(End::default()));
        assert_eq!(script.hears().len(), 2);
        while script.engine.poll_event().is_some() {}
    }
    assert_eq!(script.engine.usage(), crate::engine::Usage::default());
}

// §2.5.1
#[test]
fn a_frame_on_a_channel_without_a_session_is_not_allowed() {
    for performative in [
        Performative::End(End::default()),
        Performative::Detach(Detach::new(0_u32)),
        Performative::Flow(Flow::new(1_u32, 1_u32, 1_u32)),
    ] {
        let mut script = opened_listener(Limits::default());
        script.says(1, performative);
        assert_eq!(script.closes_with(), conditions::NOT_ALLOWED);
    }
}

// §2.5.6
#[test]
fn a_flow_that_expects_transfers_never_sent_is_a_window_violation() {
    let (mut script, _) = Scripted::begun();
    script.hears();
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    flow.next_incoming_id = Some(1);
    script.says(7, Performative::Flow(flow));
    assert_eq!(script.ends_with(), conditions::WINDOW_VIOLATION);
}

// §2.7.4
#[test]
fn echoes_that_come_together_are_answered_together() {
    let (mut script, _) = Scripted::begun();
    script.hears();
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.echo) = (Some(0), true);
    for _ in 0..10_000 {
        script.says(7, Performative::Flow(flow.clone()));
    }
    assert_eq!(script.hears().len(), 1);
}

// ---- links ------------------------------------------------------------------------------------------------

// §2.7.2
#[test]
fn a_thousand_links_are_too_many() {
    let mut script = opened_listener(Limits::default());
    script.says(0, begin());
    for handle in 0..=255_u32 {
        let name = format!("link {handle}");
        script.says(0, Performative::Attach(Box::new(attach(&name, handle, Role::Sender))));
    }
    assert_eq!(script.engine.usage().links, 256);
    script.says(0, Performative::Attach(Box::new(attach("one more", 256, Role::Sender))));
    assert_eq!(script.closes_with(), conditions::FRAMING_ERROR);
}

// §2.6.3
#[test]
fn links_that_are_asked_for_and_taken_back_without_end_are_a_limit_exceeded() {
    let limits = Limits { handle_max: 3, channel_max: 0, ..Limits::default() };
    let mut script = opened_listener(limits);
    script.says(0, begin());
    script.hears();
    // Nobody on this side answers or forgets any of them.
    let mut ends = None;
    for round in 0..5_000 {
        script.says(0, Performative::Attach(Box::new(attach(&format!("{round}"), 0, Role::Sender))));
        let mut detach = Detach::new(0_u32);
        detach.closed = true;
        script.says(0, Performative::Detach(detach));
        ends = script.hears().into_iter().find_map(|(_, performative, _)| match performative {
            Performative::End(End { error: Some(error) }) => Some(error.condition),
            _ => None,
        });
        if ends.is_some() {
            break;
        }
    }
    assert_eq!(ends, Some(conditions::RESOURCE_LIMIT_EXCEEDED));
    assert!(script.engine.usage().links < 1_200, "{:?}", script.engine.usage());
}

// §2.6.7
#[test]
fn without_credit_nothing_leaves_and_little_can_be_handed_over() {
    let (mut script, link) = Scripted::sending(100, 0);
    assert_eq!(script.engine.credit(link), Ok(0));
    assert!(script.hears().is_empty());
}

// §2.6.7
#[test]
fn boundless_credit_does_not_make_boundless_queues() {
    // The window stays closed, so that nothing leaves.
    for window in [0, u32::MAX] {
        let (mut script, link) = Scripted::sending(window, u32::MAX);
        let mut sent = 0;
        while script.engine.credit(link).unwrap() > 0 {
            script.sends(link, &[0; 10_000]);
            sent += 1;
            assert!(sent < 1_000, "{sent} messages of 10,000 octets wait");
        }
        assert!(sent > 50, "{sent}");
        if window > 0 {
            assert!(script.octets().len() > sent * 10_000, "all of it leaves");
            assert!(script.engine.credit(link).unwrap() > 0, "there is room again");
            let events: Vec<_> = std::iter::from_fn(|| script.engine.poll_event()).collect();
            assert!(events.contains(&Event::Link(link)), "who waits is told: {events:?}");
        }
    }
}

// §2.7.4
#[test]
fn a_delivery_count_ahead_of_what_was_sent_detaches_the_link() {
    let (mut script, _) = Scripted::sending(100, 5);
    script.hears();
    script.grants(100, 0, 7, 5);
    assert_eq!(script.detaches_with(), conditions::INVALID_FIELD);
}

// §2.7.4
#[test]
fn a_flow_for_a_handle_without_a_link_ends_the_session() {
    let (mut script, _) = Scripted::begun();
    script.hears();
    script.grants(100, 0, 0, 5);
    assert_eq!(script.ends_with(), conditions::UNATTACHED_HANDLE);
}

// §2.7.5
#[test]
fn a_transfer_to_the_one_who_sends_detaches_the_link() {
    let (mut script, _) = Scripted::sending(100, 5);
    script.hears();
    script.delivers(0);
    assert_eq!(script.detaches_with(), conditions::NOT_ALLOWED);
}

// §2.7.5
#[test]
fn a_delivery_without_an_id_or_a_tag_is_an_invalid_field() {
    let (mut script, _) = Scripted::receiving(Credit::Auto(5), Limits::default());
    script.hears();
    script.transfers(&Transfer::new(3_u32), b"x");
    assert_eq!(script.ends_with(), conditions::INVALID_FIELD);
    let (mut script, _) = Scripted::receiving(Credit::Auto(5), Limits::default());
    script.hears();
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(0);
    script.transfers(&transfer, b"x");
    assert_eq!(script.detaches_with(), conditions::INVALID_FIELD);
}

// §2.8.7
#[test]
fn a_delivery_tag_of_more_than_32_octets_is_an_invalid_field() {
    for (octets, is_taken) in [(32, true), (33, false), (5_000, false)] {
        let (mut script, link) = Scripted::receiving(Credit::Auto(5), Limits::default());
        script.hears();
        let mut transfer = Transfer::new(3_u32);
        (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(vec![7; octets].into()));
        script.transfers(&transfer, b"x");
        if is_taken {
            assert_eq!(script.engine.take(link).unwrap().unwrap().tag.len(), octets);
        } else {
            assert_eq!(script.detaches_with(), conditions::INVALID_FIELD);
            assert_eq!(script.engine.usage().unsettled_received, 0);
        }
    }
}

/// The first frame of a delivery that goes on.
fn first_part(id: u32) -> Transfer {
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.more) = (Some(id), true);
    transfer.delivery_tag = Some(Bytes::from_static(b"t"));
    transfer
}

// §2.6.14
#[test]
fn endless_parts_end_at_the_limit_for_a_message() {
    let limits = Limits { max_message_size: 10_000, ..Limits::default() };
    let (mut script, _) = Scripted::receiving(Credit::Auto(5), limits);
    script.transfers(&first_part(0), &[0; 1_000]);
    let mut more = Transfer::new(3_u32);
    more.more = true;
    for _ in 0..9 {
        script.transfers(&more, &[0; 1_000]);
        assert!(script.engine.usage().partial_bytes <= 10_000);
    }
    script.hears();
    script.transfers(&more, &[0; 1_000]);
    assert_eq!(script.detaches_with(), conditions::MESSAGE_SIZE_EXCEEDED);
    assert_eq!(script.engine.usage().partial_bytes, 0);
}

// §2.6.14
#[test]
fn endless_parts_without_octets_cost_nothing() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(5), Limits::default());
    script.transfers(&first_part(0), b"");
    let mut more = Transfer::new(3_u32);
    more.more = true;
    for _ in 0..20_000 {
        script.transfers(&more, b"");
        script.octets();
    }
    let usage = script.engine.usage();
    assert_eq!((usage.partial_bytes, usage.waiting_to_be_taken), (0, 0), "{usage:?}");
    more.more = false;
    script.transfers(&more, b"end");
    assert_eq!(script.engine.take(link).unwrap().unwrap().payload, b"end"[..]);
}

// §2.6.14
#[test]
fn parts_of_many_messages_are_bounded_together() {
    let limits = Limits { max_partial_bytes: 3_000, ..Limits::default() };
    let (mut script, session) = Scripted::begun_with(limits, 100);
    for handle in 0..3_u32 {
        let mut asked = options(Role::Receiver, Credit::Auto(5));
        asked.name = format!("{handle}").into();
        script.engine.attach(session, asked).unwrap();
        script.says(7, Performative::Attach(Box::new(attach(&format!("{handle}"), handle, Role::Sender))));
    }
    script.hears();
    for handle in 0..3_u32 {
        let mut part = first_part(handle);
        part.handle = handle;
        script.transfers(&part, &[0; 1_200]);
    }
    assert_eq!(script.detaches_with(), conditions::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(script.engine.usage().partial_bytes, 2_400);
}

// §2.7.6
#[test]
fn endless_dispositions_over_all_ids_cost_only_what_is_in_flight() {
    let (mut script, link) = Scripted::sending(100, 100);
    for _ in 0..50 {
        script.sends(link, b"x");
    }
    script.hears();
    let started = Instant::now();
    for _ in 0..10_000 {
        let mut disposition = Disposition::new(Role::Receiver, 0_u32);
        disposition.last = Some(u32::MAX >> 1);
        script.says(7, Performative::Disposition(disposition));
    }
    assert!(started.elapsed() < Duration::from_secs(30), "each one walks over four thousand million ids");
    assert_eq!(script.engine.usage().unsettled_sent, 50, "none of them says anything");
    assert!(script.outcomes().is_empty());
}

// §2.7.9
#[test]
fn what_comes_after_our_close_is_passed_over_until_it_is_answered() {
    let (mut script, _) = Scripted::receiving(Credit::Auto(5), Limits::default());
    script.engine.close(None, script.now);
    script.delivers(0);
    script.delivers(77);
    script.says(200, begin());
    assert!(!script.engine.is_ended());
    script.says(0, Performative::Close(Close::default()));
    assert!(script.engine.is_ended());
    assert_eq!(script.engine.end(), Some(&ConnectionError::ClosedLocally));
}
