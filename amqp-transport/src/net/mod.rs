//! How to get a byte stream to a peer; no AMQP.

pub(crate) mod address;
pub(crate) mod tls;
#[cfg(feature = "websocket")]
pub(crate) mod websocket;
