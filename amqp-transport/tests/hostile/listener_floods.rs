//! Clients that were let in and send without end, ask for more than there is, or never read.

use crate::place::{Guest, entered, incoming};
use crate::script::Step::{self, Flood, FloodDeaf, Hear, Listen, Say};
use crate::{limits, says, until, within};
use amqp_codec::messaging::{Message, Source, Target};
use amqp_codec::transport::{Detach, Performative, Role, conditions};
use amqp_codec::types::{Symbol, Value};
use amqp_transport::{
    Connection, ConnectionError, Credit, Incoming, Limits, LinkError, Receiver, SessionError,
};
use std::time::{Duration, Instant};

async fn violation(connection: &Connection) -> Symbol {
    match within(connection.closed()).await {
        ConnectionError::Violation(error) => error.condition,
        other => panic!("{other:?}"),
    }
}

/// A client that has begun a session; what comes then is given.
fn begun(rest: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut script = entered([Say(says::begin(0, None)), Hear("begin")]);
    script.extend(rest);
    script
}

/// A client that sends, and this side's end of its link.
async fn receiving(credit: Credit, limits: Limits, rest: Vec<Step>) -> (Incoming, Receiver, Guest) {
    let mut script = begun([Say(says::attach("link", 0, Role::Sender)), Hear("flow")]);
    script.extend(rest);
    let (incoming, guest) = incoming(limits, script).await;
    let link = within(incoming.next_link()).await.unwrap();
    let receiver = link.accept_as_receiver(Target::new("q"), credit).unwrap();
    (incoming, receiver, guest)
}

// §2.7.1
#[tokio::test]
async fn a_thousand_sessions_of_a_client_are_too_many() {
    let begins: Vec<u8> = (0..1000).flat_map(|channel| says::begin(channel, None)).collect();
    let (incoming, guest) = incoming(limits(), entered([Say(begins)])).await;
    assert_eq!(violation(incoming.connection()).await, conditions::FRAMING_ERROR);
    let ear = guest.heard().await;
    assert!(ear.count("begin") <= 256 && ear.condition("close") == Some(conditions::FRAMING_ERROR));
}

// §2.7.2
#[tokio::test]
async fn a_thousand_links_of_a_client_are_too_many() {
    let attach = |n: u32| says::attach(format!("link {n}"), n, Role::Sender);
    let attaches: Vec<u8> = (0..1000).flat_map(attach).collect();
    let (incoming, guest) = incoming(limits(), begun([Say(attaches)])).await;
    assert_eq!(violation(incoming.connection()).await, conditions::FRAMING_ERROR);
    assert_eq!(guest.heard().await.condition("close"), Some(conditions::FRAMING_ERROR));
    // What was asked for is nobody's any more.
    assert!(within(incoming.next_link()).await.is_none());
}

/// An attach with so many octets of properties.
fn fat(handle: u32, octets: usize) -> Vec<u8> {
    let mut attach = says::attach_of(&format!("link {handle}"), handle, Role::Sender);
    let text = Value::from("x".repeat(octets));
    attach.properties = Some([(Symbol::from_static("padding"), text)].into_iter().collect());
    says::frame(0, Performative::Attach(Box::new(attach)))
}

#[tokio::test]
async fn links_are_bounded_by_the_octets_of_their_attaches_too() {
    let mut limits = limits();
    limits.max_attach_bytes = 1024 * 1024;
    let attaches: Vec<u8> = (0..200).flat_map(|handle| fat(handle, 10_000)).collect();
    let (_incoming, guest) = incoming(limits, begun([Say(attaches), Hear("end"), Say(says::close())])).await;
    assert_eq!(guest.heard().await.condition("end"), Some(conditions::RESOURCE_LIMIT_EXCEEDED));
}

#[tokio::test]
async fn links_that_are_detached_count_no_more() {
    let mut limits = limits();
    limits.max_attach_bytes = 100_000;
    let close = says::frame(0, Performative::Detach(Detach { closed: true, ..Detach::new(0_u32) }));
    let mut script = vec![];
    for _ in 0..50 {
        script.extend([Say(fat(0, 20_000)), Hear("attach"), Hear("detach"), Say(close.clone())]);
    }
    script.push(Say(says::close()));
    let (incoming, guest) = incoming(limits, begun(script)).await;
    let mut refused = 0;
    while let Some(link) = within(incoming.next_link()).await {
        drop(link);
        refused += 1;
    }
    assert_eq!((refused, guest.heard().await.count("end")), (50, 0));
}

