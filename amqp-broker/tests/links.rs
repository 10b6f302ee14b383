//! Attaching, credit, competition, and what happens when a consumer goes.

mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use amqp_broker::Broker;
use amqp_codec::messaging::{Properties, Source};
use amqp_codec::transport::{SenderSettleMode, conditions};
use amqp_codec::types::Symbol;
use amqp_transport::{Connection, Credit, LinkError, Outcome, ReceiverOptions, SenderOptions};
use support::{DEADLINE, Pair, body, next, text};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

#[tokio::test]
async fn a_queue_is_there_as_soon_as_a_link_names_it() {
    let pair = Pair::start().await;
    pair.sender("/queues/a%2Fb").await;
    pair.receiver("c", 1).await;
    assert_eq!(pair.broker.queues(), ["a/b", "c"]);
    assert_eq!(pair.stats("c").consumers, 1);
    pair.stop().await;
}

#[tokio::test]
async fn without_creation_on_demand_a_missing_queue_is_not_found() {
    let pair = Pair::start_with(Broker::builder().create_on_demand(false)).await;
    let error = pair.session.sender(SenderOptions::new("/queues/q")).await.expect_err("refused");
    assert_eq!(error.remote_error().map(|error| error.condition.clone()), Some(conditions::NOT_FOUND));
    pair.broker.declare_queue("q", amqp_broker::QueueOptions::default()).unwrap();
    pair.send("/queues/q", text("x")).await;
    pair.stop().await;
}

#[tokio::test]
async fn bad_addresses_are_refused_and_the_session_lives_on() {
    let pair = Pair::start().await;
    for (address, condition) in [
        ("/exchanges/amq.topic/key", conditions::NOT_FOUND),
        ("/queues/%zz", conditions::INVALID_FIELD),
        ("/nothing", conditions::INVALID_FIELD),
        ("$management", conditions::NOT_FOUND),
    ] {
        let error = pair.session.sender(SenderOptions::new(address)).await.expect_err(address);
        assert_eq!(
            error.remote_error().map(|error| error.condition.clone()),
            Some(condition.clone()),
            "{address}"
        );
        let error = pair.session.receiver(ReceiverOptions::new(address)).await.expect_err(address);
        assert_eq!(error.remote_error().map(|error| error.condition.clone()), Some(condition), "{address}");
    }
    pair.send("q", text("x")).await;
    pair.stop().await;
}

#[tokio::test]
async fn what_is_not_supported_is_refused_as_not_implemented() {
    let pair = Pair::start().await;
    let dynamic = Source { dynamic: true, ..Source::default() };
    let copy = Source {
        address: Some("q".into()),
        distribution_mode: Some(Symbol::from_static("copy")),
        ..Source::default()
    };
    for source in [dynamic, copy] {
        let error =
            pair.session.receiver(ReceiverOptions::new("q").source(source)).await.expect_err("refused");
        assert_eq!(
            error.remote_error().map(|error| error.condition.clone()),
            Some(conditions::NOT_IMPLEMENTED)
        );
    }
    pair.stop().await;
}

#[tokio::test]
async fn the_source_says_what_is_in_force() {
    let pair = Pair::start().await;
    let receiver = pair.receiver("/queues/q", 1).await;
    let source = receiver.remote_attach().and_then(|attach| attach.source.clone()).expect("a source");
    assert_eq!(source.address.as_deref(), Some("/queues/q"));
    assert_eq!(source.outcomes.len(), 4);
    assert!(source.filter.is_none());
    pair.stop().await;
}

