//! Transactions on queues: what is posted and settled within one takes effect with its commit, or not at all.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use amqp_broker::{Broker, QueueOptions};
use amqp_codec::messaging::Modified;
use amqp_codec::transport::{ReceiverSettleMode, conditions};
use amqp_transport::transaction::{Controller, TransactionError};
use amqp_transport::{Connection, Credit, LinkError, Outcome, Receiver, ReceiverOptions};
use support::{Pair, body, next, text};

async fn controller(pair: &Pair) -> Controller {
    pair.session.controller().await.unwrap()
}

/// A consumer that settles after its sender.
async fn second(pair: &Pair, queue: &str) -> Receiver {
    let options =
        ReceiverOptions::new(queue).credit(Credit::Auto(10)).settle_mode(ReceiverSettleMode::Second);
    pair.session.receiver(options).await.unwrap()
}

#[tokio::test]
async fn what_is_posted_can_be_seen_after_the_commit_only() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let (a, b) = (pair.sender("a").await, pair.sender("b").await);
    let transaction = controller.declare().await.unwrap();
    for sender in [&a, &b, &a] {
        transaction.send(sender, text("x")).await.unwrap().accepted().unwrap();
    }
    assert_eq!((pair.stats("a").ready, pair.stats("b").ready), (0, 0));
    transaction.commit().await.unwrap();
    assert_eq!((pair.stats("a").ready, pair.stats("b").ready), (2, 1));
    pair.stop().await;
}

#[tokio::test]
async fn what_is_posted_is_gone_after_a_rollback() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let sender = pair.sender("q").await;
    let transaction = controller.declare().await.unwrap();
    transaction.send(&sender, text("x")).await.unwrap().accepted().unwrap();
    transaction.rollback().await.unwrap();
    // Beside it, another one and none at all.
    let transaction = controller.declare().await.unwrap();
    sender.send(text("y")).await.unwrap().accepted().unwrap();
    transaction.commit().await.unwrap();
    let receiver = pair.receiver("q", 10).await;
    let delivery = next(&receiver).await;
    assert_eq!(body(&delivery), "y");
    delivery.accept().unwrap();
    assert_eq!(pair.wait("q", |stats| stats.accepted == 1).await.published, 1);
    pair.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_takes_in_everything_that_was_sent_before_it() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let sender = pair.sender("q").await;
    pair.send("in", text("work")).await;
    let receiver = pair.receiver("in", 10).await;
    for round in 1..=50 {
        let transaction = controller.declare().await.unwrap();
        let mut posts = Vec::new();
        for _ in 0..20 {
            posts.push(transaction.deliver(&sender, text("x")).await.unwrap());
        }
        let delivery = next(&receiver).await;
        transaction.settle(delivery, Outcome::Accepted).unwrap();
        posts.push(transaction.deliver(&pair.sender("in").await, text("again")).await.unwrap());
        // Nothing was waited for.
        transaction.commit().await.unwrap();
        assert_eq!(pair.stats("q").ready, 20 * round);
        assert_eq!(pair.stats("in").accepted, round);
        for post in posts {
            post.await.unwrap().accepted().unwrap();
        }
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_verdict_takes_effect_with_the_commit() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    for (receiver, queue) in [(pair.receiver("a", 10).await, "a"), (second(&pair, "b").await, "b")] {
        pair.send(queue, text("x")).await;
        let transaction = controller.declare().await.unwrap();
        transaction.settle(next(&receiver).await, Outcome::Accepted).unwrap();
        let other = controller.declare().await.unwrap();
        other.commit().await.unwrap();
        assert_eq!(pair.stats(queue).unacknowledged, 1, "another transaction's commit changes nothing");
        transaction.commit().await.unwrap();
        let stats = pair.stats(queue);
        assert_eq!((stats.ready, stats.unacknowledged, stats.accepted), (0, 0, 1));
    }
    pair.stop().await;
}

