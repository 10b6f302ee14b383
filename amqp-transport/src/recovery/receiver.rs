//! Receiving with recovery: the link of the moment, and the one task that attaches it again.

use super::client::{ClientHandle, Core};
use super::error::ClientError;
use super::keeper::{Attachment, Keeper};
use super::sender::attached;
use crate::delivery::Delivery;
use crate::engine::credit::Credit;
use crate::link_options::ReceiverOptions;
use crate::receiver::Receiver;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// What the handles of a receiver share with its task.
#[derive(Debug)]
struct ReceiverCore {
    /// The link of the moment. It is replaced before the attachment is.
    link: watch::Sender<Option<Receiver>>,
    attachment: watch::Sender<Attachment>,
    /// Nobody wants more.
    stop: Notify,
    is_paused: watch::Sender<bool>,
    /// For [`Credit::Manual`]: deliveries asked for and not handed out yet.
    asked: AtomicU32,
    is_manual: bool,
    /// What came settled on the link before: nobody will give it again. The next link is attached once it was taken, so
    /// that there is never more than one link may hold.
    left: Mutex<VecDeque<Delivery>>,
    /// The last of it was taken.
    is_taken: Notify,
}

impl ReceiverCore {
    /// Brings a link to what was asked for before it was attached.
    fn prepare(&self, link: &Receiver) {
        let asked = self.asked.load(Ordering::SeqCst);
        // If the link has ended already, the next one is prepared.
        let prepared = if self.is_manual && asked > 0 { link.set_credit(asked) } else { Ok(()) };
        let paused = if *self.is_paused.borrow() { link.pause() } else { Ok(()) };
        if let Err(error) = prepared.and(paused) {
            tracing::debug!(%error, "a link ended as soon as it was attached");
        }
    }

    fn link(&self) -> Option<Receiver> {
        self.link.borrow().clone()
    }

    fn left(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what came settled on a link that has ended.
    fn keep(&self, link: &Receiver) {
        let left: Vec<_> = std::iter::from_fn(|| link.try_recv()).collect();
        self.left().extend(left);
    }

    /// The next of what is left.
    fn take_left(&self) -> Option<Delivery> {
        let (delivery, is_last) = {
            let mut left = self.left();
            (left.pop_front()?, left.is_empty())
        };
        if is_last {
            self.is_taken.notify_one();
        }
        Some(delivery)
    }

    /// Waits until nothing is left.
    async fn all_taken(&self) {
        while !self.left().is_empty() {
            self.is_taken.notified().await;
        }
    }

    /// A delivery on its way to the one who receives.
    fn hand_out(&self, delivery: Delivery) -> Delivery {
        if self.is_manual {
            let less = |asked: u32| Some(asked.saturating_sub(1));
            let _ = self.asked.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        }
        delivery
    }
}

/// The task of a receiver.
async fn run(core: Arc<ReceiverCore>, client: Arc<Core>, options: ReceiverOptions) {
    let mut keeper = Keeper::new(client);
    let mut stop = std::pin::pin!(core.stop.notified());
    let mut is_paused = core.is_paused.subscribe();
    let reason = loop {
        let attached = tokio::select! {
            biased;
            () = &mut stop => break ClientError::Closed,
            attached = async {
                core.all_taken().await;
                // A link that is attached while it is paused would be granted credit first.
                drop(is_paused.wait_for(|is_paused| !*is_paused).await);
                keeper.attach(&options).await
            } => attached,
        };
        let (connection, link) = match attached {
            Ok(attached) => attached,
            Err(reason) => break reason,
        };
        core.link.send_replace(Some(link.clone()));
        core.prepare(&link);
        core.attachment.send_replace(Attachment::Attached);
        let error = tokio::select! {
            biased;
            () = &mut stop => {
                core.link.send_replace(None);
                if let Err(error) = link.close().await {
                    tracing::debug!(%error, "a link ended while it was closed");
                }
                break ClientError::Closed;
            }
            error = link.detached() => error,
        };
        core.keep(&link);
        core.link.send_replace(None);
        core.attachment.send_replace(Attachment::Pending);
        drop(link);
        let again = tokio::select! {
            biased;
            () = &mut stop => break ClientError::Closed,
            again = keeper.ended(&connection, error) => again,
        };
        if let Err(reason) = again {
            break reason;
        }
    };
    core.link.send_replace(None);
    core.attachment.send_replace(Attachment::Ended(reason));
}

/// Keeps a receiver working; the last one ends it.
#[derive(Debug)]
struct ReceiverHandle {
    core: Arc<ReceiverCore>,
    /// Keeps the client alive.
    _client: Arc<ClientHandle>,
}

impl Drop for ReceiverHandle {
    fn drop(&mut self) {
        self.core.stop.notify_one();
    }
}

/// A link to receive on that comes back. Clones are the same link; it ends when the last one is dropped. Keep one for
/// as long as deliveries are to be settled: the connection may end with it.
#[derive(Debug, Clone)]
pub struct RecoveringReceiver {
    handle: Arc<ReceiverHandle>,
}

impl RecoveringReceiver {
    pub(super) fn start(client: &Arc<ClientHandle>, options: ReceiverOptions) -> Self {
        let core = Arc::new(ReceiverCore {
            link: watch::Sender::new(None),
            attachment: watch::Sender::new(Attachment::Pending),
            stop: Notify::new(),
            is_paused: watch::Sender::new(false),
            asked: AtomicU32::new(0),
            is_manual: options.asks_by_hand(),
            left: Mutex::default(),
            is_taken: Notify::new(),
        });
        tokio::spawn(run(Arc::clone(&core), Arc::clone(&client.core), options));
        Self { handle: Arc::new(ReceiverHandle { core, _client: Arc::clone(client) }) }
    }

