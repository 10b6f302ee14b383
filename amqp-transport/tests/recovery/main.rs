//! The client that comes back, against a peer on loopback that is cut off, restarted, refuses and stays silent.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod connecting;
mod elsewhere;
mod peer;
mod receiving;
mod sending;
mod wire;

use amqp_transport::recovery::{BackOff, Client, ClientBuilder, ClientState};
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

/// What `future` gives; it must not take long.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// Pauses of a few milliseconds.
fn quickly() -> BackOff {
    let mut back_off = BackOff::default();
    back_off.min = Duration::from_millis(1);
    back_off.max = Duration::from_millis(5);
    back_off
}

/// A client of these addresses that tries again quickly.
fn client_of<const N: usize>(addresses: [SocketAddr; N]) -> ClientBuilder {
    let addresses = addresses.map(|address| format!("amqp://guest:guest@{address}"));
    Client::builder(addresses).unwrap().back_off(quickly())
}

/// Waits until the client is in such a state.
async fn until(client: &Client, mut is_so: impl FnMut(&ClientState) -> bool) -> ClientState {
    client.state().wait_for(|state| is_so(state)).await.unwrap().clone()
}

/// The address of a port on which nobody listens at the moment.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
