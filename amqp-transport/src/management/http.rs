//! Management in the manner of HTTP, as RabbitMQ 4 has it: a method and a path in, a status and a value out.

use super::requester::{ReplyTo, RequestError, Requester, RequesterOptions};
use super::{Reply, value_of};
use crate::connection::Connection;
use amqp_codec::messaging::{Body, Message, Properties};
use amqp_codec::types::Value;
use std::time::Duration;

/// Where RabbitMQ 4 answers.
const NODE: &str = "/management";

/// What an answer says of its form.
const VERSION: (&str, &str) = ("http:response", "1.1");

/// A client of a management node that speaks like HTTP. Clones share the links.
///
/// ```no_run
/// # async fn run(connection: amqp_transport::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// use amqp_codec::types::{Map, Value};
/// use amqp_transport::management::HttpManagement;
///
/// let management = HttpManagement::new(&connection);
/// let wish: Map = [("durable", true)].into_iter().collect();
/// management.request("PUT", "/queues/greetings", Value::Map(wish)).await?.success()?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct HttpManagement {
    requester: Requester,
}

impl HttpManagement {
    /// Asks the node `/management` of this connection's peer. Nothing is sent before the first request.
    #[must_use]
    pub fn new(connection: &Connection) -> Self {
        Self::over(Requester::new(connection, RequesterOptions::new(NODE, ReplyTo::Paired)))
    }

    /// The same, but each request may take this long. Default 15 s.
    #[must_use]
    pub fn with_time_out(connection: &Connection, time_out: Duration) -> Self {
        Self::over(Requester::new(
            connection,
            RequesterOptions::new(NODE, ReplyTo::Paired).time_out(time_out),
        ))
    }

    /// Asks whatever node the requester asks.
    #[must_use]
    pub const fn over(requester: Requester) -> Self {
        Self { requester }
    }

    /// Sends a request and waits for its answer. `path` is percent-encoded, with a query if there is one.
    ///
    /// Dropping the future before the request left sends nothing; later, its answer is thrown away when it comes.
    ///
    /// # Errors
    /// See [`RequestError`]. A status that tells of failure is no error here: see [`Reply::success`].
    pub async fn request(&self, method: &str, path: &str, body: Value) -> Result<Reply, RequestError> {
        let request = Message {
            properties: Some(Properties {
                to: Some(path.into()),
                subject: Some(method.into()),
                ..Properties::default()
            }),
            body: Body::Value(body),
            ..Message::default()
        };
        let answer = self.requester.request(request).await?;
        let status = answer.properties.and_then(|properties| properties.subject);
        let status = status.as_deref().and_then(|status| status.parse().ok());
        let Some(status) = status else {
            return Err(RequestError::Malformed("expected a status as its subject".to_owned()));
        };
        Ok(Reply::new(status, value_of(answer.body)))
    }
}

/// A request that came to this side.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// Such as `GET`.
    pub method: String,
    /// What follows the node: percent-encoded, as it came, with a query if there is one.
    pub path: String,
    /// What the request carries.
    pub body: Body,
}

impl HttpRequest {
    /// A request, for tests of a handler.
    #[must_use]
    pub fn new(method: impl Into<String>, path: impl Into<String>, body: Body) -> Self {
        Self { method: method.into(), path: path.into(), body }
    }

    /// Reads a request.
    pub(super) fn of(message: Message) -> Result<Self, Reply> {
        let properties = message.properties.unwrap_or_default();
        let Some(method) = properties.subject else {
            return Err(Reply::new(400, "no method: expected it as the subject of the request"));
        };
        let Some(path) = properties.to else {
            return Err(Reply::new(400, "no path: expected it in the property `to` of the request"));
        };
        Ok(Self { method: method.to_string(), path: path.to_string(), body: message.body })
    }
}

/// The message for an answer; what the status means stands in the body.
pub(super) fn answer(reply: Reply) -> Message {
    let body = match (reply.body, reply.description) {
        (Value::Null, Some(description)) => Value::from(description),
        (body, _) => body,
    };
    let properties = Properties { subject: Some(reply.status.to_string().into()), ..Properties::default() };
    Message::value(body).with_properties(properties).with_application_property(VERSION.0, VERSION.1)
}
