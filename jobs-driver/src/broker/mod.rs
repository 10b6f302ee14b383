//! One live connection: the sessions, senders and management links on it, laid out as its profile says. It never comes
//! back to life; a new connection is a new [`Broker`].

mod connect;
mod management;
mod sightings;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp_transport::{
    Connection, ConnectionError, Credit, LinkError, Receiver, ReceiverOptions, Sender, SenderOptions, Session,
};
use tokio::sync::OnceCell;

pub(crate) use connect::connect;
pub(crate) use management::ManagementError;
use management::{HttpManagement, Reply};

use self::sightings::Sightings;
use crate::profile::{Profile, QueueDeclaration, Recognised, queue_path};

/// Senders that are kept beside each other; the one that was opened first makes room for a new one.
const MAX_SENDERS: usize = 48;

/// A live connection.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Which connection of the driver this is, from 1.
    pub(crate) epoch: u64,
    pub(crate) recognised: Recognised,
    connection: Connection,
    /// The session of all links, where links can share one.
    shared: tokio::sync::Mutex<Option<Session>>,
    senders: Mutex<Senders>,
    management: HttpManagement,
    /// The waiting rooms declared over this connection, by the queue (or exchange and key) they lead to.
    rooms: Mutex<BTreeMap<String, BTreeSet<String>>>,
    sightings: Mutex<Sightings>,
}

/// Senders by address; the empty address is the anonymous terminus.
#[derive(Debug, Default)]
struct Senders {
    by_address: HashMap<String, (u64, Arc<OnceCell<Sender>>)>,
    opened: u64,
}

impl Broker {
    fn new(epoch: u64, connection: Connection, recognised: Recognised) -> Self {
        let management = HttpManagement::new(&connection);
        Self {
            epoch,
            recognised,
            connection,
            shared: tokio::sync::Mutex::new(None),
            senders: Mutex::default(),
            management,
            rooms: Mutex::default(),
            sightings: Mutex::default(),
        }
    }

    pub(crate) fn profile(&self) -> &dyn Profile {
        self.recognised.profile.as_ref()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Resolves when the connection has ended.
    pub(crate) async fn closed(&self) -> ConnectionError {
        self.connection.closed().await
    }

    /// Closes the connection in an orderly way.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.connection.close().await {
            tracing::debug!(%error, "the connection was not closed in an orderly way");
        }
    }

    /// A session for one more link: a new one, or the shared one. It lives as long as a link on it.
    async fn session(&self) -> Result<Session, LinkError> {
        if self.profile().session_per_link() {
            return Ok(self.connection.session().await?);
        }
        let mut shared = self.shared.lock().await;
        if let Some(session) = &*shared {
            return Ok(session.clone());
        }
        let session = self.connection.session().await?;
        *shared = Some(session.clone());
        Ok(session)
    }

    /// Whether a failed attach is worth one more try: when the shared session had ended before.
    async fn was_stale(&self, error: &LinkError) -> bool {
        if self.profile().session_per_link() || !matches!(error, LinkError::Session(_)) {
            return false;
        }
        *self.shared.lock().await = None;
        // An error of the peer's is about this very link.
        error.remote_error().is_none() && !self.is_closed()
    }

    async fn attach_sender(&self, address: &str) -> Result<Sender, LinkError> {
        let options = || {
            if address.is_empty() { SenderOptions::anonymous_terminus() } else { SenderOptions::new(address) }
        };
        match self.session().await?.sender(options()).await {
            Err(error) if self.was_stale(&error).await => self.session().await?.sender(options()).await,
            attached => attached,
        }
    }

    /// A receiver for `address` with this credit.
    pub(crate) async fn attach_receiver(&self, address: &str, credit: Credit) -> Result<Receiver, LinkError> {
        let options = || ReceiverOptions::new(address).credit(credit);
        match self.session().await?.receiver(options()).await {
            Err(error) if self.was_stale(&error).await => self.session().await?.receiver(options()).await,
            attached => attached,
        }
    }

    /// The sender for `address` (empty: the anonymous terminus), attached at its first use.
    pub(crate) async fn sender(&self, address: &str) -> Result<Sender, LinkError> {
        let cell = self.sender_cell(address);
        match cell.get_or_try_init(|| self.attach_sender(address)).await {
            Ok(sender) => Ok(sender.clone()),
            Err(error) => {
                self.forget_sender(address);
                Err(error)
            }
        }
    }

    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender_cell(&self, address: &str) -> Arc<OnceCell<Sender>> {
        let mut senders = self.senders();
        if let Some((_, cell)) = senders.by_address.get(address) {
            return cell.clone();
        }
        let oldest = senders
            .by_address
            .iter()
            .min_by_key(|(_, (opened, _))| *opened)
            .map(|(address, _)| address.clone());
        if let Some(oldest) = oldest.filter(|_| senders.by_address.len() >= MAX_SENDERS) {
            senders.by_address.remove(&oldest);
        }
        senders.opened += 1;
        let opened = senders.opened;
        let cell = Arc::new(OnceCell::new());
        senders.by_address.insert(address.to_owned(), (opened, cell.clone()));
        cell
    }

    /// Forgets a sender that failed; the next use attaches a new one.
    pub(crate) fn forget_sender(&self, address: &str) {
        self.senders().by_address.remove(address);
    }

    /// A management request; only for profiles that have management.
    pub(crate) async fn manage(
        &self,
        method: &'static str,
        path: &str,
        body: amqp_codec::types::Value,
    ) -> Result<Reply, ManagementError> {
        Ok(self.management.request(method, path, body).await?)
    }

    /// Makes sure that a waiting room is there; it leads to `target`.
    pub(crate) async fn open_room(
        &self,
        target: &str,
        room: &QueueDeclaration,
    ) -> Result<(), ManagementError> {
        if self.rooms().get(target).is_some_and(|rooms| rooms.contains(&room.name)) {
            return Ok(());
        }
        let reply = self.manage("PUT", &queue_path(&room.name), room.body()).await?;
        reply.success()?;
        self.rooms().entry(target.to_owned()).or_default().insert(room.name.clone());
        Ok(())
    }

    /// Forgets a waiting room that is not there any more.
    pub(crate) fn forget_room(&self, target: &str, room: &str) {
        if let Some(rooms) = self.rooms().get_mut(target) {
            rooms.remove(room);
        }
    }

    /// The waiting rooms that lead to `target`, as far as they were used over this connection.
    pub(crate) fn rooms_of(&self, target: &str) -> Vec<String> {
        self.rooms().get(target).into_iter().flatten().cloned().collect()
    }

    /// The queues that were looked for over this connection.
    pub(crate) fn sightings(&self) -> MutexGuard<'_, Sightings> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, BTreeSet<String>>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Detaches a receiver.
pub(crate) async fn close(receiver: Receiver) {
    if let Err(error) = receiver.close().await {
        tracing::debug!(%error, "a receiver was not detached in an orderly way");
    }
}
