//! Transactions with software from other projects: Qpid Proton (in Python) controls those of the embedded broker.

use std::process::Stdio;
use std::time::Duration;

use amqp_broker::{Broker, QueueStats};
use serde_json::{Value, json};
use tests::{eventually_async, fixtures, within};
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
