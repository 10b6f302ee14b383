//! AMQP 1.0 connections, sessions and links: client and listener, on tokio or without.
//!
//! # From connecting to the first message
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use amqp_codec::messaging::Message;
//! use amqp_transport::{Connection, ReceiverOptions, SenderOptions};
//!
//! let connection = Connection::connect("amqp://guest:guest@127.0.0.1:5672").await?;
//! let sender = connection.sender(SenderOptions::new("/queues/greetings")).await?;
//! sender.send(Message::data("hello")).await?.accepted()?;
//!
//! let receiver = connection.receiver(ReceiverOptions::new("/queues/greetings")).await?;
//! let delivery = receiver.recv().await?;
//! println!("{:?}", delivery.message()?.body);
//! delivery.accept()?;
//! connection.close().await?;
//! # Ok(()) }
//! ```
//!
//! # What to expect
//!
//! - [`Sender::send`] resolves with the peer's [`Outcome`]; a message is stored only if that is accepted.
//!   [`Sender::deliver`] keeps many on their way.
//! - A [`Delivery`] dropped without a verdict is released: it goes back to the peer.
//! - Every future may be dropped at any await; each method says what that means.
//! - Nothing grows without a bound: see [`Limits`].
//! - A connection that is lost stays lost; [`recovery::Client`] connects again, attaches its links again and sends again
//!   what was not confirmed.
//! - A listener is built with [`ListenerOptions`]; both ends use the same handles.
//!
//! Below these handles is an [`engine`] without sockets, tasks or clock that enforces the rules of the specification
//! for client and listener alike; a single task per connection carries its octets.
//!
//! # What goes over the wire
//!
//! With `AMQP_LOG=frames` in the environment every frame is written to standard error as one readable line, credentials
//! masked; see [`FrameLog`].
//!
//! # Features
//!
//! `tokio`, on by default: the handles, sockets, TLS and addresses. Without it the [`engine`], its limits, errors and
//! SASL remain, for any other runtime or none (`examples/blocking.rs` drives it over a plain blocking socket).
//!
//! `websocket`: AMQP over WebSocket, for clients with addresses like `wss://host/path` and for listeners.

#[cfg(feature = "tokio")]
pub mod cbs;
#[cfg(feature = "tokio")]
mod connection;
#[cfg(feature = "tokio")]
mod delivery;
pub mod engine;
mod error;
#[cfg(feature = "tokio")]
mod filter;
#[cfg(feature = "tokio")]
mod link_options;
#[cfg(feature = "tokio")]
mod listener;
#[cfg(feature = "tokio")]
pub mod management;
#[cfg(feature = "tokio")]
mod message_reader;
#[cfg(feature = "tokio")]
mod message_writer;
#[cfg(feature = "tokio")]
mod net;
mod peer;
#[cfg(feature = "tokio")]
mod pool;
#[cfg(feature = "tokio")]
mod receiver;
#[cfg(feature = "tokio")]
pub mod recovery;
mod redirect;
#[cfg(feature = "tokio")]
mod runtime;
#[cfg(feature = "tokio")]
mod sender;
#[cfg(feature = "tokio")]
mod session;
#[cfg(feature = "tokio")]
mod stream_receiver;
#[cfg(feature = "tokio")]
mod suspended;
#[cfg(feature = "tokio")]
mod takeover;
pub mod transaction;

#[cfg(feature = "tokio")]
pub use connection::{ConnectError, ConnectOptions, Connection};
#[cfg(feature = "tokio")]
pub use delivery::Delivery;
pub use engine::credit::Credit;
pub use engine::event::DeliveryNumber;
pub use engine::frame_log::FrameLog;
pub use engine::limits::Limits;
pub use engine::sasl::{
    Authenticator, BearerRefusal, BearerToken, ClientCertificate, Identity, Mechanism, Sasl, SaslFault,
    ScramCredentials, ScramHash, StaticCredentials,
};
pub use engine::stats::{ConnectionStats, Latency, LinkStats, SessionStats};
pub use engine::{AbortPolicy, Fate, UnsettledDelivery};
pub use error::{
    ConnectionError, LinkError, NotAccepted, Outcome, SendError, SessionError, SettleError, StreamError,
};
#[cfg(feature = "tokio")]
pub use filter::Filter;
#[cfg(feature = "tokio")]
pub use link_options::{ReceiverOptions, SenderOptions};
#[cfg(feature = "tokio")]
pub use listener::{AcceptError, Incoming, LinkRequest, LinkScope, ListenerOptions, SessionId};
#[cfg(feature = "tokio")]
pub use message_reader::MessageReader;
#[cfg(feature = "tokio")]
pub use message_writer::MessageWriter;
#[cfg(feature = "tokio")]
pub use net::address::{Address, AddressError};
#[cfg(feature = "tokio")]
pub use net::tls::{TlsError, TlsOptions};
pub use peer::Peer;
#[cfg(feature = "tokio")]
pub use receiver::Receiver;
pub use redirect::Redirect;
#[cfg(feature = "tokio")]
pub use sender::{Confirmation, Payload, Sender, TryDeliverError};
#[cfg(feature = "tokio")]
pub use session::Session;
#[cfg(feature = "tokio")]
pub use stream_receiver::StreamReceiver;
#[cfg(feature = "tokio")]
pub use suspended::{ResumeError, ResumedDelivery, ResumedSender, SuspendedReceiver, SuspendedSender};
