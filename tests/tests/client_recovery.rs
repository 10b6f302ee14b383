//! The transport's client over crashes of RabbitMQ: every message is confirmed and there, and every message comes out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use amqp_codec::messaging::Message;
use amqp_transport::recovery::Client;
use amqp_transport::{Credit, ReceiverOptions, SenderOptions};
use tests::{Broker, Queue, eventually, on_every_rabbitmq, within};

const MINUTES: Duration = Duration::from_secs(240);
const MESSAGES: usize = 10_000;

on_every_rabbitmq!(private ten_thousand_messages_go_in_and_come_out_although_the_broker_crashes);

fn ten_thousand_messages_go_in_and_come_out_although_the_broker_crashes(broker: Broker) {
    let queue = broker.queue();
    queue.ensure_on_disk();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let resent = during_crashes(&broker, |progress| {
        runtime.block_on(within(MINUTES, send_all(&broker.url(), &queue, progress)))
    });
    let counts = during_crashes(&broker, |progress| {
        runtime.block_on(within(MINUTES, receive_all(&broker.url(), &queue, progress)))
    });
    assert!(counts.keys().copied().eq(0..MESSAGES), "{} of {MESSAGES} came out", counts.len());
    assert!(resent > 0, "the crash hit no message under way");
}

/// Kills the broker while the work is between a third and two thirds done, and starts it again.
fn during_crashes<T: Send>(broker: &Broker, work: impl FnOnce(&AtomicUsize) -> T + Send) -> T {
    let progress = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| work(&progress));
        eventually("the middle of the work", MINUTES, || match progress.load(Ordering::SeqCst) {
            done if done >= MESSAGES / 3 || working.is_finished() => Ok(()),
            done => Err(done),
        });
        broker.kill();
        assert!(progress.load(Ordering::SeqCst) < MESSAGES * 2 / 3, "the crash came too late");
        broker.start();
        working.join().unwrap()
    })
}

async fn client(url: &str) -> Client {
    Client::builder([url]).unwrap().connect().await.unwrap()
}

/// Sends all messages, a hundred at a time; each has to be confirmed. Gives how many were sent again.
async fn send_all(url: &str, queue: &Queue, progress: &AtomicUsize) -> usize {
    let client = client(url).await;
    let sender = client.sender(SenderOptions::new(queue.address())).await.unwrap();
    let (mut under_way, mut resent) = (VecDeque::new(), 0);
    for number in 0..MESSAGES {
        let mut message = Message::data(number.to_string());
        message.header.get_or_insert_default().durable = true;
        under_way.push_back(sender.deliver(message).await.unwrap());
        while under_way.len() >= 100 || (number + 1 == MESSAGES && !under_way.is_empty()) {
            let receipt = under_way.pop_front().unwrap().await.unwrap();
            resent += usize::from(receipt.is_maybe_duplicated());
            receipt.accepted().unwrap();
            progress.fetch_add(1, Ordering::SeqCst);
        }
    }
    assert!(client.reconnects() >= 1);
    client.close(Duration::from_secs(10)).await.unwrap();
    resent
}

/// Receives until every message has come and was accepted; how often each came.
async fn receive_all(url: &str, queue: &Queue, progress: &AtomicUsize) -> BTreeMap<usize, usize> {
    let client = client(url).await;
    let options = ReceiverOptions::new(queue.address()).credit(Credit::Auto(100));
    let receiver = client.receiver(options).await.unwrap();
    let mut counts = BTreeMap::new();
    while counts.len() < MESSAGES {
        let delivery = receiver.recv().await.unwrap();
        let body = delivery.message().unwrap().body_bytes().unwrap().to_vec();
        let number: usize = String::from_utf8(body).unwrap().parse().unwrap();
        if delivery.accept().is_ok() {
            *counts.entry(number).or_default() += 1;
            progress.store(counts.len(), Ordering::SeqCst);
        }
    }
    assert!(client.reconnects() >= 1);
    client.close(Duration::from_secs(10)).await.unwrap();
    counts
}
