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
