//! Sending with recovery: a bounded buffer of messages without an outcome, and the one task that empties it.

use super::buffer::{Answer, Buffer, Entry, Phase, receipt};
use super::client::{ClientHandle, Core};
use super::error::{ClientError, Receipt, RecoveringSendError};
use super::keeper::{Attachment, Keeper};
use super::{Resend, SendPolicy};
use crate::engine::event::DeliveryNumber;
use crate::error::{LinkError, Outcome, SendError};
use crate::link_options::SenderOptions;
use crate::sender::{Payload, Sender, TryDeliverError};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::{Notify, Semaphore, oneshot, watch};

/// What the handles of a sender share with its task.
#[derive(Debug)]
pub(super) struct SenderCore {
    buffer: Mutex<Buffer>,
    /// Wakes the task: there is something to send, or nothing more will come.
    work: Notify,
    attachment: watch::Sender<Attachment>,
    slots: Arc<Semaphore>,
    octets: Arc<Semaphore>,
    max_octets: u32,
    resend: Resend,
}

impl SenderCore {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes nothing more; what is buffered is still sent.
    pub(super) fn finish(&self) {
        {
            let mut buffer = self.lock();
            if matches!(buffer.phase, Phase::Open) {
                buffer.phase = Phase::Closing;
            }
        }
        self.work.notify_one();
    }

    /// Waits until the sender works no more.
    pub(super) async fn ended(&self) {
        let mut attachment = self.attachment.subscribe();
        drop(attachment.wait_for(|now| matches!(now, Attachment::Ended(_))).await);
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.lock().unconfirmed()
    }

    /// Ends the sender and tells all who wait.
    fn end(&self, reason: ClientError) {
        let entries = {
            let mut buffer = self.lock();
            buffer.phase = Phase::Ended(reason.clone());
            buffer.take_all()
        };
        self.slots.close();
        self.octets.close();
        for entry in entries {
            entry.give_up(reason.clone());
        }
        self.attachment.send_replace(Attachment::Ended(reason));
    }

    /// Waits until there is nothing more to do, whether attached or not.
    async fn nothing_to_do(&self) -> ClientError {
        loop {
            if let Some(reason) = self.lock().is_done() {
                return reason;
            }
            self.work.notified().await;
        }
    }

    fn confirm(&self, (number, outcome): (DeliveryNumber, Outcome)) {
        let entry = self.lock().confirm(number);
        if let Some(entry) = entry {
            let receipt = receipt(&entry, outcome);
            entry.tell(Ok(receipt));
        }
    }

    /// Hands over what waits. True if the link takes no more for now.
    fn hand_over(&self, link: &Sender) -> Result<bool, LinkError> {
        loop {
            let Some(entry) = self.lock().next() else { return Ok(false) };
            match link.try_deliver(entry.payload.clone()) {
                Ok(number) => self.lock().hand(number, entry),
                Err(TryDeliverError::NoCredit(_)) => {
                    self.lock().put_back(entry);
                    return Ok(true);
                }
                Err(TryDeliverError::Send(SendError::TooLarge { size, limit })) => {
                    self.lock().forget();
                    entry.tell(Err(RecoveringSendError::TooLarge { size, limit }));
                }
                Err(TryDeliverError::Send(SendError::Invalid(why))) => {
                    self.lock().forget();
                    entry.tell(Err(RecoveringSendError::Invalid(why)));
                }
                Err(TryDeliverError::Send(error)) => {
                    self.lock().put_back(entry);
                    return Err(error.link_error().cloned().unwrap_or(LinkError::DetachedLocally));
                }
            }
        }
    }

    /// Sends and takes outcomes until the link ends (an error) or there is nothing more to do.
    async fn pump(&self, link: &Sender) -> Result<ClientError, LinkError> {
        loop {
            let is_stuck = self.hand_over(link)?;
            if let Some(reason) = self.lock().is_done() {
                return Ok(reason);
            }
            tokio::select! {
                outcome = link.next_outcome() => {
                    self.confirm(outcome?);
                    while let Some(outcome) = link.try_next_outcome() {
                        self.confirm(outcome);
                    }
                }
                credit = link.credit_available(), if is_stuck => credit?,
                () = self.work.notified() => {}
            }
        }
    }

