//! Requests and answers over links: the management of brokers, and whatever else speaks like it.
//!
//! A client sends a message to a node and gets one back that names the request it answers (`correlation-id`). There is
//! one core for that, [`Requester`], and one for the other side, [`RequestServer`]; two thin profiles say what the
//! messages look like:
//!
//! | profile | request | answer | who speaks it |
//! | --- | --- | --- | --- |
//! | [`HttpManagement`] | method in `subject`, path in `to` | status in `subject` | RabbitMQ 4, `/management` |
//! | [`NodeManagement`] | application properties `operation`, `type`, … | `statusCode` or `status-code` | AMQP management (draft), Service Bus, `$cbs` |
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use amqp_codec::types::Value;
//! use amqp_transport::{Connection, management::HttpManagement};
//!
//! let connection = Connection::connect("amqp://guest:guest@127.0.0.1:5672").await?;
//! let management = HttpManagement::new(&connection);
//! let queue = management.request("GET", "/queues/greetings", Value::Null).await?.success()?;
//! println!("{queue:?}");
//! # Ok(()) }
//! ```

mod http;
mod operations;
mod requester;
mod server;

pub use http::{HttpManagement, HttpRequest};
pub use operations::{NodeManagement, Operation};
pub use requester::{ReplyTo, RequestError, Requester, RequesterOptions};
pub use server::{RequestServer, RequestServerLimits};

use amqp_codec::messaging::Body;
use amqp_codec::types::Value;
use std::fmt;

/// An answer: a status as in HTTP, and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// As in HTTP: 200 to 299 are success.
    pub status: u16,
    /// What the peer says of the status, for people to read.
    pub description: Option<String>,
    /// The error condition, where the peer gives one, such as `com.microsoft:message-lock-lost`.
    pub condition: Option<String>,
    /// The answer itself; null if there is none.
    pub body: Value,
}

impl Reply {
    /// An answer of this side.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Value>) -> Self {
        Self { status, description: None, condition: None, body: body.into() }
    }

    /// Says something of the status.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Whether the status tells of success.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body, if the status tells of success.
    ///
    /// # Errors
    /// [`Refusal`] with status and description otherwise.
    pub fn success(self) -> Result<Value, Refusal> {
        if self.is_success() {
            return Ok(self.body);
        }
        let description = self
            .description
            .or_else(|| self.body.as_str().map(str::to_owned))
            .unwrap_or_else(|| "no explanation".to_owned());
        Err(Refusal { status: self.status, condition: self.condition, description })
    }
}

/// A request was answered, but not with success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// As in HTTP: 400 to 499 for a request that will not do, 500 to 599 for a peer that cannot.
    pub status: u16,
    /// The error condition, where the peer gives one.
    pub condition: Option<String>,
    /// What the peer says of it.
    pub description: String,
}

impl Refusal {
    /// Whether the same request may be granted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..=599) && self.status != 501
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer answered {}: {}", self.status, crate::error::tame(&self.description))
    }
}

impl std::error::Error for Refusal {}

/// The value that a message carries; null for any other body.
fn value_of(body: Body) -> Value {
    match body {
        Body::Value(value) => value,
        _ => Value::Null,
    }
}
