//! One queue as links share it: the pure queue behind a lock, and the consumers to wake.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amqp_codec::types::Map;
use tokio::sync::Notify;

use crate::clock::Moment;
use crate::queue::{ConsumerId, Queue};

/// A queue that several links use.
#[derive(Debug)]
pub(crate) struct SharedQueue {
    state: Mutex<State>,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queue: Queue,
    pub(crate) wakers: HashMap<ConsumerId, Arc<Notify>>,
    /// How it was declared, if it was.
    pub(crate) declaration: Option<Declaration>,
    /// The queue was deleted: it is in nobody's list any more, and links to it end.
    pub(crate) deleted: bool,
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
        Self { state: Mutex::new(State { queue, wakers: HashMap::new(), declaration, deleted: false }) }
    }

    /// The queue, locked. A thread that panicked with it has left every message in one place, so the lock stays usable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whom to wake and when to look again, after the queue was changed.
    pub(crate) fn aftermath(&mut self) -> Aftermath {
        let mut wake = Vec::new();
        while let Some(consumer) = self.queue.call() {
            wake.extend(self.wakers.get(&consumer).cloned());
        }
        Aftermath { wake, deadline: self.queue.next_deadline() }
    }
}