    /// The link ended: what has no outcome goes back, or is reported. Gives how many are to be sent again.
    fn link_ended(&self, error: &LinkError) -> usize {
        match self.resend {
            Resend::Unconfirmed => self.lock().rewind(),
            Resend::Never => {
                let handed = self.lock().take_handed();
                for entry in handed {
                    entry.give_up(ClientError::Interrupted(error.clone()));
                }
                0
            }
        }
    }
}

/// The task of a sender.
async fn run(core: Arc<SenderCore>, client: Arc<Core>, options: SenderOptions) {
    let mut keeper = Keeper::new(Arc::clone(&client));
    let reason = loop {
        let attached = tokio::select! {
            biased;
            reason = core.nothing_to_do() => break reason,
            attached = keeper.attach(&options) => attached,
        };
        let (connection, link) = match attached {
            Ok(attached) => attached,
            Err(reason) => break reason,
        };
        core.attachment.send_replace(Attachment::Attached);
        let error = match core.pump(&link).await {
            Ok(reason) => {
                if let Err(error) = link.close().await {
                    tracing::debug!(%error, "a link ended while it was closed");
                }
                break reason;
            }
            Err(error) => error,
        };
        core.attachment.send_replace(Attachment::Pending);
        // Outcomes that came before the end count.
        while let Some(outcome) = link.try_next_outcome() {
            core.confirm(outcome);
        }
        let resent = core.link_ended(&error);
        client.resent.fetch_add(u64::try_from(resent).unwrap_or(u64::MAX), Ordering::Relaxed);
        if resent > 0 {
            tracing::info!(messages = resent, "messages without an outcome are sent again");
        }
        let again = tokio::select! {
            biased;
            reason = core.nothing_to_do() => break reason,
            again = keeper.ended(&connection, error) => again,
        };
        if let Err(reason) = again {
            break reason;
        }
    };
    core.end(reason);
}

/// Keeps a sender working; the last one ends it.
#[derive(Debug)]
struct SenderHandle {
    core: Arc<SenderCore>,
    /// Kept alive.
    client: Arc<ClientHandle>,
}

impl Drop for SenderHandle {
    fn drop(&mut self) {
        let given_up = {
            let mut buffer = self.core.lock();
            buffer.phase = Phase::Ended(ClientError::Closed);
            buffer.unconfirmed()
        };
        if given_up > 0 {
            tracing::warn!(
                messages = given_up,
                "a sender was dropped, and its messages without an outcome with it"
            );
            let given_up = u64::try_from(given_up).unwrap_or(u64::MAX);
            self.client.core.given_up.fetch_add(given_up, Ordering::Relaxed);
        }
        self.core.work.notify_one();
    }
}

/// A link to send on that comes back. Clones are the same link; it ends when the last clone, and the last
/// [`RecoveringConfirmation`], is dropped. What is buffered then is given up, which the log and
/// [`ClientStats::given_up`](super::ClientStats::given_up) tell: [`close`](Self::close) first, to be sure.
#[derive(Debug, Clone)]
pub struct RecoveringSender {
    handle: Arc<SenderHandle>,
}

impl RecoveringSender {
    pub(super) fn start(client: &Arc<ClientHandle>, options: SenderOptions, policy: &SendPolicy) -> Self {
        let max_octets = policy.max_octets.max(1);
        let octets = usize::try_from(max_octets).unwrap_or(usize::MAX);
        let core = Arc::new(SenderCore {
            buffer: Mutex::default(),
            work: Notify::new(),
            attachment: watch::Sender::new(Attachment::Pending),
            slots: Arc::new(Semaphore::new(policy.max_messages.clamp(1, Semaphore::MAX_PERMITS))),
            octets: Arc::new(Semaphore::new(octets.min(Semaphore::MAX_PERMITS))),
            max_octets,
            resend: policy.resend,
        });
        client.core.register(&core);
        tokio::spawn(run(Arc::clone(&core), Arc::clone(&client.core), options));
        Self { handle: Arc::new(SenderHandle { core, client: Arc::clone(client) }) }
    }

