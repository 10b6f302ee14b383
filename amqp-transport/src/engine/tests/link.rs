//! Links, credit, deliveries and their outcomes.

use super::*;

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

// §2.6.7
#[test]
fn verdicts_take_all_the_credit_along_that_they_freed() {
    let (mut script, key) = Scripted::receiving(Credit::Auto(10), Limits::default());
    script.hears();
    for round in 0..5 {
        for id in round * 7..round * 7 + 7 {
            script.delivers(id);
        }
        assert!(script.hears().is_empty(), "nothing is said before a verdict");
        while let Ok(Some(delivery)) = script.engine.take(key) {
            script.engine.settle(key, delivery.id, Outcome::Accepted).unwrap();
        }
        let heard = script.hears();
        assert!(matches!(heard[0].1, Performative::Disposition(_)));
        assert_eq!((heard.len(), flows(&heard)[0].link_credit), (2, Some(10)));
    }
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
fn a_delivery_that_the_sender_settles_before_it_is_whole_arrives_as_settled() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(1), Limits::default());
    script.hears();
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag, transfer.more) = (Some(0), Some(b"t"[..].into()), true);
    script.transfers(&transfer, b"\x00\x53");
    let mut disposition = Disposition::new(Role::Sender, 0_u32);
    disposition.settled = true;
    script.says(7, Performative::Disposition(disposition));
    assert!(flows(&script.hears()).is_empty(), "it uses its credit until it is taken");
    script.transfers(&Transfer::new(3_u32), b"\x77\x40");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert!(delivery.settled && delivery.payload.len() == 4);
    assert_eq!(flows(&script.hears()).len(), 1);
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

// §2.6.7
#[test]
fn a_drain_is_answered_when_the_credit_is_used_up_already() {
    let (mut script, link) = Scripted::sending(100, 1);
    if let Some(sender) = script.engine.links[link.0].sender() {
        sender.drains_by_itself = false;
    }
    script.sends(link, b"1");
    script.hears();
    let mut flow = Flow::new(100_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle, flow.delivery_count) = (Some(0), Some(3), Some(0));
    (flow.link_credit, flow.drain) = (Some(1), true);
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    assert_eq!((flows(&heard)[0].link_credit, flows(&heard)[0].drain), (Some(0), true));
}

// §2.6.7
#[test]
fn a_drain_is_over_when_deliveries_use_the_credit_up() {
    let (mut script, link) = Scripted::receiving(Credit::Manual, Limits::default());
    script.engine.set_credit(link, 2).unwrap();
    script.engine.drain(link).unwrap();
    script.delivers(0);
    assert!(script.engine.is_drain_pending(link).unwrap());
    script.delivers(1);
    assert!(!script.engine.is_drain_pending(link).unwrap());
    script.engine.drain(link).unwrap();
    assert!(!script.engine.is_drain_pending(link).unwrap(), "there is no credit to give back");
}

// §2.6.7
#[test]
fn a_sender_that_ignores_credit_is_detached() {
    let (mut script, _) = Scripted::receiving(Credit::Auto(2), Limits::default());
    script.hears();
    for id in 0..40 {
        script.delivers(id);
    }
    let heard = script.hears();
    let refused = heard.iter().find_map(|(_, performative, _)| match performative {
        Performative::Detach(Detach { error: Some(error), .. }) => Some(error.condition.clone()),
        _ => None,
    });
    assert_eq!(refused, Some(conditions::TRANSFER_LIMIT_EXCEEDED), "{heard:?}");
}

// §2.6.12
#[test]
fn on_a_link_that_settles_everything_nobody_waits_for_an_outcome() {
    let (mut script, session) = Scripted::begun();
    let mut settled = options(Role::Sender, Credit::Manual);
    settled.snd_settle_mode = SenderSettleMode::Settled;
    let link = script.engine.attach(session, settled).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 10);
    script.sends(link, b"x");
    script.hears();
    assert_eq!(script.outcomes(), [Some(Outcome::Unspecified)]);
}

#[test]
fn a_link_that_the_peer_lets_nobody_answer_ends_the_session() {
    let mut script = Scripted::listener();
    script.feed(&ProtocolHeader::SASL.to_bytes());
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
    script.feed(&sasl_frame(&SaslFrame::Init(init)));
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(0, Performative::Open(Box::new(Open::new("peer"))));
    let mut begin = Begin::new(0_u32, 10_u32, 10_u32);
    begin.handle_max = 0;
    script.says(7, Performative::Begin(Box::new(begin)));
    script.hears();
    for handle in 0..2_u32 {
        let mut attach = Attach::new(format!("link {handle}"), handle, Role::Sender);
        attach.initial_delivery_count = Some(0);
        script.says(7, Performative::Attach(Box::new(attach)));
    }
    let requests: Vec<_> = std::iter::from_fn(|| script.engine.poll_event())
        .filter_map(|event| match event {
            Event::LinkRequested(key) => Some(key),
            _ => None,
        })
        .collect();
    let termini = || Termini::new(Source::new("q"), Target::new("q"));
    script.engine.accept(requests[0], termini(), Credit::Auto(1)).unwrap();
    script.engine.accept(requests[1], termini(), Credit::Auto(1)).unwrap_err();
    assert_eq!(script.ends_with(), conditions::RESOURCE_LIMIT_EXCEEDED);
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