#[tokio::test]
async fn a_client_that_never_reads_makes_no_queue_grow_beyond_its_limit() {
    let mut limits = limits();
    limits.idle_time_out = Duration::from_secs(1);
    let cycle = [says::begin(5, None), says::end(5)].concat();
    let (incoming, _guest) = incoming(limits, entered([FloodDeaf(cycle)])).await;
    let mut most = 0;
    within(until(|| {
        most = most.max(incoming.connection().stats().queued_octets);
        incoming.connection().is_closed()
    }))
    .await;
    assert!(most > 1024 * 1024 && most < 9 * 1024 * 1024, "{most}");
    assert_eq!(within(incoming.connection().closed()).await, ConnectionError::IdleTimeout);
}

#[tokio::test]
async fn frames_without_end_leave_nothing_behind_and_do_not_hold_a_close_up() {
    for octets in [says::empty_frame(), says::echo()] {
        let (incoming, _guest) = incoming(limits(), begun([Flood(octets)])).await;
        let connection = incoming.connection();
        let mut most = 0;
        within(until(|| {
            most = most.max(connection.stats().queued_octets);
            connection.stats().frames_in > 50_000
        }))
        .await;
        assert!(most < 256 * 1024, "{most}");
        within(connection.close()).await.unwrap();
    }
}

#[tokio::test]
async fn detach_and_close_are_not_waited_for_longer_than_their_time() {
    let (incoming, receiver, guest) = receiving(Credit::Auto(1), limits(), vec![Listen]).await;
    let begun = Instant::now();
    within(receiver.close()).await.unwrap();
    within(incoming.connection().close()).await.unwrap();
    let taken = begun.elapsed();
    assert!(taken >= limits().close * 2 && taken < limits().close * 30, "{taken:?}");
    let ear = guest.heard().await;
    assert_eq!((ear.count("detach"), ear.count("close")), (1, 1));
}

// §2.6.14
#[tokio::test]
async fn a_delivery_that_never_ends_ends_at_the_largest_message() {
    let mut limits = limits();
    limits.max_message_size = 64 * 1024;
    let parts =
        vec![Say(says::transfer(Some(0), true, &[7; 1000])), Flood(says::transfer(None, true, &[7; 1000]))];
    let (incoming, receiver, guest) = receiving(Credit::Auto(10), limits, parts).await;
    let LinkError::Violation(error) = within(receiver.detached()).await else { panic!() };
    assert_eq!(error.condition, conditions::MESSAGE_SIZE_EXCEEDED);
    assert_eq!(incoming.connection().stats().partial_octets, 0);
    within(incoming.connection().close()).await.unwrap();
    assert_eq!(guest.heard().await.condition("detach"), Some(conditions::MESSAGE_SIZE_EXCEEDED));
}

// §2.5.6
#[tokio::test]
async fn frames_without_octets_and_without_end_break_the_window() {
    let parts = vec![Say(says::transfer(Some(0), true, b"")), Flood(says::transfer(None, true, b""))];
    let (incoming, receiver, guest) = receiving(Credit::Auto(10), limits(), parts).await;
    let LinkError::Session(SessionError::Violation(error)) = within(receiver.detached()).await else {
        panic!()
    };
    assert_eq!(error.condition, conditions::WINDOW_VIOLATION);
    within(incoming.connection().close()).await.unwrap();
    assert_eq!(guest.heard().await.condition("end"), Some(conditions::WINDOW_VIOLATION));
}

#[tokio::test]
async fn a_consumer_that_never_reads_is_sent_no_more_than_may_wait() {
    let mut limits = limits();
    limits.max_queued_bytes = 256 * 1024;
    let script = begun([
        Say(says::attach("link", 0, Role::Receiver)),
        Hear("attach"),
        Say(says::grant(u32::MAX)),
        Step::Sleep,
    ]);
    let (incoming, _guest) = incoming(limits, script).await;
    let sender = within(incoming.next_link()).await.unwrap().accept_as_sender(Source::new("q")).unwrap();
    within(sender.credit_available()).await.unwrap();
    let message = Message::data(vec![7; 100_000]);
    let (mut most, mut idle) = (0, 0);
    within(until(|| {
        idle = if sender.try_deliver(&message).is_ok() { 0 } else { idle + 1 };
        most = most.max(incoming.connection().stats().queued_octets);
        idle > 200
    }))
    .await;
    assert!(most <= 3 * 256 * 1024 + 2 * 100_000, "{most}");
}
