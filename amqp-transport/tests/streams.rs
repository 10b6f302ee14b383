//! Messages sent and received in parts, client and listener of this crate against each other over TCP.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Target};
use amqp_transport::{
    Address, ConnectOptions, Connection, Credit, Incoming, Limits, ListenerOptions, Outcome, Payload,
    Receiver, SendError, Sender, SenderOptions, StaticCredentials,
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
