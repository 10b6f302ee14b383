//! What passes from one queue to another.

use std::time::{Duration, Instant};

use amqp_codec::Encode;
use amqp_codec::messaging::{Message as Encoded, MessageSections};

use super::*;
use crate::limits::DeadLetter;
use crate::queue::Verdict;

fn store(change: impl FnOnce(&mut Limits)) -> Arc<Store> {
    let mut limits = Limits::default();
    change(&mut limits);
    Arc::new(Store::new(&limits, QueueOptions::default(), true))
}

/// Declares a queue whose messages expire after `ttl` milliseconds and go to `target` then.
fn expiring(store: &Store, name: &str, ttl: u64, target: &str) {
    let options = QueueOptions {
        message_ttl: Some(Duration::from_millis(ttl)),
        dead_letter: DeadLetter::Queue(target.to_owned()),
        ..QueueOptions::default()
    };
    assert_eq!(store.declare(&name.into(), options, Declaration::default()), Ok(Declared::Created));
}

fn publish(store: &Store, name: &str) {
    let encoded = Encoded::data("x").to_bytes();
    let sections = MessageSections::parse(&encoded).unwrap();
    let message = Message::arrived(encoded.clone(), &sections, store.now()).unwrap();
    let queue = store.open(&name.into()).unwrap();
    assert_eq!(store.publish(&queue, &mut vec![message]).unwrap(), [Ok(())]);
}

fn stats(store: &Store, name: &str) -> QueueStats {
    store.stats(name).unwrap_or_default()
}

/// Lets time pass until the queue is as wanted.
fn wait(store: &Store, name: &str, wanted: impl Fn(&QueueStats) -> bool) {
    let begun = Instant::now();
    while !wanted(&stats(store, name)) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{name} stayed {:?}", stats(store, name));
        for queue in store.memory.all() {
            store.with(&queue, |state, now, dead| state.queue.tick(now, dead));
        }
    }
}

fn reject_one(store: &Arc<Store>, name: &str) {
    let consumer = store.subscribe(store.find(name).unwrap());
    let mut taken = Vec::new();
    consumer.take(1, &mut taken).unwrap();
    assert_eq!(taken.len(), 1, "a message is ready");
    consumer.settle(taken.into_iter().map(|taken| (taken.sequence, Verdict::Rejected(None))));
    consumer.leave(crate::queue::Departure::Orderly);
}

#[test]
fn a_message_that_expires_at_once_goes_round_a_cycle_of_queues_only_once() {
    let store = store(|_| {});
    expiring(&store, "self", 0, "self");
    publish(&store, "self");
    assert_eq!((stats(&store, "self").dead_lettered, stats(&store, "self").dropped), (0, 1));
    expiring(&store, "a", 0, "b");
    expiring(&store, "b", 0, "a");
    publish(&store, "a");
    let (a, b) = (stats(&store, "a"), stats(&store, "b"));
    assert_eq!((a.published, a.dead_lettered, a.dropped, a.bytes), (1, 1, 0, 0));
    assert_eq!((b.published, b.dead_lettered, b.dropped, b.bytes), (1, 0, 1, 0));
}

#[test]
fn a_message_that_expires_later_goes_round_a_cycle_of_queues_only_once() {
    let store = store(|_| {});
    expiring(&store, "a", 1, "b");
    expiring(&store, "b", 1, "a");
    publish(&store, "a");
    wait(&store, "b", |b| b.dropped == 1);
    assert_eq!((stats(&store, "a").published, stats(&store, "b").published), (1, 1));
}

#[test]
fn a_rejected_message_may_go_round_again_and_again() {
    let store = store(|_| {});
    expiring(&store, "retry", 1, "jobs");
    let options =
        QueueOptions { dead_letter: DeadLetter::Queue("retry".to_owned()), ..QueueOptions::default() };
    store.declare(&"jobs".into(), options, Declaration::default()).unwrap();
    publish(&store, "jobs");
    for _ in 0..5 {
        reject_one(&store, "jobs");
        wait(&store, "jobs", |jobs| jobs.ready == 1);
    }
    assert_eq!((stats(&store, "jobs").dropped, stats(&store, "retry").dropped), (0, 0));
}

#[test]
fn a_long_chain_of_queues_takes_no_stack_and_ends() {
    let store = store(|_| {});
    let length = crate::limits::MAX_EXPIRIES * 2;
    for number in 0..length {
        expiring(&store, &format!("q{number}"), 0, &format!("q{}", number + 1));
    }
    publish(&store, "q0");
    let dropped: u64 = (0..length).map(|number| stats(&store, &format!("q{number}")).dropped).sum();
    assert_eq!(dropped, 1);
    assert_eq!(stats(&store, &format!("q{length}")).published, 0);
}

#[test]
fn dead_letters_have_their_queues_beside_the_limit_but_not_without_end() {
    let store = store(|limits| limits.max_queues = 1);
    expiring(&store, "a", 0, "b");
    publish(&store, "a");
    assert_eq!(stats(&store, "b").ready, 1);
    assert_eq!((stats(&store, "a").dead_lettered, stats(&store, "a").dropped), (1, 0));
    assert!(store.open(&"other".into()).is_err(), "the limit holds for everything else");
    let third = store.create(&"c".into(), Purpose::DeadLetters);
    assert_eq!(third.expect_err("refused").condition, conditions::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn a_dead_letter_that_finds_no_room_is_counted_as_dropped() {
    let store = store(|_| {});
    expiring(&store, "jobs", 0, "full");
    let options = QueueOptions { max_length: 1, ..QueueOptions::default() };
    store.declare(&"full".into(), options, Declaration::default()).unwrap();
    for _ in 0..3 {
        publish(&store, "jobs");
    }
    let jobs = stats(&store, "jobs");
    assert_eq!((jobs.published, jobs.dead_lettered, jobs.dropped), (3, 1, 2));
    assert_eq!(stats(&store, "full").ready, 1);
}

#[test]
fn a_queue_does_not_keep_the_frame_that_named_it() {
    let store = store(|_| {});
    let long = "jobs-under-a-name-that-shares-its-octets";
    let read = Encode::to_bytes(&ByteString::from(long));
    let name: ByteString = amqp_codec::Decode::from_bytes(read.clone()).unwrap();
    store.open(&name).unwrap();
    drop(name);
    assert!(read.is_unique());
    assert_eq!(store.names(), [long]);
}
