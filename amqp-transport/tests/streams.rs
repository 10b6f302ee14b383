//! Messages sent and received in parts, client and listener of this crate against each other over TCP.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Body, Header, Message, Source, Target};
use amqp_codec::transport::conditions;
use amqp_codec::types::Symbol;
use amqp_codec::{Decode, Encode};
use amqp_transport::{
    AbortPolicy, Address, ConnectOptions, Connection, Credit, Incoming, Limits, LinkError, ListenerOptions,
    Outcome, Payload, Receiver, ReceiverOptions, SendError, Sender, SenderOptions, StaticCredentials,
    StreamError, StreamReceiver,
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

/// The listener knows what an aborted delivery is.
fn options() -> SenderOptions {
    SenderOptions::new("q").abort_policy(AbortPolicy::Abort)
}

/// A link from the client to the listener, which takes messages whole.
async fn client_sends(client: &Connection, incoming: &Incoming, credit: Credit) -> (Sender, Receiver) {
    let session = client.session().await.unwrap();
    let (sender, receiver) = tokio::join!(session.sender(options()), async {
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
async fn a_peer_of_which_nothing_is_known_learns_by_a_detach_that_a_message_is_given_up() {
    within(async {
        let (client, incoming) = pair_with(Limits::default()).await;
        let (sender, receiver) = tokio::join!(client.sender(SenderOptions::new("q")), async {
            let request = incoming.next_link().await.unwrap();
            request.accept_as_receiver(Target::new("q"), Credit::Auto(1)).unwrap()
        });
        let mut writer = sender.unwrap().stream(Payload::head(&Message::default())).await.unwrap();
        writer.write_data(vec![0; 200_000]).await.unwrap();
        while incoming.connection().stats().partial_octets == 0 {
            tokio::task::yield_now().await;
        }
        drop(writer);
        let LinkError::DetachedByPeer(Some(error)) = receiver.recv().await.unwrap_err() else {
            unreachable!()
        };
        assert_eq!(error.condition, conditions::DETACH_FORCED);
        assert!(!client.is_closed());
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
    let (sender, receiver) = tokio::join!(session.sender(options()), async {
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
        assert_eq!(reader.read().await.unwrap().unwrap(), b"hal"[..]);
        writer.flush().unwrap();
        assert_eq!(reader.read().await.unwrap().unwrap(), b"f"[..]);
        let (lost, ended) = tokio::join!(reader.read(), incoming.connection().close());
        assert!(matches!(lost.unwrap_err(), StreamError::Link(_)));
        ended.unwrap();
        assert!(matches!(writer.write(b"more".to_vec()).await.unwrap_err(), SendError::NotSent(_)));
    })
    .await;
}

#[tokio::test]
async fn header_and_properties_are_read_before_the_body_has_come() {
    within(async {
        let (client, incoming) = pair_with(small()).await;
        let (sender, receiver) = client_streams(&client, &incoming, 1).await;
        let header = Header { durable: true, ..Header::default() };
        let head = Message::default().with_header(header).with_application_property("n", 7_i32);
        let mut writer = sender.stream(Payload::head(&head)).await.unwrap();
        writer.write_data(part(0)).await.unwrap();
        let mut reader = receiver.recv().await.unwrap();
        assert_eq!(*reader.head().await.unwrap(), head);
        assert_eq!(*reader.head().await.unwrap(), head, "as often as one likes");
        // One section whose size is known at once, then sections as they come.
        writer.begin_data(3000).await.unwrap();
        writer.write(part(1)).await.unwrap();
        // The body comes without what is around it, although it is cut anywhere.
        let sending = async {
            for n in 2..100 {
                writer.write_data(part(n)).await.unwrap();
            }
            let footer = Message::default().with_footer(Symbol::from_static("sum"), 100_i32);
            // What follows its empty body is the footer alone.
            writer.write(footer.to_bytes().slice(4..)).await.unwrap();
            writer.finish().await.unwrap().accepted().unwrap();
        };
        let receiving = async {
            let mut expected = (0..100).flat_map(part);
            while let Some(octets) = reader.read_data().await.unwrap() {
                assert!(octets.iter().all(|octet| expected.next() == Some(*octet)));
            }
            assert_eq!(expected.next(), None);
            assert_eq!(reader.read_data().await.unwrap(), None, "the end remains the end");
            let footer = reader.footer().unwrap();
            assert_eq!(footer.get("sum"), Some(&100_i32.into()));
            reader.accept().unwrap();
        };
        tokio::join!(sending, receiving);
    })
    .await;
}

/// What a reader of sections gives for a message of these octets, sent in frames of these sizes.
async fn read_in_sections(octets: &[u8], cut: usize) -> Result<(Message, Vec<u8>), StreamError> {
    let (client, incoming) = pair_with(small()).await;
    let (sender, receiver) = client_streams(&client, &incoming, 1).await;
    let mut writer = sender.stream(Payload::from(Vec::new())).await.unwrap();
    let writing = async {
        for part in octets.chunks(cut) {
            writer.write(part.to_vec()).await.unwrap();
            // A frame of its own.
            tokio::task::yield_now().await;
        }
        drop(writer.finish());
    };
    let reading = async {
        let mut reader = receiver.recv().await.unwrap();
        let head = reader.head().await?.clone();
        let mut body = Vec::new();
        while let Some(octets) = reader.read_data().await? {
            body.extend_from_slice(&octets);
        }
        Ok((head, body))
    };
    tokio::join!(writing, reading).1
}

#[tokio::test]
async fn sections_are_read_however_they_are_cut() {
    within(async {
        let mut message = Message::data("a body").with_application_property("n", 7_i32);
        let whole = message.to_bytes();
        message.body = Body::Empty;
        for cut in 1..whole.len() {
            let (head, body) = read_in_sections(&whole, cut).await.unwrap();
            assert_eq!((&head, &body[..]), (&message, &b"a body"[..]), "in frames of {cut}");
        }
        let (head, body) = read_in_sections(b"\x00\x53\x70\x45", 3).await.unwrap();
        assert_eq!(head.header, Some(Header::default()), "no body at all");
        assert!(body.is_empty());
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_in_sections_is_an_error() {
    within(async {
        let error = |octets: Vec<u8>| async move { read_in_sections(&octets, 1000).await.unwrap_err() };
        assert_eq!(error(Message::value("text").to_bytes().to_vec()).await, StreamError::NotData);
        let cut = error(b"\x00\x53\x75\xa0\x09short".to_vec()).await.to_string();
        assert_eq!(cut, "the message is malformed: it ends within a section");
        let late = error(b"\x00\x53\x75\xa0\x00\x00\x53\x70\x45".to_vec()).await.to_string();
        assert!(late.contains("a section stands behind the body"), "{late}");
        let twice = error(b"\x00\x53\x70\x45\x00\x53\x70\x45".to_vec()).await.to_string();
        assert!(twice.contains("one out of place"), "{twice}");
        let many = error(b"\x00\x53\x70\x45".repeat(100)).await.to_string();
        assert!(many.contains("more than five sections"), "{many}");
        let long = b"\x00\x53\x74\xd1\x7f\xff\xff\xff\x00\x00\x00\x02".to_vec();
        assert_eq!(error(long).await, StreamError::TooLong { limit: 1024 * 1024 });
        let noise = error(vec![0xff; 1000]).await.to_string();
        assert!(noise.contains("expected a described value"), "{noise}");
    })
    .await;
}
