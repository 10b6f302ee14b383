//! Links that are suspended and resumed (§2.6.13).

use super::*;
use amqp_codec::messaging::{Message, Received};
use amqp_codec::types::{Map, Value};
use amqp_codec::{Decode, Encode};

/// A map of tags and states as the peer sends it.
fn map(entries: &[(&[u8], Option<DeliveryState>)]) -> Map {
    entries
        .iter()
        .map(|(tag, state)| {
            let state =
                state.as_ref().map_or(Value::Null, |state| Value::from_bytes(state.to_bytes()).unwrap());
            (Value::Binary(Bytes::copy_from_slice(tag)), state)
        })
        .collect()
}

fn payload(n: u8) -> Bytes {
    Message::data(vec![n; 40]).to_bytes()
}

/// A sender that was suspended with messages of the tags 0 to 5, the last of which had not left; resumed. The peer has
/// this unsettled.
fn resumed_with(entries: &[(&[u8], Option<DeliveryState>)], is_incomplete: bool) -> (Scripted, LinkKey) {
    let (mut script, session) = Scripted::begun_with(Limits::default(), 100);
    let mut first = options(Role::Sender, Credit::Manual);
    first.resumption = Some(Resumption::default());
    let link = script.engine.attach(session, first.clone()).unwrap();
    let heard = script.hears();
    let [(_, Performative::Attach(attach), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(attach.unsettled, None, "nothing is resumed yet");
    let mut answer = Attach::new("link", 3_u32, Role::Receiver);
    answer.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(answer.clone())));
    script.grants(100, 0, 0, 5);
    for n in 0..6 {
        script.sends(link, &payload(n));
    }
    script.hears();
    script.engine.detach(link, false, None);
    script.says(7, Performative::Detach(Detach::new(3_u32)));
    script.hears();
    assert_eq!(script.outcomes(), vec![None; 6]);
    let unsettled = script.engine.take_unsettled(link).unwrap();
    assert_eq!((unsettled.deliveries.len(), unsettled.next_tag), (6, 5));
    assert_eq!(unsettled.deliveries[5].tag, None, "it had not left");
    script.engine.forget_link(link);
    let mut resumption = Resumption::default();
    (resumption.is_resumed, resumption.next_tag) = (true, unsettled.next_tag);
    resumption.deliveries =
        unsettled.deliveries.into_iter().enumerate().map(|(n, delivery)| (delivery, Token(n))).collect();
    let link = script.engine.attach(session, LinkOptions { resumption: Some(resumption), ..first }).unwrap();
    let heard = script.hears();
    let [(_, Performative::Attach(attach), _)] = &heard[..] else { panic!("{heard:?}") };
    let tags: Vec<_> = (0..5_u32).map(|n| (n.to_be_bytes(), None)).collect();
    let tags: Vec<_> = tags.iter().map(|(tag, state)| (&tag[..], state.clone())).collect();
    assert_eq!(attach.unsettled, Some(map(&tags)));
    answer.unsettled = Some(map(entries));
    answer.incomplete_unsettled = is_incomplete;
    script.says(7, Performative::Attach(Box::new(answer)));
    let mut flow = Flow::new(100_u32, u32::MAX - 1, 100_u32);
    (flow.next_incoming_id, flow.handle) = (Some(5), Some(3));
    (flow.delivery_count, flow.link_credit) = (Some(0), Some(50));
    script.says(7, Performative::Flow(flow));
    (script, link)
}

fn sent(script: &mut Scripted) -> Vec<(Transfer, Bytes)> {
    script
        .hears()
        .into_iter()
        .filter_map(|(_, performative, payload)| match performative {
            Performative::Transfer(transfer) => Some((transfer, payload)),
            _ => None,
        })
        .collect()
}

