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
    assert_eq!((first.delivery_id, first.more, &octets[..]), (Some(0), true, &b"on"[..]));
    assert!(first.delivery_tag.is_some());
    assert!(script.hears().is_empty(), "nothing to send");
    script.engine.write_stream(link, number, Bytes::from_static(b"two")).unwrap();
    script.engine.write_stream(link, number, Bytes::from_static(b"three")).unwrap();
    script.engine.finish_stream(link, number).unwrap();
    let heard = script.hears();
    let [(last, octets)] = transfers(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!((last.delivery_id, last.more, &octets[..]), (None, false, &b"etwothree"[..]));
    script.says(7, accepted(0));
    assert_eq!(script.outcomes(), [Some(Outcome::Accepted)]);
}

// §2.6.14
#[test]
fn the_last_frame_of_a_streamed_message_has_octets_unless_they_were_flushed() {
    for is_flushed in [false, true] {
        let (mut script, link) = Scripted::sending(100, 1);
        let number = started(&mut script, link, b"all");
        script.hears();
        if is_flushed {
            script.engine.flush_stream(link, number).unwrap();
            assert_eq!(transfers(&script.hears())[0].1, "l");
        }
        script.engine.finish_stream(link, number).unwrap();
        let heard = script.hears();
        let [(last, octets)] = transfers(&heard)[..] else { panic!("{heard:?}") };
        assert!(!last.more);
        assert_eq!(octets, if is_flushed { "" } else { "l" });
    }
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

// §2.6.14
#[test]
fn who_streams_on_a_link_that_settles_everything_is_told_once() {
    let (mut script, link) = Scripted::sending(100, 5);
    if let Some(sender) = script.engine.links[link.0].sender() {
        sender.settle_mode = SenderSettleMode::Settled;
    }
    let number = started(&mut script, link, b"half");
    script.hears();
    script.engine.abort_stream(link, number);
    script.engine.handle_lost("cut");
    assert_eq!(script.outcomes(), [None]);
}

/// A link from the peer that hands messages over with their first frame, and one that does not.
fn streaming(credit: u32, limits: Limits) -> (Scripted, LinkKey) {
    let (mut script, session) = Scripted::begun_with(limits, 2048);
    let mut wanted = options(Role::Receiver, Credit::Auto(credit));
    wanted.streams = true;
    let link = script.engine.attach(session, wanted).unwrap();
    let heard = script.hears();
    let [(_, Performative::Attach(attach), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(attach.max_message_size, None, "there is no limit where nothing is put together");
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    (script, link)
}

impl Scripted {
    /// A frame of the peer's delivery: its first one has an id.
    fn sends_part(&mut self, id: Option<u32>, more: bool, octets: &[u8]) {
        let mut transfer = Transfer::new(3_u32);
        if let Some(id) = id {
            (transfer.delivery_id, transfer.delivery_tag) = (Some(id), Some(Bytes::from_static(b"t")));
        }
        transfer.more = more;
        self.transfers(&transfer, octets);
    }

    fn aborts(&mut self) {
        let mut transfer = Transfer::new(3_u32);
        transfer.aborted = true;
        self.transfers(&transfer, b"");
    }
}

fn octets(text: &'static [u8]) -> Result<StreamPart, StreamError> {
    Ok(StreamPart::Octets(Bytes::from_static(text)))
}

// §2.6.14
#[test]
fn a_message_is_handed_over_with_its_first_frame() {
    let (mut script, link) = streaming(1, Limits::default());
    script.sends_part(Some(0), true, b"one");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert_eq!(script.engine.read_stream(link, delivery.id), octets(b"one"));
    assert_eq!(script.engine.read_stream(link, delivery.id), Ok(StreamPart::Pending));
    while script.engine.poll_event().is_some() {}
    script.sends_part(None, false, b"two");
    assert_eq!(script.engine.poll_event(), Some(Event::Link(link)), "the reader is told");
    assert_eq!(script.engine.read_stream(link, delivery.id), octets(b"two"));
    assert_eq!(script.engine.read_stream(link, delivery.id), Ok(StreamPart::End));
    script.hears();
    script.engine.settle(link, delivery.id, Outcome::Accepted).unwrap();
    script.engine.forget_stream(link, delivery.id);
    let heard = script.hears();
    assert!(matches!(heard[0].1, Performative::Disposition(_)));
    assert_eq!(flows(&heard)[0].link_credit, Some(1), "its credit comes back");
    assert!(script.engine.read_stream(link, delivery.id).is_err());
}

// §2.5.6
#[test]
fn octets_that_nobody_reads_hold_the_window_back() {
    let limits = Limits { max_frame_size: 1000, max_stream_bytes: 4000, ..Limits::default() };
    let (mut script, link) = streaming(10, limits);
    let heard = script.hears();
    assert_eq!(flows(&heard)[0].incoming_window, 4, "before any credit can be used: {heard:?}");
    for n in 0..4 {
        script.sends_part((n == 0).then_some(0), true, &[7; 950]);
    }
    let heard = script.hears();
    assert!(flows(&heard).iter().all(|flow| flow.incoming_window <= 1), "{heard:?}");
    let delivery = script.engine.take(link).unwrap().unwrap();
    let mut read = 0;
    while let Ok(StreamPart::Octets(octets)) = script.engine.read_stream(link, delivery.id) {
        read += octets.len();
    }
    assert_eq!(read, 4 * 950);
    let heard = script.hears();
    assert_eq!(flows(&heard)[0].incoming_window, 4, "{heard:?}");
}

// §2.5.6
#[test]
fn one_frame_is_let_through_however_small_the_limit() {
    let limits = Limits { max_stream_bytes: 0, ..Limits::default() };
    let (mut script, link) = streaming(1, limits);
    let heard = script.hears();
    assert_eq!(flows(&heard)[0].incoming_window, 1, "{heard:?}");
    script.sends_part(Some(0), true, b"a");
    script.hears();
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert_eq!(script.engine.read_stream(link, delivery.id), octets(b"a"));
    assert_eq!(flows(&script.hears())[0].incoming_window, 1);
}

// §2.5.6
#[test]
fn frames_under_way_when_the_window_was_made_smaller_are_borne() {
    let limits = Limits { max_frame_size: 1000, max_stream_bytes: 1000, ..Limits::default() };
    let (mut script, link) = streaming(10, limits);
    // Nothing of this was heard by the peer: it goes by the window of the begin.
    script.sends_part(Some(0), false, b"a");
    script.sends_part(Some(1), false, b"b");
    script.sends_part(Some(2), false, b"c");
    assert!(script.engine.take(link).unwrap().is_some());
    assert!(!script.hears().iter().any(|(_, performative, _)| matches!(performative, Performative::End(_))));
}

#[test]
fn a_peer_that_ignores_the_window_cannot_make_us_grow() {
    let limits = Limits { max_frame_size: 1000, max_stream_bytes: 2000, ..Limits::default() };
    let (mut script, _) = streaming(10, limits);
    script.hears();
    for n in 0..10 {
        script.sends_part((n == 0).then_some(0), true, &[0; 900]);
    }
    let heard = script.hears();
    let refused = heard.iter().find_map(|(_, performative, _)| match performative {
        Performative::Detach(Detach { error: Some(error), .. }) => Some(error.condition.clone()),
        _ => None,
    });
    assert_eq!(refused, Some(conditions::RESOURCE_LIMIT_EXCEEDED), "{heard:?}");
}

#[test]
fn endless_frames_of_one_octet_take_little_more_than_their_octets() {
    let (mut script, link) = streaming(10, Limits::default());
    for n in 0..20_000 {
        script.sends_part((n == 0).then_some(0), true, b"x");
        script.hears();
    }
    let delivery = script.engine.take(link).unwrap().unwrap();
    let (mut parts, mut read) = (0, 0);
    while let Ok(StreamPart::Octets(octets)) = script.engine.read_stream(link, delivery.id) {
        (parts, read) = (parts + 1, read + octets.len());
    }
    assert_eq!((parts, read), (5, 20_000));
}

// §2.6.14
#[test]
fn an_aborted_message_tells_its_reader_and_wants_no_verdict() {
    let (mut script, link) = streaming(1, Limits::default());
    script.sends_part(Some(0), true, b"half");
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    script.aborts();
    assert_eq!(script.engine.read_stream(link, delivery.id), Err(StreamError::Aborted));
    assert_eq!(script.engine.settle(link, delivery.id, Outcome::Accepted), Err(SettleError::Revoked));
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!(flow.link_credit, Some(1), "its credit comes back, once");
    assert_eq!(heard.len(), 1, "no disposition: {heard:?}");
    script.engine.forget_stream(link, delivery.id);
    assert!(script.hears().is_empty());
}

// §2.6.14
#[test]
fn a_message_aborted_before_it_was_taken_is_never_seen() {
    let (mut script, link) = streaming(1, Limits::default());
    script.sends_part(Some(0), true, b"half");
    script.aborts();
    assert!(script.engine.take(link).unwrap().is_none());
    script.sends_part(Some(1), false, b"next");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert_eq!(script.engine.read_stream(link, delivery.id), octets(b"next"));
}

// §2.6.14
#[test]
fn after_an_early_verdict_the_rest_is_thrown_away() {
    let (mut script, link) = streaming(1, Limits::default());
    script.sends_part(Some(0), true, b"half");
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    script.engine.settle(link, delivery.id, Outcome::Released).unwrap();
    script.engine.forget_stream(link, delivery.id);
    let heard = script.hears();
    assert!(matches!(&heard[0].1, Performative::Disposition(verdict) if verdict.settled), "{heard:?}");
    script.sends_part(None, true, &[0; 60_000]);
    script.aborts();
    script.sends_part(Some(1), false, b"next");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert_eq!(script.engine.read_stream(link, delivery.id), octets(b"next"));
}

// §2.6.7
#[test]
fn a_settled_message_counts_against_the_credit_until_it_is_dropped() {
    let (mut script, link) = streaming(1, Limits::default());
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(Bytes::from_static(b"t")));
    transfer.settled = Some(true);
    script.hears();
    script.transfers(&transfer, b"all");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert!(delivery.settled);
    assert!(script.hears().is_empty());
    script.engine.forget_stream(link, delivery.id);
    assert_eq!(flows(&script.hears())[0].link_credit, Some(1));
}

// §2.6.6
#[test]
fn a_message_that_is_not_whole_ends_with_its_link() {
    let (mut script, link) = streaming(3, Limits::default());
    script.sends_part(Some(0), true, b"half");
    let delivery = script.engine.take(link).unwrap().unwrap();
    let mut detach = Detach::new(3_u32);
    detach.closed = true;
    script.says(7, Performative::Detach(detach));
    assert_eq!(script.engine.read_stream(link, delivery.id), octets(b"half"));
    assert!(matches!(script.engine.read_stream(link, delivery.id), Err(StreamError::Link(_))));
    script.engine.forget_stream(link, delivery.id);
    assert!(script.engine.take(link).is_err());
}

// §2.7.5
#[test]
fn another_delivery_in_the_midst_of_one_detaches_the_link() {
    let (mut script, _) = streaming(3, Limits::default());
    script.sends_part(Some(0), true, b"half");
    script.sends_part(Some(1), true, b"other");
    assert_eq!(script.detaches_with(), conditions::ILLEGAL_STATE);
}

// §2.6.7
#[test]
fn a_drain_does_not_wait_for_a_message_of_which_nothing_was_written() {
    let (mut script, link) = Scripted::sending(100, 5);
    let number = script.engine.send_stream(link, OutgoingDelivery::new(Bytes::new(), Token(0))).unwrap();
    let mut flow = Flow::new(100_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle, flow.delivery_count) = (Some(0), Some(3), Some(0));
    (flow.link_credit, flow.drain) = (Some(5), true);
    script.says(7, Performative::Flow(flow.clone()));
    let heard = script.hears();
    assert_eq!((flows(&heard)[0].link_credit, flows(&heard)[0].delivery_count), (Some(0), Some(5)));
    script.engine.write_stream(link, number, Bytes::from_static(b"late")).unwrap();
    script.engine.finish_stream(link, number).unwrap();
    assert!(transfers(&script.hears()).is_empty(), "there is no credit for it");
    (flow.delivery_count, flow.link_credit, flow.drain) = (Some(5), Some(1), false);
    script.says(7, Performative::Flow(flow));
    let heard = script.hears();
    assert_eq!(transfers(&heard)[0].1, &b"late"[..]);
}