#[tokio::test]
async fn after_a_rollback_a_message_is_there_again_as_if_it_had_not_been_taken() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let modified = Modified { delivery_failed: true, ..Modified::default() };
    for (receiver, queue) in [(pair.receiver("a", 10).await, "a"), (second(&pair, "b").await, "b")] {
        pair.send(queue, text("x")).await;
        for outcome in [Outcome::Accepted, Outcome::Rejected(None), Outcome::Modified(modified.clone())] {
            let transaction = controller.declare().await.unwrap();
            transaction.settle(next(&receiver).await, outcome).unwrap();
            transaction.rollback().await.unwrap();
        }
        let delivery = next(&receiver).await;
        let header = delivery.message().unwrap().header.unwrap_or_default();
        assert_eq!(header.delivery_count, 0);
        delivery.accept().unwrap();
        let stats = pair.wait(queue, |stats| stats.accepted == 1).await;
        assert_eq!((stats.dead_lettered, stats.unacknowledged), (0, 0));
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_rejection_within_a_transaction_dead_letters_with_the_commit() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    pair.send("q", text("x")).await;
    let receiver = pair.receiver("q", 10).await;
    let transaction = controller.declare().await.unwrap();
    transaction.settle(next(&receiver).await, Outcome::Rejected(None)).unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(pair.stats("q.dlq").ready, 1);
    pair.stop().await;
}

#[tokio::test]
async fn a_verdict_is_kept_for_the_commit_when_its_consumer_leaves() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    for queue in ["committed", "rolled back"] {
        pair.send(queue, text("x")).await;
        let receiver = pair.receiver(queue, 10).await;
        let transaction = controller.declare().await.unwrap();
        transaction.settle(next(&receiver).await, Outcome::Accepted).unwrap();
        receiver.close().await.unwrap();
        let stats = pair.wait(queue, |stats| stats.consumers == 0).await;
        assert_eq!((stats.ready, stats.unacknowledged), (0, 1));
        if queue == "committed" {
            transaction.commit().await.unwrap();
            assert_eq!(pair.stats(queue).accepted, 1);
        } else {
            transaction.rollback().await.unwrap();
            assert_eq!(pair.stats(queue).ready, 1);
        }
    }
    pair.stop().await;
}

