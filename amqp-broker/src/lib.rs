//! An AMQP 1.0 broker to embed: real queues, in memory, in the process that needs them.
//!
//! Start it, give its address to any AMQP 1.0 client, and there are queues. They are created when a link first names
//! them, and last as long as the broker:
//!
//! ```
//! use amqp_broker::Broker;
//! use amqp_codec::messaging::Message;
//! use amqp_transport::{Connection, Credit, ReceiverOptions, SenderOptions};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = Broker::builder().listen("127.0.0.1:0").anonymous(true).start().await?;
//!
//! let connection = Connection::connect(&broker.address()).await?;
//! let session = connection.session().await?;
//! let sender = session.sender(SenderOptions::new("/queues/greetings")).await?;
//! sender.send(Message::data("hello")).await?.accepted()?;
//! assert_eq!(broker.queue_stats("greetings").map(|queue| queue.ready), Some(1));
//!
//! let receiver =
//!     session.receiver(ReceiverOptions::new("/queues/greetings").credit(Credit::Auto(10))).await?;
//! let delivery = receiver.recv().await?;
//! assert_eq!(delivery.message()?.body_bytes().as_deref(), Some(&b"hello"[..]));
//! delivery.accept()?;
//!
//! connection.close().await?;
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Addresses
//!
//! `/queues/Q` with `Q` percent-encoded, as on RabbitMQ 4; `/queue/Q` and `/amq/queue/Q`, as on RabbitMQ 3; or just `Q`.
//! A sender without an address (anonymous terminus) names the queue in `properties.to` of each message. `/management` is
//! the management node, in RabbitMQ 4's manner: queues are declared, described, purged and deleted there. When a queue
//! is deleted, the links that consume from it or publish to it are closed with `amqp:resource-deleted`.
//!
//! # What happens to a message
//!
//! | | |
//! | --- | --- |
//! | accepted | it is gone |
//! | released | it is back in its place, not counted |
//! | modified, delivery-failed | it is back in its place, with its delivery-count one higher; over the queue's delivery limit it is a dead letter |
//! | modified, undeliverable-here | it is a dead letter |
//! | modified, message-annotations | they are merged over those there; `x-opt-delivery-time` delays the return |
//! | rejected | it is a dead letter |
//! | link detached, session ended, connection closed | as released |
//! | connection lost | as modified, delivery-failed: a message that brings its consumers down must not go round for ever |
//!
//! **Transactions** (a link to the coordinator): what is sent within one comes into its queues with the commit, and what is
//! settled within one is settled then; after a rollback nothing was sent, and each message is where it was before, its
//! delivery-count unchanged. With the coordinator's link its transactions are rolled back. A transaction may span queues
//! and the sessions of its connection. Messages are not acquired within a transaction: a link that asks for that is
//! closed with `amqp:not-implemented`.
//!
//! **Dead letters** go to the queue `<name>.dlq` (see [`DeadLetter`]), with the message annotations
//! `x-opt-deadletter-source` (the queue), `x-opt-deadletter-reason` (`rejected`, `undeliverable-here`, `delivery-limit` or
//! `expired`) and, if the consumer gave an error, `x-opt-deadletter-condition` and `x-opt-deadletter-description`.
//!
//! **Delay**: the message annotation `x-opt-delivery-time` or `x-opt-scheduled-enqueue-time` (timestamp or integer,
//! milliseconds since the epoch), or `x-opt-delivery-delay` (milliseconds).
//!
//! **Time-to-live**: `header.ttl`, counted from when the message becomes available, so that a delay does not eat it up, and
//! `properties.absolute-expiry-time`. Consumers are told what is left.
//!
//! **Priority**: `header.priority`, 0 to 255, 4 if absent; higher first, in order of arrival among equals.
//!
//! The bare message is forwarded octet for octet.
//!
//! # What it does not do
//!
//! Messages are in memory only, `durable` or not. There are no exchanges, topics, transactions, dynamic nodes, filters or
//! resumed links; whoever asks for one is refused with an error that says so (a filter is left out of the answer).

mod address;
mod clock;
mod limits;
mod management;
mod own;
mod queue;
mod server;
mod session;
mod store;

pub use limits::{DeadLetter, Expired, Limits, QueueOptions};
pub use queue::QueueStats;
pub use server::{Broker, BrokerBuilder, BrokerError};
