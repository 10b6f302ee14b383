//! Queues in memory, by name. They and their messages last as long as the broker.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError, RwLock};

use amqp_codec::ByteString;
use amqp_codec::transport::{ErrorInfo, conditions};

use super::shared::SharedQueue;

/// What a queue is made for, which decides how many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Somebody asked for it.
    Work,
    /// A dead letter goes there. It does not count against the limit, since the dead letter would be lost; but there are
    /// at most as many again, so that the names of ever new targets do not fill the memory.
    DeadLetters,
}

/// The queues of the broker.
#[derive(Debug)]
pub(crate) struct Memory {
    queues: RwLock<HashMap<ByteString, Arc<SharedQueue>>>,
    max_queues: usize,
}

impl Memory {
    pub(crate) fn new(max_queues: usize) -> Self {
        Self { queues: RwLock::new(HashMap::new()), max_queues }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<SharedQueue>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The queue of that name, made by `create` if there is none, and whether it is new.
    ///
    /// # Errors
    ///
    /// `amqp:resource-limit-exceeded` if there are too many queues.
    pub(crate) fn find_or_create(
        &self,
        name: &ByteString,
        purpose: Purpose,
        create: impl FnOnce(ByteString) -> SharedQueue,
    ) -> Result<(Arc<SharedQueue>, bool), ErrorInfo> {
        if let Some(queue) = self.find(name) {
            return Ok((queue, false));
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let there_are = queues.len();
        let most = match purpose {
            Purpose::Work => self.max_queues,
            Purpose::DeadLetters => self.max_queues.saturating_mul(2),
        };
        // A queue outlives the frame that named it.
        let name = ByteString::from(&**name);
        match queues.entry(name.clone()) {
            Entry::Occupied(entry) => Ok((Arc::clone(entry.get()), false)),
            Entry::Vacant(_) if there_are >= most => Err(ErrorInfo::new(
                conditions::RESOURCE_LIMIT_EXCEEDED,
                format!("queue {name} not created: there are {there_are} queues already, the most allowed"),
            )),
            Entry::Vacant(entry) => Ok((Arc::clone(entry.insert(Arc::new(create(name)))), true)),
        }
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<SharedQueue>> {
        self.queues.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// All queues, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<SharedQueue>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> Vec<ByteString> {
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = queues.keys().cloned().collect();
        names.sort_unstable();
        names
    }
}
