//! One queue, rule by rule.

use std::time::Duration;

use amqp_codec::messaging::{Annotations, Header, Message as Encoded, MessageSections, Modified, Properties};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::{Fields, Symbol, Timestamp, Value};
use amqp_codec::{Decode, Encode};
use bytes::{Bytes, BytesMut};

use super::*;
use crate::limits::DeadLetter;

const A: ConsumerId = ConsumerId(1);
const B: ConsumerId = ConsumerId(2);

fn at(millis: i64) -> Moment {
    Moment::from_millis(millis)
}

fn queue(change: impl FnOnce(&mut QueueOptions)) -> Queue {
    let mut options = QueueOptions::default();
    change(&mut options);
    let mut queue = Queue::new("jobs".into(), options);
    queue.add_consumer(A);
    queue.add_consumer(B);
    queue
}

fn arrived(encoded: Bytes, now: Moment) -> Result<Message, ErrorInfo> {
    let sections = MessageSections::parse(&encoded).unwrap();
    Message::arrived(encoded.clone(), &sections, now)
}

fn publish(queue: &mut Queue, message: &Encoded, now: i64) -> Vec<Dead> {
    let mut dead = Vec::new();
    queue.publish(arrived(message.to_bytes(), at(now)).unwrap(), at(now), &mut dead).unwrap();
    dead
}

fn text(body: &str) -> Encoded {
    Encoded::data(Bytes::copy_from_slice(body.as_bytes()))
}

fn with_header(body: &str, header: Header) -> Encoded {
    Encoded { header: Some(header), ..text(body) }
}

fn annotated(body: &str, key: &'static str, value: impl Into<Value>) -> Encoded {
    let mut annotations = Annotations::default();
    annotations.insert(Symbol::from_static(key), value.into());
    Encoded { message_annotations: Some(annotations), ..text(body) }
}

fn take(queue: &mut Queue, consumer: ConsumerId, credit: u32, now: i64) -> (Vec<Taken>, Next, Vec<Dead>) {
    let (mut taken, mut dead) = (Vec::new(), Vec::new());
    let next = queue.take(consumer, credit, at(now), &mut taken, &mut dead);
    (taken, next, dead)
}

fn take_one(queue: &mut Queue, now: i64) -> (Sequence, Encoded) {
    let (taken, _, _) = take(queue, A, 1, now);
    let taken = taken.into_iter().next().expect("a message is ready");
    (taken.sequence, Encoded::from_bytes(taken.payload).unwrap())
}

fn settle(queue: &mut Queue, sequence: Sequence, verdict: Verdict, now: i64) -> Vec<Dead> {
    let mut dead = Vec::new();
    assert!(queue.settle(A, sequence, verdict, at(now), &mut dead), "the consumer had the message");
    dead
}

fn body(message: &Encoded) -> String {
    String::from_utf8(message.body_bytes().expect("data").to_vec()).unwrap()
}

fn bodies(taken: &[Taken]) -> Vec<String> {
    taken.iter().map(|taken| body(&Encoded::from_bytes(taken.payload.clone()).unwrap())).collect()
}

fn buried(dead: &[Dead], now: i64) -> Encoded {
    assert_eq!(dead.len(), 1, "one dead letter");
    Encoded::from_bytes(dead[0].message.forward(at(now))).unwrap()
}

fn annotation<'a>(message: &'a Encoded, key: &str) -> &'a str {
    message.annotation(key).and_then(Value::as_str).unwrap_or("absent")
}

fn modified(failed: bool, undeliverable: bool, annotations: Option<Fields>) -> Verdict {
    Verdict::Modified(Modified {
        delivery_failed: failed,
        undeliverable_here: undeliverable,
        message_annotations: annotations,
    })
}

fn fields(key: &'static str, value: impl Into<Value>) -> Option<Fields> {
    Some([(Symbol::from_static(key), value.into())].into_iter().collect())
}

// §3.2.1: "A higher number indicates a higher priority", 4 if absent.
#[test]
fn higher_priority_goes_first_and_equals_keep_their_order() {
    let mut queue = queue(|_| {});
    for (name, priority) in [("a", None), ("b", Some(9)), ("c", Some(0)), ("d", Some(4)), ("e", Some(9))] {
        publish(&mut queue, &with_header(name, Header { priority, ..Header::default() }), 0);
    }
    let (taken, next, _) = take(&mut queue, A, 10, 0);
    assert_eq!(bodies(&taken), ["b", "e", "a", "d", "c"]);
    assert_eq!(next, Next::Wait);
}

