//! What the handles of a connection share: the engine under a lock, and those who wait for it.

use super::table::Table;
use crate::engine::event::{DeliveryNumber, Event, Token};
use crate::engine::{Engine, LinkKey, SessionKey};
use crate::error::Outcome;
use slab::Slab;
use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Poll, Waker};
use std::{fmt, hint};
use tokio::sync::Notify;

/// The token of deliveries whose outcomes go to the link's queue instead of a waiting future.
pub(crate) const TO_QUEUE: Token = Token(usize::MAX);

/// How often a thread looks whether the lock is free before it sleeps; some 30 microseconds with the pauses.
const LOOKS: usize = 64;

/// Pauses of the processor between two looks, so that those who wait do not slow down the one who works.
const PAUSES: usize = 8;

/// One who waits for the outcome of a delivery.
#[derive(Debug)]
enum Confirm {
    Waiting(Option<Waker>),
    Done(Option<Outcome>),
    /// Nobody waits any more; the place is free once the outcome is there.
    Abandoned,
}

/// What is kept for a link beside the engine.
#[derive(Debug, Default)]
struct LinkSlot {
    changed: Arc<Notify>,
    outcomes: VecDeque<(DeliveryNumber, Outcome)>,
}

/// The part under the lock.
pub(crate) struct State {
    pub(crate) engine: Engine,
    links: Table<LinkSlot>,
    sessions: Table<Arc<Notify>>,
    confirms: Slab<Confirm>,
    requests: VecDeque<LinkKey>,
    driver_is_told: bool,
}

/// One connection, as its handles and its I/O task see it.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Wakes the I/O task.
    pub(crate) wake_driver: Notify,
    /// Octets that the I/O task holds until the socket takes them.
    pub(crate) unsent: AtomicUsize,
    /// The connection's own state changed.
    pub(crate) changed: Notify,
    /// A link was requested by the peer.
    pub(crate) requested: Notify,
}

/// What is to be woken once the lock is released.
#[derive(Default)]
pub(crate) struct Wakes {
    notifies: Vec<Arc<Notify>>,
    wakers: Vec<Waker>,
    connection: bool,
    requests: bool,
}

