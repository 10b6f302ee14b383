//! Edges where several rules meet: a simulated run finds them sooner than a reader.

use super::*;

// §2.7.2
#[test]
fn no_more_links_are_asked_for_than_the_peer_may_answer() {
    let limits = Limits { handle_max: 0, ..Limits::default() };
    let (mut script, session) = Scripted::begun_with(limits, 100);
    let mut second = options(Role::Sender, Credit::Manual);
    second.name = "second".into();
    script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    assert_eq!(script.engine.attach(session, second), Err(LinkError::TooMany(1)));
}

// §2.6.12
#[test]
fn in_mode_second_a_delivery_without_an_outcome_is_settled_at_once() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(2), Limits::default());
    if let Some(receiver) = script.engine.links[link.0].receiver() {
        receiver.settle_mode = ReceiverSettleMode::Second;
    }
    script.delivers(7);
    script.hears();
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.engine.settle(link, delivery.id, Outcome::Unspecified).unwrap();
    let heard = script.hears();
    let [(0, Performative::Disposition(disposition), _), ..] = &heard[..] else { panic!("{heard:?}") };
    assert!(disposition.settled && disposition.state.is_none(), "nothing is left to wait for");
    assert!(!script.engine.is_unsettled(link, delivery.id));
}

// §2.6.12
#[test]
fn who_waits_for_a_settled_delivery_to_leave_is_told_when_the_link_ends_half_way() {
    let (mut script, link) = Scripted::sending(1, 5);
    if let Some(sender) = script.engine.links[link.0].sender() {
        sender.settle_mode = SenderSettleMode::Settled;
    }
    script.engine.io.max_frame_size = 512;
    script.sends(link, &[0; 2000]);
    let heard = script.hears();
    assert!(matches!(&heard[..], [(0, Performative::Transfer(transfer), _)] if transfer.more), "{heard:?}");
    script.engine.detach(link, true, None);
    assert_eq!(script.outcomes(), [None]);
}

// §2.6.7
#[test]
fn a_drain_is_answered_once() {
    let (mut script, link) = Scripted::sending(10, 5);
    let mut flow = Flow::new(10_u32, 0_u32, 100_u32);
    (flow.next_incoming_id, flow.handle, flow.delivery_count) = (Some(0), Some(3), Some(0));
    (flow.link_credit, flow.drain) = (Some(5), true);
    script.says(7, Performative::Flow(flow.clone()));
    assert_eq!(flows(&script.hears()).len(), 1);
    script.engine.drained(link);
    assert!(script.hears().is_empty(), "it is known already");
    (flow.delivery_count, flow.link_credit) = (Some(5), Some(0));
    script.says(7, Performative::Flow(flow));
    assert_eq!(flows(&script.hears()).len(), 1, "who asks again is answered again");
}

// §2.6.7
#[test]
fn deliveries_that_were_asked_for_are_no_overrun_however_many_wait() {
    let (mut script, link) = Scripted::receiving(Credit::Manual, Limits::default());
    for grant in 0..10 {
        script.engine.set_credit(link, 20).unwrap();
        script.hears();
        for id in grant * 20..(grant + 1) * 20 {
            script.delivers(id);
        }
    }
    assert_eq!(script.engine.queued(link), 200);
    assert_eq!(script.engine.link_status(link), LinkStatus::Attached);
}

// §2.6.12
#[test]
fn a_delivery_that_is_to_be_settled_first_is_settled_at_once_in_mode_second() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(2), Limits::default());
    if let Some(receiver) = script.engine.links[link.0].receiver() {
        receiver.settle_mode = ReceiverSettleMode::Second;
    }
    script.hears();
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(0), Some(Bytes::from_static(b"t")));
    transfer.rcv_settle_mode = Some(ReceiverSettleMode::First);
    script.transfers(&transfer, b"x");
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.engine.settle(link, delivery.id, Outcome::Accepted).unwrap();
    let heard = script.hears();
    let [(0, Performative::Disposition(disposition), _), ..] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((disposition.settled, &disposition.state), (true, &Some(DeliveryState::Accepted)));
    assert!(!script.engine.is_unsettled(link, delivery.id));
}