    /// Sends a message and waits for its outcome, over as many connections as it takes.
    ///
    /// Dropping the future while the buffer is full sends nothing; later, the message is sent and its outcome is lost.
    ///
    /// # Errors
    /// See [`RecoveringSendError`]. An outcome other than accepted is not an error here: see [`Receipt::accepted`].
    pub async fn send(&self, payload: impl Into<Payload>) -> Answer {
        self.deliver(payload).await?.await
    }

    /// Hands a message over as soon as there is room for it in the buffer, connected or not, and gives a future for its
    /// outcome. Messages are sent in the order in which they were handed over; after a lost connection, those without an
    /// outcome go first, in that order.
    ///
    /// Dropping this future sends nothing.
    ///
    /// # Errors
    /// [`RecoveringSendError::NotSent`] if the sender ended.
    pub async fn deliver(
        &self,
        payload: impl Into<Payload>,
    ) -> Result<RecoveringConfirmation, RecoveringSendError> {
        let payload = payload.into();
        let core = &self.handle.core;
        let octets = u32::try_from(payload.bytes().len()).unwrap_or(u32::MAX).clamp(1, core.max_octets);
        let Ok(slot) = Arc::clone(&core.slots).acquire_owned().await else { return Err(self.not_sent()) };
        let Ok(octets) = Arc::clone(&core.octets).acquire_many_owned(octets).await else {
            return Err(self.not_sent());
        };
        let (reply, answer) = oneshot::channel();
        {
            let mut buffer = core.lock();
            if !matches!(buffer.phase, Phase::Open) {
                drop(buffer);
                return Err(self.not_sent());
            }
            buffer.push(Entry { payload, times: 0, reply, room: [slot, octets] });
        }
        core.work.notify_one();
        Ok(RecoveringConfirmation { answer, _handle: Arc::clone(&self.handle) })
    }

    fn not_sent(&self) -> RecoveringSendError {
        RecoveringSendError::NotSent(match &self.handle.core.lock().phase {
            Phase::Ended(reason) => reason.clone(),
            Phase::Open | Phase::Closing => ClientError::Closed,
        })
    }

    /// Messages that were handed over and have no outcome yet.
    #[must_use]
    pub fn unconfirmed(&self) -> usize {
        self.handle.core.unconfirmed()
    }

    /// Where the link stands, to look at or to watch.
    #[must_use]
    pub fn attachment(&self) -> watch::Receiver<Attachment> {
        self.handle.core.attachment.subscribe()
    }

    /// Waits until the link is attached.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn attached(&self) -> Result<(), ClientError> {
        attached(self.attachment()).await
    }

    /// Takes nothing more, waits until all that is buffered has its outcome, over as many connections as it takes, and
    /// detaches the link. Dropping the future does not stop it.
    ///
    /// # Errors
    /// Why the sender had ended before; those who wait for messages that were left are told.
    pub async fn close(&self) -> Result<(), ClientError> {
        let core = &self.handle.core;
        core.finish();
        core.ended().await;
        let ended = core.attachment.borrow().clone();
        match ended {
            Attachment::Ended(ClientError::Closed) | Attachment::Pending | Attachment::Attached => Ok(()),
            Attachment::Ended(reason) => Err(reason),
        }
    }
}

/// Waits until a link is attached.
pub(super) async fn attached(mut attachment: watch::Receiver<Attachment>) -> Result<(), ClientError> {
    let now = attachment.wait_for(|now| !matches!(now, Attachment::Pending)).await;
    match now.as_deref() {
        Ok(Attachment::Ended(reason)) => Err(reason.clone()),
        Ok(Attachment::Attached | Attachment::Pending) => Ok(()),
        Err(_) => Err(ClientError::Closed),
    }
}

/// What becomes of a message that was handed over. Dropping it means that nobody wants to know; the message is sent all
/// the same while the sender lives.
#[derive(Debug)]
#[must_use = "a message is stored only if its outcome is accepted"]
pub struct RecoveringConfirmation {
    answer: oneshot::Receiver<Answer>,
    /// Keeps the sender working.
    _handle: Arc<SenderHandle>,
}

impl Future for RecoveringConfirmation {
    type Output = Result<Receipt, RecoveringSendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        // Without an answer the task was stopped from outside, together with its runtime.
        let stopped = || RecoveringSendError::Unknown { times: 1, cause: ClientError::Closed };
        Poll::Ready(answer.unwrap_or_else(|_| Err(stopped())))
    }
}