#[test]
fn no_more_is_taken_than_there_is_credit() {
    let mut queue = queue(|_| {});
    for _ in 0..3 {
        publish(&mut queue, &text("x"), 0);
    }
    let (taken, next, _) = take(&mut queue, A, 2, 0);
    assert_eq!((taken.len(), next), (2, Next::Idle));
    let (taken, next, _) = take(&mut queue, A, 0, 0);
    assert_eq!((taken.len(), next), (0, Next::Idle));
    assert_eq!(queue.stats().ready, 1);
    assert_eq!(queue.stats().unacknowledged, 2);
}

#[test]
fn competing_consumers_share_what_is_there() {
    let mut queue = queue(|_| {});
    assert_eq!(take(&mut queue, A, 100, 0).1, Next::Wait);
    assert_eq!(take(&mut queue, B, 100, 0).1, Next::Wait);
    for _ in 0..10 {
        publish(&mut queue, &text("x"), 0);
    }
    assert_eq!(queue.call(), Some(A));
    assert_eq!(queue.call(), Some(B));
    let (first, next, _) = take(&mut queue, A, 100, 0);
    assert_eq!((first.len(), next), (5, Next::ComeAgain));
    let (second, _, _) = take(&mut queue, B, 100, 0);
    assert_eq!(second.len(), 3);
}

#[test]
fn single_messages_go_to_waiting_consumers_in_turn() {
    let mut queue = queue(|_| {});
    take(&mut queue, A, 9, 0);
    take(&mut queue, B, 9, 0);
    let mut order = Vec::new();
    for _ in 0..4 {
        publish(&mut queue, &text("x"), 0);
        let called = queue.call().expect("somebody waits");
        order.push(called);
        assert_eq!(take(&mut queue, called, 9, 0).0.len(), 1);
    }
    assert_eq!(order, [A, B, A, B]);
}

#[test]
fn an_untouched_message_is_forwarded_as_the_very_octets_that_came() {
    let mut queue = queue(|_| {});
    // A header with its fields spelled out in the long form, which no encoder of ours would write.
    let mut octets = vec![0x00, 0x53, 0x70, 0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x42];
    octets.extend_from_slice(&text("x").to_bytes());
    let octets = Bytes::from(octets);
    queue.publish(arrived(octets.clone(), at(0)).unwrap(), at(0), &mut Vec::new()).unwrap();
    let (taken, _, _) = take(&mut queue, A, 1, 0);
    assert_eq!(taken[0].payload, octets);
}

#[test]
fn the_bare_message_survives_octet_for_octet_when_the_header_is_written_anew() {
    let mut queue = queue(|_| {});
    // amqp-value, a ulong in its long form.
    let bare: &[u8] = &[0x00, 0x53, 0x77, 0x80, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut octets = BytesMut::new();
    with_header("x", Header { ttl: Some(1_000), ..Header::default() }).header.unwrap().encode(&mut octets);
    octets.extend_from_slice(bare);
    queue.publish(arrived(octets.freeze(), at(0)).unwrap(), at(0), &mut Vec::new()).unwrap();
    let (taken, _, _) = take(&mut queue, A, 1, 400);
    assert!(taken[0].payload.ends_with(bare));
    let sections = MessageSections::parse(&taken[0].payload).unwrap();
    assert_eq!(sections.header().unwrap().unwrap().ttl, Some(600));
}

// §3.2.2: delivery annotations are for the next hop only.
#[test]
fn delivery_annotations_stay_behind() {
    let mut queue = queue(|_| {});
    let mut annotations = Annotations::default();
    annotations.insert(Symbol::from_static("x-hop"), Value::from(1_u32));
    publish(&mut queue, &Encoded { delivery_annotations: Some(annotations), ..text("x") }, 0);
    assert_eq!(take_one(&mut queue, 0).1.delivery_annotations, None);
}

#[test]
fn accepted_is_gone() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    assert!(settle(&mut queue, sequence, Verdict::Accepted, 0).is_empty());
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.unacknowledged, stats.accepted, stats.bytes), (0, 0, 1, 0));
}

#[test]
fn a_verdict_counts_once_and_only_from_the_consumer_that_has_the_message() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    assert!(!queue.settle(B, sequence, Verdict::Accepted, at(0), &mut Vec::new()));
    assert!(queue.settle(A, sequence, Verdict::Accepted, at(0), &mut Vec::new()));
    assert!(!queue.settle(A, sequence, Verdict::Accepted, at(0), &mut Vec::new()));
}

