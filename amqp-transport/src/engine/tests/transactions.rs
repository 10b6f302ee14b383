//! Transactions (§4.4), as far as they are a matter of deliveries: the coordinator is an application.

use super::*;
use crate::transaction::{Provisional, TransactionId};
use amqp_codec::messaging::Received;
use amqp_codec::types::Value;

fn id() -> TransactionId {
    TransactionId::new(Bytes::from_static(b"one"))
}

fn provisional(outcome: Outcome) -> Outcome {
    Outcome::Provisional(Box::new(Provisional::new(id(), outcome)))
}

/// A state within the transaction, as it is on the wire.
fn within(outcome: Option<DeliveryState>) -> DeliveryState {
    id().state(outcome)
}

fn posts(script: &mut Scripted, link: LinkKey, payload: Vec<u8>) {
    let mut delivery = OutgoingDelivery::new(payload.into(), Token(0));
    delivery.state = Some(Box::new(within(None)));
    script.engine.send(link, delivery).unwrap();
}

fn decides(script: &mut Scripted, role: Role, first: u32, settled: bool, state: Option<DeliveryState>) {
    let mut disposition = Disposition::new(role, first);
    disposition.settled = settled;
    disposition.state = state;
    script.says(7, Performative::Disposition(disposition));
}

fn dispositions(heard: &Heard) -> Vec<(Role, bool, Option<DeliveryState>)> {
    heard
        .iter()
        .filter_map(|(_, performative, _)| match performative {
            Performative::Disposition(told) => Some((told.role, told.settled, told.state.clone())),
            _ => None,
        })
        .collect()
}

// §4.4.1
#[test]
fn every_frame_of_a_posted_delivery_names_its_transaction() {
    let mut open = Open::new("peer");
    open.max_frame_size = 512;
    let mut script = Scripted::opened(open, Limits::default());
    let session = script.engine.begin().unwrap();
    let mut begin = Begin::new(u32::MAX - 1, 100_u32, 100_u32);
    begin.remote_channel = Some(0);
    script.says(7, Performative::Begin(Box::new(begin)));
    let link = script.engine.attach(session, options(Role::Sender, Credit::Manual)).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Receiver);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(attach)));
    script.grants(100, 0, 0, 10);
    script.hears();
    posts(&mut script, link, vec![7; 1500]);
    let heard = script.hears();
    assert!(heard.len() > 3, "{}", heard.len());
    for (_, performative, payload) in &heard {
        let Performative::Transfer(transfer) = performative else { panic!("{performative:?}") };
        assert_eq!(transfer.state, Some(within(None)));
        assert!(payload.len() < 512);
    }
}

// §4.4.1
#[test]
fn a_delivery_outside_a_transaction_names_none() {
    let (mut script, link) = Scripted::sending(10, 10);
    posts(&mut script, link, vec![1]);
    script.sends(link, b"x");
    let heard = script.hears();
    let Performative::Transfer(transfer) = &heard[1].1 else { panic!("{heard:?}") };
    assert_eq!(transfer.state, None);
}

