//! Messages sent and received in parts, client and listener of this crate against each other over TCP.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::Decode;
use amqp_codec::messaging::{Message, Source, Target};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, Limits, ListenerOptions, Outcome, Payload,
    Receiver, ReceiverOptions, SendError, Sender, SenderOptions, StaticCredentials, StreamError,
    StreamReceiver,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// A connection with these limits on both sides.
async fn pair_with(limits: Limits) -> (Connection, Incoming) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let (far, _) = socket.accept().await.unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let users = Arc::new(StaticCredentials { anonymous: true, users: Vec::new() });
    let listener = ListenerOptions::new("server").authenticator(users).limits(limits.clone());
    let address: Address = "amqp://localhost".parse().unwrap();
    let client = ConnectOptions::new(address).container_id("client").limits(limits);
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

/// A link from the client to the listener, which takes messages whole.
async fn client_sends(client: &Connection, incoming: &Incoming, credit: Credit) -> (Sender, Receiver) {
    let session = client.session().await.unwrap();
    let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
        incoming.next_link().await.unwrap().accept_as_receiver(Target::new("q"), credit).unwrap()
    });
    (sender.unwrap(), receiver)
}

fn part(n: usize) -> Vec<u8> {
    (0..3000).map(|octet| (octet + n).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn a_message_written_in_parts_arrives_whole() {
    within(async {
        let mut limits = Limits::default();
        (limits.max_frame_size, limits.incoming_window, limits.max_queued_bytes) = (4096, 8, 64 * 1024);
        let (client, incoming) = pair_with(limits).await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(10)).await;
        let head = Message::default().with_application_property("n", 7_i32);
        let sending = async {
            let mut writer = sender.stream(Payload::head(&head)).await.unwrap();
            for n in 0..1000 {
                writer.write_data(part(n)).await.unwrap();
            }
            writer.finish().await.unwrap().accepted().unwrap();
        };
        let receiving = async {
            let delivery = receiver.recv().await.unwrap();
            let message = delivery.message().unwrap();
            assert_eq!(message.application_properties, head.application_properties);
            let body: Vec<u8> = (0..1000).flat_map(part).collect();
            assert_eq!(message.body_bytes().unwrap(), body);
            delivery.accept().unwrap();
        };
        tokio::join!(sending, receiving);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_is_dropped_halfway_never_arrives() {
    within(async {
        let (client, incoming) = pair_with(Limits::default()).await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(1)).await;
        let mut writer = sender.stream(Payload::head(&Message::default())).await.unwrap();
        writer.write_data(vec![0; 200_000]).await.unwrap();
        drop(writer);
        let (sent, ()) = tokio::join!(sender.send(Message::data("next")), async {
            let delivery = receiver.recv().await.unwrap();
            assert_eq!(delivery.message().unwrap(), Message::data("next"));
            delivery.accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_message_larger_than_the_peer_accepts_is_told_while_it_grows() {
    within(async {
        let mut limits = Limits::default();
        limits.max_message_size = 100_000;
        let (client, incoming) = pair_with(limits).await;
        let (sender, receiver) = client_sends(&client, &incoming, Credit::Auto(1)).await;
        let mut writer = sender.stream(Payload::head(&Message::default())).await.unwrap();
        writer.write_data(vec![0; 90_000]).await.unwrap();
        let error = writer.write_data(vec![0; 20_000]).await.unwrap_err();
        assert!(matches!(error, SendError::TooLarge { limit: 100_000, .. }), "{error}");
        drop(writer);
        let (sent, ()) = tokio::join!(sender.send(Message::data("next")), async {
            receiver.recv().await.unwrap().release().unwrap();
        });
        assert_eq!(sent.unwrap(), Outcome::Released);
    })
    .await;
}

/// A link from the client to the listener, which takes messages in parts.
async fn client_streams(client: &Connection, incoming: &Incoming, credit: u32) -> (Sender, StreamReceiver) {
    let session = client.session().await.unwrap();
    let (sender, receiver) = tokio::join!(session.sender(SenderOptions::new("q")), async {
        let request = incoming.next_link().await.unwrap();
        request.accept_as_stream_receiver(Target::new("q"), Credit::Auto(credit)).unwrap()
    });
    (sender.unwrap(), receiver)
}

fn small() -> Limits {
    let mut limits = Limits::default();
    (limits.max_frame_size, limits.max_stream_bytes, limits.max_queued_bytes) = (4096, 16 * 1024, 64 * 1024);
    limits.max_message_size = 1024;
    limits
}

#[tokio::test]
async fn a_message_larger_than_every_buffer_flows_from_writer_to_reader() {
    const PARTS: usize = 5_000;
    within(async {
        let (client, incoming) = pair_with(small()).await;
        let (sender, receiver) = client_streams(&client, &incoming, 1).await;
        let sending = async {
            let mut writer = sender.stream(Payload::from(Vec::new())).await.unwrap();
            for n in 0..PARTS {
                writer.write(part(n)).await.unwrap();
            }
            writer.finish().await.unwrap()
        };
        let receiving = async {
            let mut reader = receiver.recv().await.unwrap();
            let mut expected = (0..PARTS).flat_map(part);
            while let Some(octets) = reader.read().await.unwrap() {
                assert!(octets.len() <= 4096);
                assert!(octets.iter().all(|octet| expected.next() == Some(*octet)));
            }
            assert_eq!(expected.next(), None, "15 MB through a buffer of 16 KiB");
            reader.accept().unwrap();
        };
        let (outcome, ()) = tokio::join!(sending, receiving);
        assert_eq!(outcome, Outcome::Accepted);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_nobody_reads_stops_its_writer() {
    within(async {
        let (client, incoming) = pair_with(small()).await;
        let (sender, receiver) = client_streams(&client, &incoming, 1).await;
        let mut writer = sender.stream(Payload::from(Vec::new())).await.unwrap();
        let mut written = 0;
        while let Ok(done) =
            tokio::time::timeout(Duration::from_millis(300), writer.write(vec![0; 4000])).await
        {
            done.unwrap();
            written += 4000;
            assert!(written < 1_000_000, "nobody reads");
        }
        let mut reader = receiver.recv().await.unwrap();
        let reading = async {
            let mut read = 0;
            while let Some(octets) = reader.read().await.unwrap() {
                read += octets.len();
            }
            reader.accept().unwrap();
            read
        };
        let (outcome, read) = tokio::join!(writer.finish(), reading);
        assert_eq!((outcome.unwrap(), read), (Outcome::Accepted, written));
    })
    .await;
}

#[tokio::test]
async fn a_reader_learns_that_the_message_was_taken_back() {
    within(async {
        let (client, incoming) = pair_with(small()).await;
        let (sender, receiver) = client_streams(&client, &incoming, 1).await;
        let mut writer = sender.stream(Payload::head(&Message::default())).await.unwrap();
        writer.write_data(b"half".to_vec()).await.unwrap();
        let mut reader = receiver.recv().await.unwrap();
        assert!(reader.read().await.unwrap().is_some());
        drop(writer);
        assert_eq!(reader.read().await.unwrap_err(), StreamError::Aborted);
        reader.accept().unwrap_err();
        let (sent, ()) = tokio::join!(sender.send(Message::data("next")), async {
            let mut reader = receiver.recv().await.unwrap();
            let octets = reader.read().await.unwrap().unwrap();
            assert_eq!(Message::from_bytes(octets).unwrap(), Message::data("next"));
            reader.accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_is_dropped_early_gives_the_message_back_and_the_writer_learns_it() {
    within(async {
        let (client, incoming) = pair_with(small()).await;
        let (sender, receiver) = client_streams(&client, &incoming, 1).await;
        let mut writer = sender.stream(Payload::from(Vec::new())).await.unwrap();
        writer.write(vec![0; 10_000]).await.unwrap();
        drop(receiver.recv().await.unwrap());
        let refused = loop {
            if let Err(error) = writer.write(vec![0; 4000]).await {
                break error;
            }
        };
        assert_eq!(refused, SendError::SettledEarly);
        assert_eq!(writer.finish().await.unwrap(), Outcome::Released);
        let (sent, ()) = tokio::join!(sender.send(Message::data("next")), async {
            receiver.recv().await.unwrap().accept().unwrap();
        });
        sent.unwrap().accepted().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_client_reads_in_parts_and_loses_what_was_not_whole_with_the_connection() {
    within(async {
        let (client, incoming) = pair_with(small()).await;
        let (receiver, sender) = tokio::join!(client.stream_receiver(ReceiverOptions::new("q")), async {
            incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
        });
        let receiver = receiver.unwrap();
        let mut writer = sender.stream(Payload::from(Vec::new())).await.unwrap();
        writer.write(b"half".to_vec()).await.unwrap();
        let mut reader = receiver.recv().await.unwrap();
        assert_eq!(reader.read().await.unwrap().unwrap(), b"half"[..]);
        let (lost, ended) = tokio::join!(reader.read(), incoming.connection().close());
        assert!(matches!(lost.unwrap_err(), StreamError::Link(_)));
        ended.unwrap();
        assert!(matches!(writer.write(b"more".to_vec()).await.unwrap_err(), SendError::NotSent(_)));
    })
    .await;
}
