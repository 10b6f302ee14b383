//! A client from another project (Qpid Proton, in Python) and the embedded broker understand each other, both ways.

use std::process::Stdio;
use std::time::Duration;

use amqp_broker::Broker;
use amqp_codec::messaging::Message;
use amqp_transport::{Connection, Credit, ReceiverOptions, SenderOptions};
use serde_json::{Value, json};
use tests::{fixtures, within};
use tokio::process::Command;

const MINUTE: Duration = Duration::from_secs(60);

async fn broker() -> Broker {
    Broker::builder().listen("127.0.0.1:0").user("tester", "pa$s/word").anonymous(true).start().await.unwrap()
}

/// Runs a script of `fixtures/proton` to its end: whether it ended with 0, and the JSON object that it printed.
async fn proton(script: &str, arguments: &[&str]) -> (bool, Value) {
    let run = Command::new("/usr/bin/python3")
        .arg(fixtures().join("proton").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(MINUTE, run).await.expect("python3 with python3-qpid-proton (see tests/run)");
    let error = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{script} {arguments:?} printed no JSON; stderr: {error}"));
    (output.status.success(), printed)
}

/// The address of the broker with credentials as Proton takes them.
fn with_login(broker: &Broker, login: &str) -> String {
    broker.address().replacen("amqp://", &format!("amqp://{login}@"), 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proton_sends_and_proton_receives() {
    let broker = broker().await;
    let url = broker.address();
    let (ok, sent) = proton("send.py", &[&url, "/queues/p2p", "1000", "100"]).await;
    assert!(ok, "{sent}");
    assert_eq!(sent["accepted"], 1000);
    assert_eq!(broker.queue_stats("p2p").unwrap().ready, 1000);
    let (ok, received) = proton("receive.py", &[&url, "/queues/p2p", "1000"]).await;
    assert!(ok, "{received}");
    assert_eq!(received["numbers"], json!((0..1000).collect::<Vec<_>>()), "in order");
    assert_eq!(received["lengths"], json!(vec![100; 1000]));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proton_sends_messages_of_many_frames_that_we_receive() {
    let broker = broker().await;
    let (ok, sent) = proton("send.py", &[&broker.address(), "big", "5", "3000000"]).await;
    assert!(ok, "{sent}");
    let connection = Connection::connect(&broker.address()).await.unwrap();
    let session = connection.session().await.unwrap();
    let receiver =
        session.receiver(ReceiverOptions::new("/queues/big").credit(Credit::Auto(2))).await.unwrap();
    for number in 0..5 {
        let delivery = within(MINUTE, receiver.recv()).await.unwrap();
        let message = delivery.message().unwrap();
        let body = message.body_bytes().unwrap();
        assert_eq!(body.len(), 3_000_000);
        assert!(body.starts_with(format!("{number}.").as_bytes()) && body.ends_with(b"..."));
        assert_eq!(message.application_property("n").and_then(|value| value.as_i64()), Some(number));
        assert_eq!(message.properties.unwrap().message_id, Some(format!("m-{number}").into()));
        delivery.accept().unwrap();
    }
    connection.close().await.unwrap();
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn we_send_and_proton_receives() {
    let broker = broker().await;
    let connection = Connection::connect(&broker.address()).await.unwrap();
    let session = connection.session().await.unwrap();
    let sender = session.sender(SenderOptions::new("/queues/ours")).await.unwrap();
    for (number, size) in [(0, 1), (1, 500_000), (2, 0)] {
        let message = Message::data(vec![b'x'; size]).with_application_property("n", number);
        sender.send(message).await.unwrap().accepted().unwrap();
    }
    let (ok, received) = proton("receive.py", &[&broker.address(), "/queues/ours", "3"]).await;
    assert!(ok, "{received}");
    assert_eq!(received["numbers"], json!([0, 1, 2]));
    assert_eq!(received["lengths"], json!([1, 500_000, 0]));
    connection.close().await.unwrap();
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proton_gives_back_comes_again() {
    for (verdict, count_of_failures) in [("release", 0), ("modify", 1)] {
        let broker = broker().await;
        let url = broker.address();
        proton("send.py", &[&url, "/queues/again", "20", "10"]).await;
        let (ok, received) = proton("receive.py", &[&url, "/queues/again", "20", verdict]).await;
        assert!(ok, "{received}");
        assert_eq!(received["given_back"], 20);
        assert_eq!(received["delivery_count"], count_of_failures, "{verdict}");
        let mut numbers: Vec<i64> = serde_json::from_value(received["numbers"].clone()).unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proton_rejects_is_dead_lettered() {
    let broker = broker().await;
    let url = broker.address();
    proton("send.py", &[&url, "/queues/bad", "3", "10"]).await;
    let (ok, received) = proton("receive.py", &[&url, "/queues/bad", "3", "reject"]).await;
    assert!(ok, "{received}");
    let (ok, dead) = proton("receive.py", &[&url, "/queues/bad.dlq", "3"]).await;
    assert!(ok, "{dead}");
    assert_eq!(dead["ids"], json!(["m-0", "m-1", "m-2"]));
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proton_logs_in_with_plain_and_is_refused_with_a_wrong_password() {
    let broker = broker().await;
    let right = with_login(&broker, "tester:pa%24s%2Fword");
    let (ok, sent) = proton("send.py", &[&right, "/queues/login", "1", "1"]).await;
    assert!(ok, "{sent}");
    let wrong = with_login(&broker, "tester:guessed");
    let (ok, sent) = proton("send.py", &[&wrong, "/queues/login", "1", "1"]).await;
    assert!(!ok, "{sent}");
    assert!(sent["error"].as_str().unwrap().contains("unauthorized"), "{sent}");
    assert_eq!(broker.queue_stats("login").unwrap().ready, 1);
    broker.shutdown().await;
}