#[tokio::test]
async fn transactions_end_with_the_link_and_the_connection_of_their_controller() {
    let pair = Pair::start().await;
    for ends_connection in [false, true] {
        let connection = Connection::connect(&pair.broker.address()).await.unwrap();
        let session = connection.session().await.unwrap();
        let controller = session.controller().await.unwrap();
        let sender = session.sender(amqp_transport::SenderOptions::new("q")).await.unwrap();
        pair.send("in", text("x")).await;
        let receiver = session.receiver(ReceiverOptions::new("in")).await.unwrap();
        let transaction = controller.declare().await.unwrap();
        transaction.send(&sender, text("x")).await.unwrap().accepted().unwrap();
        transaction.settle(next(&receiver).await, Outcome::Accepted).unwrap();
        if ends_connection {
            connection.close().await.unwrap();
        } else {
            controller.close().await.unwrap();
        }
        // Given back, and to this consumer again if it is there.
        let stats = pair.wait("in", |stats| stats.returned > 0).await;
        assert_eq!((stats.accepted, pair.stats("q").published), (0, 0));
        assert!(matches!(transaction.commit().await, Err(TransactionError::Ended(_))));
        connection.close().await.unwrap();
        pair.wait("in", |stats| stats.ready == 1).await;
        assert_eq!(pair.broker.delete_queue("in"), Some(1));
    }
    pair.stop().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_is_told_before_the_commit() {
    let pair = Pair::start().await;
    let mut options = QueueOptions::default();
    options.max_length = 1;
    pair.broker.declare_queue("q", options).unwrap();
    let controller = controller(&pair).await;
    let sender = pair.sender("q").await;
    let transaction = controller.declare().await.unwrap();
    transaction.send(&sender, text("x")).await.unwrap().accepted().unwrap();
    let Outcome::Rejected(Some(error)) = transaction.send(&sender, text("y")).await.unwrap() else {
        unreachable!("there is room for one")
    };
    assert_eq!(error.condition, conditions::RESOURCE_LIMIT_EXCEEDED);
    // The room is the transaction's, not somebody else's.
    assert!(sender.send(text("z")).await.unwrap().accepted().is_err());
    transaction.commit().await.unwrap();
    assert_eq!(pair.stats("q").ready, 1);
    // A rollback gives the room back.
    assert_eq!(pair.broker.purge_queue("q"), Some(1));
    let transaction = controller.declare().await.unwrap();
    transaction.send(&sender, text("x")).await.unwrap().accepted().unwrap();
    transaction.rollback().await.unwrap();
    sender.send(text("z")).await.unwrap().accepted().unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn the_anonymous_terminus_posts_within_a_transaction_too() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let relay = pair.session.sender(amqp_transport::SenderOptions::anonymous_terminus()).await.unwrap();
    let transaction = controller.declare().await.unwrap();
    let mut message = text("x");
    message.properties.get_or_insert_default().to = Some("/queues/q".into());
    transaction.send(&relay, message).await.unwrap().accepted().unwrap();
    assert!(transaction.send(&relay, text("to nowhere")).await.unwrap().accepted().is_err());
    assert_eq!(pair.stats("q").ready, 0);
    transaction.commit().await.unwrap();
    assert_eq!(pair.stats("q").ready, 1);
    pair.stop().await;
}

#[tokio::test]
async fn a_transaction_that_is_not_open_is_an_error_of_the_delivery_or_the_link() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let sender = pair.sender("q").await;
    pair.send("in", text("x")).await;
    let receiver = pair.receiver("in", 10).await;
    let delivery = next(&receiver).await;
    let transaction = controller.declare().await.unwrap();
    // As if the id had been made up.
    let id = amqp_transport::transaction::TransactionId::new(bytes::Bytes::from_static(b"made up"));
    let outcome = sender.send(amqp_transport::Payload::from(text("x")).in_transaction(&id)).await.unwrap();
    let Outcome::Rejected(Some(error)) = outcome else { unreachable!("{outcome}") };
    assert_eq!(error.condition, conditions::TRANSACTION_UNKNOWN_ID);
    let provisional = amqp_transport::transaction::Provisional::new(id, Outcome::Accepted);
    delivery.settle(Outcome::Provisional(Box::new(provisional))).unwrap();
    let LinkError::DetachedByPeer(Some(error)) = receiver.detached().await else { unreachable!() };
    assert_eq!(error.condition, conditions::TRANSACTION_UNKNOWN_ID);
    pair.wait("in", |stats| stats.ready == 1).await;
    transaction.commit().await.unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn messages_cannot_be_acquired_within_a_transaction() {
    let pair = Pair::start().await;
    let controller = controller(&pair).await;
    let receiver = pair.receiver("q", 10).await;
    let transaction = controller.declare().await.unwrap();
    transaction.acquire(&receiver).unwrap();
    let LinkError::DetachedByPeer(Some(error)) = receiver.detached().await else { unreachable!() };
    assert_eq!(error.condition, conditions::NOT_IMPLEMENTED);
    transaction.commit().await.unwrap();
    pair.stop().await;
}

#[tokio::test]
async fn transactions_and_their_messages_are_limited() {
    let mut limits = amqp_broker::Limits::default();
    (limits.max_transactions, limits.max_transaction_messages) = (2, 3);
    let pair = Pair::start_with(Broker::builder().limits(limits)).await;
    let controller = controller(&pair).await;
    let sender = pair.sender("q").await;
    let first = controller.declare().await.unwrap();
    let _second = controller.declare().await.unwrap();
    assert!(matches!(controller.declare().await, Err(TransactionError::NotDeclared(Some(_)))));
    for _ in 0..3 {
        first.send(&sender, text("x")).await.unwrap().accepted().unwrap();
    }
    assert!(first.send(&sender, text("x")).await.unwrap().accepted().is_err());
    first.commit().await.unwrap();
    assert_eq!(pair.stats("q").ready, 3);
    let _third = controller.declare().await.unwrap();
    pair.stop().await;
}