// §3.4.4: released does not count, and the message is where it was.
#[test]
fn released_returns_to_its_old_place_uncounted() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("first"), 0);
    publish(&mut queue, &text("second"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    settle(&mut queue, sequence, Verdict::Released, 0);
    let (_, message) = take_one(&mut queue, 0);
    assert_eq!(body(&message), "first");
    assert_eq!(message.header.unwrap_or_default().delivery_count, 0);
}

// §3.4.5
#[test]
fn modified_with_delivery_failed_counts() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("x"), 0);
    for attempt in 0..3 {
        let (sequence, message) = take_one(&mut queue, 0);
        assert_eq!(message.header.unwrap_or_default().delivery_count, attempt);
        settle(&mut queue, sequence, modified(true, false, None), 0);
    }
}

#[test]
fn modified_merges_annotations_over_those_there() {
    let mut queue = queue(|_| {});
    let mut message = annotated("x", "x-a", 1_u32);
    message.message_annotations.as_mut().unwrap().insert(Symbol::from_static("x-b"), Value::from(2_u32));
    publish(&mut queue, &message, 0);
    let (sequence, _) = take_one(&mut queue, 0);
    settle(&mut queue, sequence, modified(false, false, fields("x-a", "new")), 0);
    let (_, message) = take_one(&mut queue, 0);
    assert_eq!(message.annotation("x-a"), Some(&Value::from("new")));
    assert_eq!(message.annotation("x-b"), Some(&Value::from(2_u32)));
    assert_eq!(message.header.unwrap_or_default().delivery_count, 0);
}

#[test]
fn modified_with_a_delivery_time_returns_at_that_time() {
    for value in [Value::Timestamp(Timestamp::from_millis(2_000)), Value::Long(2_000), Value::Ulong(2_000)] {
        let mut queue = queue(|_| {});
        publish(&mut queue, &text("x"), 0);
        let (sequence, _) = take_one(&mut queue, 0);
        settle(&mut queue, sequence, modified(true, false, fields("x-opt-delivery-time", value)), 500);
        assert_eq!((queue.stats().delayed, queue.next_deadline()), (1, Some(at(2_000))));
        assert!(take(&mut queue, A, 1, 1_999).0.is_empty());
        let (_, message) = take_one(&mut queue, 2_000);
        assert_eq!(message.header.unwrap_or_default().delivery_count, 1);
    }
}

#[test]
fn modified_undeliverable_here_is_a_dead_letter_with_its_annotations() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    let dead = settle(&mut queue, sequence, modified(false, true, fields("x-opt-why", "bad")), 0);
    let message = buried(&dead, 0);
    assert_eq!(dead[0].target, "jobs.dlq");
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "undeliverable-here");
    assert_eq!(annotation(&message, "x-opt-why"), "bad");
}

#[test]
fn rejected_is_a_dead_letter_that_says_where_from_and_why() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &annotated("x", "x-kept", "yes"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    let error = ErrorInfo::new(conditions::DECODE_ERROR, "not a job");
    let dead = settle(&mut queue, sequence, Verdict::Rejected(Some(error)), 0);
    let message = buried(&dead, 0);
    assert_eq!(body(&message), "x");
    assert_eq!(annotation(&message, "x-opt-deadletter-source"), "jobs");
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "rejected");
    assert_eq!(annotation(&message, "x-opt-deadletter-condition"), "amqp:decode-error");
    assert_eq!(annotation(&message, "x-opt-deadletter-description"), "not a job");
    assert_eq!(annotation(&message, "x-kept"), "yes");
    let stats = queue.stats();
    assert_eq!((stats.dead_lettered, stats.unacknowledged, stats.bytes), (1, 0, 0));
}

#[test]
fn over_the_delivery_limit_a_message_is_a_dead_letter() {
    let mut queue = queue(|options| options.delivery_limit = Some(1));
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    assert!(settle(&mut queue, sequence, modified(true, false, None), 0).is_empty());
    let (sequence, _) = take_one(&mut queue, 0);
    let dead = settle(&mut queue, sequence, modified(true, false, None), 0);
    let message = buried(&dead, 0);
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "delivery-limit");
    assert_eq!(message.header.unwrap_or_default().delivery_count, 2);
}

#[test]
fn released_never_reaches_the_delivery_limit() {
    let mut queue = queue(|options| options.delivery_limit = Some(0));
    publish(&mut queue, &text("x"), 0);
    for _ in 0..10 {
        let (sequence, _) = take_one(&mut queue, 0);
        assert!(settle(&mut queue, sequence, Verdict::Released, 0).is_empty());
    }
}

#[test]
fn a_queue_without_dead_letters_drops_them_and_counts() {
    let mut queue = queue(|options| options.dead_letter = DeadLetter::Drop);
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    assert!(settle(&mut queue, sequence, Verdict::Rejected(None), 0).is_empty());
    assert_eq!((queue.stats().dropped, queue.stats().bytes), (1, 0));
}

