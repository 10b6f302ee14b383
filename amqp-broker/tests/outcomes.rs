//! What becomes of a message, seen from a client.

mod support;

use std::time::{Duration, Instant};

use amqp_broker::{Broker, DeadLetter, Expired, QueueOptions};
use amqp_codec::Encode;
use amqp_codec::messaging::{Header, Message, Modified};
use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::{Fields, Symbol, Value};
use support::{Pair, annotated, body, next, now_millis, text};

fn modified(
    delivery_failed: bool,
    undeliverable_here: bool,
    message_annotations: Option<Fields>,
) -> Modified {
    Modified { delivery_failed, undeliverable_here, message_annotations }
}

fn annotation(message: &Message, key: &str) -> String {
    message.annotation(key).and_then(Value::as_str).unwrap_or("absent").to_owned()
}

#[tokio::test]
async fn an_accepted_message_is_gone() {
    let pair = Pair::start().await;
    pair.send("/queues/q", text("hello")).await;
    let receiver = pair.receiver("/queues/q", 10).await;
    let delivery = next(&receiver).await;
    assert_eq!(body(&delivery), "hello");
    assert_eq!(pair.stats("q").unacknowledged, 1);
    delivery.accept().unwrap();
    let stats = pair.wait("q", |stats| stats.accepted == 1).await;
    assert_eq!((stats.ready, stats.unacknowledged, stats.bytes), (0, 0, 0));
    pair.stop().await;
}

#[tokio::test]
async fn the_very_octets_come_out_that_went_in() {
    let pair = Pair::start().await;
    let message = annotated("hello", "x-own", 1_u32)
        .with_application_property("rr_job", "name")
        .with_header(Header { durable: true, priority: Some(7), ..Header::default() });
    let octets = message.to_bytes();
    pair.send("q", message).await;
    let delivery = next(&pair.receiver("q", 1).await).await;
    assert_eq!(delivery.payload(), &octets);
    delivery.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_message_of_many_frames_comes_out_whole() {
    let pair = Pair::start().await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    pair.send("q", Message::data(large.clone())).await;
    let delivery = next(&pair.receiver("q", 1).await).await;
    assert!(delivery.message().unwrap().body_bytes().unwrap() == large, "the body is another");
    delivery.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_released_message_comes_again_uncounted() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let receiver = pair.receiver("q", 1).await;
    next(&receiver).await.release().unwrap();
    let again = next(&receiver).await;
    assert_eq!(again.message().unwrap().header.unwrap_or_default().delivery_count, 0);
    again.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_delivery_that_is_dropped_comes_again() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let receiver = pair.receiver("q", 1).await;
    drop(next(&receiver).await);
    next(&receiver).await.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_failed_attempt_is_counted_until_the_limit() {
    let mut options = QueueOptions::default();
    options.delivery_limit = Some(2);
    let pair = Pair::start_with(Broker::builder().queue_defaults(options)).await;
    pair.send("q", text("x")).await;
    let receiver = pair.receiver("q", 1).await;
    for attempt in 0..3 {
        let delivery = next(&receiver).await;
        assert_eq!(delivery.message().unwrap().header.unwrap_or_default().delivery_count, attempt);
        delivery.modify(modified(true, false, None)).unwrap();
    }
    let dead = next(&pair.receiver("q.dlq", 1).await).await;
    let message = dead.message().unwrap();
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "delivery-limit");
    assert_eq!(annotation(&message, "x-opt-deadletter-source"), "q");
    dead.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_rejected_message_is_dead_and_says_why() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let delivery = next(&pair.receiver("q", 1).await).await;
    delivery.reject(Some(ErrorInfo::new(conditions::DECODE_ERROR, "not a job"))).unwrap();
    let dead = next(&pair.receiver("q.dlq", 1).await).await;
    let message = dead.message().unwrap();
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "rejected");
    assert_eq!(annotation(&message, "x-opt-deadletter-condition"), "amqp:decode-error");
    assert_eq!(annotation(&message, "x-opt-deadletter-description"), "not a job");
    assert_eq!(body(&dead), "x");
    dead.accept().unwrap();
    assert_eq!(pair.stats("q").dead_lettered, 1);
    pair.stop().await;
}

