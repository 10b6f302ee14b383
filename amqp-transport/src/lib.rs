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
//! # A body larger than memory
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn run(connection: amqp_transport::Connection) -> Result<(), Box<dyn std::error::Error>> {
//! # use amqp_transport::{Payload, ReceiverOptions, SenderOptions};
//! let sender = connection.sender(SenderOptions::new("/queues/files")).await?;
//! let mut writer = sender.stream(Payload::head(&Default::default())).await?;
//! for part in ["in", "parts"] {
//!     writer.write_data(part).await?; // waits while the buffer is full
//! }
//! writer.finish().await?.accepted()?;
//!
//! let receiver = connection.stream_receiver(ReceiverOptions::new("/queues/files")).await?;
//! let mut message = receiver.recv().await?; // its first frame is here
//! println!("{:?}", message.head().await?.properties);
//! while let Some(octets) = message.read_data().await? {
//!     println!("{} octets more", octets.len());
//! }
//! message.accept()?;
//! # Ok(()) }
//! ```
//!
//! # All or nothing
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn run(session: amqp_transport::Session) -> Result<(), Box<dyn std::error::Error>> {
//! # use amqp_codec::messaging::Message;
//! # use amqp_transport::{Outcome, ReceiverOptions, SenderOptions};
//! let orders = session.receiver(ReceiverOptions::new("orders")).await?;
//! let invoices = session.sender(SenderOptions::new("invoices")).await?;
//! let order = orders.recv().await?;
//! let transaction = session.controller().await?.declare().await?;
//! transaction.send(&invoices, Message::data("an invoice")).await?.accepted()?;
//! transaction.settle(order, Outcome::Accepted)?;
//! transaction.commit().await?; // dropped, it is rolled back
//! # Ok(()) }
//! ```
//!
//! # Over lost connections
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # use amqp_codec::messaging::Message;
//! # use amqp_transport::SenderOptions;
//! use amqp_transport::recovery::Client;
//!
//! let client = Client::builder(["amqp://one:5672", "amqp://other:5672"])?.connect().await?;
//! let sender = client.sender(SenderOptions::new("/queues/greetings")).await?;
//! let receipt = sender.deliver(Message::data("hello")).await?.await?;
//! println!("sent more than once: {}", receipt.is_maybe_duplicated());
//! receipt.accepted()?;
//! # Ok(()) }
//! ```
//!
//! # Management of a broker
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn run(connection: amqp_transport::Connection) -> Result<(), Box<dyn std::error::Error>> {
//! use amqp_codec::types::{Map, Value};
//! use amqp_transport::management::HttpManagement;
//!
//! let wish: Map = [("durable", true)].into_iter().collect();
//! let management = HttpManagement::new(&connection);
//! management.request("PUT", "/queues/greetings", Value::Map(wish)).await?.success()?;
//! # Ok(()) }
//! ```
//!
//! # The other side
//!
//! ```no_run
//! # #[cfg(feature = "tokio")]
//! # async fn run(stream: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! # use amqp_codec::messaging::Target;
//! # use amqp_transport::{Credit, ListenerOptions, StaticCredentials};
//! let users = vec![("guest".to_owned(), "guest".to_owned())];
//! let credentials = StaticCredentials { anonymous: false, users };
//! let options = ListenerOptions::new("server").authenticator(std::sync::Arc::new(credentials));
//! let incoming = options.accept(stream).await?;
//! while let Some(request) = incoming.next_link().await {
//!     // Whoever wants to receive is refused.
//!     let accepted = request.accept_as_receiver(Target::new("/greetings"), Credit::Auto(100));
//!     let Ok(receiver) = accepted else { continue };
//!     tokio::spawn(async move {
//!         while let Ok(delivery) = receiver.recv().await {
//!             println!("{:?}", delivery.message());
//!             // Dropped without a verdict, it goes back.
//!         }
//!     });
//! }
//! # Ok(()) }
//! ```
//!
//! `amqp-transport/examples` has a program for each of these: `hello`, `streaming`, `transactions`, `reconnect`,
//! `management`, `listener`; `cbs` for tokens in the manner of Service Bus, `from_sync_code` for programs that are not
//! asynchronous, `blocking` for the engine without a runtime.
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
mod accepting;
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
pub use accepting::{Listener, ListenerLimits};
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
