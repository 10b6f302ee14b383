//! Time as a value.
//!
//! Queues never ask for the time: whoever calls them says what time it is, so that every rule about delays and expiry
//! can be tested without waiting. A [`Moment`] is milliseconds since the Unix epoch, the unit in which AMQP speaks of
//! absolute times (part 1, §1.6.17 `timestamp`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A point in time: whole milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The moment `millis` milliseconds after the epoch; what lies before it counts as the epoch itself.
    pub(crate) fn from_millis(millis: i64) -> Self {
        Self(u64::try_from(millis).unwrap_or(0))
    }

    /// Milliseconds since the epoch.
    pub(crate) const fn millis(self) -> u64 {
        self.0
    }

    /// The moment `millis` milliseconds later, or the last one there is.
    pub(crate) const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// How many milliseconds lie between this moment and a `later` one; 0 if it is not later.
    pub(crate) const fn millis_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }
}

/// The broker's clock: the wall clock as it stood when the broker started, moved on by the monotonic clock, so that it
/// never goes back and a correction of the system's time does not release or expire messages all at once. It is that of
/// the runtime's timers: where a test pauses them, it stands still with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    epoch_millis: u64,
}

impl Clock {
    /// Starts the clock at the system's present time.
    pub(crate) fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { started: Instant::now(), epoch_millis: whole_millis(since_epoch) }
    }

    /// The present moment, rounded down to a millisecond.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.epoch_millis.saturating_add(whole_millis(self.started.elapsed())))
    }
}

/// A duration in whole milliseconds, at most `u64::MAX`.
pub(crate) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_the_epoch_count_as_the_epoch() {
        assert_eq!(Moment::from_millis(-5).millis(), 0);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let late = Moment::from_millis(i64::MAX).plus_millis(u64::MAX);
        assert_eq!(late.millis(), u64::MAX);
        assert_eq!(late.millis_until(Moment::from_millis(0)), 0);
    }

    #[test]
    fn the_clock_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