// §2.6.13
#[test]
fn each_unsettled_delivery_of_a_sender_goes_on_as_its_case_says() {
    let point = DeliveryState::Received(Received { section_number: 0, section_offset: 11 });
    let (mut script, link) = resumed_with(
        &[
            (&[0, 0, 0, 0], None),
            (&[0, 0, 0, 1], Some(DeliveryState::Accepted)),
            (&[0, 0, 0, 3], Some(point.clone())),
            (b"another's", Some(DeliveryState::Accepted)),
        ],
        false,
    );
    let sent = sent(&mut script);
    let shown: Vec<_> = sent.iter().map(|(t, _)| (t.delivery_tag.clone().unwrap()[3], t.resume)).collect();
    assert_eq!(shown, [(0, true), (1, true), (2, false), (3, true), (4, false), (5, false)]);
    assert_eq!(sent[0].1, payload(0), "the receiver has nothing of it");
    assert_eq!((sent[1].0.settled, &sent[1].0.state), (Some(true), &Some(DeliveryState::Accepted)));
    assert!(sent[1].1.is_empty(), "it is decided");
    assert_eq!(sent[2].1, payload(2), "the receiver does not know of it");
    assert_eq!((&sent[3].0.state, &sent[3].1), (&Some(point), &payload(3).slice(11..)));
    assert_eq!(sent[5].1, payload(5), "under a tag that is not in use");
    let fates: Vec<_> = script.engine.take_fates(link).into_iter().map(|(_, _, fate)| fate).collect();
    assert_eq!(
        fates,
        [
            Fate::Resumed,
            Fate::Settled(Outcome::Accepted),
            Fate::Resent,
            Fate::Resumed,
            Fate::Resent,
            Fate::Resent
        ]
    );
    assert_eq!(script.outcomes(), [Some(Outcome::Accepted)]);
    let mut disposition = Disposition::new(Role::Receiver, 5_u32);
    (disposition.last, disposition.settled) = (Some(10), true);
    disposition.state = Some(DeliveryState::Accepted);
    script.says(7, Performative::Disposition(disposition));
    assert_eq!(script.outcomes(), vec![Some(Outcome::Accepted); 5]);
}

// §2.6.13
#[test]
fn what_an_incomplete_map_does_not_name_is_neither_sent_nor_settled() {
    let (mut script, link) = resumed_with(&[(&[0, 0, 0, 0], None)], true);
    let sent = sent(&mut script);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert!(sent[0].0.resume);
    let fates: Vec<_> = script.engine.take_fates(link).into_iter().map(|(_, _, fate)| fate).collect();
    assert_eq!(fates.iter().filter(|fate| **fate == Fate::Unknown).count(), 5);
    script.engine.detach(link, false, None);
    assert_eq!(script.engine.take_unsettled(link).unwrap().deliveries.len(), 6, "for the next time");
}

// §2.6.13
#[test]
fn after_an_incomplete_map_nothing_new_is_sent() {
    let entries: [(&[u8], _); 1] = [(&[0, 0, 0, 0], None)];
    let (mut script, link) = resumed_with(&entries, false);
    assert!(script.engine.credit(link).unwrap() > 0);
    let (mut script, link) = resumed_with(&entries, true);
    assert_eq!(script.engine.credit(link), Ok(0), "there is credit, but not for new deliveries");
}

/// A receiver that is resumed: a delivery without a verdict, one that is accepted, and one that the peer has forgotten.
fn receiving_again() -> (Scripted, LinkKey) {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Receiver, Credit::Auto(10));
    let verdicts = vec![
        (Bytes::from_static(b"open"), None),
        (Bytes::from_static(b"done"), Some(DeliveryState::Accepted)),
        (Bytes::from_static(b"gone"), Some(DeliveryState::Accepted)),
    ];
    wanted.resumption = Some(Resumption { is_resumed: true, verdicts, ..Resumption::default() });
    let link = script.engine.attach(session, wanted).unwrap();
    let heard = script.hears();
    let [(_, Performative::Attach(attach), _)] = &heard[..] else { panic!("{heard:?}") };
    let told = map(&[
        (b"open", None),
        (b"done", Some(DeliveryState::Accepted)),
        (b"gone", Some(DeliveryState::Accepted)),
    ]);
    assert_eq!((&attach.unsettled, attach.incomplete_unsettled), (&Some(told), false));
    let mut answer = Attach::new("link", 3_u32, Role::Sender);
    answer.source = Some(Source::new("q"));
    answer.initial_delivery_count = Some(0);
    answer.unsettled = Some(map(&[(b"open", None), (b"done", None), (b"other", None)]));
    script.says(7, Performative::Attach(Box::new(answer)));
    script.hears();
    (script, link)
}

