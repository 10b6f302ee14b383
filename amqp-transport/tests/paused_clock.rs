//! Connections in tests that pause tokio's clock: the engine's time stands still and goes on with it.
#![cfg(feature = "tokio")]

use amqp_transport::engine::StaticCredentials;
use amqp_transport::{ConnectOptions, ListenerOptions};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_connection_lives_through_ten_minutes_that_pass_at_once() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let anyone = StaticCredentials { anonymous: true, users: Vec::new() };
    let listener = ListenerOptions::new("peer").authenticator(Arc::new(anyone));
    let client = ConnectOptions::new("amqp://localhost".parse().unwrap());
    let (client, incoming) = tokio::join!(client.connect_over(near), listener.accept(far));
    let (client, _incoming) = (client.unwrap(), incoming.unwrap());
    tokio::time::sleep(Duration::from_secs(600)).await;
    client.session().await.unwrap();
    client.close().await.unwrap();
}