impl Shared {
    pub(crate) fn new(engine: Engine) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                engine,
                links: Table::new(),
                sessions: Table::new(),
                confirms: Slab::new(),
                requests: VecDeque::new(),
                driver_is_told: false,
            }),
            wake_driver: Notify::new(),
            unsent: AtomicUsize::new(0),
            changed: Notify::new(),
            requested: Notify::new(),
        })
    }

    /// Holds last some microseconds at most: as long as it takes to sort a batch of frames. Another thread that slept over
    /// one would be woken by the system at a multiple of that price, so it looks again for a while before it sleeps.
    fn lock(&self) -> MutexGuard<'_, State> {
        for _ in 0..LOOKS {
            match self.state.try_lock() {
                Ok(state) => return state,
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => (0..PAUSES).for_each(|_| hint::spin_loop()),
            }
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the state without changing it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.lock())
    }

    /// Acts on the engine, then wakes the I/O task and all who wait for what changed.
    pub(crate) fn act<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = act(&mut state);
        let wakes = state.events();
        let tell_driver = !std::mem::replace(&mut state.driver_is_told, true);
        drop(state);
        if tell_driver {
            self.wake_driver.notify_one();
        }
        if let Some(wakes) = wakes {
            self.wake(wakes);
        }
        result
    }

    /// The I/O task's own access: it needs no waking, and sees everything acted upon so far.
    pub(crate) fn drive<R>(&self, act: impl FnOnce(&mut Engine) -> R) -> R {
        let mut state = self.lock();
        state.driver_is_told = false;
        let result = act(&mut state.engine);
        let wakes = state.events();
        drop(state);
        if let Some(wakes) = wakes {
            self.wake(wakes);
        }
        result
    }

    fn wake(&self, wakes: Wakes) {
        for notify in wakes.notifies {
            notify.notify_waiters();
        }
        for waker in wakes.wakers {
            waker.wake();
        }
        if wakes.connection {
            self.changed.notify_waiters();
            self.requested.notify_waiters();
        }
        if wakes.requests {
            self.requested.notify_waiters();
        }
    }

    /// Waits until `look` finds something, looking again whenever `changed` says so.
    ///
    /// Cancel-safe: `look` either gives its result to the caller or has taken nothing.
    pub(crate) async fn wait<R>(&self, changed: &Notify, mut look: impl FnMut(&mut State) -> Option<R>) -> R {
        if let Some(found) = self.act_if_found(&mut look) {
            return found;
        }
        loop {
            let notified = changed.notified();
            tokio::pin!(notified);
            // Registered before looking: what happens in between is not missed.
            notified.as_mut().enable();
            if let Some(found) = self.act_if_found(&mut look) {
                return found;
            }
            notified.await;
        }
    }

    /// As [`Shared::wait`], for an answer that the peer owes: `None` if it has not come within
    /// [`Limits::answer`](crate::Limits::answer).
    pub(crate) async fn wait_for_answer<R>(
        &self,
        changed: &Notify,
        look: impl FnMut(&mut State) -> Option<R>,
    ) -> Option<R> {
        self.answered(self.wait(changed, look)).await
    }

    /// What `answer` gives; `None` if it takes longer than [`Limits::answer`](crate::Limits::answer).
    pub(crate) async fn answered<R>(&self, answer: impl Future<Output = R>) -> Option<R> {
        let patience = self.look(|state| state.engine.limits().answer);
        if patience.is_zero() {
            return Some(answer.await);
        }
        tokio::time::timeout(patience, answer).await.ok()
    }

    fn act_if_found<R>(&self, look: &mut impl FnMut(&mut State) -> Option<R>) -> Option<R> {
        let mut state = self.lock();
        let found = look(&mut state)?;
        let wakes = state.events();
        let tell_driver = !std::mem::replace(&mut state.driver_is_told, true);
        drop(state);
        if tell_driver {
            self.wake_driver.notify_one();
        }
        if let Some(wakes) = wakes {
            self.wake(wakes);
        }
        Some(found)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl State {
    /// Sorts the engine's events to those who wait for them, if there are any: mostly there are none.
    fn events(&mut self) -> Option<Wakes> {
        self.engine.has_events().then(|| self.take_events())
    }

    fn take_events(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        while let Some(event) = self.engine.poll_event() {
            match event {
                Event::Connection => wakes.connection = true,
                Event::Session(key) => wakes.notifies.extend(self.sessions.get(key.0).cloned()),
                Event::Link(key) => {
                    wakes.notifies.extend(self.links.get(key.0).map(|slot| Arc::clone(&slot.changed)));
                }
                Event::LinkRequested(key) => {
                    self.requests.push_back(key);
                    wakes.requests = true;
                }
                Event::Outcome { link, token: TO_QUEUE, number, outcome } => {
                    if let (Some(slot), Some(outcome)) = (self.links.get(link.0), outcome) {
                        if slot.outcomes.is_empty() {
                            wakes.notifies.push(Arc::clone(&slot.changed));
                        }
                        slot.outcomes.push_back((number, outcome));
                    }
                }
                Event::Outcome { link, token, outcome, .. } => {
                    if let Some(Outcome::Provisional(provisional)) = &outcome
                        && let Some(id) = provisional.id
                    {
                        // The place is given to another delivery once this outcome is taken.
                        self.engine.tell_nobody(link, id);
                    }
                    self.confirm(token, outcome, &mut wakes);
                }
            }
        }
        wakes
    }

    fn confirm(&mut self, Token(index): Token, outcome: Option<Outcome>, wakes: &mut Wakes) {
        match self.confirms.get_mut(index) {
            Some(confirm @ Confirm::Waiting(_)) => {
                let before = std::mem::replace(confirm, Confirm::Done(outcome));
                if let Confirm::Waiting(Some(waker)) = before {
                    wakes.wakers.push(waker);
                }
            }
            Some(Confirm::Abandoned) => {
                self.confirms.try_remove(index);
            }
            Some(Confirm::Done(_)) | None => {}
        }
    }

    /// A place to wait for an outcome; it exists before the delivery can leave.
    pub(crate) fn new_confirm(&mut self) -> Token {
        Token(self.confirms.insert(Confirm::Waiting(None)))
    }

    /// Gives the place of a delivery back that was never sent.
    pub(crate) fn cancel_confirm(&mut self, token: Token) {
        self.confirms.try_remove(token.0);
    }

    /// The outcome of a delivery, once it is there; `None` inside means that the link ended without one.
    pub(crate) fn poll_confirm(&mut self, token: Token, waker: &Waker) -> Poll<Option<Outcome>> {
        match self.confirms.get_mut(token.0) {
            Some(Confirm::Waiting(waiting)) => {
                if !waiting.as_ref().is_some_and(|before| before.will_wake(waker)) {
                    *waiting = Some(waker.clone());
                }
                Poll::Pending
            }
            Some(Confirm::Done(outcome)) => {
                let outcome = outcome.take();
                self.confirms.try_remove(token.0);
                Poll::Ready(outcome)
            }
            Some(Confirm::Abandoned) | None => Poll::Ready(None),
        }
    }

    /// Nobody waits for the outcome any more.
    pub(crate) fn abandon_confirm(&mut self, token: Token) {
        if let Some(confirm) = self.confirms.get_mut(token.0) {
            match confirm {
                Confirm::Waiting(_) => *confirm = Confirm::Abandoned,
                Confirm::Done(_) | Confirm::Abandoned => {
                    self.confirms.try_remove(token.0);
                }
            }
        }
    }

    pub(crate) fn watch_link(&mut self, key: LinkKey) -> Arc<Notify> {
        Arc::clone(&self.links.entry(key.0).changed)
    }

    pub(crate) fn forget_link(&mut self, key: LinkKey) {
        self.links.remove(key.0);
        self.engine.forget_link(key);
    }

    pub(crate) fn watch_session(&mut self, key: SessionKey) -> Arc<Notify> {
        Arc::clone(self.sessions.entry(key.0))
    }

    pub(crate) fn forget_session(&mut self, key: SessionKey) {
        self.sessions.remove(key.0);
        self.engine.forget_session(key);
    }

    pub(crate) fn next_outcome(&mut self, key: LinkKey) -> Option<(DeliveryNumber, Outcome)> {
        self.links.get(key.0)?.outcomes.pop_front()
    }

    pub(crate) fn next_request(&mut self) -> Option<LinkKey> {
        self.requests.pop_front()
    }
}