    /// The next delivery, from whatever connection there is. Cancel-safe: a delivery is either returned or still waits.
    ///
    /// A delivery belongs to its connection. Once that is lost, [`Delivery::is_revoked`] says so and settling it is a
    /// [`SettleError`](crate::SettleError): the peer gives the message to somebody again. Those that came settled are still
    /// given, and the link is attached again once they are.
    ///
    /// # Errors
    /// Why the receiver ended.
    pub async fn recv(&self) -> Result<Delivery, ClientError> {
        let core = &self.handle.core;
        let mut attachment = core.attachment.subscribe();
        loop {
            let now = attachment.borrow_and_update().clone();
            if let Some(delivery) = core.take_left() {
                return Ok(core.hand_out(delivery));
            }
            match now {
                Attachment::Ended(reason) => return Err(reason),
                Attachment::Attached => {
                    if let Some(link) = core.link()
                        && let Ok(delivery) = link.recv().await
                    {
                        return Ok(core.hand_out(delivery));
                    }
                }
                Attachment::Pending => {}
            }
            if attachment.changed().await.is_err() {
                return Err(ClientError::Closed);
            }
        }
    }

    /// Grants this much credit in all, for [`Credit::Manual`]. What is left of it is granted again on the next link.
    pub fn set_credit(&self, credit: u32) {
        let core = &self.handle.core;
        core.asked.store(credit, Ordering::SeqCst);
        if let Some(link) = core.link() {
            // If it has ended, the next one is granted the credit.
            let _ = link.set_credit(credit);
        }
    }

    /// Takes all credit back. Deliveries under way still arrive; those that arrived can still be taken and settled. A
    /// link that ends while it is paused is attached again when it is resumed.
    pub fn pause(&self) {
        let core = &self.handle.core;
        core.is_paused.send_replace(true);
        if let Some(link) = core.link() {
            let _ = link.pause();
        }
    }

    /// Asks for deliveries again after [`RecoveringReceiver::pause`].
    pub fn resume(&self) {
        let core = &self.handle.core;
        core.is_paused.send_replace(false);
        if let Some(link) = core.link() {
            let _ = link.resume();
        }
    }

    /// Where the link stands, to look at or to watch.
    #[must_use]
    pub fn attachment(&self) -> watch::Receiver<Attachment> {
        self.handle.core.attachment.subscribe()
    }

    /// Waits until the link is attached. That may be waiting for [`RecoveringReceiver::recv`], which has to give what came
    /// settled on the link before.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn attached(&self) -> Result<(), ClientError> {
        attached(self.attachment()).await
    }

    /// Detaches the link for good. Deliveries that were not taken are released; those taken and not settled are the
    /// peer's again. Dropping the future does not stop it.
    ///
    /// # Errors
    /// Why the receiver had ended before.
    pub async fn close(&self) -> Result<(), ClientError> {
        let core = &self.handle.core;
        core.stop.notify_one();
        let mut attachment = core.attachment.subscribe();
        let ended = attachment.wait_for(|now| matches!(now, Attachment::Ended(_))).await;
        match ended.as_deref() {
            Ok(Attachment::Ended(reason)) if !matches!(reason, ClientError::Closed) => Err(reason.clone()),
            _ => Ok(()),
        }
    }
}

impl ReceiverOptions {
    /// Whether nothing comes unless it is asked for.
    const fn asks_by_hand(&self) -> bool {
        matches!(self.credit_mode(), Credit::Manual | Credit::Auto(0))
    }
}
