//! Requests to the broker's management node: a pair of links, one request at a time.

use std::time::Duration;

use amqp_codec::messaging::{Body, Message, MessageId, Properties, Source, Target};
use amqp_codec::transport::SenderSettleMode;
use amqp_codec::types::Value;
use amqp_transport::{Connection, Credit, LinkError, Receiver, ReceiverOptions, Sender, SenderOptions};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::profile::MANAGEMENT;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Answers that may be on their way; there is one, and those of requests whose caller went away.
const CREDIT: u32 = 8;

/// The management node of a connection; its links are attached at the first request.
#[derive(Debug)]
pub(crate) struct Management {
    connection: Connection,
    /// Held for a whole request.
    links: Mutex<Option<Links>>,
}

#[derive(Debug)]
struct Links {
    sender: Sender,
    receiver: Receiver,
    sent: u64,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// As in HTTP.
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// A request without an answer that helps.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ManagementError {
    #[error("the broker answered {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("no answer from the broker's management node: {0}")]
    Failed(String),
}

impl Reply {
    /// The body, if the status says that it worked.
    pub(crate) fn success(self) -> Result<Value, ManagementError> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let text = match self.body.as_str() {
            Some(text) => text.to_owned(),
            None => "no explanation".to_owned(),
        };
        Err(ManagementError::Refused { status: self.status, text })
    }
}

impl From<LinkError> for ManagementError {
    fn from(error: LinkError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Management {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, links: Mutex::new(None) }
    }

    /// Sends a request and waits for its answer. Cancel: the answer is thrown away when it comes.
    pub(crate) async fn request(
        &self,
        method: &'static str,
        path: &str,
        body: Value,
    ) -> Result<Reply, ManagementError> {
        let mut slot = self.links.lock().await;
        let mut links = match slot.take() {
            Some(links) => links,
            None => self.attach().await?,
        };
        let answer = tokio::time::timeout(PATIENCE, links.exchange(method, path, body)).await;
        match answer {
            Ok(Ok(reply)) => {
                *slot = Some(links);
                Ok(reply)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ManagementError::Failed(format!("{method} {path} took longer than {PATIENCE:?}"))),
        }
    }

    async fn attach(&self) -> Result<Links, ManagementError> {
        // A session of its own: an unknown request ends it on some releases.
        let session = self.connection.session().await.map_err(LinkError::from)?;
        let name = format!("management-{}", Uuid::new_v4());
        let receiver = session
            .receiver(
                ReceiverOptions::new(MANAGEMENT)
                    .name(name.clone())
                    .target(Target::new(MANAGEMENT))
                    .sender_settle_mode(SenderSettleMode::Settled)
                    .property("paired", true)
                    .credit(Credit::Auto(CREDIT)),
            )
            .await?;
        let sender = session
            .sender(
                SenderOptions::new(MANAGEMENT)
                    .name(name)
                    .source(Source::new(MANAGEMENT))
                    .settle_mode(SenderSettleMode::Settled)
                    .property("paired", true),
            )
            .await?;
        Ok(Links { sender, receiver, sent: 0 })
    }
}

impl Links {
    async fn exchange(
        &mut self,
        method: &'static str,
        path: &str,
        body: Value,
    ) -> Result<Reply, ManagementError> {
        self.sent += 1;
        let id = MessageId::Ulong(self.sent);
        let request = Message {
            properties: Some(Properties {
                message_id: Some(id.clone()),
                to: Some(path.into()),
                subject: Some(method.into()),
                reply_to: Some("$me".into()),
                ..Properties::default()
            }),
            body: Body::Value(body),
            ..Message::default()
        };
        self.sender
            .send_settled(request)
            .await
            .map_err(|error| ManagementError::Failed(error.to_string()))?;
        loop {
            let delivery = self.receiver.recv().await?;
            let message = delivery.message();
            if !delivery.is_settled() {
                delivery.accept().map_err(|error| ManagementError::Failed(error.to_string()))?;
            }
            let message = message.map_err(|error| ManagementError::Failed(error.to_string()))?;
            let Some(properties) = message.properties else { continue };
            if properties.correlation_id != Some(id.clone()) {
                continue;
            }
            let status = properties.subject.as_deref().and_then(|status| status.parse().ok());
            let Some(status) = status else {
                return Err(ManagementError::Failed("an answer without a status".to_owned()));
            };
            let body = match message.body {
                Body::Value(body) => body,
                _ => Value::Null,
            };
            return Ok(Reply { status, body });
        }
    }
}
