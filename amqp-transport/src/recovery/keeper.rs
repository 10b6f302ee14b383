//! Attaches one link again and again, for as long as the client's patience lasts.

use super::back_off::{Pauses, random_share};
use super::client::Core;
use super::elsewhere::Away;
use super::error::ClientError;
use super::supervisor::MAX_HOPS;
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
pub(super) trait Attach: Clone + Send + Sync {
    type Link: Send;

    /// The same link at another node.
    fn at(&self, node: String) -> Self;

    fn attach(&self, connection: &Connection) -> impl Future<Output = Result<Self::Link, LinkError>> + Send;
}

impl Attach for SenderOptions {
    type Link = Sender;

    fn at(&self, node: String) -> Self {
        self.clone().address(node)
    }

    async fn attach(&self, connection: &Connection) -> Result<Sender, LinkError> {
        connection.sender(self.clone()).await
    }
}

impl Attach for ReceiverOptions {
    type Link = Receiver;

    fn at(&self, node: String) -> Self {
        self.clone().address(node)
    }

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
    /// The connection that the link was sent to, if that is not the client's.
    away: Option<Away>,
}

impl Keeper {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let pauses = Pauses::new(core.back_off.clone());
        Self { core, pauses, epoch: 0, attached: None, attempts: 0, lasting: 0, away: None }
    }

    /// The link, attached, and its connection. Dropping the future gives the attempt up, and so does the client's end.
    pub(super) async fn attach<A: Attach>(
        &mut self,
        options: &A,
    ) -> Result<(Connection, A::Link), ClientError> {
        let core = Arc::clone(&self.core);
        tokio::select! {
            biased;
            reason = core.ended() => Err(reason),
            attached = self.attach_at_last(options) => attached,
        }
    }

    async fn attach_at_last<A: Attach>(&mut self, options: &A) -> Result<(Connection, A::Link), ClientError> {
        loop {
            let (epoch, connection) = self.core.connection(0).await?;
            if epoch != self.epoch {
                (self.epoch, self.lasting) = (epoch, 0);
            }
            self.attempts = self.attempts.saturating_add(1);
            match self.follow(connection, options).await {
                (connection, Ok(link)) => {
                    tracing::debug!(again = self.attached.is_some(), "link attached");
                    self.attached = Some(Instant::now());
                    self.attempts = 0;
                    return Ok((connection, link));
                }
                (connection, Err(error)) => self.ended(&connection, error).await?,
            }
        }
    }

    /// Attaches the link, and again where the peer sends it, as far as that may be followed.
    async fn follow<A: Attach>(
        &mut self,
        mut connection: Connection,
        options: &A,
    ) -> (Connection, Result<A::Link, LinkError>) {
        let mut attached = options.attach(&connection).await;
        for _ in 0..MAX_HOPS {
            let Err(error) = &attached else { break };
            let Some(elsewhere) = &self.core.elsewhere else { break };
            let Some(place) = elsewhere.place(error) else { break };
            if let Some(address) = place.peer {
                match elsewhere.connect(address, &self.core).await {
                    Ok(away) => connection = self.away.insert(away).connection.clone(),
                    Err(trouble) => {
                        tracing::warn!(%trouble, "the peer that a link was sent to cannot be reached");
                        break;
                    }
                }
            }
            attached = match place.node {
                Some(node) => options.at(node).attach(&connection).await,
                None => options.attach(&connection).await,
            };
        }
        (connection, attached)
    }

    /// The link ended, or was not attached: waits for the time to try again.
    pub(super) async fn ended(
        &mut self,
        connection: &Connection,
        error: LinkError,
    ) -> Result<(), ClientError> {
        // From wherever it was, it starts anew with the client's own peers.
        let was_away = self.away.take().is_some();
        if was_away && let Some(reason) = self.core.end() {
            return Err(reason);
        }
        if connection.is_closed() && !was_away {
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
        // The place that the link was sent to may be there a little later.
        let is_sent_away = || self.core.elsewhere.as_ref().is_some_and(|it| it.place(&error).is_some());
        let may_pass = self.attached.is_some() || was_away || is_sent_away();
        let limit = if may_pass { self.core.patience.lasting_refusals.max(1) } else { 1 };
        if self.lasting >= limit {
            tracing::error!(%error, attempts = self.attempts, "link gave up");
            return Err(ClientError::Link { attempts: self.attempts, last: error });
        }
        let delay = self.pauses.next(random_share());
        tracing::warn!(%error, ?delay, "link ended; it is attached again");
        tokio::select! {
            reason = self.core.ended() => Err(reason),
            () = tokio::time::sleep(delay) => Ok(()),
        }
    }
}