#[test]
fn a_delayed_message_is_ready_when_it_is_due_and_not_before() {
    for (key, value) in [
        ("x-opt-delivery-time", Value::Long(1_500)),
        ("x-opt-delivery-time", Value::Timestamp(Timestamp::from_millis(1_500))),
        ("x-opt-scheduled-enqueue-time", Value::Timestamp(Timestamp::from_millis(1_500))),
        ("x-opt-delivery-delay", Value::Long(500)),
        ("x-opt-delivery-delay", Value::Uint(500)),
    ] {
        let mut queue = queue(|_| {});
        publish(&mut queue, &annotated("x", key, value.clone()), 1_000);
        assert_eq!((queue.stats().delayed, queue.stats().ready), (1, 0), "{key} {value:?}");
        assert!(take(&mut queue, A, 1, 1_499).0.is_empty());
        assert_eq!(queue.next_deadline(), Some(at(1_500)));
        queue.tick(at(1_500), &mut Vec::new());
        assert_eq!(queue.call(), Some(A));
        assert_eq!(take(&mut queue, A, 1, 1_500).0.len(), 1);
    }
}

#[test]
fn a_delivery_time_in_the_past_is_no_delay() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &annotated("x", "x-opt-delivery-time", Value::Long(-7)), 1_000);
    publish(&mut queue, &annotated("y", "x-opt-delivery-delay", Value::Long(0)), 1_000);
    assert_eq!(queue.stats().ready, 2);
}

#[test]
fn a_delay_that_is_not_a_number_is_an_invalid_field() {
    let message = annotated("x", "x-opt-delivery-time", "tomorrow").to_bytes();
    let error = arrived(message, at(0)).expect_err("refused");
    assert_eq!(error.condition, conditions::INVALID_FIELD);
}

// §3.2.1: ttl.
#[test]
fn an_expired_message_is_a_dead_letter_that_expires_no_more() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &with_header("x", Header { ttl: Some(100), ..Header::default() }), 1_000);
    assert_eq!(queue.next_deadline(), Some(at(1_100)));
    let mut dead = Vec::new();
    queue.tick(at(1_099), &mut dead);
    assert!(dead.is_empty());
    let (taken, _, dead) = take(&mut queue, A, 1, 1_100);
    assert!(taken.is_empty());
    let message = buried(&dead, 9_999);
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "expired");
    assert_eq!(message.header.unwrap_or_default().ttl, None);
}

#[test]
fn expired_messages_are_dropped_if_the_queue_says_so() {
    let mut queue = queue(|options| options.expired = Expired::Drop);
    publish(&mut queue, &with_header("x", Header { ttl: Some(100), ..Header::default() }), 0);
    let (_, _, dead) = take(&mut queue, A, 1, 100);
    assert!(dead.is_empty());
    assert_eq!((queue.stats().dropped, queue.stats().bytes), (1, 0));
}

#[test]
fn the_time_to_live_begins_when_the_delay_is_over() {
    let mut queue = queue(|_| {});
    let mut message = annotated("x", "x-opt-delivery-delay", 1_000_u32);
    message.header = Some(Header { ttl: Some(100), ..Header::default() });
    publish(&mut queue, &message, 0);
    assert_eq!(take_one(&mut queue, 1_050).1.header.unwrap_or_default().ttl, Some(50));
}

#[test]
fn absolute_expiry_and_the_queues_own_limit_count_too() {
    let absolute = Encoded {
        properties: Some(Properties {
            absolute_expiry_time: Some(Timestamp::from_millis(50)),
            ..Properties::default()
        }),
        ..text("x")
    };
    let mut queue = queue(|options| options.message_ttl = Some(Duration::from_millis(80)));
    publish(&mut queue, &absolute, 0);
    publish(&mut queue, &text("y"), 0);
    assert_eq!(take(&mut queue, A, 9, 60).2.len(), 1);
    let mut dead = Vec::new();
    queue.remove_consumer(A, Departure::Orderly, at(80), &mut dead);
    assert_eq!(dead.len(), 1, "the other one expired with its consumer");
}

