//! Delays as clocks can bear them: everything that waits, or tells a broker to, takes its time from here.

use std::time::{Duration, SystemTime};

/// The longest delay, ten years; whoever wants more gets this.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// `delay`, but no longer than any clock can be moved by.
pub(crate) fn bounded(delay: Duration) -> Duration {
    delay.min(LONGEST)
}

/// When `delay`, counted from now, is over.
pub(crate) fn due(delay: Duration) -> SystemTime {
    let now = SystemTime::now();
    now.checked_add(bounded(delay)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_delay_is_too_long_for_the_clock() {
        for delay in [Duration::MAX, Duration::from_secs(i64::MAX.unsigned_abs()), LONGEST] {
            assert_eq!(bounded(delay), LONGEST);
            assert!(due(delay) > SystemTime::now());
        }
        assert_eq!(bounded(Duration::from_secs(3)), Duration::from_secs(3));
    }
}
