//! The task that keeps a client connected.

use super::back_off::{Pauses, random_share};
use super::builder::MayFollow;
use super::client::{ClientState, Core, Live};
use super::error::{ClientError, Trouble};
use super::{BackOff, Patience};
use crate::connection::{ConnectError, Connection};
use crate::net::address::Address;
use crate::redirect::Redirect;
use amqp_codec::transport::{ErrorInfo, conditions};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Redirects that are followed in a row without a pause: peers may send a client round in circles.
pub(super) const MAX_HOPS: u32 = 3;

/// Makes one attempt to connect.
pub(super) trait Dial: Send + 'static {
    fn dial(&mut self, address: Address) -> impl Future<Output = Result<Dialed, Trouble>> + Send;
}

/// What goes with a connection, and ends with it.
pub(super) type Kept = Box<dyn Send>;

/// A connection that links may be attached on.
pub(super) struct Dialed {
    pub(super) connection: Connection,
    pub(super) kept: Kept,
}

/// What the task needs beside what it shares with the handles.
pub(super) struct Supervisor<D> {
    pub(super) core: Arc<Core>,
    pub(super) addresses: Vec<Address>,
    pub(super) dialer: D,
    pub(super) may_follow: Arc<MayFollow>,
    turn: usize,
    redirected: Option<Address>,
    /// Redirects followed since the last pause.
    hops: u32,
    pauses: Pauses,
    /// Attempts in a row that failed.
    attempts: u32,
    /// Failures in a row that do not pass by themselves.
    lasting: u32,
}

impl<D: Dial> Supervisor<D> {
    pub(super) fn new(
        core: Arc<Core>,
        addresses: Vec<Address>,
        dialer: D,
        may_follow: Arc<MayFollow>,
        back_off: BackOff,
    ) -> Self {
        Self {
            core,
            addresses,
            dialer,
            may_follow,
            turn: 0,
            redirected: None,
            hops: 0,
            pauses: Pauses::new(back_off),
            attempts: 0,
            lasting: 0,
        }
    }

    /// Keeps the client connected until it is closed or gives up.
    pub(super) async fn run(mut self) {
        let core = Arc::clone(&self.core);
        let reason = tokio::select! {
            biased;
            () = core.closing() => ClientError::Closed,
            reason = self.stay_connected() => reason,
        };
        let connection = core.live.send_replace(Live::Ended(reason.clone()));
        if let Live::Up { connection, .. } = connection
            && let Err(error) = connection.close().await
        {
            tracing::debug!(%error, "the connection had ended before it was closed");
        }
        match &reason {
            ClientError::Closed => tracing::debug!("client closed"),
            reason => tracing::error!(%reason, "client gave up"),
        }
        core.state.send_replace(ClientState::Closed { reason });
    }

    async fn stay_connected(&mut self) -> ClientError {
        loop {
            let (Dialed { connection, kept }, address) = match self.connect().await {
                Ok(connected) => connected,
                Err(error) => return error,
            };
            let since = Instant::now();
            let address = address.to_string();
            tracing::info!(%address, container = %connection.peer().container_id, "client connected");
            let epoch = self.core.connections.fetch_add(1, Ordering::Relaxed) + 1;
            self.core.live.send_replace(Live::Up { epoch, connection: connection.clone() });
            self.core.state.send_replace(ClientState::Connected { address: address.clone() });
            let error = connection.closed().await;
            drop(kept);
            self.core.live.send_replace(Live::Down);
            tracing::warn!(%address, %error, "client lost its connection");
            if self.pauses.ended_after(since.elapsed()) {
                self.lasting = 0;
            }
            self.attempts = 0;
            if self.redirect(error.remote_error(), &address) {
                continue;
            }
            let trouble = Trouble::Lost(error);
            if let Err(error) = self.count(&trouble) {
                return error;
            }
            self.pause(trouble).await;
        }
    }

    /// Tries the addresses in turn, with a pause after each round.
    async fn connect(&mut self) -> Result<(Dialed, Address), ClientError> {
        let mut left = self.addresses.len();
        loop {
            let address = match self.redirected.take() {
                Some(address) => address,
                None => {
                    left -= usize::from(left > 0);
                    self.next_address()?
                }
            };
            self.attempts = self.attempts.saturating_add(1);
            self.core.attempts.fetch_add(1, Ordering::Relaxed);
            let (shown, attempt) = (address.to_string(), self.attempts);
            tracing::debug!(address = %shown, attempt, "client connects");
            self.core.state.send_replace(ClientState::Connecting { address: shown.clone(), attempt });
            let trouble = match self.dialer.dial(address.clone()).await {
                Ok(dialed) => return Ok((dialed, address)),
                Err(trouble) => trouble,
            };
            tracing::warn!(address = %shown, attempt, error = %trouble, "client could not connect");
            if let Trouble::Connect(ConnectError::Connection(error)) | Trouble::Lost(error) = &trouble
                && self.redirect(error.remote_error(), &shown)
            {
                continue;
            }
            self.count(&trouble)?;
            if left == 0 {
                self.pause(trouble).await;
                left = self.addresses.len();
            }
        }
    }

    fn next_address(&mut self) -> Result<Address, ClientError> {
        let address = self.addresses.get(self.turn % self.addresses.len().max(1)).cloned();
        self.turn = self.turn.wrapping_add(1);
        address.ok_or(ClientError::NoAddress)
    }

    /// Counts a failure; an error if it was one too many.
    fn count(&mut self, trouble: &Trouble) -> Result<(), ClientError> {
        self.lasting = if trouble.is_retryable() { 0 } else { self.lasting.saturating_add(1) };
        let Patience { attempts, lasting_failures, .. } = &self.core.patience;
        let rounds = lasting_failures.max(&1);
        let addresses = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        if attempts.is_some_and(|limit| self.attempts >= limit.max(1))
            || self.lasting >= rounds.saturating_mul(addresses)
        {
            return Err(self.gave_up(trouble.clone()));
        }
        Ok(())
    }

    fn gave_up(&self, last: Trouble) -> ClientError {
        ClientError::GaveUp { attempts: self.attempts, last }
    }

    /// Remembers where the peer sends us, if we may go there (§2.8.16). True if so.
    fn redirect(&mut self, error: Option<&ErrorInfo>, from: &str) -> bool {
        let error = error.filter(|error| error.condition == conditions::CONNECTION_REDIRECT);
        let Some(redirect) = error.and_then(Redirect::of) else {
            return false;
        };
        let Some(host) = redirect.host().map(str::to_owned) else {
            tracing::warn!(%from, "a redirect names no host");
            return false;
        };
        if self.hops >= MAX_HOPS {
            tracing::warn!(%from, "a redirect is not followed: there were too many in a row");
            return false;
        }
        let Some(like) = self.addresses.first() else { return false };
        let port = redirect.port.unwrap_or_else(|| like.port());
        if !(self.may_follow)(&host, port) {
            tracing::warn!(%from, host, port, "a redirect is not followed: it leads where this client may not go");
            return false;
        }
        tracing::info!(%from, host, port, "client is redirected");
        self.hops += 1;
        self.redirected = Some(like.clone().at(host, port));
        true
    }

    async fn pause(&mut self, reason: Trouble) {
        self.hops = 0;
        let delay = self.pauses.next(random_share());
        tracing::debug!(?delay, "client waits before it connects again");
        self.core.state.send_replace(ClientState::Waiting { delay, reason });
        tokio::time::sleep(delay.max(Duration::from_millis(1))).await;
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
