//! Mistakes that implementations of the protocol are known to have made: none of them is made here.

use super::*;

fn attach_from_peer(name: &str, handle: u32, role: Role) -> Performative {
    let mut attach = Attach::new(name, handle, role);
    match role {
        Role::Sender => {
            attach.source = Some(Source::new("q"));
            attach.initial_delivery_count = Some(0);
        }
        Role::Receiver => attach.target = Some(TargetArchetype::Target(Target::new("q"))),
    }
    Performative::Attach(Box::new(attach))
}

// ---- frames and handshake ---------------------------------------------------------------------------------

// §2.3.1
#[test]
fn a_frame_with_a_tiny_body_waits_for_nothing_behind_it() {
    let (mut script, session) = Scripted::begun();
    script.hears();
    script.feed(&[0, 0, 0, 12, 2, 0, 0, 7, 0, 0x53, 0x17, 0x45]);
    assert!(script.engine.check_session(session).is_err());
}

// §2.4.1
#[test]
fn the_frame_sizes_of_the_two_directions_are_independent() {
    let mut open = Open::new("peer");
    open.max_frame_size = 512;
    let mut script = Scripted::opened(open, Limits::default());
    let session = script.engine.begin().unwrap();
    let mut begin = Begin::new(0_u32, 100_u32, 100_u32);
    begin.remote_channel = Some(0);
    script.says(7, Performative::Begin(Box::new(begin)));
    let link = script.engine.attach(session, options(Role::Receiver, Credit::Auto(5))).unwrap();
    script.says(7, attach_from_peer("link", 3, Role::Sender));
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(Bytes::from_static(b"t")));
    script.transfers(&transfer, &[7; 20_000]);
    assert_eq!(script.engine.take(link).unwrap().unwrap().payload.len(), 20_000);
}

// §2.7.3
#[test]
fn a_message_is_cut_by_frame_size_and_refused_by_message_size() {
    let (mut script, session) = Scripted::begun();
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.max_message_size = Some(1_000);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 5);
    let too_large = OutgoingDelivery::new(Bytes::from(vec![0; 1_001]), Token(0));
    assert_eq!(script.engine.send(link, too_large), Err(SendError::TooLarge { size: 1_001, limit: 1_000 }));
    script.sends(link, &[0; 1_000]);
}

// §2.7.3
#[test]
fn a_max_message_size_of_0_is_no_limit() {
    let (mut script, session) = Scripted::begun();
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.max_message_size = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 5);
    script.sends(link, &[0; 100_000]);
}

// §5.3.2
#[test]
fn a_client_takes_no_sasl_frame_that_is_a_clients_to_send() {
    let plain = Sasl::Plain { user: "u".into(), password: "p".into() };
    let early = SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok));
    let init = SaslFrame::Init(SaslInit::new(Symbol::from_static("PLAIN")));
    for out_of_place in [early, init] {
        let mut script = Scripted::client_with(plain.clone(), Limits::default());
        script.feed(&ProtocolHeader::SASL.to_bytes());
        script.feed(&sasl_frame(&out_of_place));
        assert!(script.engine.is_ended(), "{out_of_place:?}");
        assert!(!matches!(script.engine.end(), Some(ConnectionError::ClosedLocally)));
    }
}

// §5.3.3
#[test]
fn a_peer_that_offers_no_mechanism_at_all_lets_nobody_in() {
    let mut script = Scripted::client_with(Sasl::Anonymous, Limits::default());
    script.feed(&ProtocolHeader::SASL.to_bytes());
    let none = SaslMechanisms { sasl_server_mechanisms: Vec::new() };
    script.feed(&sasl_frame(&SaslFrame::Mechanisms(none)));
    assert!(script.engine.is_ended());
}