#[test]
fn a_full_queue_refuses() {
    let mut queue = queue(|options| options.max_length = 1);
    publish(&mut queue, &text("x"), 0);
    take_one(&mut queue, 0);
    let message = arrived(text("y").to_bytes(), at(0)).unwrap();
    let error = queue.publish(message, at(0), &mut Vec::new()).expect_err("full");
    assert_eq!(error.condition, conditions::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn a_queue_with_too_many_octets_refuses() {
    let mut queue = queue(|options| options.max_bytes = 600);
    publish(&mut queue, &text("x"), 0);
    publish(&mut queue, &text("x"), 0);
    let message = arrived(text("x").to_bytes(), at(0)).unwrap();
    assert!(queue.publish(message, at(0), &mut Vec::new()).is_err());
}

#[test]
fn what_a_consumer_has_comes_back_when_it_leaves() {
    for (departure, count) in [(Departure::Orderly, 0), (Departure::Lost, 1)] {
        let mut queue = queue(|_| {});
        publish(&mut queue, &text("x"), 0);
        publish(&mut queue, &text("y"), 0);
        take(&mut queue, A, 1, 0);
        take(&mut queue, B, 1, 0);
        queue.remove_consumer(A, departure, at(0), &mut Vec::new());
        let stats = queue.stats();
        assert_eq!((stats.ready, stats.unacknowledged, stats.consumers), (1, 1, 1));
        queue.add_consumer(A);
        let (_, message) = take_one(&mut queue, 0);
        assert_eq!(body(&message), "x");
        assert_eq!(message.header.unwrap_or_default().delivery_count, count);
    }
}

#[test]
fn a_consumer_that_is_called_and_has_lost_its_credit_passes_the_call_on() {
    let mut queue = queue(|_| {});
    take(&mut queue, A, 1, 0);
    take(&mut queue, B, 1, 0);
    publish(&mut queue, &text("x"), 0);
    assert_eq!(queue.call(), Some(A));
    assert_eq!(queue.call(), None);
    take(&mut queue, A, 0, 0);
    assert_eq!(queue.call(), Some(B));
}

#[test]
fn purge_takes_what_nobody_has() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("held"), 0);
    take_one(&mut queue, 0);
    publish(&mut queue, &text("ready"), 0);
    publish(&mut queue, &annotated("delayed", "x-opt-delivery-delay", 9_u32), 0);
    assert_eq!(queue.purge(), 2);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.delayed, stats.unacknowledged), (0, 0, 1));
    assert!(stats.bytes > 0);
    assert_eq!(queue.next_deadline(), None);
}

#[test]
fn what_a_consumer_writes_on_a_message_does_not_keep_what_was_read_from_it() {
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    let read = fields("x-note", "changed").unwrap().to_bytes();
    let annotations = Fields::from_bytes(read.clone()).unwrap();
    settle(&mut queue, sequence, modified(true, false, Some(annotations)), 0);
    assert!(read.is_unique());
    let (sequence, message) = take_one(&mut queue, 0);
    assert_eq!(annotation(&message, "x-note"), "changed");

    let read = ErrorInfo::new(conditions::DECODE_ERROR, "not a job").to_bytes();
    let error = ErrorInfo::from_bytes(read.clone()).unwrap();
    let dead = settle(&mut queue, sequence, Verdict::Rejected(Some(error)), 0);
    assert!(read.is_unique());
    assert_eq!(annotation(&buried(&dead, 0), "x-opt-deadletter-description"), "not a job");
}

#[test]
fn a_verdict_that_comes_before_its_transaction_is_rolled_back_takes_effect_then() {
    let holder = ConsumerId(9);
    let mut queue = queue(|_| {});
    for (verdict, accepted, dead_letters) in [(Verdict::Accepted, 1, 0), (Verdict::Rejected(None), 1, 1)] {
        publish(&mut queue, &text("x"), 0);
        let (sequence, _) = take_one(&mut queue, 0);
        assert!(queue.lend(A, holder, sequence));
        let mut dead = Vec::new();
        assert!(!queue.settle(A, sequence, verdict, at(0), &mut dead), "the transaction has it");
        queue.give_back(holder, A, sequence, at(0), &mut dead);
        let stats = queue.stats();
        assert_eq!((stats.ready, stats.unacknowledged, stats.accepted), (0, 0, accepted));
        assert_eq!(dead.len(), dead_letters);
    }
}

#[test]
fn a_verdict_that_comes_before_its_transaction_is_committed_changes_nothing() {
    let holder = ConsumerId(9);
    let mut queue = queue(|_| {});
    publish(&mut queue, &text("x"), 0);
    let (sequence, _) = take_one(&mut queue, 0);
    assert!(queue.lend(A, holder, sequence));
    let mut dead = Vec::new();
    assert!(!queue.settle(A, sequence, Verdict::Released, at(0), &mut dead));
    queue.settle_lent((holder, A), sequence, Verdict::Accepted, at(0), &mut dead);
    let stats = queue.stats();
    assert_eq!((stats.ready, stats.unacknowledged, stats.accepted), (0, 0, 1));
}
