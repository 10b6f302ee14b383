//! What connections, sessions and links tell of themselves.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Source, Target};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, Limits, ListenerOptions, Payload, Receiver,
    ReceiverOptions, Sender, SenderOptions, Session, StaticCredentials,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes too long")
}

/// A connection whose ends grant windows of 10 frames.
async fn pair() -> (Connection, Incoming) {
    let mut limits = Limits::default();
    limits.incoming_window = 10;
    let (near, far) = tokio::io::duplex(64 * 1024);
    let everyone = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
    let listener = ListenerOptions::new("server").authenticator(everyone).limits(limits.clone());
    let address: Address = "amqp://localhost".parse().unwrap();
    let client = ConnectOptions::new(address).limits(limits);
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

async fn client_sends(session: &Session, incoming: &Incoming, credit: u32) -> (Sender, Receiver) {
    let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
        let request = incoming.next_link().await.unwrap();
        request.accept_as_receiver(Target::new("q"), Credit::Auto(credit)).unwrap()
    });
    (sender.unwrap(), receiver)
}

#[tokio::test]
async fn both_ends_count_the_same_frames_and_octets() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        let (sender, receiver) = client_sends(&session, &incoming, 100).await;
        for _ in 0..50 {
            let (sent, ()) = tokio::join!(sender.send(Message::data(vec![7; 100])), async {
                receiver.recv().await.unwrap().accept().unwrap();
            });
            sent.unwrap().accepted().unwrap();
        }
        client.close().await.unwrap();
        incoming.connection().closed().await;
        let (near, far) = (client.stats(), incoming.connection().stats());
        assert_eq!((near.frames_out, near.octets_out), (far.frames_in, far.octets_in));
        assert_eq!((near.frames_in, near.octets_in), (far.frames_out, far.octets_out));
        // SASL, open, begin, attach, 50 transfers and close are the least.
        assert!(near.frames_out >= 55 && near.octets_out > 5_000, "{near:?}");
        assert_eq!((near.sessions, near.links, near.queued_octets), (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_link_tells_what_it_carried_and_what_is_unsettled() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        let (sender, receiver) = client_sends(&session, &incoming, 20).await;
        sender.credit_available().await.unwrap();
        assert_eq!(sender.stats().credit, 20);
        let payload = Payload::from(Message::data(vec![7; 100]));
        let size = u64::try_from(payload.bytes().len()).unwrap();
        let mut confirmations = Vec::new();
        for _ in 0..5 {
            confirmations.push(sender.deliver(payload.clone()).await.unwrap());
        }
        let mut deliveries = Vec::new();
        for _ in 0..5 {
            deliveries.push(receiver.recv().await.unwrap());
        }
        let stats = sender.stats();
        assert_eq!((stats.deliveries, stats.octets), (5, 5 * size));
        assert_eq!((stats.credit, stats.queued, stats.unsettled), (15, 0, 5));
        let stats = receiver.stats();
        assert_eq!((stats.deliveries, stats.octets, stats.unsettled), (5, 5 * size, 5));
        let stats = session.stats();
        assert_eq!((stats.transfers_out, stats.transfers_in), (5, 0));
        assert_eq!((stats.unsettled_out, stats.unsettled_in, stats.links), (5, 0, 1));
        assert!(stats.outgoing_window >= 5 && stats.outgoing_window <= 10, "{stats:?}");
        for delivery in deliveries {
            delivery.accept().unwrap();
        }
        for confirmation in confirmations {
            confirmation.await.unwrap().accepted().unwrap();
        }
        assert_eq!((sender.stats().unsettled, session.stats().unsettled_out), (0, 0));
        assert_eq!(receiver.stats().unsettled, 0);
        let stats = client.stats();
        assert_eq!((stats.sessions, stats.links), (1, 1));
        sender.close().await.unwrap();
        assert_eq!((client.stats().links, sender.stats().credit), (0, 0));
        assert_eq!(sender.stats().deliveries, 5);
    })
    .await;
}