// §5.3.2
#[test]
fn what_a_server_pipelines_behind_its_outcome_is_kept() {
    let mut script = Scripted::client_with(Sasl::Anonymous, Limits::default());
    let mut octets = BytesMut::from(&ProtocolHeader::SASL.to_bytes()[..]);
    let offered = vec![Symbol::from_static("ANONYMOUS")];
    octets.extend(sasl_frame(&SaslFrame::Mechanisms(SaslMechanisms { sasl_server_mechanisms: offered })));
    octets.extend(sasl_frame(&SaslFrame::Outcome(SaslOutcome::new(SaslCode::Ok))));
    octets.extend(ProtocolHeader::AMQP.to_bytes());
    frame::encode_frame(&mut octets, 0, &Performative::Open(Box::new(Open::new("peer"))));
    script.feed(&octets);
    assert!(script.engine.peer().is_some());
}

// §2.4.6
#[test]
fn a_close_instead_of_an_open_is_understood() {
    let mut script = Scripted::client_with(Sasl::None, Limits::default());
    script.octets();
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    let error = ErrorInfo::new(conditions::NOT_ALLOWED, "no such host");
    script.says(0, Performative::Close(Close { error: Some(error.clone()) }));
    assert_eq!(script.engine.end(), Some(&ConnectionError::ClosedByPeer(Some(error))));
}

// §2.4.6
#[test]
fn the_end_of_the_stream_is_told_at_every_stage() {
    let mut script = Scripted::client_with(Sasl::Anonymous, Limits::default());
    script.engine.handle_lost("it ended");
    assert!(matches!(script.engine.end(), Some(ConnectionError::Lost(_))));
    let (mut script, link) = Scripted::sending(100, 5);
    script.sends(link, b"x");
    script.engine.handle_lost("it ended");
    assert!(matches!(script.engine.link_status(link), LinkStatus::Ended(LinkError::Session(_))));
    assert_eq!(script.outcomes(), [None]);
}

// ---- sessions ---------------------------------------------------------------------------------------------

// §2.5.1
#[test]
fn a_client_answers_a_session_that_its_peer_begins() {
    let mut script = Scripted::opened(Open::new("peer"), Limits::default());
    script.hears();
    script.says(5, Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))));
    let heard = script.hears();
    let [(0, Performative::Begin(begin), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(begin.remote_channel, Some(5));
}

// §2.5.5
#[test]
fn a_channel_is_used_again_only_after_both_ends() {
    let mut script = Scripted::opened(Open::new("peer"), Limits::default());
    script.hears();
    script.says(5, Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))));
    // The end and the next begin arrive in one read.
    let mut octets = BytesMut::new();
    frame::encode_frame(&mut octets, 5, &Performative::End(End::default()));
    frame::encode_frame(&mut octets, 5, &Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))));
    script.feed(&octets);
    let names: Vec<_> = script.hears().iter().map(|(_, performative, _)| performative.name()).collect();
    assert_eq!(names, ["begin", "end", "begin"]);
    // What this side has ended keeps its channel until the peer has ended it too.
    let ours = script.engine.begin().unwrap();
    let channels: Vec<_> = script.hears().iter().map(|(channel, _, _)| *channel).collect();
    script.engine.end_session(ours, None);
    script.engine.begin().unwrap();
    let heard = script.hears();
    assert!(heard.iter().all(|(channel, performative, _)| {
        !matches!(performative, Performative::Begin(_)) || !channels.contains(channel)
    }));
}

