//! The transactions of one connection: who controls them, and what was done within them.
//!
//! Each link has a task of its own, and so has the link of a controller. What the peer did before a discharge waits at its
//! links when the discharge comes, so the other tasks are asked first to work off what they have ([`Transactions::settle_down`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp_codec::transport::ErrorInfo;
use amqp_transport::transaction::{
    ControlLink, Coordinator, CoordinatorLimits, Discharge, Provisional, TransactionId,
};
use amqp_transport::{Delivery, LinkError, LinkRequest, Outcome, Sender};
use tokio::sync::{mpsc, oneshot};

use super::outcome::verdict;
use crate::limits::Limits;
use crate::queue::{Message, Sequence};
use crate::store::{Place, SharedQueue, Store, Subscription, Transaction};

/// Asks a link's task to work off what its peer has done so far, and then to say so by dropping it.
pub(crate) type SettleDown = oneshot::Sender<()>;

/// The transactions of one connection.
#[derive(Debug)]
pub(crate) struct Transactions {
    coordinator: Coordinator,
    store: Arc<Store>,
    max_messages: usize,
    open: Mutex<HashMap<TransactionId, Open>>,
    tasks: Mutex<Vec<mpsc::Sender<SettleDown>>>,
}

/// A transaction that something was done within.
#[derive(Debug)]
struct Open {
    work: Transaction,
    /// Verdicts that came unsettled: the commit settles them.
    unsettled: Vec<Unsettled>,
}

/// A verdict that came unsettled.
#[derive(Debug)]
struct Unsettled {
    sender: Sender,
    provisional: Provisional,
    place: Place,
}

impl Transactions {
    pub(crate) fn new(store: Arc<Store>, limits: &Limits) -> Self {
        let mut of_connection = CoordinatorLimits::default();
        of_connection.transactions = limits.max_transactions;
        Self {
            coordinator: Coordinator::with_limits(of_connection),
            store,
            max_messages: limits.max_transaction_messages,
            open: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// Takes the link of a controller.
    pub(crate) fn accept(&self, request: LinkRequest) -> Result<ControlLink, LinkError> {
        self.coordinator.accept(request)
    }

    /// Where the task of a link is asked to work off what it has. To be called before the link is accepted.
    pub(crate) fn join(&self) -> mpsc::Receiver<SettleDown> {
        let (ask, asked) = mpsc::channel(1);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_closed());
        tasks.push(ask);
        asked
    }

    /// Everything that the peer did by now is worked off when this is over.
    async fn settle_down(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut busy = Vec::with_capacity(tasks.len());
        for task in tasks {
            let (done, is_done) = oneshot::channel();
            if task.send(done).await.is_ok() {
                busy.push(is_done);
            }
        }
        for is_done in busy {
            // It says so by dropping its end.
            let _ = is_done.await;
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<TransactionId, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something within a transaction.
    ///
    /// # Errors
    ///
    /// `amqp:transaction:unknown-id` if it is not open, or the error of what is done.
    fn within<R>(
        &self,
        id: &TransactionId,
        act: impl FnOnce(&mut Open) -> Result<R, ErrorInfo>,
    ) -> Result<R, ErrorInfo> {
        let mut open = self.open();
        self.coordinator.check(id)?;
        act(open.entry(id.clone()).or_insert_with(|| Open {
            work: Transaction::new(Arc::clone(&self.store), self.max_messages),
            unsettled: Vec::new(),
        }))
    }

    /// A message that came within a transaction; `read` finds out what it is and where it goes. The publisher is told.
    pub(crate) fn post(
        &self,
        id: TransactionId,
        delivery: Delivery,
        read: impl FnOnce(&Delivery) -> Result<(Arc<SharedQueue>, Message), ErrorInfo>,
    ) {
        let posted = self.within(&id, |open| {
            let result = read(&delivery).and_then(|(queue, message)| open.work.post(queue, message));
            if let (Err(error), true) = (&result, delivery.is_settled()) {
                // Nobody can be told but the controller (§4.4.1).
                open.work.fail(error.clone());
            }
            Ok(result)
        });
        if delivery.is_settled() {
            return;
        }
        let outcome = match posted {
            Ok(Ok(())) => Outcome::Provisional(Box::new(Provisional::new(id, Outcome::Accepted))),
            Ok(Err(error)) => {
                Outcome::Provisional(Box::new(Provisional::new(id, Outcome::Rejected(Some(error)))))
            }
            // No such transaction.
            Err(error) => Outcome::Rejected(Some(error)),
        };
        if let Err(error) = delivery.settle(outcome) {
            tracing::trace!(%error, "publisher left before it was told");
        }
    }

    /// A verdict that was given within a transaction.
    ///
    /// # Errors
    ///
    /// Why the link is to be detached.
    pub(crate) fn retire(
        &self,
        provisional: Provisional,
        sequence: Sequence,
        subscription: &Subscription,
        sender: &Sender,
    ) -> Result<(), ErrorInfo> {
        let id = provisional.transaction.clone();
        self.within(&id, |open| {
            let verdict = verdict(provisional.outcome.clone());
            let place = open.work.retire(subscription, sequence, verdict, provisional.is_settled)?;
            if !provisional.is_settled {
                open.unsettled.push(Unsettled { sender: sender.clone(), provisional, place });
            }
            Ok(())
        })
    }

    /// Serves the link of a controller until it ends.
    pub(crate) async fn run(self: Arc<Self>, mut control: ControlLink) {
        while let Some(discharge) = control.next().await {
            self.settle_down().await;
            self.discharge(discharge);
        }
        tracing::debug!(end = ?control.end(), "a controller of transactions left");
    }

    fn discharge(&self, discharge: Discharge) {
        let id = discharge.transaction().clone();
        let work = self.open().remove(&id);
        let is_rollback = discharge.is_rollback();
        let (result, unsettled) = match work {
            Some(Open { work, unsettled }) if is_rollback => {
                drop(work);
                (Ok(()), unsettled)
            }
            Some(Open { work, unsettled }) => (work.commit(), unsettled),
            None => (Ok(()), Vec::new()),
        };
        for Unsettled { sender, provisional, place } in unsettled {
            if result.is_ok() && !is_rollback {
                let outcome = provisional.outcome.clone();
                if let Err(error) = sender.settle(&provisional, outcome) {
                    tracing::trace!(%error, "a consumer settled before its transaction was committed");
                }
            } else if !sender.revert(&provisional) {
                // It was settled outside of the transaction, when the consumer did not have it.
                place.release(&self.store);
            }
        }
        match result {
            Ok(()) => discharge.done(),
            Err(error) => discharge.failed(error),
        }
        // Whatever came for it after its discharge.
        drop(self.open().remove(&id));
    }
}