fn resumes(id: u32, tag: &'static [u8]) -> Transfer {
    let mut transfer = Transfer::new(3_u32);
    (transfer.delivery_id, transfer.delivery_tag) = (Some(id), Some(Bytes::from_static(tag)));
    transfer.resume = true;
    transfer
}

// §2.6.13
#[test]
fn each_unsettled_delivery_of_a_receiver_goes_on_as_its_case_says() {
    let (mut script, link) = receiving_again();
    assert_eq!(script.engine.unresolved(link), [&b"open"[..], b"done"], "the third is settled");
    // The verdict comes back for the receiver to settle.
    let mut decided = resumes(0, b"done");
    decided.state = Some(DeliveryState::Accepted);
    script.transfers(&decided, b"");
    let heard = script.hears();
    let [(_, Performative::Disposition(verdict), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((verdict.first, verdict.settled, &verdict.state), (0, true, &Some(DeliveryState::Accepted)));
    assert!(script.engine.take(link).unwrap().is_none(), "it was received before");
    // One that is not ours to know of is ignored, all frames of it.
    let mut stranger = resumes(1, b"other");
    stranger.more = true;
    script.transfers(&stranger, b"aaa");
    script.transfers(&Transfer::new(3_u32), b"bbb");
    assert!(script.engine.take(link).unwrap().is_none());
    script.transfers(&resumes(2, b"open"), b"once more");
    let delivery = script.engine.take(link).unwrap().unwrap();
    assert_eq!(delivery.payload, b"once more"[..]);
    assert!(script.engine.unresolved(link).is_empty());
    script.delivers(3);
    assert!(script.engine.take(link).unwrap().is_some(), "new ones go on");
    script.engine.settle(link, delivery.id, Outcome::Accepted).unwrap();
}

// §2.6.13
#[test]
fn a_resumed_delivery_that_is_aborted_is_forgotten() {
    let (mut script, link) = receiving_again();
    let mut aborted = resumes(0, b"open");
    aborted.aborted = true;
    script.transfers(&aborted, b"");
    let mut aborted = resumes(1, b"done");
    aborted.aborted = true;
    script.transfers(&aborted, b"");
    assert!(script.engine.take(link).unwrap().is_none());
    assert!(script.engine.unresolved(link).is_empty());
    let heard = script.hears();
    assert!(
        !heard.iter().any(|(_, performative, _)| matches!(performative, Performative::Disposition(_))),
        "it is settled: {heard:?}"
    );
}

// §2.6.13
#[test]
fn a_receiver_keeps_the_tags_of_what_it_has_not_settled() {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Receiver, Credit::Auto(10));
    wanted.resumption = Some(Resumption::default());
    let link = script.engine.attach(session, wanted).unwrap();
    let mut answer = Attach::new("link", 3_u32, Role::Sender);
    answer.source = Some(Source::new("q"));
    answer.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(answer)));
    for id in 0..3 {
        script.delivers(id);
    }
    let first = script.engine.take(link).unwrap().unwrap();
    let second = script.engine.take(link).unwrap().unwrap();
    script.engine.settle(link, first.id, Outcome::Accepted).unwrap();
    let mut half = Transfer::new(3_u32);
    (half.delivery_id, half.delivery_tag) = (Some(3), Some(Bytes::from_static(b"half")));
    half.more = true;
    script.transfers(&half, b"a");
    assert!(script.engine.take_unsettled(link).is_none(), "it has not ended");
    script.engine.handle_lost("cut");
    let tags: Vec<_> =
        script.engine.take_unsettled(link).unwrap().verdicts.into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags, [second.tag, Bytes::from_static(&[0, 0, 0, 2]), Bytes::from_static(b"half")]);
}