#[tokio::test]
async fn a_message_of_many_frames_is_one_delivery_and_counts_against_both_windows() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        let (sender, receiver) = client_sends(&session, &incoming, 1).await;
        let (sent, ()) = tokio::join!(sender.send(Message::data(vec![7; 600_000])), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
        assert_eq!(sender.stats().deliveries, 1);
        assert!(sender.stats().octets > 600_000 && session.stats().transfers_out >= 5);
        assert_eq!((receiver.stats().deliveries, receiver.stats().octets), (1, sender.stats().octets));
        assert_eq!(incoming.connection().stats().partial_octets, 0);
    })
    .await;
}

#[tokio::test]
async fn each_confirm_is_in_the_histogram() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        let (sender, receiver) = client_sends(&session, &incoming, 100).await;
        assert_eq!(client.stats().confirm_latency.count(), 0);
        let confirmation = sender.deliver(Message::data("x")).await.unwrap();
        let delivery = receiver.recv().await.unwrap();
        // It takes as long as the receiver wants.
        let before = std::time::Instant::now();
        while before.elapsed() < Duration::from_millis(20) {
            tokio::task::yield_now().await;
        }
        delivery.accept().unwrap();
        confirmation.await.unwrap().accepted().unwrap();
        let latency = client.stats().confirm_latency;
        assert_eq!(latency.count(), 1);
        assert!(latency.longest() >= Duration::from_millis(20), "{latency:?}");
        assert!(latency.quantile(50) == Some(latency.longest()));
    })
    .await;
}

#[tokio::test]
async fn a_receiver_tells_its_credit_and_what_waits_to_be_taken() {
    within(async {
        let (client, incoming) = pair().await;
        let session = client.session().await.unwrap();
        let options = ReceiverOptions::new("q").credit(Credit::Auto(8));
        let (receiver, sender) = tokio::join!(session.receiver(options), async {
            incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
        });
        let receiver = receiver.unwrap();
        sender.credit_available().await.unwrap();
        for _ in 0..3 {
            sender.try_deliver(Message::data("x")).unwrap();
        }
        let first = receiver.recv().await.unwrap();
        let stats = receiver.stats();
        assert!(stats.queued <= 2 && stats.credit <= 7, "{stats:?}");
        assert!(stats.unsettled >= 1 && session.stats().unsettled_in == stats.unsettled);
        first.accept().unwrap();
    })
    .await;
}

/// A transport on which nothing can be written while it is shut.
struct Gate {
    stream: DuplexStream,
    is_shut: Arc<AtomicBool>,
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_shut.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_waits_for_a_peer_that_does_not_read_is_bounded() {
    within(async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let everyone = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
        let mut limits = Limits::default();
        limits.incoming_window = 1_000_000;
        let listener = ListenerOptions::new("server").authenticator(everyone).limits(limits);
        let address: Address = "amqp://localhost".parse().unwrap();
        let is_shut = Arc::new(AtomicBool::new(false));
        let gate = Gate { stream: near, is_shut: Arc::clone(&is_shut) };
        let (client, incoming) =
            tokio::join!(ConnectOptions::new(address).connect_over(gate), listener.accept(far));
        let (client, incoming) = (client.unwrap(), incoming.unwrap());
        let session = client.session().await.unwrap();
        let (sender, _receiver) = client_sends(&session, &incoming, 1_000_000).await;
        sender.credit_available().await.unwrap();
        is_shut.store(true, Ordering::SeqCst);
        let payload = Payload::from(vec![7; 4000]);
        let mut in_vain = 0;
        while in_vain < 100 {
            match sender.try_deliver(payload.clone()) {
                Ok(_) => in_vain = 0,
                Err(_) => {
                    in_vain += 1;
                    tokio::task::yield_now().await;
                }
            }
        }
        let waiting = client.stats().queued_octets;
        assert!(waiting < 4 * 1024 * 1024, "{waiting} octets wait for the socket");
    })
    .await;
}
