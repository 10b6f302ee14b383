//! The broker's one timer: remembers the earliest moment at which a queue has something to do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Clock, Moment};

/// No queue has anything to do.
const NEVER: u64 = u64::MAX;

/// Longest sleep, so that a moment in a far future does not overflow the timer.
const LONGEST_SLEEP_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// A timer that is set by any thread and waited for by one task.
#[derive(Debug)]
pub(crate) struct Alarm {
    earliest: AtomicU64,
    moved: Notify,
}

impl Alarm {
    pub(crate) fn new() -> Self {
        Self { earliest: AtomicU64::new(NEVER), moved: Notify::new() }
    }

    /// Something has to be done at that moment at the latest.
    pub(crate) fn set(&self, deadline: Moment) {
        let millis = deadline.millis();
        if self.earliest.fetch_min(millis, Ordering::SeqCst) > millis {
            self.moved.notify_one();
        }
    }

    /// Waits for the earliest moment that was set, and forgets it: whoever waits looks at everything then, and sets the
    /// alarm again. Cancelling forgets nothing.
    pub(crate) async fn ring(&self, clock: &Clock) {
        loop {
            let earliest = self.earliest.load(Ordering::SeqCst);
            if earliest == NEVER {
                self.moved.notified().await;
                continue;
            }
            let millis = clock.now().millis();
            if earliest <= millis {
                self.earliest.store(NEVER, Ordering::SeqCst);
                return;
            }
            let sleep = Duration::from_millis((earliest - millis).min(LONGEST_SLEEP_MILLIS));
            tokio::select! {
                biased;
                () = tokio::time::sleep(sleep) => {}
                () = self.moved.notified() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_earlier_moment_moves_the_alarm() {
        let clock = Clock::start();
        let alarm = Alarm::new();
        alarm.set(clock.now().plus_millis(3_600_000));
        let ringing = async { tokio::time::timeout(Duration::from_secs(10), alarm.ring(&clock)).await };
        let setting = async { alarm.set(clock.now()) };
        let (rang, ()) = tokio::join!(ringing, setting);
        rang.expect("the alarm rings at the earlier moment");
    }
}
