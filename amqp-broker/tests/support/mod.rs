//! What the broker's tests share: a broker with a client, messages, and waiting for a condition.

#![allow(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::time::{Duration, Instant};

use amqp_broker::{Broker, BrokerBuilder, QueueStats};
use amqp_codec::messaging::{Annotations, Message};
use amqp_codec::types::{Symbol, Value};
use amqp_transport::{
    Connection, Credit, Delivery, Receiver, ReceiverOptions, Sender, SenderOptions, Session,
};

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A broker and a client of it.
pub(crate) struct Pair {
    pub(crate) broker: Broker,
    pub(crate) connection: Connection,
    pub(crate) session: Session,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        Self::start_with(Broker::builder()).await
    }

    pub(crate) async fn start_with(builder: BrokerBuilder) -> Self {
        let broker = builder.start().await.unwrap();
        let connection = Connection::connect(&broker.address()).await.unwrap();
        let session = connection.session().await.unwrap();
        Self { broker, connection, session }
    }

    pub(crate) async fn sender(&self, address: &str) -> Sender {
        self.session.sender(SenderOptions::new(address)).await.unwrap()
    }

    pub(crate) async fn receiver(&self, address: &str, credit: u32) -> Receiver {
        self.session.receiver(ReceiverOptions::new(address).credit(Credit::Auto(credit))).await.unwrap()
    }

    /// Sends, and expects it to be accepted.
    pub(crate) async fn send(&self, address: &str, message: Message) {
        let sender = self.sender(address).await;
        sender.send(message).await.unwrap().accepted().unwrap();
        sender.close().await.unwrap();
    }

    pub(crate) fn stats(&self, queue: &str) -> QueueStats {
        self.broker.queue_stats(queue).unwrap_or_default()
    }

    /// Waits until the queue is as wanted.
    pub(crate) async fn wait(&self, queue: &str, wanted: impl Fn(&QueueStats) -> bool) -> QueueStats {
        let begun = Instant::now();
        loop {
            let stats = self.stats(queue);
            if wanted(&stats) {
                return stats;
            }
            assert!(begun.elapsed() < DEADLINE, "queue {queue} stayed {stats:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.connection.close().await.unwrap();
        self.broker.shutdown().await;
    }
}

/// The next delivery, within the deadline.
pub(crate) async fn next(receiver: &Receiver) -> Delivery {
    tokio::time::timeout(DEADLINE, receiver.recv())
        .await
        .unwrap_or_else(|_| panic!("no delivery came"))
        .unwrap()
}

pub(crate) fn text(body: &str) -> Message {
    Message::data(body.as_bytes().to_vec())
}

pub(crate) fn annotated(body: &str, key: &'static str, value: impl Into<Value>) -> Message {
    let mut annotations = Annotations::default();
    annotations.insert(Symbol::from_static(key), value.into());
    Message { message_annotations: Some(annotations), ..text(body) }
}

pub(crate) fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.message().unwrap().body_bytes().unwrap().to_vec()).unwrap()
}

/// Milliseconds since the epoch.
pub(crate) fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
