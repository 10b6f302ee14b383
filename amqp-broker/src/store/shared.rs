//! One queue as links share it: the pure queue behind a lock, and the consumers to wake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp_codec::transport::{ErrorInfo, conditions};
use amqp_codec::types::Map;
use tokio::sync::Notify;

use crate::clock::Moment;
use crate::queue::{ConsumerId, Queue};

/// A queue that several links use.
#[derive(Debug)]
pub(crate) struct SharedQueue {
    state: Mutex<State>,
    /// Tells those who wait for the deletion.
    gone: Notify,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) wakers: HashMap<ConsumerId, Arc<Notify>>,
    /// How it was declared, if it was.
    pub(crate) declaration: Option<Declaration>,
    /// It is in nobody's list any more, and links to it end.
    is_deleted: bool,
}

/// What a declaration said beyond the options that the queue itself obeys; told again to whoever asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Declaration {
    pub(crate) durable: bool,
    pub(crate) arguments: Map,
}

/// What has to happen after the lock was given back.
#[derive(Debug)]
pub(crate) struct Aftermath {
    pub(crate) wake: Vec<Arc<Notify>>,
    pub(crate) deadline: Option<Moment>,
}

impl SharedQueue {
    pub(crate) fn new(queue: Queue, declaration: Option<Declaration>) -> Self {
        let state = State { queue, wakers: HashMap::new(), declaration, is_deleted: false };
        Self { state: Mutex::new(state), gone: Notify::new() }
    }

    /// The queue, locked. A thread that panicked with it has left every message in one place, so the lock stays usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the messages that no consumer has, tells everybody who uses the queue that it is gone, and says how many
    /// messages were ready.
    pub(crate) fn delete(&self) -> u64 {
        let mut state = self.lock();
        state.is_deleted = true;
        let ready = state.queue.stats().ready;
        state.queue.purge();
        let wakers: Vec<_> = state.wakers.values().cloned().collect();
        drop(state);
        for waker in wakers {
            waker.notify_one();
        }
        self.gone.notify_waiters();
        ready
    }

    /// Waits until the queue is deleted, and gives the reason for which links to it end. Cancel-safe.
    pub(crate) async fn deleted(&self) -> ErrorInfo {
        loop {
            // From here on no call is missed, so looking comes after.
            let gone = self.gone.notified();
            let looked = self.lock().check();
            match looked {
                Ok(()) => gone.await,
                Err(error) => return error,
            }
        }
    }
}

impl State {
    /// Whether the queue can be used.
    ///
    /// # Errors
    ///
    /// `amqp:resource-deleted` if it was deleted.
    pub(crate) fn check(&self) -> Result<(), ErrorInfo> {
        if self.is_deleted { Err(self.deleted()) } else { Ok(()) }
    }

    #[cold]
    fn deleted(&self) -> ErrorInfo {
        ErrorInfo::new(conditions::RESOURCE_DELETED, format!("queue {} was deleted", self.queue.name()))
    }

    /// Whom to wake and when to look again, after the queue was changed.
    pub(crate) fn aftermath(&mut self) -> Aftermath {
        let mut wake = Vec::new();
        while let Some(consumer) = self.queue.call() {
            wake.extend(self.wakers.get(&consumer).cloned());
        }
        Aftermath { wake, deadline: self.queue.next_deadline() }
    }
}
