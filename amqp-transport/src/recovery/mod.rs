//! Connections that come back: a [`Client`] connects again when its connection is lost, attaches its links again,
//! and sends again what was not confirmed.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use amqp_codec::messaging::Message;
//! use amqp_transport::recovery::Client;
//! use amqp_transport::{ReceiverOptions, SenderOptions};
//! use std::time::Duration;
//!
//! let client = Client::builder(["amqp://guest:guest@one.example", "amqp://guest:guest@two.example"])?
//!     .connect()
//!     .await?;
//! let sender = client.sender(SenderOptions::new("/queues/greetings")).await?;
//! let receipt = sender.send(Message::data("hello")).await?;
//! if receipt.is_maybe_duplicated() {
//!     println!("sent {} times more", receipt.resent());
//! }
//! receipt.accepted()?;
//!
//! let receiver = client.receiver(ReceiverOptions::new("/queues/greetings")).await?;
//! let delivery = receiver.recv().await?;
//! delivery.accept()?;
//! client.close(Duration::from_secs(10)).await?;
//! # Ok(()) }
//! ```
//!
//! # What is promised
//!
//! - **Sending** ([`RecoveringSender`]): a message that was taken is sent until it has an outcome. If the connection
//!   ends first it is sent again on the next one, before everything that came later, and its [`Receipt`] says so:
//!   only such a message can be there twice. With [`Resend::Never`] it is reported as
//!   [`RecoveringSendError::Unknown`] instead. What is buffered is bounded in messages and in octets; who hands over
//!   more has to wait.
//! - **Receiving** ([`RecoveringReceiver`]): credit is granted anew on each link. A delivery belongs to the
//!   connection that it came by: once that is lost the peer gives the message to somebody again, and settling the old
//!   delivery is an error ([`Delivery::is_revoked`](crate::Delivery::is_revoked)), never a silent success. A verdict
//!   that was under way when the connection was lost may be lost with it.
//! - **Connecting**: addresses are tried in turn, with a pause after each round ([`BackOff`]), for as long as
//!   [`Patience`] lasts; credentials are asked for anew each time, and each connection is made ready anew
//!   ([`ClientBuilder::prepare`]). [`Client::state`] tells what goes on.
//!
//! Every future may be dropped at any await; each method says what that means. These tasks are all there is beside
//! those of a connection: one for the client, and one for each link, which sleeps unless its link ends or, for a
//! sender, has something to send; and one for each link that was sent to another peer.

pub(crate) mod back_off;
mod buffer;
mod builder;
mod client;
mod elsewhere;
mod error;
mod keeper;
mod receiver;
mod sender;
mod supervisor;

pub use back_off::BackOff;
pub use builder::ClientBuilder;
pub use client::{Client, ClientState, ClientStats, CloseError};
pub use error::{ClientError, Receipt, RecoveringSendError, Trouble};
pub use keeper::Attachment;
pub use receiver::RecoveringReceiver;
pub use sender::{RecoveringConfirmation, RecoveringSender};

/// How long a client tries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Patience {
    /// Attempts to connect in a row, over all addresses, after which the client gives up. `None`, the default, is
    /// for ever.
    pub attempts: Option<u32>,
    /// How often in a row every address may fail for a reason that does not pass by itself, such as refused
    /// credentials, before the client gives up; 0 counts as 1. Default 3, because brokers that are just starting
    /// refuse what they accept a moment later.
    pub lasting_failures: u32,
    /// How often in a row a link that was attached before may be refused for such a reason, such as a node that is
    /// not there, before it gives up; 0 counts as 1. Default 8, which is about a quarter of a minute with the default
    /// [`BackOff`]: brokers that restart have their nodes a moment later than their connections. A link that was never
    /// attached gives up at once, unless it was sent elsewhere ([`ClientBuilder::follow_redirects`]).
    pub lasting_refusals: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { attempts: None, lasting_failures: 3, lasting_refusals: 8 }
    }
}

/// What becomes of messages whose link ended before their outcome came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Resend {
    /// They are sent again: each is there at least once, and [`Receipt::is_maybe_duplicated`] tells which may be
    /// there twice.
    #[default]
    Unconfirmed,
    /// They are reported as [`RecoveringSendError::Unknown`]: each is there at most once. Those that were not handed
    /// to the link yet are sent on the next one.
    Never,
}

/// How a sender treats its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendPolicy {
    /// What becomes of messages whose link ended before their outcome came. Default [`Resend::Unconfirmed`].
    pub resend: Resend,
    /// Messages without an outcome that are held, at least 1; who hands over more has to wait. Default 1000.
    pub max_messages: usize,
    /// Octets of messages without an outcome that are held; a larger message has to go alone. Default 16 MiB.
    pub max_octets: u32,
}

impl Default for SendPolicy {
    fn default() -> Self {
        Self { resend: Resend::Unconfirmed, max_messages: 1000, max_octets: 16 * 1024 * 1024 }
    }
}
