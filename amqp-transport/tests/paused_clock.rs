//! Connections in tests that pause tokio's clock: the engine's time stands still and goes on with it.
#![cfg(feature = "tokio")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use amqp_codec::messaging::{Message, Source};
use amqp_transport::engine::StaticCredentials;
use amqp_transport::{
    ConnectOptions, Connection, Credit, Incoming, LinkError, ListenerOptions, ReceiverOptions,
};
use std::sync::Arc;
use std::time::Duration;

async fn pair() -> (Connection, Incoming) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let listener = ListenerOptions::new("peer").authenticator(Arc::new(anyone));
    let client = ConnectOptions::new("amqp://localhost".parse().unwrap());
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    (client.unwrap(), incoming.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_connection_lives_through_ten_minutes_that_pass_at_once() {
    let (client, _incoming) = pair().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    client.session().await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_given_up_only_once_nothing_comes_any_more() {
    let (client, incoming) = pair().await;
    let options = ReceiverOptions::new("q").credit(Credit::Manual);
    let (receiver, sender) = tokio::join!(client.receiver(options), async {
        incoming.next_link().await.unwrap().accept_as_sender(Source::new("q")).unwrap()
    });
    let (receiver, sender) = (receiver.unwrap(), sender);
    let slow = async |messages: u32| {
        for _ in 0..messages {
            tokio::time::sleep(Duration::from_secs(40)).await;
            let _ = sender.try_deliver(Message::data("x")).unwrap();
        }
    };
    receiver.set_credit(3).unwrap();
    let (drained, ()) = tokio::join!(receiver.drain(), slow(3));
    drained.unwrap();
    receiver.set_credit(3).unwrap();
    let (drained, ()) = tokio::join!(receiver.drain(), slow(1));
    assert!(matches!(drained.unwrap_err(), LinkError::Timeout(_)));
}
