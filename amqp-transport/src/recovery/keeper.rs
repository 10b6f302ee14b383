//! Attaches one link again and again, for as long as the client's patience lasts.

use super::back_off::{Pauses, random_share};
use super::client::Core;
use super::error::ClientError;
use crate::connection::Connection;
use crate::error::LinkError;
use crate::link_options::{ReceiverOptions, SenderOptions};
use crate::receiver::Receiver;
use crate::sender::Sender;
use std::future::Future;
use std::sync::Arc;
use tokio::time::Instant;

/// Where a link stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Attachment {
    /// It is not attached now; that is being worked on.
    Pending,
    /// It is attached.
    Attached,
    /// It works no more.
    Ended(ClientError),
}

/// How a link is attached.
pub(super) trait Attach: Sync {
    type Link: Send;

    fn attach(&self, connection: &Connection) -> impl Future<Output = Result<Self::Link, LinkError>> + Send;
}

impl Attach for SenderOptions {
    type Link = Sender;

    async fn attach(&self, connection: &Connection) -> Result<Sender, LinkError> {
        connection.sender(self.clone()).await
    }
}

impl Attach for ReceiverOptions {
    type Link = Receiver;

    async fn attach(&self, connection: &Connection) -> Result<Receiver, LinkError> {
        connection.receiver(self.clone()).await
    }
}

#[derive(Debug)]
pub(super) struct Keeper {
    core: Arc<Core>,
    pauses: Pauses,
    /// The connection that the link was last tried on.
    epoch: u64,
    /// When the link was last attached.
    attached: Option<Instant>,
    /// Attempts in a row that failed.
    attempts: u32,
    /// Refusals in a row that do not pass by themselves.
    lasting: u32,
}

impl Keeper {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let pauses = Pauses::new(core.back_off.clone());
        Self { core, pauses, epoch: 0, attached: None, attempts: 0, lasting: 0 }
    }

    /// The link, attached, and its connection. Dropping the future gives the attempt up.
    pub(super) async fn attach<A: Attach>(
        &mut self,
        options: &A,
    ) -> Result<(Connection, A::Link), ClientError> {
        loop {
            let (epoch, connection) = self.core.connection(0).await?;
            if epoch != self.epoch {
                (self.epoch, self.lasting) = (epoch, 0);
            }
            self.attempts = self.attempts.saturating_add(1);
            match options.attach(&connection).await {
                Ok(link) => {
                    tracing::debug!(again = self.attached.is_some(), "link attached");
                    self.attached = Some(Instant::now());
                    self.attempts = 0;
                    return Ok((connection, link));
                }
                Err(error) => self.ended(&connection, error).await?,
            }
        }
    }

    /// The link ended, or was not attached: waits for the time to try again.
    pub(super) async fn ended(
        &mut self,
        connection: &Connection,
        error: LinkError,
    ) -> Result<(), ClientError> {
        if connection.is_closed() {
            // Nothing is wrong with the link.
            tracing::debug!(%error, "link lost with its connection");
            self.core.connection(self.epoch).await?;
            return Ok(());
        }
        if error.is_stolen() {
            // Whoever took it over has it: two of a kind would take it from each other without end (§2.6.1).
            tracing::error!(%error, "link gave up");
            return Err(ClientError::Link { attempts: self.attempts, last: error });
        }
        if self.attached.is_some_and(|since| self.pauses.ended_after(since.elapsed())) {
            self.lasting = 0;
        }
        self.lasting = if error.is_retryable() { 0 } else { self.lasting.saturating_add(1) };
        let limit = if self.attached.is_some() { self.core.patience.lasting_refusals.max(1) } else { 1 };
        if self.lasting >= limit {
            tracing::error!(%error, attempts = self.attempts, "link gave up");
            return Err(ClientError::Link { attempts: self.attempts, last: error });
        }
        let delay = self.pauses.next(random_share());
        tracing::warn!(%error, ?delay, "link ended; it is attached again");
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
