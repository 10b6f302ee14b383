//! The client: what its handles and its tasks share, and its end.

use super::builder::ClientBuilder;
use super::elsewhere::Elsewhere;
use super::error::{ClientError, Trouble};
use super::receiver::RecoveringReceiver;
use super::sender::{RecoveringSender, SenderCore};
use super::supervisor::Supervisor;
use super::{BackOff, Patience, SendPolicy};
use crate::connection::Connection;
use crate::engine::stats::ConnectionStats;
use crate::link_options::{ReceiverOptions, SenderOptions};
use crate::net::address::AddressError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// What a client is doing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientState {
    /// It tries to connect.
    Connecting {
        /// Where to; without credentials.
        address: String,
        /// Attempts in a row, this one included.
        attempt: u32,
    },
    /// It has a connection.
    Connected {
        /// Where to; without credentials.
        address: String,
    },
    /// It waits before it tries again.
    Waiting {
        /// How long.
        delay: Duration,
        /// Why there is no connection.
        reason: Trouble,
    },
    /// It has ended, and so have its links.
    Closed {
        /// Why.
        reason: ClientError,
    },
}

/// What a client did so far, and what it holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Attempts to connect.
    pub attempts: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// Messages that were sent again because their link ended before their outcome came.
    pub resent: u64,
    /// Messages without an outcome that nobody waits for any more: their sender was dropped before it was closed. Those
    /// that had left may be stored, the others are lost.
    pub given_up: u64,
    /// Messages of all senders that have no outcome yet.
    pub unconfirmed: usize,
    /// What the connection of the moment carried; counted anew with each.
    pub connection: Option<ConnectionStats>,
}

/// The connection, as the links see it.
#[derive(Debug, Clone)]
pub(super) enum Live {
    Down,
    Up { epoch: u64, connection: Connection },
    Ended(ClientError),
}

/// What the handles and the tasks of a client share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) live: watch::Sender<Live>,
    pub(super) state: watch::Sender<ClientState>,
    pub(super) back_off: BackOff,
    pub(super) patience: Patience,
    pub(super) elsewhere: Option<Elsewhere>,
    /// Attempts to connect so far.
    pub(super) attempts: AtomicU64,
    /// Connections so far.
    pub(super) connections: AtomicU64,
    /// Messages sent again so far.
    pub(super) resent: AtomicU64,
    pub(super) given_up: AtomicU64,
    is_closing: watch::Sender<bool>,
    senders: Mutex<Vec<Weak<SenderCore>>>,
}

impl Core {
    pub(super) fn new(back_off: BackOff, patience: Patience, elsewhere: Option<Elsewhere>) -> Arc<Self> {
        Arc::new(Self {
            live: watch::Sender::new(Live::Down),
            state: watch::Sender::new(ClientState::Connecting { address: String::new(), attempt: 0 }),
            back_off,
            patience,
            elsewhere,
            attempts: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            resent: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            is_closing: watch::Sender::new(false),
            senders: Mutex::default(),
        })
    }

    /// Waits until the client is to close.
    pub(super) async fn closing(&self) {
        // What was seen is of no interest, and must not be held across an await.
        drop(self.is_closing.subscribe().wait_for(|is_closing| *is_closing).await);
    }

    /// The connection and its number; waits for one that is not `after`.
    pub(super) async fn connection(&self, after: u64) -> Result<(u64, Connection), ClientError> {
        let mut live = self.live.subscribe();
        loop {
            let now = live.borrow_and_update().clone();
            match now {
                Live::Up { epoch, connection } if epoch > after && !connection.is_closed() => {
                    return Ok((epoch, connection));
                }
                Live::Ended(error) => return Err(error),
                Live::Up { .. } | Live::Down => {}
            }
            if live.changed().await.is_err() {
                return Err(ClientError::Closed);
            }
        }
    }

    /// Why the client has ended, if it has.
    pub(super) fn end(&self) -> Option<ClientError> {
        match &*self.live.borrow() {
            Live::Ended(reason) => Some(reason.clone()),
            Live::Down | Live::Up { .. } => None,
        }
    }

    /// Waits until the client has ended, and tells why.
    pub(super) async fn ended(&self) -> ClientError {
        drop(self.live.subscribe().wait_for(|live| matches!(live, Live::Ended(_))).await);
        self.end().unwrap_or(ClientError::Closed)
    }