// RabbitMQ 4.0 may never answer a begin right behind the end of the same channel's session.
// §2.5.1
#[test]
fn a_channel_that_was_just_freed_is_the_last_to_be_used_again() {
    let mut open = Open::new("peer");
    open.channel_max = 63;
    let mut script = Scripted::opened(open, Limits::default());
    script.hears();
    let mut begun = Vec::new();
    for _ in 0..100 {
        script.engine.begin().unwrap();
        let (channel, performative, _) = script.hears().remove(0);
        assert!(matches!(performative, Performative::Begin(_)), "{performative:?}");
        let mut begin = Begin::new(0_u32, 10_u32, 10_u32);
        begin.remote_channel = Some(channel);
        script.says(channel, Performative::Begin(Box::new(begin)));
        script.says(channel, Performative::End(End::default()));
        script.hears();
        begun.push(channel);
    }
    assert!(begun.windows(16).all(|turn| turn.iter().collect::<HashSet<_>>().len() == 16), "{begun:?}");
    assert!(begun.iter().all(|&channel| channel < 63), "{begun:?}");
    // Where there are few, each of them is still used.
    let mut open = Open::new("peer");
    open.channel_max = 2;
    let mut script = Scripted::opened(open, Limits::default());
    let sessions: Vec<_> = (0..3).map(|_| script.engine.begin().unwrap()).collect();
    assert!(script.engine.begin().is_err());
    let channels: HashSet<_> =
        sessions.iter().map(|&session| script.engine.channel(session).unwrap()).collect();
    assert_eq!(channels, HashSet::from([0, 1, 2]));
}

// §2.5.5
#[test]
fn what_comes_after_our_end_is_passed_over_until_it_is_answered() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(5), Limits::default());
    let session = script.engine.session_of(link).unwrap();
    script.engine.end_session(session, None);
    script.hears();
    script.delivers(0);
    script.delivers(55);
    assert!(script.hears().is_empty());
    script.says(7, Performative::End(End::default()));
    assert!(script.engine.is_session_unmapped(session) && script.hears().is_empty());
}

// §2.5.6
#[test]
fn a_closed_window_holds_back_transfers_alone() {
    let (mut script, sender) = Scripted::sending(0, 5);
    script.sends(sender, b"x");
    let session = script.engine.session_of(sender).unwrap();
    let mut second = options(Role::Receiver, Credit::Auto(5));
    second.name = "second".into();
    script.engine.attach(session, second).unwrap();
    script.says(7, attach_from_peer("second", 4, Role::Sender));
    let heard = script.hears();
    assert_eq!(flows(&heard).len(), 1, "credit is granted");
    assert!(!heard.iter().any(|(_, performative, _)| matches!(performative, Performative::Transfer(_))));
}

// §2.7.4
#[test]
fn a_flow_without_a_handle_moves_the_window() {
    let (mut script, link) = Scripted::sending(1, 5);
    script.sends(link, b"1");
    script.sends(link, b"2");
    assert_eq!(script.hears().len(), 1);
    let mut flow = Flow::new(1_u32, u32::MAX - 1, 100_u32);
    flow.next_incoming_id = Some(1);
    script.says(7, Performative::Flow(flow));
    assert_eq!(script.hears().len(), 1);
}

// ---- links ------------------------------------------------------------------------------------------------

