//! The account of the demo: for each job what was pushed and what became of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use super::fate::{Fate, Fates};

/// Jobs that are under way at most. Enough to keep everybody busy, and little enough that the latency shown is that of
/// jobs passing through and not that of a queue that was filled faster than it was emptied.
const BACKLOG: usize = 2_000;

/// One job. Times are those of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) push_began: Option<Instant>,
    /// When a delayed job may run.
    pub(super) due: Option<Instant>,
    pub(super) confirmed: bool,
    /// Starts of the handler.
    pub(super) first_run: Option<Instant>,
    pub(super) last_run: Option<Instant>,
    /// Ends, counted, because each may happen too often.
    pub(super) completed: u32,
    pub(super) requeued: u32,
    pub(super) dead_lettered: u32,
    pub(super) ended: Option<Instant>,
}

impl Entry {
    fn is_finished(&self) -> bool {
        self.completed + self.dead_lettered > 0
    }
}

/// All jobs, by number.
#[derive(Debug)]
pub(super) struct Ledger {
    entries: Mutex<Vec<Entry>>,
    fates: Fates,
    total: u64,
    confirmed: AtomicU64,
    finished: AtomicU64,
    requeued: AtomicU64,
    dead_lettered: AtomicU64,
    complete: Notify,
    /// Room for jobs that are under way.
    room: Semaphore,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) confirmed: u64,
    /// Jobs that have come to an end, each counted once.
    pub(super) finished: u64,
    pub(super) requeued: u64,
    pub(super) dead_lettered: u64,
}

impl Ledger {
    /// For jobs 0 to `total`−1.
    pub(super) fn new(total: u32, fates: Fates) -> Self {
        Self {
            entries: Mutex::new(vec![Entry::default(); usize::try_from(total).unwrap_or(usize::MAX)]),
            fates,
            total: u64::from(total),
            confirmed: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            requeued: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            complete: Notify::new(),
            room: Semaphore::new(BACKLOG),
        }
    }

    pub(super) fn fate(&self, number: u64) -> Fate {
        self.fates.of(number)
    }

    /// Resolves when the job may be pushed: while not too many are under way. Delayed jobs are under way for a reason
    /// and do not count.
    pub(super) async fn turn(&self, number: u64) {
        if !self.is_delayed(number) {
            // The permit comes back when the job has ended. The semaphore is never closed.
            if let Ok(permit) = self.room.acquire().await {
                permit.forget();
            }
        }
    }

    fn is_delayed(&self, number: u64) -> bool {
        matches!(self.fate(number), Fate::Delayed(_))
    }

    pub(super) fn push_begins(&self, number: u64, delay: Duration) {
        let now = Instant::now();
        self.with(number, |entry| {
            entry.push_began = Some(now);
            entry.due = (!delay.is_zero()).then_some(now + delay);
        });
    }

    pub(super) fn confirmed(&self, number: u64) {
        self.with(number, |entry| entry.confirmed = true);
        self.confirmed.fetch_add(1, Ordering::AcqRel);
        self.look();
    }

    /// A handler has begun with the job; `first` unless the job says that it has failed before.
    pub(super) fn runs(&self, number: u64, first: bool) {
        let now = Instant::now();
        self.with(number, |entry| {
            if first {
                entry.first_run.get_or_insert(now);
            }
            entry.last_run = Some(now);
        });
    }

    pub(super) fn completed(&self, number: u64) {
        self.finish(number, |entry| entry.completed += 1);
    }

    pub(super) fn requeued(&self, number: u64) {
        self.with(number, |entry| entry.requeued += 1);
        self.requeued.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn dead_lettered(&self, number: u64) {
        self.finish(number, |entry| entry.dead_lettered += 1);
        self.dead_lettered.fetch_add(1, Ordering::AcqRel);
    }

    fn finish(&self, number: u64, book: impl FnOnce(&mut Entry)) {
        let mut first = false;
        self.with(number, |entry| {
            first = !entry.is_finished();
            entry.ended.get_or_insert_with(Instant::now);
            book(entry);
        });
        if first {
            if !self.is_delayed(number) {
                self.room.add_permits(1);
            }
            self.finished.fetch_add(1, Ordering::AcqRel);
            self.look();
        }
    }

    fn look(&self) {
        if self.is_complete() {
            self.complete.notify_one();
        }
    }

    /// Whether every job was confirmed and has come to an end.
    pub(super) fn is_complete(&self) -> bool {
        let counts = self.counts();
        counts.confirmed >= self.total && counts.finished >= self.total
    }

    /// Resolves soon after the account has become complete.
    pub(super) async fn complete(&self) {
        self.complete.notified().await;
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            confirmed: self.confirmed.load(Ordering::Acquire),
            finished: self.finished.load(Ordering::Acquire),
            requeued: self.requeued.load(Ordering::Acquire),
            dead_lettered: self.dead_lettered.load(Ordering::Acquire),
        }
    }

    /// Grows whenever anything happens.
    pub(super) fn changes(&self) -> u64 {
        let counts = self.counts();
        counts.confirmed + counts.finished + counts.requeued + counts.dead_lettered
    }

    /// All entries as they are now.
    pub(super) fn account(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    fn with(&self, number: u64, act: impl FnOnce(&mut Entry)) {
        let Ok(number) = usize::try_from(number) else { return };
        // A number that we did not push is not ours to book.
        if let Some(entry) = self.lock().get_mut(number) {
            act(entry);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
