//! Claims-based security: tokens put to the node `$cbs` say what a connection may do (Service Bus, Event Hubs).
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use amqp_transport::cbs::{Cbs, SasKey};
//! use amqp_transport::{Address, ConnectOptions, ReceiverOptions, Sasl};
//!
//! let address: Address = "amqps://example.servicebus.windows.net".parse()?;
//! let connection = ConnectOptions::new(address).sasl(Sasl::Anonymous).connect().await?;
//! let key = SasKey::new("RootManageSharedAccessKey", std::env::var("KEY")?);
//! let cbs = Cbs::new(&connection, key);
//! // Before any link to the entity; renewed for as long as it is held.
//! let authorization = cbs.authorize("sb://example.servicebus.windows.net/orders").await?;
//! let session = connection.session().await?;
//! let orders = session.receiver(ReceiverOptions::new("orders")).await?;
//! # drop((authorization, orders));
//! # Ok(()) }
//! ```
//!
//! [`CbsServer`] is the same for a listener.
//!
//! On connections that come back, tokens are put by [`ClientBuilder::prepare`](crate::recovery::ClientBuilder::prepare):
//! on each of them, before any link is attached.

mod client;
mod sas;
mod server;
mod token;

pub use client::{Authorization, AuthorizationState, Cbs, CbsError};
pub use sas::{SasError, SasKey};
pub use server::{CbsServer, PutToken};
pub use token::{Token, TokenError, TokenFuture, TokenProvider};

/// The node that takes tokens.
pub const NODE: &str = "$cbs";

/// The operation that puts one.
const PUT_TOKEN: &str = "put-token";