// §4.4.1
#[test]
fn the_outcome_of_a_posted_delivery_is_provisional() {
    let (mut script, link) = Scripted::sending(10, 10);
    posts(&mut script, link, vec![1]);
    script.hears();
    decides(&mut script, Role::Receiver, 0, true, Some(within(Some(DeliveryState::Accepted))));
    let told = script.outcomes();
    let [Some(Outcome::Provisional(told))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((&told.transaction, &told.outcome, told.is_settled), (&id(), &Outcome::Accepted, true));
    assert!(Outcome::Provisional(told.clone()).accepted().is_err(), "only the commit stores it");
}

// §4.4.1
#[test]
fn a_provisional_outcome_that_came_unsettled_is_settled_by_the_one_who_posted() {
    let (mut script, link) = Scripted::sending(10, 10);
    posts(&mut script, link, vec![1]);
    script.hears();
    decides(&mut script, Role::Receiver, 0, false, Some(within(Some(DeliveryState::Accepted))));
    let heard = script.hears();
    assert_eq!(dispositions(&heard), [(Role::Sender, true, Some(within(Some(DeliveryState::Accepted))))]);
}

// §4.4.1
#[test]
fn a_delivery_that_arrives_within_a_transaction_tells_which() {
    let (mut script, link) = Scripted::receiving(Credit::Auto(10), Limits::default());
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(0);
    transfer.delivery_tag = Some(Bytes::from_static(b"t"));
    transfer.more = true;
    transfer.state = Some(within(None));
    script.transfers(&transfer, b"half");
    let mut rest = Transfer::new(3_u32);
    rest.state = Some(within(None));
    script.transfers(&rest, b"half");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert_eq!(TransactionId::of(delivery.state.as_ref()), Some(id()));
    script.hears();
    script.engine.settle(link, delivery.id, provisional(Outcome::Accepted)).unwrap();
    let heard = script.hears();
    assert_eq!(dispositions(&heard), [(Role::Receiver, true, Some(within(Some(DeliveryState::Accepted))))]);
}

// §4.4.2
#[test]
fn a_verdict_within_a_transaction_does_not_settle_before_the_discharge() {
    let (mut script, link) = Scripted::sending(10, 10);
    script.sends(link, b"x");
    script.hears();
    decides(&mut script, Role::Receiver, 0, false, Some(within(Some(DeliveryState::Accepted))));
    let told = script.outcomes();
    let [Some(Outcome::Provisional(told))] = &told[..] else { panic!("{told:?}") };
    assert!(!told.is_settled);
    assert!(script.hears().is_empty(), "nothing is settled yet");
    // The discharge decides.
    script.engine.settle_sent(link, told.id.unwrap(), Outcome::Accepted).unwrap();
    let heard = script.hears();
    assert_eq!(dispositions(&heard), [(Role::Sender, true, Some(DeliveryState::Accepted))]);
    assert_eq!(
        script.engine.settle_sent(link, told.id.unwrap(), Outcome::Accepted),
        Err(SettleError::Revoked)
    );
    assert!(script.outcomes().is_empty());
}

// §4.4.2
#[test]
fn the_same_verdict_again_and_again_is_told_once() {
    let (mut script, link) = Scripted::sending(10, 10);
    script.sends(link, b"x");
    script.hears();
    for _ in 0..10 {
        decides(&mut script, Role::Receiver, 0, false, Some(within(Some(DeliveryState::Accepted))));
    }
    assert_eq!(script.outcomes().len(), 1);
}

// §4.4.2
#[test]
fn after_a_rollback_another_verdict_can_follow() {
    let (mut script, link) = Scripted::sending(10, 10);
    script.sends(link, b"x");
    script.hears();
    decides(&mut script, Role::Receiver, 0, false, Some(within(Some(DeliveryState::Accepted))));
    let told = script.outcomes();
    let [Some(Outcome::Provisional(told))] = &told[..] else { panic!("{told:?}") };
    script.engine.revert(link, told.id.unwrap());
    decides(&mut script, Role::Receiver, 0, false, Some(within(Some(DeliveryState::Released))));
    assert!(
        matches!(&script.outcomes()[..], [Some(Outcome::Provisional(again))] if again.outcome == Outcome::Released)
    );
    decides(&mut script, Role::Receiver, 0, true, Some(DeliveryState::Released));
    assert_eq!(script.outcomes(), [Some(Outcome::Released)]);
}

// §4.4.2
#[test]
fn a_verdict_that_waits_for_the_sender_can_be_given_again_after_a_rollback() {
    let (mut script, session) = Scripted::begun();
    let mut second = options(Role::Receiver, Credit::Auto(10));
    second.rcv_settle_mode = ReceiverSettleMode::Second;
    let link = script.engine.attach(session, second).unwrap();
    let mut attach = Attach::new("link", 3_u32, Role::Sender);
    attach.source = Some(Source::new("q"));
    attach.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(attach)));
    script.delivers(0);
    let delivery = script.engine.take(link).unwrap().unwrap();
    script.hears();
    script.engine.settle(link, delivery.id, provisional(Outcome::Accepted)).unwrap();
    let heard = script.hears();
    assert_eq!(dispositions(&heard), [(Role::Receiver, false, Some(within(Some(DeliveryState::Accepted))))]);
    // The resource answers within the transaction: that settles nothing.
    decides(&mut script, Role::Sender, 0, false, Some(within(Some(DeliveryState::Accepted))));
    assert!(script.engine.is_unsettled(link, delivery.id));
    assert!(script.engine.settle(link, delivery.id, Outcome::Released).is_err());
    script.engine.revert(link, delivery.id);
    script.engine.settle(link, delivery.id, Outcome::Released).unwrap();
    let heard = script.hears();
    assert_eq!(dispositions(&heard), [(Role::Receiver, false, Some(DeliveryState::Released))]);
}