#[tokio::test]
async fn the_anonymous_terminus_sends_each_message_where_it_says() {
    let pair = Pair::start().await;
    let sender = pair.session.sender(SenderOptions::anonymous_terminus()).await.unwrap();
    for to in ["/queues/a", "b"] {
        let message = text("x").with_properties(Properties { to: Some(to.into()), ..Properties::default() });
        sender.send(message).await.unwrap().accepted().unwrap();
    }
    assert_eq!((pair.stats("a").ready, pair.stats("b").ready), (1, 1));
    for (to, condition) in [
        (None, conditions::PRECONDITION_FAILED),
        (Some("/exchanges/e"), conditions::NOT_FOUND),
        (Some("/management"), conditions::NOT_ALLOWED),
    ] {
        let properties = Properties { to: to.map(Into::into), ..Properties::default() };
        let outcome = sender.send(text("x").with_properties(properties)).await.unwrap();
        let Outcome::Rejected(Some(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.condition, condition);
    }
    pair.stop().await;
}

#[tokio::test]
async fn no_more_comes_than_credit_was_given() {
    let pair = Pair::start().await;
    for _ in 0..5 {
        pair.send("q", text("x")).await;
    }
    let receiver = pair.session.receiver(ReceiverOptions::new("q").credit(Credit::Manual)).await.unwrap();
    receiver.set_credit(2).unwrap();
    let (first, second) = (next(&receiver).await, next(&receiver).await);
    let stats = pair.stats("q");
    assert_eq!((stats.ready, stats.unacknowledged), (3, 2));
    first.accept().unwrap();
    second.accept().unwrap();
    let stats = pair.wait("q", |stats| stats.accepted == 2).await;
    assert_eq!(stats.ready, 3);
    pair.stop().await;
}

// §2.6.7: drain
#[tokio::test]
async fn a_drained_link_gets_what_there_is_and_an_answer() {
    let pair = Pair::start().await;
    pair.send("q", text("only")).await;
    let receiver = pair.session.receiver(ReceiverOptions::new("q").credit(Credit::Manual)).await.unwrap();
    receiver.set_credit(10).unwrap();
    let delivery = next(&receiver).await;
    tokio::time::timeout(DEADLINE, receiver.drain()).await.expect("the drain is answered").unwrap();
    pair.send("q", text("after")).await;
    assert_eq!(pair.stats("q").ready, 1, "no credit is left");
    receiver.set_credit(1).unwrap();
    assert_eq!(body(&next(&receiver).await), "after");
    delivery.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn credit_and_drain_at_once_bring_everything_there_is() {
    let pair = Pair::start().await;
    for n in 0..500 {
        pair.send("q", text(&n.to_string())).await;
    }
    let receiver = pair.session.receiver(ReceiverOptions::new("q").credit(Credit::Manual)).await.unwrap();
    receiver.set_credit(1_000).unwrap();
    tokio::time::timeout(DEADLINE, receiver.drain()).await.expect("the drain is answered").unwrap();
    assert_eq!(receiver.queued(), 500);
    for n in 0..500 {
        let delivery = next(&receiver).await;
        assert_eq!(body(&delivery), n.to_string());
        delivery.accept().unwrap();
    }
    pair.wait("q", |stats| stats.accepted == 500 && stats.unacknowledged == 0).await;
    pair.stop().await;
}

#[tokio::test]
async fn a_drain_of_an_empty_queue_is_answered() {
    let pair = Pair::start().await;
    let receiver = pair.session.receiver(ReceiverOptions::new("q").credit(Credit::Manual)).await.unwrap();
    receiver.set_credit(10).unwrap();
    for _ in 0..3 {
        tokio::time::timeout(DEADLINE, receiver.drain()).await.expect("the drain is answered").unwrap();
        receiver.set_credit(10).unwrap();
    }
    pair.send("q", text("x")).await;
    next(&receiver).await.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn competing_consumers_get_equal_parts() {
    let pair = Pair::start().await;
    let first = pair.receiver("q", 100).await;
    let second = pair.receiver("q", 100).await;
    pair.wait("q", |stats| stats.consumers == 2).await;
    for n in 0..40 {
        pair.send("q", text(&n.to_string())).await;
    }
    let mut seen = HashSet::new();
    let (mut firsts, mut seconds) = (0, 0);
    for _ in 0..40 {
        let delivery = tokio::select! {
            delivery = next(&first) => { firsts += 1; delivery }
            delivery = next(&second) => { seconds += 1; delivery }
        };
        assert!(seen.insert(body(&delivery)), "delivered twice");
        delivery.accept().unwrap();
    }
    // Not to the message: one of them may have come to the line a little later.
    assert!(firsts >= 10 && seconds >= 10, "{firsts} to one, {seconds} to the other");
    assert_eq!(seen.len(), 40);
    pair.stop().await;
}

#[tokio::test]
async fn a_consumer_that_detaches_gives_back_what_it_had() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let receiver = pair.receiver("q", 1).await;
    let held = next(&receiver).await;
    receiver.close().await.unwrap();
    let stats = pair.wait("q", |stats| stats.ready == 1).await;
    assert_eq!((stats.unacknowledged, stats.consumers), (0, 0));
    drop(held);
    let again = next(&pair.receiver("q", 1).await).await;
    assert_eq!(again.message().unwrap().header.unwrap_or_default().delivery_count, 0);
    again.accept().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn ending_a_session_or_closing_a_connection_gives_back_uncounted() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    for ends_session in [true, false] {
        let connection = Connection::connect(&pair.broker.address()).await.unwrap();
        let session = connection.session().await.unwrap();
        let receiver = session.receiver(ReceiverOptions::new("q").credit(Credit::Auto(1))).await.unwrap();
        let held = next(&receiver).await;
        assert_eq!(held.message().unwrap().header.unwrap_or_default().delivery_count, 0);
        if ends_session {
            session.end().await;
        } else {
            connection.close().await.unwrap();
        }
        pair.wait("q", |stats| stats.ready == 1 && stats.consumers == 0).await;
    }
    next(&pair.receiver("q", 1).await).await.accept().unwrap();
    pair.stop().await;
}

/// A way to the broker that can be cut: the address to connect to, and the task to abort.
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
async fn middleman(upstream: SocketAddr) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("amqp://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut broker = TcpStream::connect(upstream).await.unwrap();
        copy_bidirectional(&mut client, &mut broker).await.ok();
    });
    (address, task)
}

