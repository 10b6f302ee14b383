//! The side that decides: declares transactions, posts and retires within them, commits or rolls back (§4.2 to §4.4).

use super::{Provisional, TransactionError, TransactionId, capability};
use crate::delivery::Delivery;
use crate::engine::{LinkOptions, Serial, Termini};
use crate::error::{LinkError, Outcome, SendError, SettleError};
use crate::message_writer::MessageWriter;
use crate::receiver::Receiver;
use crate::sender::{Confirmation, Payload, Sender};
use crate::session::{LinkHandle, Session};
use amqp_codec::messaging::{DeliveryState, Source, TargetArchetype};
use amqp_codec::transactions::{Control, Coordinator, Declare, Discharge};
use amqp_codec::transport::SenderSettleMode;
use amqp_codec::types::Symbol;
use bytes::Bytes;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The outcomes that a coordinator's answers may have.
const OUTCOMES: [&str; 3] = ["amqp:accepted:list", "amqp:rejected:list", "amqp:declared:list"];

/// Octets of the longest transaction-id that is taken. The protocol allows 32 (§4.5.7), but ActiveMQ Artemis has 36; longer
/// ones would leave no room for a message in small frames.
const MAX_TXN_ID: usize = 64;

/// A link to a coordinator: declares transactions. Any number of them may be open at once if the coordinator offers
/// `amqp:multi-txns-per-ssn`. Clones are the same link; when the last clone and the last transaction are dropped it is
/// closed, and the coordinator rolls back what is not discharged.
#[derive(Debug, Clone)]
pub struct Controller {
    sender: Sender,
}

impl Controller {
    pub(crate) async fn attach(session: &Session) -> Result<Self, LinkError> {
        let source =
            Source { outcomes: OUTCOMES.into_iter().map(Symbol::from_static).collect(), ..Source::default() };
        let mut coordinator = Coordinator::new();
        coordinator.capabilities.push(capability::LOCAL);
        let mut link = LinkOptions::sender(Uuid::new_v4().to_string(), "");
        link.termini =
            Termini { source: Some(source), target: Some(TargetArchetype::Coordinator(coordinator)) };
        link.snd_settle_mode = SenderSettleMode::Unsettled;
        Ok(Self { sender: Sender::new(session.attach(link).await?) })
    }

    /// Whether the coordinator offers a capability, such as `amqp:multi-txns-per-ssn` (§4.5.6).
    #[must_use]
    pub fn offers(&self, capability: &str) -> bool {
        match self.sender.remote_attach().and_then(|attach| attach.target.as_ref()) {
            Some(TargetArchetype::Coordinator(coordinator)) => {
                coordinator.capabilities.iter().any(|offered| offered.as_str() == capability)
            }
            _ => false,
        }
    }

    /// Declares a transaction (§4.3). If the future is dropped, a transaction that was declared is rolled back.
    ///
    /// # Errors
    /// [`TransactionError::NotDeclared`], [`TransactionError::Ended`]; [`TransactionError::Timeout`] if the coordinator has
    /// not answered within [`Limits::answer`](crate::Limits::answer): what it declares after that is rolled back.
    pub async fn declare(&self) -> Result<Transaction, TransactionError> {
        let controller = self.clone();
        let (tell, told) = oneshot::channel();
        // A task of its own, so that an id that comes late has somebody who gives it back: a transaction that nobody
        // takes is dropped.
        tokio::spawn(async move {
            let link = Arc::clone(controller.sender.link());
            let mut declared = pin!(controller.declare_here());
            // Once for the caller, and once more for an answer that comes too late: then the link may be let go.
            for _ in 0..2 {
                if let Some(declared) = link.shared().answered(declared.as_mut()).await {
                    return drop(tell.send(declared));
                }
            }
        });
        match self.sender.link().shared().answered(told).await {
            Some(declared) => declared.unwrap_or(Err(TransactionError::Ended(LinkError::DetachedLocally))),
            None => Err(TransactionError::Timeout("declaring a transaction")),
        }
    }

    async fn declare_here(self) -> Result<Transaction, TransactionError> {
        let message = Control::Declare(Declare::new()).to_message();
        let ended = |error: SendError| match error {
            SendError::NotSent(error) | SendError::Unknown(error) => TransactionError::Ended(error),
            error => TransactionError::Send(error),
        };
        match self.sender.send(message).await.map_err(ended)? {
            Outcome::Other(DeliveryState::Declared(declared)) if declared.txn_id.len() <= MAX_TXN_ID => {
                let id = TransactionId::new(Bytes::copy_from_slice(&declared.txn_id));
                Ok(Transaction { controller: self, id, used: Mutex::default(), stage: Stage::Open })
            }
            Outcome::Rejected(error) => Err(TransactionError::NotDeclared(error)),
            outcome => Err(TransactionError::Unexpected(outcome)),
        }
    }