// §2.6.3
#[test]
fn a_refusal_repeats_the_settle_modes_and_leaves_the_session_alone() {
    let (mut script, session) = Scripted::begun();
    script.hears();
    let mut attach = Attach::new("theirs", 9_u32, Role::Sender);
    attach.snd_settle_mode = SenderSettleMode::Settled;
    attach.rcv_settle_mode = ReceiverSettleMode::Second;
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    let heard = script.hears();
    let [(_, Performative::Attach(refusal), _), (_, Performative::Detach(detach), _)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert!(refusal.target.is_none() && detach.error.is_some() && detach.closed);
    assert_eq!(refusal.snd_settle_mode, SenderSettleMode::Settled);
    assert_eq!(refusal.rcv_settle_mode, ReceiverSettleMode::Second);
    assert_eq!(script.engine.check_session(session), Ok(true));
}

// §2.6.3
#[test]
fn only_the_terminus_at_the_peer_tells_a_refusal() {
    // What the answer says of the terminus at this side is an echo.
    let (mut script, session) = Scripted::begun();
    let sender = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    assert_eq!(script.engine.link_status(sender), LinkStatus::Attached);
    let (mut script, session) = Scripted::begun();
    let receiver = script.engine.attach(session, options(Role::Receiver, Credit::Auto(5))).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    (attach.target, attach.initial_delivery_count) =
        (Some(TargetArchetype::Target(Target::new("q"))), Some(0));
    script.says(7, Performative::Attach(Box::new(attach)));
    assert_eq!(script.engine.link_status(receiver), LinkStatus::Pending, "the reason is still to come");
    let mut detach = Detach::new(3_u32);
    (detach.closed, detach.error) = (true, Some(ErrorInfo::new(conditions::NOT_FOUND, "no such node")));
    script.says(7, Performative::Detach(detach));
    let LinkStatus::Ended(LinkError::Refused(Some(error))) = script.engine.link_status(receiver) else {
        panic!()
    };
    assert_eq!(error.condition, conditions::NOT_FOUND);
}

// §2.6.3
#[test]
fn an_attach_answers_the_older_of_two_links_of_one_name() {
    let (mut script, session) = Scripted::begun();
    let mut other = options(Role::Sender, Credit::Manual);
    other.name = "other".into();
    let other = script.engine.attach(session, other).unwrap();
    let first = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    // The first handle becomes free, and the same name is asked for again before the peer has answered anything.
    script.says(7, attach_from_peer("other", 1, Role::Receiver));
    script.engine.detach(other, true, None);
    let mut detach = Detach::new(1_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    script.engine.detach(first, true, None);
    let second = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    script.says(7, attach_from_peer("link", 2, Role::Receiver));
    assert_eq!(script.engine.link_status(second), LinkStatus::Pending, "that was the answer to the first");
    let mut detach = Detach::new(2_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    script.says(7, attach_from_peer("link", 3, Role::Receiver));
    assert_eq!(script.engine.link_status(second), LinkStatus::Attached);
    assert!(script.engine.is_link_detached(first));
}

// §2.6.4
#[test]
fn a_detach_is_answered_in_kind_and_once() {
    for closed in [true, false] {
        let (mut script, _) = Scripted::sending(100, 5);
        script.hears();
        let mut detach = Detach::new(3_u32);
        detach.closed = closed;
        script.says(7, Performative::Detach(detach));
        let heard = script.hears();
        let [(_, Performative::Detach(answer), _)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(answer.closed, closed);
    }
    let (mut script, link) = Scripted::sending(100, 5);
    script.engine.detach(link, true, None);
    script.hears();
    let mut detach = Detach::new(3_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    script.engine.forget_link(link);
    assert!(script.hears().is_empty(), "there is no third detach");
}

// §2.6.1
#[test]
fn a_stolen_link_is_told_as_stolen_and_not_fought_over() {
    let (mut script, link) = Scripted::sending(100, 5);
    let mut detach = Detach::new(3_u32);
    (detach.closed, detach.error) = (true, Some(ErrorInfo::new(conditions::STOLEN, "elsewhere")));
    script.says(7, Performative::Detach(detach));
    let LinkStatus::Ended(error) = script.engine.link_status(link) else { panic!() };
    assert_eq!(error.remote_error().unwrap().condition, conditions::STOLEN);
    assert!(!error.is_retryable());
}

// §2.6.4
#[test]
fn a_link_that_was_detached_for_its_idleness_may_be_attached_again() {
    let (mut script, link) = Scripted::sending(100, 5);
    let mut detach = Detach::new(3_u32);
    (detach.closed, detach.error) = (true, Some(ErrorInfo::new(conditions::DETACH_FORCED, "idle")));
    script.says(7, Performative::Detach(detach));
    let LinkStatus::Ended(error) = script.engine.link_status(link) else { panic!() };
    assert!(error.is_retryable());
}

// §2.8.14
#[test]
fn an_error_with_an_unknown_condition_is_an_error_like_any_other() {
    let (mut script, link) = Scripted::sending(100, 5);
    let mut detach = Detach::new(3_u32);
    detach.error = Some(ErrorInfo::new(Symbol::from_static("vendor:odd"), ""));
    script.says(7, Performative::Detach(detach));
    assert!(matches!(script.engine.link_status(link), LinkStatus::Ended(LinkError::DetachedByPeer(Some(_)))));
}

// §2.8.14
#[test]
fn an_error_without_a_condition_is_an_error_of_the_peer_and_no_more() {
    let (mut script, link) = Scripted::sending(100, 5);
    script.hears();
    // A detach of handle 3 whose error is a list without any field.
    script.feed(b"\0\0\0\x15\x02\0\0\x07\0\x53\x16\xc0\x08\x03\x52\x03\x41\0\x53\x1d\x45");
    assert!(matches!(script.engine.link_status(link), LinkStatus::Ended(_)));
    assert_eq!(script.closes_with(), conditions::DECODE_ERROR);
}

// §2.6.7
#[test]
fn the_count_of_a_sender_that_leaves_it_out_starts_at_0() {
    let (mut script, session) = Scripted::begun();
    script.engine.attach(session, options(Role::Receiver, Credit::Auto(5))).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    script.says(7, Performative::Attach(Box::new(attach)));
    let heard = script.hears();
    assert_eq!(flows(&heard)[0].delivery_count, Some(0));
}

// §2.6.7
#[test]
fn credit_counts_deliveries_and_the_window_counts_frames() {
    let (mut script, link) = Scripted::sending(3, 2);
    script.engine.io.max_frame_size = 512;
    script.sends(link, &[0; 900]);
    script.sends(link, &[0; 900]);
    assert_eq!(script.engine.credit(link), Ok(0), "two deliveries");
    assert_eq!(script.hears().len(), 3, "three frames");
}

// §2.6.12
#[test]
fn delivery_ids_are_counted_by_the_session_not_by_the_link() {
    let (mut script, first) = Scripted::sending(100, 5);
    let session = script.engine.session_of(first).unwrap();
    let mut asked = options(Role::Sender, Credit::Manual);
    asked.name = "second".into();
    let second = script.engine.attach(session, asked).unwrap();
    script.says(7, attach_from_peer("second", 4, Role::Receiver));
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.handle) = (Some(0), Some(4));
    (flow.delivery_count, flow.link_credit) = (Some(0), Some(5));
    script.says(7, Performative::Flow(flow));
    script.hears();
    for link in [first, second, first] {
        script.sends(link, b"x");
    }
    let ids: Vec<_> = script
        .hears()
        .iter()
        .filter_map(|(_, performative, _)| match performative {
            Performative::Transfer(transfer) => transfer.delivery_id,
            _ => None,
        })
        .collect();
    assert_eq!(ids, [0, 1, 2]);
}

// §2.6.14
#[test]
fn deliveries_of_two_links_may_come_frame_by_frame_in_turn() {
    let (mut script, first) = Scripted::receiving(Credit::Auto(5), Limits::default());
    let session = script.engine.session_of(first).unwrap();
    let mut asked = options(Role::Receiver, Credit::Auto(5));
    asked.name = "second".into();
    let second = script.engine.attach(session, asked).unwrap();
    script.says(7, attach_from_peer("second", 4, Role::Sender));
    for (handle, id) in [(3_u32, 0), (4, 1)] {
        let mut transfer = Transfer::new(handle);
        (transfer.delivery_id, transfer.more) = (Some(id), true);
        transfer.delivery_tag = Some(Bytes::from_static(b"t"));
        script.transfers(&transfer, format!("{handle} begins, ").as_bytes());
    }
    for handle in [3_u32, 4] {
        script.transfers(&Transfer::new(handle), format!("{handle} ends").as_bytes());
    }
    assert_eq!(script.engine.take(first).unwrap().unwrap().payload, b"3 begins, 3 ends"[..]);
    assert_eq!(script.engine.take(second).unwrap().unwrap().payload, b"4 begins, 4 ends"[..]);
}

// §2.7.5
#[test]
fn a_transfer_may_be_without_payload() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(5), Limits::default());
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(Bytes::from_static(b"t")));
    script.transfers(&transfer, b"");
    assert!(script.engine.take(link).unwrap().unwrap().payload.is_empty());
}

// §2.6.12
#[test]
fn what_is_settled_stays_as_it_was_settled() {
    let (mut script, link) = Scripted::sending(100, 5);
    script.sends(link, b"x");
    script.hears();
    for state in [DeliveryState::Rejected(None), DeliveryState::Accepted] {
        let mut disposition = Disposition::new(Role::Receiver, 0_u32);
        (disposition.settled, disposition.state) = (true, Some(state));
        script.says(7, Performative::Disposition(disposition));
    }
    assert_eq!(script.outcomes(), [Some(Outcome::Rejected(None))]);
}

// §2.6.12
#[test]
fn what_the_receiver_does_counts_and_not_the_mode_that_it_was_asked_for() {
    for (asked, answers) in [
        (ReceiverSettleMode::Second, ReceiverSettleMode::First),
        (ReceiverSettleMode::First, ReceiverSettleMode::Second),
    ] {
        let (mut script, session) = Scripted::begun();
        let mut wanted = options(Role::Sender, Credit::Manual);
        wanted.rcv_settle_mode = asked;
        let link = script.engine.attach(session, wanted).unwrap();
        let mut attach = Attach::new("link", 3_u32, Role::Receiver);
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        attach.rcv_settle_mode = answers;
        script.says(7, Performative::Attach(Box::new(attach)));
        script.grants(100, 0, 0, 5);
        script.sends(link, b"x");
        script.hears();
        let mut disposition = Disposition::new(Role::Receiver, 0_u32);
        disposition.settled = answers == ReceiverSettleMode::First;
        disposition.state = Some(DeliveryState::Accepted);
        script.says(7, Performative::Disposition(disposition));
        assert_eq!(script.outcomes(), [Some(Outcome::Accepted)]);
        let settles = script
            .hears()
            .iter()
            .any(|(_, performative, _)| matches!(performative, Performative::Disposition(it) if it.settled));
        assert_eq!(settles, answers == ReceiverSettleMode::Second, "who settles last is told once");
        assert_eq!(script.engine.link_stats(link).unsettled, 0);
    }
}

// §2.7.6
#[test]
fn a_settlement_without_an_outcome_is_told() {
    let (mut script, link) = Scripted::sending(100, 5);
    script.sends(link, b"x");
    script.hears();
    let mut disposition = Disposition::new(Role::Receiver, 0_u32);
    disposition.settled = true;
    script.says(7, Performative::Disposition(disposition));
    assert_eq!(script.outcomes(), [Some(Outcome::Unspecified)]);
}

// §2.7.6
#[test]
fn a_disposition_from_a_sender_that_says_nothing_changes_nothing() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(5), Limits::default());
    script.delivers(0);
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    script.says(7, Performative::Disposition(Disposition::new(Role::Sender, 0_u32)));
    assert!(script.engine.is_unsettled(link, delivery.id) && script.hears().is_empty());
}

// §2.6.14
#[test]
fn a_delivery_that_its_sender_aborts_is_settled_on_both_sides() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(10), Limits::default());
    let mut half = Transfer::new(3_u32);
    (half.delivery_id, half.delivery_tag) = (Some(0), Some(Bytes::from_static(b"half")));
    half.more = true;
    script.transfers(&half, b"aaa");
    assert_eq!(script.engine.usage().unsettled_received, 1);
    let mut aborted = Transfer::new(3_u32);
    aborted.aborted = true;
    script.transfers(&aborted, b"");
    assert_eq!(script.engine.usage().unsettled_received, 0);
    assert!(script.engine.take(link).unwrap().is_none());
    script.delivers(1);
    assert!(script.engine.take(link).unwrap().is_some(), "the next one is another");
}
