//! The listener's side: takes tokens, and has the application check them.

use super::PUT_TOKEN;
use crate::error::LinkError;
use crate::listener::LinkRequest;
use crate::management::{Operation, Refusal, Reply, RequestServer};
use amqp_codec::types::{Timestamp, Value};
use std::fmt;

/// Status of a token that was taken, as Service Bus has it.
const ACCEPTED: u16 = 202;

/// A token that a client put.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutToken {
    /// Its type, such as `jwt`. Some clients call every token that.
    pub kind: String,
    /// What it is to be good for, such as `amqps://host/entity`.
    pub audience: String,
    /// The token itself: a secret.
    pub token: String,
    /// Until when the client says that it is good.
    pub expiration: Option<Timestamp>,
}

impl fmt::Debug for PutToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutToken")
            .field("kind", &self.kind)
            .field("audience", &self.audience)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// Takes the tokens of one connection. Give it the link requests that name [`NODE`](super::NODE); what follows from a
/// token (which links may be attached, until when) is the application's to keep.
///
/// ```no_run
/// # async fn run(incoming: amqp_transport::Incoming, key: amqp_transport::cbs::SasKey) {
/// use amqp_transport::cbs::CbsServer;
/// use amqp_transport::management::Refusal;
/// use std::time::SystemTime;
///
/// let mut cbs = CbsServer::new(move |put| {
///     let checked = key.check(&put.token, &put.audience, SystemTime::now());
///     async move {
///         // Note put.audience here.
///         checked.map(|_until| ()).map_err(|error| Refusal {
///             status: 401,
///             condition: None,
///             description: error.to_string(),
///         })
///     }
/// });
/// while let Some(link) = incoming.next_link().await {
///     // Links to other nodes go elsewhere.
///     if let Err(error) = cbs.serve(link) {
///         println!("gone before it was attached: {error}");
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it serves only the links that it is given"]
pub struct CbsServer {
    server: RequestServer,
}

impl CbsServer {
    /// `check` says whether a token is good; the refusal is told to the client.
    pub fn new<C, F>(check: C) -> Self
    where
        C: Fn(PutToken) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        let server = RequestServer::operations(move |operation: Operation| {
            let checked = read(&operation).map(&check);
            async move {
                match checked {
                    Ok(checked) => reply(checked.await),
                    Err(refusal) => reply(Err(refusal)),
                }
            }
        });
        Self { server }
    }

    /// Takes a link to the node.
    ///
    /// # Errors
    /// If the link or its session ended meanwhile.
    pub fn serve(&mut self, request: LinkRequest) -> Result<(), LinkError> {
        self.server.serve(request)
    }
}

fn read(operation: &Operation) -> Result<PutToken, Refusal> {
    let bad = |description: String| Refusal { status: 400, condition: None, description };
    if operation.operation() != Some(PUT_TOKEN) {
        let description = format!("expected the operation {PUT_TOKEN}");
        return Err(Refusal { status: 501, condition: None, description });
    }
    let property = |name: &str| {
        let text = operation.get(name).and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| bad(format!("expected text as application property {name}")))
    };
    let token = match operation.value() {
        Some(Value::String(token)) => token.to_string(),
        Some(Value::Binary(token)) => {
            str::from_utf8(token).map_err(|_| bad("expected a token of text".to_owned()))?.to_owned()
        }
        _ => return Err(bad("expected the token as the request's value".to_owned())),
    };
    let expiration = operation.get("expiration").and_then(Value::as_timestamp);
    Ok(PutToken { kind: property("type")?, audience: property("name")?, token, expiration })
}

fn reply(checked: Result<(), Refusal>) -> Reply {
    match checked {
        Ok(()) => Reply::new(ACCEPTED, Value::Null).with_description("Accepted"),
        Err(Refusal { status, condition, description }) => {
            Reply { condition, ..Reply::new(status, Value::Null).with_description(description) }
        }
    }
}
