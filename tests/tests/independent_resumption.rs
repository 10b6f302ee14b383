//! Links suspended and resumed with software from another project: Apache Qpid Broker-J 6.1, which keeps what is unsettled of
//! a link over the end of its connection, and tells of it when the link is attached again (§2.6.13).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use amqp_codec::messaging::{Message, TerminusDurability, TerminusExpiryPolicy};
use amqp_codec::transport::{Performative, ReceiverSettleMode};
use amqp_codec::{Bytes, BytesMut, Decode, Decoder};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Fate, Outcome, ReceiverOptions, SenderOptions,
};
use tests::{BrokerJ, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Direction {
    ToBroker,
    ToClient,
}

/// A connection through a cable that loses what it is told to lose, until it is cut.
struct Cable {
    connection: Connection,
    loses_sent: Arc<AtomicBool>,
    loses_received: Arc<AtomicBool>,
    carrying: JoinHandle<()>,
}

impl Cable {
    /// Always the same container: links belong to it (§2.6.1).
    async fn to(broker: &BrokerJ) -> Self {
        let address: Address = broker.address().parse().unwrap();
        let socket = TcpStream::connect((address.host(), address.port())).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (mut broker_reads, mut broker_writes) = socket.into_split();
        let (mut client_reads, mut client_writes) = tokio::io::split(far);
        let (loses_sent, loses_received) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (sent, received) = (Arc::clone(&loses_sent), Arc::clone(&loses_received));
        let carrying = tokio::spawn(async move {
            tokio::join!(
                carry(&mut client_reads, &mut broker_writes, &sent, Direction::ToBroker),
                carry(&mut broker_reads, &mut client_writes, &received, Direction::ToClient),
            );
        });
        let options = ConnectOptions::new(address).container_id("resuming");
        let connection = within(MINUTE, options.connect_over(near)).await.unwrap();
        Self { connection, loses_sent, loses_received, carrying }
    }

    /// As when a machine dies: nobody says good-bye.
    async fn cut(self) {
        self.carrying.abort();
        let _ = self.carrying.await;
        within(MINUTE, self.connection.closed()).await;
    }
}

async fn carry(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    loses: &AtomicBool,
    direction: Direction,
) {
    let mut octets = BytesMut::with_capacity(64 * 1024);
    while let Ok(1..) = from.read_buf(&mut octets).await {
        let passing = match direction {
            Direction::ToClient => octets.split(),
            Direction::ToBroker => fit_for_broker_j(&mut octets),
        };
        if !loses.load(Ordering::SeqCst) && to.write_all(&passing).await.is_err() {
            return;
        }
    }
}

/// Whole frames. A resumed delivery that is only to be settled has nothing to send (§2.6.13), but this broker closes the
/// connection over a transfer without payload (`NullPointerException`); it does not look at what is there.
fn fit_for_broker_j(octets: &mut BytesMut) -> BytesMut {
    let mut passing = BytesMut::new();
    loop {
        let Some(start) = octets.first_chunk::<4>() else { return passing };
        let len = if start == b"AMQP" { 8 } else { usize::try_from(u32::from_be_bytes(*start)).unwrap() };
        if octets.len() < len {
            return passing;
        }
        let mut frame = octets.split_to(len);
        if is_empty_resumption(&frame.clone().freeze()) {
            frame.extend_from_slice(&[0]);
            let len = u32::try_from(frame.len()).unwrap();
            frame[..4].copy_from_slice(&len.to_be_bytes());
        }
        passing.unsplit(frame);
    }
}

/// Whether a frame is the transfer of a resumed delivery without payload.
fn is_empty_resumption(frame: &Bytes) -> bool {
    if frame.len() <= 8 || frame.starts_with(b"AMQP") || frame[5] != 0 {
        return false;
    }
    let body = frame.slice(usize::from(frame[4]) * 4..);
    let mut input = Decoder::new(&body);
    let performative = Performative::decode(&mut input);
    matches!(performative, Ok(Performative::Transfer(transfer)) if transfer.resume && input.is_empty())
}

fn sender() -> SenderOptions {
    SenderOptions::new("resumed")
        .name("orders")
        .resumable()
        .receiver_settle_mode(ReceiverSettleMode::Second)
        .durability(TerminusDurability::UnsettledState)
        .expiry(TerminusExpiryPolicy::Never, Duration::ZERO)
}

fn body(message: &Message) -> u32 {
    String::from_utf8(message.body_bytes().unwrap().to_vec()).unwrap().parse().unwrap()
}

/// How often each message is in the queue; they are taken out.
async fn contents(connection: &Connection, queue: &str) -> BTreeMap<u32, usize> {
    let receiver = connection.receiver(ReceiverOptions::new(queue).credit(Credit::Manual)).await.unwrap();
    receiver.set_credit(1000).unwrap();
    within(MINUTE, receiver.drain()).await.unwrap();
    let mut found = BTreeMap::new();
    while let Some(delivery) = receiver.try_recv() {
        *found.entry(body(&delivery.message().unwrap())).or_default() += 1;
        delivery.accept().unwrap();
    }
    receiver.close().await.unwrap();
    found
}

fn once_each(messages: Range<u32>) -> BTreeMap<u32, usize> {
    messages.map(|n| (n, 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_broker_j_a_sender_is_resumed_and_nothing_is_lost_or_doubled() {
    let broker = BrokerJ::start().await;
    let observer = Connection::connect(broker.address()).await.unwrap();
    let cable = Cable::to(&broker).await;
    let session = cable.connection.session().await.unwrap();
    let orders = session.sender(sender()).await.unwrap();
    for n in 0..5 {
        orders.send(Message::data(n.to_string())).await.unwrap().accepted().unwrap();
    }
    // Five that arrive, but whose outcomes do not.
    cable.loses_received.store(true, Ordering::SeqCst);
    let mut unknown = Vec::new();
    for n in 5..10 {
        unknown.push(orders.deliver(Message::data(n.to_string())).await.unwrap());
    }
    let receiver = observer.receiver(ReceiverOptions::new("resumed")).await.unwrap();
    for n in 0..10 {
        let delivery = within(MINUTE, receiver.recv()).await.unwrap();
        assert_eq!(body(&delivery.message().unwrap()), n);
        delivery.accept().unwrap();
    }
    receiver.close().await.unwrap();
    // Five that do not arrive.
    cable.loses_sent.store(true, Ordering::SeqCst);
    for n in 10..15 {
        unknown.push(orders.deliver(Message::data(n.to_string())).await.unwrap());
    }
    cable.cut().await;
    for confirmation in unknown {
        confirmation.await.unwrap_err();
    }
    let suspended = orders.suspend().await.unwrap();
    assert_eq!(suspended.unsettled().len(), 10);

    let cable = Cable::to(&broker).await;
    let session = cable.connection.session().await.unwrap();
    let resumed = within(MINUTE, session.resume_sender(suspended, sender())).await.unwrap();
    let fates: Vec<_> = resumed.deliveries.iter().map(|delivery| delivery.fate.clone()).collect();
    assert!(fates[..5].iter().all(|fate| *fate == Fate::Settled(Outcome::Accepted)), "{fates:?}");
    assert!(fates[5..].iter().all(|fate| *fate == Fate::Resent), "{fates:?}");
    for delivery in resumed.deliveries {
        within(MINUTE, delivery.outcome).await.unwrap().accepted().unwrap();
    }
    within(MINUTE, resumed.sender.send(Message::data("15"))).await.unwrap().accepted().unwrap();
    assert_eq!(contents(&observer, "resumed").await, once_each(10..16));
    cable.connection.close().await.unwrap();
}

fn consumer() -> ReceiverOptions {
    ReceiverOptions::new("consumed")
        .name("consumer")
        .resumable()
        .credit(Credit::Auto(10))
        .durability(TerminusDurability::UnsettledState)
        .expiry(TerminusExpiryPolicy::Never, Duration::ZERO)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_broker_j_a_receiver_is_resumed_and_nothing_is_lost_or_doubled() {
    let broker = BrokerJ::start().await;
    let observer = Connection::connect(broker.address()).await.unwrap();
    let queue = observer.sender(SenderOptions::new("consumed")).await.unwrap();
    for n in 0..10 {
        queue.send(Message::data(n.to_string())).await.unwrap().accepted().unwrap();
    }
    let cable = Cable::to(&broker).await;
    let session = cable.connection.session().await.unwrap();
    let receiver = session.receiver(consumer()).await.unwrap();
    let mut deliveries = Vec::new();
    for n in 0..10 {
        let delivery = within(MINUTE, receiver.recv()).await.unwrap();
        assert_eq!(body(&delivery.message().unwrap()), n);
        deliveries.push(delivery);
    }
    // Two are done, as both sides know; two verdicts do not arrive; six have none when the cable is cut.
    for delivery in deliveries.drain(..2) {
        delivery.accept().unwrap();
    }
    // The answer to this comes behind them.
    session.receiver(ReceiverOptions::new("another")).await.unwrap();
    cable.loses_sent.store(true, Ordering::SeqCst);
    for delivery in deliveries.drain(..2) {
        delivery.accept().unwrap();
    }
    let tags: Vec<_> = deliveries.iter().map(|delivery| delivery.delivery_tag().clone()).collect();
    cable.cut().await;
    let mut suspended = receiver.suspend().await.unwrap();
    assert!(suspended.unsettled().eq(&tags));
    for tag in &tags[..4] {
        assert!(suspended.decide(tag, Outcome::Accepted));
    }
    drop(deliveries);

    let cable = Cable::to(&broker).await;
    let session = cable.connection.session().await.unwrap();
    let receiver = within(MINUTE, session.resume_receiver(suspended, consumer())).await.unwrap();
    // What is forgotten here comes again, as at first.
    for n in [2, 3] {
        let delivery = within(MINUTE, receiver.recv()).await.unwrap();
        assert_eq!(body(&delivery.message().unwrap()), n);
        delivery.accept().unwrap();
    }
    // What was decided is settled. This broker never sends what was not; it goes back when the link is closed.
    assert_eq!(receiver.unresolved(), tags[4..]);
    receiver.close().await.unwrap();
    assert_eq!(contents(&observer, "consumed").await, once_each(8..10));
    cable.connection.close().await.unwrap();
}