    /// Closes the link and waits for the peer's answer: what is not discharged is rolled back.
    ///
    /// # Errors
    /// Why the link had ended before.
    pub async fn close(&self) -> Result<(), LinkError> {
        self.sender.close().await
    }

    /// Waits until the link to the coordinator ends, and tells why: what is not discharged is rolled back.
    pub async fn detached(&self) -> LinkError {
        self.sender.detached().await
    }

    /// Whether a transaction may take in what happens on this link (§4.4.1).
    fn check(&self, link: &LinkHandle) -> Result<(), TransactionError> {
        let (on_one_connection, on_one_session) = self.sender.link().shares(link);
        let spans_sessions = || self.offers(capability::MULTI_SESSIONS_PER_TXN.as_str());
        if on_one_session || (on_one_connection && spans_sessions()) {
            Ok(())
        } else {
            Err(TransactionError::OtherSession)
        }
    }
}

/// A transaction (§4.1). What is done within it takes effect with [`Transaction::commit`]; dropped, it is rolled back.
#[derive(Debug)]
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction {
    controller: Controller,
    id: TransactionId,
    used: Mutex<Used>,
    stage: Stage,
}

/// How far the end of a transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The discharge was handed over, and has no answer yet.
    Discharged {
        fail: bool,
    },
    Over,
}

/// What was done within a transaction, as far as its end must know.
#[derive(Debug, Default)]
struct Used {
    posts: Vec<Posts>,
    /// Verdicts that the peer has to settle.
    retired: Vec<(Arc<LinkHandle>, Serial)>,
    acquiring: Vec<Receiver>,
}

/// What was posted on one link.
#[derive(Debug)]
struct Posts {
    sender: Sender,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    /// Those whose outcome has not come.
    open: AtomicUsize,
    /// Those in parts that are not finished.
    unfinished: AtomicUsize,
}

