//! All queues together: creation, what passes from one queue to another, and the timer.
//!
//! Every act on a queue is the same short sequence ([`Store::with`]): lock the queue, act, unlock; then wake the consumers
//! that were called, set the alarm, and carry dead letters to the queues that they go to. No two queues are ever locked at
//! once.

mod alarm;
mod memory;
mod shared;
mod subscription;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use amqp_codec::ByteString;
use amqp_codec::transport::{ErrorInfo, conditions};

use self::alarm::Alarm;
use self::memory::{Memory, Purpose};
use self::shared::{Aftermath, State};
use crate::clock::{Clock, Moment};
use crate::limits::{Limits, QueueOptions};
use crate::own::own;
use crate::queue::{ConsumerId, Dead, Message, Queue, QueueStats};

pub(crate) use self::shared::{Declaration, SharedQueue};
pub(crate) use self::subscription::Subscription;
pub(crate) use self::transaction::{Place, Transaction};

/// The queues of a broker.
#[derive(Debug)]
pub(crate) struct Store {
    memory: Memory,
    clock: Clock,
    alarm: Alarm,
    defaults: QueueOptions,
    create_on_demand: bool,
    next_consumer: AtomicU64,
}

/// What came of a declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// The queue is new.
    Created,
    /// It was there, and was declared in the same way or not at all.
    Unchanged,
    /// It was there and was declared in another way; nothing was changed.
    Different,
}