// §2.7.3
#[test]
fn a_receiver_whose_map_was_incomplete_takes_nothing_new() {
    let mut script = Scripted::opened(Open { max_frame_size: 512, ..Open::new("peer") }, Limits::default());
    let session = script.engine.begin().unwrap();
    script.hears();
    let mut begin = Begin::new(u32::MAX - 1, 100_u32, 100_u32);
    begin.remote_channel = Some(0);
    script.says(7, Performative::Begin(Box::new(begin)));
    let mut wanted = options(Role::Receiver, Credit::Auto(10));
    let verdicts = (0..100_u8).map(|n| (Bytes::from(vec![n; 20]), None)).collect();
    wanted.resumption = Some(Resumption { is_resumed: true, verdicts, ..Resumption::default() });
    script.engine.attach(session, wanted).unwrap();
    let octets = script.octets();
    assert!(octets.len() <= 512, "{} octets in a frame", octets.len());
    let (performative, _) = frame::decode_amqp_body(Bytes::from(octets).slice(8..)).unwrap();
    let Performative::Attach(attach) = performative else { panic!() };
    assert!(attach.incomplete_unsettled && !attach.unsettled.unwrap().is_empty());
    let mut answer = Attach::new("link", 3_u32, Role::Sender);
    answer.source = Some(Source::new("q"));
    answer.initial_delivery_count = Some(0);
    answer.unsettled = Some(Map::new());
    script.says(7, Performative::Attach(Box::new(answer)));
    script.hears();
    script.delivers(0);
    assert_eq!(script.detaches_with(), conditions::NOT_ALLOWED);
}

// §2.7.3
#[test]
fn a_listener_answers_a_map_with_a_map() {
    let mut script = Scripted::listener();
    script.feed(&ProtocolHeader::SASL.to_bytes());
    let mut init = SaslInit::new(Symbol::from_static("PLAIN"));
    init.initial_response = Some(Bytes::from_static(b"\0u\0p").into());
    script.feed(&sasl_frame(&SaslFrame::Init(init)));
    script.feed(&ProtocolHeader::AMQP.to_bytes());
    script.says(0, Performative::Open(Box::new(Open::new("peer"))));
    script.says(7, Performative::Begin(Box::new(Begin::new(0_u32, 10_u32, 10_u32))));
    let mut attach = Attach::new("link", 0_u32, Role::Sender);
    attach.target = Some(TargetArchetype::Target(Target::new("q")));
    attach.initial_delivery_count = Some(0);
    attach.unsettled = Some(map(&[(b"t", None)]));
    script.says(7, Performative::Attach(Box::new(attach)));
    let request = std::iter::from_fn(|| script.engine.poll_event())
        .find_map(|event| match event {
            Event::LinkRequested(key) => Some(key),
            _ => None,
        })
        .unwrap();
    script.hears();
    script.engine.accept(request, Termini::default(), Credit::Auto(1)).unwrap();
    let heard = script.hears();
    let Performative::Attach(answer) = &heard[0].1 else { panic!("{heard:?}") };
    assert_eq!(answer.unsettled, Some(Map::new()), "nothing of it is unsettled here");
}

// §2.6.13
#[test]
fn what_is_settled_or_sent_in_parts_is_not_sent_again() {
    let (mut script, session) = Scripted::begun_with(Limits::default(), 0);
    let mut wanted = options(Role::Sender, Credit::Manual);
    wanted.resumption = Some(Resumption::default());
    let link = script.engine.attach(session, wanted).unwrap();
    let mut answer = Attach::new("link", 3_u32, Role::Receiver);
    answer.target = Some(TargetArchetype::Target(Target::new("q")));
    script.says(7, Performative::Attach(Box::new(answer)));
    script.grants(0, 0, 0, 5);
    let mut settled = OutgoingDelivery::new(payload(1), Token(0));
    settled.settled = true;
    script.engine.send(link, settled).unwrap();
    script.engine.send_stream(link, OutgoingDelivery::new(payload(2), Token(0))).unwrap();
    script.sends(link, &payload(3));
    script.engine.handle_lost("cut");
    let unsettled = script.engine.take_unsettled(link).unwrap();
    assert_eq!(unsettled.deliveries.len(), 1);
    assert_eq!(unsettled.deliveries[0].payload, payload(3));
}

// §2.6.13
#[test]
fn a_delivery_that_was_decided_is_told_once_although_its_link_ends_again() {
    let (mut script, _) = resumed_with(&[(&[0, 0, 0, 1], Some(DeliveryState::Accepted))], false);
    script.engine.handle_lost("cut");
    let told: Vec<_> = std::iter::from_fn(|| script.engine.poll_event())
        .filter_map(|event| match event {
            Event::Outcome { token: Token(1), outcome, .. } => Some(outcome),
            _ => None,
        })
        .collect();
    assert_eq!(told, [Some(Outcome::Accepted)]);
}

