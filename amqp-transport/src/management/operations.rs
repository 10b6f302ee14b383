//! Management by operations: the AMQP management draft, Service Bus, and claims-based security.

use super::requester::{ReplyTo, RequestError, Requester, RequesterOptions};
use super::{Reply, value_of};
use crate::connection::Connection;
use amqp_codec::ByteString;
use amqp_codec::messaging::{ApplicationProperties, Body, Message};
use amqp_codec::types::Value;

/// Names of the status in answers: those of the draft, and those that Microsoft's services have.
const STATUS: [&str; 2] = ["statusCode", "status-code"];
const DESCRIPTION: [&str; 2] = ["statusDescription", "status-description"];
const CONDITION: [&str; 2] = ["errorCondition", "error-condition"];

/// What a node is asked to do: application properties and a body.
///
/// ```
/// use amqp_codec::types::{Map, Value};
/// use amqp_transport::management::Operation;
///
/// let read = Operation::new("READ").kind("org.amqp.queue").name("greetings");
/// let peek = Operation::new("com.microsoft:peek-message")
///     .property("com.microsoft:server-timeout", 20_000_u32)
///     .body(Value::Map([("from-sequence-number", 1_i64)].into_iter().collect()));
/// assert_eq!(peek.operation(), Some("com.microsoft:peek-message"));
/// # drop(read);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "pass it to NodeManagement::request"]
pub struct Operation {
    properties: ApplicationProperties,
    body: Body,
}

impl Operation {
    /// Asks for this operation, such as `READ` or `com.microsoft:renew-lock`.
    pub fn new(operation: impl Into<ByteString>) -> Self {
        let mut properties = ApplicationProperties::new();
        properties.insert("operation", operation.into());
        Self { properties, body: Body::Value(Value::Null) }
    }

    /// The type of the entity that it is about.
    pub fn kind(self, kind: impl Into<ByteString>) -> Self {
        self.property("type", kind.into())
    }

    /// The name of the entity that it is about.
    pub fn name(self, name: impl Into<ByteString>) -> Self {
        self.property("name", name.into())
    }

    /// Any other application property.
    pub fn property(mut self, name: impl Into<ByteString>, value: impl Into<Value>) -> Self {
        self.properties.insert(name, value);
        self
    }

    /// What it carries.
    pub fn body(mut self, body: impl Into<Value>) -> Self {
        self.body = Body::Value(body.into());
        self
    }

    /// The operation's name.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        self.get("operation")?.as_str()
    }

    /// An application property.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.properties.get(name)
    }

    /// What it carries, if that is a value.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        match &self.body {
            Body::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Reads a request.
    pub(super) fn of(message: Message) -> Result<Self, Reply> {
        let operation =
            Self { properties: message.application_properties.unwrap_or_default(), body: message.body };
        if operation.operation().is_some() {
            return Ok(operation);
        }
        Err(Reply::new(400, Value::Null)
            .with_description("no operation: expected it as an application property of the request"))
    }

    fn into_message(self) -> Message {
        Message { application_properties: Some(self.properties), body: self.body, ..Message::default() }
    }
}

/// A client of a node that knows operations, such as `$management`. Clones share the links.
///
/// ```no_run
/// # async fn run(connection: amqp_transport::Connection) -> Result<(), Box<dyn std::error::Error>> {
/// use amqp_transport::management::{NodeManagement, Operation};
///
/// let management = NodeManagement::new(&connection, "greetings/$management");
/// let reply = management.request(Operation::new("READ").name("greetings")).await?;
/// println!("{} {:?}", reply.status, reply.body);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct NodeManagement {
    requester: Requester,
}

impl NodeManagement {
    /// Asks the node at this address; answers come to an address of this side's choice. Nothing is sent before the first
    /// request.
    #[must_use]
    pub fn new(connection: &Connection, node: impl Into<String>) -> Self {
        Self::over(Requester::new(connection, RequesterOptions::new(node, ReplyTo::OwnAddress)))
    }

    /// Asks whatever node the requester asks.
    #[must_use]
    pub const fn over(requester: Requester) -> Self {
        Self { requester }
    }

    /// Sends a request and waits for its answer.
    ///
    /// Dropping the future before the request left sends nothing; later, its answer is thrown away when it comes.
    ///
    /// # Errors
    /// See [`RequestError`]. A status that tells of failure is no error here: see [`Reply::success`].
    pub async fn request(&self, operation: Operation) -> Result<Reply, RequestError> {
        let answer = self.requester.request(operation.into_message()).await?;
        let properties = answer.application_properties.unwrap_or_default();
        let find = |names: [&str; 2]| names.into_iter().find_map(|name| properties.get(name));
        let text = |names| find(names).and_then(Value::as_str).map(str::to_owned);
        // Some say it as an int, some as a long.
        let Some(status) = find(STATUS).and_then(Value::as_u64).and_then(|status| status.try_into().ok())
        else {
            return Err(RequestError::Malformed(
                "expected a status as application property statusCode or status-code".to_owned(),
            ));
        };
        Ok(Reply {
            status,
            description: text(DESCRIPTION),
            condition: text(CONDITION),
            body: value_of(answer.body),
        })
    }
}

/// The message for an answer. The status has both names, so that clients of either kind find it.
pub(super) fn answer(reply: Reply) -> Message {
    let mut message = Message::value(reply.body);
    let mut add = |names: [&'static str; 2], value: Value| {
        for name in names {
            message.application_properties.get_or_insert_default().insert(name, value.clone());
        }
    };
    add(STATUS, Value::Int(reply.status.into()));
    if let Some(description) = reply.description {
        add(DESCRIPTION, description.into());
    }
    if let Some(condition) = reply.condition {
        add(CONDITION, condition.into());
    }
    message
}
