//! Transactions with software from other projects: Qpid Proton (in Python) controls those of the embedded broker, and we
//! control those of ActiveMQ Artemis and Apache Qpid Broker-J.

use std::process::Stdio;
use std::time::Duration;

use amqp_broker::{Broker, QueueStats};
use amqp_codec::messaging::Message;
use amqp_codec::transport::ReceiverSettleMode;
use amqp_transport::transaction::TransactionError;
use amqp_transport::{
    Connection, Credit, Delivery, Outcome, Receiver, ReceiverOptions, SenderOptions, Session,
};
use serde_json::{Value, json};
use tests::{Artemis, BrokerJ, eventually_async, fixtures, unique, within};
use tokio::process::Command;

const MINUTE: Duration = Duration::from_secs(60);

/// Runs a script of `fixtures/proton` to its end, and gives the JSON object that it printed.
async fn proton(script: &str, arguments: &[&str]) -> Value {
    let run = Command::new("/usr/bin/python3")
        .arg(fixtures().join("proton").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(MINUTE, run).await.expect("python3 with python3-qpid-proton (see tests/run)");
    let error = String::from_utf8_lossy(&output.stderr);
    let printed: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{script} {arguments:?} printed no JSON; stderr: {error}"));
    assert!(output.status.success(), "{script} {arguments:?}: {printed}");
    printed
}

/// A broker with 20 messages in the queue `from`.
async fn broker() -> Broker {
    let broker = Broker::builder().listen("127.0.0.1:0").anonymous(true).start().await.unwrap();
    proton("send.py", &[&broker.address(), "/queues/from", "20", "10"]).await;
    broker
}

fn stats(broker: &Broker, queue: &str) -> QueueStats {
    broker.queue_stats(queue).unwrap_or_default()
}

fn ids() -> Value {
    json!((0..20).map(|n| format!("m-{n}")).collect::<Vec<_>>())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proton_moves_messages_within_transactions() {
    for settled in ["settled", "unsettled"] {
        let broker = broker().await;
        let (url, from, to) = (broker.address(), "/queues/from", "/queues/to");
        let moved = proton("move.py", &[&url, from, to, "20", "5", "commit", settled]).await;
        assert_eq!(moved["moved"], ids(), "{settled}");
        assert_eq!(moved["committed"], 4);
        assert_eq!(moved["outcomes"], json!({ "provisional 36": 20 }), "accepted, before the commit");
        let (from, to) = (stats(&broker, "from"), stats(&broker, "to"));
        assert_eq!((from.accepted, from.unacknowledged, from.ready), (20, 0, 0), "{settled}");
        assert_eq!(to.ready, 20);
        let received = proton("receive.py", &[&url, "/queues/to", "20"]).await;
        assert_eq!(received["ids"], ids());
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proton_aborts_never_happened() {
    for settled in ["settled", "unsettled"] {
        let broker = broker().await;
        let (url, from, to) = (broker.address(), "/queues/from", "/queues/to");
        let moved = proton("move.py", &[&url, from, to, "20", "5", "abort", settled]).await;
        assert_eq!((&moved["aborted"], &moved["committed"]), (&json!(1), &json!(4)), "{settled}");
        // The first five were taken twice, and moved once.
        let mut sorted: Vec<String> = serde_json::from_value(moved["moved"].clone()).unwrap();
        sorted.sort_by_key(|id| id[2..].parse::<u32>().unwrap());
        assert_eq!(json!(sorted), ids(), "{settled}");
        assert_eq!(moved["taken"].as_array().unwrap().len(), 25);
        assert_eq!(moved["delivery_count"], 0, "a rollback is no failed attempt");
        let (from, to) = (stats(&broker, "from"), stats(&broker, "to"));
        assert_eq!((from.accepted, from.unacknowledged, from.ready), (20, 0, 0), "{settled}");
        assert_eq!((to.ready, to.published), (20, 20), "{settled}");
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proton_leaves_open_is_rolled_back() {
    for settled in ["settled", "unsettled"] {
        let broker = broker().await;
        let (url, from, to) = (broker.address(), "/queues/from", "/queues/to");
        let left = proton("move.py", &[&url, from, to, "20", "5", "leave", settled]).await;
        assert_eq!(left["taken"].as_array().unwrap().len(), 5);
        eventually_async("all messages are back", MINUTE, || {
            let stats = stats(&broker, "from");
            if stats.ready == 20 { Ok(()) } else { Err(stats) }
        })
        .await;
        assert_eq!(stats(&broker, "to").published, 0, "{settled}");
        broker.shutdown().await;
    }
}

async fn consumer(session: &Session, queue: &str, mode: ReceiverSettleMode) -> Receiver {
    let options = ReceiverOptions::new(queue).capability("queue").credit(Credit::Auto(10)).settle_mode(mode);
    session.receiver(options).await.unwrap()
}

async fn next(receiver: &Receiver) -> Delivery {
    within(MINUTE, receiver.recv()).await.unwrap()
}

/// Whether there is nothing more in a consumer's queue.
async fn is_empty(receiver: &Receiver) -> bool {
    receiver.drain().await.unwrap();
    let nothing = receiver.try_recv().is_none();
    receiver.resume().unwrap();
    nothing
}

/// What a controller wants of a resource. `answers_second`: receivers can ask the resource to settle last.
async fn we_post_retire_commit_and_roll_back(address: &str, answers_second: bool) {
    let connection = Connection::connect(address).await.unwrap();
    let session = connection.session().await.unwrap();
    let controller = session.controller().await.unwrap();
    let queue = unique("transactions");
    let to = session.sender(SenderOptions::new(&queue).capability("queue")).await.unwrap();

    // What is posted comes with the commit, and not with a rollback.
    let from = consumer(&session, &queue, ReceiverSettleMode::First).await;
    let lost = controller.declare().await.unwrap();
    lost.send(&to, Message::data("lost")).await.unwrap().accepted().unwrap();
    lost.rollback().await.unwrap();
    let transaction = controller.declare().await.unwrap();
    for _ in 0..10 {
        transaction.send(&to, Message::data("x")).await.unwrap().accepted().unwrap();
    }
    assert!(is_empty(&from).await);
    transaction.commit().await.unwrap();

    // Verdicts take effect with the commit, and not with a rollback.
    for commits in [false, true] {
        let transaction = controller.declare().await.unwrap();
        for _ in 0..10 {
            transaction.settle(next(&from).await, Outcome::Accepted).unwrap();
        }
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
    }
    assert!(is_empty(&from).await);

    // Two at once; one that is dropped.
    let (one, other) = (controller.declare().await.unwrap(), controller.declare().await.unwrap());
    one.send(&to, Message::data("one")).await.unwrap().accepted().unwrap();
    other.send(&to, Message::data("other")).await.unwrap().accepted().unwrap();
    drop(other);
    one.commit().await.unwrap();
    let delivery = next(&from).await;
    assert_eq!(delivery.message().unwrap().body_bytes().unwrap(), "one");
    delivery.accept().unwrap();
    assert!(is_empty(&from).await);

    from.close().await.unwrap();
    if answers_second {
        verdicts_wait_for_the_resource(&session, &queue).await;
    }

    // With the connection everything is rolled back.
    let transaction = controller.declare().await.unwrap();
    transaction.send(&to, Message::data("gone")).await.unwrap().accepted().unwrap();
    connection.close().await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, TransactionError::Ended(_)), "{error}");
    let connection = Connection::connect(address).await.unwrap();
    let session = connection.session().await.unwrap();
    assert!(is_empty(&consumer(&session, &queue, ReceiverSettleMode::First).await).await);
    connection.close().await.unwrap();
}

/// The same where the sender is asked to settle, which Artemis answers with the other mode.
async fn verdicts_wait_for_the_resource(session: &Session, queue: &str) {
    let controller = session.controller().await.unwrap();
    assert!(controller.offers("amqp:local-transactions"));
    let to = session.sender(SenderOptions::new(queue).capability("queue")).await.unwrap();
    let from = consumer(session, queue, ReceiverSettleMode::Second).await;
    to.send(Message::data("y")).await.unwrap().accepted().unwrap();
    for commits in [false, true] {
        let transaction = controller.declare().await.unwrap();
        transaction.settle(next(&from).await, Outcome::Accepted).unwrap();
        if commits {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
    }
    assert!(is_empty(&from).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_artemis_we_post_retire_commit_and_roll_back() {
    let artemis = Artemis::start().await;
    we_post_retire_commit_and_roll_back(artemis.address(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_broker_j_we_post_retire_commit_and_roll_back() {
    let broker_j = BrokerJ::start().await;
    // It closes the connection over a verdict that is not settled.
    we_post_retire_commit_and_roll_back(broker_j.address(), false).await;
}