impl Transaction {
    /// The coordinator's name for it.
    #[must_use]
    pub const fn id(&self) -> &TransactionId {
        &self.id
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message within the transaction and waits for what its outcome will be once that is committed (§4.4.1).
    ///
    /// Dropping the future before the peer gave credit posts nothing; later, the message is part of the transaction.
    ///
    /// # Errors
    /// [`TransactionError::Send`], [`TransactionError::OtherSession`]. An outcome other than accepted is no error here:
    /// see [`Outcome::accepted`].
    pub async fn send(
        &self,
        sender: &Sender,
        payload: impl Into<Payload>,
    ) -> Result<Outcome, TransactionError> {
        Ok(self.deliver(sender, payload).await?.await?)
    }

    /// As [`Transaction::send`], but gives a future for the outcome: many messages can be on their way like this.
    ///
    /// Dropping this future posts nothing.
    ///
    /// # Errors
    /// As [`Transaction::send`].
    pub async fn deliver(
        &self,
        sender: &Sender,
        payload: impl Into<Payload>,
    ) -> Result<Post, TransactionError> {
        self.controller.check(sender.link())?;
        let count = self.count_posts(sender);
        let payload = payload.into().in_transaction(&self.id);
        let confirmation = sender.deliver(payload).await?;
        count.open.fetch_add(1, Ordering::SeqCst);
        Ok(Post { confirmation, count })
    }

    /// Starts a message within the transaction whose octets are then written in parts, as [`Sender::stream`] does. It has
    /// to be finished before the transaction is committed.
    ///
    /// Dropping the future posts nothing.
    ///
    /// ```no_run
    /// # async fn run(
    /// #     transaction: amqp_transport::transaction::Transaction, sender: amqp_transport::Sender,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// use amqp_codec::messaging::Message;
    /// use amqp_transport::Payload;
    ///
    /// let mut writer = transaction.stream(&sender, Payload::head(&Message::default())).await?;
    /// writer.write_data("in").await?;
    /// writer.write_data("parts").await?;
    /// writer.finish().await?.accepted()?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::send`].
    pub async fn stream(
        &self,
        sender: &Sender,
        head: impl Into<Payload>,
    ) -> Result<PostWriter, TransactionError> {
        self.controller.check(sender.link())?;
        let count = self.count_posts(sender);
        let writer = sender.stream(head.into().in_transaction(&self.id)).await?;
        count.unfinished.fetch_add(1, Ordering::SeqCst);
        Ok(PostWriter { writer, unfinished: Unfinished { count } })
    }

    fn count_posts(&self, sender: &Sender) -> Arc<Count> {
        let mut used = self.used();
        if let Some(posts) = used.posts.iter().find(|posts| Arc::ptr_eq(posts.sender.link(), sender.link())) {
            return Arc::clone(&posts.count);
        }
        let count = Arc::<Count>::default();
        used.posts.push(Posts { sender: sender.clone(), count: Arc::clone(&count) });
        count
    }

    /// Gives a verdict on a delivery that takes effect when the transaction is committed (§4.4.2). If it is rolled back
    /// the delivery goes back to the peer, and comes again to this consumer or another.
    ///
    /// # Errors
    /// [`TransactionError::Settle`] if the delivery is not this side's any more, [`TransactionError::OtherSession`].
    pub fn settle(&self, delivery: Delivery, outcome: Outcome) -> Result<(), TransactionError> {
        self.controller.check(delivery.link())?;
        let (link, id) = (Arc::clone(delivery.link()), delivery.id());
        delivery.settle(Outcome::Provisional(Box::new(Provisional::new(self.id.clone(), outcome))))?;
        if link.shared().look(|state| state.engine.is_unsettled(link.key, id)) {
            self.used().retired.push((link, id));
        }
        Ok(())
    }

    /// Has the peer acquire what it sends to this receiver from now on within the transaction (§4.4.3), until that is
    /// discharged. Few peers know how; those that do not detach the link. Drain the link before the discharge.
    ///
    /// # Errors
    /// [`TransactionError::OtherSession`]; [`TransactionError::Settle`] if the link ended.
    pub fn acquire(&self, receiver: &Receiver) -> Result<(), TransactionError> {
        self.controller.check(receiver.link())?;
        let link = receiver.link();
        link.shared()
            .act(|state| state.engine.set_acquisition(link.key, Some(self.id.octets().clone())))
            .map_err(SettleError::from)?;
        self.used().acquiring.push(receiver.clone());
        Ok(())
    }

    /// Commits: everything done within the transaction takes effect, or nothing (§4.3). The messages posted within it, and
    /// then the coordinator, may take [`Limits::answer`](crate::Limits::answer) each.
    ///
    /// Dropping the future before the discharge left rolls back; later, the result is not known.
    ///
    /// # Errors
    /// Why it was rolled back; or [`TransactionError::Unknown`]. After that nobody here can tell whether a delivery that was
    /// settled within the transaction, and that the peer is to settle, is gone: it stays unsettled, and counts against the
    /// credit of its link, until the peer settles it or the link ends. Close the link to have it decided.
    pub async fn commit(mut self) -> Result<(), TransactionError> {
        // A discharge must not overtake what was posted.
        let posts = std::mem::take(&mut self.used().posts);
        if posts.iter().any(|posts| posts.count.unfinished.load(Ordering::SeqCst) > 0) {
            return Err(TransactionError::Unfinished);
        }
        for Posts { sender, count } in posts {
            let link = sender.link();
            match link.shared().answered(all_sent(&sender, &self.id)).await {
                Some(Some(error)) if count.open.load(Ordering::SeqCst) > 0 => {
                    return Err(TransactionError::PostLost(error));
                }
                // The peer keeps its window shut.
                None => {
                    return Err(TransactionError::PostLost(LinkError::Timeout("sending what was posted")));
                }
                Some(_) => {}
            }
        }
        self.discharge(false).await
    }

    /// Rolls back: nothing done within the transaction takes effect (§4.3). Deliveries that were settled within it go back to
    /// the peer. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`TransactionError::UnknownId`] and the like, of a coordinator that had rolled back before;
    /// [`TransactionError::Timeout`] of one that has not answered within [`Limits::answer`](crate::Limits::answer): it was
    /// told, so nothing takes effect, but until it does as told it may hold what was done; with the controller's link that
    /// ends, too.
    pub async fn rollback(mut self) -> Result<(), TransactionError> {
        match self.discharge(true).await {
            // The link is still there, and so may the transaction be; but it is never committed.
            Err(TransactionError::Unknown(LinkError::Timeout(_))) => {
                Err(TransactionError::Timeout("rolling back a transaction"))
            }
            // With the link everything on it is rolled back.
            Err(TransactionError::Ended(_) | TransactionError::Unknown(_)) => Ok(()),
            result => result,
        }
    }

    async fn discharge(&mut self, fail: bool) -> Result<(), TransactionError> {
        const DEED: &str = "discharging a transaction";
        let link = Arc::clone(self.controller.sender.link());
        let Some(delivered) = link.shared().answered(self.controller.sender.deliver(self.end(fail))).await
        else {
            return Err(TransactionError::Timeout(DEED));
        };
        let confirmation = delivered.map_err(TransactionError::of_loss)?;
        self.stage = Stage::Discharged { fail };
        let result = match link.shared().answered(confirmation).await {
            Some(Ok(Outcome::Accepted)) => Ok(()),
            Some(Ok(Outcome::Rejected(error))) => Err(TransactionError::of_refusal(error)),
            Some(Ok(outcome)) => Err(TransactionError::Unexpected(outcome)),
            Some(Err(error)) => Err(TransactionError::of_loss(error)),
            None => Err(TransactionError::Unknown(LinkError::Timeout(DEED))),
        };
        let is_committed = !fail && matches!(result, Ok(()) | Err(TransactionError::Unknown(_)));
        self.stage = Stage::Over;
        self.let_go(is_committed);
        result
    }

    /// The message that ends the transaction. What was decided on other sessions goes first.
    fn end(&self, fail: bool) -> Payload {
        self.controller.sender.link().shared().act(|state| state.engine.flush_sessions());
        let mut discharge = Discharge::new(self.id.octets().clone());
        discharge.fail = Some(fail);
        Control::Discharge(discharge).to_message().into()
    }

    /// The transaction is over: its deliveries are as before, or the peer settles them.
    fn let_go(&self, is_committed: bool) {
        let Used { retired, acquiring, .. } = std::mem::take(&mut *self.used());
        for receiver in acquiring {
            let link = receiver.link();
            // The link may be gone, and its acquisition with it.
            let _ = link.shared().act(|state| state.engine.set_acquisition(link.key, None));
        }
        if is_committed {
            return;
        }
        for (link, id) in retired {
            link.shared().act(|state| {
                state.engine.revert(link.key, id);
                // If the peer took it back meanwhile, so much the better.
                let _ = state.engine.settle(link.key, id, Outcome::Released);
            });
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        match self.stage {
            Stage::Open => {
                self.controller.sender.leave(self.end(true));
                self.let_go(false);
            }
            // Nobody waits for the answer any more.
            Stage::Discharged { fail } => self.let_go(!fail),
            Stage::Over => {}
        }
    }
}

/// Waits until everything posted on a link within a transaction has left; gives why the link ended, if it has. What others
/// send there is not waited for.
async fn all_sent(sender: &Sender, transaction: &TransactionId) -> Option<LinkError> {
    let link = sender.link();
    link.shared()
        .wait(&link.changed, |state| match state.engine.credit(link.key) {
            Err(error) => Some(Some(error)),
            Ok(_) => (!state.engine.is_posting(link.key, transaction.octets())).then_some(None),
        })
        .await
}

/// What the outcome of a message will be once its transaction is committed. Dropping it means that nobody wants to know.
#[derive(Debug)]
#[must_use = "a message is stored only if its outcome is accepted and its transaction committed"]
pub struct Post {
    confirmation: Confirmation,
    count: Arc<Count>,
}

impl Future for Post {
    type Output = Result<Outcome, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.confirmation).poll(cx);
        polled.map_ok(|outcome| {
            self.count.open.fetch_sub(1, Ordering::SeqCst);
            match outcome {
                Outcome::Provisional(provisional) => provisional.outcome,
                outcome => outcome,
            }
        })
    }
}

/// A message that is posted in parts, from [`Transaction::stream`]. Written as any [`MessageWriter`]; dropped before
/// [`PostWriter::finish`], it is taken back and no part of the transaction.
#[derive(Debug)]
#[must_use = "a message that is not finished is taken back"]
pub struct PostWriter {
    writer: MessageWriter,
    unfinished: Unfinished,
}

/// Counts until it is dropped.
#[derive(Debug)]
struct Unfinished {
    count: Arc<Count>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.count.unfinished.fetch_sub(1, Ordering::SeqCst);
    }
}

impl PostWriter {
    /// The message is whole: as [`MessageWriter::finish`], but with what the outcome will be once the transaction is
    /// committed.
    pub fn finish(self) -> Post {
        let Self { writer, unfinished } = self;
        let count = Arc::clone(&unfinished.count);
        count.open.fetch_add(1, Ordering::SeqCst);
        Post { confirmation: writer.finish(), count }
    }
}

impl Deref for PostWriter {
    type Target = MessageWriter;

    fn deref(&self) -> &MessageWriter {
        &self.writer
    }
}

impl DerefMut for PostWriter {
    fn deref_mut(&mut self) -> &mut MessageWriter {
        &mut self.writer
    }
}
