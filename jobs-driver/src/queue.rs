//! The one queue in which consumed jobs wait: bounded, the smallest priority number first, first come first served among
//! equals.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, TryAcquireError};

/// A bounded priority queue between tasks.
#[derive(Debug)]
pub(crate) struct JobQueue<T> {
    state: Mutex<State<T>>,
    /// One permit for each free place.
    space: Semaphore,
    arrived: Notify,
}

#[derive(Debug)]
struct State<T> {
    /// By priority, then by order of arrival.
    waiting: BTreeMap<(i64, u64), T>,
    arrivals: u64,
    closed: bool,
}

/// A free place that is held until it is filled with [`Place::put`] or dropped.
#[derive(Debug)]
pub(crate) struct Place<'a, T> {
    queue: &'a JobQueue<T>,
    permit: SemaphorePermit<'a>,
}

impl<T> JobQueue<T> {
    /// A queue for at most `capacity` items; 0 counts as 1.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State { waiting: BTreeMap::new(), arrivals: 0, closed: false }),
            space: Semaphore::new(capacity.clamp(1, Semaphore::MAX_PERMITS)),
            arrived: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held, and the state is whole after every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free place. `None` once the queue is closed. Cancel-safe.
    pub(crate) async fn reserve(&self) -> Option<Place<'_, T>> {
        let permit = match self.space.try_acquire() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => self.space.acquire().await.ok()?,
            Err(TryAcquireError::Closed) => return None,
        };
        Some(Place { queue: self, permit })
    }

    /// Takes the most urgent item, waiting for one. `None` once the queue is closed and empty. Cancel-safe: an item is
    /// taken and returned in one step.
    pub(crate) async fn take(&self) -> Option<T> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.lock();
                if let Some((_, item)) = state.waiting.pop_first() {
                    let more = !state.waiting.is_empty();
                    drop(state);
                    self.space.add_permits(1);
                    if more {
                        // A wake-up may have been folded into ours.
                        self.arrived.notify_one();
                    }
                    return Some(item);
                }
                if state.closed {
                    drop(state);
                    // The next waiter must see it too.
                    self.arrived.notify_one();
                    return None;
                }
            }
            arrived.await;
        }
    }

    /// Removes and returns the items for which `matches` holds, in order.
    pub(crate) fn remove_where(&self, mut matches: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut state = self.lock();
        let keys: Vec<(i64, u64)> =
            state.waiting.iter().filter(|(_, item)| matches(item)).map(|(key, _)| *key).collect();
        let removed: Vec<T> = keys.iter().filter_map(|key| state.waiting.remove(key)).collect();
        drop(state);
        self.space.add_permits(removed.len());
        removed
    }

    /// No more items are let in; takers get what is left, then `None`.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.space.close();
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }
}

impl<T> Place<'_, T> {
    /// Fills the place. Gives the item back if the queue was closed meanwhile.
    pub(crate) fn put(self, priority: i64, item: T) -> Result<(), T> {
        let mut state = self.queue.lock();
        if state.closed {
            return Err(item);
        }
        let arrival = state.arrivals;
        state.arrivals = arrival.wrapping_add(1);
        state.waiting.insert((priority, arrival), item);
        drop(state);
        self.permit.forget();
        self.queue.arrived.notify_one();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    async fn put<T: std::fmt::Debug>(queue: &JobQueue<T>, priority: i64, item: T) {
        queue.reserve().await.unwrap().put(priority, item).unwrap();
    }

    proptest! {
        #[test]
        fn smaller_numbers_come_first_and_equals_in_order_of_arrival(priorities in prop::collection::vec(-3_i64..4, 0..60)) {
            let taken = block_on(async {
                let queue = JobQueue::new(100);
                for (arrival, priority) in priorities.iter().enumerate() {
                    put(&queue, *priority, (*priority, arrival)).await;
                }
                queue.close();
                let mut taken = Vec::new();
                while let Some(item) = queue.take().await {
                    taken.push(item);
                }
                taken
            });
            let mut expected: Vec<(i64, usize)> = priorities.iter().copied().enumerate().map(|(a, p)| (p, a)).collect();
            expected.sort();
            prop_assert_eq!(taken, expected);
        }

        #[test]
        fn the_capacity_is_kept_whatever_happens(capacity in 1_usize..5, steps in prop::collection::vec(0_u8..4, 0..80)) {
            block_on(async {
                let queue = JobQueue::new(capacity);
                let mut held = 0_usize;
                for step in steps {
                    match step {
                        0 | 1 => {
                            let place = tokio::time::timeout(Duration::ZERO, queue.reserve()).await;
                            prop_assert_eq!(place.is_ok(), held < capacity);
                            if let Ok(Some(place)) = place {
                                if step == 0 {
                                    place.put(1, ()).unwrap();
                                    held += 1;
                                } else {
                                    drop(place);
                                }
                            }
                        }
                        2 => {
                            let taken = tokio::time::timeout(Duration::ZERO, queue.take()).await;
                            prop_assert_eq!(taken.is_ok(), held > 0);
                            held = held.saturating_sub(1);
                        }
                        _ => {
                            prop_assert_eq!(queue.remove_where(|()| true).len(), held);
                            held = 0;
                        }
                    }
                    prop_assert_eq!(queue.len(), held);
                }
                Ok(())
            })?;
        }
    }

    #[test]
    fn a_full_queue_makes_the_producer_wait() {
        block_on(async {
            let queue = Arc::new(JobQueue::new(1));
            put(&queue, 1, "first").await;
            let producer = {
                let queue = queue.clone();
                tokio::spawn(async move { put(&queue, 1, "second").await })
            };
            tokio::task::yield_now().await;
            assert_eq!(queue.len(), 1);
            assert_eq!(queue.take().await, Some("first"));
            producer.await.unwrap();
            assert_eq!(queue.take().await, Some("second"));
        });
    }

    #[test]
    fn a_cancelled_take_loses_nothing_and_wakes_the_next() {
        block_on(async {
            let queue = Arc::new(JobQueue::new(10));
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    let queue = queue.clone();
                    tokio::spawn(async move { queue.take().await })
                })
                .collect();
            tokio::task::yield_now().await;
            for (n, taker) in takers.iter().enumerate() {
                if n % 2 == 0 {
                    taker.abort();
                }
            }
            put(&queue, 1, 1).await;
            put(&queue, 1, 2).await;
            let mut taken = Vec::new();
            for (n, taker) in takers.into_iter().enumerate() {
                match taker.await {
                    Ok(item) => taken.extend(item),
                    Err(e) => assert!(e.is_cancelled() && n % 2 == 0),
                }
            }
            taken.extend(queue.remove_where(|_| true));
            taken.sort_unstable();
            assert_eq!(taken, [1, 2]);
        });
    }

    #[test]
    fn close_wakes_all_who_wait() {
        block_on(async {
            let queue: Arc<JobQueue<()>> = Arc::new(JobQueue::new(1));
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    let queue = queue.clone();
                    tokio::spawn(async move { queue.take().await })
                })
                .collect();
            tokio::task::yield_now().await;
            queue.close();
            for taker in takers {
                assert_eq!(taker.await.unwrap(), None);
            }
            assert!(queue.reserve().await.is_none());
        });
    }
}
