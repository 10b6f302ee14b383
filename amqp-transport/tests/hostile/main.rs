//! Hostile peers over real sockets: each is a script of octets and silences, and each must end in the error that is
//! specified for it, in its own time, with little held.
//!
//! `says` makes the octets, `script` plays them, `place` is where a scripted peer and this crate meet.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod beside;
mod client_floods;
mod client_handshake;
mod client_waits;
mod listener_floods;
mod listener_handshake;
mod place;
mod says;
mod script;
#[cfg(feature = "websocket")]
mod websocket;

use amqp_transport::Limits;
use std::time::Duration;

/// What `future` gives; it must not take long.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

/// Waits until something is so. Others get their turn in between.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Time-outs that a test can wait for, and that a loaded machine keeps.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.handshake = Duration::from_secs(1);
    limits.answer = Duration::from_millis(400);
    limits.close = Duration::from_millis(300);
    limits
}