// §2.7.5
#[test]
fn a_delivery_that_costs_its_link_uses_its_id_up() {
    let (mut script, broken) = Scripted::receiving(Credit::Auto(5), Limits::default());
    let session = script.engine.session_of(broken).unwrap();
    let mut asked = options(Role::Receiver, Credit::Auto(5));
    asked.name = "second".into();
    let second = script.engine.attach(session, asked).unwrap();
    let mut attach = Attach::new("second", 4_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    let mut half = Transfer::new(3_u32);
    (half.delivery_id, half.delivery_tag, half.more) = (Some(0), Some(Bytes::from_static(b"t")), true);
    script.transfers(&half, b"half");
    half.delivery_id = Some(1);
    script.transfers(&half, b"another");
    assert_eq!(script.detaches_with(), conditions::ILLEGAL_STATE);
    let mut whole = Transfer::new(4_u32);
    (whole.delivery_id, whole.delivery_tag) = (Some(2), Some(Bytes::from_static(b"t")));
    script.transfers(&whole, b"x");
    assert!(script.engine.take(second).unwrap().is_some(), "the other link goes on");
}

// §2.7.4
#[test]
fn what_is_asked_for_before_the_attach_is_answered_is_told_after_it() {
    for (echo, drain) in [(true, false), (false, true)] {
        let mut script = Scripted::listener();
        script.feed(&ProtocolHeader::SASL.to_bytes());
        let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
        init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
        script.feed(&sasl_frame(&SaslFrame::Init(init)));
        script.feed(&ProtocolHeader::AMQP.to_bytes());
        script.says(0, Performative::Open(Box::new(Open::new("peer"))));
        script.says(7, Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))));
        let mut attach = Attach::new("link", 3_u32, Role::Receiver);
        attach.source = Some(Source::new("q"));
        script.says(7, Performative::Attach(Box::new(attach)));
        let mut flow = Flow::new(10_u32, 0_u32, 10_u32);
        (flow.next_incoming_id, flow.handle, flow.link_credit) = (Some(0), Some(3), Some(0));
        (flow.echo, flow.drain) = (echo, drain);
        script.says(7, Performative::Flow(flow));
        script.hears();
        let request = std::iter::from_fn(|| script.engine.poll_event())
            .find_map(|event| match event {
                Event::LinkRequested(key) => Some(key),
                _ => None,
            })
            .unwrap();
        script.engine.accept(request, Termini::default(), Credit::Manual).unwrap();
        let heard = script.hears();
        assert_eq!(flows(&heard).len(), 1, "echo {echo}, drain {drain}: {heard:?}");
        assert_eq!(flows(&heard)[0].drain, drain);
    }
}

fn sender_says(script: &mut Scripted, first: u32, last: u32, state: Option<DeliveryState>) {
    let mut disposition = Disposition::new(Role::Sender, first);
    (disposition.last, disposition.settled, disposition.state) = (Some(last), true, state);
    script.says(7, Performative::Disposition(disposition));
}

// §2.6.12
#[test]
fn a_delivery_that_its_sender_settles_before_it_was_taken_is_still_there() {
    for state in [None, Some(DeliveryState::Accepted)] {
        let (mut script, link) = Scripted::receiving(Credit::Auto(2), Limits::default());
        script.delivers(0);
        script.delivers(1);
        script.hears();
        sender_says(&mut script, 0, 1, state);
        for _ in 0..2 {
            assert!(script.engine.take(link).unwrap().unwrap().settled);
        }
        let heard = script.hears();
        assert!(
            matches!(&heard[..], [(0, Performative::Flow(flow), _)] if flow.link_credit == Some(2)),
            "{heard:?}"
        );
    }
}

// §2.6.12
#[test]
fn a_message_in_parts_that_its_sender_settles_before_it_was_taken_is_still_there() {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Receiver, Credit::Auto(1));
    wanted.streams = true;
    let link = script.engine.attach(session, wanted).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.hears();
    script.delivers(0);
    sender_says(&mut script, 0, 0, None);
    assert!(flows(&script.hears()).is_empty(), "it counts until it is read");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert!(delivery.settled);
    assert!(matches!(script.engine.read_stream(link, delivery.id), Ok(StreamPart::Octets(_))));
    script.engine.forget_stream(link, delivery.id);
    assert_eq!(flows(&script.hears())[0].link_credit, Some(1));
}

// §2.6.12
#[test]
fn a_delivery_that_its_sender_takes_back_before_it_was_taken_is_gone() {
    for state in [DeliveryState::Released, DeliveryState::Modified(Default::default())] {
        let (mut script, link) = Scripted::receiving(Credit::Auto(4), Limits::default());
        for id in 0..3 {
            script.delivers(id);
        }
        script.hears();
        sender_says(&mut script, 1, 1, Some(state));
        let left: Vec<_> = std::iter::from_fn(|| script.engine.take(link).unwrap())
            .map(|delivery| delivery.id.value())
            .collect();
        assert_eq!(left, [0, 2]);
    }
}

// §2.7.5
#[test]
fn tags_and_states_that_leave_no_room_for_the_message_are_not_sent() {
    let (mut script, link) = Scripted::sending(100, 5);
    let mut delivery = OutgoingDelivery::new(Bytes::from_static(b"x"), Token(0));
    delivery.tag = Some(Bytes::from(vec![0; 33]));
    assert!(matches!(script.engine.send(link, delivery.clone()), Err(SendError::Invalid(_))));
    delivery.tag = Some(Bytes::from(vec![0; 32]));
    let id = crate::transaction::TransactionId::new(Bytes::from(vec![0; 600]));
    delivery.state = Some(Box::new(id.state(None)));
    assert!(matches!(script.engine.send(link, delivery.clone()), Err(SendError::Invalid(_))));
    let id = crate::transaction::TransactionId::new(Bytes::from(vec![0; 32]));
    delivery.state = Some(Box::new(id.state(None)));
    script.engine.send(link, delivery).unwrap();
    assert_eq!(script.hears().len(), 1);
}
