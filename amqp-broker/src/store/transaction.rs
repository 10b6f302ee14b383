//! Messages that come, and verdicts that take effect, with a commit: all of them or none.
//!
//! A message that is posted waits here, and its queue keeps room for it, so that the commit cannot fail for want of that. A
//! message on which a verdict was given is had by the transaction instead of its consumer, so that it stays out of reach
//! even if the consumer leaves.

use std::sync::Arc;

use amqp_codec::transport::{ErrorInfo, conditions};

use super::{SharedQueue, Store, Subscription};
use crate::queue::{ConsumerId, Message, Sequence, Verdict};

/// A transaction; dropped, it is rolled back.
#[derive(Debug)]
pub(crate) struct Transaction {
    store: Arc<Store>,
    /// Stands in for the consumers of the messages that the transaction has.
    holder: ConsumerId,
    posts: Vec<(Arc<SharedQueue>, Message)>,
    retired: Vec<Retired>,
    /// Why it cannot be committed.
    failure: Option<ErrorInfo>,
    /// Messages that may have a part in it.
    limit: usize,
}

/// A message that a consumer has.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    queue: Arc<SharedQueue>,
    consumer: ConsumerId,
    sequence: Sequence,
}

impl Place {
    /// Gives the message back to its queue, if the consumer has it.
    pub(crate) fn release(&self, store: &Store) {
        store.with(&self.queue, |state, now, dead| {
            state.queue.settle(self.consumer, self.sequence, Verdict::Released, now, dead);
        });
    }
}

/// A verdict that takes effect with the commit.
#[derive(Debug)]
struct Retired {
    place: Place,
    verdict: Verdict,
    /// Whether its consumer is done with it; otherwise it has it again after a rollback.
    is_settled: bool,
}

impl Transaction {
    pub(crate) fn new(store: Arc<Store>, limit: usize) -> Self {
        let holder = store.next_consumer();
        Self { store, holder, posts: Vec::new(), retired: Vec::new(), failure: None, limit }
    }

    fn check_limit(&self) -> Result<(), ErrorInfo> {
        if self.posts.len() + self.retired.len() < self.limit {
            return Ok(());
        }
        let text = format!("more than {} messages in a transaction", self.limit);
        Err(ErrorInfo::new(conditions::RESOURCE_LIMIT_EXCEEDED, text))
    }

    /// A message that comes into a queue with the commit.
    ///
    /// # Errors
    ///
    /// `amqp:resource-limit-exceeded` if the queue or the transaction is full, `amqp:resource-deleted` if the queue was
    /// deleted.
    pub(crate) fn post(&mut self, queue: Arc<SharedQueue>, message: Message) -> Result<(), ErrorInfo> {
        self.check_limit()?;
        self.store.with(&queue, |state, _, _| {
            state.check()?;
            state.queue.reserve(&message)
        })?;
        self.posts.push((queue, message));
        Ok(())
    }

    /// A verdict on a message of this consumer's. Nothing happens if the consumer does not have that message.
    ///
    /// # Errors
    ///
    /// `amqp:resource-limit-exceeded` if the transaction is full.
    pub(crate) fn retire(
        &mut self,
        subscription: &Subscription,
        sequence: Sequence,
        verdict: Verdict,
        is_settled: bool,
    ) -> Result<Place, ErrorInfo> {
        self.check_limit()?;
        let (queue, consumer) = subscription.place();
        let place = Place { queue: Arc::clone(queue), consumer, sequence };
        if self.store.with(queue, |state, _, _| state.queue.lend(consumer, self.holder, sequence)) {
            self.retired.push(Retired { place: place.clone(), verdict, is_settled });
        }
        Ok(place)
    }

    /// It cannot be committed any more.
    pub(crate) fn fail(&mut self, error: ErrorInfo) {
        self.failure.get_or_insert(error);
    }

    /// Everything takes effect.
    ///
    /// # Errors
    ///
    /// Why it cannot: then everything is rolled back.
    pub(crate) fn commit(mut self) -> Result<(), ErrorInfo> {
        if let Some(error) = self.failure.take() {
            return Err(ErrorInfo::new(
                conditions::TRANSACTION_ROLLBACK,
                format!("{}: {}", error.condition, error.description.as_deref().unwrap_or_default()),
            ));
        }
        let mut posts = std::mem::take(&mut self.posts).into_iter().peekable();
        while let Some((queue, message)) = posts.next() {
            // Those for one queue appear together.
            let mut messages = vec![message];
            while let Some((_, message)) = posts.next_if(|(next, _)| Arc::ptr_eq(next, &queue)) {
                messages.push(message);
            }
            self.store.with(&queue, |state, now, dead| {
                messages.into_iter().for_each(|message| state.queue.publish_reserved(message, now, dead));
            });
        }
        for Retired { place, verdict, .. } in std::mem::take(&mut self.retired) {
            self.store.with(&place.queue, |state, now, dead| {
                state.queue.settle_lent((self.holder, place.consumer), place.sequence, verdict, now, dead);
            });
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        for (queue, message) in std::mem::take(&mut self.posts) {
            self.store.with(&queue, |state, _, _| state.queue.unreserve(&message));
        }
        for Retired { place, is_settled, .. } in std::mem::take(&mut self.retired) {
            self.store.with(&place.queue, |state, now, dead| {
                if is_settled {
                    // The source's default outcome (§4.4.2).
                    let holders = (self.holder, place.consumer);
                    state.queue.settle_lent(holders, place.sequence, Verdict::Released, now, dead);
                } else {
                    state.queue.give_back(self.holder, place.consumer, place.sequence, now, dead);
                }
            });
        }
    }
}
