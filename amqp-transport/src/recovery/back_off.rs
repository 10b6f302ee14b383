//! How long to wait before trying again: exponential back-off with jitter.

use std::time::Duration;
use uuid::Uuid;

/// The smallest share of the limit that a pause may be, so that pauses grow although they are random.
const LEAST_SHARE: f64 = 0.1;

/// How the pauses between attempts grow. A pause is random, between a tenth of a limit and the limit; the limit is
/// [`min`](Self::min) at first and doubles with each attempt up to [`max`](Self::max). So the first five pauses of the
/// default are at most 0.25, 0.5, 1, 2 and 4 seconds, and no pause is longer than 30.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackOff {
    /// The longest first pause. Default 250 ms.
    pub min: Duration,
    /// The longest pause of all. Default 30 s.
    pub max: Duration,
    /// What lasted this long was good: the pauses start anew after it. Less would be no proof, as some peers fail only
    /// after they have taken a connection. Default 60 s.
    pub good_after: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(250),
            max: Duration::from_secs(30),
            good_after: Duration::from_secs(60),
        }
    }
}

/// The pauses of one thing that is tried again and again.
#[derive(Debug)]
pub(crate) struct Pauses {
    back_off: BackOff,
    limit: Duration,
}

impl Pauses {
    pub(crate) fn new(back_off: BackOff) -> Self {
        Self { limit: back_off.min.min(back_off.max), back_off }
    }

    /// The next pause. `share` is a random number between 0 and 1.
    pub(crate) fn next(&mut self, share: f64) -> Duration {
        let limit = self.limit;
        self.limit = limit.saturating_mul(2).min(self.back_off.max);
        limit.mul_f64(share.clamp(LEAST_SHARE, 1.0))
    }

    /// Starts anew after something that lasted long enough to have been good. True if it was.
    pub(crate) fn ended_after(&mut self, lasted: Duration) -> bool {
        let was_good = lasted >= self.back_off.good_after;
        if was_good {
            self.limit = self.back_off.min.min(self.back_off.max);
        }
        was_good
    }
}

/// A random number between 0 and 1.
pub(crate) fn random_share() -> f64 {
    // The first 32 bits of a UUID of version 4 are random.
    let (first, ..) = Uuid::new_v4().as_fields();
    f64::from(first) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pauses: &mut Pauses, count: usize) -> Vec<u128> {
        (0..count).map(|_| pauses.next(1.0).as_millis()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_stay_there() {
        let mut pauses = Pauses::new(BackOff::default());
        let expected = [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        assert_eq!(limits(&mut pauses, 10), expected);
    }

    #[test]
    fn pauses_start_anew_only_after_something_good() {
        let mut pauses = Pauses::new(BackOff::default());
        limits(&mut pauses, 4);
        assert!(!pauses.ended_after(Duration::from_millis(59_999)));
        assert_eq!(limits(&mut pauses, 1), [4000]);
        assert!(pauses.ended_after(Duration::from_secs(60)));
        assert_eq!(limits(&mut pauses, 2), [250, 500]);
    }

    #[test]
    fn a_pause_is_never_shorter_than_a_tenth_of_its_limit() {
        let mut pauses = Pauses::new(BackOff::default());
        assert_eq!(pauses.next(0.0), Duration::from_millis(25));
        assert_eq!(pauses.next(0.5), Duration::from_millis(250));
        assert!(Pauses::new(BackOff::default()).next(f64::MAX) <= Duration::from_millis(250));
    }

    #[test]
    fn a_smallest_pause_above_the_largest_gives_way_to_it() {
        let back_off =
            BackOff { min: Duration::from_secs(9), max: Duration::from_secs(1), ..BackOff::default() };
        assert_eq!(limits(&mut Pauses::new(back_off), 3), [1000, 1000, 1000]);
    }

    #[test]
    fn random_shares_are_between_zero_and_one_and_differ() {
        let shares: Vec<_> = (0..100).map(|_| random_share()).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(shares.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 0.1));
    }
}