// §2.6.13
#[test]
fn a_verdict_that_the_sender_has_not_settled_by_is_kept() {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Receiver, Credit::Auto(10));
    wanted.rcv_settle_mode = ReceiverSettleMode::Second;
    wanted.resumption = Some(Resumption::default());
    let link = script.engine.attach(session, wanted).unwrap();
    let mut answer = Attach::new("link", 3_u32, Role::Sender);
    answer.source = Some(Source::new("q"));
    answer.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(answer)));
    for id in 0..2 {
        script.delivers(id);
    }
    let first = script.engine.take(link).unwrap().unwrap();
    script.engine.settle(link, first.id, Outcome::Accepted).unwrap();
    script.hears();
    script.engine.handle_lost("cut");
    let verdicts = script.engine.take_unsettled(link).unwrap().verdicts;
    let second = Bytes::from_static(&[0, 0, 0, 1]);
    assert_eq!(verdicts, [(first.tag, Some(DeliveryState::Accepted)), (second, None)]);
}

// §2.6.13
#[test]
fn after_an_incomplete_map_the_deliveries_keep_their_order() {
    let known: [(&[u8], _); 2] = [(&[0, 0, 0, 1], None), (&[0, 0, 0, 3], None)];
    let (mut script, link) = resumed_with(&known, true);
    assert_eq!(sent(&mut script).len(), 2);
    script.engine.handle_lost("cut");
    let unsettled = script.engine.take_unsettled(link).unwrap();
    let payloads: Vec<_> = unsettled.deliveries.into_iter().map(|delivery| delivery.payload).collect();
    assert_eq!(payloads, (0..6).map(payload).collect::<Vec<_>>());
}

// §2.6.3, §2.6.13
#[test]
fn a_resumption_that_is_refused_and_given_up_before_the_reason_comes_keeps_everything() {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Sender, Credit::Manual);
    let delivery =
        UnsettledDelivery { tag: Some(Bytes::from_static(b"t")), payload: payload(0), message_format: 0 };
    let mut resumption = Resumption { is_resumed: true, ..Resumption::default() };
    resumption.deliveries = vec![(delivery.clone(), Token(7))];
    wanted.resumption = Some(resumption);
    let link = script.engine.attach(session, wanted).unwrap();
    script.hears();
    // No target: the reason is in the detach that follows.
    script.says(7, Performative::Attach(Box::new(Attach::new("link", 3_u32, Role::Receiver))));
    script.engine.detach(link, false, None);
    assert!(script.engine.take_fates(link).is_empty(), "nothing was compared");
    assert!(script.outcomes().is_empty());
    assert!(sent(&mut script).is_empty());
    assert_eq!(script.engine.take_unsettled(link).unwrap().deliveries, [delivery]);
}

/// A receiver that can be resumed, in this mode, attached to the peer's handle 3.
fn resumable_receiver(mode: ReceiverSettleMode) -> (Scripted, LinkKey) {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Receiver, Credit::Auto(10));
    wanted.rcv_settle_mode = mode;
    wanted.resumption = Some(Resumption::default());
    let link = script.engine.attach(session, wanted).unwrap();
    let mut answer = Attach::new("link", 3_u32, Role::Sender);
    answer.source = Some(Source::new("q"));
    answer.initial_delivery_count = Some(0);
    script.says(7, Performative::Attach(Box::new(answer)));
    (script, link)
}

// §2.6.13, §4.4.2
#[test]
fn a_verdict_within_a_transaction_is_not_kept() {
    let (mut script, link) = resumable_receiver(ReceiverSettleMode::Second);
    script.delivers(0);
    let delivery = script.engine.take(link).unwrap().unwrap();
    let transaction = crate::transaction::TransactionId::new(Bytes::from_static(b"one"));
    let provisional = crate::transaction::Provisional::new(transaction, Outcome::Accepted);
    script.engine.settle(link, delivery.id, Outcome::Provisional(Box::new(provisional))).unwrap();
    script.engine.handle_lost("cut");
    let verdicts = script.engine.take_unsettled(link).unwrap().verdicts;
    assert_eq!(verdicts, [(delivery.tag, None)], "it was rolled back with its link");
}

