//! Messages in parts that end before they are whole: given up, settled early, grown too large.

use super::*;

fn started(script: &mut Scripted, link: LinkKey, first: &'static [u8]) -> DeliveryNumber {
    let delivery = OutgoingDelivery::new(Bytes::from_static(first), Token(0));
    script.engine.send_stream(link, delivery).unwrap()
}

/// A link to send on, by these options, to a peer that takes messages of this size.
fn sending_by(options: LinkOptions, window: u32, max_message_size: u64) -> (Scripted, LinkKey) {
    let (mut script, session) = Scripted::begun_with(Limits::default(), window);
    let link = script.engine.attach(session, options).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.max_message_size = Some(max_message_size);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(window, 0, 0, 10);
    script.hears();
    (script, link)
}

// §2.6.14
#[test]
fn a_message_that_was_taken_back_has_no_second_outcome_when_its_link_ends() {
    let mut settled = options(Role::Sender, Credit::Manual);
    settled.snd_settle_mode = SenderSettleMode::Settled;
    let (mut script, link) = sending_by(settled, 1, 0);
    let number = started(&mut script, link, b"half");
    script.hears();
    script.engine.abort_stream(link, number);
    script.engine.abort_stream(link, number);
    // The window is closed: the frame that says so has not left.
    script.engine.detach(link, true, None);
    assert_eq!(script.outcomes(), [None]);
}

// §2.6.12
#[test]
fn who_waits_for_room_is_told_that_the_peer_has_settled() {
    let (mut script, link) = sending_by(options(Role::Sender, Credit::Manual), 1, 0);
    let number = started(&mut script, link, b"half");
    script.hears();
    let room = script.engine.stream_room(link, number).unwrap();
    script.engine.write_stream(link, number, Bytes::from(vec![0; room])).unwrap();
    while script.engine.poll_event().is_some() {}
    assert_eq!(script.engine.stream_room(link, number), Ok(0));
    let mut disposition = Disposition::new(Role::Receiver, 0_u32);
    (disposition.settled, disposition.state) = (true, Some(DeliveryState::Released));
    script.says(7, Performative::Disposition(disposition));
    let events: Vec<_> = std::iter::from_fn(|| script.engine.poll_event()).collect();
    assert!(events.contains(&Event::Link(link)), "{events:?}");
    assert_eq!(script.engine.stream_room(link, number), Err(SendError::SettledEarly));
}

// §2.7.3
#[test]
fn of_a_part_that_is_too_much_nothing_leaves() {
    let mut careful = options(Role::Sender, Credit::Manual);
    careful.abort_policy = AbortPolicy::Detach;
    let (mut script, link) = sending_by(careful, 100, 5);
    let number = started(&mut script, link, b"four");
    script.hears();
    script.engine.write_stream(link, number, Bytes::from_static(b"5")).unwrap();
    let refused = script.engine.write_stream(link, number, Bytes::from_static(b"more"));
    assert_eq!(refused, Err(SendError::TooLarge { size: 9, limit: 5 }));
    let heard = script.hears();
    let octets: usize = heard.iter().map(|(_, _, payload)| payload.len()).sum();
    assert!(octets <= 1, "{heard:?}");
    assert!(matches!(&heard.last().unwrap().1, Performative::Detach(detach) if detach.error.is_some()));
}

#[test]
fn room_that_a_message_leaves_which_is_taken_back_is_told_to_other_senders() {
    let limits = Limits { max_queued_bytes: 1, ..Limits::default() };
    let (mut script, session) = Scripted::begun_with(limits, 100);
    let mut links = Vec::new();
    for handle in 3..5_u32 {
        let mut wanted = options(Role::Sender, Credit::Manual);
        wanted.name = format!("link {handle}").into();
        links.push(script.engine.attach(session, wanted).unwrap());
        let mut attach = Attach::new(format!("link {handle}"), handle, Role::Receiver);
        attach.target = Some(TargetArchetype::Target(Target::new("q")));
        script.says(7, Performative::Attach(Box::new(attach)));
        let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
        (flow.next_incoming_id, flow.handle) = (Some(0), Some(handle));
        (flow.delivery_count, flow.link_credit) = (Some(0), Some(10));
        script.says(7, Performative::Flow(flow));
    }
    script.hears();
    let number = started(&mut script, links[0], b"");
    assert_eq!(script.engine.credit(links[1]), Ok(0), "the first one waits for its octets");
    while script.engine.poll_event().is_some() {}
    script.engine.abort_stream(links[0], number);
    assert!(script.hears().is_empty(), "nothing of it had left");
    let events: Vec<_> = std::iter::from_fn(|| script.engine.poll_event()).collect();
    assert!(events.contains(&Event::Link(links[1])), "{events:?}");
    assert_eq!(script.engine.credit(links[1]), Ok(10));
}
