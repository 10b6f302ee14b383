//! A consumer's place at a queue: what it took and has not settled goes back when the place is given up, whichever way
//! that happens.

use std::sync::Arc;

use amqp_codec::transport::ErrorInfo;
use tokio::sync::Notify;

use super::{SharedQueue, Store};
use crate::queue::{ConsumerId, Departure, Next, Sequence, Taken, Verdict};

/// A consumer of a queue. Dropped, it has left as after a loss of its connection, unless it said otherwise.
#[derive(Debug)]
pub(crate) struct Subscription {
    store: Arc<Store>,
    queue: Arc<SharedQueue>,
    id: ConsumerId,
    called: Arc<Notify>,
    departure: Departure,
}

impl Subscription {
    pub(super) fn join(store: Arc<Store>, queue: Arc<SharedQueue>, id: ConsumerId) -> Self {
        let called = Arc::new(Notify::new());
        {
            let mut state = queue.lock();
            state.wakers.insert(id, Arc::clone(&called));
            state.queue.add_consumer(id);
        }
        Self { store, queue, id, called, departure: Departure::Lost }
    }

    /// Takes this consumer's share of what is ready, at most `credit` messages, and says what to do next.
    ///
    /// # Errors
    ///
    /// `amqp:resource-deleted` if the queue was deleted.
    pub(crate) fn take(&self, credit: u32, taken: &mut Vec<Taken>) -> Result<Next, ErrorInfo> {
        self.store.with(&self.queue, |state, now, dead| {
            state.check()?;
            Ok(state.queue.take(self.id, credit, now, taken, dead))
        })
    }

    /// Settles deliveries under one lock.
    pub(crate) fn settle(&self, verdicts: impl Iterator<Item = (Sequence, Verdict)>) {
        self.store.with(&self.queue, |state, now, dead| {
            for (sequence, verdict) in verdicts {
                state.queue.settle(self.id, sequence, verdict, now, dead);
            }
        });
    }

    /// Puts back what was taken and could not be sent.
    pub(crate) fn untake(&self, sequences: impl Iterator<Item = Sequence>) {
        self.store.with(&self.queue, |state, _, _| {
            for sequence in sequences {
                state.queue.untake(self.id, sequence);
            }
        });
    }

    pub(super) const fn place(&self) -> (&Arc<SharedQueue>, ConsumerId) {
        (&self.queue, self.id)
    }

    /// Waits until the queue calls this consumer, or is deleted. Cancelling does not lose the call.
    pub(crate) async fn called(&self) {
        self.called.notified().await;
    }

    /// Gives up the place in this way.
    pub(crate) fn leave(mut self, departure: Departure) {
        self.departure = departure;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.store.with(&self.queue, |state, now, dead| {
            state.wakers.remove(&self.id);
            state.queue.remove_consumer(self.id, self.departure, now, dead);
        });
    }
}