    pub(super) fn register(&self, sender: &Arc<SenderCore>) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|sender| sender.strong_count() > 0);
        senders.push(Arc::downgrade(sender));
    }

    fn senders(&self) -> Vec<Arc<SenderCore>> {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Keeps a client alive; the last one closes it.
#[derive(Debug)]
pub(super) struct ClientHandle {
    pub(super) core: Arc<Core>,
    pub(super) send_policy: SendPolicy,
}

impl Drop for ClientHandle {
    fn drop(&mut self) {
        self.core.is_closing.send_replace(true);
    }
}

/// Messages were still unconfirmed when the time to close was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{unconfirmed} messages were still unconfirmed when the client was closed")]
pub struct CloseError {
    /// How many.
    pub unconfirmed: usize,
}

/// A connection that comes back. Clones are the same client; it is closed when the last clone, sender and receiver is
/// dropped (without waiting for anything), or by [`Client::close`]. See the [module](super) for what it promises.
#[derive(Debug, Clone)]
pub struct Client {
    handle: Arc<ClientHandle>,
}

impl Client {
    /// A client of the peers at these addresses, which are tried in turn.
    ///
    /// # Errors
    /// [`AddressError`] if one of the texts is no address.
    pub fn builder<I>(addresses: I) -> Result<ClientBuilder, AddressError>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        ClientBuilder::new(addresses)
    }

    pub(super) fn start(builder: ClientBuilder) -> Self {
        let (addresses, may_follow) = (builder.addresses, builder.may_follow);
        let elsewhere = addresses
            .first()
            .map(|like| Elsewhere::new(builder.dialer.clone(), Arc::clone(&may_follow), like.clone()));
        let core = Core::new(builder.back_off.clone(), builder.patience, elsewhere);
        let supervisor =
            Supervisor::new(Arc::clone(&core), addresses, builder.dialer, may_follow, builder.back_off);
        tokio::spawn(supervisor.run());
        Self { handle: Arc::new(ClientHandle { core, send_policy: builder.send_policy }) }
    }

    /// What the client is doing, to look at or to watch.
    ///
    /// ```no_run
    /// # async fn run(client: amqp_transport::recovery::Client) {
    /// let mut state = client.state();
    /// while state.changed().await.is_ok() {
    ///     println!("{:?}", *state.borrow_and_update());
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ClientState> {
        self.handle.core.state.subscribe()
    }

    /// Waits until there is a connection, and gives it: for sessions of one's own, which end with it. Cancel-safe.
    ///
    /// # Errors
    /// Why the client ended.
    pub async fn connected(&self) -> Result<Connection, ClientError> {
        self.handle.core.connection(0).await.map(|(_, connection)| connection)
    }

    /// What the client did so far, and what it holds now.
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        let core = &self.handle.core;
        let connection = match &*core.live.borrow() {
            Live::Up { connection, .. } => Some(connection.clone()),
            Live::Down | Live::Ended(_) => None,
        };
        ClientStats {
            attempts: core.attempts.load(Ordering::Relaxed),
            reconnects: self.reconnects(),
            resent: core.resent.load(Ordering::Relaxed),
            given_up: core.given_up.load(Ordering::Relaxed),
            unconfirmed: core.senders().iter().map(|sender| sender.unconfirmed()).sum(),
            connection: connection.map(|connection| connection.stats()),
        }
    }

    /// How often a connection came back.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.handle.core.connections.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Attaches a link to send on, as soon as there is a connection, and again on each connection after it. Dropping
    /// the future gives it up.
    ///
    /// # Errors
    /// [`ClientError::Link`] if the peer refuses the link for a reason that does not pass by itself, or why the client
    /// ended.
    pub async fn sender(&self, options: SenderOptions) -> Result<RecoveringSender, ClientError> {
        self.sender_with(options, self.handle.send_policy.clone()).await
    }

    /// As [`Client::sender`], with a policy of its own.
    ///
    /// # Errors
    /// As [`Client::sender`].
    pub async fn sender_with(
        &self,
        options: SenderOptions,
        policy: SendPolicy,
    ) -> Result<RecoveringSender, ClientError> {
        let sender = RecoveringSender::start(&self.handle, options, &policy);
        sender.attached().await?;
        Ok(sender)
    }

    /// Attaches a link to receive on, as soon as there is a connection, and again on each connection after it.
    /// Dropping the future gives it up.
    ///
    /// # Errors
    /// As [`Client::sender`].
    pub async fn receiver(&self, options: ReceiverOptions) -> Result<RecoveringReceiver, ClientError> {
        let receiver = RecoveringReceiver::start(&self.handle, options);
        receiver.attached().await?;
        Ok(receiver)
    }

    /// Closes the client in an orderly way: senders take nothing more, what they hold is sent and confirmed (over new
    /// connections if need be) for at most this long, then the connection is closed.
    ///
    /// Dropping the future leaves the client connected, but its senders take nothing more.
    ///
    /// # Errors
    /// [`CloseError`] if messages were left; those who wait for them are told.
    pub async fn close(&self, within: Duration) -> Result<(), CloseError> {
        let core = &self.handle.core;
        let senders = core.senders();
        for sender in &senders {
            sender.finish();
        }
        let finished = async {
            for sender in &senders {
                sender.ended().await;
            }
        };
        let is_finished = tokio::time::timeout(within, finished).await.is_ok();
        let unconfirmed =
            if is_finished { 0 } else { senders.iter().map(|sender| sender.unconfirmed()).sum() };
        core.is_closing.send_replace(true);
        let mut state = core.state.subscribe();
        drop(state.wait_for(|state| matches!(state, ClientState::Closed { .. })).await);
        if unconfirmed == 0 { Ok(()) } else { Err(CloseError { unconfirmed }) }
    }
}