// §4.4.3
#[test]
fn a_receiver_that_acquires_within_a_transaction_says_so_in_each_flow() {
    let (mut script, link) = Scripted::receiving(Credit::Manual, Limits::default());
    script.hears();
    script.engine.set_acquisition(link, Some(Bytes::from_static(b"one"))).unwrap();
    script.engine.set_credit(link, 1).unwrap();
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    let named = flow.properties.as_ref().and_then(|properties| properties.get("txn-id"));
    assert_eq!(named, Some(&Value::Binary(Bytes::from_static(b"one"))));
    script.engine.set_acquisition(link, None).unwrap();
    let heard = script.hears();
    let [flow] = flows(&heard)[..] else { panic!("{heard:?}") };
    assert_eq!(flow.properties, None);
}

// §4.4.3
#[test]
fn a_sender_learns_within_which_transaction_its_peer_acquires() {
    let (mut script, link) = Scripted::sending(10, 10);
    assert_eq!(script.engine.acquisition(link), None);
    let mut flow = Flow::new(10_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.handle, flow.delivery_count, flow.link_credit) =
        (Some(0), Some(3), Some(0), Some(10));
    let named = |octets: &'static [u8]| {
        let txn_id = Value::Binary(Bytes::from_static(octets));
        Some([(Symbol::from_static("txn-id"), txn_id)].into_iter().collect())
    };
    flow.properties = named(b"one");
    script.says(7, Performative::Flow(flow.clone()));
    assert_eq!(script.engine.acquisition(link), Some(&Bytes::from_static(b"one")));
    // A flow that speaks of credit only changes nothing.
    script.grants(10, 0, 0, 11);
    assert!(script.engine.acquisition(link).is_some());
    // No transaction has an id as long as this.
    flow.properties = named(&[0; 33]);
    script.says(7, Performative::Flow(flow));
    assert_eq!(script.engine.acquisition(link), None);
}

/// The first frame of a delivery to the client, of this transaction, and a frame that goes on with it.
fn two_frames(first: Option<&'static [u8]>, second: Option<DeliveryState>) -> (Transfer, Transfer) {
    let mut transfer = Transfer::new(3_u32);
    transfer.delivery_id = Some(0);
    transfer.delivery_tag = Some(Bytes::from_static(b"t"));
    transfer.more = true;
    transfer.state = first.map(|octets| TransactionId::new(Bytes::from_static(octets)).state(None));
    let mut rest = Transfer::new(3_u32);
    rest.state = second;
    (transfer, rest)
}

// §4.4.1
#[test]
fn the_frames_of_a_delivery_name_one_transaction() {
    let two = || TransactionId::new(Bytes::from_static(b"two")).state(None);
    let point = || DeliveryState::Received(Received { section_number: 0, section_offset: 0 });
    for streams in [false, true] {
        for (first, second, is_right) in [
            (Some(&b"one"[..]), None, true),
            (Some(&b"one"[..]), Some(within(None)), true),
            (Some(&b"one"[..]), Some(two()), false),
            (Some(&b"one"[..]), Some(point()), false),
            (None, Some(point()), true),
            (None, Some(two()), false),
        ] {
            let (mut script, session) = Scripted::begun();
            let mut wanted = options(Role::Receiver, Credit::Auto(10));
            wanted.streams = streams;
            let link = script.engine.attach(session, wanted).unwrap();
            let mut attach = Attach::new("link", 3_u32, Role::Sender);
            attach.source = Some(Source::new("q"));
            attach.initial_delivery_count = Some(0);
            script.says(7, Performative::Attach(Box::new(attach)));
            script.hears();
            let (transfer, rest) = two_frames(first, second.clone());
            script.transfers(&transfer, b"half");
            assert_eq!(script.engine.is_partly_posted(b"one"), first.is_some());
            script.transfers(&rest, b"half");
            let case = format!("{first:?}, then {second:?}, in parts: {streams}");
            if is_right {
                assert_eq!(script.engine.link_status(link), LinkStatus::Attached, "{case}");
                assert!(!script.engine.is_partly_posted(b"one"), "{case}");
                let state = script.engine.take(link).unwrap().unwrap().state;
                assert_eq!(TransactionId::of(state.as_ref()).is_some(), first.is_some(), "{case}");
            } else {
                assert_eq!(script.detaches_with(), conditions::NOT_ALLOWED, "{case}");
            }
        }
    }
}