#[tokio::test]
async fn a_consumer_whose_connection_breaks_gives_back_what_it_had_counted() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let (address, middleman) = middleman(pair.broker.local_addr()).await;
    let connection = Connection::connect(&address).await.unwrap();
    let session = connection.session().await.unwrap();
    let receiver = session.receiver(ReceiverOptions::new("q").credit(Credit::Auto(1))).await.unwrap();
    let held = next(&receiver).await;
    middleman.abort();
    pair.wait("q", |stats| stats.ready == 1).await;
    drop(held);
    let again = next(&pair.receiver("q", 1).await).await;
    assert_eq!(again.message().unwrap().header.unwrap_or_default().delivery_count, 1);
    again.accept().unwrap();
    pair.stop().await;
}

/// Consumes over one connection after another; each is cut after some messages.
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
async fn consume_over_cut_connections(
    upstream: SocketAddr,
    number: usize,
    seen: Arc<Mutex<HashSet<String>>>,
) {
    for round in 0_usize.. {
        let (address, middleman) = middleman(upstream).await;
        let connection = Connection::connect(&address).await.unwrap();
        let session = connection.session().await.unwrap();
        let receiver = session.receiver(ReceiverOptions::new("q").credit(Credit::Auto(50))).await.unwrap();
        for taken in 0.. {
            // Whether the last verdicts before the cut arrive is left to chance.
            if taken == 20 + 37 * number + 11 * (round % 7) {
                break;
            }
            let Ok(delivery) = receiver.recv().await else { break };
            seen.lock().unwrap().insert(body(&delivery));
            delivery.accept().ok();
        }
        middleman.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_connections_break_again_and_again() {
    const MESSAGES: usize = 3_000;
    let pair = Pair::start().await;
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let mut consumers = JoinSet::new();
    for number in 0..4 {
        consumers.spawn(consume_over_cut_connections(pair.broker.local_addr(), number, Arc::clone(&seen)));
    }
    let sender = pair.sender("q").await;
    let mut confirmations = Vec::with_capacity(MESSAGES);
    for n in 0..MESSAGES {
        confirmations.push(sender.deliver(text(&n.to_string())).await.unwrap());
    }
    for confirmation in confirmations {
        confirmation.await.unwrap().accepted().unwrap();
    }
    let expected = u64::try_from(MESSAGES).unwrap();
    let stats = pair.wait("q", |stats| stats.ready == 0 && stats.accepted == expected).await;
    assert_eq!((stats.unacknowledged, stats.dead_lettered, stats.dropped, stats.bytes), (0, 0, 0, 0));
    assert_eq!(seen.lock().unwrap().len(), MESSAGES);
    consumers.shutdown().await;
    pair.stop().await;
}

#[tokio::test]
async fn a_link_that_takes_messages_settled_acknowledges_by_taking() {
    let pair = Pair::start().await;
    for _ in 0..3 {
        pair.send("q", text("x")).await;
    }
    let options =
        ReceiverOptions::new("q").credit(Credit::Auto(10)).sender_settle_mode(SenderSettleMode::Settled);
    let receiver = pair.session.receiver(options).await.unwrap();
    for _ in 0..3 {
        let delivery = next(&receiver).await;
        assert!(delivery.is_settled());
    }
    pair.wait("q", |stats| stats.accepted == 3 && stats.unacknowledged == 0).await;
    pair.stop().await;
}

#[tokio::test]
async fn messages_sent_settled_are_stored() {
    let pair = Pair::start().await;
    let sender = pair.sender("q").await;
    for _ in 0..10 {
        sender.send_settled(text("x")).await.unwrap();
    }
    pair.wait("q", |stats| stats.ready == 10).await;
    pair.stop().await;
}

#[tokio::test]
async fn deleting_a_queue_closes_its_consumers_links() {
    let pair = Pair::start().await;
    pair.send("q", text("x")).await;
    let busy = pair.receiver("q", 1).await;
    let held = next(&busy).await;
    let hungry = pair.receiver("q", 1).await;
    let without_credit =
        pair.session.receiver(ReceiverOptions::new("q").credit(Credit::Manual)).await.unwrap();
    pair.wait("q", |stats| stats.consumers == 3).await;
    assert_eq!(pair.broker.delete_queue("q"), Some(0));
    for receiver in [&busy, &hungry, &without_credit] {
        assert_deleted(receiver.detached()).await;
    }
    drop(held);
    assert_eq!(pair.broker.queues(), Vec::<String>::new());
    pair.stop().await;
}

/// Expects a link to end because its queue was deleted.
#[expect(clippy::expect_used, reason = "a test stops at the first surprise")]
async fn assert_deleted(detached: impl Future<Output = LinkError>) {
    let error = tokio::time::timeout(DEADLINE, detached).await.expect("detached");
    assert!(
        matches!(&error, LinkError::DetachedByPeer(Some(reason)) if reason.condition == conditions::RESOURCE_DELETED),
        "{error}"
    );
}

#[tokio::test]
async fn deleting_a_queue_closes_its_publishers_links() {
    let pair = Pair::start().await;
    let (idle, sender) = (pair.sender("q").await, pair.sender("q").await);
    sender.send(text("x")).await.unwrap().accepted().unwrap();
    assert_eq!(pair.broker.delete_queue("q"), Some(1));
    assert_deleted(idle.detached()).await;
    assert_deleted(sender.detached()).await;
    assert_eq!(pair.broker.queues(), Vec::<String>::new());
    pair.send("q", text("y")).await;
    assert_eq!(pair.stats("q").ready, 1, "a new link, a new queue");
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_at_work_knows_what_was_stored_when_its_queue_is_deleted() {
    let pair = Pair::start().await;
    for _ in 0..20 {
        let sender = pair.sender("q").await;
        let publisher = tokio::spawn({
            let sender = sender.clone();
            async move {
                let mut accepted = 0;
                loop {
                    match sender.send(text("x")).await {
                        Ok(Outcome::Accepted) => accepted += 1,
                        // Not stored, and told so.
                        Ok(Outcome::Released | Outcome::Rejected(Some(_))) => {}
                        Ok(outcome) => panic!("{outcome:?}"),
                        Err(_) => break accepted,
                    }
                }
            }
        });
        pair.wait("q", |stats| stats.published >= 20).await;
        let stored = pair.broker.delete_queue("q").expect("a queue");
        assert_eq!(publisher.await.unwrap(), stored);
        assert_deleted(sender.detached()).await;
        assert_eq!(pair.broker.queues(), Vec::<String>::new());
    }
    pair.stop().await;
}

#[tokio::test]
async fn the_anonymous_terminus_outlives_the_queues_that_it_sent_to() {
    let pair = Pair::start().await;
    let sender = pair.session.sender(SenderOptions::anonymous_terminus()).await.unwrap();
    for _ in 0..2 {
        let message = text("x").with_properties(Properties { to: Some("q".into()), ..Properties::default() });
        sender.send(message).await.unwrap().accepted().unwrap();
        assert_eq!(pair.broker.delete_queue("q"), Some(1));
    }
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_messages_is_delivered_exactly_once() {
    const MESSAGES: usize = 20_000;
    let pair = Pair::start().await;
    let mut consumers = JoinSet::new();
    for _ in 0..8 {
        let receiver = pair.receiver("q", 100).await;
        consumers.spawn(async move {
            let mut seen = Vec::new();
            while let Ok(delivery) = receiver.recv().await {
                seen.push(body(&delivery));
                delivery.accept().unwrap();
            }
            seen
        });
    }
    let sender = pair.sender("q").await;
    let mut confirmations = Vec::with_capacity(MESSAGES);
    for n in 0..MESSAGES {
        confirmations.push(sender.deliver(text(&n.to_string())).await.unwrap());
    }
    for confirmation in confirmations {
        confirmation.await.unwrap().accepted().unwrap();
    }
    let expected = u64::try_from(MESSAGES).unwrap();
    let stats = pair.wait("q", |stats| stats.accepted == expected).await;
    assert_eq!((stats.ready, stats.unacknowledged, stats.returned), (0, 0, 0));
    pair.stop().await;
    let mut all = HashSet::new();
    while let Some(seen) = consumers.join_next().await {
        for body in seen.unwrap() {
            assert!(all.insert(body), "delivered twice");
        }
    }
    assert_eq!(all.len(), MESSAGES);
}
