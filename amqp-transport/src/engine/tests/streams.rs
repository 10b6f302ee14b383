//! Messages sent and received in parts.

use super::*;

fn started(script: &mut Scripted, link: LinkKey, first: &'static [u8]) -> DeliveryNumber {
    let delivery = OutgoingDelivery::new(Bytes::from_static(first), Token(0));
    script.engine.send_stream(link, delivery).unwrap()
}

fn transfers(heard: &Heard) -> Vec<(&Transfer, &Bytes)> {
    heard
        .iter()
        .filter_map(|(_, performative, payload)| match performative {
            Performative::Transfer(transfer) => Some((transfer, payload)),
            _ => None,
        })
        .collect()
}

fn accepted(id: u32) -> Performative {
    let mut disposition = Disposition::new(Role::Receiver, id);
    (disposition.settled, disposition.state) = (true, Some(DeliveryState::Accepted));
    Performative::Disposition(disposition)
}

// §2.6.14
#[test]
fn a_streamed_message_leaves_as_its_parts_come() {
    let (mut script, link) = Scripted::sending(100, 1);
    let number = started(&mut script, link, b"one");
    let heard = script.hears();
    let [(first, octets)] = transfers(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((first.delivery_id, first.more, &octets[..]), (Some(0), true, &b"one"[..]));
    assert!(first.delivery_tag.is_some());
    assert!(script.hears().is_empty(), "nothing to send");
    script.engine.write_stream(link, number, Bytes::from_static(b"two")).unwrap();
    script.engine.write_stream(link, number, Bytes::from_static(b"three")).unwrap();
    script.engine.finish_stream(link, number).unwrap();
    let heard = script.hears();
    let [(last, octets)] = transfers(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((last.delivery_id, last.more, &octets[..]), (None, false, &b"twothree"[..]));
    script.says(7, accepted(0));
    assert_eq!(script.outcomes(), [Some(Outcome::Accepted)]);
}

// §2.6.14
#[test]
fn a_streamed_message_that_is_finished_without_a_rest_ends_with_an_empty_frame() {
    let (mut script, link) = Scripted::sending(100, 1);
    let number = started(&mut script, link, b"all");
    script.hears();
    script.engine.finish_stream(link, number).unwrap();
    let heard = script.hears();
    let [(last, octets)] = transfers(&heard)[..] else { panic!("{heard:?}") };
    assert!(!last.more && octets.is_empty());
}

// §2.6.14
#[test]
fn a_message_given_up_halfway_is_aborted_and_settled() {
    let (mut script, link) = Scripted::sending(100, 2);
    let number = started(&mut script, link, b"half");
    script.hears();
    script.engine.write_stream(link, number, Bytes::from_static(b"never sent")).unwrap();
    script.engine.abort_stream(link, number);
    assert_eq!(script.outcomes(), [None]);
    let heard = script.hears();
    let [(last, octets)] = transfers(&heard)[..] else { panic!("{heard:?}") };
    assert!(last.aborted && !last.more && octets.is_empty());
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((flow.delivery_count, flow.link_credit), (Some(1), Some(1)), "it has used credit");
    script.says(7, accepted(0));
    assert!(script.outcomes().is_empty(), "it is settled");
    script.sends(link, b"next");
    assert_eq!(transfers(&script.hears())[0].0.delivery_id, Some(1));
}

// §2.6.14
#[test]
fn a_message_given_up_before_its_first_frame_leaves_no_trace() {
    let (mut script, link) = Scripted::sending(100, 1);
    let number = started(&mut script, link, b"");
    assert!(script.hears().is_empty());
    script.engine.abort_stream(link, number);
    assert_eq!(script.outcomes(), [None]);
    assert!(script.hears().is_empty());
    assert_eq!(script.engine.credit(link).unwrap(), 1);
}

// §2.6.14
#[test]
fn towards_a_peer_that_does_not_know_aborted_the_link_is_closed() {
    let (mut script, session) = Scripted::begun();
    let mut careful = options(Role::Sender, Credit::Manual);
    careful.abort_policy = AbortPolicy::Detach;
    let link = script.engine.attach(session, careful).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 1);
    let number = started(&mut script, link, b"half");
    script.hears();
    script.engine.abort_stream(link, number);
    assert_eq!(script.detaches_with(), conditions::DETACH_FORCED);
    assert_eq!(script.outcomes(), [None]);
}

// §2.6.12
#[test]
fn other_deliveries_of_the_link_wait_and_other_links_go_on() {
    let (mut script, link) = Scripted::sending(100, 5);
    let number = started(&mut script, link, b"first");
    script.sends(link, b"second");
    script.hears();
    let session = script.engine.session_of(link).unwrap();
    let mut other = options(Role::Sender, Credit::Manual);
    other.name = "other".into();
    let other = script.engine.attach(session, other).unwrap();
    let mut attach = Attach::new("other", 4_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.handle) = (Some(1), Some(4));
    (flow.delivery_count, flow.link_credit) = (Some(0), Some(1));
    script.says(7, Performative::Flow(flow));
    script.hears();
    script.sends(other, b"between");
    let heard = script.hears();
    let [(between, _)] = transfers(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((between.handle, between.delivery_id), (1, Some(1)));
    script.engine.finish_stream(link, number).unwrap();
    let heard = script.hears();
    let ids: Vec<_> = transfers(&heard).iter().map(|(transfer, _)| transfer.delivery_id).collect();
    assert_eq!(ids, [None, Some(2)], "the end of the first, then the second");
}

// §2.5.6
#[test]
fn parts_wait_for_the_session_window_and_fill_the_buffer() {
    let (mut script, link) = Scripted::sending(1, 1);
    let number = started(&mut script, link, b"gone");
    script.hears();
    let room = script.engine.stream_room(link, number).unwrap();
    assert_eq!(room, Limits::default().max_queued_bytes);
    script.engine.write_stream(link, number, Bytes::from(vec![0; room])).unwrap();
    assert!(script.hears().is_empty(), "the window is closed");
    assert_eq!(script.engine.stream_room(link, number).unwrap(), 0);
    while script.engine.poll_event().is_some() {}
    script.grants(1, 1, 1, 0);
    assert_eq!(script.hears().len(), 1);
    assert!(script.engine.stream_room(link, number).unwrap() > 0);
    assert_eq!(script.engine.poll_event(), Some(Event::Link(link)), "the writer is told");
}

// §2.7.3
#[test]
fn a_message_that_grows_beyond_the_peers_limit_is_aborted() {
    let (mut script, session) = Scripted::begun();
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.max_message_size = Some(5);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 1);
    let number = started(&mut script, link, b"four");
    script.hears();
    let refused = script.engine.write_stream(link, number, Bytes::from_static(b"more"));
    assert_eq!(refused, Err(SendError::TooLarge { size: 8, limit: 5 }));
    let heard = script.hears();
    assert!(transfers(&heard)[0].0.aborted, "{heard:?}");
}

// §2.6.14
#[test]
fn a_message_settled_before_it_was_whole_is_not_sent_on() {
    let (mut script, link) = Scripted::sending(100, 1);
    let number = started(&mut script, link, b"half");
    script.hears();
    script.says(7, accepted(0));
    assert_eq!(script.outcomes(), [Some(Outcome::Accepted)]);
    let refused = script.engine.write_stream(link, number, Bytes::from_static(b"more"));
    assert_eq!(refused, Err(SendError::SettledEarly));
    script.engine.finish_stream(link, number).unwrap();
    let heard = script.hears();
    assert!(transfers(&heard)[0].0.aborted, "the receiver waits for an end: {heard:?}");
    assert!(script.outcomes().is_empty(), "it was told");
}

// §2.6.6
#[test]
fn a_link_that_ends_tells_who_streams_on_it() {
    for settle_mode in [SenderSettleMode::Mixed, SenderSettleMode::Settled] {
        let (mut script, session) = Scripted::begun();
        let mut wanted = options(Role::Sender, Credit::Manual);
        wanted.snd_settle_mode = settle_mode;
        let link = script.engine.attach(session, wanted).unwrap();
        let mut attach = Attach::new("link", 3_u32, Role::Receiver);
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        script.says(7, Performative::Attach(Box::new(attach)));
        script.grants(100, 0, 0, 1);
        let number = started(&mut script, link, b"half");
        script.hears();
        let mut detach = Detach::new(3_u32);
        detach.closed = true;
        script.says(7, Performative::Detach(detach));
        assert_eq!(script.outcomes(), [None], "{settle_mode:?}");
        let refused = script.engine.write_stream(link, number, Bytes::from_static(b"more"));
        assert!(matches!(refused, Err(SendError::NotSent(_))), "{refused:?}");
    }
}