#[tokio::test]
async fn an_undeliverable_message_is_dead_with_its_annotations() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let delivery = next(&pair.receiver("q", 1).await).await;
    let why: Fields = [(Symbol::from_static("x-opt-why"), Value::from("bad"))].into_iter().collect();
    delivery.modify(modified(false, true, Some(why))).unwrap();
    let dead = next(&pair.receiver("q.dlq", 1).await).await;
    let message = dead.message().unwrap();
    assert_eq!(annotation(&message, "x-opt-why"), "bad");
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "undeliverable-here");
    dead.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_delayed_message_waits_for_its_time() {
    let pair = Pair::start().await;
    let begun = Instant::now();
    pair.send("q", annotated("later", "x-opt-delivery-delay", Value::Long(300))).await;
    assert_eq!((pair.stats("q").delayed, pair.stats("q").ready), (1, 0));
    pair.send("q", text("now")).await;
    let receiver = pair.receiver("q", 10).await;
    let first = next(&receiver).await;
    let second = next(&receiver).await;
    assert_eq!((body(&first).as_str(), body(&second).as_str()), ("now", "later"));
    assert!(begun.elapsed() >= Duration::from_millis(299), "it came after {:?}", begun.elapsed());
    first.accept().unwrap();
    second.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn a_message_can_be_given_back_for_later() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let receiver = pair.receiver("q", 10).await;
    let delivery = next(&receiver).await;
    let due = now_millis() + 300;
    let later: Fields =
        [(Symbol::from_static("x-opt-delivery-time"), Value::Long(due))].into_iter().collect();
    delivery.modify(modified(true, false, Some(later))).unwrap();
    pair.wait("q", |stats| stats.delayed == 1).await;
    let again = next(&receiver).await;
    assert!(now_millis() >= due);
    assert_eq!(again.message().unwrap().header.unwrap_or_default().delivery_count, 1);
    again.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn an_expired_message_is_dead() {
    let pair = Pair::start().await;
    pair.send("q", text("x").with_header(Header { ttl: Some(50), ..Header::default() })).await;
    let dead = next(&pair.receiver("q.dlq", 1).await).await;
    let message = dead.message().unwrap();
    assert_eq!(annotation(&message, "x-opt-deadletter-reason"), "expired");
    assert_eq!(message.header.unwrap_or_default().ttl, None);
    dead.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn an_expired_message_is_dropped_if_the_queue_says_so() {
    let mut options = QueueOptions::default();
    options.expired = Expired::Drop;
    let pair = Pair::start().await;
    pair.broker.declare_queue("q", options).unwrap();
    pair.send("q", text("x").with_header(Header { ttl: Some(20), ..Header::default() })).await;
    let stats = pair.wait("q", |stats| stats.dropped == 1).await;
    assert_eq!((stats.ready, stats.bytes), (0, 0));
    assert_eq!(pair.broker.queues(), ["q"]);
    pair.stop().await;
}

#[tokio::test]
async fn a_queue_of_waiting_messages_feeds_another_one() {
    let mut options = QueueOptions::default();
    options.message_ttl = Some(Duration::from_millis(100));
    options.dead_letter = DeadLetter::Queue("q".to_owned());
    let pair = Pair::start().await;
    pair.broker.declare_queue("q.delay", options).unwrap();
    let receiver = pair.receiver("q", 1).await;
    pair.send("/queues/q.delay", text("x")).await;
    next(&receiver).await.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn more_urgent_messages_come_first() {
    let pair = Pair::start().await;
    for (name, priority) in [("low", Some(1)), ("middle", None), ("high", Some(9))] {
        pair.send("q", text(name).with_header(Header { priority, ..Header::default() })).await;
    }
    let receiver = pair.receiver("q", 10).await;
    for expected in ["high", "middle", "low"] {
        let delivery = next(&receiver).await;
        assert_eq!(body(&delivery), expected);
        delivery.accept().unwrap();
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_full_queue_rejects_with_resource_limit_exceeded() {
    let mut options = QueueOptions::default();
    options.max_length = 1;
    let pair = Pair::start_with(Broker::builder().queue_defaults(options)).await;
    pair.send("q", text("x")).await;
    let sender = pair.sender("q").await;
    let outcome = sender.send(text("y")).await.unwrap();
    let amqp_transport::Outcome::Rejected(Some(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.condition, conditions::RESOURCE_LIMIT_EXCEEDED);
    pair.stop().await;
}

#[tokio::test]
async fn what_is_not_a_message_is_rejected_with_decode_error() {
    let pair = Pair::start().await;
    let sender = pair.sender("q").await;
    let outcome = sender.send(b"not a message".to_vec()).await.unwrap();
    let amqp_transport::Outcome::Rejected(Some(error)) = outcome else { panic!("{outcome:?}") };
    assert_eq!(error.condition, conditions::DECODE_ERROR);
    pair.send("q", text("the link lives on")).await;
    pair.stop().await;
}