impl Store {
    pub(crate) fn new(limits: &Limits, defaults: QueueOptions, create_on_demand: bool) -> Self {
        Self {
            memory: Memory::new(limits.max_queues),
            clock: Clock::start(),
            alarm: Alarm::new(),
            defaults,
            create_on_demand,
            next_consumer: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    pub(crate) const fn defaults(&self) -> &QueueOptions {
        &self.defaults
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<SharedQueue>> {
        self.memory.find(name)
    }

    /// The queue of that name for a link; created if there is none and the broker creates queues on demand.
    ///
    /// # Errors
    ///
    /// `amqp:not-found` if it does not, `amqp:resource-limit-exceeded` if there are too many queues.
    pub(crate) fn open(&self, name: &ByteString) -> Result<Arc<SharedQueue>, ErrorInfo> {
        if !self.create_on_demand {
            return self
                .find(name)
                .ok_or_else(|| ErrorInfo::new(conditions::NOT_FOUND, format!("no queue {name}")));
        }
        self.create(name, Purpose::Work)
    }

    /// Declares a queue.
    ///
    /// # Errors
    ///
    /// `amqp:resource-limit-exceeded` if there are too many queues.
    pub(crate) fn declare(
        &self,
        name: &ByteString,
        options: QueueOptions,
        declaration: Declaration,
    ) -> Result<Declared, ErrorInfo> {
        let declaration = Declaration { arguments: own(declaration.arguments), ..declaration };
        let (queue, is_new) = self.memory.find_or_create(name, Purpose::Work, |name| {
            SharedQueue::new(Queue::new(name, options.clone()), Some(declaration.clone()))
        })?;
        if is_new {
            return Ok(Declared::Created);
        }
        let mut state = queue.lock();
        match &state.declaration {
            Some(present) if present.durable != declaration.durable || *state.queue.options() != options => {
                Ok(Declared::Different)
            }
            Some(_) => Ok(Declared::Unchanged),
            None => {
                state.queue.set_options(options);
                state.declaration = Some(declaration);
                Ok(Declared::Unchanged)
            }
        }
    }

    /// Deletes a queue with its messages, and says how many of them were ready; links to it end.
    pub(crate) fn delete(&self, name: &str) -> Option<u64> {
        self.memory.remove(name).map(|queue| queue.delete())
    }

    /// Removes the messages of a queue that no consumer has, and says how many there were.
    pub(crate) fn purge(&self, name: &str) -> Option<u64> {
        self.find(name).map(|queue| self.with(&queue, |state, _, _| state.queue.purge()))
    }

    pub(crate) fn stats(&self, name: &str) -> Option<QueueStats> {
        self.find(name).map(|queue| queue.lock().queue.stats())
    }

    pub(crate) fn names(&self) -> Vec<ByteString> {
        self.memory.names()
    }

    /// Puts messages into a queue under one lock, and says of each what became of it.
    ///
    /// # Errors
    ///
    /// `amqp:resource-deleted` if the queue was deleted; the messages are left where they were.
    pub(crate) fn publish(
        &self,
        queue: &SharedQueue,
        messages: &mut Vec<Message>,
    ) -> Result<Vec<Result<(), ErrorInfo>>, ErrorInfo> {
        self.with(queue, |state, now, dead| {
            state.check()?;
            Ok(messages.drain(..).map(|message| state.queue.publish(message, now, dead)).collect())
        })
    }

    /// Makes a consumer of a queue.
    pub(crate) fn subscribe(self: &Arc<Self>, queue: Arc<SharedQueue>) -> Subscription {
        let id = self.next_consumer();
        Subscription::join(Arc::clone(self), queue, id)
    }

    fn next_consumer(&self) -> ConsumerId {
        ConsumerId(self.next_consumer.fetch_add(1, Ordering::Relaxed))
    }

    /// Does for ever what is due: delayed messages become ready, expired ones go.
    pub(crate) async fn keep_time(&self) {
        loop {
            self.alarm.ring(&self.clock).await;
            for queue in self.memory.all() {
                self.with(&queue, |state, now, dead| state.queue.tick(now, dead));
            }
        }
    }

    /// Acts on a queue, and then does what follows from it elsewhere.
    fn with<R>(&self, queue: &SharedQueue, act: impl FnOnce(&mut State, Moment, &mut Vec<Dead>) -> R) -> R {
        let (result, dead) = self.act(queue, act);
        if !dead.is_empty() {
            self.bury(queue, dead);
        }
        result
    }

    /// Acts on a queue, calls its consumers and sets the alarm; its dead letters are the caller's to carry.
    fn act<R>(
        &self,
        queue: &SharedQueue,
        act: impl FnOnce(&mut State, Moment, &mut Vec<Dead>) -> R,
    ) -> (R, Vec<Dead>) {
        let now = self.now();
        let mut dead = Vec::new();
        let (result, Aftermath { wake, deadline }) = {
            let mut state = queue.lock();
            let result = act(&mut state, now, &mut dead);
            (result, state.aftermath())
        };
        for waker in wake {
            waker.notify_one();
        }
        if let Some(deadline) = deadline {
            self.alarm.set(deadline);
        }
        (result, dead)
    }

    /// Carries the dead letters of a queue to where they go.
    ///
    /// Where they arrive they may be dead again, so this is a list of work and no recursion. It ends: a message that
    /// only expires comes to each queue once.
    fn bury(&self, source: &SharedQueue, dead: Vec<Dead>) {
        let mut work = VecDeque::new();
        self.carry(source, dead, &mut work);
        while let Some((source, dead)) = work.pop_front() {
            self.carry(&source, dead, &mut work);
        }
    }

    /// Puts dead letters into their queues, and notes what died of that in turn. The queues are created whether or not
    /// links may do so: a dead letter must not be lost because nobody has asked for it yet.
    fn carry(
        &self,
        source: &SharedQueue,
        dead: Vec<Dead>,
        work: &mut VecDeque<(Arc<SharedQueue>, Vec<Dead>)>,
    ) {
        let mut refused = 0;
        let mut last_error = None;
        for Dead { target, message } in dead {
            let taken = self.create(&target, Purpose::DeadLetters).and_then(|queue| {
                let (taken, dead) = self.act(&queue, |state, now, dead| {
                    state.check()?;
                    state.queue.publish(message, now, dead)
                });
                if !dead.is_empty() {
                    work.push_back((queue, dead));
                }
                taken
            });
            if let Err(error) = taken {
                refused += 1;
                last_error = Some((target, error));
            }
        }
        if let Some((target, error)) = last_error {
            let mut state = source.lock();
            state.queue.on_dead_letters_refused(refused);
            let queue = state.queue.name().clone();
            drop(state);
            tracing::warn!(%queue, count = refused, %target, ?error, "dead letters dropped");
        }
    }

    fn create(&self, name: &ByteString, purpose: Purpose) -> Result<Arc<SharedQueue>, ErrorInfo> {
        let create = |name| SharedQueue::new(Queue::new(name, self.defaults.clone()), None);
        let (queue, is_new) = self.memory.find_or_create(name, purpose, create)?;
        if is_new {
            tracing::debug!(queue = %name, "queue created");
        }
        Ok(queue)
    }
}