// §2.6.13
#[test]
fn what_is_released_with_its_link_is_not_kept() {
    let (mut script, link) = resumable_receiver(ReceiverSettleMode::First);
    script.delivers(0);
    script.delivers(1);
    let taken = script.engine.take(link).unwrap().unwrap();
    script.engine.detach(link, false, None);
    let verdicts = script.engine.take_unsettled(link).unwrap().verdicts;
    assert_eq!(verdicts, [(taken.tag, None)], "nobody has seen the other");
}

// §2.7.3
#[test]
fn what_an_incomplete_map_of_a_sender_does_not_name_stays_unsettled() {
    let (mut script, session) = Scripted::begun();
    let mut wanted = options(Role::Receiver, Credit::Auto(10));
    let verdicts =
        vec![(Bytes::from_static(b"a"), Some(DeliveryState::Accepted)), (Bytes::from_static(b"b"), None)];
    wanted.resumption =
        Some(Resumption { is_resumed: true, verdicts: verdicts.clone(), ..Resumption::default() });
    let link = script.engine.attach(session, wanted).unwrap();
    let mut answer = Attach::new("link", 3_u32, Role::Sender);
    answer.source = Some(Source::new("q"));
    answer.initial_delivery_count = Some(0);
    (answer.unsettled, answer.incomplete_unsettled) = (Some(map(&[(b"b", None)])), true);
    script.says(7, Performative::Attach(Box::new(answer)));
    assert_eq!(script.engine.unresolved(link), [&b"a"[..], b"b"]);
    script.engine.handle_lost("cut");
    assert_eq!(script.engine.take_unsettled(link).unwrap().verdicts, verdicts);
}

// §2.6.13
#[test]
fn the_outcome_that_a_sender_has_applied_counts_though_the_verdict_was_another() {
    let (mut script, _) = receiving_again();
    let mut decided = resumes(0, b"done");
    decided.state = Some(DeliveryState::Released);
    script.transfers(&decided, b"");
    let heard = script.hears();
    let [(_, Performative::Disposition(verdict), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((verdict.settled, &verdict.state), (true, &Some(DeliveryState::Released)));
}

// §2.6.13
#[test]
fn what_was_resumed_takes_room_until_it_has_left() {
    let (mut script, link) =
        resumed_with(&[(&[0, 0, 0, 0], None), (&[0, 0, 0, 1], Some(DeliveryState::Accepted))], false);
    // All but one are to be sent once more, each with a little for itself.
    assert_eq!(script.engine.usage().waiting_bytes, 5 * payload(0).len() + 6 * 64);
    assert_eq!(sent(&mut script).len(), 6);
    assert_eq!(script.engine.usage().waiting_bytes, 0);
    script.engine.detach(link, false, None);
    assert_eq!(script.engine.usage().waiting_bytes, 0);
}

// §2.6.13
#[test]
fn a_listener_sends_what_is_unsettled_although_the_credit_came_before_its_answer() {
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
    attach.unsettled = Some(map(&[(b"t", None)]));
    script.says(7, Performative::Attach(Box::new(attach)));
    let mut flow = Flow::new(10_u32, 0_u32, 10_u32);
    (flow.next_incoming_id, flow.handle, flow.link_credit) = (Some(0), Some(3), Some(5));
    script.says(7, Performative::Flow(flow));
    let request = std::iter::from_fn(|| script.engine.poll_event())
        .find_map(|event| match event {
            Event::LinkRequested(key) => Some(key),
            _ => None,
        })
        .unwrap();
    script.hears();
    let delivery =
        UnsettledDelivery { tag: Some(Bytes::from_static(b"t")), payload: payload(1), message_format: 0 };
    let mut resumption = Resumption { is_resumed: true, ..Resumption::default() };
    resumption.deliveries = vec![(delivery, Token(0))];
    let answer = LinkAnswer { resumption: Some(resumption), ..LinkAnswer::default() };
    script.engine.accept_with(request, answer).unwrap();
    let sent = sent(&mut script);
    let [(transfer, octets)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((transfer.resume, octets), (true, &payload(1)));
}
